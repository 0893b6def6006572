"""PyTorch weights of a residual network, from a .safetensors file with torchvision's names.

timm names its `resnet18` and `resnet34` the same. The classifier `fc` and the counters
`num_batches_tracked` are left out; everything else must be there, in the right shape.
"""

from __future__ import annotations

import re
from pathlib import Path

import keras
import numpy as np

from datasets.errors import InputError

CODE_ENDINGS = (".pth", ".pt", ".bin", ".pkl", ".ckpt")

# In the order of `BatchNormalization.weights`.
NORMALISATION = ("weight", "bias", "running_mean", "running_var")


def load_torch_weights(network: keras.Model, path: Path) -> None:
    """Fill a residual network of keras-hub from a file with torchvision's names.

    Args:
        network: a ResNet of basic blocks, its layers named as by `keras_hub.models.ResNetBackbone`.
        path: a .safetensors file.

    Raises:
        InputError: the file is damaged, or its tensors are those of another network.
    """
    tensors = _read(path)
    for layer in network.layers:
        if layer.weights:
            layer.set_weights(_layer_weights(layer, tensors, path))
    if tensors:
        raise _other_network(path, f"has a tensor {min(tensors)} that this network lacks")


def how_to_convert(path: Path) -> str:
    """Why a file of PyTorch's own format is not read, and the line of Python that rewrites it."""
    target = path.with_suffix(".safetensors").name
    return (
        f"{path} can hold code, so it is not read; write it as .safetensors with: "
        "import torch; from safetensors.torch import save_file; "
        f"save_file({{k: v.contiguous() for k, v in torch.load({path.name!r}, "
        f"map_location='cpu', weights_only=True).items()}}, {target!r})"
    )


def torch_name(layer: str) -> str:
    """The module of torchvision's ResNet that a layer stands for.

    `conv1_bn` is `bn1`; `stack2_block0_1_conv` is `layer3.0.conv1`; the shortcut
    `stack2_block0_0_bn` is `layer3.0.downsample.1`.
    """
    stem = re.fullmatch(r"conv1_(conv|bn)", layer)
    if stem:
        return f"{stem[1]}1"
    stack, block, place, kind = re.fullmatch(r"stack(\d)_block(\d+)_(\d)_(conv|bn)", layer).groups()
    module = f"{kind}{place}" if place != "0" else f"downsample.{('conv', 'bn').index(kind)}"
    return f"layer{int(stack) + 1}.{block}.{module}"


def _read(path: Path) -> dict[str, np.ndarray]:
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        tensors = load_file(path)
    except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"{path} cannot be read as .safetensors ({' '.join(str(error).split())[:120]}): "
            "download or write it again, in float32"
        ) from error
    return {
        name: tensor
        for name, tensor in tensors.items()
        if not name.startswith("fc.") and not name.endswith("num_batches_tracked")
    }


def _layer_weights(layer, tensors: dict, path: Path) -> list[np.ndarray]:
    """Take one layer's tensors out of the file's, in the order and layout of Keras."""
    kinds = NORMALISATION if isinstance(layer, keras.layers.BatchNormalization) else ("weight",)
    values = []
    for kind, weight in zip(kinds, layer.weights, strict=True):
        name = f"{torch_name(layer.name)}.{kind}"
        if name not in tensors:
            raise _other_network(path, f"lacks the tensor {name}")
        value = tensors.pop(name)
        wanted = tuple(weight.shape)
        if len(wanted) == 4:  # height, width, in, out in Keras; out, in, height, width in PyTorch
            wanted = tuple(wanted[axis] for axis in (3, 2, 0, 1))
        if value.shape != wanted:
            raise _other_network(path, f"has {name} in the shape {value.shape}, not {wanted}")
        values.append(value.transpose(2, 3, 1, 0) if value.ndim == 4 else value)
    return values


def _other_network(path: Path, what: str) -> InputError:
    return InputError(
        f"{path} {what}: the file is for another network; "
        "give torchvision's or timm's weights of this one"
    )
