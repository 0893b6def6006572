"""Landmarks: their geometry, their quality, and the table that keeps them.

A stand-in reads the points, so that neither the 100 MB predictor nor real faces are needed.
"""

import importlib.util
import os
from dataclasses import dataclass

import numpy as np
import pytest

from datasets import landmarks
from datasets.base import content_digest
from datasets.errors import InputError
from datasets.landmarks import (
    IBUG_PARTS,
    MIRROR,
    PARTS,
    extract_landmarks,
    landmark_quality,
    mirror_quality,
    predictor_path,
    scale_points,
)

RNG = np.random.default_rng(0)


@dataclass(frozen=True)
class StandIn:
    """Points that depend on the picture alone, so that any process reads the same ones."""

    identity: str = "stand-in"
    log: str = ""

    def load(self):
        def predict(image, box):
            if self.log:
                with open(self.log, "ab") as file:
                    file.write(b".")
            start = int(image.sum(dtype=np.int64) % 1000)
            return (np.arange(136, dtype=np.int32).reshape(68, 2) * 7 + start) % 48

        return predict


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """An own folder for the tables of each test."""
    monkeypatch.setenv("MENAGERIE_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("MENAGERIE_LANDMARKS", raising=False)
    return tmp_path / "cache"


@pytest.fixture
def faces():
    images = list(RNG.integers(0, 256, (300, 48, 48, 1), np.uint8))
    return images, [content_digest(image) for image in images]


@pytest.fixture
def no_predictor(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)


def readings(log):
    """How many faces were read."""
    return os.path.getsize(log) if os.path.exists(log) else 0


# --- geometry


@pytest.mark.parametrize("parts", [PARTS, IBUG_PARTS])
def test_the_parts_cover_every_point_once_and_in_order(parts):
    assert np.concatenate([np.arange(68)[part] for part in parts.values()]).tolist() == [*range(68)]


def test_the_parts_are_those_of_the_paper():
    assert list(PARTS) == [
        "jaw",
        "right_brow",
        "left_brow",
        "nose",
        "right_eye",
        "left_eye",
        "mouth",
        "lips",
    ]
    assert PARTS["mouth"] == slice(48, 61)
    assert IBUG_PARTS["mouth"] == slice(48, 60)


def test_the_mirror_swaps_sides_and_comes_back():
    assert MIRROR[MIRROR].tolist() == [*range(68)]
    assert set(MIRROR[PARTS["right_brow"]]) == set(range(22, 27))
    assert set(MIRROR[PARTS["right_eye"]]) == set(range(42, 48))
    for name in ("jaw", "nose"):
        assert set(MIRROR[PARTS[name]]) == set(np.arange(68)[PARTS[name]])
    assert set(MIRROR[IBUG_PARTS["mouth"]]) == set(range(48, 60))
    # Points on the axis stay: chin, bridge and tip of the nose, middles of the lips.
    fixed = [point for point in range(68) if MIRROR[point] == point]
    assert fixed == [8, 27, 28, 29, 30, 33, 51, 57, 62, 66]


def test_points_scale_with_their_picture():
    points = np.full((2, 68, 2), [30.0, 40.0])
    found = scale_points(points, np.array([[48, 48], [80, 120]]), (48, 48))
    assert found.dtype == np.float32
    assert found[0, 0].tolist() == [30, 40]
    assert found[1, 5].tolist() == [12, 24]


def test_two_readings_that_agree_have_quality_one():
    points = RNG.uniform(0, 47, (5, 68, 2))
    mirrored = points[:, MIRROR] * [-1, 1] + [47, 0]
    assert np.allclose(mirror_quality(points, mirrored, np.full((5, 2), 48)), 1)


def test_quality_is_half_where_readings_differ_by_a_tenth_of_the_eyes_distance():
    points = np.zeros((1, 68, 2))
    points[0, 36], points[0, 45] = (10, 20), (30, 20)
    back = points + [0, 2]
    mirrored = back[:, MIRROR] * [-1, 1] + [47, 0]
    assert mirror_quality(points, mirrored, [[48, 48]]) == pytest.approx(0.5)


def test_quality_falls_with_the_error_and_not_with_the_pictures_size():
    points = RNG.uniform(10, 37, (1, 68, 2))
    points[0, 36], points[0, 45] = (10, 20), (30, 20)
    found = []
    for scale, shift in ((1, 1), (1, 3), (4, 3)):
        mirrored = (points + shift)[:, MIRROR] * [-1, 1] + [48 - 1 / scale, 0]
        extents = np.full((1, 2), 48 * scale)
        found.append(mirror_quality(points * scale, mirrored * scale, extents)[0])
    assert 0 < found[1] < found[0] < 1
    assert found[2] == pytest.approx(found[1])


# --- the table


def test_points_and_quality_have_their_shapes(faces, cache):
    points = extract_landmarks(*faces, predictor=StandIn())
    quality = landmark_quality(*faces, predictor=StandIn())
    assert points.shape == (300, 68, 2)
    assert quality.shape == (300,)
    assert points.dtype == quality.dtype == np.float32
    assert ((quality > 0) & (quality <= 1)).all()
    assert len(list(cache.iterdir())) == 2
    expected = StandIn().load()(faces[0][17], None)
    assert np.array_equal(points[17], expected)


def test_what_was_read_is_not_read_again(faces, tmp_path):
    log = str(tmp_path / "log")
    first = extract_landmarks(*faces, predictor=StandIn(log=log))
    assert readings(log) == 300
    again = extract_landmarks(*faces, predictor=StandIn(log=log))
    assert readings(log) == 300
    assert np.array_equal(first, again)


def test_the_order_of_the_pictures_does_not_matter(faces, tmp_path):
    log = str(tmp_path / "log")
    points = extract_landmarks(*faces, predictor=StandIn(log=log))
    turned = [list(reversed(column)) for column in faces]
    again = extract_landmarks(*turned, predictor=StandIn(log=log))
    assert readings(log) == 300
    assert np.array_equal(again[::-1], points)


@pytest.mark.parametrize("torn", [3, 100, 5000])
def test_work_that_was_killed_goes_on_where_it_stopped(faces, tmp_path, cache, torn):
    log = str(tmp_path / "log")
    expected = extract_landmarks(*faces, predictor=StandIn())
    (table,) = cache.iterdir()
    whole = table.read_bytes()
    kept = whole[:-torn]
    table.write_bytes(kept)
    found = extract_landmarks(*faces, predictor=StandIn(log=log))
    assert np.array_equal(found, expected)
    assert readings(log) == 300 - kept.count(b"\t.\n")
    assert 0 < readings(log) < 300
    # The torn row must not have spoilt the one that was written after it.
    extract_landmarks(*faces, predictor=StandIn(log=log + "2"))
    assert readings(log + "2") == 0


def test_a_row_torn_within_its_last_number_is_read_again(faces, tmp_path, cache):
    log = str(tmp_path / "log")
    expected = extract_landmarks(*faces, predictor=StandIn())
    (table,) = cache.iterdir()
    table.write_bytes(table.read_bytes().removesuffix(b"\t.\n")[:-1])
    found = extract_landmarks(*faces, predictor=StandIn(log=log))
    assert readings(log) == 1
    assert np.array_equal(found, expected)


def test_another_predictor_starts_anew(faces, tmp_path):
    log = str(tmp_path / "log")
    extract_landmarks(*faces, predictor=StandIn())
    extract_landmarks(*faces, predictor=StandIn(identity="another", log=log))
    assert readings(log) == 300


def test_copies_of_a_picture_are_read_once(faces, tmp_path):
    log = str(tmp_path / "log")
    images, digests = ([*column, *column] for column in faces)
    points = extract_landmarks(images, digests, predictor=StandIn(log=log))
    assert readings(log) == 300
    assert np.array_equal(points[:300], points[300:])


def test_a_few_faces_leave_no_file(faces, cache):
    images, digests = (column[:5] for column in faces)
    points = extract_landmarks(images, digests, predictor=StandIn())
    assert points.shape == (5, 68, 2)
    assert not cache.exists()


def test_no_faces_give_no_rows():
    assert extract_landmarks([], [], predictor=StandIn()).shape == (0, 68, 2)
    assert landmark_quality([], [], predictor=StandIn()).shape == (0,)


def test_a_table_that_cannot_be_written_is_named_and_stops_nothing(faces, cache, caplog):
    cache.write_text("a file where the folder should be")
    points = extract_landmarks(*faces, predictor=StandIn())
    assert np.array_equal(points[3], StandIn().load()(faces[0][3], None))
    (record,) = caplog.records
    assert "set MENAGERIE_CACHE" in record.getMessage()


def test_the_mirror_is_read_with_the_mirrored_box(faces):
    boxes = []

    class Watcher(StandIn):
        def load(self):
            def predict(image, box):
                boxes.append((box, image[0, 0]))
                return np.zeros((68, 2), np.int32)

            return predict

    images, digests = (column[:1] for column in faces)
    landmark_quality(images, digests, predictor=Watcher())
    (here, left), (there, right) = boxes
    assert (here, there) == ((0, 0, 48, 48), (-1, 0, 47, 48))
    assert (left, right) == (images[0][0, 0, 0], images[0][0, -1, 0])


# --- processes


def test_several_processes_read_what_one_reads(faces, tmp_path, monkeypatch):
    monkeypatch.setattr(landmarks, "_CHUNK_FACES", 40)
    parallel = extract_landmarks(*faces, predictor=StandIn(), workers=2)
    monkeypatch.setenv("MENAGERIE_CACHE", str(tmp_path / "other"))
    serial = extract_landmarks(*faces, predictor=StandIn(), workers=1)
    assert np.array_equal(parallel, serial)


@dataclass(frozen=True)
class Deadly(StandIn):
    """Ends every process but the one that made it."""

    home: int = 0

    def load(self):
        if os.getpid() != self.home:
            os._exit(1)
        return super().load()


def test_faces_are_read_even_where_processes_die(faces, monkeypatch):
    monkeypatch.setattr(landmarks, "_CHUNK_FACES", 40)
    points = extract_landmarks(*faces, predictor=Deadly(home=os.getpid()), workers=2)
    assert np.array_equal(points[299], StandIn().load()(faces[0][299], None))


# --- the predictor


def test_without_the_predictor_the_way_to_it_is_shown(faces, no_predictor):
    with pytest.raises(InputError, match=r'pip install -e "\.\[faces\]"') as caught:
        extract_landmarks(*faces)
    assert "\n" not in str(caught.value)


def test_a_complete_table_does_without_the_predictor(faces, no_predictor):
    expected = extract_landmarks(*faces, predictor=StandIn())
    assert np.array_equal(extract_landmarks(*faces), expected)


def test_the_predictor_may_be_given(tmp_path, monkeypatch):
    path = tmp_path / "own.dat"
    monkeypatch.setenv("MENAGERIE_LANDMARKS", str(path))
    with pytest.raises(InputError, match="own.dat, which is no file"):
        predictor_path()
    path.write_bytes(b"not a predictor")
    assert predictor_path() == path


def test_a_file_that_is_no_predictor_is_named(faces, tmp_path, monkeypatch):
    path = tmp_path / "own.dat"
    path.write_bytes(b"not a predictor")
    monkeypatch.setenv("MENAGERIE_LANDMARKS", str(path))
    with pytest.raises(InputError, match="own.dat is no landmark predictor"):
        extract_landmarks(*faces)


@pytest.mark.real
def test_the_real_predictor_agrees_with_itself_on_an_even_face(real_data):
    from datasets.fer2013 import load

    table = load(real_data / "fer2013")
    images = list(table.modalities["image"][:200])
    digests = table.frame["digest"].tolist()[:200]
    points = extract_landmarks(images, digests)
    quality = landmark_quality(images, digests)
    assert points.min() > -48 and points.max() < 96
    assert 0.6 < np.median(quality) < 0.95
    # Right eye on the left of the picture, brows over eyes over mouth.
    centres = {name: np.median(points[:, part], axis=(0, 1)) for name, part in PARTS.items()}
    assert centres["right_eye"][0] < centres["nose"][0] < centres["left_eye"][0]
    assert centres["right_brow"][1] < centres["right_eye"][1] < centres["mouth"][1]
