"""A user's own recordings of music: a folder per genre, or a table with a file in every row.

`DIR/genre/*.mp3`, or `DIR/{train,validation,test}/genre/*.mp3` with the customary other names of
the parts. Or `tracks.csv` (else the only table, where no recording lies in a folder), or the path
of a table: with the columns file (relative to the table, or absolute), artist and genre and, if
wanted, album and subgenres (several names separated by `|` or `;`).

The recordings are decoded once and stay on disk, so that their number is not limited by the memory.
"""

from __future__ import annotations

import os
import posixpath
import re
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from datasets.base import Table
from datasets.column_roles import LABELS, Decision, Roles, decide, first_named, some
from datasets.errors import InputError
from datasets.files import FileTree, damaged
from datasets.own_data import PART_NAMES
from datasets.recordings import RECORDING_SUFFIXES
from datasets.sample_rows import (
    failures_of_rows,
    find_table,
    frame_of_rows,
    is_absolute,
    table_names,
)
from datasets.sheets import TABLE_SUFFIXES, Sheet, read_sheet
from datasets.track_listing import (
    Listing,
    album_notes,
    read_listing,
    refuse_other_modalities,
    unpacked_only,
)

FILES = ("file", "filename", "file_name", "path", "filepath", "file_path")
GENRES = ("genre", *LABELS)
ARTISTS, ALBUMS, SUBGENRES = ("artist",), ("album",), ("subgenres", "subgenre")
NAMES = table_names("tracks")
COLUMNS = "the columns file (path of the recording), artist and genre"


def load(
    data_dir: str | Path,
    modalities: tuple[str, ...] = ("waveform",),
    strict: bool = True,
    *,
    rate: int | None = None,
    tasks: str = "",
    label: str | None = None,
) -> Table:
    """The recordings of genre folders or of a table; their genres, sorted, are the classes.

    Left out and named are recordings that are not there, cannot be read or have no genre (more than
    1 % of them stop the reading), rows that name a file once more, files under several genres and,
    in the folder of a table, recordings that no row names.

    Args:
        data_dir: a folder of genre folders, a folder with a table, or a table.
        modalities: `waveform`, which is all that there is.
        strict: False where the recordings are only judged: a single genre will do then.
        rate: samples per second that all are brought to; None for what most of them have.
        tasks: letters of `datasets.artist_groups.TASKS`; the columns that these need are asked for
            before a recording is read.
        label: the column of a table that is learnt; None for the customary one.

    Returns:
        A table with the modality `waveform` (Recordings with their spectrograms). Its frame has
        `artist` and `album` ('' for unknown), `subgenres` (names joined by `|`) and `seconds`, and
        keeps the other columns of a table as text; one that is called like a column of the frame's
        own gets `table_` before it.

    Raises:
        InputError: the location, the table or a column is missing, too much cannot be used, or
            there is nothing to tell apart.
    """
    refuse_other_modalities(modalities)
    listing = _listing(Path(data_dir).expanduser(), strict, label)
    return read_listing(listing, rate, strict, tasks)


def _listing(location: Path, strict: bool, label: str | None) -> Listing:
    if location.is_file():
        if not location.name.lower().endswith(TABLE_SUFFIXES):
            raise unpacked_only(location)
        return _of_table(location, location.name, label)
    with FileTree(location, (*RECORDING_SUFFIXES, *TABLE_SUFFIXES), keep=PART_NAMES) as tree:
        if not tree.location.is_dir():
            raise unpacked_only(tree.location)
        tables = [path for path in tree.paths if path.lower().endswith(TABLE_SUFFIXES)]
        recordings = sorted(set(tree.paths) - set(tables))
        is_named = any(posixpath.basename(path).lower() in NAMES for path in tables)
        if is_named or (tables and not any("/" in path for path in recordings)):
            table = find_table(tables, "tracks", location, COLUMNS)
            root = _root(tree)
            inside = [os.path.join(root, path) for path in recordings]
            return _of_table(root / table, location.name, label, inside)
    with FileTree(location, RECORDING_SUFFIXES, keep=PART_NAMES) as tree:
        return _of_folders(tree, strict)


def _root(tree: FileTree) -> Path:
    """The folder that the paths of a tree are relative to: it skips over wrappers."""
    folder = tree.location
    while not os.path.lexists(folder / tree.paths[0]):
        inner = (entry for entry in folder.iterdir() if entry.is_dir())
        folder = next(entry for entry in inner if not entry.name.startswith((".", "__MACOSX")))
    return folder


def _of_folders(tree: FileTree, strict: bool) -> Listing:
    """The recordings of genre folders."""
    pieces = [path.split("/") for path in tree.paths]
    parted = [len(piece) > 2 and piece[0].lower() in PART_NAMES for piece in pieces]
    depth = int(any(parted))
    classed = np.array(parted if depth else [len(piece) > 1 for piece in pieces], bool)
    if not classed.any():
        raise InputError(
            f"{tree.location} holds no recordings in genre folders and no tracks.csv: expected "
            f"GENRE/*.mp3, train/GENRE/*.mp3 (and validation, test), or a table with {COLUMNS}; "
            f"recordings are {', '.join(RECORDING_SUFFIXES)}"
        )
    if strict:
        _refuse_empty(tree, depth)
    paths = np.array(tree.paths, object)[classed]
    pieces = [piece for piece, is_classed in zip(pieces, classed, strict=True) if is_classed]
    frame = pd.DataFrame(
        {
            "key": paths,
            "label": [piece[depth] for piece in pieces],
            "part": [PART_NAMES[piece[0].lower()] if depth else "" for piece in pieces],
            **dict.fromkeys(("artist", "album", "subgenres"), ""),
        }
    )
    return Listing(
        name="tracks",
        provenance=f"The user's own recordings in genre folders, {tree.location.name}",
        where=str(tree.location),
        folder=str(_root(tree)),
        frame=frame,
        paths=paths,
        which=paths,
        failures=dict.fromkeys(np.array(tree.paths)[~classed], "lies in no genre folder"),
    )


def _refuse_empty(tree: FileTree, depth: int) -> None:
    parents = {path.rpartition("/")[0] + "/" for path in tree.paths}
    for folder in tree.folders:
        if folder.count("/") <= depth + 1 and not any(name.startswith(folder) for name in parents):
            raise InputError(
                f"{tree.location}: the folder '{folder.rstrip('/')}' holds no recording: add "
                "recordings to it or remove it"
            )


def _of_table(path: Path, name: str, label: str | None, inside: Iterable[str] = ()) -> Listing:
    """The recordings of a table.

    Args:
        path: of the table.
        name: what people call it.
        label: as for `load`.
        inside: the recordings in the folder that the user named.
    """
    if path.parent.name == "fma_metadata":
        raise InputError(f"{path} belongs to FMA, which has a format of its own: add --data fma")
    try:
        with open(path, "rb") as stream:
            sheet = read_sheet(stream, str(path))
    except OSError as error:
        raise damaged(path, error) from None
    decision = _decide(sheet, label)
    folder, paths = str(path.parent), _paths(sheet.cells[decision.image])
    unlabelled = (sheet.cells[decision.label] == "").to_numpy()
    failures = failures_of_rows(sheet, paths, {}, unlabelled, decision.label, "recording")
    repeats = _repeats(sheet, paths, sheet.cells[decision.label].to_numpy(object))
    kept = (paths != "") & ~unlabelled & ~np.isin(sheet.rows, list(repeats))
    frame = _frame(sheet, decision, paths)[kept].reset_index(drop=True)
    which = np.array(
        [f"row {row} ({path})" for row, path in zip(sheet.rows, paths, strict=True)], object
    )
    strays = _strays(folder, paths, inside)
    return Listing(
        name="tracks",
        provenance=f"The user's own recordings, {name}",
        where=sheet.where,
        folder=folder,
        frame=frame,
        paths=paths[kept],
        which=which[kept],
        failures=failures,
        left_out=(*repeats.values(), *strays),
        notes=(*decision.lines, *album_notes(frame["label"], frame["album"])),
    )


def _decide(sheet: Sheet, label: str | None) -> Decision:
    """What the columns are for; the `image` of this decision is the file."""
    file = first_named(sheet.cells, FILES)
    if file is None:
        raise InputError(
            f"{sheet.where} has no column 'file' with the paths of the recordings: it has "
            f"{some(sheet.cells)}"
        )
    label = label or first_named(sheet.cells, GENRES)
    if label is None:
        raise InputError(
            f"{sheet.where} has no column to learn: call one 'genre', or name it by --label; it "
            f"has {some(sheet.cells)}"
        )
    # Ranks are told to be none: a column `class` or `order` is no taxon here.
    alike = replace(sheet, cells=sheet.cells.assign(image=sheet.cells[file]))
    found = decide(alike, Roles(label=label, ranks=""), pictures_only=True)
    return replace(found, image=file)


def _paths(cells: pd.Series) -> np.ndarray:
    """The normal form of paths, (rows,) of str; '' for none."""
    paths = [path.replace("\\", "/") for path in cells]
    return np.array(
        [path if is_absolute(path) or not path else posixpath.normpath(path) for path in paths],
        object,
    )


def _repeats(sheet: Sheet, paths: np.ndarray, labels: np.ndarray) -> dict[int, str]:
    """Row -> what to say of it, for rows that share their file with others and are left out.

    Of rows that agree in the genre the first one stays; of others none does.
    """
    found = {}
    usable = np.flatnonzero((paths != "") & (labels != ""))
    shared = usable[pd.Series(paths[usable]).duplicated(keep=False).to_numpy()]
    for path, places in pd.Series(shared).groupby(paths[shared], sort=False):
        genres, rows = sorted(set(labels[places])), sheet.rows[places]
        reason = f"names the file of row {rows[0]} once more"
        if len(genres) > 1:
            reason = f"one file under several genres: {some(genres)}"
        for row in rows[len(genres) == 1 :]:
            found[int(row)] = f"row {row} ({path}): {reason}"
    return found


def _frame(sheet: Sheet, decision: Decision, paths: np.ndarray) -> pd.DataFrame:
    columns = {
        "artist": first_named(sheet.cells, ARTISTS),
        "album": first_named(sheet.cells, ALBUMS),
        "subgenres": first_named(sheet.cells, SUBGENRES),
    }
    others = frame_of_rows(sheet, decision, without=[*filter(None, columns.values())])
    cells = {name: sheet.cells[column] if column else "" for name, column in columns.items()}
    frame = others.rename(columns={"seconds": "table_seconds"}).assign(key=paths, **cells)
    return frame.assign(subgenres=frame["subgenres"].map(_joined))


def _joined(text: str) -> str:
    names = (name.strip() for name in re.split(r"[|;]", text))
    return "|".join(dict.fromkeys(filter(None, names)))


def _strays(folder: str, paths: np.ndarray, inside: Iterable[str]) -> tuple[str, ...]:
    """A line on the recordings in the user's folder that no row names."""
    named = {os.path.normpath(os.path.join(folder, path)) for path in paths}
    strays = [os.path.relpath(path, folder) for path in inside if path not in named]
    if not strays:
        return ()
    return (f"recordings that no row names ({len(strays):,}): {some(sorted(strays))}",)
