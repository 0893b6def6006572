"""Pictures and their lineages from a GBIF Darwin Core archive or an iNaturalist 2021 JSON.

Both give a frame that `datasets.taxonomy_table.from_frame` checks: a row per picture, `image` and
the seven ranks. Files are read as streams; what is kept is one number and one name per picture and
each lineage once. A picture without a taxon keeps its row, with empty ranks.
"""

from __future__ import annotations

import logging
import os
from array import array
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import BinaryIO

import ijson
import numpy as np
import pandas as pd

from datasets.downloads import read_manifest
from datasets.errors import InputError
from datasets.files import ARCHIVE_SUFFIXES, DAMAGE, FileTree, damaged
from datasets.gbif import ADDRESS_TERMS, is_picture, label_of, open_archive, rows_of
from datasets.taxonomy import RANKS
from datasets.web import clean

log = logging.getLogger("menagerie")

_NOWHERE = ("",) * len(RANKS)


def read_gbif_taxa(location: str | Path) -> pd.DataFrame:
    """The pictures of a GBIF download and the taxa of their occurrences.

    The multimedia table is read twice and the occurrences once. A name in the column `species` is
    taken as it is; without one, genus and epithet of the scientific name are.

    Args:
        location: the .zip that GBIF sends, or the folder it was unpacked into.

    Returns:
        `image` (address) and the ranks, categorical, '' where empty, in the archive's order.

    Raises:
        InputError: it is no such archive, is damaged, or lists no picture.
    """
    lineages = {_NOWHERE: 0}
    images, codes = [], array("i")
    with open_archive(location) as (tree, core, media):
        found = {media.key(cells): 0 for cells in rows_of(tree, media) if is_picture(media, cells)}
        for cells in rows_of(tree, core):
            if (key := core.key(cells)) in found:
                found[key] = lineages.setdefault(_gbif_lineage(core, cells), len(lineages))
        for cells in rows_of(tree, media):
            if is_picture(media, cells):
                images.append(media.value(cells, *ADDRESS_TERMS))
                codes.append(found[media.key(cells)])
    if not images:
        raise InputError(f"{location} lists no picture: download occurrences with images")
    return _frame(images, np.asarray(codes), lineages)


def write_observations(archives: Iterable[str | Path], folder: Path) -> Path:
    """A table of the pictures that were gathered from GBIF downloads, with their taxa.

    Args:
        archives: what GBIF sent.
        folder: of the gathered pictures and their manifest.

    Returns:
        The table, `observations.csv` in that folder; an earlier one is replaced.

    Raises:
        InputError: as `read_gbif_taxa`, or the table cannot be written.
    """
    files = {
        row["address"]: row["file"]
        for row in read_manifest(folder).values()
        if row["status"] == "ok"
    }
    taxa = pd.concat([read_gbif_taxa(archive).astype("str") for archive in archives])
    taxa["image"] = taxa["image"].map(clean).map(files)
    path, part = folder / "observations.csv", folder / ".observations.csv.part"
    try:
        taxa.dropna(subset="image").drop_duplicates().to_csv(part, index=False)
        os.replace(part, path)
    except OSError as error:
        raise InputError(
            f"{path} cannot be written ({error.strerror}): check the folder and the space on its "
            "disk"
        ) from None
    return path


def _gbif_lineage(core, cells: list[str]) -> tuple[str, ...]:
    above = (core.value(cells, rank) for rank in RANKS[:-1])
    return *above, core.value(cells, "species") or label_of(core, cells)


def read_inaturalist_taxa(location: str | Path) -> pd.DataFrame:
    """The pictures of an iNaturalist 2021 file, and their taxa.

    The file is COCO-like and can be large: it is read three times, never as a whole. Categories
    have `kingdom` to `genus`, and their `name` is the species.

    Args:
        location: the .json, or an archive or a folder with this one .json.

    Returns:
        `image` (file name) and the ranks, categorical, '' where empty, in the file's order.

    Raises:
        InputError: it is no such file, is damaged or cut short, or a picture has two species.
    """
    location = Path(location).expanduser()
    lineages = {_NOWHERE: 0}
    with _json(location) as opened:
        species = {}
        for item in _items(opened, location, "categories"):
            ranks = (*(_text(item.get(rank)) for rank in RANKS[:-1]), _text(item.get("name")))
            species[_id(item, "id", location)] = lineages.setdefault(ranks, len(lineages))
        labelled, taxa = array("q"), array("i")
        for item in _items(opened, location, "annotations"):
            category = _id(item, "category_id", location)
            if category not in species:
                raise _no_inaturalist(location, f"an annotation has no category {category}")
            labelled.append(_id(item, "image_id", location))
            taxa.append(species[category])
        images, ids = [], array("q")
        for item in _items(opened, location, "images"):
            images.append(_text(item.get("file_name")))
            ids.append(_id(item, "id", location))
    codes = _joined(np.asarray(ids), np.asarray(labelled), np.asarray(taxa), location)
    return _frame(images, codes, lineages)


@contextmanager
def _json(location: Path) -> Iterator:
    """A function that opens the file anew each time."""
    if location.is_file() and not location.name.lower().endswith(ARCHIVE_SUFFIXES):
        yield partial(open, location, "rb")
        return
    if not location.exists():
        raise InputError(f"{location} does not exist: give an iNaturalist file, a .json")
    with FileTree(location, (".json",)) as tree:
        if len(tree.paths) != 1:
            raise InputError(f"{location} holds {len(tree.paths)} files .json: name one")
        yield lambda: tree.open(tree.paths[0])


def _items(opened, location: Path, name: str) -> Iterator[dict]:
    """The items of one list of the file; it must have some."""
    empty = True
    try:
        stream: BinaryIO = opened()
        with stream:
            for item in ijson.items(stream, f"{name}.item", use_float=True):
                if not isinstance(item, dict):
                    raise _no_inaturalist(location, f"an item of '{name}' is no object")
                empty = False
                yield item
    except (*DAMAGE, ijson.JSONError, UnicodeDecodeError) as error:
        raise damaged(location, error) from None
    if empty:
        raise _no_inaturalist(location, f"it has no {name}")


def _id(item: dict, name: str, location: Path) -> int:
    value = item.get(name)
    if not isinstance(value, int) or abs(value) >= 2**63:
        raise _no_inaturalist(location, f"'{name}' is {value!r} where a whole number belongs")
    return value


def _text(value) -> str:
    return "" if value is None else str(value)


def _joined(ids: np.ndarray, labelled: np.ndarray, taxa: np.ndarray, location: Path) -> np.ndarray:
    """(pictures,) the taxon of every picture, 0 for none."""
    order = np.argsort(labelled, kind="stable")
    labelled, taxa = labelled[order], taxa[order]
    twice = np.flatnonzero((np.diff(labelled) == 0) & (np.diff(taxa) != 0))
    if len(twice):
        raise InputError(
            f"{location}: the picture {labelled[twice[0]]} has two species: leave one annotation"
        )
    places = np.minimum(np.searchsorted(labelled, ids), len(labelled) - 1)
    found = labelled[places] == ids
    strange = len(np.setdiff1d(labelled, ids))
    if strange:
        log.info("%s: %d annotations of no picture are left out", location, strange)
    return np.where(found, taxa[places], 0)


def _frame(images: list[str], codes: np.ndarray, lineages: dict) -> pd.DataFrame:
    columns = {"image": images}
    for rank, names in zip(RANKS, zip(*lineages, strict=True), strict=True):
        places, distinct = pd.factorize(np.array(names, object))
        columns[rank] = pd.Categorical.from_codes(places[codes], categories=distinct)
    return pd.DataFrame(columns)


def _no_inaturalist(location: Path, what: str) -> InputError:
    return InputError(
        f"{location} is no iNaturalist file with taxa ({what}): give train.json or val.json of 2021"
    )
