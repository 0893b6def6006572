"""What the users' tables of samples have in common: which file, which picture, which frame."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Collection, Iterable, Mapping

import numpy as np
import pandas as pd

from datasets.base import OWN_COLUMNS
from datasets.column_roles import Decision, some
from datasets.errors import InputError
from datasets.own_data import PART_NAMES
from datasets.sheets import TABLE_SUFFIXES, Sheet

_DRIVE = re.compile(r"[A-Za-z]:/")


def find_table(paths: Iterable[str], kind: str, location, columns: str) -> str:
    """The path of the one table that is meant: by its name, or because it is the only one.

    Args:
        paths: of files, among them the tables.
        kind: its name without ending, such as `specimens`.
        location: the folder or archive, for messages.
        columns: what it should hold, for messages.

    Raises:
        InputError: there is none, or more than one.
    """
    tables = [path for path in paths if path.lower().endswith(TABLE_SUFFIXES)]
    names = table_names(kind)
    found = [path for path in tables if path.lower().split("/")[-1] in names] or tables
    if len(found) == 1:
        return found[0]
    if not found:
        raise InputError(f"{location} holds no table: put {kind}.csv in it, with {columns}")
    raise InputError(
        f"{location} holds {len(found)} tables ({some(found)}): call the one that is meant "
        f"{kind}.csv, or give its path as --data-dir"
    )


def table_names(kind: str) -> tuple[str, ...]:
    """How a table of this kind may be called."""
    return tuple(f"{kind}{suffix}" for suffix in TABLE_SUFFIXES)


def is_absolute(path: str) -> bool:
    """Whether a path with `/` between folders begins at the root or at a drive."""
    return path.startswith("/") or bool(_DRIVE.match(path))


def inner_path(path: str, folder: str, where: str) -> str:
    """The normal form of a picture's path: absolute, or relative to what `folder` is relative to.

    Args:
        path: as the table has it, relative to the table.
        folder: of the table.
        where: the table, for messages.

    Raises:
        InputError: a relative path leaves the folder.
    """
    path = path.replace("\\", "/")
    if is_absolute(path):
        return path
    inner = posixpath.normpath(posixpath.join(folder, path))
    if inner.split("/", 1)[0] == "..":
        raise InputError(
            f"{where}: the picture '{path}' lies outside the folder: put it inside, or give its "
            "absolute path"
        )
    return inner


def failures_of_rows(
    sheet: Sheet,
    paths: Iterable[str],
    broken: Mapping[str, str],
    unlabelled: np.ndarray,
    label: str | None,
    column: str = "picture",
) -> dict[str, str]:
    """Row and path of each sample that cannot be used -> why.

    Args:
        sheet: the table.
        paths: of the picture of each row, '' for none.
        broken: path -> why its picture cannot be read.
        unlabelled: (rows,) bool, whether a row lacks a label that is needed.
        label: what the column of the label is called.
        column: what the paths are called.
    """
    failures = {}
    for row, path, lacks_label in zip(sheet.rows, paths, unlabelled, strict=True):
        if path and path not in broken and not lacks_label:
            continue
        which = f"row {row} ({path})" if path else f"row {row}"
        reason = broken.get(path, f"has no {label}")
        failures[which] = reason if path else f"names no {column}"
    return failures


def own_name(name: str, decision: Decision) -> str:
    """What a column of the table is called in the frame."""
    if name not in OWN_COLUMNS or name == decision.group == "group":
        return name
    return f"table_{name}"


def frame_of_rows(sheet: Sheet, decision: Decision, without: Collection[str] = ()) -> pd.DataFrame:
    """The frame of a table of samples, without digests.

    Args:
        sheet: the table.
        decision: what its columns are for.
        without: columns that are left out.

    Returns:
        `key`, `label`, `part`, `digest` (''), and the other columns as text under their own names
        but for the numbers that are measurements.
    """
    cells = sheet.cells
    part = cells[decision.part].str.lower().map(PART_NAMES).fillna("") if decision.part else ""
    frame = {
        "key": _keys(sheet, decision.image),
        "label": cells[decision.label] if decision.label else "",
        "part": part,
        "digest": "",
    }
    roles = {decision.image, decision.part, decision.label} - {*decision.ranks, decision.group}
    for name in cells:
        is_number = name in decision.measurements and sheet.numbers[name].kind == "number"
        if name not in roles | {*without} and (not is_number or name == decision.group):
            frame[own_name(name, decision)] = cells[name]
    return pd.DataFrame(frame)


def _keys(sheet: Sheet, image: str) -> pd.Series:
    """The path of each picture, with the row where several samples share one."""
    cells = sheet.cells[image]
    shared = cells.duplicated(keep=False).to_numpy()
    return cells.where(~shared, cells + ", row " + pd.Series(sheet.rows).astype("str"))
