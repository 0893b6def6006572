"""Fusing two modalities so that either may be missing: by a gate, or by pooling their answers."""

from __future__ import annotations

import keras
import numpy as np
from keras import ops


@keras.saving.register_keras_serializable("menagerie")
class Present(keras.layers.Layer):
    """Whether a modality is there: (batch, ...) -> (batch, 1), 1 or 0.

    A picture of one flat colour, and values of which one is NaN, are none.
    """

    def call(self, values):
        flat = ops.reshape(values, (ops.shape(values)[0], -1))
        differs = ops.max(flat, axis=1, keepdims=True) > ops.min(flat, axis=1, keepdims=True)
        known = ops.logical_not(ops.any(ops.isnan(flat), axis=1, keepdims=True))
        return ops.cast(ops.logical_and(differs, known), self.compute_dtype)

    def compute_output_shape(self, input_shape):
        return (input_shape[0], 1)


@keras.saving.register_keras_serializable("menagerie")
class Known(keras.layers.Layer):
    """Values with 0 in place of NaN, so that what is missing spoils no sum."""

    def call(self, values):
        return ops.where(ops.isnan(values), ops.zeros_like(values), values)


@keras.saving.register_keras_serializable("menagerie")
class GatedFusion(keras.layers.Layer):
    """Gated multimodal unit of two modalities (Arevalo et al. 2017, arXiv 1702.01992, section 3.1).

    Each modality gives tanh features; a gate, which sees both, takes of every feature a share from
    the first and the rest from the second. Where one is missing the other counts alone. In training
    one of them is hidden by chance in some samples (modality dropout, Neverova et al. 2016), so
    that the network can answer by either, and does not forget the weaker one.

    Inputs: (batch, first + second) features side by side, and two of (batch, 1), 1 where the first
    and the second is there. Output: (batch, units).

    Args:
        first: width of the first modality.
        units: of the output.
        hidden: share of the training samples in which the first is hidden, and likewise the second.
    """

    def __init__(self, first: int, units: int, hidden: float = 0.0, **keywords):
        super().__init__(**keywords)
        self.first, self.units, self.hidden = first, units, hidden
        self.seed_generator = keras.random.SeedGenerator()
        self.one = keras.layers.Dense(units, activation="tanh", name="first")
        self.other = keras.layers.Dense(units, activation="tanh", name="second")
        self.gate = keras.layers.Dense(units, activation="sigmoid", name="gate")

    def build(self, input_shapes):
        width = input_shapes[0][-1]
        self.one.build((None, self.first))
        self.other.build((None, width - self.first))
        self.gate.build((None, width))

    def call(self, inputs, training=False):
        joined, has_first, has_second = inputs
        if training and self.hidden:
            has_first, has_second = self._some_hidden(has_first, has_second)
        first, second = joined[:, : self.first] * has_first, joined[:, self.first :] * has_second
        share = self.gate(ops.concatenate([first, second], axis=1))
        both = has_first * has_second
        share = both * share + (1 - both) * has_first
        return share * self.one(first) + (1 - share) * self.other(second)

    def _some_hidden(self, has_first, has_second):
        drawn = keras.random.uniform(ops.shape(has_first), seed=self.seed_generator)
        both = has_first * has_second
        first = ops.cast(drawn < self.hidden, both.dtype) * both
        second = ops.cast(drawn > 1 - self.hidden, both.dtype) * both
        return has_first * (1 - first), has_second * (1 - second)

    def compute_output_shape(self, input_shapes):
        return (input_shapes[0][0], self.units)

    def get_config(self):
        own = {"first": self.first, "units": self.units, "hidden": self.hidden}
        return {**super().get_config(), **own}


@keras.saving.register_keras_serializable("menagerie")
class LogarithmicPool(keras.layers.Layer):
    """Logarithmic opinion pool of two answers (Genest and Zidek 1986, Statistical Science 1, 114).

    The softmax of what it returns is the product of the two, each to the power of its weight. Both
    weights begin at 1, where the pool is a plain product, and stay at 0 or above. Where one
    modality is missing the answer is the other's as it is; where both are, no class is likelier
    than another.

    Inputs: (batch, 2 classes) probabilities side by side, and two of (batch, 1), 1 where the first
    and the second is there. Output: (batch, classes), logarithms of the product.
    """

    def build(self, input_shapes):
        self.powers = self.add_weight(
            name="powers", shape=(2,), initializer="ones", constraint="non_neg"
        )

    def call(self, inputs):
        joined, has_first, has_second = inputs
        logarithms = ops.log(ops.maximum(joined, np.finfo("float32").tiny))
        first, second = ops.split(logarithms, 2, axis=1)
        both = has_first * has_second
        one = both * self.powers[0] + (1 - both) * has_first
        other = both * self.powers[1] + (1 - both) * has_second
        return one * first + other * second

    def compute_output_shape(self, input_shapes):
        return (input_shapes[0][0], input_shapes[0][-1] // 2)
