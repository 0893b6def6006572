"""Stretches of spectrograms: random ones to train on, the middle to look at after an epoch."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from datasets.spectrograms import Spectrograms

# SpecAugment (Park et al. 2019, Interspeech, section 2): how many masks, and the largest share of
# all bands, or of all frames, that one of them hides.
BAND_MASKS = (2, 1 / 8)
FRAME_MASKS = (1, 1 / 5)


@dataclass(frozen=True)
class RandomExcerpt:
    """A stretch of each recording, anywhere in it, as likely as any other (paper 002, 3.2.4).

    What is shorter is taken from its beginning and ends in NaN.

    Attributes:
        frames: of a segment; 43 are a second.
        masks: whether random bands and frames are hidden under the stretch's mean.
        warp: largest share by which all bands move up or down, as if voice or instrument were
            smaller or larger (vocal tract length perturbation, Jaitly and Hinton 2013, on mel
            bands); 0 for none.
        segments: of a stretch, each overlapping the next by half.
    """

    frames: int
    masks: bool = False
    warp: float = 0.0
    segments: int = 1

    @property
    def length(self) -> int:
        """Frames of a stretch."""
        return self.frames + (self.segments - 1) * (self.frames // 2)

    def read(self, column: Spectrograms, rows: np.ndarray, seed: int, draws: np.ndarray):
        """(rows, length, bands) float32.

        Args:
            column: the spectrograms.
            rows: (rows,) which of them.
            seed: of the training.
            draws: (rows,) number of each draw; with the seed it decides where the stretch begins.
        """
        places = np.maximum(column.counts[rows] - self.length + 1, 1)
        starts = [
            np.random.default_rng((seed, int(draw))).integers(most)
            for draw, most in zip(draws, places, strict=True)
        ]
        found = excerpts(column, rows, starts, self.length)
        if self.warp:
            factors = [
                np.random.default_rng((seed, int(draw), 2)).uniform(1 - self.warp, 1 + self.warp)
                for draw in draws
            ]
            found = warped(found, np.array(factors, np.float32))
        if self.masks:
            for stretch, draw in zip(found, draws, strict=True):
                _mask(stretch, np.random.default_rng((seed, int(draw), 1)))
        return found


def warped(stretches: np.ndarray, factors: np.ndarray) -> np.ndarray:
    """Stretches, (rows, frames, bands), whose band b is that of b times a factor, interpolated.

    What would come from above the highest band is that band.

    Args:
        stretches: NaN past the end, which stays there.
        factors: (rows,) above 1 what is heard moves down, below 1 it moves up.
    """
    highest = stretches.shape[-1] - 1
    places = np.minimum(factors[:, None] * np.arange(highest + 1), highest)
    below = np.floor(places).astype(int)
    share = (places - below).astype(np.float32)[:, None]
    lower, upper = (
        np.take_along_axis(stretches, np.minimum(bands, highest)[:, None], axis=2)
        for bands in (below, below + 1)
    )
    return lower + share * (upper - lower)


def _mask(stretch: np.ndarray, rng: np.random.Generator) -> None:
    """Hide some bands and frames of a stretch (frames, bands) under its mean, in place."""
    sounds = ~np.isnan(stretch[:, 0])
    mean = stretch[sounds].mean()
    for axis, (count, share) in ((1, BAND_MASKS), (0, FRAME_MASKS)):
        for _ in range(count):
            width = rng.integers(int(share * stretch.shape[axis]) + 1)
            start = rng.integers(stretch.shape[axis] - width + 1)
            hidden = np.swapaxes(stretch, 0, axis)[start : start + width]
            hidden[~np.isnan(hidden)] = mean


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
