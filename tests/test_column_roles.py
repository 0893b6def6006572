"""What the columns of a table of specimens are taken for, and what they cannot be."""

import numpy as np
import pytest

from datasets.column_roles import Roles, ranks_above_label
from datasets.columns import Column
from datasets.errors import InputError
from datasets.specimens import load
from tests.specimen_tables import HEADER, ROWS, complaint, notes, simple, write


@pytest.fixture
def folder(tmp_path):
    return write(tmp_path / "data")


@pytest.mark.parametrize(
    ("names", "label", "ranks"),
    [
        ("species,family,genus", "species", ["family", "genus", "species"]),
        ("Genus,Kingdom,class", "Genus", ["Kingdom", "Genus"]),
        ("class,order,species", "species", ["class", "order", "species"]),
        ("class,x", "class", []),
        ("category,target,label", "label", []),
        ("subgenus,tribe,subfamily,phylum", "subgenus", ["phylum", "subfamily", "tribe"]),
    ],
)
def test_label_and_ranks_are_inferred(tmp_path, names, label, ranks):
    cells = [",".join(f"{name}{row % 2}" for name in names.split(",")) for row in range(4)]
    lines = [f"images/{row}.png,{cell}" for row, cell in enumerate(cells)]
    table = load(write(tmp_path, lines, f"image,{names}", pictures=4), ("image",))
    assert table.labels == (f"{label}0", f"{label}1")
    assert ranks_above_label(table.frame) == tuple(name for name in ranks if name != label)


def test_numbers_called_order_or_class_are_no_ranks(tmp_path):
    columns = (("order", lambda row: row), ("class", lambda row: row % 3), ("x", lambda row: row))
    table = load(simple(tmp_path, *columns, rows=6))
    assert table.labels == ("a", "b")
    assert not any("ranks" in line for line in table.notes)


def test_what_is_no_measurement_says_why(tmp_path):
    columns = {
        "id": lambda row: row % 3,
        "specimen_no": lambda row: row + 1000,
        "number": lambda row: 7 * row % 20,
        "number of whorls": lambda row: 4 + row % 3,
        "year": lambda row: 1990 + row,
        "light_years": lambda row: 0.5 * row,
        "site": lambda row: row % 3,
        "target": lambda row: 3 + row % 2,
        "kind": lambda row: 1 - row % 2,
        "notes": lambda row: f"note {row}",
        "empty": lambda row: "",
        "depth": lambda row: row % 7,
    }
    table = load(simple(tmp_path, *columns.items()))
    names = [column.name for column in table.columns]
    assert names == ["number of whorls", "light_years", "depth"]
    for words in (
        *("id (numbers of specimens)", "specimen_no (numbers", "number (numbers", "year (years)"),
        *("site (a place)", "target (may be the label", "kind (a code of the label)"),
        *("notes (text)", "empty (empty)"),
    ):
        assert words in notes(table), words
    assert set(columns) - set(names) <= set(table.frame)
    assert table.frame["id"].tolist()[:4] == ["0", "1", "2", "0"]


def test_roles_that_are_told_count(folder):
    roles = Roles("genus", "width (mm), country", "family,genus", "site")
    table = load(folder, roles=roles)
    assert table.labels == ("Radix", "Radomaniola")
    countries = ("Aldoria", "Brevania", "Celmar")
    assert table.columns == (Column("width (mm)"), Column("country", countries))
    expected = [[2, 0], [3, 0], [4, 2], [5, 1], [7, np.nan]]
    np.testing.assert_array_equal(table.modalities["measurements"], np.float32(expected))
    assert ranks_above_label(table.frame, "family,genus") == ("family",)
    assert table.frame["group"].nunique() == 4
    assert table.frame["group"][0] == table.frame["group"][1]
    assert "text as categories: country" in notes(table)
    assert load(folder, roles=Roles(measurements="all")).columns == load(folder).columns


def test_a_column_to_group_by_is_no_measurement_unless_named(folder):
    table = load(folder, roles=Roles(group="width (mm)"))
    assert [column.name for column in table.columns] == ["height_mm"]
    assert table.frame["width (mm)"].tolist() == ["2", "3", "4", "5", "7"]
    named = load(folder, roles=Roles(group="width (mm)", measurements="width (mm)"))
    assert [column.name for column in named.columns] == ["width (mm)"]
    assert named.frame["group"].nunique() == 5


@pytest.mark.parametrize(
    ("roles", "words"),
    [
        (Roles(label="specie"), "--label specie: .* no such column .did you mean 'species'..; it"),
        (Roles(measurements="width (mm),hight_mm"), "--measurements hight_mm: .*'height_mm'"),
        (Roles(measurements=" , "), "--measurements is empty"),
        (Roles(measurements="species"), "'species' is no measurement"),
        (Roles(measurements="image"), "'image' is no measurement"),
        (Roles(measurements="weight"), "the column 'weight' of .* is empty: leave it out"),
        (Roles(ranks="family,Genus"), "--ranks Genus: .*did you mean 'genus'"),
        (Roles(group="sites"), "--group sites: .*did you mean 'site'"),
        (Roles(label="genus", ranks="xyz"), "--ranks xyz: .*no such column; it has image, species"),
    ],
)
def test_roles_that_cannot_be(folder, roles, words):
    write(folder, [f"{row}," for row in ROWS], f"{HEADER},weight")
    with pytest.raises(InputError, match=words):
        load(folder, roles=roles)


def test_an_empty_column_is_left_out_and_said(folder):
    write(folder, [f"{row},-" for row in ROWS], f"{HEADER},weight")
    table = load(folder)
    assert "weight" not in [column.name for column in table.columns]
    assert "weight (empty)" in notes(table)


def test_one_name_under_two_genera_is_said(folder):
    write(folder, [row.replace("Radomaniola curta", "Radix balthica") for row in ROWS])
    assert "one class, though it stands under more than one genus: Radix balthica" in (
        notes(load(folder))
    )


def test_a_table_that_is_judged_needs_neither_ranks_nor_group(folder, tmp_path):
    new = write(
        tmp_path / "new", ["images/0.png,Radix balthica,1"], "image,species,width", pictures=1
    )
    roles = Roles("species", None, "family,genus,species", "site")
    assert "--ranks family" in complaint(new, roles=roles)
    assert "--ranks family" in complaint(new, roles=roles, columns=(Column("width"),))
    assert len(load(new, strict=False, roles=roles)) == 1
    table = load(new, strict=False, roles=roles, columns=(Column("width"),))
    assert table.labels == ("Radix balthica",)
    assert "ranks: family, genus is not in this table" in notes(table)
    assert "group: site is not in this table" in notes(table)


def test_further_views_are_kept_and_told(tmp_path):
    views = (("image_2", lambda row: "images/0.png"), ("x", lambda row: row / 2))
    table = load(simple(tmp_path, *views))
    assert [column.name for column in table.columns] == ["x"]
    assert table.frame["image_2"].tolist() == ["images/0.png"] * 20
    assert "image_2: a further view" in notes(table)


def test_names_of_the_frames_own_columns_get_a_prefix(tmp_path):
    columns = [(name, lambda row: f"t{row % 4}") for name in ("key", "digest", "group")]
    folder = simple(tmp_path, *columns, ("x", lambda row: row / 2))
    table = load(folder)
    assert "group" not in table.frame
    assert table.frame["key"][0] == "images/0.png"
    assert table.frame["table_key"][1] == table.frame["table_group"][1] == "t1"
    told = load(folder, roles=Roles(group="group"))
    assert told.frame["group"].tolist() == [0, 1, 2, 3] * 5
    assert load(folder, roles=Roles(group="key")).frame["group"].tolist() == [0, 1, 2, 3] * 5


def test_parts(tmp_path):
    parts = ("train", "Testing", "val", "")
    folder = simple(tmp_path, ("split", lambda row: parts[row % 4]), ("x", lambda row: row / 2))
    table = load(folder)
    assert table.frame["part"].tolist() == ["train", "test", "validation", ""] * 5
    assert "split" not in table.frame
    parts = ("train", "test", "trian", "")
    simple(tmp_path, ("split", lambda row: parts[row % 4]))
    assert "row 4, column 'split': 'trian' is no part" in complaint(folder)
    organs = ("leaf", "leaf", "stem")
    simple(tmp_path, ("part", lambda row: organs[row % 3]), ("x", lambda row: row / 2))
    table = load(folder)
    assert set(table.frame["part"]) == {""}
    assert set(table.frame["table_part"]) == {"leaf", "stem"}


def test_tables_without_what_is_needed(folder):
    write(folder, ROWS, HEADER.replace("image", "photo"))
    assert "no column 'image' with the paths of the pictures: call the column 'photo' so" in (
        complaint(folder)
    )
    write(folder, ["1,a", "2,b"], "number,species")
    assert "no column 'image'" in complaint(folder) and "number, species" in complaint(folder)
    write(folder, ROWS[:2])
    assert "holds one class only, 'Radix balthica', in its column 'species'" in complaint(folder)
    assert len(load(folder, strict=False)) == 2
    write(folder, ["images/0.png,a,u", "images/1.png,b,v"], "image,species,colour")
    assert "no column of numbers to take for measurements" in complaint(folder)
    assert load(folder, strict=False).columns == ()
    assert load(folder, roles=Roles(measurements="none")).columns == ()
    assert load(folder, roles=Roles(measurements="colour")).columns[0].values == ("u", "v")
    assert "no landmarks" in complaint(folder, ("image", "landmarks"))
