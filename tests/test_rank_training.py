"""Training rank by rank: heads, published schedules, half passes, narrower networks (paper 001)."""

import keras
import numpy as np
import pandas as pd
import pytest
from keras import layers

from datasets.base import Table
from datasets.errors import InputError
from datasets.taxonomy import Taxonomy
from models.backbones import build_backbone
from models.species.multi_view import with_width
from models.species.multi_view_classifier import (
    MultiViewClassifier,
    MultiViewOptions,
    as_published,
)
from models.species.observations import without_rare
from models.species.rank_phases import (
    Heads,
    auxiliary_features,
    first_depth,
    published,
    rank_phases,
)
from models.whitening import CentroidDense
from training.sampling import HalfPasses
from training.schedules import stepwise

PARENTS = np.array([0, 0, 1])
TREE = Taxonomy(
    ("family", "genus", "species"),
    (("F",), ("A", "B"), ("A one", "A two", "B one")),
    (np.array([0]), np.array([0, 0]), PARENTS),
)


COUNTS = np.array([6, 3, 1])  # training samples of the species


def options(preset="paper", **changed):
    return MultiViewOptions(preset=preset, **changed)


def phases(heads, told):
    return rank_phases(told, heads, COUNTS, {"batch_size": 16})


def rates(phase):
    """The learning rate of each epoch."""
    (schedule,) = phase.callbacks
    return [schedule.schedule(epoch) for epoch in range(phase.epochs)]


def test_published_schedules_in_half_passes():
    alone = Heads(TREE, 3, True)
    (baseline,) = phases(alone, options(views="whole", start_rank="none"))
    assert rates(baseline) == [1e-2] * 6 + [1e-3] * 4 + [1e-4] * 2
    (two_views,) = phases(alone, options(start_rank="none"))
    assert rates(two_views) == [1e-1] * 4 + [1e-2] * 3 + [1e-3, 1e-4]
    genus, species = phases(Heads(TREE, 2, True), options())
    assert rates(genus) == [1e-1] * 3
    assert rates(species) == [1e-1] * 2 + [1e-2] * 2 + [1e-3, 1e-4]
    printed = phases(Heads(TREE, 2, True), options(experiment="E3-as-printed"))[1]
    assert rates(printed)[-2:] == [1e-3, 1e-3]
    controlled = phases(alone, options(views="whole", start_rank="none", experiment="E2"))[0]
    assert rates(controlled) == rates(two_views)


def test_published_optimizer_and_batch():
    (phase,) = phases(Heads(TREE, 3, False), options(start_rank="none"))
    assert isinstance(phase.optimizer, keras.optimizers.Adam)
    found = phase.optimizer
    assert (found.beta_1, found.beta_2, found.epsilon) == (0.9, 0.999, 1.0)


def test_fewer_epochs_keep_the_shares_of_the_schedule():
    (short,) = phases(Heads(TREE, 3, True), options(start_rank="none", epochs=3))
    assert rates(short) == [1e-1, 1e-2, 1e-3]


def test_epochs_are_divided_among_the_ranks():
    told = options("recommended", epochs=7, rank_epochs=2)
    made = phases(Heads(TREE, 1, False), told)
    assert [(phase.name, phase.epochs) for phase in made] == [
        ("family", 2), ("genus", 2), ("species", 3),
    ]  # fmt: skip
    assert [phase.output for phase in made] == ["rank_family", "rank_genus", "probabilities"]
    assert made[1].classes.tolist() == PARENTS.tolist()
    with pytest.raises(InputError, match="--epochs 4 leaves none for the finest rank"):
        phases(Heads(TREE, 1, False), options("recommended", epochs=4, rank_epochs=2))


def test_a_pretrained_network_begins_at_the_centroids_of_its_taxa():
    told = options("recommended", data_dir="DIR", weights="FILE")
    assert (told.whiten, told.batch_norm, told.views) == (True, "kept", "whole")
    seen = keras.Input((5,), name="seen")
    found = keras.Model(seen, Heads(TREE, 2, False, from_centroids=True).outputs(seen, None))
    kinds = {type(found.get_layer(name)) for name in ("rank_genus", "probabilities")}
    assert kinds == {CentroidDense}


def test_behind_all_ranks_the_head_learns_again_from_pictures_as_they_are():
    told = options("recommended", data_dir="DIR", weights="FILE")
    heads = Heads(TREE, 3, False, from_centroids=True)
    shared = {"batch_size": 16, "augment": dict, "sampling": HalfPasses(), "keep_best": "val_loss"}
    species, head = rank_phases(told, heads, COUNTS, shared)
    assert (species.augment, species.learn_again, species.trainable) == (dict, False, None)
    assert (head.augment, head.sampling, head.keep_best) == (None, None, None)
    assert (head.output, head.trainable) == ("probabilities", ("probabilities",))
    assert head.learn_again


def test_it_trains_on_no_larger_pictures_than_it_answers():
    told = {"data_dir": "DIR", "weights": "FILE"}
    sides = [
        MultiViewClassifier(options("recommended", **told, **changed))._train_size
        for changed in ({}, {"image_size": 96}, {"image_size": 224, "train_size": 160})
    ]
    assert sides == [224, 96, 160]
    for wrong in ({"augmentation": "none"}, {"auxiliary": 0.4}):
        with pytest.raises(InputError, match="--train-size"):
            options("recommended", **told, **wrong)


def test_a_random_last_layer_lets_the_normalisations_learn():
    told = options("recommended", data_dir="DIR", weights="FILE", whiten=False)
    assert (told.whiten, told.batch_norm, told.learning_rate) == (False, "train", 1e-3)
    told = options("recommended", data_dir="DIR", weights="FILE", whiten=False, batch_norm="kept")
    assert told.batch_norm == "kept"  # where it is asked for


def test_a_random_network_has_nothing_to_keep():
    told = options("recommended", weights="none")
    assert (told.whiten, told.batch_norm, told.views) == (False, "train", "centre")
    for wrong in ({"whiten": True}, {"batch_norm": "kept"}):
        with pytest.raises(InputError, match="random weights"):
            options("recommended", weights="none", **wrong)


def test_which_experiment_is_followed():
    assert published(options(views="whole"), 1) == "E1"
    assert published(options(), 1) == "E2"
    assert published(options(), 2) == "E3"


def test_the_first_rank():
    assert first_depth(TREE, None) == 2
    assert first_depth(TREE, "Family") == 1
    assert first_depth(TREE, "none") == 3
    assert first_depth(Taxonomy(("species",), (("a", "b"),), (np.zeros(2, int),)), None) == 1
    with pytest.raises(InputError, match="--start-rank: there is no rank 'tribe'"):
        first_depth(TREE, "tribe")


def test_heads_hand_down_what_parents_have_learnt():
    heads = Heads(TREE, 2, True)
    seen, aside = keras.Input((5,), name="seen"), keras.Input((4,), name="aside")
    network = keras.Model([seen, aside], heads.outputs(seen, aside))
    assert set(network.output) == {
        "rank_genus", "probabilities", "auxiliary_rank_genus", "auxiliary_probabilities",
    }  # fmt: skip
    heads.hand_down(2, 3, 1.0, 0)(network)
    for above, below in (
        ("rank_genus", "probabilities"),
        ("auxiliary_rank_genus", "auxiliary_probabilities"),
    ):
        kernel, bias = network.get_layer(above).get_weights()
        copied, bias_below = network.get_layer(below).get_weights()
        np.testing.assert_allclose(copied, kernel[:, PARENTS], rtol=1e-6)
        np.testing.assert_allclose(bias_below, bias[PARENTS])
    kernel = network.get_layer("rank_genus").get_weights()[0]
    heads.hand_down(2, 3, 0.5, 0)(network)
    mixed = network.get_layer("probabilities").get_weights()[0]
    random = (mixed - np.sqrt(0.5) * kernel[:, PARENTS]) / np.sqrt(0.5)
    assert np.abs(random).max() <= np.sqrt(3) * kernel.std() * (1 + 1e-5)
    assert random.std() > 0.3 * kernel.std()


def test_the_auxiliary_classifier_has_the_published_layers():
    feature_map = keras.Input((17, 17, 1088))
    model = keras.Model(feature_map, auxiliary_features(feature_map, 1.0))
    assert model.output.shape == (None, 768)
    kernels = [layer.kernel.shape for layer in model.layers if isinstance(layer, layers.Conv2D)]
    assert kernels == [(1, 1, 1088, 128), (5, 5, 128, 768)]
    small = keras.Input((4, 4, 8))
    assert auxiliary_features(small, 0.25).shape == (None, 192)


def test_half_passes_go_through_all_samples():
    for count in (10, 11):
        targets = np.zeros(count, int)
        halves = [HalfPasses().rows(targets, 4, (5, epoch), None) for epoch in range(4)]
        assert {len(half) for half in halves} == {HalfPasses().places(targets)} == {-(-count // 2)}
        assert set(np.concatenate(halves[:2])) == set(range(count))
        assert set(np.concatenate(halves[2:])) == set(range(count))
        assert not np.array_equal(halves[0], halves[2])


def test_rates_by_shares_of_the_epochs():
    schedule = stepwise(((0.1, 1), (0.01, 1)), 4).schedule
    assert [schedule(epoch) for epoch in range(4)] == [0.1, 0.1, 0.01, 0.01]


def test_a_narrower_network_has_a_share_of_every_convolution():
    whole = build_backbone("mobilenet_v2_100", "none", 64, 64).network
    half = with_width(whole, 0.5)
    assert with_width(whole, 1.0) is whole
    filters = [
        [layer.filters for layer in network.layers if type(layer) is layers.Conv2D]
        for network in (whole, half)
    ]
    assert [2 * count for count in filters[1]] == filters[0]
    assert half.output.shape == (None, 2, 2, 640)
    with pytest.raises(InputError, match=r"--width 0.3: Conv1 would have 9.6 channels"):
        with_width(whole, 0.3)


def test_rare_species_are_left_out_and_counted():
    labels = ["a"] * 5 + ["b"] * 4 + ["c"] * 6
    frame = pd.DataFrame({"key": [str(row) for row in range(15)], "label": labels})
    table = Table("t", "made up", ("a", "b", "c"), frame, {"image": np.zeros((15, 1))})
    found = without_rare(table, 5)
    assert found.labels == ("a", "c")
    assert len(found) == 11
    assert found.left_out == ("1 species with fewer than 5 pictures (4 pictures)",)
    assert without_rare(table, 4) is table
    with pytest.raises(InputError, match="--least-pictures 6: t has 1 species with as many"):
        without_rare(table, 6)


def test_published_batch_normalisation_and_regularisation():
    kernel = keras.Input((2, 2, 3))
    network = keras.Model(kernel, layers.BatchNormalization()(layers.Conv2D(1, 1)(kernel)))
    as_published(network)
    convolution, norm = network.layers[1:]
    assert (norm.momentum, norm.epsilon) == (0.9997, 1e-3)
    convolution.kernel.assign(np.full((1, 1, 3, 1), 2.0))
    assert float(sum(network.losses)) == pytest.approx(4e-5 / 2 * 3 * 2.0**2)


def test_further_pictures_are_asked_for_where_there_are_none(monkeypatch):
    table = Table("t", "made up", ("a",), pd.DataFrame({"label": ["a"]}), {"image": np.zeros(1)})
    model = MultiViewClassifier(options("recommended", data_dir="d", views="pictures"))
    vars(model)["backbone"] = None  # found before the data are read
    monkeypatch.setattr(MultiViewClassifier, "read_table", lambda *_: table)
    with pytest.raises(InputError, match="--views pictures: t has one picture per row"):
        model.loadData()


def test_a_long_tail_is_adjusted_at_every_rank_by_the_shares_of_its_taxa():
    heads = Heads(TREE, 2, False)
    told = options("recommended", epochs=4, rank_epochs=1, long_tail="adjusted")
    genus, species = phases(heads, told)
    np.testing.assert_allclose(genus.loss.prior, [0.9, 0.1])
    np.testing.assert_allclose(species.loss.prior, [0.6, 0.3, 0.1])
    plain = options("recommended", epochs=4, rank_epochs=1)
    assert [phase.loss.prior for phase in phases(heads, plain)] == [None, None]


def test_every_rank_mixes_samples_and_the_head_that_learns_again_does_not():
    heads = Heads(TREE, 2, True, from_centroids=True)
    told = options("recommended", epochs=4, rank_epochs=1, mixup=0.2, auxiliary=0.4)
    assert [phase.mixup for phase in phases(heads, told)] == [0.2, 0.2, 0.0]
    plain = options("recommended", epochs=4, rank_epochs=1)
    assert {phase.mixup for phase in phases(heads, plain)} == {0.0}
