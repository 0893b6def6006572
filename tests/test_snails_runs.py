"""What a run of TripletClassifier answers: tables, nearest specimens, embeddings, added classes."""

import json
import re
import shutil

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import run
from datasets.errors import InputError
from datasets.images import Fit
from models.snails.specimens import augmentation
from models.snails.triplet_classifier import TripletClassifier
from tests.snail_runs import ASKED, fixture_specimens, fixture_trained  # noqa: F401 (fixtures)
from tests.typed import answered


def test_a_training_specimen_is_most_like_itself(trained, specimens, capsys):
    found = answered(capsys, "predict", trained.folder, specimens / "specimens.csv")
    keys = trained.table.frame["key"].to_numpy()[trained.splits.train[:ASKED]]
    assert found["without_measurements"] == 0
    assert [one["nearest"][0]["key"] for one in found["predictions"]] == list(keys)
    for one in found["predictions"]:
        distances = [near["distance"] for near in one["nearest"]]
        assert distances == sorted(distances) and distances[0] < 1e-4


def test_answers_are_explained_on_a_sheet_and_in_numbers(trained, specimens, tmp_path, capsys):
    words = ["predict", trained.folder, specimens, "--explain", "--to", tmp_path / "why"]
    found = answered(capsys, *words)
    plain = answered(capsys, *words[:3])
    columns = {column.name for column in trained.table.columns}
    for one, before in zip(found["predictions"], plain["predictions"], strict=True):
        told = one.pop("explanation")
        assert one == before
        with Image.open(told["file"]) as sheet:
            assert 600 < sheet.width < 1000 < sheet.height
        assert told["class"] == one["label"]
        contributions = {each["column"]: each for each in told["contributions"]}
        assert set(contributions) == columns
        total = sum(each["contribution"] for each in contributions.values())
        assert total == pytest.approx(told["weights"]["measurements"], abs=1e-4)
        assert all(each["against_class_mean"] is not None for each in contributions.values())
        assert sum(told["shares"].values()) == pytest.approx(1, abs=1e-4)
        (picture,) = told["pictures"]
        assert 0 < picture["half_of_it_on"] < 1
        assert told["against_the_mean_of"] == "the training specimens"
    assert len(list((tmp_path / "why").iterdir())) == ASKED


def test_a_run_without_means_is_explained_by_its_examples_and_that_is_said(
    trained, specimens, tmp_path, capsys
):
    old = tmp_path / "TripletClassifier" / "old"
    shutil.copytree(trained.folder, old)
    (old / "means.npz").unlink()
    metadata = json.loads((old / "metadata.json").read_text())
    del metadata["files"]["means.npz"]
    (old / "metadata.json").write_text(json.dumps(metadata))
    picture = next(specimens.glob("*.png"))
    found = answered(capsys, "predict", old, picture, "--explain", "--to", tmp_path)
    told = found["predictions"][0]["explanation"]
    assert re.match(r"the \d+ examples in the run", told["against_the_mean_of"])
    assert {each["value"] for each in told["contributions"]} == {None}


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["--to", "why"], "--to names the folder for the sheets of --explain"),
        (["--explain", "--add", "new=DIR"], "--add answers by the nearest centroid"),
        (["--explain", "--to", "specimens.csv"], "is a file: name a folder"),
    ],
)
def test_what_cannot_be_explained_is_refused(trained, specimens, monkeypatch, capsys, words, line):
    monkeypatch.chdir(specimens)
    before = set(specimens.iterdir())
    assert run.main(["predict", str(trained.folder), str(specimens), *words]) == 2
    captured = capsys.readouterr()
    assert line in captured.err
    assert captured.out == ""
    assert set(specimens.iterdir()) == before


def test_pictures_alone_are_answered_by_the_means_and_that_is_said(trained, specimens, capsys):
    picture = next(specimens.glob("*.png"))
    assert run.main(["predict", str(trained.folder), str(picture)]) == 0
    assert "1 of 1 came without measurements" in capsys.readouterr().err


def test_an_added_class_is_answered_for_its_own_specimens(trained, specimens, capsys):
    picture = sorted(specimens.glob("*.png"))[0]
    words = ["predict", trained.folder, picture, "--add", f"new one={picture}"]
    (found,) = answered(capsys, *words)["predictions"]
    assert found["label"] == "new one"
    assert found["top"][0]["distance"] == pytest.approx(0, abs=1e-5)
    known = trained.labels[0]
    for flag in (f"{known}={picture}", "nothing"):
        assert run.main(["predict", str(trained.folder), str(picture), "--add", flag]) == 2


def test_embeddings_are_written_as_a_table(trained, specimens, tmp_path, capsys):
    own, asked = tmp_path / "own.csv", tmp_path / "asked.csv"
    assert run.main(["embed", str(trained.folder), "--to", str(own)]) == 0
    assert run.main(["embed", str(trained.folder), str(specimens), "--to", str(asked)]) == 0
    own, asked = pd.read_csv(own), pd.read_csv(asked)
    assert len(own) == len(trained.splits.train) and len(asked) == ASKED
    columns = [name for name in own if name.startswith("embedding_")]
    assert len(columns) == trained.options.width
    np.testing.assert_allclose(own[columns][:ASKED], asked[columns], atol=1e-3)
    assert run.main(["embed", str(trained.folder), "--to", str(tmp_path / "own.csv")]) == 2


def test_mirrored_shells_are_refused_with_the_reason():
    with pytest.raises(InputError, match="sinistral"):
        TripletClassifier.Options(flip=True)
    assert TripletClassifier.Options(flip=True, chiral=False).flip


def test_noise_is_told_in_deviations_of_the_pixels():
    options = TripletClassifier.Options(preset="paper", noise=0.1)
    fit = Fit(8, 8, 3)
    found = augmentation(options, fit, lambda: ([200.0] * 3, [51.0, 25.5, 76.5]))
    assert found.noise == pytest.approx(0.1 * 51 / 255)
    assert augmentation(TripletClassifier.Options(), fit, None) != found
