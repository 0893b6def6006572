"""What a user asks a saved run about: pictures or recordings, folders or tables of them."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path

import numpy as np

from datasets.base import content_digest
from datasets.errors import InputError
from datasets.images import (
    PICTURE_SUFFIXES,
    Fit,
    batches_of_equal_shape,
    decode_image,
    fit_images,
    shrink,
)
from datasets.observations import BOX, BOX_VIEW
from datasets.own_data import face_points
from datasets.picture_files import read_picture
from datasets.recordings import RECORDING_SUFFIXES, read_recording, resampled
from datasets.sheets import TABLE_SUFFIXES, read_sheet
from datasets.specimens import NAMES, read_specimens

OBSERVATIONS = "observations.csv"
PIECE = 256  # pictures or recordings that are in memory together
TOGETHER = 32  # pictures that a network looks at together
AHEAD = 2  # such batches that are prepared while it looks at one


@dataclass
class Asked:
    """Samples to answer for.

    Attributes:
        names: path of each picture or recording.
        images: uint8 pictures, each (height, width, 1 or 3).
        measurements: of each sample, (columns,) float32 with NaN where missing; no columns if the
            run has none.
        labels: class of each sample as a table says it, '' where it does not.
        broken: one line for each that could not be read.
        waveforms: of runs that hear, (samples,) float32 of each recording at the run's rate.
        boxes: of runs that look at a box, (4,) x_min to y_max in pixels of the file, or None.
        views: of runs that see further pictures of a sample, input name -> one for each sample.
        undetected: in how many pictures no face was detected; known once `raw_inputs` has read
            their landmarks.
    """

    names: list[str] = field(default_factory=list)
    images: list[np.ndarray] = field(default_factory=list)
    measurements: list[np.ndarray] = field(default_factory=list)
    labels: list[str] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)
    waveforms: list[np.ndarray] = field(default_factory=list)
    boxes: list[np.ndarray | tuple | None] = field(default_factory=list)
    views: dict[str, list[np.ndarray]] = field(default_factory=dict)
    undetected: int = 0

    def unmeasured(self) -> int:
        """How many samples came without any measurement."""
        return sum(bool(np.isnan(row).all()) for row in self.measurements if len(row))


def read_asked(inputs: list[str], records: tuple, box: tuple | None = None) -> Asked:
    """Read what the user names, in the order given.

    Args:
        inputs: pictures, folders of them, tables of specimens or folders with one; recordings and
            folders of them of a run that hears.
        records: of the run's inputs.
        box: x_min, y_min, x_max and y_max in pixels of the one picture; None for no box.

    Raises:
        InputError: something is not there, a folder holds nothing to read, or a view is missing.
    """
    further = _further_views(records)
    asked = Asked(views={name: [] for name in further})
    if box is not None and BOX_VIEW not in further:
        raise InputError("--box: the run looks at no box; leave it out")
    columns = next((one.columns for one in records if one.name == "measurements"), ())
    rate = _rate(records)
    paths = _existing(inputs, rate)
    if further:
        for path in paths:
            _read_views(asked, path, box)
    for is_table, some in () if further else groupby(paths, lambda path: _is_table(path, rate)):
        if is_table:
            for path in some:
                _read_table(asked, path, columns)
        else:
            files = [file for path in some for file in _files(path, rate)]
            if rate is None:
                _read_pictures(asked, files, len(columns))
            else:
                _read_recordings(asked, files, rate)
    return asked


def asked_in_pieces(
    inputs: list[str], records: tuple, box: tuple | None = None, most: int = PIECE
) -> Iterator[Asked]:
    """As `read_asked`, at most `most` files at a time, so that memory does not grow with them.

    A table, and all that a run of several views is asked, is one piece.

    Raises:
        InputError: as `read_asked`; before the first piece where something is not there.
    """
    rate = _rate(records)
    if _further_views(records) or box is not None:
        yield read_asked(inputs, records, box)
        return
    pieces = []
    for is_table, some in groupby(_existing(inputs, rate), lambda path: _is_table(path, rate)):
        files = [file for path in some for file in ([path] if is_table else _files(path, rate))]
        step = 1 if is_table else most
        pieces += [files[start : start + step] for start in range(0, len(files), step)]
    for piece in pieces:
        yield read_asked(list(map(str, piece)), records)


def check_there(inputs: list[str], records: tuple) -> None:
    """Find out before a network is loaded that what the user names is there.

    Raises:
        InputError: it is not.
    """
    _existing(inputs, _rate(records))


def _further_views(records: tuple) -> list[str]:
    return [one.name for one in records if one.name.startswith("image_")]


def _rate(records: tuple) -> int | None:
    """Samples per second of a run that hears; None for one that sees."""
    return next((one.rate for one in records if one.name == "waveform"), None)


def _existing(inputs: list[str], rate: int | None) -> list[Path]:
    paths = [Path(text).expanduser() for text in inputs]
    for path in paths:
        if not path.exists():
            kind = _kind(rate)
            raise InputError(f"{path} does not exist: name a {kind} or a folder of {kind}s")
    return paths


def _kind(rate: int | None) -> str:
    return "picture" if rate is None else "recording"


def _is_table(path: Path, rate: int | None) -> bool:
    if rate is not None:
        return False
    return path.suffix.lower() in TABLE_SUFFIXES or any((path / name).exists() for name in NAMES)


def outputs_for(network, records: tuple, asked: Asked) -> list[dict]:
    """Outputs of a SavedModel for each sample."""
    raw = raw_inputs(records, asked)
    # Runs of earlier versions answer for raw pictures alone.
    if _can_be_fitted(records, asked) and hasattr(network, "serve_fitted"):
        return _by_fitted(network, records, raw)
    answers = [None] * len(asked.names)
    for rows in _batches(asked):
        batch = {name: np.stack([values[row] for row in rows]) for name, values in raw.items()}
        for row, answer in zip(rows, _one_by_one(network.serve(batch), len(rows)), strict=True):
            answers[row] = answer
    return answers


def _batches(asked: Asked) -> list[list[int]]:
    """Row numbers of samples whose pictures have one size."""
    if asked.views or asked.waveforms:  # several sizes or lengths agree seldom
        return [[row] for row in range(len(asked.names))]
    return batches_of_equal_shape(asked.images)


def _can_be_fitted(records: tuple, asked: Asked) -> bool:
    """Whether there are several pictures, and nothing that is measured on them."""
    looked_at = {"measurements", *(one.name for one in records if isinstance(one, Fit))}
    return len(asked.images) > 1 and all(record.name in looked_at for record in records)


def _by_fitted(network, records: tuple, raw: dict[str, list[np.ndarray]]) -> list[dict]:
    """Outputs for each sample; some are fitted to the network while it looks at others."""
    count = len(next(iter(raw.values())))

    def fitted(start: int) -> dict[str, np.ndarray]:
        found = {}
        for record in records:
            values = raw[record.name][start : start + TOGETHER]
            found[record.name] = (
                fit_images(values, record).astype(np.float32, copy=False)
                if isinstance(record, Fit)
                else np.stack(values)
            )
        return found

    answers, ahead = [], deque()
    with ThreadPoolExecutor(AHEAD) as pool:
        for start in range(0, count, TOGETHER):
            ahead.append(pool.submit(fitted, start))
            if len(ahead) > AHEAD:
                answers += _looked_at(network, ahead.popleft().result())
        for prepared in ahead:
            answers += _looked_at(network, prepared.result())
    return answers


def _looked_at(network, batch: dict[str, np.ndarray]) -> list[dict]:
    return _one_by_one(network.serve_fitted(batch), len(next(iter(batch.values()))))


def _one_by_one(outputs: dict, count: int) -> list[dict]:
    """What is answered for a batch, sample by sample."""
    arrays = {name: value.numpy() for name, value in outputs.items()}
    return [{name: value[row] for name, value in arrays.items()} for row in range(count)]


def _read_views(asked: Asked, path: Path, box: tuple | None) -> None:
    """Samples of several views: rows of a table, or one picture and the box in it."""
    if path.is_dir() and (path / OBSERVATIONS).is_file():
        path = path / OBSERVATIONS
    if path.suffix.lower() in TABLE_SUFFIXES:
        samples = _rows(path, list(asked.views))
    elif list(asked.views) == [BOX_VIEW] and box is not None and path.is_file() and not asked.names:
        samples = [(str(path), {"image": (path, None), BOX_VIEW: (path, box)})]
    else:
        table = f"a table with the columns {', '.join(_columns(list(asked.views)))}"
        ways = f"one picture and --box X_MIN,Y_MIN,X_MAX,Y_MAX, or {table}"
        raise InputError(
            f"{path}: the run looks at {' and '.join(asked.views)} of every sample too: give "
            f"{ways if list(asked.views) == [BOX_VIEW] else table}"
        )
    for name, views in samples:
        try:
            found = {view: read_picture(str(file), cut) for view, (file, cut) in views.items()}
        except ValueError as error:
            asked.broken.append(f"{name}: {error}; give a picture file")
            continue
        asked.names.append(name)
        asked.images.append(found.pop("image"))
        asked.boxes.append(views.get(BOX_VIEW, (None, None))[1])
        asked.measurements.append(np.zeros(0, np.float32))
        asked.labels.append("")
        for view, image in found.items():
            asked.views[view].append(image)


def _rows(path: Path, views: list[str]) -> list[tuple[str, dict]]:
    """Of each row of a table, the name and view -> (file, box or None)."""
    with path.open("rb") as stream:
        sheet = read_sheet(stream, str(path))
    columns = {name.lower(): name for name in sheet.cells}
    missing = [name for name in _columns(views) if name not in columns]
    if missing:
        raise InputError(f"{path} has no column {missing[0]}, which the run looks at: add it")
    boxes = None
    if BOX_VIEW in views:
        boxes = np.stack([sheet.numbers[columns[name]].values for name in BOX], axis=1)
    samples = []
    for row in range(len(sheet)):
        files = {
            view: path.parent / sheet.cells[columns[view]].iloc[row]
            for view in ("image", *views)
            if view != BOX_VIEW
        }
        found = {view: (file, None) for view, file in files.items()}
        if boxes is not None:
            found[BOX_VIEW] = (files["image"], boxes[row])
        samples.append((str(files["image"]), found))
    return samples


def _columns(views: list[str]) -> list[str]:
    """The columns of a table that hold the picture and these views."""
    found = ["image", *(view for view in views if view != BOX_VIEW)]
    return found + list(BOX) * (BOX_VIEW in views)


def _read_table(asked: Asked, path: Path, columns) -> None:
    table = read_specimens(path, columns)
    empty = np.zeros((len(table), 0), np.float32)
    asked.names += table.frame["key"].tolist()
    asked.images += list(table.modalities["image"])
    asked.measurements += list(table.modalities.get("measurements", empty))
    asked.labels += table.frame["label"].tolist()
    asked.broken += table.unreadable


def _read_pictures(asked: Asked, files: list[Path], columns: int) -> None:
    with ThreadPoolExecutor() as pool:  # decoding leaves Python alone
        for file, found in zip(files, pool.map(_decoded, files), strict=True):
            if isinstance(found, str):
                asked.broken.append(f"{file}: {found}; give a picture file")
                continue
            asked.names.append(str(file))
            asked.images.append(found)
            asked.measurements.append(np.full(columns, np.nan, np.float32))
            asked.labels.append("")


def _decoded(file: Path) -> np.ndarray | str:
    """The picture, or why there is none."""
    try:
        return shrink(decode_image(file.read_bytes()))
    except (OSError, ValueError) as error:
        return str(error)


def _read_recordings(asked: Asked, files: list[Path], rate: int) -> None:
    for file in files:
        try:
            waveform = resampled(*read_recording(str(file)), rate)
        except ValueError as error:
            asked.broken.append(f"{file}: {error}; give a sound file")
            continue
        asked.names.append(str(file))
        asked.waveforms.append(waveform)
        asked.labels.append("")


def _files(path: Path, rate: int | None) -> list[Path]:
    """A file, or all pictures or recordings below a folder."""
    if path.is_file():
        return [path]
    suffixes = PICTURE_SUFFIXES if rate is None else RECORDING_SUFFIXES
    found = sorted(inner for inner in path.rglob("*") if inner.suffix.lower() in suffixes)
    if not found:
        raise InputError(f"{path} holds no {_kind(rate)} ({', '.join(suffixes)})")
    return found


def raw_inputs(records: tuple, asked: Asked) -> dict[str, list[np.ndarray]]:
    """What a run takes: input name -> one array per sample."""
    names = {record.name: record for record in records}
    raw = {"image": asked.images} if "image" in names else {}
    raw |= asked.views
    if "waveform" in names:
        raw["waveform"] = asked.waveforms
    if "measurements" in names:
        raw["measurements"] = asked.measurements
    if "landmarks" in names:
        record, alone = names["landmarks"], "image" not in names
        digests = [content_digest(image) for image in asked.images]
        size = (record.frame, record.frame) if alone else None
        read = face_points(asked.images, digests, ("landmarks",), record.reading, size)
        asked.undetected = read.undetected
        raw["landmarks"] = list(read.arrays["landmarks"])
    return raw
