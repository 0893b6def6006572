"""Pictures and tables of how deep a run answers, and what the recipe of paper 001 states."""

import json
import re
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from benchmarks.halvings import Tries, halves, promise_kept, regression, together
from datasets.base import Splits, Table
from datasets.taxonomy_table import from_frame
from models import run_report
from models.species import depth_figures
from models.species.findings import table1
from models.species.run_specificity import Answered, RunSpecificity
from models.species.specificity import best_taxa, correctness, figures, roll_up
from training import reports
from training.evaluation import evaluate

RANKS = ("family", "genus", "species")
LINES = [(f"F{leaf // 12}", f"G{leaf // 4}", f"S{leaf:02}") for leaf in range(60)]
LABELS = tuple(line[-1] for line in LINES)
TAXONOMY = from_frame(pd.DataFrame(LINES, columns=RANKS), RANKS, LABELS).taxonomy


def drawn(pictures, seed):
    """Probabilities that lean towards the truth at every rank, and the true leaves."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, 60, pictures)
    logits = rng.normal(size=(pictures, 60))
    for row in TAXONOMY.ancestors[1:]:
        logits += 1.3 * (row == row[truth][:, None])
    powers = np.exp(1.5 * logits)
    return powers / powers.sum(axis=1, keepdims=True), truth


@pytest.fixture(scope="module")
def run():
    """What the reports look at, of a run of 60 species in 15 genera and 5 families."""
    sizes = {"train": 120, "validation": 90, "test": 80}
    found = {part: drawn(size, seed) for seed, (part, size) in enumerate(sizes.items())}
    truth = np.concatenate([truth for _, truth in found.values()])
    frame = pd.DataFrame({"label": [LABELS[leaf] for leaf in truth]})
    starts = dict(zip(sizes, (0, 120, 210), strict=True))
    run = SimpleNamespace(
        model="Fake",
        taxonomy=TAXONOMY,
        table=Table("fake", "", LABELS, frame, {}),
        splits=Splits(*(starts[part] + np.arange(size) for part, size in sizes.items())),
        probabilities={part: probabilities for part, (probabilities, _) in found.items()},
        results={part: evaluate(*answers, LABELS) for part, answers in found.items()},
    )
    run.specificity = RunSpecificity.of(run)
    return run


@pytest.fixture
def figures_of(monkeypatch):
    """What is drawn, by the name of its file, instead of drawing it."""
    seen = {}
    names = ("plot_depth_by_target", "plot_hierarchical_coverage", "plot_shares", "plot_confusion")
    for name in names:

        def keep(*values, **told):
            path = next(value for value in values if hasattr(value, "suffix"))
            seen[path.name] = (values, told)
            return path

        monkeypatch.setattr(reports, name, keep)
    return seen


def test_depth_by_target_takes_thresholds_from_the_validation_part(run, tmp_path, figures_of):
    depth_figures.draw_depth(run, tmp_path)
    table = pd.read_csv(tmp_path / "depth_by_target.csv")
    found = run.specificity
    assert table["target"].iloc[-1] == 1
    assert (table["target"].diff()[1:] - 0.01).abs().max() < 1e-9
    for row in table.iloc[[0, len(table) // 2]].itertuples():
        threshold = found.validation.threshold(row.target).value
        expected = figures(found.judged.best, found.judged.right, threshold)
        assert (row.threshold, row.depth) == pytest.approx((threshold, expected["depth"]))
        assert row.accuracy == pytest.approx(expected["accuracy"])
    (targets, depths, *_), told = figures_of["depth_by_target.png"]
    assert np.array_equal(targets, table["target"]) and np.array_equal(depths, table["depth"])
    assert told["chosen"] == 0.9


def test_the_working_point_lies_on_the_curve_of_all_thresholds(run, tmp_path, figures_of):
    depth_figures.draw_depth(run, tmp_path)
    (coverage, accuracy, _), told = figures_of["hierarchical_coverage.png"]
    found = run.specificity
    judged = found.judged.at(found.validation.threshold(0.9).value, TAXONOMY)
    assert told["chosen"][1] == pytest.approx(judged["accuracy"])
    assert told["chosen"] in list(zip(coverage.tolist(), accuracy.tolist(), strict=True))
    assert (coverage[0], accuracy[0]) == (0, 1) and coverage[-1] == pytest.approx(1)


def test_bars_stand_for_ranks_and_class_sizes(run, tmp_path, figures_of):
    depth_figures.draw_depth(run, tmp_path)
    (names, shares, intervals, _), _ = figures_of["accuracy_by_rank.png"]
    assert names == list(RANKS)
    assert shares == pytest.approx(run.specificity.judged.right[:, 1:].mean(axis=0))
    assert all(low < share <= high for share, (low, high) in zip(shares, intervals, strict=True))
    (names, shares, *_), _ = figures_of["class_sizes.png"]
    counts = [int(re.search(r"n = (\d+)", name)[1]) for name in names]
    assert sum(counts) == 80
    accuracy = run.results["test"].figures["accuracy"]
    assert np.dot(shares, counts) / 80 == pytest.approx(accuracy)
    # The classes of the smallest bin are those with no or few training pictures.
    sizes = np.bincount(run.table.targets[run.splits["train"]], minlength=60)
    test = sizes[run.table.targets[run.splits["test"]]]
    few = np.count_nonzero((test >= 1) & (test <= 4))
    assert next(name for name in names if name.startswith("1 to 4")).endswith(f"n = {few}")


def test_matrices_are_drawn_of_ranks_that_can_be_read(run, tmp_path, figures_of):
    found = run_report._confusions(run, tmp_path)
    assert len(TAXONOMY.leaves) > depth_figures.READABLE
    test = [caption for caption, _ in found["Confusion matrices: test"]]
    kinds = ["samples", "% of all samples", "% of the true class"]
    assert test == [f"test, genus, {kind}" for kind in kinds] + [f"test, family, {kinds[2]}"]
    assert [caption for caption, _ in found["Confusion matrices: train"]] == [
        f"train, genus, {kind}" for kind in kinds
    ]
    rolled = roll_up(run.probabilities["test"], TAXONOMY)[0].argmax(axis=1)
    truth = TAXONOMY.ancestors[1][run.table.targets[run.splits["test"]]]
    counts = pd.read_csv(tmp_path / "confusion_test_family.csv", index_col=0)
    expected = np.zeros((5, 5), int)
    np.add.at(expected, (truth, rolled), 1)
    assert np.array_equal(counts, expected)
    assert list(counts) == list(TAXONOMY.names[0])


def test_the_finest_rank_that_can_be_read_is_chosen(run, monkeypatch):
    answers = run.probabilities["test"], run.table.targets[run.splits["test"]]
    assert depth_figures.readable_result(*answers, LABELS, None).labels == LABELS
    for readable, taxa in ((60, 60), (59, 15), (14, 5), (4, 5)):
        monkeypatch.setattr(depth_figures, "READABLE", readable)
        found = depth_figures.readable_result(*answers, LABELS, TAXONOMY)
        assert len(found.labels) == taxa
        assert found.confusion.sum() == 80


def test_the_figures_can_be_drawn(run, tmp_path):
    for _, path in depth_figures.draw_depth(run, tmp_path):
        assert path.stat().st_size > 5000


# --- the recipe


def stored(folder, accuracy, depth, right):
    """A run's folder as far as the findings read it; `right` are its answers to 8 test samples."""
    folder.mkdir(parents=True)
    labels = [f"S{row % 2}" for row in range(8)]
    answers = [label if hit else "none" for label, hit in zip(labels, right, strict=True)]
    keys = [f"k{row}" for row in range(8)]
    frame = pd.DataFrame({"key": keys, "label": labels, "answer": answers})
    frame.assign(part="test").to_csv(folder / "predictions.csv", index=False)
    split = {"train": {"keys": ["a"] * 60}, "test": {"keys": keys, "digests": keys}}
    (folder / "split.json").write_text(json.dumps(split))
    rank = {"accuracy": accuracy / 100}
    rule = {"accuracy": 0.9, "depth": depth, "threshold": 0.5}
    metrics = {
        "train": {
            "accuracy": 0.8,
            "per_class": {"S0": {"support": 3}, "S1": {"support": 12}},
        },
        "validation": {"accuracy": 0.5},
        "ranks": {"validation": {"genus": rank, "species": rank}, "test": {"genus": rank}},
        "specificity": {"part": "test", "rules": {"binary-search": rule}},
    }
    (folder / "metrics.json").write_text(json.dumps(metrics))
    return folder


def test_findings_state_table_1_and_what_each_step_adds(tmp_path):
    rows = {"E1 one": (40, 1.5), "E1' controlled": (42, 1.6), "E2 two": (50, 1.9)}
    rows["E3 transfer"] = (52, 2.1)
    runs = {
        name: {
            seed: stored(
                tmp_path / name / str(seed), accuracy + seed, depth, np.arange(8) < accuracy / 8
            )
            for seed in (0, 1)
        }
        for name, (accuracy, depth) in rows.items()
    }
    lines = table1(runs)
    table = [line for line in lines if line.startswith("| E2 two | 80.0")]
    assert len(table) == 1
    assert "| 68.2 |" in table[0]
    assert table[0].endswith("1.90 (1.90 to 1.90): 1.90, 1.90 (2.90) | 4.96 (5.96) |")
    controlled = next(line for line in lines if line.startswith("| E1' controlled | 80"))
    assert controlled.endswith("| - |")
    steps = [line.split("|")[1].strip() for line in lines if " - E" in line]
    expected = ["E2 two - E1 one", "E1' controlled - E1 one", "E2 two - E1' controlled"]
    expected.append("E3 transfer - E2 two")
    assert steps == expected * 2
    assert any(line.startswith("| E2 two - E1 one | +25.00 (-2.39 to +46.84) |") for line in lines)
    sizes = [line for line in lines if line.startswith("| 1 to 4 |")]
    assert sizes[0].split("|")[2].strip() == "8"  # of both seeds
    assert sum(line.startswith("| 10 to 19 |") for line in lines) == 1


# --- the benchmark of halvings


def answered(pictures, seed):
    probabilities, truth = drawn(pictures, seed)
    best = best_taxa(probabilities, TAXONOMY)
    return Answered(best, correctness(best, truth, TAXONOMY))


def test_halvings_keep_the_target_and_the_promise():
    parts = [answered(350, 1), answered(351, 2)]
    pooled = together(parts)
    assert len(pooled.best) == 701
    assert np.array_equal(pooled.best[350:].nodes, parts[1].best.nodes)
    tries = Tries(TAXONOMY, 0.9, 40)
    found = tries.by_rule(pooled)["binary-search"]
    assert found["mean_accuracy"] == pytest.approx(0.9, abs=0.01)
    low, high = found["single"]["interval"]
    assert low < found["single"]["accuracy"] < high
    assert found["single"]["n"] == 351
    promise = promise_kept(pooled, tries, 200, 0.8)
    assert promise["kept"] > 0.72  # 0.8 less three standard deviations; without it about a half
    assert 0 < promise["mean_depth"] < found["mean_depth"]


def test_halves_are_disjoint_and_differ():
    (first, second), (other, _) = halves(21, 2)
    assert sorted([*first, *second]) == list(range(21))
    assert len(first) == 10 and set(first) != set(other)


def test_the_regression_is_chosen_on_the_validation_part():
    rng = np.random.default_rng(0)
    targets = {
        part: rng.integers(0, 3, size)
        for part, size in (("train", 90), ("validation", 60), ("test", 60))
    }
    features = {
        part: np.eye(3)[truth] + rng.normal(0, 0.5, (len(truth), 3))
        for part, truth in targets.items()
    }
    strength, found = regression(features, targets)
    assert strength in (0.01, 0.1, 1.0, 10.0)
    assert set(found) == {"validation", "test"}
    assert found["test"].sum(axis=1) == pytest.approx(1)
    assert (found["test"].argmax(axis=1) == targets["test"]).mean() > 0.6
