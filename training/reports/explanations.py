"""One answer explained on one sheet, narrow enough for a telephone."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.patches import Rectangle

from training.reports import drawing

WIDTH, SHEET_DPI = 4.8, 170  # inches
FOR, AGAINST, QUIET = drawing.PALETTE[1], drawing.PALETTE[0], "#666666"
SIGNED = LinearSegmentedColormap.from_list("signed", [AGAINST, "#f7f7f7", FOR])
SHOWN_COLUMNS, LINE = 12, 0.19  # inches of a line of small print
CHARACTERS = 62  # of small print that fit on a line


@dataclass(frozen=True)
class SeenPicture:
    """A picture, and where it speaks for the answer.

    Attributes:
        title: what it is.
        image: uint8 (height, width, 1 or 3).
        heat: (rows, columns) 0 or more.
        extent: left, top, right and bottom of what the heat covers, in pixels of the picture.
        box: likewise of a part that another view looks at; None for none.
    """

    title: str
    image: np.ndarray
    heat: np.ndarray
    extent: tuple[float, float, float, float]
    box: tuple[float, float, float, float] | None = None


@dataclass(frozen=True)
class SeenFace:
    """Landmarks on a face, and what each contributes.

    Attributes:
        image: the face, uint8 (height, width, 1 or 3).
        points: (points, 2) x and y in its pixels.
        values: (points,) signed contributions.
        parts: part of the face -> the sum of its points.
    """

    image: np.ndarray
    points: np.ndarray
    values: np.ndarray
    parts: dict[str, float]


@dataclass(frozen=True)
class Bars:
    """Signed contributions of named things, the largest first.

    Attributes:
        names: with their values.
        values: contributions.
        second: contributions against another baseline, None where there is none.
        words: what `values` and `second` are, for the legend.
    """

    names: Sequence[str]
    values: Sequence[float]
    second: Sequence[float | None] = ()
    words: tuple[str, str] = ("", "")


@dataclass(frozen=True)
class HeardSound:
    """A spectrogram, and which patches contribute what.

    Attributes:
        spectrogram: (frames, bands) dB.
        frequencies: (bands,) Hz.
        frame: seconds from frame to frame.
        heat: (patches in time, patches in frequency) signed contributions.
        patch: frames and bands of a patch.
        marked: (patch in time, patch in frequency) of those to be outlined.
        probabilities: (segments,) of the class answered.
        hop, segment: frames from segment to segment, and of a segment.
    """

    spectrogram: np.ndarray
    frequencies: np.ndarray
    frame: float
    heat: np.ndarray
    patch: tuple[int, int]
    marked: Sequence[tuple[int, int]]
    probabilities: np.ndarray
    hop: int
    segment: int


@dataclass(frozen=True)
class Near:
    """One of the nearest training specimens.

    Attributes:
        label: its class.
        name: which it is.
        distance: cosine distance of the embeddings.
        image: uint8 picture; None where it cannot be read.
    """

    label: str
    name: str
    distance: float
    image: np.ndarray | None = None


@dataclass(frozen=True)
class Sheet:
    """What stands on the sheet, from top to bottom; what is empty is left out."""

    title: str
    lines: Sequence[str]
    pictures: Sequence[SeenPicture] = ()
    face: SeenFace | None = None
    bars: Bars | None = None
    sound: HeardSound | None = None
    weights: dict[str, float] = field(default_factory=dict)
    nearest: Sequence[Near] = ()
    notes: Sequence[str] = ()


def plot_explanation(sheet: Sheet, path: Path) -> Path:
    """Draw an explained answer.

    Args:
        sheet: what is drawn.
        path: the PNG to write.
    """
    title = textwrap.fill(drawing.plain(sheet.title), 40)
    lines = _wrapped(sheet.lines)
    blocks = [(0.12 + 0.23 * (title.count("\n") + 1) + LINE * len(lines), _heading, (title, lines))]
    blocks += [(_picture_height(one), _picture, one) for one in sheet.pictures]
    if sheet.face:
        blocks.append((3.1, _face, sheet.face))
    if sheet.sound:
        blocks.append((4.6, _sound, sheet.sound))
    if sheet.bars:
        rows = min(SHOWN_COLUMNS, len(sheet.bars.names))
        blocks.append((1.25 + 0.23 * rows, _bars, sheet.bars))
    if len(sheet.weights) > 1:
        blocks.append((0.85 + 0.26 * len(sheet.weights), _weights, sheet.weights))
    if sheet.nearest:
        seen = any(one.image is not None for one in sheet.nearest)
        height = 2.0 if seen else 0.3 + LINE * 2 * len(sheet.nearest)
        blocks.append((height, _nearest, sheet.nearest))
    if sheet.notes:
        notes = _wrapped(sheet.notes)
        blocks.append((0.15 + LINE * len(notes), _small_print, notes))
    heights = [height for height, _, _ in blocks]
    figure = drawing.figure(WIDTH, sum(heights), SHEET_DPI)
    parts = figure.subfigures(len(blocks), 1, height_ratios=heights, squeeze=False)[:, 0]
    for part, (_, draw, what) in zip(parts, blocks, strict=True):
        draw(part, what)
    return drawing.save(figure, path)


def _heading(part, texts) -> None:
    title, lines = texts
    axes = _blank(part)
    axes.text(0, 1, title, fontsize=13, weight="bold", va="top")
    below = "\n" * (title.count("\n") + 1)
    axes.annotate(
        "\n".join(lines), (0, 1), xytext=(0, -16 * len(below) - 5), textcoords="offset points",
        va="top", fontsize=8.5, color=QUIET, linespacing=1.35,
    )  # fmt: skip


def _small_print(part, lines) -> None:
    axes = _blank(part)
    axes.text(0, 1, "\n".join(lines), fontsize=7.5, color=QUIET, va="top", linespacing=1.3)


def _picture_height(seen: SeenPicture) -> float:
    """Inches: two pictures side by side, no higher than they are wide together."""
    height, width = seen.image.shape[:2]
    return min(WIDTH, 0.47 * WIDTH * height / width) + 0.5


def _picture(part, seen: SeenPicture) -> None:
    plain, mapped = part.subplots(1, 2)
    for axes in (plain, mapped):
        axes.set_axis_off()
    colour = seen.image[..., 0] if seen.image.shape[-1] == 1 else seen.image
    plain.imshow(colour, cmap="gray", vmin=0, vmax=255)
    plain.set_title(drawing.short(seen.title), fontsize=9)
    if seen.box:
        left, top, right, bottom = seen.box
        frame = {"fill": False, "edgecolor": drawing.PALETTE[3], "linewidth": 2}
        plain.add_patch(Rectangle((left, top), right - left, bottom - top, **frame))
    is_hot = drawing.heat(mapped, seen.image, seen.heat, seen.extent)
    mapped.set_title("speaks for the answer" if is_hot else "no place speaks for it", fontsize=9)


def _face(part, face: SeenFace) -> None:
    shown, bars = part.subplots(1, 2, width_ratios=(1.15, 1))
    shown.set_axis_off()
    grey = face.image.mean(axis=-1)
    shown.imshow(255 - 0.55 * (255 - grey), cmap="gray", vmin=0, vmax=255)
    shown.autoscale(False)
    most = float(np.abs(face.values).max()) or 1.0
    sizes = 8 + 60 * np.abs(face.values) / most
    shown.scatter(
        *face.points.T, s=sizes, c=face.values, cmap=SIGNED, vmin=-most, vmax=most,
        edgecolors="black", linewidths=0.4,
    )  # fmt: skip
    shown.set_title("landmarks", fontsize=9)
    _bar_axes(bars, list(face.parts), list(face.parts.values()))
    bars.set_title("by part of the face", fontsize=9)
    _legend(part)


def _bars(part, bars: Bars) -> None:
    axes = part.subplots()
    _bar_axes(axes, bars.names[:SHOWN_COLUMNS], bars.values[:SHOWN_COLUMNS])
    second = [
        (value, row) for row, value in enumerate(bars.second[:SHOWN_COLUMNS]) if value is not None
    ]
    if second:
        axes.scatter(
            *zip(*second, strict=True), marker="D", s=26, facecolors="white", edgecolors="black",
            zorder=3, label=bars.words[1],
        )  # fmt: skip
        part.legend(loc="outside lower left", fontsize=8, frameon=False)
    rest = len(bars.names) - SHOWN_COLUMNS
    more = f", first {SHOWN_COLUMNS} of {len(bars.names)}" if rest > 0 else ""
    axes.set_title(f"{bars.words[0]}{more}", fontsize=9, loc="left")


def _weights(part, weights: dict[str, float]) -> None:
    axes = part.subplots()
    total = sum(map(abs, weights.values())) or 1.0
    names = [f"{name}  {100 * abs(value) / total:.0f} %" for name, value in weights.items()]
    _bar_axes(axes, names, list(weights.values()))
    axes.set_title("how much each part weighed", fontsize=9, loc="left")


def _sound(part, sound: HeardSound) -> None:
    spectrogram, patches, votes = part.subplots(3, 1, sharex=True, height_ratios=(2.2, 2.2, 1))
    frames, bands = sound.spectrogram.shape
    seconds = frames * sound.frame
    loudest = np.nanmax(sound.spectrogram)
    spectrogram.imshow(
        sound.spectrogram.T, origin="lower", aspect="auto", cmap="gray_r",
        vmin=loudest - 80, vmax=loudest, extent=(0, seconds, 0, bands),
    )  # fmt: skip
    across, up = sound.patch
    most = float(np.abs(sound.heat).max()) or 1.0
    times, rows = sound.heat.shape
    patches.imshow(
        sound.heat.T, origin="lower", aspect="auto", cmap=SIGNED, vmin=-most, vmax=most,
        extent=(0, times * across * sound.frame, 0, rows * up),
    )  # fmt: skip
    for axes in (spectrogram, patches):
        for time, band in sound.marked:
            axes.add_patch(
                Rectangle(
                    (time * across * sound.frame, band * up),
                    across * sound.frame,
                    up,
                    fill=False,
                    edgecolor=FOR,
                    linewidth=1.8,
                )  # fmt: skip
            )
        _frequency_ticks(axes, sound.frequencies)
    starts = np.arange(len(sound.probabilities)) * sound.hop
    middles = np.minimum((starts + sound.segment / 2) * sound.frame, seconds)
    if len(middles) == 1:
        middles, told = [0, seconds], np.repeat(sound.probabilities, 2)
    else:
        told = sound.probabilities
    votes.plot(middles, told, color=FOR, marker="o" if len(told) > 2 else None, ms=3)
    votes.set_ylim(-0.05, 1.05)
    votes.set_xlim(0, seconds)
    votes.set_xlabel("seconds", fontsize=8.5)
    votes.tick_params(labelsize=8)
    spectrogram.set_title("spectrogram (Hz)", fontsize=9, loc="left")
    patches.set_title("patches that speak for the answer, or against it", fontsize=9, loc="left")
    votes.set_title("probability of the answer, by segment", fontsize=9, loc="left")
    drawing.tidy(votes)
    _legend(part)


def _nearest(part, nearest: Sequence[Near]) -> None:
    if all(one.image is None for one in nearest):
        axes = _blank(part)
        lines = ["nearest training specimens"]
        for one in nearest:
            lines.append(f"  {drawing.short(one.label)}, distance {one.distance:.3f}")
            lines.append(f"     {_end(one.name)}")
        axes.text(0, 1, "\n".join(lines), fontsize=8.5, va="top", linespacing=1.3)
        return
    part.suptitle("nearest training specimens", fontsize=9)
    grid = part.subplots(1, max(3, len(nearest)), squeeze=False)[0]
    for axes in grid:
        axes.set_axis_off()
    for axes, one in zip(grid, nearest, strict=False):
        if one.image is not None:
            grey = one.image.shape[-1] == 1
            image = one.image[..., 0] if grey else one.image
            axes.imshow(image, cmap="gray", vmin=0, vmax=255)
        label = textwrap.fill(drawing.short(one.label), 18)
        axes.set_title(f"{label}\n{one.distance:.3f}", fontsize=8)


def _bar_axes(axes, names: Sequence[str], values: Sequence[float]) -> None:
    """Signed bars, the first on top."""
    rows = range(len(names))
    axes.barh(rows, values, height=0.7, color=[FOR if value > 0 else AGAINST for value in values])
    axes.axvline(0, color="black", linewidth=0.8)
    axes.set_yticks(rows, [drawing.short(name) for name in names], fontsize=8.5)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.tick_params(axis="x", labelsize=8)
    axes.locator_params(axis="x", nbins=5)
    drawing.open_frame(axes)


def _legend(part) -> None:
    handles = [
        Rectangle((0, 0), 1, 1, color=colour, label=word)
        for colour, word in ((FOR, "for the answer"), (AGAINST, "against it"))
    ]
    part.legend(
        handles=handles, loc="outside lower center", ncols=2, fontsize=8, frameon=False,
        handlelength=1,
    )  # fmt: skip


def _frequency_ticks(axes, frequencies: np.ndarray) -> None:
    wanted = [hertz for hertz in (200, 500, 1000, 2000, 4000, 8000) if hertz < frequencies[-1]]
    rows = np.interp(wanted, frequencies, np.arange(len(frequencies)) + 0.5)
    axes.set_yticks(rows, [f"{hertz:,}" for hertz in wanted], fontsize=8)


def _end(name: str, most: int = CHARACTERS - 8) -> str:
    """The end of a path, where its file stands."""
    return drawing.plain(name if len(name) <= most else f"…{name[-most:]}")


def _blank(part):
    axes = part.subplots()
    axes.set_axis_off()
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1)
    return axes


def _wrapped(lines: Sequence[str]) -> list[str]:
    return [one for line in lines for one in textwrap.wrap(drawing.plain(line), CHARACTERS)]
