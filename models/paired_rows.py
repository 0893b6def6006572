"""Rows of a recipe against each other, by the answers of their runs: lines of a table."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from models.fold_results import Results, compared, points_interval, read_fold

Runs = dict[str, dict[int, Path]]  # row name -> seed or fold -> run folder


def paired_rows(runs: Runs, pairs: Iterable[tuple[str, str]]) -> list[str]:
    """How much the accuracy of one row differs from another's, with paired tests.

    Args:
        runs: of the recipe.
        pairs: names of two rows each; the second one is compared with the first.

    Returns:
        A Markdown table: difference in points, with its 95 % interval over samples; paired t-test
        over folds or seeds, the same corrected for overlapping training parts, McNemar's exact test
        on all answers.
    """
    return [
        "| | difference | t-test | corrected | McNemar | only the second, only the first right |",
        "|---|---|---|---|---|---|",
        *(_line(runs, first, second) for first, second in pairs),
    ]


def _line(runs: Runs, first: str, second: str) -> str:
    found = compared(_results(runs, first), _results(runs, second))
    counts = found["mcnemar"]
    cells = [
        f"{second} - {first}",
        f"{100 * found['difference']:+.2f} ({points_interval(counts)})",
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
