"""The 68 points of a face, read by dlib's predictor, and how far each reading can be trusted.

As in the code of paper 004, the whole picture is the face's box; there is no detector. The points
are those of the iBUG 300-W scheme, in whole pixels. `datasets/detected_landmarks.py` has another
reading.

Readings are kept in a table (datasets/landmark_table.py), so work that was interrupted goes on
where it stopped, and finished work is not done again.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.util
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from tqdm import tqdm

from datasets.errors import InputError
from datasets.landmark_table import landmark_table

POINTS = 68

# The parts that NN2 reads, in the order of paper 004. By the iBUG scheme point 60 belongs to the
# inner lips; the paper counts it to the mouth.
PARTS = {
    "jaw": slice(0, 17),
    "right_brow": slice(17, 22),
    "left_brow": slice(22, 27),
    "nose": slice(27, 36),
    "right_eye": slice(36, 42),
    "left_eye": slice(42, 48),
    "mouth": slice(48, 61),
    "lips": slice(61, 68),
}
IBUG_PARTS = PARTS | {"mouth": slice(48, 60), "lips": slice(60, 68)}

# The point that each point becomes in the mirror.
MIRROR = np.array(
    [*range(16, -1, -1), *range(26, 16, -1), *range(27, 31), *range(35, 30, -1)]
    + [45, 44, 43, 42, 47, 46, 39, 38, 37, 36, 41, 40]
    + [*range(54, 47, -1), *range(59, 54, -1), *range(64, 59, -1), *range(67, 64, -1)]
)
# The columns of the table of readings, grouped by the parts of the face.
COLUMNS = [
    f"{part}_{point}_{axis}"
    for part, where in PARTS.items()
    for point in range(POINTS)[where]
    for axis in "xy"
]
_OUTER_EYE_CORNERS = (36, 45)
HALF_TRUST = 0.1  # mirror error of quality 0.5: the customary limit of a failed 300-W alignment

_CHUNK_FACES = 256
_CHUNK_BYTES = 32 * 2**20
_PARALLEL_FROM = 1000  # starting the processes takes a second or two

Box = tuple[int, int, int, int]


@dataclass(frozen=True)
class DlibPredictor:
    """dlib's shape predictor, loaded only where faces are read (it has 100 MB).

    Anything picklable and hashable with `identity` and `load` can stand in for it.
    """

    path: str

    @property
    def identity(self) -> str:
        """Hash of the predictor's file: readings of another predictor are not to be reused."""
        with open(self.path, "rb") as file:
            return hashlib.file_digest(file, "sha1").hexdigest()

    def load(self) -> Callable[[np.ndarray, Box], np.ndarray]:
        """A function (uint8 picture, box left-top-right-bottom) -> (68, 2) points, x before y."""
        import dlib

        try:
            predictor = dlib.shape_predictor(self.path)
        except RuntimeError as error:
            raise InputError(
                f"{self.path} is no landmark predictor of dlib ({error}): give the path of "
                "shape_predictor_68_face_landmarks.dat"
            ) from None

        def predict(image: np.ndarray, box: Box) -> np.ndarray:
            parts = predictor(image, dlib.rectangle(*box)).parts()
            return np.array([(part.x, part.y) for part in parts], np.int32)

        return predict


def predictor_path() -> Path:
    """The predictor's file: `$MENAGERIE_LANDMARKS`, or the one in face_recognition_models.

    Raises:
        InputError: there is none.
    """
    given = os.environ.get("MENAGERIE_LANDMARKS")
    if given:
        if not Path(given).is_file():
            raise InputError(f"MENAGERIE_LANDMARKS names {given}, which is no file: correct it")
        return Path(given)
    # Importing the package fails beside a new setuptools; only its data file is needed.
    spec = importlib.util.find_spec("face_recognition_models")
    for folder in (spec and spec.submodule_search_locations) or ():
        path = Path(folder, "models", "shape_predictor_68_face_landmarks.dat")
        if path.is_file():
            return path
    raise InputError(
        "the landmarks of these faces cannot be read, as the predictor is not installed: "
        'pip install -e ".[faces]"'
    )


def scale_points(
    points: np.ndarray, extents: np.ndarray, size: tuple[int, int] = (48, 48)
) -> np.ndarray:
    """Points in pixels of their own pictures, in pixels of the resized ones.

    Args:
        points: (faces, 68, 2), x before y.
        extents: height and width of each picture in pixels, (faces, 2).
        size: height and width of the resized pictures.

    Returns:
        (faces, 68, 2) float32.
    """
    factors = np.asarray(size)[::-1] / np.asarray(extents)[:, ::-1]
    return (points * factors[:, None]).astype(np.float32)


def mirrored_back(mirrored: np.ndarray, widths: np.ndarray) -> np.ndarray:
    """Points read in mirrored pictures, where they lie in the pictures as they are.

    Args:
        mirrored: (faces, 68, 2) pixels.
        widths: of each picture in pixels, (faces,).

    Returns:
        (faces, 68, 2) float64, each point under the number that it has in the picture as it is.
    """
    back = np.array(mirrored, float)[:, MIRROR]
    back[..., 0] = np.asarray(widths, float)[:, None] - 1 - back[..., 0]
    return back


def mirror_quality(points: np.ndarray, mirrored: np.ndarray, extents: np.ndarray) -> np.ndarray:
    """How well two readings of a face agree, one of them read in the mirror.

    A predictor that finds the features finds the same ones in the mirrored picture; where it
    guesses, the guesses differ. The mirror error is known to follow the true error: Yang and
    Patras, "Mirror, mirror on the wall, tell me, is the error small?", CVPR 2015.

    Args:
        points: (faces, 68, 2) pixels, read in the picture.
        mirrored: (faces, 68, 2) pixels, read in the mirrored picture, as they came.
        extents: height and width of each picture in pixels, (faces, 2).

    Returns:
        (faces,) float32 in (0, 1]: 1 / (1 + e / 0.1), where e is the mean distance of the two
        readings of a point, divided by the distance of the outer eye corners (at least a quarter
        of the picture's width, against collapsed readings).
    """
    widths = np.asarray(extents, float)[:, 1]
    distances = np.linalg.norm(points - mirrored_back(mirrored, widths), axis=-1).mean(axis=1)
    right, left = _OUTER_EYE_CORNERS
    eyes = np.linalg.norm(points[:, right] - points[:, left], axis=-1)
    error = distances / np.maximum(eyes, widths / 4)
    return (1 / (1 + error / HALF_TRUST)).astype(np.float32)


def extract_landmarks(
    images: list[np.ndarray],
    digests: list[str],
    predictor: DlibPredictor | None = None,
    workers: int | None = None,
    mirrored: bool = False,
) -> np.ndarray:
    """Read the landmarks of faces, or look them up where they were read before.

    Args:
        images: uint8 pictures (height, width, 1 or 3), each filled by one face.
        digests: content hash of every picture.
        predictor: what reads the points; by default dlib's with the file of `predictor_path`.
        workers: number of processes; by default one per core, and none for a small task.
        mirrored: read the mirror image of every picture instead, and leave the points there.

    Returns:
        The points (faces, 68, 2) float32 in pixels of each picture, x before y.

    Raises:
        InputError: the predictor is needed and not installed.
    """
    read = functools.partial(_read_side, mirrored)
    kind = "-mirrored" * mirrored
    points = kept_readings(images, digests, read, kind, COLUMNS, predictor, workers)
    return points.reshape(-1, POINTS, 2)


def landmark_quality(
    images: list[np.ndarray],
    digests: list[str],
    predictor: DlibPredictor | None = None,
    workers: int | None = None,
) -> np.ndarray:
    """How far the landmarks of each face can be trusted; takes as long again as reading them.

    Args and errors are those of `extract_landmarks`.

    Returns:
        (faces,) float32 in (0, 1], see `mirror_quality`.
    """
    points, mirrored = (
        extract_landmarks(images, digests, predictor, workers, side) for side in (False, True)
    )
    extents = np.array([image.shape[:2] for image in images]).reshape(-1, 2)
    return mirror_quality(points, mirrored, extents)


def kept_readings(
    images: list[np.ndarray],
    digests: list[str],
    read: Callable[[DlibPredictor, list[np.ndarray]], np.ndarray],
    kind: str,
    columns: list[str],
    predictor: DlibPredictor | None = None,
    workers: int | None = None,
) -> np.ndarray:
    """Read something of every face, or look it up in the table where it was read before.

    Args:
        images, digests, predictor, workers: see `extract_landmarks`.
        read: picklable; gives (faces, columns) of a predictor and some pictures.
        kind: of reading; each has its own table.
        columns: names of the numbers of one reading.

    Returns:
        (faces, columns) float32.

    Raises:
        InputError: the predictor is needed and not installed.
    """
    predictor = predictor or _installed(needed=False)
    first = {digest: row for row, digest in reversed(list(enumerate(digests)))}
    table = landmark_table(first, kind, columns)
    readings = table.read(predictor)
    missing = [row for digest, row in first.items() if digest not in readings]
    if missing:
        predictor = predictor or _installed(needed=True)
        table.begin(predictor)
        chunks = _read_faces(images, sorted(missing), functools.partial(read, predictor), workers)
        for rows, numbers in chunks:
            names = [digests[row] for row in rows]
            table.append(names, numbers)
            readings.update(zip(names, numbers, strict=True))
    found = np.array([readings[digest] for digest in digests], np.float32)
    return found.reshape(-1, len(columns))


def _installed(needed: bool) -> DlibPredictor | None:
    try:
        return DlibPredictor(str(predictor_path()))
    except InputError:
        if needed or os.environ.get("MENAGERIE_LANDMARKS"):
            raise
        return None  # a complete table does without it


# --- reading faces


def _read_faces(images, rows, read, workers) -> Iterator[tuple[list[int], np.ndarray]]:
    """Readings, chunk by chunk, as they get ready: row numbers, (chunk, columns) numbers."""
    chunks = _chunks(images, rows)
    if workers is None:
        workers = _cores() if len(rows) >= _PARALLEL_FROM else 1
    with tqdm(total=len(rows), desc="reading landmarks", unit="face", delay=1) as bar:
        pending = {chunk[0]: chunk for chunk in chunks}
        if min(workers, len(chunks)) > 1:
            try:
                for chunk, numbers in _in_parallel(images, chunks, read, workers):
                    del pending[chunk[0]]
                    yield chunk, numbers
                    bar.update(len(chunk))
            except BrokenProcessPool:
                # No processes here (a script without a main guard, a sandbox): go on in this one.
                bar.write("landmark processes ended early; reading in one process")
        for chunk in pending.values():
            yield chunk, read([images[row] for row in chunk])
            bar.update(len(chunk))


def _in_parallel(images, chunks, read, workers):
    # Spawned processes are safe beside a loaded TensorFlow, forked ones are not.
    pool = ProcessPoolExecutor(min(workers, len(chunks)), mp_context=get_context("spawn"))
    try:
        futures = {}
        for chunk in chunks:
            futures[pool.submit(read, [images[row] for row in chunk])] = chunk
        for future in as_completed(futures):
            yield futures[future], future.result()
    finally:
        pool.shutdown(cancel_futures=True)


def _chunks(images, rows) -> list[list[int]]:
    chunks, room = [], 0
    for row in rows:
        if room < images[row].nbytes or len(chunks[-1]) == _CHUNK_FACES:
            chunks.append([])
            room = max(_CHUNK_BYTES, images[row].nbytes)
        chunks[-1].append(row)
        room -= images[row].nbytes
    return chunks


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@functools.lru_cache(maxsize=1)
def loaded(predictor):
    """What a predictor's `load` gives, loaded once in each process."""
    return predictor.load()


def _read_side(mirrored: bool, predictor, images: list[np.ndarray]) -> np.ndarray:
    """Points (x0, y0, x1, ...) of some faces, (faces, 136) int32."""
    predict = loaded(predictor)
    points = []
    for image in images:
        height, width = image.shape[:2]
        pixels = image[..., 0] if image.shape[-1] == 1 else image
        # The paper's box reaches one pixel past the right edge, so its mirror image reaches one
        # past the left: with any other box the two readings would differ on a perfect face too.
        left = -1 if mirrored else 0
        pixels = np.ascontiguousarray(pixels[:, ::-1] if mirrored else pixels)
        points.append(predict(pixels, (left, 0, left + width, height)))
    return np.array(points).reshape(len(points), -1)
