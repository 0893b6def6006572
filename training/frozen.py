"""Frozen, deterministic parts of a network are computed once, not in every epoch.

While only a head is trained, the layers before it give the same output for the same sample in
every epoch. `split_at_frozen` finds that boundary in any functional model; the outputs at the
boundary are stored, and the head is trained on them. Head and whole network share their layers, so
training the head trains the network.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import keras
import numpy as np


@dataclass(frozen=True)
class FrozenSplit:
    """A network cut where its frozen part ends.

    Attributes:
        frozen: the network's inputs -> a dictionary of boundary tensors.
        head: a dictionary of the same names -> the network's outputs.
    """

    frozen: keras.Model
    head: keras.Model


def split_at_frozen(network: keras.Model) -> FrozenSplit | None:
    """Cut a functional model behind its largest frozen, deterministic part.

    A layer belongs to that part if nothing before it trains, none of its own weights train, and it
    gives the same output in training as in inference: a frozen batch normalisation does, an active
    dropout does not, unless the layer was called with `training=False`. A layer with `learn_from`
    does not either: a phase lets it learn from what is stored.

    Returns:
        The two parts, or None if no weight is frozen or nothing is left to train.
    """
    walk = _Walk()
    for output in _flat(network.outputs):
        if walk.visit(output):
            walk.keep(output)
    boundary = [tensor for tensor in walk.boundary if not _is_input(tensor)]
    if not boundary or not walk.frozen_weights or not network.trainable_weights:
        return None
    # A head that still needs a raw input beside stored tensors takes it as one more of its inputs.
    boundary += [tensor for tensor in walk.boundary if _is_input(tensor)]
    names = [f"stored_{index}" for index in range(len(boundary))]
    stored = dict(zip(names, boundary, strict=True))
    return FrozenSplit(
        frozen=keras.Model(network.input, stored, name="frozen_part"),
        head=_head(stored, network),
    )


@dataclass(frozen=True)
class CutNetwork:
    """A network cut before and behind the frozen networks inside it.

    Attributes:
        networks: name -> one of those networks, from a dictionary of inputs to one of that name.
        before: the whole network's inputs -> what they are shown, as "name input".
        behind: the whole network's inputs, and what those networks give -> its outputs.
    """

    networks: dict[str, keras.Model]
    before: keras.Model
    behind: keras.Model


@lru_cache(maxsize=2)  # the views of a phase and the parts of a run ask again
def cut_at_networks(network: keras.Model) -> CutNetwork | None:
    """Cut a functional model of recordings at the frozen networks that hear their segments.

    Returns:
        None where all samples have one size, or no frozen network is shown pieces that have.
    """
    inputs = network.input
    if _known(inputs.values()):
        return None
    networks, shown, given = {}, {}, {}
    for node in (node for nodes in network._nodes_by_depth.values() for node in nodes):
        inner = node.operation
        frozen = isinstance(inner, keras.Model) and not inner.trainable_weights
        if frozen and _known(node.input_tensors) and _known(node.output_tensors):
            name = f"of_{inner.name}"
            (given[name],) = node.output_tensors
            networks[name] = keras.Model(inner.input, {name: inner.output})
            shown |= {f"{name} {key}": value for key, value in node.arguments.args[0].items()}
    if not networks:
        return None
    return CutNetwork(networks, keras.Model(inputs, shown), _head(inputs | given, network))


def _known(tensors) -> bool:
    """Whether a sample of each of these tensors has one size."""
    return all(None not in tensor.shape[1:] for tensor in tensors)


class _Walk:
    """Walks from the outputs to the inputs and notes where frozen meets trained."""

    def __init__(self):
        self.boundary = []
        self.frozen_weights = False
        self._known = {}

    def visit(self, tensor) -> bool:
        """Whether everything up to this tensor is frozen and deterministic."""
        if id(tensor) in self._known:
            return self._known[id(tensor)]
        operation, node = _node(tensor)
        parents = list(node.input_tensors)
        states = [self.visit(parent) for parent in parents]
        frozen = all(states) and _is_constant(operation, node)
        if frozen and getattr(operation, "weights", ()):
            self.frozen_weights = True
        if not frozen:
            for parent, state in zip(parents, states, strict=True):
                if state:
                    self.keep(parent)
        self._known[id(tensor)] = frozen
        return frozen

    def keep(self, tensor) -> None:
        """Take a tensor into the boundary, once."""
        if all(kept is not tensor for kept in self.boundary):
            self.boundary.append(tensor)


def inputs_of(tensor) -> tuple[str, ...]:
    """Names of the inputs of a functional model that a tensor depends on."""
    names, known, waiting = set(), set(), [tensor]
    while waiting:
        tensor = waiting.pop()
        if id(tensor) in known:
            continue
        known.add(id(tensor))
        operation, node = _node(tensor)
        if _is_input(tensor):
            names.add(operation.name)
        waiting += node.input_tensors
    return tuple(sorted(names))


def _node(tensor):
    """The operation that made a tensor, and the call in which it did."""
    history = tensor._keras_history
    return history.operation, history.operation._inbound_nodes[history.node_index]


def _is_input(tensor) -> bool:
    return isinstance(tensor._keras_history.operation, keras.layers.InputLayer)


def _is_constant(operation, node) -> bool:
    if not isinstance(operation, keras.layers.Layer):
        return True  # a plain function of keras.ops has neither weights nor chance
    if operation.trainable_weights or hasattr(operation, "learn_from"):
        return False
    if node.arguments.kwargs.get("training") is False:
        return True  # it was wired to behave as in inference
    return not any(_acts_in_training(layer) for layer in operation._flatten_layers())


def _acts_in_training(layer) -> bool:
    if isinstance(layer, keras.layers.BatchNormalization):
        return layer.trainable
    return bool(layer._seed_generators) and getattr(layer, "rate", 1) != 0


def _head(stored: dict, network: keras.Model) -> keras.Model:
    """The rest of the network, its layers called again on inputs in place of the boundary."""
    fresh = {
        name: keras.Input(tensor.shape[1:], dtype=tensor.dtype, name=name)
        for name, tensor in stored.items()
    }
    known = {id(tensor): fresh[name] for name, tensor in stored.items()}

    def again(value):
        if not isinstance(value, keras.KerasTensor):
            return value
        if id(value) not in known:
            operation, node = _node(value)
            arguments = node.arguments
            args, keywords = keras.tree.map_structure(again, (arguments.args, arguments.kwargs))
            made = operation(*args, **keywords)
            for old, new in zip(node.outputs, _flat(made), strict=True):
                known[id(old)] = new
        return known[id(value)]

    return keras.Model(fresh, keras.tree.map_structure(again, network.output), name="head")


def learn_from(part: keras.Model, compute: Callable, targets) -> None:
    """Let layers with a method `learn_from` learn from what comes in, in the network's order.

    Args:
        part: what trains.
        compute: model of a dictionary -> its outputs for the training part.
        targets: (samples,) class indices; the outputs can be as many views of each sample.
    """
    known = features = None  # the tensor that was computed last, and its values
    for depth in sorted(part._nodes_by_depth, reverse=True):
        for node in part._nodes_by_depth[depth]:
            if hasattr(node.operation, "learn_from"):
                wanted = node.input_tensors[0]
                beyond = None if known is None else _beyond(known, wanted)
                if beyond is None:
                    before = keras.Model(part.input, {"features": wanted})
                    features = compute(before)["features"]
                else:  # what comes before has been computed, perhaps by a whole backbone
                    features = beyond.predict(features, verbose=0)
                known = wanted
                node.operation.learn_from(features, np.tile(targets, len(features) // len(targets)))


def _beyond(known, wanted) -> keras.Model | None:
    """The layers from one tensor to another; None where the other needs more than that one."""
    try:
        return keras.Model(known, wanted)
    except ValueError:
        return None


def _flat(structure):
    return keras.tree.flatten(structure)
