"""Every model of the zoo, small: a few samples, a hundredth of the weights."""

from dataclasses import replace
from functools import cache
from importlib import import_module

import keras
import numpy as np

from datasets import DATASETS
from models import model_class
from models.backbones import Backbone, build_backbone
from models.music import mel_network
from tests.small_nn1 import make_nn1_small

SAMPLES = {"reef": 60, "snails": 160, "music": 60}  # of large ones; of others 240
LEAST = {"snails": 12, "organisms": 8, "music": 8}  # samples of a class; some have very few
# All else is the default.
CHEAP = dict.fromkeys(("TransferCNN", "TripletClassifier"), {"backbone": "VGG16", "image_size": 32})
CHEAP["TransferMLP"] = {"tasks": "g", "stored_views": 1}
CHEAP["MultiViewClassifier"] = CHEAP["TransferCNN"] | {
    "branch_from": "block1_conv2", "merge_at": "block2_conv2", "start_rank": "none",
    "learning_rate": 1e-3,
}  # fmt: skip


def make_smaller(patch):
    """Let all models have a hundredth of their weights."""
    make_nn1_small(patch)
    patch.setattr("models.clownfish.net96.CONVOLUTIONS", ((16, 5), (16, 3), (16, 3)))
    patch.setattr("models.clownfish.net96.DENSE", (40, 20))
    patch.setattr("models.music.mel_network.BLOCKS", mel_network.BLOCKS[:3])
    patch.setattr("models.music.mel_network.DENSE", 32)
    options = "models.music.mel_dcnn.MelDCNNOptions.SYNTHETIC_RECOMMENDED"
    patch.setattr(options, {"epochs": 2})  # of the networks that TransferMLP trains
    for place in ("models.pretrained", "models.species.multi_view_classifier"):
        patch.setattr(f"{place}.build_backbone", beginning_of_backbone)


def beginning_of_backbone(*words):
    whole = build_backbone(*words)
    network = whole.network
    end = network.get_layer("block2_pool").output
    return replace(whole, network=keras.Model(network.input, end, name=network.name))


def tiny_backbone(name, weights, height, width):
    """Two convolutions in place of a backbone, with the names of places to cut it at."""
    pixels = keras.Input((height, width, 3))
    seen = keras.layers.Conv2D(6, 5, 4, activation="relu", name="branch")(pixels)
    feature_map = keras.layers.Conv2D(8, 1, activation="relu", name="merge")(seen)
    return Backbone(name, keras.Model(pixels, feature_map, name="tiny"), lambda x: x / 255, weights)


def small_table(name):
    """A few samples of the demonstration set of a model."""
    return _drawn(model_class(name).Options.DEMONSTRATION)


@cache
def _drawn(data):
    table = import_module(DATASETS[data]).load(SAMPLES.get(data, 240))
    labels = tuple(label for label, count in table.counts().items() if count >= LEAST.get(data, 1))
    return replace(table.take(np.flatnonzero(table.frame["label"].isin(labels))), labels=labels)


def prepared(name, out, run="run", **options):
    """A model just before its training."""
    chosen = model_class(name)
    model = chosen(chosen.Options(**CHEAP.get(name, {}), **options), out, run)
    model.split_table(small_table(name))
    model.createArchitecture()
    model.prepareModel()
    return model


def raw_inputs(model, count=3, height=61, width=50):
    """Raw samples of a size that no network was made for."""
    rng = np.random.default_rng(0)
    made = {
        "image": lambda: rng.integers(0, 256, (count, height, width, 3), np.uint8),
        "landmarks": lambda: (rng.random((count, 68, 2)) * (width, height)).astype(np.float32),
        "waveform": lambda: rng.normal(0, 0.1, (count, 30_000)).astype(np.float32),
        "measurements": lambda: np.array(
            model.table.modalities["measurements"][:count], np.float32
        ),
    }
    return {record.name: made[record.name]() for record in model.inputs}
