"""What is dropped on the page: copied into a folder of its own, and bounded."""

from __future__ import annotations

import re
import shutil
import time
from dataclasses import dataclass
from pathlib import Path

from datasets.errors import InputError
from datasets.files import FileTree
from datasets.images import PICTURE_SUFFIXES
from datasets.recordings import RECORDING_SUFFIXES
from datasets.sheets import TABLE_SUFFIXES, read_sheet

MEGABYTE = 10**6
MOST_TABLE_BYTES = 20 * MEGABYTE
# All that stands before the last part of an absolute path.
_PLACE = re.compile(r"""(?<![\w.])(?:[A-Za-z]:\\|/)(?:[^\s/\\:;,'"]+[/\\])+""")


@dataclass(frozen=True)
class Limits:
    """What one request may cost.

    Attributes:
        megabytes: of what is uploaded, and of what a zip unpacks to.
        files: in one batch.
        seconds: after which no further file is begun.
    """

    megabytes: int = 200
    files: int = 2000
    seconds: int = 300


class Clock:
    """How much time of a request is left."""

    def __init__(self, seconds: float):
        self._end = time.monotonic() + seconds

    @property
    def is_over(self) -> bool:
        return time.monotonic() >= self._end


def kinds_of(hears: bool) -> tuple[str, ...]:
    """Endings of the files that a run can be asked about."""
    return tuple(RECORDING_SUFFIXES if hears else PICTURE_SUFFIXES)


def receive(uploads: list[Path], into: Path, hears: bool, limits: Limits) -> list[str]:
    """Copy what was uploaded, out of archives too, into an empty folder.

    Args:
        uploads: files as the browser sent them.
        into: the folder.
        hears: whether the run takes recordings, and no pictures and tables.
        limits: see `Limits`.

    Returns:
        What to ask the run about: the tables, or without one the folder.

    Raises:
        InputError: nothing of use, too much, a damaged archive, or a table that names files
            outside of what was uploaded.
    """
    wanted = kinds_of(hears) + (() if hears else tuple(TABLE_SUFFIXES))
    left = limits.megabytes * MEGABYTE
    kept = 0
    for upload in uploads:
        if upload.suffix.lower() == ".zip":
            found = _unpacked(upload, into, wanted)
        elif upload.suffix.lower() in wanted:
            found = _copied(upload, into)
        else:
            raise InputError(
                f"{upload.name} is none of {', '.join(wanted)} and no .zip: choose another file"
            )
        for size in found:
            kept, left = kept + 1, left - size
            if left < 0 or kept > limits.files:
                raise InputError(
                    f"more than {limits.megabytes} MB or {limits.files} files: send less at once, "
                    "or use run.py predict FOLDER --table FILE"
                )
    if not kept:
        raise InputError(f"there is none of {', '.join(wanted)} in it: choose another file")
    tables = [] if hears else sorted(_tables(into))
    for table in tables:
        _check_inside(table, into)
    return [str(table) for table in tables] or [str(into)]


def without_places(text: str) -> str:
    """A message without the folders of the files that it names."""
    return _PLACE.sub("", text)


def _copied(upload: Path, into: Path):
    target = into / upload.name
    if target.exists():
        raise InputError(f"{upload.name} was given twice: leave one out, or send a .zip")
    yield upload.stat().st_size
    shutil.copyfile(upload, target)


def _unpacked(upload: Path, into: Path, wanted: tuple[str, ...]):
    """Unpack an archive, saying the size of each file before it is written."""
    with FileTree(upload, wanted) as tree:
        for path in tree.paths:
            try:
                content = tree.read(path)
            except ValueError as error:
                raise InputError(f"{path} in {upload.name} {error}: send it without that") from None
            yield len(content)
            target = into / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)


def _tables(folder: Path):
    return (path for path in folder.rglob("*") if path.suffix.lower() in TABLE_SUFFIXES)


def _check_inside(table: Path, folder: Path) -> None:
    """Refuse a table whose cells lead to files of this machine that nobody uploaded."""
    if table.stat().st_size > MOST_TABLE_BYTES:
        raise InputError(f"{table.name} has more than {MOST_TABLE_BYTES // MEGABYTE} MB: split it")
    with table.open("rb") as stream:
        cells = read_sheet(stream, table.name).cells
    for column in cells:
        for cell in cells[column].astype(str).unique():
            place = (table.parent / cell.replace("\\", "/")).resolve()
            if not place.is_relative_to(folder.resolve()):
                raise InputError(
                    f"{table.name}, column {column}: '{cell}' is not among the uploaded files: "
                    "send the pictures together with the table, and name them relative to it"
                )
