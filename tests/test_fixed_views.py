"""Fixed views of a picture, features whitened within classes, and both in a saved graph."""

import keras
import numpy as np
import pytest
from keras import layers

from models.fixed_views import VIEWS, ByPicture, FixedViews, OneOfViews
from models.inputs import ImageInput
from models.layers import GlobalDeviationPooling
from models.pretrained import middle_maps
from models.whitening import RIDGE, CentroidDense, Whiten, whitening
from training.frozen import learn_from, split_at_frozen

RNG = np.random.default_rng(0)
SIDE = 33


def views_of(pictures):
    """(pictures, views, height, width, channels)."""
    layer = FixedViews()
    found = np.asarray(layer(pictures.astype(np.float32)))
    return found.reshape(len(pictures), len(VIEWS), *pictures.shape[1:])


def rod():
    """A white upright rod in the middle of a grey picture."""
    picture = np.full((1, SIDE, SIDE, 3), 40, np.uint8)
    picture[:, 4:29, 15:18] = 255
    return picture


def test_the_first_view_is_the_picture_and_the_others_stand_on_its_background():
    found = views_of(np.concatenate([rod(), 255 - rod()]))
    assert np.array_equal(found[:, 0], np.concatenate([rod(), 255 - rod()]))
    np.testing.assert_allclose(found[0, :, 0, 0], 40)
    np.testing.assert_allclose(found[1, :, 0, 0], 215)


def test_a_picture_is_turned_about_its_middle_by_ten_degrees_to_either_side():
    _, left, right, small = views_of(rod())[0, ..., 0] > 150
    middle = (SIDE - 1) / 2

    def slope(view):
        y, x = np.nonzero(view)
        assert abs(y.mean() - middle) < 0.1 and abs(x.mean() - middle) < 0.1
        return np.degrees(np.arctan(np.polyfit(y - middle, x - middle, 1)[0]))

    assert abs(slope(left) + slope(right)) < 0.2
    assert 9 < abs(slope(left)) < 11
    assert abs(slope(small)) < 0.2
    assert abs(np.ptp(np.nonzero(small)[0]) + 1 - 25 * 0.85) <= 1


def test_training_takes_each_view_and_an_answer_their_mean():
    features = np.repeat(np.arange(4.0)[None, :, None], 400, 0) * [1.0, 2.0]
    layer = OneOfViews()
    np.testing.assert_allclose(layer(features), np.tile([1.5, 3.0], (400, 1)))
    drawn = np.asarray(layer(features, training=True))
    assert np.array_equal(drawn[:, 1], 2 * drawn[:, 0])
    assert (np.bincount(drawn[:, 0].astype(int), minlength=4) > 60).all()


def test_whitening_undoes_what_varies_within_classes():
    targets = np.repeat(np.arange(10), 200)
    centres = RNG.normal(size=(10, 6))
    spread = np.diag([0.01, 0.1, 1, 1, 3, 10.0])
    features = centres[targets] + RNG.normal(size=(2000, 6)) @ spread
    mean, matrix = whitening(features, targets)
    seen = (features - mean) @ matrix
    assert abs(np.square(seen).mean() - 1) < 1e-6
    np.testing.assert_allclose(seen.mean(axis=0), 0, atol=1e-9)
    within = seen - np.stack([seen[targets == one].mean(axis=0) for one in range(10)])[targets]
    covariance = np.cov(within.T)
    off = covariance - np.diag(np.diag(covariance))
    assert np.abs(off).max() < 0.01 * np.diag(covariance).max()
    # In units of the whole variance a direction of pure spread has 1 / (1 + RIDGE) left, one
    # without any none: no direction is blown up beyond that.
    assert np.diag(covariance).max() / np.median(np.diag(covariance)) < 1 + 1 / RIDGE


@pytest.mark.parametrize("samples", [3, 30])
def test_few_samples_and_constant_features_whiten_to_finite_numbers(samples):
    features = RNG.normal(size=(samples, 2, 40))
    features[..., 7] = 5
    layer = Whiten(20)
    layer.build((None, 2, 40))
    layer.learn_from(features, np.arange(samples) % 3)
    found = np.asarray(layer(features.astype(np.float32)))
    assert found.shape == (samples, 2, 20)
    assert np.isfinite(found).all() and 0.1 < found.std() < 10


def small_network():
    image = keras.Input((32, 32, 3), name="image")
    convolution = layers.Conv2D(6, 5, strides=2, name="convolution")
    seen = convolution(FixedViews(name="fixed_views")(image))
    convolution.trainable = False
    seen = ByPicture(name="by_picture")(GlobalDeviationPooling(name="deviation")(seen))
    seen = OneOfViews(name="one_of_views")(Whiten(name="whiten")(seen))
    answer = layers.Dense(3, activation="softmax", name="probabilities")(seen)
    return keras.Model({"image": image}, {"probabilities": answer}, name="network")


def test_a_layer_learns_from_what_is_stored_of_the_frozen_part():
    network = small_network()
    split = split_at_frozen(network)
    pictures = RNG.uniform(0, 255, (12, 32, 32, 3)).astype(np.float32)
    stored = {name: np.asarray(value) for name, value in split.frozen({"image": pictures}).items()}
    assert [value.shape for value in stored.values()] == [(12, 4, 6)]

    learn_from(split.head, lambda model: model.predict(stored, verbose=0), np.arange(12) % 3)
    seen = np.asarray(network.get_layer("whiten")(*stored.values()))
    assert abs(np.square(seen).mean() - 1) < 1e-5


def test_raw_pictures_of_any_size_go_through_the_saved_graph(tmp_path):
    import tensorflow as tf

    network, record = small_network(), ImageInput(32, 32, 3, pad=True)
    learn_from(
        network,
        lambda model: model.predict({"image": RNG.uniform(0, 255, (9, 32, 32, 3))}, verbose=0),
        np.arange(9) % 3,
    )
    raw = {"image": record.raw_tensor()}
    whole = keras.Model(raw, network({"image": record.fit(raw)}))
    whole.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")

    signature = tf.TensorSpec((None, None, None, None), tf.uint8)
    graph = tf.function(lambda image: whole({"image": image}, training=False), [signature])
    for shape in ((2, 50, 20, 3), (1, 32, 32, 1), (2, 9, 40, 3)):
        pictures = RNG.integers(0, 256, shape, np.uint8)
        fitted = record.fitted(np.asarray(record(pictures)))
        expected = np.asarray(network({"image": fitted})["probabilities"])
        assert np.ptp(expected) > 0.01
        for model in (graph(pictures), again({"image": pictures})):
            np.testing.assert_allclose(model["probabilities"], expected, atol=1e-5)


def test_the_middle_maps_are_the_last_of_their_sizes():
    network = keras.applications.MobileNetV2(
        alpha=0.35, include_top=False, weights=None, input_shape=(96, 96, 3)
    )
    maps = middle_maps(network)
    names = [tensor._keras_history.operation.name for tensor in maps.outputs]
    assert names == ["block_3_expand_relu", "block_6_expand_relu", "block_13_expand_relu"]
    assert maps.name == network.name


# --- a last layer that begins at the centroids


def test_a_layer_from_centroids_first_answers_the_nearest_of_them_by_cosine():
    rng = np.random.default_rng(0)
    targets = np.array([0, 0, 2, 2, 2, 3])
    features = rng.normal(size=(6, 5)).astype(np.float32)
    features /= np.linalg.norm(features, axis=1, keepdims=True)
    layer = CentroidDense(4, activation="softmax")
    layer(features)
    layer.learn_from(features, targets)
    centroids = np.stack([features[targets == index].sum(axis=0) for index in (0, 2, 3)])
    centroids /= np.linalg.norm(centroids, axis=1, keepdims=True)
    asked = rng.normal(size=(50, 5)).astype(np.float32)
    answers = np.asarray(layer(asked))
    nearest = np.array([0, 2, 3])[(asked @ centroids.T).argmax(axis=1)]
    assert (answers[:, [0, 2, 3]].argmax(axis=1) == (asked @ centroids.T).argmax(axis=1)).all()
    assert set(nearest) == {0, 2, 3}
    assert (np.asarray(layer.kernel)[:, 1] == 0).all()  # a class without samples
