"""Accuracies over the folds of a cross-validation."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.ticker import PercentFormatter

from training.reports import drawing
from training.statistics import mean_over_runs

SPREAD = 0.16  # of the points of one row, upwards and downwards


def plot_fold_accuracies(accuracies: dict[str, Sequence[float]], path: Path) -> Path:
    """Draw the accuracy of each fold, and the mean with Student's interval (paper 000, figure 4).

    Args:
        accuracies: name of the network or configuration -> accuracy of each fold as a fraction; the
            first one stands at the top.
        path: the PNG to write.
    """
    figure = drawing.figure(7.0, min(drawing.MAX_SIDE, 1.3 + 0.75 * len(accuracies)))
    axes = figure.subplots()
    for row, values in enumerate(accuracies.values()):
        found = mean_over_runs(values)
        colour = drawing.PALETTE[(row + 1) % len(drawing.PALETTE)]
        places = row + np.linspace(-SPREAD, SPREAD, len(values))
        axes.scatter(values, places, s=28, color=colour, alpha=0.7, linewidths=0)
        if found.low is not None:
            axes.plot([found.low, found.high], [row, row], color="black", linewidth=1)
        axes.scatter(found.mean, row, s=42, marker="D", color="black", zorder=3)
        axes.annotate(
            _mean_text(found),
            (found.mean, row - 0.3),
            ha="center",
            va="center",
            fontsize=8,
        )
    names = [textwrap.fill(drawing.short(name), 20) for name in accuracies]
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.45, -0.6)
    axes.margins(x=0.12)
    axes.xaxis.set_major_formatter(PercentFormatter(1.0))
    axes.set_xlabel("accuracy: each fold, and the mean with its 95 % interval over folds")
    axes.grid(axis="x", color="#e5e5e5", linewidth=0.6)
    axes.set_axisbelow(True)
    drawing.open_frame(axes)
    return drawing.save(figure, path)


def _mean_text(found) -> str:
    text = f"{100 * found.mean:.1f} %"
    if found.low is None:
        return text
    return f"{text} ({100 * found.low:.1f} to {100 * found.high:.1f})"
