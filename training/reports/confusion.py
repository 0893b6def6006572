"""Confusion matrices."""

from __future__ import annotations

import textwrap
from pathlib import Path

import matplotlib as mpl
import numpy as np
import seaborn as sns
from matplotlib.figure import Figure

from training.evaluation import Result
from training.reports import drawing

# Kind of confusion matrix -> what its numbers are.
KINDS = {
    "absolute": "samples",
    "percent": "% of all samples",
    "row_normalised": "% of the true class",
}
ANNOTATED_CLASSES = 25


def plot_confusion(result: Result, kind: str, path: Path, title: str) -> Path:
    """Draw a confusion matrix: true classes in rows, predicted classes in columns.

    Args:
        result: what to draw.
        kind: `absolute` (counts), `percent` (of all samples) or `row_normalised` (share of the true
            class, in percent).
        path: the PNG to write.
        title: heading of the figure; the kind is added to it.
    """
    return drawing.save(confusion_figure(result, kind, title), path)


def confusion_figure(result: Result, kind: str, title: str) -> Figure:
    """The figure that `plot_confusion` writes; cells carry numbers up to 25 classes."""
    values = confusion_values(result.confusion, kind)
    classes = len(values)
    annotated = classes <= ANNOTATED_CLASSES
    side = min(drawing.MAX_SIDE, max(5.0, 2.2 + classes * (0.5 if annotated else 0.25)))
    figure = drawing.figure(side, 0.92 * side)
    top = 100.0 if kind == "row_normalised" else max(float(np.nanmax(values)), 1e-9)
    axes = sns.heatmap(
        np.nan_to_num(values),
        annot=confusion_texts(values, kind) if annotated else None,
        fmt="",
        annot_kws={"fontsize": 9 if classes <= 12 else 7.5},
        cmap="Blues",
        vmin=0.0,
        vmax=top,
        square=True,
        linewidths=0.5 if annotated else 0.0,
        linecolor="#dddddd",
        cbar_kws={"label": KINDS[kind], "shrink": 0.8},
        xticklabels=False,
        yticklabels=False,
        ax=figure.subplots(),
    )
    _colour_annotations(axes, np.nan_to_num(values) / top)
    _name_classes(axes, result)
    heading = textwrap.fill(drawing.plain(title), int(9.5 * side))
    axes.set_title(f"{heading}\n{KINDS[kind]}", fontsize=11)
    return figure


def confusion_values(confusion: np.ndarray, kind: str) -> np.ndarray:
    """The numbers that a confusion matrix of this kind shows.

    Args:
        confusion: (classes, classes) counts; row = true class.
        kind: a key of `KINDS`.

    Returns:
        (classes, classes) counts or percentages; NaN in the row of a class without samples where
        the numbers are shares of the row.

    Raises:
        ValueError: there is no such kind.
    """
    counts = np.asarray(confusion, np.float64)
    if kind == "absolute":
        return counts
    if kind == "percent":
        return 100.0 * counts / counts.sum()
    if kind == "row_normalised":
        support = counts.sum(axis=1, keepdims=True)
        return 100.0 * counts / np.where(support > 0, support, np.nan)
    raise ValueError(f"unknown kind of confusion matrix '{kind}': choose from {', '.join(KINDS)}")


def confusion_texts(values: np.ndarray, kind: str) -> np.ndarray:
    """What stands in the cells: whole counts, or percentages with one decimal; a dash for NaN."""

    def text(value: float) -> str:
        if np.isnan(value):
            return "–"
        # A bare nought keeps the many empty cells of a large matrix quiet.
        return f"{value:.0f}" if kind == "absolute" or value == 0 else f"{value:.1f}"

    return np.array([[text(value) for value in row] for row in values])


def _name_classes(axes, result: Result) -> None:
    """Label the cells with class names; rows also with the number of samples."""
    classes = len(result.labels)
    shown = drawing.shown_classes(classes)
    size = 9 if classes <= 12 else 8
    names = [drawing.short(result.labels[index]) for index in shown]
    support = result.confusion.sum(axis=1)
    rows = [f"{name} ({support[index]})" for name, index in zip(names, shown, strict=True)]
    slanted = {"rotation": 45, "va": "top"}
    upright = {"rotation": 90, "va": "center"}
    turn = slanted if classes <= ANNOTATED_CLASSES else upright
    columns = {"ha": "right", "rotation_mode": "anchor", "fontsize": size, **turn}
    axes.set_xticks(shown + 0.5, names, **columns)
    axes.set_yticks(shown + 0.5, rows, fontsize=size, rotation=0, va="center")
    axes.tick_params(length=2)
    axes.set_xlabel("predicted")
    axes.set_ylabel("true (samples)")


def _colour_annotations(axes, shares: np.ndarray) -> None:
    """Seaborn's own white-on-mid-blue falls short of a contrast of 4.5."""
    colours = mpl.colormaps["Blues"](shares)
    for text in axes.texts:
        column, row = (int(place) for place in text.get_position())
        text.set_color(drawing.text_colour(colours[row, column]))
        text.set_in_layout(False)  # it lies in its cell; to measure hundreds of them takes a second
