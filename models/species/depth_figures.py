"""Pictures and tables of how deep a run answers (paper 001, figures 3 and 4)."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import numpy as np
import pandas as pd

from datasets.taxonomy import Taxonomy
from models.species.curves import accuracy_by_class_size, depth_by_target, working_points
from models.species.run_specificity import RULE, TARGET
from models.species.specificity import roll_up
from models.species.thresholds import Threshold
from training import reports
from training.evaluation import Result, evaluate

READABLE = 50  # taxa of a rank in a matrix whose names can still be read
STEP = 0.01  # of the target accuracy in figure 3


def draw_depth(run, folder: Path) -> list[tuple[str, Path]]:
    """Depth by target, answers over all thresholds, accuracy by rank and by class size.

    The numbers behind the curves are written as CSV beside them.

    Args:
        run: models.artefact.Run with a taxonomy.
        folder: where the files go.

    Returns:
        Captions and PNG files.
    """
    found, targets = run.specificity, run.table.targets
    part = found.part
    leaf = found.judged.right[:, -1]
    sizes = np.bincount(targets[run.splits.train], minlength=len(run.table.labels))
    bins = accuracy_by_class_size(leaf, targets[run.splits[part]], sizes)
    pd.DataFrame([asdict(one) for one in bins]).to_csv(folder / "class_sizes.csv", index=False)
    leaf_rank = found.taxonomy.ranks[-1]
    by_rank = found.judged.by_rank(found.taxonomy)
    return [
        (
            f"What a target accuracy costs in depth, {part} part: the threshold of each target "
            f"comes from the validation part. Dashed: {100 * TARGET:.0f} %",
            _draw_targets(found, folder),
        ),
        (
            f"All thresholds, {part} part: right answers against how much they say, 1 - ln(leaves "
            "under the answer) / ln(all leaves)",
            _draw_coverage(found, folder),
        ),
        (
            f"Accuracy of the most probable taxon of each rank, {part} part, with 95 % intervals",
            reports.plot_shares(
                list(by_rank),
                [one["accuracy"] for one in by_rank.values()],
                [one["interval"] for one in by_rank.values()],
                folder / "accuracy_by_rank.png",
                labels=("rank", "accuracy"),
                title=part,
            ),
        ),
        (
            f"Accuracy by the number of training samples of the true class, {part} part, with "
            "95 % intervals",
            reports.plot_shares(
                [_bin_name(one) for one in bins],
                [one.accuracy for one in bins],
                [one.interval for one in bins],
                folder / "class_sizes.png",
                labels=("training samples of the true class", f"accuracy, {leaf_rank}"),
                title=part,
            ),
        ),
    ]


def rank_results(probabilities, truth: np.ndarray, taxonomy: Taxonomy) -> dict[str, Result]:
    """What the most probable taxa of every rank but the last one are worth: rank -> result.

    Args:
        probabilities: (samples, leaves).
        truth: (samples,) true leaves.
        taxonomy: of the leaves.
    """
    rolled, lines = roll_up(probabilities, taxonomy), taxonomy.ancestors[:, truth]
    return {
        rank: evaluate(rolled[depth - 1], lines[depth], taxonomy.names[depth - 1])
        for depth, rank in enumerate(taxonomy.ranks[:-1], 1)
    }


def readable_ranks(taxonomy: Taxonomy) -> list[str]:
    """Ranks of so many taxa that a matrix tells something and can be read, the finest first.

    Where there is none, the coarsest rank that has several taxa.
    """
    several = [
        (rank, len(names))
        for rank, names in zip(taxonomy.ranks, taxonomy.names, strict=True)
        if len(names) > 1
    ]
    readable = [rank for rank, taxa in reversed(several) if taxa <= READABLE]
    return readable or [several[0][0]]


def readable_result(probabilities, truth: np.ndarray, labels, taxonomy: Taxonomy | None) -> Result:
    """The result of the finest rank whose matrix can be read; without a taxonomy, of the classes.

    Args:
        probabilities: (samples, classes).
        truth: (samples,) true classes.
        labels: names of the classes.
        taxonomy: whose leaves they are; None where they are none.
    """
    rank = None if taxonomy is None else readable_ranks(taxonomy)[0]
    if rank is None or rank == taxonomy.ranks[-1]:
        return evaluate(probabilities, truth, labels)
    return rank_results(probabilities, truth, taxonomy)[rank]


def _draw_targets(found, folder: Path) -> Path:
    validation, judged = found.validation.answered, found.judged
    points = working_points(validation.best, validation.right, found.taxonomy)
    lowest = np.floor(points.accuracy[-1] / STEP) * STEP
    asked = np.arange(round((1 - lowest) / STEP) + 1) * STEP + lowest
    curve = depth_by_target(points, judged.best, judged.right, asked.round(4).tolist())
    table = pd.DataFrame([asdict(one) for one in curve])
    table.to_csv(folder / "depth_by_target.csv", index=False)
    return reports.plot_depth_by_target(
        table["target"],
        table["depth"],
        table["accuracy"],
        found.taxonomy.ranks,
        folder / "depth_by_target.png",
        chosen=TARGET,
        title=found.part,
    )


def _draw_coverage(found, folder: Path) -> Path:
    points = working_points(found.judged.best, found.judged.right, found.taxonomy)
    pd.DataFrame(asdict(points)).to_csv(folder / "thresholds.csv", index=False)
    chosen, threshold = None, found.by_rule[RULE]
    if isinstance(threshold, Threshold):
        place = np.count_nonzero(points.thresholds >= threshold.value) - 1
        chosen = float(points.coverage[place]), float(points.accuracy[place])
    path = folder / "hierarchical_coverage.png"
    return reports.plot_hierarchical_coverage(
        points.coverage, points.accuracy, path, chosen=chosen, title=found.part
    )


def _bin_name(one) -> str:
    if one.high is None:
        sizes = f"{one.low} or more"
    else:
        sizes = str(one.low) if one.low == one.high else f"{one.low} to {one.high}"
    classes = f"{one.classes} class{'' if one.classes == 1 else 'es'}"
    return f"{sizes}\n{classes}\nn = {one.pictures}"
