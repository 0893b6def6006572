"""Phases that train an output of their own, hand its weights down, and an auxiliary classifier."""

import keras
import numpy as np
import pandas as pd
import pytest
from keras import layers

from datasets.pipelines import judging_pipeline, training_pipeline, view_pipeline
from training.objectives import AuxiliaryObjective
from training.phases import Phase, Pipelines, train_phases

PIPELINES = Pipelines(training_pipeline, judging_pipeline, view_pipeline)
GENUS = np.array([0, 0, 1])  # of each of three species

pytestmark = [
    pytest.mark.usefixtures("eager"),
    pytest.mark.filterwarnings("ignore:Even though the"),
]


def samples(count, seed):
    rng = np.random.default_rng(seed)
    targets = rng.integers(0, 3, count)
    centres = np.array([[2.0, 0.0, 0.0], [2.0, 1.0, 0.0], [-2.0, 0.0, 1.0]])
    return {"given": (centres[targets] + rng.normal(0, 0.3, (count, 3))).astype("f4")}, targets


TRAIN, VALIDATION = samples(60, 0), samples(40, 1)


def network():
    keras.utils.set_random_seed(0)
    given = keras.Input((3,), name="given")
    shared = layers.Dense(4, activation="tanh", name="shared")(given)
    heads = {
        name: layers.Dense(classes, activation="softmax", name=name)(shared)
        for name, classes in (("probabilities", 3), ("genus", 2), ("auxiliary", 3))
    }
    return keras.Model({"given": given}, heads)


def train(folder, *phases, model=None):
    folder.mkdir(exist_ok=True)
    model = model or network()
    train_phases(
        model, phases, TRAIN, VALIDATION, PIPELINES, dict, seed=3, folder=folder, title="test"
    )
    return model


def genus_phase(**changes):
    told = {"output": "genus", "classes": GENUS} | changes
    return Phase("genus", 12, 10, keras.optimizers.Adam(0.05), **told)


def hand_down(model):
    kernel, bias = model.get_layer("genus").get_weights()
    model.get_layer("probabilities").set_weights([kernel[:, GENUS], bias[GENUS]])


def species_phase(**changes):
    return Phase("species", 3, 10, keras.optimizers.Adam(0.01), begin=hand_down, **changes)


def history(folder):
    return pd.read_csv(folder / "history.csv")


def test_a_phase_learns_the_classes_of_its_own_output(tmp_path):
    before = network()
    after = train(tmp_path / "run", genus_phase())
    assert history(tmp_path / "run")["val_accuracy"].iloc[-1] > 0.95
    answers = after.predict(VALIDATION[0], verbose=0)["genus"].argmax(axis=1)
    assert np.mean(answers == GENUS[VALIDATION[1]]) > 0.95
    for name, is_same in (("probabilities", True), ("genus", False), ("shared", False)):
        pairs = zip(before.get_layer(name).weights, after.get_layer(name).weights, strict=True)
        assert all(np.array_equal(a, b) for a, b in pairs) == is_same


def test_weights_are_handed_down_before_the_first_epoch_and_once(tmp_path):
    calls = []

    def begin(model):
        calls.append(model.get_layer("genus").get_weights()[0].copy())
        hand_down(model)

    still = Phase("species", 2, 10, keras.optimizers.SGD(0.0), begin=begin)
    model = train(tmp_path / "run", genus_phase(), still)
    assert len(calls) == 1
    kernel = model.get_layer("probabilities").get_weights()[0]
    np.testing.assert_array_equal(kernel, calls[0][:, GENUS])
    assert history(tmp_path / "run")["phase"].tolist() == ["genus"] * 12 + ["species"] * 2


def test_an_interruption_hands_nothing_down_again(tmp_path, monkeypatch):
    monkeypatch.setattr("training.callbacks.CHECKPOINT_SECONDS", 0)
    whole = train(tmp_path / "whole", genus_phase(), species_phase())

    def stop(epoch, logs):
        if epoch == 2:
            raise KeyboardInterrupt

    cut = keras.callbacks.LambdaCallback(on_epoch_begin=stop)
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "cut", genus_phase(), species_phase(callbacks=(cut,)))
    again = train(tmp_path / "cut", genus_phase(), species_phase())
    for one, other in zip(whole.weights, again.weights, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)


def test_the_auxiliary_classifier_learns_beside_and_is_not_judged(tmp_path):
    before = network()
    phase = Phase("both", 8, 10, keras.optimizers.Adam(0.05), objective=AuxiliaryObjective())
    after = train(tmp_path / "run", phase)
    pairs = zip(before.get_layer("genus").weights, after.get_layer("genus").weights, strict=True)
    assert all(np.array_equal(a, b) for a, b in pairs)
    found = after.predict(VALIDATION[0], verbose=0)
    right = {name: np.mean(found[name].argmax(1) == VALIDATION[1]) for name in found}
    assert right["auxiliary"] > 0.8
    assert history(tmp_path / "run")["val_accuracy"].iloc[-1] == pytest.approx(
        right["probabilities"], abs=1e-6
    )


def test_auxiliary_loss_is_weighed():
    rng = np.random.default_rng(2)
    answers, beside = rng.dirichlet(np.ones(3), (2, 5)).astype(np.float32)
    targets, weights = np.array([0, 1, 2, 1, 0]), np.array([1, 1, 2, 1, 0], np.float32)
    objective = AuxiliaryObjective("beside", 0.3)
    found = objective.loss({"probabilities": answers, "beside": beside}, targets, weights)
    losses = [-np.log(one[np.arange(5), targets]) * weights for one in (answers, beside)]
    assert float(found) == pytest.approx(losses[0].mean() + 0.3 * losses[1].mean(), rel=1e-5)
    assert objective.needs == ("beside",)
