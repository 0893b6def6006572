"""Pictures that stay on disk, as an array-like column of a table.

More pictures than fit into memory are learnt from: each is decoded when it is asked for, and
forgotten after.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice

import numpy as np

from datasets.errors import InputError
from datasets.files import MAX_BYTES
from datasets.images import Fit, decode_image, fit_images, shrink

_AT_ONCE = 64  # pictures that are fitted together


class PictureFiles:
    """Pictures on disk, each (height, width, 1 or 3) uint8 with a size of its own.

    Behaves like an array whose first axis runs along the pictures: `len`, a row number (decodes a
    picture: upright, its shorter side at most `images.STORED_SIDE`), an array of row numbers or a
    slice (gives PictureFiles), and iteration, which decodes ahead over threads, in order.

    Attributes:
        folder: that the paths are relative to.
        paths: (pictures,) of str.
        boxes: (pictures, 4) float, x_min, y_min, x_max and y_max in pixels of the upright picture,
            what is cut out of each before it is made smaller; NaN for the whole picture. None for
            whole pictures.
    """

    def __init__(self, folder: str, paths: np.ndarray, boxes: np.ndarray | None = None):
        self.folder, self.paths, self.boxes = folder, paths, boxes

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, rows):
        boxes = None if self.boxes is None else self.boxes[rows]
        if isinstance(rows, (int, np.integer)):
            return _decode(os.path.join(self.folder, self.paths[rows]), boxes)
        return PictureFiles(self.folder, self.paths[rows], boxes)

    def __iter__(self) -> Iterator[np.ndarray]:
        return in_order(self.__getitem__, range(len(self)))

    def fitted(self, fit: Fit) -> FittedFiles:
        """These pictures as a network sees them, not read yet."""
        return FittedFiles(self, fit)


class FittedFiles:
    """Pictures on disk as a network sees them, (pictures, *fit.shape) float32, 0 to 255.

    Behaves like the array that `images.fit_images` makes of them, and reads what is asked for when
    it is: a row number gives a picture, an array of row numbers or a slice gives FittedFiles, and
    `numpy.asarray` reads them all.

    Attributes:
        files: the pictures.
        fit: how they are seen.
    """

    dtype = np.dtype(np.float32)

    def __init__(self, files: PictureFiles, fit: Fit):
        self.files, self.fit = files, fit

    @property
    def shape(self) -> tuple[int, ...]:
        return (len(self.files), *self.fit.shape)

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, rows):
        if isinstance(rows, (int, np.integer)):
            return fit_images([self.files[rows]], self.fit)[0].astype(np.float32, copy=False)
        return FittedFiles(self.files[rows], self.fit)

    def __array__(self, dtype=None, copy=None) -> np.ndarray:
        return self.read(self.files).astype(dtype or self.dtype, copy=False)

    def read(self, images: Iterable[np.ndarray]) -> np.ndarray:
        """(pictures, *fit.shape) float32 of pictures that are decoded as they are asked for."""
        images, pieces = iter(images), []
        while piece := list(islice(images, _AT_ONCE)):
            pieces.append(fit_images(piece, self.fit).astype(np.float32, copy=False))
        return np.concatenate(pieces) if pieces else np.zeros((0, *self.fit.shape), np.float32)


def read_file(path: str) -> bytes:
    """The bytes of a picture file.

    Raises:
        ValueError: it cannot be read or is too large; the reason is short.
    """
    if not os.path.isfile(path):
        raise ValueError("is not there")
    try:
        with open(path, "rb") as stream:
            data = stream.read(MAX_BYTES + 1)
    except OSError as error:
        raise ValueError(f"cannot be read ({error.strerror})") from None
    if len(data) > MAX_BYTES:
        raise ValueError("has more than the 64 MB allowed")
    return data


def threads() -> int:
    """How many pictures are decoded at a time: one for each core that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def in_order(work: Callable, items: Iterable) -> Iterator:
    """What `work` makes of each item, in their order, some ahead of need over threads.

    Args:
        work: such as decoding a picture, which lets other threads run.
        items: what it is given one by one.
    """
    items, waiting = iter(items), deque()
    with ThreadPoolExecutor(threads()) as pool:
        try:
            for item in islice(items, 4 * threads()):
                waiting.append(pool.submit(work, item))
            while waiting:
                yield waiting.popleft().result()
                for item in islice(items, 1):
                    waiting.append(pool.submit(work, item))
        finally:  # also where the one who asked has stopped asking
            pool.shutdown(wait=False, cancel_futures=True)


def box_bounds(boxes: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """Left, top, right and bottom of boxes in whole pixels, as far as they lie in the pictures.

    Args:
        boxes: (..., 4) x_min, y_min, x_max and y_max in pixels; NaN for the whole picture.
        sizes: (..., 2) height and width of each picture.

    Returns:
        (..., 4) int; left is right or more, or top bottom or more, where nothing lies in the box.
    """
    extents = sizes[..., ::-1]
    first = np.floor(np.maximum(np.where(np.isnan(boxes[..., :2]), 0, boxes[..., :2]), 0))
    last = np.where(np.isnan(boxes[..., 2:]), extents, boxes[..., 2:])
    last = np.ceil(np.minimum(last, extents))
    return np.concatenate([first, last], axis=-1).astype(np.int64)


def read_picture(path: str, box: np.ndarray | None = None) -> np.ndarray:
    """A picture, upright, (height, width, 1 or 3) uint8, its shorter side at most `STORED_SIDE`.

    Args:
        path: of the file.
        box: (4,) what is cut out of it before, as for `box_bounds`; None for nothing.

    Raises:
        ValueError: it cannot be read, or nothing of it lies in the box; the reason is short.
    """
    image = decode_image(read_file(path))
    if box is not None:
        left, top, right, bottom = box_bounds(np.asarray(box, float), np.array(image.shape[:2]))
        if left >= right or top >= bottom:
            raise ValueError(f"has nothing in the box (it is {image.shape[1]} x {image.shape[0]})")
        image = image[top:bottom, left:right]
    return shrink(image)


def _decode(path: str, box: np.ndarray | None) -> np.ndarray:
    try:
        return read_picture(path, box)
    except ValueError as error:
        raise InputError(
            f"{path} {error}: it was read before, so restore it, or start again"
        ) from None
