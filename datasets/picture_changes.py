"""What can be done to one picture, a tensor (height, width, channels), in the graph of tf.data."""

from __future__ import annotations

import math
import zlib

GREY_WEIGHTS = (0.299, 0.587, 0.114)  # ITU-R BT.601


def apart(seed, name: str):
    """A seed for draws of another name, (2,)."""
    import tensorflow as tf

    return tf.random.fold_in(seed, tf.constant(zlib.crc32(name.encode()), tf.int64))


def padded(picture, height, width):
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


def cropped(picture, area, aspect, seed):
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


def coloured(picture, channels):
    """A picture of one channel or three with 1 channel, its brightness, or 3."""
    import tensorflow as tf

    if channels == 3:
        # One channel or three: a tensor of either kind is known only when it comes.
        return tf.broadcast_to(picture, tf.concat([tf.shape(picture)[:2], [3]], 0))
    return tf.cond(tf.shape(picture)[-1] == 3, lambda: grey(picture), lambda: picture[..., :1])


def grey(picture):
    """Its brightness, (height, width, 1)."""
    import tensorflow as tf

    if picture.shape[-1] == 1:
        return picture
    return tf.linalg.matvec(picture, GREY_WEIGHTS)[..., None]  # half the time of a product's sum


def resized(picture, height, width):
    """What `datasets.images.resize` does, of one picture, on every backend of Keras."""
    import tensorflow as tf

    def scaled(antialias):
        return lambda: tf.image.resize(picture, (height, width), antialias=antialias)

    # Enlarged it is the same either way, and five times as fast without.
    size = tf.shape(picture)
    smaller = tf.logical_or(size[0] > height, size[1] > width)
    return tf.cond(smaller, scaled(True), scaled(False))


def flipped(picture, seed):
    """Its mirror image, or itself, as chance has it."""
    import tensorflow as tf

    return mirrored(picture, tf.random.stateless_uniform((), seed) < 0.5)


def mirrored(picture, where):
    """Its mirror image where that is wanted, a boolean."""
    import tensorflow as tf

    # A slice with a step of -1 takes fifteen times as long.
    return tf.cond(where, lambda: tf.reverse(picture, [1]), lambda: picture)


def quarter_turned(picture, seed):
    """Rotated by 0, 90, 180 or 270 degrees, as chance has it.

    Raises:
        ValueError: the picture is no square.
    """
    import tensorflow as tf

    if picture.shape[0] != picture.shape[1]:
        raise ValueError(f"a picture of {picture.shape[1]}x{picture.shape[0]} is no square to turn")
    return tf.image.rot90(picture, tf.random.stateless_uniform((), seed, 0, 4, tf.int32))


def turned(picture, angle):
    """Rotate about the centre by an angle in radians."""
    import tensorflow as tf

    cosine, sine = tf.cos(angle), tf.sin(angle)
    x, y = (picture.shape[1] - 1) / 2, (picture.shape[0] - 1) / 2
    matrix = [cosine, -sine, x - cosine * x + sine * y, sine, cosine, y - sine * x - cosine * y]
    return projected(picture, matrix)


def projected(picture, matrix):
    """What lies at (a x + b y + c, d x + e y + f) of a picture goes to x, y.

    What comes in from outside is the picture mirrored at its edge.

    Args:
        picture: of a known size.
        matrix: a to f, numbers or scalar tensors.
    """
    import tensorflow as tf

    return tf.raw_ops.ImageProjectiveTransformV3(
        images=picture[None],
        transforms=tf.stack([*matrix, 0.0, 0.0])[None],
        output_shape=picture.shape[:2],
        fill_value=0.0,
        interpolation="BILINEAR",
        fill_mode="REFLECT",
    )[0]


def drawn_factor(change, seed):
    """A number between 1 - change and 1 + change."""
    import tensorflow as tf

    return tf.random.stateless_uniform((), seed, 1 - change, 1 + change)


def blended(picture, anchor, factor):
    """Away from or towards an anchor, such as its mean for contrast."""
    return anchor + (picture - anchor) * factor


def saturated(picture, factor):
    """Away from or towards its grey picture."""
    import tensorflow as tf

    if picture.shape[-1] == 1:
        return picture
    towards = (1 - factor) * tf.constant(GREY_WEIGHTS)[:, None]
    mixed = tf.matmul(tf.reshape(picture, [-1, 3]), factor * tf.eye(3) + towards)
    return tf.reshape(mixed, tf.shape(picture))


def erased(picture, share, seed):
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
