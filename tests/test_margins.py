"""Margins by class distance, the triplet loss and learnt loss weights (paper 000, section 4)."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from training.losses import (
    SMALLEST_LOSS,
    LearnedLossWeights,
    SmoothedCrossEntropy,
    cosine_distance,
    triplet_loss,
)
from training.margins import margin_matrix
from training.miners import SMALLEST_NORM, mine_triplets


def gradients(function, *arrays):
    tensors = [tf.constant(array, tf.float32) for array in arrays]
    with tf.GradientTape() as tape:
        tape.watch(tensors)
        value = tf.reduce_sum(function(*tensors))
    return [gradient.numpy() for gradient in tape.gradient(value, tensors)]


def test_margins_are_proportional_and_their_mean_is_the_fixed_one():
    distances = [[0, 1, 4], [1, 0, 4], [4, 4, 0]]
    margins = margin_matrix(distances, 0.2)
    # Mean distance 3, so the margins are a fifteenth of the distances.
    expected = np.array([[0, 1, 4], [1, 0, 4], [4, 4, 0]]) / 15
    np.testing.assert_allclose(margins, expected, rtol=1e-12)
    assert margins[~np.eye(3, dtype=bool)].mean() == pytest.approx(0.2, rel=1e-12)
    np.testing.assert_allclose(margin_matrix(np.array(distances) * 7e6, 0.2), margins, rtol=1e-12)


def test_equal_distances_give_the_fixed_margin():
    expected = 0.3 * (1 - np.eye(5))
    np.testing.assert_allclose(margin_matrix(5, 0.3), expected, rtol=1e-12)
    np.testing.assert_allclose(margin_matrix(np.full((5, 5), 2.0), 0.3), expected, rtol=1e-12)


@pytest.mark.parametrize(
    ("distances", "margin", "says"),
    [
        (np.zeros((3, 3)), 0.2, "all class distances are zero"),
        (np.ones((2, 3)), 0.2, "two or more classes"),
        (1, 0.2, "two or more classes"),
        ([[0, -1], [-1, 0]], 0.2, "not negative"),
        ([[0, np.nan], [np.nan, 0]], 0.2, "finite"),
        ([[0, 1], [2, 0]], 0.2, "symmetric"),
        (3, 0.0, "above zero"),
        (3, np.nan, "above zero"),
    ],
)
def test_what_makes_no_margins_is_refused(distances, margin, says):
    with pytest.raises(ValueError, match=says):
        margin_matrix(distances, margin)


def test_the_triplet_loss_of_known_angles():
    anchor = np.tile([[2.0, 0.0]], (4, 1))
    positive = np.array([[3, 0], [0, 5], [0, 1], [-1, 0]])
    negative = np.array([[0, 1], [1, 0], [-4, 0], [1, 1]])
    margin = np.array([0.2, 0.2, 0.5, 0.1])
    # Cosine distances are 1 - cos of 0, 90, 90, 180 degrees and 90, 0, 180, 45 degrees.
    expected = [0, 1 - 0 + 0.2, 0, 2 - (1 - np.sqrt(0.5)) + 0.1]
    loss = triplet_loss(*(tf.constant(a, tf.float32) for a in (anchor, positive, negative)), margin)
    np.testing.assert_allclose(loss, expected, atol=1e-6)


def test_the_loss_is_that_which_the_mining_found():
    rng = np.random.default_rng(0)
    embeddings = rng.normal(size=(50, 8)).astype(np.float32)
    embeddings[[3, 4]] = 0
    targets = np.arange(50) % 6
    distances = rng.uniform(1, 2, (6, 6))
    margins = margin_matrix(distances + distances.T, 0.2)
    mined = mine_triplets(embeddings, targets, margins, np.arange(50), 0)
    parts = (embeddings[rows] for rows in (mined.anchors, mined.positives, mined.negatives))
    loss = triplet_loss(*map(tf.constant, parts), mined.margins)
    assert float(tf.reduce_mean(loss)) == pytest.approx(mined.figures["mined_loss"], abs=1e-6)


def test_the_gradient_of_the_triplet_loss_is_its_slope():
    rng = np.random.default_rng(1)
    arrays = rng.normal(size=(3, 5, 4))
    found = gradients(lambda *tensors: triplet_loss(*tensors, 0.9), *arrays)
    step = 1e-5

    def loss(values):
        units = values / np.linalg.norm(values, axis=-1, keepdims=True)
        near, far = (1 - (units[0] * units[part]).sum(axis=-1) for part in (1, 2))
        return np.maximum(near - far + 0.9, 0).sum()

    for place in np.ndindex(arrays.shape):
        shift = np.zeros(arrays.shape)
        shift[place] = step
        slope = (loss(arrays + shift) - loss(arrays - shift)) / (2 * step)
        assert found[place[0]][place[1:]] == pytest.approx(slope, abs=2e-5)


@pytest.mark.parametrize("length", [0.0, 1e-30, 0.9 * SMALLEST_NORM])
@pytest.mark.parametrize("short", [(0,), (1,), (2,), (0, 1, 2)])
def test_short_embeddings_have_finite_gradients(length, short):
    arrays = np.random.default_rng(2).normal(size=(3, 4, 6))
    for part in short:
        arrays[part] *= length / np.linalg.norm(arrays[part], axis=-1, keepdims=True)
    loss = triplet_loss(*(tf.constant(array, tf.float32) for array in arrays), 1.5)
    assert np.isfinite(loss).all()
    if len(short) == 3 or short == (0,):
        np.testing.assert_allclose(loss, 1.5, atol=1e-5)
    for gradient in gradients(lambda *tensors: triplet_loss(*tensors, 1.5), *arrays):
        assert np.isfinite(gradient).all()
        assert np.linalg.norm(gradient, axis=-1).max() < 10


def test_an_anchor_that_is_its_own_positive_is_only_pushed_from_the_negative():
    arrays = np.random.default_rng(3).normal(size=(2, 6, 4))
    found = gradients(lambda anchor, negative: triplet_loss(anchor, anchor, negative, 2.0), *arrays)
    pushed = gradients(lambda anchor, negative: 2.0 - cosine_distance(anchor, negative), *arrays)
    assert np.abs(pushed[0]).max() > 0.1
    np.testing.assert_allclose(found, pushed, atol=1e-6)


def test_the_sum_of_the_losses_is_equation_2():
    layer = LearnedLossWeights(("triplet", "classification"))
    assert float(layer([tf.constant(0.3), tf.constant(1.7)])) == pytest.approx(2.0, abs=1e-6)
    assert layer.figures() == {"s_triplet": 0.0, "s_classification": 0.0}
    layer.set_weights([np.float32(0.5), np.float32(-1.2)])
    expected = np.exp(-0.5) * 0.3 + np.exp(1.2) * 1.7 + 0.5 - 1.2
    assert float(layer([tf.constant(0.3), tf.constant(1.7)])) == pytest.approx(expected, rel=1e-6)
    assert layer.figures() == pytest.approx({"s_triplet": 0.5, "s_classification": -1.2})


def descend(layer, losses, optimizer, steps):
    variables = layer.trainable_variables

    @tf.function
    def step():
        with tf.GradientTape() as tape:
            total = layer([tf.constant(loss) for loss in losses])
        optimizer.apply(tape.gradient(total, variables), variables)

    for _ in range(steps):
        step()


def test_learnt_weights_end_at_the_logarithms_of_constant_losses():
    losses = (0.04, 1.0, 6.5)
    layer = LearnedLossWeights(("a", "b", "c"))
    layer.build()
    descend(layer, losses, keras.optimizers.SGD(0.3), 150)
    expected = dict(zip(("s_a", "s_b", "s_c"), np.log(losses), strict=True))
    assert layer.figures() == pytest.approx(expected, abs=1e-4)


def test_a_loss_of_zero_gains_weight_only_so_far():
    layer = LearnedLossWeights(("solved", "open"))
    layer.build()
    descend(layer, (0.0, 2.0), keras.optimizers.SGD(1.0), 30)
    assert layer.figures()["s_solved"] == pytest.approx(np.log(SMALLEST_LOSS))
    assert layer.figures()["s_open"] == pytest.approx(np.log(2), abs=1e-4)


def test_weight_decay_can_be_kept_off():
    def learnt(exclude):
        layer = LearnedLossWeights(("a",))
        layer.build()
        layer.set_weights([np.float32(np.log(0.05))])
        optimizer = keras.optimizers.AdamW(0.01, weight_decay=1.0)
        if exclude:
            optimizer.exclude_from_weight_decay(layer.trainable_variables)
        descend(layer, (0.05,), optimizer, 20)
        return layer.figures()["s_a"]

    assert learnt(exclude=True) == pytest.approx(np.log(0.05), abs=1e-3)
    assert learnt(exclude=False) > np.log(0.05) + 0.05


def test_learnt_weights_are_saved_and_loaded(tmp_path):
    first, second = keras.Input(()), keras.Input(())
    layer = LearnedLossWeights(["triplet", "classification"], name="weighing")
    model = keras.Model([first, second], layer([first, second]))
    layer.set_weights([np.float32(0.25), np.float32(-0.75)])
    model.save(tmp_path / "weighing.keras")

    loaded = keras.models.load_model(tmp_path / "weighing.keras")
    again = loaded.get_layer("weighing")
    assert isinstance(again, LearnedLossWeights)
    assert again.figures() == {"s_triplet": 0.25, "s_classification": -0.75}
    values = [np.float32([0.4, 0.1]), np.float32([2.0, 3.0])]
    np.testing.assert_allclose(loaded(values), model(values), rtol=1e-6)


def test_losses_that_do_not_fit_the_names_are_refused():
    with pytest.raises(ValueError, match="different names: a, b, a"):
        LearnedLossWeights(("a", "b", "a"))
    with pytest.raises(ValueError, match="different names: none"):
        LearnedLossWeights(())
    layer = LearnedLossWeights(("a", "b"))
    with pytest.raises(ValueError, match="3 losses for a, b"):
        layer([tf.constant(1.0)] * 3)


def test_an_adjusted_cross_entropy_judges_answers_times_the_shares_of_the_classes():
    probabilities = np.array([[0.2, 0.3, 0.5], [0.6, 0.3, 0.1]], np.float32)
    prior = np.array([0.7, 0.2, 0.1])
    weighed = probabilities * prior / (probabilities * prior).sum(axis=1, keepdims=True)
    for smoothing in (0.0, 0.3):
        loss = SmoothedCrossEntropy(smoothing, prior)
        expected = SmoothedCrossEntropy(smoothing).call(np.array([2, 0]), weighed)
        np.testing.assert_allclose(
            loss.call(np.array([2, 0]), keras.ops.convert_to_tensor(probabilities)), expected, 1e-5
        )
        again = SmoothedCrossEntropy.from_config(loss.get_config())
        assert again.prior == pytest.approx(prior)


def test_smoothing_spreads_a_share_of_every_label_evenly():
    probabilities = np.array([[0.7, 0.2, 0.1], [0.1, 0.1, 0.8]], np.float32)
    targets, weights = np.array([0, 1]), np.array([1.0, 3.0])
    spread = 0.7 * np.eye(3)[targets] + 0.1
    wanted = keras.losses.categorical_crossentropy(spread, probabilities)
    loss = SmoothedCrossEntropy(0.3)
    np.testing.assert_allclose(loss.call(targets, probabilities), wanted, rtol=1e-5)
    weighed = float(loss(targets, probabilities, weights))
    assert weighed == pytest.approx(float(np.mean(wanted * weights)), rel=1e-5)
    again = SmoothedCrossEntropy.from_config(loss.get_config())
    assert again.smoothing == 0.3
    assert np.isfinite(loss.call(targets, np.eye(3, dtype=np.float32)[targets - 1])).all()


def test_smoothing_brings_back_what_has_nearly_vanished():
    logits = np.array([[30.0, 0.0, -20.0]], np.float32)
    (gradient,) = gradients(
        lambda tensor: SmoothedCrossEntropy(0.3)(np.array([0]), tf.nn.softmax(tensor)), logits
    )
    np.testing.assert_allclose(gradient, [[0.2, -0.1, -0.1]], atol=1e-5)
