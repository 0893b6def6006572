"""What a user asks a saved run about: pictures, folders of them, tables of specimens."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from datasets.base import content_digest
from datasets.errors import InputError
from datasets.images import PICTURE_SUFFIXES, batches_of_equal_shape, decode_image, shrink
from datasets.landmarks import extract_landmarks, scale_points
from datasets.sheets import TABLE_SUFFIXES
from datasets.specimens import NAMES, read_specimens


@dataclass
class Asked:
    """Samples to answer for.

    Attributes:
        names: path of each picture.
        images: uint8 pictures, each (height, width, 1 or 3).
        measurements: of each sample, (columns,) float32 with NaN where missing; no columns if the
            run has none.
        labels: class of each sample as a table says it, '' where it does not.
        broken: one line for each that could not be read.
    """

    names: list[str] = field(default_factory=list)
    images: list[np.ndarray] = field(default_factory=list)
    measurements: list[np.ndarray] = field(default_factory=list)
    labels: list[str] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)

    def unmeasured(self) -> int:
        """How many samples came without any measurement."""
        return sum(bool(np.isnan(row).all()) for row in self.measurements if len(row))


def read_asked(inputs: list[str], records: tuple) -> Asked:
    """Read what the user names, in the order given.

    Args:
        inputs: pictures, folders of them, tables of specimens or folders with one.
        records: of the run's inputs.

    Raises:
        InputError: something is not there, or a folder holds nothing to read.
    """
    asked = Asked()
    columns = next((one.columns for one in records if one.name == "measurements"), ())
    for text in inputs:
        path = Path(text).expanduser()
        if not path.exists():
            raise InputError(f"{path} does not exist: name a picture or a folder of pictures")
        if path.suffix.lower() in TABLE_SUFFIXES or any((path / name).exists() for name in NAMES):
            _read_table(asked, path, columns)
        else:
            _read_pictures(asked, path, len(columns))
    return asked


def outputs_for(network, records: tuple, asked: Asked) -> list[dict]:
    """Outputs of a SavedModel for each sample; pictures of one size share batches."""
    raw = _raw_inputs(records, asked)
    answers = [None] * len(asked.images)
    for rows in batches_of_equal_shape(asked.images):
        batch = {name: np.stack([values[row] for row in rows]) for name, values in raw.items()}
        outputs = {name: value.numpy() for name, value in network.serve(batch).items()}
        for place, row in enumerate(rows):
            answers[row] = {name: value[place] for name, value in outputs.items()}
    return answers


def _read_table(asked: Asked, path: Path, columns) -> None:
    table = read_specimens(path, columns)
    empty = np.zeros((len(table), 0), np.float32)
    asked.names += table.frame["key"].tolist()
    asked.images += list(table.modalities["image"])
    asked.measurements += list(table.modalities.get("measurements", empty))
    asked.labels += table.frame["label"].tolist()
    asked.broken += table.unreadable


def _read_pictures(asked: Asked, path: Path, columns: int) -> None:
    for file in _files(path):
        try:
            image = shrink(decode_image(file.read_bytes()))
        except (OSError, ValueError) as error:
            asked.broken.append(f"{file}: {error}; give a picture file")
            continue
        asked.names.append(str(file))
        asked.images.append(image)
        asked.measurements.append(np.full(columns, np.nan, np.float32))
        asked.labels.append("")


def _files(path: Path) -> list[Path]:
    """A picture, or all pictures below a folder."""
    if path.is_file():
        return [path]
    found = sorted(inner for inner in path.rglob("*") if inner.suffix.lower() in PICTURE_SUFFIXES)
    if not found:
        raise InputError(f"{path} holds no picture ({', '.join(PICTURE_SUFFIXES)})")
    return found


def _raw_inputs(records: tuple, asked: Asked) -> dict[str, list[np.ndarray]]:
    """What a run takes: input name -> one array per sample."""
    names = {record.name: record for record in records}
    raw = {"image": asked.images} if "image" in names else {}
    if "measurements" in names:
        raw["measurements"] = asked.measurements
    if "landmarks" in names:
        images = asked.images
        points = extract_landmarks(images, [content_digest(image) for image in images])
        if "image" not in names:
            frame = names["landmarks"].frame
            extents = np.array([image.shape[:2] for image in images])
            points = scale_points(points, extents, (frame, frame))
        raw["landmarks"] = list(points)
    return raw
