"""Short tracks of one tone each, and a network that is small enough for them."""

import numpy as np
import pandas as pd

from datasets.base import Table
from datasets.recordings import Recordings
from datasets.spectrograms import MelSettings, Spectrograms, log_mel
from models.music.mel_network import Block

RATE = 8_000
TONES = {"high": 2_500, "low": 250, "middle": 900}  # Hz of each genre
SHORT = (0, 7)  # tracks that last less than a second

BLOCKS = (
    Block(3, 3, (3, 4), dropout=0.1),
    Block(4, 3, (4, 4), norm=True, dropout=0.1),
    Block(4, 1, None),
)
DENSE = 6


def tone_tracks(count=30, artists=6, rate=RATE, **columns):
    """Tracks of half a second to two seconds; `columns` stand in place of those of the frame."""
    rng, names, waveforms = np.random.default_rng(0), list(TONES), []
    for number in range(count):
        seconds = 0.5 if number in SHORT else rng.uniform(1.2, 2.0)
        times = np.arange(round(seconds * rate)) / rate
        tone = np.sin(2 * np.pi * TONES[names[number % len(names)]] * times)
        waveforms.append(np.float32(0.3 * tone + rng.normal(0, 0.02, len(times))))
    numbers = np.arange(count)
    frame = pd.DataFrame(
        {
            "key": [f"{number}.wav" for number in numbers],
            "label": [names[number % len(names)] for number in numbers],
            "part": "",
            "digest": [f"d{number}" for number in numbers],
            "artist": [f"artist {number % artists}" for number in numbers],
            "album": [f"album {number % (2 * artists)}" for number in numbers],
            "subgenres": [f"style {number % 4}" for number in numbers],
            "seconds": [len(waveform) / rate for waveform in waveforms],
            **columns,
        }
    )
    spectrograms = Spectrograms.of(log_mel(one, MelSettings(rate)) for one in waveforms)
    recordings = Recordings.of(waveforms, rate, spectrograms)
    return Table("tones", "made for a test", tuple(names), frame, {"waveform": recordings})


def make_small(patch):
    """Let the models of music have a few weights."""
    patch.setattr("models.music.mel_network.BLOCKS", BLOCKS)
    patch.setattr("models.music.mel_network.DENSE", DENSE)
