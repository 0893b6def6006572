"""Pictures from the web in class folders, with a manifest of where each one came from.

`gather` fetches picture records into `DIR/<class folder>/<file>` and writes one row per picture to
`DIR/manifest.csv` at once, so an interruption loses nothing: the same call goes on, and what lies
there with the manifest's SHA-256 is not fetched again (what was removed by hand is). Paper 003,
section IV a.
"""

from __future__ import annotations

import csv
import hashlib
import io
import os
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path

from PIL import Image
from tqdm import tqdm

from datasets.errors import InputError
from datasets.images import decode_image
from datasets.web import Fetcher, FetchError, clean

MANIFEST = "manifest.csv"
LICENCES = (
    *("cc0", "public-domain", "cc-by", "cc-by-sa", "cc-by-nc", "cc-by-nc-sa", "cc-by-nd"),
    *("cc-by-nc-nd", "other", "unknown"),
)
# Octet-stream claims nothing, and servers of museums send it: decoding decides.
PICTURES = ("image/", "application/octet-stream", "binary/octet-stream")
_SUFFIXES = {
    "JPEG": ".jpg",
    "MPO": ".jpg",  # what some cameras write: a JPEG with further ones behind it
    "PNG": ".png",
    "GIF": ".gif",
    "BMP": ".bmp",
    "WEBP": ".webp",
    "TIFF": ".tif",
}


@dataclass(frozen=True)
class PictureRecord:
    """One picture on the web: its class, its address and whom it belongs to.

    Attributes:
        label: class, such as the species' name; its folder is derived from it.
        source: `gbif`, `fishbase`, `fishpix`.
        source_id: what the source calls the picture or its observation.
        address: where the picture itself lies.
        page: the page that shows it.
        licence: as the source states it; '' where it states none.
        rights_holder: who owns it.
        creator: who took it.
    """

    label: str
    source: str
    source_id: str
    address: str
    page: str = ""
    licence: str = ""
    rights_holder: str = ""
    creator: str = ""

    def __post_init__(self):
        for item in fields(self):
            object.__setattr__(self, item.name, clean(getattr(self, item.name)))

    @property
    def stem(self) -> str:
        """`class folder/file` without its ending: the same for the same record, never another."""
        mark = hashlib.sha256(f"{self.label}\n{self.source}\n{self.address}".encode()).hexdigest()
        return f"{_safe(self.label)}/{_safe(self.source)}_{_safe(self.source_id)}_{mark[:12]}"


COLUMNS = (
    "file",
    *(item.name for item in fields(PictureRecord)),
    *("final_address", "sha256", "bytes", "status"),
)


def _safe(name: str) -> str:
    """A file name of letters, digits, `-` and `_`; no path can hide in it."""
    name = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    return re.sub(r"[^A-Za-z0-9-]+", "_", name).strip("_-")[:80] or "unnamed"


def licence_code(text: str) -> str:
    """The one of `LICENCES` that an address or a name of a licence stands for."""
    text = text.lower()
    if not text:
        return "unknown"
    if "publicdomain/mark" in text or re.fullmatch(r"public domain( mark.*)?", text):
        return "public-domain"
    if re.search(r"publicdomain/zero|\bcc[-_ ]?0", text):
        return "cc0"
    found = re.search(r"(?:licenses/|\bcc[-_ ]+)(by(?:[-_ ](?:nc|nd|sa))*)(?![a-z])", text)
    code = "cc-" + re.sub("[_ ]", "-", found[1]) if found else ""
    return code if code in LICENCES else "other"


@dataclass
class Summary:
    """What `gather` achieved.

    Attributes:
        fetched: number of pictures fetched now.
        present: number of pictures that were there already.
        failures: label, address and reason of every picture that could not be had.
        labels: pictures had, by label.
        licences: pictures had, by one of `LICENCES`.
    """

    fetched: int = 0
    present: int = 0
    failures: list[tuple[str, str, str]] = field(default_factory=list)
    labels: Counter = field(default_factory=Counter)
    licences: Counter = field(default_factory=Counter)

    def had(self) -> int:
        return self.fetched + self.present


def gather(records: Iterable[PictureRecord], folder: Path, fetcher: Fetcher) -> Summary:
    """Fetch pictures into class folders and keep the manifest.

    Args:
        records: what to fetch, in this order; one listed twice is fetched once.
        folder: made where it does not exist; it may hold an earlier, interrupted try.
        fetcher: decides on speed, attempts and limits.

    Returns:
        Summary; pictures that failed stand in it and in the manifest, and stop nothing.

    Raises:
        InputError: the folder cannot be written to, or its manifest is another program's.
    """
    summary, seen = Summary(), set()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        known = read_manifest(folder)
        _rewrite(folder, known)
        with open(folder / MANIFEST, "a", encoding="utf-8", newline="") as file:
            manifest = csv.DictWriter(file, COLUMNS)
            for record in tqdm(records, desc="pictures", unit="picture"):
                if record.stem in seen:
                    continue
                seen.add(record.stem)
                row = known.get(record.stem)
                if row is not None and _is_there(folder, row, record):
                    summary.present += 1
                else:
                    row = known[record.stem] = _fetch_one(record, folder, fetcher)
                    manifest.writerow(row)
                    file.flush()
                    if row["status"] != "ok":
                        reason = row["status"].removeprefix("failed: ")
                        summary.failures.append((record.label, record.address, reason))
                        continue
                    summary.fetched += 1
                summary.labels[record.label] += 1
                summary.licences[licence_code(record.licence)] += 1
        _rewrite(folder, known)
    except OSError as error:
        raise InputError(
            f"{folder} cannot be written to ({error.strerror or error}): check the folder given "
            "as --to and the space on its disk"
        ) from None
    return summary


def read_manifest(folder: Path) -> dict[str, dict[str, str]]:
    """The newest row of every picture, by its `PictureRecord.stem`; none without a manifest.

    Raises:
        InputError: the file is no manifest of `gather`.
    """
    path, rows = folder / MANIFEST, {}
    if not path.exists() or not path.stat().st_size:
        return rows
    try:
        with open(path, encoding="utf-8", newline="") as file:
            reader = csv.DictReader(file)
            if tuple(reader.fieldnames or ()) != COLUMNS:
                raise InputError(
                    f"{path} is not a manifest of gathered pictures: give another folder as --to"
                )
            for row in reader:
                if None in row or None in row.values():  # its writing was interrupted
                    continue
                record = PictureRecord(*(row[item.name] for item in fields(PictureRecord)))
                rows[record.stem] = row
    except (csv.Error, UnicodeError) as error:
        raise InputError(f"{path} is damaged ({error}): move it away and gather again") from None
    return rows


def _rewrite(folder: Path, rows: dict[str, dict[str, str]]) -> None:
    """One row per picture, in one step."""
    text = io.StringIO(newline="")
    manifest = csv.DictWriter(text, COLUMNS)
    manifest.writeheader()
    manifest.writerows(rows.values())
    _write(folder / MANIFEST, text.getvalue().encode("utf-8"))


def _write(path: Path, data: bytes) -> None:
    """A file that is there whole or not at all."""
    part = path.with_name(f".{path.name}.part")
    try:
        part.write_bytes(data)
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def _is_there(folder: Path, row: dict[str, str], record: PictureRecord) -> bool:
    path = folder / row["file"]
    if row["status"] != "ok" or row["file"] != record.stem + path.suffix or not path.is_file():
        return False
    return hashlib.sha256(path.read_bytes()).hexdigest() == row["sha256"]


def _fetch_one(record: PictureRecord, folder: Path, fetcher: Fetcher) -> dict[str, str]:
    """The manifest's row of a picture, after fetching it."""
    row = dict.fromkeys(COLUMNS, "") | asdict(record)
    try:
        answer = fetcher.fetch(record.address, PICTURES)
        decode_image(answer.data)
        kind = Image.open(io.BytesIO(answer.data)).format
        if kind not in _SUFFIXES:
            raise FetchError(f"is of the unusual format {kind}")
    except ValueError as error:
        return row | {"status": f"failed: {clean(str(error))}"}
    path = folder / (record.stem + _SUFFIXES[kind])
    path.parent.mkdir(exist_ok=True)
    _write(path, answer.data)
    return row | {
        "file": path.relative_to(folder).as_posix(),
        "final_address": "" if answer.address == record.address else answer.address,
        "sha256": hashlib.sha256(answer.data).hexdigest(),
        "bytes": str(len(answer.data)),
        "status": "ok",
    }
