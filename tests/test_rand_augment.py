"""RandAugment: what each of its changes does, and how chance chooses among them."""

from functools import partial

import numpy as np
import pytest
import tensorflow as tf

from datasets import rand_augment as module
from datasets.augmentation import PictureAugmentation
from datasets.images import Fit
from datasets.rand_augment import CHANGES, rand_augment
from models import model_class
from models.snails.specimens import augmentation


def picture(channels=3, seed=0):
    rng = np.random.default_rng(seed)
    smooth = np.linspace(20, 200, 24)[:, None, None] + np.zeros((24, 20, channels))
    return tf.constant(np.clip(smooth + rng.normal(0, 10, smooth.shape), 0, 255), tf.float32)


def done(name, strength, image=None):
    image = picture() if image is None else image
    return getattr(module, name)(image, tf.constant(strength)).numpy()


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
@pytest.mark.parametrize("channels", [1, 3])
def test_every_change_keeps_the_size_and_does_nothing_at_strength_0(change, channels):
    image = picture(channels)
    found = change(image, tf.constant(0.0)).numpy()
    assert found.shape == image.shape and found.dtype == np.float32
    always = ("_stretched", "_equalised")  # have no strength
    if change.__name__ not in always:
        tolerance = 1.0 if change.__name__ == "_posterised" else 1e-3  # down to whole numbers
        np.testing.assert_allclose(found, image, atol=tolerance)


@pytest.mark.parametrize("change", CHANGES[1:], ids=lambda change: change.__name__)
def test_every_other_change_changes_a_picture(change):
    image = picture()
    found = change(image, tf.constant(0.9)).numpy()
    assert np.abs(found - image).mean() > 1
    assert np.isfinite(found).all()


def test_a_picture_moves_and_leans_by_a_share_of_its_side():
    dot = np.zeros((21, 21, 1), np.float32)
    dot[5, 10] = 255

    def at(name, strength):
        return np.argwhere(done(name, strength, dot)[..., 0] > 100)

    assert at("_moved_down", 5 / 21 / module.MOVE).tolist() == [[0, 10]]
    assert at("_moved_across", 5 / 21 / module.MOVE).tolist() == [[5, 5]]
    assert at("_turned", 0.0).tolist() == [[5, 10]]
    leant = done("_sheared_across", 1.0, dot)[5, :, 0]  # five rows above the middle: 1.5 columns
    assert leant.argmax() in (11, 12) and leant[10] < 1


def test_colours_go_as_their_names_say():
    image = picture()
    assert done("_brightness", 0.5).mean() == pytest.approx(1.45 * image.numpy().mean(), rel=1e-4)
    assert done("_contrast", -1.0).std() < 0.2 * image.numpy().std()
    assert np.ptp(done("_saturation", -1.0), axis=-1).mean() < 0.2 * np.ptp(image, axis=-1).mean()
    assert len(np.unique(done("_posterised", 1.0))) <= 16
    np.testing.assert_allclose(done("_solarised", 1.0), 255 - image, atol=1e-3)
    stretched = done("_stretched", 0.3)
    assert (stretched.min(axis=(0, 1)) == 0).all()
    np.testing.assert_allclose(stretched.max(axis=(0, 1)), 255, atol=1e-3)


def test_sharpness_keeps_what_is_flat():
    flat = tf.fill((6, 6, 3), 80.0)
    np.testing.assert_allclose(done("_sharpness", 1.0, flat), flat, atol=1e-3)


def test_an_equalised_picture_has_all_its_values_about_equally_often():
    dark = tf.constant(np.random.default_rng(0).integers(0, 40, (64, 64, 1)), tf.float32)
    found = done("_equalised", 0.0, dark)
    assert found.min() == 0 and found.max() == pytest.approx(255)
    counts = np.histogram(found, 8, (0, 255.01))[0]
    assert counts.max() < 1.3 * counts.min()
    same = tf.fill((4, 4, 3), 7.0)
    np.testing.assert_array_equal(done("_equalised", 0.0, same), same)
    np.testing.assert_array_equal(done("_stretched", 0.0, same), same)


def test_the_seed_decides_and_all_changes_are_drawn(monkeypatch):
    drawn = tf.Variable(tf.zeros(len(CHANGES), tf.int32))

    def counted(number, image, strength):
        drawn.scatter_nd_add([[number]], [1])
        return image

    image = picture()
    for seed in range(5):
        one, again = (rand_augment(image, 2, tf.constant([seed, 1])) for _ in range(2))
        np.testing.assert_array_equal(one, again)
    assert np.abs(one - rand_augment(image, 2, tf.constant([99, 1]))).mean() > 0.1
    counting = tuple(partial(counted, number) for number in range(len(CHANGES)))
    monkeypatch.setattr(module, "CHANGES", counting)
    for seed in range(200):
        rand_augment(image, 2, tf.constant([seed, 2]))
    assert drawn.numpy().sum() == 400 and drawn.numpy().min() > 400 / len(CHANGES) / 3


@pytest.mark.parametrize("shape", [(24, 20, 3), (30, 18, 1)])
def test_it_works_in_the_graph_on_pictures_whose_size_is_known_only_there(shape):
    change = PictureAugmentation(Fit(16, 16, 3), area=(0.5, 1), rand_augment=2)
    image = np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)
    signature = tf.TensorSpec((None, None, None), tf.uint8), tf.TensorSpec((2,), tf.int32)
    graph = tf.function(lambda image, seed: change({"image": image}, seed)["image"], signature)
    found = [graph(image, tf.constant([seed, 0], tf.int32)).numpy() for seed in range(20)]
    assert {one.shape for one in found} == {(16, 16, 3)}
    assert min(one.min() for one in found) >= 0 and max(one.max() for one in found) <= 255
    assert len({one.tobytes() for one in found}) == 20


def test_specimens_with_a_handedness_are_not_mirrored():
    options = model_class("TripletClassifier").Options(augmentation="randaugment")
    made = augmentation(options, Fit(16, 16, 3), None)
    assert made.rand_augment == 2 and not made.flip and not made.quarter_turns
