"""A user's own observations of species: a table with a picture and its taxa in every row.

A folder with `observations.csv` (or else its only table), the path of a table, or an iNaturalist
2021 JSON with its pictures beside it. A GBIF download becomes such a folder by `run.py gather`. The
pictures are checked once and stay on disk, so their number is not limited by the memory (paper 001,
section 4, has 1,214,141).

Columns: `image`, `image_2` and so on (further pictures of the same organism), the ranks, and, if
wanted, `x_min`, `y_min`, `x_max` and `y_max`: a box in pixels of `image`.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from datasets.base import Table
from datasets.column_roles import Decision, Roles, decide, ranks_to, some
from datasets.errors import InputError
from datasets.files import ARCHIVE_SUFFIXES, damaged
from datasets.folds import grouped
from datasets.images import PICTURE_SUFFIXES
from datasets.own_data import refuse_failures
from datasets.picture_checks import check_pictures
from datasets.picture_files import PictureFiles, box_bounds
from datasets.sample_rows import (
    failures_of_rows,
    find_table,
    frame_of_rows,
    inner_path,
    own_name,
)
from datasets.sheets import TABLE_SUFFIXES, Sheet, read_sheet
from datasets.taxonomy import normal_name
from datasets.taxonomy_files import read_inaturalist_taxa
from datasets.taxonomy_table import from_frame

INFERRED = Roles()
BOX = ("x_min", "y_min", "x_max", "y_max")
BOX_VIEW = "image_box"
_PLAIN = re.compile(r"(?:[^/\\.:][^/\\:]*/)*[^/\\.:][^/\\:]*")  # a path in its normal form
COLUMNS = "the columns image (path of the picture) and the ranks, such as family, genus, species"


def load(
    data_dir: str | Path,
    modalities: tuple[str, ...] | None = ("image",),
    strict: bool = True,
    roles: Roles = INFERRED,
) -> Table:
    """The observations of a table; their species, sorted, are the classes.

    Left out and named are rows whose picture is not there or cannot be read (more than 1 % of them
    stop the reading), pictures in the folder that no row names and, of what is learnt from, odd
    taxonomy: a rank that is empty, a species under two parents where it mostly stands under
    another. Names are compared and kept in normal form (`taxonomy.normal_name`). The digest is that
    of the decoded `image`.

    Args:
        data_dir: a folder, a table or an iNaturalist JSON.
        modalities: the pictures of a sample that are wanted: `image`, `image_2` and so on, and
            `image_box`, what the table's box holds, the whole picture where a row has no box. None
            for all that the table has.
        strict: False where the observations are only judged: then ranks may be empty and species
            odd, only rows without any taxon are left out, and a single class will do.
        roles: what the user says about the columns.

    Returns:
        A table with the modalities, each `PictureFiles`, and `ranks`. Its frame keeps the other
        columns as text, '' where missing, under their own names; one that is called like a column
        of the frame's own gets `table_` before it. The label is '' where the species is empty.

    Raises:
        InputError: the table or a column is missing, too much cannot be used, or there is nothing
            to tell apart.
    """
    source = _open(Path(data_dir).expanduser())
    decision = decide(source.sheet, roles, judged=not strict, pictures_only=True)
    views = _views(source.sheet, decision, modalities)
    named = {column: _paths(source, column) for column in (decision.image, *decision.views)}
    strays = _strays(source.folder, named) if source.is_folder else ()
    taxa = _taxa(source.sheet, decision, strict)
    kept = np.isin(source.sheet.rows, taxa.sheet.rows)
    paths = {name: named[column][kept] for name, column in views.items() if column}
    table = _table(source, decision, taxa, paths, BOX_VIEW in views)
    if strict and len(table.labels) < 2:
        raise InputError(
            f"{source.sheet.where} holds one {decision.label} only, '{table.labels[0]}': add "
            "observations of another one"
        )
    table = replace(table, left_out=(*taxa.left_out, *strays))
    return grouped(table, decision.group and own_name(decision.group, decision))


def only_jpeg(table: Table) -> Table:
    """The observations whose pictures are JPEG files by their names (paper 001, section 4).

    Pictures in memory, such as generated ones, have no names and all stay.

    Raises:
        InputError: fewer than two classes are left.
    """
    files = [column for column in table.modalities.values() if isinstance(column, PictureFiles)]
    kept = np.ones(len(table), bool)
    for column in files:
        kept &= [path.lower().endswith((".jpg", ".jpeg")) for path in column.paths]
    if kept.all():
        return table
    found = table.take(np.flatnonzero(kept))
    labels = tuple(label for label, count in found.counts().items() if count)
    if len(labels) < 2:
        raise InputError(
            f"{table.name}: JPEG files show {len(labels)} of {len(table.labels)} classes: save the "
            "others as .jpg, or take other pictures too with --no-jpeg-only"
        )
    line = f"pictures that are no JPEG files: {int((~kept).sum()):,}"
    return replace(found, labels=labels, left_out=(*table.left_out, line))


@dataclass(frozen=True)
class _Source:
    """A table and the folder that its pictures' paths are relative to.

    Attributes:
        sheet: the table.
        name: what people call it.
        folder: of the table and its pictures.
        is_folder: whether the user named the folder, and so all pictures in it.
    """

    sheet: Sheet
    name: str
    folder: str
    is_folder: bool


def _open(location: Path) -> _Source:
    if not location.exists():
        raise InputError(f"{location} does not exist: check the path given as --data-dir")
    if location.name.lower().endswith(ARCHIVE_SUFFIXES):
        raise InputError(
            f"{location} is an archive, and observations are read from disk while training: unpack "
            "it and give the folder (for a GBIF download: python run.py gather gbif ARCHIVE --to "
            "FOLDER)"
        )
    if not location.is_dir():
        return _Source(_read(location), location.name, str(location.parent), False)
    folder = _without_wrapper(location)
    tables = [name for name in _visible(folder) if name.lower().endswith(TABLE_SUFFIXES)]
    jsons = [name for name in _visible(folder) if name.lower().endswith(".json")]
    lone_json = not tables and len(jsons) == 1
    table = jsons[0] if lone_json else find_table(tables, "observations", location, COLUMNS)
    return _Source(_read(folder / table), location.name, str(folder), True)


def _visible(folder: Path) -> list[str]:
    try:
        return sorted(entry.name for entry in os.scandir(folder) if entry.name[0] not in "._")
    except OSError as error:
        raise damaged(folder, error) from None


def _without_wrapper(folder: Path) -> Path:
    """The folder, or the one below it where it holds nothing else."""
    names = _visible(folder)
    while len(names) == 1 and (folder / names[0]).is_dir():
        folder = folder / names[0]
        names = _visible(folder)
    return folder


def _read(path: Path) -> Sheet:
    if path.name.lower().endswith(".json"):
        frame = read_inaturalist_taxa(path)
        texts = frame.astype(dict.fromkeys(frame.columns, "str"))
        return Sheet(str(path), texts, np.arange(1, len(frame) + 1), ".")
    if not path.name.lower().endswith(TABLE_SUFFIXES):
        raise InputError(
            f"{path} is no table: give a folder, a table ({', '.join(TABLE_SUFFIXES)}) or an "
            "iNaturalist file (.json)"
        )
    try:
        with open(path, "rb") as stream:
            return read_sheet(stream, str(path))
    except OSError as error:
        raise damaged(path, error) from None


def _views(
    sheet: Sheet, decision: Decision, wanted: tuple[str, ...] | None
) -> dict[str, str | None]:
    """Modality -> column of its paths; None for the box, which is cut out of `image`."""
    found = {"image": decision.image} | {name.lower(): name for name in decision.views}
    if _box_columns(sheet):
        found[BOX_VIEW] = None
    if wanted is None:
        return found
    for name in wanted:
        if name != "image" and not name.startswith("image_"):
            raise InputError(f"observations have no {name}: take another data set by --data")
        if name not in found:
            columns = f"columns {', '.join(BOX)}" if name == BOX_VIEW else f"column {name}"
            raise InputError(f"{sheet.where} has no {columns}, which is asked for: add it")
    return {name: found[name] for name in ("image", *wanted)}


def _paths(source: _Source, column: str) -> np.ndarray:
    """The normal form of a column's paths, (rows,) of str; '' for none."""
    paths = source.sheet.cells[column].to_numpy(object)
    for row in np.flatnonzero([not _PLAIN.fullmatch(path) for path in paths]):
        paths[row] = paths[row] and inner_path(paths[row], "", source.sheet.where)
    return paths


def _strays(root: str, paths: dict[str, np.ndarray]) -> tuple[str, ...]:
    """A line on the pictures below a folder that no row names."""
    named, strays = set().union(*paths.values()), []
    for folder, folders, files in os.walk(root):
        folders[:] = [name for name in folders if name[0] not in "._"]
        inner = os.path.relpath(folder, root).replace(os.sep, "/")
        begin = "" if inner == "." else f"{inner}/"
        strays += [
            begin + name
            for name in files
            if name.lower().endswith(PICTURE_SUFFIXES) and begin + name not in named
        ]
    if not strays:
        return ()
    return (f"pictures that no row names ({len(strays):,}): {some(sorted(strays))}",)


@dataclass(frozen=True)
class _Taxa:
    """What the rows say about taxa.

    Attributes:
        sheet: the rows that are kept, their names in normal form.
        ranks: from coarse to fine; the last one is the label.
        left_out: a line for each row that is not kept.
        notes: what people should know, in lines.
    """

    sheet: Sheet
    ranks: tuple[str, ...]
    left_out: tuple[str, ...]
    notes: tuple[str, ...]


def _taxa(sheet: Sheet, decision: Decision, strict: bool) -> _Taxa:
    ranks = ranks_to(decision) or (*decision.ranks, decision.label)
    cells = sheet.cells.assign(**{rank: _normal(sheet.cells[rank]) for rank in ranks})
    notes: tuple[str, ...] = ()
    if strict:
        found = from_frame(cells.set_axis(sheet.rows), ranks, strict=False, where=sheet.where)
        discarded, notes = found.discarded, found.notes
        ranks = found.taxonomy.ranks
        counts = [
            f"{rank} {len(of):,}" for rank, of in zip(ranks, found.taxonomy.names, strict=True)
        ]
        notes += (f"taxa: {', '.join(counts)}",)
        _refuse_discarding(sheet, discarded["reason"], decision)
    else:
        empty = (cells[list(ranks)] == "").all(axis=1).to_numpy()
        discarded = pd.DataFrame({"row": sheet.rows[empty], "reason": "has no taxon"})
    kept = ~np.isin(sheet.rows, discarded["row"].to_numpy())
    if not kept.any():
        raise InputError(f"{sheet.where} has no row with a taxon: fill in {', '.join(ranks)}")
    images = cells.loc[~kept, decision.image]
    lines = tuple(
        f"row {row} ({image}): {reason}"
        for row, image, reason in zip(discarded["row"], images, discarded["reason"], strict=True)
    )
    cells = cells if kept.all() else cells[kept].reset_index(drop=True)
    return _Taxa(replace(sheet, cells=cells, rows=sheet.rows[kept]), ranks, lines, notes)


def _normal(names: pd.Series) -> pd.Series:
    codes, different = pd.factorize(names)
    texts = np.array([normal_name(name) for name in different], object)
    return pd.Series(texts[codes], names.index, dtype="str")


def _refuse_discarding(sheet: Sheet, reasons: pd.Series, decision: Decision) -> None:
    """Stop where the odd rows are no exception, as where few rows have a subfamily."""
    if 2 * len(reasons) <= len(sheet):
        return
    reason, times = next(iter(reasons.value_counts().items()))
    raise InputError(
        f"{sheet.where}: {len(reasons):,} of {len(sheet):,} rows have odd taxonomy, most often: "
        f"{reason} ({times:,} rows): correct them, or name the ranks that count by --ranks, such "
        f"as {','.join((*decision.ranks[:1], decision.label))}"
    )


def _table(source: _Source, decision: Decision, taxa: _Taxa, paths: dict, boxed: bool) -> Table:
    """The table of the observations whose pictures can be used."""
    sheet = taxa.sheet
    different = pd.unique(np.concatenate([*paths.values()]))
    different = different[different != ""]
    checks = check_pictures(source.folder, different)
    failures, kept = _unusable(sheet, paths, checks.broken)
    place = pd.Index(different).get_indexer(paths["image"])
    boxes, notes = None, ()
    if boxed:
        boxes, odd = _boxes(sheet, checks.sizes[place], kept)
        failures |= {f"row {sheet.rows[row]} ({paths['image'][row]})": odd[row] for row in odd}
        kept[list(odd)] = False
        lone = int(np.isnan(boxes[kept]).all(axis=1).sum())
        notes = (f"rows without a box, whose whole picture is taken: {lone:,}",) if lone else ()
    refuse_failures(sheet.where, failures, len(sheet), "observations")
    rows = np.flatnonzero(kept)
    without = {*decision.views, *_box_columns(sheet)}
    frame = frame_of_rows(sheet, decision, without).iloc[rows].reset_index(drop=True)
    frame["digest"] = checks.digests[place[rows]]
    files = {name: PictureFiles(source.folder, column[rows]) for name, column in paths.items()}
    if boxed:
        files[BOX_VIEW] = PictureFiles(source.folder, paths["image"][rows], boxes[rows])
    return Table(
        name="observations",
        provenance=f"The user's own observations, {source.name}",
        labels=tuple(sorted(set(frame["label"]) - {""})),
        frame=frame,
        modalities=files,
        unreadable=tuple(f"{which}: {reason}" for which, reason in failures.items()),
        ranks=tuple(own_name(rank, decision) for rank in taxa.ranks),
        notes=(*decision.lines, *taxa.notes, *notes),
    )


def _unusable(sheet: Sheet, paths: dict, broken: dict[str, str]) -> tuple[dict, np.ndarray]:
    """Why rows cannot be used for one of their pictures, and (rows,) bool, which ones can."""
    failures, kept = {}, np.ones(len(sheet), bool)
    for name, column in paths.items():
        what = "picture" if name == "image" else name
        failures |= failures_of_rows(sheet, column, broken, np.zeros(len(sheet), bool), None, what)
        kept &= (column != "") & ~pd.Index(column).isin(list(broken))
    return failures, kept


def _box_columns(sheet: Sheet) -> list[str]:
    """The columns of the box, in the order of BOX; none where some are not there."""
    lower = {name.lower(): name for name in sheet.cells}
    return [lower[name] for name in BOX] if all(name in lower for name in BOX) else []


def _boxes(sheet: Sheet, sizes: np.ndarray, kept: np.ndarray) -> tuple[np.ndarray, dict[int, str]]:
    """The boxes, (rows, 4), NaN where there are none, and row -> why its box is none.

    Args:
        sheet: the table.
        sizes: (rows, 2) height and width of the pictures.
        kept: (rows,) bool, the rows that are looked at.
    """
    columns = _box_columns(sheet)
    boxes = np.stack([sheet.numbers[name].values for name in columns], axis=1)
    texts = np.stack([sheet.numbers[name].texts for name in columns], axis=1)
    bounds = box_bounds(boxes, sizes)
    empty = (bounds[:, 2:] <= bounds[:, :2]).any(axis=1)
    partial = np.isnan(boxes).any(axis=1) & ~np.isnan(boxes).all(axis=1)
    odd = {}
    for row in np.flatnonzero(kept & (empty | partial | texts.any(axis=1))):
        values = ", ".join(sheet.cells[name].iloc[row] or "nothing" for name in columns)
        height, width = sizes[row]
        reason = "none of it lies in the picture" if empty[row] else "four numbers are needed"
        odd[row] = f"has the box {values} ({reason} of {width}x{height} pixels)"
    return boxes, odd
