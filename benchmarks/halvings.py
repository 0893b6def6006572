"""Does a run keep its target accuracy, and how deep does it answer? Over random halvings.

    python -m benchmarks.halvings MultiViewClassifier/RUN --to halvings.json

Paper 001, section 5, splits its evaluation pictures into two even parts, one for the threshold and
one for what is reported. Here the validation and test part of a run are put together and halved at
random many times. Printed, and written as JSON, are for each rule the mean accuracy and depth on
the halves that the threshold does not come from, and a single halving with its interval; how often
the conformal rule keeps its promise; and the same depth for a logistic regression on the frozen
features of the run's backbone, whose probabilities are rolled up the same tree.
"""

from __future__ import annotations

import argparse
import json
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from datasets.taxonomy import Taxonomy
from models.runs import find_run, read_json
from models.species.run_specificity import (
    TARGET,
    Answered,
    read_answered,
    read_taxonomy,
)
from models.species.specificity import Best, best_taxa, correctness, figures
from models.species.thresholds import RULES, conformal
from training.baselines import ITERATIONS, STRENGTHS
from training.evaluation import wilson_interval

PARTS = ("validation", "test")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("run", help="a run with a taxonomy: its folder, MODEL/RUN or MODEL")
    parser.add_argument("--out", type=Path, default=Path("saved_models"), help="of saved runs")
    parser.add_argument("--target", type=float, default=TARGET, help="accuracy wanted")
    parser.add_argument("--halvings", type=int, default=100)
    parser.add_argument("--divisions", type=int, default=200, help="for the conformal rule")
    parser.add_argument("--confidence", type=float, default=0.9, help="of the conformal rule")
    parser.add_argument("--no-baseline", action="store_true", help="no logistic regression")
    parser.add_argument("--to", type=Path, default=Path("halvings.json"))
    arguments = parser.parse_args()
    folder = find_run(arguments.run, arguments.out)
    taxonomy = read_taxonomy(folder)
    if taxonomy is None:
        raise SystemExit(f"{folder} has no taxonomy")
    pooled = together([read_answered(folder, part) for part in PARTS])
    tries = Tries(taxonomy, arguments.target, arguments.halvings)
    found = {
        "run": str(folder),
        "ranks": list(taxonomy.ranks),
        "pictures": len(pooled.best),
        "target": arguments.target,
        "network": tries.by_rule(pooled),
        "conformal": promise_kept(pooled, tries, arguments.divisions, arguments.confidence),
    }
    if not arguments.no_baseline:
        found["logistic_regression"] = _of_features(folder, tries)
    arguments.to.write_text(json.dumps(found, indent=1))
    print(json.dumps(found, indent=1))


@dataclass(frozen=True)
class Tries:
    """Many random halvings of the same pictures.

    Attributes:
        taxonomy: of the answers.
        target: accuracy wanted.
        halvings: how many.
    """

    taxonomy: Taxonomy
    target: float
    halvings: int

    def by_rule(self, pooled: Answered) -> dict[str, dict]:
        """Rule -> what thresholds of one half do to the other, over all halvings."""
        return {
            rule: self._over_halvings(pooled, choose)
            for rule, choose in RULES.items()
            if choose is not conformal
        }

    def _over_halvings(self, pooled: Answered, choose) -> dict:
        judged = []
        for calibration, report in halves(len(pooled.best), self.halvings):
            best, right = pooled.best[calibration], pooled.right[calibration]
            threshold = choose(best, right, self.target, self.taxonomy).value
            judged.append(figures(pooled.best[report], pooled.right[report], threshold))
        accuracy, depth = (
            np.array([one[name] for one in judged]) for name in ("accuracy", "depth")
        )
        n = len(report)
        return {
            "mean_accuracy": float(accuracy.mean()),
            "accuracies_95_percent": np.percentile(accuracy, [2.5, 97.5]).tolist(),
            "mean_depth": float(depth.mean()),
            "mean_depth_table1": float(depth.mean()) + 1,
            "single": {
                "accuracy": float(accuracy[0]),
                "interval": list(wilson_interval(round(accuracy[0] * n), n)),
                "depth": float(depth[0]),
                "n": n,
            },
        }


def halves(pictures: int, count: int):
    """Pairs of row numbers, all pictures cut in two at random, the same ones every time."""
    for number in range(count):
        order = np.random.default_rng([number, pictures]).permutation(pictures)
        yield order[: pictures // 2], order[pictures // 2 :]


def promise_kept(pooled: Answered, tries: Tries, divisions: int, confidence: float) -> dict:
    """How often the next answers are right often enough, where the conformal rule promised it."""
    kept, depth = [], []
    for calibration, report in halves(len(pooled.best), divisions):
        threshold = conformal(
            pooled.best[calibration],
            pooled.right[calibration],
            tries.target,
            tries.taxonomy,
            confidence,
            future=len(report),
        )
        judged = figures(pooled.best[report], pooled.right[report], threshold.value)
        kept.append(judged["accuracy"] >= tries.target - 1e-12)
        depth.append(judged["depth"])
    return {
        "confidence": confidence,
        "divisions": divisions,
        "kept": float(np.mean(kept)),
        "interval": list(wilson_interval(sum(kept), divisions)),
        "mean_depth": float(np.mean(depth)),
    }


def together(parts: list[Answered]) -> Answered:
    """The pictures of several parts in one."""
    best = Best(
        parts[0].best.start,
        np.concatenate([part.best.nodes for part in parts]),
        np.concatenate([part.best.probabilities for part in parts]),
    )
    return Answered(best, np.concatenate([part.right for part in parts]))


def _of_features(folder: Path, tries: Tries) -> dict:
    """A logistic regression on the frozen backbone's features of the same pictures."""
    from models import model_class
    from models.base import PIPELINES
    from models.run_baselines import baseline_views

    model = model_class(read_json(folder, "metadata.json")["model"]).loadModel(folder)
    model.loadData()
    features = {
        part: np.hstack([view.parts[part] for view in baseline_views(model, PIPELINES)])
        for part in ("train", *PARTS)
    }
    targets = {part: model.table.targets[model.splits[part]] for part in features}
    strength, probabilities = regression(features, targets)
    answered = []
    for part in PARTS:
        best = best_taxa(probabilities[part], tries.taxonomy)
        answered.append(Answered(best, correctness(best, targets[part], tries.taxonomy)))
    return {
        "features": features["train"].shape[1],
        "C": strength,
        "test_accuracy_by_rank": {
            rank: one["accuracy"] for rank, one in answered[1].by_rank(tries.taxonomy).items()
        },
        **tries.by_rule(together(answered)),
    }


def regression(features: dict, targets: dict) -> tuple[float, dict]:
    """C, the best one on the validation part, and the probabilities of `PARTS`."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import StandardScaler

    scaler = StandardScaler().fit(features["train"])
    scaled = {
        part: scaler.transform(values).astype(np.float32) for part, values in features.items()
    }
    best = (-1.0, 0.0, {})
    for strength in STRENGTHS:
        model = LogisticRegression(C=strength, max_iter=ITERATIONS)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            model.fit(scaled["train"], targets["train"])
        found = {part: model.predict_proba(scaled[part]) for part in PARTS}
        merit = float((found["validation"].argmax(axis=1) == targets["validation"]).mean())
        best = max(best, (merit, strength, found), key=lambda one: one[0])
    return best[1:]


if __name__ == "__main__":
    main()
