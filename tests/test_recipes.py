"""Recipes: every one runs, takes runs that are there, and states what it found."""

import json

import pytest

import run
from datasets.synthetic import faces
from training.recipes import recipe_names
from training.statistics import mean_over_runs


@pytest.fixture(scope="module")
def small_faces():
    return faces.load(200)


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    return tmp_path_factory.mktemp("runs")


@pytest.mark.parametrize("name", recipe_names())
def test_a_recipe_runs_from_data_to_table(name, small_faces, out, monkeypatch, capsys):
    monkeypatch.setattr(faces, "load", lambda: small_faces)
    assert run.main(["recipe", name, "--quick", "--json", "--out", str(out)]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert "Menagerie" in answer["provenance"]
    for row in answer["rows"]:
        for part in ("validation", "test"):
            (value,) = row[part]["values"]
            assert row[part]["mean"] == value
            assert row[part]["low"] is None
            assert 0 <= value <= 100
    assert len(answer["findings"]) >= 4
    page = (out / "recipes" / f"{name}-quick-demonstration" / "README.md").read_text()
    for row in answer["rows"]:
        assert f"| {row['name']} |" in page


def test_a_row_that_recipes_share_is_trained_once(small_faces, out, monkeypatch, capsys):
    monkeypatch.setattr(faces, "load", lambda: small_faces)
    before = {path: path.stat().st_mtime for path in out.rglob("metadata.json")}
    for name in ("emotion_table2", "emotion_fusion"):
        assert run.main(["recipe", name, "--quick", "--json", "--out", str(out)]) == 0
    assert {path: path.stat().st_mtime for path in out.rglob("metadata.json")} == before


def test_table_2_states_all_six_requirements(small_faces, out, monkeypatch, capsys):
    monkeypatch.setattr(faces, "load", lambda: small_faces)
    assert run.main(["recipe", "emotion_table2", "--quick", "--json", "--out", str(out)]) == 0
    lines = json.loads(capsys.readouterr().out)["findings"]
    assert [line[:2] for line in lines[2:]] == ["1.", "2.", "3.", "4.", "5.", "6."]
    metrics = json.loads(
        (out / "NN1" / "recipe-nn1-quick-demonstration-seed0" / "metrics.json").read_text()
    )
    gap = 100 * (metrics["train"]["accuracy"] - metrics["validation"]["accuracy"])
    assert f"NN1 {gap:.1f} (" in lines[6]


def test_a_mean_over_three_runs_has_students_interval():
    mean = mean_over_runs([1.0, 2.0, 3.0])
    assert mean.mean == 2.0
    assert mean.high - mean.mean == pytest.approx(4.302653 / 3**0.5, rel=1e-5)
    assert mean_over_runs([5.0]).low is None
