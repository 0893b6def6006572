"""Figures of merit over a number, such as that of tasks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from matplotlib.ticker import MaxNLocator

from training.reports import drawing
from training.statistics import mean_over_runs


def plot_trends(
    panels: dict[str, dict[str, dict[int, Sequence[float]]]], number: str, path: Path
) -> Path:
    """Draw lines of means with Student's intervals over runs (paper 002, figure 3).

    Args:
        panels: name of a figure of merit -> name of a line -> number -> its value in each run.
        number: what it counts, below each panel.
        path: the PNG to write.
    """
    figure = drawing.figure(4.6 * len(panels), 3.6)
    for axes, (name, lines) in zip(
        figure.subplots(1, len(panels), squeeze=False)[0], panels.items(), strict=True
    ):
        for index, (label, values) in enumerate(lines.items()):
            _draw(axes, values, label, index)
        axes.set_xlabel(number)
        axes.set_ylabel(name)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        axes.legend()
        drawing.tidy(axes)
    return drawing.save(figure, path)


def _draw(axes, values: dict[int, Sequence[float]], label: str, index: int) -> None:
    found = {number: mean_over_runs(each) for number, each in sorted(values.items())}
    # Side by side, so that no interval hides another.
    places = [number + 0.06 * index for number in found]
    colour = drawing.PALETTE[index % len(drawing.PALETTE)]
    axes.plot(
        places,
        [one.mean for one in found.values()],
        color=colour,
        linestyle=drawing.DASHES[index % len(drawing.DASHES)],
        marker="o",
        markersize=4,
        label=drawing.plain(label),
    )
    for place, one in zip(places, found.values(), strict=True):
        if one.low is not None:
            axes.plot([place, place], [one.low, one.high], color=colour, linewidth=1)
