"""What chance does to a training face: to its picture, its landmarks, or both alike."""

from __future__ import annotations

from dataclasses import dataclass

from datasets.augmentation import PictureAugmentation
from datasets.landmarks import MIRROR
from datasets.picture_changes import apart, mirrored


@dataclass(frozen=True)
class FaceAugmentation:
    """Changes that keep an expression what it is. A face and its landmarks are mirrored together.

    Attributes:
        side: of the face, in pixels.
        picture: further changes to the picture, which must not mirror it. What crops or turns the
            picture leaves the landmarks where they are.
        jitter: standard deviation of what is added to each landmark, in pixels.
    """

    side: int
    picture: PictureAugmentation
    jitter: float = 0.0

    def __call__(self, sample: dict, seed) -> dict:
        """A sample, changed.

        Args:
            sample: `image`, (side, side, 1), 0 to 255, and `landmarks`, (68, 2), in pixels, where
                there are any.
            seed: (2,) integers; the same ones give the same change.
        """
        import tensorflow as tf

        drawn = tf.random.stateless_uniform((), apart(seed, "mirror")) < 0.5
        found = self.picture(sample, seed)
        found["image"] = mirrored(found["image"], drawn)
        if "landmarks" in sample:
            points = _swapped(sample["landmarks"], drawn, self.side)
            found["landmarks"] = _moved(points, self.jitter, seed)
        return found


@dataclass(frozen=True)
class LandmarkAugmentation:
    """The same for landmarks alone, a batch at once, which takes a fraction of the time.

    Attributes:
        side, jitter: see `FaceAugmentation`.
    """

    side: int
    jitter: float = 0.0

    def __call__(self, batch: dict, seed) -> dict:
        """A batch, changed.

        Args:
            batch: `landmarks`, (batch, 68, 2), in pixels.
            seed: (2,) integers; the same ones give the same change.
        """
        import tensorflow as tf

        points = batch["landmarks"]
        draws = tf.random.stateless_uniform(tf.shape(points)[:1], apart(seed, "mirror"))
        points = _swapped(points, draws[:, None, None] < 0.5, self.side)
        return {**batch, "landmarks": _moved(points, self.jitter, seed)}


def _swapped(points, where, side):
    """Landmarks (..., 68, 2), those of the mirrored face where that is wanted."""
    import tensorflow as tf

    points = tf.cast(points, tf.float32)
    swapped = tf.gather(points, MIRROR, axis=-2)
    swapped = tf.stack([side - 1 - swapped[..., 0], swapped[..., 1]], axis=-1)
    return tf.where(where, swapped, points)


def _moved(points, jitter, seed):
    """Each landmark a little from its place."""
    import tensorflow as tf

    if not jitter:
        return points
    draw = apart(seed, "jitter")
    return points + tf.random.stateless_normal(tf.shape(points), draw, 0, jitter)
