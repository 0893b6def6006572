"""A user's table in a text file: its cells, and which of its columns hold numbers.

Separated by commas, semicolons or tabs, UTF-8 with or without a byte order mark, a header first.
"""

from __future__ import annotations

import csv
import io
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
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
_SHARED = 100_000  # different cells that are held once, however often they stand there
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
    def numbers(self) -> Mapping[str, Numbers]:
        """Every column read as numbers, by its name, each when it is first asked for."""
        return _Numbers(self)


class _Numbers(Mapping):
    def __init__(self, sheet: Sheet):
        self._sheet, self._known = sheet, {}

    def __len__(self) -> int:
        return len(self._sheet.cells.columns)

    def __iter__(self) -> Iterator[str]:
        return iter(self._sheet.cells)

    def __getitem__(self, name: str) -> Numbers:
        if name not in self._known:
            self._known[name] = _as_numbers(self._sheet.cells[name], self._sheet.decimal)
        return self._known[name]


def _as_numbers(cells: pd.Series, decimal: str) -> Numbers:
    codes, names = pd.factorize(cells)  # each different cell is looked at once
    different, times = pd.Series(names), np.bincount(codes)
    filled = (different != "").to_numpy()
    plain = different.str.replace(",", ".", regex=False) if decimal == "," else different
    values = pd.to_numeric(plain, errors="coerce").to_numpy(np.float64)
    texts = np.isnan(values) & filled
    # A number with the wrong decimal sign is a mistake to complain about, and no text.
    alike = filled & (~texts | different.str.fullmatch(_COMMA_NUMBER).to_numpy())
    kind = "number" if 2 * times[alike].sum() > times[filled].sum() else "text"
    return Numbers(values[codes], texts[codes], kind if filled.any() else "empty")


def read_sheet(stream: BinaryIO, where: str) -> Sheet:
    """Read a table.

    Args:
        stream: the bytes of the file.
        where: the file, for messages.

    Raises:
        InputError: it is damaged, no UTF-8, has no row, a column twice, or a row of another length.
    """
    try:
        lines, delimiter = _lines(stream)
        frame, rows = _frame(_records(lines, delimiter, where), where)
    except UnicodeDecodeError:
        raise InputError(
            f"{where} is not text in UTF-8: save it as CSV in UTF-8 (no spreadsheet file)"
        ) from None
    except DAMAGE as error:
        raise damaged(where, error) from None
    unnamed = [name for name in frame if not name and (frame[name] == "").all()]
    frame = frame.drop(columns=unnamed).rename(columns={"": "(no name)"})
    return Sheet(where, frame, rows, _decimal(frame, delimiter))


def _lines(stream: BinaryIO) -> tuple[Iterable[str], str]:
    """The lines of a file, and what separates its cells."""
    text = io.TextIOWrapper(stream, "utf-8-sig", newline="")
    first = []
    for line in text:
        first.append(line)
        if line.strip("\r\n"):
            break
    header = "".join(first[-1:])
    cells = {sign: len(next(csv.reader([header], delimiter=sign), [])) for sign in _DELIMITERS}
    return chain(first, text), max(cells, key=cells.get)


def _records(lines: Iterable[str], delimiter: str, where: str) -> Iterator[tuple[int, list[str]]]:
    """Row number and stripped cells of every row, empty ones included."""
    shared: dict[str, str] = {}
    row = 0
    try:
        for row, cells in enumerate(csv.reader(lines, delimiter=delimiter, strict=True), 1):
            yield row, [shared.get(cell) or _cell(cell, shared) for cell in cells]
    except csv.Error as error:
        raise InputError(
            f"{where}, row {row + 1}: not readable as CSV ({error}): correct the row"
        ) from None


def _cell(cell: str, shared: dict[str, str]) -> str:
    """A cell without white space around it, '' where it says that something is missing."""
    stripped = cell.strip()
    plain = "" if stripped in MISSING else stripped
    if len(shared) < _SHARED:
        shared[cell] = plain
    return plain


def _frame(records: Iterator[tuple[int, list[str]]], where: str):
    """The cells under their names, and the number of each row."""
    header = _header(records, where)
    columns, rows = [[] for _ in header], array("q")
    for row, cells in records:
        if any(cells):
            rows.append(row)
            for column, cell in zip(columns, _fitted(cells, len(header), row, where), strict=True):
                column.append(cell)
    if not rows:
        raise InputError(f"{where} has a header and no row below it: add a row per sample")
    cells = pd.DataFrame(dict(zip(header, columns, strict=True)), dtype="str")
    return cells, np.asarray(rows, np.int64)


def _header(records: Iterator[tuple[int, list[str]]], where: str) -> list[str]:
    header = next((cells for _, cells in records if any(cells)), None)
    if header is None:
        raise InputError(f"{where} is empty: its first row names the columns")
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
    different = [pd.Series(frame[name].unique()) for name in frame]
    commas, points = (
        any(cells.str.fullmatch(form).any() for cells in different)
        for form in (_COMMA_NUMBER, _POINT_NUMBER)
    )
    return "," if commas and not points else "."
