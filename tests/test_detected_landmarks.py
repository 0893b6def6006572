"""Landmarks read twice, in a detected box and in its mirror image.

The predictor's stand-in puts the points where they belong in whatever box it is given.
"""

import os
from dataclasses import dataclass

import numpy as np
import pytest

from datasets import detected_landmarks as module
from datasets.base import content_digest
from datasets.detected_landmarks import READ_SIDE, detected_landmarks, find_face
from datasets.fer2013 import load
from datasets.landmarks import MIRROR
from datasets.own_data import face_points
from models.commands.asking import Asked, raw_inputs
from models.emotion.nn2 import NN2

RNG = np.random.default_rng(0)
_HALF = RNG.uniform(0, 1, (68, 2))
# Shares of the box's width and height, as even as a face that its mirror image equals.
SHARES = (_HALF + np.array([[1, 0]]) + _HALF[MIRROR] * [-1, 1]) / 2
SLOPE = RNG.uniform(-0.1, 0.1, (68, 2))


@dataclass(frozen=True)
class InTheBox:
    """Puts the points at `SHARES` of the box, and further off by `lean` on one side only."""

    lean: float = 0.0
    log: str = ""
    identity: str = "in the box"

    def load(self):
        def predict(image, box):
            if self.log:
                with open(self.log, "ab") as file:
                    file.write(b".")
            corner, end = np.array(box[:2]), np.array(box[2:])
            return np.rint(corner + (SHARES + self.lean * SLOPE) * (end - corner)).astype(np.int32)

        return predict


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("MENAGERIE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def found(monkeypatch):
    """Says what the detector finds."""
    return lambda box: monkeypatch.setattr(module, "find_face", lambda pixels: box)


def read(images, predictor):
    return detected_landmarks(images, [content_digest(image) for image in images], predictor)


def pictures(*shapes):
    return [RNG.integers(0, 256, shape, np.uint8) for shape in shapes]


def test_points_lie_where_they_were_read_in_the_detected_box(found):
    found((40, 20, 140, 120))
    faces = read(pictures((48, 48, 1), (96, 48, 3), (400, 600, 3)), InTheBox())
    assert faces.found.all()
    for points, scale in zip(faces.points, (4, 4, READ_SIDE / 400), strict=True):
        wanted = ([40, 20] + SHARES * 100 + 0.5) / scale - 0.5
        assert np.abs(points - wanted).max() < 1 / scale  # whole pixels of the larger picture
    assert faces.points.dtype == faces.quality.dtype == np.float32


def test_two_readings_are_averaged_and_their_difference_is_the_quality(found):
    found((40, 20, 140, 120))
    (image,) = pictures((48, 48, 1))
    even, leaning = (read([image], InTheBox(lean)) for lean in (0.0, 1.0))
    assert even.quality[0] > 0.95 > 0.8 > leaning.quality[0]
    # What leans the same way in both readings leans to both sides, half of it each.
    both = SHARES + (SLOPE + SLOPE[MIRROR] * [-1, 1]) / 2
    wanted = ([40, 20] + both * 100 + 0.5) / 4 - 0.5
    assert np.abs(leaning.points[0] - wanted).max() < 0.25


def test_a_mirrored_picture_has_mirrored_points(monkeypatch):
    """Wherever the detector finds the face, and however one-sided the predictor is."""

    def bright(pixels):
        rows, columns = np.nonzero(pixels > 128)
        return int(columns.min()), int(rows.min()), int(columns.max()), int(rows.max())

    monkeypatch.setattr(module, "find_face", bright)
    face = np.zeros((48, 48, 1), np.uint8)
    face[10:30, 5:25] = 255
    here, there = read([face, face[:, ::-1]], InTheBox(1.0)).points
    assert np.abs(there[MIRROR] * [-1, 1] + [47, 0] - here).max() < 0.26


def test_where_no_face_is_found_the_whole_picture_is_the_box_and_that_is_told(found):
    found(None)
    images = pictures((48, 48, 1), (48, 48, 1))
    faces = read(images, InTheBox())
    assert not faces.found.any()
    assert np.abs(faces.points - ((SHARES * 192 + 0.5) / 4 - 0.5)).max() < 0.25
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "detected_landmarks", lambda *given: faces)
        told = face_points(images, ["a", "b"], ("landmarks",), "detected")
    assert told.undetected == 2
    assert "no face was detected in 2 pictures" in told.notes[0]


def test_what_was_read_is_kept_with_whether_a_face_was_found(found, tmp_path, cache):
    log = str(tmp_path / "log")
    images = pictures(*[(48, 48, 1)] * 150)
    found((40, 20, 140, 120))
    first = read(images, InTheBox(log=log))
    assert os.path.getsize(log) == 300
    found(None)
    again = read(images, InTheBox(log=log))
    assert os.path.getsize(log) == 300
    assert again.found.all()
    assert np.array_equal(first.points, again.points)
    assert np.array_equal(first.quality, again.quality)
    assert [path.name.endswith("-detected.tsv") for path in cache.iterdir()] == [True]


def test_no_faces_give_no_rows():
    faces = read([], InTheBox())
    assert faces.points.shape == (0, 68, 2)
    assert len(faces.quality) == len(faces.found) == 0


def test_a_picture_without_a_face_has_no_box():
    assert find_face(np.full((192, 192), 128, np.uint8)) is None


@pytest.mark.parametrize("reading", ["picture", "detected"])
def test_a_run_reads_what_it_is_asked_as_it_read_what_it_learnt(found, monkeypatch, reading):
    """The same predictor stands behind the table of faces and behind `predict`."""
    found((40, 20, 140, 120))
    monkeypatch.setattr("datasets.landmarks._installed", lambda needed: InTheBox())
    model = NN2(NN2.Options(landmark_reading=reading))
    (image,) = pictures((60, 80, 3))
    asked = Asked(names=["face"], images=[image])
    (points,) = raw_inputs(model.inputs, asked)["landmarks"]
    learnt = face_points([image], ["digest"], ("landmarks",), reading).arrays["landmarks"]
    assert np.array_equal(points, learnt[0])
    scale = 192 / 60 if reading == "detected" else 1
    box = (40, 20, 100, 100) if reading == "detected" else (0, 0, 80, 60)
    wanted = (np.array(box[:2]) + SHARES * box[2:] + 0.5) / scale - 0.5
    assert np.abs(points - wanted * [48 / 80, 48 / 60]).max() < 1


@pytest.mark.real
def test_real_faces_are_found_and_read_more_steadily(real_data):
    table = load(real_data / "fer2013", ("image",))
    images = list(table.modalities["image"][:200])
    digests = table.frame["digest"].tolist()[:200]
    faces = detected_landmarks(images, digests)
    assert faces.found.mean() > 0.8
    whole = face_points(images, digests, ("landmarks", "landmark_quality"))
    assert np.median(faces.quality) > np.median(whole.quality["landmarks"])
    apart = np.linalg.norm(faces.points - whole.arrays["landmarks"], axis=-1)
    assert np.median(apart) < 3
