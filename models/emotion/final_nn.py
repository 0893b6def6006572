"""FinalNN: NN1 and NN2 fused by their decisions or their features (paper 004, section 5.2.4)."""

from __future__ import annotations

from dataclasses import dataclass

import keras
from keras import layers

from datasets.base import Table
from datasets.errors import InputError
from models.base import NNModel
from models.branches import frozen_part, trained_branch
from models.emotion.faces import (
    FACE,
    LandmarkOptions,
    averaging,
    changed_faces,
    how_faces_are_learnt,
    read_faces,
    sample_weights,
)
from models.emotion.fusion import GatedFusion, Known, LogarithmicPool, Present
from models.emotion.nn1 import NN1
from models.emotion.nn2 import NN2
from models.explanation.anatomy import JOINED, Anatomy
from models.inputs import ImageInput
from models.options import option
from training.phases import Phase

# Where no preset says one.
LEARNING_RATES = {"decisions": 5e-4, "features": 5e-5, "gated": 1e-3, "pool": 2e-2}
# Presets speak of heads of many weights; a pool has two, which are to say how likely answers are.
POOL = {"learning_rate": LEARNING_RATES["pool"], "label_smoothing": 0.0, "stored_views": 0}
POOL_NOTE = (
    "The weights of the two answers were fitted on the validation part: both curves are of it, "
    "and its figures are a little too good."
)
EITHER = ("gated", "pool")  # what can do without one of the modalities
HIDDEN = 0.2  # share of training faces without picture, and without landmarks
UNITS = 64  # of the gated fusion
HEAD = {"fusion", "fused_features", "gated_fusion", "pool", "probabilities"}  # layers that train


@dataclass(frozen=True)
class FinalNNOptions(LandmarkOptions):
    """Options of FinalNN."""

    MEASURED_WITH = 25_838
    PRESETS = {
        "paper": {
            "split_rule": "shuffled",
            "epochs": 16,
            "batch_size": 32,
            "schedule": "constant",
            "class_weights": "all",
            "landmark_reading": "picture",
            "combine": "decisions",
            "label_smoothing": 0.0,
            "averaged": False,
        },
        "recommended": {
            "split_rule": "stratified",
            "epochs": 20,
            "batch_size": 64,
            "learning_rate": 1e-3,
            "schedule": "cosine",
            "class_weights": "none",
            "landmark_reading": "detected",
            "combine": "pool",
            "stored_views": 4,
            "label_smoothing": 0.1,
            "averaged": False,
        },
    }

    combine: str | None = option(
        "what to fuse: the branches' probabilities, by a dense layer (decisions) or as a product "
        "(pool), or their features, by dense layers (features) or by a gate (gated); pool and "
        "gated can also do without one of the two",
        choices=tuple(LEARNING_RATES),
    )
    image_run: str | None = option("run of NN1 to fuse; the newest on the same data and split")
    landmark_run: str | None = option("run of NN2 to fuse; the newest on the same data and split")
    stored_views: int | None = option(
        "changed by chance, of each training face, whose features are computed once and stored; "
        "0: the face as it is, alone, as for a pool",
        minimum=0,
    )
    dropout: bool = option(
        "leave NN2's dropout active while the fusion trains, as the authors' code did", False
    )

    def __post_init__(self):
        super().__post_init__()
        if self.learning_rate is None:
            self._set("learning_rate", LEARNING_RATES[self.combine])
        if self.combine == "pool":
            self._of_a_pool()

    def _of_a_pool(self):
        for name in POOL.keys() & self.preset_fields:
            self._set(name, POOL[name])
        if self.stored_views:
            raise InputError(
                f"--stored-views {self.stored_views}: a pool is fitted on the validation part, on "
                "faces as they are; leave it out, or take --combine gated"
            )


class FinalNN(NNModel):
    """A small head on two trained, frozen branches: NN1 for the picture, NN2 for the landmarks.

    Epochs, batch size and learning rate are those of the head. Branches that are not there yet are
    trained as their preset says.

    Inputs `image`, (batch, 48, 48, 1), 0 to 255, and `landmarks`, (batch, 68, 2), pixels. With
    `--combine gated` or `pool` either may be missing: a picture of one colour, or NaN. Outputs:
    `features`, what the branches hand over side by side, `embedding`, the last layer before the
    answer, and `probabilities` (batch, classes). The embedding of a pool has one number for each
    class: for faces that look alike, or another task, take a gated fusion or a branch.

    A pool is fitted on the validation part: what the branches have learnt by heart would say how
    good they are on faces that they know. Its figures of that part are a little too good by that.
    """

    Options = FinalNNOptions
    anatomy = Anatomy(parts=("image", "landmarks"))

    @property
    def inputs(self):
        return (ImageInput(FACE, FACE), self.options.landmark_input())

    def read_table(self, name: str, data_dir, strict: bool = True) -> Table:
        return read_faces(self, name, data_dir, strict)

    def loadData(self):
        self.split_table(self.read_table(self.options.data, self.options.data_dir))

    def createArchitecture(self):
        output = "features" if self.options.combine in ("features", "gated") else "probabilities"
        image_branch = self._branch(NN1, self.options.image_run, output, "image_branch")
        landmark_branch = self._branch(NN2, self.options.landmark_run, output, "landmark_branch")
        self.seed_weights()  # whether the branches were loaded or trained just now

        image = keras.Input(self.inputs[0].fitted_shape, name="image")
        landmarks = keras.Input(self.inputs[1].fitted_shape, name="landmarks")

        noisy = self.options.dropout
        points = landmarks
        if self.options.combine in EITHER:
            points = Known(dtype="float32", name="known")(landmarks)
        seen = image_branch({"image": image}, training=False)
        read = landmark_branch({"landmarks": points}, training=None if noisy else False)
        if noisy and self.options.combine == "features":
            read = layers.Dropout(0.2, name="dropout")(read)
        joined = layers.Concatenate(name=JOINED)([seen, read])
        given = {"image": image, "landmarks": landmarks}
        fused = self._fused(joined, seen.shape[-1], given)
        if self.options.combine == "pool":
            self.notes.append(POOL_NOTE)

        probabilities = self._probabilities(fused)
        outputs = {"features": joined, "embedding": fused, "probabilities": probabilities}
        self.model = keras.Model(given, outputs, name="network")

    def _fused(self, joined, width: int, given: dict):
        """What the branches hand over, fused.

        Args:
            joined: (batch, ...), side by side, the first `width` of them of the picture.
            width: see there.
            given: the inputs of the network, picture and landmarks, each of which may be missing.
        """
        combine = self.options.combine
        if combine == "decisions":
            return joined
        if combine == "features":
            joined = layers.Dense(64, name="fusion")(joined)
            return layers.Dense(16, name="fused_features")(joined)
        there = [Present(dtype="float32", name=f"has_{name}")(one) for name, one in given.items()]
        if combine == "gated":
            return GatedFusion(width, UNITS, HIDDEN, name="gated_fusion")([joined, *there])
        return LogarithmicPool(dtype="float32", name="pool")([joined, *there])

    def _probabilities(self, fused):
        if self.options.combine == "pool":
            return layers.Activation("softmax", dtype="float32", name="probabilities")(fused)
        dense = layers.Dense(
            len(self.table.labels), activation="softmax", dtype="float32", name="probabilities"
        )
        return dense(fused)

    def prepareModel(self):
        options = self.options
        pooled = options.combine == "pool"
        part = "validation" if pooled else "train"
        views = options.stored_views
        self.phases = (
            Phase(
                name="fusion",
                optimizer=keras.optimizers.Adam(
                    options.learning_rate, **averaging(options, len(self.splits[part]))
                ),
                trainable=tuple(layer.name for layer in self.model.layers if layer.name in HEAD),
                sample_weight=sample_weights(self.table, self.splits, options, part),
                augment=changed_faces(self.inputs[0]) if views else None,
                views=views,
                on_validation=pooled,
                **how_faces_are_learnt(self),
            ),
        )

    def _branch(self, model_class, run, output, name) -> keras.Model:
        options = self.options
        told = {"class_weights": options.class_weights, "votes": options.votes}
        read = {} if model_class is NN1 else {"landmark_reading": options.landmark_reading}
        # A run that is named may have been trained otherwise, but not see other landmarks.
        needed = read if run is not None else read | told | {"preset": options.preset}

        def fits(config: dict) -> bool:
            return all((config.get(key) or None) == (needed[key] or None) for key in needed)

        branch = trained_branch(self, model_class, run, fits, **told, **read)
        return frozen_part(branch, output, name)
