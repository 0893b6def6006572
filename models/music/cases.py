"""What the transfers of a recipe of paper 002 achieved, by seed, and how that is written."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from models.paired_rows import Runs
from models.runs import read_json
from training.baselines import p_text
from training.statistics import corrected_resampled_t, mean_over_runs, paired_t

SIGNIFICANT = 0.05  # p below which a difference is called one


@dataclass(frozen=True)
class Figure:
    """A figure of merit of `metrics.json`, and how it is written.

    Attributes:
        key: in `metrics.json`.
        name: as it is shown, without its unit.
        unit: of the value; "" for none.
        scale: what it is multiplied with.
        digits: behind the point.
        better: 1 where more is better, -1 where less is.
    """

    key: str
    name: str
    unit: str
    scale: float
    digits: int
    better: int

    @property
    def heading(self) -> str:
        """Its name with its unit."""
        return f"{self.name}, {self.unit}" if self.unit else self.name

    def text(self, values, signed: bool = False) -> str:
        """The mean of runs with its interval."""
        found = mean_over_runs(values)
        sign = "+" if signed else ""
        text = f"{found.mean:{sign}.{self.digits}f}"
        if found.low is None:
            return text
        return f"{text} ({found.low:.{self.digits}f} to {found.high:.{self.digits}f})"


ACCURACY = Figure("accuracy", "accuracy", "%", 100, 1, 1)
F1 = Figure("macro_f1", "macro F1", "%", 100, 1, 1)
LOSS = Figure("log_loss", "log loss", "", 1, 3, -1)


def cases_of(runs: Runs) -> pd.DataFrame:
    """One row for every transfer and seed.

    Columns: `kind` (STN, MTN or wSTN), `tasks` (letters; of wSTN `g`), `number` (of tasks, or as
    wide as so many), `same` (an MTN of one task, which is the STN), `seed`, `part` (that is
    judged), `ratio` (judged tracks for each training track), and of each figure its value on that
    part and on the validation part (`validation_...`).
    """
    rows = []
    for name, folders in runs.items():
        if not name.startswith("transfer "):
            continue
        _, kind, tasks = name.split()
        wide = kind == "wSTN"
        for seed, folder in folders.items():
            metrics = read_json(folder, "metrics.json")
            part = part_of(metrics)
            row = {
                "kind": kind,
                "tasks": "g" if wide else tasks,
                "number": int(tasks) if wide else len(tasks),
                "same": False,
                "seed": seed,
                "part": part,
                "ratio": metrics[part]["n"] / metrics["train"]["n"],
            }
            for figure in (F1, LOSS):
                row[figure.key] = figure.scale * metrics[part][figure.key]
                row[f"validation_{figure.key}"] = figure.scale * metrics["validation"][figure.key]
            rows.append(row)
    cases = pd.DataFrame(rows)
    separate = cases[cases["kind"] == "STN"]
    same = separate[separate["number"] == 1].assign(kind="MTN", same=True)
    return pd.concat([separate, same, cases[cases["kind"] != "STN"]], ignore_index=True)


def part_of(metrics: dict) -> str:
    """The part that a run is judged by: the test part where there is one."""
    return "test" if "test" in metrics else "validation"


def by_seed(cases: pd.DataFrame, figure: Figure) -> pd.Series:
    """The mean of some cases in each seed, by seed."""
    return cases.groupby("seed")[figure.key].mean()


def difference_cells(values: list[float], figure: Figure, ratio: float) -> list[str]:
    """Differences in each seed as cells: mean, p, and which is better; empty without differences.

    Args:
        values: one for each seed.
        figure: of which they are differences.
        ratio: judged samples for each training sample.

    Returns:
        The mean with its interval; p of the t-test over seeds, and the same corrected for
        overlapping training parts; by the latter `better`, `worse` or no difference.
    """
    if not values:
        return ["", "", ""]
    plain, corrected = paired_t(values).p, corrected_resampled_t(values, ratio).p
    mean = figure.text(values, signed=True)
    if plain is None:
        return [mean, "-", "-"]
    found = "no difference shown"
    if corrected < SIGNIFICANT:
        found = "better" if figure.better * np.mean(values) > 0 else "worse"
    return [mean, f"{p_text(plain)}, {p_text(corrected)}", found]
