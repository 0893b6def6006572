"""Predictions -> a frozen result: figures with 95 % intervals."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import sparse, stats

CALIBRATION_BINS = 15
BOOTSTRAP_ROUNDS, BOOTSTRAP_BLOCK = 1000, 200
SMALLEST_PROBABILITY = 1e-15
LARGEST_LOSS = -float(np.log(SMALLEST_PROBABILITY))


@dataclass(frozen=True)
class Result:
    """What a classifier did on one part of the data.

    Attributes:
        labels: class names in index order.
        confusion: (classes, classes) counts; row = true class, column = answer. Samples whose label
            is not among the classes are left out here.
        figures: `accuracy`, `accuracy_known`, `balanced_accuracy`, `macro_f1`, `log_loss`, `ece`
            as fractions (log loss in nats) and `n`, the number of samples judged. `accuracy`
            counts a sample with an unknown label as wrong; all others look at known labels only.
        intervals: figure -> (low, high), 95 %.
        per_class: label -> {precision, recall, f1, support, and each one's `_interval`}.
    """

    labels: tuple[str, ...]
    confusion: np.ndarray
    figures: dict[str, float]
    intervals: dict[str, tuple[float, float]]
    per_class: dict[str, dict]

    def to_json(self) -> dict:
        """The result as plain numbers, the form in which `metrics.json` holds one part."""
        return {
            **self.figures,
            "intervals": {name: list(bounds) for name, bounds in self.intervals.items()},
            "per_class": self.per_class,
            "confusion": self.confusion.tolist(),
            "labels": list(self.labels),
        }


def evaluate(probabilities: np.ndarray, targets: np.ndarray, labels) -> Result:
    """Judge class probabilities.

    Args:
        probabilities: (samples, classes), rows sum to one.
        targets: (samples,) class index; -1 where the label is not among `labels`.
        labels: class names in index order.

    Raises:
        ValueError: there is no sample with a known label, or a probability is not finite.
    """
    targets = np.asarray(targets)
    known = targets >= 0
    if not known.any():
        raise ValueError("no sample with a known label to judge")
    probabilities = np.asarray(probabilities, np.float64)[known]
    if not np.isfinite(probabilities).all():
        raise ValueError("the network answers with numbers that are not finite")
    answers, truth = probabilities.argmax(axis=1), targets[known]
    classes = len(labels)
    pairs = np.bincount(truth * classes + answers, minlength=classes**2)
    confusion = pairs.reshape(classes, classes)  # scikit-learn's would warn of a single class
    right, total = int(np.trace(confusion)), len(targets)
    surprise = -np.log(
        np.clip(probabilities[np.arange(len(truth)), truth], SMALLEST_PROBABILITY, 1)
    )
    confidence, hit = probabilities.max(axis=1), answers == truth

    draws = _resampled(confusion)
    counts = _Counts(np.diag(confusion), confusion.sum(axis=1), confusion.sum(axis=0))
    intervals = {
        "accuracy": wilson_interval(right, total),
        "accuracy_known": wilson_interval(right, len(truth)),
        "balanced_accuracy": _percentiles(draws.balanced_accuracy()),
        "macro_f1": _percentiles(draws.macro_f1()),
        "log_loss": _mean_interval(surprise),
        "ece": _ece_interval(confidence, hit),
    }
    figures = {
        "accuracy": right / total,
        "accuracy_known": right / len(truth),
        "balanced_accuracy": float(counts.balanced_accuracy()),
        "macro_f1": float(counts.macro_f1()),
        "log_loss": float(surprise.mean()),
        "ece": expected_calibration_error(confidence, hit),
        "n": total,
    }
    per_class = _per_class(counts, draws.f1(), labels)
    return Result(tuple(labels), confusion, figures, intervals, per_class)


def wilson_interval(hits: int, total: int) -> tuple[float, float]:
    """Wilson's 95 % interval of a share (Wilson 1927, J. Am. Stat. Assoc. 22)."""
    bounds = stats.binomtest(int(hits), int(total)).proportion_ci(0.95, method="wilson")
    return float(bounds.low), float(bounds.high)


def accuracy_by_value(frame, hits, most: int = 12, least: int = 5) -> dict[str, dict]:
    """How well the samples of each group are answered: those of one site, artist or country.

    Args:
        frame: one row per sample, text; a column with 2 to `most` values that are all given and
            stand in at least `least` samples each is one of groups.
        hits: (samples,) whether the answer is right.

    Returns:
        Column -> value -> {"accuracy", "interval" (Wilson, 95 %), "n"}.
    """
    hits, found = np.asarray(hits, bool), {}
    for column in frame:
        values = frame[column].astype(str)
        counts = values.value_counts()
        if not 2 <= len(counts) <= most or counts.min() < least or "" in counts.index:
            continue
        found[column] = {}
        for value in sorted(counts.index):
            of_value = hits[(values == value).to_numpy()]
            right, n = int(of_value.sum()), len(of_value)
            bounds = list(wilson_interval(right, n))
            found[column][value] = {"accuracy": right / n, "interval": bounds, "n": n}
    return found


def expected_calibration_error(confidence, hit, bins: int = CALIBRATION_BINS) -> float:
    """Mean gap of confidence and accuracy over bins of equal width (Naeini et al. 2015, AAAI)."""
    place = np.clip((np.asarray(confidence) * bins).astype(int), 0, bins - 1)
    gap = np.bincount(place, np.asarray(hit, float) - confidence, minlength=bins)
    return float(np.abs(gap).sum() / len(place))


def permutation_drops(predict, arrays: dict, targets, seed: int = 0) -> dict[str, float]:
    """Accuracy lost when one modality is shuffled among the samples (Breiman 2001, section 10).

    Args:
        predict: function from the dictionary of arrays to (samples, classes) probabilities.
        arrays: modality -> array with the samples along the first axis.
        targets: (samples,) class indices.
        seed: of the shuffle.

    Returns:
        Modality -> accuracy lost, as a share.
    """
    order = np.random.default_rng(seed).permutation(len(targets))
    shuffled = {name: {**arrays, name: array[order]} for name, array in arrays.items()}
    right = {
        name: (predict(given).argmax(axis=1) == targets).mean()
        for name, given in {"": arrays, **shuffled}.items()
    }
    return {name: float(right[""] - right[name]) for name in arrays}


@dataclass(frozen=True)
class _Counts:
    """Right answers, samples and answers of each class, (..., classes)."""

    hits: np.ndarray
    support: np.ndarray
    answered: np.ndarray

    def balanced_accuracy(self):
        """Mean recall over the classes that occur."""
        return _ratio(self.hits, self.support).sum(axis=-1) / (self.support > 0).sum(axis=-1)

    def f1(self):
        """F1 of each class, (..., classes)."""
        return _ratio(2.0 * self.hits, self.support + self.answered)

    def macro_f1(self):
        """Mean F1 over the classes that occur or are answered, as in scikit-learn."""
        return self.f1().sum(axis=-1) / (self.support + self.answered > 0).sum(axis=-1)


def _resampled(confusion: np.ndarray) -> _Counts:
    """Bootstrap: resampling samples is drawing the confusion counts from a multinomial.

    Only cells that are not empty are drawn, in blocks, so that thousands of classes fit in memory.
    """
    rng = np.random.default_rng(0)
    rows, columns = np.nonzero(confusion)
    cells, classes = confusion[rows, columns], len(confusion)
    one = np.ones(len(cells))
    into_rows = sparse.csr_array((one, (np.arange(len(cells)), rows)), (len(cells), classes))
    into_columns = sparse.csr_array((one, (np.arange(len(cells)), columns)), (len(cells), classes))
    blocks = []
    for _ in range(BOOTSTRAP_ROUNDS // BOOTSTRAP_BLOCK):
        drawn = rng.multinomial(cells.sum(), cells / cells.sum(), size=BOOTSTRAP_BLOCK)
        hits = (drawn * (rows == columns)) @ into_rows
        blocks.append((hits, drawn @ into_rows, drawn @ into_columns))
    return _Counts(*(np.concatenate(block) for block in zip(*blocks, strict=True)))


def _ratio(numerator, denominator):
    return np.divide(
        numerator, denominator, out=np.zeros(np.shape(numerator)), where=denominator > 0
    )


def _percentiles(values) -> tuple[float, float]:
    low, high = np.percentile(values, [2.5, 97.5])
    return float(low), float(high)


def _mean_interval(losses) -> tuple[float, float]:
    """Normal-theory 95 % interval of a mean loss; of a single one nothing is known."""
    if len(losses) < 2:
        return 0.0, LARGEST_LOSS
    half = 1.959964 * losses.std(ddof=1) / np.sqrt(len(losses))
    return float(max(0.0, losses.mean() - half)), float(losses.mean() + half)


def _ece_interval(confidence, hit):
    """Basic bootstrap: resampling adds gaps of its own, which percentiles would count twice."""
    rng = np.random.default_rng(0)
    estimate = expected_calibration_error(confidence, hit)
    draws = [
        expected_calibration_error(confidence[rows], hit[rows])
        for rows in (rng.integers(0, len(hit), len(hit)) for _ in range(BOOTSTRAP_BLOCK))
    ]
    low, high = _percentiles(draws)
    return max(0.0, 2 * estimate - high), min(1.0, max(estimate, 2 * estimate - low))


def _per_class(counts: _Counts, f1_draws, labels) -> dict[str, dict]:
    precision = _ratio(counts.hits, counts.answered)
    recall, f1 = _ratio(counts.hits, counts.support), counts.f1()
    rows = {}
    for index, label in enumerate(labels):
        hits, support = counts.hits[index], counts.support[index]
        rows[label] = {
            "precision": float(precision[index]),
            "recall": float(recall[index]),
            "f1": float(f1[index]),
            "support": int(support),
            "precision_interval": _share_interval(hits, counts.answered[index]),
            "recall_interval": _share_interval(hits, support),
            "f1_interval": list(_percentiles(f1_draws[:, index])) if support else [0.0, 1.0],
        }
    return rows


def _share_interval(hits, total):
    return list(wilson_interval(hits, total)) if total else [0.0, 1.0]
