"""Answers of fitting depth: against brute force, properties, and what thresholds promise."""

import tracemalloc

import numpy as np
import pandas as pd
import pytest

from benchmarks.specificity import depth_first
from datasets.taxonomy import ROOT_NODE, Node
from datasets.taxonomy_table import from_frame
from models.species.specificity import (
    ROOT_ONLY,
    answers,
    best_taxa,
    depths,
    figures,
    roll_up,
)
from tests.random_trees import drawn, fish, guesses, judged, tree


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
