"""MultiViewClassifier: species by several views of a picture, rank by rank (paper 001)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import keras
import numpy as np
from keras import layers

from datasets import SYNTHETIC, load_table
from datasets.base import Table
from datasets.column_roles import Roles
from datasets.errors import InputError
from datasets.taxonomy import Taxonomy
from datasets.taxonomy_table import from_frame
from models.backbones import Backbone, build_backbone
from models.base import NNModel
from models.explanation.anatomy import Anatomy, View
from models.inputs import ImageInput, read_inputs
from models.options import mixup_option, option
from models.pretrained import BackboneOptions, pool
from models.species.multi_view import (
    WholeAndCentre,
    branch_names,
    known_cuts,
    multi_view,
    with_width,
)
from models.species.observations import augmentation, divide
from models.species.rank_phases import (
    EXPERIMENTS,
    Heads,
    auxiliary_features,
    first_depth,
    rank_phases,
)
from models.species.run_specificity import read_taxonomy
from models.whitening import Whiten
from training.sampling import HalfPasses


@dataclass(frozen=True)
class MultiViewOptions(BackboneOptions):
    """Options of MultiViewClassifier."""

    REAL_DATA = "observations"
    DEMONSTRATION = "organisms"
    SYNTHETIC_DEFAULTS = {
        "backbone": "mobilenet_v2_035",
        "weights": "none",
        "image_size": 64,
        "crop_init": "random",
    }
    SYNTHETIC_RECOMMENDED = {"epochs": 24, "learning_rate": 4e-3, "rank_epochs": 4}
    MEASURED_WITH = 2924
    PRESETS = {
        "paper": {
            "split_rule": "random",
            "views": "centre",
            "half_epochs": True,
            "batch_size": 16,
            "backbone": "inception_resnet_v2",
            "image_size": 299,
            "pooling": "average",
            "dropout": 0.2,
            "start_rank": "genus",
            "batch_norm": "train",
            "whiten": False,
            "crop_init": "random",
            "auxiliary": 0.4,
            "augmentation": "paper",
            "least_pictures": 5,
            "jpeg_only": True,
        },
        "recommended": {
            "split_rule": "random",
            "epochs": 12,
            "schedule": "cosine",
            "label_smoothing": 0.1,
            "backbone": "mobilenet_v2_035",
            "rank_epochs": 3,
            "crop_init": "pretrained",
            "auxiliary": 0.0,
            "least_pictures": 1,
            "jpeg_only": False,
        },
    }

    RECOMMENDED_PRETRAINED = {
        "batch_size": 32,
        "learning_rate": 3e-4,
        "views": "whole",
        "image_size": 320,
        "train_size": 224,
        "start_rank": "none",
        "batch_norm": "kept",
        "pooling": "average+deviation",
        "whiten": True,
        "dropout": 0.3,
        "augmentation": "randaugment",
    }
    # A last layer that begins at random spoils a network whose normalisations stay as they were:
    # on 2,924 fish of 480 species it had learnt nothing after five epochs.
    RECOMMENDED_UNWHITENED = {"batch_norm": "train", "learning_rate": 1e-3}
    RECOMMENDED_RANDOM = {
        "views": "centre",
        "image_size": 160,
        "batch_size": 16,
        "learning_rate": 1e-3,
        "batch_norm": "train",
        "pooling": "average",
        "whiten": False,
        "dropout": 0.2,
        "augmentation": "strong",
    }

    ranks: str | None = option("taxonomic columns, from coarse to fine, separated by commas")
    views: str | None = option(
        "whole: the picture alone; centre: and its central crop at twice the magnification; box: "
        "and what the table's box holds; pictures: the columns image, image_2, ...",
        choices=("whole", "centre", "box", "pictures"),
    )
    start_rank: str | None = option(
        "rank to be told apart first; each finer one then begins with what its parents have "
        "learnt; none: the finest rank alone is trained"
    )
    batch_norm: str | None = option(
        "of the network: train, by each batch; kept, as the pretrained network has it, for batches "
        "too small to tell",
        choices=("train", "kept"),
    )
    rank_epochs: int | None = option("epochs, of all, for each rank above the finest", minimum=1)
    half_epochs: bool | None = option("epochs are half passes over the data, as in the paper")
    experiment: str | None = option(
        "published learning rates, in place of --learning-rate and --schedule: of the one-view "
        "baseline, of two views, of two views with transfer, or of these as printed",
        choices=tuple(EXPERIMENTS),
    )
    mix: float = option(
        "share of the variance of a class's first weights that its parent gives; the rest is "
        "random",
        0.5,
        minimum=0.0,
        maximum=1.0,
    )
    crop_init: str | None = option(
        "first weights of the branches behind the first: random, as in the paper, or pretrained",
        choices=("random", "pretrained"),
    )
    auxiliary: float | None = option(
        "weight of the loss of an auxiliary classifier on the first branch; 0: there is none",
        minimum=0.0,
    )
    whiten: bool | None = option(
        "features by their spread within classes, as a linear discriminant analysis takes them, "
        "and a last layer that begins at the centroids of the classes"
    )
    width: float = option(
        "of every convolution, as a share of the published one, such as 0.25; needs --weights none",
        1.0,
        above=0.0,
        maximum=1.0,
    )
    branch_from: str | None = option("first layer of the branches, by the beginning of its name")
    merge_at: str | None = option("first layer behind the branches, likewise")
    train_size: int | None = option(
        "side of a view in training, where it is smaller than --image-size; the last layer then "
        "learns once more from pictures of the full size",
        minimum=32,
        maximum=1024,
    )
    label_smoothing: float | None = option(
        "share of every label that is spread over all classes", minimum=0.0, maximum=0.9
    )
    long_tail: str = option(
        "for rare species: none; adjusted, answers as if all were equally frequent, by "
        "logits that are adjusted in training",
        "none",
        choices=("none", "adjusted"),
    )
    augmentation: str | None = option(
        "paper: crops of a twentieth of the area or more, mirrored and recoloured; strong: larger "
        "crops, turned a little too; randaugment: those crops, mirrored, and two changes of many; "
        "none",
        choices=("paper", "strong", "randaugment", "none"),
    )
    mixup: float | None = mixup_option()
    least_pictures: int | None = option("species with fewer pictures are left out", minimum=1)
    jpeg_only: bool | None = option("leave out pictures that are no JPEG files")

    def _choose_preset(self):
        super()._choose_preset()
        if self.preset == "recommended":
            known = self.weights != "none"
            if known and self.whiten is False:
                self._fill_in(self.RECOMMENDED_UNWHITENED)
            self._fill_in(self.RECOMMENDED_PRETRAINED if known else self.RECOMMENDED_RANDOM)

    def __post_init__(self):
        super().__post_init__()
        if self.data in SYNTHETIC and self.views in ("box", "pictures"):
            raise InputError(
                f"--views {self.views}: the organisms are drawn once each, without a box: take "
                "whole or centre, or your own data"
            )
        if self.batch_norm == "kept" and self.weights == "none":
            raise InputError(
                "--batch-norm kept: a network with random weights has averages of nothing: take "
                "--batch-norm train, or give --weights"
            )
        if self.whiten and self.weights == "none":
            raise InputError(
                "--whiten: features of a network with random weights tell nothing of the classes: "
                "leave it out, or give --weights"
            )
        if self.train_size and self.augmentation == "none":
            raise InputError(
                "--train-size is the size of the augmented pictures: leave --augmentation none out"
            )
        if self.train_size and self.auxiliary:
            raise InputError(
                "--train-size: the auxiliary classifier sees a map of one size: add --auxiliary 0"
            )
        if self.width < 1 and self.weights != "none":
            raise InputError(
                f"--width {self.width:g}: weights {self.weights} fit the published width only: "
                "take --weights none"
            )


class MultiViewClassifier(NNModel):
    """A backbone in branches, one for each view, and a final layer rank by rank.

    Inputs `image`, (batch, side, side, 3), 0 to 255, twice as large where its centre is a view of
    its own, and `image_box` or `image_2`, ... for further views. Outputs: `features` (batch,
    width), the pooled feature map, `embedding`, the same or, with `whiten`, (batch, 400) whitened
    and of length 1, and `probabilities` (batch, species).
    """

    Options = MultiViewOptions
    divide = staticmethod(divide)

    @property
    def inputs(self):
        if self.is_loaded:
            return read_inputs(self.folder)
        return self._fitted_to(self.options.image_size)

    def _fitted_to(self, side: int) -> tuple[ImageInput, ...]:
        """The pictures of a sample, each view of them `side` pixels wide."""
        large = 2 * side if self.options.views == "centre" else side
        return tuple(ImageInput(large, large, 3, name=name) for name in self._pictures())

    @property
    def anatomy(self) -> Anatomy:
        centre = self.options.views == "centre"
        names = ["image", "image"] if centre else [record.name for record in self.inputs]
        shares = [1.0, 0.5] if centre else [1.0] * len(names)
        if len(names) == 1:
            return Anatomy()
        branches = branch_names(len(names))
        return Anatomy(views=tuple(map(View, branches, names, shares)))

    def _pictures(self) -> tuple[str, ...]:
        """Names of the pictures of a sample, each an input."""
        views = self.options.views
        if views == "pictures" and "table" in vars(self):
            return tuple(name for name in self.table.modalities if name != "image_box")
        further = {"box": ("image_box",), "pictures": ("image_2",)}
        return ("image", *further.get(views, ()))

    @property
    def _train_size(self) -> int:
        side = self.options.image_size
        return min(self.options.train_size or side, side)

    @property
    def _any_size(self) -> bool:
        """Whether it takes pictures of any size, because it trains on smaller ones."""
        return self._train_size != self.options.image_size

    @cached_property
    def backbone(self) -> Backbone:
        """The pretrained network; its weights are found, or missed, before any data are read."""
        options = self.options
        self.seed_weights()  # it is built before the data are read, and may be random
        side = None if self._any_size else options.image_size
        found = build_backbone(options.backbone, options.weights, side, side)
        self.notes.append(f"Backbone {found.name}, weights {found.weights}, all of it trains.")
        return replace(found, network=with_width(found.network, options.width))

    @cached_property
    def taxonomy(self) -> Taxonomy:
        """The tree above the classes, its leaves in their order."""
        if self.is_loaded:
            return read_taxonomy(self.folder)
        table = self.table
        return from_frame(table.frame, table.ranks, table.labels, where=table.name).taxonomy

    @property
    def _heads(self) -> Heads:
        first = first_depth(self.taxonomy, self.options.start_rank)
        return Heads(self.taxonomy, first, bool(self.options.auxiliary), bool(self.options.whiten))

    def read_table(self, name: str, data_dir, strict: bool = True) -> Table:
        names = tuple(record.name for record in self.inputs)
        if self.options.views == "pictures" and not self.is_loaded:
            names = None  # all that the table has
        if name != self.Options.REAL_DATA:
            return load_table(name, data_dir, names, strict)
        return load_table(name, data_dir, names, strict, roles=Roles(ranks=self.options.ranks))

    def loadData(self):
        if not self.is_loaded:
            _ = self.backbone
        table = self.read_table(self.options.data, self.options.data_dir)
        if self.options.views == "pictures" and "image_2" not in table.modalities:
            raise InputError(
                f"--views pictures: {table.name} has one picture per row: add the column image_2, "
                "or take --views centre"
            )
        self.split_table(table)

    def createArchitecture(self):
        options, heads, network = self.options, self._heads, self._network()
        self.seed_weights()  # whether the backbone was built just now or before the data were read

        inputs = {
            record.name: keras.Input(
                (None, None, 3) if self._any_size else record.fitted_shape, name=record.name
            )
            for record in self.inputs
        }
        seen = list(inputs.values())
        if options.views == "centre":
            seen = WholeAndCentre(dtype="float32", name="views")(seen[0])

        maps = network([self.backbone.preprocess(view) for view in seen])
        pooled = pool(maps["feature_map"], options.pooling)
        embedded = pooled
        if options.whiten:
            seen = Whiten(dtype="float32", name="whiten")(pooled)
            embedded = layers.UnitNormalization(dtype="float32", name="embedding")(seen)
        kept = layers.Dropout(options.dropout, name="dropout")(embedded)
        aside = auxiliary_features(maps["whole"], options.width) if heads.auxiliary else None

        outputs = {"features": pooled, "embedding": embedded, **heads.outputs(kept, aside)}
        self.model = keras.Model(inputs, outputs, name="network")

    def _network(self) -> keras.Model:
        """The backbone with a branch for each view."""
        options, network = self.options, self.backbone.network
        cuts = options.branch_from, options.merge_at
        if None in cuts:
            cuts = tuple(
                told or known for told, known in zip(cuts, known_cuts(network.name), strict=True)
            )
        views = 2 if options.views == "centre" else len(self.inputs)
        merge = "mean" if options.crop_init == "pretrained" else "random"
        self.seed_weights()
        return multi_view(network, views, *cuts, options.crop_init, merge)

    def prepareModel(self):
        options, heads = self.options, self._heads
        if options.preset == "paper":
            as_published(self.model)
        self.phases = rank_phases(
            options,
            heads,
            np.bincount(self.table.targets[self.splits.train], minlength=len(self.labels)),
            {
                "batch_size": options.batch_size,
                "augment": augmentation(options, self._fitted_to(self._train_size)[0]),
                "sampling": HalfPasses() if options.half_epochs else None,
                "keep_best": "val_loss" if options.patience else None,
                "batch_norm": "kept" if options.batch_norm == "kept" else "inference",
            },
        )
        ranks = ", then ".join(phase.name for phase in self.phases)
        self.notes.append(f"Trained by {ranks}; views: {options.views}.")


def as_published(network: keras.Model) -> None:
    """Batch normalisation and L2 regularisation as in paper 001, section 4.

    Its 4e-5 weighs half the sum of squares, as in TF-Slim.
    """
    for layer in network._flatten_layers():
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum, layer.epsilon = 0.9997, 1e-3
        kernel = getattr(layer, "kernel", None)
        if kernel is not None:
            kernel.regularizer = keras.regularizers.L2(4e-5 / 2)
