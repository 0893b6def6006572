"""Answers of fitting depth: against brute force, properties, and what thresholds promise."""

import tracemalloc
from itertools import combinations

import numpy as np
import pandas as pd
import pytest

from benchmarks.specificity import depth_first
from datasets.errors import InputError
from datasets.taxonomy import ROOT_NODE, Node
from datasets.taxonomy_table import from_frame
from models.species.curves import (
    WorkingPoints,
    accuracy_by_class_size,
    depth_by_target,
    working_points,
)
from models.species.specificity import (
    ROOT_ONLY,
    answers,
    best_taxa,
    correctness,
    depths,
    figures,
    roll_up,
)
from models.species.thresholds import (
    RULES,
    binary_search,
    conformal,
    hill_climbing,
    promised_accuracy,
)
from training.evaluation import wilson_interval

FISH = [
    ("Perciformes", "Labridae", "Thalassoma", "T. lunare"),
    ("Perciformes", "Labridae", "Thalassoma", "T. lutescens"),
    ("Perciformes", "Labridae", "Coris", "C. aygula"),
    ("Perciformes", "Scaridae", "Scarus", "S. niger"),
    ("Blenniiformes", "Blenniidae", "Salarias", "S. fasciatus"),
]
RANKS = ("order", "family", "genus", "species")
GRID = 2**20  # sums of multiples of 1/GRID are exact in any order


def fish():
    return from_frame(pd.DataFrame(FISH, columns=RANKS), RANKS, [row[-1] for row in FISH]).taxonomy


def tree(seed, leaves=40, ranks=4):
    """A random tree, its leaves in random class order."""
    rng = np.random.default_rng(seed)
    lineage = np.array([f"l{index:03}" for index in rng.permutation(leaves)], object)
    columns = {f"r{ranks}": lineage}
    group = rng.integers(0, leaves // 2, leaves)
    for rank in range(ranks - 1, 0, -1):
        columns[f"r{rank}"] = np.array([f"{rank}-{one}" for one in group], object)
        group = rng.integers(0, 2 * rank, leaves)[group]
    frame = pd.DataFrame(columns)
    names = [f"r{rank}" for rank in range(1, ranks + 1)]
    return from_frame(frame, names, list(lineage)).taxonomy


def guesses(taxonomy, pictures, seed=0, sharpness=3.0, right_towards=None):
    """(pictures, leaves) float64 on the grid, of sum 1; of the true leaves if these are given."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(pictures, len(taxonomy.leaves)))
    for depth in range(1, len(taxonomy.ranks) + 1):
        taxa = rng.normal(size=(pictures, len(taxonomy.names[depth - 1])))
        logits += taxa[:, taxonomy.ancestors[depth]]
    if right_towards is not None:
        for depth in range(1, len(taxonomy.ranks) + 1):
            row = taxonomy.ancestors[depth]
            logits += 0.7 * (row == row[right_towards][:, None])
    powers = np.exp(sharpness * (logits - logits.max(axis=1, keepdims=True)))
    counts = np.floor(powers / powers.sum(axis=1, keepdims=True) * GRID)
    counts[np.arange(pictures), counts.argmax(axis=1)] += GRID - counts.sum(axis=1)
    return counts / GRID


def drawn(taxonomy, pictures, seed=0, sharpness=1.0):
    """Probabilities and true leaves of a network that is right now and then."""
    targets = np.random.default_rng(seed).integers(0, len(taxonomy.leaves), pictures)
    return guesses(taxonomy, pictures, seed + 1, sharpness, targets), targets


def judged(taxonomy, probabilities, targets, within=()):
    best = best_taxa(probabilities, taxonomy, within)
    return best, correctness(best, targets, taxonomy)


def every_node(taxonomy):
    yield ROOT_NODE
    for depth, names in enumerate(taxonomy.names, 1):
        yield from (Node(depth, index) for index in range(len(names)))


def lineages(taxonomy):
    return [taxonomy.lineage(leaf) for leaf in range(len(taxonomy.leaves))]


def brute_force(taxonomy, row, threshold, within=()):
    """The answer by the definition alone: sums over the names of lineages."""
    lines = lineages(taxonomy)
    starts = [taxonomy.lineage(taxonomy.leaves_below(one)[0])[: one.depth] for one in within]
    inside = [not starts or any(line[: len(one)] == one for one in starts) for line in lines]
    mass = sum(p for p, keep in zip(row, inside, strict=True) if keep)
    sums = {(): 1.0}
    for line, p, keep in zip(lines, row, inside, strict=True):
        for depth in range(1, len(line) + 1):
            value = sums.get(line[:depth], 0.0)
            sums[line[:depth]] = value + (p / mass if keep else 0.0)
    feasible = [line for line, p in sums.items() if p >= threshold or not line]
    deepest = max(map(len, feasible))
    return deepest, max(sums[line] for line in feasible if len(line) == deepest), sums


def line_of(taxonomy, node):
    return tuple(taxonomy.name(step) for step in taxonomy.path(node))


def refusal(function, *arguments, **options):
    with pytest.raises(InputError) as caught:
        function(*arguments, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


# --- summing up and searching


@pytest.mark.parametrize("seed", range(6))
def test_every_taxon_has_the_sum_of_its_leaves(seed):
    taxonomy = tree(seed, leaves=15 + 9 * seed, ranks=1 + seed)
    probabilities = guesses(taxonomy, 20, seed)
    rolled = roll_up(probabilities, taxonomy)
    assert [taxa.shape for taxa in rolled] == [(20, len(names)) for names in taxonomy.names]
    np.testing.assert_array_equal(rolled[-1], probabilities)
    for depth, taxa in enumerate(rolled, 1):
        for index in range(taxa.shape[1]):
            below = taxonomy.ancestors[depth] == index
            np.testing.assert_array_equal(taxa[:, index], probabilities[:, below].sum(axis=1))


@pytest.mark.parametrize("threshold", [0.02, 0.1, 0.3, 0.5, 0.51, 0.8, 0.97, 1.0, ROOT_ONLY])
@pytest.mark.parametrize("seed", range(4))
def test_the_answer_is_the_deepest_feasible_node_and_the_most_probable_of_these(seed, threshold):
    taxonomy = tree(seed)
    probabilities = guesses(taxonomy, 40, seed, sharpness=[0.3, 1, 2, 4][seed])
    best = best_taxa(probabilities, taxonomy, block=7)
    children = [
        [taxonomy.children(Node(depth, index)).tolist() for index in range(len(names))]
        for depth, names in enumerate([("root",), *taxonomy.names[:-1]])
    ]
    for row, depth in enumerate(depths(best, threshold).tolist()):
        deepest, probability, sums = brute_force(taxonomy, probabilities[row], threshold)
        node = Node(depth, int(best.nodes[row, depth]))
        assert depth == deepest
        assert best.probabilities[row, depth] == probability == sums[line_of(taxonomy, node)]
        found = depth_first(taxonomy, children, probabilities[row].tolist(), threshold)
        assert sums[line_of(taxonomy, found)] == probability and found.depth == depth


def test_the_trees_above_have_answers_of_every_depth_and_branches_that_are_not_nested():
    seen, jumps = set(), 0
    for seed, sharpness in enumerate([0.3, 1, 2, 4]):
        taxonomy = tree(seed)
        best = best_taxa(guesses(taxonomy, 40, seed, sharpness), taxonomy)
        for threshold in (0.1, 0.51, 0.97):
            seen |= set(depths(best, threshold).tolist())
        above = taxonomy.parents[-1][best.nodes[:, -1]]
        jumps += int((above != best.nodes[:, -2]).sum())
    assert seen == {0, 1, 2, 3, 4}
    assert jumps


STARTS = ("Labridae", "C._aygula", "Coris Scarus", "Scaridae Coris", "Salarias Coris")


@pytest.mark.parametrize("starts", STARTS)
def test_start_nodes_keep_their_mass_alone_and_scale_it_to_one(starts):
    taxonomy = fish()
    within = [taxonomy.find(name.replace("_", " ")) for name in starts.split()]
    allowed = {leaf for node in within for leaf in taxonomy.leaves_below(node)}
    probabilities = guesses(taxonomy, 60, 3, sharpness=0.5)
    leaves = roll_up(probabilities, taxonomy, within)[-1]
    np.testing.assert_allclose(leaves.sum(axis=1), 1)
    for leaf in range(5):
        if leaf in allowed:
            first = min(allowed)
            ratio = probabilities[:, leaf] * leaves[:, first]
            np.testing.assert_allclose(ratio, probabilities[:, first] * leaves[:, leaf])
        else:
            assert not leaves[:, leaf].any()
    best = best_taxa(probabilities, taxonomy, within)
    assert best.start == taxonomy.common_ancestor(within)
    for threshold in (0.2, 0.45, 0.7, 0.9, ROOT_ONLY):
        for row, depth in enumerate(depths(best, threshold).tolist()):
            node = Node(depth, int(best.nodes[row, depth]))
            wanted, probability, _ = brute_force(taxonomy, probabilities[row], threshold, within)
            assert depth == max(wanted, best.start.depth)
            if depth > best.start.depth:
                assert best.probabilities[row, depth] == pytest.approx(probability)
            else:
                assert node == best.start and best.probabilities[row, depth] == 1
            assert allowed & set(taxonomy.leaves_below(node).tolist())


def test_the_root_as_a_start_node_changes_nothing():
    taxonomy = tree(1)
    probabilities = guesses(taxonomy, 30)
    found, same = (
        best_taxa(probabilities, taxonomy, [ROOT_NODE]),
        best_taxa(probabilities, taxonomy),
    )
    np.testing.assert_array_equal(found.nodes, same.nodes)


def test_without_mass_under_the_start_nodes_the_start_is_the_answer():
    taxonomy = fish()
    within = [taxonomy.find("Labridae")]
    row = np.array([[0, 0, 0, 0.25, 0.75]])
    for threshold in (0.0, 0.1, 1.0):
        (answer,) = answers(row, taxonomy, threshold, within)
        assert (answer.taxon, answer.rank, answer.probability) == ("Labridae", "family", 1.0)
        assert answer.reason == "no genus of Labridae has any probability"


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.float16])
def test_blocks_generators_and_precision_change_no_answer(dtype):
    taxonomy = tree(2)
    counts = np.random.default_rng(0).multinomial(512, np.full(40, 1 / 40), 50)
    probabilities = (counts / 512).astype(dtype)
    whole = best_taxa(probabilities, taxonomy, block=50)
    streamed = best_taxa(
        (probabilities[first : first + 11] for first in range(0, 50, 11)), taxonomy
    )
    np.testing.assert_array_equal(whole.nodes, streamed.nodes)
    np.testing.assert_array_equal(whole.probabilities, streamed.probabilities)
    assert whole.probabilities.dtype == np.float64
    assert len(best_taxa(iter(()), taxonomy)) == 0
    np.testing.assert_array_equal(whole[3:5].nodes, whole.nodes[3:5])


@pytest.mark.parametrize("seed", range(4))
def test_the_class_order_changes_no_answer(seed):
    taxonomy = tree(seed)
    shuffled = np.random.default_rng(seed).permutation(40)
    frame = pd.DataFrame(lineages(taxonomy), columns=taxonomy.ranks)
    labels = [taxonomy.leaves[place] for place in shuffled]
    other = from_frame(frame, taxonomy.ranks, labels).taxonomy
    probabilities = guesses(taxonomy, 40, seed)
    for threshold in (0.1, 0.4, 0.7):
        first = answers(probabilities, taxonomy, threshold)
        second = answers(probabilities[:, shuffled], other, threshold)
        for one, same in zip(first, second, strict=True):
            assert (one.depth, one.probability) == (same.depth, same.probability)
            if threshold > 0.5:
                assert one.taxon == same.taxon


def test_sums_that_round_to_more_than_one_do_not_pass_the_root():
    taxonomy = from_frame(pd.DataFrame({"genus": "G", "species": range(40)}), ["genus", "species"])
    taxonomy = taxonomy.taxonomy
    values = np.random.default_rng(0).dirichlet(np.ones(40), 100).astype(np.float32)
    assert roll_up(values, taxonomy)[0].max() > 1
    best = best_taxa(values, taxonomy)
    assert best.probabilities.max() == 1
    assert not depths(best, ROOT_ONLY).any()
    path = [step for one in answers(values, taxonomy, ROOT_ONLY) for step in one.path]
    assert max(step.probability for step in path) == 1


def test_memory_is_that_of_one_part():
    taxonomy = tree(0, leaves=2000)
    part = guesses(taxonomy, 100).astype(np.float32)
    tracemalloc.start()
    best = best_taxa((part for _ in range(30)), taxonomy)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(best) == 3000
    assert peak < 6 * part.nbytes


@pytest.mark.parametrize(
    "spoil",
    [
        lambda values: values[:, :-1],
        lambda values: values[0],
        lambda values: values * 0.9,
        lambda values: np.where(values == values.max(), np.nan, values),
        lambda values: values + np.eye(5)[[0] * 4] - np.eye(5)[[1] * 4],
        lambda values: np.where(values == values.max(), np.inf, values),
    ],
)
def test_what_are_no_probabilities_is_refused(spoil):
    taxonomy = fish()
    values = guesses(taxonomy, 4)
    best_taxa(values, taxonomy)
    with pytest.raises(ValueError, match="leaves|probabilities must be"):
        best_taxa(spoil(values), taxonomy)


# --- right and wrong


def test_an_ancestor_of_the_truth_is_right_and_an_unknown_truth_never():
    taxonomy = fish()
    targets = [taxonomy.leaves.index("T. lunare"), taxonomy.leaves.index("C. aygula"), -1]
    row = np.array([0.5, 0.25, 0.0, 0.25, 0.0])
    _, right = judged(taxonomy, np.tile(row, (3, 1)), targets)
    assert right.astype(int).tolist() == [[1, 1, 1, 1, 1], [1, 1, 1, 0, 0], [0, 0, 0, 0, 0]]


def test_accuracy_and_depth_are_means_of_the_answers():
    taxonomy = tree(3)
    probabilities, targets = drawn(taxonomy, 200)
    targets[:20] = -1
    best, right = judged(taxonomy, probabilities, targets)
    for threshold in (0.2, 0.6, 0.9):
        found = figures(best, right, threshold)
        answered = list(answers(probabilities, taxonomy, threshold))
        hits = [
            target >= 0 and (one.depth == 0 or one.taxon in taxonomy.lineage(target))
            for one, target in zip(answered, targets, strict=True)
        ]
        assert found["accuracy"] == pytest.approx(np.mean(hits))
        assert found["depth"] == pytest.approx(np.mean([one.depth for one in answered]))
        assert found["depth_table1"] == found["depth"] + 1


@pytest.mark.parametrize("seed", range(4))
def test_above_one_half_a_higher_threshold_is_never_deeper_nor_less_accurate(seed):
    taxonomy = tree(seed)
    best, right = judged(taxonomy, *drawn(taxonomy, 300, seed))
    thresholds = np.linspace(0.501, 1.001, 60)
    answered = np.array([depths(best, one) for one in thresholds])
    hits = np.array([right[np.arange(300), one] for one in answered])
    assert (np.diff(answered, axis=0) <= 0).all() and len(np.unique(answered)) == 5
    assert (np.diff(hits.astype(int), axis=0) >= 0).all()  # picture by picture
    for threshold, depth in zip(thresholds, answered, strict=True):  # never deeper than sure
        sure = best.probabilities[np.arange(300), depth]
        assert (sure >= np.where(depth > 0, threshold, 1)).all()


def test_at_low_thresholds_accuracy_may_fall_as_the_threshold_rises():
    taxonomy = fish()
    # The best genus is not that of the best species.
    row = np.array([[0.3, 0.05, 0.31, 0.0, 0.34]])
    best, right = judged(taxonomy, row, [taxonomy.leaves.index("S. fasciatus")])
    assert figures(best, right, 0.34)["accuracy"] == 1
    assert figures(best, right, 0.345)["accuracy"] == 0


# --- the answer in words


def test_an_answer_says_why_it_is_not_deeper():
    taxonomy = fish()
    row = np.array([[0.5, 0.125, 0.25, 0.0625, 0.0625]])
    (answer,) = answers(row, taxonomy, 0.72)
    assert (answer.taxon, answer.rank, answer.depth) == ("Labridae", "family", 2)
    assert answer.probability == 0.875
    assert answer.reason == "no genus of Labridae reaches 0.72: best Thalassoma 0.62"
    assert [(step.rank, step.taxon, step.probability) for step in answer.path] == [
        ("order", "Perciformes", 0.9375),
        ("family", "Labridae", 0.875),
        ("genus", "Thalassoma", 0.625),
        ("species", "T. lunare", 0.5),
    ]
    (leaf,) = answers(row, taxonomy, 0.5)
    assert (leaf.taxon, leaf.depth) == ("T. lunare", 4)
    assert leaf.reason == "0.50 reaches 0.50 at the finest rank, species"
    (root,) = answers(row, taxonomy, 0.95)
    assert (root.taxon, root.rank, root.depth, root.probability) == ("root", "root", 0, 1.0)
    assert root.reason == "no order reaches 0.95: best Perciformes 0.94"
    (close,) = answers(row, taxonomy, 0.501)
    assert close.reason == "no species of Thalassoma reaches 0.501: best T. lunare 0.500"


def test_the_best_child_is_one_of_the_answer_even_if_another_taxon_is_more_probable():
    frame = pd.DataFrame({"family": list("AAAB"), "genus": ["a1", "a2", "a3", "b1"]})
    taxonomy = from_frame(frame, ("family", "genus")).taxonomy
    (answer,) = answers(np.array([[0.25, 0.25, 0.2, 0.3]]), taxonomy, 0.6)
    assert answer.reason == "no genus of A reaches 0.60: best a1 0.25"


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
