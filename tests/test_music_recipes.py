"""Paper 002 as recipes: which rows there are, how they are trained, and what is found in them."""

import json
import math
import os
import shutil
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import run
from models import model_class
from models.commands import recipe_runs
from models.music import findings
from models.music.cases import F1, LOSS, cases_of, difference_cells
from tests.tone_tracks import tone_tracks
from training.recipes import music_splits, music_sweep, recipe_names
from training.reports import plot_trends

SWEEP, SPLITS = music_sweep.RECIPE, music_splits.RECIPE
TASKS = "gmdes"
ROOT = Path(__file__).resolve().parents[1]


# --- the rows


def test_the_sweep_has_31_networks_57_transfers_and_the_wide_networks():
    kinds = Counter(tuple(row.name.split()[:-1]) for row in SWEEP.rows)
    assert kinds == {
        ("STN",): 5, ("MTN",): 26, ("wSTN",): 4,
        ("transfer", "STN"): 31, ("transfer", "MTN"): 26, ("transfer", "wSTN"): 4,
    }  # fmt: skip
    rows = {row.name: row for row in SWEEP.rows}
    assert len(rows) == len(SWEEP.rows)
    assert rows["MTN gde"].options == {"tasks": "gde"}
    assert rows["wSTN 3"].options == {"tasks": "g", "wide_as": 3}
    assert rows["transfer STN gde"].needs == ("STN g", "STN d", "STN e")
    assert rows["transfer MTN gde"].needs == ("MTN gde",)
    assert rows["transfer wSTN 3"].needs == ("wSTN 3",)
    assert len(SWEEP.seeds) == 5


@pytest.mark.parametrize("recipe", [SWEEP, SPLITS])
def test_every_row_stands_below_those_that_it_uses(recipe):
    names = [row.name for row in recipe.rows]
    for place, row in enumerate(recipe.rows):
        assert set(row.needs) <= set(names[:place])


def test_a_quick_sweep_has_the_sets_g_and_gmdes():
    quick = [row.name for row in SWEEP.rows if row.in_quick]
    assert quick == [
        *(f"STN {task}" for task in TASKS), "MTN gmdes",
        "transfer STN g", "transfer STN gmdes", "transfer MTN gmdes",
    ]  # fmt: skip


def test_the_networks_of_the_random_split_are_those_of_the_sweep():
    ours = {row.name: row for row in SPLITS.rows if "," not in row.name}
    shared = {row.name: row for row in SWEEP.rows if row.name in ours}
    assert list(shared) == [f"STN {task}" for task in TASKS]
    for name, row in shared.items():
        assert (row.model, row.options, row.full) == (
            ours[name].model, ours[name].options, ours[name].full,
        )  # fmt: skip
    settings = ("seeds", "one_table", "shared", "full", "demonstration", "quick")
    assert [getattr(SWEEP, name) for name in settings] == [
        getattr(SPLITS, name) for name in settings
    ]


@pytest.mark.parametrize(("full", "rule"), [({}, "random"), ({"preset": "paper"}, "holdout")])
def test_grouped_splits_are_random_or_the_papers_shares(full, rule):
    for row in SPLITS.rows:
        options = row.options | (row.full if full else {}) | full
        made = model_class(row.model).Options(**options)
        if "by" not in row.name:
            rule_of_row = "holdout" if full else "stratified"
        else:
            rule_of_row, group = rule, row.name.split(" by ")[1]
            assert made.group == group
        assert made.split_rule == rule_of_row


# --- how they are trained, with models that only leave figures behind


class Pretended:
    """Stands in for a model; its figures are a function of its row and seed."""

    backbone = None
    table = tone_tracks(12)
    read, trained, breaks_at = [], [], None

    def __init__(self, name, options, out, run=None):
        self.folder = out / name / (run or "unnamed")
        self.options = options

    def read_table(self, name, data_dir):
        self.read.append((name, data_dir))
        return self.table

    def split_table(self, table):
        assert table is self.table

    def createArchitecture(self):  # noqa: N802
        networks = getattr(self.options, "networks", None)
        for network in networks.split(",") if networks else ():
            assert (self.folder.parents[1] / network).is_dir()

    def prepareModel(self):  # noqa: N802
        pass

    def train(self, resume):
        if len(self.trained) == type(self).breaks_at:
            raise KeyboardInterrupt
        self.trained.append(self.folder.name)

    def save(self):
        write_run(self.folder, self.options.to_json(), {"macro_f1": 0.5, "log_loss": 1.0})


def write_run(folder, config, figures, parts=("train", "validation", "test")):
    folder.mkdir(parents=True)
    metrics = {
        part: {"accuracy": 0.5, "n": 240 if part == "train" else 30, **figures.get(part, figures)}
        for part in parts
    }
    for name, content in {
        "config": config, "metrics": metrics, "metadata": {"provenance": "made for a test"},
    }.items():  # fmt: skip
        (folder / f"{name}.json").write_text(json.dumps(content))


@pytest.fixture
def pretended(monkeypatch):
    """Nothing is trained; what was read and what would have been trained."""

    def pretend(name):
        real = model_class(name)

        class Model(Pretended):
            Options = real.Options

            def __init__(self, *words):
                super().__init__(real.__name__, *words)

        return Model

    monkeypatch.setattr(recipe_runs, "model_class", pretend)
    monkeypatch.setattr("keras.utils.clear_session", lambda: None)  # takes half a second
    for name in ("read", "trained"):
        monkeypatch.setattr(Pretended, name, [])
    return Pretended


def recipe(out, capsys, name, *words):
    assert run.main(["recipe", name, "--json", "--out", str(out), *words]) == 0
    return json.loads(capsys.readouterr().out)


def without(table, *columns):
    return replace(table, frame=table.frame.assign(**dict.fromkeys(columns, "")))


def test_sets_that_the_data_do_not_allow_are_left_out_and_counted(
    pretended, tmp_path, capsys, monkeypatch
):
    monkeypatch.setattr(pretended, "table", without(pretended.table, "subgenres"))
    answer = recipe(tmp_path, capsys, "music_sweep", "--seeds", "0")
    (line,) = answer["left_out"]
    assert "sub-genre" in line
    assert line.endswith("(47 rows)")
    names = [row["name"] for row in answer["rows"]]
    assert len(names) == 96 - 47
    assert sum(name.startswith("transfer STN") for name in names) == 15
    assert not [name for name in names if name.split()[-1].endswith("s")]
    assert "15 of the 31 sets of tasks" in answer["findings"][0]
    assert "30 cases from 26 transfers, as 4 of a single task" in answer["findings"][0]
    assert len(pretended.trained) == len(names)
    assert len(pretended.read) == 1


def test_data_without_artists_leave_the_genre(pretended, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(pretended, "table", without(pretended.table, "artist", "album"))
    answer = recipe(tmp_path, capsys, "music_sweep", "--quick")
    assert [row["name"] for row in answer["rows"]] == ["STN g", "transfer STN g"]
    answer = recipe(tmp_path, capsys, "music_splits", "--seeds", "0")
    assert [row["name"] for row in answer["rows"]] == ["STN g", "transfer"]
    reasons = [line for line in answer["left_out"] if "to group by" in line]
    assert [("'artist'" in line, line.endswith("(6 rows)")) for line in reasons] == [
        (True, True), (False, True),
    ]  # fmt: skip
    assert not [line for line in answer["findings"] if "by artist" in line]


def test_data_without_albums_keep_the_other_splits(pretended, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(pretended, "table", without(pretended.table, "album", "subgenres"))
    answer = recipe(tmp_path, capsys, "music_splits", "--seeds", "0")
    assert len(answer["rows"]) == 2 * (4 + 1)
    assert sorted(line[-8:] for line in answer["left_out"]) == ["(2 rows)", "(6 rows)"]
    config = tmp_path / "TransferMLP" / "recipe-transfer-by-artist-demonstration-seed0"
    networks = json.loads((config / "config.json").read_text())["networks"].split(",")
    assert [name.split("-")[2] for name in networks] == list("gmde")  # those that there are
    page = (tmp_path / "recipes" / "music_splits-demonstration" / "README.md").read_text()
    assert all(line in page for line in answer["left_out"])


def test_a_call_that_was_interrupted_is_gone_on_with(pretended, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(pretended, "breaks_at", 5)
    words = ["recipe", "music_splits", "--quick", "--json", "--out", str(tmp_path)]
    assert run.main(words) == 130
    monkeypatch.setattr(pretended, "breaks_at", None)
    first = list(pretended.trained)
    assert len(first) == 5
    capsys.readouterr()
    recipe(tmp_path, capsys, "music_splits", "--quick")
    assert len(pretended.trained) == len(set(pretended.trained)) == 6
    reads = len(pretended.read)
    recipe(tmp_path, capsys, "music_splits", "--quick")
    assert len(pretended.trained) == 6
    assert len(pretended.read) == reads


def test_a_network_is_trained_once_for_both_recipes(pretended, tmp_path, capsys):
    recipe(tmp_path, capsys, "music_splits", "--quick")
    assert len(pretended.trained) == 6
    recipe(tmp_path, capsys, "music_sweep", "--quick")
    assert len(pretended.trained) == len(set(pretended.trained)) == 6 + 9 - 1


def test_a_full_recipe_is_the_papers(pretended, tmp_path, capsys):
    recipe(tmp_path, capsys, "music_splits", "--full", "--seeds", "0")
    for model, name, epochs in (
        ("MelDCNN", "stn-m", 200), ("TransferMLP", "transfer", 50),
        ("MelDCNN", "stn-m-by-album", 200), ("TransferMLP", "transfer-by-album", 50),
    ):  # fmt: skip
        folder = tmp_path / model / f"recipe-{name}-full-demonstration-seed0"
        config = json.loads((folder / "config.json").read_text())
        assert (config["preset"], config["split_rule"], config["epochs"]) == (
            "paper", "holdout", epochs,
        )  # fmt: skip
    assert music_sweep.RECIPE.full == {"preset": "paper"}


def test_the_kind_of_data_can_be_said(pretended, tmp_path, capsys):
    recipe(tmp_path, capsys, "music_splits", "--quick", "--data", "fma", "--data-dir", "somewhere")
    assert pretended.read == [("fma", "somewhere")]


@pytest.mark.parametrize("number", ["0", "-1", "two", "1.5"])
def test_a_wrong_number_of_processes_is_one_line(number, tmp_path, capsys):
    words = ["recipe", "music_sweep", f"--processes={number}", "--out", str(tmp_path)]
    assert run.main(words) == 2
    assert f"{number}: a number from 1 on" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


# --- in several processes


WORKER = """
import json, os, signal, sys
from pathlib import Path
asked, config, kill = Path(sys.argv[0]).with_name("asked"), {configs!r}, {kill!r}
for line in sys.stdin:
    job = json.loads(line)
    with asked.open("a") as file:
        file.write(line)
    name = " ".join((job["row"], str(job["number"])))
    if name == kill:
        os.kill(os.getpid(), signal.SIGKILL)
    folder, files, needs = json.loads(Path(config).read_text())[name]
    assert all(Path(one).is_dir() for one in needs), name
    Path(folder).mkdir(parents=True)
    for file, text in files.items():
        Path(folder, file).write_text(text)
    print("{{}}", flush=True)
"""


@pytest.fixture
def elsewhere(pretended, tmp_path, monkeypatch, capsys):
    """Processes that write what was trained before: (out, what they were asked, let one be killed).

    They are short programs, as those that train take seconds to start.
    """
    out = tmp_path / "out"
    recipe(out, capsys, "music_splits", "--seeds", "0,1")
    rows = {row.name: row for row in SPLITS.rows}
    jobs = {}
    for name, row in rows.items():
        for seed in (0, 1):
            folder, *needs = (folder_of(out, rows[one], seed) for one in (name, *row.needs))
            files = {path.name: path.read_text() for path in folder.iterdir()}
            jobs[f"{name} {seed}"] = (str(folder), files, [str(one) for one in needs])
    configs, script, asked = (tmp_path / name for name in ("configs", "run.py", "asked"))
    configs.write_text(json.dumps(jobs))
    shutil.rmtree(out)
    monkeypatch.setattr(recipe_runs, "RUN_PY", script)

    def kill(job):
        script.write_text(WORKER.format(configs=str(configs), kill=job))

    def questions():
        lines = asked.read_text().splitlines() if asked.exists() else []
        return [" ".join(map(str, json.loads(line).values())) for line in lines]

    kill("")
    return out, questions, kill


def folder_of(out, row, seed):
    words = row.name.replace(",", "").lower().replace(" ", "-")
    return out / row.model / f"recipe-{words}-demonstration-seed{seed}"


PARALLEL = ("music_splits", "--seeds", "0,1", "--processes", "3")


def test_rows_are_trained_by_several_processes_each_once(elsewhere, pretended, capsys):
    out, questions, _ = elsewhere
    before = len(pretended.trained)
    answer = recipe(out, capsys, *PARALLEL)
    asked = questions()
    assert sorted(asked) == sorted(f"{row.name} {seed}" for row in SPLITS.rows for seed in (0, 1))
    assert len(pretended.trained) == before  # nothing in this process
    assert all(len(row["test"]["values"]) == 2 for row in answer["rows"])
    recipe(out, capsys, *PARALLEL)
    assert questions() == asked


def test_the_row_of_a_killed_process_is_repeated_by_the_next_call(elsewhere, capsys):
    out, questions, kill = elsewhere
    kill("transfer 1")
    assert run.main(["recipe", *PARALLEL, "--json", "--out", str(out)]) == 2
    captured = capsys.readouterr()
    (line,) = [line for line in captured.err.splitlines() if line.startswith("error: ")]
    assert "killed by signal 9" in line
    assert "the same command again" in line
    first, finished = questions(), {path.parent.name for path in out.glob("*/*/metrics.json")}
    assert "transfer 1" in first
    assert 5 <= len(finished) < 36
    kill("")
    recipe(out, capsys, *PARALLEL)
    again = questions()[len(first) :]
    assert "transfer 1" in again
    assert len(again) == len(set(again)) == 36 - len(finished)


def test_a_worker_is_the_same_command_in_a_process_of_its_own(pretended, tmp_path, monkeypatch):
    told = []

    class StoppedError(Exception):
        pass

    def workers(command, count):
        told.append((command, count))
        raise StoppedError

    monkeypatch.setattr(recipe_runs, "Workers", workers)
    words = ["music_sweep", "--quick", "--processes", "2", "--out", str(tmp_path)]
    with pytest.raises(StoppedError):
        run.main(["recipe", *words])
    (((python, script, *rest), count),) = told
    assert (python, script, count) == (sys.executable, str(recipe_runs.RUN_PY), 2)
    assert rest == ["recipe", *words, "--worker"]


def test_a_worker_reads_the_data_once_and_trains_what_it_is_asked(pretended, tmp_path, monkeypatch):
    def serve(answer):
        for name in ("STN s", "transfer STN g"):
            if name.startswith("transfer"):
                answer({"row": "STN g", "number": 3})
            assert answer({"row": name, "number": 3}) == {}

    monkeypatch.setattr("models.commands.recipe.serve", serve)
    words = ["recipe", "music_sweep", "--quick", "--out", str(tmp_path), "--worker"]
    assert run.main(words) == 0
    kind = "quick-demonstration-seed3"
    assert pretended.trained == [
        f"recipe-{name}-{kind}" for name in ("stn-s", "stn-g", "transfer-stn-g")
    ]
    assert len(pretended.read) == 1


SMALL = """
import sys
from dataclasses import replace
import pytest
import tensorflow as tf
import run
from datasets.synthetic import music
from models import artefact
from models.commands import recipe_runs
from tests.tone_tracks import make_small, tone_tracks

table = replace(tone_tracks(36, artists=12), synthetic=True)
music.load = lambda: table
make_small(pytest.MonkeyPatch())
artefact.write_report = artefact._write_savedmodel = lambda *_: None
recipe_runs.RUN_PY = __file__
tf.config.run_functions_eagerly(True)
if __name__ == "__main__":
    sys.exit(run.main(sys.argv[1:]))
"""


@pytest.mark.slow
def test_processes_train_what_a_single_one_trains(tmp_path):
    script = tmp_path / "small.py"
    script.write_text(SMALL)
    for processes in ("1", "2"):
        words = ["recipe", "music_splits", "--quick", "--out", str(tmp_path / processes)]
        words += ["--set", "epochs=1", "--set", "stored-views=1"]
        subprocess.run(
            [sys.executable, str(script), *words, "--processes", processes],
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            check=True,
        )
    tables = [
        json.loads(
            (
                tmp_path / processes / "recipes/music_splits-quick-demonstration/table.json"
            ).read_text()
        )
        for processes in ("1", "2")
    ]
    assert tables[0] == tables[1]


# --- what is found


def runs_of(out, figures, recipe=SWEEP, seeds=(0, 1, 2), **more):
    """Runs with these figures: (name of a row, seed) -> figures."""
    runs = {}
    for row in recipe.rows:
        for seed in seeds:
            folder = out / f"{row.name} {seed}"
            write_run(folder, {}, figures(row.name, seed), **more)
            runs.setdefault(row.name, {})[seed] = folder
    return runs


def linear(name, seed):
    """A figure that grows by 2 points with every task but by 1 from MTN; g adds 6 points."""
    *_, kind, tasks = name.split()
    number = 1 if kind == "wSTN" else len(tasks)
    slope = 0.01 if kind == "MTN" else 0.02
    wiggle = 0.0001 * (seed - 1) * number  # no two seeds are alike
    value = 0.4 + slope * (number - 1) + 0.06 * ("g" in tasks or kind == "wSTN") + wiggle
    value += 0.03 * (seed == 2)
    return {"macro_f1": value, "log_loss": 2 - value}


@pytest.fixture(scope="module")
def lines(tmp_path_factory):
    return findings.sweep(runs_of(tmp_path_factory.mktemp("runs"), linear))


def cells(lines, *begin):
    """Cells of the one line that begins with these."""
    head = f"| {' | '.join(begin)} |"
    (line,) = [line for line in lines if line.startswith(head)]
    return [cell.strip() for cell in line.removeprefix(head).removesuffix("|").split("|")]


def section(lines, name):
    start = next(number for number, line in enumerate(lines) if line.startswith(name))
    return lines[start : lines.index("", start + 2) if "" in lines[start + 2 :] else None]


def number(cell):
    return float(cell.split()[0])


def test_what_a_further_task_adds_is_told_with_its_interval(lines):
    for kind, slope in (("STN", 2), ("MTN", 1)):
        for part in ("with g", "without g"):
            f1, p, found, loss, _, found_loss, _ = cells(
                lines, f"one task more, {kind}, sets {part}"
            )
            assert number(f1) == pytest.approx(slope, abs=0.05)
            assert number(loss) == pytest.approx(-slope / 100, abs=0.0006)
            assert (found, found_loss) == ("better", "better")
            plain, corrected = map(float, p.split(", "))
            assert plain < corrected < 0.05
        # Of many tasks g is more often one: the whole slope is steeper, by the line of all sets.
        sizes = np.array([len(tasks) for tasks in music_sweep.SETS])
        g = np.array([0.06 * ("g" in tasks) for tasks in music_sweep.SETS])
        steeper = 100 * np.polyfit(sizes, g, 1)[0]
        f1, *_ = cells(lines, f"one task more, {kind}, all sets")
        # The MTN of one task are the STN, which does not change a line through this kind of cases.
        assert number(f1) == pytest.approx(slope + steeper, abs=0.06)


def test_the_main_task_is_judged_at_the_same_number_of_tasks(lines):
    for kind in ("STN", "MTN"):
        f1, *_ = cells(lines, f"with g - without g, as many tasks, {kind}")
        assert f1 == "+6.0 (6.0 to 6.0)"
    f1, _, found, *_ = cells(lines, "gmdes - g, STN")
    assert number(f1) == pytest.approx(8.0, abs=0.05)
    assert found == "better"


def test_shared_networks_are_paired_with_separate_ones(lines):
    several = [len(tasks) for tasks in music_sweep.SHARED]
    f1, _, found, loss, _, _, paper = cells(lines, "MTN - STN, sets of two tasks and more")
    assert number(f1) == pytest.approx(-np.mean([size - 1 for size in several]), abs=0.05)
    assert number(loss) == pytest.approx(np.mean([size - 1 for size in several]) / 100, abs=0.0006)
    # All seeds differ alike, which no test of the spread between seeds can judge.
    assert found == "-"
    assert "significant" in paper
    (pairs,) = [line for line in lines if line.startswith("With every set and seed")]
    assert "macro F1 better in 0 of 78 (p = " in pairs


def test_table_3_is_the_mean_with_and_without_g(lines):
    stn = {tasks: linear(f"STN {tasks}", 1) for tasks in music_sweep.SETS}
    f1_with, f1_without, loss_with, loss_without = cells(section(lines, "Table 3"), "STN")
    for cell, figure, scale, with_g in (
        (f1_with, "macro_f1", 100, True), (f1_without, "macro_f1", 100, False),
        (loss_with, "log_loss", 1, True), (loss_without, "log_loss", 1, False),
    ):  # fmt: skip
        values = [one[figure] for tasks, one in stn.items() if ("g" in tasks) == with_g]
        shift = 0.01 if figure == "macro_f1" else -0.01  # of the third seed
        assert number(cell) == pytest.approx(scale * (np.mean(values) + shift), abs=0.051)


def test_table_4_has_62_cases_of_which_five_stand_there_twice(lines):
    table = [line for line in section(lines, "Table 4") if line.startswith(("| STN", "| MTN"))]
    assert len(table) == 62
    doubles = [line for line in table if "the same as" in line]
    assert [line.split(" | ")[1] for line in doubles] == list(TASKS)
    for task in TASKS:
        *figures, mark = cells(table, "MTN", task)
        assert mark == f"the same as STN {task}"
        assert figures == cells(table, "STN", task)[:2]
    assert cells(table, "MTN", "gm")[0].startswith("48.0 (")


def test_table_5_sets_the_best_of_each_number_beside_the_wide_network(lines):
    table = section(lines, "Table 5")
    assert len(table) == 4 + 2 * 5
    best, shared, wide, gain, _, shared_gain, _ = cells(table, "3", "macro F1, %")
    assert best.startswith("gde 51.0 (")  # as good as any with g, and the first in the alphabet
    assert shared.startswith("gde 49.0 (")
    assert wide.startswith("47.0 (")
    assert gain.startswith("+4.0 ")
    assert shared_gain.startswith("+2.0 ")
    first = cells(table, "1", "macro F1, %")
    assert first[0] == first[1] == f"g {first[2]}"
    assert "chosen on the validation part" in table[0]


def test_table_5_chooses_by_validation(tmp_path):
    def figures(name, seed):
        good, fair = ({"macro_f1": f1, "log_loss": 1.0} for f1 in (0.8, 0.6))
        lucky = name.endswith("de")  # good on the test part alone
        known = name.endswith("ms")
        return {
            "train": fair, "validation": good if known else fair, "test": good if lucky else fair,
        }  # fmt: skip

    table = section(findings.sweep(runs_of(tmp_path, figures)), "Table 5")
    assert cells(table, "2", "macro F1, %")[0].startswith("ms 60.0")


def test_without_a_test_part_the_validation_part_is_judged(tmp_path):
    lines = findings.sweep(runs_of(tmp_path, linear, parts=("train", "validation")))
    assert "of the validation part" in lines[0]
    assert "flatters STN and MTN" in section(lines, "Table 5")[0]


def test_figure_3_is_the_mean_of_all_sets_of_a_size(tmp_path):
    runs = runs_of(tmp_path, linear)
    table = section(findings.sweep(runs), "Figure 3")
    sizes = Counter(len(tasks) for tasks in music_sweep.SETS)
    for size, count in sizes.items():
        sets, f1, shared, loss, _ = cells(table, f"{size}")
        with_g = math.comb(4, size - 1) / count
        assert int(sets) == count
        assert number(f1) == pytest.approx(41 + 2 * (size - 1) + 6 * with_g, abs=0.051)
        assert number(shared) == pytest.approx(41 + size - 1 + 6 * with_g, abs=0.051)
        assert number(loss) == pytest.approx(2 - number(f1) / 100, abs=0.0011)

    (picture, _, link) = findings.figure3(runs, tmp_path)
    assert "(figure3.png)" in picture
    assert "(cases.csv)" in link
    assert Image.open(tmp_path / "figure3.png").width > 500
    cases = pd.read_csv(tmp_path / "cases.csv")
    assert len(cases) == 3 * (62 + 4)
    assert cases["same"].sum() == 3 * 5


def test_harm_and_doubt_are_said_as_well():
    harm = difference_cells([-2.0, -2.1, -1.9], F1, 0.125)
    assert harm[2] == "worse"
    assert difference_cells([2.0, 2.1, 1.9], LOSS, 0.125)[2] == "worse"
    assert difference_cells([-2.0, -2.1, -1.9], LOSS, 0.125)[2] == "better"
    doubt = difference_cells([1.0, -0.5, 0.7], F1, 0.125)
    assert doubt[2] == "no difference shown"
    # t = 0.4 / (0.7937 / 3 ** 0.5) = 0.8729, and 1 / (1 + 3 / 8) ** 0.5 of it.
    assert doubt[1] == "0.47, 0.53"
    # By the corrected test alone nothing is shown.
    assert difference_cells([1.0, 1.4, 0.7], F1, 0.25)[1:] == ["0.036, 0.061", doubt[2]]
    assert difference_cells([2.0], F1, 0.125) == ["+2.0", "-", "-"]


def test_one_seed_and_few_sets_are_enough_for_a_page(tmp_path):
    quick = replace(SWEEP, rows=tuple(row for row in SWEEP.rows if row.in_quick))
    lines = findings.sweep(runs_of(tmp_path, linear, quick, seeds=(0,)))
    assert cells(lines, "gmdes - g, STN")[1:3] == ["-", "-"]
    assert not [line for line in lines if "nan" in line]
    assert cells(section(lines, "Table 5"), "5", "macro F1, %")[2] == "-"


def test_the_gap_of_a_random_split_has_welchs_interval(tmp_path):
    def figures(name, seed):
        value = (0.6 if "by" in name else 0.8) + 0.02 * (seed - 1)
        return {"accuracy": value, "macro_f1": value, "log_loss": 2 - value}

    lines = findings.splits(runs_of(tmp_path, figures, SPLITS))
    gap = section(lines, "The gap")
    # Variances of 4 and 4 over 3 seeds: 2.776 * (8 / 3) ** 0.5 = 4.53 around 20.
    for model in ("MelDCNN, g", "TransferMLP"):
        for group in ("by artist", "by album"):
            accuracy, p, f1, _, loss, _ = cells(gap, model, group)
            assert accuracy == f1 == "+20.0 (15.5 to 24.5)"
            assert loss == "-0.200 (-0.245 to -0.155)"
            assert float(p) == pytest.approx(0.00025, rel=0.05)
        assert cells(lines, model, "random", "test, 30 tracks")[0] == "80.0 (75.0 to 85.0)"


def test_a_gap_of_one_seed_has_no_test(tmp_path):
    lines = findings.splits(runs_of(tmp_path, lambda *_: linear("STN g", 0), SPLITS, seeds=(0,)))
    assert cells(section(lines, "The gap"), "TransferMLP", "by album")[:2] == ["+0.0", "-"]


def test_cases_tell_what_was_judged(tmp_path):
    cases = cases_of(runs_of(tmp_path, linear))
    assert set(cases["part"]) == {"test"}
    assert cases["ratio"].unique() == pytest.approx([30 / 240])
    wide = cases[cases["kind"] == "wSTN"]
    assert sorted(set(wide["number"])) == [2, 3, 4, 5]


def test_trends_are_drawn_with_every_line(tmp_path):
    seeds = {"up": {1: [1.0, 1.2], 2: [2.0, 2.2]}, "down": {1: [2.0], 2: [1.0]}}
    path = plot_trends({"one": seeds, "other": seeds}, "number", tmp_path / "trends.png")
    pixels = np.asarray(Image.open(path).convert("RGB")).reshape(-1, 3)
    for colour in ((0xD5, 0x5E, 0x00), (0x00, 0x72, 0xB2)):
        assert (pixels == colour).all(axis=1).sum() > 100


def test_both_recipes_are_listed():
    assert {"music_sweep", "music_splits"} <= set(recipe_names())
