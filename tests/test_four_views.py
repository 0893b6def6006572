"""Answers from four views of a picture (test-time augmentation)."""

import keras
import numpy as np
import pytest
from keras import layers

from models.clownfish.four_views import FourViews, MeanOfViews, by_four_views
from models.clownfish.net96 import Net96
from models.clownfish.transfer_cnn import TransferCNN
from models.explanation.anatomy import Anatomy
from models.explanation.pictures import picture_maps

RNG = np.random.default_rng(0)
SIDE = 20  # of which the central 14 are the centre


def pictures(count=2):
    return RNG.uniform(0, 255, (count, SIDE, SIDE, 3)).astype(np.float32)


def small_network():
    keras.utils.set_random_seed(0)
    image = keras.Input((SIDE, SIDE, 3), name="image")
    pixels = layers.Rescaling(1 / 255)(image)  # or the softmax is 0 to within rounding
    maps = layers.Conv2D(4, 3, activation="relu", name="maps")(pixels)
    seen = layers.GlobalAveragePooling2D()(maps)
    answer = layers.Dense(3, activation="softmax", name="probabilities")(seen)
    return keras.Model({"image": image}, {"embedding": seen, "probabilities": answer})


def test_the_views_are_the_picture_and_its_enlarged_centre_and_their_mirror_images():
    image = pictures()
    views = np.asarray(FourViews()(image)).reshape(2, 4, SIDE, SIDE, 3)
    assert np.array_equal(views[:, 0], image)
    assert np.array_equal(views[:, 1::2], views[:, ::2, :, ::-1])
    flat = np.zeros((1, SIDE, SIDE, 3), np.float32)
    flat[:, 3:-3, 3:-3] = 1
    np.testing.assert_allclose(FourViews()(flat)[2], 1, rtol=1e-6)
    flat[:, 3:-3, 3:-3], flat[:, 8:12, 8:12] = 0, 1
    whole, _, centre, _ = np.asarray(FourViews()(flat))[..., 0].sum((1, 2))
    assert centre / whole == pytest.approx((SIDE / 14) ** 2, rel=0.06)


def test_an_answer_is_the_mean_of_those_to_the_views():
    network, image = small_network(), pictures(3)
    found = by_four_views(network)({"image": image})
    alone = network({"image": np.asarray(FourViews()(image))})
    assert set(found) == {"embedding", "probabilities"}
    for name, value in found.items():
        mean = np.asarray(alone[name]).reshape(3, 4, -1).mean(axis=1)
        np.testing.assert_allclose(value, mean, rtol=1e-5)
    mirrored = by_four_views(network)({"image": image[:, :, ::-1]})
    np.testing.assert_allclose(found["probabilities"], mirrored["probabilities"], rtol=1e-5)
    assert MeanOfViews().compute_output_shape((None, 7)) == (None, 7)


def test_it_is_saved_with_the_network(tmp_path):
    network, image = by_four_views(small_network()), pictures()
    network.save(tmp_path / "it.keras")
    again = keras.models.load_model(tmp_path / "it.keras")
    found, expected = (one.predict({"image": image}, verbose=0) for one in (again, network))
    np.testing.assert_allclose(found["probabilities"], expected["probabilities"], rtol=1e-5)


def test_maps_of_the_views_are_put_back_on_the_picture():
    maps = np.zeros((4, 10, 10))
    maps[0, 2, 1] = maps[1, 2, 8] = 1  # one place and, mirrored, the same
    maps[2:] = 2
    found = FourViews().back_to_picture(maps)
    assert found[2, 1] == 1  # outside of the centre
    assert found[0].sum() == 0
    np.testing.assert_allclose(found[2:8, 2:8], 1, rtol=1e-6)


def test_an_explanation_looks_through_the_views():
    network, image = by_four_views(small_network()), pictures(1)
    (there,) = picture_maps(network, Anatomy(), {"image": image}, 1)
    (mirrored,) = picture_maps(network, Anatomy(), {"image": image[:, :, ::-1]}, 1)
    assert there.heat.shape == (18, 18) and there.heat.max() > 0
    np.testing.assert_allclose(there.heat, mirrored.heat[:, ::-1], atol=1e-4 * there.heat.max())


@pytest.mark.parametrize("model_class", [Net96, TransferCNN])
def test_what_is_recommended_answers_by_four_views_and_the_papers_by_one(model_class):
    network = small_network()
    for preset, layers_ in (("paper", 0), ("recommended", 1)):
        model = model_class(model_class.Options(preset=preset))
        found = model.finished(network).layers
        assert sum(isinstance(layer, FourViews) for layer in found) == layers_
    model = model_class(model_class.Options(four_views=False))
    assert model.finished(network) is network
