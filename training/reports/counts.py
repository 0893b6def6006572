"""How many samples each class has."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.ticker import MaxNLocator

from training.reports import drawing

# Blue first: the training part is by far the longest, and red would shout.
COLOURS = {
    "train": drawing.PALETTE[1],
    "validation": drawing.PALETTE[3],
    "test": drawing.PALETTE[2],
}
MANY = 100


def plot_class_counts(counts_by_part: dict[str, dict[str, int]], path: Path) -> Path:
    """Draw the number of samples of each class as bars, stacked by part.

    Of more than `MANY` classes only the sizes can be seen: they are then sorted and not named.

    Args:
        counts_by_part: `train`, `validation` and `test`, or some of them, -> class name -> number
            of samples. A part without samples is not mentioned.
        path: the PNG to write.
    """
    table = pd.DataFrame(counts_by_part).fillna(0).astype(int)
    table = table.loc[:, table.sum() > 0]
    classes = len(table)
    if classes > MANY:
        return _plot_sizes(table, path)
    figure = drawing.figure(7.5, min(drawing.MAX_SIDE, max(2.5, 1.4 + 0.26 * classes)))
    axes = figure.subplots()
    rows, start = np.arange(classes), np.zeros(classes, int)
    for part in table:
        label = f"{part} ({table[part].sum()})"
        axes.barh(rows, table[part], left=start, height=0.75, color=COLOURS[part], label=label)
        start = start + table[part].to_numpy()
    shown = drawing.shown_classes(classes)
    for row in shown:
        axes.annotate(
            f"{start[row]}",
            (start[row], row),
            xytext=(3, 0),
            textcoords="offset points",
            va="center",
            fontsize=8,
        )
    axes.set_yticks(shown, [drawing.short(table.index[row]) for row in shown], fontsize=8)
    axes.set_ylim(classes - 0.4, -0.6)
    axes.set_xlim(0, 1.1 * max(1, start.max()))
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    axes.set_xlabel("samples")
    figure.legend(loc="outside upper left", ncols=len(table.columns))
    drawing.open_frame(axes)
    return drawing.save(figure, path)


def _plot_sizes(table: pd.DataFrame, path: Path) -> Path:
    """Sizes of the classes, the largest first, stacked by part."""
    table = table.loc[table.sum(axis=1).sort_values(ascending=False, kind="stable").index]
    figure = drawing.figure(7.5, 4.0)
    axes, edges = figure.subplots(), np.arange(len(table) + 1)
    start = np.zeros(len(table), int)
    for part in table:
        label = f"{part} ({table[part].sum()})"
        stop = start + table[part].to_numpy()
        axes.stairs(stop, edges, baseline=start, fill=True, color=COLOURS[part], label=label)
        start = stop
    axes.set_xlim(0, len(table))
    axes.set_ylim(0, 1.05 * max(1, start.max()))
    axes.yaxis.set_major_locator(MaxNLocator(6, integer=True))
    axes.set_xlabel(f"{len(table):,} classes, the largest first")
    axes.set_ylabel("samples of the class")
    figure.legend(loc="outside upper left", ncols=len(table.columns))
    drawing.open_frame(axes)
    return drawing.save(figure, path)
