"""Standardised pixels: their statistics, and the layer that applies them."""

from __future__ import annotations

import keras
import numpy as np
from keras import layers

from datasets.errors import InputError
from datasets.images import Fit, fit_images


def pixel_statistics(images, fit: Fit, by_picture: bool = False) -> tuple[list, list]:
    """Mean and standard deviation of each colour, 0 to 255.

    Args:
        images: uint8 pictures (height, width, 1 or 3), each of its own size.
        fit: how they are seen.
        by_picture: the mean of each picture's own deviation, as the code of paper 003 has it.
    """
    count, total, squares, deviations = 0, np.zeros(3), np.zeros(3), np.zeros(3)
    for image in images:
        pixels = fit_images([image], fit).reshape(-1, 3).astype(float)
        count += len(pixels)
        total += pixels.sum(axis=0)
        squares += (pixels**2).sum(axis=0)
        deviations += pixels.std(axis=0)
    mean = total / count
    deviation = deviations / len(images) if by_picture else np.sqrt(squares / count - mean**2)
    return mean.tolist(), np.maximum(deviation, 1.0).tolist()


def standard_pixels(image, statistics: tuple[list, list], network: keras.Model | None = None):
    """Pixels 0 to 255 with mean 0 and deviation 1, as a network sees them.

    Args:
        image: symbolic (batch, height, width, 3).
        statistics: of `pixel_statistics`.
        network: what follows. One that begins with a rescaling of its own, such as MobileNetV3, is
            given what that turns into standardised pixels.
    """
    scale, offset = _own_rescaling(network) if network else (1.0, 0.0)
    mean, deviation = (np.array(values) for values in statistics)
    return layers.Rescaling(
        (1 / (deviation * scale)).tolist(),
        ((-mean / deviation - offset) / scale).tolist(),
        dtype="float32",
        name="standard_pixels",
    )(image)


def _own_rescaling(network: keras.Model) -> tuple[float, float]:
    kinds = layers.Rescaling, layers.Normalization
    own = [layer for layer in network.layers if isinstance(layer, kinds)]
    if len(own) > 1 or any(isinstance(layer, layers.Normalization) for layer in own):
        raise InputError(
            f"{network.name} standardises pixels in several steps of its own: take --normalise "
            "backbone"
        )
    return (own[0].scale, own[0].offset) if own else (1.0, 0.0)
