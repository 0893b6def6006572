"""FER+: what ten people saw in each face of FER2013.

Barsoum, Zhang, Canton Ferrer and Zhang, "Training Deep Networks for Facial Expression Recognition
with Crowd-Sourced Label Distribution", ICMI 2016 (arXiv 1608.01041). The votes are published as
`fer2013new.csv`, a row for each row of `fer2013.csv`, in its order, and are not distributed with
this code: put the file beside the table of faces.
"""

from __future__ import annotations

import csv
import io
from dataclasses import replace
from pathlib import Path

import numpy as np

from datasets.base import Table
from datasets.emotions import EMOTIONS
from datasets.errors import InputError
from datasets.fer2013 import emotion_name
from datasets.files import DAMAGE, FileTree, damaged
from datasets.own_data import PART_NAMES

VOTES = "fer2013new.csv"
SHARES = tuple(f"votes for {emotion}" for emotion in EMOTIONS)  # columns of a table of faces

_OTHERS = ("contempt", "unknown", "nf")  # no emotion of FER2013, not to be told, no face


def has_votes(data_dir: str | Path) -> bool:
    """Whether votes lie beside the faces."""
    with FileTree(_folder(data_dir), (".csv",)) as tree:
        return _path(tree) is not None


def by_votes(table: Table, data_dir: str | Path) -> Table:
    """The faces under the emotion that most people saw in them.

    A vote that nobody shares is not counted, as in the authors' code (`ferplus.py`).

    Args:
        table: all rows of a CSV of FER2013, in its order.
        data_dir: where it and the votes lie.

    Returns:
        The faces for which one of the seven emotions has more votes than anything else, with the
        columns `SHARES`: how the votes for the seven are shared out, summing to 1.

    Raises:
        InputError: there are no votes, they are damaged, or they are those of another table.
    """
    with FileTree(_folder(data_dir), (".csv",)) as tree:
        path = _path(tree)
        if path is None:
            raise InputError(
                f"--votes: {tree.location} has no {VOTES}, the votes of FER+: put it beside "
                "the table of faces, or leave the option out"
            )
        where = str(tree.location / path)
        if not table.frame["key"].str.fullmatch(r".+:\d+").all():
            raise InputError(
                f"{where} holds votes for the rows of fer2013.csv, and the faces are not those of "
                "a CSV: give that table, or leave out --votes"
            )
        with tree.open(path) as stream:
            votes = _read(stream, where, table.frame["part"].tolist())
    return _under_votes(table, votes, where)


def _under_votes(table: Table, votes: np.ndarray, where: str) -> Table:
    """The table with what (rows, 10) votes say of it."""
    counted = np.where(votes > 1, votes, 0)
    most = counted.max(axis=1)
    clear = (counted == most[:, None]).sum(axis=1) == 1
    winner = counted.argmax(axis=1)
    rows = np.flatnonzero(clear & (winner < len(EMOTIONS)))
    if not len(rows):
        raise InputError(f"{where}: no face has a clear vote for one of the seven emotions")
    seven = counted[rows, : len(EMOTIONS)].astype(np.float64)
    found = table.take(rows)
    frame = found.frame.assign(
        label=np.array(EMOTIONS, object)[winner[rows]],
        **dict(zip(SHARES, (seven / seven.sum(axis=1, keepdims=True)).T, strict=True)),
    )
    undecided = len(table) - len(rows)
    changed = int((frame["label"] != found.frame["label"]).sum())
    return replace(
        found,
        frame=frame,
        provenance=f"{table.provenance}; labels by the votes of FER+ (Barsoum et al. 2016)",
        left_out=(
            *table.left_out,
            *[f"{undecided:,} faces without a clear vote for one of the seven emotions"]
            * bool(undecided),
        ),
        notes=(
            *table.notes,
            f"{changed:,} of {len(rows):,} faces stand under another emotion than in FER2013",
        ),
    )


def _read(stream, where: str, parts: list[str]) -> np.ndarray:
    """(rows, 10) votes: for the emotions in their order, then for `_OTHERS`."""
    text = io.TextIOWrapper(stream, "utf-8-sig", errors="replace", newline="")
    try:
        rows = csv.reader(text)
        header = [emotion_name(name) or name.strip().lower() for name in next(rows, [])]
        wanted = (*EMOTIONS, *_OTHERS)
        missing = [name for name in ("usage", *wanted) if name not in header]
        if missing:
            raise InputError(
                f"{where}, line 1: the column '{missing[0]}' is missing: it should be the "
                f"{VOTES} of FER+"
            )
        places = [header.index(name) for name in wanted]
        found = [_row(row, places, header, where, line) for line, row in enumerate(rows, 2) if row]
    except csv.Error as error:
        raise InputError(f"{where}: not readable as CSV ({error}): download it again") from None
    except DAMAGE as error:
        raise damaged(where, error) from None
    if len(found) != len(parts):
        raise InputError(
            f"{where} holds the votes for {len(found):,} faces, and the table beside it has "
            f"{len(parts):,}: both must be the published files, whole and in their order"
        )
    for line, ((usage, _), part) in enumerate(zip(found, parts, strict=True), 2):
        if part and PART_NAMES.get(usage) != part:
            raise InputError(
                f"{where}, line {line}: the face is in the part '{usage}' here and in another in "
                "the table beside it: both must be the published files, in their order"
            )
    return np.array([votes for _, votes in found])


def _row(row: list[str], places: list[int], header, where: str, line: int):
    """The part and the votes of one face."""
    if len(row) != len(header):
        raise InputError(
            f"{where}, line {line}: {len(row)} columns where the header has {len(header)}: "
            "download the file again"
        )
    cells = [row[place].strip() for place in places]
    for cell in cells:
        if not (cell.isascii() and cell.isdigit()):
            raise InputError(
                f"{where}, line {line}: '{cell[:20]}' where a number of votes is needed: download "
                "the file again"
            )
    return row[header.index("usage")].strip().lower(), [int(cell) for cell in cells]


def _folder(data_dir: str | Path) -> Path:
    """Where to look for what lies beside a table."""
    location = Path(data_dir).expanduser()
    return location.parent if location.suffix.lower() == ".csv" else location


def _path(tree: FileTree) -> str | None:
    return next((path for path in tree.paths if path.lower().split("/")[-1] == VOTES), None)
