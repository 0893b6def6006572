"""RandAugment: a few changes to each picture, drawn from a list, in the graph of tf.data.

Cubuk, Zoph, Shlens and Le 2020 (RandAugment, CVPR Workshops), section 3 and table 6, with a
strength of its own for each change as in Müller and Hutter 2021 (TrivialAugment, ICCV), section 3.
Nothing is mirrored, so that handedness stays. `keras.layers.RandAugment` keeps its chance in a
state, which a resumed training would not find again, and turns pictures upside down.
"""

from __future__ import annotations

import math
from functools import partial

from datasets.picture_changes import apart, blended, grey, projected, saturated, turned

# The largest changes, of table 6 but for MOVE: random crops move what is seen already.
TURN = 30.0  # degrees
SHEAR = 0.3
MOVE = 0.2  # of the side
ENHANCE = 0.9  # brightness, contrast, saturation, sharpness
LOST_BITS = 4


def rand_augment(picture, changes: int, seed):
    """A picture with some of the changes of `CHANGES`, one after the other.

    Args:
        picture: (height, width, 1 or 3) float32, 0 to 255, of a known size.
        changes: how many; one may be drawn twice.
        seed: (2,) integers; the same ones give the same changes.

    Returns:
        The same shape, 0 to 255.
    """
    import tensorflow as tf

    for number in range(changes):
        draw = apart(seed, f"change {number}")
        which = tf.random.stateless_uniform((), draw, 0, len(CHANGES), tf.int32)
        strength = tf.random.stateless_uniform((), apart(draw, "strength"), -1.0, 1.0)
        ways = [partial(change, picture, strength) for change in CHANGES]
        picture = tf.ensure_shape(tf.switch_case(which, ways), picture.shape)
        picture = tf.clip_by_value(picture, 0.0, 255.0)
    return picture


def _same(picture, strength):
    return picture


def _turned(picture, strength):
    return turned(picture, strength * TURN * math.pi / 180)


def _sheared_across(picture, strength):
    shear = SHEAR * strength
    return projected(picture, [1.0, shear, -shear * (picture.shape[0] - 1) / 2, 0.0, 1.0, 0.0])


def _sheared_down(picture, strength):
    shear = SHEAR * strength
    return projected(picture, [1.0, 0.0, 0.0, shear, 1.0, -shear * (picture.shape[1] - 1) / 2])


def _moved_across(picture, strength):
    return projected(picture, [1.0, 0.0, MOVE * strength * picture.shape[1], 0.0, 1.0, 0.0])


def _moved_down(picture, strength):
    return projected(picture, [1.0, 0.0, 0.0, 0.0, 1.0, MOVE * strength * picture.shape[0]])


def _brightness(picture, strength):
    return blended(picture, 0.0, 1 + ENHANCE * strength)


def _contrast(picture, strength):
    import tensorflow as tf

    return blended(picture, tf.reduce_mean(grey(picture)), 1 + ENHANCE * strength)


def _saturation(picture, strength):
    return saturated(picture, 1 + ENHANCE * strength)


def _sharpness(picture, strength):
    """Away from or towards the picture smoothed over 3x3 pixels; its rim stays as it is."""
    import tensorflow as tf

    channels = picture.shape[-1]
    weights = tf.constant([[1.0, 1, 1], [1, 5, 1], [1, 1, 1]])[..., None, None] / 13
    around = tf.pad(picture[None], [[0, 0], [1, 1], [1, 1], [0, 0]], "SYMMETRIC")
    smooth = tf.nn.depthwise_conv2d(around, tf.tile(weights, [1, 1, channels, 1]), [1] * 4, "VALID")
    return blended(picture, smooth[0], 1 + ENHANCE * strength)


def _posterised(picture, strength):
    import tensorflow as tf

    step = 2.0 ** tf.round(LOST_BITS * tf.abs(strength))
    return tf.floor(picture / step) * step


def _solarised(picture, strength):
    """Pixels above a threshold are inverted: none by strength 0, all by 1."""
    import tensorflow as tf

    return tf.where(picture < 256 * (1 - tf.abs(strength)), picture, 255 - picture)


def _stretched(picture, strength):
    """Each colour over the whole range (autocontrast)."""
    import tensorflow as tf

    least, most = (edge(picture, axis=(0, 1)) for edge in (tf.reduce_min, tf.reduce_max))
    return tf.where(most > least, (picture - least) * 255 / tf.maximum(most - least, 1), picture)


def _equalised(picture, strength):
    """Each colour so that all its values are about equally frequent."""
    import tensorflow as tf

    def equal(colour):
        values = tf.cast(colour, tf.int32)
        counts = tf.math.bincount(tf.reshape(values, [-1]), minlength=256, maxlength=256)
        below = tf.cumsum(counts, exclusive=True)
        others = tf.size(values) - counts[tf.reduce_max(values)]
        spread = tf.cast(below, tf.float32) * 255 / tf.cast(tf.maximum(others, 1), tf.float32)
        return tf.where(others > 0, tf.gather(spread, values), colour)

    return tf.stack([equal(colour) for colour in tf.unstack(picture, axis=-1)], axis=-1)


CHANGES = (
    _same, _turned, _sheared_across, _sheared_down, _moved_across, _moved_down, _brightness,
    _contrast, _saturation, _sharpness, _posterised, _solarised, _stretched, _equalised,
)  # fmt: skip
