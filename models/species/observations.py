"""What MultiViewClassifier learns from: observations of species, and what chance does to them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from datasets.augmentation import PictureAugmentation
from datasets.base import Division, Table
from datasets.clownfish import without_copies
from datasets.errors import InputError
from datasets.folds import grouped
from datasets.images import Fit
from datasets.observations import only_jpeg
from datasets.splits import split_table


def divide(table: Table, options) -> Division:
    """The species with enough pictures, without copies, in parts that keep look-alikes together."""
    table = only_jpeg(table) if options.jpeg_only else table
    table = without_copies(grouped(table, options.group))
    table = without_rare(table, options.least_pictures)
    splits = split_table(table, options.split_rule, options.seed, options.tested_fold())
    return Division(table, splits)


def augmentation(options, fit: Fit) -> PictureAugmentation | None:
    """What chance does to a training picture, before its views are taken."""
    if options.augmentation == "none":
        return None
    if options.augmentation == "paper":
        return PictureAugmentation(
            fit, area=(0.05, 1), aspect=(3 / 4, 4 / 3), flip=True,
            shift=32 / 255, contrast=0.5, saturation=0.5, hue=0.2,
        )  # fmt: skip
    cut = PictureAugmentation(fit, area=(0.35, 1), aspect=(3 / 4, 4 / 3), flip=True)
    if options.augmentation == "randaugment":
        return replace(cut, rand_augment=2)
    return replace(cut, turn=15, brightness=0.3, contrast=0.3, saturation=0.3)


def without_rare(table: Table, least: int) -> Table:
    """The table without species of fewer pictures (paper 001, section 4: fewer than five).

    Raises:
        InputError: fewer than two species are left.
    """
    counts = table.counts()
    kept = tuple(label for label, count in counts.items() if count >= least)
    if len(kept) == len(counts):
        return table
    if len(kept) < 2:
        raise InputError(
            f"--least-pictures {least}: {table.name} has {len(kept)} species with as many; take a "
            "smaller number"
        )
    rows = np.flatnonzero(table.frame["label"].isin(kept))
    gone = len(table) - len(rows)
    line = (
        f"{len(counts) - len(kept):,} species with fewer than {least} pictures ({gone:,} pictures)"
    )
    return replace(table.take(rows), labels=kept, left_out=(*table.left_out, line))
