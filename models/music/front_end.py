"""From sound to log-mel spectrogram, inside the network (paper 002, section 3.3)."""

from __future__ import annotations

import keras
import numpy as np
from keras import ops

from datasets.spectrograms import AMIN, MelSettings

RANGE = 80.0  # dB
QUIET = -60.0  # dB; 16 bits hardly hold what is quieter throughout


@keras.saving.register_keras_serializable("menagerie")
class MelSpectrogram(keras.layers.Layer):
    """Waveform -> log-mel spectrogram, as `datasets.spectrograms.log_mel` computes it.

    Input: float32 (batch, samples), mono, at `rate` samples a second; in a batch of different
    lengths, the shorter ones end in NaN. Output: (batch, frames, bands) in dB, NaN past the end.

    Args:
        rate: samples a second.
    """

    def __init__(self, rate: int, **keywords):
        super().__init__(**keywords)
        self.rate = rate
        self.settings = MelSettings(rate)

    def call(self, waveforms):
        settings = self.settings
        missing = ops.isnan(waveforms)
        margin = settings.fft // 2
        sound = ops.pad(ops.where(missing, 0.0, waveforms), ((0, 0), (margin, margin)))
        real, imaginary = self.spectra(sound)
        power = ops.matmul(ops.square(real) + ops.square(imaginary), settings.filters().T)
        decibel = 10 / np.log(10) * ops.log(ops.maximum(power, AMIN))
        samples = ops.sum(ops.cast(~missing, "int32"), axis=1)
        past = ops.arange(ops.shape(decibel)[1])[None] > samples[:, None] // settings.hop
        return ops.where(ops.expand_dims(past, -1), float("nan"), decibel)

    def spectra(self, sound):
        """(batch, samples) -> real and imaginary parts of its frames, (batch, frames, bins)."""
        frames = ops.extract_sequences(sound, self.settings.fft, self.settings.hop)
        return ops.rfft(frames * self.settings.taper(), self.settings.fft)

    def compute_output_spec(self, waveforms):
        batch, samples = waveforms.shape
        frames = None if samples is None else 1 + samples // self.settings.hop
        return keras.KerasTensor((batch, frames, self.settings.bands), self.compute_dtype)

    def get_config(self):
        return {**super().get_config(), "rate": self.rate}


@keras.saving.register_keras_serializable("menagerie")
class RelativeLevel(keras.layers.Layer):
    """Decibels below the loudest value of a segment: how loud it was recorded does not matter.

    What lies more than `RANGE` below is at the end of that range. A segment whose loudest value is
    under `QUIET` keeps its distance from that, so that silence does not become loud.

    Input and output: (segments, frames, bands) in dB.
    """

    def call(self, segments):
        loudest = ops.max(segments, axis=(1, 2), keepdims=True)
        return ops.maximum(segments - ops.maximum(loudest, QUIET), -RANGE)

    def compute_output_shape(self, input_shape):
        return input_shape


def band_statistics(spectrograms, most: int = 1000, level=None) -> tuple[list, list]:
    """Mean and variance of each mel band over the frames of recordings, for `Normalization`.

    Args:
        spectrograms: of the training part, each (frames, bands) in dB.
        most: recordings that are looked at, evenly spread over all.
        level: what stands before the standardisation, such as `RelativeLevel`; it is then given
            recordings in place of segments. None for nothing.
    """
    count, total, squares = 0, 0.0, 0.0
    for row in np.unique(np.linspace(0, len(spectrograms) - 1, most).astype(int)):
        frames = np.asarray(spectrograms[int(row)], np.float64)
        if level is not None:
            frames = np.asarray(level(frames[None])[0], np.float64)
        count, total = count + len(frames), total + frames.sum(axis=0)
        squares = squares + (frames**2).sum(axis=0)
    mean = total / count
    # A band that is always silent must not become huge.
    return mean.tolist(), np.maximum(squares / count - mean**2, 1.0).tolist()
