"""A user's table in a text file: its cells, and which of its columns hold numbers.

Separated by commas, semicolons or tabs, UTF-8 with or without a byte order mark, a header first.
"""

from __future__ import annotations

import csv
import io
from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from typing import BinaryIO

import numpy as np
import pandas as pd

from datasets.errors import InputError
from datasets.files import DAMAGE, damaged

TABLE_SUFFIXES = (".csv", ".tsv")
MISSING = frozenset(
    ("", "NA", "N/A", "n/a", "#N/A", "<NA>", "NaN", "nan", "NULL", "null", "-", "?")
)
_DELIMITERS = "\t;,"  # of equally many, the one that is the least usual inside a name
_COMMA_NUMBER = r"[+-]?\d+,\d+(?:[eE][+-]?\d+)?"
_POINT_NUMBER = r"[+-]?\d*\.\d+(?:[eE][+-]?\d+)?"


@dataclass(frozen=True)
class Numbers:
    """A column read as numbers.

    Attributes:
        values: (rows,) float64, NaN where there is none; possibly infinite.
        texts: (rows,) bool, the cells that are neither empty nor a number.
        kind: `number` where most of what the cells hold looks like numbers, `text`, or `empty`.
    """

    values: np.ndarray
    texts: np.ndarray
    kind: str

    @property
    def are_whole(self) -> bool:
        """Whether every cell is a whole number."""
        return bool(np.isfinite(self.values).all() and (self.values % 1 == 0).all())


@dataclass(frozen=True)
class Sheet:
    """The cells of a table.

    Attributes:
        where: the file, for messages.
        cells: (rows, columns) stripped text under the names of the header; '' where missing.
        rows: (rows,) number of each row as a spreadsheet shows it; the header is row 1.
        decimal: `.` or `,`.
    """

    where: str
    cells: pd.DataFrame
    rows: np.ndarray
    decimal: str

    def __len__(self) -> int:
        return len(self.rows)

    @cached_property
    def numbers(self) -> dict[str, Numbers]:
        """Every column read as numbers, by its name."""
        return {name: self._as_numbers(name) for name in self.cells}

    def _as_numbers(self, name: str) -> Numbers:
        cells = self.cells[name]
        filled = (cells != "").to_numpy()
        plain = cells.str.replace(",", ".", regex=False) if self.decimal == "," else cells
        values = pd.to_numeric(plain, errors="coerce").to_numpy(np.float64)
        texts = np.isnan(values) & filled
        # A number with the wrong decimal sign is a mistake to complain about, and no text.
        alike = int((filled & ~texts).sum() + cells[texts].str.fullmatch(_COMMA_NUMBER).sum())
        kind = "number" if 2 * alike > filled.sum() else "text"
        return Numbers(values, texts, kind if filled.any() else "empty")


def read_sheet(stream: BinaryIO, where: str) -> Sheet:
    """Read a table.

    Args:
        stream: the bytes of the file.
        where: the file, for messages.

    Raises:
        InputError: it is damaged, no UTF-8, has no row, a column twice, or a row of another length.
    """
    try:
        text = stream.read().decode("utf-8-sig")
    except UnicodeDecodeError:
        raise InputError(
            f"{where} is not text in UTF-8: save it as CSV in UTF-8 (no spreadsheet file)"
        ) from None
    except DAMAGE as error:
        raise damaged(where, error) from None
    delimiter = _delimiter(text)
    numbered = _records(text, delimiter, where)
    header = _header(numbered, where)
    filled = [(row, cells) for row, cells in numbered[1:] if any(cells)]
    if not filled:
        raise InputError(f"{where} has a header and no row below it: add a row per sample")
    records = [_fitted(cells, len(header), row, where) for row, cells in filled]
    frame = pd.DataFrame(records, columns=header)
    unnamed = [name for name in header if not name and (frame[name] == "").all()]
    frame = frame.drop(columns=unnamed).rename(columns={"": "(no name)"})
    rows = np.array([row for row, _ in filled])
    return Sheet(where, frame, rows, _decimal(frame, delimiter))


def _delimiter(text: str) -> str:
    header = text.lstrip("\r\n").partition("\n")[0]
    return max(_DELIMITERS, key=lambda sign: len(next(csv.reader([header], delimiter=sign), [])))


def _records(text: str, delimiter: str, where: str) -> list[tuple[int, list[str]]]:
    """Row number and stripped cells of every row, empty ones included."""
    found = []
    try:
        for cells in csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True):
            stripped = (cell.strip() for cell in cells)
            plain = ["" if cell in MISSING else cell for cell in stripped]
            found.append((len(found) + 1, plain))
    except csv.Error as error:
        raise InputError(
            f"{where}, row {len(found) + 1}: not readable as CSV ({error}): correct the row"
        ) from None
    return found


def _header(numbered: list[tuple[int, list[str]]], where: str) -> list[str]:
    while numbered and not any(numbered[0][1]):
        del numbered[0]
    if not numbered:
        raise InputError(f"{where} is empty: its first row names the columns")
    header = list(numbered[0][1])
    while not header[-1]:  # from separators at the ends of the rows
        del header[-1]
    name, times = Counter(header).most_common(1)[0]
    if times > 1:
        what = f"the column '{name}' stands twice" if name else "two columns have no name"
        raise InputError(f"{where}: {what} in the header: name every column once")
    return header


def _fitted(cells: list[str], width: int, row: int, where: str) -> list[str]:
    """The cells of a row, without empty ones past the header's last."""
    if len(cells) < width or any(cells[width:]):
        raise InputError(
            f"{where}, row {row}: {len(cells)} cells where the header has {width}: correct the "
            "row, or quote a cell that holds the separator"
        )
    return cells[:width]


def _decimal(frame: pd.DataFrame, delimiter: str) -> str:
    """The decimal sign: a comma only where that is what all fractions in the table have."""
    if delimiter == ",":
        return "."
    commas, points = (
        any(frame[name].str.fullmatch(form).any() for name in frame)
        for form in (_COMMA_NUMBER, _POINT_NUMBER)
    )
    return "," if commas and not points else "."
