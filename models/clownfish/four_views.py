"""Test-time augmentation: an answer comes from four looks at a picture.

Random crops show objects larger than whole pictures do (Touvron et al. 2019, NeurIPS, section 3): a
network that learnt from crops answers better if it sees the centre enlarged as well, and mirror
images are of the same species.
"""

from __future__ import annotations

import keras
import numpy as np
from keras import layers, ops

from datasets.images import resize

CENTRE = 0.7  # of the sides of a picture
VIEWS = 4


@keras.saving.register_keras_serializable("menagerie")
class FourViews(layers.Layer):
    """Every picture as it is, mirrored, and its enlarged centre, as it is and mirrored.

    Input: (batch, height, width, channels). Output: (batch * 4, height, width, channels), the views
    of a picture one after the other.
    """

    resize = staticmethod(resize)

    def build(self, input_shape):
        self.shape = tuple(input_shape[1:])

    def call(self, pictures):
        height, width = self.shape[:2]
        rows, columns = _inside(height), _inside(width)
        centre = self.resize(pictures[:, rows, columns], height, width)
        views = [pictures, ops.flip(pictures, axis=2), centre, ops.flip(centre, axis=2)]
        return ops.reshape(ops.stack(views, axis=1), (-1, *self.shape))

    def compute_output_shape(self, input_shape):
        return (None, *input_shape[1:])

    def back_to_picture(self, maps: np.ndarray) -> np.ndarray:
        """What is mapped on each view, on the picture: the mean over the views that show a place.

        Args:
            maps: (4, height, width), in the order of the views.

        Returns:
            (height, width).
        """
        whole, centre = ((maps[view] + maps[view + 1][:, ::-1]) / 2 for view in (0, 2))
        rows, columns = map(_inside, whole.shape)
        size = rows.stop - rows.start, columns.stop - columns.start
        small = ops.convert_to_numpy(resize(centre[..., None], *size))[..., 0]
        whole[rows, columns] = (whole[rows, columns] + small) / 2
        return whole


@keras.saving.register_keras_serializable("menagerie")
class MeanOfViews(layers.Layer):
    """The mean over the views of each picture: (batch * 4, width) -> (batch, width)."""

    def call(self, values):
        return ops.mean(ops.reshape(values, (-1, VIEWS, values.shape[-1])), axis=1)

    def compute_output_shape(self, input_shape):
        return (None, input_shape[-1])


def by_four_views(network: keras.Model) -> keras.Model:
    """A network of the same input and outputs that sees each picture four times.

    Args:
        network: of the input `image`, of one known size, and outputs (batch, width).
    """
    image = keras.Input(network.input["image"].shape[1:], name="image")
    seen = network({"image": FourViews(dtype="float32", name="four_views")(image)})
    outputs = {
        name: MeanOfViews(dtype="float32", name=f"mean_{name}")(value)
        for name, value in seen.items()
    }
    return keras.Model({"image": image}, outputs, name=network.name)


def _inside(side: int) -> slice:
    edge = round((1 - CENTRE) / 2 * side)
    return slice(edge, side - edge)
