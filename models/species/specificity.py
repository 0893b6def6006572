"""Answers as deep as they are sure: leaf probabilities up the tree, and the deepest taxon above t.

Paper 001, section 3.3; spec 001, 1a, 1m to 1o. What a threshold does, whichever it is, follows from
the most probable taxon of every rank. So a picture is looked at once, in blocks, and thresholds are
judged by these few numbers (`models/species/thresholds.py`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from datasets.taxonomy import ROOT_NODE, Node, Taxonomy

ROOT_ONLY = float(np.nextafter(1.0, 2.0))  # a threshold that no taxon reaches but the root
BLOCK = 64  # pictures at a time: what their leaves need stays in the processor's cache
SUM_TOLERANCE = 1e-3  # of the probabilities of one picture, in any precision
_SMALLEST = np.finfo(np.float64).tiny


@dataclass(frozen=True)
class Best:
    """The most probable taxon of every depth, picture by picture.

    Down to the depth of `start` these are `start` and its ancestors, with probability 1. Down the
    ranks a probability never rises, as a taxon has at least the probability of each child.

    Attributes:
        start: the root, or the deepest taxon above all start nodes.
        nodes: (pictures, ranks + 1) index of the taxon at each depth, the root's first.
        probabilities: (pictures, ranks + 1) float64.
    """

    start: Node
    nodes: np.ndarray
    probabilities: np.ndarray

    def __len__(self) -> int:
        return len(self.nodes)

    def __getitem__(self, rows) -> Best:
        """Of some pictures: a slice, a mask or row numbers."""
        return Best(self.start, self.nodes[rows], self.probabilities[rows])


@dataclass(frozen=True)
class Step:
    """A taxon on the way from the root to a leaf, with its probability."""

    rank: str
    taxon: str
    probability: float


@dataclass(frozen=True)
class Answer:
    """What is said about one picture.

    Attributes:
        taxon: its name, `root` where nothing can be said.
        rank: of the taxon.
        depth: 0 for the root, 1 for the coarsest rank.
        probability: of the taxon, given the start nodes.
        reason: why it is not deeper.
        path: from the coarsest rank to the taxon, and on by the most probable child to a leaf.
    """

    taxon: str
    rank: str
    depth: int
    probability: float
    reason: str
    path: tuple[Step, ...]


def roll_up(probabilities, taxonomy: Taxonomy, within: Sequence[Node] = ()) -> list[np.ndarray]:
    """Probabilities of all taxa: each has the sum over all leaves under it (section 3.3).

    Args:
        probabilities: (pictures, leaves), in class order, of sum 1.
        taxonomy: of the leaves.
        within: start nodes. The mass of all other leaves is dropped and the rest scaled to sum 1
            (spec 001, 1o); where no mass is left, all is 0.

    Returns:
        For each rank, from coarse to fine, (pictures, taxa), in the precision given.

    Raises:
        ValueError: the shape does not fit, or a row is negative, not finite or not of sum 1.
    """
    return _rolled(_checked(probabilities, taxonomy), taxonomy, _allowed(taxonomy, within))


def best_taxa(
    probabilities, taxonomy: Taxonomy, within: Sequence[Node] = (), block: int = BLOCK
) -> Best:
    """The most probable taxon of every rank; of equal ones the first.

    Args:
        probabilities: (pictures, leaves), or an iterable of such arrays, read one by one.
        taxonomy: of the leaves.
        within: start nodes, as for `roll_up`.
        block: pictures at a time; the memory needed is that of this many, and of one array.

    Raises:
        ValueError: as `roll_up`.
    """
    allowed, start = _allowed(taxonomy, within), taxonomy.common_ancestor(within)
    parts = [
        _best(_rolled(_checked(part, taxonomy), taxonomy, allowed), taxonomy, start)
        for part in _blocks(probabilities, block)
    ]
    width = len(taxonomy.ranks) + 1
    nodes = np.concatenate([np.empty((0, width), np.int32), *(part.nodes for part in parts)])
    values = np.concatenate([np.empty((0, width)), *(part.probabilities for part in parts)])
    return Best(start, nodes, values)


def depths(best: Best, threshold: float) -> np.ndarray:
    """(pictures,) depth of the answers: the deepest with a taxon of p >= threshold.

    The start is always feasible; a taxon without any probability never is. The answer is the most
    probable taxon of that depth, `best.nodes[picture, depth]`. Above a threshold of one half there
    is but one feasible taxon per depth, and those of several depths are nested; at or below it they
    need not be (spec 001, 1n).
    """
    feasible = best.probabilities[:, 1:] >= max(threshold, _SMALLEST)
    return np.maximum(feasible.sum(axis=1), best.start.depth)


def correctness(best: Best, targets, taxonomy: Taxonomy) -> np.ndarray:
    """(pictures, ranks + 1) whether the answer of each depth would be right.

    Right is an ancestor of the true leaf, or the leaf itself (spec 001, 1m).

    Args:
        best: of the pictures.
        targets: (pictures,) true leaves; -1 for one unknown to the taxonomy: every answer is wrong.
        taxonomy: of the leaves.
    """
    targets = np.asarray(targets, np.int64)
    known = targets >= 0
    truth = taxonomy.ancestors.T[np.where(known, targets, 0)]
    return (best.nodes == truth) & known[:, None]


def figures(best: Best, right: np.ndarray, threshold: float) -> dict[str, float]:
    """Accuracy and mean depth of the answers at a threshold.

    Args:
        best: of the pictures.
        right: of `correctness`.
        threshold: on the probability.

    Returns:
        `accuracy`, `depth` (kingdom 1) and `depth_table1`, which counts the root as 1 as Table 1
        of paper 001 does (spec 001, 1b).
    """
    answered = depths(best, threshold)
    depth = float(answered.mean())
    accuracy = float(right[np.arange(len(answered)), answered].mean())
    return {"accuracy": accuracy, "depth": depth, "depth_table1": depth + 1}


def answers(
    probabilities, taxonomy: Taxonomy, threshold: float, within: Sequence[Node] = ()
) -> Iterator[Answer]:
    """The answers in full, picture by picture; arguments and errors as for `best_taxa`."""
    allowed, start = _allowed(taxonomy, within), taxonomy.common_ancestor(within)
    for part in _blocks(probabilities, BLOCK):
        rolled = _rolled(_checked(part, taxonomy), taxonomy, allowed)
        best = _best(rolled, taxonomy, start)
        for row, depth in enumerate(depths(best, threshold).tolist()):
            node = Node(depth, int(best.nodes[row, depth]))
            probability = float(best.probabilities[row, depth])
            scores = [taxa[row] for taxa in rolled]
            yield _answer(node, probability, scores, taxonomy, threshold)


def _answer(node: Node, probability: float, scores, taxonomy: Taxonomy, threshold) -> Answer:
    """The answer `node`; `scores` holds the probabilities of all taxa, rank by rank."""
    below = list(_greedy(node, scores, taxonomy))
    steps = [*taxonomy.path(node), *below]
    found = (min(float(scores[step.depth - 1][step.index]), 1.0) for step in steps)
    path = tuple(
        Step(taxonomy.rank(step), taxonomy.name(step), score)
        for step, score in zip(steps, found, strict=True)
    )
    reason = _reason(node, probability, path[node.depth :], taxonomy, threshold)
    return Answer(taxonomy.name(node), taxonomy.rank(node), node.depth, probability, reason, path)


def _greedy(node: Node, scores, taxonomy: Taxonomy) -> Iterator[Node]:
    """From a node to a leaf, each time to the most probable child."""
    while len(children := taxonomy.children(node)):
        best = scores[node.depth][children].argmax()
        node = Node(node.depth + 1, int(children[best]))
        yield node


def _reason(node: Node, probability: float, below, taxonomy: Taxonomy, threshold: float) -> str:
    if not below:
        return f"{probability:.2f} reaches {threshold:.2f} at the finest rank, {taxonomy.ranks[-1]}"
    nearest = below[0]
    where = f" of {taxonomy.name(node)}" if node != ROOT_NODE else ""
    if nearest.probability <= 0:
        return f"no {nearest.rank}{where} has any probability"
    best, limit = _told_apart(nearest.probability, threshold)
    return f"no {nearest.rank}{where} reaches {limit}: best {nearest.taxon} {best}"


def _told_apart(value: float, limit: float) -> tuple[str, str]:
    """Two numbers with as many digits, from two, as show that they differ."""
    digits = 2
    while digits < 7 and f"{value:.{digits}f}" == f"{limit:.{digits}f}":
        digits += 1
    return f"{value:.{digits}f}", f"{limit:.{digits}f}"


def _blocks(probabilities, block: int) -> Iterator[np.ndarray]:
    parts: Iterable = probabilities
    if isinstance(probabilities, np.ndarray):
        parts = (probabilities,)
    for part in parts:
        for first in range(0, len(part), block):
            yield part[first : first + block]


def _checked(probabilities, taxonomy: Taxonomy) -> np.ndarray:
    values = np.asarray(probabilities)
    if values.dtype not in (np.float32, np.float64):
        values = values.astype(np.float64)
    leaves = len(taxonomy.leaves)
    if values.ndim != 2 or values.shape[1] != leaves:
        raise ValueError(f"probabilities of shape {values.shape}, but {leaves} leaves")
    # Written so that a NaN fails too.
    if len(values) and not (values.min() >= 0 and _are_ones(values.sum(axis=1))):
        raise ValueError("probabilities must be finite, not negative, and of sum 1 per picture")
    return values


def _are_ones(sums: np.ndarray) -> bool:
    return bool((np.abs(sums - 1) <= SUM_TOLERANCE).all())


def _allowed(taxonomy: Taxonomy, within: Sequence[Node]) -> np.ndarray | None:
    """(leaves,) bool, the leaves under start nodes; None for all."""
    if not len(within):
        return None
    allowed = np.zeros(len(taxonomy.leaves), bool)
    for node in within:
        allowed[taxonomy.leaves_below(node)] = True
    return allowed


def _rolled(values: np.ndarray, taxonomy: Taxonomy, allowed: np.ndarray | None):
    """The sums of a block, rank by rank: each rank is summed up from the one below."""
    if allowed is not None:
        values = np.where(allowed, values, 0)
        mass = values.sum(axis=1, keepdims=True)
        values = np.divide(values, mass, out=np.zeros_like(values), where=mass > 0)
    found = [values]
    below = np.take(values, taxonomy.order, axis=1)
    for firsts in reversed(taxonomy.first_children[1:]):
        below = np.add.reduceat(below, firsts, axis=1)
        found.append(below)
    return found[::-1]


def _best(rolled: list[np.ndarray], taxonomy: Taxonomy, start: Node) -> Best:
    """The most probable taxa of a block."""
    rows = np.arange(len(rolled[0]))
    places = [taxa.argmax(axis=1) for taxa in rolled]
    found = [taxa[rows, place] for taxa, place in zip(rolled, places, strict=True)]
    nodes = np.stack([np.zeros_like(rows), *places], axis=1).astype(np.int32)
    # A rounded sum passes 1 by its last digits.
    values = np.minimum(np.stack([np.ones(len(rows)), *found], axis=1), 1)
    for step in taxonomy.path(start):
        nodes[:, step.depth], values[:, step.depth] = step.index, 1
    return Best(start, nodes, values)
