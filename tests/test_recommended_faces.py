"""What the recommended emotion models add: mirrored faces, aligned points, fusions."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from datasets.augmentation import PictureAugmentation
from datasets.face_augmentation import FaceAugmentation, LandmarkAugmentation
from datasets.images import Fit
from datasets.landmarks import IBUG_PARTS, MIRROR, POINTS
from datasets.pipelines import training_pipeline
from datasets.synthetic import faces
from models.emotion.alignment import AlignLandmarks, LandmarkGeometry
from models.emotion.fusion import GatedFusion, Known, LogarithmicPool, Present
from models.emotion.mirror import MeanOfMirror, WithMirroredPicture, WithMirroredPoints
from models.emotion.nn1 import NN1
from models.explanation.pictures import picture_maps
from training.callbacks import AverageWeights

SIDE = 48
RNG = np.random.default_rng(0)


@pytest.fixture(scope="module")
def table():
    return faces.load(120)


def narrow_nn1(table):
    model = NN1(NN1.Options(width=8))
    model.split_table(table)
    model.createArchitecture()
    return model


def changed(sample, augmentation, number):
    found = augmentation(sample, np.array([0, number]))
    return {name: np.asarray(value) for name, value in found.items()}


def test_a_mirrored_face_mirrors_its_landmarks_left_and_right_swapped(table):
    image, points = (table.modalities[name][0] for name in ("image", "landmarks"))
    augmentation, seen = FaceAugmentation(SIDE, PictureAugmentation(Fit(SIDE, SIDE))), set()
    for number in range(12):
        found = changed({"image": image, "landmarks": points}, augmentation, number)
        mirrored = not np.array_equal(found["image"], image)
        seen.add(mirrored)
        expected = image[:, ::-1] if mirrored else image
        np.testing.assert_array_equal(found["image"], expected)
        swapped = points[MIRROR] * [-1, 1] + [SIDE - 1, 0]
        np.testing.assert_allclose(found["landmarks"], swapped if mirrored else points)
    assert seen == {True, False}


def test_a_face_is_changed_alike_for_one_seed_and_otherwise_for_another(table):
    fit = Fit(SIDE, SIDE)
    augmentation = FaceAugmentation(SIDE, PictureAugmentation(fit, area=(0.7, 1)), jitter=0.5)
    sample = {name: table.modalities[name][0] for name in ("image", "landmarks")}
    one, same, other = (changed(sample, augmentation, number) for number in (3, 3, 4))
    for name in sample:
        np.testing.assert_array_equal(one[name], same[name])
        assert (one[name] != other[name]).any()


def test_landmarks_alone_are_mirrored_and_moved_one_by_one(table):
    points = table.modalities["landmarks"][:32].astype(np.float32)
    swapped = points[:, MIRROR] * [-1, 1] + [SIDE - 1, 0]
    (still,) = changed({"landmarks": points}, LandmarkAugmentation(SIDE), 3).values()
    mirrored = (still != points).any(axis=(1, 2))
    assert 6 < mirrored.sum() < 26
    np.testing.assert_allclose(still, np.where(mirrored[:, None, None], swapped, points))
    (moved,) = changed({"landmarks": points}, LandmarkAugmentation(SIDE, 2.0), 3).values()
    steps = moved - still
    assert 1.9 < steps.std() < 2.1 and 1.8 < steps.std(axis=0).mean() < 2.1


def test_an_epoch_of_landmarks_is_the_same_where_a_training_goes_on(table):
    points = {"landmarks": table.modalities["landmarks"][:40].astype(np.float32)}

    def epochs(first):
        given = points, np.arange(40), np.ones(40), 16, 5, 3
        batches, steps = training_pipeline(*given, first, LandmarkAugmentation(SIDE, 1.0))
        found = list(batches.as_numpy_iterator())
        assert len(found) == (3 - first) * steps
        return [(inputs["landmarks"], targets) for inputs, targets, _ in found]

    whole, rest = epochs(0), epochs(1)
    for one, other in zip(whole[3:], rest, strict=True):
        np.testing.assert_array_equal(one[1], other[1])
        np.testing.assert_array_equal(one[0], other[0])
    second = dict(zip(whole[3][1], whole[3][0], strict=True))
    third = dict(zip(np.concatenate([targets for _, targets in whole[6:]]),
                     np.concatenate([found for found, _ in whole[6:]]), strict=True))  # fmt: skip
    assert all((second[sample] != third[sample]).any() for sample in second)


@pytest.mark.parametrize(
    ("layer", "values", "mirrored"),
    [
        (WithMirroredPicture(), RNG.normal(size=(3, 4, 6, 1)), lambda x: x[:, :, ::-1]),
        (
            WithMirroredPoints(SIDE),
            RNG.normal(size=(3, POINTS, 2)),
            lambda x: x[:, MIRROR] * [-1, 1] + [SIDE - 1, 0],
        ),
    ],
    ids=["picture", "points"],
)
def test_an_answer_looks_at_a_face_and_its_mirror_image_and_an_epoch_at_the_face(
    layer, values, mirrored
):
    values = values.astype(np.float32)
    np.testing.assert_array_equal(layer(values, training=True), values)
    both = np.asarray(layer(values))
    np.testing.assert_allclose(both[::2], values)
    np.testing.assert_allclose(both[1::2], mirrored(values), rtol=1e-6)
    flat = both.reshape(len(both), -1)
    mean = np.asarray(MeanOfMirror()(flat))
    np.testing.assert_allclose(mean, (flat[::2] + flat[1::2]) / 2, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(MeanOfMirror()(flat, training=True), flat)


def test_nn1_answers_a_face_and_its_mirror_image_alike(table):
    model = narrow_nn1(table)
    images = table.modalities["image"][:8].astype(np.float32)
    one, other = (
        np.asarray(model.model({"image": x})["probabilities"]) for x in (images, images[:, :, ::-1])
    )
    np.testing.assert_allclose(one, other, atol=1e-5)
    assert np.ptp(one, axis=0).max() > 1e-4


def test_alignment_takes_place_size_and_turn_away_and_nothing_else(table):
    points = table.modalities["landmarks"]
    layer = AlignLandmarks.learnt_from(points)
    found = np.asarray(layer(points))
    angle = 0.4
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    moved = (points @ turn.T * 1.7 + [30, -8]).astype(np.float32)
    np.testing.assert_allclose(layer(moved), found, atol=1e-5)
    np.testing.assert_allclose(found.mean(axis=1), 0, atol=1e-5)
    np.testing.assert_allclose((found**2).sum(-1).mean(-1), 1, rtol=1e-4)
    assert ((layer(points[:, MIRROR]) - found) ** 2).numpy().sum() > 1  # a mirror image is another
    # It turns by the angle that brings a face nearest to the mean: no other is nearer.
    for angle in (-0.02, 0.02):
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        worse = ((found @ turn.T - layer.mean_face) ** 2).sum(axis=(1, 2))
        assert (worse > ((found - layer.mean_face) ** 2).sum(axis=(1, 2))).all()
    assert np.isfinite(layer(np.zeros((2, POINTS, 2), np.float32))).all()


def test_geometry_is_every_distance_and_the_bend_at_every_inner_point():
    points = RNG.normal(size=(4, POINTS, 2)).astype(np.float32)
    chains = [(where.start, where.stop) for where in IBUG_PARTS.values()]
    layer = LandmarkGeometry(chains)
    found = np.asarray(layer(points))
    assert found.shape == layer.compute_output_shape((4, POINTS, 2))
    first, second = np.triu_indices(POINTS, 1)
    distances = np.linalg.norm(points[:, first] - points[:, second], axis=-1)
    np.testing.assert_allclose(found[:, : len(first)], distances, rtol=1e-4, atol=1e-5)
    inner = sum(end - begin - 2 for begin, end in chains)
    cosine, sine = np.split(found[:, len(first) :], 2, axis=1)
    assert cosine.shape == (4, inner)
    before, at, behind = points[0, 0], points[0, 1], points[0, 2]
    bend = np.arctan2(*(behind - at)[::-1]) - np.arctan2(*(at - before)[::-1])
    np.testing.assert_allclose([cosine[0, 0], sine[0, 0]], [np.cos(bend), np.sin(bend)], atol=1e-4)


def test_what_is_missing_is_told_from_what_is_there():
    pictures = RNG.uniform(0, 255, (3, 4, 4, 1)).astype(np.float32)
    pictures[1] = 128
    points = RNG.normal(size=(3, POINTS, 2)).astype(np.float32)
    points[2, 5, 0] = np.nan
    np.testing.assert_array_equal(Present()(pictures)[:, 0], [1, 0, 1])
    np.testing.assert_array_equal(Present()(points)[:, 0], [1, 1, 0])
    np.testing.assert_array_equal(Known()(points)[2, 5], [0, points[2, 5, 1]])


def fusion(hidden=0.0):
    keras.utils.set_random_seed(0)
    layer = GatedFusion(3, 8, hidden)
    layer.build([(None, 7), (None, 1), (None, 1)])
    return layer


def test_a_gated_fusion_goes_by_what_is_there():
    layer = fusion()
    joined = RNG.normal(size=(5, 7)).astype(np.float32)
    yes, no = np.ones((5, 1), np.float32), np.zeros((5, 1), np.float32)
    first, second = joined[:, :3], joined[:, 3:]
    share = np.asarray(layer.gate(joined))
    both = share * np.asarray(layer.one(first)) + (1 - share) * np.asarray(layer.other(second))
    np.testing.assert_allclose(layer([joined, yes, yes]), both, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(layer([joined, yes, no]), layer.one(first), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(layer([joined, no, yes]), layer.other(second), rtol=1e-5, atol=1e-6)


def test_a_pool_is_a_weighted_product_of_what_is_there():
    layer = LogarithmicPool()
    joined = RNG.dirichlet((1, 1, 1), (5, 2)).astype(np.float32)
    first, second = joined[:, 0], joined[:, 1]
    yes, no = np.ones((5, 1), np.float32), np.zeros((5, 1), np.float32)

    def answer(has_first, has_second):
        found = layer([joined.reshape(5, 6), has_first, has_second])
        return np.asarray(keras.ops.softmax(found))

    def scaled(product):
        return product / product.sum(axis=1, keepdims=True)

    np.testing.assert_allclose(answer(yes, yes), scaled(first * second), rtol=1e-4)
    layer.powers.assign([0.8, 0.3])
    np.testing.assert_allclose(answer(yes, yes), scaled(first**0.8 * second**0.3), rtol=1e-4)
    np.testing.assert_allclose(answer(yes, no), first, rtol=1e-4)
    np.testing.assert_allclose(answer(no, yes), second, rtol=1e-4)
    np.testing.assert_allclose(answer(no, no), 1 / 3, rtol=1e-4)


def test_a_pool_stands_an_answer_that_rules_a_class_out():
    layer = LogarithmicPool()
    ones = np.ones((1, 1), np.float32)
    with tf.GradientTape() as tape:
        found = layer([np.array([[1, 0, 0.5, 0.5]], np.float32), ones, ones])
    assert np.isfinite(found).all()
    assert np.isfinite(tape.gradient(found, layer.powers.value)).all()


def test_training_hides_either_modality_in_a_share_of_the_samples_and_never_both():
    layer = fusion(hidden=0.25)
    joined = np.tile(RNG.normal(size=(1, 7)), (4000, 1)).astype(np.float32)
    yes = np.ones((4000, 1), np.float32)
    found = np.asarray(layer([joined, yes, yes], training=True))
    alone = [
        np.asarray(part(joined[:1]))
        for part in (lambda x: layer.one(x[:, :3]), lambda x: layer.other(x[:, 3:]))
    ]
    shares = [np.isclose(found, one, atol=1e-5).all(axis=1).mean() for one in alone]
    np.testing.assert_allclose(shares, 0.25, atol=0.03)
    only_first = np.asarray(layer([joined, yes, 0 * yes], training=True))
    np.testing.assert_allclose(only_first, np.tile(alone[0], (4000, 1)), rtol=1e-4, atol=1e-5)


def test_a_training_with_averaged_weights_is_judged_by_them_and_ends_with_them():
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    optimizer = keras.optimizers.SGD(0.5, use_ema=True, ema_momentum=0.9)
    model.compile(optimizer, "mse")
    x, y = RNG.normal(size=(64, 3)), RNG.normal(size=(64, 1))
    judged = []

    class Look(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            judged.append(logs["val_loss"])
            self.raw = model.get_weights()[0]
            self.averaged = np.asarray(optimizer._model_variables_moving_average[0])

    look = Look()
    model.fit(
        x,
        y,
        batch_size=8,
        epochs=3,
        verbose=0,
        validation_data=(x, y),
        callbacks=[AverageWeights(), look],
    )
    assert (look.raw != look.averaged).any()
    np.testing.assert_allclose(model.get_weights()[0], look.averaged)
    assert judged[-1] == pytest.approx(model.evaluate(x, y, verbose=0), rel=1e-5)


def test_the_map_of_a_mirrored_face_is_the_mirrored_map(table):
    model = narrow_nn1(table)
    face = table.modalities["image"][:1].astype(np.float32)
    one, other = (
        picture_maps(model.model, model.anatomy, {"image": image}, 0)[0].heat
        for image in (face, face[:, :, ::-1])
    )
    np.testing.assert_allclose(other, one[:, ::-1], atol=1e-5 * np.abs(one).max())
    assert np.ptp(one) > 0
