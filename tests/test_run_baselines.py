"""What the simple baselines of a run see, and a whole run of a network with a backbone."""

from dataclasses import dataclass, replace
from types import SimpleNamespace

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from datasets.base import Splits
from datasets.columns import Column
from datasets.images import Fit, fit_images
from datasets.pictures import Pictures
from datasets.synthetic import faces
from models.base import PIPELINES, NNModel
from models.inputs import ImageInput, LandmarkInput, MeasurementInput
from models.options import Options
from models.run_baselines import baseline_views
from models.runs import read_json
from training.baselines import View, compare
from training.phases import Phase

pytestmark = pytest.mark.filterwarnings("ignore:Even though the `tf.config:UserWarning")


def seen(inputs, modalities, columns=(), backbone=None):
    splits = Splits(np.arange(4), np.arange(4, 6), np.arange(6, 9))
    table = SimpleNamespace(modalities=modalities, columns=columns)
    model = SimpleNamespace(inputs=inputs, table=table, splits=splits, backbone=backbone)
    return baseline_views(model, PIPELINES)


@pytest.fixture(scope="module")
def images():
    return Pictures.of(np.random.default_rng(0).integers(0, 256, (9, 24, 20, 3), np.uint8))


def tiny_backbone(weights="given"):
    keras.utils.set_random_seed(0)
    pixels = keras.Input((12, 12, 3))
    network = keras.Model(pixels, layers.Conv2D(4, 3, activation="relu", name="filters")(pixels))
    return SimpleNamespace(
        name="tiny", network=network, preprocess=lambda x: x / 255.0, weights=weights
    )


def test_pictures_are_few_grey_pixels_where_nothing_is_pretrained(images):
    for backbone in (None, tiny_backbone("none")):
        (view,) = seen((ImageInput(12, 12, 3),), {"image": images}, backbone=backbone)
        assert (view.name, view.is_vector) == ("pixels 16x16", True)
        expected = fit_images(images[6:], Fit(16, 16, 1)).reshape(3, 256)
        np.testing.assert_allclose(view.parts["test"], expected, rtol=1e-6)
        assert [len(view.parts[part]) for part in ("train", "validation")] == [4, 2]


def test_pictures_are_averages_of_a_pretrained_backbone(images):
    backbone, record = tiny_backbone(), ImageInput(12, 12, 3)
    (view,) = seen((record,), {"image": images}, backbone=backbone)
    assert view.name == "frozen features of tiny"
    maps = backbone.network(record.fitted(images[:4]) / np.float32(255))
    np.testing.assert_allclose(view.parts["train"], np.mean(maps, axis=(1, 2)), atol=1e-5)


def test_measurements_and_landmarks_stand_beside_the_picture(images):
    columns = (Column("length_mm"), Column("country", ("A", "B")))
    measured = np.random.default_rng(1).random((9, 2), np.float32)
    landmarks = np.random.default_rng(2).random((9, 68, 2), np.float32)
    views = seen(
        (ImageInput(12, 12), MeasurementInput(columns), LandmarkInput(68, 48)),
        {"image": images, "measurements": measured, "landmarks": landmarks},
        columns,
    )
    assert [view.name for view in views] == ["measurements", "landmarks", "pixels 16x16"]
    assert [view.categorical for view in views] == [(1,), (), ()]
    assert np.array_equal(views[0].parts["test"], measured[6:])
    assert np.array_equal(views[1].parts["train"], landmarks[:4].reshape(4, 136))


@dataclass(frozen=True)
class TunedOptions(Options):
    PRESETS = {"paper": {"epochs": 1, "batch_size": 16, "split_rule": "stratified"}}
    DEMONSTRATION = "faces"


class Tuned(NNModel):
    """A network all of whose backbone trains, fast enough to be spoilt."""

    Options = TunedOptions
    inputs = (ImageInput(12, 12, 3),)

    def loadData(self):  # noqa: N802
        table = faces.load(120)
        pictures = Pictures.of(table.modalities["image"])
        self.split_table(replace(table, modalities={"image": pictures}))

    def createArchitecture(self):  # noqa: N802
        self.backbone = tiny_backbone()
        image = keras.Input(self.inputs[0].fitted_shape, name="image")
        features = layers.GlobalAveragePooling2D(name="features")(
            self.backbone.network(self.backbone.preprocess(image))
        )
        answer = layers.Dense(len(self.table.labels), activation="softmax", name="probabilities")
        outputs = {"features": features, "embedding": features, "probabilities": answer(features)}
        self.model = keras.Model({"image": image}, outputs, name="network")

    def prepareModel(self):  # noqa: N802
        self.phases = (Phase("training", 1, 16, keras.optimizers.SGD(10.0, clipnorm=1.0)),)


@pytest.fixture(scope="module")
def tuned(tmp_path_factory):
    """A saved run; what it draws and exports is tested elsewhere."""
    tf.config.run_functions_eagerly(True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("models.artefact.write_report", lambda *_: None)
        patch.setattr("models.artefact.write_savedmodel", lambda *_: None)
        model = Tuned(out=tmp_path_factory.mktemp("out"), run="one")
        model.loadData()
        model.createArchitecture()
        model.prepareModel()
        model.train()
        model.save()
    tf.config.run_functions_eagerly(False)
    return model


def test_the_features_are_those_before_the_backbone_was_trained(tuned):
    table, splits = tuned.table, tuned.splits
    found = read_json(tuned.folder, "metrics.json")["baselines"]
    assert found["part"] == "test"
    fresh, spoilt = tiny_backbone(), tuned.backbone
    kernels = [one.network.get_layer("filters").kernel.numpy() for one in (fresh, spoilt)]
    assert np.abs(kernels[0] - kernels[1]).max() > 0.1
    rows = {}
    for name, backbone in (("fresh", fresh), ("spoilt", spoilt)):
        features = np.mean(
            backbone.network(tuned.inputs[0].fitted(table.modalities["image"]) / np.float32(255)),
            axis=(1, 2),
        )
        parts = {part: features[splits[part]] for part in splits.parts()}
        targets = {part: table.targets[splits[part]] for part in splits.parts()}
        view = View("frozen features of tiny", parts, is_vector=True)
        answers = tuned.judge(table.take(splits.test))
        rows[name] = compare((view,), targets, answers, table.labels, "test").to_json()["rows"]
    for kept, expected in zip(found["rows"], rows["fresh"], strict=True):
        assert kept["name"] == expected["name"]
        assert kept["log_loss"] == pytest.approx(expected["log_loss"], rel=1e-3)
    assert rows["spoilt"][1]["log_loss"] != pytest.approx(found["rows"][1]["log_loss"], rel=1e-2)


def test_the_card_shows_them(tuned):
    card, metrics = (
        (tuned.folder / "README.md").read_text(),
        read_json(tuned.folder, "metrics.json"),
    )
    rows = metrics["baselines"]["rows"]
    assert len(rows) == 3
    for row in rows:
        assert f"| {row['name']}" in card
        assert f"| {100 * row['accuracy']:.1f} % (" in card
    assert metrics["baselines"]["verdict"] in card
    accuracy = metrics["test"]["accuracy"]
    for row in rows:
        assert row["difference"] == pytest.approx(accuracy - row["accuracy"])
