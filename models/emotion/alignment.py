"""Landmarks freed of where, how large and how far turned a face is, and what they say then."""

from __future__ import annotations

import keras
import numpy as np
from keras import ops

from datasets.landmarks import POINTS

ROUNDS = 10  # of the generalised Procrustes analysis, which has settled after three or four


@keras.saving.register_keras_serializable("menagerie")
class AlignLandmarks(keras.layers.Layer):
    """Landmarks moved, scaled and turned onto a mean face (Procrustes analysis, Gower 1975).

    Input: (batch, 68, 2). Output: likewise, their centre at 0, their size 1 (the root of the mean
    square of the points' distances from the centre), turned so that the sum of the squared
    distances from the mean face is least. They are never mirrored.

    Args:
        mean_face: (68, 2), centred and of size 1, in rows of x and y.
    """

    def __init__(self, mean_face, **keywords):
        super().__init__(**keywords)
        self.mean_face = np.asarray(mean_face, np.float32)

    @classmethod
    def learnt_from(cls, points: np.ndarray, **keywords):
        """The layer whose mean face is that of training faces, (samples, 68, 2)."""
        points = np.asarray(points, np.float64)
        mean = _settled(points[:1])[0]
        for _ in range(ROUNDS):
            mean = _settled(ops.convert_to_numpy(aligned(points, mean)).mean(axis=0)[None])[0]
        return cls(mean.tolist(), **keywords)

    def call(self, points):
        return aligned(points, self.mean_face)

    def get_config(self):
        return {**super().get_config(), "mean_face": self.mean_face.tolist()}


def aligned(points, mean_face):
    """Points, (batch, n, 2), aligned with a mean face, (n, 2); see `AlignLandmarks`."""
    points = ops.convert_to_tensor(points)
    mean_face = ops.convert_to_tensor(mean_face, points.dtype)
    points = points - ops.mean(points, axis=1, keepdims=True)
    squares = ops.mean(ops.sum(ops.square(points), axis=-1), axis=-1)
    # Points that all lie in one place have no size, and stay there.
    points = points / ops.sqrt(ops.maximum(squares, 1e-6))[:, None, None]
    x, y = points[..., 0], points[..., 1]
    mean_x, mean_y = mean_face[:, 0], mean_face[:, 1]
    along = ops.sum(x * mean_x + y * mean_y, axis=1, keepdims=True)
    across = ops.sum(x * mean_y - y * mean_x, axis=1, keepdims=True)
    length = ops.sqrt(ops.maximum(along**2 + across**2, 1e-12))
    cosine, sine = along / length, across / length
    return ops.stack([cosine * x - sine * y, sine * x + cosine * y], axis=-1)


@keras.saving.register_keras_serializable("menagerie")
class LandmarkGeometry(keras.layers.Layer):
    """Distances between all points, and the angles at each point of a part of the face.

    Input: (batch, 68, 2). Output: (batch, 2278 + angles): the distance of every pair, in the unit
    of the input; then for every three neighbours in `chains` cosine and sine of how far the line
    bends at the middle one.

    Args:
        chains: (first, end) of the points of each part, which lie on a line in their order.
    """

    def __init__(self, chains, **keywords):
        super().__init__(**keywords)
        self.chains = [tuple(chain) for chain in chains]
        self._first, self._second = np.triu_indices(POINTS, 1)
        self._at = np.concatenate([np.arange(first + 1, end - 1) for first, end in self.chains])

    def call(self, points):
        apart = ops.take(points, self._first, axis=1) - ops.take(points, self._second, axis=1)
        distances = ops.sqrt(ops.sum(ops.square(apart), axis=-1) + 1e-12)
        middle = ops.take(points, self._at, axis=1)
        one = middle - ops.take(points, self._at - 1, axis=1)
        other = ops.take(points, self._at + 1, axis=1) - middle
        along = ops.sum(one * other, axis=-1)
        across = one[..., 0] * other[..., 1] - one[..., 1] * other[..., 0]
        length = ops.sqrt(along**2 + across**2 + 1e-12)
        return ops.concatenate([distances, along / length, across / length], axis=1)

    def compute_output_shape(self, input_shape):
        return (input_shape[0], len(self._first) + 2 * len(self._at))

    def get_config(self):
        return {**super().get_config(), "chains": self.chains}


def _settled(points: np.ndarray) -> np.ndarray:
    """Points, (batch, n, 2), with their centre at 0 and of size 1."""
    points = points - points.mean(axis=1, keepdims=True)
    return points / np.sqrt((points**2).sum(axis=-1).mean(axis=-1))[:, None, None]
