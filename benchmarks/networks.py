"""Networks of the zoo with random weights, and batches of random samples, to be timed."""

from __future__ import annotations

import keras
import numpy as np
from keras import layers

from datasets.synthetic import faces, reef
from models import MODELS, model_class
from models.backbones import build_backbone
from models.fused_batch_norm import with_fused_batch_norm
from models.music.mel_network import shared_block, task_features
from models.species.multi_view import known_cuts, multi_view

CLASSES, EMBEDDING = 21, 32
TRIPLETS, TWO_VIEWS, STOCK = "TripletClassifier", "MultiViewClassifier", ", stock Keras"
RESIDUAL = "NN1, recommended"
# Samples of a training step: 48 are 16 triplets.
BATCH = {
    "Net96": 16, "NN1": 32, RESIDUAL: 64, "MelDCNN": 64, TRIPLETS: 48, TWO_VIEWS: 2,
    "mobilenet_v2_035": 32,
}  # fmt: skip


def network(name: str) -> keras.Model:
    """One of `BATCH`: fitted samples -> class probabilities. With `STOCK` behind it, not fused."""
    name, stock = name.removesuffix(STOCK), name.endswith(STOCK)
    if name == TRIPLETS:
        made = _triplets()
    elif name == TWO_VIEWS:
        made = _two_views()
    elif name == "MelDCNN":
        made = _mel_dcnn()
    elif name == RESIDUAL:
        made = _of_the_zoo("NN1", preset="recommended", width=48, mirror=False)
    elif name in MODELS:
        made = _of_the_zoo(name, preset="paper")
    else:
        made = _classifier(build_backbone(name, "none", 224, 224).network)
    return made if stock else with_fused_batch_norm(made)


def batch(made: keras.Model, samples: int) -> tuple[list[np.ndarray], np.ndarray]:
    """Random samples, an array for each input, and class indices."""
    rng = np.random.default_rng(0)
    arrays = [rng.random((samples, *tensor.shape[1:]), np.float32) for tensor in made.inputs]
    return arrays, np.arange(samples) % made.output.shape[-1]


def _triplets() -> keras.Model:
    """MobileNetV3Small on 224 px, 32 features, a 32-d embedding and a head (paper 000)."""
    backbone = keras.applications.MobileNetV3Small(
        include_top=False, weights=None, input_shape=(224, 224, 3), include_preprocessing=False
    )
    pooled = layers.GlobalAveragePooling2D()(backbone.output)
    embedding = layers.Dense(EMBEDDING)(layers.Dense(EMBEDDING)(pooled))
    answer = layers.Dense(CLASSES, activation="softmax")(embedding)
    return keras.Model(backbone.input, answer)


def _two_views() -> keras.Model:
    """The published InceptionResNetV2 on two pictures of 299 px (paper 001)."""
    backbone = build_backbone("inception_resnet_v2", "none", 299, 299).network
    made = multi_view(backbone, 2, *known_cuts(backbone.name))
    return _classifier(keras.Model(made.inputs, made.output["feature_map"]))


def _mel_dcnn() -> keras.Model:
    segments = keras.Input((43, 128))
    features = task_features(shared_block(segments, 1.0, None), "genre", 1.0, None)
    return keras.Model(segments, layers.Dense(16, activation="softmax")(features))


def _classifier(backbone: keras.Model) -> keras.Model:
    pooled = layers.GlobalAveragePooling2D()(backbone.output)
    inputs = backbone.inputs if len(backbone.inputs) > 1 else backbone.inputs[0]
    return keras.Model(inputs, layers.Dense(CLASSES, activation="softmax")(pooled))


def _of_the_zoo(name: str, **options) -> keras.Model:
    chosen = model_class(name)
    made = chosen(chosen.Options(**options))
    made.split_table({"NN1": faces, "Net96": reef}[name].load(140))
    made.createArchitecture()
    return keras.Model(made.model.inputs[0], made.model.output["probabilities"])
