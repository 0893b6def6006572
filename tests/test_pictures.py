"""Pictures of many sizes in one column, what chance does to them, and how they become batches."""

import numpy as np
import pytest
import tensorflow as tf

from datasets.augmentation import PictureAugmentation
from datasets.images import Fit
from datasets.pictures import Pictures
from datasets.pipelines import judging_pipeline, training_pipeline, view_pipeline

RNG = np.random.default_rng(0)
IMAGES = [
    RNG.integers(0, 256, shape, np.uint8)
    for shape in ((5, 7, 3), (9, 4, 1), (1, 1, 3), (6, 6, 3), (5, 7, 1))
]


# --- the column


def test_pictures_come_back_as_they_were_given():
    pictures = Pictures.of(image for image in IMAGES)
    assert len(pictures) == 5
    assert all(map(np.array_equal, pictures, IMAGES))
    assert all(picture.dtype == np.uint8 for picture in pictures)
    for row in (0, 3, -1, np.int32(2)):
        assert np.array_equal(pictures[row], IMAGES[row])
    with pytest.raises(IndexError):
        pictures[5]


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        (np.array([4, 0, 0]), [4, 0, 0]),
        ([1, 3], [1, 3]),
        (slice(1, 4), [1, 2, 3]),
        (slice(None, None, -2), [4, 2, 0]),
        (np.array([True, False, False, True, False]), [0, 3]),
        (np.zeros(0, int), []),
    ],
)
def test_rows_of_pictures_are_pictures_that_share_the_buffer(rows, expected):
    pictures = Pictures.of(IMAGES)
    found = pictures[rows]
    assert isinstance(found, Pictures)
    assert len(found) == len(expected)
    for picture, row in zip(found, expected, strict=True):
        assert np.array_equal(picture, IMAGES[row])
    assert found.pixels is pictures.pixels
    if expected:
        assert np.shares_memory(found[0], pictures.pixels)


def test_rows_of_rows_are_found():
    pictures = Pictures.of(IMAGES)[np.array([4, 3, 1])][np.array([2, 0])]
    assert np.array_equal(pictures[0], IMAGES[1])
    assert np.array_equal(pictures[1], IMAGES[4])


def test_there_may_be_no_pictures():
    assert len(Pictures.of([])) == 0
    assert list(Pictures.of([])) == []


@pytest.mark.parametrize(
    ("image", "seen"),
    [
        (np.zeros((4, 4, 3), np.float32), "float32"),
        (np.zeros((4, 4), np.uint8), r"\(4, 4\)"),
        (np.zeros((4, 4, 4), np.uint8), r"\(4, 4, 4\)"),
        (np.zeros((1, 4, 4, 3), np.uint8), r"\(1, 4, 4, 3\)"),
    ],
)
def test_what_is_no_picture_is_refused(image, seen):
    with pytest.raises(ValueError, match=f"no picture: .*{seen}"):
        Pictures.of([IMAGES[0], image])


# --- chance


def drawn(augmentation, image, draws=200, seed=0):
    """What an augmentation makes of one picture, with many seeds."""

    @tf.function
    def make(row):
        seeds = tf.stack([tf.constant(seed, tf.int64), row])
        return augmentation({"image": tf.constant(image)}, seeds)["image"]

    signature = tf.TensorSpec(augmentation.fit.shape, tf.float32)
    return tf.map_fn(make, tf.range(draws, dtype=tf.int64), fn_output_signature=signature).numpy()


def coordinates(height, width):
    """A picture whose red tells the row and whose green the column."""
    y, x = np.mgrid[:height, :width]
    return np.stack([y, x, np.full_like(y, 9)], axis=-1).astype(np.uint8)


def crops_of(height, width, area, aspect, draws=300):
    """Top, left, height and width of random crops, measured from their coordinates."""
    fit = Fit(64, 64, 3)
    found = drawn(
        PictureAugmentation(fit, area=area, aspect=aspect), coordinates(height, width), draws
    )
    rows, columns = found[:, :, 32, 0], found[:, 32, :, 1]
    # In the middle, where no edge is near, a picture of coordinates is linear: its slope tells the
    # extent of the crop, and its centre the place.
    tall = (rows[:, 47] - rows[:, 16]) / 31 * 64
    wide = (columns[:, 47] - columns[:, 16]) / 31 * 64
    centre_y, centre_x = (rows[:, 31] + rows[:, 32]) / 2, (columns[:, 31] + columns[:, 32]) / 2
    return centre_y + 0.5 - tall / 2, centre_x + 0.5 - wide / 2, tall, wide


def test_random_crops_stay_inside_and_within_their_bounds():
    height, width = 160, 200
    top, left, tall, wide = crops_of(height, width, (0.3, 0.8), (3 / 4, 4 / 3))
    share, ratio = tall * wide / (height * width), wide / tall
    assert top.min() > -0.2 and (top + tall).max() < height + 0.2
    assert left.min() > -0.2 and (left + wide).max() < width + 0.2
    assert 0.29 < share.min() < 0.35 and 0.7 < share.max() < 0.81
    assert 0.74 < ratio.min() < 0.8 and 1.25 < ratio.max() < 1.35
    # Both ends of what room there is are reached, and the middle is the middle.
    for start, extent, whole in ((top, tall, height), (left, wide, width)):
        place = start / (whole - extent)
        assert place.min() < 0.05 and place.max() > 0.95
        assert abs(place.mean() - 0.5) < 0.07


def test_where_no_crop_fits_the_whole_picture_is_taken():
    top, left, tall, wide = crops_of(20, 240, (0.9, 1.0), (1.0, 1.0), draws=4)
    np.testing.assert_allclose(top, 0, atol=0.2)
    np.testing.assert_allclose(left, 0, atol=0.2)
    np.testing.assert_allclose(tall, 20, atol=0.2)
    np.testing.assert_allclose(wide, 240, atol=0.2)


@pytest.mark.parametrize("size", [(48, 60), (9, 13), (24, 20), (48, 13), (24, 21)])
def test_without_any_change_a_picture_is_resized_only(size):
    fit = Fit(24, 20, 3)
    image = RNG.integers(0, 256, (*size, 3), np.uint8)
    found = drawn(PictureAugmentation(fit), image, 2)
    assert np.array_equal(found[0], found[1])
    np.testing.assert_allclose(found[0], np.asarray(fit(image)), atol=1e-3)


@pytest.mark.parametrize("shape", [(60, 20, 3), (20, 61, 1), (30, 30, 3)])
def test_a_padded_picture_is_the_same_in_training_as_in_the_graph(shape):
    fit = Fit(24, 24, 3, pad=True)
    image = RNG.integers(0, 256, shape, np.uint8)
    found = drawn(PictureAugmentation(fit), image, 1)[0]
    np.testing.assert_allclose(found, np.asarray(fit(image)), atol=1e-3)


def test_half_of_the_pictures_are_mirrored():
    image = RNG.integers(0, 256, (8, 8, 3), np.uint8)
    found = drawn(PictureAugmentation(Fit(8, 8, 3), flip=True), image, 400)
    mirrored = (found == image[:, ::-1]).all(axis=(1, 2, 3))
    assert ((found == image).all(axis=(1, 2, 3)) ^ mirrored).all()
    assert 0.42 < mirrored.mean() < 0.58


def test_a_turn_by_a_right_angle_is_that_of_numpy(monkeypatch):
    image = RNG.integers(0, 256, (12, 12, 3), np.uint8)
    uniform = tf.random.stateless_uniform
    inside = np.s_[1:-1, 1:-1]
    for side, quarters in ((0, -1), (1, 1)):
        monkeypatch.setattr(
            tf.random,
            "stateless_uniform",
            lambda shape, seed, low=0, high=1, side=side: (
                tf.constant((low, high)[side], tf.float32)
                if low
                else uniform(shape, seed, low, high)
            ),
        )
        found = drawn(PictureAugmentation(Fit(12, 12, 3), turn=90), image, 1)[0]
        turns = [np.rot90(image, count)[inside] for count in (quarters, -quarters)]
        assert any(np.allclose(found[inside], turned, atol=0.1) for turned in turns)


def test_turns_lie_between_the_named_angles_to_either_side():
    y, x = np.mgrid[:65, :65] - 32.0
    spoke = np.exp(-(y**2) / 4) * (x > 4)  # from the centre to the right
    image = (255 * spoke)[..., None].astype(np.uint8)
    found = drawn(PictureAugmentation(Fit(65, 65, 1), turn=20), image, 200)[..., 0]
    ring = (np.hypot(x, y) > 8) & (np.hypot(x, y) < 24)  # away from what is mirrored at the rim
    weights = found * ring
    angles = np.degrees(np.arctan2((weights * y).sum(axis=(1, 2)), (weights * x).sum(axis=(1, 2))))
    assert -20.5 < angles.min() < -17 and 17 < angles.max() < 20.5
    assert abs(angles.mean()) < 3


def test_brightness_and_contrast_change_as_much_as_they_are_told_to():
    image = np.array([[[100], [150]]], np.uint8)
    fit = Fit(1, 2, 1)
    bright = drawn(PictureAugmentation(fit, brightness=0.3), image)[:, 0, :, 0]
    factors = bright[:, 0] / 100
    np.testing.assert_allclose(bright[:, 1] / 150, factors, rtol=1e-5)
    assert 0.7 <= factors.min() < 0.73 and 1.27 < factors.max() <= 1.3
    sharp = drawn(PictureAugmentation(fit, contrast=0.5), image)[:, 0, :, 0]
    np.testing.assert_allclose(sharp.mean(axis=1), 125, rtol=1e-5)
    spans = (sharp[:, 1] - sharp[:, 0]) / 50
    assert 0.5 <= spans.min() < 0.55 and 1.45 < spans.max() <= 1.5


def test_saturation_leaves_the_brightness_and_values_stay_in_range():
    image = np.array([[[200, 60, 90], [120, 120, 120]]], np.uint8)
    weights = np.array([0.299, 0.587, 0.114])
    found = drawn(PictureAugmentation(Fit(1, 2, 3), saturation=0.2), image)
    np.testing.assert_allclose(found @ weights, np.tile(image @ weights, (200, 1, 1)), rtol=1e-4)
    np.testing.assert_allclose(found[:, 0, 1], 120, rtol=1e-4)  # grey has no colour to lose
    assert np.ptp(found[:, 0, 0, 0]) > 20
    wild = PictureAugmentation(Fit(1, 2, 3), brightness=0.9, contrast=0.9, saturation=0.9)
    found = drawn(wild, image)
    assert found.min() == 0 and found.max() == 255


def test_shift_and_hue_change_as_much_as_they_are_told_to():
    grey = np.full((1, 2, 3), 120, np.uint8)
    fit = Fit(1, 2, 3)
    shifts = drawn(PictureAugmentation(fit, shift=32 / 255), grey)[:, 0, 0, 0] - 120
    assert -32 <= shifts.min() < -30 and 30 < shifts.max() <= 32
    red = np.zeros((1, 2, 3), np.uint8) + np.array([200, 0, 0], np.uint8)
    turned = drawn(PictureAugmentation(fit, hue=0.1), red)[:, 0, 0]
    # A tenth of the circle is 0.6 of the way from red to yellow, or to magenta.
    assert 110 < turned[:, 1].max() <= 120.01 and 110 < turned[:, 2].max() <= 120.01
    np.testing.assert_allclose(turned[:, 0], 200, rtol=1e-4)
    np.testing.assert_allclose(turned[:, 1] * turned[:, 2], 0, atol=1e-3)
    assert np.array_equal(
        drawn(PictureAugmentation(Fit(1, 2, 1), hue=0.1), grey[..., :1])[0, 0, 0], [120]
    )


def test_newer_changes_leave_the_chance_of_the_others_as_it_was():
    image = RNG.integers(60, 200, (9, 9, 3), np.uint8)
    fit = Fit(9, 9, 3)
    plain = drawn(PictureAugmentation(fit, flip=True, contrast=0.1), image, 20)
    shifted = drawn(PictureAugmentation(fit, flip=True, contrast=0.1, shift=0.01), image, 20)
    # What is added is one number for the picture, on top of the same mirror and contrast.
    assert np.ptp(shifted - plain, axis=(1, 2, 3)).max() < 1e-3
    assert np.ptp((shifted - plain)[:, 0, 0, 0]) > 2


def test_every_picture_of_a_sample_is_changed_by_draws_of_its_own():
    image = tf.constant(RNG.integers(0, 256, (20, 20, 3), np.uint8))
    change = PictureAugmentation(Fit(8, 8, 3), area=(0.2, 0.6))
    seed = tf.constant([3, 5], tf.int64)
    sample = {"image": image, "image_2": image, "image_box": image, "measurements": image}
    found = change(sample, seed)
    assert np.array_equal(found["measurements"], image)
    assert np.array_equal(found["image"], change({"image": image}, seed)["image"])
    alone = change({"image_2": image}, seed)
    assert np.array_equal(found["image_2"], alone["image_2"])
    pictures = [found[name].numpy() for name in ("image", "image_2", "image_box")]
    pictures.append(change({"image_2": image}, seed + 1)["image_2"].numpy())
    for row, one in enumerate(pictures):
        for other in pictures[:row]:
            assert np.abs(one - other).mean() > 5


def test_a_rectangle_is_erased_in_the_named_share_of_the_pictures():
    image = RNG.integers(0, 2, (40, 40, 3), np.uint8) * 255  # its mean is none of its values
    found = drawn(PictureAugmentation(Fit(40, 40, 3), erase=0.4), image, 400)
    gone = (found != image).all(axis=-1)
    touched = gone.any(axis=(1, 2))
    assert 0.3 < touched.mean() < 0.5
    for picture, hole in zip(found[touched], gone[touched], strict=True):
        rows, columns = hole.any(axis=1), hole.any(axis=0)
        assert np.array_equal(hole, np.outer(rows, columns))
        assert np.ptp(np.flatnonzero(rows)) + 1 == rows.sum()
        np.testing.assert_allclose(
            picture[hole], np.tile(image.mean(axis=(0, 1)), (hole.sum(), 1)), rtol=1e-4
        )
    assert gone.mean(axis=(1, 2)).max() < 0.23


STRONG = {
    "area": (0.4, 1.0), "aspect": (3 / 4, 4 / 3), "flip": True, "turn": 15.0, "brightness": 0.3,
    "contrast": 0.3, "saturation": 0.3, "erase": 0.5,
}  # fmt: skip


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("given", [1, 3])
def test_grey_and_coloured_pictures_become_what_the_network_sees(given, channels):
    grey = RNG.integers(0, 256, (30, 40, 1), np.uint8)
    colour = RNG.integers(0, 256, (30, 40, 3), np.uint8)
    image = grey if given == 1 else colour
    fit = Fit(16, 16, channels)
    plain = drawn(PictureAugmentation(fit), image, 1)[0]
    np.testing.assert_allclose(plain, np.asarray(fit(image)), atol=1e-2)
    strong = drawn(PictureAugmentation(fit, **STRONG), image, 3)
    assert strong.shape == (3, 16, 16, channels)
    assert strong.min() >= 0 and strong.max() <= 255
    assert np.abs(strong[0] - strong[1]).mean() > 5
    if channels == 3:
        equal = np.ptp(strong, axis=-1).max() < 1e-2
        assert equal == (given == 1)


# --- batches

LIGHT = PictureAugmentation(Fit(8, 8, 3), area=(0.3, 0.9), brightness=0.3)


def photographs(count=10):
    """Pictures of many sizes and both kinds, all of one brightness each: ten times their row."""
    shapes = [(12 + row, 20 - row % 5, 1 if row % 3 == 1 else 3) for row in range(count)]
    return Pictures.of(np.full(shape, 10 * row, np.uint8) for row, shape in enumerate(shapes))


def textured(count=10):
    return Pictures.of(
        np.random.default_rng(row).integers(0, 256, (12 + row, 20 - row % 5, 3), np.uint8)
        for row in range(count)
    )


def run(pictures, batch_size, epochs=1, first_epoch=0, seed=0, augment=None, targets=None):
    """All batches: inputs, targets and weights, one after the other."""
    targets = np.arange(len(pictures)) if targets is None else targets
    batches, steps = training_pipeline(
        {"image": pictures}, targets, targets / 2, batch_size, seed, epochs, first_epoch,
        augment or LIGHT,
    )  # fmt: skip
    found = [[inputs["image"].numpy(), *map(np.asarray, rest)] for inputs, *rest in batches]
    assert len(found) == steps * (epochs - first_epoch)
    return [np.concatenate(column) for column in zip(*found, strict=True)]


def test_each_picture_meets_its_own_target_and_weight():
    images, targets, weights = run(
        photographs(), 4, epochs=2, augment=PictureAugmentation(Fit(8, 8, 3), flip=True)
    )
    assert images.shape == (20, 8, 8, 3)
    np.testing.assert_allclose(
        images, np.broadcast_to(10.0 * targets[:, None, None, None], images.shape), atol=1e-3
    )
    np.testing.assert_allclose(weights, targets / 2)
    for epoch in (targets[:10], targets[10:]):
        assert sorted(epoch) == list(range(10))
    assert targets[:10].tolist() != targets[10:].tolist()


def in_row_order(images, targets):
    return images[np.argsort(targets, kind="stable")]


def test_chance_depends_on_seed_epoch_and_row_and_not_on_the_batch():
    pictures = textured()
    images, targets, _ = run(pictures, 4, epochs=2)
    first, second = (in_row_order(images[part], targets[part]) for part in np.s_[:10, 10:])
    again = in_row_order(*run(pictures, 3)[:2])
    assert np.array_equal(again, first)
    assert np.array_equal(in_row_order(*run(pictures, 10)[:2]), first)
    other = in_row_order(*run(pictures, 4, seed=1)[:2])
    for changed in (second, other):
        assert (np.abs(changed - first).mean(axis=(1, 2, 3)) > 1).all()


def test_equal_pictures_in_different_rows_are_changed_differently():
    image = RNG.integers(0, 256, (20, 20, 3), np.uint8)
    images = run(Pictures.of([image] * 6), 6)[0]
    for row in range(6):
        for other in range(row):
            assert np.abs(images[row] - images[other]).mean() > 1


def test_a_stream_that_goes_on_is_the_rest_of_the_uninterrupted_one():
    whole = run(textured(), 4, epochs=4)
    rest = run(textured(), 4, epochs=4, first_epoch=2)
    for one, other in zip(whole, rest, strict=True):
        assert np.array_equal(one[20:], other)


def test_arrays_can_be_changed_by_chance_too():
    array = np.stack([np.full((6, 6, 3), 10 * row, np.uint8) for row in range(7)])
    images, targets, _ = run(array, 4, augment=PictureAugmentation(Fit(4, 4, 3)))
    np.testing.assert_allclose(images[:, 0, 0, 0], 10 * targets, atol=1e-3)


def test_each_epoch_takes_one_stored_view_of_every_sample_at_random():
    samples, views, epochs = 12, 4, 40
    rows, numbers = np.tile(np.arange(samples), views), np.repeat(np.arange(views), samples)
    stored = np.stack([rows, numbers], axis=1)  # view after view
    targets = np.arange(samples)
    batches, steps = training_pipeline({"stored": stored}, targets, targets, 5, 3, epochs)
    assert steps == 3
    found, answers = zip(
        *((inputs["stored"], target) for inputs, target, _ in batches), strict=True
    )
    found, answers = np.concatenate(found), np.concatenate(answers)
    assert np.array_equal(found[:, 0], answers)
    by_epoch = found.reshape(epochs, samples, 2)
    for epoch in by_epoch:
        assert sorted(epoch[:, 0]) == list(range(samples))
    assert len({tuple(epoch[epoch[:, 0].argsort(), 1]) for epoch in by_epoch}) == epochs
    counts = np.zeros((samples, views))
    np.add.at(counts, (found[:, 0], found[:, 1]), 1)
    assert counts.min() >= 2 and counts.max() <= 20  # of 40 epochs, 10 expected
    rest, _ = training_pipeline({"stored": stored}, targets, targets, 5, 3, epochs, 38)
    again = np.concatenate([inputs["stored"] for inputs, _, _ in rest])
    assert np.array_equal(again, found[38 * samples :])


def test_views_come_in_row_order_and_differ_by_their_number():
    pictures = textured()

    def view(number, batch_size=64, seed=0):
        batches = view_pipeline({"image": pictures}, LIGHT, seed, number, batch_size)
        return np.concatenate([batch["image"] for batch in batches])

    first = view(0)
    assert np.array_equal(view(0, batch_size=3), first)
    for other in (view(1), view(0, seed=1)):
        assert (np.abs(other - first).mean(axis=(1, 2, 3)) > 1).all()
    plain = view_pipeline({"image": photographs()}, PictureAugmentation(Fit(8, 8, 3)), 0, 0, 4)
    rows = np.concatenate([batch["image"][:, 0, 0, 0] for batch in plain])
    np.testing.assert_allclose(rows, 10 * np.arange(10), atol=1e-3)


def test_judging_keeps_the_order_of_the_rows():
    arrays = {"image": np.arange(600).reshape(600, 1)}
    batches = list(judging_pipeline(arrays, np.arange(600) % 7))
    assert [len(targets) for _, targets in batches] == [256, 256, 88]
    rows = np.concatenate([inputs["image"][:, 0] for inputs, _ in batches])
    assert rows.tolist() == list(range(600))
    alone = np.concatenate([inputs["image"][:, 0] for inputs in judging_pipeline(arrays)])
    assert np.array_equal(alone, rows)
