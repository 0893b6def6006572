"""Net96: species from photographs, a small network trained from nothing (paper 003, figure 7)."""

from __future__ import annotations

from dataclasses import dataclass

import keras
from keras import layers

from models.base import NNModel
from models.clownfish.photographs import (
    PhotographOptions,
    augmentation,
    divide,
    finished,
    statistics,
    torch_start,
)
from models.inputs import ImageInput
from models.options import option
from models.pixels import standard_pixels
from training.phases import Phase, mixing
from training.schedules import schedule

SIDE = 96  # pixels
CONVOLUTIONS = ((70, 5), (110, 3), (180, 3))  # filters and kernel, widths from the authors' code
DENSE = (2000, 200)


@dataclass(frozen=True)
class Net96Options(PhotographOptions):
    """Options of Net96."""

    SYNTHETIC_DEFAULTS = PhotographOptions.SYNTHETIC_DEFAULTS | {
        "epochs": 12,
        "augmentation": "paper",
    }
    # Two settings of SGD hardly left the most frequent class of the reef in so few epochs.
    SYNTHETIC_RECOMMENDED = {"optimizer": "adamw", "learning_rate": 3e-4}
    MEASURED_WITH = 485
    PRESETS = {
        "paper": {
            "split_rule": "holdout",
            "epochs": 50,
            "batch_size": 16,
            "optimizer": "sgd",
            "learning_rate": 1e-3,
            "schedule": "step",
            "augmentation": "paper",
            "cap": "table",
            "other_validation": 0.2,
            "four_views": False,
            "normalise": "paper",
            "dropout": 0.0,
            "initial_weights": "pytorch",
        },
        "recommended": {
            "split_rule": "stratified",
            "epochs": 80,
            "batch_size": 32,
            "optimizer": "sgd",
            "learning_rate": 0.01,
            "schedule": "cosine",
            "augmentation": "strong",
            "patience": 40,
            "cap": "none",
            "other_validation": 0.1,
            "four_views": True,
            "normalise": "train",
            "dropout": 0.5,
            "initial_weights": "he",
        },
    }

    optimizer: str | None = option(
        "sgd: momentum 0.9, by Nesterov's rule in `recommended`; adamw", choices=("sgd", "adamw")
    )
    normalise: str | None = option(
        "pixel statistics: train, of the training pixels; paper, as the authors' code has them",
        choices=("train", "paper"),
    )
    dropout: float | None = option(
        "share of the dense neurons left out in training", minimum=0.0, maximum=0.9
    )
    initial_weights: str | None = option(
        "pytorch: as PyTorch draws them; he: by He et al. 2015", choices=("pytorch", "he")
    )


class Net96(NNModel):
    """Three convolutions and three dense layers; 29,815,712 parameters for two classes.

    Input `image`, (batch, 96, 96, 3), 0 to 255. Outputs: `features` (batch, 200), what the last
    layer sees, also as `embedding`, and `probabilities` (batch, classes).
    """

    Options = Net96Options
    inputs = (ImageInput(SIDE, SIDE, 3),)
    divide, finished = staticmethod(divide), finished

    def loadData(self):
        self.split_table(self.read_table(self.options.data, self.options.data_dir))

    def createArchitecture(self):
        options, classes = self.options, len(self.table.labels)
        paper = options.normalise == "paper"

        image = keras.Input(self.inputs[0].fitted_shape, name="image")
        found = statistics(self.table, self.splits, self.inputs[0], paper)

        pixels = standard_pixels(image, found)
        for number, (filters, kernel) in enumerate(CONVOLUTIONS, 1):
            pixels = self._convolution(pixels, filters, kernel, f"convolution_{number}")
        hidden = layers.Flatten(name="flat")(pixels)
        for number, width in enumerate(DENSE, 1):
            hidden = self._dense(hidden, width, f"dense_{number}")
        answer = layers.Dense(
            classes,
            activation="softmax",
            dtype="float32",
            name="probabilities",
            **self._start(DENSE[-1]),
        )

        outputs = {"features": hidden, "embedding": hidden, "probabilities": answer(hidden)}
        self.model = keras.Model({"image": image}, outputs, name="network")

    def prepareModel(self):
        options = self.options
        self.phases = (
            Phase(
                name="training",
                epochs=options.epochs,
                batch_size=options.batch_size,
                optimizer=self._optimizer(),
                callbacks=schedule(
                    options.schedule, options.learning_rate, options.epochs, options.patience
                ),
                augment=augmentation(options, self.inputs[0]),
                keep_best="val_accuracy" if options.preset == "paper" else "val_loss",
                **mixing(options.mixup),
            ),
        )

    def _optimizer(self):
        rate = self.options.learning_rate
        if self.options.optimizer == "adamw":
            return keras.optimizers.AdamW(rate)
        nesterov = self.options.preset != "paper"
        return keras.optimizers.SGD(rate, momentum=0.9, nesterov=nesterov)

    def _convolution(self, pixels, filters, kernel, name):
        start = self._start(kernel * kernel * pixels.shape[-1])
        pixels = layers.Conv2D(filters, kernel, activation="relu", name=name, **start)(pixels)
        return layers.MaxPooling2D(3, 2, name=f"{name}_maximum")(pixels)

    def _dense(self, hidden, width, name):
        start = self._start(hidden.shape[-1])
        hidden = layers.Dense(width, activation="relu", name=name, **start)(hidden)
        if self.options.dropout:
            hidden = layers.Dropout(self.options.dropout, name=f"{name}_dropout")(hidden)
        return hidden

    def _start(self, fan_in: int) -> dict:
        if self.options.initial_weights == "he":
            return {"kernel_initializer": "he_normal"}
        return torch_start(fan_in)
