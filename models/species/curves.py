"""What thresholds do to accuracy and depth, and accuracy by class size (paper 001, section 5)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from datasets.taxonomy import Taxonomy
from models.species.specificity import ROOT_ONLY, Best, figures
from training.evaluation import wilson_interval

CLASS_SIZES = (0, 1, 5, 10, 20, 50, 100, 200, 500, 1000)


@dataclass(frozen=True)
class WorkingPoints:
    """The hierarchical risk-coverage curve: all that thresholds can do, the strictest first.

    A point holds for thresholds from its own down to the next point's, that one left out.

    Attributes:
        thresholds: (points,) falling; the first one lets only the start be answered.
        accuracy: (points,) share of right answers.
        depth: (points,) mean depth, kingdom 1.
        coverage: (points,) mean of 1 - ln(leaves under the answer) / ln(all leaves): 0 at the root
            and 1 at a leaf (Goren et al. 2024, arXiv 2405.11533, with equally probable leaves).
    """

    thresholds: np.ndarray
    accuracy: np.ndarray
    depth: np.ndarray
    coverage: np.ndarray

    def above(self, target: float) -> int:
        """How many points, from the strictest on, all have an accuracy of at least the target."""
        lowest = np.minimum.accumulate(self.accuracy)
        return int(np.searchsorted(-lowest, -target, side="right"))

    def threshold(self, point: int) -> float:
        """A threshold of a point: half-way down to the next one, and 0 for the last.

        So the last digits of a probability decide nothing.
        """
        if point == len(self.thresholds) - 1:
            return 0.0
        upper, lower = self.thresholds[point : point + 2].tolist()
        middle = (upper + lower) / 2
        return middle if middle > lower else upper


def working_points(best: Best, right: np.ndarray, taxonomy: Taxonomy) -> WorkingPoints:
    """Accuracy and depth at every threshold, exactly.

    Args:
        best: of the pictures.
        right: of `models.species.specificity.correctness`.
        taxonomy: of the leaves.

    Raises:
        ValueError: there is no picture.
    """
    if not len(best):
        raise ValueError("there is no picture to judge by")
    first = best.start.depth
    # Each event takes one picture one rank deeper; it happens at the probability of that rank.
    values = best.probabilities[:, first + 1 :].ravel()
    order = np.argsort(-values, kind="stable")
    order = order[: np.count_nonzero(values > 0)]
    values = values[order]
    last = np.flatnonzero(np.append(np.diff(values) != 0, True)) if len(values) else []

    def mean(table):
        steps = np.diff(table[:, first:], axis=1).ravel()[order]
        after = np.cumsum(steps)[last]
        return (table[:, first].sum() + np.concatenate([[0], after])) / len(table)

    depth = np.broadcast_to(np.arange(right.shape[1]), right.shape)
    thresholds = np.concatenate([[ROOT_ONLY], values[last]])
    coverage = _coverage(best, taxonomy)
    return WorkingPoints(thresholds, mean(right.astype(np.int64)), mean(depth), mean(coverage))


def _coverage(best: Best, taxonomy: Taxonomy) -> np.ndarray:
    """(pictures, ranks + 1) of the answer of each depth."""
    whole = np.log(max(len(taxonomy.leaves), 2))
    counts = [
        taxonomy.leaf_counts(depth)[best.nodes[:, depth]] for depth in range(best.nodes.shape[1])
    ]
    return 1 - np.log(np.stack(counts, axis=1)) / whole


@dataclass(frozen=True)
class TargetPoint:
    """What a target accuracy costs in depth.

    Attributes:
        target: accuracy wanted.
        threshold: the least that reaches it on the calibration pictures.
        accuracy: of other pictures at this threshold.
        depth: mean, of the same; kingdom 1.
    """

    target: float
    threshold: float
    accuracy: float
    depth: float


def depth_by_target(
    points: WorkingPoints, best: Best, right: np.ndarray, targets: Sequence[float]
) -> list[TargetPoint]:
    """Target accuracy against depth (paper 001, Figure 3); targets out of reach are left out.

    Args:
        points: of the calibration pictures.
        best: of the pictures to report on.
        right: of the same, by `correctness`.
        targets: accuracies, 0 to 1.
    """
    found = []
    for target in targets:
        if reached := points.above(target):
            threshold = points.threshold(reached - 1)
            judged = figures(best, right, threshold)
            found.append(TargetPoint(target, threshold, judged["accuracy"], judged["depth"]))
    return found


@dataclass(frozen=True)
class SizeBin:
    """Accuracy on the classes of like size.

    Attributes:
        low, high: smallest and largest class size, in training pictures; no `high` for the last.
        classes: with pictures here.
        pictures: judged.
        accuracy: share of right answers.
        interval: Wilson's, 95 %.
    """

    low: int
    high: int | None
    classes: int
    pictures: int
    accuracy: float
    interval: tuple[float, float]


def accuracy_by_class_size(
    right, targets, sizes, edges: Sequence[int] = CLASS_SIZES
) -> list[SizeBin]:
    """Accuracy by the number of training pictures of the true class (paper 001, Figure 4).

    Args:
        right: (pictures,) bool.
        targets: (pictures,) class indices; pictures with -1 are left out.
        sizes: (classes,) training pictures of each class.
        edges: smallest size of each bin, rising from 0.

    Returns:
        The bins that have pictures.
    """
    right, targets = np.asarray(right, bool), np.asarray(targets)
    right, targets = right[targets >= 0], targets[targets >= 0]
    places = np.searchsorted(edges, np.asarray(sizes)[targets], side="right") - 1
    found = []
    for place in np.unique(places):
        inside = places == place
        hits, total = int(right[inside].sum()), int(inside.sum())
        high = edges[place + 1] - 1 if place + 1 < len(edges) else None
        classes = len(np.unique(targets[inside]))
        interval = wilson_interval(hits, total)
        found.append(SizeBin(edges[place], high, classes, total, hits / total, interval))
    return found
