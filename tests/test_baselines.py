"""Simple baselines against brute force, and what is said of them."""

import json

import numpy as np
import pytest
from scipy import stats
from sklearn.linear_model import LogisticRegression

from models.run_baselines import baseline_lines
from training import baselines
from training.baselines import View, compare
from training.report_page import write_report_page
from training.statistics import mcnemar_exact

SIZES = {"train": 120, "validation": 60, "test": 80}
LABELS = ("a", "b", "c")


def drawn(seed=0, classes=3, skew=(0.5, 0.3, 0.2)):
    """Part -> class indices; the first class is the most frequent."""
    rng = np.random.default_rng(seed)
    return {part: rng.choice(classes, size, p=skew) for part, size in SIZES.items()}


def blobs(targets, width=5, apart=1.0, seed=1):
    rng = np.random.default_rng(seed)
    centres = apart * rng.normal(size=(3, width))
    return {
        part: centres[own] + rng.normal(size=(len(own), width)) for part, own in targets.items()
    }


def certain(answers, classes=3):
    return np.eye(classes)[answers]


def compared(views, targets, answers=None, **keywords):
    answers = targets["test"] if answers is None else answers
    return compare(views, targets, certain(answers), LABELS, "test", **keywords)


def accuracies(found):
    return {one.name: one.result.figures["accuracy"] for one in found.baselines}


def test_the_most_frequent_class_answers_with_the_shares_of_the_training_part():
    targets = drawn()
    (found,) = compared((), targets).baselines
    shares = np.bincount(targets["train"], minlength=3) / SIZES["train"]
    np.testing.assert_allclose(found.probabilities, np.tile(shares, (SIZES["test"], 1)))
    assert found.result.figures["accuracy"] == (targets["test"] == shares.argmax()).mean()


def test_logistic_regression_is_that_of_the_strength_best_on_validation():
    targets = drawn()
    parts = blobs(targets)
    found = compared((View("numbers", parts),), targets).baselines[1]
    mean, deviation = parts["train"].mean(axis=0), parts["train"].std(axis=0)
    scaled = {part: ((values - mean) / deviation) for part, values in parts.items()}
    merits, answers = [], []
    for strength in baselines.STRENGTHS:
        model = LogisticRegression(C=strength, max_iter=1000).fit(scaled["train"], targets["train"])
        own = model.predict_proba(scaled["validation"])
        truth = targets["validation"]
        right = (own.argmax(axis=1) == truth).mean()
        merits.append((right, np.log(own[np.arange(len(truth)), truth]).mean()))
        answers.append(model.predict_proba(scaled["test"]))
    best = max(range(len(merits)), key=merits.__getitem__)
    assert found.setting == f"C {baselines.STRENGTHS[best]:g}"
    np.testing.assert_allclose(found.probabilities, answers[best], atol=5e-3)
    others = [one for place, one in enumerate(answers) if place != best]
    assert min(np.abs(found.probabilities - one).max() for one in others) > 0.02


def test_right_answers_count_before_the_log_loss():
    truth = np.array([0, 1, 1])
    answers = {
        "right, unsure": [[0.6, 0.4], [0.4, 0.6], [0.4, 0.6]],
        "right, surer": [[0.7, 0.3], [0.4, 0.6], [0.4, 0.6]],
        "surest, one wrong": [[0.99, 0.01], [0.01, 0.99], [0.51, 0.49]],
    }
    attempts = [(name, {"validation": np.array(rows)}) for name, rows in answers.items()]
    assert baselines._best(attempts, truth)[0] == "right, surer"
    assert baselines._best(attempts[::2], truth)[0] == "right, unsure"


def test_a_missing_value_can_tell_the_class():
    targets = {part: np.minimum(own, 1) for part, own in drawn().items()}
    parts = {part: np.random.default_rng(2).normal(size=(len(t), 2)) for part, t in targets.items()}
    for part, own in targets.items():
        parts[part][own == 1, 0] = np.nan
    found = accuracies(compared((View("numbers", parts),), targets))
    assert found["logistic regression on numbers"] == 1.0


def test_a_missing_value_is_the_median_of_training():
    targets = drawn()
    parts = blobs(targets)
    parts["train"][::7, 0] = np.nan
    whole = {part: values.copy() for part, values in parts.items()}
    for values in whole.values():
        values[np.isnan(values)] = np.nanmedian(parts["train"][:, 0])
    seen, filled = (baselines._standardised(View("numbers", p))["test"] for p in (parts, whole))
    np.testing.assert_allclose(seen[:, :5], filled, atol=1e-6)
    assert seen.shape[1] == 6 and np.ptp(seen[:, 5]) == 0  # the flag, never raised in the test part


def test_a_column_without_any_value_does_no_harm():
    targets = drawn()
    parts = blobs(targets)
    bare = accuracies(compared((View("numbers", parts),), targets))
    more = {p: np.hstack([np.full((len(v), 1), np.nan), v]) for p, v in parts.items()}
    assert accuracies(compared((View("numbers", more),), targets)) == bare


def test_codes_are_no_numbers():
    """The classes alternate along the codes: no line through them tells the classes apart."""
    targets = {part: np.minimum(own, 1) for part, own in drawn().items()}
    rng = np.random.default_rng(3)
    parts = {p: (2 * rng.integers(0, 3, len(t)) + t)[:, None] * 1.0 for p, t in targets.items()}
    name = "logistic regression on codes"
    assert accuracies(compared((View("codes", parts, (0,)),), targets))[name] == 1.0
    assert accuracies(compared((View("codes", parts),), targets))[name] < 0.9


def test_an_unseen_or_missing_code_is_answered():
    targets = drawn()
    parts = {part: own[:, None].astype(float) for part, own in targets.items()}
    parts["test"][0], parts["test"][1] = 99, np.nan
    found = compared((View("codes", parts, (0,)),), targets).baselines[1]
    assert np.isfinite(found.probabilities).all()
    assert (found.probabilities.argmax(axis=1) == targets["test"])[2:].all()


def test_nearest_neighbours_are_those_of_brute_force():
    targets = drawn()
    parts = blobs(targets, apart=0.5)
    found = compared((View("vectors", parts, is_vector=True),), targets).baselines[2]
    k = int(found.setting.removeprefix("k "))
    centre = parts["train"].mean(axis=0)
    for row, probabilities in zip(parts["test"] - centre, found.probabilities, strict=True):
        train = parts["train"] - centre
        cosine = train @ row / np.linalg.norm(train, axis=1) / np.linalg.norm(row)
        near = targets["train"][np.argsort(-cosine)[:k]]
        votes = np.bincount(near, minlength=3) / k
        np.testing.assert_allclose(probabilities, votes, atol=1e-5)
        tied = np.flatnonzero(votes == votes.max())
        assert probabilities.argmax() == next(one for one in near if one in tied)


def test_among_equal_votes_the_nearest_wins():
    near = np.array([[2, 0, 0, 2], [0, 2, 2, 0], [1, 0, 2, 2]])
    assert baselines._votes(near, 3).argmax(axis=1).tolist() == [2, 0, 2]
    np.testing.assert_allclose(baselines._votes(near, 3).sum(axis=1), 1)


def test_side_by_side_two_halves_make_a_whole():
    """Each view tells one bit; three classes need both."""
    targets = drawn()
    rng = np.random.default_rng(4)

    def view(bit, name, scale, is_vector):
        parts = {
            part: scale * (bit[own][:, None] + 0.1 * rng.normal(size=(len(own), 2)))
            for part, own in targets.items()
        }
        return View(name, parts, is_vector=is_vector)

    views = (
        view(np.array([0.0, 0, 1]), "left", 1000.0, False),
        view(np.array([0.0, 1, 1]), "right", 0.01, True),
    )
    found = accuracies(compared(views, targets))
    assert list(found) == [
        "most frequent class",
        "logistic regression on left",
        "logistic regression on right",
        "nearest neighbours on right",
        "logistic regression on left + right",
        "nearest neighbours on left + right",
    ]
    for name, accuracy in found.items():
        assert (accuracy > 0.97) == ("left + right" in name), name


def test_the_paired_test_counts_who_alone_is_right():
    targets = drawn()
    answers = targets["test"].copy()
    answers[:30] = (answers[:30] + 1) % 3
    found = compared((View("numbers", blobs(targets)),), targets, answers)
    for one in found.baselines:
        ours, theirs = answers == targets["test"], one.probabilities.argmax(axis=1)
        theirs = theirs == targets["test"]
        a, b = sum(ours & ~theirs), sum(theirs & ~ours)
        assert (one.only_network, one.only_baseline) == (a, b)
        assert one.difference == pytest.approx(ours.mean() - theirs.mean())
        turned = mcnemar_exact(theirs, ours)
        assert one.to_json()["difference_interval"] == [turned.low, turned.high]
        assert one.p == pytest.approx(stats.binomtest(int(a), int(a + b)).pvalue)
    assert found.accuracy == 50 / 80


@pytest.mark.parametrize(
    ("wrong", "baseline_wrong", "words"),
    [
        (0, 40, "The network beats the best simple baseline, most frequent class (50.0 %) by 50.0"),
        (38, 40, "is 2.5 points above the best simple baseline, most frequent class (50.0 %), whi"),
        (40, 40, "does not beat the best simple baseline, most frequent class (50.0 %): it is jus"),
        (60, 40, "does not beat the best simple baseline, most frequent class (50.0 %): it is 25."),
    ],
)
def test_the_verdict_is_plain(wrong, baseline_wrong, words):
    truth = np.r_[np.ones(baseline_wrong, int), np.zeros(80 - baseline_wrong, int)]
    targets = {"train": np.array([0, 0, 1, 2]), "validation": truth, "test": truth}
    answers = truth.copy()
    answers[:wrong] = 2
    verdict = compared((), targets, answers).verdict()
    assert words in verdict
    assert verdict.endswith(("n = 80).", "n = 80): more samples would tell."))


def test_too_many_samples_become_a_stated_share_of_each_class(monkeypatch):
    targets = drawn()
    monkeypatch.setattr(baselines, "LARGEST_PROBLEM", 40 * 5 * 3)
    monkeypatch.setattr(baselines, "LEAST_COMPONENTS", 5)
    found = compared((View("numbers", blobs(targets)),), targets).baselines[1]
    rows = baselines._training_rows(targets["train"], 5, 3, 0)
    assert found.name == f"logistic regression on numbers ({len(rows)} of 120 training samples)"
    kept, own = (np.bincount(targets["train"][r]) for r in (rows, slice(None)))
    assert kept.tolist() == np.ceil(own / 3).astype(int).tolist()
    assert not np.array_equal(rows, baselines._training_rows(targets["train"], 5, 3, 1))


def test_too_many_columns_become_principal_components_of_all_samples(monkeypatch):
    targets = drawn()
    monkeypatch.setattr(baselines, "LARGEST_PROBLEM", 120 * 3 * 3)
    monkeypatch.setattr(baselines, "LEAST_COMPONENTS", 2)
    found = compared((View("numbers", blobs(targets)),), targets).baselines[1]
    assert found.name == "logistic regression on numbers (3 principal components)"
    assert found.result.figures["accuracy"] > 0.6  # the most frequent class has less than a half


def test_a_regression_that_was_stopped_says_so(monkeypatch):
    monkeypatch.setattr(baselines, "ITERATIONS", 2)
    targets = drawn()
    found = compared((View("numbers", blobs(targets)),), targets).baselines[1]
    assert found.setting.endswith(", stopped after 2 iterations")


def test_one_class_in_training_leaves_the_most_frequent_one():
    targets = drawn()
    targets["train"] = np.zeros_like(targets["train"])
    views = (View("numbers", blobs(targets), is_vector=True),)
    assert list(accuracies(compared(views, targets))) == ["most frequent class"]


def test_a_class_without_training_samples_is_never_answered():
    targets = drawn()
    targets["train"] = np.where(targets["train"] == 1, 2, targets["train"])
    found = compared((View("numbers", blobs(targets), is_vector=True),), targets)
    for one in found.baselines:
        assert one.probabilities.shape == (80, 3)
        assert (one.probabilities[:, 1] == 0).all()


def test_the_figures_survive_json_and_become_lines():
    targets = drawn()
    found = compared((View("numbers", blobs(targets)),), targets).to_json()
    assert json.loads(json.dumps(found)) == found
    *rows, verdict = baseline_lines(found)
    assert rows[0].startswith("most frequent class ")
    assert "the network +" in rows[1] and "p = " in rows[1]
    assert verdict == found["verdict"]
    low, high = found["rows"][1]["interval"]
    assert low < found["rows"][1]["accuracy"] < high


def test_the_page_shows_the_table(tmp_path):
    targets = drawn()
    found = compared((View("<numbers>", blobs(targets)),), targets)
    page = write_report_page(
        tmp_path / "report.html", title="t", provenance="p", synthetic=False, facts={},
        architecture="", command="", results={"test": found.best.result}, figures={}, audit=[],
        notes=[], baselines=found,
    ).read_text()  # fmt: skip
    assert "Simple baselines" in page and "&lt;numbers&gt;" in page
    assert found.verdict().split("numbers")[0].split("<")[0] in page
    bounds = f"{100 * found.best.low:+.1f} to {100 * found.best.high:+.1f}"
    assert bounds in page
    assert page.count("<tr>", page.index('id="baselines"'), page.index("exact McNemar")) == 3
