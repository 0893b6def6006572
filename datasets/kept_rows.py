"""What took long to find out, kept in a table on disk that is only ever added to.

Work that was interrupted so goes on where it stopped, and is not done again the next time.
"""

from __future__ import annotations

import csv
import hashlib
import logging
import os
import time
from collections.abc import Iterable

import numpy as np

from datasets.files import cache_folder
from datasets.picture_files import in_order

STAMP = ("path", "bytes", "time")  # the first columns of a table about files
_SECONDS = 1.0  # between two additions
_END = "."  # a row torn by a kill lacks it
_STAMPS_AT_ONCE = 4096

log = logging.getLogger("menagerie")


class KeptRows:
    """A table of text in `files.cache_folder()`, cells between tabs; the newest row counts."""

    def __init__(self, name: str, columns: Iterable[str], what: str):
        """Name the table; nothing is read or written yet.

        Args:
            name: of the file, without its suffix.
            columns: what its cells are called; the first one tells the rows apart.
            what: it holds, for the message that it cannot be written.
        """
        self._path = cache_folder() / f"{name}.tsv"
        self._columns, self._what = (*columns, "end"), what
        self._waiting: list[str] = []
        self._written = time.monotonic()
        self._given_up = False

    def read(self):
        """pandas.DataFrame of all whole rows, every cell a text; empty where there is no table."""
        import pandas as pd  # not needed in the processes that read faces

        try:
            rows = pd.read_csv(
                self._path, sep="\t", names=self._columns, dtype="str", quoting=csv.QUOTE_NONE,
                keep_default_na=False, on_bad_lines="skip", encoding_errors="replace",
                usecols=range(len(self._columns)),
            )  # fmt: skip
        except (OSError, ValueError):
            return pd.DataFrame(columns=self._columns, dtype="str")
        return rows[rows["end"] == _END]

    def add(self, *cells) -> None:
        """Add a row soon; one with a tab or a line break within a cell is not kept."""
        cells = [str(cell) for cell in cells]
        if not any(sign in cell for cell in cells for sign in "\t\r\n"):
            self._waiting.append("\t".join((*cells, _END)) + "\n")
        if time.monotonic() - self._written > _SECONDS:
            self.write()

    def write(self) -> None:
        """Add what waits, in one write: two processes at the same table add whole rows."""
        self._written = time.monotonic()
        if not self._waiting or self._given_up:
            return
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with open(self._path, "ab", buffering=0) as file:
                begin = "\n" if file.tell() else ""  # the last row may be torn
                file.write((begin + "".join(self._waiting)).encode(errors="replace"))
        except OSError as error:
            self._given_up = True
            log.warning(
                "%s cannot be kept in %s (%s) and will be looked for again next time: set "
                "MENAGERIE_CACHE to a folder that can be written to",
                self._what,
                self._path.parent,
                error.strerror,
            )
        self._waiting = []

    def remove(self) -> None:
        """Forget all rows."""
        self._path.unlink(missing_ok=True)


def of_folder(folder: str) -> str:
    """A name for what is kept about the files of a folder."""
    place = os.path.realpath(folder)
    return hashlib.sha1(place.encode(errors="replace"), usedforsecurity=False).hexdigest()


def file_stamps(folder: str, paths: np.ndarray) -> np.ndarray:
    """Bytes and time of the last change of each file, (files, 2) int64; -1 where it is not."""

    def look(rows: np.ndarray) -> np.ndarray:
        stamps = np.full((len(rows), 2), -1, np.int64)
        for place, row in enumerate(rows):
            try:
                found = os.stat(os.path.join(folder, paths[row]))
            except OSError:
                continue
            stamps[place] = found.st_size, found.st_mtime_ns
        return stamps

    pieces = np.array_split(np.arange(len(paths)), 1 + len(paths) // _STAMPS_AT_ONCE)
    return np.concatenate(list(in_order(look, pieces)))


def of_files(rows, paths: np.ndarray, stamps: np.ndarray):
    """The rows about these files in their order; `known` is whether they still hold.

    Args:
        rows: pandas.DataFrame as `KeptRows.read` gives it, whose first columns are `STAMP`.
        paths: (files,) of str, each once.
        stamps: (files, 2) as `file_stamps` gives them.
    """
    rows = rows.drop_duplicates("path", keep="last").set_index("path").reindex(paths)
    same = [
        rows[name].fillna("").to_numpy(object) == stamp.astype(str).astype(object)
        for name, stamp in zip(STAMP[1:], stamps.T, strict=True)
    ]
    return rows.assign(known=same[0] & same[1])
