"""The fused batch normalisation is Keras's in all but speed."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

import models.layers
from models.backbones import build_backbone, layers_of, unfreezable
from models.fused_batch_norm import (
    BatchNormalization,
    shorten_averages,
    with_fused_batch_norm,
)
from training.frozen import split_at_frozen
from training.phases import set_trainable

RNG = np.random.default_rng(0)
WAYS = {
    "eager": lambda function: function,
    "graph": lambda function: tf.function(function, autograph=False),
    "compiled": lambda function: tf.function(function, autograph=False, jit_compile=True),
}


def pictures(*shape):
    """Channels of different mean and spread."""
    values = RNG.normal(size=shape) * RNG.uniform(0.5, 3, shape[-1]) + RNG.normal(size=shape[-1])
    return values.astype(np.float32)


def pair(shape, dtype=None, **options):
    """The stock layer and the fused one, with the same random weights."""
    made = [
        kind(dtype=dtype, **options) for kind in (layers.BatchNormalization, BatchNormalization)
    ]
    for layer in made:
        layer.build(shape)
    randomise(made[0])
    made[1].set_weights(made[0].get_weights())
    return made


def randomise(network):
    """Batch normalisations as a training could have left them."""
    for layer in network._flatten_layers():
        if isinstance(layer, layers.BatchNormalization):
            shapes = [weight.shape for weight in layer.weights]
            layer.set_weights([RNG.uniform(0.5, 1.5, shape) for shape in shapes])


def stepped(layer, inputs, slope, how="eager", **call):
    """Outputs, gradients for the inputs and the weights, and what the weights became."""

    def step(inputs, slope):
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            outputs = layer(inputs, **call)
        sources = [inputs, *(weight.value for weight in layer.trainable_weights)]
        return outputs, tape.gradient(outputs, sources, slope)

    outputs, gradients = WAYS[how](step)(tf.constant(inputs), tf.constant(slope))
    return [np.asarray(value) for value in (outputs, *gradients, *layer.get_weights())]


def assert_same(ours, theirs, tolerance=1e-5):
    for one, other in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(one, other, rtol=tolerance, atol=tolerance)


def kernels(layer, inputs, **call):
    """How often the kernel stands in the graph of a call."""
    graph = tf.function(lambda x: layer(x, **call), autograph=False).get_concrete_function(inputs)
    return sum(operation.type == "FusedBatchNormV3" for operation in graph.graph.get_operations())


@pytest.mark.parametrize("how", WAYS)
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"momentum": 0.7, "epsilon": 1e-5, "axis": 3},
        {"scale": False},
        {"center": False, "epsilon": 1e-6},
        {"scale": False, "center": False},
    ],
)
def test_training_is_that_of_keras(how, options):
    inputs, slope = pictures(4, 5, 3, 6), pictures(4, 5, 3, 6)
    stock, fused = pair(inputs.shape, **options)
    assert kernels(fused, inputs, training=True) == 1
    fused.set_weights(stock.get_weights())
    ours = stepped(fused, inputs, slope, how, training=True)
    assert_same(ours, stepped(stock, inputs, slope, training=True))


@pytest.mark.parametrize("shape", [(2, 1, 1, 3), (1, 1, 2, 1), (1, 1, 1, 2), (3, 7, 5, 4)])
def test_the_moving_averages_hold_the_mean_and_the_biased_variance(shape):
    inputs = pictures(*shape)
    layer = BatchNormalization(momentum=0.6)
    layer.build(shape)
    randomise(layer)
    mean, variance = layer.moving_mean.numpy(), layer.moving_variance.numpy()
    layer(inputs, training=True)
    exact = inputs.astype(np.float64)
    for average, before, value in (
        (layer.moving_mean, mean, exact.mean(axis=(0, 1, 2))),
        (layer.moving_variance, variance, exact.var(axis=(0, 1, 2))),
    ):
        np.testing.assert_allclose(average.numpy(), 0.6 * before + 0.4 * value, rtol=1e-6)


@pytest.mark.parametrize("how", WAYS)
def test_inference_and_frozen_layers_use_the_averages(how):
    inputs, slope = pictures(4, 5, 3, 6), pictures(4, 5, 3, 6)
    stock, fused = pair(inputs.shape)
    before = fused.get_weights()
    exact = (inputs - before[2].astype(np.float64)) / np.sqrt(before[3] + 1e-3)
    for trainable, call in (
        (True, {"training": False}),
        (True, {}),
        (False, {"training": False}),
        (False, {"training": True}),
    ):
        stock.trainable = fused.trainable = trainable
        assert kernels(fused, inputs, **call) == 0
        ours = stepped(fused, inputs, slope, how, **call)
        np.testing.assert_allclose(ours[0], exact * before[0] + before[1], rtol=1e-5, atol=1e-5)
        assert_same(ours, stepped(stock, inputs, slope, **call))
        assert_same(fused.get_weights(), before, 0)


def test_where_the_kernel_does_not_fit_keras_computes():
    def check(shape, dtype=None, call=None, **options):
        inputs, slope = pictures(*shape), pictures(*shape)
        if dtype == "float64":
            inputs, slope = inputs.astype(dtype), slope.astype(dtype)
        stock, fused = pair(shape, dtype, **options)
        assert kernels(fused, inputs, training=True, **(call or {})) == 0
        fused.set_weights(stock.get_weights())
        outputs = [np.asarray(one(inputs, training=True, **(call or {}))) for one in (fused, stock)]
        assert outputs[0].dtype == outputs[1].dtype
        assert_same([outputs[0], *fused.get_weights()], [outputs[1], *stock.get_weights()], 1e-6)

    check((8, 6))
    check((4, 5, 6))
    check((4, 3, 5, 3), axis=1)
    check((4, 3, 5, 3), axis=2)
    check((4, 3, 5, 3), dtype="float64")
    check((4, 3, 5, 3), dtype="mixed_bfloat16")
    check((4, 3, 5, 3), renorm=True)
    check((4, 3, 5, 3), synchronized=True)
    check((4, 3, 5, 3), call={"mask": RNG.random((4, 3, 5)) > 0.5})


def convolutions(seed=0, kind=layers.BatchNormalization):
    """A network with an inner network, a layer that is called twice, and operations."""
    keras.utils.set_random_seed(seed)
    inner_input = keras.Input((None, None, 4), name="inner_image")
    inner_norm = kind(name="inner_norm")(inner_input)
    inner = keras.Model(inner_input, layers.ReLU(name="cut")(inner_norm) + 3.0, name="inner")
    image = keras.Input((8, 8, 3), name="image")
    shared = kind(momentum=0.9, epsilon=1e-5, name="shared_norm")
    first = shared(layers.Conv2D(4, 3, name="conv")(image))
    second = shared(layers.Conv2D(4, 3, padding="same", name="conv_2")(inner(first)))
    pooled = layers.GlobalAveragePooling2D(name="pool")(second * 0.5)
    flat = layers.BatchNormalization(name="flat_norm")(pooled)  # of two axes: no kernel fits it
    answer = layers.Dense(2, activation="softmax", name="probabilities")(flat)
    return keras.Model({"image": image}, {"probabilities": answer}, name="network")


def test_the_copy_keeps_names_weights_and_what_is_frozen():
    network = convolutions()
    randomise(network)
    network.get_layer("inner").get_layer("inner_norm").trainable = False
    network.get_layer("conv").trainable = False
    copy = with_fused_batch_norm(network)
    assert copy.name == network.name and copy.input.keys() == network.input.keys()
    assert [layer.name for layer in copy.layers] == [layer.name for layer in network.layers]
    assert [weight.path for weight in copy.weights] == [weight.path for weight in network.weights]
    assert_same(copy.get_weights(), network.get_weights(), 0)
    assert len(copy.trainable_weights) == len(network.trainable_weights) == 8
    norms = [copy.get_layer("shared_norm"), copy.get_layer("inner").get_layer("inner_norm")]
    assert {type(norm) for norm in norms} == {BatchNormalization}
    assert not norms[1].trainable and not copy.get_layer("conv").trainable
    for norm in norms:
        theirs = layers.BatchNormalization.from_config(norm.get_config())
        assert theirs.get_config() == norm.get_config()
    inputs = {"image": pictures(5, 8, 8, 3)}
    ours, theirs = copy.predict(inputs, verbose=0), network.predict(inputs, verbose=0)
    assert_same(ours.values(), theirs.values(), 1e-6)


def test_a_network_without_batch_normalisation_is_left_alone():
    image = keras.Input((8, 8, 3))
    network = keras.Model(image, layers.Conv2D(4, 3)(image))
    assert with_fused_batch_norm(network) is network


def test_training_a_network_leads_to_the_same_weights():
    def trained(network):
        model = keras.Model(network.input, network.output["probabilities"])
        model.compile(keras.optimizers.SGD(0.05, momentum=0.9), "sparse_categorical_crossentropy")
        data = np.random.default_rng(3)
        images = data.normal(size=(24, 8, 8, 3)).astype(np.float32)
        model.fit({"image": images}, data.integers(0, 2, 24), 6, epochs=2, shuffle=False, verbose=0)
        return network.get_weights()

    begun = convolutions()
    ours = trained(with_fused_batch_norm(convolutions()))
    assert_same(ours, trained(begun), 1e-4)
    pairs = zip(ours, convolutions().get_weights(), strict=True)
    assert sum(np.abs(one - other).max() > 1e-3 for one, other in pairs) > 12


def test_frozen_parts_are_told_by_their_class():
    network = with_fused_batch_norm(convolutions())
    set_trainable(network, ("probabilities",))
    cut = keras.Model(network.input, network.output["probabilities"])
    assert [tensor.shape for tensor in split_at_frozen(cut).head.inputs] == [(None, 4)]
    set_trainable(network, ("probabilities",), batch_norm="train")
    # Up to the first normalisation, which goes on averaging.
    assert [tensor.shape for tensor in split_at_frozen(cut).head.inputs] == [(None, 6, 6, 4)]
    norm = network.get_layer("inner").get_layer("inner_norm")
    before = norm.get_weights()
    network({"image": pictures(5, 8, 8, 3)}, training=True)
    pairs = zip(norm.get_weights(), before, strict=True)
    assert [bool((one != other).any()) for one, other in pairs] == [False, False, True, True]
    set_trainable(network, ("inner/inner_norm",))
    assert not norm.trainable


def test_files_of_stock_and_fused_networks_are_one_format(tmp_path):
    stock = convolutions()
    randomise(stock)
    fused = with_fused_batch_norm(stock)
    for writer, reader in ((stock, fused), (fused, stock)):
        writer.save_weights(tmp_path / "network.weights.h5")
        expected = writer.get_weights()
        randomise(reader)
        reader.load_weights(tmp_path / "network.weights.h5")
        assert_same(reader.get_weights(), expected, 0)


def test_a_saved_network_gives_the_same_answers(tmp_path):
    network = with_fused_batch_norm(convolutions())
    randomise(network)
    network.save(tmp_path / "network.keras")
    network.export(tmp_path / "savedmodel", verbose=False)
    images = {"image": pictures(3, 8, 8, 3)}
    expected = network.predict(images, verbose=0)["probabilities"]
    served = tf.saved_model.load(str(tmp_path / "savedmodel"))  # TensorFlow alone
    np.testing.assert_allclose(served.serve(images)["probabilities"], expected, atol=1e-6)

    # A run's card says: import models.layers, then load the model.
    assert models.layers.BatchNormalization is BatchNormalization
    loaded = keras.models.load_model(tmp_path / "network.keras")
    assert type(loaded.get_layer("shared_norm")) is BatchNormalization
    answers = loaded.predict(images, verbose=0)["probabilities"]
    np.testing.assert_allclose(answers, expected, atol=1e-6)


@pytest.mark.parametrize("name", ["mobilenet_v2_035", "mobilenet_v3_small", "resnet18"])
def test_a_backbone_gives_what_its_stock_network_gives(name, monkeypatch):
    stocks = []

    def noted(network):
        randomise(network)
        shorten_averages(network)
        stocks.append(network)
        return with_fused_batch_norm(network)

    monkeypatch.setattr("models.backbones.with_fused_batch_norm", noted)
    backbone = build_backbone(name, "none", 64, 64)
    (stock,), network = stocks, backbone.network
    assert [layer.name for layer in network.layers] == [layer.name for layer in stock.layers]
    norms = [one for one in network.layers if isinstance(one, layers.BatchNormalization)]
    assert len(norms) >= 20 and {type(norm) for norm in norms} == {BatchNormalization}
    assert len(layers_of(network, unfreezable(backbone)[-1:])) > 0

    images = RNG.uniform(-1, 1, (4, 64, 64, 3)).astype(np.float32)
    # The last normalisations in training see four values per picture, and rounding grows.
    for training, tolerance in ((False, 1e-5), (True, 1e-4)):
        ours, theirs = (np.asarray(one(images, training=training)) for one in (network, stock))
        assert np.abs(ours - theirs).max() < tolerance * np.abs(theirs).max()
    for one, other in zip(network.get_weights(), stock.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5 * np.abs(other).max())
