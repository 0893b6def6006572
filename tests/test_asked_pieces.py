"""Many pictures are asked about a few at a time, and answers can go to a table."""

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import run
from datasets.errors import InputError
from models.commands import asking, predict
from models.commands.asking import asked_in_pieces, read_asked
from models.commands.predict import answer_table
from models.commands.whole_files import check_writable, whole_file
from models.inputs import ImageInput

RECORDS = (ImageInput(8, 8, 3),)


@pytest.fixture
def folder(tmp_path):
    """Five pictures, each of its own grey, of which the fourth is broken."""
    for number in range(5):
        Image.new("RGB", (40, 30), (number,) * 3).save(tmp_path / f"{number}.png")
    (tmp_path / "3.png").write_bytes(b"no picture")
    return tmp_path


def test_a_folder_comes_in_pieces_in_its_order(folder):
    pieces = list(asked_in_pieces([str(folder)], RECORDS, most=2))

    assert [len(piece.names) for piece in pieces] == [2, 1, 1]
    greys = [int(image[0, 0, 0]) for piece in pieces for image in piece.images]
    assert greys == [0, 1, 2, 4]
    assert [line.split(":")[0] for piece in pieces for line in piece.broken] == [
        str(folder / "3.png")
    ]


def test_pieces_hold_what_reading_all_at_once_holds(folder):
    inputs = [str(folder / "4.png"), str(folder)]
    whole = read_asked(inputs, RECORDS)
    pieces = list(asked_in_pieces(inputs, RECORDS, most=3))

    assert len(whole.names) == 5
    assert [name for piece in pieces for name in piece.names] == whole.names
    for one, other in zip((i for piece in pieces for i in piece.images), whole.images, strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_missing_input_is_told_before_any_is_read(folder, monkeypatch):
    monkeypatch.setattr(asking, "decode_image", lambda data: pytest.fail("it was read"))
    with pytest.raises(InputError, match="gone does not exist"):
        next(asked_in_pieces([str(folder), str(folder / "gone")], RECORDS))


def test_a_table_of_answers_has_one_row_each(tmp_path):
    answer = {
        "input": "a.png",
        "label": "x",
        "probability": 0.75,
        "confidence": 0.5,
        "top": [{"label": "x", "probability": 0.75}, {"label": "y", "probability": 0.25}],
        "nearest": [{"key": "b.png", "label": "x", "distance": 0.125}],
    }
    with whole_file(tmp_path / "answers.csv", "--table") as draft:
        rows = [answer, answer | {"input": "c.png", "nearest": []}]
        answer_table(rows).to_csv(draft, index=False)
    table = pd.read_csv(tmp_path / "answers.csv")

    assert table["input"].tolist() == ["a.png", "c.png"]
    assert table["top_2_label"].tolist() == ["y", "y"]
    assert table["nearest_1_distance"].iloc[0] == 0.125
    assert np.isnan(table["nearest_1_distance"].iloc[1])
    assert [path.name for path in tmp_path.iterdir()] == ["answers.csv"]


def test_a_file_that_cannot_be_written_is_one_line_before_the_work(tmp_path):
    with pytest.raises(InputError, match="--table .*nothing can be written there"):
        check_writable(tmp_path / "no" / "answers.csv", "--table")
    with pytest.raises(InputError, match="is a folder: name a file"):
        check_writable(tmp_path, "--table")
    check_writable(tmp_path / "answers.csv", "--table")
    assert not list(tmp_path.iterdir())


def test_a_file_that_breaks_off_leaves_the_old_one_and_no_draft(tmp_path):
    path = tmp_path / "answers.csv"
    path.write_text("old")
    with (
        pytest.raises(InputError, match="No space left"),
        whole_file(path, "--table") as draft,
    ):
        draft.write_text("half")
        raise OSError(28, "No space left on device")
    assert path.read_text() == "old"
    assert [one.name for one in tmp_path.iterdir()] == ["answers.csv"]


def test_predict_says_before_the_network_is_loaded_that_an_input_is_missing(
    folder, tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(predict, "AskedRun", lambda *_: pytest.fail("the network is loaded"))
    monkeypatch.setattr(predict, "find_run", lambda *_: tmp_path)
    monkeypatch.setattr(predict, "read_inputs", lambda *_: RECORDS)
    assert run.main(["predict", "NN1", str(folder), str(folder / "gone.png")]) == 2
    assert "gone.png does not exist: name a picture" in capsys.readouterr().err
