"""Sheets of pictures: samples, mistakes, near-duplicates."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from math import ceil
from pathlib import Path

import numpy as np

from training.reports import drawing

SHEET_PICTURES, SHEET_WIDTH = 14, 10.5  # inches
# Width of a picture in inches -> characters that fit on a line above it.
NARROW, WIDE = (1.5, 18), (2.1, 30)
SHEET_PAIRS, PAIR_COLUMNS = 8, 2
PAIR_WIDTH, PAIR_CHARACTERS, PAIR_SHADE = 5.0, 76, "#f3f6fa"
LINE = 0.14  # inches


def plot_samples(
    images: Sequence[np.ndarray],
    titles: Sequence[str],
    path: Path,
    landmarks: Sequence[np.ndarray] | None = None,
) -> Path:
    """Draw a contact sheet of the first pictures, at most 14, each whole.

    Args:
        images: one picture each, (height, width), with a last axis of 1 or 3 if there is one;
            uint8; of one size (an array) or of different sizes (a list); at least one.
        titles: one line per picture.
        path: the PNG to write.
        landmarks: for each picture (points, 2) x and y in its pixels, drawn over it.
    """
    captions = [textwrap.fill(drawing.short(title), NARROW[1]) for title in titles]
    figure, grid = _sheet(images, captions, NARROW[0])
    # Strict would refuse more landmarks than the sheet has room for.
    for axes, points in zip(grid, [] if landmarks is None else landmarks, strict=False):
        axes.autoscale(False)  # points outside the picture must not shrink it
        axes.scatter(*np.transpose(points), s=5, color=drawing.PALETTE[3], linewidths=0)
    return drawing.save(figure, path)


def plot_mistakes(
    images: Sequence[np.ndarray],
    truths: Sequence[str],
    answers: Sequence[str],
    confidences: Sequence[float],
    path: Path,
) -> Path:
    """Draw a sheet of mistakes, at most 14: 'true class → class answered, confidence'.

    Args:
        images: as for `plot_samples`, in the order of display; at least one.
        truths: name of the true class of each.
        answers: name of the class answered.
        confidences: probability of the class answered.
        path: the PNG to write.
    """
    parts = [
        # The space that does not break keeps the sign beside its number.
        (drawing.short(truth), f"→ {drawing.short(answer)}, {100 * confidence:.0f}\u00a0%")
        for truth, answer, confidence in zip(truths, answers, confidences, strict=True)
    ]
    longest = max(len(line) for part in parts for line in part)
    width, characters = NARROW if longest <= NARROW[1] else WIDE
    in_one = all(len(" ".join(part)) <= characters for part in parts)
    captions = [
        (" " if in_one else "\n").join(textwrap.fill(line, characters) for line in part)
        for part in parts
    ]
    return drawing.save(_sheet(images, captions, width)[0], path)


def plot_mistake_maps(
    images: Sequence[np.ndarray],
    maps: Sequence[tuple[np.ndarray, np.ndarray]],
    truths: Sequence[str],
    answers: Sequence[str],
    path: Path,
) -> Path:
    """Draw mistakes, one on a line: the picture, what spoke for the answer, what for the truth.

    Args:
        images: (height, width, channels) each, 0 to 255; at least one.
        maps: of each, for the answer and for the true class, (rows, columns), 0 or more, of the
            whole picture.
        truths: name of the true class of each.
        answers: name of the class answered.
        path: the PNG to write.
    """
    side = 2.4
    figure = drawing.figure(3 * side, len(images) * (side * _box_shape(images) + 0.4))
    grid = figure.subplots(len(images), 3, squeeze=False)
    for (plain, *mapped), image, two, words in zip(
        grid, images, maps, zip(answers, truths, strict=True), strict=True
    ):
        _show(plain, image.astype(np.uint8))
        plain.set_title("as the network sees it", fontsize=8)
        height, width = image.shape[:2]
        for axes, values, word in zip(mapped, two, words, strict=True):
            is_hot = drawing.heat(axes, image, values, (0, 0, width, height))
            axes.set_axis_off()
            axes.set_anchor("N")
            name = drawing.short(word)
            axes.set_title(f"for {name}" if is_hot else f"nothing for {name}", fontsize=8)
    return drawing.save(figure, path)


def plot_pairs(
    images_left: Sequence[np.ndarray],
    images_right: Sequence[np.ndarray],
    captions: Sequence[str],
    path: Path,
) -> Path:
    """Draw pairs of pictures side by side, at most 8, each pair with its caption below.

    Args:
        images_left: one picture of each pair, as for `plot_samples`; at least one.
        images_right: the other picture of each pair.
        captions: lines to stand below each pair, such as two file names and their distance.
        path: the PNG to write.
    """
    texts = [_wrapped(caption, PAIR_CHARACTERS) for caption in captions[:SHEET_PAIRS]]
    pairs = list(zip(images_left[: len(texts)], images_right[: len(texts)], texts, strict=True))
    columns = min(len(pairs), PAIR_COLUMNS)
    rows = ceil(len(pairs) / columns)
    shape = _box_shape([picture for pair in pairs for picture in pair[:2]])
    lines = max(text.count("\n") + 1 for text in texts)
    height = shape * PAIR_WIDTH / 2 + LINE * lines + 0.25
    figure = drawing.figure(PAIR_WIDTH * columns, height * rows)
    cells = figure.subfigures(rows, columns, squeeze=False, wspace=0.02, hspace=0.02).flat
    for cell, (left, right, text) in zip(cells, pairs, strict=False):
        cell.set_facecolor(PAIR_SHADE)
        for axes, image in zip(cell.subplots(1, 2), (left, right), strict=True):
            _show(axes, image)
        cell.supxlabel(text, fontsize=8)
    return drawing.save(figure, path)


def _sheet(images: Sequence[np.ndarray], captions: Sequence[str], width: float):
    """A figure with the first pictures on a grid, captions above, and the axes of the grid."""
    count = min(len(images), SHEET_PICTURES)
    columns = min(count, int(SHEET_WIDTH / width))
    rows = ceil(count / columns)
    lines = max(caption.count("\n") + 1 for caption in captions[:count])
    height = width * _box_shape(images[:count]) + 0.45 + LINE * max(0, lines - 2)
    figure = drawing.figure(width * columns, rows * height)
    grid = figure.subplots(rows, columns, squeeze=False)
    for axes in grid.flat:
        axes.set_axis_off()
    for index, axes in zip(range(count), grid.flat, strict=False):
        _show(axes, images[index])
        axes.set_title(captions[index], fontsize=8)
    return figure, grid.flat


def _show(axes, image: np.ndarray) -> None:
    """Show a picture whole; lower ones of a row hang from the same line as the others."""
    grey = image.ndim == 3 and image.shape[-1] == 1
    axes.imshow(image[..., 0] if grey else image, cmap="gray", vmin=0, vmax=255)
    axes.set_anchor("N")
    axes.set_axis_off()


def _box_shape(images: Sequence[np.ndarray]) -> float:
    """Height by width of the box that every picture of a sheet is fitted into."""
    return float(np.median([image.shape[0] / image.shape[1] for image in images]))


def _wrapped(text: str, characters: int) -> str:
    lines = drawing.plain(text).splitlines()
    return "\n".join(textwrap.fill(line, characters) for line in lines)
