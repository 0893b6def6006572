"""Every picture on disk is read once: does it decode, how large is it, what is its digest?

What was found is kept in a file in `files.cache_folder()`, one for each folder of pictures, by the
path, size and time of every picture. It is added to during the check, so that one that was
interrupted goes on where it stopped, and the next training does not read the pictures again.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

import numpy as np
from tqdm import tqdm

from datasets.base import content_digest
from datasets.images import PICTURE_SUFFIXES, decode_image
from datasets.kept_rows import STAMP, KeptRows, file_stamps, of_files, of_folder
from datasets.picture_files import in_order, read_file

KEPT_FROM = 100  # fewer pictures are read again faster than a file of them is worth
_COLUMNS = (*STAMP, "digest", "height", "width", "reason")


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
    stamps = file_stamps(folder, paths)
    kept = None
    if len(paths) >= KEPT_FROM:
        what = "what was found in the pictures"
        kept = KeptRows(f"pictures-{of_folder(folder)}", _COLUMNS, what)
    digests = np.full(len(paths), "", object)
    sizes, reasons = np.zeros((len(paths), 2), np.int64), np.full(len(paths), "", object)
    reasons[stamps[:, 0] < 0] = "is not there"
    odd = [not path.lower().endswith(PICTURE_SUFFIXES) for path in paths]
    reasons[odd] = f"is no picture file ({', '.join(PICTURE_SUFFIXES)})"
    open_rows = reasons == ""
    if kept is not None:
        found = of_files(kept.read(), paths, stamps)
        known = open_rows & found["known"].to_numpy()
        digests[known] = found["digest"].to_numpy()[known]
        sizes[known] = found[["height", "width"]].to_numpy(object)[known].astype(np.int64)
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
                digest, size, reason, _ = look
                kept.add(paths[row], *stamps[row], digest, *size, reason)
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
