"""A face and its mirror image: an epoch learns from one of them, an answer comes from both.

An expression has no handedness, and the mean of both answers is surer than either. The layers leave
what a network sees in training as it is; there, chance mirrors (`datasets.face_augmentation`).
"""

from __future__ import annotations

import keras
from keras import ops

from datasets.landmarks import MIRROR


class _WithMirror(keras.layers.Layer):
    """Every sample and, behind it, its mirror image; in training the sample alone."""

    def call(self, faces, training=False):
        if training:
            return faces
        both = ops.stack([faces, self.mirrored(faces)], axis=1)
        return ops.reshape(both, (-1, *faces.shape[1:]))

    def compute_output_shape(self, input_shape):
        return (None, *input_shape[1:])


@keras.saving.register_keras_serializable("menagerie")
class WithMirroredPicture(_WithMirror):
    """Pictures with their mirror images.

    Input: (batch, height, width, channels). Output: in training the same, otherwise
    (batch * 2, height, width, channels), a picture and its mirror image one after the other.
    """

    def mirrored(self, pictures):
        return ops.flip(pictures, axis=2)

    def back_to_picture(self, maps):
        """Maps of a picture and of its mirror image, (2, height, width), as one of the picture."""
        return (maps[0] + maps[1][:, ::-1]) / 2


@keras.saving.register_keras_serializable("menagerie")
class WithMirroredPoints(_WithMirror):
    """Landmarks with those of the mirrored face, left and right swapped.

    Input: (batch, 68, 2), x and y in pixels of a face. Output: in training the same, otherwise
    (batch * 2, 68, 2), a face and its mirror image one after the other.

    Args:
        side: of the face, in pixels.
    """

    def __init__(self, side: int, **keywords):
        super().__init__(**keywords)
        self.side = side

    def mirrored(self, points):
        swapped = ops.take(points, MIRROR, axis=1)
        return ops.stack([self.side - 1 - swapped[..., 0], swapped[..., 1]], axis=-1)

    def get_config(self):
        return {**super().get_config(), "side": self.side}


@keras.saving.register_keras_serializable("menagerie")
class MeanOfMirror(keras.layers.Layer):
    """Features of a face: in training as they are, otherwise the mean with its mirror image's.

    Input: (batch, width), or (batch * 2, width) as the layers above leave them. Output:
    (batch, width).
    """

    def call(self, features, training=False):
        if training:
            return features
        return ops.mean(ops.reshape(features, (-1, 2, features.shape[-1])), axis=1)

    def compute_output_shape(self, input_shape):
        return (None, input_shape[-1])
