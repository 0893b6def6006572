"""What the recipe of paper 001 states below its table: Table 1, what each step adds, Figure 4."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from models.fold_results import read_fold
from models.paired_rows import Runs, paired_rows
from models.runs import read_json
from models.species.curves import accuracy_by_class_size
from models.species.run_specificity import RULE, TARGET
from training.statistics import mean_over_runs

# Table 1: accuracy on the training pictures, and depth as the text counts it (spec 001, 1b).
PAPER_TRAINING = {"E2": 68.2, "E3": 57.8}
PAPER_DEPTH = {"E1": 4.78, "E2": 4.96, "E3": 5.09}
PAPER_RANKS = 7


def table1(runs: Runs) -> list[str]:
    """Table 1 beside ours, what views and transfer add, and accuracy by class size."""
    return [
        *_specificity(runs),
        "",
        *_ranks(runs),
        "",
        *_differences(runs),
        "",
        *_class_sizes(runs),
    ]


def _specificity(runs: Runs) -> list[str]:
    """The other columns of Table 1."""
    metrics = _metrics(runs)
    first = next(iter(metrics.values()))[0]
    part, ranks = first["specificity"]["part"], list(first["ranks"]["validation"])
    lines = [
        f"Table 1, further columns: accuracy on the training samples, and accuracy and mean depth "
        f"of answers as deep as they are sure, for {100 * TARGET:.0f} % right answers (threshold "
        f"from the validation part by {RULE}, figures of the {part} part; mean and each run). "
        f"Depth as in the text: {ranks[0]} is 1 and {ranks[-1]} {len(ranks)}; in the paper kingdom "
        f"is 1 and species {PAPER_RANKS}. The paper's own table counts one more, as does ours in "
        "brackets.",
        "",
        "| network | training | paper | right answers | paper | depth | paper |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, found in metrics.items():
        experiment = name.split()[0]
        rules = [one["specificity"]["rules"][RULE] for one in found]
        training, depth = PAPER_TRAINING.get(experiment), PAPER_DEPTH.get(experiment)
        depths = [one["depth"] for one in rules]
        cells = [
            name,
            _mean([100 * one["train"]["accuracy"] for one in found]),
            f"{training:.1f}" if training else "-",
            _mean([100 * one["accuracy"] for one in rules]),
            "90.0" if depth else "-",
            f"{_mean(depths, 2)} ({np.mean(depths) + 1:.2f})",
            f"{depth:.2f} ({depth + 1:.2f})" if depth else "-",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return [
        *lines,
        "",
        'The paper calls 46.6 to 54.8 "an increase of 9.2 %": it is 8.2 points. Its "5.6 %" and '
        '"3.3 %" more depth are 3.8 % and 2.6 % of the depths that it states.',
    ]


def _ranks(runs: Runs) -> list[str]:
    """Accuracy of the most probable taxon of every rank."""
    metrics = _metrics(runs)
    first = next(iter(metrics.values()))[0]
    part = first["specificity"]["part"]
    ranks = list(first["ranks"][part])
    lines = [
        f"Accuracy by rank in percent, {part} part (mean and each run):",
        "",
        f"| network | {' | '.join(ranks)} |",
        "|---" * (1 + len(ranks)) + "|",
    ]
    for name, found in metrics.items():
        cells = [
            _mean([100 * one["ranks"][part][rank]["accuracy"] for one in found]) for rank in ranks
        ]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return lines


def _differences(runs: Runs) -> list[str]:
    """What each step adds to accuracy, and what it does to over-fitting and depth."""
    metrics, pairs = _metrics(runs), _steps(runs)
    lines = [
        "What each step adds: accuracy on the samples that were judged last (difference in points; "
        "paired t-test over seeds, the same corrected for overlapping training parts, McNemar's "
        "exact test on all answers):",
        "",
        *paired_rows(runs, pairs),
        "",
        "Training minus validation accuracy in points, which is how much the network over-fits, "
        "and the depth that each step adds:",
        "",
        "| | gap before | gap after | depth |",
        "|---|---|---|---|",
    ]
    for first, second in pairs:
        before, after = metrics[first], metrics[second]
        deeper = [_depth(b) - _depth(a) for a, b in zip(before, after, strict=True)]
        cells = [_mean(list(map(_gap, before))), _mean(list(map(_gap, after))), _mean(deeper, 2)]
        lines.append(f"| {second} - {first} | {' | '.join(cells)} |")
    return lines


def _steps(runs: Runs) -> list[tuple[str, str]]:
    """Pairs that differ in one thing, and E1 and E2, which in the paper differ in several."""
    names = {name.split()[0]: name for name in runs}
    steps = list(pairwise(names))
    if "E1'" in names:
        steps.insert(0, ("E1", "E2"))
    return [(names[first], names[second]) for first, second in steps]


def _class_sizes(runs: Runs) -> list[str]:
    """Figure 4 as a table, all seeds together."""
    bins = {name: _bins(folders.values()) for name, folders in runs.items()}
    sizes = list(dict.fromkeys((one.low, one.high) for found in bins.values() for one in found))
    lines = [
        "Accuracy by the number of training samples of the true class (Figure 4), in percent with "
        "Wilson's 95 % interval, all runs of a network together:",
        "",
        f"| training samples | n | {' | '.join(bins)} |",
        "|---" * (2 + len(bins)) + "|",
    ]
    for low, high in sorted(sizes):
        inside = {
            name: next(one for one in found if one.low == low) for name, found in bins.items()
        }
        cells = [
            f"{100 * one.accuracy:.1f} ({100 * one.interval[0]:.1f} to {100 * one.interval[1]:.1f})"
            for one in inside.values()
        ]
        count = next(iter(inside.values())).pictures
        span = f"{low} or more" if high is None else f"{low} to {high}"
        lines.append(f"| {span} | {count} | {' | '.join(cells)} |")
    return lines


def _bins(folders):
    right, targets, sizes = [], [], []
    for folder in folders:
        classes = read_json(folder, "metrics.json")["train"]["per_class"]
        place = {label: len(sizes) + number for number, label in enumerate(classes)}
        sizes += [one["support"] for one in classes.values()]
        fold = read_fold(folder)
        right.append(fold.right)
        targets += [place[label] for label in fold.answers["label"]]
    return accuracy_by_class_size(np.concatenate(right), targets, sizes)


def _metrics(runs: Runs) -> dict[str, list[dict]]:
    return {
        name: [read_json(folder, "metrics.json") for folder in folders.values()]
        for name, folders in runs.items()
    }


def _depth(metrics: dict) -> float:
    return metrics["specificity"]["rules"][RULE]["depth"]


def _gap(metrics: dict) -> float:
    return 100 * (metrics["train"]["accuracy"] - metrics["validation"]["accuracy"])


def _mean(values: list[float], digits: int = 1) -> str:
    """The mean, its interval over runs, and each run."""
    found = mean_over_runs(values)
    each = ", ".join(f"{value:.{digits}f}" for value in values)
    spread = ""
    if found.low is not None:
        spread = f" ({found.low:.{digits}f} to {found.high:.{digits}f})"
    return f"{found.mean:.{digits}f}{spread}: {each}" if len(values) > 1 else each
