"""Copies of networks with other layers in place of some."""

from __future__ import annotations

from collections.abc import Callable

import keras


def copied(network: keras.Model, layer_like: Callable) -> keras.Model:
    """A copy of a functional model with the same weights and names of inputs.

    Args:
        network: networks inside it are copied likewise.
        layer_like: layer -> the one that stands in the copy, with weights of the same shapes.
    """
    copy = keras.models.clone_model(
        network,
        # Left to itself, Keras would name the inputs after their tensors.
        input_tensors=keras.tree.map_structure(input_like, network.input),
        clone_function=layer_like,
        recursive=True,
    )
    copy.set_weights(network.get_weights())
    return copy


def input_like(tensor):
    """An input of the shape, type and name of a network's own."""
    name = tensor._keras_history.operation.name
    return keras.Input(batch_shape=tensor.shape, dtype=tensor.dtype, name=name)
