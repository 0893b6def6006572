"""Leaves, fish and spoken digits, a few of each, through the command line from table to answer."""

import pandas as pd
import pytest

from tests.typed import answered

pytestmark = pytest.mark.real

FILES = {"specimens": "image", "observations": "image", "tracks": "file"}


def few(source, kind, folder, keep):
    """A table of some rows of a real one, whose files stay where they are."""
    table = keep(pd.read_csv(source / f"{kind}.csv", dtype=str))
    table[FILES[kind]] = [str(source / file) for file in table[FILES[kind]]]
    folder.mkdir()
    table.to_csv(folder / f"{kind}.csv", index=False)
    return folder


@pytest.fixture(name="weights")
def fixture_weights(real_data):
    return real_data / "weights" / "mobilenet_v2_0.35_224_no_top.weights.h5"


def test_leaves_are_told_apart_with_their_measurements(real_data, weights, tmp_path, capsys):
    def of_twelve(table):
        return table[table["species"].isin(sorted(set(table["species"]))[:12])]

    data = few(real_data / "leaf", "specimens", tmp_path / "leaves", of_twelve)
    words = ["--model", "TripletClassifier", "--data-dir", data, "--weights", weights]
    more = ["--image-size", 160, "--epochs", 15, "--out", tmp_path]
    metrics = answered(capsys, *words, *more)
    judged = [metrics[part] for part in ("validation", "test")]
    right = sum(one["accuracy"] * one["n"] for one in judged)
    assert right / sum(one["n"] for one in judged) > 0.8
    answer = answered(capsys, "predict", "TripletClassifier", data, "--out", tmp_path)
    assert len(answer["predictions"]) == 96 and not answer["without_measurements"]


def test_fish_are_answered_as_deep_as_is_sure(real_data, weights, tmp_path, capsys):
    def of_two_families(table):
        large = table["family"].value_counts().index[:2]
        species = table[table["family"].isin(large)].drop_duplicates("species")
        chosen = species.groupby("family").head(10)["species"]
        return table[table["species"].isin(chosen)].groupby("species").head(6)

    data = few(real_data / "fish", "observations", tmp_path / "fish", of_two_families)
    words = ["--model", "MultiViewClassifier", "--data-dir", data, "--weights", weights]
    more = ["--image-size", 96, "--train-size", 96, "--epochs", 2, "--out", tmp_path]
    metrics = answered(capsys, *words, *more)
    assert metrics["ranks"]["test"]["family"]["accuracy"] > 0.6
    words = ["evaluate", "MultiViewClassifier", "--target-accuracy", 0.8, "--out", tmp_path]
    found = answered(capsys, *words)["specificity"]
    assert 0 < found["depth"] <= 5 and found["target"] == 0.8


def test_digits_are_heard_by_the_features_of_a_network(real_data, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("MENAGERIE_CACHE", str(tmp_path / "cache"))

    def of_each(table):
        return table.groupby(["artist", "genre"]).head(8)

    data = few(real_data / "spoken_digits", "tracks", tmp_path / "digits", of_each)
    words = ["--model", "MelDCNN", "--data-dir", data, "--epochs", 4, "--out", tmp_path]
    assert answered(capsys, *words)["test"]["n"] > 30
    words = ["--model", "TransferMLP", "--data-dir", data, "--tasks", "g", "--epochs", 10]
    metrics = answered(capsys, *words, "--out", tmp_path)
    assert metrics["test"]["accuracy"] > 0.3
    recording = real_data / "spoken_digits" / "7_theo_3.wav"
    answer = answered(capsys, "predict", "TransferMLP", recording, "--out", tmp_path)
    assert answer["predictions"][0]["label"] in set("0123456789")
