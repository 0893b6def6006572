"""Pretrained backbones: names, preprocessing, weights files, groups of layers."""

import zipfile

import h5py
import keras
import numpy as np
import pytest
from keras.applications import imagenet_utils
from PIL import Image
from safetensors.numpy import load_file, save_file

from datasets.errors import InputError
from models.backbones import build_backbone, layers_of, unfreezable

PLANES = (64, 128, 256, 512)
MEAN = np.array([0.485, 0.456, 0.406], np.float32)
DEVIATION = np.array([0.229, 0.224, 0.225], np.float32)


@pytest.fixture(scope="module")
def pixels():
    return np.random.default_rng(0).integers(0, 256, (2, 64, 64, 3)).astype(np.uint8)


@pytest.fixture(scope="module")
def tensors():
    """Random weights of torchvision's resnet18, under its names."""
    rng = np.random.default_rng(1)
    made = {"fc.weight": np.zeros((1000, 512), np.float32), "fc.bias": np.zeros(1000, np.float32)}

    def convolve(name, norm, into, out, size):
        deviation = (2 / (into * size * size)) ** 0.5
        made[f"{name}.weight"] = rng.normal(0, deviation, (out, into, size, size))
        for kind in ("weight", "running_var"):
            made[f"{norm}.{kind}"] = rng.uniform(0.5, 1.5, out)
        for kind in ("bias", "running_mean"):
            made[f"{norm}.{kind}"] = rng.normal(0, 0.2, out)
        made[f"{norm}.num_batches_tracked"] = np.array(7)

    convolve("conv1", "bn1", 3, 64, 7)
    before = 64
    for stage, planes in enumerate(PLANES, 1):
        for block in range(2):
            at = f"layer{stage}.{block}"
            convolve(f"{at}.conv1", f"{at}.bn1", before, planes, 3)
            convolve(f"{at}.conv2", f"{at}.bn2", planes, planes, 3)
            if before != planes:
                convolve(f"{at}.downsample.0", f"{at}.downsample.1", before, planes, 1)
            before = planes
    return {
        name: value.astype(np.float32 if value.ndim else np.int64) for name, value in made.items()
    }


@pytest.fixture(scope="module")
def torch_file(tensors, tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "resnet18.safetensors"
    save_file(tensors, path)
    return path


@pytest.fixture(scope="module")
def keras_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "mobilenet.weights.h5"
    build_backbone("mobilenet_v2_035", "none", 64, 64).network.save_weights(path)
    return path


def outputs(network, pixels):
    return np.asarray(network(np.asarray(pixels), training=False))


def refusal(name, weights, size=64):
    """The one line with which a backbone is refused."""
    with pytest.raises(InputError) as caught:
        build_backbone(name, str(weights), size, size)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("name", "function", "options"),
    [
        ("mobilenet_v2", "MobileNetV2", {}),
        ("mobilenet_v2_035", "MobileNetV2", {"alpha": 0.35}),
        ("MobileNetV2_1.4", "MobileNetV2", {"alpha": 1.4}),
        ("mobilenet-050", "MobileNet", {"alpha": 0.5}),
        ("mobilenet_v3_small_075", "MobileNetV3Small", {"alpha": 0.75}),
        ("efficientnet_v2_b0", "EfficientNetV2B0", {}),
        ("vgg_16", "VGG16", {}),
        ("ResNet50", "ResNet50", {}),
        ("resnet50_v2", "ResNet50V2", {}),
    ],
)
def test_a_name_finds_its_network(name, function, options, monkeypatch):
    calls = []

    def build(alpha=1.0, **keywords):
        calls.append(keywords | ({"alpha": alpha} if alpha != 1.0 else {}))
        inputs = keras.Input(keywords["input_shape"])
        return keras.Model(inputs, keras.layers.Conv2D(1, 1)(inputs))

    build.__name__ = function
    build.__module__ = getattr(keras.applications, function).__module__
    monkeypatch.setattr(keras.applications, function, build)
    build_backbone(name, "none", 64, 96)
    assert calls == [{"include_top": False, "weights": None, "input_shape": (64, 96, 3)} | options]


def test_an_unknown_name_is_one_line_with_the_nearest():
    assert "MobileNetV2" in refusal("mobilenet_v4", "none")
    assert "resnet18" in refusal("resnet19", "none")
    assert "densenet_121_imagenet" not in refusal("bert_tiny_en_uncased", "none")
    assert "3.5 times as wide" in refusal("mobilenet_v2_35", "none")
    assert "at least 71x71" in refusal("xception", "none")


@pytest.mark.parametrize(
    ("name", "mode"),
    [
        ("mobilenet_v2_035", "tf"),
        ("vgg16", "caffe"),
        ("densenet121", "torch"),
        ("convnext_tiny", None),
        ("resnet18", "torch"),
    ],
)
def test_preprocessing_is_the_librarys_and_outlives_saving(name, mode, pixels, tmp_path):
    backbone = build_backbone(name, "none", 64, 64)
    raw = keras.Input((64, 64, 3), dtype="uint8")
    seen = backbone.preprocess(raw)
    assert seen.shape == backbone.network.input.shape
    keras.Model(raw, seen).save(tmp_path / "pixels.keras")
    expected = pixels.astype(np.float32)
    if mode:
        expected = imagenet_utils.preprocess_input(expected.copy(), mode=mode)
    loaded = keras.saving.load_model(tmp_path / "pixels.keras")
    np.testing.assert_allclose(outputs(loaded, pixels), expected, atol=1e-4)


@pytest.mark.parametrize("name", ["mobilenet_v3_small", "resnet18"])
def test_a_network_loads_with_keras_alone(name, pixels, tmp_path):
    backbone = build_backbone(name, "none", 64, 64)
    raw = keras.Input((64, 64, 3), dtype="uint8")
    model = keras.Model(raw, backbone.network(backbone.preprocess(raw)))
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(outputs(loaded, pixels), outputs(model, pixels), atol=1e-5)
    with zipfile.ZipFile(tmp_path / "model.keras") as archive:
        assert b"keras_hub" not in archive.read("config.json")


def convolution(x, tensors, name, stride, padding):
    """(n, h, w, in) -> (n, h', w', out), zero-padded."""
    kernel = tensors[f"{name}.weight"]
    x = np.pad(x, ((0, 0), (padding, padding), (padding, padding), (0, 0)))
    windows = np.lib.stride_tricks.sliding_window_view(x, kernel.shape[2:], axis=(1, 2))
    return np.tensordot(windows[:, ::stride, ::stride], kernel, ((3, 4, 5), (1, 2, 3)))


def normalised(x, tensors, name):
    weight, bias, mean, variance = (
        tensors[f"{name}.{kind}"] for kind in ("weight", "bias", "running_mean", "running_var")
    )
    return (x - mean) / np.sqrt(variance + 1e-5) * weight + bias


def numpy_resnet18(x, tensors):
    """torchvision's resnet18 up to its last feature map, (n, h, w, 3) -> (n, h', w', 512)."""
    x = np.maximum(normalised(convolution(x, tensors, "conv1", 2, 3), tensors, "bn1"), 0)
    x = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)), constant_values=-np.inf)
    windows = np.lib.stride_tricks.sliding_window_view(x, (3, 3), axis=(1, 2))
    x = windows[:, ::2, ::2].max(axis=(4, 5))
    for stage in range(1, 5):
        for block in range(2):
            at, stride = f"layer{stage}.{block}", 2 if stage > 1 and block == 0 else 1
            y = convolution(x, tensors, f"{at}.conv1", stride, 1)
            y = np.maximum(normalised(y, tensors, f"{at}.bn1"), 0)
            y = normalised(convolution(y, tensors, f"{at}.conv2", 1, 1), tensors, f"{at}.bn2")
            if f"{at}.downsample.0.weight" in tensors:
                x = convolution(x, tensors, f"{at}.downsample.0", stride, 0)
                x = normalised(x, tensors, f"{at}.downsample.1")
            x = np.maximum(x + y, 0)
    return x


def difference(ours, theirs):
    assert ours.shape == theirs.shape
    return np.abs(ours - theirs).max() / np.abs(theirs).max()


def test_resnet18_from_torch_weights_is_torchvisions(torch_file, tensors, pixels):
    backbone = build_backbone("resnet18", str(torch_file), 64, 64)
    ours = outputs(backbone.network, backbone.preprocess(pixels))
    theirs = numpy_resnet18((pixels / np.float32(255) - MEAN) / DEVIATION, tensors)
    assert difference(ours, theirs) < 1e-4
    assert backbone.weights == str(torch_file)


@pytest.mark.slow
def test_resnet18_agrees_with_torch(torch_file):
    torch = pytest.importorskip("torch")
    nn = torch.nn

    class Block(nn.Module):
        def __init__(self, before, planes, stride):
            super().__init__()
            self.conv1 = nn.Conv2d(before, planes, 3, stride, 1, bias=False)
            self.bn1 = nn.BatchNorm2d(planes)
            self.conv2 = nn.Conv2d(planes, planes, 3, 1, 1, bias=False)
            self.bn2 = nn.BatchNorm2d(planes)
            self.downsample = nn.Identity()
            if before != planes:
                shortcut = nn.Conv2d(before, planes, 1, stride, bias=False)
                self.downsample = nn.Sequential(shortcut, nn.BatchNorm2d(planes))

        def forward(self, x):
            y = torch.relu(self.bn1(self.conv1(x)))
            return torch.relu(self.bn2(self.conv2(y)) + self.downsample(x))

    class ResNet18(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False)
            self.bn1 = nn.BatchNorm2d(64)
            self.maxpool = nn.MaxPool2d(3, 2, 1)
            for stage, (before, planes) in enumerate(zip((64, *PLANES), PLANES, strict=False), 1):
                first = Block(before, planes, 1 if stage == 1 else 2)
                setattr(self, f"layer{stage}", nn.Sequential(first, Block(planes, planes, 1)))
            self.fc = nn.Linear(512, 1000)

        def forward(self, x):
            x = self.maxpool(torch.relu(self.bn1(self.conv1(x))))
            return self.layer4(self.layer3(self.layer2(self.layer1(x))))

    reference = ResNet18().eval()
    reference.load_state_dict({k: torch.tensor(v) for k, v in load_file(torch_file).items()})
    pixels = np.random.default_rng(2).integers(0, 256, (2, 224, 224, 3))
    seen = ((pixels / 255 - MEAN) / DEVIATION).astype(np.float32)
    with torch.no_grad():
        theirs = reference(torch.tensor(seen.transpose(0, 3, 1, 2))).numpy().transpose(0, 2, 3, 1)
    backbone = build_backbone("resnet18", str(torch_file), 224, 224)
    ours = outputs(backbone.network, backbone.preprocess(pixels))
    assert difference(ours, theirs) < 1e-4


def test_torch_weights_of_another_network_are_refused(tensors, torch_file, tmp_path):
    path = tmp_path / "other.safetensors"

    def refused(changed):
        save_file(changed, path)
        line = refusal("resnet18", path)
        assert "another network" in line and str(path) in line
        return line

    kernel = "layer2.0.downsample.0.weight"
    assert kernel in refused({k: v for k, v in tensors.items() if k != kernel})
    assert "layer1.2.conv1.weight" in refused(tensors | {"layer1.2.conv1.weight": MEAN})
    assert "(3,), not (128, 64, 1, 1)" in refused(tensors | {kernel: MEAN})
    assert "layer1.2.conv1.weight" in refusal("resnet34", torch_file)
    assert "resnet18 and resnet34 only" in refusal("mobilenet_v2_035", torch_file)


def test_a_weights_file_that_cannot_be_read_is_one_line(tmp_path, keras_file, torch_file):
    name = "mobilenet_v2_035"
    assert "no weights file" in refusal(name, tmp_path / "absent.h5")
    assert "is a folder" in refusal(name, tmp_path)
    for ending, network in ((".h5", name), (".safetensors", "resnet18")):
        page = tmp_path / f"page{ending}"
        page.write_text("<!DOCTYPE html><html>Sign in</html>")
        assert "web page" in refusal(network, page)
        page.write_text("Not found")
        assert "again" in refusal(network, page)
        page.write_bytes(b"")
        assert "again" in refusal(network, page)
    for source, network in ((keras_file, name), (torch_file, "resnet18")):
        broken = tmp_path / f"broken{source.suffix}"
        broken.write_bytes(source.read_bytes()[:100_000])
        assert "again" in refusal(network, broken)
    for ending in (".pth", ".pt", ".bin"):
        (tmp_path / f"model{ending}").write_bytes(b"\x80\x04")
        assert "weights_only=True" in refusal("resnet18", tmp_path / f"model{ending}")
    for ending, words in ((".keras", "save_weights"), (".npz", "read from .weights.h5")):
        (tmp_path / f"model{ending}").write_bytes(b"PK")
        assert words in refusal(name, tmp_path / f"model{ending}")


def test_keras_weights_come_back_and_those_of_another_network_do_not(keras_file, tmp_path):
    name = "mobilenet_v2_035"
    network = build_backbone(name, str(keras_file), 64, 64).network
    legacy = tmp_path / "legacy.h5"
    network.save_weights(tmp_path / "again.weights.h5")
    keras.Model(network.input, network.output).save(legacy)
    with h5py.File(keras_file) as ours, h5py.File(tmp_path / "again.weights.h5") as again:
        names = []
        ours.visititems(lambda at, one: names.append(at) if hasattr(one, "shape") else None)
        assert len([at for at in names if at.startswith("layers/")]) == len(network.weights)
        assert all(np.array_equal(ours[at], again[at]) for at in names)
    from_legacy = build_backbone(name, str(legacy), 96, 96).network
    for ours, theirs in zip(from_legacy.weights, network.weights, strict=True):
        np.testing.assert_array_equal(ours, theirs)

    for other in ("mobilenet_v2_050", "resnet18"):
        assert "another network" in refusal(other, keras_file)
        assert "another network" in refusal(other, legacy)


def test_without_a_network_the_file_to_place_is_named(tmp_path, monkeypatch):
    from keras.src.utils import file_utils

    def fail(*arguments, **keywords):
        raise OSError("no route to host")

    monkeypatch.setattr(file_utils.config, "keras_home", lambda: str(tmp_path))
    monkeypatch.setattr(file_utils, "urlretrieve", fail)
    line = refusal("mobilenet_v2_035", "imagenet", 96)
    file = tmp_path / "models" / "mobilenet_v2_weights_tf_dim_ordering_tf_kernels_0.35_96_no_top.h5"
    assert str(file) in line and "--weights PATH" in line
    file.write_text("<html>")
    assert str(file) in refusal("mobilenet_v2_035", "imagenet", 96)

    build_backbone("mobilenet_v2_035", "none", 96, 96).network.save(file)
    assert build_backbone("mobilenet_v2_035", "imagenet", 96, 96).weights == "imagenet"

    monkeypatch.setattr("kagglehub.model_download", fail)
    assert "model.weights.h5" in refusal("resnet18", "imagenet")
    assert "kaggle.com/models/keras/resnet_vd" in refusal("resnet_vd_18", "none")
    assert "by --weights PATH" in refusal("resnet34", "imagenet")


def test_a_preset_of_keras_hub_from_its_folder(tmp_path, pixels):
    import keras_hub

    network = keras_hub.models.ResNetBackbone(
        input_conv_filters=[8, 16],
        input_conv_kernel_sizes=[3, 3],
        stackwise_num_filters=[64, 64],
        stackwise_num_blocks=[1, 1],
        stackwise_num_strides=[1, 2],
        block_type="basic_block_vd",
    )
    network.save_to_preset(str(tmp_path))
    converter = keras_hub.layers.ResNetImageConverter(scale=[0.1, 0.2, 0.3], offset=[1, 2, 3])
    converter.save_to_preset(str(tmp_path))

    backbone = build_backbone("resnet_vd_18", str(tmp_path), 64, 64)
    seen = np.asarray(backbone.preprocess(pixels))
    np.testing.assert_allclose(seen, pixels * [0.1, 0.2, 0.3] + [1, 2, 3], rtol=1e-5)
    np.testing.assert_allclose(outputs(backbone.network, seen), outputs(network, seen), atol=1e-5)
    assert "holds a ResNetBackbone" in refusal("vgg_11", tmp_path)


@pytest.mark.parametrize("name", ["mobilenet_v2_035", "resnet18"])
def test_averages_of_a_batch_normalisation_follow_within_a_small_data_set(name):
    network = build_backbone(name, "none", 64, 64).network
    norms = [one for one in network.layers if isinstance(one, keras.layers.BatchNormalization)]
    assert norms and all(norm.momentum <= 0.9 for norm in norms)


def test_groups_of_layers_are_whole_words_and_numbers():
    backbone = build_backbone("mobilenet_v2_035", "none", 64, 64)
    groups = unfreezable(backbone)
    assert groups[:2] == ["Conv1", "bn_Conv1"] and groups[-2:] == ["block_16", "Conv_1"]
    of = {group: {layer.name for layer in layers_of(backbone.network, [group])} for group in groups}
    assert {one for names in of.values() for one in names} == {
        layer.name for layer in backbone.network.layers if layer.weights
    }
    assert len(of["block_1"]) == len(of["block_16"]) == 6 and of["Conv_1"] == {
        "Conv_1",
        "Conv_1_bn",
    }
    both = [layer.name for layer in layers_of(backbone.network, ["Conv_1", "block_16_project"])]
    assert both == ["block_16_project", "block_16_project_BN", "Conv_1", "Conv_1_bn"]
    for wrong in ("block_17", "block_1_exp", "out_relu", ""):
        with pytest.raises(InputError, match="choose from Conv1, .*block_16, Conv_1"):
            layers_of(backbone.network, ["Conv_1", wrong])

    residual = build_backbone("resnet18", "none", 64, 64)
    assert unfreezable(residual) == ["conv1", "stack0", "stack1", "stack2", "stack3"]
    assert len(layers_of(residual.network, ["stack3_block1"])) == 4


@pytest.mark.real
def test_real_weights_meet_the_pixels_that_they_were_trained_on(real_data):
    file = real_data / "weights" / "mobilenet_v2_0.35_224_no_top.weights.h5"
    backbone = build_backbone("mobilenet_v2_035", str(file), 224, 224)
    network = backbone.network
    files = sorted((real_data / "clownfish").rglob("*.jpg"))[:300:15]
    pictures = [Image.open(path).convert("RGB").resize((224, 224)) for path in files]
    pixels = np.stack([np.asarray(picture) for picture in pictures])
    norms = [one for one in network.layers if isinstance(one, keras.layers.BatchNormalization)]
    before = keras.Model(network.input, [norm.input for norm in norms])

    def distance(seen):
        """How far the spread before each normalisation is from the one that it has stored."""
        ratios = [
            np.var(value, axis=(0, 1, 2)) / (norm.moving_variance.numpy() + 1e-6) + 1e-6
            for value, norm in zip(before.predict_on_batch(np.asarray(seen)), norms, strict=True)
        ]
        return np.median([np.median(np.abs(np.log(ratio))) for ratio in ratios])

    assert distance(backbone.preprocess(pixels)) < 0.3
    assert distance(pixels) > 0.4 and distance(pixels / 255) > 0.4  # not what it was trained on
    assert "another network" in refusal("mobilenet_v2_050", file, 224)
