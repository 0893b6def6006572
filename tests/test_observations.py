"""Tables of observations: what is read of them, and what is left out and named."""

import json

import numpy as np
import pytest
from PIL import Image

from datasets import load_table
from datasets.base import content_digest
from datasets.column_roles import Roles
from datasets.errors import InputError
from datasets.images import decode_image
from datasets.observations import load, only_jpeg
from datasets.taxonomy_table import from_frame

HEADER = "image,family,genus,species"
CORIS = "Labridae,Coris,Coris aygula"
LUNARE = "Labridae,Thalassoma,Thalassoma lunare"
GOBY = "Gobiidae,Gobius,Gobius niger"


def picture(path, seed, size=(20, 30)):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (*size, 3), np.uint8)
    Image.fromarray(pixels).save(path)
    return path


def write(folder, rows, header=HEADER, pictures=range(6), name="observations.csv"):
    """A table, and pictures images/0.png and so on."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in pictures:
        picture(folder / f"images/{number}.png", number)
    (folder / name).write_text("\n".join([header, *rows, ""]), encoding="utf-8")
    return folder


def plain(folder):
    taxa = (CORIS, CORIS, LUNARE, LUNARE, GOBY, GOBY)
    return write(folder, [f"images/{row}.png,{of}" for row, of in enumerate(taxa)])


def spoilt(folder, *spoilt_rows, header=HEADER, good=200):
    """A table of so many good rows, which 1 % and fewer of bad ones do not stop."""
    taxa = (CORIS, LUNARE)
    more = "," * (header.count(",") - HEADER.count(","))
    rows = [f"images/{row % 2}.png,{taxa[row % 2]}{more}" for row in range(good)]
    return write(folder, [*spoilt_rows, *rows], header, range(2))


def complaint(*arguments, **keywords):
    with pytest.raises(InputError) as caught:
        load(*arguments, **keywords)
    assert "\n" not in str(caught.value)
    return str(caught.value)


# --- what is read


def test_a_table_of_observations(tmp_path):
    table = load(plain(tmp_path))
    assert table.labels == ("Coris aygula", "Gobius niger", "Thalassoma lunare")
    assert table.ranks == ("family", "genus", "species")
    assert list(table.frame) == ["key", "label", "part", "digest", "family", "genus", "species"]
    assert table.frame["key"].tolist() == [f"images/{row}.png" for row in range(6)]
    assert table.frame["genus"].tolist()[::2] == ["Coris", "Thalassoma", "Gobius"]
    for row, image in enumerate(table.modalities["image"]):
        expected = decode_image((tmp_path / f"images/{row}.png").read_bytes())
        assert np.array_equal(image, expected)
        assert table.frame["digest"][row] == content_digest(expected)
    assert "taxa: family 2, genus 3, species 3" in table.notes
    assert not table.unreadable and not table.left_out
    taken = table.take(np.array([4, 0]))
    assert taken.ranks == table.ranks and np.array_equal(
        taken.modalities["image"][1], table.modalities["image"][0]
    )


def test_the_taxonomy_of_a_table_has_its_leaves_in_class_order(tmp_path):
    table = load(plain(tmp_path))
    taxonomy = from_frame(table.frame, table.ranks, table.labels).taxonomy
    assert taxonomy.leaves == table.labels
    assert taxonomy.names[0] == ("Gobiidae", "Labridae")


def test_a_table_by_its_path_in_a_wrapper_and_with_absolute_pictures(tmp_path):
    expected = load(plain(tmp_path / "wrapper" / "fish"))
    places = [tmp_path / "wrapper", tmp_path / "wrapper" / "fish" / "observations.csv"]
    rows = [f"{tmp_path}/wrapper/fish/images/{row}.png,{CORIS}" for row in (1, 0)]
    for place in places:
        assert load(place).frame.equals(expected.frame)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "mine.csv").write_text(
        "\n".join([HEADER, *rows, f"{rows[0].split(',')[0]},{GOBY}"])
    )
    found = load(tmp_path / "elsewhere" / "mine.csv")
    assert found.frame["digest"].tolist() == expected.frame["digest"][[1, 0, 1]].tolist()
    assert found.frame["key"].is_unique  # one picture in two rows


def test_further_pictures_and_the_box(tmp_path):
    header = f"image,image_2,image_10,{HEADER[6:]},x_min,y_min,x_max,y_max"
    write(
        tmp_path,
        [
            f"images/0.png,images/1.png,images/5.png,{CORIS},2,3,12.5,99",
            f"images/2.png,images/3.png,images/5.png,{LUNARE},,,,",
        ],
        header,
    )
    table = load(tmp_path, None)
    assert list(table.modalities) == ["image", "image_2", "image_10", "image_box"]
    images = {
        number: decode_image((tmp_path / f"images/{number}.png").read_bytes())
        for number in range(4)
    }
    assert np.array_equal(table.modalities["image_2"][1], images[3])
    boxed = table.modalities["image_box"]
    assert np.array_equal(boxed[0], images[0][3:, 2:13])
    assert np.array_equal(boxed[1], images[2])
    assert np.array_equal(boxed[np.array([1, 0])][1], boxed[0])
    assert "rows without a box, whose whole picture is taken: 1" in table.notes
    assert table.frame["digest"].tolist() == [content_digest(images[0]), content_digest(images[2])]
    assert set(table.frame) == set(load(tmp_path).frame)
    assert list(load(tmp_path).modalities) == ["image"]
    assert list(load(tmp_path, ("image", "image_box")).modalities) == ["image", "image_box"]


def test_what_is_asked_for_and_not_there_is_one_line(tmp_path):
    plain(tmp_path)
    assert "has no column image_2" in complaint(tmp_path, ("image", "image_2"))
    assert "has no columns x_min, y_min, x_max, y_max" in complaint(
        tmp_path, ("image", "image_box")
    )
    assert "observations have no landmarks" in complaint(tmp_path, ("landmarks",))


def test_roles_and_the_registry(tmp_path):
    roles = Roles(label="genus", ranks="family,genus,species")
    table = load_table("observations", str(plain(tmp_path)), ("image",), roles=roles)
    assert table.labels == ("Coris", "Gobius", "Thalassoma") and table.ranks == ("family", "genus")
    lone = load(tmp_path, roles=Roles(ranks="species"))
    assert lone.ranks == ("species",)


def test_unicode_and_hybrid_names_have_one_form(tmp_path):
    names = (
        "Coris x aygula",
        "Coris × aygula",
        "Coris ×aygula",
        "Mu\u0308lleria  alba",
        "Mülleria alba",
    )
    rows = [f"images/{row}.png,F,{name.split()[0]},{name}" for row, name in enumerate(names)]
    table = load(write(tmp_path, rows))
    assert table.labels == ("Coris × aygula", "Mülleria alba")
    assert table.counts() == {"Coris × aygula": 3, "Mülleria alba": 2}
    assert set(table.frame["genus"]) == {"Coris", "Mülleria"}


def test_an_inaturalist_file(tmp_path):
    for number in range(2):
        picture(tmp_path / f"train/{number}.jpg", number)
    taxon = dict(
        zip(("kingdom", "phylum", "class", "order", "family", "genus"), "KPCOFG", strict=True)
    )
    told = {
        "categories": [{"id": 5, "name": "G a", **taxon}, {"id": 6, "name": "G b", **taxon}],
        "images": [{"id": 1, "file_name": "train/0.jpg"}, {"id": 2, "file_name": "train/1.jpg"}],
        "annotations": [{"image_id": 1, "category_id": 6}, {"image_id": 2, "category_id": 5}],
    }
    (tmp_path / "train.json").write_text(json.dumps(told))
    for place in (tmp_path, tmp_path / "train.json"):
        table = load(place)
        assert table.frame["label"].tolist() == ["G b", "G a"] and len(table.ranks) == 7


# --- what is left out, and what stops the reading


def test_rows_that_cannot_be_used_are_named(tmp_path):
    folder = spoilt(tmp_path, f"images/gone.png,{CORIS}", f",{CORIS}", good=300)
    table = load(folder)
    assert len(table) == 300
    assert table.unreadable == ("row 2 (images/gone.png): is not there", "row 3: names no picture")
    picture(folder / "images/lost.png", 7)
    (line,) = load(folder).left_out
    assert line == "pictures that no row names (1): images/lost.png"
    assert not load(folder / "observations.csv").left_out
    few = spoilt(tmp_path / "few", f"images/gone.png,{CORIS}", f",{CORIS}", good=100)
    assert "2 of 102 observations cannot be used, more than the 1% allowed" in complaint(few)


def test_odd_taxonomy_is_left_out_with_a_list(tmp_path):
    folder = spoilt(
        tmp_path,
        "images/0.png,Labridae,,Coris aygula",
        "images/0.png,,,",
        "images/1.png,Gobiidae,Thalassoma,Thalassoma lunare",
    )
    table = load(folder)
    assert len(table) == 200
    assert table.left_out == (
        "row 2 (images/0.png): genus is empty",
        "row 3 (images/0.png): family is empty",
        "row 4 (images/1.png): family is 'Gobiidae' (1 row), but mostly 'Labridae' (100 rows)",
    )
    judged = load(folder, strict=False)
    assert len(judged) == 202
    assert judged.left_out == ("row 3 (images/0.png): has no taxon",)
    assert judged.frame["genus"][0] == "" and judged.frame["label"][0] == "Coris aygula"


def test_species_may_be_missing_where_observations_are_judged(tmp_path):
    write(tmp_path, ["images/0.png,Labridae,Coris,", f"images/1.png,{CORIS}"])
    table = load(tmp_path, strict=False)
    assert table.frame["label"].tolist() == ["", "Coris aygula"]
    assert table.labels == ("Coris aygula",) and table.frame["genus"].tolist() == ["Coris", "Coris"]


def test_ranks_that_few_rows_have_are_no_exception(tmp_path):
    rows = [f"images/{row}.png,{'X' if row == 0 else ''},{CORIS}" for row in range(4)]
    write(tmp_path, rows, f"image,order,{HEADER[6:]}")
    said = complaint(tmp_path)
    assert "3 of 4 rows have odd taxonomy, most often: order is empty (3 rows)" in said
    assert "--ranks" in said


@pytest.mark.parametrize(
    ("cells", "words"),
    [
        ("1,2,3,", "has the box 1, 2, 3, nothing (four numbers are needed"),
        ("1,2,x,4", "has the box 1, 2, x, 4 (four numbers are needed"),
        ("30,0,40,9", "none of it lies in the picture of 30x20 pixels"),
        ("5,5,5,9", "none of it lies in the picture"),
    ],
)
def test_boxes_that_are_none(tmp_path, cells, words):
    header = f"{HEADER},x_min,y_min,x_max,y_max"
    table = load(spoilt(tmp_path, f"images/0.png,{CORIS},{cells}", header=header), None)
    (line,) = table.unreadable
    assert line.startswith("row 2 (images/0.png): ") and words in line
    assert len(table) == 200


def test_places_that_cannot_be_read(tmp_path):
    folder = plain(tmp_path / "fish")
    (tmp_path / "fish.zip").write_bytes(b"PK")
    (tmp_path / "notes.txt").write_text("x")
    for place, words in (
        (tmp_path / "nowhere", "does not exist"),
        (tmp_path / "fish.zip", "is an archive, and observations are read from disk"),
        (tmp_path / "notes.txt", "is no table"),
        (folder / "images", "holds no table: put observations.csv in it"),
    ):
        assert words in complaint(place)
    (folder / "observations.csv").rename(folder / "a.csv")
    (folder / "b.csv").write_text("x")
    assert "holds 2 tables (a.csv, b.csv)" in complaint(folder)
    write(tmp_path / "outside", [f"../fish/images/0.png,{CORIS}"], pictures=())
    assert "lies outside the folder" in complaint(tmp_path / "outside")
    write(tmp_path / "one", [f"images/{row}.png,{CORIS}" for row in range(3)])
    assert "holds one species only, 'Coris aygula'" in complaint(tmp_path / "one")
    assert len(load(tmp_path / "one", strict=False)) == 3


def test_pictures_other_than_jpeg_can_be_left_out(tmp_path):
    for number in range(4):
        picture(tmp_path / f"images/{number}.{'JPG' if number else 'png'}", number)
    rows = [
        f"images/{row}.{'JPG' if row else 'png'},{of}"
        for row, of in enumerate((GOBY, CORIS, LUNARE, CORIS))
    ]
    table = load(write(tmp_path, rows, pictures=()))
    found = only_jpeg(table)
    assert found.labels == ("Coris aygula", "Thalassoma lunare") and len(found) == 3
    assert found.left_out == ("pictures that are no JPEG files: 1",)
    assert only_jpeg(found) is found
    with pytest.raises(InputError, match="JPEG files show 1 of 3 classes"):
        only_jpeg(table.take(np.array([0, 1])))
