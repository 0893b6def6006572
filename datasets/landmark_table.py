"""The table that keeps the readings of landmarks: one per data set, reused and gone on with.

It lies in `files.cache_folder()`. Rows are added while the faces are read.
"""

from __future__ import annotations

import hashlib
import io

import numpy as np

from datasets.kept_rows import KeptRows

KEPT_FROM = 100  # fewer faces are read again faster than a file of them is worth


def landmark_table(digests, kind: str, columns: list[str]) -> _Table | _Memory:
    """The table for faces with these digests, or what stands in for it where they are few.

    Args:
        digests: content hash of every picture, each once.
        kind: of reading, such as `-mirrored`; each has its own file.
        columns: names of the numbers of one reading.
    """
    if len(digests) < KEPT_FROM:
        return _Memory()
    name = hashlib.sha1("\n".join(sorted(digests)).encode(), usedforsecurity=False).hexdigest()
    return _Table(f"landmarks-{name}{kind}", columns)


class _Memory:
    """Stands in for the table where keeping the readings does not pay."""

    def read(self, predictor) -> dict[str, np.ndarray]:
        return {}

    def begin(self, predictor) -> None:
        pass

    def append(self, digests: list[str], numbers: np.ndarray) -> None:
        pass


class _Table:
    """Readings on disk: of every picture the digest, the predictor and the numbers in one cell."""

    def __init__(self, name: str, columns: list[str]):
        self._kept = KeptRows(name, ("digest", "predictor", "points"), "the landmarks")
        self._columns, self._identity = columns, ""

    def read(self, predictor) -> dict[str, np.ndarray]:
        """Readings by picture digest; without a predictor, those of the one that was last used."""
        import pandas as pd  # not needed in the processes that read faces

        rows = self._kept.read()
        if rows.empty:
            return {}
        identity = predictor.identity if predictor else rows["predictor"].iloc[-1]
        rows = rows[rows["predictor"] == identity]
        lines = io.StringIO("\n".join(rows["points"]))
        values = pd.read_csv(lines, names=self._columns, dtype=np.float32).to_numpy()
        return dict(zip(rows["digest"], values, strict=True))

    def begin(self, predictor) -> None:
        """Get ready to append what a predictor reads."""
        self._identity = predictor.identity

    def append(self, digests: list[str], numbers: np.ndarray) -> None:
        for digest, row in zip(digests, numbers.tolist(), strict=True):
            self._kept.add(digest, self._identity, ",".join(map(str, row)))
        self._kept.write()
