"""Tables in text files: separators, numbers, missing cells, and what is broken in them."""

import io

import pytest

from datasets.errors import InputError
from datasets.sheets import read_sheet


def sheet(text):
    return read_sheet(io.BytesIO(text.encode()), "t.csv")


def test_a_decimal_comma_counts_where_it_is_the_only_sign():
    found = sheet("a;b;c\n1,5;-2;x,y\n2;3,25e1;1,2,3\n")
    assert found.decimal == ","
    assert found.numbers["a"].values.tolist() == [1.5, 2]
    assert found.numbers["b"].values.tolist() == [-2, 32.5]
    assert found.numbers["c"].kind == "text"
    mixed = sheet("a;b\n1,5;2.5\n2;3\n")
    assert mixed.decimal == "." and mixed.numbers["a"].kind == "number"
    assert mixed.numbers["a"].texts.tolist() == [True, False]
    quoted = sheet('a,b\n"1,5",2\n"2,5",3\n')
    assert quoted.decimal == "." and quoted.numbers["a"].texts.all()
    assert quoted.numbers["a"].kind == "number"


def test_missing_cells_and_kinds_of_columns():
    found = sheet("a,b,c,d\n1,,x,\nNA,nan,1,\n-,NaN,y,-\n0x1,?,2,\n3,,z,\n")
    assert found.rows.tolist() == [2, 3, 4, 5, 6]
    kinds = {name: numbers.kind for name, numbers in found.numbers.items()}
    assert kinds == {"a": "number", "b": "empty", "c": "text", "d": "empty"}
    assert found.numbers["a"].texts.tolist() == [False, False, False, True, False]


def test_rows_are_numbered_as_in_a_spreadsheet():
    found = sheet('\na,b\n\n"two\nlines",1\n,\nx,2\n')
    assert found.rows.tolist() == [4, 6]
    assert found.cells["a"].tolist() == ["two\nlines", "x"]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is empty"),
        (b"\n \n", "is empty"),
        (b"image,label\n", "no row below it"),
        (b"image,label\n,\n", "no row below it"),
        (b"image,label,label\n1,2,3\n", "the column 'label' stands twice"),
        (b"image,,label,,x\n1,2,3,4,5\n", "two columns have no name"),
        (b"image,label\na.png,x\nb.png\n", "row 3: 1 cells where the header has 2"),
        (b"image,label\na.png,x,y\n", "row 2: 3 cells where the header has 2"),
        (b'image,label\na.png,"x"y\n', "row 2: not readable as CSV"),
        ("image,label\na.png,ä\n".encode("latin-1"), "is not text in UTF-8"),
        ("image,label\na.png,x\n".encode("utf-16"), "is not text in UTF-8"),
    ],
)
def test_broken_tables(content, words):
    with pytest.raises(InputError) as caught:
        read_sheet(io.BytesIO(content), "t.csv")
    assert str(caught.value).startswith("t.csv") and words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_separators_at_the_ends_of_rows_are_passed_over():
    assert list(sheet("a,b,,\n1,2,,\n3,4\n").cells) == ["a", "b"]
