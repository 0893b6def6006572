"""Frozen branches computed once: the same weights as through the whole network."""

import keras
import numpy as np
import pandas as pd
import pytest
from keras import layers

from datasets.pipelines import judging_pipeline, training_pipeline, view_pipeline
from training.frozen import split_at_frozen
from training.phases import Phase, Pipelines, set_trainable, train_phases

PIPELINES = Pipelines(training_pipeline, judging_pipeline, view_pipeline)
RNG = np.random.default_rng(0)
DATA = {
    "left": RNG.normal(size=(96, 6)).astype(np.float32),
    "right": RNG.normal(size=(96, 4)).astype(np.float32),
}
TARGETS = (DATA["left"][:, 0] + DATA["right"][:, 1] > 0).astype(int)


def branch(name, width, output=3):
    """A branch with batch normalisation and dropout, frozen or not by its user."""
    given = keras.Input((width,), name=name)
    hidden = layers.Dense(8, activation="relu")(given)
    hidden = layers.Dropout(0.5)(layers.BatchNormalization()(hidden))
    return keras.Model({name: given}, layers.Dense(output)(hidden), name=f"{name}_branch")


def two_branches(seed=0, deep=True):
    keras.utils.set_random_seed(seed)
    left, right = keras.Input((6,), name="left"), keras.Input((4,), name="right")
    left_out, right_out = branch("left", 6)({"left": left}), branch("right", 4)({"right": right})
    joined = layers.Concatenate(name="joined")([left_out, right_out])
    hidden = layers.Dense(5, activation="tanh", name="fusion")(joined) if deep else joined
    answer = layers.Dense(2, activation="softmax", name="answer")(hidden)
    return keras.Model(
        {"left": left, "right": right}, {"probabilities": answer, "features": joined}
    )


def active_dropout(network):
    """Dropout draws in training whether or not it is frozen: make the branches free of chance."""
    for layer in network._flatten_layers():
        if isinstance(layer, layers.Dropout):
            layer.rate = 0.0


def trained_view(network):
    return keras.Model(network.input, network.output["probabilities"])


HEAD = ("fusion", "answer")


@pytest.mark.parametrize("deep", [True, False])
def test_training_on_stored_outputs_gives_the_weights_of_the_whole_network(
    deep, tmp_path, monkeypatch
):
    def train(folder):
        network = two_branches(deep=deep)
        active_dropout(network)
        names = HEAD if deep else HEAD[1:]
        phase = Phase("fusion", 5, 16, keras.optimizers.Adam(0.01), trainable=names)
        folder.mkdir()
        train_phases(
            network, (phase,), (DATA, TARGETS), (DATA, TARGETS), PIPELINES, dict,
            seed=3, folder=folder, title="test",
        )  # fmt: skip
        return network

    before = two_branches(deep=deep).get_weights()
    stored = train(tmp_path / "stored")
    monkeypatch.setattr("training.phases.split_at_frozen", lambda network: None)
    whole = train(tmp_path / "whole")
    moved = [np.abs(one - old).max() for one, old in zip(stored.get_weights(), before, strict=True)]
    assert sum(change > 1e-3 for change in moved) == (4 if deep else 2)  # the head alone
    for one, other in zip(stored.get_weights(), whole.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)


def test_the_boundary_is_the_last_frozen_tensor():
    network = two_branches()
    active_dropout(network)
    set_trainable(network, HEAD)
    split = split_at_frozen(trained_view(network))
    assert [tuple(tensor.shape) for tensor in split.head.inputs] == [(None, 6)]
    assert len(split.head.trainable_weights) == 4
    stored = split.frozen.predict(DATA, verbose=0)
    np.testing.assert_allclose(
        split.head.predict(stored, verbose=0),
        network.predict(DATA, verbose=0)["probabilities"],
        atol=1e-6,
    )


def test_a_branch_called_as_in_inference_is_stored_with_its_dropout():
    given = keras.Input((6,), name="left")
    seen = branch("left", 6)({"left": given}, training=False)
    answer = layers.Dense(2, activation="softmax", name="answer")(seen)
    network = keras.Model({"left": given}, {"probabilities": answer})
    set_trainable(network, ("answer",))
    assert split_at_frozen(trained_view(network)) is not None


def test_an_active_dropout_is_not_stored():
    network = two_branches()
    set_trainable(network, HEAD)
    assert split_at_frozen(trained_view(network)) is None


def test_a_network_that_trains_as_a_whole_is_not_cut():
    network = two_branches()
    active_dropout(network)
    set_trainable(network, None)
    assert split_at_frozen(trained_view(network)) is None


def test_a_batch_normalisation_that_still_learns_is_not_stored():
    given = keras.Input((6,), name="left")
    norm = layers.BatchNormalization(center=False, scale=False)(given)  # moving statistics only
    answer = layers.Dense(2, activation="softmax", name="answer")(norm)
    network = keras.Model({"left": given}, {"probabilities": answer})
    assert split_at_frozen(trained_view(network)) is None
    network.layers[1].trainable = False
    assert split_at_frozen(trained_view(network)) is not None


def test_one_frozen_branch_beside_one_that_trains():
    network = two_branches()
    active_dropout(network)
    set_trainable(network, ("right_branch", *HEAD))
    split = split_at_frozen(trained_view(network))
    shapes = sorted(tuple(tensor.shape) for tensor in split.head.inputs)
    assert shapes == [(None, 3), (None, 4)]  # what the left branch gives, and the raw right input
    stored = split.frozen.predict(DATA, verbose=0)
    np.testing.assert_allclose(
        split.head.predict(stored, verbose=0),
        network.predict(DATA, verbose=0)["probabilities"],
        atol=1e-6,
    )


def test_a_network_with_frozen_parts_can_be_saved_after_training(tmp_path):
    network = two_branches(deep=False)
    active_dropout(network)
    set_trainable(network, ("answer",))
    split_at_frozen(trained_view(network))
    network.save(tmp_path / "network.keras")
    again = keras.models.load_model(tmp_path / "network.keras")
    np.testing.assert_allclose(
        again.predict(DATA, verbose=0)["probabilities"],
        network.predict(DATA, verbose=0)["probabilities"],
        atol=1e-6,
    )


def test_an_unknown_layer_is_named():
    with pytest.raises(ValueError, match="nothing_like_it"):
        set_trainable(two_branches(), ("nothing_like_it",))


@pytest.mark.parametrize("stopped_in", [0, 1])
def test_two_phases_go_on_after_an_interruption(tmp_path, monkeypatch, stopped_in):
    monkeypatch.setattr("training.callbacks.CHECKPOINT_SECONDS", 0)

    def stop(epoch, logs):
        if epoch == 2:
            raise KeyboardInterrupt

    def train(folder, stopper=None):
        network = two_branches()
        active_dropout(network)
        stops = [
            (keras.callbacks.LambdaCallback(on_epoch_begin=stop),) if stopper == index else ()
            for index in range(2)
        ]
        phases = (
            Phase("whole", 3, 16, keras.optimizers.Adam(0.01), callbacks=stops[0]),
            Phase("head", 3, 16, keras.optimizers.Adam(0.01), trainable=HEAD, callbacks=stops[1]),
        )
        folder.mkdir(exist_ok=True)
        train_phases(
            network, phases, (DATA, TARGETS), (DATA, TARGETS), PIPELINES, dict,
            seed=3, folder=folder, title="test",
        )  # fmt: skip
        return network

    whole = train(tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "broken", stopper=stopped_in)
    again = train(tmp_path / "broken")
    for one, other in zip(whole.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)
    history = pd.read_csv(tmp_path / "broken" / "history.csv")
    assert history["phase"].tolist() == ["whole"] * 3 + ["head"] * 3
    assert history["epoch"].tolist() == [1, 2, 3] * 2


def test_a_training_stopped_before_its_first_checkpoint_begins_again(tmp_path):
    network = two_branches()
    phase = Phase("whole", 3, 16, keras.optimizers.Adam(0.01))
    (tmp_path / "history.csv").write_text("phase,epoch,loss\nwhole,1,9.0\nwhole,2,8.0\n")
    train_phases(
        network, (phase,), (DATA, TARGETS), (DATA, TARGETS), PIPELINES, dict,
        seed=3, folder=tmp_path, title="test",
    )  # fmt: skip
    assert pd.read_csv(tmp_path / "history.csv")["epoch"].tolist() == [1, 2, 3]
