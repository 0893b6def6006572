"""Figures of `training.evaluation` against worked examples, scikit-learn and published values."""

import json

import numpy as np
import pandas as pd
import pytest
from sklearn import metrics

from training.evaluation import (
    accuracy_by_value,
    evaluate,
    expected_calibration_error,
    permutation_drops,
    wilson_interval,
)

LABELS = ("cat", "dog", "fox")
# Five samples by hand: answers cat, cat, dog, dog, fox for cat, dog, dog, dog, fox.
PROBABILITIES = np.array(
    [[0.8, 0.1, 0.1], [0.5, 0.4, 0.1], [0.2, 0.7, 0.1], [0.1, 0.9, 0.0], [0.3, 0.1, 0.6]]
)
TARGETS = np.array([0, 1, 1, 1, 2])


def random_case(samples=400, classes=4, seed=3):
    rng = np.random.default_rng(seed)
    targets = rng.choice(classes, samples, p=np.linspace(1, classes, classes) / 10)
    scores = rng.random((samples, classes))
    scores[np.arange(samples), targets] += 0.5
    return scores / scores.sum(axis=1, keepdims=True), targets


def test_confusion_has_true_classes_in_rows():
    result = evaluate(PROBABILITIES, TARGETS, LABELS)
    assert result.confusion.tolist() == [[1, 0, 0], [1, 2, 0], [0, 0, 1]]
    assert result.labels == LABELS


def test_figures_of_five_samples_by_hand():
    figures = evaluate(PROBABILITIES, TARGETS, LABELS).figures
    assert figures["n"] == 5
    assert figures["accuracy"] == figures["accuracy_known"] == pytest.approx(4 / 5)
    assert figures["balanced_accuracy"] == pytest.approx((1 + 2 / 3 + 1) / 3)
    assert figures["macro_f1"] == pytest.approx((2 / 3 + 4 / 5 + 1) / 3)
    surprise = -np.log([0.8, 0.4, 0.7, 0.9, 0.6]).mean()
    assert figures["log_loss"] == pytest.approx(surprise)


def test_per_class_figures_by_hand():
    dog = evaluate(PROBABILITIES, TARGETS, LABELS).per_class["dog"]
    assert (dog["precision"], dog["support"]) == (1.0, 3)
    assert dog["recall"] == pytest.approx(2 / 3)
    assert dog["f1"] == pytest.approx(4 / 5)
    assert dog["recall_interval"] == pytest.approx(wilson_interval(2, 3))
    assert dog["precision_interval"] == pytest.approx(wilson_interval(2, 2))
    assert dog["f1_interval"][0] <= dog["f1"] <= dog["f1_interval"][1]


def test_figures_agree_with_scikit_learn():
    probabilities, targets = random_case()
    answers = probabilities.argmax(axis=1)
    result = evaluate(probabilities, targets, tuple("abcd"))
    figures = result.figures
    assert figures["accuracy"] == pytest.approx(metrics.accuracy_score(targets, answers))
    balanced = metrics.balanced_accuracy_score(targets, answers)
    assert figures["balanced_accuracy"] == pytest.approx(balanced)
    assert figures["macro_f1"] == pytest.approx(metrics.f1_score(targets, answers, average="macro"))
    assert figures["log_loss"] == pytest.approx(metrics.log_loss(targets, probabilities))
    theirs = metrics.precision_recall_fscore_support(targets, answers)
    names = ("precision", "recall", "f1", "support")
    ours = [[row[name] for row in result.per_class.values()] for name in names]
    np.testing.assert_allclose(ours, theirs)


def test_balanced_accuracy_looks_at_occurring_classes_only():
    seen = TARGETS < 2
    figures = evaluate(PROBABILITIES[seen], TARGETS[seen], LABELS).figures
    assert figures["balanced_accuracy"] == pytest.approx((1 + 2 / 3) / 2)


def test_unknown_labels_are_wrong_in_accuracy_only():
    whole = evaluate(PROBABILITIES, TARGETS, LABELS)
    strangers = np.full((3, 3), 1 / 3)
    result = evaluate(
        np.concatenate([PROBABILITIES, strangers]), np.append(TARGETS, [-1, -1, -1]), LABELS
    )
    assert result.figures["n"] == 8
    assert result.figures["accuracy"] == pytest.approx(4 / 8)
    assert result.intervals["accuracy"] == pytest.approx(wilson_interval(4, 8))
    for name in ("accuracy_known", "balanced_accuracy", "macro_f1", "log_loss", "ece"):
        assert result.figures[name] == whole.figures[name]
    np.testing.assert_array_equal(result.confusion, whole.confusion)


@pytest.mark.parametrize("targets", [[], [-1, -1]])
def test_nothing_to_judge_is_refused(targets):
    with pytest.raises(ValueError, match="known label"):
        evaluate(np.full((len(targets), 3), 1 / 3), np.array(targets, int), LABELS)


@pytest.mark.parametrize(
    ("hits", "total", "low", "high"),
    [
        (8, 10, 0.4902, 0.9433),
        (0, 10, 0.0, 0.2775),
        (81, 263, 0.2553, 0.3662),  # Newcombe 1998, Stat. Med. 17, table I, method 3
        (15, 148, 0.0624, 0.1605),  # the same
        (0, 20, 0.0, 0.1611),  # the same
        (1, 29, 0.0061, 0.1718),  # the same
    ],
)
def test_wilson_interval_has_the_published_values(hits, total, low, high):
    assert wilson_interval(hits, total) == pytest.approx((low, high), abs=5e-5)


def test_calibration_error_by_hand():
    # Two bins hold two samples each: gaps |0.55 - 0.5| and |0.95 - 0.5|.
    confidence, hit = np.array([0.52, 0.58, 0.92, 0.98]), np.array([True, False, False, True])
    error = expected_calibration_error(confidence, hit, bins=10)
    assert error == pytest.approx((0.05 + 0.45) / 2)


def test_calibration_error_is_nought_for_sure_and_right_answers():
    assert expected_calibration_error(np.ones(6), np.ones(6, bool)) == 0.0
    assert expected_calibration_error(np.ones(6), np.zeros(6, bool)) == 1.0


@pytest.mark.parametrize("name", ["accuracy", "balanced_accuracy", "macro_f1", "log_loss"])
def test_intervals_hold_the_figure_and_narrow_with_the_samples(name):
    few, many = (evaluate(*random_case(samples), tuple("abcd")) for samples in (400, 6400))
    width = []
    for result in (few, many):
        low, high = result.intervals[name]
        assert low < result.figures[name] < high
        width.append(high - low)
    # Sixteen times the samples: a quarter of the width.
    assert width[0] / width[1] == pytest.approx(4, rel=0.25)


def test_bootstrap_interval_has_the_width_of_theory():
    targets = np.repeat([0, 1], 500)
    answers = np.where(np.arange(1000) % 5, targets, 1 - targets)
    low, high = evaluate(np.eye(2)[answers], targets, "ab").intervals["balanced_accuracy"]
    # The mean of two recalls of 0.8, each from 500 samples.
    deviation = np.sqrt(0.8 * 0.2 / 500 / 2)
    assert high - low == pytest.approx(2 * 1.96 * deviation, rel=0.1)
    assert (low + high) / 2 == pytest.approx(0.8, abs=0.004)


def test_bootstrap_interval_covers_the_truth_at_its_rate():
    # The truth is the figure of a sample large enough to have no error of its own here.
    truth = evaluate(*random_case(200_000, seed=0), tuple("abcd")).figures["balanced_accuracy"]
    covered = 0
    for seed in range(1, 61):
        result = evaluate(*random_case(200, seed=seed), tuple("abcd"))
        low, high = result.intervals["balanced_accuracy"]
        covered += low <= truth <= high
    assert 52 <= covered <= 60  # binomial(60, 0.95) falls below 52 in one case of 250


def test_evaluate_is_repeatable_and_speaks_json():
    first, second = (evaluate(PROBABILITIES, TARGETS, LABELS).to_json() for _ in range(2))
    assert json.loads(json.dumps(first, allow_nan=False)) == json.loads(json.dumps(second))
    assert first["confusion"] == [[1, 0, 0], [1, 2, 0], [0, 0, 1]]
    assert first["accuracy"] == pytest.approx(0.8)


def test_permutation_drop_finds_the_decisive_modality():
    rng = np.random.default_rng(0)
    targets = rng.integers(0, 4, 500)
    arrays = {"decisive": targets, "ignored": rng.random((500, 3))}

    def predict(inputs):
        return np.eye(4)[inputs["decisive"]]

    drops = permutation_drops(predict, arrays, targets)
    assert drops["ignored"] == 0.0
    # Shuffling leaves one answer of four right by chance.
    assert drops["decisive"] == pytest.approx(0.75, abs=0.06)
    np.testing.assert_array_equal(arrays["decisive"], targets)


def test_accuracy_by_value_takes_columns_of_groups_alone():
    frame = pd.DataFrame(
        {
            "site": ["a"] * 6 + ["b"] * 6,
            "one": ["x"] * 12,
            "each": [str(number) for number in range(12)],
            "rare": ["x"] * 10 + ["y"] * 2,
            "gaps": ["x"] * 6 + [""] * 6,
        }
    )
    hits = np.array([1, 1, 1, 0, 0, 0, 1, 1, 1, 1, 1, 1], bool)
    found = accuracy_by_value(frame, hits)
    assert list(found) == ["site"]
    assert found["site"]["a"] == {"accuracy": 0.5, "interval": list(wilson_interval(3, 6)), "n": 6}
    assert found["site"]["b"]["accuracy"] == 1
