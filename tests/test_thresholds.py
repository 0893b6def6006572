"""Thresholds of answers: the exact curve, the rules, and what they promise."""

from itertools import combinations

import numpy as np
import pytest

from datasets.taxonomy import Node
from models.species.curves import (
    WorkingPoints,
    accuracy_by_class_size,
    depth_by_target,
    working_points,
)
from models.species.specificity import (
    ROOT_ONLY,
    depths,
    figures,
)
from models.species.thresholds import (
    RULES,
    binary_search,
    conformal,
    hill_climbing,
    promised_accuracy,
)
from tests.random_trees import drawn, fish, judged, refusal, tree
from training.evaluation import wilson_interval

# --- the curve


@pytest.mark.parametrize("starts", [(), ("2-",)])
def test_the_curve_is_what_counting_gives_at_every_threshold(starts):
    taxonomy = tree(5)
    within = [Node(2, 0), Node(2, 1)] if starts else ()
    probabilities, targets = drawn(taxonomy, 80, 3)
    targets[:5] = -1
    best, right = judged(taxonomy, probabilities, targets, within)
    points = working_points(best, right, taxonomy)
    assert points.thresholds[0] == ROOT_ONLY and (np.diff(points.thresholds) < 0).all()
    assert len(points.thresholds) > 100
    for place, threshold in enumerate(points.thresholds):
        for same in (threshold, points.threshold(place)):
            found = figures(best, right, same)
            assert points.accuracy[place] == pytest.approx(found["accuracy"])
            assert points.depth[place] == pytest.approx(found["depth"])
        answered = depths(best, threshold)
        sizes = [
            len(taxonomy.leaves_below(Node(depth, int(best.nodes[row, depth]))))
            for row, depth in enumerate(answered.tolist())
        ]
        assert points.coverage[place] == pytest.approx(1 - np.log(sizes).mean() / np.log(40))
    assert points.depth[-1] == 4 and points.coverage[-1] == pytest.approx(1)
    with pytest.raises(ValueError, match="no picture"):
        working_points(best[:0], right[:0], taxonomy)


def test_points_that_reach_a_target_after_one_that_does_not_are_not_counted():
    accuracy = np.array([1, 0.9, 0.5, 0.9, 0.95, 0.3])
    points = WorkingPoints(np.linspace(1, 0, 6), accuracy, accuracy, accuracy)
    counted = {1: 1, 0.95: 1, 0.9: 2, 0.8: 2, 0.5: 5, 0.4: 5, 0.3: 6, 0: 6}
    assert {target: points.above(target) for target in counted} == counted
    assert WorkingPoints(*[np.array([0.5])] * 4).above(0.6) == 0


def test_depth_falls_as_the_target_rises():
    taxonomy = tree(4)
    best, right = judged(taxonomy, *drawn(taxonomy, 600, 1))
    right[:6] = False  # of unknown species
    points = working_points(best[:300], right[:300], taxonomy)
    targets = np.linspace(0.3, 1, 15)
    found = depth_by_target(points, best[300:], right[300:], targets)
    assert [one.target for one in found] == targets[:-1].tolist()  # 1 is out of reach
    assert (np.diff([one.depth for one in found]) <= 0).all()
    assert found[0].depth > found[-1].depth + 1
    for one in found:
        assert figures(best[:300], right[:300], one.threshold)["accuracy"] >= one.target
        report = figures(best[300:], right[300:], one.threshold)
        assert (one.accuracy, one.depth) == (report["accuracy"], report["depth"])


def test_accuracy_by_class_size_counts_pictures_of_like_classes():
    sizes = [4, 5, 9, 2000, 10]
    targets = [0, 0, 1, 2, 2, 3, -1]
    right = [1, 0, 1, 1, 0, 0, 1]
    found = accuracy_by_class_size(right, targets, sizes)
    assert [(one.low, one.high, one.classes, one.pictures) for one in found] == [
        (1, 4, 1, 2),
        (5, 9, 2, 3),
        (1000, None, 1, 1),
    ]
    assert [one.accuracy for one in found] == [1 / 2, 2 / 3, 0]
    assert found[1].interval == wilson_interval(2, 3)


# --- thresholds


@pytest.mark.parametrize("rule", RULES.values())
def test_a_rule_tells_what_its_threshold_does(rule):
    taxonomy = tree(6)
    best, right = judged(taxonomy, *drawn(taxonomy, 500, 2))
    found = rule(best, right, 0.8, taxonomy)
    assert found == rule(best, right, 0.8, taxonomy)
    told = figures(best, right, found.value)
    assert (found.accuracy, found.depth) == (told["accuracy"], told["depth"])
    assert (found.target, found.pictures) == (0.8, 500)


@pytest.mark.parametrize("target", [0.35, 0.5, 0.7, 0.9, 0.99, 1.0])
@pytest.mark.parametrize("seed", range(3))
def test_binary_search_finds_the_least_threshold_from_which_all_reach_the_target(seed, target):
    taxonomy = tree(seed)
    best, right = judged(taxonomy, *drawn(taxonomy, 150, seed))
    value = binary_search(best, right, target, taxonomy).value
    scores = np.unique(np.concatenate([best.probabilities.ravel(), [value, ROOT_ONLY]]))
    reached = [figures(best, right, score)["accuracy"] >= target for score in scores]
    assert all(good for score, good in zip(scores, reached, strict=True) if score >= value)
    below = [good for score, good in zip(scores, reached, strict=True) if 0 < score < value]
    assert not below or not below[-1]


def test_a_target_that_all_leaves_reach_needs_no_threshold():
    taxonomy = fish()
    targets = np.arange(5)
    best, right = judged(taxonomy, np.eye(5), targets)
    assert binary_search(best, right, 1.0, taxonomy).value == 0.0
    # Sure and wrong: only the root is right.
    best, right = judged(taxonomy, np.eye(5)[[4, 4, 4, 4, 0]], targets)
    for rule in (binary_search, hill_climbing):
        found = rule(best, right, 1.0, taxonomy)
        assert (found.value, found.accuracy, found.depth) == (ROOT_ONLY, 1.0, 0.0)


@pytest.mark.parametrize("target", [0.6, 0.8, 0.9, 0.95])
def test_hill_climbing_comes_near_the_target(target):
    taxonomy = tree(7)
    best, right = judged(taxonomy, *drawn(taxonomy, 4000, 5))
    half = slice(0, 2000)
    found = [hill_climbing(best[half], right[half], target, taxonomy, seed) for seed in range(10)]
    reached = [figures(best[2000:], right[2000:], one.value)["accuracy"] for one in found]
    assert len({one.value for one in found}) == 10
    assert np.mean(reached) == pytest.approx(target, abs=0.02)
    assert np.ptp(reached) < 0.08


@pytest.mark.parametrize("rule", RULES.values())
def test_a_target_out_of_reach_names_the_best_possible(rule):
    taxonomy = fish()
    targets = np.tile(np.arange(5), 40)
    best, right = judged(taxonomy, np.eye(5)[targets], np.where(targets == 0, -1, targets))
    message = refusal(rule, best, right, 0.9, taxonomy)
    assert "no threshold reaches an accuracy of 90.0%: the best possible is 80.0%" in message
    assert "40 of 200 calibration pictures are of none of the classes" in message
    within = [taxonomy.find("Labridae")]
    best, right = judged(taxonomy, np.eye(5)[targets], targets, within)
    message = refusal(rule, best, right, 0.9, taxonomy)
    assert "best possible is 60.0%" in message and "outside Labridae or of none" in message
    assert "must be above 0" in refusal(rule, best, right, 0.0, taxonomy)
    assert "at most 1" in refusal(rule, best, right, 90, taxonomy)
    assert "no calibration picture" in refusal(rule, best[:0], right[:0], 0.9, taxonomy)
    rule(best, right, 0.5, taxonomy)


@pytest.mark.parametrize(("confidence", "future"), [(0.9, None), (0.9, 60), (0.75, 200)])
def test_the_best_that_can_be_promised_can_be_asked_for_and_no_more(confidence, future):
    taxonomy = fish()
    targets = np.tile(np.arange(5), 12)
    best, right = judged(taxonomy, np.eye(5)[targets], np.where(targets == 0, -1, targets))
    most = promised_accuracy(12, 60, confidence, future)
    assert 0.5 < most < 0.8
    conformal(best, right, most, taxonomy, confidence, future)
    message = refusal(conformal, best, right, most + 0.001, taxonomy, confidence, future)
    assert (
        f"with probability {confidence:.0%}, at best {np.floor(most * 1000) / 10:.1f}%" in message
    )
    with pytest.raises(ValueError, match="confidence 90"):
        conformal(best, right, 0.5, taxonomy, 90)


def test_the_promise_for_the_long_run_is_the_limit_of_that_for_many_pictures():
    for wrong, pictures in ((0, 30), (7, 100), (40, 400)):
        long_run = promised_accuracy(wrong, pictures)
        assert promised_accuracy(wrong, pictures, future=100_000) == pytest.approx(
            long_run, abs=1e-3
        )
        assert promised_accuracy(wrong, pictures, future=pictures) < long_run
        assert promised_accuracy(wrong + 1, pictures) < long_run
        assert promised_accuracy(wrong, pictures, 0.99) < long_run
    assert promised_accuracy(0, 22) > 0.9 > promised_accuracy(0, 21)  # 0.9^22 < 0.1 < 0.9^21
    assert promised_accuracy(5, 5) == promised_accuracy(5, 5, future=5) == 0


@pytest.mark.parametrize(("pictures", "future"), [(6, 6), (8, 4), (5, 7)])
@pytest.mark.parametrize("confidence", [0.55, 0.8, 0.95])
def test_the_promise_for_some_pictures_is_exact_over_all_divisions(pictures, future, confidence):
    """All answers are wrong in the end: they turn so one by one as the threshold falls."""
    divisions = np.zeros((0, pictures + future), int)
    for places in combinations(range(pictures + future), pictures):
        row = np.isin(np.arange(pictures + future), places)
        divisions = np.append(divisions, [row], axis=0)
    here, there = divisions.cumsum(axis=1), (1 - divisions).cumsum(axis=1)
    for wrong in range(pictures + 1):
        missed = next(
            missed
            for missed in range(future + 1)
            if ((here <= wrong) & (there > missed)).any(axis=1).mean() <= 1 - confidence
        )
        found = promised_accuracy(wrong, pictures, confidence, future)
        assert found == pytest.approx(1 - missed / future)


@pytest.mark.parametrize("future", [None, 200])
def test_the_conformal_rule_keeps_its_promise_over_200_random_divisions(future):
    """Kept at least as often as promised, and not by answering the root."""
    taxonomy = tree(8)
    population, size, rounds, target = 20_000, 200, 200, 0.8
    best, right = judged(taxonomy, *drawn(taxonomy, population, 9))
    rng = np.random.default_rng(0)
    kept, plain, deep = [], [], []
    for _ in range(rounds):
        order = rng.permutation(population)
        first, second = order[:size], order[size : 2 * size]
        # In the long run is in the population; else in the other part of a random division.
        others = second if future else slice(None)
        found = conformal(best[first], right[first], target, taxonomy, 0.9, future)
        assert found.value > 0.5
        kept.append(figures(best[others], right[others], found.value)["accuracy"] >= target)
        value = binary_search(best[first], right[first], target, taxonomy).value
        plain.append(figures(best[others], right[others], value)["accuracy"] >= target)
        deep.append(found.depth)
    assert np.mean(kept) >= 0.9 - 3 * np.sqrt(0.09 / rounds)
    assert np.mean(plain) < 0.75  # so the promise is not one that any rule keeps
    assert np.mean(kept) < 1  # nor far too careful
    assert np.mean(deep) > 1


def test_answers_of_a_conformal_threshold_stay_above_one_half():
    taxonomy = fish()
    targets = np.tile(np.arange(5), 40)
    best, right = judged(taxonomy, np.eye(5)[targets], targets)
    found = conformal(best, right, 0.9, taxonomy)
    assert 0.5 < found.value < 0.501
    assert (found.accuracy, found.depth) == (1.0, 4.0)
    assert "with probability 90%, at least 90.0% of answers in the long run" in found.promise
    told = conformal(best, right, 0.9, taxonomy, future=50).promise
    assert "at least 90.0% of the next 50 answers" in told
