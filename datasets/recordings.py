"""Recordings of sound: read from files, brought to one sampling rate, as one column of a table.

More recordings than fit into memory are learnt from: those on disk are decoded when they are asked
for, and forgotten after.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence

import librosa
import numpy as np
import soundfile

from datasets.errors import InputError
from datasets.picture_files import in_order
from datasets.spectrograms import Spectrograms

RECORDING_SUFFIXES = (".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aif", ".aiff")
RATES = (8_000, 192_000)  # samples a second, the lowest and the highest that are read
LONGEST = 3600  # seconds; the memory that one recording takes must have a bound

_FRAMES_AT_ONCE = 2**15
_MISSING = 1.0  # seconds that a header may promise too much
_UNKNOWN = 2**63 - 1  # frames that libsndfile reports of a stream without an end
# What an mp3 says of its own length; without it, libsndfile guesses from the first bit rate.
_MP3_LENGTH = re.compile(rb"(?:Xing|Info)\0\0\0[\x01\x03\x05\x07\x09\x0b\x0d\x0f]")
_MP3_HEAD = 2**20  # bytes, which pictures in front of the sound may fill


class Recordings:
    """Recordings, each (samples,) float32, mono, with a length of its own.

    Behaves like an array whose first axis runs along the recordings: `len`, a row number (gives a
    waveform; one on disk is decoded for it), an array of row numbers or a slice (gives Recordings),
    and iteration, which decodes ahead over threads, in order.

    Attributes:
        sources: (recordings,) of object, waveforms or paths.
        rate: samples a second of all waveforms.
        spectrograms: the log-mel spectrograms of the same rows; None where there are none.
        folder: that paths are relative to; None where the waveforms are in memory.
    """

    def __init__(
        self,
        sources: np.ndarray,
        rate: int,
        spectrograms: Spectrograms | None,
        folder: str | None,
    ):
        self.sources, self.rate = sources, rate
        self.spectrograms, self.folder = spectrograms, folder

    @classmethod
    def of(
        cls, waveforms: Sequence[np.ndarray], rate: int, spectrograms: Spectrograms | None = None
    ) -> Recordings:
        """Waveforms in memory, each (samples,) float32, mono, at this rate."""
        sources = np.empty(len(waveforms), object)
        for row, waveform in enumerate(waveforms):
            sources[row] = waveform
        return cls(sources, rate, spectrograms, None)

    @classmethod
    def files(
        cls, folder: str, paths: np.ndarray, rate: int, spectrograms: Spectrograms | None = None
    ) -> Recordings:
        """Recordings on disk, brought to this rate when they are asked for."""
        return cls(np.asarray(paths, object), rate, spectrograms, str(folder))

    def __len__(self) -> int:
        return len(self.sources)

    def __getitem__(self, rows):
        if isinstance(rows, (int, np.integer)):
            source = self.sources[rows]
            return source if self.folder is None else self._decode(source)
        spectrograms = None if self.spectrograms is None else self.spectrograms[rows]
        return Recordings(self.sources[rows], self.rate, spectrograms, self.folder)

    def __iter__(self) -> Iterator[np.ndarray]:
        return in_order(self.__getitem__, range(len(self)))

    def _decode(self, name: str) -> np.ndarray:
        path = os.path.join(self.folder, name)
        try:
            return resampled(*read_recording(path), self.rate)
        except ValueError as error:
            raise InputError(
                f"{path} {error}: it was read before, so restore it, or start again"
            ) from None


def read_recording(path: str) -> tuple[np.ndarray, int]:
    """The waveform of a sound file, (samples,) float32, the mean of its channels; and its rate.

    Where a file breaks off, what comes before is used if it is at least half of what the header
    promises. WAV, AIFF, Ogg and some mp3 promise nothing: what they hold counts as all. Of an mp3
    of varying bit rate that does not say how long it is, libsndfile may read the first part only.

    Raises:
        ValueError: it cannot be used; the reason is short.
    """
    waveform, rate, _ = read_so_far(path)
    return waveform, rate


def read_so_far(path: str) -> tuple[np.ndarray, int, str]:
    """As `read_recording`, and where the file breaks off: '' where it does not."""
    with open_recording(path) as file:
        rate, promised = file.samplerate, _promised(file, path)
        waveform = _mono(file)
    if not len(waveform):
        raise ValueError("has no sound in it")
    if not np.isfinite(waveform).all():
        raise ValueError("has samples that are NaN or infinite")
    if promised - len(waveform) <= _MISSING * rate:
        return waveform, rate, ""
    breaks = f"breaks off after {len(waveform) / rate:.1f} of {promised / rate:.1f} s"
    if 2 * len(waveform) < promised:
        raise ValueError(breaks)
    return waveform, rate, breaks


def open_recording(path: str) -> soundfile.SoundFile:
    """A sound file whose header has been read.

    Raises:
        ValueError: it is no sound file, cannot be read, or has a rate outside `RATES`.
    """
    if not path.lower().endswith(RECORDING_SUFFIXES):
        raise ValueError(f"is no recording ({', '.join(RECORDING_SUFFIXES)})")
    if not os.path.isfile(path):
        raise ValueError("is not there")
    if not os.access(path, os.R_OK):
        raise ValueError("cannot be read (no permission)")
    try:
        file = soundfile.SoundFile(path)
    except UnicodeEncodeError:
        raise ValueError("has a name that is not Unicode: rename it") from None
    except soundfile.LibsndfileError:  # what it says differs by the file's name, not by its fault
        raise ValueError("is no recording, or its header is broken") from None
    if RATES[0] <= file.samplerate <= RATES[1]:
        return file
    file.close()
    raise ValueError(
        f"has {file.samplerate:,} samples a second; {RATES[0]:,} to {RATES[1]:,} can be used"
    )


def resampled(waveform: np.ndarray, rate: int, wanted: int) -> np.ndarray:
    """A waveform at another sampling rate, (ceil(samples * wanted / rate),) float32.

    Args:
        waveform: (samples,) float32.
        rate: samples a second that it has.
        wanted: samples a second that it gets.
    """
    if rate == wanted:
        return waveform
    return librosa.resample(waveform, orig_sr=rate, target_sr=wanted)


def _promised(file: soundfile.SoundFile, path: str) -> int:
    """How many frames the header says there are; 0 where it does not say."""
    if file.format == "MP3":
        with open(path, "rb") as stream:
            if not _MP3_LENGTH.search(stream.read(_MP3_HEAD)):
                return 0
    return file.frames % _UNKNOWN


def _mono(file: soundfile.SoundFile) -> np.ndarray:
    """The mean of the channels, (samples,) float32, up to where the file ends or is damaged.

    In pieces, for what a header says of the length is not to be trusted with the memory.
    """
    share = np.full(file.channels, 1 / file.channels, np.float32)
    buffer = np.full((_FRAMES_AT_ONCE, file.channels), np.nan, np.float32)
    pieces = []
    try:
        while len(piece := file.read(out=buffer)):
            pieces.append(piece @ share)
            if file.tell() > LONGEST * file.samplerate:
                raise ValueError(f"lasts more than {LONGEST // 60} minutes: cut it into tracks")
            buffer.fill(np.nan)
    except soundfile.LibsndfileError:  # the rows that were decoded before it are there
        pieces.append(buffer[~np.isnan(buffer[:, 0])] @ share)
    return np.concatenate([*pieces, np.zeros(0, np.float32)])
