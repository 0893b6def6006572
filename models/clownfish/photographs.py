"""What the models of photographs share: options, data, pixel statistics and schedules."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import sqrt

import keras
import numpy as np

from datasets.augmentation import PictureAugmentation
from datasets.base import Division, Splits, Table
from datasets.clownfish import CAPS, Choice, build
from datasets.folds import grouped
from datasets.images import Fit
from models.clownfish.four_views import by_four_views
from models.options import ScheduleOptions, mixup_option, option
from models.pixels import pixel_statistics

PAPER_STATISTICS = Fit(224, 224, 3, 1.0)


@dataclass(frozen=True)
class PhotographOptions(ScheduleOptions):
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
        "recoloured too; randaugment: smaller crops, mirrored, and two changes of many; none",
        choices=("paper", "strong", "randaugment", "none"),
    )
    mixup: float | None = mixup_option()
    four_views: bool | None = option(
        "an answer is the mean of those to a picture, to its enlarged centre and to the mirror "
        "images of both (test-time augmentation), and takes four times as long"
    )


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
    table = grouped(table, options.group)
    return build(table, choice, options.split_rule, options.seed, options.tested_fold())


def finished(model, network: keras.Model) -> keras.Model:
    """A trained network by one view of each picture, or by four; a method of both models."""
    return by_four_views(network) if model.options.four_views else network


def statistics(table: Table, splits: Splits, fit: Fit, paper: bool) -> tuple[list, list]:
    """Mean and deviation of each colour of the training pictures.

    Args:
        table: the samples.
        splits: its parts.
        fit: how the network sees them.
        paper: as the authors' code has it: validation pictures too, cut to a square of 224 pixels.
    """
    images = table.modalities["image"]
    if not paper:
        return pixel_statistics(images[splits.train], fit)
    rows = np.concatenate([splits.train, splits.validation])
    return pixel_statistics(images[rows], PAPER_STATISTICS, by_picture=True)


def augmentation(options: PhotographOptions, fit: Fit) -> PictureAugmentation | None:
    """What chance does to a training picture; fish swim to the left and to the right."""
    if options.augmentation == "none":
        return None
    if options.augmentation == "paper":
        return PictureAugmentation(fit, area=(0.5, 1), aspect=(3 / 4, 4 / 3), flip=True)
    cut = PictureAugmentation(fit, area=(0.25, 1), aspect=(3 / 4, 4 / 3), flip=True)
    if options.augmentation == "randaugment":
        return replace(cut, rand_augment=2)
    return replace(cut, turn=15, brightness=0.3, contrast=0.3, saturation=0.3)


def torch_start(fan_in: int) -> dict:
    """Initial weights as PyTorch draws them: evenly within 1/sqrt(fan in), bias as well."""
    bound = 1 / sqrt(fan_in)
    return {
        "kernel_initializer": keras.initializers.RandomUniform(-bound, bound),
        "bias_initializer": keras.initializers.RandomUniform(-bound, bound),
    }
