"""The table that keeps what took long to find out."""

import os

import numpy as np
import pytest

from datasets.kept_rows import STAMP, KeptRows, file_stamps, of_files, of_folder

COLUMNS = (*STAMP, "colour")


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("MENAGERIE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def written(*rows):
    kept = KeptRows("things", COLUMNS, "the colours")
    for row in rows:
        kept.add(*row)
    kept.write()
    return kept


def test_rows_come_back_as_text_and_are_added_to():
    assert written().read().empty
    written(("a", 1, 2, "red"), ("b", 3, 4, ""))
    kept = written(("c", np.int64(5), 6, 'NA "so" #x'))
    assert kept.read()[[*COLUMNS]].to_numpy().tolist() == [
        ["a", "1", "2", "red"],
        ["b", "3", "4", ""],
        ["c", "5", "6", 'NA "so" #x'],
    ]
    kept.remove()
    assert kept.read().empty


@pytest.mark.parametrize("torn", [1, 2, 3, 5, 9])
def test_a_torn_row_is_not_read_and_spoils_no_other(cache, torn):
    written(("a", 1, 2, "red"), ("b", 3, 4, "blue"))
    (path,) = cache.iterdir()
    path.write_bytes(path.read_bytes()[:-torn])
    found = written(("c", 5, 6, "green")).read()["path"].tolist()
    assert found == (["a", "b", "c"] if torn == 1 else ["a", "c"])


@pytest.mark.parametrize("sign", "\t\n\r")
def test_a_cell_that_would_break_the_table_is_not_kept(sign):
    rows = written((f"a{sign}b", 1, 2, "red"), ("c", 3, 4, f"x{sign}"), ("d", 5, 6, "blue"))
    assert rows.read()["path"].tolist() == ["d"]


def test_rows_are_written_at_once_and_not_only_in_the_end(monkeypatch):
    monkeypatch.setattr("datasets.kept_rows._SECONDS", 0)
    kept = KeptRows("things", COLUMNS, "the colours")
    kept.add("a", 1, 2, "red")
    assert KeptRows("things", COLUMNS, "the colours").read()["path"].tolist() == ["a"]


def test_a_place_that_cannot_be_written_to_is_named_once(cache, caplog):
    cache.write_text("a file where the folder should be")
    kept = written(("a", 1, 2, "red"))
    kept.add("b", 1, 2, "red")
    kept.write()
    (record,) = caplog.records
    assert record.getMessage().startswith(f"the colours cannot be kept in {cache} (")


def test_the_newest_row_of_a_file_counts_while_the_file_is_the_same(tmp_path):
    for name, content in (("a", "1"), ("b", "22"), ("c", "333")):
        (tmp_path / name).write_text(content)
        os.utime(tmp_path / name, ns=(7, 7))
    paths = np.array(["c", "gone", "b", "a"], object)
    stamps = file_stamps(str(tmp_path), paths)
    assert stamps.tolist() == [[3, 7], [-1, -1], [2, 7], [1, 7]]
    rows = [("a", 1, 7, "old"), ("b", 2, 8, "red"), ("c", 3, 7, "blue"), ("a", 1, 7, "new")]
    found = of_files(written(*rows).read(), paths, stamps)
    assert found.index.tolist() == paths.tolist()
    assert found["known"].tolist() == [True, False, False, True]
    assert found["colour"][found["known"]].tolist() == ["blue", "new"]


def test_every_folder_has_a_name_of_its_own(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "a")
    names = [of_folder(str(tmp_path / name)) for name in ("a", "b", "link", "a/")]
    assert names[0] == names[2] == names[3] != names[1]
