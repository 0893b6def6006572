"""What the recipes of paper 002 state below their tables.

Every function takes the runs of a recipe, row name -> seed -> folder, and returns Markdown lines.
The numbers of the paper's tables are lost in its text, so that its words stand beside ours.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import stats

from models.music.cases import (
    ACCURACY,
    F1,
    LOSS,
    Figure,
    by_seed,
    cases_of,
    difference_cells,
    part_of,
)
from models.paired_rows import Runs
from models.runs import read_json
from training.baselines import p_text
from training.reports import plot_trends
from training.statistics import paired_t

CHALLENGE = (
    "The paper's team won the challenge with log loss 1.31 and F1 63 % on secret tracks, after "
    "0.55 and 85 % on public ones (Defferrard et al. 2018, arXiv 1803.05337): other tracks than "
    "these."
)
ALL_SETS = 31

# Of the other recipe: rows, and what their names end with on each kind of split.
NETWORKS = {"STN g": "MelDCNN, g", "transfer": "TransferMLP"}
SPLITS = {"": "random", ", by artist": "by artist", ", by album": "by album"}


def sweep(runs: Runs) -> list[str]:
    """Tables 3 to 5 and figure 3 as numbers, and whether the paper's words hold here."""
    cases = cases_of(runs)
    return [
        *_judged(runs, cases),
        "",
        *_claims(cases),
        "",
        *_table3(cases),
        "",
        *_table4(cases),
        "",
        *_table5(cases),
        "",
        *_figure3(cases),
    ]


def figure3(runs: Runs, folder: Path) -> list[str]:
    """Figure 3, drawn, and every case of every seed as a table."""
    cases = cases_of(runs)
    panels = {
        figure.heading: {
            kind: {
                int(number): by_seed(some, figure).to_list()
                for number, some in cases[cases["kind"] == kind].groupby("number")
            }
            for kind in ("STN", "MTN")
        }
        for figure in (F1, LOSS)
    }
    plot_trends(panels, "number of tasks", folder / "figure3.png")
    cases.to_csv(folder / "cases.csv", index=False, float_format="%.6g")
    return [
        "![Mean of all sets of so many tasks, with 95 % intervals over seeds](figure3.png)",
        "",
        "Every case and seed: [cases.csv](cases.csv).",
    ]


def _judged(runs: Runs, cases: pd.DataFrame) -> list[str]:
    sets = cases.loc[cases["kind"] == "STN", "tasks"].nunique()
    distinct = sum(name.startswith("transfer ") for name in runs)
    wide = cases.loc[cases["kind"] == "wSTN", "number"].nunique()
    same = cases.loc[cases["same"], "tasks"].nunique()
    part = cases["part"].iloc[0]
    return [
        f"{sets} of the {ALL_SETS} sets of tasks, each by separate (STN) and by one shared network "
        f"(MTN): {2 * sets} cases from {distinct - wide} transfers, as {same} of a single task "
        f"stand in both; {wide} wide networks (wSTN). Macro F1 in percent and log loss in nats of "
        f"the {part} part, means with Student's 95 % intervals over the seeds.",
        "",
        f"The numbers of the paper's tables are lost in its text. {CHALLENGE}",
    ]


def _claims(cases: pd.DataFrame) -> list[str]:
    """What the paper says, as differences in each seed with a test over seeds."""
    lines = [
        "What the paper says, and what is found here: differences in each seed, their mean with "
        "its 95 % interval over seeds, p of a t-test over seeds, and p corrected for overlapping "
        "training parts (Nadeau and Bengio 2003), by which something is found or not. Of so many "
        "tests one in twenty finds what is not there.",
        "",
        f"| difference | {F1.heading} | p, corrected | found | {LOSS.heading} | p, corrected | "
        "found | paper |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, paper, measure in _questions(cases):
        cells = []
        for figure in (F1, LOSS):
            cells += difference_cells(measure(figure), figure, cases["ratio"].max())
        if "" not in cells:
            lines.append(f"| {name} | {' | '.join(cells)} | {paper} |")
    return [*lines, "", *_all_pairs(cases)]


def _questions(cases: pd.DataFrame) -> Iterable[tuple[str, str, Callable]]:
    """(what is asked, what the paper says, figure -> its difference in each seed)."""
    stn, mtn = (cases[cases["kind"] == kind] for kind in ("STN", "MTN"))
    largest = max(cases["tasks"], key=len)
    for kind, some in (("STN", stn), ("MTN", mtn)):
        with_g = some["tasks"].str.contains("g")
        parts = {"all sets": some, "sets with g": some[with_g], "sets without g": some[~with_g]}
        for name, part in parts.items():
            yield (
                f"one task more, {kind}, {name}",
                "better" if name == "all sets" else "-",
                lambda figure, part=part: _slopes(part, figure),
            )
        yield (
            f"{largest} - g, {kind}",
            "all five are best",
            lambda figure, some=some: _difference(some, "tasks", largest, "g", figure),
        )
        yield (
            f"with g - without g, as many tasks, {kind}",
            "better",
            lambda figure, some=some, with_g=with_g: _with_g(some, with_g, figure),
        )
    several = cases[(cases["number"] > 1) & (cases["kind"] != "wSTN")]
    yield (
        "MTN - STN, sets of two tasks and more",
        "F1 worse, log loss better, neither significant",
        lambda figure: _difference(several, "kind", "MTN", "STN", figure),
    )


def _slopes(cases: pd.DataFrame, figure: Figure) -> list[float]:
    """What a further task adds in each seed: the slope of a line fitted to the cases."""
    if cases["number"].nunique() < 2:
        return []
    return [
        float(np.polyfit(some["number"], some[figure.key], 1)[0])
        for _, some in cases.groupby("seed")
    ]


def _difference(cases: pd.DataFrame, column: str, first, second, figure: Figure) -> list[float]:
    """The mean of the cases of one kind minus that of another, in each seed."""
    if first == second or not {first, second} <= set(cases[column]):
        return []
    one, other = (by_seed(cases[cases[column] == value], figure) for value in (first, second))
    return (one - other).to_list()


def _with_g(cases: pd.DataFrame, with_g: pd.Series, figure: Figure) -> list[float]:
    """What the genre among the tasks adds in each seed, at the same number of tasks."""
    means = cases.assign(with_g=with_g).pivot_table(
        figure.key, ["seed", "number"], "with_g", aggfunc="mean"
    )
    if set(means) != {False, True}:
        return []
    return (means[True] - means[False]).dropna().groupby("seed").mean().to_list()


def _all_pairs(cases: pd.DataFrame) -> list[str]:
    """MTN against STN, every set and seed a pair."""
    several = cases[(cases["number"] > 1) & (cases["kind"] != "wSTN")]
    if several.empty:
        return []
    found = []
    for figure in (F1, LOSS):
        pairs = several.pivot(index=["tasks", "seed"], columns="kind", values=figure.key)
        differences = (pairs["MTN"] - pairs["STN"]).to_numpy()
        p = paired_t(differences).p
        better = int((figure.better * differences > 0).sum())
        text = f"{figure.name} better in {better} of {len(differences)}"
        found.append(text + (f" (p = {p_text(p)})" if p is not None else ""))
    return [
        f"With every set and seed as a pair, MTN has {', '.join(found)}; pairs of one seed share "
        "networks and judged tracks, so that these p are far too small."
    ]


def _table3(cases: pd.DataFrame) -> list[str]:
    lines = [
        "Table 3, mean of all sets with and without the main task g:",
        "",
        f"| network | {F1.heading}, with g | without | {LOSS.heading}, with g | without |",
        "|---|---|---|---|---|",
    ]
    for kind in ("STN", "MTN"):
        some = cases[cases["kind"] == kind]
        with_g = some["tasks"].str.contains("g")
        cells = [
            figure.text(by_seed(part, figure)) if len(part) else "-"
            for figure in (F1, LOSS)
            for part in (some[with_g], some[~with_g])
        ]
        lines.append(f"| {kind} | {' | '.join(cells)} |")
    return lines


def _table4(cases: pd.DataFrame) -> list[str]:
    lines = [
        "Table 4, every case; an MTN of one task is the STN of that task:",
        "",
        f"| network | tasks | {F1.heading} | {LOSS.heading} | |",
        "|---|---|---|---|---|",
    ]
    for kind in ("STN", "MTN"):
        for tasks, some in cases[cases["kind"] == kind].groupby("tasks", sort=False):
            cells = [figure.text(by_seed(some, figure)) for figure in (F1, LOSS)]
            mark = f"the same as STN {tasks}" if some["same"].all() else ""
            lines.append(f"| {kind} | {tasks} | {' | '.join(cells)} | {mark} |")
    return lines


def _table5(cases: pd.DataFrame) -> list[str]:
    chosen = "on the validation part, and judged on the test part"
    if (cases["part"] == "validation").all():
        chosen = "on the part that is judged, which flatters STN and MTN"
    lines = [
        "Table 5, the best STN and MTN of each number N of tasks beside the genre network that is "
        "as large as N of them (wSTN; for N = 1 the STN of g). The best sets were chosen "
        f"{chosen}. p of paired t-tests over seeds, plain and corrected. The paper: MTN better "
        "than wSTN in log loss at N = 5, wSTN better in F1 at N = 2.",
        "",
        "| N | | STN | MTN | wSTN | STN - wSTN | p | MTN - wSTN | p |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for number, some in cases.groupby("number"):
        for figure in (F1, LOSS):
            lines.append(f"| {number} | {figure.heading} | {' | '.join(_best(some, figure))} |")
    return lines


def _best(cases: pd.DataFrame, figure: Figure) -> list[str]:
    """Cells of table 5 for one number of tasks."""
    found, cells = {}, []
    for kind in ("STN", "MTN", "wSTN"):
        wanted = "STN" if kind == "wSTN" and (cases["number"] == 1).all() else kind
        some = cases[cases["kind"] == wanted]
        if wanted != kind:
            some = some[some["tasks"] == "g"]
        if some.empty:
            cells.append("-")
            continue
        means = some.groupby("tasks")[f"validation_{figure.key}"].mean()
        best = (figure.better * means).idxmax()
        found[kind] = by_seed(some[some["tasks"] == best], figure)
        named = "" if kind == "wSTN" else f"{best} "
        cells.append(named + figure.text(found[kind]))
    for kind in ("STN", "MTN"):
        both = kind in found and "wSTN" in found
        differences = (found[kind] - found["wSTN"]).to_list() if both else []
        cells += [
            cell or "-" for cell in difference_cells(differences, figure, cases["ratio"].max())[:2]
        ]
    return cells


def _figure3(cases: pd.DataFrame) -> list[str]:
    lines = [
        "Figure 3, mean of all sets of so many tasks:",
        "",
        f"| tasks | sets | STN, {F1.heading} | MTN | STN, {LOSS.heading} | MTN |",
        "|---|---|---|---|---|---|",
    ]
    for number, some in cases[cases["kind"] != "wSTN"].groupby("number"):
        cells = [
            figure.text(by_seed(some[some["kind"] == kind], figure))
            for figure in (F1, LOSS)
            for kind in ("STN", "MTN")
        ]
        lines.append(f"| {number} | {some['tasks'].nunique()} | {' | '.join(cells)} |")
    return lines


def splits(runs: Runs) -> list[str]:
    """What a random split flatters: both models on every kind of split, and the gaps."""
    found = {
        (network, where): [
            read_json(folder, "metrics.json") for folder in runs[network + where].values()
        ]
        for network in NETWORKS
        for where in SPLITS
        if network + where in runs
    }
    return [*_by_split(found), "", *_gaps(found)]


def _by_split(found: dict) -> list[str]:
    lines = [
        "Figures of the judged part, means with 95 % intervals over seeds (Student). With a random "
        "split, other tracks of the judged artists and albums were trained on. TransferMLP has the "
        "features of all networks of its split that are listed above.",
        "",
        f"| network | split | judged | {ACCURACY.heading} | {F1.heading} | {LOSS.heading} |",
        "|---|---|---|---|---|---|",
    ]
    for (network, where), metrics in found.items():
        part = part_of(metrics[0])
        sizes = sorted({one[part]["n"] for one in metrics})
        count = f"{sizes[0]} to {sizes[-1]}" if len(sizes) > 1 else f"{sizes[0]}"
        cells = [figure.text(_values(metrics, figure)) for figure in (ACCURACY, F1, LOSS)]
        lines.append(
            f"| {NETWORKS[network]} | {SPLITS[where]} | {part}, {count} tracks | "
            f"{' | '.join(cells)} |"
        )
    return lines


def _gaps(found: dict) -> list[str]:
    lines = [
        "The gap, random minus grouped, with its 95 % interval and p by Welch's t-test over seeds "
        "(the splits of one seed are no pairs). The seeds divide the same tracks anew, so that p "
        f"comes out too small rather than too large. {CHALLENGE}",
        "",
        f"| network | random minus | {ACCURACY.heading} | p | {F1.heading} | p | {LOSS.heading} "
        "| p |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for (network, where), metrics in found.items():
        if not where:
            continue
        cells = []
        for figure in (ACCURACY, F1, LOSS):
            cells += _gap(_values(found[network, ""], figure), _values(metrics, figure), figure)
        lines.append(f"| {NETWORKS[network]} | {SPLITS[where]} | {' | '.join(cells)} |")
    return lines


def _gap(random: list[float], grouped: list[float], figure: Figure) -> list[str]:
    """Cells of a difference of two means and of its p."""
    mean = f"{np.mean(random) - np.mean(grouped):+.{figure.digits}f}"
    if max(np.ptp(random), np.ptp(grouped)) <= 1e-12:  # one seed, or all alike
        return [mean, "-"]
    test = stats.ttest_ind(random, grouped, equal_var=False)
    low, high = test.confidence_interval(0.95)
    return [f"{mean} ({low:.{figure.digits}f} to {high:.{figure.digits}f})", p_text(test.pvalue)]


def _values(metrics: list[dict], figure: Figure) -> list[float]:
    return [figure.scale * one[part_of(one)][figure.key] for one in metrics]
