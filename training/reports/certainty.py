"""How far the confidence of a classifier can be trusted, and what it answers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.ticker import MaxNLocator, PercentFormatter

from training.reports import drawing

WIDTH = 6.4  # inches
QUIET = "#777777"
SCORE_BINS = 25


def plot_reliability(bins_before: dict, bins_after: dict, path: Path, title: str) -> Path:
    """Draw a reliability diagram before and after temperature scaling, with samples per bin.

    Args:
        bins_before: `confidence` and `accuracy`, means of each bin, (bins,), NaN where it is empty;
            `count`, (bins,) samples; `ece`, calibration error as a fraction. The bins are of equal
            width from 0 to 1.
        bins_after: the same after scaling.
        path: the PNG to write.
        title: heading of the figure.
    """
    figure = drawing.figure(WIDTH, 5.8)
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(4, 1))
    upper.plot([0, 1], [0, 1], color=QUIET, linestyle=":", label="perfectly calibrated")
    looks = {
        "before": {"color": drawing.PALETTE[0], "linestyle": "--"},
        "after": {"color": drawing.PALETTE[1], "linestyle": "-"},
    }
    for (word, look), bins in zip(looks.items(), (bins_before, bins_after), strict=True):
        _draw_bins(upper, bins, look, f"{word} scaling, ECE {_percent(bins['ece'])}")
        edges = np.linspace(0, 1, len(bins["count"]) + 1)
        fill = {"fill": True, "alpha": 0.45} if word == "after" else {"zorder": 3}
        lower.stairs(bins["count"], edges, **look, **fill)
    upper.set_ylim(0, 1)
    upper.set_ylabel("accuracy")
    upper.yaxis.set_major_formatter(PercentFormatter(1.0))
    upper.legend()
    lower.set_ylabel("samples")
    lower.yaxis.set_major_locator(MaxNLocator(3, integer=True))
    _share_axis(lower, "confidence")
    for axes in (upper, lower):
        drawing.tidy(axes)
    return drawing.save_titled(figure, title, path)


def plot_risk_coverage(
    coverage: Sequence[float],
    accuracy: Sequence[float],
    path: Path,
    *,
    chosen: tuple[float, float] | None = None,
    title: str = "",
) -> Path:
    """Draw accuracy on the samples answered against the share answered.

    Args:
        coverage: (points,) share of the samples answered, as a fraction, rising.
        accuracy: (points,) accuracy on those; NaN where nothing is answered.
        path: the PNG to write.
        chosen: coverage and accuracy of the working point, which is marked.
        title: heading of the figure.
    """
    words = "share of the samples answered", "accuracy on those"
    text = "answers {}, {} of them right"
    return _coverage_curve(coverage, accuracy, path, words, text, chosen, title)


def plot_hierarchical_coverage(
    coverage: Sequence[float],
    accuracy: Sequence[float],
    path: Path,
    *,
    chosen: tuple[float, float] | None = None,
    title: str = "",
) -> Path:
    """Draw the accuracy of answers of any rank against how much they say, over all thresholds.

    Args:
        coverage: (points,) mean share of what a leaf would say, 0 for the root and 1 for a leaf.
        accuracy: (points,) share of right answers.
        path: the PNG to write.
        chosen: coverage and accuracy of the working point, which is marked.
        title: heading of the figure.
    """
    words = "how much the answers say: 0 % nothing, 100 % all the way to a leaf", "right answers"
    text = "says {}, {} right"
    return _coverage_curve(coverage, accuracy, path, words, text, chosen, title)


def plot_scores(
    known: Sequence[float], other: Sequence[float], threshold: float, path: Path, title: str
) -> Path:
    """Draw how confidences are spread on pictures of known classes and on others.

    Args:
        known: confidence in each sample of a known class, 0 to 1.
        other: confidence in each sample of none of them.
        threshold: from here on a sample is answered.
        path: the PNG to write.
        title: heading of the figure.
    """
    figure = drawing.figure(WIDTH, 4.0)
    axes = figure.subplots()
    edges = np.linspace(0, 1, SCORE_BINS + 1)
    looks = {
        "known classes": {"fill": True, "color": drawing.PALETTE[1], "alpha": 0.45},
        "other": {"color": drawing.PALETTE[0], "linewidth": 1.8, "zorder": 3},
    }
    for (name, look), scores in zip(looks.items(), (known, other), strict=True):
        scores = np.asarray(scores, float)
        shares = np.histogram(scores, edges)[0] / max(1, len(scores))
        answered = _percent((scores >= threshold).sum() / max(1, len(scores)))
        label = f"{name}: {len(scores)} samples, {answered} answered"
        axes.stairs(shares, edges, label=label, **look)
    axes.axvline(threshold, color="black", linestyle="--", label=f"threshold {_percent(threshold)}")
    _share_axis(axes, "confidence")
    axes.set_ylabel("share of the samples")
    axes.yaxis.set_major_formatter(PercentFormatter(1.0))
    figure.legend(loc="outside lower center")
    drawing.tidy(axes)
    return drawing.save_titled(figure, title, path)


def _coverage_curve(coverage, accuracy, path, words, text, chosen, title) -> Path:
    """Accuracy over coverage; `words` name the axes, and `text` says the chosen point's shares."""
    figure = drawing.figure(WIDTH, 4.0)
    axes = figure.subplots()
    axes.plot(coverage, accuracy, color=drawing.PALETTE[1])
    lowest = min([np.nanmin(accuracy), *([chosen[1]] if chosen else [])])
    bottom = max(0.0, lowest - 0.15 * (1.01 - lowest))
    axes.set_ylim(bottom, 1 + 0.02 * (1 - bottom))
    _share_axis(axes, words[0])
    axes.set_ylabel(words[1])
    axes.yaxis.set_major_formatter(PercentFormatter(1.0))
    if chosen is not None:
        _mark(axes, chosen, bottom, text.format(*map(_percent, chosen)))
    drawing.tidy(axes)
    return drawing.save_titled(figure, title, path)


def _draw_bins(axes, bins: dict, look: dict, label: str) -> None:
    """One curve; the area of its points grows with the samples behind them."""
    filled = np.asarray(bins["count"]) > 0
    confidence, accuracy, count = (
        np.asarray(bins[name], float)[filled] for name in ("confidence", "accuracy", "count")
    )
    axes.plot(confidence, accuracy, label=label, **look)
    area = 12 + 90 * count / max(1, count.max(initial=0))
    axes.scatter(confidence, accuracy, area, color=look["color"], alpha=0.8, linewidths=0)


def _mark(axes, chosen: tuple[float, float], bottom: float, text: str) -> None:
    """The working point, with thin lines to both axes and a text."""
    share, accuracy = chosen
    axes.plot([0, share, share], [accuracy, accuracy, bottom], color=QUIET, lw=0.8, ls=":")
    axes.plot(share, accuracy, "o", color=drawing.PALETTE[0], markersize=8, clip_on=False)
    # The curve falls, so that there is room below it to the left and above it to the right.
    left = share > 0.5
    axes.annotate(
        text,
        chosen,
        xytext=(-10, -10) if left else (10, 6),
        textcoords="offset points",
        ha="right" if left else "left",
        va="top" if left else "bottom",
    )


def _share_axis(axes, name: str) -> None:
    axes.set_xlim(0, 1)
    axes.set_xlabel(name)
    axes.xaxis.set_major_formatter(PercentFormatter(1.0))


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"
