"""Features without what specimens of one class differ in: linear discriminant analysis as a layer.

A few specimens per class tell a trained layer little about which of hundreds of features vary
within a class. Their spread within all classes together tells it (Fisher 1936): what varies there
is made small, so that a linear layer behind it begins where a discriminant analysis would end.
"""

from __future__ import annotations

import keras
import numpy as np
from keras import ops

DIRECTIONS = 400  # principal directions that are kept
SHARPNESS = 20.0  # length of a class's first weights, by which cosines become logits
RIDGE = 0.1  # added to the spread within classes, in units of a feature's whole variance


@keras.saving.register_keras_serializable("menagerie")
class Whiten(keras.layers.Layer):
    """(features - mean) @ matrix, learnt from the features of the training part.

    It is learnt by `learn_from`, which a phase calls once, before the first epoch.

    Input: (..., features). Output: (..., directions): at most as many as there are features.
    """

    def __init__(self, directions: int = DIRECTIONS, **keywords):
        super().__init__(**keywords)
        self.directions = directions

    def build(self, input_shape):
        width = input_shape[-1]
        self.mean = self.add_weight(name="mean", shape=(width,), trainable=False)
        self.matrix = self.add_weight(
            name="matrix", shape=(width, min(width, self.directions)), trainable=False
        )

    def call(self, features):
        return ops.matmul(features - self.mean, self.matrix)

    def learn_from(self, features: np.ndarray, targets: np.ndarray) -> None:
        """Make the spread within classes about the same in all directions.

        Args:
            features: (samples, ..., features) of the training part.
            targets: (samples,) class indices.
        """
        each = features.reshape(len(features), -1, features.shape[-1])
        mean, matrix = whitening(
            each.reshape(-1, features.shape[-1]), np.repeat(targets, each.shape[1]), self.directions
        )
        # Few samples span few directions; what is left of the matrix stays zero.
        whole = np.zeros(self.matrix.shape)
        whole[:, : matrix.shape[1]] = matrix
        self.mean.assign(mean)
        self.matrix.assign(whole)

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], min(input_shape[-1], self.directions))

    def get_config(self):
        return {**super().get_config(), "directions": self.directions}


@keras.saving.register_keras_serializable("menagerie")
class CentroidDense(keras.layers.Dense):
    """A dense layer that begins at the classes' centroids, and from there learns as any other.

    Behind features of length 1 it at first tells a class by the cosine to its centroid (Gidaris and
    Komodakis 2018, CVPR, section 3.1), which a few specimens are enough for.

    Input: (batch, features), of length 1. Output: (batch, classes).
    """

    def learn_from(self, features: np.ndarray, targets: np.ndarray) -> None:
        """Begin at the centroids; a class without samples begins with weights of 0.

        Args:
            features: (samples, features) of the training part.
            targets: (samples,) class indices.
        """
        sums = np.zeros((self.units, features.shape[-1]), np.float32)
        np.add.at(sums, targets, features)
        lengths = np.linalg.norm(sums, axis=1, keepdims=True)
        self.kernel.assign((SHARPNESS * sums / np.maximum(lengths, 1e-9)).T)


def whitening(features: np.ndarray, targets: np.ndarray, most: int = DIRECTIONS):
    """Mean (features,) and matrix (features, directions) that whiten the spread within classes.

    Features are standardised, the principal directions of all samples kept, and these scaled by the
    eigenvalues of the covariance within classes plus `RIDGE`. The result has a mean square of 1.

    Args:
        features: (samples, features).
        targets: (samples,) class indices.
        most: directions that are kept at most.
    """
    features = features.astype(np.float64)
    mean, deviation = features.mean(axis=0), features.std(axis=0)
    # A feature that hardly varies tells nothing, and must not become large.
    scale = deviation + 0.05 * deviation.mean() + 1e-12
    standard = (features - mean) / scale
    _, spread, directions = np.linalg.svd(standard, full_matrices=False)
    kept = min(most, int((spread > 1e-6 * spread[0]).sum()) or 1)
    directions = directions[:kept].T

    seen = standard @ directions
    _, order = np.unique(targets, return_inverse=True)
    sums = np.zeros((order.max() + 1, kept))
    np.add.at(sums, order, seen)
    within = seen - (sums / np.bincount(order)[:, None])[order]
    values, vectors = np.linalg.eigh(within.T @ within / len(within))
    matrix = directions @ (vectors / np.sqrt(np.maximum(values, 0) + RIDGE))
    size = np.sqrt(np.mean(np.square(standard @ matrix))) or 1.0
    return mean, matrix / scale[:, None] / size
