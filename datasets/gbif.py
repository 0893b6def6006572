"""The pictures that a GBIF download lists: a Darwin Core archive, as .zip or unpacked.

`meta.xml` says which files hold the occurrences and the multimedia, and what their columns are;
without it `occurrence.txt` and `multimedia.txt` (or .csv, .tsv) are read by their header lines.
The licence is the picture's own; the occurrence's, which covers the record only, is not taken.
"""

from __future__ import annotations

import csv
import io
import logging
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from xml.etree import ElementTree

from datasets.downloads import PictureRecord
from datasets.errors import InputError
from datasets.files import DAMAGE, FileTree, damaged
from datasets.images import PICTURE_SUFFIXES

log = logging.getLogger("menagerie")

ADVICE = "download it from GBIF again as a Darwin Core archive"
SPECIES_TERMS = ("species", "acceptedscientificname", "scientificname")
ADDRESS_TERMS = ("accessuri", "identifier")
_SUFFIXES = (".txt", ".csv", ".tsv")
_CORES = ("occurrence", "occurrences")
_MEDIA = ("multimedia", "image", "images")
_IDS = ("gbifid", "coreid", "id", "occurrenceid")
_MOST_CHARACTERS = 2**22  # in one line; more is no table and would exhaust the memory

_NO_EPITHETS = {"sp", "spp", "ssp", "cf", "aff", "indet", "ex", "et", "and", "in"}
_WORD = "[a-zà-ÿ][a-zà-ÿ-]+"
_SPECIES = re.compile(rf"([A-Z]{_WORD})(?: \([A-Z]{_WORD}\))? (?:[×x] )?({_WORD})(?![\w.])")


def species_name(text: str) -> str:
    """Genus and epithet at the beginning of a scientific name; '' where there is no epithet."""
    found = _SPECIES.match(" ".join(text.split()))
    if not found or found[2] in _NO_EPITHETS:
        return ""
    return f"{found[1]} {found[2]}"


@dataclass(frozen=True)
class DarwinCoreSheet:
    """One table of the archive and how its lines are read.

    Attributes:
        path: its place in the archive.
        columns: position of each term, by its short name in lower case.
        constants: value of each term that meta.xml gives once for all rows.
        identity: position of the occurrence's id.
        separator: between two cells.
        quote: around a cell; '' where cells are never quoted.
        header: lines to skip.
        encoding: of its text.
    """

    path: str
    columns: dict[str, int]
    identity: int
    separator: str = "\t"
    quote: str = ""
    header: int = 1
    encoding: str = "utf-8"
    constants: dict[str, str] = field(default_factory=dict)

    def value(self, cells: list[str], *terms: str) -> str:
        """The first of these terms that is not empty."""
        for term in terms:
            place = self.columns.get(term, len(cells))
            text = cells[place].strip() if place < len(cells) else ""
            if text or (text := self.constants.get(term, "")):
                return text
        return ""

    def key(self, cells: list[str]) -> str:
        return cells[self.identity].strip() if self.identity < len(cells) else ""


@contextmanager
def open_archive(
    location: str | Path,
) -> Iterator[tuple[FileTree, DarwinCoreSheet, DarwinCoreSheet]]:
    """An archive with its tables of occurrences and of multimedia.

    Raises:
        InputError: as `read_archive`.
    """
    location = Path(location).expanduser()
    if not location.exists():
        raise InputError(f"{location} does not exist: give the archive that GBIF sent, a .zip")
    with FileTree(location, (*_SUFFIXES, ".xml")) as tree:
        core, media = _sheets(tree)
        for sheet, terms in ((core, SPECIES_TERMS), (media, ADDRESS_TERMS)):
            if not any(term in sheet.columns for term in terms):
                raise _unfit(tree, f"{sheet.path} has no column {' or '.join(terms)}")
        yield tree, core, media


def read_archive(location: str | Path) -> Iterator[PictureRecord]:
    """The pictures of an archive, in its order, read as they are asked for.

    The multimedia table is read twice and the occurrences once; kept are the species of those
    occurrences that have a picture.

    Args:
        location: the .zip that GBIF sends, or the folder it was unpacked into.

    Raises:
        InputError: it is no such archive, or damaged.
    """
    with open_archive(location) as (tree, core, media):
        wanted = {media.key(cells) for cells in rows_of(tree, media) if is_picture(media, cells)}
        occurrences = {}
        for cells in rows_of(tree, core):
            key = core.key(cells)
            if key in wanted and (label := label_of(core, cells)):
                occurrences[key] = (sys.intern(label), core.value(cells, "references"))
        nameless = 0
        for cells in rows_of(tree, media):
            if not is_picture(media, cells):
                continue
            key = media.key(cells)
            if key not in occurrences:
                nameless += 1
                continue
            label, page = occurrences[key]
            yield PictureRecord(
                label,
                "gbif",
                key,
                media.value(cells, *ADDRESS_TERMS),
                media.value(cells, "references")
                or page
                or f"https://www.gbif.org/occurrence/{key}",
                media.value(cells, "license", "licence", "rights"),
                media.value(cells, "rightsholder", "owner"),
                media.value(cells, "creator"),
            )
        if nameless:
            log.info("%s: %d pictures without a species' name are left out", location, nameless)


def label_of(core: DarwinCoreSheet, cells: list[str]) -> str:
    """Of an occurrence; names down to the genus only give ''."""
    for term in SPECIES_TERMS:
        if label := species_name(core.value(cells, term)):
            return label
    return ""


def is_picture(media: DarwinCoreSheet, cells: list[str]) -> bool:
    """Whether a row of the multimedia table is a picture on the web."""
    address = media.value(cells, *ADDRESS_TERMS)
    kind = media.value(cells, "type").rpartition("/")[2].lower().replace(" ", "")
    form = media.value(cells, "format").lower()
    if kind:
        return bool(address) and kind in ("stillimage", "image")
    if form:
        return bool(address) and form.startswith("image")
    return address.lower().endswith(PICTURE_SUFFIXES)


def rows_of(tree: FileTree, sheet: DarwinCoreSheet) -> Iterator[list[str]]:
    """The cells of each row of a table, read as they are asked for."""
    try:
        with tree.open(sheet.path) as stream:
            lines = _lines(stream, sheet.encoding)
            if sheet.quote:
                rows = csv.reader(lines, delimiter=sheet.separator, quotechar=sheet.quote)
            else:  # then quotation marks are mere characters, and one alone would eat the rest
                rows = (line.rstrip("\r\n").split(sheet.separator) for line in lines)
            for number, cells in enumerate(rows):
                if number >= sheet.header:
                    yield cells
    except (*DAMAGE, csv.Error, ValueError) as error:
        raise damaged(tree.location / sheet.path, error) from None


def _lines(stream, encoding: str) -> Iterator[str]:
    """Lines of bounded length."""
    text = io.TextIOWrapper(stream, encoding, errors="replace", newline="\n")
    while line := text.readline(_MOST_CHARACTERS):
        if len(line) == _MOST_CHARACTERS:
            raise OSError("a line is too long")
        yield line


def _sheets(tree: FileTree) -> tuple[DarwinCoreSheet, DarwinCoreSheet]:
    """The occurrences and the multimedia."""
    described = [path for path in tree.paths if path.rpartition("/")[2].lower() == "meta.xml"]
    if described:
        return _described(tree, min(described, key=lambda path: path.count("/")))
    return _by_header(tree, _CORES, "occurrence"), _by_header(tree, _MEDIA, "multimedia")


def _by_header(tree: FileTree, names: tuple[str, ...], kind: str) -> DarwinCoreSheet:
    found = [path for path in tree.paths if _stem(path) in names and path.endswith(_SUFFIXES)]
    if not found:
        raise _unfit(tree, f"it has neither meta.xml nor {kind}.txt")
    path = min(found, key=lambda path: path.count("/"))
    try:
        with tree.open(path) as stream:
            header = next(_lines(stream, "utf-8-sig"), "").rstrip("\r\n")
    except DAMAGE as error:
        raise damaged(tree.location / path, error) from None
    separator = "\t" if "\t" in header else ","
    terms = [_short(name.strip('" ')) for name in header.split(separator)]
    columns = {term: place for place, term in reversed(list(enumerate(terms)))}
    keys = [columns[term] for term in _IDS if term in columns]
    if not keys:
        raise _unfit(tree, f"{path} has no column gbifID")
    return DarwinCoreSheet(path, columns, keys[0], separator, '"' if separator == "," else "")


class _NoDoctype(ElementTree.TreeBuilder):
    """A document type can define entities that expand without bounds: a table needs none."""

    def doctype(self, *_) -> None:
        raise ValueError("it declares a DOCTYPE, which no Darwin Core archive needs")


def _described(tree: FileTree, path: str) -> tuple[DarwinCoreSheet, DarwinCoreSheet]:
    """The tables as meta.xml describes them."""
    try:
        parser = ElementTree.XMLParser(target=_NoDoctype())
        root = ElementTree.fromstring(tree.read(path), parser=parser)
        cores = [part for part in root if _tag(part) == "core"]
        media = [
            part
            for part in root
            if _tag(part) == "extension" and _short(part.get("rowType", "")) in _MEDIA
        ]
        if not cores or not media:
            raise ValueError(f"it names no {'pictures' if cores else 'occurrences'}")
        folder = path.rpartition("/")[0]
        return _sheet(tree, cores[0], folder), _sheet(tree, media[0], folder)
    except (ElementTree.ParseError, ValueError, LookupError) as error:
        raise _unfit(tree, f"{path}: {error}") from None


def _sheet(tree: FileTree, part: ElementTree.Element, folder: str) -> DarwinCoreSheet:
    name = next((item.text or "" for item in part.iter() if _tag(item) == "location"), "").strip()
    path = f"{folder}/{name}" if folder else name
    if path not in tree.paths:
        raise ValueError(f"it names the file '{name}', which is not there")
    columns, constants, identity = {}, {}, None
    for item in part:
        if _tag(item) in ("id", "coreid"):
            identity = int(item.get("index", ""))
        elif _tag(item) == "field":
            term = _short(item.get("term", ""))
            if item.get("index") is not None:
                columns.setdefault(term, int(item.get("index")))
            if item.get("default"):
                constants.setdefault(term, item.get("default"))
    if identity is None or min(identity, *columns.values()) < 0:
        raise ValueError(f"it does not say which column of {name} holds the id")
    separator = _unescaped(part.get("fieldsTerminatedBy", ","))
    quote = _unescaped(part.get("fieldsEnclosedBy", '"'))
    if len(separator) != 1 or len(quote) > 1:
        raise ValueError(f"cells of {name} are separated by '{separator}', not by one character")
    encoding = part.get("encoding", "utf-8")
    "".encode(encoding)  # is there such an encoding?
    header = int(part.get("ignoreHeaderLines", "0"))
    return DarwinCoreSheet(path, columns, identity, separator, quote, header, encoding, constants)


def _unescaped(text: str) -> str:
    return text.replace("\\t", "\t").replace("\\n", "\n").replace("\\r", "\r")


def _tag(element: ElementTree.Element) -> str:
    return element.tag.rpartition("}")[2]


def _short(term: str) -> str:
    return re.split("[/#:]", term.strip())[-1].lower()


def _stem(path: str) -> str:
    return path.rpartition("/")[2].rpartition(".")[0].lower()


def _unfit(tree: FileTree, what: str) -> InputError:
    return InputError(f"{tree.location} cannot be read as a GBIF download ({what}): {ADVICE}")
