"""Confidence one can rely on, and "none of these": temperature, thresholds, and their figures."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize_scalar
from sklearn.metrics import roc_auc_score

from training.evaluation import (
    CALIBRATION_BINS,
    SMALLEST_PROBABILITY,
    expected_calibration_error,
)

OTHER = "other"
PRIOR_SPREAD = 0.5  # of ln temperature: keeps a few dozen samples, all right, from driving it to 0
COARSEST, FINEST = 20.0, 0.05


@dataclass(frozen=True)
class Calibration:
    """What the validation part teaches about a classifier's confidence.

    Attributes:
        temperature: probabilities p become p^(1/temperature), scaled to sum one.
        confidence: (samples,) calibrated confidence of each validation answer.
        correct: (samples,) whether that answer was right.
    """

    temperature: float
    confidence: np.ndarray
    correct: np.ndarray

    def to_json(self) -> dict:
        return {
            "temperature": self.temperature,
            "confidence": self.confidence.tolist(),
            "correct": self.correct.astype(int).tolist(),
        }

    @classmethod
    def from_json(cls, values: dict) -> Calibration:
        confidence, correct = values["confidence"], values["correct"]
        return cls(values["temperature"], np.array(confidence, float), np.array(correct, bool))

    def confidences(self, probabilities: np.ndarray) -> np.ndarray:
        """(samples,) calibrated confidence of the most probable class."""
        return tempered(probabilities, self.temperature).max(axis=1)

    def threshold(self, target: float) -> float | None:
        """The least confidence to answer at, for this share of right answers among those given.

        The working point that answers most of the validation samples is taken, half-way down to the
        next sample, so that the last digits of a confidence decide nothing. 0 if all may be
        answered, None if no threshold reaches the target.
        """
        coverage, accuracy, thresholds = risk_coverage(self.confidence, self.correct)
        reached = np.flatnonzero(accuracy >= target)
        if not len(reached):
            return None
        last = reached[-1]
        return 0.0 if coverage[last] == 1 else float(thresholds[last : last + 2].mean())


def calibrate(probabilities: np.ndarray, targets: np.ndarray) -> Calibration:
    """Fit the temperature to the validation part (Guo et al. 2017, ICML, section 4.2).

    The mean negative log-likelihood is minimised, with a weak prior around temperature 1.

    Args:
        probabilities: (samples, classes).
        targets: (samples,) class indices.
    """
    probabilities = np.asarray(probabilities, np.float64)
    rows = np.arange(len(targets))

    def cost(logarithm):
        scaled = tempered(probabilities, np.exp(logarithm))[rows, targets]
        surprise = -np.log(np.clip(scaled, SMALLEST_PROBABILITY, 1)).sum()
        return surprise + 0.5 * (logarithm / PRIOR_SPREAD) ** 2

    found = minimize_scalar(cost, bounds=np.log([FINEST, COARSEST]), method="bounded")
    temperature = float(np.exp(found.x))
    # Rounded here, so that a run judges alike before and after it was written.
    confidence = tempered(probabilities, temperature).max(axis=1).round(7)
    return Calibration(temperature, confidence, probabilities.argmax(axis=1) == targets)


def tempered(probabilities: np.ndarray, temperature: float) -> np.ndarray:
    """Probabilities (samples, classes) at another temperature; the order within a row stays."""
    clipped = np.clip(np.asarray(probabilities, np.float64), SMALLEST_PROBABILITY, 1)
    logits = np.log(clipped) / temperature
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def risk_coverage(confidence, correct) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Accuracy on what is answered against the share answered, most confident first.

    Returns:
        Share answered, accuracy and threshold of every working point; samples of one confidence
        are answered together (El-Yaniv and Wiener 2010, J. Mach. Learn. Res. 11).
    """
    confidence, correct = np.asarray(confidence, float), np.asarray(correct, float)
    order = np.argsort(-confidence, kind="stable")
    sorted_confidence = confidence[order]
    last = np.flatnonzero(np.append(np.diff(sorted_confidence) != 0, True))
    answered = last + 1
    return (
        answered / len(order),
        np.cumsum(correct[order])[last] / answered,
        sorted_confidence[last],
    )


def reliability(confidence, correct, bins: int = CALIBRATION_BINS) -> dict:
    """Mean confidence, accuracy and count per bin of equal width, and the ECE."""
    confidence, correct = np.asarray(confidence, float), np.asarray(correct, float)
    place = np.clip((confidence * bins).astype(int), 0, bins - 1)
    count = np.bincount(place, minlength=bins)

    def means(values):
        sums = np.bincount(place, values, minlength=bins)
        return np.divide(sums, count, out=np.full(bins, np.nan), where=count > 0)

    return {
        "confidence": means(confidence),
        "accuracy": means(correct),
        "count": count,
        "ece": expected_calibration_error(confidence, correct, bins),
    }


def auroc(known, other) -> float:
    """Chance that a known sample is answered with more confidence than one of no class."""
    truth = np.repeat([1, 0], [len(known), len(other)])
    return float(roc_auc_score(truth, np.concatenate([known, other])))


def rejection_figures(
    calibration: Calibration, target: float, probabilities, targets, other=None
) -> dict:
    """What a threshold chosen on the validation part does to other samples.

    Args:
        calibration: of the run.
        target: share of right answers wanted among those given.
        probabilities: (samples, classes) of samples to judge.
        targets: (samples,) class indices; -1 for a sample of no class.
        other: (samples, classes) probabilities of further samples of no class, or None.

    Returns:
        `target`, `threshold` (None if the target is out of reach), `accuracy_answered` and
        `share_answered` of the known samples, and, where there are samples of no class,
        `n_other`, `auroc` and `other_rejected`, the share of them that is answered 'other'.
    """
    targets, threshold = np.asarray(targets), calibration.threshold(target)
    known = targets >= 0
    figures = {"target": target, "threshold": threshold}
    confidence = calibration.confidences(probabilities)
    answered = known & (confidence >= (np.inf if threshold is None else threshold))
    right = np.asarray(probabilities).argmax(axis=1) == targets
    if known.any():
        figures["share_answered"] = float(answered.sum() / known.sum())
        figures["accuracy_answered"] = float(right[answered].mean()) if answered.any() else None
    foreign = confidence[~known]
    if other is not None and len(other):
        foreign = np.concatenate([foreign, calibration.confidences(other)])
    if len(foreign):
        figures["n_other"] = len(foreign)
        if known.any():
            figures["auroc"] = auroc(confidence[known], foreign)
        figures["other_rejected"] = (
            1.0 if threshold is None else float((foreign < threshold).mean())
        )
    return figures


def calibration_figures(calibration: Calibration, probabilities, targets) -> dict:
    """Calibration error of known samples before and after the temperature."""
    known = np.asarray(targets) >= 0
    probabilities = np.asarray(probabilities)[known]
    correct = probabilities.argmax(axis=1) == np.asarray(targets)[known]
    return {
        "temperature": calibration.temperature,
        "ece_before": expected_calibration_error(probabilities.max(axis=1), correct),
        "ece_after": expected_calibration_error(calibration.confidences(probabilities), correct),
    }
