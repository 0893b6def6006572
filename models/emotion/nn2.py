"""NN2: emotion from 68 facial landmarks (paper 004, sections 5.2.3 and 5.3.4)."""

from __future__ import annotations

from dataclasses import dataclass

import keras
import numpy as np
from keras import layers

from datasets.landmarks import IBUG_PARTS, PARTS, POINTS
from models.base import NNModel
from models.emotion.faces import FACE, FaceOptions, load_faces, sample_weights
from models.inputs import LandmarkInput
from models.options import option
from training.phases import Phase

WORST_SHARE = 0.1  # of the training faces, without weight by --landmark-quality filter


@dataclass(frozen=True)
class NN2Options(FaceOptions):
    """Options of NN2."""

    PRESETS = {
        "paper": {
            "split_rule": "shuffled",
            "epochs": 16,
            "batch_size": 32,
            "learning_rate": 1e-3,
            "class_weights": "all",
            "parts": "paper",
            "per_part": False,
            "normalise": False,
            "landmark_quality": "ignore",
        }
    }

    parts: str | None = option(
        "paper: point 60 counts to the mouth, as in listing 5; ibug: to the inner lips",
        choices=("paper", "ibug"),
    )
    per_part: bool | None = option(
        "four neurons see a whole part of the face instead of each point alone"
    )
    normalise: bool | None = option("divide the points by the side of the face: 0 to 1, not pixels")
    landmark_quality: str | None = option(
        "use of the quality score in the loss: ignore it, weight each face by it, or filter, which "
        "gives the worst tenth no weight",
        choices=("ignore", "weight", "filter"),
    )


class NN2(NNModel):
    """A dense network on the landmarks of a face, part by part.

    Input `landmarks`, (batch, 68, 2), x and y in pixels of a 48x48 face. Outputs: `features`
    (batch, 16), the sigmoid layer before the dropout, also as `embedding`, and `probabilities`
    (batch, classes).
    """

    Options = NN2Options
    inputs = (LandmarkInput(POINTS, FACE),)

    def loadData(self):
        scored = ("landmark_quality",) * (self.options.landmark_quality != "ignore")
        self.split_table(load_faces(self.options, ("landmarks", *scored)))

    def createArchitecture(self):
        parts = PARTS if self.options.parts == "paper" else IBUG_PARTS

        landmarks = keras.Input(self.inputs[0].fitted_shape, name="landmarks")
        features = layers.Dense(16, activation="sigmoid", name="features")
        probabilities = layers.Dense(
            len(self.table.labels), activation="softmax", dtype="float32", name="probabilities"
        )

        points = landmarks
        if self.options.normalise:
            points = layers.Rescaling(1 / FACE, dtype="float32", name="to_unit")(points)
        pieces = [self._face_part(points[:, where], name) for name, where in parts.items()]
        joined = layers.Concatenate(axis=1, name="joined")(pieces)
        hidden = layers.BatchNormalization(name="norm")(layers.Flatten(name="flat")(joined))
        hidden = layers.Dense(256, activation="sigmoid", name="combinations")(hidden)
        hidden = layers.Dense(512, activation="sigmoid", name="wide_combinations")(hidden)
        found = features(hidden)
        answer = probabilities(layers.Dropout(0.2, name="dropout")(found))

        outputs = {"features": found, "embedding": found, "probabilities": answer}
        self.model = keras.Model({"landmarks": landmarks}, outputs, name="network")

    def prepareModel(self):
        options = self.options
        plateau = keras.callbacks.ReduceLROnPlateau(monitor="val_loss", factor=0.2, patience=5)
        self.phases = (
            Phase(
                name="training",
                epochs=options.epochs,
                batch_size=options.batch_size,
                optimizer=keras.optimizers.Adam(options.learning_rate),
                sample_weight=sample_weights(self.table, self.splits, options)
                * self._quality_weights(),
                callbacks=(plateau,),
            ),
        )

    def _face_part(self, points, name):
        """Four neurons for one part of the face: (batch, n, 2) -> (batch, n or 1, 4)."""
        if self.options.per_part:
            points = layers.Reshape((1, -1), name=f"{name}_flat")(points)
        # 16 bits would hold a pixel to a quarter.
        return layers.Dense(4, activation="sigmoid", dtype="float32", name=name)(points)

    def _quality_weights(self) -> np.ndarray:
        """(training samples,) weight of each training face for the quality of its landmarks."""
        if self.options.landmark_quality == "ignore":
            return np.ones(len(self.splits.train))
        quality = self.table.quality["landmarks"][self.splits.train]
        if self.options.landmark_quality == "weight":
            return quality / quality.mean()
        return (quality >= np.quantile(quality, WORST_SHARE)).astype(float)
