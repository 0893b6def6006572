"""What goes into a model: one record per modality.

The raw inputs of a saved run, their preprocessing inside the graph and the lines of the model card
all derive from these records, so they cannot drift apart.
"""

from __future__ import annotations

from dataclasses import dataclass

import keras

from models.layers import FitImage, ScaleLandmarks


@dataclass(frozen=True)
class ImageInput:
    """A picture: raw uint8 (batch, any height, any width, 1 or 3), made grey and resized."""

    height: int
    width: int

    name = "image"

    @property
    def fitted_shape(self) -> tuple[int, ...]:
        return (self.height, self.width, 1)

    def raw(self):
        return keras.Input((None, None, None), dtype="uint8", name=self.name)

    def fit(self, raw: dict):
        return FitImage(self.height, self.width, name="fit_image")(raw[self.name])

    def describe(self) -> str:
        return (
            "uint8, (batch, height, width, 1 or 3), 0 to 255, any size; "
            f"made grey and resized to {self.height}x{self.width} in the graph"
        )


@dataclass(frozen=True)
class LandmarkInput:
    """Points of a face in pixels: raw float32 (batch, points, 2), x to the right and y down.

    Beside an `image` input the pixels are those of that image. Alone they are those of a square
    face crop with a side of `frame` pixels.
    """

    points: int
    frame: int

    name = "landmarks"

    @property
    def fitted_shape(self) -> tuple[int, ...]:
        return (self.points, 2)

    def raw(self):
        return keras.Input((self.points, 2), dtype="float32", name=self.name)

    def fit(self, raw: dict):
        if "image" not in raw:
            return raw[self.name]
        return ScaleLandmarks(self.frame, name="scale_landmarks")([raw[self.name], raw["image"]])

    def describe(self) -> str:
        return (
            f"float32, (batch, {self.points}, 2), x and y in pixels of the image given beside it "
            f"(without an image: of a face crop of {self.frame}x{self.frame} pixels)"
        )
