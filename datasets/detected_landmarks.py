"""The 68 points of a face, read twice: in the box of a detector, and in the mirror image of it.

dlib's predictor learnt its points on boxes of dlib's frontal face detector (King 2009, "Dlib-ml: A
Machine Learning Toolkit", JMLR 10), and gives them in whole pixels. So a picture is brought to a
size that shows the detector its face and makes a pixel small, and two readings are averaged.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
from PIL import Image

from datasets.landmarks import (
    COLUMNS,
    POINTS,
    Box,
    DlibPredictor,
    kept_readings,
    loaded,
    mirror_quality,
    mirrored_back,
)

READ_SIDE = 192  # pixels of the shorter side; the detector sees no face below 80
LOWEST_SCORE = -0.5  # of a detected box; 0 is dlib's own limit, for pictures that may hold no face
_TWICE = [*COLUMNS, *(f"mirrored_{name}" for name in COLUMNS), "found"]


@dataclass(frozen=True)
class DetectedLandmarks:
    """What was read of some faces.

    Attributes:
        points: (faces, 68, 2) float32 in pixels of each picture, x before y.
        quality: (faces,) float32 in (0, 1], see `landmarks.mirror_quality`.
        found: (faces,) bool, whether the detector found a face; where not, the whole picture was
            its box.
    """

    points: np.ndarray
    quality: np.ndarray
    found: np.ndarray


def detected_landmarks(
    images: list[np.ndarray],
    digests: list[str],
    predictor: DlibPredictor | None = None,
    workers: int | None = None,
) -> DetectedLandmarks:
    """Read the landmarks of faces, or look them up where they were read before.

    Args and errors are those of `landmarks.extract_landmarks`.
    """
    rows = kept_readings(images, digests, _read_twice, "-detected", _TWICE, predictor, workers)
    extents = np.array([image.shape[:2] for image in images], int).reshape(-1, 2)
    sizes = np.array([_read_size(*extent) for extent in extents], int).reshape(-1, 2)
    here, there = np.split(rows[:, :-1].reshape(-1, 2 * POINTS, 2), 2, axis=1)
    mean = (here + mirrored_back(there, sizes[:, 1])) / 2
    # The middle of a pixel stays where it is in the picture.
    points = (mean + 0.5) * (extents / sizes)[:, None, ::-1] - 0.5
    quality = mirror_quality(here, there, sizes)
    return DetectedLandmarks(points.astype(np.float32), quality, rows[:, -1] > 0)


def find_face(pixels: np.ndarray) -> Box | None:
    """The box of the likeliest face: left, top, right, bottom; None where there is none.

    Args:
        pixels: uint8 (height, width) or (height, width, 3).
    """
    boxes, scores, _ = _detector().run(pixels, 0, LOWEST_SCORE)
    if not boxes:
        return None
    best = boxes[int(np.argmax(scores))]
    return best.left(), best.top(), best.right(), best.bottom()


@functools.lru_cache(maxsize=1)
def _detector():
    import dlib

    return dlib.get_frontal_face_detector()


def _read_size(height: int, width: int) -> tuple[int, int]:
    """Height and width in which a picture of that size is read."""
    scale = READ_SIDE / min(height, width)
    return round(height * scale), round(width * scale)


def _read_twice(predictor, images: list[np.ndarray]) -> np.ndarray:
    """Of some faces the points, those read in the mirror, and whether a face was found there.

    Returns:
        (faces, 273) int32; the points in pixels of the size that `_read_size` says.
    """
    predict = loaded(predictor)
    return np.array([_read_face(predict, image) for image in images], np.int32)


def _read_face(predict, image: np.ndarray) -> np.ndarray:
    height, width = _read_size(*image.shape[:2])
    pixels = image[..., 0] if image.shape[-1] == 1 else image
    pixels = np.asarray(Image.fromarray(pixels).resize((width, height), Image.Resampling.BICUBIC))
    box = find_face(pixels)
    left, top, right, bottom = box or (0, 0, width, height)
    here = predict(pixels, (left, top, right, bottom))
    mirrored_box = (width - 1 - right, top, width - 1 - left, bottom)
    there = predict(np.ascontiguousarray(pixels[:, ::-1]), mirrored_box)
    return np.concatenate([here.ravel(), there.ravel(), [box is not None]])
