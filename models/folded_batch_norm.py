"""Networks that only answer need no batch normalisation after a convolution: it is folded into it.

At inference it multiplies and shifts each channel by what it has learnt, which the weights and the
bias of the linear layer before it can do as well (Jacob et al. 2018, section 3.2).
"""

from __future__ import annotations

from collections.abc import Iterator

import keras
import numpy as np

from training.copies import input_like

LINEAR = (
    keras.layers.Conv1D,
    keras.layers.Conv2D,
    keras.layers.DepthwiseConv2D,
    keras.layers.Dense,
)


def folded(network: keras.Model) -> keras.Model:
    """A copy of a functional model that answers alike up to rounding, for answering alone.

    Each batch normalisation over the last axis that is all that follows a convolution or a dense
    layer without activation is folded into it. Networks inside the network are treated likewise.

    Returns:
        The copy; the network itself if there is nothing to fold.
    """
    pairs = {id(linear): norm for one in _networks(network) for linear, norm in _pairs(one)}
    norms = {id(norm) for norm in pairs.values()}
    if not pairs:
        return network

    def layer_like(layer):
        if id(layer) in norms:
            return _Nothing(name=layer.name, dtype=layer.dtype_policy)
        config = layer.get_config()
        if id(layer) in pairs:
            config |= {"use_bias": True}
        return type(layer).from_config(config)

    copy = keras.models.clone_model(
        network,
        input_tensors=keras.tree.map_structure(input_like, network.input),
        clone_function=layer_like,
        recursive=True,
    )
    for one, other in zip(_networks(network), _networks(copy), strict=True):
        for layer, twin in zip(one.layers, other.layers, strict=True):
            if id(layer) in pairs:
                twin.set_weights(_joined(layer, pairs[id(layer)]))
            elif id(layer) not in norms and not isinstance(layer, keras.Model):
                twin.set_weights(layer.get_weights())
    return copy


class _Nothing(keras.layers.Layer):
    """Stands where a normalisation stood, which may have been called with a mask."""

    def call(self, inputs, mask=None):
        return inputs


def _networks(network: keras.Model) -> Iterator[keras.Model]:
    """A network and all networks inside it."""
    yield network
    for layer in network.layers:
        if isinstance(layer, keras.Model):
            yield from _networks(layer)


def _pairs(network: keras.Model) -> Iterator[tuple]:
    """Linear layers with the normalisation that alone follows them, wherever they are called."""
    nodes = [node for some in network._nodes_by_depth.values() for node in some]
    nodes = [node for node in nodes if not node.is_input]
    made, used = {}, {}  # layer -> tensors; tensor -> what takes it
    for node in nodes:
        made.setdefault(id(node.operation), []).extend(map(id, node.output_tensors))
        for tensor in node.input_tensors:
            used.setdefault(id(tensor), []).append(node.operation)
    for tensor in keras.tree.flatten(network.output):
        used.setdefault(id(tensor), []).append(None)
    makers = {tensor: layer for layer, tensors in made.items() for tensor in tensors}
    taken = {}  # normalisation -> layers whose outputs it takes
    for node in nodes:
        for tensor in node.input_tensors:
            taken.setdefault(id(node.operation), set()).add(makers.get(id(tensor)))
    for layer in network.layers:
        if not isinstance(layer, LINEAR) or layer.activation is not keras.activations.linear:
            continue
        after = [user for tensor in made.get(id(layer), ()) for user in used.get(tensor, [None])]
        norm = after[0] if after else None
        one = all(user is norm for user in after) and isinstance(
            norm, keras.layers.BatchNormalization
        )
        if one and taken[id(norm)] == {id(layer)} and _is_plain(layer, norm):
            yield layer, norm


def _is_plain(layer, norm) -> bool:
    """Whether both are float32 and the channels come last."""
    last = norm.axis in (-1, len(norm.input.shape) - 1)
    first = getattr(layer, "data_format", "channels_last") != "channels_last"
    return last and not first and layer.compute_dtype == norm.compute_dtype == "float32"


def _joined(layer, norm) -> list[np.ndarray]:
    """Kernel and bias that do what the layer and the normalisation after it do."""
    kernel, *bias = map(np.float64, layer.get_weights())
    mean, variance = (
        np.float64(keras.ops.convert_to_numpy(value))
        for value in (norm.moving_mean, norm.moving_variance)
    )
    factor = 1 / np.sqrt(variance + norm.epsilon)
    if norm.scale:
        factor *= keras.ops.convert_to_numpy(norm.gamma)
    shift = (bias[0] if bias else 0) - mean
    offset = shift * factor + (keras.ops.convert_to_numpy(norm.beta) if norm.center else 0)
    if isinstance(layer, keras.layers.DepthwiseConv2D):  # its channels are the last two axes
        factor = factor.reshape(kernel.shape[-2:])
    return [(kernel * factor).astype(np.float32), offset.astype(np.float32)]
