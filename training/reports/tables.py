"""Results as CSV tables."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from training.evaluation import Result


def write_classification_report(result: Result, path: Path) -> Path:
    """Write the figures of a result as CSV, each with its 95 % interval.

    A row with `kind` = `class` is one class, with `precision`, `recall`, `f1` and their `_low` and
    `_high` bounds; one with `kind` = `overall` is a figure of the whole part, with `value`,
    `value_low` and `value_high`. `support` is the number of samples behind the row.
    """
    rows = [_class_row(label, figures) for label, figures in result.per_class.items()]
    known = int(result.confusion.sum())
    for name, bounds in result.intervals.items():
        support = result.figures["n"] if name == "accuracy" else known
        values = _bounded("value", result.figures[name], bounds)
        rows.append({"kind": "overall", "name": name, **values, "support": support})
    pd.DataFrame(rows).to_csv(path, index=False)
    return Path(path)


def write_confusion_csv(result: Result, path: Path) -> Path:
    """Write the counts as CSV: one row per true class, one column per predicted class."""
    table = pd.DataFrame(result.confusion, index=result.labels, columns=result.labels)
    table.to_csv(path, index_label="true / predicted")
    return Path(path)


def _class_row(label: str, figures: dict) -> dict:
    row = {"kind": "class", "name": label}
    for name in ("precision", "recall", "f1"):
        row |= _bounded(name, figures[name], figures[f"{name}_interval"])
    return row | {"support": figures["support"]}


def _bounded(name: str, value: float, bounds) -> dict[str, float]:
    return {name: value, f"{name}_low": bounds[0], f"{name}_high": bounds[1]}
