"""Learning curves, of one run or of several."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
from matplotlib.ticker import MaxNLocator, PercentFormatter

from training.reports import drawing

LOSS_WEIGHT = "s_"  # begins the columns of the learnt weights of several losses
CURVES = {"accuracy": "Accuracy", "loss": "Loss", "learning_rate": "Learning rate"}


def plot_history(history: pd.DataFrame, folder: Path) -> list[Path]:
    """Draw the learning curves of one run.

    Args:
        history: one row per epoch, in order, with `phase`, and any of `accuracy`, `loss`
            (with `val_accuracy`, `val_loss` for the validation part), `learning_rate`, and learnt
            loss weights, whose names begin with `s_`.
        folder: where `accuracy.png`, `loss.png`, `learning_rate.png` and `loss_weights.png` go.

    Returns:
        The files written; a column that is missing or empty has none.
    """
    history = _numbered(history)
    drawn = [column for column in CURVES if _has_values(history, column)]
    paths = [_plot_curve(history, column, Path(folder) / f"{column}.png") for column in drawn]
    learnt = [column for column in history if column.startswith(LOSS_WEIGHT)]
    if learnt:
        paths.append(_plot_loss_weights(history, learnt, Path(folder) / "loss_weights.png"))
    return paths


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
        _draw_curve(axes, _numbered(history), column, name, index)
    axes.legend()
    axes.set_title(_column_name(column).capitalize(), loc="left")
    return drawing.save(figure, path)


def _numbered(history: pd.DataFrame) -> pd.DataFrame:
    """The history with `epoch` counted through all phases; in a run each phase begins at 1."""
    return history.assign(epoch=range(1, len(history) + 1))


def _plot_curve(history: pd.DataFrame, column: str, path: Path) -> Path:
    figure, axes = _curve_axes(column)
    _draw_curve(axes, history, column, "training", 0)
    if _has_values(history, f"val_{column}"):
        _draw_curve(axes, history, f"val_{column}", "validation", 1)
        axes.legend()
    _mark_phases(axes, history)
    figure.suptitle(CURVES[column], fontsize=11)
    return drawing.save(figure, path)


def _plot_loss_weights(history: pd.DataFrame, columns: list[str], path: Path) -> Path:
    figure, axes = _curve_axes("s")
    for index, column in enumerate(columns):
        _draw_curve(axes, history, column, column.removeprefix(LOSS_WEIGHT), index)
    axes.legend()
    _mark_phases(axes, history)
    figure.suptitle("Learnt weights of the losses: each counts exp(-s)", fontsize=11)
    return drawing.save(figure, path)


def _curve_axes(column: str):
    figure = drawing.figure(6.4, 4.0)
    axes = figure.subplots()
    axes.set_xlabel("epoch")
    axes.set_ylabel(_column_name(column))
    axes.grid(color="#e5e5e5", linewidth=0.6)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    if column.endswith("accuracy"):
        axes.yaxis.set_major_formatter(PercentFormatter(1.0))
    if column == "learning_rate":
        axes.set_yscale("log")
    drawing.open_frame(axes)
    return figure, axes


def _draw_curve(axes, history: pd.DataFrame, column: str, label: str, index: int) -> None:
    points = history[["epoch", column]].dropna()
    axes.plot(
        points["epoch"],
        points[column],
        color=drawing.PALETTE[index % len(drawing.PALETTE)],
        linestyle=drawing.DASHES[index % len(drawing.DASHES)],
        # A curve of one epoch would be invisible without its marker.
        marker="o" if len(points) <= 40 else None,
        markersize=3,
        label=drawing.plain(label),
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
            drawing.short(name),
            (border, 1.0),
            xycoords=("data", "axes fraction"),
            xytext=(0, 3),
            textcoords="offset points",
            rotation=25,
            rotation_mode="anchor",
            fontsize=8,
            color="#555555",
        )


def _has_values(history: pd.DataFrame, column: str) -> bool:
    return column in history and bool(history[column].notna().any())


def _column_name(column: str) -> str:
    return column.replace("val_", "validation ").replace("_", " ")
