"""The answer 'other' on the command line: --reject-at and --other, for any classifier."""

import json

import numpy as np
import pytest
from PIL import Image

import run
from datasets.synthetic import faces
from models import artefact
from models.commands import predict
from tests.typed import answered, refused, typed
from training.calibration import OTHER, Calibration, risk_coverage

FACES, OTHERS = 14, 9


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A run of NN1 without its report, pictures of faces, and pictures of none."""
    place, small = tmp_path_factory.mktemp("reject"), faces.load(160)
    (place / "faces").mkdir()
    for row, image in enumerate(faces.load(FACES, seed=5).modalities["image"]):
        Image.fromarray(image[..., 0]).save(place / "faces" / f"{row:02d}.png")
    (place / "others" / "noise").mkdir(parents=True)
    rng = np.random.default_rng(0)
    for row in range(OTHERS):
        noise = Image.fromarray(rng.integers(0, 256, (60, 70, 3), np.uint8))
        noise.save(place / "others" / "noise" / f"{row}.png")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(faces, "load", lambda: small)
        patch.setattr(artefact, "write_report", lambda *_: None)
        words = ["--model", "NN1", "--epochs", "2", "--run", "one", "--out", str(place / "out")]
        assert run.main(words) == 0
    return place


@pytest.fixture(autouse=True)
def same_faces(monkeypatch):
    small = faces.load(160)
    monkeypatch.setattr(faces, "load", lambda: small)


@pytest.fixture(scope="module")
def calibration(place):
    stored = json.loads((place / "out" / "NN1" / "one" / "calibration.json").read_text())
    return Calibration.from_json(stored)


@pytest.fixture(scope="module")
def target(calibration):
    """A share of right answers that some answers, not all, reach."""
    coverage, accuracy, _ = risk_coverage(calibration.confidence, calibration.correct)
    best = float(accuracy[(coverage >= 0.2) & (coverage < 1)].max())
    assert best > calibration.correct.mean()
    return best


def answer_of(capsys, place, *words):
    return answered(capsys, *words, "--out", place / "out")


def refusal(capsys, place, *words):
    return refused(capsys, *words, "--out", place / "out")


def test_a_run_keeps_what_its_validation_part_taught(place, calibration):
    metrics = json.loads((place / "out" / "NN1" / "one" / "metrics.json").read_text())
    assert len(calibration.correct) == metrics["validation"]["n"]
    assert calibration.correct.mean() == pytest.approx(metrics["validation"]["accuracy"])
    assert metrics["calibration"]["test"]["temperature"] == calibration.temperature
    assert metrics["rejection"]["share_answered"] == 1.0


def test_predict_answers_other_below_the_threshold(capsys, place, calibration, target):
    threshold = calibration.threshold(target)
    always = answer_of(capsys, place, "predict", "NN1", place / "faces")
    answer = answer_of(capsys, place, "predict", "NN1", place / "faces", "--reject-at", target)
    assert (always["reject_at"], always["threshold"]) == (None, 0.0)
    assert answer["reject_at"] == target
    assert answer["threshold"] == threshold > 0
    assert len(answer["predictions"]) == FACES
    for before, after in zip(always["predictions"], answer["predictions"], strict=True):
        assert before["label"] == before["top"][0]["label"] == after["top"][0]["label"]
        assert after["confidence"] == before["confidence"]
        rejected = after["confidence"] < threshold
        assert after["label"] == (OTHER if rejected else before["label"])
    confidences = [one["confidence"] for one in answer["predictions"]]
    assert min(confidences) < threshold  # something was rejected


def test_evaluate_judges_pictures_of_no_class(capsys, place, calibration, target):
    words = ["evaluate", "NN1", "--reject-at", target, "--other", place / "others"]
    found = answer_of(capsys, place, *words)
    plain = answer_of(capsys, place, "evaluate", "NN1")
    rejection, threshold = found["rejection"], calibration.threshold(target)
    assert "rejection" not in plain
    assert found["accuracy"] == plain["accuracy"]  # that of all answers
    assert (rejection["target"], rejection["threshold"]) == (target, threshold)
    assert rejection["n_other"] == OTHERS

    others = answer_of(capsys, place, "predict", "NN1", place / "others")["predictions"]
    rejected = np.mean([one["confidence"] < threshold for one in others])
    assert rejection["other_rejected"] == pytest.approx(rejected)
    assert 0 <= rejection["auroc"] <= 1
    assert found["calibration"]["temperature"] == calibration.temperature


def test_a_run_judges_its_validation_part_as_its_thresholds_say(capsys, place, calibration, target):
    words = ["evaluate", "NN1", "--split", "validation", "--reject-at", target]
    rejection = answer_of(capsys, place, *words)["rejection"]
    answered = calibration.confidence >= calibration.threshold(target)
    assert rejection["share_answered"] == pytest.approx(answered.mean())
    assert rejection["accuracy_answered"] == pytest.approx(target)
    assert "auroc" not in rejection


def test_evaluate_says_in_words_what_is_rejected(capsys, place, target):
    words = ["evaluate", "NN1", "--reject-at", target, "--other", place / "others"]
    code, text, _ = typed(capsys, *words, "--out", place / "out")
    assert code == 0
    assert f"For {100 * target:.4g} % right answers, those below a confidence of 0." in text
    assert f"of the {OTHERS} samples of no class" in text
    assert "AUROC" in text


@pytest.mark.parametrize("verb", ["predict", "evaluate"])
@pytest.mark.parametrize("value", ["0", "2", "-0.1", "abc", "nan"])
def test_a_share_that_is_none_is_refused(capsys, place, verb, value):
    pictures = [place / "faces"] if verb == "predict" else []
    line = refusal(capsys, place, verb, "NN1", *pictures, f"--reject-at={value}")
    assert "--reject-at" in line
    assert f"{value} is no share: a number above 0 and up to 1" in line


def test_a_target_out_of_reach_is_said(capsys, place, monkeypatch):
    wrong = Calibration(1.0, np.array([0.9, 0.8, 0.7]), np.array([False, True, False]))
    monkeypatch.setattr(Calibration, "from_json", lambda values: wrong)
    line = refusal(capsys, place, "predict", "NN1", place / "faces", "--reject-at", 0.9)
    for part in ("90.0 % right answers", "3 samples", "--reject-at"):
        assert part in line
    words = ["evaluate", "NN1", "--reject-at", 0.9, "--out", place / "out"]
    code, text, _ = typed(capsys, *words)
    assert code == 0
    assert "No confidence reaches 90 % right answers" in text


def test_a_missing_folder_of_others_is_refused(capsys, place):
    words = ["evaluate", "NN1", "--other", place / "nowhere"]
    assert "nowhere" in refusal(capsys, place, *words)


def test_the_runs_own_target_counts_where_none_is_typed(tmp_path):
    kept = Calibration(1.0, np.array([0.9, 0.6, 0.5]), np.array([True, True, False]))
    (tmp_path / "calibration.json").write_text(json.dumps(kept.to_json()))
    (tmp_path / "config.json").write_text(json.dumps({"reject_at": 1.0}))
    assert predict.Judge.of(tmp_path, None).threshold == pytest.approx(0.55)
    assert predict.Judge.of(tmp_path, 0.6).threshold == 0.0
