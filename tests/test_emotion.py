"""Numbers of paper 004 that can be computed."""

import dataclasses

import keras
import numpy as np
import pytest

from datasets.emotions import EMOTIONS
from datasets.errors import InputError
from datasets.landmarks import IBUG_PARTS, PARTS
from datasets.synthetic import faces
from models.emotion.faces import sample_weights
from models.emotion.final_nn import FinalNN
from models.emotion.nn1 import NN1
from models.emotion.nn2 import NN2
from tests.undrawn import leave_undrawn
from training.losses import class_weights
from training.schedules import drop_at

COUNTS = (4953, 547, 5121, 8989, 6077, 4002, 6198)  # paper 004, table 1


@pytest.fixture(scope="module")
def data():
    model = NN1(NN1.Options(preset="paper"))
    model.split_table(faces.load(300))
    return model.table, model.splits


def built(model_class, data, out="saved_models", preset="paper", **options):
    model = model_class(model_class.Options(preset=preset, **options), out)
    model.use_data(*data)
    model.createArchitecture()
    model.prepareModel()
    return model


def trainable(model):
    return sum(int(np.prod(weight.shape)) for weight in model.model.trainable_weights)


def test_class_weights_are_those_of_table_1():
    weights = class_weights(dict(zip(EMOTIONS, COUNTS, strict=True)))
    assert weights.round(3).tolist() == [1.815, 16.433, 1.755, 1.0, 1.479, 2.246, 1.450]


def test_a_class_without_samples_has_no_weight():
    with pytest.raises(ValueError, match="without samples"):
        class_weights({"angry": 3, "happy": 0})


def test_class_weights_count_what_the_option_says(data):
    table, splits = data
    whole, train, none = (
        sample_weights(table, splits, NN1.Options(class_weights=counted))
        for counted in ("all", "train", "none")
    )
    targets = table.targets[splits.train]
    for weights, counted in ((whole, table.targets), (train, targets)):
        counts = np.bincount(counted)
        np.testing.assert_allclose(weights, (counts.max() / counts)[targets])
    assert (whole != train).any()
    assert (none == 1).all()


def test_nn1_has_the_papers_size_and_training(data):
    model = built(NN1, data)
    assert model.model.count_params() == trainable(model) == 13_126_455
    options = model.options
    assert (options.epochs, options.batch_size, options.learning_rate) == (16, 32, 1e-4)
    assert options.class_weights == "all"
    assert isinstance(model.phases[0].optimizer, keras.optimizers.Adam)
    layers = [layer.name for layer in model.model.layers]
    assert layers[2:8:2] == ["first_convolution", "second_convolution", "third_convolution"]
    assert model.model.get_layer("flat").output.shape == (None, 20 * 20 * 64)


def test_nn2_has_the_papers_size_and_training(data):
    model = built(NN2, data)
    assert model.model.count_params() == 210_983
    assert trainable(model) == 210_439
    assert model.model.get_layer("flat").output.shape == (None, 272)
    assert (model.options.epochs, model.options.learning_rate) == (16, 1e-3)
    (plateau,) = model.phases[0].callbacks
    assert (plateau.monitor, plateau.factor, plateau.patience) == ("val_loss", 0.2, 5)


def test_nn2_can_look_at_whole_parts(data):
    model = built(NN2, data, per_part=True)
    assert model.model.get_layer("flat").output.shape == (None, 32)


def test_the_parts_of_the_face_cover_every_landmark_once():
    for parts in (PARTS, IBUG_PARTS):
        covered = [index for where in parts.values() for index in range(68)[where]]
        assert sorted(covered) == list(range(68))
    assert list(PARTS) == [
        "jaw", "right_brow", "left_brow", "nose", "right_eye", "left_eye", "mouth", "lips",
    ]  # fmt: skip
    assert (PARTS["mouth"].stop, IBUG_PARTS["mouth"].stop) == (61, 60)


def test_the_rate_drops_once_before_the_eleventh_epoch():
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    model.optimizer.learning_rate = 1.0
    schedule = drop_at(epoch=10, factor=0.2)
    schedule.set_model(model)
    rates = []
    for epoch in range(16):
        schedule.on_epoch_begin(epoch)
        rates.append(float(model.optimizer.learning_rate))
    np.testing.assert_allclose(rates, [1.0] * 10 + [0.2] * 6, rtol=1e-6)


@pytest.fixture(scope="module")
def branches(data, tmp_path_factory):
    """One epoch of NN1 and NN2 on the same samples."""
    out = tmp_path_factory.mktemp("branches")
    with pytest.MonkeyPatch.context() as patch:
        leave_undrawn(patch)
        for model_class in (NN1, NN2):
            model = built(model_class, data, out, epochs=1)
            model.run = "first"
            model.train()
            model.save()
    return out


@pytest.mark.parametrize(
    ("combine", "parameters", "rate"), [("decisions", 105, 5e-4), ("features", 3271, 5e-5)]
)
def test_the_heads_have_the_papers_sizes_and_rates(data, branches, combine, parameters, rate):
    model = built(FinalNN, data, branches, combine=combine)
    assert trainable(model) == parameters
    assert model.options.learning_rate == rate
    assert model.options.epochs == 16
    assert [note.split(":")[0] for note in model.notes] == ["NN1", "NN2"]
    assert all("uses the run" in note for note in model.notes)


def test_a_branch_that_learnt_other_readings_of_landmarks_is_refused(data, branches):
    options = {"landmark_reading": "detected", "landmark_run": "NN2/first"}
    with pytest.raises(InputError, match="first was trained with other options"):
        built(FinalNN, data, branches, **options)


def test_branches_that_weighed_the_classes_otherwise_are_taken_by_name_alone(
    data, branches, monkeypatch
):
    def train(model, branch_class, options):
        raise LookupError(branch_class.name(), options["class_weights"])

    monkeypatch.setattr("models.branches._train", train)
    with pytest.raises(LookupError, match="'NN1', 'train'"):
        built(FinalNN, data, branches, class_weights="train")
    named = {"image_run": "NN1/first", "landmark_run": "NN2/first"}
    notes = built(FinalNN, data, branches, class_weights="train", **named).notes
    assert all("uses the run" in note for note in notes)


def test_the_fusion_sees_what_its_branches_say(data, branches):
    model = built(FinalNN, data, branches, combine="decisions")
    arrays = {name: array[:6] for name, array in data[0].modalities.items()}
    joined = model.model.predict(arrays, verbose=0)["features"]
    for index, branch in enumerate((NN1, NN2)):
        alone = branch.loadModel(branches / branch.name() / "first")
        own = {record.name: arrays[record.name] for record in alone.inputs}
        answers = alone.model.predict(own, verbose=0)["probabilities"]
        np.testing.assert_allclose(joined[:, 7 * index : 7 * index + 7], answers, atol=1e-6)


def lacking(data, missing):
    """Six faces without one of the modalities."""
    arrays = {name: array[:6].astype(np.float32) for name, array in data[0].modalities.items()}
    arrays[missing] = np.full_like(arrays[missing], 90 if missing == "image" else np.nan)
    return arrays


@pytest.mark.parametrize("missing", ["image", "landmarks"])
def test_a_gated_fusion_answers_by_the_other_modality_where_one_is_missing(data, branches, missing):
    model = built(FinalNN, data, branches, combine="gated")
    arrays = lacking(data, missing)
    answer = {name: np.asarray(value) for name, value in model.model(arrays).items()}
    fusion, features = model.model.get_layer("gated_fusion"), answer["features"]
    alone = fusion.other(features[:, 16:]) if missing == "image" else fusion.one(features[:, :16])
    np.testing.assert_allclose(answer["embedding"], alone, rtol=1e-5, atol=1e-6)
    assert np.isfinite(answer["probabilities"]).all()


@pytest.mark.parametrize("missing", ["image", "landmarks"])
def test_a_pool_answers_as_the_other_branch_where_a_modality_is_missing(data, branches, missing):
    model = built(FinalNN, data, branches, combine="pool")
    model.model.get_layer("pool").powers.assign([0.7, 0.4])
    arrays = lacking(data, missing)
    branch, name = (NN2, "landmarks") if missing == "image" else (NN1, "image")
    alone = branch.loadModel(branches / branch.name() / "first").model({name: arrays[name]})
    answer = model.model(arrays)["probabilities"]
    np.testing.assert_allclose(answer, alone["probabilities"], rtol=1e-4)


def test_a_pool_is_fitted_on_the_validation_part_alone(data, branches):
    table, splits = data
    points = table.modalities["landmarks"].copy()
    points[splits.train] = points[splits.train[::-1]]
    mixed_up = dataclasses.replace(table, modalities={**table.modalities, "landmarks": points})
    powers = []
    for run, known in (("told", table), ("misled", mixed_up)):
        model = built(FinalNN, (known, splits), branches, combine="pool", epochs=8)
        model.run = run
        model.train()
        powers.append(model.model.get_layer("pool").powers.numpy())
    assert trainable(model) == 2
    assert "fitted on the validation part" in model.notes[-1]
    assert (np.abs(powers[0] - 1) > 0.01).all()
    np.testing.assert_allclose(*powers, atol=1e-6)


def test_what_a_preset_says_of_large_heads_is_not_for_a_pool():
    options = FinalNN.Options()
    assert (options.combine, options.learning_rate) == ("pool", 0.02)
    assert (options.label_smoothing, options.stored_views) == (0.0, 0)
    assert FinalNN.Options(learning_rate=0.5, label_smoothing=0.2).label_smoothing == 0.2
    gated = FinalNN.Options(combine="gated")
    assert (gated.learning_rate, gated.label_smoothing, gated.stored_views) == (1e-3, 0.1, 4)
    with pytest.raises(InputError, match="--stored-views 2: a pool .* --combine gated"):
        FinalNN.Options(stored_views=2)


def test_training_the_fusion_leaves_the_branches_alone(data, branches):
    model = built(FinalNN, data, branches, combine="features", epochs=1)
    branch = model.model.get_layer("landmark_branch")
    before = [weight.copy() for weight in branch.get_weights()]
    head = model.model.get_layer("fusion").get_weights()[0].copy()
    model.run = "untouched"
    model.train()
    assert all((one == two).all() for one, two in zip(before, branch.get_weights(), strict=True))
    assert (head != model.model.get_layer("fusion").get_weights()[0]).any()


def test_one_seed_gives_one_fusion(data, branches):
    def head(run, seed):
        keras.utils.set_random_seed(seed + 100)  # what came before must not matter
        model = built(FinalNN, data, branches, combine="features", epochs=2)
        model.run = run
        model.train()
        return model.model.get_layer("fusion").get_weights()[0]

    np.testing.assert_allclose(head("one", 0), head("two", 1), atol=1e-7)


@pytest.mark.parametrize("use", ["ignore", "weight", "filter"])
def test_quality_weighs_training_faces(data, use):
    table, splits = data
    quality = np.random.default_rng(0).uniform(0.2, 1.0, len(table)).astype(np.float32)
    table = dataclasses.replace(table, quality={"landmarks": quality})
    weights = built(NN2, (table, splits), landmark_quality=use).phases[0].sample_weight
    plain = sample_weights(table, splits, NN2.Options(preset="paper"))
    factor, own = weights / plain, quality[splits.train]
    if use == "ignore":
        np.testing.assert_allclose(factor, 1)
    elif use == "weight":
        np.testing.assert_allclose(factor, own / own.mean(), rtol=1e-5)
    else:
        assert set(factor) == {0.0, 1.0}
        assert (factor == 0).mean() == pytest.approx(0.1, abs=0.01)
        assert own[factor == 0].max() < own[factor == 1].min()


def test_faces_of_one_quality_are_all_kept(data):
    weights = built(NN2, data, landmark_quality="filter").phases[0].sample_weight
    assert (weights > 0).all()


def test_normalised_landmarks_reach_the_network_between_0_and_1(data):
    model = built(NN2, data, normalise=True)
    inner = keras.Model(model.model.input, model.model.get_layer("to_unit").output)
    points = data[0].modalities["landmarks"][:5]
    np.testing.assert_allclose(
        inner.predict({"landmarks": points}, verbose=0), points / 48, rtol=1e-6
    )


def test_literal_mode_keeps_the_dropout(data, branches):
    model = built(FinalNN, data, branches, combine="features", dropout=True)
    arrays = {name: array[:64] for name, array in data[0].modalities.items()}
    noisy = model.model(arrays, training=True)["features"]
    calm = model.model(arrays, training=False)["features"]
    dropped = np.asarray(noisy)[:, 16:] == 0
    assert 0.1 < dropped.mean() < 0.3
    np.testing.assert_allclose(np.asarray(noisy)[:, :16], np.asarray(calm)[:, :16])


def test_other_data_or_another_split_is_refused_as_a_branch(data, branches):
    model = FinalNN(FinalNN.Options(preset="paper", seed=5, image_run="NN1/first"), branches)
    model.split_table(data[0])
    with pytest.raises(InputError, match="other data or another split"):
        model.createArchitecture()
