"""FER2013 in its formats, and what is wrong with a damaged copy."""

import csv
import io
import tarfile
import time
import zipfile

import numpy as np
import pytest
from PIL import Image

from datasets import fer2013
from datasets.emotions import EMOTIONS
from datasets.errors import InputError
from datasets.fer2013 import PIXELS, load, parse_pixels

RNG = np.random.default_rng(0)
FACES = RNG.integers(0, 256, (14, 48, 48, 1), np.uint8)
CODES = list(range(7)) * 2
USAGES = ["Training"] * 8 + ["PublicTest"] * 3 + ["PrivateTest"] * 3
PARTS = ["train"] * 8 + ["validation"] * 3 + ["test"] * 3


def pixel_text(face):
    return " ".join(map(str, face.ravel()))


def csv_text(header="emotion,pixels,Usage", codes=CODES, usages=USAGES, pixels=None, end="\n"):
    pixels = pixels or [pixel_text(face) for face in FACES]
    values = {"emotion": codes, "pixels": pixels, "usage": usages}
    columns = [values[name.strip().lower()] for name in header.split(",")]
    rows = (",".join(map(str, row)) for row in zip(*columns, strict=True))
    return end.join([header, *rows, ""])


def write_csv(folder, name="fer2013.csv", **options):
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_bytes(csv_text(**options).encode())
    return path


def write_folders(folder, parted=True):
    for number, (face, code, usage) in enumerate(zip(FACES, CODES, USAGES, strict=True)):
        below = folder / usage if parted else folder
        path = below / EMOTIONS[code] / f"{number:02}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(face[..., 0]).save(path)
    return folder


def assert_rows(table, parts=PARTS):
    assert np.array_equal(table.modalities["image"], FACES)
    assert table.modalities["image"].dtype == np.uint8
    assert table.targets.tolist() == CODES
    assert table.frame["part"].tolist() == parts
    assert table.frame["key"].is_unique


def one_line(caught):
    return "\n" not in str(caught.value)


# --- formats


@pytest.mark.parametrize(
    ("name", "header", "parts"),
    [
        ("fer2013.csv", "emotion,pixels,Usage", PARTS),
        ("icml_face_data.csv", "emotion, Usage, pixels", PARTS),
        ("train.csv", "emotion,pixels", [""] * 14),
        ("my_export.csv", "Usage,pixels,emotion", PARTS),
    ],
)
def test_every_published_table_is_read(tmp_path, name, header, parts):
    path = write_csv(tmp_path / "data", name, header=header)
    table = load(path.parent)
    assert_rows(table, parts)
    assert name in table.provenance
    assert_rows(load(path), parts)


def test_line_ends_byte_marks_quotes_and_blank_lines_do_not_matter(tmp_path):
    pixels = [f'"{pixel_text(face)}"' for face in FACES]
    path = write_csv(tmp_path / "data", pixels=pixels, end="\r\n")
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes() + b"\r\n\r\n")
    assert_rows(load(path))


def test_emotions_may_be_names_and_their_variants(tmp_path):
    codes = ["Anger", "disgusted", "FEAR", "happiness", "sadness", "surprised", "neutral"] * 2
    assert_rows(load(write_csv(tmp_path / "data", codes=codes)))


def test_a_table_in_an_archive_is_read_in_place(tmp_path):
    with zipfile.ZipFile(tmp_path / "challenge.zip", "w") as packed:
        packed.writestr("challenge/icml_face_data.csv", csv_text("emotion, Usage, pixels"))
        packed.writestr("challenge/test.csv", "pixels\n1 2 3\n")
    assert_rows(load(tmp_path / "challenge.zip"))
    assert [path.name for path in tmp_path.iterdir()] == ["challenge.zip"]


def test_the_fuller_of_two_tables_is_taken(tmp_path):
    write_csv(tmp_path, "train.csv", header="emotion,pixels")
    write_csv(tmp_path, "fer2013.csv")
    assert "fer2013.csv" in load(tmp_path).provenance


@pytest.mark.parametrize("parted", [True, False])
def test_folders_hold_the_same_faces_as_the_table(tmp_path, parted):
    table = load(write_csv(tmp_path / "csv"))
    folders = load(write_folders(tmp_path / "folders", parted))
    columns = ["label", "digest"] + ["part"] * parted
    one, other = (
        sorted(found.frame[columns].itertuples(index=False, name=None))
        for found in (table, folders)
    )
    assert one == other
    assert folders.frame["key"].tolist() == sorted(folders.frame["key"])


@pytest.mark.parametrize("parted", [True, False])
def test_tar_zip_and_folder_give_the_same_table(tmp_path, parted):
    folder = write_folders(tmp_path / "folders", parted)
    files = sorted((path for path in folder.rglob("*.png")), reverse=True)
    with tarfile.open(tmp_path / "faces.tar", "w") as packed:
        for path in files:
            packed.add(path, f"faces/{path.relative_to(folder)}")
    with zipfile.ZipFile(tmp_path / "faces.zip", "w") as packed:
        for path in files:
            packed.write(path, path.relative_to(folder))
    expected = load(folder)
    for name in ("faces.tar", "faces.zip"):
        found = load(tmp_path / name)
        assert found.frame.equals(expected.frame)
        assert np.array_equal(found.modalities["image"], expected.modalities["image"])


def test_larger_colour_pictures_are_brought_to_the_faces_size(tmp_path):
    for emotion in EMOTIONS:
        (tmp_path / emotion).mkdir()
        Image.new("RGB", (96, 64), (200, 200, 200)).save(tmp_path / emotion / "1.png")
    image = load(tmp_path).modalities["image"]
    assert image.shape == (7, 48, 48, 1)
    np.testing.assert_allclose(image, 200, rtol=1e-6)


def test_the_provenance_compares_with_the_published_checksum(tmp_path, monkeypatch):
    path = write_csv(tmp_path)
    assert "differs from the published" in load(path).provenance
    md5 = fer2013.hashlib.md5(path.read_bytes()).hexdigest()
    monkeypatch.setitem(fer2013.PUBLISHED, "fer2013.csv", md5)
    assert "matches the published checksum" in load(path).provenance
    other = path.rename(tmp_path / "other.csv")
    other.write_bytes(other.read_bytes() + b"\n")
    assert "no checksum is published" in load(other).provenance


# --- bad input


@pytest.mark.parametrize(
    ("header", "missing"), [("emotion,Usage", "pixels"), ("pixels,Usage", "emotion")]
)
def test_a_missing_column_is_named_with_those_found(tmp_path, header, missing):
    path = write_csv(tmp_path, header=header)
    found = header.replace(",", ", ")
    message = f"fer2013.csv, line 1: the column '{missing}' is missing; found: {found}"
    with pytest.raises(InputError, match=message) as caught:
        load(path)
    assert one_line(caught)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda words: words[:-1], "2,303 pixels where 2,304"),
        (lambda words: [*words, "7"], "2,305 pixels where 2,304"),
        (lambda words: [*words[:9], "256", *words[10:]], "pixel 10 is '256'"),
        (lambda words: [*words[:-1], "1000"], "pixel 2304 is '1000'"),
        (lambda words: ["-1", *words[1:]], "pixel 1 is '-1'"),
        (lambda words: ["x", *words[1:]], "pixel 1 is 'x'"),
        (lambda words: ["1.5", *words[1:]], "pixel 1 is '1.5'"),
        (lambda words: ["٣", *words[1:]], "pixel 1 is '٣'"),
        (lambda words: [], "0 pixels"),
    ],
)
@pytest.mark.parametrize("row", [0, 5, 13])
def test_bad_pixels_are_named_with_file_and_line(tmp_path, change, message, row):
    pixels = [pixel_text(face) for face in FACES]
    pixels[row] = " ".join(change(pixels[row].split()))
    path = write_csv(tmp_path, pixels=pixels)
    with pytest.raises(InputError, match=f"fer2013.csv, line {row + 2}: .*{message}") as caught:
        load(path)
    assert one_line(caught)


def test_a_pixel_too_few_here_and_one_too_many_there_is_not_evened_out(tmp_path):
    pixels = [pixel_text(face) for face in FACES]
    pixels[3], pixels[4] = pixels[3].rsplit(" ", 1)[0], pixels[4] + " 1"
    with pytest.raises(InputError, match="line 5: 2,303 pixels"):
        load(write_csv(tmp_path, pixels=pixels))


@pytest.mark.parametrize("code", ["7", "-1", "contempt", ""])
def test_an_unknown_emotion_is_named_with_the_seven(tmp_path, code):
    path = write_csv(tmp_path, codes=[*CODES[:4], code, *CODES[5:]])
    message = f"line 6: unknown emotion '{code}'.*angry, disgust, fear, happy, sad, surprise, neut"
    with pytest.raises(InputError, match=message):
        load(path)
    table = load(path, strict=False)
    assert table.targets.tolist() == [*CODES[:4], -1, *CODES[5:]]
    assert table.frame["label"][4] == code


def test_an_unknown_usage_is_named(tmp_path):
    path = write_csv(tmp_path, usages=["Practice", *USAGES[1:]])
    with pytest.raises(InputError, match="line 2: unknown Usage 'Practice'"):
        load(path)
    assert load(path, strict=False).frame["part"][0] == ""


def test_a_row_of_another_length_is_named(tmp_path):
    path = write_csv(tmp_path)
    path.write_text(path.read_text() + "1,2\n")
    with pytest.raises(InputError, match="line 16: 2 columns where the header has 3"):
        load(path)


def test_a_table_without_rows_is_refused(tmp_path):
    (tmp_path / "fer2013.csv").write_text("emotion,pixels,Usage\n")
    with pytest.raises(InputError, match="has a header and no row"):
        load(tmp_path)
    (tmp_path / "fer2013.csv").write_text("")
    with pytest.raises(InputError, match="'emotion' is missing; found: nothing"):
        load(tmp_path)


def test_an_emotion_without_a_face_is_named_unless_faces_are_only_judged(tmp_path):
    path = write_csv(tmp_path, codes=[0, 2, 3, 4, 5, 6, 6] * 2)
    with pytest.raises(InputError, match="no face for disgust"):
        load(path)
    assert load(path, strict=False).counts()["disgust"] == 0


def test_an_unknown_folder_is_named_with_the_way_out(tmp_path):
    folder = write_folders(tmp_path / "faces", parted=False)
    (folder / "happy").rename(folder / "contempt")
    with pytest.raises(InputError, match="'contempt' is no emotion.*angry.*--data folders"):
        load(folder)
    table = load(folder, strict=False)
    assert table.labels == EMOTIONS
    assert (table.targets == -1).sum() == 2


def test_an_empty_emotion_folder_is_named_unless_faces_are_only_judged(tmp_path):
    folder = write_folders(tmp_path / "faces", parted=False)
    for path in (folder / "happy").iterdir():
        path.unlink()
    with pytest.raises(InputError, match="'happy' holds no picture"):
        load(folder)
    assert len(load(folder, strict=False)) == 12


def test_an_image_that_is_no_image_is_named(tmp_path):
    folder = write_folders(tmp_path / "faces", parted=False)
    (folder / "happy" / "99.jpg").write_text("no picture")
    with pytest.raises(InputError, match="happy/99.jpg, is not a picture") as caught:
        load(folder)
    assert one_line(caught)


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(InputError, match="nowhere does not exist"):
        load(tmp_path / "nowhere")
    with pytest.raises(InputError, match="nowhere.csv does not exist"):
        load(tmp_path / "nowhere.csv")


# --- the parser


def naive(texts):
    return np.array([[int(word) for word in text.split(" ")] for text in texts], np.uint8)


def test_the_parser_reads_what_a_plain_one_reads():
    faces = np.concatenate([RNG.integers(0, high, (20, PIXELS)) for high in (2, 11, 101, 256)])
    texts = [pixel_text(face) for face in faces]
    assert np.array_equal(parse_pixels(texts, list(range(80)), "x.csv"), naive(texts))


def test_rows_that_are_spaced_unusually_are_read_too():
    texts = [pixel_text(face) for face in FACES]
    odd = [f"  {texts[0]} ", texts[1].replace(" ", "\t"), texts[2].replace(" ", "  ")]
    assert np.array_equal(parse_pixels(odd, [2, 3, 4], "x.csv"), naive(texts[:3]))


def test_chunks_do_not_show(tmp_path, monkeypatch):
    monkeypatch.setattr(fer2013, "_CHUNK", 4)
    assert_rows(load(write_csv(tmp_path)))


def fastest(function, runs=3):
    seconds = []
    for _ in range(runs):
        start = time.process_time()
        function()
        seconds.append(time.process_time() - start)
    return min(seconds)


def test_the_parser_is_five_times_faster_than_a_loop_over_the_numbers():
    texts = [pixel_text(face) for face in RNG.integers(0, 256, (1000, PIXELS))]
    lines, step = list(range(1000)), fer2013._CHUNK

    def loop():
        for text in texts:
            np.array([int(word) for word in text.split(" ")], np.uint8)

    def at_once():
        for row in range(0, 1000, step):
            parse_pixels(texts[row : row + step], lines[row : row + step], "x.csv")

    assert fastest(loop) > 5 * fastest(at_once)


# --- real data


@pytest.mark.real
def test_the_real_faces_are_all_read(real_data):
    table = load(real_data / "fer2013")
    assert len(table) == 32298
    assert table.unreadable == ()
    assert table.modalities["image"].dtype == np.uint8
    assert table.frame["part"].value_counts().to_dict() == {"train": 28709, "validation": 3589}
    assert table.counts()["disgust"] == 492


@pytest.mark.real
def test_the_real_faces_as_a_table_are_the_same_faces(real_data, tmp_path):
    table = load(real_data / "fer2013")
    rows = np.arange(0, len(table), 50)
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(["emotion", "pixels"])
    for row in rows:
        writer.writerow([table.targets[row], pixel_text(table.modalities["image"][row])])
    (tmp_path / "train.csv").write_text(text.getvalue())
    again = load(tmp_path)
    assert again.frame["digest"].tolist() == table.frame["digest"].iloc[rows].tolist()
    assert again.targets.tolist() == table.targets[rows].tolist()
