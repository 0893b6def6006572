"""How much nearer a positive has to be than a negative, for every pair of classes."""

from __future__ import annotations

import numpy as np


def margin_matrix(distances, margin: float) -> np.ndarray:
    """Margins that are proportional to class distances (paper 000, section 4; spec 000, 0c).

    They are scaled so that the mean over all pairs of different classes is the fixed margin: a
    dynamic margin then compares with a fixed one.

    Args:
        distances: (classes, classes), symmetric, not negative; or the number of classes, whose
            margins are then all alike.
        margin: their mean, in cosine distance, above zero.

    Returns:
        (classes, classes) float64 with a diagonal of zeros.

    Raises:
        ValueError: the margin is not above zero, there are fewer than two classes, all distances
            are zero, or they are no matrix of distances.
    """
    if not (np.isfinite(margin) and margin > 0):
        raise ValueError(f"a margin must be above zero, not {margin}")
    if np.ndim(distances) == 0:
        distances = np.ones((int(distances), int(distances)))
    distances = np.array(distances, np.float64)
    if distances.ndim != 2 or distances.shape[0] != distances.shape[1] or len(distances) < 2:
        raise ValueError(f"margins need the distances of two or more classes: {distances.shape}")
    if not np.isfinite(distances).all() or distances.min() < 0:
        raise ValueError("class distances must be finite and not negative")
    if not np.allclose(distances, distances.T, rtol=1e-6, atol=0):
        raise ValueError("class distances must be symmetric")
    np.fill_diagonal(distances, 0)
    total = distances.sum()
    if total == 0:
        raise ValueError("all class distances are zero: no margin is proportional to them")
    return distances * (margin * len(distances) * (len(distances) - 1) / total)
