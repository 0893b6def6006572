"""FinalNN: NN1 and NN2 fused by their decisions or their features (paper 004, section 5.2.4)."""

from __future__ import annotations

from dataclasses import dataclass

import keras
from keras import layers

from datasets.landmarks import POINTS
from models.base import NNModel
from models.branches import frozen_part, trained_branch
from models.emotion.faces import FACE, FaceOptions, load_faces, sample_weights
from models.emotion.nn1 import NN1
from models.emotion.nn2 import NN2
from models.explanation.anatomy import JOINED, Anatomy
from models.inputs import ImageInput, LandmarkInput
from models.options import option
from training.phases import Phase

LEARNING_RATES = {"decisions": 5e-4, "features": 5e-5}


@dataclass(frozen=True)
class FinalNNOptions(FaceOptions):
    """Options of FinalNN."""

    PRESETS = {
        "paper": {
            "split_rule": "shuffled",
            "epochs": 16,
            "batch_size": 32,
            "class_weights": "all",
            "combine": "decisions",
        }
    }

    combine: str | None = option(
        "what to fuse: the branches' probabilities or their 16 features each",
        choices=tuple(LEARNING_RATES),
    )
    image_run: str | None = option("run of NN1 to fuse; the newest on the same data and split")
    landmark_run: str | None = option("run of NN2 to fuse; the newest on the same data and split")
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

    Inputs `image`, (batch, 48, 48, 1), 0 to 255, and `landmarks`, (batch, 68, 2), pixels. Outputs:
    `features` (batch, 14 or 32), what the branches hand over, `embedding` (batch, 14 or 16), the
    last layer before the answer, and `probabilities` (batch, classes).
    """

    Options = FinalNNOptions
    inputs = (ImageInput(FACE, FACE), LandmarkInput(POINTS, FACE))
    anatomy = Anatomy(parts=("image", "landmarks"))

    def loadData(self):
        self.split_table(load_faces(self.options, ("image", "landmarks")))

    def createArchitecture(self):
        output = {"decisions": "probabilities", "features": "features"}[self.options.combine]
        image_branch = self._branch(NN1, self.options.image_run, output, "image_branch")
        landmark_branch = self._branch(NN2, self.options.landmark_run, output, "landmark_branch")
        self.seed_weights()  # whether the branches were loaded or trained just now

        image = keras.Input(self.inputs[0].fitted_shape, name="image")
        landmarks = keras.Input(self.inputs[1].fitted_shape, name="landmarks")
        probabilities = layers.Dense(
            len(self.table.labels), activation="softmax", dtype="float32", name="probabilities"
        )

        noisy = self.options.dropout
        seen = image_branch({"image": image}, training=False)
        read = landmark_branch({"landmarks": landmarks}, training=None if noisy else False)
        if noisy and self.options.combine == "features":
            read = layers.Dropout(0.2, name="dropout")(read)
        joined = layers.Concatenate(name=JOINED)([seen, read])
        fused = joined
        if self.options.combine == "features":
            fused = layers.Dense(64, name="fusion")(fused)
            fused = layers.Dense(16, name="fused_features")(fused)

        outputs = {"features": joined, "embedding": fused, "probabilities": probabilities(fused)}
        self.model = keras.Model({"image": image, "landmarks": landmarks}, outputs, name="network")

    def prepareModel(self):
        options = self.options
        trainable = {"fusion", "fused_features", "probabilities"}
        self.phases = (
            Phase(
                name="fusion",
                epochs=options.epochs,
                batch_size=options.batch_size,
                optimizer=keras.optimizers.Adam(options.learning_rate),
                trainable=tuple(
                    layer.name for layer in self.model.layers if layer.name in trainable
                ),
                sample_weight=sample_weights(self.table, self.splits, options),
            ),
        )

    def _branch(self, model_class, run, output, name) -> keras.Model:
        weights = self.options.class_weights
        branch = trained_branch(self, model_class, run, lambda _: True, class_weights=weights)
        return frozen_part(branch, output, name)
