"""A user's own class folders.

`DIR/class/*.jpg`, or `DIR/{train,validation,test}/class/*.jpg` with the customary other names of
the parts; in a folder, a .zip or a .tar.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
from tqdm import tqdm

from datasets.base import Table, content_digest
from datasets.errors import InputError
from datasets.files import FileTree
from datasets.images import PICTURE_SUFFIXES, decode_image, shrink
from datasets.pictures import Pictures

PART_NAMES = {
    "train": "train",
    "training": "train",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "publictest": "validation",
    "test": "test",
    "testing": "test",
    "privatetest": "test",
}
UNREADABLE_SHARE = 0.01
LANDMARK_READINGS = {  # and how a card says it: of paper 004, and of datasets/detected_landmarks.py
    "picture": "dlib's 68 points, the whole picture as box",
    "detected": "the mean of dlib's 68 points in a detected box and in its mirror image",
}


@dataclass(frozen=True)
class ClassFolders:
    """The pictures of class folders, sorted by their paths.

    Attributes:
        location: the folder or the archive they come from.
        paths: relative posix path of every picture.
        labels: class name of every picture.
        parts: `train`, `validation`, `test` or '' for every picture.
        images: uint8 pictures (height, width, 1 or 3), those of many megapixels made smaller.
        digests: content hash of every picture as decoded.
        unreadable: one line "path: reason" per picture that could not be read.
    """

    location: Path
    paths: list[str]
    labels: list[str]
    parts: list[str]
    images: list[np.ndarray]
    digests: list[str]
    unreadable: tuple[str, ...]

    def frame(self) -> pd.DataFrame:
        """The table's rows: `key`, `label`, `part` and `digest`."""
        return pd.DataFrame(
            {
                "key": self.paths,
                "label": self.labels,
                "part": self.parts,
                "digest": self.digests,
            }
        )


@dataclass(frozen=True)
class FacePoints:
    """What a face table holds beside its pictures.

    Attributes:
        arrays: the modality `landmarks` (faces, 68, 2) float32, if asked for.
        quality: its quality score (faces,), if asked for.
        undetected: how many faces the detector of the landmarks' reading did not find; their
            landmarks were read in the whole picture.
    """

    arrays: dict[str, np.ndarray] = field(default_factory=dict)
    quality: dict[str, np.ndarray] = field(default_factory=dict)
    undetected: int = 0

    @property
    def notes(self) -> tuple[str, ...]:
        """Lines on how the landmarks were read."""
        if not self.undetected:
            return ()
        return (
            f"no face was detected in {self.undetected:,} pictures, whose landmarks were read in "
            "the whole picture",
        )


def load(
    data_dir: str | Path,
    modalities: tuple[str, ...] = ("image",),
    strict: bool = True,
    reading: str = "picture",
) -> Table:
    """Class folders as a table of pictures; the folder names, sorted, are the classes.

    Args:
        data_dir: a folder or an archive of class folders.
        modalities: what to read: `image`, and `landmarks` where the pictures are faces.
        strict: False where the pictures are only judged: a single class will do then.
        reading: of the landmarks, one of `LANDMARK_READINGS`.

    Returns:
        A table with the modality `image` (Pictures) and, if asked for, `landmarks` in pixels of a
        face of 48x48.

    Raises:
        InputError: nothing or too little can be read, or a class folder is empty.
    """
    found = read_class_folders(data_dir, allow_empty=not strict)
    labels = tuple(sorted(set(found.labels)))
    if strict and len(labels) < 2:
        raise InputError(
            f"{data_dir} holds one class only, '{labels[0]}': add a folder for each further class"
        )
    faces = face_points(found.images, found.digests, modalities, reading)
    return Table(
        name="folders",
        provenance=f"The user's own pictures in class folders, {found.location.name}",
        labels=labels,
        frame=found.frame(),
        modalities={"image": Pictures.of(found.images), **faces.arrays},
        unreadable=found.unreadable,
        quality=faces.quality,
        notes=faces.notes,
    )


def face_points(
    images: list[np.ndarray],
    digests: list[str],
    modalities: tuple[str, ...],
    reading: str = "picture",
    size: tuple[int, int] | None = (48, 48),
) -> FacePoints:
    """What a face table holds beside its pictures.

    Args:
        images: uint8 pictures (height, width, 1 or 3).
        digests: content hash of every picture.
        modalities: what is wanted, of which `landmarks` and `landmark_quality` are made here.
        reading: of the landmarks, one of `LANDMARK_READINGS`.
        size: height and width of the face that the landmarks are scaled to; None leaves them in
            pixels of each picture.

    Raises:
        InputError: the landmark predictor is needed and not installed.
    """
    if "landmarks" not in modalities:
        return FacePoints()
    from datasets.detected_landmarks import detected_landmarks
    from datasets.landmarks import extract_landmarks, landmark_quality, scale_points

    scored, undetected = "landmark_quality" in modalities, 0
    if reading == "detected":
        read = detected_landmarks(images, digests)
        points, quality = read.points, read.quality
        undetected = int(np.sum(~read.found))
    else:
        points = extract_landmarks(images, digests)
        quality = landmark_quality(images, digests) if scored else None
    if size is not None:
        extents = np.array([image.shape[:2] for image in images]).reshape(-1, 2)
        points = scale_points(points, extents, size)
    return FacePoints({"landmarks": points}, {"landmarks": quality} if scored else {}, undetected)


def read_class_folders(
    data_dir: str | Path,
    name_class: Callable[[str], str] = str,
    allow_empty: bool = False,
) -> ClassFolders:
    """Read the pictures of class folders.

    Args:
        data_dir: a folder or an archive of class folders.
        name_class: class name of a folder's name; may raise an InputError. It is called for each
            folder before any picture is read.
        allow_empty: whether a class folder may be without a picture.

    Returns:
        The pictures, sorted by their paths.

    Raises:
        InputError: the location is missing or damaged, holds no class folders or an empty one, or
            more than 1 % of its pictures cannot be read.
    """
    with FileTree(data_dir, PICTURE_SUFFIXES, keep=PART_NAMES) as tree:
        depth = 1 if _has_parts(tree) else 0
        named = {name: name_class(name) for name in _class_names(tree, depth)}
        if not named:
            raise InputError(
                f"{tree.location} holds no pictures in class folders: expected CLASS/*.jpg or "
                "train/CLASS/*.jpg (and validation, test) in it"
            )
        if not allow_empty:
            _refuse_empty(tree, depth)
        images, digests, failures = _read_pictures(tree, depth)
        refuse_failures(tree.location, failures, len(tree.paths))
    paths = sorted(images)
    pieces = [path.split("/") for path in paths]
    return ClassFolders(
        location=tree.location,
        paths=paths,
        labels=[named[piece[depth]] for piece in pieces],
        parts=[PART_NAMES[piece[0].lower()] if depth else "" for piece in pieces],
        images=[images[path] for path in paths],
        digests=[digests[path] for path in paths],
        unreadable=tuple(f"{path}: {reason}" for path, reason in failures.items()),
    )


def _has_parts(tree: FileTree) -> bool:
    """Whether the upper folders are parts: one is named so and has pictures in folders below."""
    return any(
        path.count("/") > 1 and path.split("/")[0].lower() in PART_NAMES for path in tree.paths
    )


def _class_names(tree: FileTree, depth: int) -> list[str]:
    pieces = (path.split("/") for path in tree.paths)
    return sorted({piece[depth] for piece in pieces if _is_classed(piece, depth)})


def _is_classed(piece: list[str], depth: int) -> bool:
    """Whether a path lies in a class folder (and that, where parts are used, in a part)."""
    return len(piece) > depth + 1 and (depth == 0 or piece[0].lower() in PART_NAMES)


def _refuse_empty(tree: FileTree, depth: int) -> None:
    filled = {
        "/".join(path.split("/")[: level + 1]) + "/"
        for path in tree.paths
        for level in range(depth + 1)
    }
    for folder in tree.folders:
        if folder.count("/") <= depth + 1 and folder not in filled:
            raise InputError(
                f"{tree.location}: the folder '{folder.rstrip('/')}' holds no picture: add "
                "pictures to it or remove it"
            )


def _read_pictures(tree: FileTree, depth: int):
    classed = {path for path in tree.paths if _is_classed(path.split("/"), depth)}
    images, digests, failures = read_pictures(tree.in_storage_order(classed), tree.read)
    failures |= {path: "lies in no class folder" for path in set(tree.paths) - classed}
    return images, digests, dict(sorted(failures.items()))


def read_pictures(paths: Iterable[str], read: Callable[[str], bytes]):
    """Decode pictures.

    Args:
        paths: of the pictures, each once, in the order in which they are best read.
        read: gives the bytes of a path; raises a ValueError with a short reason where it cannot.

    Returns:
        By path: the uint8 pictures, those of many megapixels made smaller; the content hashes of
        the pictures as decoded; and why others could not be read.
    """
    images, digests, failures = {}, {}, {}
    paths = list(paths)
    # The delay keeps small sets quiet; tqdm writes to standard error.
    for path in tqdm(paths, "reading pictures", delay=2, leave=False):
        try:
            image = decode_image(read(path))
        except ValueError as error:
            failures[path] = str(error)
        else:
            images[path], digests[path] = shrink(image), content_digest(image)
    return images, digests, failures


def refuse_failures(where, failures: dict[str, str], total: int, kind: str = "pictures") -> None:
    """Stop where too many samples cannot be read.

    Args:
        where: the folder, archive or table, for the message.
        failures: sample -> why it cannot be used.
        total: number of samples, those included.
        kind: what a sample is.

    Raises:
        InputError: they are more than 1 % of the samples.
    """
    if len(failures) <= UNREADABLE_SHARE * total:
        return
    first, reason = next(iter(failures.items()))
    raise InputError(
        f"{where}: {len(failures)} of {total} {kind} cannot be used, more than "
        f"the {UNREADABLE_SHARE:.0%} allowed; the first, {first}, {reason}: repair or "
        "remove them"
    )
