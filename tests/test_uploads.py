"""What strangers may drop on the page of `run.py demo`, and what it says of other things."""

import zipfile

import pytest

from datasets.errors import InputError
from models.demo.uploads import Clock, Limits, receive, without_places
from tests.local_server import picture


@pytest.fixture(name="into")
def fixture_into(tmp_path):
    (tmp_path / "into").mkdir()
    return tmp_path / "into"


def archive(path, **content):
    with zipfile.ZipFile(path, "w") as file:
        for name, data in content.items():
            file.writestr(name, data)
    return path


def files(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_pictures_are_copied_and_an_archive_is_unpacked(tmp_path, into):
    path = tmp_path / "a.png"
    path.write_bytes(picture("PNG", 0))
    pack = archive(
        tmp_path / "b.zip", **{"fish/b.png": picture("PNG", 1), "c.jpg": b"?", "notes.txt": "x"}
    )
    assert receive([path, pack], into, False, Limits()) == [str(into)]
    assert files(into) == ["a.png", "c.jpg", "fish/b.png"]
    assert (into / "fish" / "b.png").read_bytes() == picture("PNG", 1)


def test_nothing_is_written_outside_of_the_folder(tmp_path, into):
    names = ("../out.png", "/out.png", "a/../../out.png", "__MACOSX/out.png", ".out.png")
    pack = archive(
        tmp_path / "b.zip",
        **dict.fromkeys(names, picture("PNG", 0)),
        **{"in.png": picture("PNG", 1)},
    )
    receive([pack], into, False, Limits())
    assert files(into) == ["in.png"]
    assert not list(tmp_path.glob("**/out.png"))


def test_a_link_in_an_archive_is_passed_over(tmp_path, into):
    link = zipfile.ZipInfo("link.png")
    link.external_attr = 0o120777 << 16
    with zipfile.ZipFile(tmp_path / "b.zip", "w") as file:
        file.writestr(link, "/etc/hostname")
        file.writestr("in.png", picture("PNG", 0))
    receive([tmp_path / "b.zip"], into, False, Limits())
    assert files(into) == ["in.png"]


def test_an_archive_that_unpacks_to_much_is_refused_before_it_is_written(tmp_path, into):
    with zipfile.ZipFile(tmp_path / "b.zip", "w", zipfile.ZIP_DEFLATED) as file:
        for number in range(4):
            file.writestr(f"{number}.png", bytes(10**6))
    assert (tmp_path / "b.zip").stat().st_size < 10_000
    with pytest.raises(InputError, match="more than 2 MB or 9 files"):
        receive([tmp_path / "b.zip"], into, False, Limits(2, 9))
    assert len(files(into)) == 2
    with pytest.raises(InputError, match="more than 9 MB or 3 files"):
        receive([tmp_path / "b.zip"], into, False, Limits(9, 3))


@pytest.mark.parametrize(
    ("name", "data", "said"),
    [
        ("a.exe", b"MZ", "a.exe is none of .jpg"),
        ("b.zip", b"no archive", "b.zip"),
        ("c.zip", None, "there is none of .jpg"),
    ],
)
def test_other_files_are_refused_in_one_line(tmp_path, into, name, data, said):
    path = tmp_path / name
    path.write_bytes(data) if data else archive(path, **{"notes.txt": "x"})
    with pytest.raises(InputError, match=said):
        receive([path], into, False, Limits())
    assert not files(into)


def test_a_name_that_is_given_twice_is_refused(tmp_path, into):
    (tmp_path / "a.png").write_bytes(picture("PNG", 0))
    with pytest.raises(InputError, match="a.png was given twice"):
        receive([tmp_path / "a.png"] * 2, into, False, Limits())


@pytest.mark.parametrize("cell", ["/etc/hostname.png", "../b.png", "pictures/../../b.png"])
def test_a_table_leads_to_no_file_that_was_not_uploaded(tmp_path, into, cell):
    table = tmp_path / "specimens.csv"
    table.write_text(f"image,height\na.png,1\n{cell},2\n")
    (tmp_path / "a.png").write_bytes(picture("PNG", 0))
    with pytest.raises(InputError, match=r"specimens.csv, column image: .* is not among"):
        receive([table, tmp_path / "a.png"], into, False, Limits())


def test_a_table_is_what_the_run_is_asked_about(tmp_path, into):
    names = {"t/specimens.csv": "image,note\na.png,n/a\n", "t/a.png": picture("PNG", 0)}
    pack = archive(tmp_path / "b.zip", **names)
    assert receive([pack], into, False, Limits()) == [str(into / "t" / "specimens.csv")]
    (tmp_path / "other").mkdir()
    with pytest.raises(InputError, match="there is none of .wav"):
        receive([pack], tmp_path / "other", True, Limits())


def test_messages_name_files_but_no_folders():
    text = "/tmp/gradio/ab12/a b/shell.png is damaged; see /home/u/x.csv, half/full, 3/4"
    assert without_places(text) == "a b/shell.png is damaged; see x.csv, half/full, 3/4"


def test_the_clock_runs_out():
    assert Clock(0).is_over
    assert not Clock(1000).is_over
