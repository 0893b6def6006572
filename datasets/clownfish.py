"""Choosing what is learnt from pictures of many species (paper 003, sections II a and IV b).

table -> without what the exclusion list names -> without copies -> the chosen species, and perhaps
"other" -> a split that keeps look-alikes together -> a cap on over-represented species.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from datasets.base import Division, Splits, Table
from datasets.errors import InputError
from datasets.folds import Fold, joined_groups
from datasets.near_duplicates import MOST, duplicate_groups, near_duplicates, perceptual_hashes
from datasets.splits import split_table

OTHER = "other"
CAPS = ("text", "table", "none")
TEXT_RATIO, TABLE_RATIO = 2.0, 1.5


@dataclass(frozen=True)
class Choice:
    """What is learnt.

    Attributes:
        species: how many of the most represented, or names separated by commas; None for all.
        other: whether the remaining species are learnt together as the class "other".
        other_limit: largest number of pictures of that class.
        other_validation: share of them in the validation part.
        cap: largest number of training pictures of a species: `text` of the paper, twice the
            training pictures of the least represented; `table` 1, 1.5 times its total; or `none`.
        exclude: CSV with the columns `file` and `reason`.
    """

    species: str | None = None
    other: bool = False
    other_limit: int = 390
    other_validation: float = 0.1
    cap: str = "none"
    exclude: str | None = None


def build(
    table: Table, choice: Choice, split_rule: str | None, seed: int, fold: Fold | None = None
) -> Division:
    """Divide a table of pictures as the choice says, by a rule or by a fold.

    The species that are not learnt become the `others` of the division, unless they are learnt as
    "other".

    Raises:
        InputError: a species is unknown, there is nothing for "other", the exclusion list is wrong,
            or a class is too small for its parts.
    """
    if choice.exclude:
        table = without_excluded(table, choice.exclude)
    table = without_copies(table)
    table, others = choose_species(table, choice, seed)
    shares = {}
    if choice.other and (fold or split_rule in ("stratified", "holdout")):
        shares["validation"] = {OTHER: choice.other_validation}
    splits = split_table(table, split_rule, seed, fold, **shares)
    splits, lines = capped(splits, table, choice.cap, seed)
    return Division(replace(table, left_out=table.left_out + lines), splits, others)


def without_excluded(table: Table, file: str) -> Table:
    """The table without the pictures that a list names, each with its reason.

    Args:
        table: its keys are paths of pictures.
        file: CSV with the columns `file` (such a path, or a file name that occurs once) and
            `reason` (such as: drawing, stamp, bones, in ethanol, scan of a report).

    Raises:
        InputError: the list cannot be read, lacks a column, or names a picture that is not there.
    """
    path = Path(file).expanduser()
    try:
        listed = pd.read_csv(path, dtype=str, keep_default_na=False)
    except (OSError, ValueError) as error:
        raise InputError(f"--exclude {path} cannot be read as CSV ({error})") from None
    if not {"file", "reason"} <= set(listed.columns):
        raise InputError(f"--exclude {path} lacks a column: it needs 'file' and 'reason'")
    keys = table.frame["key"]
    names = keys.str.rsplit("/", n=1).str[-1]
    gone = np.zeros(len(table), bool)
    for name in listed["file"]:
        found = ((keys == name) | (names == name)).to_numpy()
        if found.sum() != 1:
            state = "is not among the pictures" if not found.any() else "names several pictures"
            raise InputError(f"--exclude {path}: '{name}' {state}: give its path in the data")
        gone |= found
    reasons = listed["reason"].replace("", "no reason given").value_counts()
    lines = tuple(f"{count} excluded by {path.name}: {reason}" for reason, count in reasons.items())
    kept = table.take(np.flatnonzero(~gone))
    return replace(kept, left_out=table.left_out + lines)


def without_copies(table: Table) -> Table:
    """The table without exact copies, and with a column `group` that joins look-alikes.

    Groups that the table has already are joined with these. Of more than `near_duplicates.MOST`
    pictures no look-alikes are sought.
    """
    kept = without_exact_copies(table)
    pairs = ()
    if len(kept) <= MOST:
        hashes, mirrored = perceptual_hashes(kept.modalities["image"])
        pairs = near_duplicates(hashes, mirrored=mirrored)
    groups = duplicate_groups(kept.frame["digest"], pairs)
    groups = joined_groups(groups, kept.frame.get("group"))
    return replace(kept, frame=kept.frame.assign(group=groups))


def without_exact_copies(table: Table, kind: str = "picture") -> Table:
    """The table without exact copies.

    Of copies under one label the first stays. Copies under several labels all go, as nobody knows
    which label is right, but where a class would lose all its samples: it keeps them.

    Args:
        table: samples.
        kind: what a sample is called.
    """
    frame = table.frame
    labels = frame.groupby("digest")["label"].transform("nunique").to_numpy()
    repeated = frame["digest"].duplicated().to_numpy()
    contradictory = labels > 1
    lost = ~frame["label"].isin(frame.loc[~contradictory, "label"])
    spared = (lost & ~frame["digest"].where(lost).duplicated()).to_numpy()
    contradictory, repeated = contradictory & ~spared, repeated & ~spared
    lines = tuple(
        f"{key} ({label}): the same {kind} stands under another label as well"
        for key, label in frame.loc[contradictory, ["key", "label"]].itertuples(index=False)
    )
    lines += tuple(
        f"{key} ({label}): a copy of another {kind} of the class"
        for key, label in frame.loc[repeated & ~contradictory, ["key", "label"]].itertuples(
            index=False
        )
    )
    kept = table.take(np.flatnonzero(~(contradictory | repeated)))
    return replace(kept, left_out=table.left_out + lines)


def choose_species(table: Table, choice: Choice, seed: int) -> tuple[Table, Table | None]:
    """The chosen species as the classes of a table, most represented first, and all others.

    Raises:
        InputError: a species is unknown, fewer than two classes are left, or there is nothing for
            "other".
    """
    chosen = _named(table, choice.species)
    if len(chosen) + choice.other < 2:
        raise InputError(f"--species {choice.species}: at least two classes are needed")
    if choice.other and OTHER in chosen:
        raise InputError(
            f"--other: {table.name} has a class '{OTHER}' of its own: name the species by --species"
        )
    labels = table.frame["label"].to_numpy()
    inside = np.isin(labels, chosen)
    rest = np.flatnonzero(~inside)
    if choice.other:
        if not len(rest):
            raise InputError(
                f"--other: every species of {table.name} is learnt already: name fewer by --species"
            )
        rng = np.random.default_rng([seed, 1])
        sampled = np.sort(rng.permutation(rest)[: choice.other_limit])
        rows = np.sort(np.concatenate([np.flatnonzero(inside), sampled]))
        taken = table.take(rows)
        renamed = np.where(np.isin(taken.frame["label"], chosen), taken.frame["label"], OTHER)
        frame = taken.frame.assign(species=taken.frame["label"], label=renamed)
        return replace(taken, frame=frame, labels=(*chosen, OTHER)), None
    learnt = replace(table.take(np.flatnonzero(inside)), labels=tuple(chosen))
    return learnt, table.take(rest) if len(rest) else None


def _named(table: Table, species: str | None) -> list[str]:
    counts = {label: count for label, count in table.counts().items() if count}
    ranked = sorted(counts, key=lambda label: -counts[label])
    if species is None:
        return list(table.labels)
    if species.strip().isdigit():
        number = int(species)
        if not 1 <= number <= len(ranked):
            raise InputError(f"--species {species}: {table.name} has {len(ranked)} species")
        return ranked[:number]
    names = [name.strip() for name in species.split(",") if name.strip()]
    for name in names:
        if name not in counts:
            raise InputError(f"--species: {table.name} has no '{name}'; it has {', '.join(ranked)}")
    return list(dict.fromkeys(names))


def capped(splits: Splits, table: Table, cap: str, seed: int) -> tuple[Splits, tuple[str, ...]]:
    """Fewer training pictures of over-represented species.

    Args:
        splits: of the table.
        table: the samples.
        cap: one of `CAPS`; the class "other" has a limit of its own and is left alone.
        seed: of the choice.

    Returns:
        The splits, and one line per species that lost pictures.
    """
    if cap == "none":
        return splits, ()
    species = [index for index, label in enumerate(table.labels) if label != OTHER]
    train = np.bincount(table.targets[splits.train], minlength=len(table.labels))
    total = np.bincount(table.targets, minlength=len(table.labels))
    if cap == "text":
        limit = round(TEXT_RATIO * min(train[index] for index in species))
    else:
        limit = round(TABLE_RATIO * min(total[index] for index in species))
    rng, kept, lines = np.random.default_rng([seed, 2]), [], []
    for index, label in enumerate(table.labels):
        rows = splits.train[table.targets[splits.train] == index]
        if index in species and len(rows) > limit:
            lines.append(f"{len(rows) - limit} of {len(rows)} training pictures of {label}: --cap")
            rows = rng.permutation(rows)[:limit]
        kept.append(rows)
    return replace(splits, train=np.sort(np.concatenate(kept))), tuple(lines)
