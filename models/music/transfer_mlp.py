"""TransferMLP: genre from the features of trained networks (paper 002, section 3.2.3)."""

from __future__ import annotations

from dataclasses import dataclass

import keras
from keras import layers

from datasets.base import Table
from datasets.errors import InputError
from datasets.spectrogram_excerpts import RandomExcerpt, middles
from datasets.spectrograms import BANDS, SECOND
from models.base import NNModel
from models.branches import frozen_part, trained_branch
from models.explanation.anatomy import JOINED, Anatomy
from models.music.mel_dcnn import MelDCNN
from models.music.segments import BySegment, MeanOfSegments, Segments
from models.music.tracks import (
    MusicOptions,
    allowed_tasks,
    divide,
    load_tracks,
    music_inputs,
    read_tracks,
    task_letters,
)
from models.options import option
from training.phases import Phase, mixing
from training.schedules import schedule


@dataclass(frozen=True)
class TransferMLPOptions(MusicOptions):
    """Options of TransferMLP."""

    MEASURED_WITH = 2400
    PRESETS = {
        "paper": {
            "split_rule": "holdout",
            "epochs": 50,
            "batch_size": 64,
            "learning_rate": 1e-3,
            "schedule": "constant",
            "frames": SECOND,
            "stored_views": 16,
        },
        "recommended": {
            "split_rule": "stratified",
            "epochs": 20,
            "batch_size": 64,
            "learning_rate": 1e-3,
            "schedule": "cosine",
            "frames": SECOND,
            "stored_views": 8,
            "mixup": 0.2,
        },
    }

    tasks: str | None = option(
        "whose features are used, in the letters of MelDCNN; by default all that the tracks allow"
    )
    sharing: str = option(
        "separate: one network for each task; shared: one network, whose first block is shared",
        "separate",
        choices=("separate", "shared"),
    )
    networks: str | None = option(
        "runs of MelDCNN to use, separated by commas; by default the newest on the same data and "
        "split, and new ones where there are none"
    )
    stored_views: int | None = option(
        "random segments of each recording whose features are computed once and stored", minimum=1
    )
    width: int = option("of the hidden layer", 1024, minimum=2)

    def __post_init__(self):
        super().__post_init__()
        if self.tasks is not None:
            self._set("tasks", task_letters(self.tasks))
            if self.networks is not None:
                raise InputError(
                    f"--tasks {self.tasks} and --networks {self.networks} are two ways to choose: "
                    "leave one of them out"
                )


class TransferMLP(NNModel):
    """One hidden layer on the features of one or several trained, frozen MelDCNN.

    Input `waveform`, fitted as log-mel spectrogram (batch, frames, 128) in dB, NaN past the end.
    Outputs, means over a recording's segments: `features` (batch, 256 for each task), those of the
    networks; `embedding` (batch, 1024), the hidden layer; `probabilities` (batch, genres).
    """

    Options = TransferMLPOptions
    divide = staticmethod(divide)

    @property
    def inputs(self):
        return music_inputs(self)

    @property
    def anatomy(self) -> Anatomy:
        names = [layer.name for layer in self.model.layers if isinstance(layer, keras.Model)]
        return Anatomy(parts=tuple(names) if len(names) > 1 else ())

    def read_table(self, name: str, data_dir, strict: bool = True) -> Table:
        return read_tracks(self, name, data_dir, strict)

    def loadData(self):
        load_tracks(self)

    def createArchitecture(self):
        options = self.options
        branches = self._branches()
        self.seed_weights()  # whether the branches were loaded or trained just now

        waveform = keras.Input((None, BANDS), name="waveform")
        segments, inside = Segments(options.frames, dtype="float32", name="segments")(waveform)
        seen = [branch({"waveform": segments}, training=False) for branch in branches]
        joined = layers.Concatenate(name=JOINED)(seen) if len(seen) > 1 else seen[0]
        features = BySegment(name="segment_features")([joined, inside])

        kept = layers.Dropout(0.5, name="features_dropout")(features)
        hidden = layers.Dense(options.width, activation="elu", name="hidden")(kept)
        kept = layers.Dropout(0.5, name="hidden_dropout")(hidden)
        answer = layers.Dense(
            len(self.table.labels), activation="softmax", dtype="float32", name="probabilities"
        )(kept)

        outputs = {"features": features, "embedding": hidden, "probabilities": answer}
        self.model = keras.Model(
            {"waveform": waveform},
            {
                name: MeanOfSegments(dtype="float32", name=f"mean_{name}")([values, inside])
                for name, values in outputs.items()
            },
            name="network",
        )

    def prepareModel(self):
        options = self.options
        epochs = options.epochs * options.stored_views
        self.phases = (
            Phase(
                name="transfer",
                epochs=epochs,
                batch_size=options.batch_size,
                optimizer=keras.optimizers.Adam(options.learning_rate),
                trainable=("hidden", "probabilities"),
                callbacks=schedule(
                    options.schedule, options.learning_rate, epochs, options.patience
                ),
                augment=RandomExcerpt(options.frames),
                views=options.stored_views,
                glance=lambda arrays: {"waveform": middles(arrays["waveform"], options.frames)},
                keep_best="val_loss" if options.patience else None,
                **mixing(options.mixup),
            ),
        )

    def _branches(self) -> list[keras.Model]:
        """The trained networks, from segments to their features."""
        options = self.options
        if options.networks:
            named = [name.strip() for name in options.networks.split(",") if name.strip()]
            wanted = [(run, None) for run in named]
        else:
            tasks = options.tasks or allowed_tasks(self.table)
            wanted = [(None, tasks)] if options.sharing == "shared" else [(None, t) for t in tasks]
        found = []
        for number, (run, tasks) in enumerate(wanted, 1):
            branch = self._branch(run, tasks)
            if branch.inputs[0].rate != self.inputs[0].rate:
                raise InputError(
                    f"{branch.folder} hears {branch.inputs[0].rate:,} samples a second and these "
                    f"recordings have {self.inputs[0].rate:,}: give --sample-rate "
                    f"{branch.inputs[0].rate}"
                )
            found.append(frozen_part(branch, "features", f"network_{number}"))
        return found

    def _branch(self, run: str | None, tasks: str | None) -> MelDCNN:
        options = self.options

        def fits(config: dict) -> bool:
            # One that was widened, or that attends, is used where it is named.
            special = config["wide_as"] or config.get("attention")
            chosen = tasks is None or (config["tasks"] == tasks and not special)
            return config["frames"] == options.frames and chosen

        told = {"tasks": tasks} if tasks else {}
        names = ("sample_rate", "frames")
        return trained_branch(
            self, MelDCNN, run, fits, **told, **{name: getattr(options, name) for name in names}
        )
