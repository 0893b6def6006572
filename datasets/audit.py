"""What is wrong with a data set before anything is trained on it."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass
from itertools import combinations

import pandas as pd

from datasets.base import SPLITS, Splits, Table

_LISTED = 5  # of a long list, what a person will look at


@dataclass(frozen=True)
class Contradiction:
    """One picture that stands under several labels.

    Attributes:
        keys: of its copies.
        labels: of its copies, in the same order.
    """

    keys: tuple[str, ...]
    labels: tuple[str, ...]


@dataclass(frozen=True)
class Audit:
    """The findings.

    Attributes:
        name: of the data set.
        samples: number of readable samples.
        counts: number of samples of each class.
        unknown: number of samples of each label outside the classes.
        unreadable: one line per sample that could not be read.
        duplicate_groups: number of pictures that occur more than once.
        surplus: number of samples beyond the first of each such picture.
        contradictions: the pictures that occur under more than one label.
        crossings: "train/test" and so on -> number of pictures that occur in both parts.
    """

    name: str
    samples: int
    counts: dict[str, int]
    unknown: dict[str, int]
    unreadable: tuple[str, ...]
    duplicate_groups: int
    surplus: int
    contradictions: tuple[Contradiction, ...]
    crossings: dict[str, int]

    def to_json(self) -> dict:
        """The findings as lists, dictionaries, strings and numbers."""
        found = asdict(self)
        found["unreadable"] = list(self.unreadable)
        found["contradictions"] = [
            {"keys": list(group.keys), "labels": list(group.labels)}
            for group in self.contradictions
        ]
        return found

    def lines(self) -> list[str]:
        """The findings in plain sentences."""
        return [
            *self._size_lines(),
            *_listed(f"{_samples(len(self.unreadable))} could not be read", self.unreadable),
            self._duplicate_line(),
            *_listed(
                f"{_pictures(len(self.contradictions))} under more than one label",
                [_describe(group) for group in self.contradictions],
            ),
            *self._crossing_lines(),
        ]

    def _size_lines(self) -> list[str]:
        counts = ", ".join(f"{label} {count:,}" for label, count in self.counts.items())
        lines = [f"{_samples(self.samples)} in {len(self.counts)} classes: {counts}."]
        filled = {label: count for label, count in self.counts.items() if count}
        if len(filled) > 1:
            least, most = min(filled, key=filled.get), max(filled, key=filled.get)
            ratio = filled[most] / filled[least]
            lines.append(f"The largest class, {most}, has {ratio:.1f} times the least, {least}.")
        if self.unknown:
            labels = ", ".join(f"{label} {count:,}" for label, count in self.unknown.items())
            lines.append(f"Labels outside the classes: {labels}.")
        return lines

    def _duplicate_line(self) -> str:
        if not self.duplicate_groups:
            return "No picture occurs twice."
        return (
            f"{_pictures(self.duplicate_groups)} more than once, which makes "
            f"{_samples(self.surplus)} superfluous."
        )

    def _crossing_lines(self) -> list[str]:
        return [
            f"{_pictures(count)} both in {pair.replace('/', ' and in ')}."
            for pair, count in self.crossings.items()
            if count
        ]


def audit(table: Table, splits: Splits | None = None) -> Audit:
    """Look for duplicates, contradictory labels and leaks.

    Samples with one digest are copies of one picture.

    Args:
        table: the data set.
        splits: the parts to check for leaks; by default the publisher's own, if there are any.
    """
    frame = table.frame.reset_index(drop=True)
    copies = frame[frame["digest"].duplicated(keep=False)]
    groups = copies["digest"].nunique()
    labels = Counter(frame["label"])
    return Audit(
        name=table.name,
        samples=len(frame),
        counts=table.counts(),
        unknown={label: labels[label] for label in sorted(set(labels) - set(table.labels))},
        unreadable=table.unreadable,
        duplicate_groups=groups,
        surplus=len(copies) - groups,
        contradictions=_contradictions(copies),
        crossings=_crossings(frame, splits),
    )


def _contradictions(copies: pd.DataFrame) -> tuple[Contradiction, ...]:
    return tuple(
        Contradiction(tuple(group["key"]), tuple(group["label"]))
        for _, group in copies.groupby("digest", sort=False)
        if group["label"].nunique() > 1
    )


def _crossings(frame: pd.DataFrame, splits: Splits | None) -> dict[str, int]:
    digests = frame["digest"].to_numpy()
    parts = frame["part"].to_numpy()
    content = {
        part: set(digests[splits[part]] if splits else digests[parts == part]) for part in SPLITS
    }
    return {
        f"{one}/{other}": len(content[one] & content[other])
        for one, other in combinations(SPLITS, 2)
        if content[one] and content[other]
    }


def _listed(head: str, items) -> list[str]:
    if not items:
        return []
    rest = len(items) - _LISTED
    more = [f"  and {rest:,} more"] if rest > 0 else []
    return [f"{head}:", *(f"  {item}" for item in items[:_LISTED]), *more]


def _describe(group: Contradiction) -> str:
    copies = [f"{key} ({label})" for key, label in zip(group.keys, group.labels, strict=True)]
    rest = len(copies) - _LISTED
    return " = ".join(copies[:_LISTED]) + (f" and {rest} more copies" if rest > 0 else "")


def _samples(count: int) -> str:
    return "1 sample" if count == 1 else f"{count:,} samples"


def _pictures(count: int) -> str:
    return "1 picture occurs" if count == 1 else f"{count:,} pictures occur"
