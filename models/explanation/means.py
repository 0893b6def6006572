"""What contributions are measured against: means of the training part, kept with a run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from datasets.errors import InputError
from models.explanation.vectors import encoder_of

FILE = "means.npz"
FEATURES, LANDMARKS, MEASUREMENTS = "features", "landmarks", "measurements"
EXAMPLES = 64  # of a run that was saved before means were kept


@dataclass(frozen=True)
class Means:
    """Means of samples, all of them and class by class.

    Attributes:
        arrays: `features` (width,), what the modalities hand over; `landmarks` and `measurements`
            (1 + classes, ...), the mean of all samples, then of each class, NaN where it has none;
            measurements as they are encoded. Each only where the model has such.
        of: whose means they are, in words.
    """

    arrays: dict[str, np.ndarray]
    of: str = "the training specimens"

    def write(self, folder: Path) -> None:
        """Write them into the folder of a run; nothing where there are none."""
        if self.arrays:
            np.savez_compressed(folder / FILE, **self.arrays)

    def all(self, name: str) -> np.ndarray:
        """The mean of all samples."""
        return self.arrays[name] if name == FEATURES else self.arrays[name][0]

    def of_class(self, name: str, target: int) -> np.ndarray | None:
        """The mean of one class; None where it has no sample."""
        found = self.arrays[name][1 + target]
        return None if np.isnan(found).any() else found


def training_means(model, outputs: dict) -> Means:
    """The means that explanations of a trained model need.

    Args:
        model: NNModel, trained.
        outputs: of its training part.
    """
    rows = model.splits.train
    stored = {record.name: model.table.modalities[record.name][rows] for record in model.inputs}
    return _means(model, stored, outputs, model.table.targets[rows])


def means_of(model, folder: Path) -> Means:
    """The means that lie in a run, or where it is too old to hold any, those of its examples.

    Args:
        model: NNModel, loaded.
        folder: of its run.

    Raises:
        InputError: the file is damaged.
    """
    try:
        with np.load(folder / FILE) as kept:
            return Means(dict(kept))
    except FileNotFoundError:
        return _of_examples(model, folder)
    except (OSError, ValueError) as error:
        raise InputError(f"{folder / FILE} cannot be read ({error}): restore it") from None


def _of_examples(model, folder: Path) -> Means:
    names = [record.name for record in model.inputs]
    if not {LANDMARKS, MEASUREMENTS} & set(names) and not model.anatomy.parts:
        return Means({})
    with np.load(folder / "examples.npz") as kept:
        raw = {name: kept[name][:EXAMPLES] for name in names}
        labels = kept["true_label"][:EXAMPLES].tolist()
    outputs = model.predict(raw) if model.anatomy.parts else {}
    targets = np.array([model.labels.index(label) for label in labels])
    of = f"the {len(targets)} examples in the run, which was saved before training means were kept"
    return Means(_means(model, raw, outputs, targets).arrays, of)


def _means(model, stored: dict, outputs: dict, targets: np.ndarray) -> Means:
    arrays = {}
    if model.anatomy.parts:
        arrays[FEATURES] = outputs[FEATURES].mean(axis=0)
    if LANDMARKS in stored:
        arrays[LANDMARKS] = _by_class(np.asarray(stored[LANDMARKS]), targets, len(model.labels))
    if MEASUREMENTS in stored:
        encoder = encoder_of(model.model)
        encoded = np.asarray(encoder(np.asarray(stored[MEASUREMENTS], np.float32)))
        arrays[MEASUREMENTS] = _by_class(encoded, targets, len(model.labels))
    return Means(arrays)


def _by_class(values: np.ndarray, targets: np.ndarray, classes: int) -> np.ndarray:
    """(1 + classes, ...): the mean of all, then of each class."""
    found = np.full((1 + classes, *values.shape[1:]), np.nan, np.float32)
    found[0] = values.mean(axis=0)
    for target in np.unique(targets):
        found[1 + target] = values[targets == target].mean(axis=0)
    return found
