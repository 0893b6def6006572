"""Answers as deep as they are sure: what they cost in depth, and where they are right."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.ticker import PercentFormatter

from training.reports import drawing

WIDTH = 6.4  # inches
QUIET = "#777777"


def plot_depth_by_target(
    targets: Sequence[float],
    depths: Sequence[float],
    accuracies: Sequence[float],
    ranks: Sequence[str],
    path: Path,
    *,
    chosen: float | None = None,
    title: str = "",
) -> Path:
    """Draw depth against target accuracy (paper 001, Figure 3), and the accuracy that was reached.

    Args:
        targets: (points,) accuracies asked for, as fractions.
        depths: (points,) mean depth of the answers, 1 for the coarsest rank.
        accuracies: (points,) of the same answers.
        ranks: from coarse to fine; they name the depths.
        path: the PNG to write.
        chosen: a target that is marked.
        title: heading of the figure.
    """
    figure = drawing.figure(WIDTH, 6.4)
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(3, 2))
    upper.plot(targets, depths, color=drawing.PALETTE[1])
    upper.set_ylabel("mean depth of the answers")
    upper.set_yticks(
        range(len(ranks) + 1), [_depth_name(depth, ranks) for depth in range(len(ranks) + 1)]
    )
    upper.set_ylim(-0.1, len(ranks) + 0.1)
    lower.plot(targets, targets, color=QUIET, linestyle=":", label="as asked for")
    lower.plot(targets, accuracies, color=drawing.PALETTE[2], label="reached")
    lower.set_ylabel("right answers")
    lower.yaxis.set_major_formatter(PercentFormatter(1.0))
    lower.set_xlabel("target accuracy, for which the threshold was chosen")
    lower.xaxis.set_major_formatter(PercentFormatter(1.0))
    lower.legend()
    for axes in (upper, lower):
        if chosen is not None:
            axes.axvline(chosen, color=drawing.PALETTE[0], linestyle="--", linewidth=1)
        drawing.tidy(axes)
    return drawing.save_titled(figure, title, path)


def plot_shares(
    names: Sequence[str],
    shares: Sequence[float],
    intervals: Sequence[tuple[float, float]],
    path: Path,
    *,
    labels: tuple[str, str],
    title: str = "",
) -> Path:
    """Draw shares as bars, each with its interval and its number.

    Args:
        names: (bars,) what each bar stands for; may have several lines.
        shares: (bars,) fractions.
        intervals: (bars,) their bounds.
        path: the PNG to write.
        labels: of the bars' axis and of the shares'.
        title: heading of the figure.
    """
    figure = drawing.figure(max(WIDTH, 1.0 + 0.9 * len(names)), 4.0)
    axes, places = figure.subplots(), np.arange(len(names))
    shares, bounds = np.asarray(shares, float), np.asarray(intervals, float)
    axes.bar(places, shares, width=0.7, color=drawing.PALETTE[1], alpha=0.75)
    gaps = np.maximum(np.stack([shares - bounds[:, 0], bounds[:, 1] - shares]), 0)
    axes.errorbar(places, shares, gaps, fmt="none", ecolor="black", elinewidth=1, capsize=3)
    for place, share, high in zip(places, shares, bounds[:, 1], strict=True):
        axes.annotate(
            f"{100 * share:.1f}",
            (place, high),
            xytext=(0, 3),
            textcoords="offset points",
            ha="center",
            fontsize=8,
        )
    axes.set_xticks(places, [drawing.plain(name) for name in names], fontsize=8)
    axes.set_ylim(0, 1.08)
    axes.set_yticks(np.arange(0, 1.01, 0.2))
    axes.yaxis.set_major_formatter(PercentFormatter(1.0))
    axes.set_xlabel(labels[0])
    axes.set_ylabel(labels[1])
    drawing.tidy(axes)
    return drawing.save_titled(figure, title, path)


def _depth_name(depth: int, ranks: Sequence[str]) -> str:
    return f"{drawing.short(ranks[depth - 1])} {depth}" if depth else "root 0"
