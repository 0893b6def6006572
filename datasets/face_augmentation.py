"""What chance does to a training face: to its picture, its landmarks, or both alike."""

from __future__ import annotations

from dataclasses import dataclass

from datasets.augmentation import PictureAugmentation
from datasets.landmarks import MIRROR
from datasets.picture_changes import apart


@dataclass(frozen=True)
class FaceAugmentation:
    """Changes that keep an expression what it is. A face and its landmarks are mirrored together.

    Attributes:
        side: of the face, in pixels.
        picture: further changes to the picture, which must not mirror it; None for none. What
            crops or turns the picture leaves the landmarks where they are.
        jitter: standard deviation of what is added to each landmark, in pixels.
    """

    side: int
    picture: PictureAugmentation | None = None
    jitter: float = 0.0

    def __call__(self, sample: dict, seed) -> dict:
        """A sample, changed.

        Args:
            sample: `image`, (side, side, 1), 0 to 255, or `landmarks`, (68, 2), in pixels, or both.
            seed: (2,) integers; the same ones give the same change.
        """
        import tensorflow as tf

        mirrored = tf.random.stateless_uniform((), apart(seed, "mirror")) < 0.5
        found = dict(sample)
        if "image" in sample:
            if self.picture is not None:
                found = self.picture(found, seed)
            picture = tf.cast(found["image"], tf.float32)
            found["image"] = tf.cond(mirrored, lambda: picture[:, ::-1], lambda: picture)
        if "landmarks" in sample:
            points = tf.cast(sample["landmarks"], tf.float32)
            swapped = tf.gather(points, MIRROR)
            swapped = tf.stack([self.side - 1 - swapped[:, 0], swapped[:, 1]], axis=-1)
            points = tf.cond(mirrored, lambda: swapped, lambda: points)
            if self.jitter:
                draw = apart(seed, "jitter")
                points += tf.random.stateless_normal(points.shape, draw, 0, self.jitter)
            found["landmarks"] = points
        return found
