"""Paper 002 as recipes: which rows there are, and how they are trained."""

import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

import run
from models import model_class
from models.commands import recipe_runs
from tests.music_runs import write_run
from tests.tone_tracks import tone_tracks
from training.recipes import music_splits, music_sweep, recipe_names

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
    draft = Path(folder).with_name("." + Path(folder).name)
    draft.mkdir(parents=True, exist_ok=True)
    for file, text in files.items():
        Path(draft, file).write_text(text)
    draft.rename(folder)  # whole or not at all, like a run
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
    first, finished = questions(), {path.parent.name for path in out.glob("*/[!.]*/metrics.json")}
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
artefact.write_report = artefact.write_savedmodel = lambda *_: None
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


def test_both_recipes_are_listed():
    assert {"music_sweep", "music_splits"} <= set(recipe_names())
