"""Folding batch normalisation changes no answer, and folds what it should."""

import keras
import numpy as np
import pytest
from keras import layers

from models.folded_batch_norm import folded


def trained_like(network, seed=0):
    """Weights as if it had been trained: no variance of one, no mean of zero."""
    rng = np.random.default_rng(seed)
    network.set_weights(
        [
            (rng.uniform(0.2, 2, w.shape) if "variance" in v.path or "gamma" in v.path
             else rng.normal(0, 0.3, w.shape)).astype(np.float32)
            for v, w in zip(network.weights, network.get_weights(), strict=True)
        ]
    )  # fmt: skip
    return network


def norms(network):
    return [
        layer.name
        for layer in network._flatten_layers()
        if isinstance(layer, layers.BatchNormalization)
    ]


def assert_alike(network, *shape):
    inputs = np.random.default_rng(1).normal(0, 1, shape).astype(np.float32)
    copy = folded(network)
    np.testing.assert_allclose(copy(inputs), network(inputs), rtol=2e-4, atol=2e-5)
    return copy


@pytest.mark.parametrize("use_bias", [True, False])
@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (layers.Conv2D(5, 3, padding="same"), (2, 8, 9, 3)),
        (layers.DepthwiseConv2D(3, strides=2, depth_multiplier=2), (2, 8, 9, 3)),
        (layers.Conv1D(5, 3), (2, 8, 3)),
        (layers.Dense(4), (2, 3)),
    ],
)
def test_each_kind_of_layer(layer, shape, use_bias):
    pixels = keras.Input(shape[1:])
    made = type(layer).from_config(layer.get_config() | {"use_bias": use_bias})(pixels)
    seen = layers.BatchNormalization(scale=use_bias, center=not use_bias)(made)
    network = trained_like(keras.Model(pixels, layers.ReLU()(seen)))
    assert norms(assert_alike(network, *shape)) == []


def test_a_layer_that_is_called_twice_with_its_normalisation():
    conv, norm = layers.Conv2D(4, 3), layers.BatchNormalization()
    pixels = keras.Input((8, 8, 3))
    network = trained_like(
        keras.Model(pixels, layers.Add()([norm(conv(pixels)), norm(conv(-pixels))]))
    )
    assert norms(assert_alike(network, 2, 8, 8, 3)) == []


def test_what_cannot_be_folded_stays():
    pixels = keras.Input((8, 8, 3))
    active = layers.BatchNormalization(name="after_relu")(
        layers.Conv2D(4, 3, activation="relu")(pixels)
    )
    split = layers.Conv2D(4, 3)(pixels)
    beside = layers.BatchNormalization(name="not_alone")(split)
    shared, one, two = layers.BatchNormalization(name="of_two"), layers.Conv2D(4, 3), None
    two = layers.Conv2D(4, 3)
    first = layers.BatchNormalization(name="first")(pixels)
    network = keras.Model(
        pixels,
        layers.Concatenate()(
            [active, beside, split, shared(one(pixels)), shared(two(pixels)), first[:, 1:-1, 1:-1]]
        ),
    )
    trained_like(network)
    assert folded(network) is network
    assert len(norms(network)) == 4


def test_networks_inside_a_network_and_several_outputs():
    pixels = keras.Input((8, 8, 3))
    maps = layers.BatchNormalization()(layers.Conv2D(4, 3)(pixels))
    inner = keras.Model(pixels, maps, name="inner")
    image = keras.Input((8, 8, 3), name="image")
    seen = layers.GlobalAveragePooling2D()(inner(layers.Rescaling(1 / 255)(image)))
    outer = trained_like(
        keras.Model({"image": image}, {"embedding": seen, "answer": layers.Dense(2)(seen)})
    )
    copy, inputs = folded(outer), {"image": np.ones((1, 8, 8, 3), np.float32)}
    assert norms(copy) == [] and copy.get_layer("inner") is not outer.get_layer("inner")
    for name, value in outer(inputs).items():
        np.testing.assert_allclose(copy(inputs)[name], value, rtol=1e-5, atol=1e-6)
    assert list(copy.input) == ["image"]


def test_all_of_a_backbone_is_folded():
    network = keras.applications.MobileNetV2((32, 32, 3), 0.35, weights=None, include_top=False)
    assert len(norms(network)) == 52
    rng = np.random.default_rng(0)
    for norm in map(network.get_layer, norms(network)):
        around = (1, 0, 0, 1)  # gamma, beta, mean, variance
        width = norm.gamma.shape
        norm.set_weights([one + rng.uniform(-0.1, 0.1, width) for one in around])
    assert norms(assert_alike(network, 1, 32, 32, 3)) == []
