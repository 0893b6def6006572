"""Pictures on disk: read when they are needed, checked once, batched like those in memory."""

import os
import threading
import time

import numpy as np
import pytest
from PIL import Image

import datasets.kept_rows
import datasets.picture_checks
from datasets.augmentation import PictureAugmentation
from datasets.base import content_digest
from datasets.errors import InputError
from datasets.images import Fit, decode_image, fit_images
from datasets.picture_checks import check_pictures
from datasets.picture_files import FittedFiles, PictureFiles, in_order, threads
from datasets.pictures import Pictures
from datasets.pipelines import judging_pipeline, training_pipeline, view_pipeline
from models.inputs import ImageInput

COUNT = 10
FIT = Fit(8, 8, 3)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Pictures of many sizes, grey ones among them, one larger than what a table keeps."""
    place = tmp_path_factory.mktemp("pictures")
    for row in range(COUNT):
        shape = (600, 700, 3) if row == 4 else (12 + row, 20 - row % 5, 3)
        pixels = np.random.default_rng(row).integers(0, 256, shape, np.uint8)
        image = Image.fromarray(pixels[..., 0] if row % 3 == 1 else pixels)
        image.save(place / f"{row}.png")
    return place


@pytest.fixture
def files(folder):
    return PictureFiles(str(folder), np.array([f"{row}.png" for row in range(COUNT)], object))


# --- the column


def test_files_behave_like_pictures_in_memory(folder, files):
    images = [decode_image((folder / f"{row}.png").read_bytes()) for row in range(COUNT)]
    assert len(files) == COUNT and len(files[2:5]) == 3
    for row in (0, 3, -1, np.int64(7)):
        assert np.array_equal(files[row], images[row])
    assert files[4].shape == (512, 597, 1)
    rows = np.array([9, 1, 1])
    assert all(map(np.array_equal, files[rows], (images[row] for row in rows)))
    assert all(map(np.array_equal, files[::3][1:], (images[row] for row in (3, 6, 9))))
    with pytest.raises(IndexError):
        files[COUNT]


def test_a_box_is_cut_out_before_the_picture_is_made_smaller(folder, files):
    image = decode_image((folder / "4.png").read_bytes())
    boxes = np.full((COUNT, 4), np.nan)
    boxes[4] = (300.4, 100, 349.2, 1e9)
    boxed = PictureFiles(files.folder, files.paths, boxes)
    assert np.array_equal(boxed[4], image[100:, 300:350])
    assert np.array_equal(boxed[1:6][3], boxed[4]) and np.array_equal(boxed[2], files[2])


def test_fitted_files_are_what_fit_images_makes_of_them(files):
    expected = fit_images(list(files), FIT)
    fitted = files.fitted(FIT)
    assert fitted.shape == expected.shape and fitted.dtype == expected.dtype
    assert np.array_equal(np.asarray(fitted), expected)
    assert np.array_equal(fitted[3], expected[3])
    assert np.array_equal(np.asarray(fitted[np.array([5, 2])]), expected[[5, 2]])
    assert np.asarray(fitted[:0]).shape == (0, 8, 8, 3)


def test_a_file_that_has_gone_is_named(files):
    gone = PictureFiles(files.folder, np.array(["gone.png"], object))
    with pytest.raises(InputError, match=r"gone.png is not there: it was read before"):
        list(gone)


def test_work_over_threads_comes_in_order_a_little_ahead_of_need():
    begun, before = [], set(threading.enumerate())  # other tests may have left some

    def work(item):
        begun.append(item)
        time.sleep(0.002 * (item % 3))
        return item

    found = in_order(work, iter(range(1000)))
    assert [next(found) for _ in range(20)] == list(range(20))
    found.close()
    assert len(begun) <= 20 + 4 * threads()
    assert threads() == len(os.sched_getaffinity(0))
    deadline = time.monotonic() + 5
    while any("ThreadPool" in one.name for one in set(threading.enumerate()) - before):
        assert time.monotonic() < deadline


# --- batches


def batches(arrays, augment=None, epochs=2):
    found, steps = training_pipeline(
        arrays, np.arange(COUNT), np.ones(COUNT), 4, 3, epochs, augment=augment
    )
    images, targets = zip(
        *((inputs["image"].numpy(), answers.numpy()) for inputs, answers, _ in found), strict=True
    )
    assert len(images) == epochs * steps
    return np.concatenate(images), np.concatenate(targets)


def test_training_on_files_is_training_on_pictures(files):
    augment = PictureAugmentation(FIT, area=(0.3, 0.9), flip=True, hue=0.2)
    expected = batches({"image": Pictures.of(files)}, augment)
    found = batches({"image": files}, augment)
    assert all(map(np.array_equal, found, expected))
    fitted, targets = batches({"image": files.fitted(FIT)})
    plain = np.asarray(files.fitted(FIT))
    assert np.array_equal(fitted, plain[targets]) and set(targets) == set(range(COUNT))


def test_judging_and_views_of_files_keep_the_order_of_the_rows(files):
    fitted = files.fitted(FIT)
    expected = np.asarray(fitted)
    found = list(judging_pipeline({"image": fitted}, np.arange(COUNT), batch_size=4))
    assert [len(targets) for _, targets in found] == [4, 4, 2]
    assert np.array_equal(np.concatenate([inputs["image"] for inputs, _ in found]), expected)
    alone = np.concatenate([inputs["image"] for inputs in judging_pipeline({"image": fitted})])
    assert np.array_equal(alone, expected)
    (large,) = judging_pipeline({"image": files[:1].fitted(Fit(900, 900, 3))})
    assert large["image"].shape == (1, 900, 900, 3)
    augment = PictureAugmentation(FIT, area=(0.3, 0.9))
    views = [
        np.concatenate(
            [batch["image"] for batch in view_pipeline({"image": column}, augment, 1, 2)]
        )
        for column in (files, Pictures.of(files))
    ]
    assert np.array_equal(*views)


def test_large_pictures_on_disk_are_judged_a_few_at_a_time(files, monkeypatch):
    monkeypatch.setattr("datasets.pipelines._BATCH_BYTES", 3 * 4 * 8 * 8 * 3)
    found = [len(inputs["image"]) for inputs in judging_pipeline({"image": files.fitted(FIT)})]
    assert found == [3, 3, 3, 1]


def test_an_input_leaves_files_on_disk(files):
    record = ImageInput(8, 8, 3, name="image_2")
    fitted = record.fitted(files)
    assert isinstance(fitted, FittedFiles)
    assert np.array_equal(np.asarray(fitted), record.fitted(Pictures.of(files)))
    assert np.array_equal(record.examples(files), record.examples(Pictures.of(files)))


# --- the check


@pytest.fixture
def kept(monkeypatch, tmp_path):
    """Keeps what is found of any number of pictures; counts the pictures that are read."""
    monkeypatch.setenv("MENAGERIE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(datasets.picture_checks, "KEPT_FROM", 1)
    monkeypatch.setattr(datasets.kept_rows, "_SECONDS", 0)
    read, original = [], datasets.picture_checks.read_file

    def reading(path):
        read.append(os.path.basename(path))
        return original(path)

    monkeypatch.setattr(datasets.picture_checks, "read_file", reading)
    return read


@pytest.fixture
def place(tmp_path):
    for row in range(6):
        pixels = np.random.default_rng(row).integers(0, 256, (9, 12, 3), np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{row}.png")
    (tmp_path / "6.png").write_bytes(b"no picture")
    return tmp_path


PATHS = np.array([*(f"{row}.png" for row in range(8)), "notes.txt"], object)


def test_every_picture_is_checked_once(place, kept):
    found = check_pictures(str(place), PATHS)
    assert sorted(kept) == [f"{row}.png" for row in range(7)]
    for row in range(6):
        image = decode_image((place / f"{row}.png").read_bytes())
        assert found.digests[row] == content_digest(image)
    assert found.sizes.tolist() == [[9, 12]] * 6 + [[0, 0]] * 3
    assert list(found.broken) == ["6.png", "7.png", "notes.txt"]
    assert found.broken["6.png"] == "is not a picture"
    assert found.broken["7.png"] == "is not there"
    assert found.broken["notes.txt"].startswith("is no picture file (.jpg")
    kept.clear()
    again = check_pictures(str(place), PATHS[::-1])
    assert not kept
    assert again.digests[::-1].tolist() == found.digests.tolist()
    assert again.sizes[::-1].tolist() == found.sizes.tolist() and again.broken == found.broken


def test_a_picture_that_has_changed_is_checked_again(place, kept):
    first = check_pictures(str(place), PATHS)
    Image.fromarray(np.zeros((30, 40), np.uint8)).save(place / "2.png")
    kept.clear()
    found = check_pictures(str(place), PATHS)
    assert kept == ["2.png"] and found.sizes[2].tolist() == [30, 40]
    assert found.digests[2] != first.digests[2]
    kept.clear()
    assert check_pictures(str(place), PATHS).digests.tolist() == found.digests.tolist()
    assert not kept


def test_an_interrupted_check_goes_on(place, kept, monkeypatch):
    expected = check_pictures(str(place), PATHS)
    (file,) = (place / "cache").iterdir()
    file.unlink()
    kept.clear()
    decode, seen = datasets.picture_checks.decode_image, []

    def stops(data):
        seen.append(data)
        if len(seen) == 4:
            raise KeyboardInterrupt
        return decode(data)

    # With several threads it would depend on chance which picture is the fourth.
    monkeypatch.setattr("datasets.picture_files.threads", lambda: 1)
    monkeypatch.setattr(datasets.picture_checks, "decode_image", stops)
    with pytest.raises(KeyboardInterrupt):
        check_pictures(str(place), PATHS)
    monkeypatch.setattr(datasets.picture_checks, "decode_image", decode)
    with open(file, "ab") as torn:
        torn.write(b"5.png\t12")
    kept.clear()
    found = check_pictures(str(place), PATHS)
    assert sorted(kept) == ["3.png", "4.png", "5.png", "6.png"]
    assert found.digests.tolist() == expected.digests.tolist()
    kept.clear()
    assert check_pictures(str(place), PATHS).broken == expected.broken and not kept


def test_a_folder_that_cannot_be_written_to_costs_time_only(place, kept, monkeypatch, caplog):
    (place / "file").write_text("x")
    monkeypatch.setenv("MENAGERIE_CACHE", str(place / "file"))
    for _ in range(2):
        assert len(check_pictures(str(place), PATHS).broken) == 3
    assert len(kept) == 14
    assert "set MENAGERIE_CACHE" in caplog.text
