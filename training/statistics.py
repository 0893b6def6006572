"""Figures over several runs: seeds or folds, and whether two networks differ in them."""

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


@dataclass(frozen=True)
class Significance:
    """A two-sided test of the hypothesis that two networks are equally good.

    Attributes:
        statistic: of the test; None where it has none.
        p: exact; None where the test has no answer.
    """

    statistic: float | None
    p: float | None


def paired_t(differences) -> Significance:
    """Student's paired t-test over folds or seeds, with k - 1 degrees of freedom.

    The folds of a cross-validation share training samples, so their differences are not independent
    and p comes out too small: see `corrected_resampled_t`.

    Args:
        differences: (k,) of a figure of two networks, fold by fold.

    Returns:
        t and p. All differences zero: t = 0, p = 1. A single difference, or several that are all
        equal and not zero, have no variance to judge by: both are None.

    Raises:
        ValueError: there is no difference.
    """
    return _t_test(differences, 1.0)


def corrected_resampled_t(differences, test_to_train: float) -> Significance:
    """The corrected resampled t-test (Nadeau and Bengio 2003, Mach. Learn. 52, section 3.2).

    The variance of the mean difference is taken as (1/k + n_test / n_train) times that of the
    differences, instead of 1/k times, because the training parts overlap.

    Args:
        differences: (k,) of a figure of two networks, fold by fold.
        test_to_train: n_test / n_train, test samples per training sample; 1/4 in five folds.

    Returns:
        t and p, as for `paired_t`.

    Raises:
        ValueError: there is no difference, or the ratio is negative.
    """
    if not test_to_train >= 0:
        raise ValueError(f"{test_to_train} test samples per training sample")
    return _t_test(differences, 1.0 + np.size(differences) * test_to_train)


def _t_test(differences, inflation: float) -> Significance:
    """A t-test of the mean, the variance of which is that of the differences / k * inflation."""
    differences = np.asarray(differences, float)
    if differences.ndim != 1 or not len(differences):
        raise ValueError("a paired test needs at least one difference")
    if not differences.any():
        return Significance(0.0, 1.0)
    # Differences of accuracies that are equal on paper differ in their last bits.
    if np.ptp(differences) <= 1e-12:
        return Significance(None, None)
    count = len(differences)
    error = differences.std(ddof=1) * np.sqrt(inflation / count)
    statistic = float(differences.mean() / error)
    return Significance(statistic, float(2 * stats.t.sf(abs(statistic), count - 1)))


@dataclass(frozen=True)
class McNemar:
    """McNemar's exact test: how often two networks are right on the same samples.

    Attributes:
        both, only_a, only_b, neither: number of samples that these answer rightly.
        statistic: the smaller of `only_a` and `only_b`.
        p: exact, two-sided; 1 where the two are right on the same samples.
        low, high: 95 % interval of the difference of their accuracies, b minus a. It is not exact,
            and can touch zero where p is just below 0.05, or the other way round.
    """

    both: int
    only_a: int
    only_b: int
    neither: int
    statistic: float
    p: float
    low: float
    high: float


def mcnemar_exact(right_a, right_b) -> McNemar:
    """McNemar's test by the binomial distribution (McNemar 1947, Psychometrika 12).

    Args:
        right_a: (samples,) whether one network answers a sample rightly.
        right_b: (samples,) whether the other does, in the same order.

    Raises:
        ValueError: the two are not of one length.
    """
    right_a, right_b = np.asarray(right_a, bool), np.asarray(right_b, bool)
    if right_a.shape != right_b.shape or right_a.ndim != 1:
        raise ValueError(f"answers of shapes {right_a.shape} and {right_b.shape} are no pairs")
    only_a, only_b = int((right_a & ~right_b).sum()), int((right_b & ~right_a).sum())
    p = stats.binomtest(only_a, only_a + only_b).pvalue if only_a + only_b else 1.0
    low, high = _paired_interval(only_a, only_b, len(right_a))
    return McNemar(
        both=int((right_a & right_b).sum()),
        only_a=only_a,
        only_b=only_b,
        neither=int((~right_a & ~right_b).sum()),
        statistic=float(min(only_a, only_b)),
        p=float(p),
        low=low,
        high=high,
    )


def _paired_interval(only_a: int, only_b: int, count: int) -> tuple[float, float]:
    """Of a difference of proportions on the same samples (Bonett and Price 2012, J. Educ. Behav.
    Stat. 37, 479): Wald's interval, with one sample more on either side.
    """
    share_a, share_b = (only_a + 1) / (count + 2), (only_b + 1) / (count + 2)
    middle = share_b - share_a
    half = stats.norm.ppf(0.975) * np.sqrt((share_a + share_b - middle**2) / (count + 2))
    return float(max(middle - half, -1)), float(min(middle + half, 1))
