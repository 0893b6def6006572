"""A user's own specimens: a table with a picture, a label and measurements in every row.

A folder or an archive with one table, `specimens.csv` (or else its only CSV), or the path of a
table. The paths of the pictures are relative to the table, or absolute. What the columns are for is
told or inferred (`datasets/column_roles.py`).
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd

from datasets.base import Table
from datasets.column_roles import Decision, Roles, decide, ranks_to, some
from datasets.columns import Column
from datasets.errors import InputError
from datasets.files import FileTree, damaged
from datasets.folds import grouped
from datasets.images import PICTURE_SUFFIXES
from datasets.own_data import read_pictures, refuse_failures
from datasets.picture_files import read_file
from datasets.pictures import Pictures
from datasets.sample_rows import (
    failures_of_rows,
    find_table,
    frame_of_rows,
    inner_path,
    is_absolute,
    own_name,
    table_names,
)
from datasets.sheets import TABLE_SUFFIXES, Sheet, read_sheet

NAMES = table_names("specimens")
COLUMNS = "the columns image (path of the picture), species and measurements"
INFERRED = Roles()


def load(
    data_dir: str | Path,
    modalities: tuple[str, ...] = ("image", "measurements"),
    strict: bool = True,
    roles: Roles = INFERRED,
    columns: tuple[Column, ...] | None = None,
) -> Table:
    """The specimens of a table; their labels, sorted, are the classes.

    A specimen whose picture cannot be read, or that has no label, is left out and named; more than
    1 % of them stop the reading. One without measurements stays. The digest is that of the picture
    alone: so a run that was trained on pictures only, or on other columns, or before a specimen was
    measured again, recognises what it has seen, and configurations with and without measurements
    can be compared on the same samples. The price is that two specimens in one picture count as
    copies of each other.

    Args:
        data_dir: a folder, an archive or a table.
        modalities: without `measurements` in it the pictures are read alone.
        strict: False where the specimens are only judged: a single class will do then, and neither
            ranks nor group need be there.
        roles: what the user says about the columns.
        columns: the measurements of a trained run, whose order and codes then count.

    Returns:
        A table with the modalities `image` (Pictures) and, if there are any, `measurements`
        (rows, columns) float32, NaN where missing. Its frame keeps the other columns as text, ''
        where missing, under their own names; one that is called like a column of the frame's own
        gets `table_` before it. Its notes say how they were read.

    Raises:
        InputError: the table or a column is missing, cells or pictures cannot be read, or there is
            nothing to tell apart.
    """
    strange = sorted(set(modalities) - {"image", "measurements"})
    if strange:
        raise InputError(f"specimens have no {strange[0]}: take another data set by --data")
    measured = "measurements" in modalities
    with _open(data_dir) as place:
        decision = decide(place.sheet, roles, columns, measured, judged=not strict)
        table = _build(place, decision, columns, stop=True)
    if strict and len(table.labels) < 2:
        raise InputError(
            f"{place.sheet.where} holds one class only, '{table.labels[0]}', in its column "
            f"'{decision.label}': add specimens of another class, or name another --label"
        )
    if strict and measured and roles.measurements != "none" and not table.columns:
        raise InputError(
            f"{place.sheet.where} has no column of numbers to take for measurements: name columns "
            "of text by --measurements, or say --measurements none"
        )
    return table


def read_specimens(
    path: str | Path,
    columns: tuple[Column, ...] = (),
    need_label: bool = False,
    roles: Roles = INFERRED,
) -> Table:
    """New specimens that a run is asked about.

    Args:
        path: a folder, an archive or a table.
        columns: the measurements of the run, in its order and with its codes.
        need_label: whether a table, or a specimen, without a label is refused.
        roles: what the user says about the columns.

    Returns:
        A table as `load` gives it. The label is '' where there is none, and every specimen that
        cannot be read is named in `unreadable`, however many they are.

    Raises:
        InputError: the table or a column is missing, or a cell cannot be read.
    """
    with _open(path) as place:
        decision = decide(place.sheet, roles, columns, bool(columns), True, need_label)
        return _build(place, decision, columns, stop=False, need_label=need_label)


@dataclass(frozen=True)
class _Place:
    """A table and where its pictures lie.

    Attributes:
        sheet: the table.
        name: what people call it.
        tree: the folder or archive; None where the table itself was named.
        folder: of the table, in the tree or on disk.
    """

    sheet: Sheet
    name: str
    tree: FileTree | None
    folder: str

    @cached_property
    def inside(self) -> frozenset[str]:
        """The files of the tree."""
        return frozenset(self.tree.paths if self.tree else ())

    def resolve(self, path: str) -> str:
        """The normal form of a picture's path: absolute, or relative to the tree or the table.

        Raises:
            InputError: a relative path leaves the folder.
        """
        return inner_path(path, self.folder if self.tree else "", self.sheet.where)

    def in_storage_order(self, paths: Iterable[str]) -> list[str]:
        paths = set(paths)
        ordered = self.tree.in_storage_order(paths & self.inside) if self.tree else ()
        return [*ordered, *sorted(paths - self.inside)]

    def read(self, path: str) -> bytes:
        """The bytes of a picture by its resolved path; a ValueError says why it has none."""
        if not path.lower().endswith(PICTURE_SUFFIXES):
            raise ValueError(f"is no picture file ({', '.join(PICTURE_SUFFIXES)})")
        if self.tree is None or is_absolute(path):
            return read_file(path if self.tree else str(Path(self.folder) / path))
        if path not in self.inside:
            raise ValueError("is not there")
        return self.tree.read(path)


@contextmanager
def _open(location: str | Path) -> Iterator[_Place]:
    location = Path(location).expanduser()
    if location.is_file() and location.name.lower().endswith(TABLE_SUFFIXES):
        try:
            with open(location, "rb") as stream:
                sheet = read_sheet(stream, str(location))
        except OSError as error:
            raise damaged(location, error) from None
        yield _Place(sheet, location.name, None, str(location.parent))
        return
    with FileTree(location, (*TABLE_SUFFIXES, *PICTURE_SUFFIXES)) as tree:
        path = find_table(tree.paths, "specimens", tree.location, COLUMNS)
        with tree.open(path) as stream:
            sheet = read_sheet(stream, str(tree.location / path))
        yield _Place(sheet, tree.location.name, tree, posixpath.dirname(path))


def _build(place: _Place, decision: Decision, columns, stop: bool, need_label: bool = True):
    """The table of the specimens that can be read."""
    sheet = place.sheet
    read_columns, values, notes = _measurements(sheet, decision, columns)
    paths = [path and place.resolve(path) for path in sheet.cells[decision.image]]
    unlabelled = _without_label(sheet, decision, need_label)
    images, digests, broken = read_pictures(
        place.in_storage_order(path for path in paths if path), place.read
    )
    failures = failures_of_rows(sheet, paths, broken, unlabelled, decision.label)
    if stop:
        refuse_failures(sheet.where, failures, len(sheet), "specimens")
    kept = np.array([path in images for path in paths]) & ~unlabelled
    paths = [path for path, is_kept in zip(paths, kept, strict=True) if is_kept]
    frame = frame_of_rows(sheet, decision)[kept].reset_index(drop=True)
    frame["digest"] = [digests[path] for path in paths]
    notes += _missing(values[kept], sheet.rows[kept])
    modalities = {"image": Pictures.of(images[path] for path in paths)}
    if read_columns:
        modalities["measurements"] = values[kept]
    table = Table(
        name="specimens",
        provenance=f"The user's own specimens, {place.name}",
        labels=tuple(sorted(set(frame["label"]) - {""})),
        frame=frame,
        modalities=modalities,
        unreadable=tuple(f"{which}: {reason}" for which, reason in failures.items()),
        columns=read_columns,
        ranks=tuple(own_name(rank, decision) for rank in ranks_to(decision)),
        notes=(*decision.lines, *notes),
    )
    return grouped(table, decision.group and own_name(decision.group, decision))


def _without_label(sheet: Sheet, decision: Decision, needed: bool) -> np.ndarray:
    if decision.label is None or not needed:
        return np.zeros(len(sheet), bool)
    return (sheet.cells[decision.label] == "").to_numpy()


def _measurements(sheet: Sheet, decision: Decision, columns: tuple[Column, ...] | None):
    """The columns of the measurements, their values (rows, columns) float32, and what to say."""
    read, values, notes = [], np.empty((len(sheet), len(decision.measurements)), np.float32), []
    known = {column.name: column for column in columns or ()}
    for place, name in enumerate(decision.measurements):
        column = known.get(name) or _column(sheet, name)
        if column.values:
            values[:, place] = _codes(sheet.cells[name], column, notes)
        else:
            values[:, place] = _finite(sheet, name)
        read.append(column)
    return tuple(read), values, notes


def _column(sheet: Sheet, name: str) -> Column:
    if sheet.numbers[name].kind != "text":
        return Column(name)
    return Column(name, tuple(sorted(set(sheet.cells[name]) - {""})))


def _codes(cells: pd.Series, column: Column, notes: list[str]) -> np.ndarray:
    """The index of each value, (rows,), NaN where it is missing or not among the column's."""
    codes = pd.Index(column.values).get_indexer(cells).astype(np.float32)
    strange = sorted(set(cells[codes < 0]) - {""})
    if strange:
        count = int(cells.isin(strange).sum())
        notes.append(
            f"{column.name}: unknown to the run and read as missing: {some(strange)} "
            f"(rows: {count:,})"
        )
    return np.where(codes < 0, np.float32(np.nan), codes)


def _finite(sheet: Sheet, name: str) -> np.ndarray:
    """The numbers of a column, (rows,) float32, NaN where missing.

    Raises:
        InputError: a cell holds no number, or one without an end.
    """
    numbers = sheet.numbers[name]
    with np.errstate(over="ignore"):
        values = numbers.values.astype(np.float32)
    for odd, what in ((numbers.texts, "is no number"), (np.isinf(values), "is not finite")):
        if odd.any():
            first = int(np.argmax(odd))
            raise InputError(
                f"{sheet.where}, row {sheet.rows[first]}, column '{name}': "
                f"'{sheet.cells[name].iloc[first][:40]}' {what}: correct it, leave the cell empty "
                "where nothing was measured, or name the columns that count by --measurements"
            )
    return values


def _missing(values: np.ndarray, rows: np.ndarray) -> list[str]:
    """What to say about missing measurements, (specimens, columns)."""
    gone = np.isnan(values)
    if not gone.any():
        return []
    lines = [f"missing measurements: {int(gone.sum()):,} of {gone.size:,}"]
    lone = [str(row) for row in rows[gone.all(axis=1)]]
    if lone:
        lines.append(f"  specimens without any, kept for their pictures: rows {some(lone)}")
    return lines
