"""What chance does to a training picture. Runs inside tf.data, so on every backend of Keras."""

from __future__ import annotations

import math
import zlib
from dataclasses import dataclass

from datasets.images import Fit

GREY_WEIGHTS = (0.299, 0.587, 0.114)  # ITU-R BT.601


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
            picture = _padded(picture, *self.fit.shape[:2])
        picture = _crop(picture, self.area, self.aspect, next(draws))
        picture = _coloured(tf.cast(picture, tf.float32), self.fit.channels)
        picture = tf.image.resize(picture, self.fit.shape[:2], antialias=True)
        picture = _flip(picture, next(draws)) if self.flip else picture
        picture = _turn(picture, self.turn, next(draws)) if self.turn else picture
        if self.brightness:
            picture *= _factor(self.brightness, next(draws))
        # Newer changes draw apart, so that they leave the chance of the others as it was.
        if self.shift:
            largest = 255 * self.shift
            picture += tf.random.stateless_uniform((), apart(seed, "shift"), -largest, largest)
        if self.contrast:
            picture = _blend(picture, tf.reduce_mean(picture), self.contrast, next(draws))
        if self.saturation:
            picture = _blend(picture, _grey(picture), self.saturation, next(draws))
        if self.hue and self.fit.channels == 3:
            turn = tf.random.stateless_uniform((), apart(seed, "hue"), -self.hue, self.hue)
            picture = tf.image.adjust_hue(tf.clip_by_value(picture, 0.0, 255.0), turn)
        picture = tf.clip_by_value(picture, 0.0, 255.0)
        if self.erase:
            picture = _erase(picture, self.erase, next(draws))
        if self.quarter_turns:
            picture = _quarter_turn(picture, next(draws))
        if self.noise:
            picture += tf.random.stateless_normal(self.fit.shape, next(draws), 0, 255 * self.noise)
        picture.set_shape(self.fit.shape)
        return picture


def apart(seed, name: str):
    """A seed for draws of another name, (2,)."""
    import tensorflow as tf

    return tf.random.fold_in(seed, tf.constant(zlib.crc32(name.encode()), tf.int64))


def _padded(picture, height, width):
    """What `datasets.images.padded` does, of one picture, on every backend of Keras."""
    import tensorflow as tf

    picture = tf.cast(picture, tf.float32)
    tall, wide = tf.shape(picture)[0], tf.shape(picture)[1]
    down = tf.maximum(0, -(-wide * height // width) - tall)
    across = tf.maximum(0, -(-tall * width // height) - wide)
    corners = tf.stack([picture[y, x] for y in (0, -1) for x in (0, -1)])
    colour = tf.reduce_mean(tf.sort(corners, axis=0)[1:3], axis=0)
    around = [[down // 2, down - down // 2], [across // 2, across - across // 2], [0, 0]]
    return tf.pad(picture - colour, around) + colour


def _crop(picture, area, aspect, seed):
    """A rectangle of random area and proportions that lies inside the picture.

    Area and the logarithm of the proportions are drawn evenly; a rectangle that sticks out is drawn
    again, ten times at most, then the whole picture is taken.
    """
    import tensorflow as tf

    if area == (1.0, 1.0):
        return picture
    size = tf.shape(picture)
    height, width = tf.cast(size[0], tf.float32), tf.cast(size[1], tf.float32)
    draws = tf.random.stateless_uniform((10, 2), seed)
    areas = height * width * (area[0] + (area[1] - area[0]) * draws[:, 0])
    low, high = math.log(aspect[0]), math.log(aspect[1])
    ratios = tf.exp(low + (high - low) * draws[:, 1])
    widths, heights = tf.round(tf.sqrt(areas * ratios)), tf.round(tf.sqrt(areas / ratios))
    inside = tf.logical_and(widths <= width, heights <= height)
    first = tf.argmax(tf.cast(inside, tf.int32))
    found = tf.reduce_any(inside)
    high = tf.cast(tf.where(found, tf.maximum(1.0, heights[first]), height), tf.int32)
    wide = tf.cast(tf.where(found, tf.maximum(1.0, widths[first]), width), tf.int32)
    place = tf.random.stateless_uniform((2,), seed + 1)
    top = tf.cast(place[0] * tf.cast(size[0] - high + 1, tf.float32), tf.int32)
    left = tf.cast(place[1] * tf.cast(size[1] - wide + 1, tf.float32), tf.int32)
    return picture[top : top + high, left : left + wide]


def _coloured(picture, channels):
    import tensorflow as tf

    if channels == 3:
        # One channel or three: a tensor of either kind is known only when it comes.
        return tf.broadcast_to(picture, tf.concat([tf.shape(picture)[:2], [3]], 0))
    return tf.cond(tf.shape(picture)[-1] == 3, lambda: _grey(picture), lambda: picture[..., :1])


def _grey(picture):
    import tensorflow as tf

    if picture.shape[-1] == 1:
        return picture
    return tf.reduce_sum(picture * GREY_WEIGHTS, axis=-1, keepdims=True)


def _flip(picture, seed):
    import tensorflow as tf

    drawn = tf.random.stateless_uniform((), seed) < 0.5
    return tf.cond(drawn, lambda: picture[:, ::-1], lambda: picture)


def _quarter_turn(picture, seed):
    import tensorflow as tf

    if picture.shape[0] != picture.shape[1]:
        raise ValueError(f"a picture of {picture.shape[1]}x{picture.shape[0]} is no square to turn")
    return tf.image.rot90(picture, tf.random.stateless_uniform((), seed, 0, 4, tf.int32))


def _turn(picture, degrees, seed):
    """Rotate about the centre; what comes in from outside is the picture mirrored at its edge."""
    import tensorflow as tf

    largest = degrees * math.pi / 180
    angle = tf.random.stateless_uniform((), seed, -largest, largest)
    cosine, sine = tf.cos(angle), tf.sin(angle)
    x, y = (picture.shape[1] - 1) / 2, (picture.shape[0] - 1) / 2
    matrix = [cosine, -sine, x - cosine * x + sine * y, sine, cosine, y - sine * x - cosine * y]
    return tf.raw_ops.ImageProjectiveTransformV3(
        images=picture[None],
        transforms=tf.stack([*matrix, 0.0, 0.0])[None],
        output_shape=picture.shape[:2],
        fill_value=0.0,
        interpolation="BILINEAR",
        fill_mode="REFLECT",
    )[0]


def _factor(change, seed):
    import tensorflow as tf

    return tf.random.stateless_uniform((), seed, 1 - change, 1 + change)


def _blend(picture, anchor, change, seed):
    """Away from or towards an anchor: its mean for contrast, its grey picture for saturation."""
    return anchor + (picture - anchor) * _factor(change, seed)


def _erase(picture, share, seed):
    """Fill a rectangle of 2 % to 20 % of the picture with its mean colour."""
    import tensorflow as tf

    draws = tf.random.stateless_uniform((5,), seed)
    height, width = picture.shape[:2]
    area = (0.02 + 0.18 * draws[1]) * height * width
    ratio = tf.exp((2 * draws[2] - 1) * math.log(2.0))
    half_height, half_width = tf.sqrt(area / ratio) / 2, tf.sqrt(area * ratio) / 2
    rows = tf.abs(tf.range(height, dtype=tf.float32) - draws[3] * height) < half_height
    columns = tf.abs(tf.range(width, dtype=tf.float32) - draws[4] * width) < half_width
    inside = tf.logical_and(rows[:, None], columns[None])[..., None]
    inside = tf.logical_and(inside, draws[0] < share)
    return tf.where(inside, tf.reduce_mean(picture, axis=(0, 1)), picture)
