"""Training by an objective of several outputs, on epochs that are mined one by one."""

import keras
import numpy as np
import pandas as pd
import pytest
from keras import layers

from datasets.pipelines import judging_pipeline, training_pipeline, view_pipeline
from training.objectives import TripletObjective
from training.phases import Phase, Pipelines, train_phases
from training.sampling import Balanced, MinedTriplets

PIPELINES = Pipelines(training_pipeline, judging_pipeline, view_pipeline)
WIDTH, CLASSES, EPOCHS = 5, 3, 4
MARGINS = np.array([[0, 0.1, 0.3], [0.1, 0, 0.2], [0.3, 0.2, 0]], np.float32)

pytestmark = [
    pytest.mark.usefixtures("eager"),
    pytest.mark.filterwarnings("ignore:Even though the"),
]


def samples(count, seed):
    rng = np.random.default_rng(seed)
    targets = np.concatenate([np.arange(CLASSES), rng.integers(0, 2, count - CLASSES)])
    centres = np.eye(CLASSES, WIDTH) * 2
    values = centres[targets] + rng.normal(0, 1, (count, WIDTH))
    return {"given": values.astype(np.float32)}, targets


TRAIN, VALIDATION = samples(31, 1), samples(20, 2)


def network():
    keras.utils.set_random_seed(0)
    given = keras.Input((WIDTH,), name="given")
    hidden = layers.Dense(8, activation="relu", name="hidden")(given)
    embedding = layers.Dense(4, name="embedding")(hidden)
    answer = layers.Dense(CLASSES, activation="softmax", name="probabilities")(embedding)
    outputs = {"features": hidden, "embedding": embedding, "probabilities": answer}
    return keras.Model({"given": given}, outputs)


def phase(**keywords):
    told = {"sampling": MinedTriplets(MARGINS), "objective": TripletObjective(MARGINS)} | keywords
    return Phase("triplets", EPOCHS, 4, keras.optimizers.Adam(0.02), **told)


def train(folder, *phases, trained=None):
    trained = trained or network()
    folder.mkdir(exist_ok=True)
    train_phases(
        trained, phases, TRAIN, VALIDATION, PIPELINES, dict, seed=3, folder=folder, title="test"
    )
    return trained


def history(folder):
    return pd.read_csv(folder / "history.csv")


# --- the objective


def test_objective_is_equation_2():
    rng = np.random.default_rng(0)
    embedding = rng.normal(size=(6, 4)).astype(np.float32)
    probabilities = rng.dirichlet(np.ones(CLASSES), 6).astype(np.float32)
    targets = np.array([0, 1, 0, 1, 2, 2])
    unit = embedding / np.linalg.norm(embedding, axis=1, keepdims=True)
    distance = 1 - unit @ unit.T
    losses = [
        max(0, distance[0, 2] - distance[0, 4] + MARGINS[0, 2]),
        max(0, distance[1, 3] - distance[1, 5] + MARGINS[1, 2]),
    ]
    surprise = -np.log(probabilities[np.arange(6), targets])
    outputs = {"embedding": embedding, "probabilities": probabilities}
    smoothed = 0.9 * surprise - 0.1 * np.log(probabilities).mean(axis=1)
    for classified, rows, smoothing, classes in (
        ("anchors", slice(2), 0.0, surprise),
        ("all", slice(6), 0.0, surprise),
        ("all", slice(6), 0.1, smoothed),
    ):
        objective = TripletObjective(MARGINS, classified, smoothing)
        for weight, value in zip(objective.trainable_weights, (0.3, -0.2), strict=True):
            weight.assign(np.full(weight.shape, value))
        found = float(objective.loss(outputs, targets, np.ones(6, np.float32)))
        wanted = np.exp(-0.3) * np.mean(losses) + np.exp(0.2) * classes[rows].mean() + 0.1
        assert found == pytest.approx(wanted, rel=1e-5)


def test_a_triplet_counts_what_its_anchor_does():
    rng = np.random.default_rng(1)
    outputs = {
        "embedding": rng.normal(size=(6, 4)).astype(np.float32),
        "probabilities": np.full((6, CLASSES), 1 / CLASSES, np.float32),
    }
    targets = np.array([0, 1, 0, 1, 2, 2])
    objective = TripletObjective(MARGINS + 2)

    def loss(weights):
        return float(objective.loss(outputs, targets, np.array(weights, np.float32)))

    assert loss([1, 1, 1, 1, 1, 1]) == pytest.approx(loss([1, 1, 0, 5, 9, 0]))
    assert loss([1, 0, 1, 1, 1, 1]) != pytest.approx(loss([0, 1, 1, 1, 1, 1]))


# --- the samples of an epoch


def test_triplets_of_a_batch_stand_in_thirds():
    sampling = MinedTriplets(MARGINS)
    targets = TRAIN[1]
    rows = sampling.rows(targets, 4, (3, 0), lambda: TRAIN[0]["given"])
    assert len(rows) == sampling.places(targets)
    for start in range(0, len(rows), 12):
        anchors, positives, negatives = targets[rows[start : start + 12]].reshape(3, -1)
        assert (anchors == positives).all() and (anchors != negatives).all()
    anchors = np.concatenate(
        [rows[start : start + 12].reshape(3, -1)[0] for start in range(0, len(rows), 12)]
    )
    counts = np.bincount(targets[anchors])
    assert (counts == np.bincount(targets).max()).all()


def test_without_balance_every_sample_is_an_anchor_once():
    sampling = MinedTriplets(MARGINS, balanced=False)
    rows = sampling.rows(TRAIN[1], 100, (3, 0), lambda: TRAIN[0]["given"])
    assert len(rows) == sampling.places(TRAIN[1]) == 3 * len(TRAIN[1])
    assert sorted(rows.reshape(3, -1)[0]) == list(range(len(TRAIN[1])))


# --- training


def test_mining_follows_the_embeddings_of_each_epoch(tmp_path):
    seen = []

    class Watched(MinedTriplets):
        def rows(self, targets, batch_size, seed, embed):
            seen.append((seed, embed()))
            return super().rows(targets, batch_size, seed, embed)

    trained = network()
    before = trained.predict(TRAIN[0], verbose=0)["embedding"]
    train(tmp_path, phase(sampling=Watched(MARGINS)), trained=trained)
    assert [seed for seed, _ in seen] == [(3, epoch) for epoch in range(EPOCHS)]
    np.testing.assert_allclose(seen[0][1], before, atol=1e-6)
    assert all(
        not np.allclose(one, other) for (_, one), (_, other) in zip(seen, seen[1:], strict=False)
    )


def test_loss_weights_and_mining_stand_in_the_history(tmp_path):
    train(tmp_path, phase())
    found = history(tmp_path)
    assert len(found) == EPOCHS
    assert found[["s_triplet", "s_classification", "mined_active"]].notna().all().all()
    assert found["s_triplet"].abs().iloc[-1] > 1e-3
    assert found["accuracy"].iloc[-1] > 0.6


def test_validation_loss_is_the_cross_entropy(tmp_path):
    trained = train(tmp_path, phase())
    answers = trained.predict(VALIDATION[0], verbose=0)["probabilities"]
    surprise = -np.log(answers[np.arange(len(answers)), VALIDATION[1]]).mean()
    assert history(tmp_path)["val_loss"].iloc[-1] == pytest.approx(surprise, rel=1e-4)


def test_phases_may_tell_different_figures(tmp_path):
    plain = Phase("plain", 2, 8, keras.optimizers.Adam(0.01), sampling=Balanced())
    train(tmp_path, plain, phase())
    found = history(tmp_path)
    assert found["s_triplet"].isna().tolist() == [True] * 2 + [False] * EPOCHS
    assert found["val_loss"].notna().all()


def test_an_interrupted_training_goes_on_as_if_nothing_had_happened(tmp_path, monkeypatch):
    monkeypatch.setattr("training.callbacks.CHECKPOINT_SECONDS", 0)
    whole = train(tmp_path / "whole", phase())

    def stop(epoch, logs):
        if epoch == 2:
            raise KeyboardInterrupt

    cut = keras.callbacks.LambdaCallback(on_epoch_begin=stop)
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "cut", phase(callbacks=(cut,)))
    again = train(tmp_path / "cut", phase())
    for one, other in zip(whole.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)
    pd.testing.assert_frame_equal(
        history(tmp_path / "whole").drop(columns="seconds"),
        history(tmp_path / "cut").drop(columns="seconds"),
    )


def test_early_stopping_counts_over_the_epochs(tmp_path):
    stop = keras.callbacks.EarlyStopping(monitor="val_loss", patience=1, mode="max")
    train(tmp_path, phase(callbacks=(stop,)))
    assert len(history(tmp_path)) == 2  # a falling loss is taken for getting worse


def test_the_best_epoch_is_kept(tmp_path):
    trained = train(tmp_path, phase(keep_best="val_loss"))
    answers = trained.predict(VALIDATION[0], verbose=0)["probabilities"]
    surprise = -np.log(answers[np.arange(len(answers)), VALIDATION[1]]).mean()
    assert history(tmp_path)["val_loss"].min() == pytest.approx(surprise, rel=1e-4)


def test_a_frozen_part_is_computed_once_for_triplets_too(tmp_path):
    trained = network()
    before = trained.get_layer("hidden").get_weights()
    train(tmp_path, phase(trainable=("embedding", "probabilities")), trained=trained)
    for one, other in zip(before, trained.get_layer("hidden").get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    assert history(tmp_path)["s_triplet"].notna().all()


def test_balanced_samples_come_equally_often(tmp_path):
    seen = []

    def note(arrays, targets, *others):
        batches, steps = training_pipeline(arrays, targets, *others)
        seen.append(np.concatenate([batch[1] for batch in batches.take(steps)]))
        return batches, steps

    plain = Phase("plain", 2, 8, keras.optimizers.Adam(0.01), sampling=Balanced())
    train_phases(
        network(), (plain,), TRAIN, VALIDATION, Pipelines(note, judging_pipeline, view_pipeline),
        dict, seed=3, folder=tmp_path, title="test",
    )  # fmt: skip
    assert len(seen) == 2
    for targets in seen:
        assert len(set(np.bincount(targets).tolist())) == 1
