"""Pictures of different sizes as one array-like column of a table."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np


class Pictures:
    """uint8 pictures, each (height, width, 1 or 3) with a size of its own, in one buffer.

    Behaves like an array whose first axis runs along the pictures: `len`, iteration, a row number
    (gives a picture) and an array of row numbers or a slice (gives Pictures that share the buffer).

    Attributes:
        pixels: (bytes,) uint8, the pictures one after the other.
        starts: (pictures,) int64, where each picture begins in `pixels`.
        shapes: (pictures, 3) int32, height, width and channels of each picture.
    """

    def __init__(self, pixels: np.ndarray, starts: np.ndarray, shapes: np.ndarray):
        self.pixels, self.starts, self.shapes = pixels, starts, shapes

    @classmethod
    def of(cls, images: Iterable[np.ndarray]) -> Pictures:
        """Collect pictures.

        Raises:
            ValueError: one is not uint8 (height, width, 1 or 3).
        """
        images = list(images)
        for image in images:
            if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] not in (1, 3):
                raise ValueError(f"no picture: {image.dtype} {image.shape}")
        shapes = np.array([image.shape for image in images], np.int32).reshape(-1, 3)
        ends = np.cumsum(shapes.prod(axis=1, dtype=np.int64))
        pixels = np.concatenate([image.ravel() for image in images] or [np.zeros(0, np.uint8)])
        return cls(pixels, np.concatenate([[0], ends[:-1]]).astype(np.int64)[: len(images)], shapes)

    def __len__(self) -> int:
        return len(self.starts)

    def __getitem__(self, rows):
        if isinstance(rows, (int, np.integer)):
            start, shape = self.starts[rows], self.shapes[rows]
            return self.pixels[start : start + shape.prod(dtype=np.int64)].reshape(shape)
        return Pictures(self.pixels, self.starts[rows], self.shapes[rows])

    def __iter__(self) -> Iterator[np.ndarray]:
        return (self[row] for row in range(len(self)))
