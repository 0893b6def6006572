"""What the three emotion models share: their options, their data and their class weights."""

from __future__ import annotations

from dataclasses import dataclass, replace

import keras
import numpy as np

from datasets import load_table
from datasets.augmentation import PictureAugmentation
from datasets.base import Table
from datasets.errors import InputError
from datasets.face_augmentation import FaceAugmentation, LandmarkAugmentation
from datasets.fer2013 import SIDE
from datasets.fer_plus import SHARES, VOTES, by_votes, has_votes
from datasets.images import Fit
from datasets.landmarks import POINTS
from datasets.own_data import LANDMARK_READINGS
from models.inputs import LandmarkInput
from models.options import Options, option
from training.losses import SmoothedCrossEntropy, class_weights
from training.phases import Phase
from training.schedules import drop_at, schedule

FACE = SIDE  # pixels
JITTER = 0.2  # pixels, of landmarks
AVERAGED = 0.05  # share of the steps that averaged weights go back
CLASS_WEIGHTS = ("all", "train", "none")
READ_HERE = ("fer2013", "folders")  # data sets whose landmarks are read from their pictures

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
    votes: bool | None = option(
        "take the votes of FER+ (fer2013new.csv beside the table of faces) for labels, and learn "
        "how they are shared out"
    )
    averaged: bool | None = option(
        "answer by weights averaged over the last epochs, not by those of the last step"
    )


@dataclass(frozen=True)
class LandmarkOptions(FaceOptions):
    """Options of every model that looks at landmarks."""

    landmark_reading: str | None = option(
        "of a user's pictures: picture, in the whole picture and in whole pixels; detected, the "
        "mean of two readings in the box of a face detector, one of them in the mirror image",
        choices=tuple(LANDMARK_READINGS),
    )

    def landmark_input(self) -> LandmarkInput:
        """What a model with these options takes."""
        return LandmarkInput(POINTS, FACE, self.landmark_reading)


def read_faces(model, name: str, data_dir, strict: bool, more: tuple[str, ...] = ()) -> Table:
    """The table of a data set, under the labels that the model learns.

    Args:
        model: NNModel with FaceOptions.
        name, data_dir, strict: see `datasets.load_table`.
        more: modalities beside the inputs of the model.

    Raises:
        InputError: the votes of FER+ are to be learnt, and there are none.
    """
    modalities = (*(one.name for one in model.inputs), *more)
    readings = [one.reading for one in model.inputs if isinstance(one, LandmarkInput)]
    told = {"reading": readings[0]} if readings and name in READ_HERE else {}
    table = load_table(name, data_dir, modalities, strict, **told)
    votes = model.options.votes
    if name != "fer2013":
        if votes and strict:
            raise InputError(f"--votes: {name} has no votes, which belong to FER2013")
        return table
    if votes and (strict or has_votes(data_dir)):
        return by_votes(table, data_dir)
    if strict and has_votes(data_dir):
        told = f"{VOTES} (FER+) lies beside the faces: --votes learns from it"
        return replace(table, notes=(*table.notes, told))
    return table


def how_faces_are_learnt(model) -> dict:
    """What the options of a model say of a phase beside its name, optimizer and samples."""
    options = model.options
    smoothing, votes = options.label_smoothing, options.votes
    return {
        "epochs": options.epochs,
        "batch_size": options.batch_size,
        "loss": SmoothedCrossEntropy(smoothing) if smoothing or votes else Phase.loss,
        "targets": _votes(model) if votes else None,
        "callbacks": _schedule(options),
    }


def _votes(model) -> tuple[np.ndarray, np.ndarray]:
    """How the votes for the faces of the training and the validation part are shared out."""
    shares = model.table.frame[list(SHARES)].to_numpy(np.float32)
    return shares[model.splits.train], shares[model.splits.validation]


def _schedule(options: FaceOptions) -> tuple:
    if options.schedule in PUBLISHED:
        return (PUBLISHED[options.schedule](),)
    return schedule(options.schedule, options.learning_rate, options.epochs, None)


def changed_faces(fit: Fit) -> FaceAugmentation:
    """What chance does to training faces whose pictures are fitted so."""
    picture = PictureAugmentation(
        fit, area=(0.7, 1), aspect=(0.85, 1 / 0.85), turn=12, brightness=0.2, contrast=0.3,
        erase=0.5,
    )  # fmt: skip
    return FaceAugmentation(FACE, picture, JITTER)


def changed_landmarks() -> LandmarkAugmentation:
    """What chance does to the landmarks of training faces."""
    return LandmarkAugmentation(FACE, JITTER)


def averaging(options: FaceOptions, faces: int) -> dict:
    """What the options say of an optimizer beside its rate.

    Args:
        options: of a model.
        faces: of the training part.
    """
    steps = options.epochs * -(-faces // options.batch_size)
    return {"use_ema": options.averaged, "ema_momentum": 1 - 1 / max(2.0, AVERAGED * steps)}


def sample_weights(table, splits, options: FaceOptions, part: str = "train") -> np.ndarray:
    """(samples,) weight of each sample of a part: that of its class."""
    targets = table.targets[splits[part]]
    if options.class_weights == "none":
        return np.ones(len(targets))
    rows = slice(None) if options.class_weights == "all" else splits.train
    counted = table.frame["label"].iloc[rows].value_counts()
    return class_weights({label: int(counted[label]) for label in table.labels})[targets]
