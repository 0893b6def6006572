"""From mp3 to log-mel spectrograms: the zoo's pass over the files, and librosa track by track.

    python -m benchmarks.mel_spectrograms --out mel_spectrograms.json

Generates tracks (stereo, 44.1 kHz), and in turns decodes and transforms them all: with
`datasets.recording_files` over all cores into files that are thrown away, and with librosa in one
process, whose results stay in memory. Then the transform alone, of one waveform on one core.
Prints the seconds of both and their ratios, medians of the rounds, and the largest difference of
the spectrograms; writes JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import tempfile
import time
from pathlib import Path

import librosa
import numpy as np
import soundfile
from threadpoolctl import threadpool_limits

from datasets.picture_files import threads
from datasets.recording_files import prepare_recordings
from datasets.spectrograms import AMIN, MelSettings, log_mel

FILE_RATE = 44_100
DIFFERENT = 6  # tracks that are generated; the others are copies, which are decoded all the same


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--tracks", type=int, default=60)
    parser.add_argument("--seconds", type=float, default=30.0, help="of each track")
    parser.add_argument("--rate", type=int, default=FILE_RATE, help="that they are brought to")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", default="mel_spectrograms.json")
    arguments = parser.parse_args()
    settings = MelSettings(arguments.rate)
    with tempfile.TemporaryDirectory() as folder:
        paths = _write(Path(folder), arguments.tracks, arguments.seconds)
        measured = [_measure(folder, paths, settings) for _ in range(arguments.rounds)]
    result = {
        "tracks": arguments.tracks,
        "seconds_of_a_track": arguments.seconds,
        "rate": arguments.rate,
        "cores": threads(),
        **{name: float(np.median([one[name] for one in measured])) for name in measured[0]},
    }
    for name, value in result.items():
        print(f"{name:24} {value:.4g}")
    Path(arguments.out).write_text(json.dumps(result, indent=2) + "\n")


def _measure(folder: str, paths: np.ndarray, settings: MelSettings) -> dict[str, float]:
    os.environ["MENAGERIE_CACHE"] = os.path.join(folder, "cache")
    prepared, ours = _timed(lambda: prepare_recordings(folder, paths, settings.rate))
    plain, theirs = _timed(
        lambda: [_librosa(_load(folder, path, settings), settings) for path in paths]
    )
    difference = max(
        float(np.abs(one - other).max())
        for one, other in zip(prepared.spectrograms, plain, strict=True)
    )
    shutil.rmtree(os.environ["MENAGERIE_CACHE"])
    waveform = _load(folder, paths[0], settings)
    with threadpool_limits(1):
        our_transform, their_transform = (
            min(_timed(lambda work=work: work(waveform, settings))[1] for _ in range(5))
            for work in (log_mel, _librosa)
        )
    return {
        "ours": ours,
        "librosa": theirs,
        "ratio": theirs / ours,
        "ours_transform": our_transform,
        "librosa_transform": their_transform,
        "ratio_transform": their_transform / our_transform,
        "difference_in_db": difference,
    }


def _timed(work) -> tuple[object, float]:
    start = time.perf_counter()
    return work(), time.perf_counter() - start


def _load(folder: str, path: str, settings: MelSettings) -> np.ndarray:
    return librosa.load(os.path.join(folder, path), sr=settings.rate)[0]


def _librosa(waveform: np.ndarray, settings: MelSettings) -> np.ndarray:
    power = librosa.feature.melspectrogram(
        y=waveform,
        sr=settings.rate,
        n_fft=settings.fft,
        win_length=settings.window,
        hop_length=settings.hop,
        n_mels=settings.bands,
    )
    return librosa.power_to_db(power, amin=AMIN, top_db=None).T


def _write(folder: Path, tracks: int, seconds: float) -> np.ndarray:
    """Chords over noise that beats, as mp3; gives their names."""
    times = np.arange(round(seconds * FILE_RATE)) / FILE_RATE
    paths = np.array([f"{number}.mp3" for number in range(tracks)], object)
    for number, path in enumerate(paths):
        if number >= DIFFERENT:
            shutil.copy(folder / paths[number % DIFFERENT], folder / path)
            continue
        rng = np.random.default_rng(number)
        tones = rng.uniform(80, 2000, 12)
        chord = sum(np.sin(2 * np.pi * tone * times) for tone in tones) / len(tones)
        beat = np.exp(-8 * (times * rng.uniform(1, 3) % 1))
        noise = rng.standard_normal((2, len(times)))
        soundfile.write(folder / path, (0.4 * chord + 0.1 * beat * noise).T, FILE_RATE)
    return paths


if __name__ == "__main__":
    main()
