"""The published network: its size, its layers, and the same one wider."""

import keras
import numpy as np
import pytest

from models.music.mel_network import BLOCKS, shared_block, task_features, width_like

CLASSES, FACTORS = 16, 40


def network(outputs=CLASSES, names=("genre",), width=1.0, decay=None):
    """One path with an answer for each name."""
    segments = keras.Input((43, 128), name="segments")
    seen = shared_block(segments, width, decay)
    answers = [
        keras.layers.Dense(outputs, name=f"{name}_answer")(task_features(seen, name, width, decay))
        for name in names
    ]
    return keras.Model(segments, answers)


def layers_of(model, kind):
    return [layer for layer in model.layers if isinstance(layer, kind)]


@pytest.fixture(scope="module")
def published():
    return network()


def test_it_has_the_published_number_of_parameters(published):
    trainable = sum(int(np.prod(weight.shape)) for weight in published.trainable_weights)
    assert (published.count_params(), trainable) == (567_280, 566_064)
    assert network(FACTORS).count_params() == 573_448


def test_maps_shrink_as_published(published):
    maps = [layer.output.shape[1:] for layer in layers_of(published, keras.layers.Conv2D)]
    pools = [layer.output.shape[1:3] for layer in layers_of(published, keras.layers.MaxPooling2D)]
    assert pools == [(43, 64), (21, 32), (10, 16), (5, 8), (2, 4)]
    assert [one[:2] for one in maps] == [(43, 128), *pools, (2, 4)]
    assert [one[2] for one in maps] == [16, 32, 64, 64, 128, 256, 256]
    kernels = [layer.kernel_size for layer in layers_of(published, keras.layers.Conv2D)]
    assert kernels == [(5, 5)] + [(3, 3)] * 5 + [(1, 1)]
    assert published.get_layer("genre_dense_elu").output.shape == (None, 256)


def test_what_follows_each_layer_is_as_published(published):
    kinds = {
        keras.layers.Conv2D: "C",
        keras.layers.Dense: "D",
        keras.layers.BatchNormalization: "n",
        keras.layers.ELU: "e",
        keras.layers.MaxPooling2D: "p",
        keras.layers.Dropout: "o",
        keras.layers.GlobalAveragePooling2D: "A",
    }
    order = "".join(
        letter
        for layer in published.layers
        for kind, letter in kinds.items()
        if isinstance(layer, kind)
    )
    assert order == "Cepo Cnepo Cep Cnepo Cep Ce Ce Ano Dne D".replace(" ", "")
    rates = [layer.rate for layer in layers_of(published, keras.layers.Dropout)]
    assert rates == [0.1, 0.1, 0.1, 0.5]
    # Where a normalisation follows, a bias would be taken away again.
    without = [layer.name for layer in published.layers if not getattr(layer, "use_bias", True)]
    assert without == ["genre_2", "genre_4", "genre_dense"]


def test_paths_have_the_first_block_in_common_and_nothing_else():
    alone, both = network(), network(names=("genre", "mfcc"))
    shared = {"shared/kernel", "shared/bias"}
    paths = {weight.path for weight in both.weights}
    assert {path for path in paths if not path.startswith(("genre_", "mfcc_"))} == shared
    assert {path.replace("mfcc_", "genre_") for path in paths} == {
        weight.path for weight in alone.weights
    }
    common = sum(int(np.prod(w.shape)) for w in both.get_layer("shared").weights)
    assert both.count_params() == 2 * alone.count_params() - common


def test_kernels_alone_decay():
    model = network(decay=1e-3)
    kernels = [w for w in model.trainable_weights if w.path.endswith("kernel")]
    expected = sum(1e-3 * float((w.numpy() ** 2).sum()) for w in kernels[:-1])  # not the answer
    assert sum(map(float, model.losses)) == pytest.approx(expected, rel=1e-5)
    assert len(model.losses) == len(BLOCKS) + 1
    assert network().losses == []


@pytest.mark.parametrize("tasks", [2, 3, 4, 5])
def test_one_wide_network_has_the_parameters_of_several(tasks, published):
    width = width_like(tasks, CLASSES, FACTORS)
    several = published.count_params() + (tasks - 1) * 573_448
    assert abs(network(width=width).count_params() / several - 1) < 0.02
    assert 1 < width < tasks


def test_a_long_segment_has_the_same_weights():
    segments = keras.Input((129, 128))
    features = task_features(shared_block(segments, 1.0, None), "genre", 1.0, None)
    model = keras.Model(segments, keras.layers.Dense(CLASSES)(features))
    assert model.count_params() == 567_280
