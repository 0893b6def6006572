"""Stretches of spectrograms: random ones to train on, the middle to look at after an epoch."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from datasets.spectrograms import Spectrograms


@dataclass(frozen=True)
class RandomExcerpt:
    """A stretch of each recording, anywhere in it, as likely as any other (paper 002, 3.2.4).

    What is shorter is taken from its beginning and ends in NaN.

    Attributes:
        frames: of the stretch; 43 are a second.
    """

    frames: int

    def read(self, column: Spectrograms, rows: np.ndarray, seed: int, draws: np.ndarray):
        """(rows, frames, bands) float32.

        Args:
            column: the spectrograms.
            rows: (rows,) which of them.
            seed: of the training.
            draws: (rows,) number of each draw; with the seed it decides where the stretch begins.
        """
        places = np.maximum(column.counts[rows] - self.frames + 1, 1)
        starts = [
            np.random.default_rng((seed, int(draw))).integers(most)
            for draw, most in zip(draws, places, strict=True)
        ]
        return excerpts(column, rows, starts, self.frames)


def middles(column: Spectrograms, most: int) -> np.ndarray:
    """(recordings, frames, bands) float32, the middle of each, of at most so many frames.

    What is shorter than the others ends in NaN.
    """
    frames = min(most, int(column.counts.max()))
    starts = np.maximum((column.counts - frames) // 2, 0)
    return excerpts(column, np.arange(len(column)), starts, frames)


def excerpts(column: Spectrograms, rows, starts, frames: int) -> np.ndarray:
    """(rows, frames, bands) float32: of each of these spectrograms, so many frames from a start."""
    found = np.full((len(rows), frames, column.frames.shape[-1]), np.nan, np.float32)
    for place, (row, start) in enumerate(zip(rows, starts, strict=True)):
        stretch = column[int(row)][start : start + frames]
        found[place, : len(stretch)] = stretch
    return found
