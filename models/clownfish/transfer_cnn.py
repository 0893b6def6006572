"""TransferCNN: species from photographs, by a frozen pretrained network (paper 003, section II)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import keras
from keras import layers

from datasets.errors import InputError
from models.backbones import Backbone
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
from models.pretrained import (
    FrozenBackboneOptions,
    backbone_note,
    backbone_phases,
    find_backbone,
    pool,
)
from models.whitening import CentroidDense, Whiten
from training.phases import mixing

PAPER_CROP = 224 / 256


@dataclass(frozen=True)
class TransferCNNOptions(PhotographOptions, FrozenBackboneOptions):
    """Options of TransferCNN."""

    SYNTHETIC_DEFAULTS = PhotographOptions.SYNTHETIC_DEFAULTS | {
        "backbone": "resnet18",
        "weights": "none",
        "image_size": 96,
        "epochs": 15,
    }
    MEASURED_WITH = 485
    WHITEN_UP_TO = 100  # training samples of a class; with more, whitening is of no use
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
            "four_views": False,
            "backbone": "resnet18",
            "image_size": 224,
            "normalise": "paper",
            "pooling": "average",
            "whiten": False,
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
            "stored_views": 4,
            "patience": 20,
            "cap": "none",
            "other_validation": 0.1,
            "four_views": True,
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

    normalise: str | None = option(
        "pixels: backbone, as it was trained; train, by the training pixels; paper, by the "
        "statistics of the authors' code",
        choices=("backbone", "train", "paper"),
    )
    batch_norm: str | None = option(
        "of the frozen backbone: inference, or train, which goes on averaging as the paper did",
        choices=("inference", "train"),
    )

    def _choose_preset(self):
        super()._choose_preset()
        if self.preset == "recommended":
            self._fill_in({"whiten": not self.trains_whole})


class TransferCNN(NNModel):
    """A pretrained backbone and a new last layer.

    Input `image`, (batch, side, side, 3), 0 to 255. Outputs: `features` (batch, width), the pooled
    feature map, `embedding`, the same or, with `whiten`, (batch, 400) whitened and of length 1, and
    `probabilities` (batch, classes). With `four_views` all three are means over the views, which
    makes a whitened embedding a little shorter.
    """

    Options = TransferCNNOptions
    divide, finished = staticmethod(divide), finished

    @property
    def inputs(self):
        side = self.options.image_size
        crop = PAPER_CROP if self.options.preset == "paper" else None
        return (ImageInput(side, side, 3, crop),)

    @cached_property
    def backbone(self) -> Backbone:
        """The pretrained network; its weights are found, or missed, before any data are read."""
        options = self.options
        if options.stored_views and options.batch_norm == "train" and not options.trains_whole:
            raise InputError(
                "--stored-views keeps what a frozen backbone gives, and --batch-norm train would "
                "change it: take --batch-norm inference, or --preset paper, which stores nothing"
            )
        self.seed_weights()  # it is built before the data are read, and may be random
        return find_backbone(options)

    def loadData(self):
        if not self.is_loaded:
            _ = self.backbone
        self.split_table(self.read_table(self.options.data, self.options.data_dir))
        if not self.is_loaded:
            self.notes.append(backbone_note(self.backbone, self.options))

    def createArchitecture(self):
        options, classes = self.options, len(self.table.labels)
        backbone = self.backbone.network
        self.seed_weights()  # whether the backbone was built just now or before the data were read

        image = keras.Input(self.inputs[0].fitted_shape, name="image")
        width = backbone.output.shape[-1]
        pooled = embedded = pool(backbone(self._pixels(image)), options.pooling)
        if options.whiten:
            seen = Whiten(dtype="float32", name="whiten")(pooled)
            embedded = layers.UnitNormalization(dtype="float32", name="embedding")(seen)
        kept = embedded
        if options.dropout:
            kept = layers.Dropout(options.dropout, name="dropout")(embedded)
        dense = CentroidDense if options.whiten else layers.Dense
        answer = dense(
            classes,
            activation="softmax",
            dtype="float32",
            name="probabilities",
            **torch_start(width),
        )

        outputs = {"features": pooled, "embedding": embedded, "probabilities": answer(kept)}
        self.model = keras.Model({"image": image}, outputs, name="network")

    def prepareModel(self):
        options = self.options
        paper = options.preset == "paper"
        rate = options.learning_rate
        if options.stored_views and not options.trains_whole:
            number = options.stored_views
            self.notes.append(f"Head trained on {number} stored views of each picture.")
        self.phases = backbone_phases(
            options,
            self.backbone.network,
            ("probabilities",),
            keras.optimizers.SGD(rate, momentum=0.9) if paper else keras.optimizers.AdamW(rate),
            {
                "batch_size": options.batch_size,
                "augment": augmentation(options, self.inputs[0]),
                "keep_best": "val_accuracy" if paper else "val_loss",
                "batch_norm": options.batch_norm,
                **mixing(options.mixup),
            },
        )

    def _pixels(self, image):
        if self.options.normalise == "backbone":
            return self.backbone.preprocess(image)
        paper = self.options.normalise == "paper"
        found = statistics(self.table, self.splits, self.inputs[0], paper)
        return standard_pixels(image, found, self.backbone.network)
