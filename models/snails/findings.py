"""What the recipe of paper 000 states below its table."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

from models.fold_results import Results, compared, read_fold

PAPER_P = "p > 0.6 for the dynamic against the fixed margin, test not named"

Runs = dict[str, dict[int, Path]]


def four_configurations(runs: Runs) -> list[str]:
    """Each configuration against the one before it, in the folds that both have."""
    lines = [
        "Each configuration against the one above it (difference in points; paired t-test over the "
        "folds, the same corrected for overlapping training parts, and McNemar's exact test on all "
        f"answers). The paper: {PAPER_P}.",
        "",
        "| | difference | t-test | corrected | McNemar | only the lower, only the upper right |",
        "|---|---|---|---|---|---|",
    ]
    return lines + [_line(runs, upper, lower) for upper, lower in pairwise(runs)]


def _line(runs: Runs, upper: str, lower: str) -> str:
    found = compared(_results(runs, upper), _results(runs, lower))
    counts = found["mcnemar"]
    cells = [
        f"{lower} - {upper}",
        f"{100 * found['difference']:+.2f}",
        _p(found["paired_t"]),
        _p(found["corrected_resampled_t"]),
        _p(counts),
        f"{counts['only_b']}, {counts['only_a']}",
    ]
    return f"| {' | '.join(cells)} |"


def _p(test: dict | None) -> str:
    return "-" if test is None or test["p"] is None else f"p = {test['p']:.3g}"


def _results(runs: Runs, name: str) -> Results:
    folds = tuple(read_fold(folder) for folder in runs[name].values())
    return Results(name, next(iter(runs[name].values())), len(folds) == 1, folds)
