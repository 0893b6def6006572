"""What is wrong with a data set before anything is trained on it."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass
from itertools import combinations, product

import numpy as np
import pandas as pd

from datasets.base import SPLITS, Splits, Table
from datasets.leaks import LeakReport, find_leaks
from datasets.near_duplicates import BITS, MOST, near_duplicates, perceptual_hashes

_LISTED = 5  # of a long list, what a person will look at
_NAMED = 120  # classes that are listed one by one
_FEW = 5  # samples; paper 001, section 4, leaves out species with fewer


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
class NearDuplicate:
    """Two pictures that look alike and are no exact copies.

    Attributes:
        keys: of the two.
        labels: of the two.
        parts: of the two; '' for a sample that is in none.
        distance: number of bits in which their perceptual hashes differ.
    """

    keys: tuple[str, str]
    labels: tuple[str, str]
    parts: tuple[str, str]
    distance: int

    @property
    def across_labels(self) -> bool:
        return self.labels[0] != self.labels[1]

    @property
    def across_parts(self) -> bool:
        return all(self.parts) and self.parts[0] != self.parts[1]


@dataclass(frozen=True)
class Audit:
    """The findings.

    Attributes:
        name: of the data set.
        samples: number of readable samples.
        counts: number of samples of each class.
        unknown: number of samples of each label outside the classes.
        unreadable: one line per sample that could not be read.
        left_out: one line per sample, or per kind of them, left out on purpose.
        duplicate_groups: number of pictures that occur more than once.
        surplus: number of samples beyond the first of each such picture.
        contradictions: the pictures that occur under more than one label.
        crossings: "train/test" and so on -> number of pictures that occur in both parts.
        near_duplicates: the pairs of pictures that look alike, those across parts or labels first,
            the most alike of them first; None if they were not looked for.
        uncompared: number of different pictures, where they are too many to look for look-alikes
            among them; else 0.
        leaks: what the measurements alone tell; None if there are none.
        kind: what occurs, `picture` or `recording`.
    """

    name: str
    samples: int
    counts: dict[str, int]
    unknown: dict[str, int]
    unreadable: tuple[str, ...]
    left_out: tuple[str, ...]
    duplicate_groups: int
    surplus: int
    contradictions: tuple[Contradiction, ...]
    crossings: dict[str, int]
    near_duplicates: tuple[NearDuplicate, ...] | None = None
    uncompared: int = 0
    leaks: LeakReport | None = None
    kind: str = "picture"

    def to_json(self) -> dict:
        """The findings as lists, dictionaries, strings and numbers."""
        found = asdict(self)
        found["unreadable"], found["left_out"] = list(self.unreadable), list(self.left_out)
        found["contradictions"] = [_plain(group) for group in self.contradictions]
        if self.near_duplicates is not None:
            found["near_duplicates"] = [_plain(pair) for pair in self.near_duplicates]
        found["leaks"] = self.leaks and self.leaks.to_json()
        return found

    def lines(self) -> list[str]:
        """The findings in plain sentences."""
        return [
            *self._size_lines(),
            *_listed(f"{_samples(len(self.unreadable))} could not be read", self.unreadable),
            *_listed("Left out", self.left_out),
            self._duplicate_line(),
            *_listed(
                f"{self._occurring(len(self.contradictions))} under more than one label",
                [_describe(group) for group in self.contradictions],
            ),
            *self._crossing_lines(),
            *self._near_lines(),
            *(self.leaks.lines() if self.leaks else []),
        ]

    def _size_lines(self) -> list[str]:
        filled = {label: count for label, count in self.counts.items() if count}
        lines = [f"{_samples(self.samples)} in {len(self.counts):,} classes{self._sizes()}."]
        if len(filled) > 1:
            least, most = min(filled, key=filled.get), max(filled, key=filled.get)
            ratio = filled[most] / filled[least]
            uneven = f"The largest class, {most}, has {ratio:.1f} times the least, {least}."
            lines.append(uneven if ratio > 1 else "All classes have the same number of samples.")
        if self.unknown:
            labels = ", ".join(f"{label} {count:,}" for label, count in self.unknown.items())
            lines.append(f"Labels outside the classes: {labels}.")
        return lines

    def _sizes(self) -> str:
        """The number of samples of each class, or of many classes what is usual."""
        if len(self.counts) <= _NAMED:
            return ": " + ", ".join(f"{label} {count:,}" for label, count in self.counts.items())
        sizes = np.array(list(self.counts.values()))
        return (
            f" of {sizes.min():,} to {sizes.max():,} samples each, {np.median(sizes):g} in the "
            f"middle; {(sizes < _FEW).sum():,} have fewer than {_FEW}, {(sizes == 1).sum():,} of "
            "these a single one"
        )

    def _duplicate_line(self) -> str:
        if not self.duplicate_groups:
            return f"No {self.kind} occurs twice."
        return (
            f"{self._occurring(self.duplicate_groups)} more than once, which makes "
            f"{_samples(self.surplus)} superfluous."
        )

    def _occurring(self, count: int) -> str:
        return f"1 {self.kind} occurs" if count == 1 else f"{count:,} {self.kind}s occur"

    def _crossing_lines(self) -> list[str]:
        return [
            f"{self._occurring(count)} both in {pair.replace('/', ' and in ')}."
            for pair, count in self.crossings.items()
            if count
        ]

    def _near_lines(self) -> list[str]:
        pairs = self.near_duplicates
        if self.uncompared:
            return [
                f"Look-alikes were not looked for: {self.uncompared:,} different pictures are more "
                f"than the {MOST:,} that are compared with each other."
            ]
        if pairs is None:
            return []
        if not pairs:
            return ["No two different pictures look alike."]
        across_labels = sum(pair.across_labels for pair in pairs)
        across_parts = sum(pair.across_parts for pair in pairs)
        count = "1 pair looks" if len(pairs) == 1 else f"{len(pairs):,} pairs look"
        return _listed(
            f"{count} alike (near-duplicates), {across_labels:,} across labels and "
            f"{across_parts:,} across parts",
            [_describe_pair(pair) for pair in pairs],
        )


def audit(table: Table, splits: Splits | None = None) -> Audit:
    """Look for duplicates, contradictory labels and leaks.

    Samples with one digest are copies of one picture. Pictures that look alike are looked for among
    photographs only: where the pictures of the table have sizes of their own (`Pictures`,
    `PictureFiles`), and are not too many. Those in a dense array were brought to one small size and
    frame, such as faces, and all look alike.

    Args:
        table: the data set.
        splits: the parts to check for leaks; by default the publisher's own, if there are any.
    """
    frame = table.frame.reset_index(drop=True)
    copies = frame[frame["digest"].duplicated(keep=False)]
    groups = copies["digest"].nunique()
    labels = Counter(frame["label"])
    parts = _parts(frame, splits)
    images, different = table.modalities.get("image"), frame["digest"].nunique()
    is_compared = images is not None and not isinstance(images, np.ndarray)
    return Audit(
        name=table.name,
        samples=len(frame),
        counts=table.counts(),
        unknown={label: labels[label] for label in sorted(set(labels) - set(table.labels))},
        unreadable=table.unreadable,
        left_out=table.left_out,
        duplicate_groups=groups,
        surplus=len(copies) - groups,
        contradictions=_contradictions(copies),
        crossings=_crossings(frame["digest"].to_numpy(), parts),
        near_duplicates=(
            _near_duplicates(images, frame, parts) if is_compared and different <= MOST else None
        ),
        uncompared=different if is_compared and different > MOST else 0,
        leaks=find_leaks(table),
        kind="recording" if "waveform" in table.modalities else "picture",
    )


def _parts(frame: pd.DataFrame, splits: Splits | None) -> np.ndarray:
    """The part of every row, '' for none."""
    if splits is None:
        return frame["part"].to_numpy()
    parts = np.full(len(frame), "", dtype=object)
    for part in SPLITS:
        parts[splits[part]] = part
    return parts


def _contradictions(copies: pd.DataFrame) -> tuple[Contradiction, ...]:
    return tuple(
        Contradiction(tuple(group["key"]), tuple(group["label"]))
        for _, group in copies.groupby("digest", sort=False)
        if group["label"].nunique() > 1
    )


def _crossings(digests: np.ndarray, parts: np.ndarray) -> dict[str, int]:
    content = {part: set(digests[parts == part]) for part in SPLITS}
    return {
        f"{one}/{other}": len(content[one] & content[other])
        for one, other in combinations(SPLITS, 2)
        if content[one] and content[other]
    }


def _near_duplicates(images, frame, parts) -> tuple[NearDuplicate, ...]:
    copies = [np.sort(rows) for rows in frame.groupby("digest", sort=False).indices.values()]
    hashes, mirrored = perceptual_hashes(images[np.array([rows[0] for rows in copies], int)])
    columns = [frame["key"].to_numpy(), frame["label"].to_numpy(), parts]
    found = []
    for one, other, distance in near_duplicates(hashes, mirrored=mirrored):
        pairs = (
            NearDuplicate(*((column[i], column[j]) for column in columns), distance)
            for i, j in product(copies[one], copies[other])
        )
        found.append(min(pairs, key=_harmlessness))  # of each picture one copy stands for all
    return tuple(sorted(found, key=lambda pair: (all(_harmlessness(pair)), pair.distance)))


def _harmlessness(pair: NearDuplicate) -> tuple[bool, bool]:
    return not pair.across_parts, not pair.across_labels


def _plain(finding) -> dict:
    return {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in asdict(finding).items()
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


def _describe_pair(pair: NearDuplicate) -> str:
    one, other = (
        f"{key} ({label}, {part})" if part else f"{key} ({label})"
        for key, label, part in zip(pair.keys, pair.labels, pair.parts, strict=True)
    )
    return f"{one} ~ {other}: {pair.distance} of {BITS} bits differ"


def _samples(count: int) -> str:
    return "1 sample" if count == 1 else f"{count:,} samples"
