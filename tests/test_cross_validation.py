"""`train --folds` and `compare`: every model by its options, one small network to the end."""

import json
import re
import shlex
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import run
from datasets import load_table
from datasets.errors import InputError
from datasets.folds import fold_split
from models import MODELS, branches, model_class
from models.base import NNModel
from models.emotion.final_nn import FinalNN
from models.emotion.nn1 import NN1
from models.fold_results import find_results
from models.runs import all_runs, find_run, read_json
from tests.tiny_model import Tiny, TinyOptions, write_pictures
from tests.typed import refused, typed
from training.evaluation import wilson_interval
from training.statistics import corrected_resampled_t, mcnemar_exact, mean_over_runs, paired_t

pytestmark = pytest.mark.filterwarnings("ignore:Even though the `tf.config:UserWarning")
ROOT = Path(__file__).resolve().parents[1]
FOLDS, PER_CLASS = 3, {"dark": 15, "light": 15, "striped": 12, "rare": 2, "lone": 1}
FAST, SLOW = (["--epochs", 4, "--learning-rate", rate] for rate in (0.05, 0.0001))


@pytest.fixture(scope="module", autouse=True)
def tiny_zoo(eager):
    """A network in the table; what a run draws and exports is tested elsewhere."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(MODELS, "Tiny", "tests.tiny_model:Tiny")
        patch.setattr("models.artefact.write_report", lambda *_: None)
        patch.setattr("models.artefact.write_savedmodel", lambda *_: None)
        yield


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    return write_pictures(tmp_path_factory.mktemp("pictures"), PER_CLASS)


@pytest.fixture(scope="module")
def out(tmp_path_factory, pictures):
    """Two cross-validations of different learning rates, and one fold of one of them alone."""
    out = tmp_path_factory.mktemp("out")
    words = ["--model", "Tiny", "--data-dir", pictures, "--out", out, "--folds", FOLDS]
    for more in (
        ["--run", "slow", *SLOW],
        ["--run", "fast", *FAST],
        ["--run", "alone", *FAST, "--fold", 2],
    ):
        assert run.main([str(word) for word in [*words, *more]]) == 0
    return out


def summary_of(out, name):
    return json.loads((out / "cross_validation" / "Tiny" / name / "folds.json").read_text())


# --- options


@pytest.mark.parametrize("name", [name for name in MODELS])
def test_every_model_can_be_cross_validated_and_its_options_come_back(name):
    options = model_class(name).Options(folds=5, fold=2, group="site")
    assert options.split_rule is None
    assert (options.tested_fold().number, options.tested_fold().of) == (2, 5)
    assert type(options).from_json(options.to_json()) == options
    words = shlex.split(options.command(name))
    assert words[words.index("--folds") + 1 :][:3] == ["5", "--fold", "2"]
    assert "--split-rule" not in words


def test_without_folds_nothing_is_new():
    options = TinyOptions()
    assert (options.split_rule, options.tested_fold()) == ("shuffled", None)


@pytest.mark.parametrize(
    ("values", "line"),
    [
        ({"folds": 1}, "--folds 1: at least 2"),
        ({"folds": 5, "fold": 6}, "--fold 6: there are folds 1 to 5"),
        ({"folds": 5, "fold": 0}, "--fold 0: at least 1"),
        ({"fold": 2}, "--fold 2 needs --folds"),
        ({"folds": 5, "split_rule": "stratified"}, "two ways to split"),
        ({"group": "site"}, "--split-rule shuffled looks at no groups"),
        ({"group": "site", "split_rule": "official"}, "--split-rule official looks at no groups"),
    ],
)
def test_splits_that_contradict_themselves_are_refused(values, line):
    with pytest.raises(InputError, match=line):
        TinyOptions(**values)


def test_in_python_a_fold_must_be_chosen(pictures):
    model = Tiny(TinyOptions(folds=3, data_dir=str(pictures)))
    with pytest.raises(InputError, match="--folds 3 needs --fold"):
        model.loadData()


def test_branches_of_a_fold_are_trained_on_the_same_fold():
    class Seen(Exception):  # noqa: N818
        pass

    class Branch:
        Options = NN1.Options
        name = NN1.name

        def __init__(self, options, *_):
            raise Seen(options)

    model = FinalNN(FinalNN.Options(folds=3, fold=2, group="site", seed=5))
    with pytest.raises(Seen) as caught:
        branches._train(model, Branch, {})
    (options,) = caught.value.args
    assert (options.folds, options.fold, options.group, options.seed) == (3, 2, "site", 5)


# --- training


def test_every_fold_is_an_ordinary_run_on_its_part(out, pictures):
    table = load_table("folders", str(pictures), ("image",))
    for number in range(1, FOLDS + 1):
        folder = find_run(f"Tiny/fast-fold{number}", out)
        config, split = read_json(folder, "config.json"), read_json(folder, "split.json")
        assert (config["folds"], config["fold"], config["epochs"]) == (FOLDS, number, 4)
        expected = fold_split(table, FOLDS, number, 0)
        assert split["fingerprint"] == expected.fingerprint(table)


def test_a_fold_judges_itself_again_on_its_own_split(capsys, out):
    code, text, _ = typed(capsys, "evaluate", "Tiny/fast-fold2", "--out", out, "--json")
    stored = read_json(out / "Tiny" / "fast-fold2", "metrics.json")["test"]
    assert code == 0
    assert json.loads(text)["confusion"] == stored["confusion"]


def test_one_fold_alone_is_the_same_training(out):
    runs = ("alone", "fast-fold2")
    alone, among = (read_json(out / "Tiny" / name, "metrics.json")["test"] for name in runs)
    assert alone == among


def test_a_run_keeps_its_answers(out):
    folder = out / "Tiny" / "fast-fold1"
    split, metrics = read_json(folder, "split.json"), read_json(folder, "metrics.json")
    table = pd.read_csv(folder / "predictions.csv")
    assert list(table) == ["key", "part", "label", "answer", "confidence"]
    for part in ("validation", "test"):
        rows = table[table["part"] == part]
        assert rows["key"].tolist() == split[part]["keys"]
        assert (rows["label"] == rows["answer"]).mean() == metrics[part]["accuracy"]
        assert rows["key"].str.split("/").str[0].tolist() == rows["label"].tolist()
    assert table["confidence"].between(1 / len(PER_CLASS), 1).all()


def test_list_shows_cross_validations(capsys, out):
    code, text, _ = typed(capsys, "list", "--out", out)
    pooled = summary_of(out, "fast")["pooled"]
    (line,) = [one for one in text.splitlines() if one.strip().startswith("Tiny/fast ")]
    assert code == 0
    assert f"{FOLDS} folds, accuracy {pooled['accuracy']:.1%}".replace("%", " %") in line
    listed = json.loads(typed(capsys, "list", "--out", out, "--json")[1])
    assert list(listed["cross-validations"]) == ["Tiny/slow", "Tiny/fast"]


def test_the_summary_holds_the_folds_their_mean_and_all_answers(out):
    summary = summary_of(out, "fast")
    folds = [read_json(out / run, "metrics.json")["test"] for run in summary["runs"]]
    accuracies = [fold["accuracy"] for fold in folds]
    assert [row["accuracy"] for row in summary["rows"]] == accuracies
    mean = mean_over_runs(accuracies)
    assert summary["mean"]["accuracy"] == {"mean": mean.mean, "low": mean.low, "high": mean.high}
    right = sum(np.trace(fold["confusion"]) for fold in folds)
    pooled = summary["pooled"]
    assert (pooled["right"], pooled["n"]) == (right, sum(PER_CLASS.values()) - 1)
    assert (pooled["low"], pooled["high"]) == wilson_interval(right, pooled["n"])
    table = pd.read_csv(out / "cross_validation" / "Tiny" / "fast" / "folds.csv")
    assert table["accuracy"].tolist() == pytest.approx(accuracies)
    assert table["n"].sum() == pooled["n"]


def test_the_page_says_what_became_of_small_classes(out):
    folder = out / "cross_validation" / "Tiny" / "fast"
    page = (folder / "README.md").read_text()
    assert "lone (0 of 3 folds, 1 sample), rare (2 of 3 folds, 2 samples)" in page
    assert "never tested" in page
    assert (folder / "accuracies.png").stat().st_size > 5000
    assert "never tested" in (out / "Tiny" / "fast-fold1" / "README.md").read_text()


def test_a_summary_is_mistaken_for_no_run(out):
    names = {folder.name for folder in all_runs(out)}
    assert names == {f"{run}-fold{n}" for run in ("slow", "fast") for n in (1, 2, 3)} | {"alone"}
    with pytest.raises(InputError, match="no saved run is called 'cross_validation'"):
        find_run("cross_validation", out)


# --- interrupted


@pytest.fixture
def words(pictures, tmp_path):
    return ["--model", "Tiny", "--data-dir", pictures, "--folds", FOLDS, "--out", tmp_path]


def test_an_interrupted_cross_validation_goes_on(capsys, caplog, words, tmp_path, out):
    """The first fold is there; the second is stopped after its training, before it is saved."""
    caplog.set_level("INFO", logger="menagerie")
    shutil.copytree(out / "Tiny" / "fast-fold1", tmp_path / "Tiny" / "a-fold1")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(NNModel, "save", interrupted)
        assert typed(capsys, *words, *FAST, "--run", "a", "--resume")[:2] == (130, "")
    assert not (tmp_path / "cross_validation").exists()
    message = caplog.messages[-1].strip()
    assert message.startswith("interrupted; go on with: python run.py train ")
    go_on = shlex.split(message.partition("run.py train ")[2])
    assert "--fold" not in go_on
    first = (tmp_path / "Tiny" / "a-fold1" / "metadata.json").stat().st_mtime_ns
    code, text, _ = typed(capsys, *go_on, "--json")
    assert code == 0
    assert "fold 1 of 3: takes the run a-fold1" in caplog.messages
    assert (tmp_path / "Tiny" / "a-fold1" / "metadata.json").stat().st_mtime_ns == first
    assert json.loads(text)["pooled"] == summary_of(out, "fast")["pooled"]


def interrupted(*_):
    raise KeyboardInterrupt


def test_interrupted_before_anything_was_trained(capsys, caplog, words):
    caplog.set_level("INFO", logger="menagerie")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Tiny, "loadData", interrupted)
        assert typed(capsys, *words, "--run", "a")[0] == 130
    assert "begin again with: python run.py train --model Tiny" in caplog.messages[-1]
    assert "--resume" not in caplog.messages[-1]


def test_resume_alone_finds_the_newest_that_waits(capsys, words, tmp_path, out):
    """Of two, one has a summary; the other was stopped before it was written."""
    shutil.copytree(out, tmp_path, dirs_exist_ok=True)
    shutil.rmtree(tmp_path / "cross_validation" / "Tiny" / "fast")
    code, text, _ = typed(capsys, *words, *FAST, "--resume", "--json")
    assert code == 0
    answer, before = json.loads(text), summary_of(out, "fast")
    assert {**answer, "finished": 0} == {**before, "finished": 0, "folder": answer["folder"]}
    line = refused(capsys, *words, *FAST, "--resume")
    assert "no interrupted cross-validation of Tiny with 3 folds" in line


def test_mistakes_with_names_of_cross_validations(capsys, out, pictures):
    words = ["--model", "Tiny", "--data-dir", pictures, "--folds", FOLDS, "--out", out]
    assert "lie in" in refused(capsys, *words, "--run", "fast")
    assert "no interrupted cross-validation called none" in refused(
        capsys, *words, "--run", "none", "--resume"
    )
    assert "was trained with other options" in refused(capsys, *words, "--run", "fast", "--resume")
    assert "has no such column to group by" in refused(
        capsys, *words, "--run", "b", "--group", "site"
    )
    assert "the largest class has 15 samples" in refused(
        capsys, *words[:-3], "40", "--out", out, "--run", "c"
    )
    assert not list(out.glob("*/.*"))


# --- comparing


def test_compare_is_what_its_parts_say(capsys, out):
    code, text, _ = typed(capsys, "compare", "Tiny/slow", "Tiny/fast", "--out", out, "--json")
    answer = json.loads(text)
    (found,) = answer["comparisons"]
    runs = {
        name: [out / "Tiny" / f"{name}-fold{number}" for number in (1, 2, 3)]
        for name in ("slow", "fast")
    }
    accuracy = {
        name: [read_json(folder, "metrics.json")["test"]["accuracy"] for folder in folders]
        for name, folders in runs.items()
    }
    differences = np.subtract(accuracy["fast"], accuracy["slow"])
    assert code == 0
    assert found["difference"] == pytest.approx(differences.mean())
    assert differences.mean() > 0.1  # the learning rates were chosen for it
    assert [row["accuracy"]["Tiny/fast"] for row in answer["folds"]] == accuracy["fast"]

    plain, train = paired_t(differences), 0
    assert found["paired_t"]["p"] == pytest.approx(plain.p)
    for folder in runs["fast"]:
        train += len(read_json(folder, "split.json")["train"]["keys"])
    ratio = (sum(PER_CLASS.values()) - 1) / train
    corrected = corrected_resampled_t(differences, ratio)
    assert found["corrected_resampled_t"]["test_to_train"] == pytest.approx(ratio)
    assert found["corrected_resampled_t"]["p"] == pytest.approx(corrected.p)
    assert corrected.p > plain.p

    tables = {
        name: pd.concat([pd.read_csv(folder / "predictions.csv") for folder in folders])
        for name, folders in runs.items()
    }
    right = {}
    for name, table in tables.items():
        tested = table[table["part"] == "test"].set_index("key").sort_index()
        right[name] = (tested["label"] == tested["answer"]).to_numpy()
    expected = mcnemar_exact(right["slow"], right["fast"])
    for count in ("both", "only_a", "only_b", "neither", "p", "low", "high"):
        assert found["mcnemar"][count] == getattr(expected, count)


def test_compare_prints_the_folds_and_the_tests(capsys, out):
    code, text, _ = typed(capsys, "compare", "Tiny/slow", "Tiny/fast", "--out", out)
    assert code == 0
    rows = [line.split() for line in text.splitlines()]
    assert [row[0] for row in rows if row[0] in ("1", "2", "3", "mean", "all")] == [
        "1", "2", "3", "mean", "all",
    ]  # fmt: skip
    assert re.search(r"Tiny/fast minus Tiny/slow: \+\d+\.\d\d points", text)
    for test in ("paired t", "corrected resampled t", "McNemar, exact"):
        assert re.search(rf"{test} +p \d", text)
    assert re.search(r"interval, 95 % +[-+]\d+\.\d\d to \+\d+\.\d\d points", text)
    assert "not corrected" not in text


def test_single_runs_on_one_split_have_mcnemar_only(capsys, out):
    names = ["Tiny/slow-fold2", "Tiny/alone"]
    code, text, _ = typed(capsys, "compare", *names, "--out", out, "--json")
    answer = json.loads(text)
    (found,) = answer["comparisons"]
    assert code == 0
    assert found["paired_t"] is found["corrected_resampled_t"] is None
    fold = find_results("Tiny/fast", out).folds[1]
    assert answer["results"]["Tiny/alone"]["pooled"]["right"] == fold.right.sum()
    code, text, _ = typed(capsys, "compare", *names, "--out", out)
    assert code == 0
    assert "paired t" not in text


def test_three_are_compared_in_pairs_and_the_number_of_tests_is_said(capsys, out, tmp_path):
    copy = tmp_path / "cross_validation" / "Tiny" / "again"
    copy.mkdir(parents=True)
    summary = summary_of(out, "fast")
    (copy / "folds.json").write_text(json.dumps(summary))
    (tmp_path / "Tiny").symlink_to(out / "Tiny")
    names = ["Tiny/slow", "Tiny/fast", copy]
    code, text, _ = typed(capsys, "compare", *names, "--out", out)
    assert code == 0
    assert text.count("McNemar") == 3
    assert "not corrected for the 3 comparisons" in text
    code, text, _ = typed(capsys, "compare", *names[1:], "--out", out, "--json")
    (same,) = json.loads(text)["comparisons"]
    assert (same["difference"], same["paired_t"]["p"], same["mcnemar"]["p"]) == (0, 1, 1)


def test_what_cannot_be_compared_is_one_line(capsys, out, tmp_path):
    compare = ["compare", "--out", out]
    assert "alone is nothing to compare" in refused(capsys, *compare, "Tiny/fast")
    assert "no saved run is called 'Tiny/none'" in refused(
        capsys, *compare, "Tiny/fast", "Tiny/none"
    )
    assert "Tiny/fast has 3 folds, and Tiny/alone has a single run" in refused(
        capsys, *compare, "Tiny/fast", "Tiny/alone"
    )
    assert "are the same" in refused(
        capsys, *compare, "Tiny/fast", out / "cross_validation" / "Tiny" / "fast"
    )
    assert "judged on other samples (" in refused(
        capsys, *compare, "Tiny/fast-fold1", "Tiny/fast-fold2"
    )
    turned = summary_of(out, "fast")
    turned["runs"] = turned["runs"][::-1]
    other = tmp_path / "cross_validation" / "Tiny" / "turned"
    other.mkdir(parents=True)
    (other / "folds.json").write_text(json.dumps(turned))
    (tmp_path / "Tiny").symlink_to(out / "Tiny")
    line = refused(capsys, *compare, "Tiny/fast", other)
    assert "judged on other samples in fold 1" in line
    assert "--seed" in line


def test_runs_that_keep_no_answers_are_named(capsys, out):
    path = out / "Tiny" / "alone" / "predictions.csv"
    kept = path.read_bytes()
    path.unlink()
    try:
        line = refused(capsys, "compare", "Tiny/slow-fold2", "Tiny/alone", "--out", out)
    finally:
        path.write_bytes(kept)
    assert "predictions.csv cannot be read" in line
    assert "python run.py train --model Tiny" in line


TINY = """
import sys
sys.path.insert(0, {root!r})
from tests.tiny_command import main
if __name__ == "__main__":
    sys.exit(main())
"""


def test_folds_in_processes_are_those_of_one_process_and_a_killed_one_is_repeated(
    tmp_path, pictures, monkeypatch, capsys
):
    script = tmp_path / "tiny.py"
    script.write_text(TINY.format(root=str(ROOT)))
    monkeypatch.setattr("models.commands.cross_validation.RUN_PY", script)
    words = ["--model", "Tiny", "--data-dir", pictures, "--folds", FOLDS, *FAST]
    assert typed(capsys, *words, "--out", tmp_path / "one", "--run", "it")[0] == 0
    several = [*words, "--out", tmp_path / "other", "--run", "it", "--processes", 2]
    monkeypatch.setenv("STOP_AFTER", "2")
    monkeypatch.setenv("STOP_ONCE", str(tmp_path / "killed"))
    code, _, lines = typed(capsys, *several)
    assert code == 0, lines
    assert (tmp_path / "killed").exists()
    for number in range(1, FOLDS + 1):
        one, other = (
            pd.read_csv(tmp_path / place / "Tiny" / f"it-fold{number}" / "predictions.csv")
            for place in ("one", "other")
        )
        pd.testing.assert_frame_equal(one, other)


def test_processes_without_folds_are_refused(capsys, pictures):
    line = refused(capsys, "--model", "Tiny", "--data-dir", pictures, "--processes", 2)
    assert "several --folds" in line
