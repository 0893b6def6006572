"""The command line as a user types it, mistakes included."""

import csv
import json
import shutil

import numpy as np
import pytest
from PIL import Image

import datasets.landmarks
import run
from datasets.emotions import EMOTIONS
from datasets.synthetic import faces
from models import MODELS, model_class
from models.commands.train import _OWN
from tests.typed import refused, typed

PER_EMOTION = 15


# The run in `out` has its figures all the same, as it outlives a test.
pytestmark = pytest.mark.usefixtures("small_nn1", "undrawn")


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """FER2013's folder layout, filled with drawn faces."""
    folder = tmp_path_factory.mktemp("pictures")
    table = faces.load(400, seed=1)
    left = dict.fromkeys(EMOTIONS, PER_EMOTION)
    for label, image in zip(table.frame["label"], table.modalities["image"], strict=True):
        if left[label]:
            left[label] -= 1
            part = "train" if left[label] > 3 else "test"
            path = folder / part / label / f"{left[label]}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image[..., 0]).save(path)
    assert not any(left.values())
    return folder


@pytest.fixture(scope="module")
def out(tmp_path_factory, pictures):
    """Saved runs: NN1 on the pictures, one epoch."""
    out = tmp_path_factory.mktemp("runs")
    words = ["train", "--model", "NN1", "--data-dir", pictures, "--epochs", 1, "--run", "one"]
    assert run.main([str(word) for word in [*words, "--out", out]]) == 0
    return out


def write_csv(folder, rows, header=("emotion", "pixels", "Usage")):
    folder.mkdir(exist_ok=True)
    with open(folder / "fer2013.csv", "w", newline="") as file:
        csv.writer(file).writerows([header, *rows])
    return folder


def csv_rows(count=140):
    rng = np.random.default_rng(0)
    return [
        [row % 7, " ".join(map(str, rng.integers(0, 256, 2304))), "Training"]
        for row in range(count)
    ]


# --- what works


def test_the_word_train_may_be_left_out_and_json_is_alone_on_standard_output(
    capsys, pictures, tmp_path
):
    words = ["--model", "NN1", "--data-dir", pictures, "--epochs", "1", "--json"]
    code, text, _ = typed(capsys, *words, "--out", tmp_path)
    answer = json.loads(text)
    assert code == 0
    assert answer["test"]["n"] == 14  # two of the fifteen faces of each emotion
    assert answer["synthetic"] is False


def test_evaluate_judges_the_runs_own_split(capsys, out):
    code, text, _ = typed(capsys, "evaluate", "NN1", "--out", out, "--json")
    stored = json.loads((out / "NN1" / "one" / "metrics.json").read_text())["test"]
    answer = json.loads(text)
    assert code == 0
    for name in ("accuracy", "macro_f1", "log_loss", "ece", "n"):
        assert answer[name] == pytest.approx(stored[name])


def test_evaluate_leaves_out_what_was_trained_on(capsys, out, pictures):
    code, text, _ = typed(
        capsys, "evaluate", "NN1/one", "--data-dir", pictures, "--out", out, "--json"
    )
    answer = json.loads(text)
    split = json.loads((out / "NN1" / "one" / "split.json").read_text())
    assert code == 0
    assert answer["left_out"]["trained_on"] == len(split["train"]["keys"])
    assert answer["seen_in_validation"] == len(split["validation"]["keys"])
    assert answer["n"] == 7 * PER_EMOTION - len(split["train"]["keys"])


def test_evaluate_counts_an_unknown_label_as_wrong(capsys, out, tmp_path):
    for label in ("happy", "contempt"):
        (tmp_path / label).mkdir()
    table = faces.load(60, seed=9)
    for row, image in enumerate(table.modalities["image"][:20]):
        Image.fromarray(image[..., 0]).save(
            tmp_path / ("happy" if row < 15 else "contempt") / f"{row}.png"
        )
    code, text, _ = typed(
        capsys, "evaluate", out / "NN1", "--data-dir", tmp_path, "--out", out, "--json"
    )
    answer = json.loads(text)
    assert code == 0
    assert answer["n"] == 20
    assert answer["unknown_labels"] == {"contempt": 5}
    assert answer["accuracy"] == pytest.approx(answer["accuracy_known"] * 15 / 20)


def test_predict_names_an_emotion_for_every_picture(capsys, out, pictures):
    folder = pictures / "test" / "happy"
    code, text, _ = typed(capsys, "predict", "NN1", folder, "--out", out, "--json", "--top", 2)
    answers = json.loads(text)["predictions"]
    assert code == 0
    assert [answer["input"] for answer in answers] == sorted(map(str, folder.glob("*.png")))
    for answer in answers:
        assert answer["label"] == answer["top"][0]["label"]
        assert len(answer["top"]) == 2
        assert answer["probability"] >= answer["top"][1]["probability"]


def test_predict_answers_for_the_good_pictures_and_names_the_bad_one(
    capsys, out, pictures, tmp_path
):
    bad = tmp_path / "bad.png"
    bad.write_text("no picture")
    good = pictures / "test" / "happy" / "1.png"
    code, text, lines = typed(capsys, "predict", "NN1", good, bad, "--out", out, "--json")
    answer = json.loads(text)
    assert code == 2
    assert [one["input"] for one in answer["predictions"]] == [str(good)]
    assert len(answer["errors"]) == 1
    assert lines[-1].startswith(f"error: {bad}: is not a picture")


def test_data_describes_and_audits(capsys, pictures, tmp_path):
    twice = tmp_path / "twice"
    shutil.copytree(pictures, twice)
    shutil.copy(twice / "train" / "happy" / "5.png", twice / "test" / "sad" / "copy.png")
    code, text, _ = typed(capsys, "data", "fer2013", "--data-dir", twice, "--json")
    answer = json.loads(text)
    assert code == 0
    assert answer["samples"] == 7 * PER_EMOTION + 1
    assert [sorted(one["labels"]) for one in answer["contradictions"]] == [["happy", "sad"]]


def test_class_folders_of_ones_own(capsys, pictures, tmp_path):
    own = tmp_path / "own"
    for part in ("train", "test"):
        for name, other in (("happy", "bored"), ("sad", "keen")):
            shutil.copytree(pictures / part / name, own / other, dirs_exist_ok=True)
    words = ["--data", "folders", "--data-dir", own, "--epochs", 1, "--seed", 1]
    code, text, _ = typed(capsys, "--model", "NN1", *words, "--out", tmp_path / "out", "--json")
    assert code == 0
    assert json.loads(text)["test"]["labels"] == ["bored", "keen"]


def test_list_shows_a_saved_run(capsys, out):
    code, text, _ = typed(capsys, "list", "--out", out)
    assert code == 0
    assert "NN1/one" in text
    assert "test accuracy" in text


def test_the_publishers_parts_and_an_archive(capsys, pictures, tmp_path):
    archive = shutil.make_archive(str(tmp_path / "faces"), "tar", pictures)
    out = ["--out", tmp_path / "out"]
    words = ["--data-dir", archive, "--split-rule", "official", "--epochs", 1]
    code, text, _ = typed(capsys, "--model", "NN1", *words, *out, "--json")
    assert code == 0
    assert json.loads(text)["test"]["n"] == len(list(pictures.glob("test/*/*.png")))
    code, text, _ = typed(capsys, "evaluate", "NN1", "--data-dir", archive, *out, "--json")
    answer = json.loads(text)
    assert code == 0
    assert answer["n"] + answer["left_out"]["trained_on"] == 7 * PER_EMOTION


def test_tables_beside_pictures_are_notes(capsys, pictures, tmp_path):
    noted = tmp_path / "noted"
    shutil.copytree(pictures, noted)
    (noted / "train.csv").write_text("file,note\n1.png,blurred\n")
    code, text, _ = typed(capsys, "data", "fer2013", "--data-dir", noted, "--json")
    assert code == 0
    assert json.loads(text)["samples"] == 7 * PER_EMOTION


def test_a_draft_whose_writing_was_interrupted_is_no_run(capsys, out, tmp_path):
    shutil.copytree(out / "NN1" / "one", tmp_path / "NN1" / ".half.partial")
    code, text, _ = typed(capsys, "list", "--out", tmp_path)
    assert code == 0
    assert "half" not in text
    assert "no saved run" in refused(capsys, "evaluate", "NN1", "--out", tmp_path)


# --- mistakes


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (["dance"], ["no verb 'dance'", "train"]),
        (["train"], ["--model is missing", "FinalNN"]),
        (["--model", "NN9"], ["NN9", "FinalNN"]),
        (["--model", "NN1", "--combine", "features"], ["NN1 has no option --combine", "--network"]),
        (["--model", "NN2", "--combine", "both"], ["NN2 has no option", ", --per-part,"]),
        (["--model", "NN1", "--epoch", "3"], ["--epoch", "did you mean --epochs"]),
        (["--model", "NN1", "--epochs", "three"], ["--epochs", "three"]),
        (["--model", "NN1", "--epochs", "0"], ["--epochs 0", "at least 1"]),
        (["--model", "NN1", "--preset", "best"], ["best", "recommended", "paper"]),
        (["--model", "FinalNN", "--combine", "both"], ["both", "decisions, features"]),
        (["--model", "NN1", "--data-dir", "/no/such/folder"], ["/no/such/folder"]),
        (["--model", "NN1", "--data", "fer2013"], ["--data-dir"]),
        (["--model", "NN1", "--run", "a/b"], ["a/b", "--out"]),
        (["--model", "NN1", "--resume"], ["no interrupted training"]),
        (["evaluate", "NN7"], ["NN7"]),
        (["predict", "NN1"], ["INPUT"]),
        (["--model", "NN1", "--data-dir", ""], ["--data-dir is empty"]),
        (["--model", "NN1", "--seed", "4294967296"], ["--seed", "at most"]),
        (["--model", "NN1", "--run", ".."], ["..", "--out"]),
        (["--model"], ["--model", "expected one argument"]),
        (["data", "faces", "--data-dir", "x"], ["faces is generated"]),
        (["data", "mnist"], ["mnist", "fer2013"]),
        (["data", "fer2013"], ["--data-dir"]),
        (["recipe", "cake"], ["cake", "emotion_table2"]),
    ],
)
def test_a_mistake_is_one_line_that_says_what_to_do(capsys, tmp_path, words, parts):
    out = [] if words[0] in ("dance", "data") else ["--out", tmp_path / "runs"]
    line = refused(capsys, *words, *out)
    for part in parts:
        assert part in line
    assert not (tmp_path / "runs").exists()


def broken(rows, row, column, value):
    rows = [list(one) for one in rows]
    rows[row][column] = value
    return rows


@pytest.mark.parametrize(
    ("rows", "header", "parts"),
    [
        (csv_rows(20), ("emotion", "pixel", "Usage"), ["pixels", "fer2013.csv"]),
        (broken(csv_rows(), 7, 1, "1 2 3"), None, ["fer2013.csv", "line 9", "3"]),
        (broken(csv_rows(), 8, 1, "256 " * 2303 + "0"), None, ["fer2013.csv", "line 10", "256"]),
        (broken(csv_rows(), 9, 0, "bored"), None, ["fer2013.csv", "line 11", "bored", "neutral"]),
        ([row for row in csv_rows() if row[0] != 1], None, ["disgust"]),
    ],
)
def test_a_faulty_csv_is_refused_with_file_and_line(capsys, tmp_path, rows, header, parts):
    folder = write_csv(tmp_path / "data", rows, *([header] if header else []))
    words = ["--model", "NN1", "--data-dir", folder, "--epochs", 1, "--out", tmp_path / "runs"]
    line = refused(capsys, *words)
    for part in parts:
        assert part in line
    assert not (tmp_path / "runs").exists()


def test_faulty_folders_are_refused(capsys, pictures, tmp_path):
    runs = ["--epochs", 1, "--out", tmp_path / "runs"]

    unreadable = tmp_path / "unreadable"
    shutil.copytree(pictures, unreadable)
    for name in ("one", "two"):
        (unreadable / "train" / "sad" / f"{name}.png").write_text("text")
    assert "sad/one.png" in refused(capsys, "--model", "NN1", "--data-dir", unreadable, *runs)

    empty = tmp_path / "empty"
    shutil.copytree(pictures, empty)
    shutil.rmtree(empty / "train" / "fear")
    shutil.rmtree(empty / "test" / "fear")
    (empty / "train" / "fear").mkdir()
    assert "fear" in refused(capsys, "--model", "NN1", "--data-dir", empty, *runs)

    unknown = tmp_path / "unknown"
    shutil.copytree(pictures, unknown)
    (unknown / "train" / "sad").rename(unknown / "train" / "sadd")
    line = refused(capsys, "--model", "NN1", "--data-dir", unknown, *runs)
    assert "sadd" in line and "--data folders" in line
    assert not (tmp_path / "runs").exists()


def test_a_damaged_savedmodel_is_refused(capsys, out, pictures, tmp_path):
    shutil.copytree(out, tmp_path / "runs")
    damaged = tmp_path / "runs" / "NN1" / "one" / "savedmodel" / "saved_model.pb"
    damaged.write_bytes(damaged.read_bytes()[:-100])
    picture = pictures / "test" / "sad" / "1.png"
    line = refused(capsys, "predict", "NN1", picture, "--out", tmp_path / "runs")
    assert "saved_model.pb is damaged" in line
    assert "run.py train --model NN1" in line


def test_landmarks_without_the_predictor_are_refused(capsys, pictures, tmp_path, monkeypatch):
    monkeypatch.delenv("MENAGERIE_LANDMARKS", raising=False)
    monkeypatch.setattr(datasets.landmarks.importlib.util, "find_spec", lambda name: None)
    monkeypatch.setenv("MENAGERIE_CACHE", str(tmp_path / "cache"))
    runs = ["--out", tmp_path / "runs"]
    line = refused(capsys, "--model", "NN2", "--data-dir", pictures, *runs)
    assert 'pip install -e ".[faces]"' in line
    assert not (tmp_path / "runs").exists()


def test_evaluate_without_the_predictor_is_refused(
    capsys, pictures, tmp_path, monkeypatch, few_faces
):
    words = ["--model", "NN2", "--epochs", 1, "--out", tmp_path, "--run", "one"]
    assert run.main([str(word) for word in words]) == 0
    capsys.readouterr()
    monkeypatch.delenv("MENAGERIE_LANDMARKS", raising=False)
    monkeypatch.setattr(datasets.landmarks.importlib.util, "find_spec", lambda name: None)
    monkeypatch.setenv("MENAGERIE_CACHE", str(tmp_path / "cache"))
    line = refused(capsys, "evaluate", "NN2", "--data-dir", pictures, "--out", tmp_path)
    assert 'pip install -e ".[faces]"' in line


def test_an_out_that_is_a_file_is_refused_before_any_work(capsys, tmp_path):
    (tmp_path / "file").write_text("")
    line = refused(capsys, "--model", "NN2", "--out", tmp_path / "file")
    assert "give another --out" in line


def test_a_run_whose_data_are_gone_says_so(capsys, out, pictures):
    away = pictures.rename(pictures.with_name("away"))
    try:
        line = refused(capsys, "evaluate", "NN1", "--out", out)
    finally:
        away.rename(pictures)
    assert "are not there" in line and "--data-dir" in line


def test_debug_shows_the_traceback(tmp_path):
    from datasets.errors import InputError

    with pytest.raises(InputError):
        run.main(["evaluate", "nothing", "--out", str(tmp_path), "--debug"])


def test_a_run_is_not_trained_over(capsys, out, pictures):
    before = (out / "NN1" / "one" / "metadata.json").read_text()
    words = ["--model", "NN1", "--data-dir", pictures, "--epochs", 1, "--out", out, "--run", "one"]
    assert "choose another --run" in refused(capsys, *words)
    assert (out / "NN1" / "one" / "metadata.json").read_text() == before


def test_no_option_of_a_model_bears_the_name_of_a_flag_of_the_command():
    for name in MODELS:
        options = set(model_class(name).Options.__dataclass_fields__)
        assert not options & _OWN, name
