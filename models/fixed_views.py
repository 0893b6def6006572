"""Several fixed views of every picture: an epoch learns from one of them, an answer from all."""

from __future__ import annotations

import math

import keras
import numpy as np
from keras import ops

from datasets.images import background

# Degrees to the left and size of each view; the first is the picture as it is.
VIEWS = ((0.0, 1.0), (10.0, 1.0), (-10.0, 1.0), (0.0, 0.85))


@keras.saving.register_keras_serializable("menagerie")
class FixedViews(keras.layers.Layer):
    """Every picture as it is, turned a little to either side, and smaller.

    What comes in from outside has the colour of the background (`datasets.images.background`).
    Nothing is mirrored: shells have a handedness.

    Input: (batch, height, width, channels). Output: (batch * views, height, width, channels), the
    views of a picture one after the other.
    """

    def build(self, input_shape):
        self.shape = tuple(input_shape[1:])

    def call(self, pictures):
        # What is padded by numbers that come at run time forgets how many channels it has.
        pictures = ops.reshape(ops.cast(pictures, self.compute_dtype), (-1, *self.shape))
        colour = background(pictures)
        found = [pictures]
        for degrees, size in VIEWS[1:]:
            matrix = _inverse(degrees, size, *self.shape[:2])
            found.append(self.moved(pictures - colour, matrix) + colour)
        return ops.reshape(ops.stack(found, axis=1), (-1, *self.shape))

    def moved(self, pictures, matrix: list[float]):
        """Pictures, (batch, height, width, channels), seen through `matrix`, 0 from outside."""
        matrix = ops.convert_to_tensor(matrix, "float32")
        return ops.image.affine_transform(
            pictures, matrix, fill_value=0.0, data_format="channels_last"
        )

    def compute_output_shape(self, input_shape):
        return (None, *input_shape[1:])

    def back_to_picture(self, maps: np.ndarray) -> np.ndarray:
        """What is mapped on each view, on the picture: the mean over the views that show a place.

        Args:
            maps: (views, height, width), as this layer turned and shrank what they show.

        Returns:
            (height, width).
        """
        total, seen = np.zeros(maps.shape[1:]), np.zeros(maps.shape[1:])
        for heat, (degrees, size) in zip(maps, VIEWS, strict=True):
            matrix = ops.convert_to_tensor(_inverse(-degrees, 1 / size, *heat.shape), "float32")
            both = np.stack([heat, np.ones_like(heat)], axis=-1).astype(np.float32)
            back = ops.image.affine_transform(
                both, matrix, fill_value=0.0, data_format="channels_last"
            )
            back = ops.convert_to_numpy(back)
            total, seen = total + back[..., 0], seen + back[..., 1]
        return total / np.maximum(seen, 1e-6)


@keras.saving.register_keras_serializable("menagerie")
class ByPicture(keras.layers.Layer):
    """Features of the views of a picture in a row of their own.

    Input: (batch * views, width), as `FixedViews` leaves them. Output: (batch, views, width).
    """

    def call(self, features):
        return ops.reshape(features, (-1, len(VIEWS), features.shape[-1]))

    def compute_output_shape(self, input_shape):
        return (None, len(VIEWS), input_shape[-1])


@keras.saving.register_keras_serializable("menagerie")
class OneOfViews(keras.layers.Layer):
    """Features of one view, drawn by chance, in training; their mean over all views otherwise.

    A linear network with a softmax behind it makes of the mean of the features the geometric mean
    of what it would answer to the views.

    Input: (batch, views, width). Output: (batch, width).
    """

    def __init__(self, **keywords):
        super().__init__(**keywords)
        self.seed_generator = keras.random.SeedGenerator()

    def call(self, features, training=False):
        if not training:
            return ops.mean(features, axis=1)
        views = features.shape[1]
        drawn = keras.random.randint((ops.shape(features)[0],), 0, views, seed=self.seed_generator)
        chosen = ops.one_hot(drawn, views, dtype=features.dtype)
        return ops.sum(features * chosen[..., None], axis=1)

    def compute_output_shape(self, input_shape):
        return (input_shape[0], input_shape[-1])


def _inverse(degrees: float, size: float, height: int, width: int) -> list[float]:
    """Where a point of the view comes from, as the eight numbers of `affine_transform`."""
    angle = math.radians(degrees)
    cosine, sine = math.cos(angle) / size, math.sin(angle) / size
    x, y = (width - 1) / 2, (height - 1) / 2
    return [cosine, sine, x - cosine * x - sine * y, -sine, cosine, y + sine * x - cosine * y, 0, 0]
