"""Which measurements a forest decides by."""

from __future__ import annotations

from pathlib import Path

from training.reports import drawing

SHOWN = 20


def plot_importances(importances: dict[str, float], path: Path, marked=()) -> Path:
    """Draw the share of each column in the decisions, the most important first.

    Args:
        importances: column -> share in the decisions, the highest first; of very many the first
            `SHOWN` are drawn.
        path: the PNG to write.
        marked: columns that are drawn in red and named as suspect.
    """
    names = list(importances)[:SHOWN]
    figure = drawing.figure(7.5, 1.6 + 0.26 * len(names))
    axes = figure.subplots()
    for suspect in (False, True):
        rows = [row for row, name in enumerate(names) if (name in marked) == suspect]
        if rows:
            axes.barh(
                rows,
                [100 * importances[names[row]] for row in rows],
                height=0.75,
                color=drawing.PALETTE[0 if suspect else 1],
                label="named by the leak check" if suspect else "others",
            )
    axes.set_yticks(range(len(names)), [drawing.short(name) for name in names], fontsize=8)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.set_xlabel("share in the forest's decisions, percent")
    if len(importances) > len(names):
        axes.set_title(f"the first {len(names)} of {len(importances)} columns", fontsize=9)
    if any(name in marked for name in names):
        figure.legend(loc="outside upper left", ncols=2)
    drawing.open_frame(axes)
    return drawing.save(figure, path)
