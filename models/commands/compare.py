"""`run.py compare`: do cross-validations, or runs on the same split, differ?"""

from __future__ import annotations

from itertools import combinations
from pathlib import Path

from datasets.errors import InputError
from models.commands.parser import Parser, percent, print_json
from models.fold_results import (
    Results,
    check_same_samples,
    compared,
    find_results,
    points_interval,
)

WIDTH = 24


def run(words: list[str]) -> int:
    parser = Parser("compare", "Compare cross-validations, or runs on the same split, in pairs.")
    parser.add_argument(
        "names",
        metavar="RUN",
        nargs="+",
        help="two or more: MODEL/RUN or MODEL (newest) of a cross-validation or of a run, or a "
        "folder; the first is the one that the others are compared with first",
    )
    parser.add_out()
    parser.add_json()
    arguments = parser.parse(words, "compare")
    if len(arguments.names) < 2:
        raise InputError(f"{arguments.names[0]} alone is nothing to compare: name two or more")
    answer = compare(arguments.names, arguments.out)
    print_json(answer) if arguments.json else _print(answer)
    return 0


def compare(names: list[str], out: Path) -> dict:
    """Accuracies side by side, and paired tests of every pair.

    Returns:
        `folds`, one entry per fold with `n` and `accuracy` by name; `results` by name, with the
        mean over folds and all answers pooled; `comparisons`, see `models.fold_results.compared`.

    Raises:
        InputError: a name is not found, or two of them were not judged on the same samples.
    """
    results = [find_results(name, out) for name in names]
    if len(set(names)) < len(names):
        raise InputError("a name is given twice: name different runs")
    for one, other in combinations(results, 2):
        check_same_samples(one, other)
    first = results[0]
    return {
        "part": first.folds[0].part,
        "is_single": first.is_single,
        "folds": [_fold(results, index) for index in range(len(first.folds))],
        "results": {one.name: {"folder": str(one.folder), **one.figures()} for one in results},
        "comparisons": [compared(one, other) for one, other in combinations(results, 2)],
    }


def _fold(results: list[Results], index: int) -> dict:
    return {
        "fold": index + 1,
        "n": len(results[0].folds[index].answers),
        "accuracy": {one.name: one.folds[index].accuracy for one in results},
    }


def _print(answer: dict) -> None:
    names = list(answer["results"])
    for name in names:
        folder = answer["results"][name]["folder"]
        print(name if name == folder else f"{name}: {folder}")
    print(f"accuracy on the {answer['part']} part")
    print(f"  {'fold':>6} {'n':>7}  " + "".join(f"{_short(name):>{WIDTH}}" for name in names))
    if not answer["is_single"]:
        for row in answer["folds"]:
            cells = "".join(f"{percent(row['accuracy'][name]):>{WIDTH}}" for name in names)
            print(f"  {row['fold']:6} {row['n']:7}  {cells}")
        print(f"  {'mean':>6} {'':7}  " + _cells(answer, "mean"))
    n = answer["results"][names[0]]["pooled"]["n"]
    print(f"  {'all':>6} {n:7}  " + _cells(answer, "pooled"))
    for found in answer["comparisons"]:
        _print_comparison(found)
    if len(answer["comparisons"]) > 1:
        print(f"p is not corrected for the {len(answer['comparisons'])} comparisons made here")


def _cells(answer: dict, kind: str) -> str:
    cells = []
    for figures in answer["results"].values():
        low, high = figures[kind]["low"], figures[kind]["high"]
        bounds = "" if low is None else f" ({100 * low:.1f} to {100 * high:.1f})"
        cells.append(f"{percent(figures[kind]['accuracy'])}{bounds}".rjust(WIDTH))
    return "".join(cells)


def _print_comparison(found: dict) -> None:
    print(f"{found['b']} minus {found['a']}: {100 * found['difference']:+.2f} points")
    if found["paired_t"]:
        folds = len(found["differences"])
        print(f"  paired t               {_t_line(found['paired_t'], folds)}")
        corrected = found["corrected_resampled_t"]
        ratio = f", {corrected['test_to_train']:.3f} test samples per training sample"
        print(f"  corrected resampled t  {_t_line(corrected, folds)}{ratio}")
    counts = found["mcnemar"]
    bounds = points_interval(counts)
    print(f"  interval, 95 %         {bounds} points, on paired samples (Bonett and Price)")
    print(
        f"  McNemar, exact         p {counts['p']:.4g}; right: both {counts['both']}, "
        f"only {found['a']} {counts['only_a']}, only {found['b']} {counts['only_b']}, "
        f"neither {counts['neither']}"
    )


def _t_line(test: dict, folds: int) -> str:
    if test["p"] is None:
        return "no answer: the differences of all folds are equal, and not zero"
    return f"p {test['p']:.4g} (t {test['statistic']:.3f}, df {folds - 1})"


def _short(name: str) -> str:
    """The end of a long name, where names of runs differ."""
    return name if len(name) < WIDTH else "…" + name[2 - WIDTH :]
