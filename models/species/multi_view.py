"""A network that sees several views of a picture (paper 001, section 3.1, figure 2).

    view 1 -> stem -> branch "whole"  \\
    view 2 -> stem -> branch "view_2"  -> side by side -> 1x1 convolution -> trunk
    ...       (one)                   /

It is made from any backbone by cutting it twice, so it has the layers of that backbone and nothing
is written down a second time.
"""

from __future__ import annotations

from collections.abc import Sequence

import keras
import numpy as np
from keras import layers, ops

from datasets.errors import InputError
from datasets.images import resize

# First layers of the branches and of the trunk, by the beginning of a network's name. Those of
# InceptionResNetV2 are published: a stem of five convolutions is shared, and the auxiliary
# classifier behind block 17 lies in the branch (spec 001, 1j and 1l).
CUTS = {
    "inceptionresnetv2": ("mixed_5b", "mixed_7a"),
    "mobilenetv2": ("block_4", "block_13"),
}


def known_cuts(name: str) -> tuple[str, str]:
    """Where branches and trunk begin in a backbone of that name.

    Raises:
        InputError: nobody has said so yet.
    """
    found = [cuts for start, cuts in CUTS.items() if name.startswith(start)]
    if not found:
        raise InputError(
            f"where to cut {name} into stem, branches and trunk is not known: name the layers that "
            "branches and trunk begin with by --branch-from and --merge-at"
        )
    return found[0]


def cut(network: keras.Model, branch_from: str, merge_at: str) -> tuple[keras.Model, ...]:
    """Stem, branch and trunk of a network, which share its layers and weights.

    Args:
        network: functional, from one picture to one feature map.
        branch_from: beginning of the name of the branch's first layer.
        merge_at: likewise of the trunk's.

    Raises:
        InputError: no layer is called so, or one does not come behind the other.
    """
    places = [_cut_before(network, name) for name in (branch_from, merge_at)]
    if places[0] >= places[1]:
        raise InputError(f"--branch-from {branch_from} must come before --merge-at {merge_at}")
    first, second = (network.layers[place].output for place in places)
    return (
        keras.Model(network.input, first, name="stem"),
        keras.Model(first, second, name="whole"),
        keras.Model(second, network.output, name="trunk"),
    )


def _cut_before(network: keras.Model, name: str) -> int:
    """Place of the last layer before `name` that everything passes through."""
    at = next((i for i, layer in enumerate(network.layers) if layer.name.startswith(name)), None)
    found = None if at is None else [place for place in _bottlenecks(network) if place < at]
    if not found:
        groups = dict.fromkeys("_".join(layer.name.split("_")[:2]) for layer in network.layers)
        raise InputError(
            f"{network.name} cannot be cut before '{name}': take the beginning of the name of one "
            f"of its layers, such as {', '.join(list(groups)[-6:])}"
        )
    return found[-1]


def _bottlenecks(network: keras.Model) -> list[int]:
    """Places of the layers whose output alone leads on, in order."""
    order = {layer.name: place for place, layer in enumerate(network.layers)}
    last_use = dict.fromkeys(order.values(), -1)
    for layer in network.layers:
        for node in layer._inbound_nodes:
            for tensor in node.input_tensors:
                maker = order.get(tensor._keras_history.operation.name)
                if maker is not None:
                    last_use[maker] = max(last_use[maker], order[layer.name])
    farthest, found = 0, []
    for place in range(len(network.layers)):
        if farthest <= place:
            found.append(place)
        farthest = max(farthest, last_use[place])
    return found


def branch_names(views: int) -> list[str]:
    """Names of the branches, each a layer of the network that `multi_view` makes."""
    return ["whole", *(f"view_{view}" for view in range(2, views + 1))]


def multi_view(
    network: keras.Model,
    views: int,
    branch_from: str,
    merge_at: str,
    copies: str = "random",
    merge: str = "random",
) -> keras.Model:
    """A network of as many pictures as there are views.

    Args:
        network: of one view, functional, with its weights.
        views: how many; one gives the network itself, in three parts.
        branch_from: see `cut`.
        merge_at: see `cut`.
        copies: weights of the branches behind the first: `random`, which makes the branches differ
            (paper 001, section 3.1), or `pretrained`, those of the first.
        merge: weights of the 1x1 convolution: `random`, or `mean`, the mean of the branches, which
            a pretrained trunk understands at once.

    Returns:
        A model from a list of `views` tensors (batch, height, width, 3) to a dictionary with
        `feature_map`, the trunk's (batch, h, w, channels), and `whole`, what the first branch
        gives, for an auxiliary classifier.

    Raises:
        InputError: the network cannot be cut there.
    """
    stem, whole, trunk = cut(network, branch_from, merge_at)
    branches = [whole, *(_copy(whole, name, copies) for name in branch_names(views)[1:])]
    pictures = [
        keras.Input(network.input.shape[1:], name=f"picture_{view}") for view in range(1, views + 1)
    ]
    seen = [branch(stem(picture)) for branch, picture in zip(branches, pictures, strict=True)]
    merged = seen[0]
    if views > 1:
        joined = layers.Concatenate(name="joined")(seen)
        mixing = layers.Conv2D(seen[0].shape[-1], 1, name="merged")
        merged = mixing(joined)
        if merge == "mean":
            mixing.set_weights(_mean_of(views, seen[0].shape[-1]))
    outputs = {"feature_map": trunk(merged), "whole": seen[0]}
    return keras.Model(pictures, outputs, name=network.name)


def with_width(network: keras.Model, width: float) -> keras.Model:
    """The same network with a share of the channels in every convolution, weights drawn anew.

    Raises:
        InputError: a convolution would have a fraction of a channel: its branches would no longer
            fit together.
    """
    if width == 1:
        return network

    def narrower(layer):
        config = layer.get_config()
        if "filters" in config:
            filters = config["filters"] * width
            if filters != int(filters):
                raise InputError(
                    f"--width {width:g}: {layer.name} would have {filters:g} channels; take a half "
                    "of it, of that a half, and so on, while whole numbers come out"
                )
            config["filters"] = int(filters)
        return type(layer).from_config(config)

    picture = keras.Input(network.input.shape[1:], name=network.input.name)
    narrow = keras.models.clone_model(network, picture, clone_function=narrower)
    return keras.Model(narrow.input, narrow.output, name=network.name)


def _copy(branch: keras.Model, name: str, copies: str) -> keras.Model:
    with keras.name_scope(name):  # what is trained needs paths of its own, see `training.phases`
        copied = keras.models.clone_model(branch)
    if copies == "pretrained":
        copied.set_weights(branch.get_weights())
    return keras.Model(copied.input, copied.output, name=name)


def _mean_of(views: int, channels: int) -> Sequence[np.ndarray]:
    """Weights of a 1x1 convolution that takes the mean of `views` feature maps side by side."""
    kernel = np.tile(np.eye(channels, dtype=np.float32), (views, 1)) / views
    return kernel[None, None], np.zeros(channels, np.float32)


@keras.saving.register_keras_serializable("menagerie")
class WholeAndCentre(layers.Layer):
    """A square picture -> its whole and its centre, both half as wide as the picture.

    So the centre, cut out as it is, is seen at twice the magnification (spec 001, 1k). The whole
    is resized (bilinear, antialiased).

    Input: (batch, side, side, channels), the side perhaps unknown until run time.
    """

    resize = staticmethod(resize)

    def call(self, picture):
        side = ops.shape(picture)[1] // 2
        inside = slice(side // 2, side // 2 + side)
        return [self.resize(picture, side, side), picture[:, inside, inside]]

    def compute_output_shape(self, shape):
        side = None if shape[1] is None else shape[1] // 2
        return [(shape[0], side, side, shape[-1])] * 2
