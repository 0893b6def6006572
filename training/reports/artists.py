"""Artists by what they sound like: a map, and who stands for each group."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from training.reports import drawing

LISTED = 20  # groups; beyond it the list would not be read
NAMED = 40  # artists whose names are written into the map


def plot_artist_map(
    places: np.ndarray, names: tuple[str, ...], factors: np.ndarray, path: Path
) -> Path:
    """Draw artists as points, coloured by their strongest factor.

    Args:
        places: (artists, 2).
        names: of the artists; those of few are written beside their points.
        factors: (artists, factors), the share of each.
        path: the PNG to write.
    """
    figure = drawing.figure(7.5, 6.0)
    axes = figure.subplots()
    strongest = factors.argmax(axis=1)
    order = np.argsort(-np.bincount(strongest, minlength=factors.shape[1]), kind="stable")
    for rank, factor in enumerate(order):
        rows = np.flatnonzero(strongest == factor)
        if not len(rows):
            break
        own = rank < len(drawing.PALETTE)
        axes.scatter(
            *places[rows].T,
            s=22,
            color=drawing.PALETTE[rank] if own else "#bbbbbb",
            label=f"factor {factor + 1}" if own else None,
        )
    for row in range(len(names) if len(names) <= NAMED else 0):
        axes.annotate(drawing.short(names[row]), places[row], fontsize=6, alpha=0.8)
    axes.set_xticks([])
    axes.set_yticks([])
    figure.legend(loc="outside right upper", fontsize=8, title="strongest")
    drawing.open_frame(axes)
    return drawing.save(figure, path)


def plot_group_members(members: dict[int, list[tuple[str, float]]], path: Path) -> Path:
    """Write who is nearest to the centre of each factor.

    Args:
        members: number of a factor -> its artists and their shares, the nearest first; of many
            factors the first `LISTED` are written.
        path: the PNG to write.
    """
    shown = list(members.items())[:LISTED]
    figure = drawing.figure(9.0, 0.5 + 0.24 * len(shown))
    axes = figure.subplots()
    axes.set_axis_off()
    axes.set_ylim(len(shown), -0.5)
    axes.set_xlim(0, 1)
    for row, (factor, found) in enumerate(shown):
        line = ", ".join(f"{drawing.short(name)} {share:.2f}" for name, share in found)
        axes.text(0, row, f"factor {factor}", fontsize=8, weight="bold", va="center")
        axes.text(0.09, row, line, fontsize=8, va="center")
    return drawing.save(figure, path)
