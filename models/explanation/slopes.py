"""How the score of a class changes with what goes into a network, or with what is inside it.

The score of a class is its logit above the mean of all logits: the logarithm of its probability
above the mean logarithm. Unlike a probability it does not saturate.

Gradients are TensorFlow's, as the command line runs on it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import keras
import numpy as np

from datasets.errors import InputError
from models.explanation.anatomy import layers_called

ANSWER = "probabilities"  # the last layer, dense, with a softmax


@dataclass(frozen=True)
class Watched:
    """A tensor on the way to the answer.

    Attributes:
        value: (batch, ...).
        slope: likewise, d score / d value.
    """

    value: np.ndarray
    slope: np.ndarray


def check_backend() -> None:
    """Make sure that gradients can be had.

    Raises:
        InputError: Keras runs on another backend than TensorFlow.
    """
    if keras.backend.backend() != "tensorflow":
        raise InputError(
            f"--explain follows the gradients of TensorFlow, and KERAS_BACKEND is "
            f"{keras.backend.backend()}: leave that variable out"
        )


def slopes_of_inputs(network: keras.Model, inputs, target: int) -> tuple[np.ndarray, object]:
    """Scores of a class and their slopes at the inputs.

    Args:
        network: inputs -> dictionary with `probabilities`.
        inputs: (batch, ...) arrays in the structure that the network takes.
        target: index of the class.

    Returns:
        (batch,) scores, and slopes d score / d input in the structure of the inputs.
    """
    import tensorflow as tf

    tensors = keras.tree.map_structure(lambda one: tf.convert_to_tensor(one, "float32"), inputs)
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(tensors)
        scores = _scores(network, tensors, target)
        total = tf.reduce_sum(scores)
    slopes = tape.gradient(total, tensors, unconnected_gradients=tf.UnconnectedGradients.ZERO)
    return scores.numpy(), keras.tree.map_structure(lambda one: one.numpy(), slopes)


def slopes_of_layers(
    network: keras.Model, inputs, target: int, layers, scale=1.0
) -> tuple[np.ndarray, list[list[Watched]]]:
    """Scores of a class and their slopes at what some layers give.

    Args:
        network: as for `slopes_of_inputs`.
        inputs: likewise.
        target: index of the class.
        layers: of the network or of networks in it, which no name of a tensor reaches.
        scale: what the layers give is multiplied by this first, a number or an array.

    Returns:
        (batch,) scores, and for each layer its tensors in the order in which it gave them, without
        those that do not lead to the answer.
    """
    import tensorflow as tf

    with tf.GradientTape(watch_accessed_variables=False) as tape:
        with _watching(layers, tape, scale) as seen:
            scores = _scores(network, inputs, target)
        total = tf.reduce_sum(scores)
    slopes = tape.gradient(total, seen)
    found = [
        [
            Watched(tensor.numpy(), slope.numpy())
            for tensor, slope in zip(tensors, ends, strict=True)
            if slope is not None
        ]
        for tensors, ends in zip(seen, slopes, strict=True)
    ]
    return scores.numpy(), found


def scores(network: keras.Model, inputs, target: int) -> np.ndarray:
    """(batch,) scores of a class; see `slopes_of_inputs`."""
    return keras.ops.convert_to_numpy(_scores(network, inputs, target))


def _scores(network, inputs, target):
    with _as_logits(_last_layer(network)):
        logits = network(inputs, training=False)[ANSWER]
    return logits[:, target] - keras.ops.mean(logits, axis=-1)


def _last_layer(network) -> keras.layers.Layer:
    """The one that answers, perhaps of a network inside that sees each view of a picture."""
    own = [layer for layer in network.layers if layer.name == ANSWER]
    return (own or layers_called(network, ANSWER))[0]


@contextmanager
def _as_logits(layer) -> Iterator[None]:
    """Let the last layer give what goes into its softmax."""
    softmax = layer.activation
    layer.activation = keras.activations.linear
    try:
        yield
    finally:
        layer.activation = softmax


@contextmanager
def _watching(layers, tape, scale) -> Iterator[list[list]]:
    """The tensors that each layer gives from now on, scaled and watched by a tape."""
    seen = [[] for _ in layers]

    def through(call, given):
        def watch(tensor):
            tensor = tensor * scale
            tape.watch(tensor)
            given.append(tensor)
            return tensor

        return lambda *words, **named: keras.tree.map_structure(watch, call(*words, **named))

    for layer, given in zip(layers, seen, strict=True):
        layer.call = through(layer.call, given)
    try:
        yield seen
    finally:
        for layer in layers:
            del layer.call  # what its class says counts again
