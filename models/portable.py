"""Layers of the zoo in operations that ONNX, LiteRT and OpenVINO know.

TensorFlow resizes and turns pictures, and transforms sound, by kernels of its own that no converter
takes. Here the same is said in matrix products, gathers and a convolution. The results are the same
up to rounding, and so is the network.
"""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
from keras import ops

from models.clownfish.four_views import FourViews
from models.fixed_views import FixedViews
from models.layers import FitImage
from models.music.front_end import MelSpectrogram
from models.species.multi_view import WholeAndCentre


def load_portable(path: Path) -> keras.Model:
    """The network of a saved run, `model.keras`, with the layers of this module for their like."""
    ours = (PortableFit, PortableViews, PortableFixedViews, PortableFourViews, PortableSpectrogram)
    layers = {keras.saving.get_registered_name(layer.__base__): layer for layer in ours}
    registered = keras.saving.get_custom_objects()  # which goes before `custom_object_scope`
    theirs = {name: registered[name] for name in layers}
    registered.update(layers)
    try:
        network = keras.models.load_model(path, compile=False)
    finally:
        registered.update(theirs)
    for layer in network._flatten_layers():
        if isinstance(layer, keras.layers.Normalization):
            # Tensors that are no variables would become inputs of an ONNX graph.
            layer.mean = ops.convert_to_numpy(layer.mean)
            layer.variance = ops.convert_to_numpy(layer.variance)
    return network


def resize_by_products(image, height, width):
    """`datasets.images.resize` as two matrix products, from any extent to any extent.

    Every row of the result is a weighted mean of rows of the picture, with the weights of a
    triangle that is two rows of the result wide, or of the picture where that has fewer; and so is
    every column.

    Args:
        image: float tensor (batch, height, width, channels); all may be unknown until run time.
        height, width: of the result.
    """
    tall, wide, channels = ops.shape(image)[1:]
    rows = ops.reshape(image, (-1, tall, wide * channels))
    rows = ops.matmul(_weights(tall, height), rows)
    columns = ops.transpose(ops.reshape(rows, (-1, wide, channels)), (0, 2, 1))
    columns = ops.matmul(ops.reshape(columns, (-1, wide)), ops.transpose(_weights(wide, width)))
    columns = ops.reshape(columns, (-1, channels, width))
    return ops.reshape(ops.transpose(columns, (0, 2, 1)), (-1, height, width, channels))


def _weights(extent, size):
    """(size, extent): the share that each place of the picture has in each of the result."""
    step = ops.cast(extent, "float32") / ops.cast(size, "float32")
    centres = (ops.cast(ops.arange(size), "float32") + 0.5) * step
    places = ops.cast(ops.arange(extent), "float32") + 0.5
    distances = ops.abs(places[None] - centres[:, None]) / ops.maximum(step, 1.0)
    shares = ops.maximum(1.0 - distances, 0.0)
    return shares / ops.sum(shares, axis=1, keepdims=True)


class PortableFit(FitImage):
    """`FitImage` with `resize_by_products`."""

    resize = staticmethod(resize_by_products)


class PortableViews(WholeAndCentre):
    """`WholeAndCentre` with `resize_by_products`."""

    resize = staticmethod(resize_by_products)


class PortableFourViews(FourViews):
    """`FourViews` with `resize_by_products`."""

    resize = staticmethod(resize_by_products)


class PortableFixedViews(FixedViews):
    """`FixedViews` that gathers the four neighbours of each point, known beforehand."""

    def moved(self, pictures, matrix):
        height, width, channels = self.shape
        flat = ops.reshape(pictures, (-1, height * width, channels))
        corners = [
            ops.take(flat, places, axis=1) * shares[:, None]
            for places, shares in _neighbours(matrix, height, width)
        ]
        return ops.reshape(sum(corners), (-1, *self.shape))


def _neighbours(matrix: list[float], height: int, width: int):
    """Of each point of a view, in rows, each of four neighbours in the picture and its share."""
    y, x = np.mgrid[:height, :width].reshape(2, -1)
    across = matrix[0] * x + matrix[1] * y + matrix[2]
    down = matrix[3] * x + matrix[4] * y + matrix[5]
    left, top = np.floor(across).astype(int), np.floor(down).astype(int)
    for right in (0, 1):
        for low in (0, 1):
            column, row = left + right, top + low
            inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
            share = (1 - np.abs(across - column)) * (1 - np.abs(down - row)) * inside
            yield np.where(inside, row * width + column, 0), share.astype(np.float32)


class PortableSpectrogram(MelSpectrogram):
    """`MelSpectrogram` whose Fourier transform is a convolution with sines and cosines."""

    def spectra(self, sound):
        waves, hop = _waves(self.settings.taper()), self.settings.hop
        found = ops.conv(ops.expand_dims(sound, -1), waves, hop, "valid", "channels_last")
        return ops.split(found, 2, axis=-1)


def _waves(taper: np.ndarray) -> np.ndarray:
    """(samples, 1, 2 * bins): cosines, then sines, below a window."""
    count = len(taper)
    # Whole turns are taken off before they cost digits.
    turns = np.outer(np.arange(count), np.arange(count // 2 + 1)) % count / count
    waves = np.concatenate([np.cos(2 * np.pi * turns), np.sin(2 * np.pi * turns)], axis=1)
    return (taper[:, None] * waves).astype(np.float32)[:, None]
