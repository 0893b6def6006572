"""FinalNN: NN1 and NN2 fused by their decisions or their features (paper 004, section 5.2.4)."""

from __future__ import annotations

from dataclasses import dataclass

import keras
from keras import layers

from datasets.base import Table
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
from models.emotion.gated_fusion import GatedFusion, Known, Present
from models.emotion.nn1 import NN1
from models.emotion.nn2 import NN2
from models.explanation.anatomy import JOINED, Anatomy
from models.inputs import ImageInput
from models.options import option
from training.phases import Phase

LEARNING_RATES = {"decisions": 5e-4, "features": 5e-5, "gated": 1e-3}  # where no preset says one
OUTPUTS = {"decisions": "probabilities", "features": "features", "gated": "features"}
HIDDEN = 0.2  # share of training faces without picture, and without landmarks
UNITS = 64  # of the gated fusion


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
            "combine": "gated",
            "stored_views": 4,
            "label_smoothing": 0.1,
            "averaged": False,
        },
    }

    combine: str | None = option(
        "what to fuse: the branches' probabilities (decisions), or their features, by dense layers "
        "(features) or by a gate that can also do without one of them (gated)",
        choices=tuple(LEARNING_RATES),
    )
    image_run: str | None = option("run of NN1 to fuse; the newest on the same data and split")
    landmark_run: str | None = option("run of NN2 to fuse; the newest on the same data and split")
    stored_views: int | None = option(
        "changed by chance, of each training face, whose features are computed once and stored; "
        "0: the face as it is, alone",
        minimum=0,
    )
    dropout: bool = option(
        "leave NN2's dropout active while the fusion trains, as the authors' code did", False
    )

    def __post_init__(self):
        super().__post_init__()
        if self.learning_rate is None:
            self._set("learning_rate", LEARNING_RATES[self.combine])


class FinalNN(NNModel):
    """A small head on two trained, frozen branches: NN1 for the picture, NN2 for the landmarks.

    Epochs, batch size and learning rate are those of the head. Branches that are not there yet are
    trained as their preset says.

    Inputs `image`, (batch, 48, 48, 1), 0 to 255, and `landmarks`, (batch, 68, 2), pixels. With
    `--combine gated` either may be missing: a picture of one colour, or NaN. Outputs: `features`,
    what the branches hand over side by side, `embedding`, the last layer before the answer, and
    `probabilities` (batch, classes).
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
        output = OUTPUTS[self.options.combine]
        image_branch = self._branch(NN1, self.options.image_run, output, "image_branch")
        landmark_branch = self._branch(NN2, self.options.landmark_run, output, "landmark_branch")
        self.seed_weights()  # whether the branches were loaded or trained just now

        image = keras.Input(self.inputs[0].fitted_shape, name="image")
        landmarks = keras.Input(self.inputs[1].fitted_shape, name="landmarks")
        probabilities = layers.Dense(
            len(self.table.labels), activation="softmax", dtype="float32", name="probabilities"
        )

        noisy, gated = self.options.dropout, self.options.combine == "gated"
        points = Known(dtype="float32", name="known")(landmarks) if gated else landmarks
        seen = image_branch({"image": image}, training=False)
        read = landmark_branch({"landmarks": points}, training=None if noisy else False)
        if noisy and self.options.combine == "features":
            read = layers.Dropout(0.2, name="dropout")(read)
        joined = layers.Concatenate(name=JOINED)([seen, read])
        fused = joined
        if self.options.combine == "features":
            fused = layers.Dense(64, name="fusion")(fused)
            fused = layers.Dense(16, name="fused_features")(fused)
        if gated:
            there = [
                Present(dtype="float32", name=f"has_{one.name}")(one) for one in (image, landmarks)
            ]
            fused = GatedFusion(seen.shape[-1], UNITS, HIDDEN, name="gated_fusion")(
                [joined, *there]
            )

        outputs = {"features": joined, "embedding": fused, "probabilities": probabilities(fused)}
        self.model = keras.Model({"image": image, "landmarks": landmarks}, outputs, name="network")

    def prepareModel(self):
        options = self.options
        trainable = {"fusion", "fused_features", "gated_fusion", "probabilities"}
        views = options.stored_views
        self.phases = (
            Phase(
                name="fusion",
                optimizer=keras.optimizers.Adam(
                    options.learning_rate, **averaging(options, len(self.splits.train))
                ),
                trainable=tuple(
                    layer.name for layer in self.model.layers if layer.name in trainable
                ),
                sample_weight=sample_weights(self.table, self.splits, options),
                augment=changed_faces(self.inputs[0]) if views else None,
                views=views,
                **how_faces_are_learnt(self),
            ),
        )

    def _branch(self, model_class, run, output, name) -> keras.Model:
        options = self.options
        told = {"class_weights": options.class_weights, "votes": options.votes}
        read = {} if model_class is NN1 else {"landmark_reading": options.landmark_reading}

        def fits(config: dict) -> bool:
            same = all(config.get(option) == value for option, value in read.items())
            return same and (run is not None or config["preset"] == options.preset)

        branch = trained_branch(self, model_class, run, fits, **told, **read)
        return frozen_part(branch, output, name)
