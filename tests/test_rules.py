"""What a recommended preset decides by itself, and how long it says that a training will take."""

import json
from argparse import Namespace
from types import SimpleNamespace

import keras
import numpy as np
import pytest
from keras import layers

from models import estimates, model_class
from models.commands.cross_validation import CrossValidation
from models.emotion.nn1 import NN1
from models.estimates import forecast, training_seconds, work_of
from models.rules import decide, decided, trained_as
from models.species.multi_view_classifier import MultiViewClassifier
from training.phases import Phase
from training.sampling import Balanced, HalfPasses, MinedTriplets
from training.tasks import Task

RECOMMENDED = [
    "NN1", "NN2", "FinalNN", "Net96", "TransferCNN", "TripletClassifier", "MultiViewClassifier",
    "MelDCNN", "TransferMLP",
]  # fmt: skip

CLASSES = 7
SAMPLES = np.zeros(200, int)


def options(name="NN1", **values):
    chosen = model_class(name).Options
    weights = {"weights": "none"} if "weights" in chosen.__dataclass_fields__ else {}
    return chosen(data_dir="there", **weights | values)


def values_of(decisions):
    return {one.option: one.value for one in decisions}


@pytest.mark.parametrize("name", RECOMMENDED)
def test_nothing_is_decided_where_there_are_as_many_samples_as_measured_with(name):
    made = options(name)
    assert made.preset == "recommended" and made.MEASURED_WITH > 0
    for samples in (made.MEASURED_WITH, int(made.MEASURED_WITH * 1.4), made.MEASURED_WITH // 1.4):
        assert "epochs" not in values_of(decide(made, int(samples), CLASSES))


@pytest.mark.parametrize(
    ("times", "epochs", "batch"),
    [(4, 30, 64), (1 / 4, 120, 64), (17, 15, 128), (1 / 9, 180, 32), (1 / 1000, 240, 8)],
)
def test_epochs_go_by_the_root_of_the_samples_and_batches_by_eighths_and_sixteens(
    times, epochs, batch
):
    made = options(epochs=None)
    found = values_of(decide(made, round(made.MEASURED_WITH * times), CLASSES))
    assert (found["epochs"], found.get("batch_size", 64)) == (epochs, batch)


def test_ranks_are_scaled_with_the_epochs_and_a_handful_of_pictures_leaves_a_backbone_frozen():
    made = options("MultiViewClassifier")
    found = values_of(decide(made, MultiViewClassifier.Options.MEASURED_WITH * 4, CLASSES))
    assert (found["epochs"], found["rank_epochs"]) == (6, 2)
    few, enough = (values_of(decide(options("TransferCNN"), count, CLASSES)) for count in (99, 100))
    assert few["unfreeze"] == "none" and "unfreeze" not in enough


def test_few_pictures_of_a_class_are_whitened_and_many_are_not():
    made = options("TransferCNN", weights="imagenet")
    assert made.whiten and "whiten" not in values_of(decide(made, 200, 2))
    decision = next(one for one in decide(made, 202, 2) if one.option == "whiten")
    assert str(decision).startswith("--no-whiten: 101 training samples of a class")
    assert not decided(made, (decision,)).whiten
    assert "whiten" not in values_of(
        decide(options("TransferCNN", weights="imagenet", whiten=True), 485, 2)
    )
    # Where it was measured to be of use with any number it stays.
    assert "whiten" not in values_of(
        decide(options("MultiViewClassifier", weights="imagenet"), 10_000, 2)
    )


@pytest.mark.parametrize("name", ["Net96", "TransferCNN"])
def test_very_many_pictures_are_answered_by_one_view_each(name):
    made = options(name)
    assert made.four_views and "four_views" not in values_of(decide(made, 20_000, CLASSES))
    decision = next(one for one in decide(made, 20_001, CLASSES) if one.option == "four_views")
    assert str(decision).startswith("--no-four-views: 20,001 training samples are judged too")
    assert "four_views" not in values_of(decide(options(name, four_views=True), 20_001, CLASSES))


def test_what_the_user_has_set_and_every_other_preset_stay_as_they_are():
    assert values_of(decide(options(epochs=60, batch_size=64), 100, CLASSES)) == {}
    assert decide(options(preset="paper"), 100, CLASSES) == ()
    assert decide(NN1.Options(), 100, CLASSES) == ()  # a demonstration set
    made = options()
    chosen = decided(made, decide(made, 100, CLASSES))
    assert decide(chosen, 100, CLASSES) == ()  # once it has decided
    assert NN1.Options.from_json(chosen.to_json()) == chosen
    assert f"--epochs {chosen.epochs}" in chosen.command("NN1")


@pytest.mark.parametrize("name", RECOMMENDED)
def test_a_fold_is_decided_about_like_one_that_is_asked_for_alone(name, tmp_path):
    trained = []
    words = Namespace(out=tmp_path, run="run", resume=False, processes=1, worker=False)
    whole = options(name, folds=3)
    folds = CrossValidation(model_class(name), whole, words, lambda model, _: trained.append(model))
    folds.answer({"fold": 2})
    alone = options(name, folds=3, fold=2)
    assert trained[0].options == alone
    assert decide(trained[0].options, 40, 2) == decide(alone, 40, 2) != ()


def test_a_decision_says_why():
    line = str(decide(options(), 2000, CLASSES)[0])
    assert line.startswith("--epochs 216: 60 were measured with 25,838 training samples")
    assert line.endswith("here are 2,000")


def network_on(side):
    inner = keras.Sequential([keras.Input((side, side, 4)), layers.Conv2D(6, 3, padding="same")])
    picture = keras.Input((side, side, 4), name="image")
    seen = inner(picture) + inner(picture)
    return keras.Model(picture, layers.DepthwiseConv2D(3, 2, padding="same")(seen))


def test_the_work_of_a_network_is_that_of_its_layers():
    picture = keras.Input((8, 8, 4))
    seen = network_on(8)(picture)
    work = work_of(keras.Model(picture, layers.Dense(5)(layers.Flatten()(seen))))
    assert work.multiplications == 2 * 64 * 6 * 9 * 4 + 16 * 6 * 9 + 16 * 6 * 5
    assert work.values == 2 * 64 * 4 + 2 * (64 * 4 + 64 * 6) + 64 * 6 + 16 * 6 + 16 * 6 + 5


def test_the_work_of_a_network_for_any_size_is_that_for_the_size_it_is_shown():
    assert work_of(network_on(None), {"image": (8, 8, 4)}) == work_of(network_on(8))
    assert work_of(network_on(None)).values < 100


@pytest.fixture
def speed(monkeypatch):
    monkeypatch.setattr(estimates, "speed", lambda: (1e6, 1e6))


def network_and_phase(**more):
    values = keras.Input((100,))
    network = keras.Model(values, layers.Dense(10)(values))
    return network, Phase("training", epochs=5, batch_size=10, **more)


def test_a_training_is_epochs_times_samples_times_a_step(speed):
    network, phase = network_and_phase()
    step = 3 * 1000 / 1e6 + 6 * 110 / 1e6 + 10 * 1010 / 10 / 1e6
    assert training_seconds(network, [phase], SAMPLES) == pytest.approx(5 * 200 * step)
    _, frozen = network_and_phase(trainable=("dense",), augment=lambda *_: None, views=2)
    step = (3 * 1000 + 6 * 110) / 1e6 / 3
    assert training_seconds(network, [frozen], SAMPLES) == pytest.approx(2 * 200 * step)


def test_samples_that_are_repeated_or_looked_at_take_their_time(speed):
    uneven = np.repeat([0, 1], [60, 20])
    step, update = (3 * 1000 + 6 * 110) / 1e6, 10 * 1010 / 1e6
    for sampling, seen, steps in (
        (Balanced(), 2 * 60, 12),
        (HalfPasses(), 40, 4),
        (MinedTriplets(np.ones((2, 2))), 3 * 2 * 60 + 80 / 3, 12),
        (MinedTriplets(np.ones((2, 2)), balanced=False), 3 * 80 + 80 / 3, 8),
    ):
        network, phase = network_and_phase(sampling=sampling)
        found = training_seconds(network, [phase], uneven)
        assert found == pytest.approx(5 * (seen * step + steps * update))


def test_tasks_that_take_turns_take_the_time_of_the_one_that_learns(speed):
    values = keras.Input((100,))
    ways = {name: layers.Dense(10)(layers.Dense(50)(values)) for name in ("a", "b")}
    tasks = tuple(Task(name, name, None, "mse", None) for name in ways)
    alone = training_seconds(keras.Model(values, ways["a"]), [Phase("training", 6, 10)], SAMPLES)
    in_turn = [Phase("training", 6, 10, tasks=tasks)]
    assert training_seconds(keras.Model(values, ways), in_turn, SAMPLES) == pytest.approx(alone)


def test_pictures_that_chance_makes_smaller_take_less(speed):
    network, shown = network_on(None), {"image": (16, 16, 4)}
    smaller = SimpleNamespace(fit=SimpleNamespace(shape=(8, 8, 4)))
    seconds = [
        training_seconds(network, [Phase("training", 1, 10, augment=augment)], SAMPLES, shown)
        for augment in (None, smaller)
    ]
    update = 200 * 10 * network.count_params() / 10 / 1e6
    assert seconds[0] - update == pytest.approx(4 * (seconds[1] - update))


def told(seconds, counts, monkeypatch, **options):
    monkeypatch.setattr(estimates, "training_seconds", lambda *_: seconds)
    targets = np.repeat(np.arange(len(counts)), counts)
    return forecast(
        SimpleNamespace(
            splits=SimpleNamespace(train=np.arange(len(targets))),
            table=SimpleNamespace(targets=targets),
            labels=tuple(map(str, range(len(counts)))),
            model=None, phases=(), inputs=(), taxonomy=None,
            options=SimpleNamespace(**{"epochs": 60, "refit": False} | options),
        )
    )  # fmt: skip


def test_a_long_training_is_warned_of_with_what_would_shorten_it(monkeypatch):
    assert told(600, [9, 9], monkeypatch) == [
        "training will take about 10 minutes on this machine, by a rough reckoning"
    ]
    assert "about 20 minutes" in told(600, [9, 9], monkeypatch, refit=True)[0]
    first, warning = told(10 * 3600, [9, 9], monkeypatch, image_size=224)
    assert "about 10 hours" in first
    assert "--epochs 6 takes about 60 minutes" in warning and "--image-size 112" in warning


@pytest.mark.parametrize(
    ("option", "flag"),
    [("class_weights", "--class-weights train"), ("long_tail", "--long-tail adjusted")],
)
def test_uneven_classes_are_told_with_the_flag_against_it(monkeypatch, option, flag):
    (_, line) = told(600, [90, 9, 30], monkeypatch, **{option: "none"})
    assert line.startswith("the largest class has 10 times the training samples of the smallest")
    assert flag in line
    assert len(told(600, [80, 9, 30], monkeypatch, **{option: "none"})) == 1
    assert len(told(600, [90, 9, 30], monkeypatch, **{option: flag.split()[1]})) == 1
    assert len(told(600, [90, 9, 30], monkeypatch)) == 1  # nothing can be done


def test_classes_of_one_or_two_samples_are_warned_of_where_most_are_so(monkeypatch):
    (_,) = told(600, [2, 9, 9], monkeypatch)
    warning = told(600, [2, 1, 9], monkeypatch)[1]
    assert "2 of 3 classes have at most 2 training samples" in warning


def test_a_run_is_known_again_by_what_the_rules_made_of_its_options(tmp_path):
    made = options()
    chosen = decided(made, decide(made, 2000, CLASSES))
    (tmp_path / "config.json").write_text(json.dumps(chosen.to_json()))
    (tmp_path / "metrics.json").write_text(json.dumps({"train": {"n": 2000}}))
    (tmp_path / "labels.json").write_text(json.dumps(list("abcdefg")))
    assert trained_as(tmp_path, made)
    assert trained_as(tmp_path, chosen)
    assert not trained_as(tmp_path, options(epochs=60))  # asked for, so not decided about
    assert not trained_as(tmp_path, options(seed=1))
