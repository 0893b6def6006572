"""Layers that Keras lacks."""

from dataclasses import asdict

import keras
from keras import ops

from datasets.images import Fit


@keras.saving.register_keras_serializable("menagerie")
class FitImage(keras.layers.Layer):
    """Raw pictures to pictures of the size and colour that a network was made for.

    Input: uint8 (batch, any height, any width, 1 or 3). Output: float32
    (batch, height, width, channels), still 0 to 255. The arguments are those of
    `datasets.images.Fit`.
    """

    def __init__(self, height: int, width: int, channels: int = 1, crop=None, **keywords):
        super().__init__(**keywords)
        self.how = Fit(height, width, channels, crop)

    def call(self, images):
        return self.how(ops.cast(images, self.compute_dtype))

    def compute_output_shape(self, input_shape):
        return (input_shape[0], *self.how.shape)

    def get_config(self):
        return {**super().get_config(), **asdict(self.how)}


@keras.saving.register_keras_serializable("menagerie")
class ScaleLandmarks(keras.layers.Layer):
    """Points in pixels of an image of any size -> pixels of a square frame.

    Inputs: landmarks float32 (batch, points, 2) and the image (batch, height, width, channels).
    Output: float32 (batch, points, 2).
    """

    def __init__(self, frame: int, **keywords):
        super().__init__(**keywords)
        self.frame = frame

    def call(self, inputs):
        landmarks, image = inputs
        shape = ops.shape(image)
        size = ops.cast(ops.stack([shape[2], shape[1]]), landmarks.dtype)
        return landmarks * (self.frame / size)

    def compute_output_shape(self, input_shape):
        return input_shape[0]

    def get_config(self):
        return {**super().get_config(), "frame": self.frame}
