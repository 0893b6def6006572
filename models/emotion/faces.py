"""What the three emotion models share: their options, their data and their class weights."""

from __future__ import annotations

from dataclasses import dataclass

import keras
import numpy as np

from datasets import load_table
from datasets.augmentation import PictureAugmentation
from datasets.face_augmentation import FaceAugmentation
from datasets.fer2013 import SIDE
from datasets.images import Fit
from models.options import Options, option
from training.losses import SmoothedCrossEntropy, class_weights
from training.phases import Phase
from training.schedules import drop_at, schedule

FACE = SIDE  # pixels
JITTER = 0.5  # pixels, of landmarks; dlib reads whole ones
AVERAGED = 0.05  # share of the steps that averaged weights go back
CLASS_WEIGHTS = ("all", "train", "none")

PUBLISHED = {  # paper 004, sections 5.3.3 and 5.3.4
    "drop": lambda: drop_at(epoch=10, factor=0.2),
    "plateau": lambda: keras.callbacks.ReduceLROnPlateau(
        monitor="val_loss", factor=0.2, patience=5
    ),
}


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
    learning_rate: float | None = option(
        "learning rate of Adam, at first or at the most", above=0.0
    )
    schedule: str | None = option(
        "of the learning rate: drop, to a fifth after ten epochs; plateau, to a fifth where the "
        "validation loss has not fallen for five epochs; cosine, down to nothing, after a warm-up; "
        "constant",
        choices=(*PUBLISHED, "cosine", "constant"),
    )
    label_smoothing: float | None = option(
        "share of every label that is spread over all classes", minimum=0.0, maximum=0.9
    )
    averaged: bool | None = option(
        "answer by weights averaged over the last epochs, not by those of the last step"
    )


def load_faces(options: FaceOptions, modalities: tuple[str, ...]):
    """The table that the options name, with these modalities."""
    return load_table(options.data, options.data_dir, modalities)


def how_faces_are_learnt(options: FaceOptions) -> dict:
    """What the options say of a phase beside its name, optimizer and samples."""
    smoothing = options.label_smoothing
    return {
        "epochs": options.epochs,
        "batch_size": options.batch_size,
        "loss": SmoothedCrossEntropy(smoothing) if smoothing else Phase.loss,
        "callbacks": _schedule(options),
    }


def _schedule(options: FaceOptions) -> tuple:
    if options.schedule in PUBLISHED:
        return (PUBLISHED[options.schedule](),)
    return schedule(options.schedule, options.learning_rate, options.epochs, None)


def changed_faces(fit: Fit | None = None) -> FaceAugmentation:
    """What chance does to training faces.

    Args:
        fit: of their pictures, where there are any.
    """
    picture = fit and PictureAugmentation(
        fit, area=(0.7, 1), aspect=(0.85, 1 / 0.85), turn=12, brightness=0.2, contrast=0.3,
        erase=0.5,
    )  # fmt: skip
    return FaceAugmentation(FACE, picture, JITTER)


def averaging(options: FaceOptions, faces: int) -> dict:
    """What the options say of an optimizer beside its rate.

    Args:
        options: of a model.
        faces: of the training part.
    """
    steps = options.epochs * -(-faces // options.batch_size)
    return {"use_ema": options.averaged, "ema_momentum": 1 - 1 / max(2.0, AVERAGED * steps)}


def sample_weights(table, splits, options: FaceOptions) -> np.ndarray:
    """(training samples,) weight of each training sample: that of its class."""
    targets = table.targets[splits.train]
    if options.class_weights == "none":
        return np.ones(len(targets))
    rows = slice(None) if options.class_weights == "all" else splits.train
    counted = table.frame["label"].iloc[rows].value_counts()
    return class_weights({label: int(counted[label]) for label in table.labels})[targets]
