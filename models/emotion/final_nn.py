"""FinalNN: NN1 and NN2 fused by their decisions or their features (paper 004, section 5.2.4)."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

import keras
from keras import layers

from datasets.errors import InputError
from datasets.landmarks import POINTS
from models.base import NNModel
from models.emotion.faces import FACE, FaceOptions, load_faces, sample_weights
from models.emotion.nn1 import NN1
from models.emotion.nn2 import NN2
from models.inputs import ImageInput, LandmarkInput
from models.options import option
from models.runs import draft_folder, find_run, read_json, runs_in
from training.phases import Phase

LEARNING_RATES = {"decisions": 5e-4, "features": 5e-5}

log = logging.getLogger("menagerie")


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
            len(self.table.labels), activation="softmax", name="probabilities"
        )

        noisy = self.options.dropout
        seen = image_branch({"image": image}, training=False)
        read = landmark_branch({"landmarks": landmarks}, training=None if noisy else False)
        if noisy and self.options.combine == "features":
            read = layers.Dropout(0.2, name="dropout")(read)
        joined = layers.Concatenate(name="joined")([seen, read])
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
        """One output of a trained branch, as a single layer that does not train."""
        branch = self._trained(model_class, run)
        part = keras.Model(branch.model.input, branch.model.output[output], name=name)
        part.trainable = False
        return part

    def _trained(self, model_class, run):
        """The branch to use: the run asked for, the newest that fits, or a new one."""
        folder = find_run(run, self.out) if run else self._newest(model_class)
        if folder is None:
            return self._train_branch(model_class)
        branch = model_class.loadModel(folder)
        self._check_data(folder)
        command = read_json(folder, "metadata.json")["command"]
        self._tell(f"{model_class.name()}: uses the run {folder}, made by {command}")
        return branch

    def _newest(self, model_class) -> Path | None:
        """The newest run on the same samples, split in the same way."""
        wanted = self.splits.fingerprint(self.table)
        fitting = [
            folder
            for folder in runs_in(self.out / model_class.name())
            if read_json(folder, "metadata.json")["split"] == wanted
        ]
        return fitting[-1] if fitting else None

    def _check_data(self, folder):
        if read_json(folder, "metadata.json")["split"] != self.splits.fingerprint(self.table):
            raise InputError(
                f"{folder} was trained on other data or another split: its training faces may be "
                "test faces here; name a run with the same --data-dir, --split-rule and --seed"
            )

    def _train_branch(self, model_class):
        names = (
            "data", "data_dir", "split_rule", "folds", "fold", "group", "seed", "preset",
            "class_weights",
        )  # fmt: skip
        shared = {name: getattr(self.options, name) for name in names}
        branch = model_class(model_class.Options(**shared), self.out, self.run)
        self._tell(f"{model_class.name()}: no run on this data and split yet, trained a new one")
        branch.use_data(self.table, self.splits)
        branch.createArchitecture()
        branch.prepareModel()
        branch.train(resume=draft_folder(self.out, branch.name(), branch.run).exists())
        log.info("%s: saved as %s", model_class.name(), branch.save())
        return branch

    def _tell(self, line):
        log.info(line)
        self.notes.append(line)
