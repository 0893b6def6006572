"""`run.py predict`: ask a saved run about pictures."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from datasets.base import content_digest
from datasets.errors import InputError
from datasets.images import PICTURE_SUFFIXES, batches_of_equal_shape, decode_image, shrink
from datasets.landmarks import extract_landmarks, scale_points
from models import model_class
from models.artefact import load_savedmodel, verify_run
from models.commands.parser import Parser, percent, print_json
from models.runs import find_run, read_json
from training.calibration import OTHER, Calibration


def run(words: list[str]) -> int:
    parser = Parser("predict", "Ask a saved run about pictures.")
    parser.add_argument("run", metavar="RUN", help="a run's folder, MODEL/RUN, or MODEL (newest)")
    parser.add_argument("inputs", metavar="INPUT", nargs="+", help="pictures, or folders of them")
    parser.add_argument(
        "--top", type=int, default=3, metavar="N", help="classes to show (default 3)"
    )
    parser.add_reject_at()
    parser.add_out()
    parser.add_json()
    arguments = parser.parse(words, "predict")
    if arguments.top < 1:
        raise InputError(f"--top {arguments.top}: at least 1 is needed")
    folder = find_run(arguments.run, arguments.out)
    verify_run(folder)
    labels, network = read_json(folder, "labels.json"), load_savedmodel(folder)
    judge = Judge.of(folder, arguments.reject_at)
    images, broken = _read(_files(arguments.inputs))
    records = _records(folder)
    outputs = _predict(network, records, list(images.values())) if images else []
    answers = [
        judge.answer(path, output["probabilities"], labels, arguments.top)
        for path, output in zip(images, outputs, strict=True)
    ]
    if arguments.json:
        print_json(
            {
                "run": str(folder),
                "reject_at": judge.target,
                "threshold": judge.threshold,
                "predictions": answers,
                "errors": broken,
            }
        )
    else:
        _print(answers)
    for line in broken:
        print(f"error: {line}", file=sys.stderr)
    return 2 if broken else 0


@dataclass(frozen=True)
class Judge:
    """Turns probabilities into an answer, which may be "none of these".

    Attributes:
        calibration: of the run.
        target: share of right answers wanted among those given; None to answer always.
        threshold: confidence below which the answer is "other".
    """

    calibration: Calibration
    target: float | None
    threshold: float

    @classmethod
    def of(cls, folder: Path, target: float | None) -> Judge:
        """The judge of a run; the run's own `reject_at` counts where no target is given.

        Raises:
            InputError: no threshold reaches the target on the validation part.
        """
        calibration = Calibration.from_json(read_json(folder, "calibration.json"))
        target = target or read_json(folder, "config.json")["reject_at"]
        threshold = 0.0 if target is None else calibration.threshold(target)
        if threshold is None:
            raise InputError(
                f"no confidence reaches {percent(target)} right answers on the validation part of "
                f"{folder} ({len(calibration.correct)} samples): ask for less by --reject-at"
            )
        return cls(calibration, target, threshold)

    def answer(self, path: Path, probabilities, labels: list[str], top: int) -> dict:
        """Label, calibrated confidence and the most probable classes for one picture."""
        best = np.argsort(-probabilities)[:top]
        confidence = float(self.calibration.confidences(probabilities[None])[0])
        label = labels[best[0]] if confidence >= self.threshold else OTHER
        return {
            "input": str(path),
            "label": label,
            "probability": float(probabilities.max()),
            "confidence": confidence,
            "top": [
                {"label": labels[index], "probability": float(probabilities[index])}
                for index in best
            ],
        }


def _records(folder: Path) -> tuple:
    """The inputs of a run: those of its class, or of its options."""
    chosen = model_class(read_json(folder, "metadata.json")["model"])
    return chosen(chosen.Options.from_json(read_json(folder, "config.json"))).inputs


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
            images[path] = shrink(decode_image(path.read_bytes()))
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


def _print(answers: list[dict]) -> None:
    for answer in answers:
        scores = ", ".join(
            f"{entry['label']} {percent(entry['probability'])}" for entry in answer["top"]
        )
        print(f"{answer['input']}: {answer['label']} ({scores})")
