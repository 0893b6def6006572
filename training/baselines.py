"""Simple classifiers on the same split: does the network earn its place?

The class that occurs most, logistic regression and nearest neighbours are fitted to the training
part; what they leave open (C, k) is chosen on the validation part, and the part that is judged last
decides, sample by sample, against the network's own answers.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from math import ceil

import numpy as np
from sklearn.compose import ColumnTransformer
from sklearn.decomposition import PCA
from sklearn.exceptions import ConvergenceWarning
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import NearestNeighbors
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler, normalize
from threadpoolctl import threadpool_limits

from training.evaluation import Result, evaluate
from training.statistics import mcnemar_exact

STRENGTHS = (0.01, 0.1, 1.0, 10.0)  # C of the logistic regression
NEIGHBOURS = (1, 3, 5, 10)
ITERATIONS = 200
LARGEST_PROBLEM = 400_000_000  # samples x columns x classes; beyond it a regression takes minutes
LEAST_COMPONENTS = 64  # that columns are reduced to before samples are left out
SIGNIFICANT = 0.05


@dataclass(frozen=True)
class View:
    """What a simple classifier sees of every sample.

    Attributes:
        name: such as `measurements`.
        parts: `train`, `validation` and the part that is judged -> (samples, columns); NaN is a
            missing value.
        categorical: numbers of the columns that hold codes.
        is_vector: whether the direction of a row is what counts, as with features of a network:
            then nearest neighbours are looked for too.
    """

    name: str
    parts: dict[str, np.ndarray]
    categorical: tuple[int, ...] = ()
    is_vector: bool = False


@dataclass(frozen=True)
class Baseline:
    """One simple classifier, judged.

    Attributes:
        name: what it is and what it sees.
        setting: what was chosen on the validation part, and what else has to be known; or ''.
        result: on the part that is judged.
        probabilities: (samples, classes).
        difference: accuracy of the network minus its accuracy.
        low, high: 95 % interval of that, see `training.statistics.McNemar`.
        only_network, only_baseline: number of samples that one of the two alone answers rightly.
        p: exact, two-sided (McNemar): how likely so unequal a pair of numbers is by chance.
    """

    name: str
    setting: str
    result: Result
    probabilities: np.ndarray
    difference: float
    low: float
    high: float
    only_network: int
    only_baseline: int
    p: float

    def to_json(self) -> dict:
        """The figures as plain values."""
        names = ("accuracy", "balanced_accuracy", "macro_f1", "log_loss", "n")
        return {
            "name": self.name,
            "setting": self.setting,
            **{name: self.result.figures[name] for name in names},
            "interval": list(self.result.intervals["accuracy"]),
            "difference": self.difference,
            "difference_interval": [self.low, self.high],
            "only_network": self.only_network,
            "only_baseline": self.only_baseline,
            "p": self.p,
        }


@dataclass(frozen=True)
class Comparison:
    """A network beside the simple classifiers.

    Attributes:
        part: which was judged.
        accuracy: of the network there.
        baselines: in the order in which they were fitted.
    """

    part: str
    accuracy: float
    baselines: tuple[Baseline, ...]

    @property
    def best(self) -> Baseline:
        """The baseline with the highest accuracy; the first of equals."""
        return max(self.baselines, key=lambda one: one.result.figures["accuracy"])

    def verdict(self) -> str:
        """One sentence: does the network beat the best of them?"""
        best, n = self.best, self.best.result.figures["n"]
        against = (
            f"the best simple baseline, {best.name} ({100 * best.result.figures['accuracy']:.1f} %)"
        )
        figures = f"p = {p_text(best.p)}, n = {n}"
        points = f"{100 * abs(best.difference):.1f} points"
        if best.difference > 0 and best.p < SIGNIFICANT:
            return f"The network beats {against} by {points} ({figures})."
        if best.difference > 0:
            return (
                f"The network is {points} above {against}, which may be chance ({figures}): more "
                "samples would tell."
            )
        if best.difference == 0:
            return f"The network does not beat {against}: it is just as good ({figures})."
        return f"The network does not beat {against}: it is {points} below it ({figures})."

    def to_json(self) -> dict:
        """The figures as plain values, as `metrics.json` holds them."""
        return {
            "part": self.part,
            "verdict": self.verdict(),
            "rows": [baseline.to_json() for baseline in self.baselines],
        }


def p_text(p: float) -> str:
    """A p-value with two digits that count."""
    return f"{p:.2g}" if p >= 1e-4 else f"{p:.0e}"


def compare(
    views: Iterable[View],
    targets: dict[str, np.ndarray],
    probabilities: np.ndarray,
    labels,
    part: str,
    seed: int = 0,
) -> Comparison:
    """Fit simple classifiers to every view, and to all of them side by side.

    Args:
        views: what they see.
        targets: `train`, `validation` and `part` -> (samples,) class index.
        probabilities: (samples, classes), the network's answers on `part`.
        labels: class names in index order.
        part: which one is judged.
        seed: of the choice of samples where there are too many.
    """
    views = tuple(views)
    fitted = [_most_frequent(targets, part, len(labels))]
    if len(np.unique(targets["train"])) > 1:
        # Products this small gain nothing from threads, and on a busy machine lose tenfold.
        with threadpool_limits(1, user_api="blas"):
            fitted += _fitted(views, targets, part, len(labels), seed)
    truth = targets[part]
    right = probabilities.argmax(axis=1) == truth
    return Comparison(
        part,
        float(right.mean()),
        tuple(_judged(*one, truth=truth, right=right, labels=labels) for one in fitted),
    )


def _fitted(views, targets, part, classes, seed):
    for sight in [(view,) for view in views] + ([views] if len(views) > 1 else []):
        yield _logistic_regression(sight, targets, part, classes, seed)
        if any(view.is_vector for view in sight):
            yield _nearest_neighbours(sight, targets, part, classes)


def _judged(name, setting, probabilities, *, truth, right, labels) -> Baseline:
    test = mcnemar_exact(right, probabilities.argmax(axis=1) == truth)
    return Baseline(
        name=name,
        setting=setting,
        result=evaluate(probabilities, truth, labels),
        probabilities=probabilities,
        difference=(test.only_a - test.only_b) / len(truth),
        low=-test.high,
        high=-test.low,
        only_network=test.only_a,
        only_baseline=test.only_b,
        p=test.p,
    )


def _most_frequent(targets, part, classes):
    shares = np.bincount(targets["train"], minlength=classes) / len(targets["train"])
    return "most frequent class", "", np.tile(shares, (len(targets[part]), 1))


def _logistic_regression(sight, targets, part, classes, seed):
    """Multinomial, on standardised columns; C is the one that answers the validation part best."""
    components = _components(targets["train"], _width(sight), classes)
    rows = _training_rows(targets["train"], components, classes, seed)
    prepared = _side_by_side([_standardised(view, rows) for view in sight])
    if components < _width(sight):
        prepared = _reduced(prepared, rows, components, seed)
    answers = targets["train"][rows]

    def attempt(strength):
        model = LogisticRegression(C=strength, max_iter=ITERATIONS)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # the setting says it
            model.fit(prepared["train"][rows], answers)
        setting = f"C {strength:g}"
        if model.n_iter_.max() >= ITERATIONS:
            setting += f", stopped after {ITERATIONS} iterations"
        return setting, {
            name: _all_classes(model.predict_proba(prepared[name]), model.classes_, classes)
            for name in ("validation", part)
        }

    setting, found = _best([attempt(strength) for strength in STRENGTHS], targets["validation"])
    name = f"logistic regression on {_names(sight)}"
    if components < _width(sight):
        name += f" ({prepared['train'].shape[1]:,} principal components)"
    if len(rows) < len(targets["train"]):
        name += f" ({len(rows):,} of {len(targets['train']):,} training samples)"
    return name, setting, found[part]


def _nearest_neighbours(sight, targets, part, classes):
    """Votes of the k nearest training samples by cosine; k is chosen on the validation part."""
    prepared = _side_by_side([_directions(view) for view in sight])
    most = min(max(NEIGHBOURS), len(targets["train"]))
    # Of unit vectors the Euclidean order is that of the cosine, and its search is faster.
    search = NearestNeighbors(n_neighbors=most, algorithm="brute").fit(prepared["train"])
    nearest = {
        name: targets["train"][search.kneighbors(prepared[name], return_distance=False)]
        for name in ("validation", part)
    }
    attempts = [
        (f"k {k}", {name: _votes(near[:, :k], classes) for name, near in nearest.items()})
        for k in NEIGHBOURS
        if k <= most
    ]
    setting, found = _best(attempts, targets["validation"])
    return f"nearest neighbours on {_names(sight)}", setting, found[part]


def _best(attempts, truth):
    """The attempt with most right answers on the validation part, then with the least log loss."""

    def merit(attempt):
        probabilities = attempt[1]["validation"]
        of_truth = probabilities[np.arange(len(truth)), truth]
        surprise = -np.log(np.clip(of_truth, 1e-15, 1)).mean()
        return (probabilities.argmax(axis=1) == truth).mean(), -surprise

    return max(attempts, key=merit)


def _votes(near: np.ndarray, classes: int) -> np.ndarray:
    """Shares of the votes, (samples, classes); among equals the one that came nearest wins."""
    places = near.shape[1]
    weights = 1 + 1e-6 * 0.5 ** np.arange(places)
    votes = np.zeros((len(near), classes))
    for place in range(places):
        votes[np.arange(len(near)), near[:, place]] += weights[place]
    return votes / weights.sum()


def _training_rows(targets, width, classes, seed) -> np.ndarray:
    """All rows, or the same share of every class where a regression on all would take minutes."""
    share = LARGEST_PROBLEM / (len(targets) * width * classes)
    if share >= 1:
        return np.arange(len(targets))
    rng = np.random.default_rng(seed)
    kept = []
    for index in np.unique(targets):
        rows = rng.permutation(np.flatnonzero(targets == index))
        kept.append(rows[: ceil(share * len(rows))])
    return np.sort(np.concatenate(kept))


def _components(targets, width, classes) -> int:
    """How many columns a regression on all samples can have without taking minutes."""
    affordable = LARGEST_PROBLEM // (len(targets) * classes)
    return min(width, max(LEAST_COMPONENTS, affordable))


def _reduced(prepared: dict, rows, components: int, seed) -> dict:
    """The principal components of the columns, learnt from these training rows."""
    kept = min(components, len(rows))
    learnt = PCA(kept, svd_solver="randomized", random_state=seed).fit(prepared["train"][rows])
    return {name: learnt.transform(values) for name, values in prepared.items()}


def _standardised(view: View, rows=slice(None)) -> dict[str, np.ndarray]:
    """Medians for missing numbers, with a flag; mean 0 and deviation 1; codes one-hot."""
    width = view.parts["train"].shape[1]
    numeric = [column for column in range(width) if column not in view.categorical]
    numbers = make_pipeline(
        SimpleImputer(strategy="median", add_indicator=True, keep_empty_features=True),
        StandardScaler(),
    )
    codes = OneHotEncoder(handle_unknown="ignore", sparse_output=False)
    prepare = ColumnTransformer(
        [("numbers", numbers, numeric), ("codes", codes, list(view.categorical))]
    )
    prepare.fit(view.parts["train"][rows])
    return {
        name: prepare.transform(values).astype(np.float32) for name, values in view.parts.items()
    }


def _directions(view: View) -> dict[str, np.ndarray]:
    """Rows of length one around the training mean (Wang et al. 2019, arXiv 1911.04623, CL2N).

    Views side by side then weigh the same.
    """
    parts = view.parts if view.is_vector else _standardised(view)
    centre = parts["train"].mean(axis=0)
    return {name: normalize(values - centre) for name, values in parts.items()}


def _side_by_side(blocks: list[dict]) -> dict[str, np.ndarray]:
    return {name: np.hstack([block[name] for block in blocks]) for name in blocks[0]}


def _all_classes(probabilities, known, classes) -> np.ndarray:
    """Columns for classes without a training sample too: zeros."""
    whole = np.zeros((len(probabilities), classes))
    whole[:, known] = probabilities
    return whole


def _width(sight) -> int:
    return sum(view.parts["train"].shape[1] for view in sight)


def _names(sight) -> str:
    return " + ".join(view.name for view in sight)
