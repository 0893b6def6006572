"""Pretrained backbones by name: a network without its top, and what its pixels must look like.

    backbone = build_backbone("mobilenet_v2_035", "imagenet", 224, 224)
    features = backbone.network(backbone.preprocess(pixels))

A name is a model of `keras.applications`, with its width multiplier behind it where it has one;
`resnet18` or `resnet34` as in torchvision; or a preset of keras-hub's image classifiers. Case and
punctuation do not matter.
"""

from __future__ import annotations

import difflib
import inspect
import re
import sys
import traceback
import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import keras

from datasets.errors import InputError
from models.fused_batch_norm import shorten_averages, with_fused_batch_norm
from models.torch_weights import CODE_ENDINGS, how_to_convert, load_torch_weights

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_DEVIATION = (0.229, 0.224, 0.225)
RESNET_BLOCKS = {"resnet18": [2, 2, 2, 2], "resnet34": [3, 4, 6, 3]}  # He et al. 2016, table 1
RESNET_PRESETS = {"resnet18": "resnet_18_imagenet"}


@dataclass
class Backbone:
    """A network to take features from.

    Attributes:
        name: as it was asked for.
        network: preprocessed pixels (batch, height, width, 3) -> feature map (batch, h, w,
            channels); nothing is pooled.
        preprocess: RGB pixels 0 to 255, a symbolic tensor or an array (batch, height, width, 3), ->
            float32, what the network was trained on. Made of plain operations and layers, so that a
            model around it can be saved and loaded as .keras.
        weights: where its weights are from: `none` (random), `imagenet`, or a file.
    """

    name: str
    network: keras.Model
    preprocess: Callable
    weights: str


def build_backbone(name: str, weights: str, height: int, width: int) -> Backbone:
    """Build a backbone with random, downloaded or given weights.

    Args:
        name: see this module's description; `mobilenet_v2_035`, `ResNet50`, `resnet18`.
        weights: `none`; `imagenet`, which downloads them unless they are in the library's cache;
            or a path: Keras weights (.weights.h5, .h5), PyTorch weights (.safetensors, for
            `resnet18` and `resnet34`), or for a preset of keras-hub a folder with its files.
        height: of the pictures, in pixels.
        width: of the pictures, in pixels.

    Raises:
        InputError: no such backbone, no such size of it, or weights that cannot be had.
    """
    source = _find(name)
    path = None if weights in ("imagenet", "none") else _existing(weights, source)
    network, preprocess = source.build(weights, (height, width, 3))
    if path and path.is_file():
        _load_file(network, path, name)
    if not isinstance(network.output, keras.KerasTensor) or len(network.output.shape) != 4:
        raise InputError(f"{name} gives no feature map of one picture: choose a convolutional one")
    # A plain functional model, whatever the library's class: it loads without that library.
    network = with_fused_batch_norm(keras.Model(network.input, network.output, name=_key(name)))
    shorten_averages(network)
    return Backbone(name, network, preprocess, weights)


def unfreezable(backbone: Backbone) -> list[str]:
    """Groups of layers that can be named to `layers_of`, from the input to the output.

    A group is the beginning of layer names up to their first number: `block_16`, `Conv_1`,
    `stack3`. Beginnings that are longer or shorter can be named too: `stack3_block1`, `block`.
    """
    return _groups(backbone.network)


def layers_of(network: keras.Model, groups: Iterable[str]) -> list[keras.layers.Layer]:
    """Layers with weights whose names begin with one of the groups, in the network's order.

    Words and numbers count as wholes: `block_1` is not the beginning of `block_16_expand`.

    Raises:
        InputError: a group that no layer with weights belongs to.
    """
    patterns = {group: re.compile(re.escape(group) + _WHOLE) for group in groups}
    layers = [layer for layer in network.layers if layer.weights]
    for group, pattern in patterns.items():
        if not group or not any(pattern.match(layer.name) for layer in layers):
            raise InputError(
                f"no layers of {network.name} are called {group or 'nothing'}: choose from "
                + (", ".join(_groups(network)) or "the names of its layers")
            )
    return [
        layer for layer in layers if any(pattern.match(layer.name) for pattern in patterns.values())
    ]


# Behind the beginning of a name: neither a number nor a word goes on.
_WHOLE = r"(?!(?<=[0-9])[0-9]|(?<=[A-Za-z])[A-Za-z])"


def _groups(network: keras.Model) -> list[str]:
    names = [layer.name for layer in network.layers if layer.weights and not _numbered(layer)]
    starts = [re.match(r"\D*\d+[a-z]?(?=_|$)", name) for name in names]
    return list(dict.fromkeys(m[0] if m else name for m, name in zip(starts, names, strict=True)))


def _numbered(layer) -> bool:
    """Whether Keras named the layer: such numbers differ from one build to the next."""
    return _key(re.sub(r"_\d+$", "", layer.name)) == type(layer).__name__.lower()


@dataclass(frozen=True)
class _Application:
    """A model of keras.applications."""

    function: Callable
    alpha: float | None = None

    torch_names = False
    takes_folder = False

    def build(self, weights: str, shape: tuple) -> tuple[keras.Model, Callable]:
        named = self.function.__name__
        width = {} if self.alpha is None else {"alpha": self.alpha}
        given = "imagenet" if weights == "imagenet" else None
        try:
            network = self.function(include_top=False, weights=given, input_shape=shape, **width)
        except ValueError as error:
            raise InputError(
                f"keras.applications cannot build {named} with {_size(shape)} pixels and weights "
                f"{weights}: {_one_line(error)}"
            ) from error
        except Exception as error:  # keras raises a bare Exception where a download fails
            if given is None:
                raise
            raise _not_loaded(named, error) from error
        return network, self._preprocess

    def _preprocess(self, pixels):
        module = sys.modules[self.function.__module__]
        return module.preprocess_input(keras.ops.cast(pixels, "float32"))


@dataclass(frozen=True)
class _ResNet:
    """A residual network of basic blocks as in torchvision (He et al. 2016)."""

    name: str

    torch_names = True
    takes_folder = False

    def build(self, weights: str, shape: tuple) -> tuple[keras.Model, Callable]:
        import keras_hub

        if weights == "imagenet":
            if self.name not in RESNET_PRESETS:
                raise InputError(
                    f"no weights of {self.name} are there to download: give torchvision's as "
                    ".safetensors, or those of Keras as .weights.h5, by --weights PATH"
                )
            network = _from_preset(RESNET_PRESETS[self.name], weights, shape)
        else:
            network = keras_hub.models.ResNetBackbone(
                input_conv_filters=[64],
                input_conv_kernel_sizes=[7],
                stackwise_num_filters=[64, 128, 256, 512],
                stackwise_num_blocks=RESNET_BLOCKS[self.name],
                stackwise_num_strides=[1, 2, 2, 2],
                block_type="basic_block",
                image_shape=shape,
            )
        scale = [1 / (255 * deviation) for deviation in IMAGENET_DEVIATION]
        pairs = zip(IMAGENET_MEAN, IMAGENET_DEVIATION, strict=True)
        return network, _rescaling(scale, [-mean / deviation for mean, deviation in pairs])


@dataclass(frozen=True)
class _Preset:
    """A preset of keras-hub; its description is downloaded, or read from a folder."""

    name: str

    torch_names = False
    takes_folder = True

    def build(self, weights: str, shape: tuple) -> tuple[keras.Model, Callable]:
        import keras_hub

        network = _from_preset(self.name, weights, shape)
        if self.name not in type(network).presets:
            raise InputError(
                f"{weights} holds a {type(network).__name__}, which {self.name} is not: "
                "give the folder of that preset"
            )
        place = weights if Path(weights).expanduser().is_dir() else self.name
        converter = _asked(keras_hub.layers.ImageConverter.from_preset, self.name, place)
        return network, _rescaling(converter.scale, converter.offset)


def _from_preset(preset: str, weights: str, shape: tuple) -> keras.Model:
    """A network of keras-hub with the weights of its preset, or with random ones."""
    import keras_hub

    folder = Path(weights).expanduser()
    given = folder.is_dir() and weights not in ("imagenet", "none")
    return _asked(
        keras_hub.models.Backbone.from_preset,
        preset,
        str(folder) if given else preset,
        load_weights=given or weights == "imagenet",
        image_shape=shape,
    )


def _asked(ask: Callable, preset: str, place: str, **keywords):
    """What keras-hub makes of a preset; its failures as one line."""
    import keras_hub

    try:
        return ask(place, **keywords)
    except OSError as error:
        handle = keras_hub.models.Backbone.presets[preset]["kaggle_handle"]
        raise InputError(
            f"the preset {preset} of keras-hub cannot be read from {place} "
            f"({_one_line(error, 80)}): without a network, fetch its files from "
            f"https://www.kaggle.com/models/{handle.removeprefix('kaggle://')} and give --weights "
            + ("its model.weights.h5" if preset in RESNET_PRESETS.values() else "their folder")
        ) from error
    except (ValueError, TypeError, KeyError) as error:
        size = f" with {_size(keywords['image_shape'])} pixels" if keywords else ""
        raise InputError(
            f"keras-hub cannot build {preset}{size} from {place}: {_one_line(error)}"
        ) from error


def _rescaling(scale, offset) -> Callable:
    """Pixels times `scale` plus `offset`; numbers, or one number per channel."""
    scale, offset = (
        default if value is None else keras.tree.map_structure(float, value)
        for value, default in ((scale, 1.0), (offset, 0.0))
    )
    return keras.layers.Rescaling(scale, offset, dtype="float32")


def _find(name: str) -> _Application | _ResNet | _Preset:
    key = _key(name)
    found = _application(name, key)
    if found:
        return found
    if key in RESNET_BLOCKS:
        return _ResNet(key)
    presets = _presets()
    for ending in ("", "imagenet"):
        if key + ending in presets:
            return _Preset(presets[key + ending])
    known = {other: function.__name__ for other, function in _applications().items()}
    known |= {other: other for other in RESNET_BLOCKS} | presets
    close = [known[other] for other in difflib.get_close_matches(key, known, n=4)]
    if close:
        raise InputError(f"no backbone is called {name}: did you mean {', '.join(close)}?")
    raise InputError(
        f"no backbone is called {name}: give resnet18, resnet34, a model of keras.applications "
        "such as MobileNetV2, or an image preset of keras-hub"
    )


def _application(name: str, key: str) -> _Application | None:
    functions = _applications()
    if key in functions:
        return _Application(functions[key])
    for known, function in functions.items():
        digits = key.removeprefix(known)
        takes_width = "alpha" in inspect.signature(function).parameters
        if key.startswith(known) and takes_width and re.fullmatch(r"\d{1,3}", digits):
            alpha = float(f"{digits[0]}.{digits[1:]}0")
            if not 0 < alpha <= 2:
                raise InputError(
                    f"{name} would be {alpha:g} times as wide as {function.__name__}: write the "
                    "width multiplier as 035 for 0.35, 100 for 1.0"
                )
            return _Application(function, alpha)
    return None


def _applications() -> dict[str, Callable]:
    return {
        _key(name): function
        for name, function in vars(keras.applications).items()
        if inspect.isfunction(function)
    }


def _presets() -> dict[str, str]:
    import keras_hub  # only here: the import takes seconds

    return {_key(preset): preset for preset in keras_hub.models.ImageClassifier.presets}


def _key(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


def _existing(weights: str, source) -> Path:
    """The path of a weights file that can be tried."""
    path = Path(weights).expanduser()
    if path.is_dir():
        if source.takes_folder:
            return path
        raise InputError(f"{path} is a folder: give a weights file in it by --weights")
    if not path.is_file():
        raise InputError(f"no weights file {path}: give imagenet, none, or the path of a file")
    if path.suffix in CODE_ENDINGS:
        raise InputError(how_to_convert(path))
    if path.suffix == ".keras":
        raise InputError(
            f"{path} is a whole model: write the weights of its backbone with "
            "network.save_weights('NAME.weights.h5') and give that file"
        )
    if path.suffix == ".safetensors" and not source.torch_names:
        raise InputError(
            f"{path}: PyTorch weights are read for {' and '.join(RESNET_BLOCKS)} only; "
            "give Keras weights (.weights.h5 or .h5)"
        )
    if path.suffix not in (".h5", ".safetensors"):
        raise InputError(f"{path}: weights are read from .weights.h5, .h5 and .safetensors only")
    return path


def _load_file(network: keras.Model, path: Path, name: str) -> None:
    with path.open("rb") as file:
        beginning = file.read(64)
    if beginning.lstrip().startswith(b"<"):
        raise InputError(f"{path} is a web page, not weights: download the file itself")
    if path.suffix == ".safetensors":
        return load_torch_weights(network, path)
    if not beginning.startswith(b"\x89HDF"):
        raise InputError(f"{path} is no HDF5 file: download it again")
    try:
        with warnings.catch_warnings():
            # keras warns of containers that hold no weights; a weight that is missing is an error
            warnings.simplefilter("ignore")
            network.load_weights(str(path))
    except OSError as error:
        raise InputError(
            f"{path} is damaged ({_one_line(error, 100)}): download it again"
        ) from error
    except Exception as error:  # keras tells a foreign file by several exceptions
        raise InputError(
            f"{path} is for another network than {name}, or holds its top too: give the "
            f"weights of that very backbone without its top ({_one_line(error)})"
        ) from error


def _not_loaded(name: str, error: Exception) -> InputError:
    """The file that keras.applications could not get or read, and where it looks for it."""
    for frame, _ in traceback.walk_tb(error.__traceback__):
        # The file's name in the cache is not always that in the address.
        found = frame.f_locals
        if frame.f_code.co_name == "get_file" and "download_target" in found:
            return InputError(
                f"the weights of {name} cannot be downloaded from {found['origin']}: fetch them "
                f"elsewhere, and place them as {found['download_target']} or give --weights PATH"
            )
        if "weights_path" in found:
            return InputError(
                f"{found['weights_path']} does not hold the weights of {name} "
                f"({_one_line(error, 100)}): delete it and try again, or give --weights PATH"
            )
    return InputError(f"the weights of {name} cannot be loaded: {_one_line(error)}")


def _size(shape: tuple) -> str:
    return f"{shape[0]}x{shape[1]}"


def _one_line(error: Exception, length: int = 200) -> str:
    return " ".join(str(error).split())[:length]
