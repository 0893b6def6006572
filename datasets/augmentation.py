"""What chance does to a training picture. Runs inside tf.data, so on every backend of Keras."""

from __future__ import annotations

import math
from dataclasses import dataclass

from datasets import picture_changes as change
from datasets.images import Fit
from datasets.picture_changes import apart
from datasets.rand_augment import rand_augment


@dataclass(frozen=True)
class PictureAugmentation:
    """A random crop of a picture, resized, and changes to it that keep its class.

    What TF-slim's `inception_preprocessing` does, and with it paper 001 (section 4.2: crop, mirror,
    brightness, contrast, hue, saturation), is `area=(0.05, 1)`, `aspect=(3 / 4, 4 / 3)`, `flip`,
    `shift=32 / 255`, `contrast=0.5`, `hue=0.2`, `saturation=0.5`.

    Attributes:
        fit: size and colours of the result.
        area: least and largest share of the picture's area in the crop.
        aspect: least and largest width over height of the crop, in pixels of the picture.
        flip: mirror half of the pictures. Wrong where left and right differ in meaning.
        turn: largest rotation to either side, in degrees.
        brightness, contrast, saturation: largest relative change; 0 for none.
        shift: largest change of the brightness by what is added to all pixels, as a share of the
            range 0 to 255.
        hue: largest turn of the colours, as a share of the colour circle.
        erase: share of the pictures that lose a rectangle (Zhong et al. 2020).
        quarter_turns: rotate by 0, 90, 180 or 270 degrees. Unlike a mirror, that leaves a shell's
            handedness alone.
        noise: standard deviation of normal noise, as a share of the range 0 to 255.
        rand_augment: how many further changes are drawn for each picture (RandAugment).
    """

    fit: Fit
    area: tuple[float, float] = (1.0, 1.0)
    aspect: tuple[float, float] = (1.0, 1.0)
    flip: bool = False
    turn: float = 0.0
    brightness: float = 0.0
    contrast: float = 0.0
    saturation: float = 0.0
    erase: float = 0.0
    quarter_turns: bool = False
    noise: float = 0.0
    shift: float = 0.0
    hue: float = 0.0
    rand_augment: int = 0

    def __call__(self, sample: dict, seed) -> dict:
        """A sample with its pictures changed, each by draws of its own.

        Args:
            sample: modality -> tensor; `image`, `image_2` and so on are (height, width, 1 or 3) of
                any size.
            seed: (2,) integers; the same ones give the same change.

        Returns:
            The sample with its pictures as float32 `fit.shape`, 0 to 255.
        """
        changed = {
            name: self._changed(picture, seed if name == "image" else apart(seed, name))
            for name, picture in sample.items()
            if name == "image" or name.startswith("image_")
        }
        return {**sample, **changed}

    def _changed(self, picture, seed):
        """A picture (height, width, 1 or 3), changed."""
        import tensorflow as tf

        draws = iter(tf.unstack(tf.random.experimental.stateless_split(seed, 10)))
        if self.fit.pad:
            picture = change.padded(picture, *self.fit.shape[:2])
        picture = change.cropped(picture, self.area, self.aspect, next(draws))
        picture = change.coloured(tf.cast(picture, tf.float32), self.fit.channels)
        picture = change.resized(picture, *self.fit.shape[:2])
        picture = tf.ensure_shape(picture, self.fit.shape)
        if self.flip:
            picture = change.flipped(picture, next(draws))
        if self.turn:
            largest = self.turn * math.pi / 180
            angle = tf.random.stateless_uniform((), next(draws), -largest, largest)
            picture = change.turned(picture, angle)
        if self.brightness:
            picture *= change.drawn_factor(self.brightness, next(draws))
        # Newer changes draw apart, so that they leave the chance of the others as it was.
        if self.shift:
            largest = 255 * self.shift
            picture += tf.random.stateless_uniform((), apart(seed, "shift"), -largest, largest)
        if self.contrast:
            factor = change.drawn_factor(self.contrast, next(draws))
            picture = change.blended(picture, tf.reduce_mean(picture), factor)
        if self.saturation:
            factor = change.drawn_factor(self.saturation, next(draws))
            picture = change.saturated(picture, factor)
        if self.hue and self.fit.channels == 3:
            turn = tf.random.stateless_uniform((), apart(seed, "hue"), -self.hue, self.hue)
            picture = tf.image.adjust_hue(tf.clip_by_value(picture, 0.0, 255.0), turn)
        picture = tf.clip_by_value(picture, 0.0, 255.0)
        if self.rand_augment:
            picture = rand_augment(picture, self.rand_augment, apart(seed, "rand_augment"))
        if self.erase:
            picture = change.erased(picture, self.erase, next(draws))
        if self.quarter_turns:
            picture = change.quarter_turned(picture, next(draws))
        if self.noise:
            picture += tf.random.stateless_normal(self.fit.shape, next(draws), 0, 255 * self.noise)
        picture.set_shape(self.fit.shape)
        return picture
