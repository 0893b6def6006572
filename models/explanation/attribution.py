"""The arithmetic of explanations: class activation maps, integrated gradients, shares."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

STEPS = 64  # points on the way from a baseline to a sample


def class_activation(value: np.ndarray, slope: np.ndarray) -> np.ndarray:
    """What each place of a feature map adds to a score: Grad-CAM, slopes kept place by place.

    Grad-CAM (Selvaraju et al. 2017, equations 1 and 2) takes the mean slope of a channel. Behind
    average pooling that is the slope itself; behind a deviation it is 0 whatever the map shows, and
    behind a flattened map it is of no place. So each place keeps its own slope (HiResCAM, Draelos
    and Carin 2020, equation 2), and the sum over all places is what a linear layer behind the map
    adds to the score. The maximum with 0 is left to whoever has put all maps together.

    Args:
        value: (..., channels), what the map holds, perhaps above that of a baseline.
        slope: likewise, d score / d value.

    Returns:
        (...).
    """
    return (value * slope).sum(axis=-1)


def integrated_gradients(
    slopes_at: Callable[[np.ndarray], np.ndarray],
    value: np.ndarray,
    baseline: np.ndarray,
    steps: int = STEPS,
) -> np.ndarray:
    """What each number of a sample adds to a score, against a baseline (Sundararajan et al. 2017).

    The contributions sum to score(value) - score(baseline), up to the error of the midpoint rule
    over the steps (completeness, their proposition 1).

    Args:
        slopes_at: (points, *shape of value) -> slopes of the score there, of the same shape.
        value: of one sample.
        baseline: of the same shape.
        steps: points on the straight way between both.
    """
    way = value - baseline
    shares = ((np.arange(steps) + 0.5) / steps).reshape(-1, *[1] * value.ndim)
    points = (baseline + shares * way).astype(np.float32)
    return way * slopes_at(points).mean(axis=0)


def shares_of(contributions: dict[str, float]) -> dict[str, float]:
    """The part of each signed contribution in the sum of their sizes; 0 where all are 0."""
    total = sum(map(abs, contributions.values()))
    return {name: abs(value) / total if total else 0.0 for name, value in contributions.items()}


def summed_patches(heat: np.ndarray, height: int, width: int) -> np.ndarray:
    """Sums over patches of a map, (rows, columns) -> (patches down, patches across).

    The last patches are smaller where the map does not divide.
    """
    down = np.add.reduceat(heat, np.arange(0, heat.shape[0], height), axis=0)
    return np.add.reduceat(down, np.arange(0, heat.shape[1], width), axis=1)


def area_of_half(heat: np.ndarray) -> float:
    """The smallest share of places that holds half of the mass of a map without negative values.

    1 where the map is empty.
    """
    ordered = np.sort(heat, axis=None)[::-1].cumsum()
    if not ordered[-1] > 0:
        return 1.0
    return float((np.searchsorted(ordered, ordered[-1] / 2) + 1) / heat.size)


def overlapped(pieces: Sequence[np.ndarray], hop: int, length: int) -> np.ndarray:
    """Pieces (frames, bands) that begin every `hop` frames, added up; (length or more, bands)."""
    frames, bands = pieces[0].shape
    whole = np.zeros((max(length, hop * (len(pieces) - 1) + frames), bands))
    for place, piece in enumerate(pieces):
        whole[place * hop : place * hop + frames] += piece
    return whole
