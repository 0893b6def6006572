"""What goes into a model: one record per modality.

The raw inputs of a saved run, their preprocessing inside the graph and the lines of the model card
all derive from these records, so they cannot drift apart.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from pathlib import Path

import keras
import numpy as np

from datasets.columns import Column
from datasets.images import Fit, fit_images
from datasets.own_data import LANDMARK_READINGS
from datasets.picture_files import FittedFiles, PictureFiles
from datasets.pictures import Pictures
from datasets.recordings import Recordings
from datasets.spectrograms import BANDS, Spectrograms
from models.layers import FitImage, MelSpectrogram, ScaleLandmarks
from models.runs import read_json


@dataclass(frozen=True)
class ImageInput(Fit):
    """A picture: raw uint8 (batch, any height, any width, 1 or 3), fitted as `Fit` says.

    Attributes:
        name: the modality, `image`, or `image_2`, `image_box` and the like for further pictures.
    """

    name: str = "image"

    @property
    def fitted_shape(self) -> tuple[int, ...]:
        return self.shape

    def raw_tensor(self):
        return keras.Input((None, None, None), dtype="uint8", name=self.name)

    def fit(self, raw: dict):
        how = {field.name: getattr(self, field.name) for field in fields(Fit)}
        return FitImage(**how, dtype="float32", name=f"fit_{self.name}")(raw[self.name])

    def fitted(self, column) -> np.ndarray | FittedFiles:
        """(samples, *fitted_shape) of a table's column: pictures, or such that fit already.

        Pictures that stay on disk are fitted while they are read.
        """
        if isinstance(column, PictureFiles):
            return column.fitted(self)
        return fit_images(column, self) if isinstance(column, Pictures) else column

    def examples(self, column) -> np.ndarray:
        """Raw pictures of one size that are fitted to what those of the column are fitted to."""
        if isinstance(column, (Pictures, PictureFiles)):
            column = fit_images(column, self.raw())
        return np.clip(np.rint(column), 0, 255).astype(np.uint8)

    def describe(self) -> str:
        colour = "made grey" if self.channels == 1 else "in colour"
        cut = "" if self.crop is None else f"its central square ({self.crop:.3g} of a side) "
        cut += "padded to its proportions and " if self.pad else ""
        return (
            "uint8, (batch, height, width, 1 or 3), 0 to 255, any size; "
            f"{colour} and {cut}resized to {self.height}x{self.width} in the graph"
        )


@dataclass(frozen=True)
class LandmarkInput:
    """Points of a face in pixels: raw float32 (batch, points, 2), x to the right and y down.

    Beside an `image` input the pixels are those of that image. Alone they are those of a square
    face crop with a side of `frame` pixels.

    Attributes:
        reading: how they are read from pictures, one of `own_data.LANDMARK_READINGS`.
    """

    points: int
    frame: int
    reading: str = "picture"

    name = "landmarks"

    @property
    def fitted_shape(self) -> tuple[int, ...]:
        return (self.points, 2)

    def raw_tensor(self):
        return keras.Input((self.points, 2), dtype="float32", name=self.name)

    def fit(self, raw: dict):
        if "image" not in raw:
            return raw[self.name]
        return ScaleLandmarks(self.frame, dtype="float32", name="scale_landmarks")(
            [raw[self.name], raw["image"]]
        )

    def fitted(self, column) -> np.ndarray:
        """(samples, points, 2) of a table's column, which holds them as they are needed."""
        return column

    examples = fitted

    def describe(self) -> str:
        return (
            f"float32, (batch, {self.points}, 2), x and y in pixels of the image given beside it "
            f"(without an image: of a face crop of {self.frame}x{self.frame} pixels); "
            f"{LANDMARK_READINGS[self.reading]}"
        )


@dataclass(frozen=True)
class MeasurementInput:
    """Measurements of a specimen: raw float32 (batch, columns), in their own units.

    NaN is a missing value; a categorical column holds the index of its value.
    """

    columns: tuple[Column, ...]

    name = "measurements"

    @property
    def fitted_shape(self) -> tuple[int, ...]:
        return (len(self.columns),)

    def raw_tensor(self):
        return keras.Input(self.fitted_shape, dtype="float32", name=self.name)

    def fit(self, raw: dict):
        return raw[self.name]  # the network standardises them itself

    def fitted(self, column) -> np.ndarray:
        """(samples, columns) of a table's column, which holds them as they are needed."""
        return column

    examples = fitted

    def describe(self) -> str:
        named = [
            f"{column.name} (index in {', '.join(column.values)})" if column.values else column.name
            for column in self.columns
        ]
        return f"float32, (batch, {len(self.columns)}), NaN where missing: {'; '.join(named)}"


@dataclass(frozen=True)
class WaveformInput:
    """A recording: raw float32 (batch, samples), mono, -1 to 1, fitted as a log-mel spectrogram.

    Attributes:
        rate: samples a second.
    """

    rate: int

    name = "waveform"

    @property
    def fitted_shape(self) -> tuple[int | None, ...]:
        return (None, BANDS)

    def raw_tensor(self):
        return keras.Input((None,), dtype="float32", name=self.name)

    def fit(self, raw: dict):
        return MelSpectrogram(self.rate, dtype="float32", name="mel_spectrogram")(raw[self.name])

    def fitted(self, column: Recordings) -> Spectrograms:
        """The spectrograms of a table's column, which were computed when it was read."""
        return column.spectrograms

    def examples(self, column: Recordings) -> np.ndarray:
        """(recordings, samples of the longest), the shorter ones ending in NaN."""
        waveforms = list(column)
        longest = max(map(len, waveforms))
        found = np.full((len(waveforms), longest), np.nan, np.float32)
        for row, waveform in zip(found, waveforms, strict=True):
            row[: len(waveform)] = waveform
        return found

    def describe(self) -> str:
        return (
            f"float32, (batch, samples), mono, -1 to 1, {self.rate:,} samples a second "
            f"(`librosa.load(path, sr={self.rate}, mono=True)`); any length: the answer is for the "
            "whole recording; in a batch, the shorter ones end in NaN"
        )


KINDS = {record.name: record for record in (LandmarkInput, MeasurementInput, WaveformInput)}


def inputs_to_json(records: tuple) -> list[dict]:
    """The records as plain values, as `inputs.json` holds them."""
    found = [{"input": record.name, **asdict(record)} for record in records]
    for values in found:
        values.pop("name", None)  # of a picture, a field
    return found


def read_inputs(folder: Path) -> tuple:
    """The records of a saved run.

    Raises:
        InputError: they are missing or cannot be read.
    """
    return tuple(_record(dict(values)) for values in read_json(folder, "inputs.json"))


def _record(values: dict):
    name = values.pop("input")
    if name not in KINDS:
        return ImageInput(**values, name=name)
    if "columns" in values:
        columns = values["columns"]
        values["columns"] = tuple(Column(one["name"], tuple(one["values"])) for one in columns)
    return KINDS[name](**values)
