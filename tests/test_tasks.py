"""Tasks learnt in turn: what an epoch moves, what it leaves alone, and going on after a break."""

import keras
import numpy as np
import pandas as pd
import pytest
from keras import layers

from datasets.pipelines import judging_pipeline, training_pipeline, view_pipeline
from training.phases import Phase, Pipelines, train_phases
from training.schedules import cosine
from training.tasks import Task, TaskNetwork, drawn_task, turns

PIPELINES = Pipelines(training_pipeline, judging_pipeline, view_pipeline)
SEED = 8
RNG = np.random.default_rng(0)

pytestmark = [
    pytest.mark.usefixtures("eager"),
    pytest.mark.filterwarnings("ignore:Even though the"),
    pytest.mark.filterwarnings("error:Skipping variable loading for optimizer"),
]


def samples(count):
    values = RNG.normal(size=(count, 5)).astype(np.float32)
    return {"given": values}, (values[:, 0] > 0).astype(int)


TRAIN, VALIDATION = samples(20), samples(12)
SOFT = RNG.dirichlet(np.ones(3), 20).astype(np.float32)
HARD = np.eye(4, dtype=np.float32)[RNG.integers(0, 4, 20)]
# Name -> output, targets and loss.
TASKS = {
    "genre": ("probabilities", None, "sparse_categorical_crossentropy"),
    "mood": ("moods", SOFT, "categorical_crossentropy"),
    "tempo": ("tempi", HARD, "categorical_crossentropy"),
}


def network():
    """A shared layer, and for each task a path with chance and a moving average in it."""
    keras.utils.set_random_seed(0)
    given = keras.Input((5,), name="given")
    shared = layers.Dropout(0.2)(layers.Dense(3, activation="tanh", name="shared")(given))
    outputs = {}
    for (name, (output, *_)), width in zip(TASKS.items(), (2, 3, 4), strict=True):
        path = layers.BatchNormalization(momentum=0.5, name=f"{name}_norm")(shared)
        outputs[output] = layers.Dense(width, activation="softmax", name=f"{name}_answer")(path)
    return keras.Model({"given": given}, outputs, name="network")


def tasks(names=tuple(TASKS)):
    return tuple(Task(name, *TASKS[name], keras.optimizers.SGD(0.1, 0.9)) for name in names)


def phase(epochs, learnt=None, callbacks=()):
    return Phase("tasks", epochs, len(SOFT), tasks=learnt or tasks(), callbacks=callbacks)


def train(folder, *phases, model=None):
    model = model or network()
    folder.mkdir(exist_ok=True)
    train_phases(
        model, phases, TRAIN, VALIDATION, PIPELINES, dict, seed=SEED, folder=folder, title="test"
    )
    return model


def history(folder):
    return pd.read_csv(folder / "history.csv")


def drawn(epochs):
    return [list(TASKS)[drawn_task(SEED, epoch, len(TASKS))] for epoch in range(epochs)]


class Diary(keras.callbacks.Callback):
    """All weights of the network, by their paths, before the first epoch and after each."""

    def __init__(self, model):
        super().__init__()
        self.whole, self.pages = model, []

    def note(self):
        self.pages.append({one.path: one.numpy() for one in self.whole.weights})

    def on_train_begin(self, logs=None):
        self.note()

    def on_epoch_end(self, epoch, logs=None):
        self.note()


# --- one task is learnt, and the others are left alone


def test_an_epoch_moves_the_shared_layer_and_the_path_of_the_drawn_task_alone(tmp_path):
    model = network()
    diary = Diary(model)
    train(tmp_path / "run", phase(6, callbacks=(diary,)), model=model)
    learnt = drawn(6)
    assert set(learnt) == set(TASKS)  # each of them once at least
    for task, before, after in zip(learnt, diary.pages[:-1], diary.pages[1:], strict=True):
        moved = {path for path in before if not np.array_equal(before[path], after[path])}
        assert moved == {path for path in before if path.startswith(("shared", task))}


def test_what_an_optimizer_remembers_moves_nothing_while_others_are_learnt(tmp_path):
    learnt = tasks()
    steps = []

    def count(epoch, logs):
        steps.append([int(task.optimizer.iterations) for task in learnt])

    counter = keras.callbacks.LambdaCallback(on_epoch_end=count)
    train(tmp_path / "run", phase(6, learnt, (counter,)))
    for number, name in enumerate(TASKS):
        turns = np.cumsum([task == name for task in drawn(6)])
        assert [row[number] for row in steps] == turns.tolist()


def test_the_draw_depends_on_seed_and_epoch_and_favours_no_task():
    found = np.array([[drawn_task(seed, epoch, 5) for epoch in range(400)] for seed in range(5)])
    counts = np.bincount(found.ravel(), minlength=5)
    assert len(counts) == 5
    assert np.abs(counts - 400).max() < 4 * np.sqrt(2000 * 0.2 * 0.8)
    assert len({tuple(row) for row in found}) == 5
    assert {drawn_task(seed, 0, 1) for seed in range(9)} == {0}
    assert turns(0, 400, 5) == np.bincount(found[0], minlength=5).tolist()
    assert turns(0, 0, 5) == [0] * 5


def test_each_task_learns_its_own_targets_by_its_own_loss(tmp_path):
    keras.utils.set_random_seed(0)
    given = keras.Input((5,), name="given")
    widths = {"probabilities": 2, "moods": 3, "tempi": 4}
    outputs = {
        name: layers.Dense(width, activation="softmax", name=name)(given)
        for name, width in widths.items()
    }
    model = keras.Model({"given": given}, outputs)
    answers = model(TRAIN[0])
    wanted = {"genre": np.eye(2)[TRAIN[1]], "mood": SOFT, "tempo": HARD}
    learnt = tuple(Task(name, *TASKS[name], keras.optimizers.SGD(0.0)) for name in TASKS)
    train(tmp_path / "run", phase(6, learnt), model=model)
    for task, loss in history(tmp_path / "run")[["task", "loss"]].itertuples(index=False):
        logarithms = np.log(np.asarray(answers[TASKS[task][0]]))
        assert loss == pytest.approx(-(wanted[task] * logarithms).sum(axis=1).mean(), rel=1e-5)


# --- the history


def test_the_history_names_the_task_of_each_epoch(tmp_path):
    train(tmp_path / "run", phase(6))
    table = history(tmp_path / "run")
    assert table["task"].tolist() == drawn(6)
    # The validation part knows the classes, and no other targets.
    judged = table[["val_loss", "val_accuracy"]].notna()
    assert (judged["val_loss"] == (table["task"] == "genre")).all()
    assert (judged["val_accuracy"] == judged["val_loss"]).all()
    assert table[["loss", "accuracy", "learning_rate", "seconds"]].notna().all(axis=None)


def test_one_task_alone_is_a_phase_like_any_other(tmp_path):
    readout = Phase("readout", 2, 10, keras.optimizers.Adam(0.01), trainable=("genre_answer",))
    model = network()
    before = {one.path: one.numpy() for one in model.weights}
    train(tmp_path / "run", phase(2, tasks(["mood"])), readout, model=model)
    table = history(tmp_path / "run")
    assert table["task"].tolist()[:2] == ["mood"] * 2
    assert table["task"][2:].isna().all() and table["val_loss"][2:].notna().all()
    moved = {one.path for one in model.weights if not np.array_equal(before[one.path], one.numpy())}
    assert {path.split("/")[0] for path in moved} == {
        "shared", "mood_norm", "mood_answer", "genre_answer",
    }  # fmt: skip


# --- going on after an interruption

EPOCHS = 5


def stop_before(epoch):
    def stop(number, logs):
        if number == epoch:
            raise KeyboardInterrupt

    return keras.callbacks.LambdaCallback(on_epoch_begin=stop)


def state(model, learnt):
    """The weights, and what each optimizer remembers."""
    remembered = [one.numpy() for task in learnt for one in task.optimizer.variables]
    return [*model.get_weights(), *remembered]


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    learnt, folder = tasks(), tmp_path_factory.mktemp("whole") / "run"
    model = train(folder, phase(EPOCHS, learnt, (cosine(0.1, EPOCHS),)))
    return state(model, learnt), history(folder)


@pytest.mark.parametrize("epoch", [1, EPOCHS - 1])
def test_an_interrupted_training_goes_on_to_the_same_weights(
    epoch, tmp_path, monkeypatch, uninterrupted
):
    monkeypatch.setattr("training.callbacks.CHECKPOINT_SECONDS", 0)
    expected, told = uninterrupted
    assert len(set(drawn(epoch))) < 3 or epoch > 1  # also with optimizers that have not begun
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "run", phase(EPOCHS, None, (cosine(0.1, EPOCHS), stop_before(epoch))))
    learnt = tasks()
    found = state(train(tmp_path / "run", phase(EPOCHS, learnt, (cosine(0.1, EPOCHS),))), learnt)
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)
    again = history(tmp_path / "run")
    assert again["task"].tolist() == told["task"].tolist()
    np.testing.assert_allclose(again["learning_rate"], told["learning_rate"])
    np.testing.assert_allclose(again["loss"], told["loss"], atol=1e-5)


def test_a_checkpoint_holds_every_weight_once_and_every_optimizer(tmp_path):
    model, learnt = network(), tasks()
    saved = TaskNetwork(model, learnt)
    saved.save_weights(tmp_path / "all.weights.h5")
    keras.utils.set_random_seed(1)
    other, others = network(), tasks()
    for weight in other.weights:
        weight.assign(weight + 1)
    for task in others:
        task.optimizer.learning_rate = 0.5
    again = TaskNetwork(other, others)
    again.load_weights(tmp_path / "all.weights.h5")
    for one, same in zip(model.get_weights(), other.get_weights(), strict=True):
        assert np.array_equal(one, same)
    assert [float(task.optimizer.learning_rate) for task in others] == pytest.approx([0.1] * 3)
    assert len(again.learners) == 3
    shared = {id(one.get_layer("shared")) for one in again.learners}
    assert shared == {id(other.get_layer("shared"))}
