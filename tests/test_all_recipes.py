"""`run.py recipe all`: one page of all recipes, and what it refuses."""

import argparse
import json

import pytest

import run
from datasets.errors import InputError
from models.commands import recipe
from training.recipes import clownfish_tables, recipe_names, snails_figure4

FAILING = "species_table1"


def accuracy(mean):
    return {"mean": mean, "low": mean, "high": mean, "values": [mean]}


def page_of(arguments, words):
    """As if a recipe of two rows had been trained: one with a figure of the paper, one without."""
    assert words[0] == arguments.name
    if arguments.name == FAILING:
        raise InputError("nothing of it can be trained on these data")
    paper = {"validation": (72, 84)} if arguments.name == "clownfish_tables" else {"test": 45.0}
    stated = {"name": "a", "paper": paper, "validation": accuracy(80.0), "test": accuracy(40.0)}
    plain = {"name": "b", "paper": {}, "validation": None, "test": accuracy(50.0)}
    return {"folder": str(arguments.out / "recipes" / arguments.name), "rows": [stated, plain]}


@pytest.fixture(name="made")
def fixture_made(monkeypatch):
    monkeypatch.setattr(recipe, "_make", page_of)


@pytest.mark.usefixtures("made")
def test_one_page_has_theirs_ours_the_difference_and_the_reason(tmp_path, capsys):
    assert run.main(["recipe", "all", "--quick", "--out", str(tmp_path)]) == 2
    told = capsys.readouterr()
    assert told.err.strip().splitlines()[-1].startswith(f"error: {FAILING}: nothing of it")
    text = (tmp_path / "recipes" / "all-quick-demonstration" / "README.md").read_text()
    assert told.out.strip() == text.strip()
    assert "| a | validation | 85.7 (72/84) | 80.0 | -5.7 |" in text
    assert "| a | test | 45.0 | 40.0 | -5.0 |" in text
    assert "| b | test | - | 50.0 | - |" in text
    assert text.count("Why they differ: ") == len(recipe_names()) - 1
    assert f"## {FAILING}\n\nNot made: nothing of it" in text
    for name in set(recipe_names()) - {FAILING}:
        assert f"(../{name}/README.md)" in text


@pytest.mark.usefixtures("made")
def test_the_numbers_of_all_are_one_object(tmp_path, capsys):
    assert run.main(["recipe", "all", "--json", "--out", str(tmp_path)]) == 2
    told = json.loads(capsys.readouterr().out)
    assert set(told["recipes"]) == set(recipe_names()) - {FAILING}
    assert set(told["failed"]) == {FAILING}


@pytest.mark.parametrize(
    "words", [["--data-dir", "."], ["--data", "fma"], ["--set", "epochs=1"], ["--seeds", "1"]]
)
def test_what_is_of_one_recipe_is_refused(tmp_path, words, capsys):
    assert run.main(["recipe", "all", *words, "--out", str(tmp_path)]) == 2
    assert f"{words[0]} is of one recipe: name it instead of 'all'" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_quick_takes_two_folds_or_one_seed():
    asked = argparse.Namespace(quick=True, seeds=None)
    assert recipe._seeds(asked, snails_figure4.RECIPE) == (1, 2)
    assert recipe._seeds(asked, clownfish_tables.RECIPE) == (0,)
