"""FER2013: 35,887 faces of 48x48 grey pixels, each under one of seven emotions.

Source: the Kaggle challenge "Challenges in Representation Learning: Facial Expression Recognition
Challenge" (2013); Goodfellow et al., "Challenges in Representation Learning: A report on three
machine learning contests", ICONIP 2013. The pictures were collected from the web and are for
research use only. They are not distributed with this code: download `fer2013.csv` or
`icml_face_data.csv` from the challenge's page and pass its folder.

Formats: `fer2013.csv` (emotion, pixels, Usage), `icml_face_data.csv` (emotion, Usage, pixels),
`train.csv` (emotion, pixels), and pictures in class folders, with or without the folders Training,
PublicTest and PrivateTest (or train, validation, test); all of it in a folder, a .zip or a .tar.
"""

from __future__ import annotations

import csv
import hashlib
import io
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pandas as pd

from datasets.base import Table, content_digest
from datasets.emotions import EMOTIONS
from datasets.errors import InputError
from datasets.files import ARCHIVE_SUFFIXES, DAMAGE, FileTree, damaged
from datasets.images import PICTURE_SUFFIXES, Fit, fit_images
from datasets.own_data import PART_NAMES, face_points, read_class_folders

SIDE = 48
PIXELS = SIDE * SIDE

# MD5 sums of the files as published by Kaggle, in the order of preference. (test.csv, with
# b02c2298636a634e8c2faabbf3ea9a23, has no emotions.)
PUBLISHED = {
    "fer2013.csv": "f8428a1edbd21e88f42c73edd2a14f95",
    "icml_face_data.csv": "b114b9e04e6949e5fe8b6a98b3892b1d",
    "train.csv": "3f0dfb3d3fd99c811a1299cb947e3131",
}

_VARIANTS = {
    "anger": "angry",
    "disgusted": "disgust",
    "fearful": "fear",
    "scared": "fear",
    "happiness": "happy",
    "sadness": "sad",
    "surprised": "surprise",
}
_NAMES = (
    {name: name for name in EMOTIONS}
    | {str(index): name for index, name in enumerate(EMOTIONS)}
    | _VARIANTS
)
_CHUNK = 128  # rows of a CSV that are parsed at once: 1 MB of text stays in the processor's cache


@dataclass(frozen=True)
class _Faces:
    """The rows of a table before it is one."""

    frame: pd.DataFrame
    images: list[np.ndarray]
    format: str
    unreadable: tuple[str, ...] = ()


def load(
    data_dir: str | Path,
    modalities: tuple[str, ...] = ("image",),
    strict: bool = True,
    reading: str = "picture",
) -> Table:
    """FER2013, or faces of one's own in one of its formats.

    Args:
        data_dir: a CSV, or a folder or an archive of a CSV or of class folders.
        modalities: what to read: `image`, and if wanted `landmarks` and `landmark_quality`.
        strict: False where faces are only judged: emotions may be missing then, and unknown ones
            stay in the table as labels outside its classes.
        reading: of the landmarks, one of `own_data.LANDMARK_READINGS`.

    Returns:
        A table with the modality `image` (rows, 48, 48, 1) and, if asked for, `landmarks`
        (rows, 68, 2) float32 in pixels of that face, with their quality. CSV rows keep their
        order, pictures are sorted by path.

    Raises:
        InputError: the data are missing, damaged or not in one of the formats; an emotion is
            unknown or, if strict, has no face; the landmark predictor is not installed.
    """
    location = Path(data_dir).expanduser()
    faces = _read_csv(location, strict) or _read_folders(location, strict)
    if strict:
        _refuse_missing(location, faces.frame["label"])
    digests = faces.frame["digest"].tolist()
    points = face_points(faces.images, digests, modalities, reading, (SIDE, SIDE))
    return Table(
        name="fer2013",
        provenance=(
            f"{len(faces.frame):,} faces in the format of FER2013 (Kaggle challenge, Goodfellow et "
            f"al. 2013; research use only), {faces.format}"
        ),
        labels=EMOTIONS,
        frame=faces.frame,
        modalities={"image": fit_images(faces.images, Fit(SIDE, SIDE)), **points.arrays},
        unreadable=faces.unreadable,
        quality=points.quality,
        notes=points.notes,
    )


def emotion_name(text: str) -> str | None:
    """The emotion of an index 0 to 6 or of a name, customary variants included; None if unknown."""
    return _NAMES.get(text.strip().lower())


def _refuse_missing(location: Path, labels: pd.Series) -> None:
    missing = [emotion for emotion in EMOTIONS if emotion not in set(labels)]
    if missing:
        raise InputError(
            f"{location}: no face for {', '.join(missing)}: add some, or pass --data folders to "
            "train on the folders that are there"
        )


# --- class folders


def _read_folders(location: Path, strict: bool) -> _Faces:
    def name_class(folder: str) -> str:
        name = emotion_name(folder)
        if name is None and strict:
            raise InputError(
                f"{location}: the folder '{folder}' is no emotion; the seven are "
                f"{', '.join(EMOTIONS)}: rename it, or pass --data folders to use the folder names "
                "as classes"
            )
        return name or folder

    found = read_class_folders(location, name_class, allow_empty=not strict)
    kind = "folders of pictures" if found.location.is_dir() else "an archive of pictures"
    return _Faces(
        found.frame(), found.images, f"from {kind}, {found.location.name}", found.unreadable
    )


# --- CSV


def _read_csv(location: Path, strict: bool) -> _Faces | None:
    """The faces of the location's CSV; None if it has none."""
    if location.is_file() and location.suffix.lower() == ".csv":
        try:
            with open(location, "rb") as stream:
                return _parse(stream, location.name, str(location), strict)
        except OSError as error:
            raise damaged(location, error) from None
    with FileTree(location, (".csv", *PICTURE_SUFFIXES)) as tree:
        tables = [path for path in tree.paths if path.lower().endswith(".csv")]
        path = _choose([path for path in tables if _holds_faces(tree, path)])
        pictures = len(tables) < len(tree.paths) or _holds_archive(tree.location)
        if path is None and not pictures:  # say what is wrong with the table
            path = _choose(tables)
        if path is None:
            return None  # tables beside pictures are notes about them
        with tree.open(path) as stream:
            return _parse(stream, path, str(tree.location / path), strict)


def _choose(paths: list[str]) -> str | None:
    """The published file of that name, or else the only one."""
    for name in PUBLISHED:
        for path in paths:
            if path.lower().split("/")[-1] == name:
                return path
    return paths[0] if len(paths) == 1 else None


def _holds_faces(tree: FileTree, path: str) -> bool:
    """Whether the header of a table names what makes a face."""
    with tree.open(path) as stream:
        header = stream.readline(1000).decode("utf-8-sig", "replace").lower()
    return {"emotion", "pixels"} <= {name.strip(' "\r\n') for name in header.split(",")}


def _holds_archive(location: Path) -> bool:
    return location.is_dir() and any(
        path.name.lower().endswith(ARCHIVE_SUFFIXES) for path in location.iterdir()
    )


@dataclass
class _Rows:
    """What the rows of a CSV gather to."""

    lines: list[int] = field(default_factory=list)
    labels: list[str] = field(default_factory=list)
    parts: list[str] = field(default_factory=list)
    pixels: list[np.ndarray] = field(default_factory=list)


def _parse(stream: BinaryIO, name: str, where: str, strict: bool) -> _Faces:
    source = _Summed(stream)
    text = io.TextIOWrapper(
        io.BufferedReader(source, 2**20), "utf-8-sig", errors="replace", newline=""
    )
    rows, pending, lines = _Rows(), [], []
    for line, emotion, pixels, usage in _records(text, where):
        rows.labels.append(_label(emotion, where, line, strict))
        rows.parts.append(_part(usage, where, line, strict))
        pending.append(pixels)
        lines.append(line)
        if len(pending) == _CHUNK:
            rows.pixels.append(parse_pixels(pending, lines, where))
            rows.lines += lines
            pending, lines = [], []
    if pending:
        rows.pixels.append(parse_pixels(pending, lines, where))
        rows.lines += lines
    if not rows.lines:
        raise InputError(f"{where} has a header and no row: it looks truncated; download it again")
    return _from_rows(rows, name, source.md5.hexdigest())


def _from_rows(rows: _Rows, name: str, md5: str) -> _Faces:
    images = list(np.concatenate(rows.pixels).reshape(-1, SIDE, SIDE, 1))
    frame = pd.DataFrame(
        {
            "key": [f"{name}:{line}" for line in rows.lines],
            "label": rows.labels,
            "part": rows.parts,
            "digest": [content_digest(image) for image in images],
        }
    )
    return _Faces(frame, images, f"from the table {name}, {_comparison(name, md5)}")


def _comparison(name: str, md5: str) -> str:
    published = PUBLISHED.get(name.split("/")[-1].lower())
    if md5 in PUBLISHED.values():
        return "which matches the published checksum"
    if published is None:
        return "for which no checksum is published"
    return "which differs from the published file"


class _Summed(io.RawIOBase):
    """A stream that sums up what is read from it: the file is large, once through is enough."""

    def __init__(self, stream: BinaryIO):
        self._stream = stream
        self.md5 = hashlib.md5(usedforsecurity=False)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer) -> int:
        data = self._stream.read(len(buffer))
        buffer[: len(data)] = data
        self.md5.update(data)
        return len(data)


def _records(text, where: str) -> Iterator[tuple[int, str, str, str]]:
    """Line number, emotion, pixels and usage of every row."""
    number = 1
    try:
        columns = _columns(_fields(text.readline()), where)
        emotion, pixels = columns["emotion"], columns["pixels"]
        usage = columns.get("usage")
        for number, line in enumerate(text, 2):
            row = _fields(line)
            if not row:
                continue
            if len(row) != len(columns):
                raise InputError(
                    f"{where}, line {number}: {len(row)} columns where the header has "
                    f"{len(columns)}: correct or remove the row"
                )
            yield number, row[emotion], row[pixels], "" if usage is None else row[usage]
    except csv.Error as error:
        raise InputError(
            f"{where}, line {number}: not readable as CSV ({error}): correct the row"
        ) from None
    except DAMAGE as error:
        raise damaged(where, error) from None


def _fields(line: str) -> list[str]:
    # Splitting is three times faster than the csv module, which is needed for quotes only.
    if '"' in line:
        return next(csv.reader([line]), [])
    line = line.rstrip("\r\n")
    return line.split(",") if line else []


def _columns(header: list[str], where: str) -> dict[str, int]:
    columns = {name.strip().lower(): index for index, name in enumerate(header)}
    for name in ("emotion", "pixels"):
        if name not in columns:
            found = ", ".join(name.strip()[:20] for name in header[:8]) or "nothing"
            raise InputError(
                f"{where}, line 1: the column '{name}' is missing; found: {found}. Needed are "
                "emotion and pixels, and Usage for the publisher's split"
            )
    if len(columns) != len(header):
        raise InputError(f"{where}, line 1: a column stands twice in the header: rename one")
    return columns


def _label(text: str, where: str, line: int, strict: bool) -> str:
    name = emotion_name(text)
    if name is None and strict:
        raise InputError(
            f"{where}, line {line}: unknown emotion '{text.strip()[:40]}': use 0 to "
            f"{len(EMOTIONS) - 1} or one of {', '.join(EMOTIONS)}"
        )
    return name or text.strip()


def _part(text: str, where: str, line: int, strict: bool) -> str:
    name = text.strip()
    part = PART_NAMES.get(name.lower())
    if part is None and name and strict:
        raise InputError(
            f"{where}, line {line}: unknown Usage '{name[:40]}': use Training, PublicTest or "
            "PrivateTest"
        )
    return part or ""


def parse_pixels(texts: list[str], lines: list[int], where: str) -> np.ndarray:
    """The pixels of some rows, all at once.

    Args:
        texts: of each row the 2,304 numbers from 0 to 255, divided by spaces.
        lines: of each row its line number, for messages.
        where: the file, for messages.

    Returns:
        (rows, 2304) uint8.

    Raises:
        InputError: a row has too few or too many pixels, or one that is no number up to 255.
    """
    buffer = np.frombuffer(" ".join([*texts, ""]).encode(), np.uint8)
    digits = buffer - np.uint8(ord("0"))  # other characters wrap round to more than 9
    ends = np.flatnonzero(buffer == ord(" "))
    widths = ends.copy()
    widths[1:] -= ends[:-1] + 1
    row_ends = np.cumsum([len(text) + 1 for text in texts]) - 1
    counts = np.diff(np.searchsorted(ends, row_ends), prepend=-1)
    if (
        np.count_nonzero(digits < 10) + len(ends) == len(buffer)
        and widths.min() >= 1
        and widths.max() <= 3
        and (counts == PIXELS).all()
    ):
        values = _numbers(digits, ends, widths)
        if values is not None:
            return values.reshape(-1, PIXELS)
    # The slow way words the complaint, and reads rows that are merely spaced unusually.
    return np.stack([_parse_row(*row, where) for row in zip(texts, lines, strict=True)])


def _numbers(digits: np.ndarray, ends: np.ndarray, widths: np.ndarray) -> np.ndarray | None:
    """Numbers of one to three digits that end before `ends`, (numbers,) uint8; None if over 255."""
    digits = digits * (digits < 10)  # a gap before a number adds nothing to it
    units, tens = digits[ends - 1], digits[ends - 2]
    # The digit two before the last is the number's own only where it has three.
    hundreds = digits[ends - 3] * (widths == 3)
    rest = 10 * tens + units
    if (hundreds > 2).any() or rest[hundreds == 2].max(initial=0) > 55:
        return None
    return 100 * hundreds + rest


def _parse_row(text: str, line: int, where: str) -> np.ndarray:
    words = text.split()
    if len(words) != PIXELS:
        raise InputError(
            f"{where}, line {line}: {len(words):,} pixels where {PIXELS:,} ({SIDE}x{SIDE}) are "
            "needed: correct or remove the row"
        )
    for position, word in enumerate(words, 1):
        if not (word.isascii() and word.isdigit() and int(word) <= 255):
            raise InputError(
                f"{where}, line {line}: pixel {position} is '{word[:20]}' where a number from 0 to "
                "255 is needed: correct or remove the row"
            )
    return np.array(words, dtype=np.uint8)
