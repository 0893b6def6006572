"""Means over folds and paired tests, against worked numbers, scipy and counting."""

from itertools import product
from math import comb, sqrt

import numpy as np
import pytest
from scipy import stats

from training.statistics import (
    corrected_resampled_t,
    mcnemar_exact,
    mean_over_runs,
    paired_t,
)


def test_students_interval_of_a_worked_example():
    found = mean_over_runs([1.0, 2.0, 3.0, 4.0, 5.0])
    half = 2.7764451052 * sqrt(2.5 / 5)  # t(0.975, 4), variance 2.5
    assert (found.mean, found.low, found.high) == pytest.approx((3, 3 - half, 3 + half), abs=1e-9)


def test_a_single_run_has_no_interval():
    found = mean_over_runs([0.5])
    assert (found.mean, found.low, found.high) == (0.5, None, None)


def test_the_paired_t_test_is_scipys():
    rng = np.random.default_rng(0)
    for count in (2, 3, 5, 10):
        one, other = rng.random(count), rng.random(count)
        expected = stats.ttest_rel(one, other)
        found = paired_t(one - other)
        assert found.statistic == pytest.approx(expected.statistic, rel=1e-12)
        assert found.p == pytest.approx(expected.pvalue, rel=1e-9)


def test_the_corrected_test_of_a_worked_example():
    # mean 0.02, variance 0.00025; (1/5 + 1/4) * 0.00025 = 0.0001125; two-sided p at t(4) by
    # integration of its density in closed form: P(|T| > t) = 1 - sin(a) (1 + cos(a)^2 / 2) with
    # tan(a) = t / 2.
    found = corrected_resampled_t([0.0, 0.01, 0.02, 0.03, 0.04], 0.25)
    t = 0.02 / sqrt(0.0001125)
    angle = np.arctan(t / 2)
    assert found.statistic == pytest.approx(t, rel=1e-12)
    assert found.p == pytest.approx(1 - np.sin(angle) * (1 + np.cos(angle) ** 2 / 2), rel=1e-9)


def test_without_test_samples_the_correction_vanishes():
    differences = [0.1, -0.02, 0.05, 0.03]
    plain, corrected = paired_t(differences), corrected_resampled_t(differences, 0.0)
    assert (corrected.statistic, corrected.p) == pytest.approx((plain.statistic, plain.p))
    assert corrected_resampled_t(differences, 1 / 3).p > plain.p


def test_the_correction_keeps_its_promise_on_overlapping_folds():
    """Differences that share a part as large as the correction assumes: 5 % are found at 5 %."""
    rng, found = np.random.default_rng(0), []
    for _ in range(4000):
        common = rng.normal(0, sqrt(0.25))
        found.append(common + rng.normal(0, 1, 5))
    corrected = np.mean([corrected_resampled_t(one, 0.25).p < 0.05 for one in found])
    plain = np.mean([paired_t(one).p < 0.05 for one in found])
    assert corrected == pytest.approx(0.05, abs=0.012)
    assert plain > 0.12


def test_the_sign_follows_the_differences():
    assert paired_t([0.1, 0.2]).statistic == -paired_t([-0.1, -0.2]).statistic > 0


@pytest.mark.parametrize("test", [paired_t, lambda values: corrected_resampled_t(values, 0.25)])
def test_differences_without_variance(test):
    none = test([0.0, 0.0, 0.0])
    assert (none.statistic, none.p) == (0.0, 1.0)
    for equal in ([0.9 - 0.8, 0.8 - 0.7, 0.7 - 0.6], [0.1]):
        undecided = test(equal)
        assert (undecided.statistic, undecided.p) == (None, None)
    with pytest.raises(ValueError, match="at least one"):
        test([])


def test_a_negative_ratio_is_refused():
    with pytest.raises(ValueError, match="per training sample"):
        corrected_resampled_t([0.1, 0.2], -0.25)


def test_mcnemar_counts_and_its_exact_p():
    right_a = np.array([True] * 40 + [True] * 3 + [False] * 12 + [False] * 5)
    right_b = np.array([True] * 40 + [False] * 3 + [True] * 12 + [False] * 5)
    found = mcnemar_exact(right_a, right_b)
    assert (found.both, found.only_a, found.only_b, found.neither) == (40, 3, 12, 5)
    assert found.statistic == 3
    assert found.p == pytest.approx(2 * sum(comb(15, k) for k in range(4)) / 2**15, rel=1e-12)
    turned = mcnemar_exact(right_b, right_a)
    assert (turned.only_a, turned.only_b, turned.p) == (12, 3, found.p)
    assert (turned.low, turned.high) == (-found.high, -found.low)


def test_the_interval_of_a_paired_difference_holds_it_as_often_as_it_says():
    rng, shares, n = np.random.default_rng(0), (0.82, 0.03, 0.07, 0.08), 400
    held = []
    for _ in range(2000):
        pairs = rng.choice(4, size=n, p=shares)
        found = mcnemar_exact(pairs < 2, (pairs == 0) | (pairs == 2))
        held.append(found.low <= shares[2] - shares[1] <= found.high)
    assert np.mean(held) == pytest.approx(0.95, abs=0.015)


def test_the_interval_of_a_paired_difference_has_one_sample_more_on_either_side():
    found = mcnemar_exact([True] * 91 + [False] * 118 + [True] * 191, [False] * 91 + [True] * 309)
    middle = (119 - 92) / 402
    half = 1.959964 * np.sqrt((211 / 402 - middle**2) / 402)
    assert (found.low, found.high) == pytest.approx((middle - half, middle + half), abs=1e-7)
    nothing = mcnemar_exact([], [])
    assert (nothing.low, nothing.high) == (-1, 1)


def test_mcnemars_p_is_the_share_of_tosses_that_are_as_uneven():
    for only_a, only_b in ((0, 6), (2, 5), (4, 4), (1, 0)):
        found = mcnemar_exact(
            [True] * only_a + [False] * only_b, [False] * only_a + [True] * only_b
        )
        gap, total = abs(only_a - only_b), only_a + only_b
        as_uneven = [abs(2 * sum(toss) - total) >= gap for toss in product((0, 1), repeat=total)]
        assert found.p == pytest.approx(np.mean(as_uneven), rel=1e-12)


def test_answers_that_agree_have_a_p_of_one():
    assert mcnemar_exact([True, False, True], [True, False, True]).p == 1.0
    assert mcnemar_exact([], []).p == 1.0


def test_answers_on_other_samples_are_refused():
    with pytest.raises(ValueError, match="no pairs"):
        mcnemar_exact([True, False], [True])
