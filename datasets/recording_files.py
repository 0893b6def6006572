"""Every recording on disk is decoded once; its log-mel spectrogram is kept on disk.

Two files in `files.cache_folder()` for each folder of recordings and sampling rate, both only ever
added to: one with the frames of all spectrograms, which is never read as a whole, and a table of
what was found, by the path, size and time of every recording. A pass that was interrupted goes on
where it stopped, and the next training decodes nothing. A track of thirty seconds takes 0.66 MB. To
get rid of spectrograms that are no longer needed, remove the files.
"""

from __future__ import annotations

import errno
import fcntl
import logging
import os
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import numpy as np
from threadpoolctl import threadpool_limits
from tqdm import tqdm

from datasets.base import content_digest
from datasets.errors import InputError
from datasets.files import cache_folder
from datasets.kept_rows import STAMP, KeptRows, file_stamps, of_files, of_folder
from datasets.picture_files import in_order
from datasets.recordings import open_recording, read_so_far, resampled
from datasets.spectrograms import BANDS, MelSettings, Spectrograms, log_mel

SILENT_BELOW = 2**-15  # of full scale: the smallest step of 16 bits

_ROW = 4 * BANDS  # bytes of a frame

log = logging.getLogger("menagerie")


class _Found(NamedTuple):
    """What is known of a recording: the columns of the table beside `STAMP`.

    `fault` is why it cannot be used, and then it has no frames, or where it breaks off.
    """

    digest: str = ""
    seconds: float = 0.0
    is_silent: int = 0
    start: int = 0
    frames: int = 0
    fault: str = ""


@dataclass(frozen=True)
class Prepared:
    """Recordings with their spectrograms.

    Attributes:
        rows: (usable,) int64, which of the recordings can be used; what follows is of these.
        spectrograms: of each, at the rate that was asked for; a memory map.
        digests: (usable,) str, `content_digest` of each waveform, mono, at its own rate.
        seconds: (usable,) float, how long each lasts.
        silent: (usable,) bool, whether no sample reaches the smallest step of 16 bits.
        reasons: path -> why a recording cannot be used.
        cut_short: path -> where a recording breaks off that is used as far as it goes.
    """

    rows: np.ndarray
    spectrograms: Spectrograms
    digests: np.ndarray
    seconds: np.ndarray
    silent: np.ndarray
    reasons: dict[str, str]
    cut_short: dict[str, str]


def common_rate(folder: str, paths: np.ndarray) -> int:
    """The most frequent sampling rate, by the headers of the files; of several, the highest.

    44,100 (paper 002) where no file can be read, which `prepare_recordings` gives the reasons for.
    """

    def look(path: str) -> int | None:
        try:
            with open_recording(os.path.join(folder, path)) as file:
                return file.samplerate
        except ValueError:
            return None

    found = Counter(in_order(look, paths))
    found.pop(None, None)
    return max(found, key=lambda rate: (found[rate], rate), default=44_100)


def prepare_recordings(folder: str, paths: np.ndarray, rate: int) -> Prepared:
    """Decode recordings and compute their spectrograms, or take what an earlier call has found.

    Over threads, one for each core. Of several processes that need the same spectrograms one
    computes them, and the others wait.

    Args:
        folder: that the paths are relative to.
        paths: (recordings,) of str, each once.
        rate: samples a second that all are brought to.

    Raises:
        InputError: the spectrograms cannot be written.
    """
    store = _Store(folder, rate)
    stamps = file_stamps(folder, paths)
    found = store.read(paths, stamps)
    if None in found:
        with store.alone():
            found = store.read(paths, stamps)  # others may have gone on meanwhile
            _complete(found, store, folder, paths, stamps, MelSettings(rate))
    return _prepared(paths, found, store.frames())


def _complete(found, store, folder, paths, stamps, settings) -> None:
    """Look at the recordings of which nothing is known."""
    rows = [row for row, known in enumerate(found) if known is None]
    looks = in_order(
        partial(_look, settings=settings), (os.path.join(folder, paths[row]) for row in rows)
    )
    # Threads that each start threads of their own would only wait for one another.
    with threadpool_limits(1, user_api="blas"):
        try:
            # The delay keeps small sets quiet; tqdm writes to standard error.
            bar = tqdm(looks, "preparing recordings", len(rows), delay=2, leave=False)
            for row, (look, spectrogram) in zip(rows, bar, strict=True):
                found[row] = store.add(paths[row], stamps[row], look, spectrogram)
        finally:
            store.write()


def _look(path: str, settings: MelSettings) -> tuple[_Found, np.ndarray]:
    try:
        waveform, rate, fault = read_so_far(path)
    except ValueError as error:
        return _Found(fault=str(error)), np.zeros((0, BANDS), np.float32)
    found = _Found(
        digest=content_digest(waveform),
        seconds=len(waveform) / rate,
        is_silent=int(max(waveform.max(), -waveform.min()) < SILENT_BELOW),
        fault=fault,
    )
    return found, log_mel(resampled(waveform, rate, settings.rate), settings)


def _prepared(paths: np.ndarray, found: list[_Found], frames: np.ndarray) -> Prepared:
    faults = {path: one for path, one in zip(paths, found, strict=True) if one.fault}
    rows = np.flatnonzero([one.frames for one in found])
    usable = [found[row] for row in rows]
    starts, counts = (
        np.array([one[place] for one in usable], np.int64)
        for place in map(_Found._fields.index, ("start", "frames"))
    )
    return Prepared(
        rows=rows,
        spectrograms=Spectrograms(frames, starts, counts),
        digests=np.array([one.digest for one in usable], object),
        seconds=np.array([one.seconds for one in usable], float),
        silent=np.array([one.is_silent for one in usable], bool),
        reasons={path: one.fault for path, one in faults.items() if not one.frames},
        cut_short={path: one.fault for path, one in faults.items() if one.frames},
    )


class _Store:
    """The two files of a folder of recordings and a sampling rate."""

    def __init__(self, folder: str, rate: int):
        name = f"recordings-{of_folder(folder)}-{rate}"
        self._folder, self._frames, self._file = folder, cache_folder() / f"{name}.frames", None
        self._rows = KeptRows(name, (*STAMP, *_Found._fields), "what was found in the recordings")

    def frames(self) -> np.ndarray:
        """(total, bands) float32, all that there are, on disk."""
        total = self._frames.stat().st_size // _ROW if self._frames.exists() else 0
        if not total:
            return np.zeros((0, BANDS), np.float32)
        # As a plain array, whose slices cost less than those of a memmap.
        return np.memmap(self._frames, np.float32, "r", shape=(total, BANDS)).view(np.ndarray)

    def read(self, paths: np.ndarray, stamps: np.ndarray) -> list[_Found | None]:
        """What is known of these recordings; None where nothing is."""
        rows = self._rows.read()
        found = [None] * len(paths)
        if self._lacks_frames(rows):
            return found
        rows = of_files(rows, paths, stamps)
        cells = rows[[*_Found._fields]].itertuples(index=False, name=None)
        for row, (known, values) in enumerate(zip(rows["known"], cells, strict=True)):
            if known:
                digest, seconds, *numbers, fault = values
                found[row] = _Found(digest, float(seconds), *map(int, numbers), fault)
        return found

    def _lacks_frames(self, rows) -> bool:
        """Whether the file of the frames has been cut or removed since the table was begun."""
        ends = rows["start"].astype(np.int64) + rows["frames"].astype(np.int64)
        return ends.max() > len(self.frames()) if len(ends) else False

    @contextmanager
    def alone(self) -> Iterator[None]:
        """While this process may add to the files, and no other one."""
        try:
            self._frames.parent.mkdir(parents=True, exist_ok=True)
            self._file = open(self._frames, "ab", buffering=0)  # noqa: SIM115 - closed below
        except OSError as error:
            raise self._refusal(error) from None
        with self._file:
            try:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                log.warning("waiting for another process that prepares %s", self._folder)
                fcntl.flock(self._file, fcntl.LOCK_EX)
            # A kill may have torn the last frame.
            self._file.truncate(self._file.seek(0, os.SEEK_END) // _ROW * _ROW)
            if self._lacks_frames(self._rows.read()):
                self._rows.remove()  # or its rows would point at the frames that come now
            yield

    def add(self, path: str, stamp: np.ndarray, look: _Found, spectrogram: np.ndarray) -> _Found:
        """Keep a spectrogram and what was found; gives the latter with its place."""
        found = look._replace(
            start=self._file.seek(0, os.SEEK_END) // _ROW, frames=len(spectrogram)
        )
        try:
            if self._file.write(spectrogram.data) < spectrogram.nbytes:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError as error:
            raise self._refusal(error) from None
        # What is wrong with the place rather than the file may be otherwise next time.
        if os.access(os.path.join(self._folder, path), os.R_OK):
            self._rows.add(path, *stamp, *found)
        return found

    def write(self) -> None:
        """Write what still waits."""
        self._rows.write()

    def _refusal(self, error: OSError) -> InputError:
        return InputError(
            f"the spectrograms of {self._folder} cannot be kept in {self._frames.parent} "
            f"({error.strerror}): set MENAGERIE_CACHE to a folder with room for them, 22 kB a "
            "second of sound"
        )
