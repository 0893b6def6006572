"""Figures over several seeds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import stats


@dataclass(frozen=True)
class Mean:
    """A mean over runs with Student's 95 % interval; a single run has none."""

    values: tuple[float, ...]
    mean: float
    low: float | None
    high: float | None


def mean_over_runs(values) -> Mean:
    """Mean of one figure over seeds: the spread of training, not that of the test samples."""
    values = np.asarray(values, float)
    low = high = None
    if len(values) > 1:
        half = stats.t.ppf(0.975, len(values) - 1) * stats.sem(values)
        low, high = float(values.mean() - half), float(values.mean() + half)
    return Mean(tuple(values.tolist()), float(values.mean()), low, high)
