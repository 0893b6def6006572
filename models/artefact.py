"""Writing and checking a saved run: `OUT/MODEL/RUN/`, whole or not at all. Knows no model."""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pandas as pd

from datasets.base import OWN_COLUMNS, Splits, Table
from datasets.errors import InputError
from datasets.taxonomy import Taxonomy
from models.about import About
from models.cards import render
from models.drafts import DEVICES, REFIT, release
from models.explanation.means import FILE as MEANS
from models.explanation.means import Means
from models.explanation.mistakes import ExplainedMistakes
from models.inputs import inputs_to_json
from models.nearest import write_reference
from models.run_certainty import certainty, rejection_lines
from models.run_report import write_report
from models.runs import PREDICTIONS, draft_run, read_json, write_json
from models.savedmodel import LABELS, NETWORK, write_savedmodel
from models.species.run_specificity import KEPT, TAXONOMY, RunSpecificity
from training.baselines import Comparison
from training.calibration import Calibration
from training.callbacks import HISTORY, STATE
from training.evaluation import Result, accuracy_by_value

EXAMPLES = 256
EXAMPLE_BYTES = 2**27  # before they are compressed; a minute of sound has ten million
SHOWN_CLASSES = 100  # names in the card; of more it gives the number
LIBRARIES = ("tensorflow", "keras", "numpy", "pandas", "scikit-learn")
SEALED = (
    NETWORK, "savedmodel", "config.json", "inputs.json", LABELS, "split.json",
    "calibration.json", "reference.npz", MEANS, TAXONOMY, KEPT,
)  # fmt: skip


@dataclass(frozen=True)
class Run:
    """All that a finished training leaves behind.

    Attributes:
        model: name of the model.
        network: raw-input `keras.Model`.
        inputs: records of its raw inputs.
        options: the resolved options, as plain values.
        command: the command line that repeats the training.
        table, splits: the samples and which part each was in.
        results: part -> what the network did on it.
        probabilities: part -> (samples, classes), in the order of the split.
        embeddings: (training samples, width), in the order of the split.
        calibration: fitted to the validation part.
        other_probabilities: (samples, classes) of samples of no class; None without such samples.
        modality_drop: modality -> test accuracy lost when it is shuffled.
        baselines: simple classifiers on the same split.
        mistakes: explains those that it has made.
        notes: lines to stand in card and report, such as which branches were used.
        started: when the training began.
        taxonomy: whose leaves the classes are; None where they are none.
        trained_on: parts that the network has learnt from.
        groups: task -> groups of artists (`datasets.artist_groups`) that it has learnt.
        about: what holds for all runs of its family.
        means: what explanations measure contributions against.
    """

    model: str
    network: object
    inputs: tuple
    options: dict
    command: str
    table: Table
    splits: Splits
    results: dict[str, Result]
    probabilities: dict[str, np.ndarray]
    embeddings: np.ndarray
    calibration: Calibration
    other_probabilities: np.ndarray | None
    modality_drop: dict[str, float]
    baselines: Comparison
    notes: tuple[str, ...]
    mistakes: ExplainedMistakes
    started: datetime
    taxonomy: Taxonomy | None = None
    trained_on: tuple[str, ...] = ("train",)
    groups: dict = field(default_factory=dict)
    about: About | None = None
    means: Means = field(default_factory=lambda: Means({}))

    @cached_property
    def specificity(self) -> RunSpecificity | None:
        """How deep it answers; None without a taxonomy."""
        return None if self.taxonomy is None else RunSpecificity.of(self)


def write_run(draft: Path, run: Run) -> Path:
    """Complete a draft and rename it into place."""
    run.network.save(draft / NETWORK)
    write_json(draft / LABELS, list(run.table.labels))
    write_savedmodel(draft, run.network, run.table.labels)
    write_json(draft / "inputs.json", inputs_to_json(run.inputs))
    write_json(draft / "split.json", _split_record(run))
    write_json(draft / "calibration.json", run.calibration.to_json())
    write_json(draft / "metrics.json", _metrics(run))
    if run.specificity:
        run.specificity.write(draft)
    _write_predictions(draft / PREDICTIONS, run)
    _write_examples(draft / "examples.npz", run)
    write_reference(draft, run)
    run.means.write(draft)
    metadata = _metadata(draft, run)
    write_json(draft / "metadata.json", metadata)
    (draft / "README.md").write_text(_card(run, metadata))
    write_report(draft / "reports", run, metadata, read_history(draft))
    # Last, so that an interruption up to here loses no training.
    for old in (*draft.glob("*.weights.h5"), draft / STATE, draft / DEVICES):
        old.unlink(missing_ok=True)
    shutil.rmtree(draft / REFIT, ignore_errors=True)
    release(draft)
    folder = draft.parent / draft_run(draft)
    os.rename(draft, folder)
    return folder


def _write_examples(path: Path, run: Run) -> None:
    """Raw test samples with their labels, so that the run can be tried without its data."""
    rows = run.splits[run.splits.parts()[-1]][:EXAMPLES]
    heard = run.table.modalities.get("waveform")  # all others are of one size
    largest = 0 if heard is None else int(heard.spectrograms.counts[rows].argmax())
    each = sum(array.nbytes for array in _raw(run, rows[[largest]]).values())
    rows = rows[: max(1, EXAMPLE_BYTES // each)]
    labels = run.table.frame["label"].to_numpy()[rows].astype(str)
    np.savez_compressed(path, true_label=labels, **_raw(run, rows))


def _raw(run: Run, rows: np.ndarray) -> dict[str, np.ndarray]:
    return {
        record.name: record.examples(run.table.modalities[record.name][rows])
        for record in run.inputs
    }


def _write_predictions(path: Path, run: Run) -> None:
    """The answer to every sample that was not trained on, in the order of the split."""
    names, frames = np.array(run.table.labels, object), []
    for part in [part for part in run.splits.parts() if part != "train"]:
        samples = run.table.frame[["key", "label"]].iloc[run.splits[part]]
        probabilities = run.probabilities[part]
        frames.append(
            samples.assign(
                answer=names[probabilities.argmax(axis=1)],
                confidence=run.calibration.confidences(probabilities),
                part=part,
            )
        )
    columns = ["key", "part", "label", "answer", "confidence"]
    pd.concat(frames)[columns].to_csv(path, index=False, float_format="%.6f")


def _split_record(run: Run) -> dict:
    frame = run.table.frame
    parts = {
        part: {
            "keys": frame["key"].iloc[run.splits[part]].tolist(),
            "digests": frame["digest"].iloc[run.splits[part]].tolist(),
        }
        for part in run.splits.parts()
    }
    trained_on = list(run.trained_on)
    return {"fingerprint": run.splits.fingerprint(run.table), "trained_on": trained_on, **parts}


def _metrics(run: Run) -> dict:
    metrics = {part: result.to_json() for part, result in run.results.items()}
    metrics |= certainty(run)
    if run.specificity:
        metrics |= run.specificity.to_json()
    if run.modality_drop:
        metrics["modality_drop"] = run.modality_drop
    metrics["baselines"] = run.baselines.to_json()
    return metrics


def _metadata(draft: Path, run: Run) -> dict:
    finished, devices = datetime.now(UTC), read_json(draft, DEVICES)
    backends = {one["backend"] for one in devices}
    return {
        "model": run.model,
        "run": draft_run(draft),
        "data": run.table.name,
        "provenance": run.table.provenance,
        "synthetic": run.table.synthetic,
        "seed": run.options["seed"],
        "preset": run.options["preset"],
        "parameters": int(run.network.count_params()),
        "devices": devices,
        "split": run.splits.fingerprint(run.table),
        "command": run.command,
        "notes": list(run.notes),
        "started": run.started.isoformat(timespec="seconds"),
        "finished": finished.isoformat(timespec="seconds"),
        "seconds": round((finished - run.started).total_seconds(), 1),
        "versions": {"python": platform.python_version()}
        | {library: version(library) for library in sorted({*LIBRARIES, *backends})},
        "files": {
            path.relative_to(draft).as_posix(): _sha256(path) for path in _sealed_files(draft)
        },
    }


def _card(run: Run, metadata: dict) -> str:
    return render(
        "card.md.j2",
        run=run,
        metadata=metadata,
        sizes=run.splits.sizes(),
        judged=run.splits.parts()[-1],
        groups=_by_group(run),
        certainty=rejection_lines(run),
        specificity=run.specificity.lines() if run.specificity else [],
        shown=SHOWN_CLASSES,
    )


def _by_group(run: Run) -> dict[str, dict]:
    """Accuracy by the groups that the table's further columns name, of the part judged last."""
    part = run.splits.parts()[-1]
    rows = run.splits[part]
    frame = run.table.frame.iloc[rows]
    own = {*OWN_COLUMNS, *run.table.ranks, *(column.name for column in run.table.columns)}
    own |= {name for name in frame if (frame[name] == frame["label"]).all()}
    frame = frame.drop(columns=own, errors="ignore")
    hits = run.probabilities[part].argmax(axis=1) == run.table.targets[rows]
    return accuracy_by_value(frame, hits)


def verify_run(folder: Path, model: str | None = None) -> None:
    """Make sure that a run is whole and unchanged.

    Raises:
        InputError: a file is missing or differs from what was written, or it is another model's.
    """
    metadata = read_json(folder, "metadata.json")
    if model is not None and metadata["model"] != model:
        raise InputError(f"{folder} is a run of {metadata['model']}, not of {model}")
    for name, expected in metadata["files"].items():
        path = Path(folder, name)
        if not path.is_file() or _sha256(path) != expected:
            state = "damaged" if path.exists() else "missing"
            raise InputError(
                f"{path} is {state}: restore it from a copy, or repeat the run with: "
                f"{metadata['command']}"
            )


def load_network(folder: Path):
    """The network of a run, without its preprocessing.

    Raises:
        InputError: it was written by another version of the zoo or of Keras.
    """
    import keras

    try:
        return keras.models.load_model(folder / NETWORK).get_layer("network")
    except (TypeError, ValueError, KeyError) as error:
        versions = read_json(folder, "metadata.json")["versions"]
        first = str(error).strip().split("\n")[0][:200]
        raise InputError(
            f"{folder / NETWORK} was written with Keras {versions['keras']} by a version of the "
            f"zoo whose layers were others ({first}): use its SavedModel, or train it again"
        ) from error


def load_savedmodel(folder: Path):
    """The SavedModel of a run, ready to `serve`.

    Raises:
        InputError: it cannot be loaded.
    """
    import tensorflow as tf

    try:
        return tf.saved_model.load(str(folder / "savedmodel"))
    except (OSError, ValueError, tf.errors.OpError) as error:
        raise InputError(
            f"{folder / 'savedmodel'} cannot be loaded ({error}): restore it from a copy"
        ) from None


def read_history(folder: Path) -> pd.DataFrame:
    """One row per epoch; see `training.callbacks.History` for the columns."""
    return pd.read_csv(Path(folder, HISTORY))


def _sealed_files(draft: Path) -> list[Path]:
    files = []
    for name in SEALED:
        place = draft / name
        files += sorted(place.rglob("*")) if place.is_dir() else [place]
    return [path for path in files if path.is_file()]


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
