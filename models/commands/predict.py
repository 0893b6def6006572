"""`run.py predict`: ask a saved run about pictures or recordings."""

from __future__ import annotations

import argparse
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from datasets.errors import InputError
from models.artefact import load_savedmodel, verify_run
from models.commands.asking import Asked, asked_in_pieces, check_there, outputs_for, read_asked
from models.commands.depth import Depth, add_depth_flags, depth_asked
from models.commands.parser import Parser, percent, print_json, user_path
from models.commands.whole_files import check_writable, whole_file
from models.inputs import read_inputs
from models.nearest import Reference
from models.runs import find_run, read_json
from models.species.specificity import answers
from training.calibration import OTHER, Calibration

SHEETS = Path("explanations")


def run(words: list[str]) -> int:
    arguments = _parsed(words)
    check_there(arguments.inputs, read_inputs(find_run(arguments.run, arguments.out)))
    asked_run = AskedRun(arguments)
    explainer = _explainer(asked_run.folder, arguments) if arguments.explain else None
    predictions, broken, unmeasured, undetected = [], [], 0, 0
    for asked in asked_in_pieces(arguments.inputs, asked_run.records, arguments.box):
        found = asked_run.answers(asked)
        if explainer:
            explainer.explain_all(asked, found)
        if not (arguments.json or arguments.table):
            _print(found)
        predictions += found
        broken += asked.broken
        unmeasured += asked.unmeasured()
        undetected += asked.undetected
    if arguments.table:
        with whole_file(arguments.table, "--table") as draft:
            answer_table(predictions).to_csv(draft, index=False)
    if arguments.json:
        told = {
            "predictions": predictions,
            "without_measurements": unmeasured,
            "without_detected_face": undetected,
            "errors": broken,
        }
        print_json(asked_run.to_json() | told)
    elif arguments.table:
        print(f"{len(predictions)} answers written to {arguments.table}")
    if unmeasured:
        print(
            f"{unmeasured} of {len(predictions)} came without measurements, for which the "
            "means of the training specimens stand in: give a table to answer by both",
            file=sys.stderr,
        )
    if undetected:
        print(
            f"in {undetected} of {len(predictions)} no face was detected, so the landmarks were "
            "read in the whole picture: give pictures that one face fills",
            file=sys.stderr,
        )
    for line in broken:
        print(f"error: {line}", file=sys.stderr)
    return 2 if broken else 0


def _parsed(words: list[str]) -> argparse.Namespace:
    parser = Parser("predict", "Ask a saved run about pictures or recordings.")
    parser.add_run()
    parser.add_argument(
        "inputs",
        metavar="INPUT",
        nargs="+",
        help="pictures or recordings, folders of them, or tables of specimens (.csv)",
    )
    parser.add_argument(
        "--top", type=int, default=3, metavar="N", help="classes to show (default 3)"
    )
    parser.add_argument(
        "--nearest",
        type=int,
        default=3,
        metavar="N",
        help="most similar training specimens to show (default 3)",
    )
    parser.add_argument(
        "--add",
        action="append",
        default=[],
        metavar="CLASS=INPUT",
        help="one more class, from a handful of its specimens, without training: every answer is "
        "then the class with the nearest centroid; may be repeated",
    )
    parser.add_argument(
        "--box",
        type=box_of,
        metavar="X_MIN,Y_MIN,X_MAX,Y_MAX",
        help="where the organism is in the one picture, in pixels, for runs that look at a box",
    )
    parser.add_argument(
        "--explain",
        action="store_true",
        help="say why: a sheet for each input with a map of what counts, contributions and the "
        "nearest training specimens",
    )
    parser.add_argument(
        "--to",
        type=user_path,
        metavar="DIR",
        help=f"folder for the sheets of --explain, NAME.explained.png (default {SHEETS})",
    )
    parser.add_argument(
        "--table", type=user_path, metavar="FILE", help="write the answers to a CSV file"
    )
    parser.add_reject_at()
    add_depth_flags(parser)
    parser.add_out()
    parser.add_json()
    arguments = parser.parse(words, "predict")
    for name, least in (("top", 1), ("nearest", 0)):
        if getattr(arguments, name) < least:
            raise InputError(f"--{name} {getattr(arguments, name)}: at least {least} is needed")
    _check_explain(arguments)
    if arguments.table:
        check_writable(arguments.table, "--table")
    return arguments


class AskedRun:
    """A saved run and how it is asked.

    Args:
        arguments: of the command line.

    Attributes:
        folder: of the run.
        records: of its inputs.
    """

    def __init__(self, arguments: argparse.Namespace):
        self.folder = find_run(arguments.run, arguments.out)
        verify_run(self.folder)
        self._arguments = arguments
        self._depth = depth_asked(self.folder, arguments)
        self._labels = read_json(self.folder, "labels.json")
        self._network = load_savedmodel(self.folder)
        self._judge = Judge.of(self.folder, arguments.reject_at)
        self._reference = Reference.read(self.folder)
        self.records = read_inputs(self.folder)
        if arguments.add:
            _refuse_other_answers(self._depth, arguments)
            self._reference = _extended(self._reference, self._network, self.records, arguments)

    def answers(self, asked: Asked) -> list[dict]:
        """The answer for each sample, and its nearest training specimens."""
        outputs = outputs_for(self._network, self.records, asked)
        taxa = _taxa(outputs, self._depth) if self._depth else [{}] * len(outputs)
        near, count = self._reference.nearest, self._arguments.nearest
        return [
            self._answer(name, output) | taxon | {"nearest": near(output["embedding"], count)}
            for name, output, taxon in zip(asked.names, outputs, taxa, strict=True)
        ]

    def to_json(self) -> dict:
        """What holds for all answers."""
        return {
            "run": str(self.folder),
            "reject_at": self._judge.target,
            "threshold": self._judge.threshold,
            **({"specificity": self._depth.to_json()} if self._depth else {}),
        }

    def _answer(self, name: str, output: dict) -> dict:
        top = self._arguments.top
        if self._arguments.add:
            return _by_centroid(self._reference, name, output["embedding"], top)
        return self._judge.answer(name, output["probabilities"], self._labels, top)


def answer_table(predictions: list[dict]) -> pd.DataFrame:
    """One row per answer: the input, the answer, how sure it is, the next classes, the nearest."""
    rows = []
    for answer in predictions:
        names = ("input", "label", "rank", "probability", "confidence")
        row = {name: answer[name] for name in names if name in answer}
        for number, entry in enumerate(answer["top"], 1):
            row |= {f"top_{number}_{name}": value for name, value in entry.items()}
        for number, entry in enumerate(answer["nearest"], 1):
            row |= {f"nearest_{number}_{name}": value for name, value in entry.items()}
        rows.append(row)
    return pd.DataFrame(rows)


def _check_explain(arguments) -> None:
    if arguments.to and not arguments.explain:
        raise InputError("--to names the folder for the sheets of --explain: add that too")
    if arguments.explain and arguments.add:
        raise InputError(
            "--explain says why the network gives a class, and --add answers by the nearest "
            "centroid: leave one of them out"
        )


def _explainer(folder: Path, arguments):
    from models.commands.explaining import Explainer  # draws, which takes a second to import

    return Explainer(folder, arguments.to or SHEETS)


def box_of(text: str) -> tuple[float, ...]:
    """Four numbers; they must span an area."""
    try:
        found = tuple(float(number) for number in text.split(","))
        left, top, right, bottom = found
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{text} is no box: four numbers of pixels separated by commas"
        ) from None
    if not (left < right and top < bottom):
        raise argparse.ArgumentTypeError(f"{text} is empty: x_min < x_max and y_min < y_max")
    return found


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

    def answer(self, name: str, probabilities, labels: list[str], top: int) -> dict:
        """Label, calibrated confidence and the most probable classes for one picture."""
        best = np.argsort(-probabilities)[:top]
        confidence = float(self.calibration.confidences(probabilities[None])[0])
        label = labels[best[0]] if confidence >= self.threshold else OTHER
        return {
            "input": name,
            "label": label,
            "probability": float(probabilities.max()),
            "confidence": confidence,
            "top": [
                {"label": labels[index], "probability": float(probabilities[index])}
                for index in best
            ],
        }


def _taxa(outputs: list[dict], depth: Depth) -> list[dict]:
    """For each picture the deepest taxon that is sure enough, why it is no deeper, and its path."""
    if not outputs:
        return []
    probabilities = np.stack([output["probabilities"] for output in outputs])
    found = answers(probabilities, depth.taxonomy, depth.value, depth.within)
    return [{"label": answer.taxon, **asdict(answer)} for answer in found]


def _refuse_other_answers(depth: Depth | None, arguments) -> None:
    if arguments.reject_at:
        raise InputError(
            "--add answers by the nearest centroid, which --reject-at knows nothing of"
        )
    if depth:
        raise InputError(
            "--add answers by the nearest centroid, which knows no taxa: leave it out, or "
            "--target-accuracy, --threshold and --within"
        )


def _extended(reference: Reference, network, records, arguments) -> Reference:
    """The reference with the classes that --add names."""
    for text in arguments.add:
        label, _, place = text.partition("=")
        if not label or not place:
            raise InputError(f"--add {text}: expected CLASS=INPUT, a picture, a folder or a table")
        if label in reference.labels:
            raise InputError(
                f"--add {label}: the run knows that class already: choose another name"
            )
        asked = read_asked([place], records)
        if asked.broken:
            raise InputError(f"--add {label}: {asked.broken[0]}")
        vectors = [output["embedding"] for output in outputs_for(network, records, asked)]
        reference = reference.with_class(label, np.stack(vectors), asked.names)
    return reference


def _by_centroid(reference: Reference, name: str, embedding: np.ndarray, top: int) -> dict:
    """The class whose centroid is nearest to one embedding, and the next ones."""
    classes, distances = reference.centroid_distances(embedding[None])
    best = np.argsort(distances[0], kind="stable")[:top]
    return {
        "input": name,
        "label": classes[best[0]],
        "top": [
            {"label": classes[index], "distance": float(distances[0, index])} for index in best
        ],
    }


def _print(found: list[dict]) -> None:
    for answer in found:
        scores = ", ".join(
            f"{entry['label']} "
            + (
                percent(entry["probability"])
                if "probability" in entry
                else f"{entry['distance']:.3f}"
            )
            for entry in answer["top"]
        )
        print(f"{answer['input']}: {_answered(answer)} ({scores})")
        if answer["nearest"]:
            near = ", ".join(
                f"{one['key']} ({one['label']}, {one['distance']:.3f})" for one in answer["nearest"]
            )
            print(f"  most like {near}")
        if "explanation" in answer:
            print(explained(answer["explanation"]))


def explained(explanation: dict) -> str:
    """Where an explanation lies, and how much each part of the input weighed."""
    shares = explanation.get("shares", {})
    weighed = ", ".join(f"{name} {percent(share)}" for name, share in shares.items())
    return f"  explained in {explanation['file']}" + (f" ({weighed})" if len(shares) > 1 else "")


def _answered(answer: dict) -> str:
    """The label, or the taxon with its rank, how sure it is and why it is no deeper."""
    if "taxon" not in answer:
        return answer["label"]
    path = " > ".join(f"{step['taxon']} {step['probability']:.2f}" for step in answer["path"])
    return (
        f"{answer['rank']} {answer['taxon']}, {percent(answer['probability'])}; "
        f"{answer['reason']}; {path}"
    )
