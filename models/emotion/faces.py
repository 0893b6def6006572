"""What the three emotion models share: their options, their data and their class weights."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from datasets import load_table
from datasets.fer2013 import SIDE
from models.options import Options, option
from training.losses import class_weights

FACE = SIDE  # pixels
CLASS_WEIGHTS = ("all", "train", "none")


@dataclass(frozen=True)
class FaceOptions(Options):
    """Options of every model that looks at faces."""

    REAL_DATA = "fer2013"
    DEMONSTRATION = "faces"

    class_weights: str | None = option(
        "largest class count over each class's count, counted on all samples (as the paper did), "
        "on the training part, or not used",
        choices=CLASS_WEIGHTS,
    )
    learning_rate: float | None = option("initial learning rate of Adam", above=0.0)


def load_faces(options: FaceOptions, modalities: tuple[str, ...]):
    """The table that the options name, with these modalities."""
    return load_table(options.data, options.data_dir, modalities)


def sample_weights(table, splits, options: FaceOptions) -> np.ndarray:
    """(training samples,) weight of each training sample: that of its class."""
    targets = table.targets[splits.train]
    if options.class_weights == "none":
        return np.ones(len(targets))
    rows = slice(None) if options.class_weights == "all" else splits.train
    counted = table.frame["label"].iloc[rows].value_counts()
    return class_weights({label: int(counted[label]) for label in table.labels})[targets]
