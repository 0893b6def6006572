"""NN1: emotion from the picture of a face (paper 004, sections 5.2.2 and 5.3.3)."""

from __future__ import annotations

from dataclasses import dataclass

import keras
from keras import layers

from models.base import NNModel
from models.emotion.faces import FACE, FaceOptions, load_faces, sample_weights
from models.inputs import ImageInput
from models.options import option
from training.phases import Phase
from training.schedules import drop_at

RESIDUAL_STAGES = ((24, 1), (48, 2), (96, 2))  # channels and stride of each stage of two blocks


COMBINATIONS = 512  # neurons behind the convolutions


@dataclass(frozen=True)
class NN1Options(FaceOptions):
    """Options of NN1."""

    PRESETS = {
        "paper": {
            "split_rule": "shuffled",
            "epochs": 16,
            "batch_size": 32,
            "learning_rate": 1e-4,
            "class_weights": "all",
            "network": "paper",
        }
    }

    network: str | None = option(
        "paper: three convolutions; residual: a stronger network, for studying the fusion",
        choices=("paper", "residual"),
    )


class NN1(NNModel):
    """A convolutional network on 48x48 grey faces.

    Input `image`, (batch, 48, 48, 1), 0 to 255. Outputs: `features` (batch, 16), the sigmoid layer
    before the last, also as `embedding`, and `probabilities` (batch, classes).
    """

    Options = NN1Options
    inputs = (ImageInput(FACE, FACE),)

    def loadData(self):
        self.split_table(load_faces(self.options, ("image",)))

    def createArchitecture(self):
        body = _paper_body if self.options.network == "paper" else _residual_body

        image = keras.Input(self.inputs[0].fitted_shape, name="image")
        features = layers.Dense(16, activation="sigmoid", name="features")
        probabilities = layers.Dense(
            len(self.table.labels), activation="softmax", dtype="float32", name="probabilities"
        )

        found = features(body(layers.Rescaling(1 / 255, dtype="float32", name="to_unit")(image)))
        answer = probabilities(found)

        outputs = {"features": found, "embedding": found, "probabilities": answer}
        self.model = keras.Model({"image": image}, outputs, name="network")

    def prepareModel(self):
        options = self.options
        self.phases = (
            Phase(
                name="training",
                epochs=options.epochs,
                batch_size=options.batch_size,
                optimizer=keras.optimizers.Adam(options.learning_rate),
                sample_weight=sample_weights(self.table, self.splits, options),
                callbacks=(drop_at(epoch=10, factor=0.2),),
            ),
        )


def _paper_body(pixels):
    """Listing 3: three convolutions of 2x2, each followed by a maximum over 2x2."""
    for filters, stride, name in ((16, 1, "first"), (32, 2, "second"), (64, 1, "third")):
        pixels = layers.Conv2D(filters, 2, activation="relu", name=f"{name}_convolution")(pixels)
        pixels = layers.MaxPooling2D(2, stride, name=f"{name}_maximum")(pixels)
    flat = layers.Flatten(name="flat")(pixels)
    return layers.Dense(COMBINATIONS, activation="relu", name="combinations")(flat)


def _residual_body(pixels):
    """A small residual network (He et al. 2016, section 3.3), for the ablation of section 5.4.2."""
    pixels = _convolution(pixels, 24, 2, "stem")
    for stage, (filters, stride) in enumerate(RESIDUAL_STAGES):
        for block, step in enumerate((stride, 1)):
            pixels = _residual_block(pixels, filters, step, f"stage{stage}_block{block}")
    pooled = layers.GlobalAveragePooling2D(name="pooled")(pixels)
    return layers.Dropout(0.3, name="dropout")(pooled)


def _convolution(pixels, filters, stride, name):
    pixels = layers.Conv2D(
        filters, 3, stride, padding="same", use_bias=False, name=f"{name}_convolution"
    )(pixels)
    pixels = layers.BatchNormalization(name=f"{name}_norm")(pixels)
    return layers.ReLU(name=f"{name}_relu")(pixels)


def _residual_block(pixels, filters, stride, name):
    inner = _convolution(pixels, filters, stride, f"{name}_first")
    inner = layers.Conv2D(
        filters, 3, padding="same", use_bias=False, name=f"{name}_second_convolution"
    )(inner)
    inner = layers.BatchNormalization(name=f"{name}_second_norm")(inner)
    if stride != 1 or pixels.shape[-1] != filters:
        pixels = layers.Conv2D(filters, 1, stride, use_bias=False, name=f"{name}_shortcut")(pixels)
    return layers.ReLU(name=f"{name}_relu")(layers.Add(name=f"{name}_sum")([inner, pixels]))
