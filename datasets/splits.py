"""Rules by which the samples of a table are divided into training, validation and test part."""

from __future__ import annotations

import numpy as np
import pandas as pd

from datasets.base import SPLITS, Splits, Table
from datasets.errors import InputError
from datasets.folds import fold_split


def shuffled_split(table: Table, seed: int, validation: float = 0.2, test: float = 0.1) -> Splits:
    """Shuffle once, cut into train, validation and test (paper 004, section 5.2).

    The shuffle is that of `pandas.DataFrame.sample(frac=1, random_state=seed)`, as in the authors'
    code; the shares are rounded and not stratified.

    Raises:
        InputError: a part would be empty.
    """
    total = len(table)
    order = table.frame.sample(frac=1, random_state=seed).index.to_numpy()
    n_validation, n_test = round(validation * total), round(test * total)
    n_train = total - n_validation - n_test
    return _checked(
        Splits(
            order[:n_train],
            order[n_train : n_train + n_validation],
            order[n_train + n_validation :],
        ),
        table,
    )


def given_split(table: Table, seed: int, validation: float = 0.1) -> Splits:
    """The publisher's own parts, also where they come as folders `train`, `val` and `test`.

    Where one of validation and test was not given, the given one is the test part and the
    validation part is a seeded, stratified share of the training part.

    Raises:
        InputError: the table carries no parts, or too few samples to cut a validation part.
    """
    part = table.frame["part"].to_numpy()
    rows = {name: np.flatnonzero(part == name) for name in SPLITS}
    if not len(rows["train"]) or not (len(rows["validation"]) + len(rows["test"])):
        raise InputError(
            f"{table.name} comes without a split of its own (a training and a test part): "
            f"use --split-rule {' or '.join(rule for rule in SPLIT_RULES if rule != 'official')}"
        )
    _refuse_other_classes(table, rows)
    if len(rows["validation"]) and len(rows["test"]):
        return _checked(Splits(**rows), table)
    judged = rows["test"] if len(rows["test"]) else rows["validation"]
    train, held = _stratified_share(rows["train"], table, seed, validation)
    return _checked(Splits(train, held, judged), table)


def _stratified_share(rows, table, seed, share):
    from sklearn.model_selection import train_test_split

    try:
        kept, held = train_test_split(
            rows, test_size=share, random_state=seed, stratify=table.targets[rows]
        )
    except ValueError as error:
        raise InputError(f"{table.name}: no validation part can be cut: {error}") from None
    return np.sort(kept), np.sort(held)


def _refuse_other_classes(table: Table, rows: dict[str, np.ndarray]) -> None:
    labels = table.frame["label"].to_numpy()
    for part in SPLITS[1:]:
        differing = set(labels[rows["train"]]) ^ set(labels[rows[part]])
        if len(rows[part]) and differing:
            odd = sorted(differing)[0]
            inside, outside = ("train", part) if odd in labels[rows["train"]] else (part, "train")
            raise InputError(
                f"{table.name}: the class folders differ: '{odd}' is in the {inside} part and not "
                f"in the {outside} part: name the folders alike, or use --split-rule stratified"
            )


def stratified_split(table: Table, seed: int, validation=0.1, test=0.1) -> Splits:
    """Cut the same share of every class, whole groups together.

    Args:
        table: samples; where its frame has a column `group`, no group is split.
        seed: of the shuffle.
        validation: share of each class, or label -> share.
        test: share of each class; 0 for no test part.

    Raises:
        InputError: a class has too few samples (or groups) for all parts.
    """
    rng = np.random.default_rng(seed)
    parts = {part: [] for part in SPLITS}
    groups = table.frame["group"] if "group" in table.frame else table.frame["key"]
    groups, targets = pd.factorize(groups)[0], table.targets
    kind = "samples"
    advice = "--split-rule random or --folds, where a small class need not be in every part"
    if "group" in table.frame:
        kind, advice = "groups of samples", advice + ", or a --group of more and smaller groups"
    for index, label in enumerate(table.labels):
        share = validation.get(label, 0.1) if isinstance(validation, dict) else validation
        rows = np.flatnonzero(targets == index)
        # A group belongs to the class of its first sample, so that it is cut only once.
        rows = rows[~np.isin(groups[rows], groups[np.flatnonzero(targets < index)])]
        shuffled = rng.permutation(np.unique(groups[rows]))
        wanted = {"validation": share, "test": test}
        needed = 1 + sum(part > 0 for part in wanted.values())
        if len(shuffled) < needed:
            raise InputError(
                f"{table.name}: class '{label}' has {len(shuffled)} different {kind}, and every "
                f"part needs one of it, which makes {needed}: add samples, leave the class out "
                f"with --species, or take {advice}"
            )
        total = len(shuffled)
        for part, quota in wanted.items():
            taken = max(1, round(quota * total)) if quota else 0
            parts[part].append(shuffled[:taken])
            shuffled = shuffled[taken:]
        parts["train"].append(shuffled)
    return _checked(
        Splits(**{p: np.flatnonzero(np.isin(groups, np.concatenate(g))) for p, g in parts.items()}),
        table,
        ("train", "validation", "test")[: 3 if test else 2],
    )


def holdout_split(table: Table, seed: int, validation=0.1) -> Splits:
    """A validation part of each class and no test part (paper 003, section IV b)."""
    return stratified_split(table, seed, validation, test=0.0)


def random_split(table: Table, seed: int, validation: float = 0.1, test: float = 0.1) -> Splits:
    """Cut shares of all samples at random; a class need not be in every part, but trains.

    Paper 001, section 4, trains on 80 % and halves the rest: one half for the threshold, the other
    for what is reported. Of every class one sample, drawn at random, trains whatever else happens:
    a class of one picture is learnt and never tested.

    Args:
        table: samples; those of unknown labels are in no part. Where its frame has a column
            `group`, no group is split, and the shares are met to within a group.
        seed: of the shuffle.
        validation, test: shares of all samples.

    Raises:
        InputError: a part would be empty.
    """
    targets = table.targets
    rows = np.flatnonzero(targets >= 0)
    groups = table.frame["group"].to_numpy()[rows] if "group" in table.frame else rows
    units, names = pd.factorize(groups)
    place = np.random.default_rng(seed).permutation(len(names))[units]
    sizes = np.bincount(place)
    # Of each class the last sample in this order, and with it its group, is not given away.
    sizes[pd.Series(place).groupby(targets[rows]).max().to_numpy()] = 0
    begun = np.cumsum(sizes) - sizes
    bounds = round(validation * len(rows)), round((validation + test) * len(rows))
    part = np.where(sizes == 0, len(bounds), np.searchsorted(bounds, begun, side="right"))[place]
    held, judged, kept = (rows[part == number] for number in range(3))
    return _checked(Splits(kept, held, judged), table)


SPLIT_RULES = {
    "shuffled": shuffled_split,
    "official": given_split,
    "stratified": stratified_split,
    "holdout": holdout_split,
    "random": random_split,
}


def split_table(table: Table, rule: str | None, seed: int, fold=None, **shares) -> Splits:
    """Split a table by a rule, or by a fold of a cross-validation.

    Args:
        table: samples.
        rule: one of `SPLIT_RULES`; not looked at where there is a fold.
        seed: of the split.
        fold: datasets.folds.Fold, the fold that is the test part; None for none.
        shares: of the parts, if the rule takes any.
    """
    if fold is None:
        return SPLIT_RULES[rule](table, seed, **shares)
    return fold_split(table, fold.of, fold.number, seed, **shares)


def _checked(splits: Splits, table: Table, parts=SPLITS) -> Splits:
    for part in parts:
        if not len(splits[part]):
            raise InputError(
                f"{table.name} has {len(table)} samples, which leaves none for the {part} part: "
                "at least ten are needed"
            )
    missing = sorted(set(table.labels) - set(table.frame["label"].to_numpy()[splits.train]))
    if missing:
        raise InputError(
            f"{table.name}: the training part has no sample of class '{missing[0]}': add samples "
            "of it, remove the class, or take another --seed"
        )
    return splits
