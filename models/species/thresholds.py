"""Thresholds for a target accuracy from calibration pictures: three rules, what they promise."""

from __future__ import annotations

import math
from bisect import bisect_left
from dataclasses import dataclass

import numpy as np
from scipy import stats

from datasets.errors import InputError
from datasets.taxonomy import Taxonomy
from models.species.curves import working_points
from models.species.specificity import ROOT_ONLY, Best, figures

FIRST_STEP, DECAY = 0.5, 2 / 3  # of the climb; step k is FIRST_STEP / k^DECAY
_NESTED = float(np.nextafter(0.5, 1.0))  # from here on a higher threshold is never less accurate


@dataclass(frozen=True)
class Threshold:
    """A threshold and where it comes from.

    Attributes:
        value: taxa of at least this probability may be answered.
        rule: its name.
        target: share of right answers wanted.
        accuracy: share of right answers among the calibration pictures.
        depth: mean, of the same; kingdom 1.
        pictures: number of calibration pictures.
        promise: what holds for other pictures, a sentence.
    """

    value: float
    rule: str
    target: float
    accuracy: float
    depth: float
    pictures: int
    promise: str


def hill_climbing(
    best: Best, right: np.ndarray, target: float, taxonomy: Taxonomy, seed: int = 0
) -> Threshold:
    """The paper's rule: adjust the threshold while going once through the pictures (section 3.3).

    It begins at the target. A wrong answer raises it by step * target and a right one lowers it by
    step * (1 - target), which balances where the target is met; the step decays (Robbins and Monro
    1951, Ann. Math. Stat. 22). The paper gives neither start nor steps.

    Args:
        best: of the calibration pictures.
        right: of the same, by `correctness`.
        target: share of right answers wanted, above 0 and at most 1.
        taxonomy: of the leaves.
        seed: of the order of the pictures.

    Raises:
        InputError: no threshold reaches the target.
    """
    _check(best, right, target, taxonomy)
    first = best.start.depth
    order = np.random.default_rng(seed).permutation(len(best))
    pictures = zip(best.probabilities[order, 1:].tolist(), right[order].tolist(), strict=True)
    value = target
    for number, (scores, hits) in enumerate(pictures, 1):
        depth = max(sum(0 < score >= value for score in scores), first)
        step = FIRST_STEP / number**DECAY
        value += step * (target - 1 if hits[depth] else target)
        value = min(max(value, 0.0), ROOT_ONLY)
    promise = "it aims at the target and promises nothing"
    return _described(value, "hill climbing", best, right, target, promise)


def binary_search(best: Best, right: np.ndarray, target: float, taxonomy: Taxonomy) -> Threshold:
    """The least threshold from which on all reach the target on these pictures (section 3.3).

    Above one half accuracy never falls with a rising threshold, so this is the least of all; below
    it may, and a lower threshold that reaches the target once more by chance is not taken (spec
    001, 1n). The search bisects the exact curve of all thresholds.

    Args and errors are those of `hill_climbing`.
    """
    _check(best, right, target, taxonomy)
    points = working_points(best, right, taxonomy)
    value = points.threshold(points.above(target) - 1)
    promise = "it reaches the target on the calibration pictures and promises nothing for others"
    return _described(value, "binary search", best, right, target, promise)


def conformal(
    best: Best,
    right: np.ndarray,
    target: float,
    taxonomy: Taxonomy,
    confidence: float = 0.9,
    future: int | None = None,
) -> Threshold:
    """The least threshold above one half that keeps the target with a stated probability.

    The promise needs calibration pictures that are drawn as those to come, and were used neither
    for training nor for choosing the network. It is about the draw of the calibration pictures:

    * `future` None: with probability `confidence` or more, the accuracy in the long run is at least
      the target. The pictures must be independent. The number of wrong answers is compared with
      the exact binomial bound (Clopper and Pearson 1934, Biometrika 26), at all thresholds above
      the chosen one as well, which a loss that only falls allows (Bates et al. 2021, J. ACM 68).
    * `future` a number m: with probability `confidence` or more, the share of right answers among
      the next m pictures is at least the target. It is enough that calibration pictures and these m
      are exchangeable, as two parts of a random division are. Wrong answers appear one by one as
      the threshold falls, each in either part with the chance that a random division gives it, so
      the bound is hypergeometric and exact but for ties.

    Both rest on nested answers, hence the limit of one half (spec 001, 1n). Goren et al. 2024
    (arXiv 2405.11533) choose from calibration scores too; the bounds here are those named above.

    Args:
        best: of the calibration pictures.
        right: of the same, by `correctness`.
        target: share of right answers wanted, above 0 and at most 1.
        taxonomy: of the leaves.
        confidence: probability of the promise, above 0 and below 1.
        future: number of pictures that the promise is about; None for the long run.

    Raises:
        InputError: the target cannot be promised from these pictures.
        ValueError: the confidence is no probability between 0 and 1.
    """
    if not 0 < confidence < 1:
        raise ValueError(f"confidence {confidence:g} is not between 0 and 1")
    _check(best, right, target, taxonomy)
    count = len(best)
    too_many = bisect_left(
        range(count + 1),
        True,
        key=lambda wrong: promised_accuracy(wrong, count, confidence, future) < target - 1e-12,
    )
    wrong = count - int(right[:, best.start.depth].sum())
    if wrong >= too_many:
        most = _floored(promised_accuracy(wrong, count, confidence, future))
        raise InputError(
            f"{count:,} calibration pictures cannot promise an accuracy of {target:.1%} with "
            f"probability {confidence:.0%}, at best {most}: take more pictures or a lower target"
        )
    points = working_points(best, right, taxonomy)
    reached = points.above((count - too_many + 0.5) / count)
    value = max(points.threshold(reached - 1), _NESTED)
    subject = "answers in the long run" if future is None else f"the next {future:,} answers"
    promise = (
        f"with probability {confidence:.0%}, at least {target:.1%} of {subject} to pictures drawn "
        "as the calibration pictures are right"
    )
    return _described(value, "conformal", best, right, target, promise)


def promised_accuracy(
    wrong: int, pictures: int, confidence: float = 0.9, future: int | None = None
) -> float:
    """The accuracy that `conformal` can promise after so many wrong calibration answers.

    Args:
        wrong: number of wrong answers.
        pictures: number of calibration pictures.
        confidence: probability of the promise.
        future: number of pictures that the promise is about; None for the long run.
    """
    risk = 1 - confidence
    if future is None:
        return float(stats.beta.ppf(risk, pictures - wrong, wrong + 1)) if wrong < pictures else 0.0
    # The chance that, of the first wrong + missed + 1 mistakes, at most `wrong` are calibration's.
    missed = bisect_left(
        range(future),
        True,
        key=lambda some: (
            stats.hypergeom.cdf(wrong, pictures + future, wrong + some + 1, pictures) <= risk
        ),
    )
    return 1 - missed / future if future else 0.0


RULES = {"hill-climbing": hill_climbing, "binary-search": binary_search, "conformal": conformal}


def _check(best: Best, right: np.ndarray, target: float, taxonomy: Taxonomy) -> None:
    """Refuse a target that no threshold reaches.

    Whatever the threshold, a right answer lies under the start; so the start, answered always, is
    right as often as can be.
    """
    if not 0 < target <= 1:
        raise InputError(f"the target accuracy {target:g} must be above 0 and at most 1")
    if not len(best):
        raise InputError("there is no calibration picture to choose a threshold from: add some")
    known = right[:, best.start.depth]
    if known.mean() < target:
        outside = len(known) - int(known.sum())
        where = f"outside {taxonomy.name(best.start)} or " if best.start.depth else ""
        raise InputError(
            f"no threshold reaches an accuracy of {target:.1%}: the best possible is "
            f"{_floored(known.mean())}, for {outside:,} of {len(known):,} calibration pictures are "
            f"{where}of none of the classes"
        )


def _floored(share: float) -> str:
    """A percentage that is never above the share, so that it can be asked for."""
    return f"{math.floor(share * 1000 + 1e-9) / 1000:.1%}"


def _described(value, rule, best, right, target, promise) -> Threshold:
    judged = figures(best, right, value)
    return Threshold(value, rule, target, judged["accuracy"], judged["depth"], len(best), promise)
