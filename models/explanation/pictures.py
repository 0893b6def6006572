"""Where in a picture the answer comes from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import keras
import numpy as np

from datasets.images import resize
from models.explanation.anatomy import (
    Anatomy,
    View,
    all_layers,
    answering,
    last_maps,
    layers_called,
)
from models.explanation.attribution import class_activation
from models.explanation.slopes import Watched, slopes_of_layers

WHOLE_PICTURE = View("", "image")


@dataclass(frozen=True)
class PictureMap:
    """Where one look at a picture speaks for a class.

    Attributes:
        view: what was looked at.
        heat: (height, width) of the feature map, 0 or more, what each place adds to the score; it
            covers what the view sees of the fitted picture.
        share: of the sum of all views.
    """

    view: View
    heat: np.ndarray
    share: float


def picture_maps(
    network: keras.Model, anatomy: Anatomy, arrays: dict, target: int
) -> list[PictureMap]:
    """Class activation maps of one sample, one for each view of its pictures.

    Taken at the last feature maps through which every path from the picture leads. Where these are
    maps of several sizes, each is brought to the size of the largest and they are added. Where a
    picture is looked at several times by the same layers (`FixedViews`, `FourViews`,
    `WithMirroredPicture`), the maps are turned back and their mean is taken. Where several views
    have branches of their own, each has its own map, the last one before the branches meet.

    A map counts above that of a flat picture of the mean colour, so that what a network makes of
    any picture, at its borders for one, does not count. Deleting the 15 % of a picture that is
    named so costs the score of the answer 5.5 in 10 fish and 2.9 in 7 leaves; 5.5 and 1.9 without
    that, 5.2 and 1.2 by the mean slopes of Grad-CAM, 3.2 and 1.4 by chance.

    Args:
        network: of a model.
        anatomy: of the model.
        arrays: fitted inputs, name -> (1, ...).
        target: index of the class.
    """
    network = answering(network)
    views = anatomy.views or (WHOLE_PICTURE,)
    if anatomy.views:
        layers = [layers_called(network, view.layer)[0] for view in views]
    else:
        layers = last_maps(network)
    _, found = slopes_of_layers(network, _beside_flat(arrays), target, layers)
    back = _way_back(network)
    if anatomy.views:
        heats = [_merged(tensors, back) for tensors in found]
    else:
        heats = [_merged([one for tensors in found for one in tensors], back)]
    heats = [np.maximum(heat, 0) for heat in heats]
    total = sum(heat.sum() for heat in heats)
    return [
        PictureMap(view, heat, float(heat.sum() / total) if total else 0.0)
        for view, heat in zip(views, heats, strict=True)
    ]


def spread(heat: np.ndarray, height: int, width: int) -> np.ndarray:
    """A map in another size; its sum stays, up to what interpolation does at the borders."""
    larger = keras.ops.convert_to_numpy(resize(heat[..., None], height, width))[..., 0]
    return larger * (heat.size / larger.size)


def _beside_flat(arrays: dict) -> dict:
    """A sample, and behind it the same with flat pictures."""
    both = {name: np.repeat(np.asarray(value), 2, axis=0) for name, value in arrays.items()}
    for name, value in both.items():
        if value.ndim == 4:
            both[name] = np.stack(
                [value[0], np.broadcast_to(value[0].mean((0, 1)), value[0].shape)]
            )
    return both


def _way_back(network: keras.Model) -> Callable:
    """How maps of one picture, (looks, height, width), become one: those of all looks at it."""
    ways = (getattr(layer, "back_to_picture", None) for layer in all_layers(network))
    return next(filter(None, ways), lambda heat: heat[0])


def _merged(tensors: list[Watched], back: Callable) -> np.ndarray:
    """What all maps of one view add at each place, in the size of the largest map."""
    height, width = np.max([one.value.shape[1:3] for one in tensors], axis=0)
    whole = np.zeros((height, width))
    for one in tensors:
        (picture, flat), (slope, _) = np.split(one.value, 2), np.split(one.slope, 2)
        heat = class_activation(picture - flat, slope)
        heat = back(heat)
        whole += spread(heat.astype(np.float32), int(height), int(width))
    return whole
