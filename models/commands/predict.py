"""`run.py predict`: ask a saved run about pictures."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from datasets.base import content_digest
from datasets.errors import InputError
from datasets.images import PICTURE_SUFFIXES, batches_of_equal_shape, decode_image
from datasets.landmarks import extract_landmarks, scale_points
from models import model_class
from models.artefact import load_savedmodel, verify_run
from models.commands.parser import Parser, percent, print_json
from models.runs import find_run, read_json


def run(words: list[str]) -> int:
    parser = Parser("predict", "Ask a saved run about pictures of faces.")
    parser.add_argument("run", metavar="RUN", help="a run's folder, MODEL/RUN, or MODEL (newest)")
    parser.add_argument("inputs", metavar="INPUT", nargs="+", help="pictures, or folders of them")
    parser.add_argument(
        "--top", type=int, default=3, metavar="N", help="classes to show (default 3)"
    )
    parser.add_out()
    parser.add_json()
    arguments = parser.parse(words, "predict")
    if arguments.top < 1:
        raise InputError(f"--top {arguments.top}: at least 1 is needed")
    folder = find_run(arguments.run, arguments.out)
    verify_run(folder)
    labels, network = read_json(folder, "labels.json"), load_savedmodel(folder)
    images, broken = _read(_files(arguments.inputs))
    records = model_class(read_json(folder, "metadata.json")["model"]).inputs
    outputs = _predict(network, records, list(images.values())) if images else []
    answers = [
        _answer(path, output, labels, arguments.top)
        for path, output in zip(images, outputs, strict=True)
    ]
    if arguments.json:
        print_json({"run": str(folder), "predictions": answers, "errors": broken})
    else:
        _print(answers)
    for line in broken:
        print(f"error: {line}", file=sys.stderr)
    return 2 if broken else 0


def _files(inputs: list[str]) -> list[Path]:
    """Pictures in the order given; a folder stands for all pictures below it."""
    files = []
    for text in inputs:
        path = Path(text).expanduser()
        if not path.exists():
            raise InputError(f"{path} does not exist: name a picture or a folder of pictures")
        found = (
            [path]
            if path.is_file()
            else sorted(
                inner for inner in path.rglob("*") if inner.suffix.lower() in PICTURE_SUFFIXES
            )
        )
        if not found:
            raise InputError(f"{path} holds no picture ({', '.join(PICTURE_SUFFIXES)})")
        files += found
    return files


def _read(files: list[Path]) -> tuple[dict[Path, np.ndarray], list[str]]:
    """Decoded pictures, and a line for each file that is none."""
    images, broken = {}, []
    for path in files:
        try:
            images[path] = decode_image(path.read_bytes())
        except (OSError, ValueError) as error:
            broken.append(f"{path}: {error}; give a picture file")
    return images, broken


def _predict(network, records, images: list[np.ndarray]) -> list[dict]:
    """Outputs of the SavedModel for each picture; those of one size share batches."""
    raw = _raw_inputs(records, images)
    answers = [None] * len(images)
    for rows in batches_of_equal_shape(images):
        batch = {name: np.stack([values[row] for row in rows]) for name, values in raw.items()}
        outputs = {name: value.numpy() for name, value in network.serve(batch).items()}
        for place, row in enumerate(rows):
            answers[row] = {name: value[place] for name, value in outputs.items()}
    return answers


def _raw_inputs(records, images: list[np.ndarray]) -> dict[str, list[np.ndarray]]:
    """What a run takes, made from pictures of faces: input name -> one array per picture."""
    names = {record.name: record for record in records}
    raw = {"image": images} if "image" in names else {}
    if "landmarks" in names:
        points = extract_landmarks(images, [content_digest(image) for image in images])
        if "image" not in names:
            frame = names["landmarks"].frame
            extents = np.array([image.shape[:2] for image in images])
            points = scale_points(points, extents, (frame, frame))
        raw["landmarks"] = list(points)
    return raw


def _answer(path: Path, outputs: dict, labels: list[str], top: int) -> dict:
    probabilities = outputs["probabilities"]
    best = np.argsort(-probabilities)[:top]
    return {
        "input": str(path),
        "label": outputs["label"].decode(),
        "probability": float(probabilities.max()),
        "top": [
            {"label": labels[index], "probability": float(probabilities[index])} for index in best
        ],
    }


def _print(answers: list[dict]) -> None:
    for answer in answers:
        scores = ", ".join(
            f"{entry['label']} {percent(entry['probability'])}" for entry in answer["top"]
        )
        print(f"{answer['input']}: {answer['label']} ({scores})")
