"""What TripletClassifier learns from: specimens, their kinship, and what chance does to them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from datasets import load_table
from datasets.augmentation import PictureAugmentation
from datasets.base import Table
from datasets.class_distances import from_taxonomy, read_class_distances
from datasets.column_roles import Roles, ranks_above_label
from datasets.errors import InputError
from datasets.images import Fit
from datasets.synthetic import snails
from training.margins import margin_matrix


def load_specimens(options, name, data_dir, strict: bool, columns=None) -> Table:
    """The table of a data set with the measurements that the options name.

    Args:
        options: TripletClassifierOptions.
        name: one of `datasets.DATASETS`.
        data_dir: where the user's data lie; None for a synthetic set.
        strict: refuse what only judging can do with.
        columns: those of a trained run, whose order and codes then count.
    """
    if name == "specimens":
        roles = Roles(options.label, options.measurements, options.ranks, options.group)
        return load_table(
            name, data_dir, ("image", "measurements"), strict, roles=roles, columns=columns
        )
    table = load_table(name, data_dir, ("image", "measurements"), strict)
    return with_measurements(table, options.measurements)


def with_measurements(table: Table, wanted: str | None) -> Table:
    """A table with the measurements of these names only, in this order.

    Args:
        table: with the modality `measurements`, or without it if none are wanted.
        wanted: names separated by commas; `shell` for those of the synthetic shells; `none`; None
            for all.

    Raises:
        InputError: the table has no column of that name.
    """
    if wanted == "none" or (wanted in (None, "all") and table.columns):
        return table
    names = list(snails.SHELL_MEASUREMENTS) if wanted == "shell" else (wanted or "all").split(",")
    have = [column.name for column in table.columns]
    for name in names:
        if name.strip() not in have:
            known = ", ".join(have) or "none"
            raise InputError(
                f"--measurements: {table.name} has no '{name.strip()}'; it has {known}"
            )
    places = [have.index(name.strip()) for name in names]
    values = np.ascontiguousarray(table.modalities["measurements"][:, places])
    return replace(
        table,
        modalities=table.modalities | {"measurements": values},
        columns=tuple(table.columns[place] for place in places),
    )


def class_margins(table: Table, options) -> tuple[np.ndarray, str]:
    """Margin of every pair of classes, (classes, classes), and a line that says where it is from.

    Raises:
        InputError: the dynamic margin has no distances to go by.
    """
    classes = len(table.labels)
    if options.triplet == "fixed":
        return margin_matrix(classes, options.margin), f"Triplet loss with margin {options.margin}."
    if options.distances:
        distances = read_class_distances(options.distances, table.labels)
        source = Path(options.distances).name
    elif options.data == "snails":
        kin = snails.kinship()
        order = [kin.names.index(label) for label in table.labels]
        distances, source = kin.ages[np.ix_(order, order)], "the tree of the synthetic snails"
    else:
        distances, source = _by_taxonomy(table, options.ranks)
    return (
        margin_matrix(distances, options.margin),
        f"Triplet loss with margins by kinship, from {source}; their mean is {options.margin}.",
    )


def _by_taxonomy(table: Table, named: str | None) -> tuple[np.ndarray, str]:
    above = ranks_above_label(table.frame, named)
    if not above:
        raise InputError(
            f"--triplet dynamic: {table.name} says nothing of kinship: give --distances FILE, or a "
            "column such as genus by --ranks, or take --triplet fixed"
        )
    distances = from_taxonomy(table.frame, table.labels, above)
    return distances, f"the columns {', '.join(above)}"


def augmentation(options, fit: Fit, pixels: Callable) -> PictureAugmentation | None:
    """What chance does to a picture of a specimen; it is mirrored only where that is allowed.

    Args:
        options: of TripletClassifier.
        fit: how the network sees pictures.
        pixels: () -> mean and standard deviation of each colour, 0 to 255.
    """
    if options.augmentation == "none":
        return None
    if options.augmentation == "paper":
        noise = options.noise * float(np.mean(pixels()[1])) / 255
        return PictureAugmentation(fit, quarter_turns=True, noise=noise, flip=options.flip)
    cut = PictureAugmentation(fit, area=(0.6, 1), aspect=(4 / 5, 5 / 4), flip=options.flip)
    if options.augmentation == "randaugment":
        return replace(cut, rand_augment=2)
    turns = options.augmentation == "turned"
    return replace(cut, turn=15, brightness=0.2, contrast=0.2, quarter_turns=turns)
