"""Where an explanation looks inside a network."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import keras

SEGMENTS = "segments"  # layer of every model of sound
JOINED = "joined"  # layer at which the modalities meet


@dataclass(frozen=True)
class View:
    """One look at a picture that ends in a feature map of its own.

    Attributes:
        layer: name of the layer, perhaps inside a network of the network, that gives the map.
        picture: input that is looked at.
        share: of the sides of that input, around its centre, that is looked at.
    """

    layer: str
    picture: str
    share: float = 1.0


@dataclass(frozen=True)
class Anatomy:
    """What a model says about its network, where it cannot be inferred.

    Attributes:
        parts: modalities, or networks, in the order in which the layer `joined` puts them side by
            side, which is that of the output `features`; none where there is but one.
        views: for a picture, or several, looked at by several branches; where there are none, the
            last feature maps are those of the one picture (`last_maps`).
    """

    parts: tuple[str, ...] = ()
    views: tuple[View, ...] = ()


def answering(network: keras.Model) -> keras.Model:
    """The network without what only its other outputs need."""
    return keras.Model(network.input, {"probabilities": network.output["probabilities"]})


def last_maps(network: keras.Model) -> list[keras.layers.Layer]:
    """Layers that give the last feature maps: every path from the picture leads through them.

    What they give is handed to layers that make something else of it, such as a mean. A network
    inside the network counts as one layer, unless it is the one that gives up the maps.

    Args:
        network: functional; a map has the shape (batch, height, width, channels).
    """
    found = []
    for layer in network.layers:
        if isinstance(layer, keras.layers.InputLayer):
            continue
        for node in layer._inbound_nodes:
            if any(_is_map(tensor) for tensor in node.output_tensors):
                continue
            inner = last_maps(layer) if isinstance(layer, keras.Model) else []
            maps = [tensor for tensor in node.input_tensors if _is_map(tensor)]
            found += inner or [tensor._keras_history.operation for tensor in maps]
    inside = set(map(id, all_layers(network)))
    return [layer for layer in dict.fromkeys(found) if id(layer) in inside]


def all_layers(network: keras.Model) -> Iterator[keras.layers.Layer]:
    """The layers of a network and of the networks in it."""
    for layer in network.layers:
        yield layer
        if isinstance(layer, keras.Model):
            yield from all_layers(layer)


def layers_called(network: keras.Model, name: str) -> list[keras.layers.Layer]:
    """All layers of that name, also in networks of the network.

    Raises:
        ValueError: there is none.
    """
    found = [layer for layer in all_layers(network) if layer.name == name]
    if not found:
        raise ValueError(f"{network.name} has no layer called {name}")
    return found


def _is_map(tensor) -> bool:
    return len(tensor.shape) == 4
