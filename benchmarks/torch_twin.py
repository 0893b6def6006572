"""The same network in PyTorch: a peer to measure against, made from any functional Keras model.

    twin = TorchTwin(network)            # weights copied; feature maps are channels first
    twin(torch.from_numpy(pictures))     # (batch, channels, height, width), or (batch, features)

It is written as PyTorch users write: modules of `torch.nn`, activations in place where nothing else
needs their input. `largest_difference` shows that both compute the same.
"""

from __future__ import annotations

from collections import Counter

import keras
import numpy as np
import torch
from keras.src.ops.function import map_graph
from torch import nn
from torch.nn import functional

ACTIVATIONS = {
    "linear": nn.Identity,
    "relu": nn.ReLU,
    "elu": nn.ELU,
    "sigmoid": nn.Sigmoid,
    "hard_silu": nn.Hardswish,
    "softmax": lambda: nn.Softmax(1),
}
IN_PLACE = {nn.ReLU, nn.ReLU6, nn.ELU, nn.Hardswish}


class TorchTwin(nn.Module):
    """A functional Keras model as PyTorch module, with the same weights.

    Inputs in the order of `network.inputs`; a list of tensors comes out where there are several
    outputs.

    Args:
        network: of the layers that this module knows, float32, channels last.
        logits: leave out the last softmax, as `functional.cross_entropy` wants it.

    Raises:
        TypeError: a layer that this module does not know.
    """

    def __init__(self, network: keras.Model, logits: bool = False):
        super().__init__()
        self._inputs = [id(tensor) for tensor in network.inputs]
        self._outputs = [id(tensor) for tensor in network.outputs]
        nodes = [node for node in _in_order(network) if not node.is_input]
        uses = Counter(id(tensor) for node in nodes for tensor in node.input_tensors)
        uses.update(self._outputs)
        self.parts = nn.ModuleDict()
        self._steps = []
        for node in nodes:
            name = node.operation.name.replace(".", "_")
            alone = all(uses[id(tensor)] == 1 for tensor in node.input_tensors)
            if name not in self.parts:
                self.parts[name] = _module(node, alone and not _reads_input(node))
            made = [id(tensor) for tensor in node.outputs]
            self._steps.append((name, node.arguments.args, made))
        if logits:
            _without_softmax(self.parts[self._steps[-1][0]])

    def forward(self, *inputs):
        values = dict(zip(self._inputs, inputs, strict=True))

        def value(argument):
            return values[id(argument)] if isinstance(argument, keras.KerasTensor) else argument

        for name, arguments, made in self._steps:
            found = self.parts[name](*keras.tree.map_structure(value, arguments))
            found = found if isinstance(found, list) else [found]
            values.update(zip(made, found, strict=True))
        outputs = [values[one] for one in self._outputs]
        return outputs if len(outputs) > 1 else outputs[0]


def largest_difference(network: keras.Model, twin: TorchTwin, samples: list[np.ndarray]) -> float:
    """Between the outputs of both in inference, as a share of the largest output.

    Args:
        network: with one output.
        twin: made of it, softmax included.
        samples: one array per input, channels last.
    """
    ours = keras.ops.convert_to_numpy(network(samples if len(samples) > 1 else samples[0]))
    was_training = twin.training
    with torch.no_grad():
        theirs = twin.eval()(*map(channels_first, samples)).numpy()
    twin.train(was_training)
    theirs = np.moveaxis(theirs, 1, -1) if theirs.ndim == 4 else theirs
    return float(np.abs(ours - theirs).max() / np.abs(ours).max())


def channels_first(samples: np.ndarray) -> torch.Tensor:
    """(batch, height, width, channels) -> (batch, channels, height, width); others stay."""
    moved = np.moveaxis(samples, -1, 1) if samples.ndim == 4 else samples
    return torch.from_numpy(np.ascontiguousarray(moved))


def _reads_input(node) -> bool:
    """Whether an input of the network comes in, which is the caller's and stays as it is."""
    makers = (tensor._keras_history.operation for tensor in node.input_tensors)
    return any(isinstance(maker, keras.layers.InputLayer) for maker in makers)


def _in_order(network: keras.Model):
    """Calls of the layers, each behind those whose outputs it needs."""
    _, by_depth, _, _ = map_graph(network.inputs, network.outputs)
    for depth in sorted(by_depth, reverse=True):
        yield from by_depth[depth]


def _module(node, in_place: bool) -> nn.Module:
    """The module that does what a Keras operation does in this call."""
    operation = node.operation
    kind = type(operation).__name__
    if isinstance(operation, keras.Model):
        return TorchTwin(operation)
    if kind not in MODULES:
        raise TypeError(f"no PyTorch module is known for {kind}")
    made = MODULES[kind](operation, node)
    if in_place and type(made) in IN_PLACE:
        made.inplace = True
    return made


def _convolution(layer, node):
    channels = node.input_tensors[0].shape[-1]
    filters = layer.filters
    kernel = layer.get_weights()[0].transpose(3, 2, 0, 1)
    return _convolved(layer, node, nn.Conv2d, channels, filters, 1, kernel)


def _depthwise(layer, node):
    channels = node.input_tensors[0].shape[-1]
    kernel = layer.get_weights()[0]  # (height, width, channels, multiplier)
    filters = channels * layer.depth_multiplier
    kernel = kernel.reshape(*kernel.shape[:2], filters, 1).transpose(2, 3, 0, 1)
    return _convolved(layer, node, nn.Conv2d, channels, filters, channels, kernel)


def _convolved(layer, node, kind, channels, filters, groups, kernel):
    before, inside = _padding(layer, node, layer.kernel_size)
    module = kind(
        channels, filters, layer.kernel_size, layer.strides, inside,
        groups=groups, bias=layer.use_bias,
    )  # fmt: skip
    _set(module.weight, kernel)
    if layer.use_bias:
        _set(module.bias, layer.get_weights()[1])
    return _chain(before, module, _activation(layer))


def _padding(layer, node, size):
    """What to pad before a window, and what its module pads: "same" differs where it is uneven."""
    if layer.padding == "valid":
        return None, 0
    both = []
    for length, window, stride in zip(
        node.input_tensors[0].shape[1:3], size, layer.strides, strict=True
    ):
        total = max((-(-length // stride) - 1) * stride + window - length, 0)
        both.append((total // 2, total - total // 2))
    if all(low == high for low, high in both):
        return None, tuple(low for low, _ in both)
    return nn.ZeroPad2d((*both[1], *both[0])), 0


def _dense(layer, node):
    weights = layer.get_weights()
    module = nn.Linear(*weights[0].shape, bias=layer.use_bias)
    _set(module.weight, weights[0].T)
    if layer.use_bias:
        _set(module.bias, weights[1])
    return _chain(module, _activation(layer))


def _norm(layer, node):
    kind = {2: nn.BatchNorm1d, 4: nn.BatchNorm2d}[len(node.input_tensors[0].shape)]
    module = kind(layer.gamma.shape[0] if layer.scale else layer.beta.shape[0], layer.epsilon)
    module.momentum = 1 - layer.momentum
    for name, ours in (
        ("weight", layer.gamma if layer.scale else None),
        ("bias", layer.beta if layer.center else None),
        ("running_mean", layer.moving_mean),
        ("running_var", layer.moving_variance),
    ):
        if ours is None:
            getattr(module, name).requires_grad_(False)
        else:
            _set(getattr(module, name), keras.ops.convert_to_numpy(ours))
    return module


def _activation(layer, node=None):
    return ACTIVATIONS[keras.activations.serialize(layer.activation)]()


def _relu(layer, node):
    if layer.max_value not in (None, 6.0) or layer.threshold or layer.negative_slope:
        raise TypeError(f"no PyTorch module is known for this ReLU: {layer.get_config()}")
    return nn.ReLU() if layer.max_value is None else nn.ReLU6()


def _max_pool(layer, node):
    before, inside = _padding(layer, node, layer.pool_size)
    return _chain(before, nn.MaxPool2d(layer.pool_size, layer.strides, inside))


def _average_pool(layer, node):
    before, inside = _padding(layer, node, layer.pool_size)
    if before is not None:
        raise TypeError("no PyTorch module is known for an uneven average pooling")
    return nn.AvgPool2d(layer.pool_size, layer.strides, inside, count_include_pad=False)


class _GlobalAverage(nn.Module):
    def __init__(self, layer, node):
        super().__init__()
        self._keep = layer.keepdims

    def forward(self, maps):
        return maps.mean((2, 3), keepdim=self._keep)


class _Flatten(nn.Module):
    """In the order of Keras: channels last."""

    def __init__(self, layer, node):
        super().__init__()

    def forward(self, maps):
        return maps.permute(0, 2, 3, 1).flatten(1) if maps.ndim == 4 else maps


class _OneChannel(nn.Module):
    """(batch, frames, bands) -> (batch, 1, frames, bands), the only reshaping that is known."""

    def __init__(self, layer, node):
        super().__init__()
        if node.outputs[0].shape[1:] != (*node.input_tensors[0].shape[1:], 1):
            raise TypeError(f"no PyTorch module is known for this Reshape: {layer.get_config()}")

    def forward(self, samples):
        return samples.unsqueeze(1)


class _Pad(nn.Module):
    def __init__(self, layer, node):
        super().__init__()
        rows, columns = layer.padding
        self._widths = (*columns, *rows)

    def forward(self, maps):
        return functional.pad(maps, self._widths)


class _Scaled(nn.Module):
    """x * scale + offset: a Rescaling, or the scaled sum of InceptionResNetV2."""

    def __init__(self, layer, node):
        super().__init__()
        self._scale, self._offset = map(_by_channel, (layer.scale, getattr(layer, "offset", 0)))

    def forward(self, first, second=None):
        if isinstance(first, list):
            first, second = first
        if second is not None:
            return first.add(second, alpha=self._scale)
        return first * self._scale + self._offset


class _Combined(nn.Module):
    """A sum or a product of two tensors, or of one and a number; channels side by side."""

    def __init__(self, layer, node):
        super().__init__()
        self._kind = type(layer).__name__

    def forward(self, first, second=None):
        parts = first if isinstance(first, list) else [first, second]
        if self._kind == "Concatenate":
            return torch.cat(parts, 1)
        found = parts[0]
        for other in parts[1:]:
            found = found + other if self._kind == "Add" else found * other
        return found


def _by_channel(value):
    """A number, or numbers of the channels as they stand first."""
    return torch.tensor(value)[:, None, None] if np.ndim(value) else value


def _dropout(layer, node):
    return nn.Dropout(layer.rate)


MODULES = {
    "Conv2D": _convolution,
    "DepthwiseConv2D": _depthwise,
    "Dense": _dense,
    "BatchNormalization": _norm,
    "Activation": _activation,
    "ReLU": _relu,
    "ELU": lambda layer, node: nn.ELU(layer.alpha),
    "MaxPooling2D": _max_pool,
    "AveragePooling2D": _average_pool,
    "GlobalAveragePooling2D": _GlobalAverage,
    "Flatten": _Flatten,
    "Reshape": _OneChannel,
    "ZeroPadding2D": _Pad,
    "Rescaling": _Scaled,
    "CustomScaleLayer": _Scaled,
    "Add": _Combined,
    "Multiply": _Combined,
    "Concatenate": _Combined,
    "Dropout": _dropout,
}


def _chain(*parts) -> nn.Module:
    """Modules in a row, without those that do nothing; an activation is the last of them."""
    parts = [part for part in parts if part is not None and not isinstance(part, nn.Identity)]
    if type(parts[-1]) in IN_PLACE and len(parts) > 1:
        parts[-1].inplace = True
    return parts[0] if len(parts) == 1 else nn.Sequential(*parts)


def _without_softmax(module: nn.Module) -> None:
    if not isinstance(module, nn.Sequential) or not isinstance(module[-1], nn.Softmax):
        raise TypeError("the network does not end in a softmax")
    module[-1] = nn.Identity()


def _set(parameter, values) -> None:
    with torch.no_grad():
        parameter.copy_(torch.from_numpy(np.array(values)))
