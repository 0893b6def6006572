"""Phases: what trains, which epoch is kept, stored views, and what batch normalisations do."""

import keras
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
from keras import layers

from datasets.pipelines import judging_pipeline, training_pipeline, view_pipeline
from training.frozen import split_at_frozen
from training.losses import SmoothedCrossEntropy
from training.phases import Phase, Pipelines, set_trainable, train_phases

PIPELINES = Pipelines(training_pipeline, judging_pipeline, view_pipeline)
WIDTH = 6


# tf.data says that it compiles its functions all the same.
pytestmark = [
    pytest.mark.usefixtures("eager"),
    pytest.mark.filterwarnings("ignore:Even though the"),
]


def samples(count, seed):
    rng = np.random.default_rng(seed)
    values = rng.normal(1.0, 2.0, (count, WIDTH)).astype(np.float32)
    noise = rng.random(count) < 0.2
    return {"given": values}, ((values[:, 0] > values[:, 1]) ^ noise).astype(int)


TRAIN, VALIDATION = samples(48, 1), samples(40, 2)


def nested():
    """A head on a network with batch normalisation, which is one layer of the whole."""
    keras.utils.set_random_seed(0)
    inside = keras.Input((WIDTH,))
    hidden = layers.Dense(5, name="first")(inside)
    hidden = layers.BatchNormalization(momentum=0.8, name="norm")(hidden)
    hidden = layers.Dense(4, activation="relu", name="second")(hidden)
    backbone = keras.Model(inside, hidden, name="backbone")
    given = keras.Input((WIDTH,), name="given")
    answer = layers.Dense(2, activation="softmax", name="answer")(backbone(given))
    return keras.Model({"given": given}, {"probabilities": answer})


def train(folder, *phases, network=None, pipelines=PIPELINES):
    network = network or nested()
    folder.mkdir(exist_ok=True)
    train_phases(
        network, phases, TRAIN, VALIDATION, pipelines, dict, seed=3, folder=folder, title="test"
    )
    return network


def named_weights(network):
    return {weight.path: weight.numpy() for weight in network.weights}


def moved(before, after):
    """The last two parts of the names of the weights that changed."""
    return {
        "/".join(path.split("/")[-2:])
        for path in before
        if not np.array_equal(before[path], after[path])
    }


def assert_same(one, other, atol=1e-6):
    for left, right in zip(one.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_allclose(left, right, atol=atol)


def stop_before(epoch):
    """An interruption by the user."""

    def stop(number, logs):
        if number == epoch:
            raise KeyboardInterrupt

    return keras.callbacks.LambdaCallback(on_epoch_begin=stop)


class Diary(keras.callbacks.Callback):
    """The weights at the end of each epoch."""

    def __init__(self):
        super().__init__()
        self.weights = []

    def on_epoch_end(self, epoch, logs=None):
        self.weights.append(self.model.get_weights())


# --- which epoch is kept

EPOCHS = 5


def hasty(name="hasty", keep_best=None, callbacks=(), rate=0.8, **keywords):
    """Too large steps: some epochs are worse than those before."""
    return Phase(
        name, EPOCHS, 24, keras.optimizers.SGD(rate, momentum=0.9), keep_best=keep_best,
        callbacks=callbacks, **keywords,
    )  # fmt: skip


def best_epoch(folder, figure, phase="hasty"):
    """Number, from 0, of the first epoch with the best figure."""
    history = pd.read_csv(folder / "history.csv")
    values = history[history["phase"] == phase][figure].to_numpy()
    assert len(values) == EPOCHS
    return values.argmax() if figure.endswith("accuracy") else values.argmin()


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The weights of an uninterrupted training, and its best epoch."""
    folder = tmp_path_factory.mktemp("whole")
    network = train(folder, hasty(keep_best="val_loss"))
    best = int(best_epoch(folder, "val_loss"))
    assert best < EPOCHS - 1  # else the last epoch would do
    return network, best


@pytest.mark.parametrize("figure", ["val_loss", "val_accuracy"])
def test_the_first_best_epoch_is_kept(tmp_path, figure):
    diary = Diary()
    network = train(tmp_path / "run", hasty(keep_best=figure, callbacks=(diary,)))
    best = best_epoch(tmp_path / "run", figure)
    assert best < EPOCHS - 1  # else the last epoch would do
    for found, expected in zip(network.get_weights(), diary.weights[best], strict=True):
        assert np.array_equal(found, expected)


def test_without_a_figure_the_last_epoch_is_kept(tmp_path):
    diary = Diary()
    network = train(tmp_path / "run", hasty(callbacks=(diary,)))
    for found, expected in zip(network.get_weights(), diary.weights[-1], strict=True):
        assert np.array_equal(found, expected)


@pytest.mark.parametrize("after_best", [0, 1])
def test_the_best_epoch_is_kept_across_an_interruption(tmp_path, monkeypatch, whole, after_best):
    monkeypatch.setattr("training.callbacks.CHECKPOINT_SECONDS", 0)
    network, best = whole
    stop = max(1, best + after_best)
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "broken", hasty(keep_best="val_loss", callbacks=(stop_before(stop),)))
    again = train(tmp_path / "broken", hasty(keep_best="val_loss"))
    assert best_epoch(tmp_path / "broken", "val_loss") == best
    assert_same(again, network)


def test_a_best_epoch_after_the_last_checkpoint_is_found_again(tmp_path, monkeypatch, whole):
    network, best = whole
    monkeypatch.setattr("training.callbacks.CHECKPOINT_SECONDS", 10**6)  # nothing is kept
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "broken", hasty(keep_best="val_loss", callbacks=(stop_before(best + 1),)))
    assert not (tmp_path / "broken" / "state.json").exists()
    assert_same(train(tmp_path / "broken", hasty(keep_best="val_loss")), network)


def head(name="head", epochs=3, callbacks=(), **keywords):
    return Phase(
        name, epochs, 12, keras.optimizers.Adam(0.02), trainable=("answer",),
        callbacks=callbacks, **keywords,
    )  # fmt: skip


def test_the_next_phase_begins_with_the_best_epoch_also_after_an_interruption(tmp_path):
    whole = train(tmp_path / "whole", hasty(keep_best="val_loss"), head())
    assert best_epoch(tmp_path / "whole", "val_loss") < EPOCHS - 1
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "broken", hasty(keep_best="val_loss"), head(callbacks=(stop_before(0),)))
    again = train(tmp_path / "broken", hasty(keep_best="val_loss"), head())
    assert_same(again, whole)
    history = pd.read_csv(tmp_path / "broken" / "history.csv")
    assert history["phase"].tolist() == ["hasty"] * EPOCHS + ["head"] * 3


def test_a_phase_that_stopped_early_stays_stopped_after_an_interruption(tmp_path, monkeypatch):
    monkeypatch.setattr("training.callbacks.CHECKPOINT_SECONDS", 0)

    def patient():
        stopper = keras.callbacks.EarlyStopping(monitor="val_loss", patience=1)
        return hasty(keep_best="val_loss", callbacks=(stopper,))

    whole = train(tmp_path / "whole", patient(), head())
    epochs = pd.read_csv(tmp_path / "whole" / "history.csv")["phase"].value_counts()["hasty"]
    assert epochs < EPOCHS
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "broken", patient(), head(callbacks=(stop_before(0),)))
    again = train(tmp_path / "broken", patient(), head())
    history = pd.read_csv(tmp_path / "broken" / "history.csv")
    assert history["phase"].tolist() == ["hasty"] * epochs + ["head"] * 3
    assert_same(again, whole)


# --- stored views


def shaken(sample, seed):
    """A sample with noise."""
    return {"given": sample["given"] + tf.random.stateless_normal((WIDTH,), seed)}


def untouched(sample, seed):
    return sample


def watched(kept):
    """Pipelines that note what the training was given."""

    def training(arrays, *rest):
        kept.append((arrays, rest[6]))
        return training_pipeline(arrays, *rest)

    return Pipelines(training, judging_pipeline, view_pipeline)


def test_views_are_made_once_and_what_is_frozen_is_computed_for_each(tmp_path):
    kept = []
    network = train(
        tmp_path / "run", head(augment=shaken, views=3), pipelines=watched(kept), network=nested()
    )
    ((arrays, augment),) = kept
    ((name, stored),) = arrays.items()
    assert augment is None
    assert stored.shape == (3 * 48, 4)
    backbone = network.get_layer("backbone")
    for number in range(3):
        batches = view_pipeline(TRAIN[0], shaken, 3, number)
        view = np.concatenate([batch["given"] for batch in batches])
        assert np.abs(view - TRAIN[0]["given"]).mean() > 0.3
        expected = backbone.predict(view, verbose=0)
        np.testing.assert_allclose(stored[48 * number :][:48], expected, atol=1e-5)


def test_the_first_view_may_be_the_sample_as_it_is(tmp_path):
    kept = []
    pipelines = watched(kept)
    phase = head(augment=shaken, views=2, plain_view=True)
    network = train(tmp_path / "run", phase, pipelines=pipelines, network=nested())
    stored = next(iter(kept[0][0].values()))
    backbone = network.get_layer("backbone")
    changed = [batch["given"] for batch in view_pipeline(TRAIN[0], shaken, 3, 1)]
    for part, seen in ((stored[:48], TRAIN[0]["given"]), (stored[48:], np.concatenate(changed))):
        np.testing.assert_allclose(part, backbone.predict(seen, verbose=0), atol=1e-5)


def test_new_views_in_every_epoch_go_through_the_whole_network(tmp_path):
    kept = []
    train(tmp_path / "run", head(augment=shaken), pipelines=watched(kept))
    ((arrays, augment),) = kept
    assert augment is shaken
    assert np.array_equal(arrays["given"], TRAIN[0]["given"])


def test_one_view_that_changes_nothing_trains_as_no_view(tmp_path):
    plain = train(tmp_path / "plain", head())
    assert_same(train(tmp_path / "view", head(augment=untouched, views=1)), plain)
    other = train(tmp_path / "other", head(augment=shaken, views=1))
    change = [
        np.abs(a - b).max() for a, b in zip(other.get_weights(), plain.get_weights(), strict=True)
    ]
    assert max(change) > 1e-3


def test_a_training_on_views_goes_on_after_an_interruption(tmp_path, monkeypatch):
    monkeypatch.setattr("training.callbacks.CHECKPOINT_SECONDS", 0)
    views = {"augment": shaken, "views": 2, "keep_best": "val_loss"}
    whole = train(tmp_path / "whole", head(**views))
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "broken", head(callbacks=(stop_before(2),), **views))
    assert_same(train(tmp_path / "broken", head(**views)), whole)


def test_a_training_with_new_views_goes_on_after_an_interruption(tmp_path, monkeypatch):
    monkeypatch.setattr("training.callbacks.CHECKPOINT_SECONDS", 0)
    whole = train(tmp_path / "whole", head(augment=shaken))
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "broken", head(augment=shaken, callbacks=(stop_before(2),)))
    assert_same(train(tmp_path / "broken", head(augment=shaken)), whole)


def test_views_without_a_frozen_part_are_refused(tmp_path):
    phase = Phase("whole", 1, 12, keras.optimizers.Adam(), augment=shaken, views=2)
    with pytest.raises(ValueError, match="phase whole: stored views need a frozen part"):
        train(tmp_path / "run", phase)


# --- what trains

HEAD = {"answer/kernel", "answer/bias"}
AVERAGES = {"norm/moving_mean", "norm/moving_variance"}


def trainable(network):
    return {"/".join(weight.path.split("/")[-2:]) for weight in network.trainable_weights}


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (("answer",), HEAD),
        (("answer", "backbone/second"), HEAD | {"second/kernel", "second/bias"}),
        (("backbone/first", "backbone/norm"), {"first/kernel", "first/bias"}),
        (
            ("backbone",),
            {f"{layer}/{part}" for layer in ("first", "second") for part in ("kernel", "bias")}
            | {"norm/gamma", "norm/beta"},
        ),
        ((), set()),
    ],
)
@pytest.mark.parametrize("batch_norm", ["inference", "train"])
def test_exactly_the_named_layers_train(names, expected, batch_norm):
    network = nested()
    for before in (None, ("backbone/first",), ("backbone/second", "answer")):
        for mode in ("train", "inference"):  # what an earlier phase left must not matter
            set_trainable(network, before, mode)
            set_trainable(network, names, batch_norm)
            assert trainable(network) == expected


def test_an_unknown_layer_is_named_with_and_without_its_network():
    for name in ("nothing_like_it", "backbone/nothing_like_it", "nothing_like_it/first"):
        with pytest.raises(ValueError, match="nothing_like_it"):
            set_trainable(nested(), (name,))


@pytest.mark.parametrize(
    ("batch_norm", "expected"), [("inference", HEAD), ("train", HEAD | AVERAGES)]
)
def test_frozen_batch_normalisations_do_as_they_are_told(tmp_path, batch_norm, expected):
    network = nested()
    before = named_weights(network)
    train(tmp_path / "run", head(batch_norm=batch_norm), network=network)
    assert moved(before, named_weights(network)) == expected


def test_averages_move_towards_those_of_the_training_samples(tmp_path):
    network = nested()
    train(tmp_path / "run", head(epochs=8, batch_norm="train"), network=network)
    first, norm = (network.get_layer("backbone").get_layer(name) for name in ("first", "norm"))
    hidden = np.asarray(first(TRAIN[0]["given"]))
    assert np.abs(hidden.mean(axis=0)).max() > 0.5
    np.testing.assert_allclose(norm.moving_mean, hidden.mean(axis=0), atol=0.4)


@pytest.mark.parametrize("batch_norm", ["inference", "train"])
def test_only_in_training_mode_a_batch_normalises_itself(batch_norm):
    network = nested()
    set_trainable(network, ("answer",), batch_norm)
    given = {"given": TRAIN[0]["given"][:12]}
    one, other = (np.asarray(network(given, training=mode)["probabilities"]) for mode in (0, 1))
    assert (np.abs(one - other).max() > 0.01) == (batch_norm == "train")


def test_kept_batch_normalisations_stay_as_they_are_while_their_neighbours_train():
    network = nested()
    for before in ("train", "inference", "kept"):
        set_trainable(network, None, before)
        set_trainable(network, None, "kept")
        layers = {f"{layer}/{part}" for layer in ("first", "second") for part in ("kernel", "bias")}
        assert trainable(network) == HEAD | layers
        given = {"given": TRAIN[0]["given"][:12]}
        one, other = (np.asarray(network(given, training=mode)["probabilities"]) for mode in (0, 1))
        np.testing.assert_allclose(one, other, atol=1e-6)
    set_trainable(network, None)
    assert {"norm/gamma", "norm/beta"} <= trainable(network)


def test_averages_that_move_are_not_stored_as_frozen():
    network = nested()
    whole = keras.Model(network.input, network.output["probabilities"])
    set_trainable(network, ("answer",), "train")
    assert split_at_frozen(whole) is None
    set_trainable(network, ("answer",), "inference")
    assert split_at_frozen(whole) is not None


def test_the_averages_of_the_best_epoch_are_kept_too(tmp_path, monkeypatch):
    monkeypatch.setattr("training.callbacks.CHECKPOINT_SECONDS", 0)
    options = {
        "keep_best": "val_loss",
        "trainable": ("answer",),
        "batch_norm": "train",
        "rate": 2.0,
    }
    diary = Diary()
    whole = train(tmp_path / "whole", hasty(callbacks=(diary,), **options))
    best = int(best_epoch(tmp_path / "whole", "val_loss"))
    assert best < EPOCHS - 1
    for found, expected in zip(whole.get_weights(), diary.weights[best], strict=True):
        assert np.array_equal(found, expected)
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "broken", hasty(callbacks=(stop_before(best + 2),), **options))
    assert_same(train(tmp_path / "broken", hasty(**options)), whole)


def test_two_phases_train_first_the_head_and_then_a_layer_of_the_network(tmp_path):
    network, found = nested(), []

    class Note(keras.callbacks.Callback):
        def on_train_begin(self, logs=None):
            found.append(named_weights(network))

    tuning = Phase(
        "tuning", 2, 12, keras.optimizers.Adam(0.01), trainable=("answer", "backbone/second"),
        callbacks=(Note(),), augment=shaken,
    )  # fmt: skip
    begin = named_weights(network)
    train(tmp_path / "run", head(augment=shaken, views=2), tuning, network=network)
    assert moved(begin, found[0]) == HEAD
    assert moved(found[0], named_weights(network)) == HEAD | {"second/kernel", "second/bias"}


@pytest.mark.parametrize("shares", [False, True])
def test_a_phase_can_learn_from_the_validation_part_alone(tmp_path, monkeypatch, shares):
    """As the training part does where the two change places."""
    seen, learnt = VALIDATION[1], TRAIN[1]
    targets = (np.eye(2, dtype=np.float32)[learnt], np.eye(2, dtype=np.float32)[seen])
    told = {"epochs": 3, "batch_size": 8, "loss": SmoothedCrossEntropy()}
    on_validation = Phase(
        "fit", **told, optimizer=keras.optimizers.SGD(0.1), on_validation=True,
        targets=targets if shares else None,
    )  # fmt: skip
    one = train(tmp_path / "one", on_validation)
    monkeypatch.setitem(globals(), "TRAIN", VALIDATION)
    other = train(tmp_path / "other", Phase("fit", **told, optimizer=keras.optimizers.SGD(0.1)))
    assert_same(one, other)
