"""MelDCNN: genre and artist group factors from mel spectrograms (paper 002, section 3.2)."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property, lru_cache

import keras
import numpy as np
from keras import layers

from datasets.artist_groups import ArtistGroups, fit_artist_groups
from datasets.base import Splits, Table
from datasets.errors import InputError
from datasets.spectrogram_excerpts import RandomExcerpt, middles
from datasets.spectrograms import BANDS, SECOND
from models.base import NNModel
from models.music.front_end import RelativeLevel, band_statistics
from models.music.mel_network import shared_block, task_features, width_like
from models.music.segments import BySegment, MeanOfSegments, SegmentAttention, Segments
from models.music.tracks import (
    TASKS,
    MusicOptions,
    divide,
    load_tracks,
    music_inputs,
    read_tracks,
    task_letters,
)
from models.options import option
from training.losses import SmoothedCrossEntropy
from training.phases import Phase, mixing
from training.schedules import schedule
from training.tasks import Task, turns

GLANCE = 3  # seconds of a validation track that are looked at after an epoch
SPARSE = "sparse_categorical_crossentropy"
READOUT = {"epochs": 40, "views": 8}


@dataclass(frozen=True)
class MelDCNNOptions(MusicOptions):
    """Options of MelDCNN."""

    SYNTHETIC_RECOMMENDED = {"epochs": 72}
    MEASURED_WITH = 2400
    PRESETS = {
        "paper": {
            "split_rule": "holdout",
            "epochs": 200,
            "batch_size": 64,
            "learning_rate": 1e-3,
            "schedule": "constant",
            "frames": SECOND,
            "level": "recorded",
            "masks": False,
            "warp": 0.0,
            "weight_decay": 1e-5,
        },
        "recommended": {
            "split_rule": "stratified",
            "epochs": 40,
            "batch_size": 32,
            "learning_rate": 2e-3,
            "schedule": "cosine",
            "frames": SECOND,
            "level": "relative",
            "masks": False,
            "warp": 0.0,
            "mixup": 0.2,
            "weight_decay": 1e-5,
        },
    }

    tasks: str = option(
        "what is learnt, in letters: g genre; artist group factors of m MFCC, d delta-MFCC, e "
        "whole songs, s sub-genres; several, such as gmd, share their first block",
        "g",
    )
    wide_as: int | None = option(
        "widen the network of one task until it has the parameters of so many", minimum=2, maximum=5
    )
    level: str | None = option(
        "of a segment: recorded, as it is; relative, below its loudest value, for recordings that "
        "are not equally loud",
        choices=("recorded", "relative"),
    )
    masks: bool | None = option("hide random bands and frames in training (SpecAugment)")
    warp: float | None = option(
        "largest share by which bands move up or down in training, as if voices and instruments "
        "were smaller or larger",
        minimum=0.0,
        maximum=0.5,
    )
    attention: int | None = option(
        "learn how much each segment of a recording counts, on stretches of so many "
        "half-overlapping segments; by default all count alike, and one is learnt at a time",
        minimum=2,
    )
    factors: int = option("artist group factors of each kind", 40, minimum=2)
    words: int = option("of the dictionary that sounds are counted in", 2048, minimum=2)
    hard_targets: bool = option("learn the strongest factor of an artist, not all of them", False)
    weight_decay: float | None = option("factor of the squared weights in the loss", minimum=0.0)

    def __post_init__(self):
        super().__post_init__()
        self._set("tasks", task_letters(self.tasks))
        if self.wide_as and len(self.tasks) > 1:
            raise InputError(f"--wide-as widens the network of one task; --tasks {self.tasks}")
        if self.patience and self.tasks != "g":
            raise InputError("--patience: the validation part judges genres alone: take --tasks g")


class MelDCNN(NNModel):
    """A convolutional network on segments of a second, one path for each task.

    Input `waveform`, fitted as log-mel spectrogram (batch, frames, 128) in dB, NaN past the end.
    Outputs: `features` (batch, 256 for each task), the means over a recording's segments, weighed
    where `--attention` says so, also as `embedding`; `probabilities` (batch, genres); while it
    trains, `factors_m` and the like.
    Without the task g, a last layer on the finished features tells the genres.
    """

    Options = MelDCNNOptions
    divide = staticmethod(divide)

    @property
    def inputs(self):
        return music_inputs(self)

    def read_table(self, name: str, data_dir, strict: bool = True) -> Table:
        return read_tracks(self, name, data_dir, strict)

    def loadData(self):
        load_tracks(self)

    @cached_property
    def groups(self) -> dict[str, ArtistGroups]:
        """Task -> the groups of the artists of the training part."""
        options, found = self.options, {}
        for task in options.tasks.replace("g", ""):
            chosen = options.seed, options.factors, options.words
            found[task] = _artist_groups(task, self._learnt_from, *chosen)
            self.notes += found[task].notes
        return found

    @cached_property
    def _learnt_from(self) -> _LearntFrom:
        return _LearntFrom(_content(self.table, self.splits), self.table, self.splits)

    def createArchitecture(self):
        options = self.options
        outputs_of = {"g": len(self.table.labels)}
        outputs_of |= {task: found.factors.shape[1] for task, found in self.groups.items()}
        width, decay = self._width(outputs_of), options.weight_decay
        self.seed_weights()  # whatever was drawn for the groups

        waveform = keras.Input((None, BANDS), name="waveform")
        segments, inside = Segments(options.frames, dtype="float32", name="segments")(waveform)
        seen = shared_block(self._standardised(segments), width, decay)
        features = {
            task: BySegment(name=f"{TASKS[task]}_features")(
                [task_features(seen, TASKS[task], width, decay), inside]
            )
            for task in options.tasks
        }
        if options.attention:
            features = {
                task: self._attended(task, found, inside) for task, found in features.items()
            }
        answers = {task: self._head(task, outputs_of[task])(features[task]) for task in features}
        joined = next(iter(features.values()))
        if len(features) > 1:
            joined = layers.Concatenate(name="joined")(list(features.values()))
        if "g" not in features:
            answers["g"] = layers.Dense(
                outputs_of["g"], activation="softmax", dtype="float32", name="probabilities"
            )(joined)

        outputs = {"features": joined}
        outputs |= {_output(task): answer for task, answer in answers.items()}
        if not options.attention:
            outputs = {
                name: MeanOfSegments(dtype="float32", name=f"mean_{name}")([values, inside])
                for name, values in outputs.items()
            }
        outputs["embedding"] = outputs["features"]
        self.model = keras.Model({"waveform": waveform}, outputs, name="network")

    def _attended(self, task: str, features, inside):
        """Features of the segments -> of the recording, each segment as it deserves."""
        name = f"{TASKS[task]}_attention"
        counted = SegmentAttention(dtype="float32", name=name)([features, inside])
        return MeanOfSegments(dtype="float32", name=f"{TASKS[task]}_attended")([features, counted])

    def _standardised(self, segments):
        """Segments in dB -> their bands with mean 0 and deviation 1 over the training part."""
        spectrograms = self.table.modalities["waveform"].spectrograms[self.splits.train]
        level = (
            RelativeLevel(dtype="float32", name="level")
            if self.options.level == "relative"
            else None
        )
        mean, variance = band_statistics(spectrograms, level=level)
        standard = layers.Normalization(
            mean=mean, variance=variance, dtype="float32", name="standard"
        )
        return standard(segments if level is None else level(segments))

    def _head(self, task: str, classes: int):
        """Features of the segments -> probabilities, by one dense layer."""
        decay = self.options.weight_decay
        dropout = layers.Dropout(0.5, name=f"{TASKS[task]}_dropout")
        dense = layers.Dense(
            classes,
            activation="softmax",
            dtype="float32",
            kernel_regularizer=keras.regularizers.L2(decay) if decay else None,
            name=_output(task),
        )
        return lambda features: dense(dropout(features))

    def _width(self, outputs_of: dict[str, int]) -> float:
        if not self.options.wide_as:
            return 1.0
        (task,) = self.options.tasks
        width = width_like(self.options.wide_as, outputs_of[task], self.options.factors)
        self.notes.append(f"Every layer {width:.3f} times as wide as published.")
        return width

    def prepareModel(self):
        options = self.options
        shared = {
            "batch_size": options.batch_size,
            "augment": self._excerpt,
            "glance": self._glance,
        }
        epochs = options.epochs * len(options.tasks)  # spec 002, 2c
        rates = schedule(options.schedule, options.learning_rate, epochs, options.patience)
        if options.tasks == "g":
            learning = {"optimizer": self._optimizer()}
        else:
            learning = {"tasks": tuple(self._task(task) for task in options.tasks)}
            drawn = turns(options.seed, epochs, len(options.tasks))
            self.notes += _turn_notes(learning["tasks"], drawn)
        keep = "val_loss" if options.patience else None
        learning |= mixing(options.mixup)
        learnt = Phase("training", epochs, callbacks=rates, keep_best=keep, **learning, **shared)
        self.phases = (learnt,)
        if "g" not in options.tasks:
            self.phases += (
                Phase(
                    "readout",
                    optimizer=keras.optimizers.Adam(1e-3),
                    trainable=("probabilities",),
                    **READOUT,
                    **shared,
                ),
            )

    def _task(self, task: str) -> Task:
        if task == "g":
            loss = SmoothedCrossEntropy() if self.options.mixup else SPARSE
            return Task("genre", "probabilities", None, loss, self._optimizer())
        artists = self.table.frame["artist"].iloc[self.splits.train]
        targets = self.groups[task].targets(artists.to_numpy())
        if self.options.hard_targets:
            targets = np.eye(targets.shape[1], dtype=np.float32)[targets.argmax(axis=1)]
        loss = "categorical_crossentropy"
        return Task(TASKS[task], _output(task), targets, loss, self._optimizer())

    @property
    def _excerpt(self) -> RandomExcerpt:
        """What is learnt from in an epoch."""
        options = self.options
        return RandomExcerpt(
            options.frames, bool(options.masks), options.warp, options.attention or 1
        )

    def _glance(self, arrays: dict) -> dict:
        most = max(GLANCE * SECOND, self._excerpt.length)  # what is learnt from at least
        return {name: middles(column, most) for name, column in arrays.items()}

    def _optimizer(self):
        return keras.optimizers.Adam(self.options.learning_rate, epsilon=1e-8)


@dataclass(frozen=True)
class _LearntFrom:
    """Tracks and their parts, the same as others if their content is."""

    content: tuple
    table: Table = field(compare=False)
    splits: Splits = field(compare=False)


def _content(table: Table, splits: Splits) -> tuple:
    """All of the tracks and their parts that the groups of their artists depend on."""
    artists = [tuple(table.frame[name]) for name in ("artist", "subgenres") if name in table.frame]
    return splits.fingerprint(table), table.modalities["waveform"].rate, *artists


@lru_cache(maxsize=len(TASKS))  # the rows of a recipe learn them from the same tracks
def _artist_groups(task: str, tracks: _LearntFrom, *chosen: int) -> ArtistGroups:
    return fit_artist_groups(task, tracks.table, tracks.splits.train, *chosen)


def _turn_notes(tasks: tuple[Task, ...], epochs: list[int]) -> list[str]:
    """How often each task was drawn, where there are several."""
    if len(tasks) == 1:
        return []
    told = [f"{task.name} {count}" for task, count in zip(tasks, epochs, strict=True)]
    never = [task.name for task, count in zip(tasks, epochs, strict=True) if not count]
    lines = [f"epochs drawn for each task: {', '.join(told)}"]
    if never:
        lines.append(f"warning: never drawn, so not learnt: {', '.join(never)}; give more --epochs")
    return lines


def _output(task: str) -> str:
    return "probabilities" if task == "g" else f"factors_{task}"
