"""Tables of specimens: how their columns are read, and what is wrong with them."""

import zipfile

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from datasets import load_table
from datasets.base import content_digest
from datasets.column_roles import Roles, ranks_above_label
from datasets.columns import Column
from datasets.errors import InputError
from datasets.own_data import read_class_folders
from datasets.specimens import load, read_specimens
from tests.specimen_tables import RNG, ROWS, complaint, notes, simple, write


@pytest.fixture
def folder(tmp_path):
    return write(tmp_path / "data")


def test_a_table_is_read_as_it_stands(folder):
    table = load(folder)
    assert table.labels == ("Radix auricularia", "Radix balthica", "Radomaniola curta")
    assert table.targets.tolist() == [1, 1, 0, 2, 2]
    assert table.columns == (Column("height_mm"), Column("width (mm)"))
    assert [column.unit for column in table.columns] == ["mm", "mm"]
    measured = table.modalities["measurements"]
    assert measured.dtype == np.float32
    expected = [[1.5, 2], [2.5, 3], [np.nan, 4], [-0.45, 5], [0.5, 7]]
    np.testing.assert_array_equal(measured, np.array(expected, np.float32))
    assert table.frame["key"].tolist() == [f"images/{row}.png" for row in range(5)]
    assert set(table.frame["part"]) == {""}
    assert table.frame["country"].tolist() == ["Aldoria", "Aldoria", "Celmar", "Brevania", ""]
    assert list(table.frame) == [
        *("key", "label", "part", "digest"),
        *("species", "genus", "family", "country", "site"),
    ]
    for row, image in enumerate(table.modalities["image"]):
        pixels = np.asarray(Image.open(folder / f"images/{row}.png"))[..., None]
        np.testing.assert_array_equal(image, pixels)
        assert table.frame["digest"][row] == content_digest(pixels)
    assert not table.synthetic and not table.unreadable


def test_the_decisions_are_told_and_stay_with_the_table(folder):
    table = load(folder)
    assert list(table.notes) == [
        "label: species, 3 classes",
        "ranks, from coarse to fine: family, genus, species",
        "measurements: 2, height_mm, width (mm); the columns of numbers",
        "kept beside the measurements and not fed to the network: country (text), site (a place)",
        "missing measurements: 1 of 10",
    ]
    assert table.take(np.array([3, 1])).notes == table.notes
    assert table.ranks == ("family", "genus", "species")


def test_load_table_passes_roles_and_columns_on(folder):
    told = {"roles": Roles(label="genus"), "columns": (Column("width (mm)"),)}
    table = load_table("specimens", str(folder), ("image", "measurements"), True, **told)
    assert table.labels == ("Radix", "Radomaniola")
    assert table.modalities["measurements"].tolist() == [[2], [3], [4], [5], [7]]


def test_a_table_of_its_own_an_archive_and_a_wrapper_give_the_same(folder, tmp_path):
    expected = load(folder)
    packed = tmp_path / "packed.zip"
    with zipfile.ZipFile(packed, "w") as archive:
        for path in sorted(folder.rglob("*.*"), reverse=True):
            archive.write(path, f"leaf/{path.relative_to(folder).as_posix()}")
    (folder / "specimens.csv").rename(folder / "mine.csv")
    for place in (folder, folder / "mine.csv", packed):
        table = load(place)
        pd.testing.assert_frame_equal(table.frame, expected.frame)
        assert all(map(np.array_equal, table.modalities["image"], expected.modalities["image"]))


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_delimiters_and_encodings(tmp_path, delimiter, encoding):
    lines = ["image|label|größe, in mm|x", "images/0.png|ä|1.5|", "", "images/1.png|b|2|"]
    write(tmp_path, pictures=2)
    text = "\r\n".join(lines).replace("größe, in mm", '"größe, in mm"').replace("|", delimiter)
    (tmp_path / "specimens.csv").write_bytes(text.encode(encoding))
    table = load(tmp_path)
    assert table.columns == (Column("größe, in mm"),)
    assert table.labels == ("b", "ä")
    assert table.modalities["measurements"].tolist() == [[1.5], [2]]


def test_the_table_is_found_or_asked_for(folder):
    (folder / "notes.csv").write_text("image,species\n")
    assert len(load(folder)) == 5
    (folder / "images" / "specimens.csv").write_text("image,species\n")
    assert "holds 2 tables (images/specimens.csv, specimens.csv)" in complaint(folder)
    (folder / "images" / "specimens.csv").unlink()
    (folder / "specimens.csv").rename(folder / "other.csv")
    assert "holds 2 tables (notes.csv, other.csv)" in complaint(folder)
    for name in ("notes.csv", "other.csv"):
        (folder / name).unlink()
    assert "holds no table" in complaint(folder)
    assert "does not exist" in complaint(folder / "nowhere.csv")


def test_without_measurements_the_digests_are_the_same(folder, tmp_path):
    full, none = load(folder), load(folder, roles=Roles(measurements="none"))
    alone = load(folder, ("image",))
    for table in (none, alone):
        assert set(table.modalities) == {"image"} and table.columns == ()
        assert table.frame["digest"].tolist() == full.frame["digest"].tolist()
    for row in range(5):
        (tmp_path / "classes" / "x").mkdir(parents=True, exist_ok=True)
        (folder / f"images/{row}.png").rename(tmp_path / "classes" / "x" / f"{row}.png")
    assert read_class_folders(tmp_path / "classes").digests == full.frame["digest"].tolist()


def test_several_specimens_of_one_picture_have_keys_of_their_own(folder):
    write(folder, [*ROWS, ROWS[0].replace("1.5", "9.5")])
    table = load(folder)
    keys = table.frame["key"].tolist()
    assert keys[0] == "images/0.png, row 2" and keys[5] == "images/0.png, row 7"
    assert keys[1] == "images/1.png" and len(set(keys)) == 6
    assert table.frame["digest"][0] == table.frame["digest"][5]
    assert table.modalities["measurements"][[0, 5], 0].tolist() == [1.5, 9.5]


def test_a_run_reads_a_new_table_by_its_own_columns(folder, tmp_path):
    run = load(folder, roles=Roles(measurements="country,height_mm,width (mm)"))
    rows = (
        "images/0.png,99,3,Celmar,Radix balthica",
        "images/1.png,98,,Drovia,Radix balthica",
        "images/2.png,97,5,,Unheard of",
    )
    new = write(tmp_path / "new", rows, "image,depth,height_mm,country,species", pictures=3)
    with pytest.raises(InputError, match=r"lacks the column 'width \(mm\)', which the run was"):
        load(new, strict=False, columns=run.columns)
    header = "image,width (mm),height_mm,country,species"
    write(tmp_path / "new", rows, header, pictures=3)
    table = load(new, strict=False, columns=run.columns)
    assert table.columns == run.columns
    expected = [[2, 3, 99], [np.nan, np.nan, 98], [np.nan, 5, 97]]
    np.testing.assert_array_equal(table.modalities["measurements"], np.float32(expected))
    assert "country: unknown to the run and read as missing: Drovia (rows: 1)" in notes(table)
    assert table.relabelled(run.labels).targets.tolist() == [1, 1, -1]


def test_new_specimens_need_no_label_and_are_all_accounted_for(folder):
    columns = load(folder).columns
    rows = ["images/0.png,7,1", "images/9.png,8,2", ",9,3", "images/3.png,,4"]
    write(folder, rows, "image,width (mm),height_mm")
    table = read_specimens(folder, columns)
    assert table.frame["key"].tolist() == ["images/0.png", "images/3.png"]
    assert set(table.frame["label"]) == {""} and table.labels == ()
    np.testing.assert_array_equal(table.modalities["measurements"], [[1, 7], [4, np.nan]])
    assert table.unreadable == ("row 3 (images/9.png): is not there", "row 4: names no picture")
    assert "has no column to learn" in complaint(folder)
    with pytest.raises(InputError, match="has no column to learn"):
        read_specimens(folder, columns, need_label=True)
    assert set(read_specimens(folder).modalities) == {"image"}


def test_new_specimens_may_have_some_labels(folder):
    write(folder, [ROWS[0], ROWS[1].replace("Radix balthica", ""), ROWS[3]])
    table = read_specimens(folder)
    assert table.frame["label"].tolist() == ["Radix balthica", "", "Radomaniola curta"]
    assert table.labels == ("Radix balthica", "Radomaniola curta")
    needed = read_specimens(folder, need_label=True)
    assert needed.unreadable == ("row 3 (images/1.png): has no species",)


def test_few_unreadable_specimens_are_named_and_many_stop(tmp_path):
    folder = simple(tmp_path, ("x", lambda row: row / 2), rows=200)
    (folder / "images" / "7.png").unlink()
    (folder / "images" / "8.png").write_bytes(b"no picture")
    table = load(folder)
    assert len(table) == 198
    assert table.unreadable == (
        "row 9 (images/7.png): is not there",
        "row 10 (images/8.png): is not a picture",
    )
    assert table.modalities["measurements"][6:8, 0].tolist() == [3, 4.5]
    (folder / "images" / "2.png").unlink()
    words = "3 of 200 specimens cannot be used, more than the 1% allowed; the first, row 4"
    assert words in complaint(folder)


def test_an_empty_label_and_a_nameless_picture_are_named(tmp_path):
    folder = simple(tmp_path, ("x", lambda row: row / 2), rows=200)
    text = (folder / "specimens.csv").read_text()
    text = text.replace("images/3.png,b", "images/3.png,NA").replace("images/5.png,b", ",b")
    (folder / "specimens.csv").write_text(text)
    table = load(folder)
    assert table.labels == ("a", "b") and len(table) == 198
    assert table.unreadable == ("row 5 (images/3.png): has no label", "row 7: names no picture")


def test_a_specimen_without_measurements_stays_and_is_named(folder):
    write(folder, [*ROWS[:4], ROWS[4].replace(".5,7", "NA,")])
    table = load(folder)
    assert np.isnan(table.modalities["measurements"][4]).all()
    assert "missing measurements: 3 of 10" in notes(table)
    assert "specimens without any, kept for their pictures: rows 6" in notes(table)


@pytest.mark.parametrize(
    ("cell", "words"),
    [
        ("2.5x", "'2.5x' is no number"),
        ("1_000", "'1_000' is no number"),
        ('"2,5"', "'2,5' is no number"),
        ("inf", "'inf' is not finite"),
        ("-Infinity", "'-Infinity' is not finite"),
        ("1e39", "'1e39' is not finite"),
    ],
)
def test_a_cell_that_is_no_finite_number(folder, cell, words):
    write(folder, [ROWS[0], ROWS[1].replace("2.5", cell), *ROWS[2:]])
    line = complaint(folder)
    assert f"specimens.csv, row 3, column 'height_mm': {words}: correct it" in line
    assert len(load(folder, roles=Roles(measurements="width (mm)")).columns) == 1


def test_paths_may_be_absolute_and_must_not_leave_the_folder(folder, tmp_path):
    outside = tmp_path / "outside.png"
    Image.fromarray(RNG.integers(0, 256, (20, 20), np.uint8)).save(outside)
    for place in (folder, folder / "specimens.csv"):
        write(folder, [ROWS[0].replace("images/0.png", str(outside)), *ROWS[1:]])
        table = load(place)
        assert table.frame["key"][0] == str(outside)
        assert table.modalities["image"][0].shape == (20, 20, 1)
        write(folder, [ROWS[0].replace("images", "..\\images\\.."), *ROWS[1:]])
        assert "lies outside the folder" in complaint(place)
        write(folder, [ROWS[0].replace("images/", "./images/../images\\"), *ROWS[1:]])
        assert len(load(place)) == 5


@pytest.mark.real
def test_the_leaves(real_data):
    table = load(real_data / "leaf")
    assert (len(table), len(table.labels), len(table.columns)) == (792, 99, 192)
    assert table.frame["genus"].nunique() == 34
    assert set(table.counts().values()) == {8}
    assert ranks_above_label(table.frame) == ("genus",)
    assert not table.unreadable and table.frame["digest"].nunique() == 792
    raw = pd.read_csv(real_data / "leaf" / "specimens.csv")
    names = [column.name for column in table.columns]
    assert names == list(raw.columns[3:])
    np.testing.assert_array_equal(table.modalities["measurements"], raw[names].to_numpy(np.float32))
