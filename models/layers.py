"""Layers that Keras lacks."""

import keras
from keras import ops

from datasets.images import resize, to_grey


@keras.saving.register_keras_serializable("menagerie")
class FitImage(keras.layers.Layer):
    """Raw pictures to grey pictures of the size that a network was made for.

    Input: uint8 (batch, any height, any width, 1 or 3). Output: float32
    (batch, height, width, 1), still 0 to 255.
    """

    def __init__(self, height: int, width: int, **keywords):
        super().__init__(**keywords)
        self.height, self.width = height, width

    def call(self, images):
        grey = to_grey(ops.cast(images, self.compute_dtype))
        return resize(grey, self.height, self.width)

    def compute_output_shape(self, input_shape):
        return (input_shape[0], self.height, self.width, 1)

    def get_config(self):
        return {**super().get_config(), "height": self.height, "width": self.width}


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
