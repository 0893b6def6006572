"""Every picture on disk is read once: does it decode, how large is it, what is its digest?

What was found is kept in a file in `files.cache_folder()`, one for each folder of pictures, by the
path, size and time of every picture. It is added to during the check, so that one that was
interrupted goes on where it stopped, and the next training does not read the pictures again.
"""

from __future__ import annotations

import csv
import hashlib
import logging
import os
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from tqdm import tqdm

from datasets.base import content_digest
from datasets.files import cache_folder
from datasets.images import PICTURE_SUFFIXES, decode_image
from datasets.picture_files import in_order, read_file

KEPT_FROM = 100  # fewer pictures are read again faster than a file of them is worth
_STAMPS_AT_ONCE = 4096
_SECONDS = 1.0  # between two additions to the file
_NAMES = ("path", "bytes", "time", "digest", "height", "width", "reason", "end")
_END = "."  # a row torn by a kill lacks it

log = logging.getLogger("menagerie")


@dataclass(frozen=True)
class Checks:
    """What is known of pictures, by their paths.

    Attributes:
        digests: (pictures,) str, `content_digest` of each as decoded; '' where it cannot be.
        sizes: (pictures, 2) int, height and width of each, upright; 0 where it cannot be decoded.
        broken: path -> why it cannot be used.
    """

    digests: np.ndarray
    sizes: np.ndarray
    broken: dict[str, str]


def check_pictures(folder: str, paths: np.ndarray) -> Checks:
    """Read pictures, or take what an earlier call has found.

    Args:
        folder: that the paths are relative to.
        paths: (pictures,) of str, each once.
    """
    stamps = _stamps(folder, paths)
    kept = _Kept(folder) if len(paths) >= KEPT_FROM else None
    digests = np.full(len(paths), "", object)
    sizes, reasons = np.zeros((len(paths), 2), np.int64), np.full(len(paths), "", object)
    reasons[stamps[:, 0] < 0] = "is not there"
    odd = [not path.lower().endswith(PICTURE_SUFFIXES) for path in paths]
    reasons[odd] = f"is no picture file ({', '.join(PICTURE_SUFFIXES)})"
    open_rows = reasons == ""
    if kept is not None:
        found = kept.read(paths, stamps)
        known = open_rows & found["known"].to_numpy()
        digests[known] = found["digest"].to_numpy()[known]
        sizes[known] = found[["height", "width"]].to_numpy(np.int64)[known]
        reasons[known] = found["reason"].to_numpy()[known]
        open_rows &= ~known
    rows = np.flatnonzero(open_rows)
    looks = in_order(_look, (os.path.join(folder, paths[row]) for row in rows))
    try:
        # The delay keeps small sets quiet; tqdm writes to standard error.
        for row, look in zip(
            rows, tqdm(looks, "checking pictures", len(rows), delay=2, leave=False), strict=True
        ):
            digests[row], sizes[row], reasons[row], is_lasting = look
            if kept is not None and is_lasting:
                kept.add(paths[row], stamps[row], *look[:3])
    finally:
        if kept is not None:
            kept.write()
    broken = np.flatnonzero(reasons != "")
    return Checks(digests, sizes, {paths[row]: reasons[row] for row in broken})


def _look(path: str) -> tuple[str, tuple[int, int], str, bool]:
    """Digest, height and width, or why there are none; and whether that is so until it changes."""
    try:
        data = read_file(path)
    except ValueError as error:
        return "", (0, 0), str(error), False
    try:
        image = decode_image(data)
    except ValueError as error:
        return "", (0, 0), str(error), True
    return content_digest(image), image.shape[:2], "", True


def _stamps(folder: str, paths: np.ndarray) -> np.ndarray:
    """Bytes and time of the last change of each file, (pictures, 2) int64; -1 where it is not."""

    def look(rows: np.ndarray) -> np.ndarray:
        stamps = np.full((len(rows), 2), -1, np.int64)
        for place, row in enumerate(rows):
            try:
                found = os.stat(os.path.join(folder, paths[row]))
            except OSError:
                continue
            stamps[place] = found.st_size, found.st_mtime_ns
        return stamps

    pieces = np.array_split(np.arange(len(paths)), 1 + len(paths) // _STAMPS_AT_ONCE)
    return np.concatenate(list(in_order(look, pieces)))


class _Kept:
    """The file of what was found: rows of cells between tabs, append-only."""

    def __init__(self, folder: str):
        place = os.path.realpath(folder)
        name = hashlib.sha1(place.encode(errors="replace"), usedforsecurity=False).hexdigest()
        self._path = Path(cache_folder(), f"pictures-{name}.tsv")
        self._waiting: list[str] = []
        self._written = time.monotonic()
        self._given_up = False

    def read(self, paths: np.ndarray, stamps: np.ndarray) -> pd.DataFrame:
        """`known`, `digest`, `height`, `width` and `reason` of each of these pictures."""
        rows = self._rows().drop_duplicates("path", keep="last").set_index("path")
        rows = rows.reindex(paths)
        same = [
            rows[name].fillna("").to_numpy(object) == stamp.astype(str).astype(object)
            for name, stamp in zip(("bytes", "time"), stamps.T, strict=True)
        ]
        return rows.assign(known=same[0] & same[1]).fillna({"height": "0", "width": "0"})

    def _rows(self) -> pd.DataFrame:
        try:
            rows = pd.read_csv(
                self._path, sep="\t", names=_NAMES, dtype="str", quoting=csv.QUOTE_NONE,
                keep_default_na=False, on_bad_lines="skip", encoding_errors="replace",
                usecols=range(len(_NAMES)),
            )  # fmt: skip
        except (OSError, ValueError):
            return pd.DataFrame(columns=_NAMES, dtype="str")
        return rows[rows["end"] == _END]

    def add(self, path: str, stamp, digest: str, size, reason: str) -> None:
        cells = (path, *stamp.tolist(), digest, *size, reason, _END)
        if not any(sign in path + reason for sign in "\t\r\n"):
            self._waiting.append("\t".join(map(str, cells)) + "\n")
        if time.monotonic() - self._written > _SECONDS:
            self.write()

    def write(self) -> None:
        """Add what waits, in one write: two processes at the same file add whole rows."""
        self._written = time.monotonic()
        if not self._waiting or self._given_up:
            return
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with open(self._path, "ab", buffering=0) as file:
                begin = "\n" if file.tell() else ""  # the last row may be torn
                file.write((begin + "".join(self._waiting)).encode(errors="replace"))
        except OSError as error:
            self._given_up = True
            log.warning(
                "what was found in the pictures cannot be kept in %s (%s) and will be looked for "
                "again next time: set MENAGERIE_CACHE to a folder that can be written to",
                self._path.parent,
                error.strerror,
            )
        self._waiting = []
