"""Networks of several views, cut from pretrained ones (paper 001, section 3.1)."""

import keras
import numpy as np
import pytest

from datasets.errors import InputError
from models.backbones import build_backbone
from models.species.multi_view import WholeAndCentre, cut, known_cuts, multi_view

SIDE = 64


@pytest.fixture(scope="module")
def pictures():
    return np.random.default_rng(0).uniform(-1, 1, (3, SIDE, SIDE, 3)).astype(np.float32)


@pytest.fixture(scope="module")
def backbone(pictures):
    """Random weights, with averages by which the signal does not fade on its way."""
    network = build_backbone("mobilenet_v2_035", "none", SIDE, SIDE).network
    for layer in network.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = 0.0
    network(pictures, training=True)
    assert np.std(network(pictures)) > 0.1
    return network


def test_parts_make_up_the_network(backbone, pictures):
    stem, branch, trunk = cut(backbone, *known_cuts(backbone.name))
    assert stem.layers[-1].name == "block_3_project_BN"
    assert branch.layers[-1].name == "block_12_add"
    parts = trunk(branch(stem(pictures)))
    np.testing.assert_allclose(parts, backbone(pictures), rtol=1e-4, atol=1e-5)
    kept = [weight.path for part in (stem, branch, trunk) for weight in part.weights]
    assert sorted(kept) == sorted(weight.path for weight in backbone.weights)


def test_one_view_is_the_network_itself(backbone, pictures):
    found = multi_view(backbone, 1, *known_cuts(backbone.name))([pictures])["feature_map"]
    np.testing.assert_allclose(found, backbone(pictures), rtol=1e-4, atol=1e-5)


def test_equal_views_in_equal_branches_give_what_one_gives(backbone, pictures):
    network = multi_view(backbone, 3, *known_cuts(backbone.name), "pretrained", "mean")
    found = network([pictures] * 3)["feature_map"]
    np.testing.assert_allclose(found, backbone(pictures), rtol=1e-3, atol=1e-4)


def test_a_random_branch_differs_and_the_stem_is_one(backbone, pictures):
    network = multi_view(backbone, 2, *known_cuts(backbone.name))
    whole, other = network.get_layer("whole"), network.get_layer("view_2")
    assert [w.shape for w in whole.weights] == [w.shape for w in other.weights]
    pairs = zip(whole.trainable_weights, other.trainable_weights, strict=True)
    kernels = [pair for pair in pairs if len(pair[0].shape) == 4]
    assert kernels and not any(np.array_equal(a.numpy(), b.numpy()) for a, b in kernels)
    stem, _, trunk = cut(backbone, *known_cuts(backbone.name))
    depth = whole.output.shape[-1]
    merging = 2 * depth * depth + depth
    parts = stem.count_params() + 2 * whole.count_params() + trunk.count_params()
    assert network.count_params() == parts + merging
    blank = network([pictures, np.zeros_like(pictures)])["feature_map"]
    seen = network([pictures, pictures])["feature_map"]
    assert not np.allclose(blank, seen)


def test_every_view_sees_its_own_picture(backbone, pictures):
    network = multi_view(backbone, 2, *known_cuts(backbone.name), "pretrained", "mean")
    swapped = network([pictures[::-1], pictures])["feature_map"]
    same = network([pictures, pictures[::-1]])["feature_map"]
    np.testing.assert_allclose(swapped, same, rtol=1e-3, atol=1e-4)  # equal branches: no order
    alone = network([pictures, pictures])["feature_map"]
    assert not np.allclose(same, alone, atol=1e-3)


def test_it_outlives_saving(backbone, pictures, tmp_path):
    picture = keras.Input((2 * SIDE, 2 * SIDE, 3))
    views = WholeAndCentre()(picture)
    network = multi_view(backbone, 2, *known_cuts(backbone.name), "pretrained")
    model = keras.Model(picture, network(views)["feature_map"])
    large = np.repeat(np.repeat(pictures, 2, 1), 2, 2)
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(again(large), model(large), rtol=1e-4, atol=1e-5)


def test_views_are_the_whole_and_the_untouched_centre():
    rows, columns = np.meshgrid(np.arange(32.0), np.arange(32.0), indexing="ij")
    picture = np.stack([rows, columns], -1)[None].astype(np.float32)
    whole, centre = WholeAndCentre()(picture)
    np.testing.assert_array_equal(centre, picture[:, 8:24, 8:24])
    assert whole.shape == (1, 16, 16, 2)
    inner = np.asarray(whole)[0, 2:-2, 2:-2, 0]
    np.testing.assert_allclose(inner[:, 0], 2 * np.arange(2, 14) + 0.5, atol=1e-3)


def test_views_of_a_picture_of_any_side_are_those_of_its_side():
    picture = np.random.default_rng(0).random((2, 32, 32, 3)).astype(np.float32)
    any_side = keras.Input((None, None, 3))
    views = keras.Model(any_side, WholeAndCentre()(any_side)).predict(picture, verbose=0)
    for found, expected in zip(views, WholeAndCentre()(picture), strict=True):
        np.testing.assert_allclose(found, expected, atol=1e-6)


@pytest.mark.parametrize(
    "cuts, message",
    [
        (("block_40", "block_13"), "cannot be cut before 'block_40'"),
        (("block_13", "block_4"), "--branch-from block_13 must come before --merge-at block_4"),
    ],
)
def test_a_cut_that_is_none_is_one_line(backbone, cuts, message):
    with pytest.raises(InputError, match=message):
        cut(backbone, *cuts)


def test_an_unknown_network_asks_for_cuts():
    with pytest.raises(InputError, match="--branch-from and --merge-at"):
        known_cuts("vgg16")


@pytest.mark.slow
def test_full_size_has_the_published_parts():
    network = build_backbone("inception_resnet_v2", "none", 299, 299).network
    stem, branch, trunk = cut(network, *known_cuts(network.name))
    convolutions = [one for one in stem.layers if isinstance(one, keras.layers.Conv2D)]
    assert [one.filters for one in convolutions] == [32, 32, 64, 80, 192]
    assert stem.output.shape[1:] == (35, 35, 192)
    assert branch.output.shape[1:] == (17, 17, 1088)
    assert trunk.output.shape[1:] == (8, 8, 1536)
    whole = stem.count_params() + branch.count_params() + trunk.count_params()
    assert whole == network.count_params() == 54_336_736
    two = multi_view(network, 2, *known_cuts(network.name))
    merging = (2 * 1088 + 1) * 1088
    assert two.count_params() == whole + branch.count_params() + merging
