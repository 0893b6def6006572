"""What the page of `run.py demo` answers about uploads."""

import argparse
import json
import shutil
import socket
import zipfile

import numpy as np
import pytest

import run
from datasets.errors import InputError
from models.demo import answering
from models.demo.answering import Answerer
from models.demo.uploads import Limits
from tests.snail_runs import ASKED, fixture_specimens, fixture_trained  # noqa: F401 (fixtures)


@pytest.fixture(scope="module")
def asked(trained):
    return argparse.Namespace(
        run=str(trained.folder), out=trained.out, top=3, nearest=3, add=[], reject_at=None,
        target_accuracy=None, threshold=None, rule=None, confidence=None, within=[],
    )  # fmt: skip


@pytest.fixture(scope="module")
def answerer(asked, tmp_path_factory):
    return Answerer(asked, Limits(2, 9), tmp_path_factory.mktemp("demo"))


@pytest.fixture
def nothing_is_left(answerer):
    yield
    assert not [path for path in answerer.folder.rglob("*") if path.is_file()]


def table_of(specimens):
    lines = (specimens / "specimens.csv").read_text().splitlines()
    return [line.split(",") for line in lines]


@pytest.mark.usefixtures("nothing_is_left")
def test_one_specimen_is_answered_as_predict_does(answerer, trained, specimens, capsys):
    words = ["predict", str(trained.folder), str(specimens), "--json"]
    assert run.main(words) == 0
    expected = json.loads(capsys.readouterr().out)["predictions"]
    for cells, one in zip(table_of(specimens)[1:], expected, strict=True):
        found = answerer.one({"image": specimens / cells[0]}, cells[1:], None)
        told = found.prediction
        assert told["label"] == one["label"] and told["top"] == one["top"]
        assert told["nearest"] == one["nearest"]
        assert not found.unmeasured
        assert found.sheet.height > 1000
        assert len(told["explanation"]["contributions"]) == len(cells) - 1


@pytest.mark.usefixtures("nothing_is_left")
def test_one_without_measurements_is_answered_and_that_is_said(answerer, specimens):
    found = answerer.one({"image": next(specimens.glob("*.png"))}, [], None)
    assert found.unmeasured


@pytest.mark.usefixtures("nothing_is_left")
def test_mistakes_about_one_specimen_are_one_line(answerer, specimens, tmp_path):
    picture = next(specimens.glob("*.png"))
    broken, pack = tmp_path / "broken.png", tmp_path / "pack.zip"
    broken.write_bytes(b"\x89PNG but no more")
    pack.write_bytes(b"")
    width = len(table_of(specimens)[0]) - 1
    for files, row, said in (
        ({}, [], "image: nothing was given"),
        ({"image": broken}, [], "broken.png: is not a picture|broken.png: is damaged"),
        ({"image": pack}, [], "pack.zip is none of .* go into the batch"),
        ({"image": picture}, ["tall"] + [""] * (width - 1), "tall"),
    ):
        with pytest.raises(InputError, match=said):
            answerer.one(files, row, None)


@pytest.mark.usefixtures("nothing_is_left")
def test_a_batch_is_answered_as_a_table(answerer, specimens, tmp_path):
    pictures = sorted(specimens.glob("*.png"))
    shutil.copy(pictures[0], tmp_path / "=1+1.png")
    (tmp_path / "no.png").write_bytes(b"no picture")
    pack = tmp_path / "batch.zip"
    with zipfile.ZipFile(pack, "w") as file:
        for path in (*pictures, tmp_path / "=1+1.png", tmp_path / "no.png"):
            file.write(path, path.name)
    counts = []
    found = answerer.many([pack], counts.append)
    names = ["'=1+1.png", *(path.name for path in pictures)]
    assert found.table["input"].tolist() == names
    assert found.table["label"][0] == found.table["label"][1]
    assert found.unmeasured == counts[-1] == ASKED + 1
    (line,) = found.broken
    assert line.startswith("no.png: is not a picture")


@pytest.mark.usefixtures("nothing_is_left")
def test_a_table_goes_with_its_pictures(answerer, specimens):
    found = answerer.many(sorted(specimens.iterdir()), lambda count: None)
    assert len(found.table) == ASKED and not found.unmeasured
    assert np.isfinite(found.table["confidence"]).all()


@pytest.mark.usefixtures("nothing_is_left")
def test_a_batch_ends_when_its_time_is_over(answerer, specimens, monkeypatch):
    looks = iter([False, False, True])
    monkeypatch.setattr(answering, "PIECE", 1)
    monkeypatch.setattr(answering.Clock, "is_over", property(lambda self: next(looks)))
    found = answerer.many(sorted(specimens.glob("*.png")), lambda count: None)
    assert found.is_cut and len(found.table) == 2


def test_the_command_finds_mistakes_before_the_network_is_loaded(trained, monkeypatch, capsys):
    monkeypatch.setattr("models.commands.demo._serve", lambda *_: pytest.fail("it serves"))
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        assert run.main(["demo", str(trained.folder), "--port", port]) == 2
        assert "nothing can listen there" in capsys.readouterr().err
    for words, said in (
        (["--port", "70000"], "no such port"),
        (["--most-files", "0"], "a whole number from 1 on"),
    ):
        assert run.main(["demo", str(trained.folder), *words]) == 2
        assert said in capsys.readouterr().err
