"""TripletClassifier: species from a picture, measurements and kinship (paper 000, section 4)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import keras
import numpy as np
from keras import layers

from datasets.base import Table
from datasets.errors import InputError
from models.backbones import Backbone
from models.base import NNModel
from models.explanation.anatomy import JOINED, Anatomy
from models.fixed_views import ByPicture, FixedViews, OneOfViews
from models.inputs import ImageInput, MeasurementInput, read_inputs
from models.layers import EncodeMeasurements
from models.options import option
from models.pixels import pixel_statistics, standard_pixels
from models.pretrained import (
    FrozenBackboneOptions,
    backbone_note,
    backbone_phases,
    find_backbone,
    middle_maps,
    pool,
)
from models.snails.specimens import augmentation, class_margins, load_specimens
from models.whitening import Whiten
from training.losses import SmoothedCrossEntropy
from training.objectives import TripletObjective
from training.sampling import Balanced, MinedTriplets

HEAD = ("image_features", "embedding", "probabilities")


@dataclass(frozen=True)
class TripletClassifierOptions(FrozenBackboneOptions):
    """Options of TripletClassifier."""

    REAL_DATA = "specimens"
    DEMONSTRATION = "snails"
    SYNTHETIC_DEFAULTS = {
        "backbone": "resnet18",
        "weights": "none",
        "image_size": 48,
        "epochs": 6,
        "measurements": "shell",
    }
    SYNTHETIC_RECOMMENDED = {
        "batch_size": 16,
        "learning_rate": 2e-3,
        "dropout": 0.2,
        "measurement_dropout": 0.0,
        "balance": False,
    }
    MEASURED_WITH = 530
    PRESETS = {
        "paper": {
            "split_rule": "stratified",
            "epochs": 100,
            "batch_size": 16,
            "learning_rate": 1e-3,
            "schedule": "cosine",
            "augmentation": "paper",
            "backbone": "mobilenet_v3_small",
            "image_size": 224,
            "keep_proportions": False,
            "normalise": "complete",
            "features": "last",
            "pooling": "average",
            "fixed_views": False,
            "whiten": False,
            "dropout": 0.0,
            "unfreeze": "all",
            "fine_tune_epochs": 0,
            "standardise": False,
            "measurement_dropout": 0.0,
            "triplet": "dynamic",
            "classified": "anchors",
            "label_smoothing": 0.0,
            "width": 32,
            "balance": True,
            "refit": False,
        },
        "recommended": {
            "split_rule": "stratified",
            "epochs": 80,
            "batch_size": 32,
            "learning_rate": 5e-3,
            "schedule": "cosine",
            "stored_views": 4,
            "backbone": "mobilenet_v2_035",
            "keep_proportions": True,
            "normalise": "backbone",
            "dropout": 0.5,
            "unfreeze": "none",
            "fine_tune_epochs": 0,
            "standardise": True,
            "measurement_dropout": 0.5,
            "triplet": "dynamic",
            "classified": "all",
            "label_smoothing": 0.1,
            "width": 128,
            "balance": True,
        },
    }
    RECOMMENDED_FROZEN = {
        "augmentation": "none",
        "image_size": 320,
        "features": "middle",
        "pooling": "average+deviation",
        "fixed_views": True,
        "whiten": True,
        "refit": True,
    }
    RECOMMENDED_WHOLE = {  # where all of the backbone trains, which nobody wants to wait for twice
        "augmentation": "strong",
        "image_size": 224,
        "features": "last",
        "pooling": "average+maximum",
        "fixed_views": False,
        "whiten": False,
        "refit": False,
    }

    label: str | None = option("column of the table that is learnt; its finest rank by default")
    measurements: str | None = option(
        "columns that go into the network, separated by commas: numbers, or text as categories; "
        "none: pictures only; by default all columns of numbers"
    )
    ranks: str | None = option("taxonomic columns, from coarse to fine, separated by commas")
    normalise: str | None = option(
        "pixels: backbone, as it was trained; train, by the training pixels; complete, by the "
        "pixels of all parts, as in the paper",
        choices=("backbone", "train", "complete"),
    )
    keep_proportions: bool | None = option(
        "pad a picture to a square, in the colour of its corners; otherwise it is stretched to one"
    )
    features: str | None = option(
        "feature maps of the backbone that are pooled: last, its last one; middle, the last of "
        "each of the three sizes before that, side by side: shapes and textures",
        choices=("last", "middle"),
    )
    fixed_views: bool | None = option(
        "see every picture as it is, turned by 10 degrees to either side, and smaller: an epoch "
        "learns from one of these, an answer comes from all"
    )
    augmentation: str | None = option(
        "paper: quarter turns and noise; strong: cut, turned a little and lit differently; turned: "
        "strong, and quarter turns; randaugment: cut, and two changes of many; none",
        choices=("paper", "strong", "turned", "randaugment", "none"),
    )
    noise: float = option(
        "of --augmentation paper: its standard deviation, in those of the pixels",
        0.05,
        minimum=0.0,
        maximum=1.0,
    )
    flip: bool = option("mirror half of the pictures; refused for specimens with handedness", False)
    chiral: bool = option("whether the specimens have a handedness, as shells do", True)
    standardise: bool | None = option(
        "give the measurements mean 0 and deviation 1; otherwise they stay as they are"
    )
    measurement_dropout: float | None = option(
        "share of the encoded measurements left out in training", minimum=0.0, maximum=0.9
    )
    triplet: str | None = option(
        "triplet loss beside the cross-entropy: none; fixed margin; dynamic margin, by kinship",
        choices=("none", "fixed", "dynamic"),
    )
    margin: float = option(
        "of the triplet loss, in cosine distance; the mean of dynamic ones", 0.2, above=0.0
    )
    distances: str | None = option(
        "class distances for the dynamic margin: a CSV matrix or a Newick tree; by default the "
        "taxonomic columns of the table"
    )
    negative_rule: str = option(
        "random negatives: schroff, farther than the positive and inside the margin; paper, all "
        "inside the margin",
        "schroff",
        choices=("schroff", "paper"),
    )
    classified: str | None = option(
        "which samples of a triplet have a cross-entropy", choices=("anchors", "all")
    )
    balance: bool | None = option("every class as often as the largest in training")
    label_smoothing: float | None = option(
        "share of every label that is spread over all classes", minimum=0.0, maximum=0.9
    )
    width: int | None = option("of the picture's features and of the embedding", minimum=2)

    def __post_init__(self):
        super().__post_init__()
        if self.flip and self.chiral:
            raise InputError(
                "--flip: a mirrored dextral shell is a sinistral one, and such snails exist, so "
                "mirroring would teach a wrong species: leave it out, or say --no-chiral if your "
                "specimens have no handedness"
            )
        if self.distances and self.triplet != "dynamic":
            raise InputError("--distances serves the dynamic margin: add --triplet dynamic")

    def _choose_preset(self):
        super()._choose_preset()
        if self.preset == "recommended":
            self._fill_in(self.RECOMMENDED_WHOLE if self.trains_whole else self.RECOMMENDED_FROZEN)


class TripletClassifier(NNModel):
    """A pretrained backbone and measurements in one embedding, trained by triplets and classes.

    Inputs `image`, (batch, side, side, 3), 0 to 255, and `measurements` (batch, columns), in their
    own units, NaN where missing. Outputs: `features` (batch, width + encoded measurements),
    picture and measurements side by side, `embedding` (batch, width) and `probabilities` (batch,
    classes). The width is 32 in the paper.
    """

    Options = TripletClassifierOptions

    @property
    def inputs(self):
        if self.is_loaded:
            return read_inputs(self.folder)
        side = self.options.image_size
        picture = ImageInput(side, side, 3, pad=bool(self.options.keep_proportions))
        return (picture, MeasurementInput(self.table.columns)) if self._measured else (picture,)

    @property
    def anatomy(self) -> Anatomy:
        return Anatomy(parts=("image", "measurements") if self._measured else ())

    @cached_property
    def pixels(self) -> tuple[list, list]:
        """Mean and standard deviation of each colour: of all parts, or of the training part."""
        images = self.table.modalities["image"]
        if self.options.normalise != "complete":
            images = images[self.splits.train]
        return pixel_statistics(images, self.inputs[0])

    @property
    def _measured(self) -> bool:
        return self.options.measurements != "none"

    @cached_property
    def backbone(self) -> Backbone:
        """The pretrained network; its weights are found, or missed, before any data are read."""
        self.seed_weights()  # it is built before the data are read, and may be random
        return find_backbone(self.options)

    @cached_property
    def maps(self) -> keras.Model:
        """The backbone, as far as its feature maps are wanted."""
        network = self.backbone.network
        return network if self.options.features == "last" else middle_maps(network)

    def read_table(self, name: str, data_dir, strict: bool = True) -> Table:
        columns = self.inputs[-1].columns if self.is_loaded and self._measured else None
        return load_specimens(self.options, name, data_dir, strict, columns)

    def loadData(self):
        if not self.is_loaded:
            _ = self.maps
        self.split_table(self.read_table(self.options.data, self.options.data_dir))
        if not self.is_loaded:
            self.notes.append(backbone_note(self.backbone, self.options))

    def createArchitecture(self):
        options, classes = self.options, len(self.table.labels)
        backbone = self.maps
        self.seed_weights()  # whether the backbone was built just now or before the data were read

        image = keras.Input(self.inputs[0].fitted_shape, name="image")
        image_features = layers.Dense(options.width, name="image_features")
        embedding = layers.Dense(options.width, dtype="float32", name="embedding")
        probabilities = layers.Dense(
            classes, activation="softmax", dtype="float32", name="probabilities"
        )

        seen = self._pooled(backbone, image)
        if options.dropout:
            seen = layers.Dropout(options.dropout, name="dropout")(seen)
        inputs, joined = {"image": image}, image_features(seen)
        if self._measured:
            inputs["measurements"] = keras.Input(self.inputs[1].fitted_shape, name="measurements")
            encoded = self._encode(inputs["measurements"])
            if options.measurement_dropout:
                encoded = layers.Dropout(options.measurement_dropout, name="kept")(encoded)
            joined = layers.Concatenate(name=JOINED)([joined, encoded])
        embedded = embedding(joined)

        outputs = {
            "features": joined,
            "embedding": embedded,
            "probabilities": probabilities(embedded),
        }
        self.model = keras.Model(inputs, outputs, name="network")

    def prepareModel(self):
        options = self.options
        sampling = Balanced() if options.balance else None
        objective = None
        if options.triplet != "none":
            margins, line = class_margins(self.table, options)
            self.notes.append(line)
            sampling = MinedTriplets(margins, options.negative_rule, options.balance)

            def objective():
                return TripletObjective(margins, options.classified, options.label_smoothing)

        paper = options.preset == "paper"
        kind = keras.optimizers.Adam if paper else keras.optimizers.AdamW
        self.phases = backbone_phases(
            options,
            self.maps,
            HEAD,
            kind(options.learning_rate),
            {
                "batch_size": options.batch_size,
                "augment": augmentation(options, self.inputs[0], lambda: self.pixels),
                # A tenth of a small data set tells epochs apart by chance: the last one is kept.
                "keep_best": "val_loss" if options.patience else None,
                "plain_view": True,
                "sampling": sampling,
                "loss": SmoothedCrossEntropy(options.label_smoothing),
            },
            objective,
        )

    def _pooled(self, backbone, image):
        """(batch, features) of a picture, or in training of one of its views."""
        options = self.options
        if options.fixed_views:
            image = FixedViews(dtype="float32", name="fixed_views")(image)
        maps = backbone(self._pixels(image))
        if isinstance(maps, list):
            pooled = [pool(one, options.pooling, f"{at}_") for at, one in enumerate(maps)]
            seen = layers.Concatenate(name="maps")(pooled)
        else:
            seen = pool(maps, options.pooling)
        if options.fixed_views:
            seen = ByPicture(name="by_picture")(seen)
        if options.whiten:
            seen = Whiten(dtype="float32", name="whiten")(seen)
        return OneOfViews(name="one_of_views")(seen) if options.fixed_views else seen

    def _pixels(self, image):
        if self.options.normalise == "backbone":
            return self.backbone.preprocess(image)
        return standard_pixels(image, self.pixels, self.backbone.network)

    def _encode(self, measurements):
        values = self.table.modalities["measurements"][self.splits.train]
        return EncodeMeasurements.learnt_from(
            np.asarray(values),
            [len(column.values) for column in self.table.columns],
            self.options.standardise,
            dtype="float32",
            name="encoded_measurements",
        )(measurements)
