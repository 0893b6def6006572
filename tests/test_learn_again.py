"""A last phase whose head begins anew at the centroids of what the trained network makes."""

import keras
import numpy as np
import pytest
from keras import layers

from datasets.pipelines import judging_pipeline, training_pipeline, view_pipeline
from models.whitening import SHARPNESS, CentroidDense, Whiten, whitening
from training.frozen import learn_from
from training.phases import Phase, Pipelines, train_phases

PIPELINES = Pipelines(training_pipeline, judging_pipeline, view_pipeline)
pytestmark = [
    pytest.mark.usefixtures("eager"),
    pytest.mark.filterwarnings("ignore:Even though the"),
]


def samples(count, seed):
    rng = np.random.default_rng(seed)
    targets = np.arange(count) % 3
    given = rng.normal(size=(count, 6)).astype(np.float32)
    given[np.arange(count), targets] += 3
    return {"given": given}, targets


TRAIN, VALIDATION = samples(48, 0), samples(30, 1)


def network():
    keras.utils.set_random_seed(0)
    given = keras.Input((6,), name="given")
    seen = layers.Dense(5, activation="tanh", name="body")(given)
    seen = layers.UnitNormalization()(Whiten(4, name="whiten")(seen))
    answer = CentroidDense(3, activation="softmax", name="answer")(seen)
    return keras.Model({"given": given}, {"probabilities": answer})


def phases(**changes):
    return (
        Phase("all", 2, 8, keras.optimizers.Adam(0.05)),
        Phase(
            "head", 3, 8, keras.optimizers.Adam(0.05),
            trainable=("answer",), learn_again=True, **changes,
        ),
    )  # fmt: skip


def train(folder, stretches):
    model = network()
    train_phases(
        model, stretches, TRAIN, VALIDATION, PIPELINES, dict, seed=3, folder=folder, title="test"
    )
    return model


def interruption(epoch):
    def stop(number, logs):
        if number == epoch:
            raise KeyboardInterrupt

    return (keras.callbacks.LambdaCallback(on_epoch_begin=stop),)


def test_whitening_and_centroids_are_those_of_the_trained_network(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        train_phases(
            model := network(), phases(callbacks=interruption(0)), TRAIN, VALIDATION, PIPELINES,
            dict, seed=3, folder=tmp_path, title="test",
        )  # fmt: skip
    body = keras.Model(model.input, model.get_layer("body").output)
    features = body.predict(TRAIN[0], verbose=0)
    mean, matrix = whitening(features, TRAIN[1], 4)
    white = (features - mean) @ matrix
    white /= np.linalg.norm(white, axis=1, keepdims=True)
    sums = np.stack([white[TRAIN[1] == target].sum(axis=0) for target in range(3)])
    expected = SHARPNESS * sums / np.linalg.norm(sums, axis=1, keepdims=True)
    kernel = model.get_layer("answer").get_weights()[0]
    np.testing.assert_allclose(kernel.T, expected, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("epoch", [1, 2])
def test_an_interruption_changes_nothing(tmp_path, monkeypatch, epoch):
    monkeypatch.setattr("training.callbacks.CHECKPOINT_SECONDS", 0)
    for name in ("whole", "broken"):
        (tmp_path / name).mkdir()
    whole = train(tmp_path / "whole", phases())
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "broken", phases(callbacks=interruption(epoch)))
    again = train(tmp_path / "broken", phases())
    for one, other in zip(whole.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)


def test_what_stands_before_a_second_such_layer_is_computed_once():
    model, asked = network(), []

    def compute(before):
        asked.append(before)
        return before.predict(TRAIN[0], verbose=0)

    learn_from(model, compute, TRAIN[1])
    assert len(asked) == 1
    seen = keras.Model(model.input, model.get_layer("answer").input).predict(TRAIN[0], verbose=0)
    alone = CentroidDense(3)
    alone(seen)
    alone.learn_from(seen, TRAIN[1])
    np.testing.assert_allclose(model.get_layer("answer").kernel, alone.kernel, rtol=1e-4, atol=1e-4)


def test_a_layer_that_needs_more_than_was_computed_is_given_all_of_it():
    given, other = keras.Input((6,), name="given"), keras.Input((6,), name="other")
    white = Whiten(4)(given)
    joined = layers.Concatenate()([white, other])
    model = keras.Model({"given": given, "other": other}, CentroidDense(3, name="answer")(joined))
    both = {"given": TRAIN[0]["given"], "other": TRAIN[0]["given"][::-1]}
    learn_from(model, lambda before: before.predict(both, verbose=0), TRAIN[1])
    seen = keras.Model(model.input, joined).predict(both, verbose=0)
    alone = CentroidDense(3)
    alone(seen)
    alone.learn_from(seen, TRAIN[1])
    np.testing.assert_allclose(model.get_layer("answer").kernel, alone.kernel, rtol=1e-4, atol=1e-4)
