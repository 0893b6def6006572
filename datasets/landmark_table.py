"""The table that keeps the readings of landmarks: a CSV per data set, reused and gone on with.

It lies in `files.cache_folder()`. Rows are appended while the faces are read.
"""

from __future__ import annotations

import hashlib
import io
import logging
import re
from pathlib import Path

import numpy as np

from datasets.files import cache_folder

KEPT_FROM = 100  # fewer faces are read again faster than a file of them is worth

log = logging.getLogger("menagerie")


def landmark_table(digests, mirrored: bool, columns: list[str]) -> _Table | _Memory:
    """The table for faces with these digests, or what stands in for it where they are few.

    Args:
        digests: content hash of every picture, each once.
        mirrored: whether the pictures are read in the mirror; such readings have their own file.
        columns: names of the numbers of one reading.
    """
    if len(digests) < KEPT_FROM:
        return _Memory()
    return _Table(_table_path(digests, mirrored), columns)


class _Memory:
    """Stands in for the table where keeping the readings does not pay."""

    def read(self, predictor) -> dict[str, np.ndarray]:
        return {}

    def begin(self, predictor) -> None:
        pass

    def append(self, digests: list[str], points: np.ndarray) -> None:
        pass


class _Table:
    """Readings on disk: CSV with a row per picture, append-only.

    A row ends in a full stop, so that one torn by a kill is told from a whole one.
    """

    _FORMAT = "# menagerie landmarks, format 2, predictor"

    def __init__(self, path: Path, columns: list[str]):
        self._path, self._given_up = path, False
        self._head = ",".join(["digest", *columns, "end"])
        numbers = rb"(-?\d+(?:,-?\d+){%d})" % (len(columns) - 1)
        self._row = re.compile(rb"^([0-9a-f]{40})," + numbers + rb",\.$", re.MULTILINE)

    def read(self, predictor) -> dict[str, np.ndarray]:
        """Whole rows by picture digest; none if the file is another predictor's."""
        import pandas as pd  # not needed in the processes that read faces

        try:
            content = self._path.read_bytes()
        except OSError:
            return {}
        head = f"{self._FORMAT} {predictor.identity if predictor else ''}".encode()
        if not content.startswith(head):
            return {}
        rows = self._row.findall(content)
        if not rows:
            return {}
        lines = io.BytesIO(b"\n".join(row for _, row in rows))
        values = pd.read_csv(lines, header=None, dtype=np.float32).to_numpy()
        return {digest.decode(): value for (digest, _), value in zip(rows, values, strict=True)}

    def begin(self, predictor) -> None:
        """Get ready to append: a new file, or a new line after a torn one."""
        head = f"{self._FORMAT} {predictor.identity}\n".encode()
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            if self._path.exists() and self._path.read_bytes()[: len(head)] == head:
                self._write(b"\n")
            else:
                self._path.write_bytes(head + f"{self._head}\n".encode())
        except OSError as error:
            self._give_up(error)

    def append(self, digests: list[str], points: np.ndarray) -> None:
        if self._given_up:
            return
        lines = (
            f"{digest},{','.join(map(str, row))},.\n"
            for digest, row in zip(digests, points.tolist(), strict=True)
        )
        try:
            self._write("".join(lines).encode())
        except OSError as error:
            self._give_up(error)

    def _give_up(self, error: OSError) -> None:
        """A table that cannot be written costs time next time, not this work."""
        self._given_up = True
        log.warning(
            "the landmarks cannot be kept in %s (%s) and will be read again next time: set "
            "MENAGERIE_CACHE to a folder that can be written to",
            self._path.parent,
            error.strerror,
        )

    def _write(self, data: bytes) -> None:
        # One write per chunk: two processes at the same table add whole chunks.
        with open(self._path, "ab", buffering=0) as file:
            file.write(data)


def _table_path(digests, mirrored: bool) -> Path:
    name = hashlib.sha1("\n".join(sorted(digests)).encode(), usedforsecurity=False).hexdigest()
    return cache_folder() / f"landmarks-{name}{'-mirrored' * mirrored}.csv"
