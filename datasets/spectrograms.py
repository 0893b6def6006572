"""Log-mel spectrograms (paper 002, section 3.3): how they are computed, and many as one column.

128 mel bands, frames of 46 ms with half overlap, decibels. The numbers are librosa's, of the same
settings; the way to them is faster on whole tracks (`benchmarks/mel_spectrograms.py`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache

import librosa
import numpy as np
import scipy.fft
import scipy.signal

BANDS = 128
SECOND = 43  # frames that last about one second (paper 002, section 3.3)
AMIN = 1e-10  # power below which all is silence
SILENCE = -100.0  # dB, of AMIN

_FRAMES_AT_ONCE = 128  # what they need stays in the cache of the processor
_BANDS_AT_ONCE = 32  # few enough to leave most of the other bins alone


@dataclass(frozen=True)
class MelSettings:
    """What a spectrogram is made of (paper 002, section 3.3; spec 002).

    Attributes:
        rate: samples a second.
    """

    rate: int

    bands = BANDS

    @property
    def window(self) -> int:
        """Samples of a frame, even: 2,048 at 44,100 Hz, 46.44 ms at any rate."""
        return 2 * round(self.rate * 1024 / 44_100)

    @property
    def hop(self) -> int:
        """Samples from frame to frame."""
        return self.window // 2

    @property
    def fft(self) -> int:
        """Points of the Fourier transform: the next power of two.

        From 3,000 Hz on, every band so gets a share of some frequency.
        """
        return 1 << (self.window - 1).bit_length()

    def filters(self) -> np.ndarray:
        """(bands, fft // 2 + 1) float32, the share of every frequency in each band."""
        return _filters(self.rate, self.fft)

    def frequencies(self) -> np.ndarray:
        """(bands,) Hz, where each band has its middle."""
        return librosa.mel_frequencies(BANDS + 2, fmin=0.0, fmax=self.rate / 2)[1:-1]

    def taper(self) -> np.ndarray:
        """(fft,) float32, what frames are multiplied by: a Hann window amid zeros."""
        return _taper(self.window, self.fft)


@lru_cache
def _filters(rate: int, fft: int) -> np.ndarray:
    found = librosa.filters.mel(sr=rate, n_fft=fft, n_mels=BANDS)
    found.flags.writeable = False
    return found


@lru_cache
def _taper(window: int, fft: int) -> np.ndarray:
    taper = scipy.signal.get_window("hann", window)
    found = librosa.util.pad_center(taper, size=fft).astype(np.float32)
    found.flags.writeable = False
    return found


@lru_cache
def _band_groups(rate: int, fft: int) -> list[tuple[slice, slice, np.ndarray]]:
    """Some bands, the bins that they take from, and the (bins, bands) shares."""
    filters, groups = _filters(rate, fft), []
    for first in range(0, BANDS, _BANDS_AT_ONCE):
        bands = slice(first, first + _BANDS_AT_ONCE)
        used = np.flatnonzero(filters[bands].any(axis=0))
        bins = slice(used[0], used[-1] + 1)
        groups.append((bands, bins, np.ascontiguousarray(filters[bands, bins].T)))
    return groups


def log_mel(waveform: np.ndarray, settings: MelSettings) -> np.ndarray:
    """A log-mel spectrogram, (1 + samples // hop, bands) float32 in dB, -100 for silence.

    As `librosa.power_to_db(librosa.feature.melspectrogram(...), amin=1e-10, top_db=None)` gives it
    with a Hann window and zeros before and after the sound, within 1e-3 dB down to 60 dB below the
    loudest value and 0.1 dB under that.

    Args:
        waveform: (samples,) float32, mono, at the settings' rate; it may be empty.
        settings: rate, frames and bands.
    """
    size, margin = settings.fft, settings.fft // 2
    padded = np.pad(waveform.astype(np.float32, copy=False), margin)
    frames = np.lib.stride_tricks.sliding_window_view(padded, size)[:: settings.hop]
    taper, groups = settings.taper(), _band_groups(settings.rate, size)
    found = np.empty((len(frames), BANDS), np.float32)
    for first in range(0, len(frames), _FRAMES_AT_ONCE):
        rows = slice(first, first + _FRAMES_AT_ONCE)
        spectrum = scipy.fft.rfft(frames[rows] * taper, overwrite_x=True)
        power = np.square(spectrum.real) + np.square(spectrum.imag)
        for bands, bins, shares in groups:
            np.matmul(power[:, bins], shares, out=found[rows, bands])
    np.maximum(found, AMIN, out=found)
    np.log10(found, out=found)
    found *= 10
    return found


class Spectrograms:
    """Spectrograms, each (frames, bands) float32 with a length of its own, in one buffer.

    Behaves like an array whose first axis runs along the recordings: `len`, iteration, a row number
    (gives a spectrogram), and an array of row numbers or a slice (gives Spectrograms that share the
    buffer, which may lie on disk).

    Attributes:
        frames: (total, bands) float32, an array or a memory map, the spectrograms in any order.
        starts: (recordings,) int64, where each begins in `frames`.
        counts: (recordings,) int64, how many frames each has.
    """

    def __init__(self, frames: np.ndarray, starts: np.ndarray, counts: np.ndarray):
        self.frames, self.starts, self.counts = frames, starts, counts

    @classmethod
    def of(cls, spectrograms: Iterable[np.ndarray]) -> Spectrograms:
        """Collect spectrograms in memory."""
        found = list(spectrograms)
        counts = np.array([len(one) for one in found], np.int64)
        frames = np.concatenate([*found, np.zeros((0, BANDS), np.float32)])
        return cls(frames, np.cumsum(counts) - counts, counts)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Recordings, frames of the longest, bands: that of `padded`."""
        return len(self), int(self.counts.max(initial=0)), self.frames.shape[1]

    def __len__(self) -> int:
        return len(self.starts)

    def __getitem__(self, rows):
        if isinstance(rows, (int, np.integer)):
            return self.frames[self.starts[rows] : self.starts[rows] + self.counts[rows]]
        return Spectrograms(self.frames, self.starts[rows], self.counts[rows])

    def __iter__(self) -> Iterator[np.ndarray]:
        return (self[row] for row in range(len(self)))

    def padded(self) -> np.ndarray:
        """(recordings, frames of the longest, bands) float32; the shorter ones end in NaN."""
        found = np.full(self.shape, np.nan, np.float32)
        for place, spectrogram in zip(found, self, strict=True):
            place[: len(spectrogram)] = spectrogram
        return found
