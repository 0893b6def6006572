"""Layers that Keras lacks."""

from dataclasses import asdict

import keras
import numpy as np
from keras import ops

from datasets.images import Fit, resize

# Whoever imports this module can load every .keras of the zoo.
from models import fixed_views, whitening  # noqa: F401
from models.clownfish import four_views  # noqa: F401
from models.emotion import alignment, fusion, mirror  # noqa: F401
from models.fused_batch_norm import BatchNormalization as BatchNormalization
from models.music import segments  # noqa: F401
from models.music.front_end import MelSpectrogram as MelSpectrogram
from models.species import multi_view  # noqa: F401


@keras.saving.register_keras_serializable("menagerie")
class FitImage(keras.layers.Layer):
    """Raw pictures to pictures of the size and colour that a network was made for.

    Input: uint8 (batch, any height, any width, 1 or 3). Output: float32
    (batch, height, width, channels), still 0 to 255. The arguments are those of
    `datasets.images.Fit`.
    """

    resize = staticmethod(resize)

    def __init__(self, height: int, width: int, channels=1, crop=None, pad=False, **keywords):
        super().__init__(**keywords)
        self.how = Fit(height, width, channels, crop, pad)

    def call(self, images):
        fitted = self.how(ops.cast(images, self.compute_dtype), self.resize)
        # Of pictures in grey or colour the number of channels is unknown to the graph, and a
        # convolution of an unknown number Keras compiles by XLA, which no converter takes.
        return ops.reshape(fitted, (-1, *self.how.shape))

    def compute_output_shape(self, input_shape):
        return (input_shape[0], *self.how.shape)

    def get_config(self):
        return {**super().get_config(), **asdict(self.how)}


@keras.saving.register_keras_serializable("menagerie")
class GlobalDeviationPooling(keras.layers.Layer):
    """Deviation of every channel: (batch, height, width, channels) -> (batch, channels)."""

    def call(self, feature_map):
        # The root has no slope at 0, where a channel is the same everywhere.
        return ops.sqrt(ops.var(feature_map, axis=(1, 2)) + keras.config.epsilon())

    def compute_output_shape(self, input_shape):
        return (input_shape[0], input_shape[-1])


@keras.saving.register_keras_serializable("menagerie")
class ScaleLandmarks(keras.layers.Layer):
    """Points in pixels of an image of any size -> pixels of a square frame.

    Inputs: landmarks float32 (batch, points, 2) and the image (batch, height, width, channels).
    Output: float32 (batch, points, 2).
    """

    def __init__(self, frame: int, **keywords):
        super().__init__(**keywords)
        self.frame = frame

    def call(self, inputs):
        landmarks, image = inputs
        shape = ops.shape(image)
        size = ops.cast(ops.stack([shape[2], shape[1]]), landmarks.dtype)
        return landmarks * (self.frame / size)

    def compute_output_shape(self, input_shape):
        return input_shape[0]

    def get_config(self):
        return {**super().get_config(), "frame": self.frame}


@keras.saving.register_keras_serializable("menagerie")
class EncodeMeasurements(keras.layers.Layer):
    """Measurements in their units -> what a dense layer can use.

    Input: float32 (batch, columns) with NaN for missing values; categorical columns hold indices.
    Output: float32 (batch, width): the numeric columns, standardised, a missing one at its mean;
    then a flag, 0 or 1, for each column that has missing values in training; then a one-hot code
    for each categorical column, all zeros where it is missing.

    Args:
        fill: (columns,) what stands in for a missing value.
        mean: (columns,) subtracted.
        deviation: (columns,) divided by.
        sizes: (columns,) number of values of a categorical column, 0 for a numeric one.
        flagged: numbers of the columns with a flag.
    """

    def __init__(self, fill, mean, deviation, sizes, flagged, **keywords):
        super().__init__(**keywords)
        self.fill, self.mean, self.deviation = list(fill), list(mean), list(deviation)
        self.sizes, self.flagged = list(sizes), list(flagged)

    @classmethod
    def learnt_from(cls, values: np.ndarray, sizes, standardise: bool = True, **keywords):
        """The layer for training measurements, (samples, columns) with NaN for missing ones.

        Args:
            values: as above.
            sizes: (columns,) number of values of a categorical column, 0 for a numeric one.
            standardise: False leaves all columns as they are, categorical ones as numbers (paper
                000, section 4, "raw measurement values").
        """
        known = ~np.isnan(values)
        counts = np.maximum(known.sum(axis=0), 1)
        filled = np.where(known, values, 0.0).astype(np.float64)
        fill = filled.sum(axis=0) / counts
        spread = np.sqrt((np.where(known, values - fill, 0.0) ** 2).sum(axis=0) / counts)
        if not standardise:
            zeros, ones, none = ([value] * len(fill) for value in (0.0, 1.0, 0))
            return cls(fill.tolist(), zeros, ones, none, [], **keywords)
        # A column that is the same everywhere tells nothing: it becomes 0, not huge.
        spread = np.where(spread > 1e-6 * np.maximum(1.0, np.abs(fill)), spread, np.inf)
        deviation = np.where(np.isfinite(spread), spread, 1e30)
        flagged = np.flatnonzero(~known.all(axis=0)).tolist()
        return cls(fill.tolist(), fill.tolist(), deviation.tolist(), sizes, flagged, **keywords)

    def call(self, values):
        missing = ops.isnan(values)
        filled = ops.where(missing, ops.convert_to_tensor(self.fill, values.dtype), values)
        scaled = (filled - ops.convert_to_tensor(self.mean, values.dtype)) / (
            ops.convert_to_tensor(self.deviation, values.dtype)
        )
        parts = [ops.take(scaled, self._numeric(), axis=1)] if self._numeric() else []
        if self.flagged:
            parts.append(ops.cast(ops.take(missing, self.flagged, axis=1), values.dtype))
        for column, size in enumerate(self.sizes):
            if size:
                # -1, which is no index, gives zeros.
                index = ops.where(missing[:, column], -1.0, values[:, column])
                parts.append(ops.one_hot(ops.cast(index, "int32"), size, dtype=values.dtype))
        return ops.concatenate(parts, axis=-1) if len(parts) > 1 else parts[0]

    def sources(self) -> list[int]:
        """(width,) the column that each encoded value comes from."""
        coded = [column for column, size in enumerate(self.sizes) for _ in range(size)]
        return [*self._numeric(), *self.flagged, *coded]

    def _numeric(self) -> list[int]:
        return [column for column, size in enumerate(self.sizes) if not size]

    def compute_output_shape(self, input_shape):
        return (input_shape[0], len(self._numeric()) + len(self.flagged) + sum(self.sizes))

    def get_config(self):
        names = ("fill", "mean", "deviation", "sizes", "flagged")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}
