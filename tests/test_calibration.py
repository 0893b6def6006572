"""Confidence: the temperature, the thresholds and the figures of "none of these"."""

import json
from itertools import product

import numpy as np
import pytest

from training.calibration import (
    Calibration,
    auroc,
    calibrate,
    calibration_figures,
    rejection_figures,
    reliability,
    risk_coverage,
    tempered,
)


def softmax(logits):
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def drawn(samples=6000, classes=4, seed=0):
    """True probabilities, and targets drawn by them."""
    rng = np.random.default_rng(seed)
    truth = softmax(rng.normal(0, 1, (samples, classes)))
    targets = (rng.random((samples, 1)) > truth.cumsum(axis=1)).sum(axis=1)
    return truth, np.minimum(targets, classes - 1)


def calibration_of(confidence, correct):
    return Calibration(1.0, np.array(confidence, float), np.array(correct, bool))


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_a_known_temperature_is_found_again(temperature):
    truth, targets = drawn()
    spoilt = softmax(np.log(truth) * temperature)
    found = calibrate(spoilt, targets)
    assert found.temperature == pytest.approx(temperature, rel=0.06)
    np.testing.assert_allclose(tempered(spoilt, temperature), truth, atol=1e-9)
    np.testing.assert_array_equal(found.correct, truth.argmax(axis=1) == targets)
    errors = calibration_figures(found, spoilt, targets)
    assert errors["temperature"] == found.temperature
    if temperature != 1:
        assert errors["ece_after"] < errors["ece_before"] / 3


def test_the_temperature_minimises_the_likelihood_and_its_prior():
    truth, targets = drawn(80, seed=3)
    found = calibrate(truth, targets).temperature

    def cost(temperature):
        chosen = tempered(truth, temperature)[np.arange(80), targets]
        return -np.log(chosen).sum() + 0.5 * (np.log(temperature) / 0.5) ** 2

    grid = np.exp(np.linspace(-2, 2, 4001))
    assert found == pytest.approx(grid[np.argmin([cost(one) for one in grid])], rel=2e-3)


def test_no_temperature_changes_the_order_of_the_classes():
    probabilities = drawn(200)[0]
    probabilities[0] = [1.0, 0.0, 0.0, 0.0]
    for temperature in (0.05, 0.7, 1.0, 20.0):
        changed = tempered(probabilities, temperature)
        np.testing.assert_allclose(changed.sum(axis=1), 1)
        np.testing.assert_array_equal(
            changed[1:].argsort(axis=1), probabilities[1:].argsort(axis=1)
        )
        assert changed[0].argmax() == 0
    hot, cold = tempered(probabilities, 5.0), tempered(probabilities, 0.5)
    assert (hot.max(axis=1) <= cold.max(axis=1)).all()


def test_a_validation_part_without_a_mistake_does_not_freeze_the_temperature():
    probabilities = np.tile([0.8, 0.15, 0.05], (40, 1))
    temperature = calibrate(probabilities, np.zeros(40, int)).temperature
    assert 0.2 < temperature < 1  # surer than before, and far from the bound of 0.05


def test_accuracy_against_share_answered_is_what_counting_gives():
    rng = np.random.default_rng(1)
    confidence = rng.integers(1, 20, 60) / 20  # many ties
    correct = rng.random(60) < confidence
    coverage, accuracy, thresholds = risk_coverage(confidence, correct)
    assert thresholds.tolist() == sorted(set(confidence), reverse=True)
    for share, right, threshold in zip(coverage, accuracy, thresholds, strict=True):
        answered = confidence >= threshold
        assert share == answered.mean()
        assert right == pytest.approx(correct[answered].mean())


@pytest.mark.parametrize("target", [0.7, 0.8, 0.9, 0.95])
def test_a_threshold_reaches_its_target_and_no_lower_one_does(target):
    rng = np.random.default_rng(2)
    confidence = rng.uniform(0.25, 1, 150).round(2)
    correct = rng.random(150) < confidence
    threshold = calibration_of(confidence, correct).threshold(target)
    answered = confidence >= threshold
    assert correct[answered].mean() >= target
    for lower in sorted(set(confidence[~answered])):
        assert correct[confidence >= lower].mean() < target


def test_a_threshold_lies_between_two_samples():
    found = calibration_of([0.9, 0.8, 0.6, 0.5], [1, 1, 0, 0])
    assert found.threshold(1.0) == pytest.approx(0.7)
    assert found.threshold(0.6) == pytest.approx(0.55)  # 2 of 3
    assert found.threshold(0.5) == 0.0


def test_samples_of_one_confidence_are_answered_together():
    found = calibration_of([0.9, 0.8, 0.8, 0.3], [1, 1, 0, 0])
    assert found.threshold(1.0) == pytest.approx(0.85)  # not the right one of the two at 0.8
    assert found.threshold(2 / 3) == pytest.approx(0.55)


def test_a_target_out_of_reach_has_no_threshold():
    found = calibration_of([0.9, 0.8, 0.7], [0, 1, 1])
    assert found.threshold(0.7) is None
    assert found.threshold(2 / 3) == 0.0


def test_auroc_is_the_share_of_pairs_in_the_right_order():
    rng = np.random.default_rng(4)
    known, other = rng.integers(3, 10, 30) / 10, rng.integers(0, 8, 20) / 10
    pairs = [(one > two) + 0.5 * (one == two) for one, two in product(known, other)]
    assert auroc(known, other) == pytest.approx(np.mean(pairs))
    assert auroc([0.9, 0.8], [0.1]) == 1.0
    assert auroc([0.1], [0.9, 0.8]) == 0.0


def two_classes(confidences):
    """Probabilities of two classes, the first one the answer."""
    return np.array([[one, 1 - one] for one in confidences])


def test_rejection_on_a_worked_example():
    found = calibration_of([0.9, 0.8, 0.6, 0.55], [1, 1, 0, 1])  # at 1.0: threshold 0.7
    probabilities = two_classes([0.95, 0.75, 0.72, 0.65, 0.6])
    targets = np.array([0, 0, 1, 0, -1])
    figures = rejection_figures(found, 1.0, probabilities, targets, two_classes([0.99, 0.6, 0.5]))
    assert figures["threshold"] == pytest.approx(0.7)
    assert figures["share_answered"] == 3 / 4
    assert figures["accuracy_answered"] == pytest.approx(2 / 3)
    assert figures["n_other"] == 4
    assert figures["other_rejected"] == 3 / 4
    assert figures["auroc"] == 12 / 16  # the one at 0.99 is surer than all four


def test_rejection_without_samples_of_no_class_says_nothing_of_them():
    found = calibration_of([0.9, 0.6], [1, 0])
    figures = rejection_figures(found, 0.4, two_classes([0.9, 0.6]), np.array([0, 0]))
    assert figures == {
        "target": 0.4, "threshold": 0.0, "share_answered": 1.0, "accuracy_answered": 1.0,
    }  # fmt: skip


def test_everything_is_rejected_where_the_target_is_out_of_reach():
    found = calibration_of([0.9, 0.6], [0, 1])
    figures = rejection_figures(
        found, 0.9, two_classes([0.9, 0.8]), np.array([0, 1]), two_classes([0.99])
    )
    assert figures["threshold"] is None
    assert figures["share_answered"] == 0.0
    assert figures["accuracy_answered"] is None
    assert figures["other_rejected"] == 1.0


def test_reliability_bins_hold_means_and_counts():
    confidence = np.array([0.05, 0.31, 0.39, 0.95, 1.0])
    correct = np.array([0, 1, 0, 1, 1])
    bins = reliability(confidence, correct, bins=10)
    assert bins["count"].tolist() == [1, 0, 0, 2, 0, 0, 0, 0, 0, 2]
    assert bins["confidence"][3] == pytest.approx(0.35)
    assert bins["accuracy"][3] == 0.5
    assert bins["confidence"][9] == pytest.approx(0.975)
    assert np.isnan(bins["accuracy"][1])
    assert bins["ece"] == pytest.approx((0.05 + abs(0.7 - 1) + abs(1.95 - 2)) / 5)


def test_a_calibration_survives_being_written():
    truth, targets = drawn(300, seed=5)
    before = calibrate(truth, targets)
    after = Calibration.from_json(json.loads(json.dumps(before.to_json())))
    assert after.temperature == before.temperature
    np.testing.assert_array_equal(after.confidence, before.confidence)
    np.testing.assert_array_equal(after.correct, before.correct)
    assert after.correct.dtype == bool
    for target in (0.6, 0.8, 0.9):
        assert after.threshold(target) == before.threshold(target)
