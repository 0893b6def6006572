"""The layers that convert compute what those compute that a network was trained with."""

import keras
import numpy as np
import pytest

from datasets.images import Fit, resize
from models.clownfish.four_views import FourViews
from models.fixed_views import VIEWS, FixedViews
from models.layers import FitImage
from models.music.front_end import MelSpectrogram
from models.portable import (
    PortableFit,
    PortableFixedViews,
    PortableFourViews,
    PortableSpectrogram,
    PortableViews,
    load_portable,
    resize_by_products,
)
from models.species.multi_view import WholeAndCentre
from tests.test_front_end import sound

RNG = np.random.default_rng(0)
ROUNDING = 0.01  # of 255 levels


def pictures(*shape):
    return RNG.integers(0, 256, shape, np.uint8)


@pytest.mark.parametrize("shape", [(48, 48), (61, 50), (9, 400), (1, 1), (30, 31)])
def test_products_resize_as_the_zoo_does(shape):
    image = pictures(2, *shape, 3).astype(np.float32)
    for height, width in ((48, 48), (32, 80)):
        found = resize_by_products(image, height, width)
        np.testing.assert_allclose(found, resize(image, height, width), atol=ROUNDING)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("how", [{}, {"crop": 0.8}, {"pad": True}])
def test_a_picture_of_unknown_size_and_colour_is_fitted_alike(channels, how):
    fit = Fit(24, 20, channels, **how)
    raw = keras.Input((None, None, None), dtype="uint8")
    network = keras.Model(raw, PortableFit(24, 20, channels, **how)(raw))
    for shape in ((61, 50, 3), (50, 61, 1), (10, 12, 3)):
        image = pictures(2, *shape)
        found = network(image)
        assert found.shape == (2, 24, 20, channels)
        np.testing.assert_allclose(found, FitImage(**vars(fit))(image), atol=ROUNDING)


def test_whole_and_centre_are_alike():
    image = pictures(2, 42, 42, 3).astype(np.float32)
    found, expected = PortableViews()(image), WholeAndCentre()(image)
    np.testing.assert_allclose(found[0], expected[0], atol=ROUNDING)
    np.testing.assert_array_equal(found[1], expected[1])


@pytest.mark.parametrize("shape", [(32, 32), (33, 20)])
def test_fixed_views_are_alike(shape):
    image = pictures(2, *shape, 3).astype(np.float32)
    found, expected = PortableFixedViews()(image), FixedViews()(image)
    assert found.shape == (2 * len(VIEWS), *shape, 3)
    np.testing.assert_allclose(found, expected, atol=0.02)


@pytest.mark.parametrize("shape", [(32, 32), (33, 20)])
def test_four_views_are_alike(shape):
    image = pictures(2, *shape, 3).astype(np.float32)
    found, expected = PortableFourViews()(image), FourViews()(image)
    assert found.shape == (8, *shape, 3)
    np.testing.assert_allclose(found, expected, atol=ROUNDING)


@pytest.mark.parametrize("rate", [8_000, 22_050, 44_100])
def test_spectrograms_are_alike(rate):
    waveforms = np.stack([sound(rate, 1.3, seed) for seed in range(2)])
    waveforms[1, rate // 2 :] = np.nan
    found, expected = PortableSpectrogram(rate)(waveforms), MelSpectrogram(rate)(waveforms)
    assert found.shape == expected.shape
    found, expected = np.asarray(found), np.asarray(expected)
    assert np.array_equal(np.isnan(found), np.isnan(expected))
    audible = expected > np.nanmax(expected) - 60
    np.testing.assert_allclose(found[audible], expected[audible], rtol=0, atol=1e-3)
    np.testing.assert_allclose(found, expected, rtol=0, atol=0.1)


def test_a_saved_network_gets_them_in_place_of_its_own(tmp_path):
    image, waveform = keras.Input((None, None, None), dtype="uint8"), keras.Input((None,))
    views = FixedViews()(WholeAndCentre()(FitImage(24, 24, 3)(image))[0])
    network = keras.Model(
        [image, waveform], [keras.layers.Conv2D(2, 3)(views), MelSpectrogram(8_000)(waveform)]
    )
    network.save(tmp_path / "model.keras")
    found = load_portable(tmp_path / "model.keras")
    own = (PortableFit, PortableViews, PortableFixedViews, PortableSpectrogram)
    assert {type(layer) for layer in found.layers} >= set(own)
    again = keras.models.load_model(tmp_path / "model.keras")
    assert not {type(layer) for layer in again.layers} & set(own)
    raw = [pictures(2, 61, 50, 3), sound(8_000, 0.5)[None]]
    for one, other in zip(found(raw), network(raw), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-3, atol=0.1)
