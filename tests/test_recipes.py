"""Recipes: every one runs, takes runs that are there, and states what it found."""

import json
import shutil
from dataclasses import replace

import keras
import numpy as np
import pytest

import run
from datasets.synthetic import faces, music, organisms, reef, snails
from models import artefact, pretrained
from models.backbones import Backbone, build_backbone
from models.clownfish import findings, net96
from models.music import mel_dcnn
from models.species import multi_view_classifier
from tests.tone_tracks import make_small, tone_tracks
from training.recipes import clownfish_tables, music_splits, music_sweep, recipe_names
from training.statistics import mean_over_runs

TABLES = "clownfish_tables"
MUSIC = ["--set", "epochs=1", "--set", "TransferMLP.width=8", "--set", "stored-views=1"]
SMALLER = {
    TABLES: ["--set", "TransferCNN.image-size=32"],
    "species_table1": ["--set", "image-size=32"],
    "snails_figure4": ["--set", "image-size=32", "--set", "backbone=resnet18", "--seeds", "1"],
    "music_sweep": MUSIC,
    "music_splits": MUSIC,
}
# Of the sets of tasks those of g and s, as to group artists by their sub-genres takes no time.
ROWS = {
    music_sweep: (
        "STN g", "STN s", "MTN gs", "transfer STN g", "transfer STN gs", "transfer MTN gs",
    ),
    music_splits: ("STN g", "transfer", "STN g, by artist", "transfer, by artist"),
}  # fmt: skip


CUT_AT = {"resnet18": ("conv",), "mobilenet_v2_035": ("block_1", "block_4", "block_13")}


def small_backbone(name, weights, height, width):
    """A few convolutions in the place of a random backbone; anything else as it is."""
    if name not in CUT_AT or weights != "none":
        return build_backbone(name, weights, height, width)
    pixels = seen = keras.Input((height, width, 3))
    for layer in CUT_AT[name]:
        seen = keras.layers.Conv2D(6, 5, 4, "same", activation="relu", name=layer)(seen)
    network = keras.Model(pixels, seen, name=name.replace("_", ""))
    return Backbone(name, network, lambda image: image / 255, weights)


pytestmark = pytest.mark.usefixtures("small_nn1", "eager")


@pytest.fixture(scope="module")
def tiny():
    """Small stand-ins for the demonstration sets: module -> table."""
    return {
        faces: faces.load(200),
        reef: reef.load(130),
        snails: snails.load(130),
        organisms: organisms.load(130),
        music: replace(tone_tracks(36, artists=12), provenance="made like Menagerie's"),
    }


@pytest.fixture(autouse=True)
def reads(tiny, monkeypatch):
    """Small data and networks, no report, no SavedModel; and every reading of a data set."""
    found = []

    def reader(module, table):
        def load():
            found.append(module)
            return table

        return load

    for module, table in tiny.items():
        monkeypatch.setattr(module, "load", reader(module, table))
    monkeypatch.setattr(net96, "CONVOLUTIONS", ((4, 5), (4, 3), (4, 3)))
    monkeypatch.setattr(net96, "DENSE", (12, 8))
    for module in (pretrained, multi_view_classifier):
        monkeypatch.setattr(module, "build_backbone", small_backbone)
    make_small(monkeypatch)
    monkeypatch.setattr(mel_dcnn, "READOUT", {"epochs": 1, "views": 1})
    for module, names in ROWS.items():
        rows = (replace(row, in_quick=row.name in names) for row in module.RECIPE.rows)
        monkeypatch.setattr(module, "RECIPE", replace(module.RECIPE, rows=tuple(rows)))
    monkeypatch.setattr(artefact, "write_report", lambda *_: None)
    monkeypatch.setattr(artefact, "write_savedmodel", lambda *_: None)
    return found


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    return tmp_path_factory.mktemp("runs")


def quick(name, out):
    words = ["recipe", name, "--quick", "--json", "--out", str(out), *SMALLER.get(name, [])]
    return run.main(words)


def answer_of(name, out, capsys):
    assert quick(name, out) == 0
    return json.loads(capsys.readouterr().out)


def confusion_of(out, model, row):
    folder = out / model / f"recipe-{row}-quick-demonstration-seed0"
    metrics = json.loads((folder / "metrics.json").read_text())
    return np.array(metrics["validation"]["confusion"])


@pytest.mark.parametrize("name", recipe_names())
def test_a_recipe_runs_from_data_to_table(name, out, reads, capsys):
    answer = answer_of(name, out, capsys)
    if name == TABLES:
        assert reads == [reef, reef]  # once for all rows, once for the findings
    assert "Menagerie" in answer["provenance"]
    assert answer["left_out"] == []
    for row in answer["rows"]:
        assert row["n"] > 0
        for part in ("validation", row["judged"]):
            (value,) = row[part]["values"]
            assert row[part]["mean"] == value
            assert row[part]["low"] is None
            assert 0 <= value <= 100
    assert len(answer["findings"]) >= 4
    page = (out / "recipes" / f"{name}-quick-demonstration" / "README.md").read_text()
    for row in answer["rows"]:
        assert f"| {row['name']} |" in page


def test_a_row_that_recipes_share_is_trained_once(out, capsys):
    before = {path: path.stat().st_mtime for path in out.rglob("metadata.json")}
    for name in ("emotion_table2", "emotion_fusion", TABLES):
        assert quick(name, out) == 0
    assert before
    assert {path: path.stat().st_mtime for path in out.rglob("metadata.json")} == before


def test_table_2_states_all_six_requirements(out, capsys):
    lines = answer_of("emotion_table2", out, capsys)["findings"]
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


# --- music: rows that use several others


def test_a_row_has_the_runs_of_all_rows_that_it_uses(out, capsys):
    answer_of("music_sweep", out, capsys)
    answer_of("music_splits", out, capsys)
    for row, networks in {
        "transfer-stn-gs": ("stn-g", "stn-s"),
        "transfer-mtn-gs": ("mtn-gs",),
        "transfer": ("stn-g",),  # trained for the sweep
        "transfer-by-artist": ("stn-g-by-artist",),
    }.items():
        folder = out / "TransferMLP" / f"recipe-{row}-quick-demonstration-seed0"
        runs = [f"MelDCNN/recipe-{one}-quick-demonstration-seed0" for one in networks]
        assert json.loads((folder / "config.json").read_text())["networks"] == ",".join(runs)
        notes = " ".join(json.loads((folder / "metadata.json").read_text())["notes"])
        assert all(run in notes for run in runs)


# --- the clownfish tables: rows of their own species from one table


def test_the_papers_counts_agree_with_one_another():
    rows = {row.name: row for row in clownfish_tables.RECIPE.rows}
    assert list(rows) == ["RI2", "TL2", "RI4", "TL4", "TL4.2"]
    for data, names in findings.COUNTS.items():
        pictures = [validation for _, validation in findings.PAPER_COUNTS[data].values()]
        for name in names:
            right = findings.PAPER_RIGHT[name]
            assert rows[name].paper["validation"] == (sum(right), sum(pictures))
            assert all(one <= n for one, n in zip(right, pictures, strict=True))
    matrix = np.array(findings.PAPER_CONFUSION)
    assert tuple(matrix.diagonal()) == findings.PAPER_RIGHT["TL4"]
    assert matrix.sum(axis=1).tolist() == [59, 25, 23, 16]
    assert {name: row.options["epochs"] for name, row in rows.items()} == {
        "RI2": 50, "TL2": 30, "RI4": 50, "TL4": 25, "TL4.2": 50,
    }  # fmt: skip


def test_rows_of_one_table_choose_their_own_classes(out, capsys):
    answer_of(TABLES, out, capsys)
    for row, model, classes in (
        ("ri2", "Net96", 2), ("tl2", "TransferCNN", 2), ("ri4", "Net96", 4),
        ("tl4", "TransferCNN", 4), ("tl4-2", "TransferCNN", 5),
    ):  # fmt: skip
        assert confusion_of(out, model, row).shape == (classes, classes)
        config = out / model / f"recipe-{row}-quick-demonstration-seed0" / "config.json"
        stored = json.loads(config.read_text())
        assert stored["preset"] == "paper"
        assert stored["epochs"] == 2


def test_tables_1_to_5_stand_beside_the_papers(out, capsys):
    answer = answer_of(TABLES, out, capsys)
    lines, n = answer["findings"], {row["name"]: row["n"] for row in answer["rows"]}
    two, four = confusion_of(out, "TransferCNN", "tl2"), confusion_of(out, "TransferCNN", "tl4")
    five = confusion_of(out, "TransferCNN", "tl4-2")
    assert n == {"RI2": two.sum(), "TL2": two.sum(), "RI4": four.sum(), "TL4": four.sum(),
                 "TL4.2": five.sum()}  # fmt: skip
    for row in answer["rows"]:
        assert row["judged"] == "validation"
        assert row["test"] is None

    counts = [line for line in lines if line.startswith(("| two species", "| four"))]
    assert len(counts) == (2 + 1) + (4 + 1) + (5 + 1)
    assert counts[0].startswith("| two species | clarkii |")
    assert counts[0].endswith(f"| 380 | {two[0].sum()} | 59 |")
    assert counts[2].endswith(f"| 608 | {two.sum()} | 84 |")
    assert counts[-2].endswith(f"| 312 | {five[4].sum()} | 78 |")
    assert counts[-1].endswith(f"| 1125 | {five.sum()} | 201 |")

    assert f"| TL2 | perideraion | {two[1, 1]}/{two[1].sum()} | 24/25 |" in lines
    assert f"| TL4 | all | {np.trace(four)}/{four.sum()} | 110/123 |" in lines
    assert f"| TL4.2 | other | {five[4, 4]}/{five[4].sum()} | 44/78 |" in lines
    row = next(line for line in lines if line.startswith("| ocellaris |"))
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert cells[1:] == [
        f"{ours}, paper {theirs}" for ours, theirs in zip(four[2], (2, 2, 16, 3), strict=True)
    ]


def test_shared_mistakes_are_those_of_both_networks(out, capsys):
    lines = answer_of(TABLES, out, capsys)["findings"]
    line = next(line for line in lines if line.startswith("- seed 0: "))
    wrong = {}
    for model, row in (("Net96", "ri2"), ("TransferCNN", "tl2")):
        matrix = confusion_of(out, model, row)
        wrong[row] = matrix.sum() - np.trace(matrix)
    shared = int(line.removeprefix("- seed 0: ").split(" of ")[0])
    assert f"- seed 0: {shared} of {wrong['tl2']}; RI2 errs on {wrong['ri2']} of " in line
    assert shared >= wrong["tl2"] + wrong["ri2"] - matrix.sum()
    named = line.partition("; both on ")[2].split(", ") if shared else []
    split = json.loads(
        (out / "Net96" / "recipe-ri2-quick-demonstration-seed0" / "split.json").read_text()
    )
    assert len(named) == shared
    assert set(named) <= set(split["validation"]["keys"])


def test_rows_that_the_data_do_not_allow_are_named(tmp_path, out, tiny, capsys, monkeypatch):
    table, labels = tiny[reef], ("clarkii", "perideraion")
    answer_of(TABLES, out, capsys)
    rows = np.flatnonzero(table.frame["label"].isin(labels))
    monkeypatch.setattr(reef, "load", lambda: replace(table.take(rows), labels=labels))
    for model, row in (("Net96", "ri2"), ("TransferCNN", "tl2")):
        name = f"{model}/recipe-{row}-quick-demonstration-seed0"
        shutil.copytree(out / name, tmp_path / name)
    answer = answer_of(TABLES, tmp_path, capsys)
    assert [row["name"] for row in answer["rows"]] == ["RI2", "TL2"]
    assert answer["left_out"] == [
        "RI4 is left out: it needs 4 classes, reef has 2.",
        "TL4 is left out: it needs 4 classes, reef has 2.",
        "TL4.2 is left out: it needs 5 classes, reef has 2.",
    ]
    page = (tmp_path / "recipes" / f"{TABLES}-quick-demonstration" / "README.md").read_text()
    for line in answer["left_out"]:
        assert line in page
    assert "| network | validation | paper |\n" in page
    assert "Not as in the recipe: `TransferCNN.image-size=32`." in page
    assert "85.7 (72/84)" in page


@pytest.mark.parametrize(
    ("setting", "parts"),
    [
        ("TransferCNN.weight=x", ["no option 'weight'", "did you mean weights?"]),
        ("NN1.epochs=3", ["no row is a NN1", "Net96, TransferCNN"]),
        ("Net96.weights=x", ["Net96", "no option 'weights'"]),
        ("epochs", ["OPTION=VALUE"]),
        ("epochs=", ["OPTION=VALUE"]),
        ("=3", ["OPTION=VALUE"]),
        ("epochs=three", ["--epochs", "three"]),
        ("epochs=0", ["--epochs 0", "at least 1"]),
        ("other=perhaps", ["other=perhaps", "yes or no"]),
        ("data_dir=x", ["say it by --data-dir"]),
        ("seed=1", ["say it by --seeds"]),
        ("TransferCNN.weights=/no/such/file.h5", ["/no/such/file.h5"]),
        ("backbone=resnet19", ["resnet19", "resnet18"]),
    ],
)
def test_a_wrong_setting_is_one_line_before_any_data_are_read(
    setting, parts, tmp_path, reads, capsys
):
    words = ["recipe", TABLES, "--quick", "--set", setting, "--out", str(tmp_path)]
    assert run.main(words) == 2
    captured = capsys.readouterr()
    (line,) = [line for line in captured.err.splitlines() if line.startswith("error: ")]
    for part in parts:
        assert part in line
    assert captured.out == ""
    assert reads == []
    assert not list(tmp_path.iterdir())


def test_runs_of_other_settings_are_not_taken(out, capsys):
    words = ["recipe", TABLES, "--quick", "--out", str(out), "--set", "batch_size=8"]
    assert run.main([*words, *SMALLER[TABLES]]) == 2
    assert "was trained with other options" in capsys.readouterr().err
