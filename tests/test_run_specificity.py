"""Answers as deep as they are sure, in the user's hands: what a run keeps, evaluate, predict."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import run
from datasets.base import Table
from datasets.errors import InputError
from datasets.taxonomy import RANKS, Node
from datasets.taxonomy_table import from_frame
from models import MODELS, artefact
from models.species import run_specificity
from models.species.run_specificity import Validation, read_answered
from models.species.specificity import answers, best_taxa, correctness, depths, figures
from models.species.true_taxa import true_taxa
from tests.taxa_model import LABELS, NEW, Taxa, drawn
from tests.typed import answered, typed


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    """The folder of a run, `Taxa/one`."""
    out = tmp_path_factory.mktemp("taxa")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(MODELS, "Taxa", "tests.taxa_model:Taxa")
        patch.setattr(artefact, "write_report", lambda *_: None)
        assert run.main(["--model", "Taxa", "--run", "one", "--out", str(out)]) == 0
        yield out


@pytest.fixture(scope="module")
def folder(out):
    return out / "Taxa" / "one"


@pytest.fixture(scope="module")
def model(folder):
    return Taxa.loadModel(folder)


def answer_of(capsys, out, verb, *words):
    return answered(capsys, verb, "Taxa", *words, "--out", out)


def refusal(capsys, out, verb, *words):
    capsys.readouterr()
    code, text, (line,) = typed(capsys, verb, "Taxa", *words, "--out", out)
    assert (code, text) == (2, "")
    return line


# --- what a run keeps


def test_a_run_keeps_what_thresholds_need(folder, model):
    validation = Validation.read(folder)
    table = drawn()
    model.split_table(table)
    for part in ("validation", "test"):
        rows = model.splits[part]
        probabilities = model.judge(table.take(rows))
        best = best_taxa(probabilities, model.taxonomy)
        kept = read_answered(folder, part)
        assert np.array_equal(kept.best.nodes, best.nodes)
        assert kept.best.probabilities == pytest.approx(best.probabilities, abs=1e-6)
        right = correctness(best, table.targets[rows], model.taxonomy)
        assert np.array_equal(kept.right, right)
        if part == "validation":
            assert validation.leaves == pytest.approx(probabilities, abs=1e-6)
            assert np.array_equal(validation.targets, table.targets[rows])
    assert validation.taxonomy.leaves == LABELS


def test_a_run_states_its_ranks_and_rules(folder):
    metrics = json.loads((folder / "metrics.json").read_text())
    test, ranks = read_answered(folder, "test"), metrics["ranks"]["test"]
    assert list(ranks) == list(RANKS)
    assert ranks["species"]["accuracy"] == pytest.approx(metrics["test"]["accuracy"])
    assert ranks["genus"]["accuracy"] == pytest.approx(test.right[:, 6].mean())
    assert ranks["genus"]["accuracy"] > ranks["species"]["accuracy"]
    rules = metrics["specificity"]["rules"]
    assert list(rules) == ["hill-climbing", "binary-search", "conformal"]
    found = rules["binary-search"]
    expected = figures(test.best, test.right, found["threshold"])
    assert {name: found[name] for name in expected} == pytest.approx(expected)
    assert found["target"] == 0.9
    assert sum(one["n"] for one in found["answers"].values()) == found["n"] == metrics["test"]["n"]
    right = sum(one["n"] * one["accuracy"] for one in found["answers"].values())
    assert right / found["n"] == pytest.approx(found["accuracy"])
    card = (folder / "README.md").read_text()
    assert f"at a mean depth of {found['depth']:.2f}, where kingdom is 1" in card
    assert f"({found['depth_table1']:.2f} where the root is 1" in card


def test_a_run_that_cannot_keep_all_leaves_says_what_to_do(folder, model):
    validation = replace(Validation.read(folder), leaves=None)
    assert validation.threshold(0.9).target == 0.9
    with pytest.raises(InputError, match="keeps none .* within Brelomora: give one by --threshold"):
        validation.threshold(0.9, within=[model.taxonomy.find("Brelomora")])


def test_within_a_taxon_its_own_validation_pictures_count(folder):
    validation = Validation.read(folder)
    taxonomy = validation.taxonomy
    node = taxonomy.find("Brelomora")
    inside = np.isin(validation.targets, taxonomy.leaves_below(node))
    best = best_taxa(validation.leaves[inside], taxonomy, [node])
    right = correctness(best, validation.targets[inside], taxonomy)
    found = validation.threshold(0.9, within=[node])
    assert 0 < found.pictures == inside.sum() < len(inside)
    assert found.accuracy == figures(best, right, found.value)["accuracy"] >= 0.9


def test_too_many_leaves_are_not_kept(monkeypatch):
    class Run:
        table = drawn(120)
        splits = {
            "train": np.arange(40),
            "validation": np.arange(40, 90),
            "test": np.arange(90, 120),
        }
        taxonomy = from_frame(drawn().frame, RANKS, LABELS).taxonomy
        probabilities = {
            part: np.full((size, len(LABELS)), 1 / len(LABELS))
            for part, size in (("validation", 50), ("test", 30))
        }

    class Parts(dict):
        def parts(self):
            return tuple(self)

    Run.splits = Parts(Run.splits)
    for largest, kept in ((50 * len(LABELS), True), (50 * len(LABELS) - 1, False)):
        monkeypatch.setattr(run_specificity, "LARGEST", largest)
        found = run_specificity.RunSpecificity.of(Run)
        assert (found.validation.leaves is not None) == kept


# --- evaluate


def test_evaluate_answers_as_deep_as_the_validation_part_allows(capsys, out, folder):
    found = answer_of(capsys, out, "evaluate", "--target-accuracy", 0.9)
    threshold, test = Validation.read(folder).threshold(0.9), read_answered(folder, "test")
    specificity = found["specificity"]
    assert specificity["threshold"] == threshold.value
    assert specificity["target"] == 0.9
    assert specificity["rule"] == "binary search"
    expected = figures(test.best, test.right, threshold.value)
    assert {name: specificity[name] for name in expected} == pytest.approx(expected)
    assert specificity["depth_table1"] == pytest.approx(specificity["depth"] + 1)
    low, high = specificity["interval"]
    assert low < specificity["accuracy"] < high
    assert found["ranks"]["species"]["accuracy"] == pytest.approx(found["accuracy"])


def test_evaluate_within_a_taxon_counts_other_pictures_as_wrong(capsys, out, folder, model):
    words = ["--within", "Brelomora", "--target-accuracy", 0.9, "--split", "test"]
    found = answer_of(capsys, out, "evaluate", *words)["specificity"]
    taxonomy, table = model.taxonomy, drawn()
    node = taxonomy.find("Brelomora")
    model.split_table(table)
    targets = table.targets[model.splits.test]
    inside = np.isin(targets, taxonomy.leaves_below(node))
    assert found["outside"] == np.count_nonzero(~inside) > 0
    assert found["threshold"] == Validation.read(folder).threshold(0.9, within=[node]).value
    best = best_taxa(model.judge(table.take(model.splits.test)), taxonomy, [node])
    right = correctness(best, targets, taxonomy)
    assert not right[~inside, node.depth :].any()
    expected = figures(best, right, found["threshold"])
    assert {name: found[name] for name in expected} == pytest.approx(expected)


@pytest.mark.parametrize("rule", ["hill-climbing", "conformal"])
def test_evaluate_takes_every_rule(capsys, out, folder, rule):
    words = ["--target-accuracy", 0.7, "--rule", rule]
    words += ["--confidence", 0.8] if rule == "conformal" else []
    found = answer_of(capsys, out, "evaluate", *words)["specificity"]
    confidence = 0.8 if rule == "conformal" else None
    expected = Validation.read(folder).threshold(0.7, rule, confidence)
    assert (found["threshold"], found["promise"]) == (expected.value, expected.promise)
    assert ("probability 80%" in found["promise"]) == (rule == "conformal")


def test_the_threshold_never_comes_from_what_is_judged(capsys, out, folder):
    NEW["hard"] = replace(drawn(80, 3), labels=LABELS)
    NEW["hard"].modalities["image"][:] = 128
    found = answer_of(capsys, out, "evaluate", "--data-dir", "hard", "--target-accuracy", 0.9)
    assert found["specificity"]["threshold"] == Validation.read(folder).threshold(0.9).value
    assert found["specificity"]["n"] == found["ranks"]["genus"]["n"] == 80


def test_unknown_species_are_placed_by_their_ranks(capsys, out, model):
    table = drawn(60, 4)
    frame, rows = table.frame, {"new species": 5, "new genus": 9, "nowhere": 13}
    frame.loc[list(rows.values()), ["label", "species"]] = "Vorlathis nova"
    frame.loc[rows["new genus"], "genus"] = "Novogenus"
    frame.loc[rows["nowhere"], list(RANKS[:-1])] = ["Fungi", "P", "C", "O", "F", "G"]
    NEW["unknown"] = table
    truth = true_taxa(table.relabelled(LABELS), model.taxonomy)
    known = model.taxonomy.ancestors.T[drawn(60, 4).targets]
    expected = known.copy()
    expected[rows["new species"], 7:] = -1
    expected[rows["new genus"], 6:] = -1
    expected[rows["nowhere"]] = -1
    assert np.array_equal(truth, expected)

    found = answer_of(capsys, out, "evaluate", "--data-dir", "unknown", "--threshold", 0.5)
    probabilities = model.judge(table)
    best = best_taxa(probabilities, model.taxonomy)
    for place, rank in enumerate(RANKS, 1):
        right = (best.nodes[:, place] == expected[:, place]).mean()
        assert found["ranks"][rank]["accuracy"] == pytest.approx(right)
    assert found["n"] == found["specificity"]["n"] == 60
    assert found["accuracy"] == pytest.approx(found["ranks"]["species"]["accuracy"])
    deep = depths(best, 0.5)
    hits = best.nodes[np.arange(60), deep] == expected[np.arange(60), deep]
    assert found["specificity"]["accuracy"] == pytest.approx(hits.mean())
    assert (found["specificity"]["target"], found["specificity"]["promise"]) == (None, None)


def test_a_homonym_is_told_by_the_ranks_above():
    lines = [("A", "One", "One x"), ("A", "Two", "Two x"), ("B", "One", "One y")]
    taxonomy = from_frame(
        pd.DataFrame(lines, columns=["family", "genus", "species"]), ["family", "genus", "species"]
    ).taxonomy
    new = pd.DataFrame(
        {"label": ["n"] * 4, "Family": ["b", "", "C", None], "genus": ["one", "One", "One", "two"]}
    )
    truth = true_taxa(Table("t", "", taxonomy.leaves, new, {}), taxonomy)
    genus = [taxonomy.name(Node(2, index)) if index >= 0 else None for index in truth[:, 2]]
    assert genus == ["One", None, None, "Two"]
    assert truth[:, 1].tolist() == [1, -1, -1, 0]
    assert truth[:, 0].tolist() == [0, -1, -1, 0]


# --- predict


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pictures")
    for row, image in enumerate(drawn(12, 5).modalities["image"]):
        Image.fromarray(image[..., 0]).save(folder / f"{row:02d}.png")
    return folder


def test_predict_answers_taxa_with_reason_and_path(capsys, out, folder, model, pictures):
    found = answer_of(capsys, out, "predict", pictures, "--target-accuracy", 0.9, "--top", 36)
    threshold = Validation.read(folder).threshold(0.9).value
    assert found["specificity"]["threshold"] == threshold
    images = drawn(12, 5).modalities["image"]
    probabilities = model.predict({"image": images})["probabilities"]
    expected = list(answers(probabilities, model.taxonomy, threshold))
    assert len({answer.rank for answer in expected}) > 1
    for one, answer, row in zip(found["predictions"], expected, probabilities, strict=True):
        for name in ("taxon", "rank", "depth", "reason"):
            assert one[name] == getattr(answer, name)
        assert one["label"] == answer.taxon
        assert one["probability"] == pytest.approx(answer.probability, abs=1e-5)
        assert [step["taxon"] for step in one["path"]] == [step.taxon for step in answer.path]
        scores = {entry["label"]: entry["probability"] for entry in one["top"]}
        assert scores == pytest.approx(dict(zip(LABELS, row.tolist(), strict=True)), abs=1e-5)


def test_predict_stays_within_what_is_known(capsys, out, model, pictures):
    found = answer_of(capsys, out, "predict", pictures, "--within", "brelomora")
    assert found["specificity"]["within"] == ["Brelomora"]
    below = model.taxonomy.leaves_below(model.taxonomy.find("Brelomora"))
    inside = {LABELS[leaf] for leaf in below}
    assert {one["taxon"] for one in found["predictions"]} <= inside  # no threshold: to the leaf
    tops = {one["top"][0]["label"] for one in found["predictions"]}
    assert not tops <= inside
    plain = answer_of(capsys, out, "predict", pictures)
    assert "specificity" not in plain
    assert "taxon" not in plain["predictions"][0]


def test_predict_says_taxon_and_reason_in_words(capsys, out, pictures):
    assert (
        run.main(["predict", "Taxa", str(pictures), "--threshold", "0.99", "--out", str(out)]) == 0
    )
    first = capsys.readouterr().out.splitlines()[0]
    assert " reaches 0.99" in first or "has any probability" in first
    assert " > " in first


# --- what does not fit


@pytest.mark.parametrize("verb", ["evaluate", "predict"])
@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (["--within", "Brelomorra"], ["no taxon 'Brelomorra'", "did you mean Brelomora"]),
        (["--target-accuracy", "0.999", "--rule", "conformal"], ["at best", "lower target"]),
        (["--rule", "conformal"], ["--rule conformal needs --target-accuracy"]),
        (["--threshold", "0.5", "--target-accuracy", "0.9"], ["leave one of them out"]),
        (["--target-accuracy", "0.9", "--reject-at", "0.9"], ["leave one of them out"]),
        (["--target-accuracy", "0.9", "--confidence", "0.9"], ["belongs to --rule conformal"]),
        (["--target-accuracy", "1.5"], ["1.5 is no share"]),
    ],
)
def test_flags_that_do_not_fit_are_refused_in_one_line(capsys, out, pictures, verb, words, parts):
    line = refusal(capsys, out, verb, *([pictures] if verb == "predict" else []), *words)
    for part in parts:
        assert part in line


def test_a_run_without_a_taxonomy_refuses_in_one_line(capsys, out, folder, pictures, monkeypatch):
    monkeypatch.setattr("models.commands.depth.read_taxonomy", lambda folder: None)
    for words in (["--target-accuracy", "0.9"], ["--within", "Brelomora"], ["--threshold", "0.5"]):
        for verb, inputs in (("evaluate", []), ("predict", [pictures])):
            line = refusal(capsys, out, verb, *inputs, *words)
            assert line.startswith(f"error: {words[0]}: ")
            assert "knows no taxonomy" in line
            assert "--reject-at" in line
    assert "ranks" not in answer_of(capsys, out, "evaluate")
