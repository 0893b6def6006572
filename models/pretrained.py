"""What the models on a pretrained backbone share: options, the backbone, pooling, phases."""

from __future__ import annotations

from dataclasses import dataclass

import keras
from keras import layers

from datasets.errors import InputError
from models.backbones import Backbone, build_backbone, layers_of, unfreezable
from models.layers import GlobalDeviationPooling
from models.options import ScheduleOptions, option
from training.phases import Phase
from training.schedules import schedule

PASSED_OVER = (layers.InputLayer, layers.ZeroPadding2D)


@dataclass(frozen=True)
class BackboneOptions(ScheduleOptions):
    """Options of every model that begins with a pretrained network."""

    REAL_DEFAULTS = {"weights": "imagenet"}

    backbone: str | None = option(
        "pretrained network: resnet18, or any of keras.applications (mobilenet_v2_035, "
        "mobilenet_v3_small, efficientnet_v2_b0, ...) or of keras-hub's image presets"
    )
    weights: str | None = option(
        "of the backbone: imagenet (downloaded), none (random: then all of it trains), or a file"
    )
    image_size: int | None = option("side of the picture in pixels", minimum=32, maximum=1024)
    pooling: str | None = option(
        "of a feature map: its average, or beside it its maximum or its deviation",
        choices=("average", "average+maximum", "average+deviation"),
    )
    dropout: float | None = option("share of features left out", minimum=0.0, maximum=0.9)


@dataclass(frozen=True)
class FrozenBackboneOptions(BackboneOptions):
    """Options of every model whose backbone is frozen, in a first phase at least."""

    stored_views: int | None = option(
        "random views of each picture that are computed once and stored; 0: every epoch draws new "
        "ones",
        minimum=0,
    )
    unfreeze: str | None = option(
        "what trains in a second phase: a share of the backbone's layers, counted from its end, or "
        "groups of them, separated by commas, whose names begin so; none: there is no second "
        "phase; all: the whole network trains from the beginning"
    )
    fine_tune_epochs: int | None = option("epochs of the second phase", minimum=0)
    fine_tune_rate: float | None = option("learning rate of the second phase", 3e-4, above=0.0)
    whiten: bool | None = option(
        "features of the frozen backbone by their spread within classes, as a linear discriminant "
        "analysis takes them"
    )
    refit: bool | None = option(
        "train once more from the beginning on the training and the validation part together, and "
        "keep that network; what the validation part is for (confidence, 'other') it has done by "
        "then, with the first one"
    )

    def __post_init__(self):
        super().__post_init__()
        if self.whiten and self.trains_whole:
            raise InputError(
                "--whiten learns from a frozen backbone, and here all of it trains: leave it out, "
                "or give --weights and no --unfreeze all"
            )
        if self.refit and self.patience:
            raise InputError(
                "--refit leaves no validation part that could tell when to stop: leave --patience "
                "out, or say --no-refit"
            )

    @property
    def trains_whole(self) -> bool:
        """Whether nothing is frozen: that is wanted, or the backbone knows nothing yet."""
        return self.weights == "none" or self.unfreeze == "all"

    @property
    def is_fine_tuned(self) -> bool:
        """Whether a second phase follows."""
        return bool(self.fine_tune_epochs) and self.unfreeze != "none" and not self.trains_whole


def find_backbone(options: FrozenBackboneOptions) -> Backbone:
    """The backbone that the options name.

    Raises:
        InputError: it or its weights are not to be had, or the options contradict each other.
    """
    side = options.image_size
    backbone = build_backbone(options.backbone, options.weights, side, side)
    if options.unfreeze and options.unfreeze not in ("none", "all"):
        layers_to_train(backbone.network, options.unfreeze)
        if not options.fine_tune_epochs:
            raise InputError(
                "--unfreeze needs --fine-tune-epochs: how long the groups train; --unfreeze none "
                "leaves the backbone frozen"
            )
    elif options.fine_tune_epochs and not options.unfreeze:
        raise InputError(
            "--fine-tune-epochs needs --unfreeze: a share of the layers, such as 0.25, or "
            f"groups of them, such as {', '.join(unfreezable(backbone)[-3:])}"
        )
    return backbone


def backbone_note(backbone: Backbone, options: FrozenBackboneOptions) -> str:
    """A line that says what becomes of the backbone."""
    kept = "all of it trains" if options.trains_whole else "frozen"
    if options.is_fine_tuned:
        kept += f", then fine-tuned ({options.unfreeze})"
    return f"Backbone {backbone.name}, weights {backbone.weights}, {kept}."


def pool(feature_map, pooling: str, prefix: str = ""):
    """(batch, height, width, channels) -> (batch, channels), or twice as wide.

    Args:
        feature_map: a tensor.
        pooling: one of the choices of the option.
        prefix: of the layers' names, where several maps are pooled.
    """
    average = layers.GlobalAveragePooling2D(name=f"{prefix}average")(feature_map)
    if pooling == "average":
        return average
    if pooling == "average+maximum":
        other = layers.GlobalMaxPooling2D(name=f"{prefix}maximum")(feature_map)
    else:
        other = GlobalDeviationPooling(dtype="float32", name=f"{prefix}deviation")(feature_map)
    return layers.Concatenate(name=f"{prefix}pooled")([average, other])


def middle_maps(network: keras.Model, count: int = 3) -> keras.Model:
    """A backbone up to the last feature map of each of the sizes before its last one.

    These show shapes and textures rather than the things that it was trained to name.

    Args:
        network: preprocessed pixels -> feature map.
        count: how many sizes, the smallest of them.

    Returns:
        A model of the same name and layers, pixels -> list of feature maps, large ones first.

    Raises:
        InputError: the network has no maps of so many sizes.
    """
    last = network.output.shape[1]
    found = {}
    for layer in network.layers:
        shape = getattr(layer.output, "shape", ())
        # Padding makes a size of its own, which no convolution has seen.
        if len(shape) == 4 and shape[1] > last and not isinstance(layer, PASSED_OVER):
            found[shape[1]] = layer.output
    if len(found) < count:
        raise InputError(
            f"--features middle: {network.name} has maps of {len(found)} sizes above its last one, "
            f"and {count} are needed: take --features last, or a larger --image-size"
        )
    return keras.Model(network.input, list(found.values())[-count:], name=network.name)


def backbone_phases(options, backbone, head: tuple[str, ...], optimizer, shared, objective=None):
    """Train the head on the frozen backbone, then both where that is wanted.

    Args:
        options: FrozenBackboneOptions.
        backbone: keras.Model inside the network.
        head: names of the layers behind it.
        optimizer: of the first phase.
        shared: what both phases are told.
        objective: () -> objective of a phase, each with weights of its own; None for the
            cross-entropy.
    """
    whole = options.trains_whole
    first = Phase(
        name="training" if whole else "head",
        epochs=options.epochs,
        optimizer=optimizer,
        trainable=None if whole else head,
        callbacks=schedule(
            options.schedule, options.learning_rate, options.epochs, options.patience
        ),
        views=None if whole else options.stored_views,
        objective=objective and objective(),
        **shared,
    )
    if not options.is_fine_tuned:
        return (first,)
    chosen = layers_to_train(backbone, options.unfreeze)
    rate, epochs = options.fine_tune_rate, options.fine_tune_epochs
    second = Phase(
        name="fine-tuning",
        epochs=epochs,
        optimizer=keras.optimizers.AdamW(rate),
        trainable=(*head, *(f"{backbone.name}/{layer.name}" for layer in chosen)),
        callbacks=schedule(options.schedule, rate, epochs, options.patience),
        objective=objective and objective(),
        **shared,
    )
    return (first, second)


def layers_to_train(network: keras.Model, what: str) -> list[keras.layers.Layer]:
    """Layers of a backbone: a share of those with weights, from the end, or groups by name.

    Raises:
        InputError: a share that is none, or a group that no layer belongs to.
    """
    try:
        share = float(what)
    except ValueError:
        return layers_of(network, [name.strip() for name in what.split(",") if name.strip()])
    if not 0 < share <= 1:
        raise InputError(f"--unfreeze {what}: a share above 0 and up to 1, or names of groups")
    weighted = [layer for layer in network.layers if layer.weights]
    return weighted[-max(1, round(share * len(weighted))) :]
