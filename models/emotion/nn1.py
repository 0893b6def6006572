"""NN1: emotion from the picture of a face (paper 004, sections 5.2.2 and 5.3.3)."""

from __future__ import annotations

from dataclasses import dataclass

import keras
from keras import layers

from datasets.base import Table
from models.base import NNModel
from models.emotion.faces import (
    FACE,
    FaceOptions,
    averaging,
    changed_faces,
    how_faces_are_learnt,
    read_faces,
    sample_weights,
)
from models.emotion.mirror import MeanOfMirror, WithMirroredPicture
from models.fused_batch_norm import MOMENTUM, BatchNormalization
from models.inputs import ImageInput
from models.options import option
from training.phases import Phase

COMBINATIONS = 512  # neurons behind the convolutions of the paper
STAGES = (1, 2, 4)  # channels of the residual network's stages, in those of the first
WEIGHT_DECAY = 0.05


@dataclass(frozen=True)
class NN1Options(FaceOptions):
    """Options of NN1."""

    SYNTHETIC_RECOMMENDED = {"epochs": 12, "width": 16}
    MEASURED_WITH = 25_838
    PRESETS = {
        "paper": {
            "split_rule": "shuffled",
            "epochs": 16,
            "batch_size": 32,
            "learning_rate": 1e-4,
            "schedule": "drop",
            "class_weights": "all",
            "network": "paper",
            "width": 24,
            "augmentation": "none",
            "label_smoothing": 0.0,
            "averaged": False,
            "mirror": False,
        },
        "recommended": {
            "split_rule": "stratified",
            "epochs": 60,
            "batch_size": 64,
            "learning_rate": 2e-3,
            "schedule": "cosine",
            "class_weights": "none",
            "network": "residual",
            "width": 48,
            "augmentation": "faces",
            "label_smoothing": 0.1,
            "averaged": True,
            "mirror": True,
        },
    }

    network: str | None = option(
        "paper: three convolutions; residual: thirteen, with shortcuts",
        choices=("paper", "residual"),
    )
    width: int | None = option(
        "channels of the first stage of the residual network; the others have twice and four times "
        "as many",
        minimum=4,
    )
    augmentation: str | None = option(
        "of training faces: faces, which mirrors, crops, turns, lights and partly hides them; none",
        choices=("faces", "none"),
    )
    mirror: bool | None = option("answer by a face and its mirror image")


class NN1(NNModel):
    """A convolutional network on 48x48 grey faces.

    Input `image`, (batch, 48, 48, 1), 0 to 255. Outputs: `features`, of the paper's network
    (batch, 16), the sigmoid layer before the last, of the residual one (batch, 4 * width), the mean
    of its last maps; also as `embedding`; and `probabilities` (batch, classes).
    """

    Options = NN1Options
    inputs = (ImageInput(FACE, FACE),)

    def read_table(self, name: str, data_dir, strict: bool = True) -> Table:
        return read_faces(self, name, data_dir, strict)

    def loadData(self):
        self.split_table(self.read_table(self.options.data, self.options.data_dir))

    def createArchitecture(self):
        options = self.options
        residual = options.network == "residual"
        probabilities = layers.Dense(
            len(self.table.labels), activation="softmax", dtype="float32", name="probabilities"
        )

        image = keras.Input(self.inputs[0].fitted_shape, name="image")
        seen = layers.Rescaling(1 / 255, dtype="float32", name="to_unit")(image)
        if options.mirror:
            seen = WithMirroredPicture(dtype="float32", name="with_mirror")(seen)
        found = _residual_body(seen, options.width) if residual else _paper_body(seen)
        found = MeanOfMirror(name="mean_of_mirror")(found) if options.mirror else found
        kept = layers.Dropout(0.4, name="dropout")(found) if residual else found

        outputs = {"features": found, "embedding": found, "probabilities": probabilities(kept)}
        self.model = keras.Model({"image": image}, outputs, name="network")

    def prepareModel(self):
        options = self.options
        self.phases = (
            Phase(
                name="training",
                optimizer=self._optimizer(),
                sample_weight=sample_weights(self.table, self.splits, options),
                augment=changed_faces(self.inputs[0]) if options.augmentation == "faces" else None,
                **how_faces_are_learnt(self),
            ),
        )

    def _optimizer(self):
        rate = self.options.learning_rate
        averaged = averaging(self.options, len(self.splits.train))
        if self.options.network == "paper":
            return keras.optimizers.Adam(rate, **averaged)
        return keras.optimizers.AdamW(rate, weight_decay=WEIGHT_DECAY, **averaged)


def _paper_body(pixels):
    """Listing 3: three convolutions of 2x2, each followed by a maximum over 2x2."""
    for filters, stride, name in ((16, 1, "first"), (32, 2, "second"), (64, 1, "third")):
        pixels = layers.Conv2D(filters, 2, activation="relu", name=f"{name}_convolution")(pixels)
        pixels = layers.MaxPooling2D(2, stride, name=f"{name}_maximum")(pixels)
    flat = layers.Flatten(name="flat")(pixels)
    dense = layers.Dense(COMBINATIONS, activation="relu", name="combinations")(flat)
    return layers.Dense(16, activation="sigmoid", name="features")(dense)


def _residual_body(pixels, width):
    """A small residual network (He et al. 2016, section 3.3)."""
    pixels = _convolution(pixels, width // 2, 1, "stem")
    for stage, times in enumerate(STAGES):
        for block, stride in enumerate((2, 1)):
            name = f"stage{stage}_block{block}"
            pixels = _residual_block(pixels, width * times, stride, name)
    return layers.GlobalAveragePooling2D(name="features")(pixels)


def _convolution(pixels, filters, stride, name):
    pixels = layers.Conv2D(
        filters, 3, stride, padding="same", use_bias=False, name=f"{name}_convolution"
    )(pixels)
    pixels = BatchNormalization(momentum=MOMENTUM, name=f"{name}_norm")(pixels)
    return layers.ReLU(name=f"{name}_relu")(pixels)


def _residual_block(pixels, filters, stride, name):
    inner = _convolution(pixels, filters, stride, f"{name}_first")
    inner = layers.Conv2D(
        filters, 3, padding="same", use_bias=False, name=f"{name}_second_convolution"
    )(inner)
    inner = BatchNormalization(momentum=MOMENTUM, name=f"{name}_second_norm")(inner)
    if stride != 1:
        # A mean loses nothing of a picture, where a convolution of 1x1 with strides loses three
        # quarters (He et al. 2019, section 4). With eight channels oneDNN crashes in its gradient.
        pixels = layers.AveragePooling2D(stride, name=f"{name}_mean")(pixels)
    if pixels.shape[-1] != filters:
        pixels = layers.Conv2D(filters, 1, use_bias=False, name=f"{name}_shortcut")(pixels)
    return layers.ReLU(name=f"{name}_relu")(layers.Add(name=f"{name}_sum")([inner, pixels]))
