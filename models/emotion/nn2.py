"""NN2: emotion from 68 facial landmarks (paper 004, sections 5.2.3 and 5.3.4)."""

from __future__ import annotations

from dataclasses import dataclass

import keras
import numpy as np
from keras import layers

from datasets.base import Table
from datasets.landmarks import IBUG_PARTS, PARTS
from models.base import NNModel
from models.emotion.alignment import AlignLandmarks, LandmarkGeometry
from models.emotion.faces import (
    FACE,
    LandmarkOptions,
    averaging,
    changed_landmarks,
    how_faces_are_learnt,
    read_faces,
    sample_weights,
)
from models.emotion.mirror import MeanOfMirror, WithMirroredPoints
from models.fused_batch_norm import MOMENTUM
from models.options import option
from training.phases import Phase

WIDTHS, DROPOUT = (256, 128), 0.2  # of the hidden layers on aligned landmarks
SMALLEST_VARIANCE = 1e-6  # of what is told of an aligned face, whose size is 1
WORST_SHARE = 0.1  # of the training faces, without weight by --landmark-quality filter


@dataclass(frozen=True)
class NN2Options(LandmarkOptions):
    """Options of NN2."""

    MEASURED_WITH = 25_838
    PRESETS = {
        "paper": {
            "split_rule": "shuffled",
            "epochs": 16,
            "batch_size": 32,
            "learning_rate": 1e-3,
            "schedule": "plateau",
            "class_weights": "all",
            "network": "paper",
            "parts": "paper",
            "per_part": False,
            "normalise": False,
            "landmark_reading": "picture",
            "landmark_quality": "ignore",
            "augmentation": "none",
            "label_smoothing": 0.0,
            "averaged": False,
            "mirror": False,
        },
        "recommended": {
            "split_rule": "stratified",
            "epochs": 40,
            "batch_size": 64,
            "learning_rate": 1e-3,
            "schedule": "cosine",
            "class_weights": "none",
            "network": "aligned",
            "parts": "ibug",
            "per_part": False,
            "normalise": False,
            "landmark_reading": "detected",
            "landmark_quality": "ignore",
            "augmentation": "faces",
            "label_smoothing": 0.1,
            "averaged": True,
            "mirror": True,
        },
    }

    network: str | None = option(
        "paper: the points in pixels, part by part; aligned: moved, scaled and turned onto the "
        "mean face, with all distances and angles",
        choices=("paper", "aligned"),
    )
    parts: str | None = option(
        "paper: point 60 counts to the mouth, as in listing 5; ibug: to the inner lips",
        choices=("paper", "ibug"),
    )
    per_part: bool | None = option(
        "four neurons see a whole part of the face instead of each point alone"
    )
    normalise: bool | None = option("divide the points by the side of the face: 0 to 1, not pixels")
    augmentation: str | None = option(
        "of training faces: faces, which mirrors them and moves each point a little; none",
        choices=("faces", "none"),
    )
    mirror: bool | None = option("answer by a face and its mirror image")
    landmark_quality: str | None = option(
        "use of the quality score in the loss: ignore it, weight each face by it, or filter, which "
        "gives the worst tenth no weight",
        choices=("ignore", "weight", "filter"),
    )


class NN2(NNModel):
    """A dense network on the landmarks of a face.

    Input `landmarks`, (batch, 68, 2), x and y in pixels of a 48x48 face. Outputs: `features`, of
    the paper's network (batch, 16), the sigmoid layer before the dropout, of the aligned one
    (batch, 128), its last hidden layer; also as `embedding`; and `probabilities` (batch, classes).
    """

    Options = NN2Options

    @property
    def inputs(self):
        return (self.options.landmark_input(),)

    def read_table(self, name: str, data_dir, strict: bool = True) -> Table:
        scored = ("landmark_quality",) * (self.options.landmark_quality != "ignore")
        return read_faces(self, name, data_dir, strict, scored)

    def loadData(self):
        self.split_table(self.read_table(self.options.data, self.options.data_dir))

    def createArchitecture(self):
        options = self.options
        body = self._paper_body if options.network == "paper" else self._aligned_body
        probabilities = layers.Dense(
            len(self.table.labels), activation="softmax", dtype="float32", name="probabilities"
        )

        landmarks = keras.Input(self.inputs[0].fitted_shape, name="landmarks")
        points = landmarks
        if options.mirror:
            points = WithMirroredPoints(FACE, dtype="float32", name="with_mirror")(points)
        found = body(points)
        if options.mirror:
            found = MeanOfMirror(name="mean_of_mirror")(found)
        kept = layers.Dropout(0.2, name="dropout")(found)

        outputs = {"features": found, "embedding": found, "probabilities": probabilities(kept)}
        self.model = keras.Model({"landmarks": landmarks}, outputs, name="network")

    def prepareModel(self):
        options = self.options
        averaged = averaging(options, len(self.splits.train))
        adam = keras.optimizers.Adam if options.network == "paper" else keras.optimizers.AdamW
        self.phases = (
            Phase(
                name="training",
                optimizer=adam(options.learning_rate, **averaged),
                sample_weight=sample_weights(self.table, self.splits, options)
                * self._quality_weights(),
                augment=changed_landmarks() if options.augmentation == "faces" else None,
                **how_faces_are_learnt(self),
            ),
        )

    def _paper_body(self, points):
        """Listing 5: four neurons for each point, or part, then three dense layers."""
        if self.options.normalise:
            points = layers.Rescaling(1 / FACE, dtype="float32", name="to_unit")(points)
        pieces = [self._face_part(points[:, where], name) for name, where in self._parts().items()]
        joined = layers.Concatenate(axis=1, name="joined")(pieces)
        hidden = layers.BatchNormalization(name="norm")(layers.Flatten(name="flat")(joined))
        hidden = layers.Dense(256, activation="sigmoid", name="combinations")(hidden)
        hidden = layers.Dense(512, activation="sigmoid", name="wide_combinations")(hidden)
        return layers.Dense(16, activation="sigmoid", name="features")(hidden)

    def _aligned_body(self, points):
        """Coordinates, distances and angles of the aligned face, standardised; two dense layers."""
        seen = self.table.modalities["landmarks"][self.splits.train]
        chains = [(where.start, where.stop) for where in self._parts().values()]
        align = AlignLandmarks.learnt_from(seen, dtype="float32", name="aligned")
        shape = layers.Flatten(dtype="float32", name="coordinates")
        geometry = LandmarkGeometry(chains, dtype="float32", name="geometry")
        join = layers.Concatenate(dtype="float32", name="joined")

        def described(points):
            moved = align(points)
            return join([shape(moved), geometry(moved)])

        found = keras.ops.convert_to_numpy(described(keras.ops.convert_to_tensor(seen)))
        spread = np.maximum(found.var(axis=0), SMALLEST_VARIANCE)
        standard = layers.Normalization(
            mean=found.mean(axis=0), variance=spread, dtype="float32", name="standard"
        )
        hidden = standard(described(points))
        for number, width in enumerate(WIDTHS, 1):
            hidden = layers.Dropout(DROPOUT, name=f"dropout_{number}")(hidden)
            hidden = layers.Dense(width, use_bias=False, name=f"dense_{number}")(hidden)
            hidden = layers.BatchNormalization(momentum=MOMENTUM, name=f"norm_{number}")(hidden)
            name = "features" if number == len(WIDTHS) else f"relu_{number}"
            hidden = layers.ReLU(name=name)(hidden)
        return hidden

    def _parts(self) -> dict[str, slice]:
        return PARTS if self.options.parts == "paper" else IBUG_PARTS

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
