"""Synthetic faces: landmarks in order and in place, marks apart from movements, both needed."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from sklearn.decomposition import PCA
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.preprocessing import StandardScaler

from datasets.base import content_digest
from datasets.emotions import EMOTIONS
from datasets.landmarks import MIRROR
from datasets.splits import shuffled_split
from datasets.synthetic import faces
from datasets.synthetic.face_anatomy import Camera, Identity
from datasets.synthetic.faces import MARK_NAMES, MARKS, MOVEMENTS

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def table():
    return faces.load()


def clear(emotion, seed=None, **options):
    """Picture and landmarks of a clear expression; the average face from the front by default."""
    rng = np.random.default_rng(seed)
    person = Identity() if seed is None else Identity.drawn(rng)
    camera = options.pop("camera", Camera() if seed is None else Camera.drawn(rng))
    marks = options.pop("marks", MARKS[emotion])
    picture, landmarks = faces.render(person, MOVEMENTS[emotion], marks, camera, **options)
    return picture.astype(float), landmarks, person


def grey_at(picture, point):
    """Mean grey of the 2x2 pixels around a point (x, y)."""
    x, y = np.round(point).astype(int)
    return picture[y - 1 : y + 1, x - 1 : x + 1].mean()


@pytest.mark.parametrize("seed", range(5))
def test_landmarks_stand_in_ibug_order(seed):
    _, points, _ = clear("neutral", seed)
    x, y = points.T
    assert (np.diff(x[:17]) > 0).all(), "the jaw runs from image left to image right"
    assert y[:17].argmax() in (7, 8, 9), "the chin is the lowest point of the jaw"
    assert (np.diff(x[17:27]) > 0).all()
    assert (np.diff(y[27:31]) > 0).all(), "the bridge of the nose runs down"
    assert (np.diff(x[31:36]) > 0).all()
    assert x[36] < x[39] < x[42] < x[45]
    assert x[48] < x[60] < x[62] < x[64] < x[54]
    assert y[17:22].mean() < y[36:42].mean() < y[31:36].mean() < y[48:].mean() < y[8]
    for upper, lower in ((37, 41), (38, 40), (43, 47), (44, 46), (51, 57), (62, 66), (61, 67)):
        assert y[upper] < y[lower]


@pytest.mark.parametrize("emotion", EMOTIONS)
def test_a_face_seen_from_the_front_is_symmetric(emotion):
    assert sorted(MIRROR) == list(range(68))
    assert (MIRROR[MIRROR] == np.arange(68)).all()
    assert (
        np.flatnonzero(np.arange(68) == MIRROR) == [8, *range(27, 31), 33, 51, 57, 62, 66]
    ).all()
    _, points, _ = clear(emotion)
    np.testing.assert_allclose(points[MIRROR], points * [-1, 1] + [48, 0], atol=1e-9)


def test_movements_go_the_way_the_emotion_asks():
    y = {emotion: clear(emotion)[1][:, 1] for emotion in EMOTIONS}
    calm = y["neutral"]
    assert (y["happy"][[48, 54]] < calm[[48, 54]] - 1).all()
    assert (y["sad"][[48, 54]] > calm[[48, 54]] + 1).all()
    assert (y["angry"][[21, 22]] > calm[[21, 22]] + 1).all()
    assert (y["sad"][[21, 22]] < calm[[21, 22]] - 1).all()
    assert y["surprise"][66] - y["surprise"][62] > 3 > calm[66] - calm[62]


@pytest.mark.parametrize("seed", range(8))
def test_what_is_drawn_lies_where_the_landmarks_say(seed):
    picture, points, person = clear("surprise", seed, marks={}, background=255.0)
    cheek = grey_at(picture, points[[31, 36, 48]].mean(axis=0))
    assert cheek == pytest.approx(person.skin, abs=3)
    for eye in (slice(36, 42), slice(42, 48)):
        assert grey_at(picture, points[eye].mean(axis=0)) < 0.6 * person.skin, "the pupil"
    assert grey_at(picture, points[[62, 66]].mean(axis=0)) < 0.4 * person.skin, "the open mouth"
    for brow in (19, 24):
        assert grey_at(picture, points[brow]) < 0.9 * person.skin
    middle = points[30]
    for chin in range(6, 11):
        away = (points[chin] - middle) / np.linalg.norm(points[chin] - middle)
        inside, outside = points[chin] - 2 * away, np.minimum(points[chin] + 2 * away, 47)
        assert grey_at(picture, inside) == pytest.approx(person.skin, abs=15)
        if outside[1] < 47:
            assert grey_at(picture, outside) > 235


def test_picture_and_landmarks_move_together():
    picture, points, _ = clear("happy")
    _, nudged_points, _ = clear("happy", camera=Camera(shift=(0.3 / 24, 0)))
    np.testing.assert_allclose(nudged_points - points, np.tile([0.3, 0.0], (68, 1)), atol=1e-9)
    shifted, shifted_points, _ = clear("happy", camera=Camera(shift=(2 / 24, -1 / 24)))
    np.testing.assert_allclose(shifted_points - points, np.tile([2.0, -1.0], (68, 1)))
    np.testing.assert_allclose(shifted[4:43, 6:44], picture[5:44, 4:42], atol=1)
    still = np.abs(shifted[4:43, 6:44] - picture[4:43, 6:44]).mean()
    assert still > 3, "the comparison would hold without a shift, too"


@pytest.mark.parametrize("mark", MARK_NAMES)
def test_marks_change_the_picture_and_leave_the_landmarks(mark):
    picture, points, _ = clear("surprise", marks={mark: 1.0})
    plain, plain_points, _ = clear("surprise", marks={})
    assert (points == plain_points).all()
    assert (np.abs(picture - plain) > 20).sum() >= 4
    # Both halves of the face bear it.
    assert (np.abs(picture - plain)[:, :24] > 10).any()
    assert (np.abs(picture - plain)[:, 24:] > 10).any()


def test_every_mark_belongs_to_an_emotion_and_can_be_drawn():
    assert set(faces.PATCHES) | set(faces.STROKES) <= set(MARK_NAMES)
    assert set(MARKS) == set(MOVEMENTS) == set(EMOTIONS)


def test_the_same_seed_gives_the_same_faces_in_another_process(table):
    script = "from datasets.synthetic.faces import load; print(*load(60).frame.digest)"
    run = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True
    )
    here = faces.load(60)
    assert run.stdout.split() == here.frame["digest"].tolist()
    assert here.frame["digest"].tolist() == [
        content_digest(image) for image in here.modalities["image"]
    ]


def test_another_seed_gives_other_faces():
    one, other = faces.load(40, seed=0), faces.load(40, seed=1)
    assert not set(one.frame["digest"]) & set(other.frame["digest"])
    assert one.frame["label"].tolist() != other.frame["label"].tolist()
    assert one.counts() == other.counts()
    assert not np.allclose(one.modalities["landmarks"], other.modalities["landmarks"], atol=0.1)


def test_table_has_the_promised_form(table):
    n = faces.SAMPLES
    assert len(table) == n
    assert table.synthetic
    assert table.labels == EMOTIONS
    assert table.frame.columns.tolist() == ["key", "label", "part", "digest"]
    assert table.frame["key"].is_unique and table.frame["digest"].is_unique
    assert (table.frame["part"] == "").all()
    image, landmarks = table.modalities["image"], table.modalities["landmarks"]
    assert (image.shape, image.dtype) == ((n, 48, 48, 1), np.uint8)
    assert (landmarks.shape, landmarks.dtype) == ((n, 68, 2), np.float32)
    assert table.quality["landmarks"].tolist() == [1.0] * n
    assert "photograph" in table.provenance


def test_faces_fill_the_picture(table):
    landmarks = table.modalities["landmarks"]
    inside = ((landmarks >= 0) & (landmarks < 48)).all(axis=2)
    assert inside.mean() > 0.999
    assert inside.all(axis=1).mean() > 0.99
    extent = np.ptp(landmarks, axis=1)
    assert (extent[:, 0] > 30).mean() > 0.99
    assert (extent[:, 1] > 28).mean() > 0.99


def test_classes_are_as_uneven_as_in_fer2013_but_for_disgust(table):
    counts = np.array(list(table.counts().values()))
    rest = np.arange(7) != EMOTIONS.index("disgust")
    theirs = np.array(faces.FER2013_COUNTS)[rest]
    np.testing.assert_allclose(counts[rest] / counts[rest].sum(), theirs / theirs.sum(), atol=1e-3)
    in_test = table.frame["label"].to_numpy()[shuffled_split(table, 0).test]
    assert (in_test == "disgust").sum() >= 20
    first, last = table.targets[:1200], table.targets[1200:]
    assert np.abs(np.bincount(first) - np.bincount(last)).max() < 60, "rows in random order"


@pytest.mark.parametrize("samples", [1, 10, 97, 3000])
def test_class_counts_sum_to_the_samples(samples):
    counts = faces.class_counts(samples)
    assert counts.sum() == samples
    assert (counts >= 0).all()


def test_each_modality_knows_a_part_of_the_answer(table):
    """Linear readers see far more than chance in either, and clearly more in both together."""
    rows, target = slice(0, 1500), table.targets[:1500]
    train, test = slice(0, 1100), slice(1100, None)
    pixels = table.modalities["image"][rows].reshape(1500, -1) / 255.0
    image = PCA(80, random_state=0).fit_transform(pixels)
    landmarks = table.modalities["landmarks"][rows].reshape(1500, -1)

    def score(*parts):
        features = np.hstack([StandardScaler().fit_transform(part) for part in parts])
        reader = LinearDiscriminantAnalysis(solver="lsqr", shrinkage=0.01)
        return reader.fit(features[train], target[train]).score(features[test], target[test])

    majority = np.bincount(target[test]).max() / len(target[test])
    alone = score(image), score(landmarks)
    assert min(alone) > majority + 0.3
    assert max(alone) < 0.93
    assert max(alone) + 0.015 < score(image, landmarks) < 0.97


@pytest.mark.parametrize("pair", [("angry", "disgust"), ("fear", "surprise")])
def test_some_emotions_nearly_share_their_landmarks(table, pair):
    """Less separates the pair than separates either of the two from a calm face."""
    landmarks = table.modalities["landmarks"]
    label = table.frame["label"].to_numpy()
    mean = {name: landmarks[label == name].mean(axis=0) for name in (*pair, "neutral")}

    def apart(one, other):
        return np.linalg.norm(mean[one] - mean[other])

    assert 0.5 < apart(*pair) < min(apart(name, "neutral") for name in pair)
