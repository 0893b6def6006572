"""Explanations point at the cause where the cause is known, and at nothing with random weights."""

import keras
import numpy as np
import pytest
from keras import layers

from datasets.columns import Column
from datasets.errors import InputError
from datasets.images import Fit
from datasets.landmarks import IBUG_PARTS
from models.explanation.anatomy import JOINED, Anatomy, View, last_maps
from models.explanation.attribution import (
    area_of_half,
    class_activation,
    integrated_gradients,
    overlapped,
    shares_of,
    summed_patches,
)
from models.explanation.pictures import picture_maps, spread
from models.explanation.slopes import check_backend, scores, slopes_of_inputs, slopes_of_layers
from models.explanation.vectors import Fusion, by_column, point_contributions
from models.fixed_views import VIEWS, ByPicture, FixedViews, OneOfViews
from models.layers import EncodeMeasurements
from models.pretrained import pool

SIDE, PATCH, SHOWN = 24, 8, 40
PLAIN = Anatomy()


# --- arithmetic


def test_integrated_gradients_of_a_product_are_complete_and_those_of_the_paper():
    """f = x * y: each of both gets half of what the product gains from (0, 0)."""
    found = integrated_gradients(lambda points: points[:, ::-1], np.array([2.0, 3.0]), np.zeros(2))
    np.testing.assert_allclose(found, [3, 3], rtol=1e-6)


def test_a_baseline_shifts_what_is_told():
    def slopes(points):  # f = x^2 + 5 y
        return np.stack([2 * points[:, 0], np.full(len(points), 5)], axis=1)

    found = integrated_gradients(slopes, np.array([3.0, 1.0]), np.array([1.0, 3.0]))
    np.testing.assert_allclose(found, [8, -10], rtol=1e-6)


def test_class_activation_keeps_the_slope_of_each_place():
    value = np.arange(8.0).reshape(2, 2, 2)
    slope = np.zeros_like(value)
    slope[1, 0] = 3, -1
    np.testing.assert_array_equal(class_activation(value, slope), [[0, 0], [3 * 4 - 5, 0]])


def test_patches_shares_and_overlaps_keep_the_sum():
    heat = np.arange(15.0).reshape(5, 3)
    np.testing.assert_array_equal(
        summed_patches(heat, 2, 2), [[0 + 1 + 3 + 4, 2 + 5], [6 + 7 + 9 + 10, 8 + 11], [25, 14]]
    )
    assert shares_of({"a": -1.0, "b": 3.0}) == {"a": 0.25, "b": 0.75}
    assert shares_of({"a": 0.0}) == {"a": 0.0}
    pieces = [np.full((4, 2), value) for value in (1.0, 10.0)]
    assert overlapped(pieces, 2, 9)[:, 0].tolist() == [1, 1, 11, 11, 10, 10, 0, 0, 0]
    assert area_of_half(np.array([[8.0, 1], [1, 0]])) == 0.25
    assert area_of_half(np.zeros((2, 2))) == 1


def test_a_larger_map_holds_as_much():
    heat = np.random.default_rng(0).random((5, 7)).astype(np.float32)
    assert spread(heat, 20, 28).sum() == pytest.approx(heat.sum(), rel=0.02)


@pytest.mark.parametrize(
    ("fit", "seen"),
    [
        (Fit(10, 10), (0, 0, 40, 20)),
        (Fit(10, 10, crop=0.5), (15, 5, 25, 15)),
        (Fit(10, 10, pad=True), (0, -10, 40, 30)),
        (Fit(10, 40, pad=True), (-20, 0, 60, 20)),
    ],
)
def test_what_is_seen_of_a_picture(fit, seen):
    assert fit.seen(20, 40) == seen


# --- pictures


def striped(count, seed):
    """Noise with a patch of upright or level stripes, of the same values, somewhere in it."""
    rng = np.random.default_rng(seed)
    images = rng.choice([0.0, 255.0], (count, SIDE, SIDE, 1)).astype(np.float32)
    labels = rng.integers(0, 2, count)
    corners = rng.integers(0, SIDE - PATCH + 1, (count, 2))
    stripes = np.where(np.arange(PATCH) // 2 % 2, 255.0, 0.0)
    for image, label, (top, left) in zip(images, labels, corners, strict=True):
        patch = np.broadcast_to(stripes[:, None] if label else stripes, (PATCH, PATCH))
        image[top : top + PATCH, left : left + PATCH, 0] = patch
    return images, labels, corners


def striped_network(head):
    image = keras.Input((SIDE, SIDE, 1), name="image")
    pixels = layers.Rescaling(1 / 127.5, -1)(image)
    for filters in (8, 12):
        pixels = layers.Conv2D(filters, 5, padding="same", activation="relu")(pixels)
        pixels = layers.MaxPooling2D(2, name=f"maximum_{filters}")(pixels)
    if head == "flat":
        features = layers.Dense(16, activation="relu")(layers.Flatten()(pixels))
    else:
        features = pool(pixels, head)
    answer = layers.Dense(2, activation="softmax", name="probabilities")(features)
    outputs = {"features": features, "embedding": features, "probabilities": answer}
    return keras.Model({"image": image}, outputs, name="network")


@pytest.fixture(scope="module", params=["average+deviation", "flat"])
def striped_runs(request):
    """A trained network, the same with random weights, and pictures that they have not seen."""
    keras.utils.set_random_seed(0)
    random, network = striped_network(request.param), striped_network(request.param)
    images, labels, _ = striped(1600, seed=1)
    trained = keras.Model(network.input, network.output["probabilities"])
    trained.compile(
        keras.optimizers.Adam(5e-3), "sparse_categorical_crossentropy", metrics=["accuracy"]
    )
    trained.fit({"image": images}, labels, batch_size=40, epochs=5, verbose=0)
    asked = striped(SHOWN, seed=2)
    assert trained.evaluate({"image": asked[0]}, asked[1], verbose=0)[1] > 0.9
    return network, random, asked


def mass_on_patch(network, asked):
    """Mean share of the map's mass that lies on the patch, over the maps that hold anything."""
    shares = []
    for image, label, (top, left) in zip(*asked, strict=True):
        (found,) = picture_maps(network, PLAIN, {"image": image[None]}, int(label))
        heat = spread(found.heat.astype(np.float32), SIDE, SIDE)
        if heat.sum() > 0:
            patch = heat[top : top + PATCH, left : left + PATCH]
            shares.append(patch.sum() / heat.sum())
    assert len(shares) > 0.7 * SHOWN
    return float(np.mean(shares))


def test_the_map_lies_on_the_cause_and_random_weights_destroy_it(striped_runs):
    network, random, asked = striped_runs
    chance = (PATCH / SIDE) ** 2
    told = mass_on_patch(network, asked)
    assert told > 2.2 * chance  # measured: 4.8 times with a pooled head, 2.6 with a flat one
    assert mass_on_patch(random, asked) < min(1.5 * chance, told / 2)


def test_the_last_maps_of_a_network_and_of_networks_in_it():
    image = keras.Input((8, 8, 3), name="image")
    first = layers.Conv2D(4, 3, name="first")(image)
    second = layers.Conv2D(4, 3, name="second")(first)
    inner = keras.Model(image, layers.GlobalAveragePooling2D()(second), name="inner")
    again = keras.Input((8, 8, 3), name="image")
    backbone = keras.Model(image, [first, second], name="backbone")
    maps = backbone(again)
    answer = layers.Concatenate()(
        [inner(again), layers.Flatten()(maps[0]), layers.GlobalMaxPooling2D()(maps[1])]
    )
    network = keras.Model({"image": again}, answer)
    assert {layer.name for layer in last_maps(network)} == {"second", "backbone"}


def test_turned_maps_come_back_to_the_place_in_the_picture():
    """A spot goes through the layer that turns pictures, and its maps back again."""
    picture = np.zeros((1, 40, 40, 1), np.float32)
    picture[0, 6:10, 26:30] = 1
    views = keras.ops.convert_to_numpy(FixedViews()(picture))[..., 0]
    assert views[1].argmax() != views[0].argmax()
    back = FixedViews().back_to_picture(views)
    rows, columns = np.nonzero(back > 0.5 * back.max())
    assert abs(rows.mean() - 7.5) < 0.5
    assert abs(columns.mean() - 27.5) < 0.5
    assert back[6:10, 26:30].sum() > 0.8 * back.sum()


def test_a_turned_network_gives_one_map_of_the_picture():
    image = keras.Input((24, 24, 1), name="image")
    maps = layers.Conv2D(4, 3, activation="relu", padding="same")(FixedViews()(image))
    features = OneOfViews()(ByPicture()(layers.GlobalAveragePooling2D()(maps)))
    answer = layers.Dense(2, activation="softmax", name="probabilities")(features)
    network = keras.Model({"image": image}, {"probabilities": answer})
    seen = np.random.default_rng(0).random((1, 24, 24, 1)).astype(np.float32)
    _, ((watched,),) = slopes_of_layers(network, {"image": seen}, 1, last_maps(network))
    assert watched.value.shape == (len(VIEWS), 24, 24, 4)
    (found,) = picture_maps(network, PLAIN, {"image": seen}, 1)
    assert found.heat.shape == (24, 24)


def test_each_view_has_its_own_share_of_the_map():
    """Of two views of which one alone shows something, that one holds the whole map."""
    inputs = {name: keras.Input((8, 8, 1), name=name) for name in ("image", "image_2")}
    seen = [
        layers.Conv2D(1, 1, use_bias=False, kernel_initializer="ones", name=name)(picture)
        for name, picture in zip(("whole", "view_2"), inputs.values(), strict=True)
    ]
    pooled = layers.GlobalAveragePooling2D()(layers.Concatenate()(seen))
    answer = layers.Dense(2, activation="softmax", name="probabilities")(pooled)
    network = keras.Model(inputs, {"probabilities": answer})
    network.get_layer("probabilities").set_weights([np.array([[0, 1], [0, 1.0]]), np.zeros(2)])
    arrays = {name: np.zeros((1, 8, 8, 1), np.float32) for name in inputs}
    arrays["image_2"][0, 3, 5] = 1
    views = (View("whole", "image"), View("view_2", "image_2"))
    whole, second = picture_maps(network, Anatomy(views=views), arrays, 1)
    assert (whole.share, second.share) == (0, 1)
    assert np.unravel_index(second.heat.argmax(), (8, 8)) == (3, 5)


def test_gradients_are_asked_of_tensorflow_alone(monkeypatch):
    check_backend()
    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    with pytest.raises(InputError, match="KERAS_BACKEND is jax: leave that variable out"):
        check_backend()


def test_layers_are_left_as_they_were():
    network = striped_network("average")
    image = striped(2, 0)[0]
    before = network.predict({"image": image}, verbose=0)["probabilities"]
    _, found = slopes_of_layers(network, {"image": image}, 0, last_maps(network), scale=0.5)
    assert found[0][0].value.shape == (2, 6, 6, 12)
    np.testing.assert_array_equal(
        network.predict({"image": image}, verbose=0)["probabilities"], before
    )
    with pytest.raises(ValueError, match="rank|shape|dimension|incompatible"):
        slopes_of_layers(network, {"image": image[0, 0]}, 0, last_maps(network))
    assert not any("call" in vars(layer) for layer in network.layers)
    # The score is the logarithm of the probability above the mean of all logarithms.
    logs = np.log(before)
    expected = (logs - logs.mean(axis=1, keepdims=True))[:, 1]
    np.testing.assert_allclose(scores(network, {"image": image}, 1), expected, atol=1e-5)
    assert slopes_of_inputs(network, {"image": image}, 1)[0] == pytest.approx(expected, abs=1e-5)


# --- measurements and modalities

COLUMNS = (
    Column("length_mm"), Column("height_mm"), Column("site", ("a", "b", "c")), Column("mass_g"),
)  # fmt: skip
CAUSE = 1  # the one column that tells the class


def specimens(count, seed):
    """Measurements of which one tells the class, and a picture of nothing."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 2, count)
    values = rng.normal(10, 2, (count, 4)).astype(np.float32)
    values[:, CAUSE] += 6 * labels
    values[:, 2] = rng.integers(0, 3, count)
    values[rng.random(count) < 0.1, 3] = np.nan
    image = rng.normal(0, 1, (count, 4, 4, 1)).astype(np.float32)
    return {"image": image, "measurements": values}, labels


@pytest.fixture(scope="module")
def measured():
    """A trained network of a picture and measurements, and its encoder."""
    keras.utils.set_random_seed(0)
    arrays, labels = specimens(600, seed=1)
    inputs = {name: keras.Input(values.shape[1:], name=name) for name, values in arrays.items()}
    encoder = EncodeMeasurements.learnt_from(arrays["measurements"], [0, 0, 3, 0])
    seen = layers.Dense(3)(layers.Flatten()(inputs["image"]))
    joined = layers.Concatenate(name=JOINED)([seen, encoder(inputs["measurements"])])
    hidden = layers.Dense(16, activation="tanh")(joined)
    answer = layers.Dense(2, activation="softmax", name="probabilities")(hidden)
    network = keras.Model(inputs, {"features": joined, "probabilities": answer})
    trained = keras.Model(inputs, answer)
    trained.compile(
        keras.optimizers.Adam(1e-2), "sparse_categorical_crossentropy", metrics=["accuracy"]
    )
    trained.fit(arrays, labels, batch_size=50, epochs=6, verbose=0)
    assert trained.evaluate(*specimens(200, seed=2), verbose=0)[1] > 0.9
    features = network.predict(arrays, verbose=0)["features"].mean(axis=0)
    return network, encoder, {"image": features[:3], "measurements": features[3:]}


def firsts(measured):
    """How often the cause contributes most, and the modalities' weights, over many specimens."""
    network, encoder, baseline = measured
    arrays, labels = specimens(20, seed=3)
    first, weights = [], []
    for row, label in enumerate(labels):
        sample = {name: values[row : row + 1] for name, values in arrays.items()}
        found = Fusion(network, ("image", "measurements"), sample).contributions(label, baseline)
        total = sum(values.sum() for values in found.parts.values())
        assert total == pytest.approx(found.score - found.baseline, abs=1e-3)
        columns = by_column(found.parts["measurements"], encoder, COLUMNS)
        assert columns.sum() == pytest.approx(found.weights["measurements"], abs=1e-5)
        first.append(np.abs(columns).argmax() == CAUSE)
        weights.append(found.weights)
    return np.mean(first), weights


def test_the_column_that_tells_the_class_contributes_most(measured):
    first, weights = firsts(measured)
    assert first > 0.8
    shares = [shares_of(one)["measurements"] for one in weights]
    assert np.mean(shares) > 0.7
    network = measured[0]
    kept = network.get_weights()
    rng = np.random.default_rng(0)
    network.set_weights([rng.normal(0, 0.3, values.shape) for values in kept])
    random, _ = firsts(measured)
    network.set_weights(kept)
    assert random < 0.6


def test_what_is_usual_for_its_class_contributes_nothing_against_the_class_mean(measured):
    network, encoder, _ = measured
    arrays, labels = specimens(400, seed=4)
    encoded = np.asarray(encoder(arrays["measurements"]))
    usual = encoded[labels == 1].mean(axis=0)
    sample = {name: values[:1].copy() for name, values in arrays.items()}
    typical = arrays["measurements"][labels == 1]
    sample["measurements"][0] = np.nanmean(typical, axis=0)
    sample["measurements"][0, CAUSE] -= 5  # less than is usual
    fusion = Fusion(network, ("image", "measurements"), sample)
    found = fusion.contributions(1, {"measurements": usual})
    assert found.parts["image"].tolist() == [0, 0, 0]  # it stays as it is
    columns = by_column(found.parts["measurements"], encoder, COLUMNS)
    assert columns[CAUSE] < 0 and np.abs(columns).argmax() == CAUSE
    assert abs(columns[0]) < 0.2 * abs(columns[CAUSE])


def test_codes_and_flags_count_to_their_columns():
    values = np.array([[1, 2, 0, np.nan], [2, 3, 2, 5], [3, 5, 1, 6]], np.float32)
    encoder = EncodeMeasurements.learnt_from(values, [0, 0, 3, 0])
    assert encoder.sources() == [0, 1, 3, 3, 2, 2, 2]
    assert len(encoder.sources()) == encoder(values).shape[-1]
    columns = by_column(np.arange(7.0), encoder, COLUMNS)
    assert columns.tolist() == [0, 1, 4 + 5 + 6, 2 + 3]


# --- landmarks


def test_the_landmarks_that_tell_contribute_and_random_weights_destroy_it():
    """The lips of a face open where it is of the second class; its brows move as they like."""
    keras.utils.set_random_seed(0)
    rng = np.random.default_rng(0)
    mean = rng.uniform(5, 43, (68, 2))
    labels, moved = rng.integers(0, 2, (2, 500))
    faces = (mean + rng.normal(0, 1, (500, 68, 2))).astype(np.float32)
    telling, other = IBUG_PARTS["lips"], slice(17, 25)
    faces[:, telling, 1] += 4 * labels[:, None]
    faces[:, other, 1] += 4 * moved[:, None]
    points = keras.Input((68, 2), name="landmarks")
    hidden = layers.Flatten()(layers.Rescaling(1 / 24, -1)(points))
    hidden = layers.Dense(8, activation="tanh")(hidden)
    answer = layers.Dense(2, activation="softmax", name="probabilities")(hidden)
    network = keras.Model({"landmarks": points}, {"probabilities": answer})
    trained = keras.Model(network.input, answer)
    trained.compile(keras.optimizers.Adam(1e-2), "sparse_categorical_crossentropy")
    trained.fit({"landmarks": faces}, labels, batch_size=50, epochs=8, verbose=0)

    def shares():
        found = []
        for row in range(20):
            told = point_contributions(
                network, {"landmarks": faces[row : row + 1]}, labels[row], faces.mean(axis=0)
            )
            assert told.values.sum() == pytest.approx(told.score - told.baseline, abs=1e-3)
            sizes = np.abs(told.values)
            found.append([sizes[part].sum() / sizes.sum() for part in (telling, other)])
        return np.mean(found, axis=0)

    trained_shares = shares()
    assert trained_shares[0] > 4 * 8 / 68
    assert trained_shares[0] > 3 * trained_shares[1]
    network.set_weights(
        [rng.permutation(one.ravel()).reshape(one.shape) for one in network.get_weights()]
    )
    random_shares = shares()
    assert random_shares[0] < 1.5 * random_shares[1]
