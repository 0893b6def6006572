"""What is measured of a whole track, for the song-level artist groups (paper 002, section 3.1.3).

With Essentia installed, these are the descriptors of its MusicExtractor, which works on the
waveform: 4,374 numbers in version 2.1b6, as in the paper (ten are on the file, such as its
length). It takes two to three seconds for a track of thirty, so they are kept in
`files.cache_folder()` and a second call does not compute them again.

Otherwise they are statistics over time of what librosa reads off the log-mel spectrogram, some 340
numbers; the waveform is not touched. Magnitudes of the mel bands stand for those of a linear
spectrum, at the bands' centre frequencies, so what weighs them (centroid, bandwidth) does so on the
mel scale. Pitch and harmony, which Essentia describes too, are not among them.
"""

from __future__ import annotations

import importlib.util
import logging
import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import librosa
import numpy as np
import soundfile
from joblib import Parallel, delayed
from scipy.signal import find_peaks
from tqdm import tqdm

from datasets.files import cache_folder
from datasets.picture_files import in_order, threads
from datasets.spectrograms import MelSettings

LOUD = 60  # dB below the loudest frame, from where on a frame counts as quiet
PULSE = (0.25, 1.5)  # seconds from beat to beat: 240 to 40 beats in a minute
ONSETS_APART = 0.05  # seconds, at least
ONSET_STANDS_OUT = 0.1  # of the range of the track's onset strength

_BANDS_AT_ONCE = 8  # mel bands that make one band of the levels
_COEFFICIENTS = 13  # MFCC, as many as Essentia's
_PERCENTILES = (10, 50, 90)
_LOWEST_OCTAVE = 200.0  # Hz, librosa's upper edge of the lowest band of the spectral contrast
_OCTAVES = 6
_TEMPO_SECONDS = 8.0  # longest lag of the autocorrelation, librosa's own
# The one numeric descriptor whose length differs from track to track.
_UNEVEN = "rhythm.beats_position"

log = logging.getLogger("menagerie")


@dataclass(frozen=True)
class Descriptors:
    """Numbers that describe whole tracks.

    Attributes:
        values: (tracks, descriptors) float32, finite but for the rows in `failed`, which are NaN.
        source: what computed them, in words.
        dropped: how many descriptors were missing or infinite for some track and left out.
        failed: row -> why that track has none.
    """

    values: np.ndarray
    source: str
    dropped: int
    failed: dict[int, str]


def song_descriptors(recordings, digests: np.ndarray) -> Descriptors:
    """Descriptors of tracks: Essentia's where it is installed, else statistics by librosa.

    Args:
        recordings: datasets.recordings.Recordings with their spectrograms.
        digests: (tracks,) str, hash of each decoded track: what was computed is kept by it.
    """
    if importlib.util.find_spec("essentia"):
        return _collected(_by_essentia(recordings, digests), len(recordings), "Essentia")
    work = partial(_values, rate=recordings.rate)
    found = in_order(work, recordings.spectrograms)
    return _collected(found, len(recordings), "librosa's statistics of the mel spectrogram")


def _values(log_mel: np.ndarray, rate: int) -> np.ndarray:
    return np.fromiter(mel_statistics(log_mel, rate).values(), np.float32)


def _collected(found: Iterator[np.ndarray | str], tracks: int, source: str) -> Descriptors:
    """Put together what came out for each track: its numbers, or why there are none."""
    values, failed = np.zeros((tracks, 0), np.float32), {}
    for row, numbers in enumerate(tqdm(found, "describing tracks", tracks, delay=2, leave=False)):
        if isinstance(numbers, str):
            failed[row] = numbers
            continue
        if not values.shape[1]:
            values = np.full((tracks, len(numbers)), np.nan, np.float32)
        values[row] = numbers
    usable = np.isfinite(values).sum(axis=0) == tracks - len(failed)
    return Descriptors(values[:, usable], source, int((~usable).sum()), failed)


def mel_statistics(log_mel: np.ndarray, rate: int) -> dict[str, float]:
    """Statistics over the time of one track, by the names of the descriptors.

    Curves: centroid, bandwidth, roll-off (85 %) in Hz, flatness, contrast by octaves in dB (of
    fewer of them where the rate is below 12.8 kHz), the level of the frame and of each eight mel
    bands in dB, 13 MFCC, and onset strength. Of each curve: `mean`, `deviation`, `skewness` (0
    where it is constant), the percentiles `p10`, `p50` and `p90`, and of the differences between
    subsequent frames `change` (their mean absolute value) and `change_deviation`.

    Of the track: `tempo` in beats per minute and `pulse` (0 to 1, the autocorrelation of the onset
    strength at the best lag of a beat; 0 where there is no onset), `onset_rate` per second and
    `quiet_share`, the share of frames more than 60 dB below the loudest one.

    Args:
        log_mel: (frames, bands) float32 dB, of at least one frame.
        rate: sampling rate of the track in Hz.
    """
    seconds = MelSettings(rate).hop / rate
    curves, level, onsets = _curves(log_mel.T, rate, seconds)
    found = {}
    for statistic, numbers in _statistics(np.stack(list(curves.values()))).items():
        names = (f"{curve}_{statistic}" for curve in curves)
        found |= zip(names, numbers.tolist(), strict=True)
    found |= _rhythm(onsets, seconds)
    found["quiet_share"] = float(np.mean(level < level.max() - LOUD))
    return found


def _curves(
    log_mel: np.ndarray, rate: int, seconds: float
) -> tuple[dict[str, np.ndarray], np.ndarray, np.ndarray]:
    """Curves over time, each (frames,), by name; among them the level and the onset strength."""
    bands = len(log_mel)
    magnitude = librosa.db_to_amplitude(log_mel)
    # Of librosa.filters.mel: the edges of neighbouring bands are each other's centres.
    centres = librosa.mel_frequencies(bands + 2, fmin=0.0, fmax=rate / 2)[1:-1]
    octaves = min(_OCTAVES, int(np.ceil(np.log2(rate / 2 / _LOWEST_OCTAVE))))
    level = librosa.power_to_db(np.sum(magnitude**2, axis=0), top_db=None)
    onsets = _onset_strength(log_mel)
    feature = librosa.feature
    curves = {
        "centroid": feature.spectral_centroid(S=magnitude, freq=centres)[0],
        "bandwidth": feature.spectral_bandwidth(S=magnitude, freq=centres)[0],
        "rolloff": feature.spectral_rolloff(S=magnitude, freq=centres)[0],
        "flatness": feature.spectral_flatness(S=magnitude)[0],
        "level": level,
        "onset": onsets,
    }
    contrast = feature.spectral_contrast(S=magnitude, freq=centres, sr=rate, n_bands=octaves)
    coarse = log_mel.reshape(-1, _BANDS_AT_ONCE, log_mel.shape[1]).mean(axis=1)
    coefficients = feature.mfcc(S=log_mel, n_mfcc=_COEFFICIENTS)
    for name, rows in (("contrast", contrast), ("band", coarse), ("mfcc", coefficients)):
        curves |= {f"{name}_{number}": row for number, row in enumerate(rows)}
    return curves, level, onsets


def _onset_strength(log_mel: np.ndarray) -> np.ndarray:
    # Frames are centred and half a window apart, which is a delay of one frame.
    return librosa.onset.onset_strength(S=log_mel, n_fft=2, hop_length=1)


def _statistics(curves: np.ndarray) -> dict[str, np.ndarray]:
    """Statistics of (curves, frames) along time, each (curves,), by name."""
    mean, deviation = curves.mean(axis=1), curves.std(axis=1)
    varies = deviation > 1e-6 * np.abs(mean)  # else what is left is rounding
    scaled = (curves - mean[:, None]) / np.where(varies, deviation, 1.0)[:, None]
    found = {
        "mean": mean,
        "deviation": deviation,
        "skewness": np.where(varies, np.mean(scaled**3, axis=1), 0.0),
    }
    percentiles = np.percentile(curves, _PERCENTILES, axis=1)
    found |= {f"p{p}": row for p, row in zip(_PERCENTILES, percentiles, strict=True)}
    steps = np.diff(curves, axis=1) if curves.shape[1] > 1 else np.zeros((len(curves), 1))
    return found | {"change": np.abs(steps).mean(axis=1), "change_deviation": steps.std(axis=1)}


def _rhythm(onsets: np.ndarray, seconds: float) -> dict[str, float]:
    """Tempo, pulse and onset rate; `seconds` from frame to frame."""
    # One window as long as the track in place of a tempogram: a tenth of the time.
    likeness = _likeness(onsets, seconds)
    tempo = librosa.feature.tempo(tg=likeness[:, None], sr=1 / seconds, hop_length=1)
    likeness = _likeness(onsets - onsets.mean(), seconds)
    first, last = (round(lag / seconds) for lag in PULSE)
    return {
        "tempo": float(tempo[0]),
        "pulse": float(max(likeness[first : last + 1].max(), 0.0)),
        "onset_rate": _onsets(onsets, seconds) / (len(onsets) * seconds),
    }


def _onsets(strength: np.ndarray, seconds: float) -> int:
    """How many onsets stand out of their strength over time.

    Not by librosa's peaks: numba compiles them, and where two processes do so at once, what it
    keeps on disk can crash every later call (https://github.com/numba/numba/issues/10128).
    """
    scaled = (strength - strength.min()) / max(np.ptp(strength), 1e-9)
    apart = max(round(ONSETS_APART / seconds), 1)
    return len(find_peaks(scaled, prominence=ONSET_STANDS_OUT, distance=apart)[0])


def _likeness(onsets: np.ndarray, seconds: float) -> np.ndarray:
    """Autocorrelation at lags of up to 8 s, 1 at none, (lags,); 0 throughout without an onset."""
    lags = round(_TEMPO_SECONDS / seconds)
    found = librosa.autocorrelate(onsets, max_size=lags)
    return np.pad(found / max(found[0], 1e-9), (0, lags - len(found)))


def _by_essentia(recordings, digests: np.ndarray) -> Iterator[np.ndarray | str]:
    """Descriptors of each track, or why it has none; ones of earlier calls are only read."""
    import essentia

    folder = Path(cache_folder(), f"essentia-{essentia.__version__}")
    paths = [folder / f"{digest}-{recordings.rate}.npy" for digest in digests]
    missing = [row for row, path in enumerate(paths) if not path.exists()]
    # It holds the interpreter's lock, so threads would wait for one another.
    extracted = Parallel(threads(), return_as="generator")(
        delayed(_extract)(recordings[row], recordings.rate) for row in missing
    )
    waiting, keeps = set(missing), True
    for row, path in enumerate(paths):
        if row not in waiting:
            yield np.load(path)
            continue
        numbers = next(extracted)
        if keeps and not isinstance(numbers, str):
            keeps = _keep(path, numbers)
        yield numbers


def _extract(waveform: np.ndarray, rate: int) -> np.ndarray | str:
    """Essentia's descriptors of one track, (descriptors,) float32, or why there are none."""
    import essentia

    essentia.log.infoActive = essentia.log.warningActive = False
    from essentia.standard import MusicExtractor

    with tempfile.TemporaryDirectory() as folder:
        sound = os.path.join(folder, "track.wav")  # it reads files only
        soundfile.write(sound, waveform, rate, subtype="FLOAT")
        try:
            pool, _ = MusicExtractor()(sound)
        except RuntimeError as error:
            return " ".join(str(error).split())
    named = ((name, pool[name]) for name in sorted(pool.descriptorNames()) if name != _UNEVEN)
    numbers = [np.ravel(value) for _, value in named if not isinstance(value, (str, list))]
    return np.concatenate(numbers).astype(np.float32)


def _keep(path: Path, numbers: np.ndarray) -> bool:
    """Write numbers to a file, whole or not at all; whether that is possible."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as file:
            np.save(file, numbers)
        os.replace(file.name, path)
    except OSError as error:
        log.warning(
            "Essentia's descriptors cannot be kept in %s (%s) and will be computed again next "
            "time: set MENAGERIE_CACHE to a folder that can be written to",
            path.parent,
            error.strerror,
        )
        return False
    return True
