"""TransferCNN: species from photographs, by a frozen pretrained network (paper 003, section II)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import keras
from keras import layers

from datasets.errors import InputError
from models.backbones import Backbone, build_backbone, layers_of, unfreezable
from models.base import NNModel
from models.clownfish.photographs import (
    PhotographOptions,
    augmentation,
    divide,
    load_photographs,
    pixel_statistics,
    schedule,
    torch_start,
)
from models.inputs import ImageInput
from models.options import option
from training.phases import Phase

PAPER_CROP = 224 / 256


@dataclass(frozen=True)
class TransferCNNOptions(PhotographOptions):
    """Options of TransferCNN."""

    SYNTHETIC_DEFAULTS = PhotographOptions.SYNTHETIC_DEFAULTS | {
        "backbone": "resnet18",
        "weights": "none",
        "image_size": 96,
        "epochs": 15,
    }
    REAL_DEFAULTS = {"weights": "imagenet"}
    PRESETS = {
        "paper": {
            "split_rule": "holdout",
            "epochs": 30,
            "batch_size": 16,
            "learning_rate": 1e-3,
            "schedule": "step",
            "augmentation": "paper",
            "cap": "table",
            "other_validation": 0.2,
            "backbone": "resnet18",
            "image_size": 224,
            "normalise": "paper",
            "pooling": "average",
            "batch_norm": "train",
            "dropout": 0.0,
            "fine_tune_epochs": 0,
        },
        "recommended": {
            "split_rule": "stratified",
            "epochs": 30,
            "batch_size": 32,
            "learning_rate": 1e-3,
            "schedule": "cosine",
            "augmentation": "strong",
            "views": 4,
            "patience": 20,
            "cap": "none",
            "other_validation": 0.1,
            "backbone": "mobilenet_v2_035",
            "image_size": 288,
            "normalise": "backbone",
            "pooling": "average+maximum",
            "batch_norm": "inference",
            "dropout": 0.5,
            "unfreeze": "0.25",
            "fine_tune_epochs": 8,
        },
    }

    backbone: str | None = option(
        "pretrained network: resnet18, or any of keras.applications (mobilenet_v2_035, "
        "mobilenet_v3_small, efficientnet_v2_b0, ...) or of keras-hub's image presets"
    )
    weights: str | None = option(
        "of the backbone: imagenet (downloaded), none (random: then all of it trains), or a file"
    )
    image_size: int | None = option("side of the picture in pixels", minimum=32, maximum=1024)
    normalise: str | None = option(
        "pixels: backbone, as it was trained; train, by the training pixels; paper, by the "
        "statistics of the authors' code",
        choices=("backbone", "train", "paper"),
    )
    pooling: str | None = option(
        "of the feature map: its average, or average and maximum side by side",
        choices=("average", "average+maximum"),
    )
    batch_norm: str | None = option(
        "of the frozen backbone: inference, or train, which goes on averaging as the paper did",
        choices=("inference", "train"),
    )
    views: int | None = option(
        "random views of each picture that are computed once and stored; without it every epoch "
        "draws new ones",
        minimum=1,
    )
    dropout: float | None = option("share of features left out", minimum=0.0, maximum=0.9)
    unfreeze: str | None = option(
        "what trains in a second phase: a share of the backbone's layers, counted from its end, or "
        "groups of them, separated by commas, whose names begin so"
    )
    fine_tune_epochs: int | None = option("epochs of the second phase", minimum=0)
    fine_tune_rate: float = option("learning rate of the second phase", 3e-4, above=0.0)


class TransferCNN(NNModel):
    """A pretrained backbone and a new last layer.

    Input `image`, (batch, side, side, 3), 0 to 255. Outputs: `features` (batch, width), the pooled
    feature map, also as `embedding`, and `probabilities` (batch, classes).
    """

    Options = TransferCNNOptions
    divide = staticmethod(divide)

    @property
    def inputs(self):
        side = self.options.image_size
        crop = PAPER_CROP if self.options.preset == "paper" else None
        return (ImageInput(side, side, 3, crop),)

    @cached_property
    def backbone(self) -> Backbone:
        """The pretrained network; its weights are found, or missed, before any data are read."""
        side, options = self.options.image_size, self.options
        if options.views and options.batch_norm == "train" and not self._is_random:
            raise InputError(
                "--views stores what a frozen backbone gives, and --batch-norm train would change "
                "it: take --batch-norm inference, or --preset paper, which stores nothing"
            )
        self.seed_weights()  # it is built before the data are read, and may be random
        backbone = build_backbone(options.backbone, options.weights, side, side)
        if options.unfreeze:
            _layers_to_train(backbone.network, options.unfreeze)
            if not options.fine_tune_epochs:
                raise InputError("--unfreeze needs --fine-tune-epochs: how long the groups train")
        elif options.fine_tune_epochs:
            raise InputError(
                "--fine-tune-epochs needs --unfreeze: a share of the layers, such as 0.25, or "
                f"groups of them, such as {', '.join(unfreezable(backbone)[-3:])}"
            )
        kept = "all of it trains" if self._is_random else "frozen"
        if options.unfreeze and not self._is_random:
            kept += f", then fine-tuned ({options.unfreeze})"
        self.notes.append(f"Backbone {backbone.name}, weights {backbone.weights}, {kept}.")
        return backbone

    def loadData(self):
        if not self.is_loaded:
            _ = self.backbone
        self.split_table(load_photographs(self.options))

    def createArchitecture(self):
        options, classes = self.options, len(self.table.labels)
        backbone = self.backbone.network
        self.seed_weights()  # whether the backbone was built just now or before the data were read

        image = keras.Input(self.inputs[0].fitted_shape, name="image")
        width = backbone.output.shape[-1]
        answer = layers.Dense(
            classes, activation="softmax", name="probabilities", **torch_start(width)
        )

        pooled = self._pool(backbone(self._pixels(image)))
        kept = (
            layers.Dropout(options.dropout, name="dropout")(pooled) if options.dropout else pooled
        )

        outputs = {"features": pooled, "embedding": pooled, "probabilities": answer(kept)}
        self.model = keras.Model({"image": image}, outputs, name="network")

    def prepareModel(self):
        options = self.options
        paper = options.preset == "paper"
        rate, epochs = options.learning_rate, options.epochs
        shared = {
            "batch_size": options.batch_size,
            "augment": augmentation(options, self.inputs[0]),
            "keep_best": "val_accuracy" if paper else "val_loss",
            "batch_norm": options.batch_norm,
        }
        optimizer = (
            keras.optimizers.SGD(rate, momentum=0.9) if paper else keras.optimizers.AdamW(rate)
        )
        if options.views and not self._is_random:
            self.notes.append(f"Head trained on {options.views} stored views of each picture.")
        head = Phase(
            name="head",
            epochs=epochs,
            optimizer=optimizer,
            trainable=None if self._is_random else ("probabilities",),
            callbacks=schedule(options, rate, epochs),
            views=None if self._is_random else options.views,
            **shared,
        )
        tuned = options.fine_tune_epochs and not self._is_random
        self.phases = (head, self._fine_tuning(shared)) if tuned else (head,)

    def _fine_tuning(self, shared: dict) -> Phase:
        options, backbone = self.options, self.backbone.network
        chosen = [layer.name for layer in _layers_to_train(backbone, options.unfreeze)]
        return Phase(
            name="fine-tuning",
            epochs=options.fine_tune_epochs,
            optimizer=keras.optimizers.AdamW(options.fine_tune_rate),
            trainable=("probabilities", *(f"{backbone.name}/{name}" for name in chosen)),
            callbacks=schedule(options, options.fine_tune_rate, options.fine_tune_epochs),
            **shared,
        )

    @property
    def _is_random(self) -> bool:
        """Whether the backbone knows nothing yet, so that there is nothing to freeze."""
        return self.options.weights == "none"

    def _pixels(self, image):
        if self.options.normalise == "backbone":
            return self.backbone.preprocess(image)
        mean, deviation = pixel_statistics(
            self.table, self.splits, self.inputs[0], self.options.normalise == "paper"
        )
        offset = [-one / other for one, other in zip(mean, deviation, strict=True)]
        scale = [1 / one for one in deviation]
        return layers.Rescaling(scale, offset, name="standard_pixels")(image)

    def _pool(self, feature_map):
        average = layers.GlobalAveragePooling2D(name="average")(feature_map)
        if self.options.pooling == "average":
            return average
        maximum = layers.GlobalMaxPooling2D(name="maximum")(feature_map)
        return layers.Concatenate(name="features")([average, maximum])


def _layers_to_train(network: keras.Model, what: str) -> list[keras.layers.Layer]:
    """Layers of a backbone: a share of those with weights, from the end, or groups by name.

    Raises:
        InputError: a share that is none, or a group that no layer belongs to.
    """
    try:
        share = float(what)
    except ValueError:
        return layers_of(network, [name.strip() for name in what.split(",") if name.strip()])
    if not 0 < share <= 1:
        raise InputError(f"--unfreeze {what}: a share above 0 and up to 1, or names of groups")
    weighted = [layer for layer in network.layers if layer.weights]
    return weighted[-max(1, round(share * len(weighted))) :]
