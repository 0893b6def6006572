"""Offline triplet mining: for every anchor its hardest positive and a random semi-hard negative."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

RULES = ("schroff", "paper")
SMALLEST_NORM = 1e-6  # a shorter embedding has no direction; its cosine with any other is 0

# Units are rounded to multiples of 2^-25, an error of 1e-8: all partial sums of a dot product are
# then exact in float64. So what is chosen depends neither on the block size nor on the linear
# algebra library, and equal embeddings are equally far away, to the last bit.
_GRID = 2.0**25
_BLOCK = 64


@dataclass(frozen=True)
class Triplets:
    """Mined triplets, one for each anchor, in the order of the anchors.

    Attributes:
        anchors: (triplets,) row numbers.
        positives: (triplets,) row numbers, of the anchor's class.
        negatives: (triplets,) row numbers, of another class.
        margins: (triplets,) margin of the anchor's and the negative's class.
        figures: `mined_loss`, `mined_active` (share of triplets whose loss is above zero),
            `mined_positive_distance`, `mined_negative_distance` (means), `mined_empty_band` (share
            of anchors for which no negative met the rule) and `mined_lone` (share of anchors that
            are their own positive).
    """

    anchors: np.ndarray
    positives: np.ndarray
    negatives: np.ndarray
    margins: np.ndarray
    figures: dict[str, float]


def mine_triplets(
    embeddings, targets, margins, anchors, seed, rule: str = "schroff", block: int = _BLOCK
) -> Triplets:
    """Mine over a whole training part (paper 000, section 4; spec 000, 0a and 0b).

    The distance is 1 - cosine, from 0 to 2. The positive is the farthest other sample of the
    anchor's class, the first one of equals; in a class of one sample it is the anchor itself. The
    negative is drawn at random, by `rule`:

    * `schroff`: from d+ < d- < d+ + margin (Schroff et al. 2015, section 3.2); where no sample
      lies in this band, by `paper`.
    * `paper`: from d- < d+ + margin; where there is none, the nearest negative. The loss of such a
      triplet is zero.

    Memory grows linearly with the samples: `block` rows of the table of distances are held.

    Args:
        embeddings: (samples, width), finite.
        targets: (samples,) class indices.
        margins: one for all, or (classes, classes): [class of the anchor, class of the negative].
        anchors: (triplets,) row numbers; one that repeats gets a negative for each time.
        seed: of the negatives: a number or a sequence of numbers.
        rule: one of `RULES`.
        block: anchors at a time; the triplets do not depend on it.

    Raises:
        ValueError: fewer than two classes, an unknown rule, or shapes that do not fit.
        ArithmeticError: an embedding is not finite.
    """
    targets, anchors = np.asarray(targets), np.asarray(anchors, np.int64)
    margins = np.asarray(margins, np.float64)
    _check(targets, margins, rule)
    space = _Space(_units(embeddings, len(targets)), targets, margins, block)
    chance = np.random.default_rng(seed).random(len(anchors))
    by_row = np.argsort(anchors, kind="stable")
    rows, starts = np.unique(anchors[by_row], return_index=True)
    places = dict(zip(rows.tolist(), np.split(by_row, starts[1:]), strict=True))
    found = _Found(len(anchors))
    for row, view in space.views(rows):
        found.add(places[row], _mine(view, chance[places[row]], rule))
    return found.triplets(anchors, space.order)


def balanced_anchors(targets: np.ndarray, seed) -> np.ndarray:
    """Row numbers in which every class stands as often as the largest (spec 000, 0h).

    Every sample of a class stands there floor(largest / size) times; the rest are drawn from the
    class without replacement.

    Args:
        targets: (samples,) class indices.
        seed: of the rest and of the order: a number or a sequence of numbers.

    Returns:
        (classes that occur * largest,) row numbers in random order.
    """
    rng = np.random.default_rng(seed)
    targets = np.asarray(targets)
    members = [np.flatnonzero(targets == label) for label in np.unique(targets)]
    largest = max(map(len, members))
    parts = []
    for rows in members:
        times, rest = divmod(largest, len(rows))
        parts += [np.tile(rows, times), rng.choice(rows, rest, replace=False)]
    return rng.permutation(np.concatenate(parts))


@dataclass(frozen=True)
class _View:
    """What one anchor sees; positions are those of the samples sorted by class.

    Attributes:
        distances: (samples,) cosine distances.
        own: positions of the anchor's class.
        place: the anchor's own place among them.
        margins: (samples,) of the anchor's class and that of each sample.
    """

    distances: np.ndarray
    own: slice
    place: int
    margins: np.ndarray


class _Space:
    """Unit embeddings sorted by class; `order` takes a position to a row number."""

    def __init__(self, units, targets, margins, block: int):
        self.order = np.argsort(targets, kind="stable")
        self._sorted, self._classes = units[self.order], targets[self.order]
        self._positions = np.empty_like(self.order)
        self._positions[self.order] = np.arange(len(targets))
        self._margins = margins
        # One table for all blocks: fresh memory costs more than the product that fills it.
        self._cosines = np.empty((min(block, len(targets)), len(targets)))

    def views(self, rows: np.ndarray):
        """What each of these rows sees: yields (row number, view), class by class."""
        label = None
        for position, cosines in self._blocks(np.sort(self._positions[rows])):
            if label != self._classes[position]:
                label = self._classes[position]
                own = slice(*np.searchsorted(self._classes, [label, label + 1]).tolist())
                margins = self._margins_of(label)
            view = _View(1 - cosines, own, position - own.start, margins)
            yield int(self.order[position]), view

    def _blocks(self, positions):
        size = len(self._cosines)
        for start in range(0, len(positions), size):
            some = positions[start : start + size]
            table = self._cosines[: len(some)]
            np.matmul(self._sorted[some], self._sorted.T, out=table)
            yield from zip(some.tolist(), table, strict=True)

    def _margins_of(self, label: int) -> np.ndarray:
        if self._margins.ndim == 0:
            return np.broadcast_to(self._margins, self._classes.shape)
        return self._margins[label][self._classes]


@dataclass(frozen=True)
class _Mined:
    """Of one anchor: positions of the positive and of the negatives, and what belongs to them."""

    positive: int
    negatives: np.ndarray
    values: tuple  # distance of the positive, distances of the negatives, margins
    empty: bool
    lone: bool


class _Found:
    """What has been mined so far, one place for each anchor."""

    def __init__(self, number: int):
        self._positions = np.empty((2, number), np.int64)
        self._values = np.empty((3, number))
        self._flags = np.empty((2, number), bool)

    def add(self, places: np.ndarray, mined: _Mined) -> None:
        """Take down what was mined for a row that is the anchor at these places."""
        self._positions[0, places], self._positions[1, places] = mined.positive, mined.negatives
        for column, values in zip(self._values, mined.values, strict=True):
            column[places] = values
        self._flags[0, places], self._flags[1, places] = mined.empty, mined.lone

    def triplets(self, anchors: np.ndarray, order: np.ndarray) -> Triplets:
        margins = self._values[2]
        positive, negative = self._values[:2].clip(0, 2)
        losses = np.maximum(positive - negative + margins, 0)
        figures = {
            "mined_loss": losses,
            "mined_active": losses > 0,
            "mined_positive_distance": positive,
            "mined_negative_distance": negative,
            "mined_empty_band": self._flags[0],
            "mined_lone": self._flags[1],
        }
        means = {name: float(values.mean()) for name, values in figures.items()}
        return Triplets(anchors, *order[self._positions], margins, means)


def _mine(view: _View, chance: np.ndarray, rule: str) -> _Mined:
    """The triplets of one anchor, one for each chance, (triplets,) from 0 to below 1."""
    hardest = view.own.start + _hardest(view.distances[view.own], view.place)
    positive = view.distances[hardest]
    candidates, empty = _candidates(view, positive, rule)
    negatives = candidates[(chance * len(candidates)).astype(np.int64)]
    values = positive, view.distances[negatives], view.margins[negatives]
    lone = view.own.stop - view.own.start == 1
    return _Mined(hardest, negatives, values, empty, lone)


def _hardest(distances: np.ndarray, place: int) -> int:
    """The farthest of one's own class but oneself, or oneself where there is no other."""
    others = distances.copy()
    others[place] = -1
    return int(others.argmax())


def _candidates(view: _View, positive: float, rule: str) -> tuple[np.ndarray, bool]:
    """Positions of the negatives to draw from, and whether none of them met the rule."""
    inside = view.distances < positive + view.margins
    inside[view.own] = False
    if rule == "schroff":
        band = np.flatnonzero(inside & (view.distances > positive))
        if len(band):
            return band, False
    literal = np.flatnonzero(inside)
    if len(literal):
        return literal, rule == "schroff"
    others = view.distances.copy()
    others[view.own] = np.inf
    return others.argmin(keepdims=True), True


def _units(embeddings, samples: int) -> np.ndarray:
    values = np.asarray(embeddings, np.float64)
    if values.ndim != 2 or len(values) != samples:
        raise ValueError(f"{samples} samples, but embeddings of shape {values.shape}")
    broken = int((~np.isfinite(values).all(axis=1)).sum())
    if broken:
        raise ArithmeticError(
            f"{broken} of {samples} embeddings are not finite: try a lower --learning-rate"
        )
    norms = np.linalg.norm(values, axis=1, keepdims=True)
    units = np.divide(values, norms, out=np.zeros_like(values), where=norms > SMALLEST_NORM)
    return np.round(units * _GRID) / _GRID


def _check(targets: np.ndarray, margins: np.ndarray, rule: str) -> None:
    if rule not in RULES:
        raise ValueError(f"rule must be one of {', '.join(RULES)}, not '{rule}'")
    if not len(targets) or targets.min() < 0 or targets.min() == targets.max():
        raise ValueError("mining needs samples of at least two classes, with indices from 0")
    needed = int(targets.max()) + 1
    square = margins.ndim == 2 and margins.shape[0] == margins.shape[1] >= needed
    if margins.ndim and not square:
        raise ValueError(f"{needed} classes, but margins of shape {margins.shape}")
    if not np.isfinite(margins).all() or margins.min() < 0:
        raise ValueError("margins must be finite and not negative")
