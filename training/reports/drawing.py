"""What all figures share: colours, sizes, names that fit, and how a figure is saved."""

from __future__ import annotations

from math import ceil
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

DPI = 110
# Okabe and Ito's colours, told apart by the colour-blind: vermillion, blue, bluish green, orange,
# reddish purple, sky blue, black. The first three are the red, blue and green of paper 004.
PALETTE = ("#D55E00", "#0072B2", "#009E73", "#E69F00", "#CC79A7", "#56B4E9", "#000000")
DASHES = ("-", "--", "-.", ":")
MAX_SIDE = 14.0  # inches
NAME_LENGTH = 30
NAMED_CLASSES = 50


def figure(width: float, height: float, dpi: int = DPI) -> Figure:
    return Figure(figsize=(width, height), dpi=dpi, layout="constrained")


def save(figure: Figure, path: Path) -> Path:
    path = Path(path)
    figure.savefig(path, bbox_inches="tight")
    return path


def save_titled(figure: Figure, title: str, path: Path) -> Path:
    if title:
        figure.suptitle(plain(title), fontsize=11)
    return save(figure, path)


def tidy(axes) -> None:
    """A light grid behind the curves, and no frame above and to the right."""
    axes.grid(color="#e5e5e5", linewidth=0.6)
    axes.set_axisbelow(True)
    open_frame(axes)


def open_frame(axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)


def heat(axes, image: np.ndarray, values: np.ndarray, extent) -> bool:
    """Draw a pale picture and, over it, where something is positive.

    Args:
        axes: to draw on.
        image: (height, width, channels), 0 to 255.
        values: (rows, columns), 0 or more.
        extent: left, top, right and bottom of what they cover, in pixels of the picture.

    Returns:
        Whether any of them is positive.
    """
    height, width = image.shape[:2]
    grey = image.mean(axis=-1)
    axes.imshow(255 - 0.6 * (255 - grey), cmap="gray", vmin=0, vmax=255)
    left, top, right, bottom = extent
    strongest = float(values.max())
    if strongest > 0:
        level = values / strongest
        axes.imshow(
            level, cmap="inferno", vmin=0, vmax=1, alpha=np.clip(1.3 * level, 0, 0.8),
            extent=(left, right, bottom, top), interpolation="bilinear",
        )  # fmt: skip
    axes.set_xlim(-0.5, width - 0.5)
    axes.set_ylim(height - 0.5, -0.5)
    return strongest > 0


def shown_classes(classes: int) -> np.ndarray:
    """Indices of the classes to name: all, or every second, third, ... of very many."""
    return np.arange(0, classes, ceil(classes / NAMED_CLASSES))


def short(name: str) -> str:
    return plain(name if len(name) <= NAME_LENGTH else f"{name[: NAME_LENGTH - 1]}…")


def plain(text: str) -> str:
    """Keep matplotlib from reading two dollar signs in a name as a formula."""
    return str(text).replace("$", r"\$")


def contrast(one, other) -> float:
    """Contrast ratio of two colours, 1 to 21 (WCAG 2.1, relative luminance)."""
    dark, light = sorted((_luminance(one), _luminance(other)))
    return (light + 0.05) / (dark + 0.05)


def text_colour(background) -> str:
    """Black or white, whichever reads better on a background; the contrast is 4.5 or more."""
    return max(("black", "white"), key=lambda colour: contrast(colour, background))


def _luminance(colour) -> float:
    rgb = np.array(mpl.colors.to_rgb(colour))
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    return float(linear @ (0.2126, 0.7152, 0.0722))
