"""Outputs of frozen layers are computed once for each sample, and never mixed up."""

import keras
import numpy as np
import pytest

from models.base import PIPELINES
from training import frozen_outputs
from training.epochs import compute
from training.frozen_outputs import FrozenOutputs, through_frozen


def _frozen_part(seed: int = 0):
    """(4,) picture and (2,) measurements -> eight frozen features, and the measurements."""
    keras.utils.set_random_seed(seed)
    image, measured = keras.Input((4,), name="image"), keras.Input((2,), name="measurements")
    features = keras.layers.Dense(8, activation="relu")(image)
    outputs = {"features": features, "measured": measured}
    return keras.Model({"image": image, "measurements": measured}, outputs)


def _samples(number: int, seed: int = 0) -> dict:
    rng = np.random.default_rng(seed)
    return {
        "image": rng.normal(size=(number, 4)).astype(np.float32),
        "measurements": rng.normal(size=(number, 2)).astype(np.float32),
    }


@pytest.fixture
def asked(monkeypatch):
    """How many samples each pass through layers with weights had."""
    numbers = []

    predict = keras.Model.predict

    def counted(model, batches, **keywords):
        outputs = predict(model, batches, **keywords)
        if model.weights:
            numbers.append(len(next(iter(outputs.values()))))
        return outputs

    monkeypatch.setattr(keras.Model, "predict", counted)
    return numbers


def test_a_sample_is_computed_once_in_whatever_order_it_comes(asked):
    part, samples = _frozen_part(), _samples(6)
    expected = {name: np.asarray(array) for name, array in part(samples).items()}
    kept = FrozenOutputs()
    kept.compute(part, {name: array[:4] for name, array in samples.items()}, PIPELINES)
    order = [5, 0, 5, 3, 4, 1]
    found = kept.compute(part, {name: array[order] for name, array in samples.items()}, PIPELINES)

    assert asked == [4, 2]
    for name, array in expected.items():
        np.testing.assert_allclose(found[name], array[order], rtol=1e-6)


def test_other_measurements_do_not_make_a_picture_new(asked):
    part, samples = _frozen_part(), _samples(3)
    kept = FrozenOutputs()
    kept.compute(part, samples, PIPELINES)
    others = samples | {"measurements": samples["measurements"][::-1].copy()}
    found = kept.compute(part, others, PIPELINES)

    assert asked == [3]
    np.testing.assert_array_equal(found["measured"], others["measurements"])


def test_the_same_layers_built_anew_are_known_by_their_weights(asked):
    samples, kept = _samples(3), FrozenOutputs()
    first = kept.compute(_frozen_part(0), samples, PIPELINES)
    again = kept.compute(_frozen_part(0), samples, PIPELINES)  # Keras numbers its layers further
    other = kept.compute(_frozen_part(1), samples, PIPELINES)

    assert asked == [3, 3]
    np.testing.assert_array_equal(first["features"], again["features"])
    assert not np.allclose(first["features"], other["features"])


def test_a_changed_weight_is_noticed(asked):
    part, samples, kept = _frozen_part(), _samples(3), FrozenOutputs()
    kept.compute(part, samples, PIPELINES)
    part.weights[0].assign(2 * part.weights[0])
    found = kept.compute(part, samples, PIPELINES)

    assert asked == [3, 3]
    np.testing.assert_allclose(found["features"], compute(part, samples, PIPELINES)["features"])


def test_the_oldest_outputs_go_when_there_are_too_many(asked):
    part, samples = _frozen_part(), _samples(8)
    kept = FrozenOutputs(limit=5 * 8 * 4)  # five samples of eight numbers
    kept.compute(part, samples, PIPELINES)
    newest = {name: array[3:] for name, array in samples.items()}
    kept.compute(part, newest, PIPELINES)
    kept.compute(part, samples, PIPELINES)

    assert asked == [8, 3]


def test_large_outputs_are_not_kept(asked, monkeypatch):
    monkeypatch.setattr(frozen_outputs, "LARGEST", 8 * 4 - 1)
    part, samples, kept = _frozen_part(), _samples(2), FrozenOutputs()
    for _ in range(2):
        kept.compute(part, samples, PIPELINES)

    assert asked == [2, 2]


def test_a_network_by_its_parts_answers_as_the_whole():
    part = _frozen_part()
    part.trainable = False
    head = keras.layers.Dense(3, activation="softmax")
    features = part.output["features"]  # frozen as a whole, and asked for as well
    network = keras.Model(part.input, {"features": features, "probabilities": head(features)})
    samples = _samples(5)
    how = through_frozen(network)
    found = how(network, samples, PIPELINES)

    assert how is not compute
    expected = compute(network, samples, PIPELINES)
    for name in ("features", "probabilities"):
        np.testing.assert_allclose(found[name], expected[name], rtol=1e-5)
