"""Triplet mining against brute force, and what must never happen in it."""

import tracemalloc

import numpy as np
import pytest

from training.miners import balanced_anchors, mine_triplets


def specimens(seed, samples=60, classes=5, width=6):
    rng = np.random.default_rng(seed)
    targets = np.concatenate([np.arange(classes), rng.integers(0, classes, samples - classes)])
    centres = rng.normal(size=(classes, width))
    return centres[targets] + rng.normal(size=(samples, width)), targets


def pair_margins(seed, classes=5):
    """Margins that differ in both directions, so that a transposed look-up shows."""
    margins = np.random.default_rng(seed).uniform(0.02, 0.4, (classes, classes))
    np.fill_diagonal(margins, 0)
    return margins


def all_distances(embeddings):
    units = embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)
    return 1 - units @ units.T


def brute_force(embeddings, targets, margins, anchor, rule):
    """The hardest positive, the set of negatives to draw from, and whether the rule held none."""
    distances = all_distances(embeddings)[anchor]
    samples = range(len(targets))
    mates = [row for row in samples if targets[row] == targets[anchor] and row != anchor]
    positive = max(mates, key=lambda row: distances[row]) if mates else anchor
    strangers = [row for row in samples if targets[row] != targets[anchor]]
    inside = [
        row
        for row in strangers
        if distances[row] < distances[positive] + margins[targets[anchor], targets[row]]
    ]
    band = [row for row in inside if distances[row] > distances[positive]]
    wanted = band if rule == "schroff" else inside
    for found in (wanted, inside):
        if found:
            return positive, set(found), not wanted
    return positive, {min(strangers, key=lambda row: distances[row])}, True


@pytest.mark.parametrize("rule", ["schroff", "paper"])
@pytest.mark.parametrize("spread", [0.02, 0.3, 1.0])
def test_positives_and_the_whole_set_of_negatives_are_those_of_brute_force(rule, spread):
    embeddings, targets = specimens(1)
    centres = np.random.default_rng(3).normal(size=(5, 6))
    embeddings = centres[targets] + spread * (embeddings - embeddings.mean(axis=0))
    margins = pair_margins(2)
    anchors = np.repeat(np.arange(60), 400)
    mined = mine_triplets(embeddings, targets, margins, anchors, 0, rule)

    assert (mined.anchors == anchors).all()
    empty = []
    for anchor in range(60):
        positive, candidates, none = brute_force(embeddings, targets, margins, anchor, rule)
        drawn = mined.negatives[anchors == anchor]
        assert set(mined.positives[anchors == anchor]) == {positive}
        # 400 draws among 55 candidates miss one with a chance of 0.04.
        assert set(drawn) <= candidates
        assert len(set(drawn)) >= 0.95 * len(candidates)
        empty.append(none)
    assert mined.figures["mined_empty_band"] == pytest.approx(np.mean(empty))
    assert (mined.margins == margins[targets[anchors], targets[mined.negatives]]).all()


def test_the_cases_above_hold_every_fall_back():
    embeddings, targets = specimens(1)
    centres = np.random.default_rng(3).normal(size=(5, 6))
    met = set()
    for spread in (0.02, 0.3, 1.0):
        spaced = centres[targets] + spread * (embeddings - embeddings.mean(axis=0))
        distances = all_distances(spaced)
        for anchor in range(60):
            positive, candidates, none = brute_force(
                spaced, targets, pair_margins(2), anchor, "schroff"
            )
            row = distances[anchor]
            hard = all(row[negative] < row[positive] for negative in candidates)
            met.add("band" if not none else "literal" if hard else "nearest")
    assert met == {"band", "literal", "nearest"}


def test_negatives_are_drawn_evenly():
    embeddings, targets = specimens(4)
    _, candidates, _ = brute_force(embeddings, targets, pair_margins(2), 7, "paper")
    mined = mine_triplets(embeddings, targets, pair_margins(2), np.full(40_000, 7), 0, "paper")
    counts = np.bincount(mined.negatives, minlength=60)[sorted(candidates)]
    expected = 40_000 / len(candidates)
    chi_square = ((counts - expected) ** 2 / expected).sum()
    freedom = len(candidates) - 1
    assert freedom > 10
    assert abs(chi_square - freedom) < 4 * np.sqrt(2 * freedom)


@pytest.mark.parametrize("duplicated", [False, True])
def test_triplets_depend_on_the_seed_and_not_on_the_block(duplicated):
    embeddings, targets = specimens(5, samples=300, width=32)
    embeddings = embeddings.astype(np.float32)
    if duplicated:  # every embedding stands in several classes: ties must be ties everywhere
        embeddings[100:200], embeddings[200:] = embeddings[:100], embeddings[:100]
    anchors = np.random.default_rng(1).permutation(np.repeat(np.arange(300), 3))
    first = mine_triplets(embeddings, targets, 0.2, anchors, (3, 1), block=1)
    for block in (2, 7, 64, 1000):
        other = mine_triplets(embeddings, targets, 0.2, anchors, (3, 1), block=block)
        assert (first.positives == other.positives).all()
        assert (first.negatives == other.negatives).all()
        assert first.figures == other.figures
    other = mine_triplets(embeddings, targets, 0.2, anchors, (3, 2))
    assert (first.negatives != other.negatives).any()


def test_one_margin_is_a_matrix_of_it():
    embeddings, targets = specimens(6)
    anchors = np.arange(60)
    one = mine_triplets(embeddings, targets, 0.15, anchors, 0)
    matrix = mine_triplets(embeddings, targets, np.full((5, 5), 0.15), anchors, 0)
    assert (one.negatives == matrix.negatives).all()
    assert (one.margins == 0.15).all()
    assert one.figures == matrix.figures


def test_figures_are_those_of_the_triplets():
    embeddings, targets = specimens(7)
    margins = pair_margins(8)
    mined = mine_triplets(embeddings, targets, margins, np.arange(60), 0, "paper")
    distances = all_distances(embeddings)
    positive = distances[mined.anchors, mined.positives]
    negative = distances[mined.anchors, mined.negatives]
    losses = np.maximum(positive - negative + mined.margins, 0)
    expected = {
        "mined_loss": losses.mean(),
        "mined_active": (losses > 0).mean(),
        "mined_positive_distance": positive.mean(),
        "mined_negative_distance": negative.mean(),
        "mined_empty_band": 0.0,
        "mined_lone": 0.0,
    }
    assert mined.figures == pytest.approx(expected, abs=1e-6)


def test_a_specimen_alone_in_its_class_is_its_own_positive():
    embeddings, targets = specimens(9, samples=20, classes=3)
    targets[targets == 2] = 0
    targets[4] = 2
    mined = mine_triplets(embeddings, targets, 0.2, np.arange(20), 0)
    assert mined.positives[4] == 4
    others = np.arange(20) != 4
    assert (mined.positives[others] != np.arange(20)[others]).all()
    assert (targets[mined.positives] == targets).all()
    assert (targets[mined.negatives] != targets).all()
    assert mined.figures["mined_lone"] == 1 / 20


def test_zero_embeddings_have_cosine_zero_with_all():
    embeddings, targets = specimens(10)
    embeddings[[0, 1, 30]] = 0
    embeddings[31] *= 1e-30
    with np.errstate(all="raise"):
        mined = mine_triplets(embeddings, targets, 0.2, np.arange(60), 0)
    assert np.isfinite(list(mined.figures.values())).all()
    alone = mine_triplets(np.zeros((4, 3)), np.array([0, 0, 1, 2]), 0.2, np.arange(4), 0)
    assert alone.figures["mined_positive_distance"] == 1
    assert alone.figures["mined_loss"] == pytest.approx(0.2)


def test_a_collapsed_embedding_is_mined_and_not_taken_for_good():
    targets = np.repeat([0, 1, 2], 20)
    embeddings = np.tile(np.random.default_rng(0).normal(size=32), (60, 1))
    mined = mine_triplets(embeddings, targets, 0.2, np.arange(60), 0)
    assert mined.figures["mined_empty_band"] == 1
    assert mined.figures["mined_active"] == 1
    assert mined.figures["mined_loss"] == pytest.approx(0.2, abs=1e-7)
    assert len(set(mined.negatives)) > 20  # and they are drawn, not always the same one


def test_memory_is_linear_in_the_samples():
    def peak(samples):
        embeddings, targets = specimens(11, samples=samples, width=8)
        anchors = np.arange(0, samples, 20)
        tracemalloc.start()
        mine_triplets(embeddings, targets, pair_margins(2), anchors, 0, block=16)
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return most

    assert peak(8000) < 2.5 * peak(4000)
    assert peak(8000) < 8000**2 / 20  # far from a byte for every pair


@pytest.mark.parametrize(
    ("targets", "margins", "rule", "says"),
    [
        (np.zeros(6, int), 0.2, "schroff", "two classes"),
        (np.array([-1, 0, 0, 1, 1, 1]), 0.2, "schroff", "from 0"),
        (np.arange(6) % 3, np.ones((2, 2)), "schroff", "3 classes"),
        (np.arange(6) % 3, np.ones(3), "schroff", "3 classes"),
        (np.arange(6) % 3, -0.1, "schroff", "not negative"),
        (np.arange(6) % 3, np.nan, "schroff", "finite"),
        (np.arange(6) % 3, 0.2, "hard", "schroff, paper"),
        (np.arange(5) % 3, 0.2, "schroff", "5 samples"),
    ],
)
def test_what_cannot_be_mined_is_refused(targets, margins, rule, says):
    with pytest.raises(ValueError, match=says):
        mine_triplets(np.ones((6, 2)), targets, margins, np.arange(5), 0, rule)


def test_embeddings_that_are_not_finite_are_refused():
    embeddings, targets = specimens(12)
    embeddings[3, 1], embeddings[9] = np.nan, np.inf
    with pytest.raises(ArithmeticError, match="2 of 60 embeddings are not finite"):
        mine_triplets(embeddings, targets, 0.2, np.arange(60), 0)


def test_balanced_anchors_fill_every_class_up_to_the_largest():
    targets = np.repeat([0, 2, 3], [88, 5, 30])
    order = np.random.default_rng(0).permutation(len(targets))
    targets = targets[order]
    rows = balanced_anchors(targets, (0, 1))
    assert np.bincount(targets[rows]).tolist() == [88, 0, 88, 88]
    times = np.bincount(rows, minlength=len(targets))
    for label, size in ((0, 88), (2, 5), (3, 30)):
        own = times[targets == label]
        assert own.min() == 88 // size
        assert own.max() == -(-88 // size)
    assert (targets[rows[:88]] != targets[rows[0]]).any()  # shuffled
    assert (rows == balanced_anchors(targets, (0, 1))).all()
    other = balanced_anchors(targets, (0, 2))
    assert (np.bincount(other, minlength=len(targets)) != times).any()  # others fill up
