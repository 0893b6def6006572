"""Batch normalisation (Ioffe and Szegedy 2015) in one kernel, and how a network comes by it.

Keras 3 writes batch normalisation on TensorFlow as a dozen operations, each of which walks through
the whole feature map. TensorFlow has one kernel for all of it, and one for its gradient.
"""

from __future__ import annotations

import keras
from keras import ops

from training.copies import copied

# keras.applications averages over a thousand batches, more than a small data set has in all: a
# network that trains would be judged by averages from before it learnt. This is PyTorch's default.
MOMENTUM = 0.9


# Weight files of Keras call a layer by the name of its class. This one bears that of the stock
# layer, so that they fit both.
@keras.saving.register_keras_serializable("menagerie", "FusedBatchNormalization")
class BatchNormalization(keras.layers.BatchNormalization):
    """`keras.layers.BatchNormalization` with TensorFlow's fused kernel.

    It has the arguments, weights and configuration of the stock layer, and gives the same outputs,
    gradients and moving averages up to rounding. The kernel takes float32 of shape (batch, height,
    width, channels), normalised over the channels, on the TensorFlow backend; for any other input,
    with a mask, with `renorm` or with `synchronized` the stock layer computes, and so it does where
    a frozen layer lies in a network that trains: its own gradient is then the cheaper one, as the
    kernel's always holds those of scale and shift too. It also computes answers: TensorFlow would
    join the kernel to the convolution before it, and without AVX-512 oneDNN then takes thirty times
    as long (MobileNetV2-0.35 at 320 px, one picture: 1.9 s in place of 0.06).
    """

    def call(self, inputs, training=None, mask=None):
        if training and self.trainable and mask is None and self._fits_kernel(inputs):
            return self._by_batch(inputs)
        return super().call(inputs, training=training, mask=mask)

    def _fits_kernel(self, inputs) -> bool:
        return (
            keras.backend.backend() == "tensorflow"
            and len(inputs.shape) == 4
            and self.axis in (-1, 3)
            and inputs.dtype == self.compute_dtype == self.variable_dtype == "float32"
            and not self.renorm
            and not self.synchronized
        )

    def _by_batch(self, inputs):
        outputs, mean, variance = self._fused(inputs)
        # The kernel divides the sum of squares by one less than the number of values, Keras by it.
        values = ops.cast(ops.prod(ops.shape(inputs)[:-1]), "float32")
        variance *= ops.maximum(values - 1, 1) / values
        for average, value in ((self.moving_mean, mean), (self.moving_variance, variance)):
            average.assign(average * self.momentum + value * (1 - self.momentum))
        return outputs

    def _fused(self, inputs):
        """Outputs, mean and unbiased variance of the batch."""
        import tensorflow as tf

        channels = inputs.shape[-1:]
        # The function around this kernel, `tf.compat.v1.nn.fused_batch_norm`, raises epsilon.
        return tf.raw_ops.FusedBatchNormV3(
            x=inputs,
            scale=self.gamma if self.scale else tf.ones(channels),
            offset=self.beta if self.center else tf.zeros(channels),
            mean=[],
            variance=[],
            epsilon=self.epsilon,
            is_training=True,
        )[:3]


def with_fused_batch_norm(network: keras.Model) -> keras.Model:
    """A copy of a functional model whose stock batch normalisations are fused ones.

    Names of layers, weights, and what is frozen stay as they are; networks inside the network are
    copied likewise. A normalisation inside a layer that is no network stays a stock one.

    Returns:
        The copy; the network itself if there is nothing to fuse.
    """
    if not any(type(layer) is keras.layers.BatchNormalization for layer in _layers(network)):
        return network
    return copied(network, _fused_copy)


def shorten_averages(network: keras.Model) -> None:
    """Let all batch normalisations average over ten batches or so, unless they do over fewer."""
    for layer in network._flatten_layers():
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = min(layer.momentum, MOMENTUM)


def _layers(network):
    for layer in network.layers:
        if isinstance(layer, keras.Model):
            yield from _layers(layer)
        else:
            yield layer


def _fused_copy(layer):
    made = BatchNormalization if type(layer) is keras.layers.BatchNormalization else type(layer)
    return made.from_config(layer.get_config())
