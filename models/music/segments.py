"""Whole recordings in segments of a second: cut apart, told apart, put together again.

Frames past the end of a recording are NaN, so that recordings of different lengths share batches.
"""

from __future__ import annotations

import keras
import numpy as np
from keras import ops

from datasets.spectrograms import SILENCE


@keras.saving.register_keras_serializable("menagerie")
class Segments(keras.layers.Layer):
    """Half-overlapping segments of log-mel spectrograms (paper 002, section 3.2.3).

    Input: (batch, any frames, bands) in dB, NaN past the end. Output: the segments,
    (batch * segments, frames, bands), those of a recording one after the other, with silence in
    place of NaN; and (batch, segments), 1 for those that lie inside their recording, else 0. The
    first segment of a recording counts also where the recording is shorter, and stands in for those
    that do not lie inside.
    """

    def __init__(self, frames: int, **keywords):
        super().__init__(**keywords)
        self.frames = frames

    def call(self, spectrograms):
        frames, hop = self.frames, self.frames // 2
        length = ops.shape(spectrograms)[1]
        missing, more = _positive(frames - length), _positive(length - frames)
        past_end = float("nan")
        padded = ops.pad(spectrograms, ((0, 0), (0, missing), (0, 0)), constant_values=past_end)
        count = 1 + more // hop
        starts = ops.arange(count) * hop
        places = starts[:, None] + ops.arange(frames)[None]
        cut = ops.take(padded, places, axis=1)
        is_inside = ~ops.isnan(cut[:, :, -1, 0]) | (ops.arange(count) == 0)[None]
        cut = ops.where(ops.isnan(cut), SILENCE, cut)
        # What lies outside counts for nothing, but batch normalisation would average its silence.
        cut = ops.where(is_inside[:, :, None, None], cut, cut[:, :1])
        bands = spectrograms.shape[-1]
        return ops.reshape(cut, (-1, frames, bands)), ops.cast(is_inside, self.compute_dtype)

    def compute_output_spec(self, spectrograms):
        batch, length, bands = spectrograms.shape
        count = None if length is None else 1 + max(length - self.frames, 0) // (self.frames // 2)
        whole = None if None in (batch, count) else batch * count
        return (
            keras.KerasTensor((whole, self.frames, bands), self.compute_dtype),
            keras.KerasTensor((batch, count), self.compute_dtype),
        )

    def get_config(self):
        return {**super().get_config(), "frames": self.frames}


@keras.saving.register_keras_serializable("menagerie")
class BySegment(keras.layers.Layer):
    """What a network makes of segments, in rows by their recording.

    Inputs: (batch * segments, width) and (batch, segments), as `Segments` leaves them. Output:
    (batch, segments, width).
    """

    def call(self, inputs):
        values, inside = inputs
        shape = ops.shape(inside)
        return ops.reshape(values, (shape[0], shape[1], values.shape[-1]))

    def compute_output_shape(self, shapes):
        return (*shapes[1], shapes[0][-1])


@keras.saving.register_keras_serializable("menagerie")
class MeanOfSegments(keras.layers.Layer):
    """Mean over the segments that lie inside their recording (paper 002, section 3.2.3).

    Inputs: (batch, segments, width) and (batch, segments), as `Segments` leaves them. Output:
    (batch, width).
    """

    def call(self, inputs):
        values, inside = inputs
        weights = inside / ops.sum(inside, axis=1, keepdims=True)
        return ops.sum(values * ops.expand_dims(weights, -1), axis=1)

    def compute_output_shape(self, shapes):
        return (shapes[0][0], shapes[0][-1])


@keras.saving.register_keras_serializable("menagerie")
class SegmentAttention(keras.layers.Layer):
    """How much each segment of a recording counts, by what was heard in it.

    Ilse, Tomczak and Welling 2018 (Attention-based Deep Multiple Instance Learning), section 2.4,
    gated. Inputs: (batch, segments, width) and (batch, segments), as `Segments` leaves them.
    Output: (batch, segments), summing to 1 over the segments that lie inside their recording, 0 for
    the others.

    Args:
        units: of the two hidden layers whose product is looked at.
    """

    def __init__(self, units: int = 64, **keywords):
        super().__init__(**keywords)
        self.units = units

    def build(self, shapes):
        self._content = self._dense(shapes[0], self.units, "tanh", "content")
        self._gate = self._dense(shapes[0], self.units, "sigmoid", "gate")
        self._score = self._dense((*shapes[0][:-1], self.units), 1, None, "score")
        self.built = True

    def _dense(self, shape, units, activation, name):
        dense = keras.layers.Dense(units, activation, dtype=self.dtype_policy, name=name)
        dense.build(shape)
        return dense

    def call(self, inputs):
        values, inside = inputs
        scores = self._score(self._content(values) * self._gate(values))[..., 0]
        highest = ops.max(ops.where(inside > 0, scores, -np.inf), axis=1, keepdims=True)
        counted = ops.exp(ops.minimum(scores - highest, 0)) * inside
        return counted / ops.sum(counted, axis=1, keepdims=True)

    def compute_output_shape(self, shapes):
        return shapes[1]

    def get_config(self):
        return {**super().get_config(), "units": self.units}


def _positive(number):
    """0 for a negative number. A known one stays known, as JAX needs where it decides on shapes."""
    return max(number, 0) if isinstance(number, int) else ops.maximum(number, 0)
