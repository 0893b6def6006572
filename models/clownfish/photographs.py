"""What the models of photographs share: options, data, pixel statistics and schedules."""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt

import keras
import numpy as np

from datasets import load_table
from datasets.augmentation import PictureAugmentation
from datasets.base import Division, Table
from datasets.clownfish import CAPS, Choice, build
from datasets.images import Fit, fit_images
from models.options import Options, option
from training.schedules import cosine, drop_every

PAPER_STATISTICS = Fit(224, 224, 3, 1.0)


@dataclass(frozen=True)
class PhotographOptions(Options):
    """Options of every model that tells species apart in photographs."""

    REAL_DATA = "folders"
    DEMONSTRATION = "reef"
    SYNTHETIC_DEFAULTS = {"species": "4"}

    species: str | None = option(
        "what is learnt: the N most represented species, or names separated by commas; all by "
        "default, and 4 of the 6 of the demonstration set"
    )
    other: bool = option("learn the remaining species together as one more class, 'other'", False)
    other_limit: int = option("largest number of pictures of 'other'", 390, minimum=3)
    other_validation: float | None = option(
        "share of the pictures of 'other' in the validation part", above=0.0, maximum=0.9
    )
    cap: str | None = option(
        "most training pictures of a species: text, twice those of the least represented; table, "
        "1.5 times all pictures of the least represented, as in the paper's table 1; none",
        choices=CAPS,
    )
    exclude: str | None = option("CSV with the columns file and reason: pictures to leave out")
    augmentation: str | None = option(
        "paper: crops of half the area or more, mirrored; strong: smaller crops, turned and "
        "recoloured too; none",
        choices=("paper", "strong", "none"),
    )
    schedule: str | None = option(
        "step: a tenth of the rate every 7 epochs; cosine: down to nothing, after a warm-up",
        choices=("step", "cosine"),
    )
    patience: int | None = option(
        "epochs without a lower validation loss after which training stops; the best epoch counts",
        minimum=1,
    )
    learning_rate: float | None = option("initial learning rate", above=0.0)


def load_photographs(options: PhotographOptions) -> Table:
    return load_table(options.data, options.data_dir, ("image",))


def divide(table: Table, options: PhotographOptions) -> Division:
    """What is learnt of a table, and its parts."""
    choice = Choice(
        species=options.species,
        other=options.other,
        other_limit=options.other_limit,
        other_validation=options.other_validation,
        cap=options.cap,
        exclude=options.exclude,
    )
    return build(table, choice, options.split_rule, options.seed)


def pixel_statistics(table: Table, splits, fit: Fit, paper: bool) -> tuple[list, list]:
    """Mean and standard deviation of each colour, 0 to 255, of the training pictures.

    Args:
        table: the samples.
        splits: its parts.
        fit: how the network sees them.
        paper: take validation pictures too, cut to a square of 224 pixels, and the mean of each
            picture's own deviation, as the authors' code does.
    """
    rows = splits.train
    if paper:
        rows, fit = np.concatenate([splits.train, splits.validation]), PAPER_STATISTICS
    count, total, squares, deviations = 0, np.zeros(3), np.zeros(3), np.zeros(3)
    for row in rows:
        pixels = fit_images([table.modalities["image"][row]], fit).reshape(-1, 3).astype(float)
        count += len(pixels)
        total += pixels.sum(axis=0)
        squares += (pixels**2).sum(axis=0)
        deviations += pixels.std(axis=0)
    mean = total / count
    deviation = deviations / len(rows) if paper else np.sqrt(squares / count - mean**2)
    return mean.tolist(), np.maximum(deviation, 1.0).tolist()


def augmentation(options: PhotographOptions, fit: Fit) -> PictureAugmentation | None:
    """What chance does to a training picture; fish swim to the left and to the right."""
    if options.augmentation == "none":
        return None
    if options.augmentation == "paper":
        return PictureAugmentation(fit, area=(0.5, 1), aspect=(3 / 4, 4 / 3), flip=True)
    return PictureAugmentation(
        fit, area=(0.25, 1), aspect=(3 / 4, 4 / 3), flip=True, turn=15,
        brightness=0.3, contrast=0.3, saturation=0.3,
    )  # fmt: skip


def schedule(options: PhotographOptions, rate: float, epochs: int) -> tuple:
    """Callbacks for the learning rate and the end of a phase."""
    callbacks = [
        drop_every(7, 0.1, rate) if options.schedule == "step" else cosine(rate, epochs),
    ]
    if options.patience:
        callbacks.append(
            keras.callbacks.EarlyStopping(monitor="val_loss", patience=options.patience)
        )
    return tuple(callbacks)


def torch_start(fan_in: int) -> dict:
    """Initial weights as PyTorch draws them: evenly within 1/sqrt(fan in), bias as well."""
    bound = 1 / sqrt(fan_in)
    return {
        "kernel_initializer": keras.initializers.RandomUniform(-bound, bound),
        "bias_initializer": keras.initializers.RandomUniform(-bound, bound),
    }
