"""Class folders, in folders and in archives, and what is wrong with them."""

import io
import os
import shutil
import tarfile
import zipfile

import numpy as np
import pytest
from PIL import Image

from datasets.errors import InputError
from datasets.files import FileTree
from datasets.images import shrink
from datasets.own_data import FacePoints, face_points, load, read_class_folders
from datasets.pictures import Pictures

RNG = np.random.default_rng(0)


def write_picture(path, size=(12, 10)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(RNG.integers(0, 256, size, np.uint8)).save(path)


@pytest.fixture
def folder(tmp_path):
    """Two classes of three pictures each."""
    for name in ("oak/1.png", "oak/2.PNG", "oak/sub/3.png", "elm/1.png", "elm/2.png", "elm/3.png"):
        write_picture(tmp_path / "data" / name)
    return tmp_path / "data"


def archive(folder, kind, wrapper=""):
    """Pack a folder in an order that is not the sorted one."""
    target = folder.parent / f"packed{kind}"
    files = sorted((path for path in folder.rglob("*") if path.is_file()), reverse=True)
    if kind == ".zip":
        with zipfile.ZipFile(target, "w") as packed:
            for path in files:
                packed.write(path, wrapper + path.relative_to(folder).as_posix())
    else:
        with tarfile.open(target, "w:gz" if kind != ".tar" else "w") as packed:
            for path in files:
                packed.add(path, wrapper + path.relative_to(folder).as_posix())
    return target


def assert_equal(one, other):
    assert one.paths == other.paths
    assert one.labels == other.labels
    assert one.parts == other.parts
    assert one.digests == other.digests
    assert all(map(np.array_equal, one.images, other.images))


def test_pictures_are_sorted_and_labelled_by_their_folder(folder):
    found = read_class_folders(folder)
    assert found.paths == [
        "elm/1.png",
        "elm/2.png",
        "elm/3.png",
        "oak/1.png",
        "oak/2.PNG",
        "oak/sub/3.png",
    ]
    assert found.labels == ["elm"] * 3 + ["oak"] * 3
    assert set(found.parts) == {""}
    assert found.images[0].shape == (12, 10, 1)
    assert len(set(found.digests)) == 6


@pytest.mark.parametrize("kind", [".zip", ".tar", ".tar.gz", ".tgz"])
@pytest.mark.parametrize("wrapper", ["", "archive/inner/", "./"])
def test_an_archive_equals_its_folder(folder, kind, wrapper):
    assert_equal(read_class_folders(archive(folder, kind, wrapper)), read_class_folders(folder))


def test_a_folder_of_one_archive_counts_as_the_archive(folder, tmp_path):
    inside = tmp_path / "downloads"
    inside.mkdir()
    shutil.move(archive(folder, ".tar"), inside)
    (inside / "README.txt").write_text("a note")
    assert_equal(read_class_folders(inside), read_class_folders(folder))


def test_a_wrapper_folder_is_skipped_over(folder, tmp_path):
    shutil.copytree(folder, tmp_path / "outer" / "archive")
    assert_equal(read_class_folders(tmp_path / "outer"), read_class_folders(folder))


@pytest.mark.parametrize(
    ("given", "part"),
    [
        ("train", "train"),
        ("Training", "train"),
        ("val", "validation"),
        ("VALID", "validation"),
        ("validation", "validation"),
        ("PublicTest", "validation"),
        ("test", "test"),
        ("PrivateTest", "test"),
    ],
)
def test_upper_folders_are_parts(folder, tmp_path, given, part):
    shutil.copytree(folder, tmp_path / "parted" / given)
    found = read_class_folders(tmp_path / "parted")
    assert set(found.parts) == {part}
    assert found.labels == ["elm"] * 3 + ["oak"] * 3
    assert found.paths[0] == f"{given}/elm/1.png"


def test_a_lone_class_is_no_wrapper(folder):
    shutil.rmtree(folder / "oak")
    assert read_class_folders(folder).labels == ["elm"] * 3
    with pytest.raises(InputError, match="one class only, 'elm'"):
        load(folder)
    assert len(load(folder, strict=False)) == 3


def test_other_files_and_hidden_ones_are_passed_over(folder):
    (folder / "notes.csv").write_text("a,b")
    (folder / "elm" / "Thumbs.db").write_bytes(b"\0")
    write_picture(folder / "elm" / ".hidden.png")
    write_picture(folder / "__MACOSX" / "elm" / "1.png")
    assert len(read_class_folders(folder).paths) == 6


def test_linked_pictures_on_disk_are_read_and_loops_end(folder, tmp_path):
    linked = tmp_path / "linked"
    for name in ("oak", "elm"):
        (linked / name).mkdir(parents=True)
        os.symlink(folder / name / "1.png", linked / name / "1.png")
    os.symlink(linked, linked / "oak" / "loop")
    assert read_class_folders(linked).labels == ["elm", "oak"]


def test_links_and_ways_out_of_an_archive_are_passed_over(folder):
    path = archive(folder, ".tar")
    with tarfile.open(path, "a") as packed:
        link = tarfile.TarInfo("elm/link.png")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        packed.addfile(link)
        out = tarfile.TarInfo("elm/../../out.png")
        packed.addfile(out, io.BytesIO())
    assert len(read_class_folders(path).paths) == 6


def test_the_table_holds_pictures_of_their_own_size_and_colour(folder):
    write_picture(folder / "oak" / "colour.png", (30, 20, 3))
    table = load(folder)
    assert table.labels == ("elm", "oak")
    pictures = table.modalities["image"]
    assert isinstance(pictures, Pictures)
    assert [picture.shape for picture in pictures] == [(12, 10, 1)] * 5 + [(30, 20, 3), (12, 10, 1)]
    for key, picture in zip(table.frame["key"], pictures, strict=True):
        found = np.array(Image.open(folder / key))
        assert np.array_equal(picture.reshape(found.shape), found)
    assert table.targets.tolist() == [0, 0, 0, 1, 1, 1, 1]
    assert table.frame["key"].is_unique
    cut = table.take(np.array([5, 0]))
    assert [picture.shape for picture in cut.modalities["image"]] == [(30, 20, 3), (12, 10, 1)]


def test_a_large_photograph_is_stored_smaller_and_known_by_its_own_pixels(folder, monkeypatch):
    write_picture(folder / "oak" / "large.png", (60, 90, 3))
    before = read_class_folders(folder)
    monkeypatch.setattr("datasets.own_data.shrink", lambda image: shrink(image, 20))
    after = read_class_folders(folder)
    row = after.paths.index("oak/large.png")
    assert before.images[row].shape == (60, 90, 3)
    assert after.images[row].shape == (20, 30, 3)
    assert after.digests == before.digests


def save(path, picture, kind=None, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.save(path, kind, **options)


def test_photographs_of_every_kind_are_read(folder):
    colours = Image.fromarray(RNG.integers(0, 256, (16, 24, 3), np.uint8))
    turned = Image.Exif()
    turned[0x0112] = 8
    save(folder / "kinds" / "a.gif", colours)
    save(folder / "kinds" / "b.jpg", colours.convert("CMYK"))
    save(folder / "kinds" / "c.png", Image.fromarray(RNG.integers(0, 65536, (16, 24), np.uint16)))
    save(folder / "kinds" / "d.jpg", colours, exif=turned)
    save(folder / "kinds" / "e.webp", colours.convert("RGBA"))
    table = load(folder)
    rows = np.flatnonzero(table.frame["label"] == "kinds")
    found = [picture.shape for picture in table.modalities["image"][rows]]
    assert found == [(16, 24, 3), (16, 24, 3), (16, 24, 1), (24, 16, 3), (16, 24, 3)]
    assert table.unreadable == ()


@pytest.mark.parametrize(
    ("picture", "reason"),
    [
        (Image.new("RGB", (1, 1)), r"is too small \(1x1 pixels"),
        (Image.new("RGB", (40, 40)), "has more than 0 million pixels"),
    ],
)
def test_a_picture_of_an_impossible_size_is_named_with_the_reason(
    folder, monkeypatch, picture, reason
):
    monkeypatch.setattr("datasets.images.MAX_PIXELS", 1000)
    save(folder / "elm" / "0.png", picture)
    with pytest.raises(InputError, match=f"1 of 7 .* the first, elm/0.png, {reason}") as caught:
        load(folder)
    assert "\n" not in str(caught.value)


def test_half_a_photograph_is_named_with_the_reason(folder):
    path = folder / "elm" / "0.jpg"
    write_picture(path, (64, 64, 3))
    path.write_bytes(path.read_bytes()[:-900])
    with pytest.raises(InputError, match="the first, elm/0.jpg, is damaged") as caught:
        load(folder)
    assert "\n" not in str(caught.value)


def test_landmarks_are_those_of_a_face_of_48_pixels_whatever_the_photographs_size():
    def points(images, digests):
        return np.array([[[image.shape[1], image.shape[0]]] * 68 for image in images], np.float32)

    images = [np.zeros((100, 50, 3), np.uint8), np.zeros((48, 96, 1), np.uint8)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("datasets.landmarks.extract_landmarks", points)
        patch.setattr("datasets.landmarks.landmark_quality", lambda *columns: np.ones(2))
        assert face_points(images, ["a", "b"], ("image",)) == FacePoints()
        found = face_points(images, ["a", "b"], ("image", "landmarks"))
        assert (found.arrays["landmarks"] == 48).all()
        assert found.arrays["landmarks"].shape == (2, 68, 2)
        assert found.quality == {}
        found = face_points(images, ["a", "b"], ("landmarks", "landmark_quality"))
        assert found.quality["landmarks"].tolist() == [1, 1]


def test_one_unreadable_picture_in_a_hundred_is_skipped_with_a_line(folder):
    for number in range(100):
        write_picture(folder / "oak" / f"more{number}.png")
    (folder / "elm" / "broken.jpg").write_bytes(b"no picture")
    table = load(folder)
    assert len(table) == 106
    assert table.unreadable == ("elm/broken.jpg: is not a picture",)


def test_too_many_unreadable_pictures_stop_with_the_first_of_them(folder):
    (folder / "elm" / "broken.jpg").write_bytes(b"no picture")
    with pytest.raises(InputError, match="1 of 7 .*elm/broken.jpg, is not a picture"):
        load(folder)


def test_a_picture_beside_the_classes_is_reported(folder):
    write_picture(folder / "preview.png")
    with pytest.raises(InputError, match="preview.png, lies in no class folder"):
        load(folder)


def test_an_empty_class_is_named(folder):
    (folder / "ash").mkdir()
    with pytest.raises(InputError, match="'ash' holds no picture"):
        load(folder)


def test_an_empty_class_in_a_part_is_named(folder, tmp_path):
    shutil.copytree(folder, tmp_path / "parted" / "train")
    (tmp_path / "parted" / "test" / "elm").mkdir(parents=True)
    with pytest.raises(InputError, match="'test' holds no picture|'test/elm' holds no picture"):
        load(tmp_path / "parted")


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(InputError, match="nowhere does not exist"):
        load(tmp_path / "nowhere")


def test_a_folder_without_pictures_is_refused(tmp_path):
    with pytest.raises(InputError, match="no pictures in class folders"):
        load(tmp_path)


def test_a_file_of_another_kind_is_refused(tmp_path):
    (tmp_path / "notes.txt").write_text("a note")
    with pytest.raises(InputError, match="neither a folder nor an archive"):
        load(tmp_path / "notes.txt")


@pytest.mark.parametrize("kind", [".zip", ".tar", ".tar.gz"])
@pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
def test_a_truncated_archive_is_refused(folder, kind, share):
    path = archive(folder, kind)
    data = path.read_bytes().rstrip(b"\0")
    path.write_bytes(data[: int(share * len(data))])
    with pytest.raises(InputError, match="cannot be read") as caught:
        load(path)
    assert "\n" not in str(caught.value)


def test_a_tar_that_ends_between_two_members_is_refused(folder):
    path = archive(folder, ".tar")
    with tarfile.open(path) as packed:
        cut = packed.getmembers()[3].offset
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(InputError, match="its end is missing"):
        load(path)


def test_a_file_of_more_than_64_mb_is_not_read(folder, monkeypatch):
    monkeypatch.setattr("datasets.files.MAX_BYTES", 10)
    with FileTree(folder, (".png",)) as tree, pytest.raises(ValueError, match="more than the"):
        tree.read("elm/1.png")
