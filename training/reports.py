"""Results -> PNG figures and CSV tables; the only importer of matplotlib and seaborn.

Every figure is drawn on a `Figure` of its own, which saves PNG by way of Agg. Nothing goes through
the global state of pyplot, so no display is needed, no figure stays open and the backend of a
notebook that calls this module is left alone.
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from math import ceil
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from training.evaluation import Result

DPI = 110
# Okabe and Ito's colours, told apart by the colour-blind: vermillion, blue, bluish green, orange,
# reddish purple, sky blue, black. The first three are the red, blue and green of paper 004.
PALETTE = ("#D55E00", "#0072B2", "#009E73", "#E69F00", "#CC79A7", "#56B4E9", "#000000")
DASHES = ("-", "--", "-.", ":")
# Kind of confusion matrix -> what its numbers are.
KINDS = {
    "absolute": "samples",
    "percent": "% of all samples",
    "row_normalised": "% of the true class",
}
CURVES = {"accuracy": "Accuracy", "loss": "Loss", "learning_rate": "Learning rate"}
ANNOTATED_CLASSES = 25
NAMED_CLASSES = 50
MAX_SIDE = 14.0  # inches
SHEET_PICTURES, SHEET_COLUMNS = 14, 7
NAME_LENGTH = 30


def plot_history(history: pd.DataFrame, folder: Path) -> list[Path]:
    """Draw the learning curves of one run.

    Args:
        history: one row per epoch with `epoch` (from 1) and `phase`, and any of `accuracy`, `loss`
            (with `val_accuracy`, `val_loss` for the validation part) and `learning_rate`.
        folder: where `accuracy.png`, `loss.png` and `learning_rate.png` go.

    Returns:
        The files written; a column that is missing or empty has none.
    """
    drawn = [column for column in CURVES if _has_values(history, column)]
    return [_plot_curve(history, column, Path(folder) / f"{column}.png") for column in drawn]


def plot_comparison(histories: dict[str, pd.DataFrame], column: str, path: Path) -> Path:
    """Draw one column of several runs over their epochs (paper 004, figures 11 and 12).

    Args:
        histories: name of the model -> its history, as `plot_history` takes it. The first three are
            drawn in red, blue and green, the order of the paper being fused, NN1, NN2.
        column: column of the histories, such as `val_accuracy`.
        path: the PNG to write.
    """
    figure, axes = _curve_axes(column)
    for index, (name, history) in enumerate(histories.items()):
        _draw_curve(axes, history, column, name, index)
    axes.legend()
    axes.set_title(_column_name(column).capitalize(), loc="left")
    return _save(figure, path)


def plot_confusion(result: Result, kind: str, path: Path, title: str) -> Path:
    """Draw a confusion matrix: true classes in rows, predicted classes in columns.

    Args:
        result: what to draw.
        kind: `absolute` (counts), `percent` (of all samples) or `row_normalised` (share of the true
            class, in percent).
        path: the PNG to write.
        title: heading of the figure; the kind is added to it.
    """
    return _save(confusion_figure(result, kind, title), path)


def confusion_figure(result: Result, kind: str, title: str) -> Figure:
    """The figure that `plot_confusion` writes; cells carry numbers up to 25 classes."""
    values = confusion_values(result.confusion, kind)
    classes = len(values)
    annotated = classes <= ANNOTATED_CLASSES
    side = min(MAX_SIDE, max(5.0, 2.2 + classes * (0.5 if annotated else 0.25)))
    figure = _figure(side, 0.92 * side)
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
    heading = textwrap.fill(_plain(title), int(9.5 * side))
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


def contrast(one, other) -> float:
    """Contrast ratio of two colours, 1 to 21 (WCAG 2.1, relative luminance)."""
    dark, light = sorted((_luminance(one), _luminance(other)))
    return (light + 0.05) / (dark + 0.05)


def text_colour(background) -> str:
    """Black or white, whichever reads better on a background; the contrast is 4.5 or more."""
    return max(("black", "white"), key=lambda colour: contrast(colour, background))


def plot_class_counts(counts_by_part: dict[str, dict[str, int]], path: Path) -> Path:
    """Draw the number of samples of each class as bars, stacked by part.

    Args:
        counts_by_part: `train`, `validation`, `test` -> class name -> number of samples.
        path: the PNG to write.
    """
    table = pd.DataFrame(counts_by_part).fillna(0).astype(int)
    classes = len(table)
    figure = _figure(7.5, min(MAX_SIDE, max(2.5, 1.4 + 0.26 * classes)))
    axes = figure.subplots()
    rows, start = np.arange(classes), np.zeros(classes, int)
    # Blue first: the training part is by far the longest, and red would shout.
    for part, colour in zip(table, (PALETTE[1], PALETTE[3], PALETTE[2]), strict=False):
        label = f"{part} ({table[part].sum()})"
        axes.barh(rows, table[part], left=start, height=0.75, color=colour, label=label)
        start = start + table[part].to_numpy()
    shown = _shown_classes(classes)
    for row in shown:
        axes.annotate(
            f"{start[row]}",
            (start[row], row),
            xytext=(3, 0),
            textcoords="offset points",
            va="center",
            fontsize=8,
        )
    axes.set_yticks(shown, [_short(table.index[row]) for row in shown], fontsize=8)
    axes.set_ylim(classes - 0.4, -0.6)
    axes.set_xlim(0, 1.1 * max(1, start.max()))
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    axes.set_xlabel("samples")
    figure.legend(loc="outside upper left", ncols=len(table.columns))
    _open_frame(axes)
    return _save(figure, path)


def plot_samples(
    images: np.ndarray,
    titles: Sequence[str],
    path: Path,
    landmarks: np.ndarray | None = None,
) -> Path:
    """Draw a contact sheet of the first pictures, at most 14.

    Args:
        images: (pictures, height, width), with a last axis of 1 or 3 if there is one; uint8.
        titles: one line per picture.
        path: the PNG to write.
        landmarks: (pictures, points, 2) x and y in pixels of the picture, drawn over it.
    """
    count = min(len(images), SHEET_PICTURES)
    columns = min(count, SHEET_COLUMNS)
    rows = ceil(count / columns)
    shape = images.shape[1] / images.shape[2]
    figure = _figure(1.5 * columns, rows * (1.5 * shape + 0.45))
    grid = figure.subplots(rows, columns, squeeze=False)
    for axes in grid.flat:
        axes.set_axis_off()
    for index, axes in zip(range(count), grid.flat, strict=False):
        axes.imshow(np.squeeze(images[index]), cmap="gray", vmin=0, vmax=255)
        axes.set_title(textwrap.fill(_short(titles[index]), 18), fontsize=8)
        if landmarks is not None:
            axes.autoscale(False)  # points outside the picture must not shrink it
            axes.scatter(*np.transpose(landmarks[index]), s=5, color=PALETTE[3], linewidths=0)
    return _save(figure, path)


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


def _plot_curve(history: pd.DataFrame, column: str, path: Path) -> Path:
    figure, axes = _curve_axes(column)
    _draw_curve(axes, history, column, "training", 0)
    if _has_values(history, f"val_{column}"):
        _draw_curve(axes, history, f"val_{column}", "validation", 1)
        axes.legend()
    _mark_phases(axes, history)
    figure.suptitle(CURVES[column], fontsize=11)
    return _save(figure, path)


def _curve_axes(column: str):
    figure = _figure(6.4, 4.0)
    axes = figure.subplots()
    axes.set_xlabel("epoch")
    axes.set_ylabel(_column_name(column))
    axes.grid(color="#e5e5e5", linewidth=0.6)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    if column.endswith("accuracy"):
        axes.yaxis.set_major_formatter(PercentFormatter(1.0))
    if column == "learning_rate":
        axes.set_yscale("log")
    _open_frame(axes)
    return figure, axes


def _draw_curve(axes, history: pd.DataFrame, column: str, label: str, index: int) -> None:
    points = history[["epoch", column]].dropna()
    axes.plot(
        points["epoch"],
        points[column],
        color=PALETTE[index % len(PALETTE)],
        linestyle=DASHES[index % len(DASHES)],
        # A curve of one epoch would be invisible without its marker.
        marker="o" if len(points) <= 40 else None,
        markersize=3,
        label=_plain(label),
    )


def _mark_phases(axes, history: pd.DataFrame) -> None:
    """Name the phases above the axes and part them by a light vertical line."""
    first = history[history["phase"] != history["phase"].shift()]
    if len(first) < 2:
        return
    for number, (epoch, name) in enumerate(zip(first["epoch"], first["phase"], strict=True)):
        border = epoch - 0.5 if number else epoch
        if number:
            axes.axvline(border, color="#bbbbbb", linewidth=0.8, zorder=0)
        axes.annotate(
            _short(name),
            (border, 1.0),
            xycoords=("data", "axes fraction"),
            xytext=(0, 3),
            textcoords="offset points",
            rotation=25,
            rotation_mode="anchor",
            fontsize=8,
            color="#555555",
        )


def _name_classes(axes, result: Result) -> None:
    """Label the cells with class names; rows also with the number of samples."""
    classes = len(result.labels)
    shown = _shown_classes(classes)
    size = 9 if classes <= 12 else 8
    names = [_short(result.labels[index]) for index in shown]
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
        text.set_color(text_colour(colours[row, column]))


def _luminance(colour) -> float:
    rgb = np.array(mpl.colors.to_rgb(colour))
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    return float(linear @ (0.2126, 0.7152, 0.0722))


def _shown_classes(classes: int) -> np.ndarray:
    """Indices of the classes to name: all, or every second, third, ... of very many."""
    return np.arange(0, classes, ceil(classes / NAMED_CLASSES))


def _has_values(history: pd.DataFrame, column: str) -> bool:
    return column in history and bool(history[column].notna().any())


def _column_name(column: str) -> str:
    return column.replace("val_", "validation ").replace("_", " ")


def _short(name: str) -> str:
    return _plain(name if len(name) <= NAME_LENGTH else f"{name[: NAME_LENGTH - 1]}…")


def _plain(text: str) -> str:
    """Keep matplotlib from reading two dollar signs in a name as a formula."""
    return str(text).replace("$", r"\$")


def _figure(width: float, height: float) -> Figure:
    return Figure(figsize=(width, height), dpi=DPI, layout="constrained")


def _open_frame(axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)


def _save(figure: Figure, path: Path) -> Path:
    path = Path(path)
    figure.savefig(path, bbox_inches="tight")
    return path
