"""Folds of a cross-validation, and groups of samples that are never split.

Every sample is tested in one fold and trained on in the others, stratified by class. Small classes:
one with fewer samples (or groups) than folds is tested in fewer folds, and of a class that one fold
would test as a whole, the smallest group always trains; a single sample is such a group.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from datasets.base import Splits, Table
from datasets.errors import InputError
from datasets.near_duplicates import duplicate_groups

UNKNOWN, TRAIN = -1, 0  # of a row that no fold tests: its label is no class; it always trains
LISTED = 8


@dataclass(frozen=True)
class Fold:
    """Which of how many folds is the test part.

    Attributes:
        number: from 1 to `of`.
        of: number of folds.
    """

    number: int
    of: int


def grouped(table: Table, column: str | None) -> Table:
    """The table with a column `group` that joins the samples with the same value of a column.

    A sample without a value is a group of its own. Groups that the table has already, such as those
    of look-alikes, are joined with these.

    Args:
        table: the samples.
        column: of its frame; None leaves the table as it is.

    Raises:
        InputError: the table has no such column.
    """
    if column is None:
        return table
    frame = table.frame
    known = [name for name in frame.columns if name not in ("key", "label", "part")]
    if column not in known:
        raise InputError(
            f"--group {column}: {table.name} has no such column to group by; it has "
            f"{', '.join(map(str, known))}"
        )
    groups = pd.factorize(frame[column])[0]
    missing = _without_value(frame[column])
    groups[missing] = len(frame) + np.flatnonzero(missing)
    if column != "group":
        groups = joined_groups(groups, frame.get("group"))
    return replace(table, frame=frame.assign(group=groups))


def joined_groups(groups, others=None) -> np.ndarray:
    """Groups that hold together what either of two groupings does, (rows,) int64.

    Args:
        groups: (rows,) group of each row.
        others: (rows,) its group in another grouping; None for no other.
    """
    if others is None:
        return pd.factorize(np.asarray(groups))[0].astype(np.int64)
    others = pd.factorize(np.asarray(others))[0]
    order = np.argsort(others, kind="stable")
    same = np.flatnonzero(others[order][1:] == others[order][:-1])
    return duplicate_groups(groups, list(zip(order[same], order[same + 1], strict=True)))


def group_notes(table: Table, column: str) -> list[str]:
    """What a report says about samples that were grouped by a column."""
    number = table.frame["group"].nunique()
    line = f"Samples with the same {column} are never split: {number:,} groups"
    lone = int(_without_value(table.frame[column]).sum())
    return [line + (f"; {lone:,} samples have no {column}." if lone else ".")]


def fold_split(
    table: Table, folds: int, fold: int, seed: int, validation: float | dict = 0.1
) -> Splits:
    """Test one fold, train on the others, and cut a validation part out of the training part.

    The folds are those of scikit-learn's `StratifiedKFold`, or `StratifiedGroupKFold` where the
    frame has a column `group`, and depend on the seed alone. The validation part is stratified as
    far as the classes allow: a small class may have no validation sample, but keeps a training
    sample. No group is split.

    Args:
        table: samples; those of unknown labels are in no part.
        folds: number of folds, at least 2.
        fold: which one is tested, from 1.
        seed: of folds and validation part.
        validation: share of the training part, or label -> share of its training samples (0.1
            where it is not named).

    Raises:
        InputError: no fold, or no validation part, can be cut.
    """
    numbers = fold_numbers(table, folds, seed)
    rows = np.flatnonzero((numbers != UNKNOWN) & (numbers != fold))
    rng = np.random.default_rng([seed, 3, fold])  # apart from other draws of the seed
    held = np.isin(rows, _validation_rows(table, rows, validation, rng))
    return Splits(rows[~held], rows[held], np.flatnonzero(numbers == fold))


def fold_numbers(table: Table, folds: int, seed: int) -> np.ndarray:
    """The fold, from 1, that tests each row, (rows,); `TRAIN` or `UNKNOWN` where none does.

    Raises:
        InputError: there are too few samples, or groups, for so many folds.
    """
    targets, units = table.targets, _units(table)
    single = _of_single_unit(targets, units)
    numbers = np.where(targets < 0, UNKNOWN, TRAIN)
    rows = np.flatnonzero((targets >= 0) & ~np.isin(units, single))
    _check_folds(table, folds, targets[rows], units[rows])
    numbers[rows] = _cut(targets[rows], units[rows], folds, seed, "group" in table.frame)
    _let_every_class_train(numbers, targets, units)
    untested = sorted(set(range(1, folds + 1)) - set(numbers.tolist()))
    if untested:
        raise InputError(
            f"--folds {folds}: {table.name} has too few {_kind(table)} to test some in every fold "
            f"(none are left for fold {untested[0]}): take fewer folds"
        )
    return numbers


def fold_notes(table: Table, folds: int, seed: int) -> list[str]:
    """What a report says about classes that are too small for so many folds."""
    numbers, targets, units = fold_numbers(table, folds, seed), table.targets, _units(table)
    fewer, kept = [], []
    for index, label in enumerate(table.labels):
        rows = targets == index
        tested = len(set(numbers[rows & (numbers > 0)].tolist()))
        if rows.any() and tested < folds:
            size = len(np.unique(units[rows]))
            kind = _kind(table) if size > 1 else _kind(table).removesuffix("s")
            fewer.append(f"{label} ({tested} of {folds} folds, {size} {kind})")
        if (numbers[rows] == TRAIN).any():
            kept.append(f"{label} ({(numbers[rows] == TRAIN).sum()})")
    lines = []
    if fewer:
        lines.append(f"Classes that are not tested in every fold: {_some(fewer)}.")
    if kept:
        lines.append(
            "Samples that always train and are never tested, because their class could not be "
            f"learnt without them: {_some(kept)}."
        )
    return lines


def _without_value(values: pd.Series) -> np.ndarray:
    return (values.isna() | (values.astype(str).str.strip() == "")).to_numpy()


def _units(table: Table) -> np.ndarray:
    """What is never split: the group of each row, or the row itself, (rows,) from 0."""
    return pd.factorize(table.frame["group" if "group" in table.frame else "key"])[0]


def _kind(table: Table) -> str:
    return "groups" if "group" in table.frame else "samples"


def _of_single_unit(targets, units) -> np.ndarray:
    """The units that are the only one of a class."""
    pairs = pd.DataFrame({"target": targets, "unit": units})[targets >= 0].drop_duplicates()
    return pairs["unit"][~pairs["target"].duplicated(keep=False)].to_numpy()


def _check_folds(table: Table, folds: int, targets, units) -> None:
    possible = len(np.unique(units))
    largest = int(np.bincount(targets, minlength=1).max())
    if possible < 2:
        raise InputError(
            f"--folds {folds}: no class of {table.name} has two {_kind(table)}, one to train on "
            "and one to test: add samples, or group them by another column"
        )
    if folds > min(possible, largest):
        what = f"{possible} {_kind(table)} can be tested"
        if largest < possible:
            what = f"the largest class has {largest} samples"
        raise InputError(
            f"--folds {folds}: of {table.name} {what}: take --folds {min(possible, largest)} or "
            "fewer"
        )


def _cut(targets, units, folds: int, seed: int, is_grouped: bool) -> np.ndarray:
    """The fold, from 1, of each row."""
    from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

    kind, groups = (StratifiedGroupKFold, units) if is_grouped else (StratifiedKFold, None)
    numbers = np.zeros(len(targets), np.int64)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The least populated class")  # see `fold_notes`
        parts = kind(folds, shuffle=True, random_state=seed).split(targets, targets, groups)
        for number, (_, tested) in enumerate(parts, start=1):
            numbers[tested] = number
    return numbers


def _let_every_class_train(numbers, targets, units) -> None:
    """Let the smallest unit of each class that one fold would test as a whole always train."""
    for index in range(targets.max() + 1):
        rows = targets == index
        found = np.unique(numbers[rows])
        if len(found) == 1 and found[0] != TRAIN:
            candidates = np.unique(units[rows])
            sizes = [(units == unit).sum() for unit in candidates]
            numbers[(units == candidates[np.argmin(sizes)]) & (targets >= 0)] = TRAIN


def _validation_rows(table: Table, rows, validation, rng) -> np.ndarray:
    """The rows of the training part that become its validation part."""
    targets, units = table.targets[rows], pd.factorize(_units(table)[rows])[0]
    classes = _classes_of_units(targets, units)
    owners = np.array([found[0] for found in classes])  # a group is of its first sample's class
    left = np.bincount(np.concatenate(classes), minlength=len(table.labels))
    wanted = _quotas(np.bincount(owners, minlength=len(table.labels)), table, validation, rng)
    chosen = []
    for index, number in enumerate(wanted):
        end = len(chosen) + number
        for unit in rng.permutation(np.flatnonzero(owners == index)):
            if len(chosen) < end and (left[classes[unit]] > 1).all():
                left[classes[unit]] -= 1
                chosen.append(unit)
    if not chosen:
        raise InputError(
            f"{table.name}: no class keeps two {_kind(table)} to train on, so that no validation "
            "part can be cut: take fewer --folds, or add samples"
        )
    return rows[np.isin(units, chosen)]


def _classes_of_units(targets, units) -> list[np.ndarray]:
    """The classes that occur in each unit, in the order of the rows; units count from 0."""
    pairs = pd.DataFrame({"unit": units, "target": targets}).drop_duplicates()
    pairs = pairs.sort_values("unit", kind="stable")
    borders = np.flatnonzero(~pairs["unit"].duplicated())
    return np.split(pairs["target"].to_numpy(), borders[1:])


def _quotas(counts: np.ndarray, table: Table, validation, rng) -> np.ndarray:
    """How many units of each class go to the validation part: its share by largest remainders."""
    if isinstance(validation, dict):
        shares = np.array([validation.get(label, 0.1) for label in table.labels])
    else:
        shares = np.full(len(counts), validation)
    room = np.maximum(counts - 1, 0)
    exact = np.where(room > 0, shares * counts, 0.0)
    taken = np.minimum(np.floor(exact), room).astype(np.int64)
    missing = max(1, round(exact.sum())) - taken.sum()
    shuffled = rng.permutation(len(counts))  # the sort is stable: equal remainders go by chance
    order = shuffled[np.argsort(np.floor(exact)[shuffled] - exact[shuffled], kind="stable")]
    order = order[taken[order] < room[order]]
    taken[order[: max(0, missing)]] += 1
    return taken


def _some(names: list[str]) -> str:
    more = f" and {len(names) - LISTED} more" if len(names) > LISTED else ""
    return ", ".join(names[:LISTED]) + more
