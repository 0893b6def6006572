"""Synthetic snail shells: Raup's coiled surface, what a caliper reads on it, how it looks.

An ellipse turns round the axis of the shell and grows by the factor W in every turn (Raup 1966,
*Geometric analysis of shell coiling*, Journal of Paleontology 40). A point (x, y, z) of the shell
is in mm: z runs down the axis from the apex, y to the observer and x to the right. Turns are
counted from the aperture, which lies at turn 0 and x > 0, backwards to the apex: so a dextral shell
shows its aperture at the lower right, as shells are photographed, and a sinistral one at the left.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from PIL import Image
from scipy.ndimage import uniform_filter

EMBRYO_MM = 0.07  # radius of the first whorl
SUPERSAMPLING = 1.25
SPACING = 1.0  # px between neighbouring points of a surface, at most
# Part of the ellipse that is drawn, to both sides of its outer end: the rest faces the axis.
SECTION = np.radians(120)
BEHIND = -0.4  # sine of the angle around the axis below which the surface is not drawn
AMBIENT, DIRECT, GLOSS = 0.4, 0.62, 0.16  # light on the shell
CORDS = 26.0  # ridges around a whole ellipse, times 2 pi


@dataclass(frozen=True)
class Shell:
    """The form of one shell by Raup's parameters; lengths in mm."""

    expansion: float  # W: growth of all lengths in one turn
    distance: float  # D: inner over outer edge of the ellipse, from the axis
    translation: float  # T: way down the axis over way from the axis
    shape: float  # S: height over width of the ellipse
    radius: float  # from the axis to the outer edge of the last ellipse, without the lip
    flare: float = 0.0  # how much wider the lip is than the ellipse, a share
    sinistral: bool = False

    @property
    def whorls(self) -> float:
        """Turns from the first whorl to the aperture."""
        return math.log(self.radius / EMBRYO_MM) / math.log(self.expansion)

    @property
    def middle(self) -> tuple[float, float]:
        """Middle of the last ellipse: way from the axis, way down the axis; mm."""
        away = self.radius * (1 + self.distance) / 2
        return away, self.translation * away

    @property
    def half_axes(self) -> tuple[float, float]:
        """Half width and half height of the last ellipse, mm."""
        half_width = self.radius * (1 - self.distance) / 2
        return half_width, self.shape * half_width

    def at(self, turns: np.ndarray, angles: np.ndarray) -> np.ndarray:
        """Points of the surface.

        Args:
            turns: (n,), from `-whorls` to 0.
            angles: on the ellipse, (m,), radians; 0 is farthest from the axis, pi/2 lowest.

        Returns:
            (3, n, m): x, y, z in mm.
        """
        (away, down), (half_width, half_height) = self.middle, self.half_axes
        scales, around = self.expansion**turns, 2 * np.pi * turns
        side = -1 if self.sinistral else 1
        from_axis, along = away + half_width * np.cos(angles), down + half_height * np.sin(angles)
        return np.stack(
            [
                np.outer(side * scales * np.cos(around), from_axis),
                np.outer(scales * np.sin(around), from_axis),
                np.outer(scales, along),
            ]
        )


def touching(expansion: float, distance: float, shape: float) -> float:
    """The translation T at which each whorl just touches the one before; beyond, they part."""
    away, half_height = 1 + distance, shape * (1 - distance)
    return half_height * (expansion + 1) / (away * (expansion - 1))


def measure(shell: Shell) -> dict[str, float]:
    """What a caliper reads, in mm: the six measurements of paper 000, section 3.

    The body whorl is measured a quarter of a turn behind the lip, the penultimate whorl one turn
    before the last: only the width and the height of the shell and the aperture include the lip.
    """
    (away, down), (half_width, half_height) = shell.middle, shell.half_axes
    lip, growth = 1 + shell.flare, shell.expansion
    # A whorl bulges most a little after it has passed the side, because it still grows.
    late = np.arctan(np.log(growth) / (2 * np.pi)) / (2 * np.pi)
    bulge = shell.radius * growth**late * np.cos(2 * np.pi * late)
    apex = (down - half_height) * growth**-shell.whorls
    return {
        "shell_height_mm": down + lip * half_height - apex,
        "shell_width_mm": away + lip * half_width + bulge * growth**-0.5,
        "body_whorl_width_mm": bulge * (growth**-0.25 + growth**-0.75),
        "penultimate_whorl_width_mm": bulge * (growth**-1.0 + growth**-1.5),
        "aperture_height_mm": 2 * lip * half_height,
        "aperture_width_mm": 2 * lip * half_width,
    }


@dataclass(frozen=True)
class Look:
    """Colour and ornament of a shell; strengths from 0 (none) to 1."""

    colour: tuple[float, float, float] = (206, 190, 158)  # RGB
    ribs: float = 0.0  # along the axis
    ribs_per_turn: float = 16.0
    cords: float = 0.0  # around the axis
    band: float = 0.0  # a dark band around the axis
    band_place: float = 0.0  # angle on the ellipse, radians
    lip: float = 0.1  # thickness of the lip, in half widths of the aperture
    broken: float = 0.0  # share of the lip that is broken off, on the outer side
    growth: tuple[float, ...] = (0.0,)  # lighter and darker stretches from apex to aperture


@dataclass(frozen=True)
class View:
    """How a shell lies under the microscope, and where the light comes from; angles in radians."""

    spin: float = 0.35  # about its axis: the aperture to the observer
    lean: float = 0.0  # in the picture: the apex away from the aperture
    nod: float = 0.0  # the apex to the observer
    light: tuple[float, float, float] = (-0.5, -0.6, 0.65)  # to the right, down, to the observer
    share: float = 0.8  # of the picture's height that the height of the shell takes
    middle: tuple[float, float] = (0.5, 0.5)  # of the shell in the picture: across, down

    @property
    def turning(self) -> np.ndarray:
        """(3, 3): a dextral shell's x, y, z to right, down, observer."""
        (cs, ss), (cl, sl), (cn, sn) = (
            (np.cos(angle), np.sin(angle)) for angle in (self.spin, self.lean, self.nod)
        )
        spin = np.array([[cs, -ss, 0], [ss, cs, 0], [0, 0, 1]])
        nod = np.array([[1, 0, 0], [0, cn, -sn], [0, sn, cn]])
        lean = np.array([[cl, 0, sl], [0, 1, 0], [-sl, 0, cl]])
        return (lean @ nod @ spin)[[0, 2, 1]].astype(np.float32)


@dataclass(frozen=True)
class _Light:
    """Directions to the light and to the observer, seen from the dextral shell."""

    source: np.ndarray
    eye: np.ndarray

    @classmethod
    def on(cls, view: View, side: int) -> _Light:
        source = np.float32(view.light) * np.float32([side, 1, 1])
        return cls(source / np.linalg.norm(source) @ view.turning, view.turning[2])

    def falls(self, colours: np.ndarray, normals: np.ndarray) -> np.ndarray:
        """Colours (n, 3) on surfaces with these outward directions (n, 3)."""
        half = self.source + self.eye
        towards = np.stack([self.source, self.eye, half / np.linalg.norm(half)])
        source, eye, half = np.einsum("dk,nk->dn", towards, normals).clip(0, 1)
        # A thin shell lets light through where one looks along it.
        lit, gloss = AMBIENT + DIRECT * source + 0.12 * (1 - eye) ** 2, half**24
        return colours * lit[:, None] + 255 * GLOSS * gloss[:, None]


class _Whorls:
    """The outside of a shell as a grid of points, dense enough for a number of px per mm.

    Points so far on the other side that no small tilt shows them are left out.
    """

    def __init__(self, shell: Shell, look: Look, view: View, px_per_mm: float):
        self.shell, self.look = shell, look
        # Equal steps of growth are equal steps of arc, wherever on the spiral.
        growth = math.log(shell.expansion)
        steps = int(2 * np.pi * shell.radius * px_per_mm / growth / SPACING) + 2
        scales = np.linspace(shell.expansion**-shell.whorls, 1, steps, dtype=np.float32)
        turns = np.log(scales) / growth
        # The last half turn is all drawn: from behind, it reaches below the rest.
        before = np.sin(2 * np.pi * turns + view.spin) > BEHIND
        self.turns = turns[before | (turns > -0.5)]
        around = int(2 * SECTION * max(shell.half_axes) * px_per_mm / SPACING) + 2
        self.angles = np.linspace(-SECTION, SECTION, around, dtype=np.float32)
        self.points = shell.at(self.turns, self.angles).reshape(3, -1)

    def shaded(self, ids: np.ndarray, light: _Light) -> np.ndarray:
        """RGB of points by their number, (n, 3)."""
        turns, angles = self.turns[ids // len(self.angles)], self.angles[ids % len(self.angles)]
        return light.falls(self._colours(turns, angles), self._normals(turns, angles))

    def _normals(self, turns: np.ndarray, angles: np.ndarray) -> np.ndarray:
        """Outward directions, tilted by ribs and cords."""
        radial, tangential, axial = _section_normals(self.shell, angles)
        tangential += 0.7 * self.look.ribs * np.sin(2 * np.pi * self.look.ribs_per_turn * turns)
        swing = 0.5 * self.look.cords * np.sin(CORDS * angles)
        radial -= swing * np.sin(angles)
        axial += swing * np.cos(angles)
        cos, sin = np.cos(2 * np.pi * turns), np.sin(2 * np.pi * turns)
        return _unit(radial * cos - tangential * sin, radial * sin + tangential * cos, axial)

    def _colours(self, turns: np.ndarray, angles: np.ndarray) -> np.ndarray:
        spans = np.linspace(-self.shell.whorls, 0, len(self.look.growth))
        band = np.exp(-(((angles - self.look.band_place) / 0.22) ** 2))
        pale = (1 + np.interp(turns, spans, self.look.growth)) * (1 - 0.55 * self.look.band * band)
        return np.float32(pale)[:, None] * np.float32(self.look.colour)


def _unit(*directions: np.ndarray) -> np.ndarray:
    stacked = np.stack(directions, axis=-1)
    return stacked / np.linalg.norm(stacked, axis=-1, keepdims=True)


def _section_normals(shell: Shell, angles: np.ndarray) -> list[np.ndarray]:
    """Outward directions of the surface on the ellipse: from the axis, forward, down the axis.

    The surface is similar to itself, so that they do not depend on the turn.
    """
    (away, down), (half_width, half_height) = shell.middle, shell.half_axes
    cos, sin = np.cos(angles), np.sin(angles)
    from_axis, along = away + half_width * cos, down + half_height * sin
    backward = half_height * cos * from_axis + half_width * sin * along
    around = 2 * np.pi * from_axis
    growth = math.log(shell.expansion)
    return list(_unit(around * half_height * cos, -growth * backward, around * half_width * sin).T)


def _whole(angles: np.ndarray, broken: float) -> np.ndarray:
    """Where along the lip nothing is broken off, by the angle on the ellipse."""
    return np.cos(angles) <= np.cos(np.pi * broken)


class _Lip:
    """A ring that forms the edge of the aperture."""

    def __init__(self, shell: Shell, look: Look):
        (away, down), (half_width, half_height) = shell.middle, shell.half_axes
        around, across = np.meshgrid(
            np.linspace(0, 2 * np.pi, 450, dtype=np.float32),
            np.linspace(0, 2 * np.pi, 26, endpoint=False, dtype=np.float32),
        )
        cos, sin, out = np.cos(around), np.sin(around), np.cos(across)
        self.normals = np.stack([out * cos, np.sin(across), out * sin]).reshape(3, -1)
        whole = _whole(around.ravel(), look.broken)
        thick, edge = look.lip * half_width, 1 + shell.flare
        rows = (away + (edge * half_width - thick) * cos, 0 * cos)
        ring = np.stack([*rows, down + (edge * half_height - thick) * sin])
        self.points = (ring.reshape(3, -1) + thick * self.normals)[:, whole]
        self.normals = self.normals[:, whole]
        self.colour = 0.4 * np.float32(look.colour) + 0.6 * np.float32([240, 232, 215])

    def shaded(self, ids: np.ndarray, light: _Light) -> np.ndarray:
        """RGB of points by their number, (n, 3)."""
        return light.falls(np.broadcast_to(self.colour, (len(ids), 3)), self.normals[:, ids].T)


class _Mouth:
    """The inside that one sees through the aperture, flat, as dark as it is deep."""

    def __init__(self, shell: Shell, look: Look, px_per_mm: float):
        (away, down), half_axes = shell.middle, np.array(shell.half_axes) * (1 + shell.flare)
        steps = int(2 * max(half_axes) * px_per_mm / SPACING) + 2
        x, z = np.meshgrid(*2 * [np.linspace(-1, 1, steps)])
        inside = x**2 + z**2 < np.where(_whole(np.arctan2(z, x), look.broken), 1, 0.5)
        x, z = x[inside], z[inside]
        self.points = np.stack([away + half_axes[0] * x, 0 * x, down + half_axes[1] * z])
        # The tube bends away behind the axis: its outer wall is near, the inner one in the dark.
        self.depth = np.clip(0.4 + 0.3 * x + 0.2 * z - 0.2 * (1 - x**2 - z**2), 0.08, 1)
        self.colour = 0.6 * np.float32(look.colour) + 0.4 * np.float32([200, 170, 130])

    def shaded(self, ids: np.ndarray, light: _Light) -> np.ndarray:
        """RGB of points by their number, (n, 3)."""
        return self.depth[ids, None] * self.colour


def _nearest(points: np.ndarray, middle: tuple[float, float], wide: int):
    """Which of the points (right, down, observer; px; (3, points)) each pixel of a square shows.

    Returns:
        Numbers of the pixels that show one, in rows, numbers of the points shown, and the distance
        to the observer of every pixel, (wide, wide), NaN where there is nothing.
    """
    low, high = points.min(axis=1), points.max(axis=1)
    shift = np.array(middle, np.float32) * wide - (low + high)[:2] / 2
    column, row = np.floor(points[:2] + shift[:, None]).astype(np.int32)
    # Seen as unsigned, a negative number is a great one.
    inside = np.flatnonzero((column.view(np.uint32) < wide) & (row.view(np.uint32) < wide))
    # One number per point, nearer ones greater, whose lower half is the number of the point.
    steps = ((points[2, inside] - low[2]) / (high[2] - low[2]) * 65535).astype(np.int64)
    best = np.full(wide * wide, -1, np.int64)
    np.maximum.at(best, row[inside] * wide + column[inside], steps << 32 | inside)
    pixels = np.flatnonzero(best >= 0)
    shown = best[pixels] & 0xFFFFFFFF
    distance = np.full(wide * wide, np.nan, np.float32)
    distance[pixels] = high[2] - points[2, shown]
    return pixels, shown, distance.reshape(wide, wide)


def _openness(distance: np.ndarray, reach: int) -> np.ndarray:
    """How little each pixel lies in a furrow between nearer ones, 0.4 to 1: sutures are dark."""
    there = np.isfinite(distance)
    cover = uniform_filter(there.astype(np.float32), reach)
    around = uniform_filter(np.where(there, distance, 0), reach) / np.maximum(cover, 1e-3)
    return np.clip(1 - 1.6 * np.where(there, distance - around, 0) / reach, 0.4, 1)


def draw(shell: Shell, look: Look, view: View, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Draw a shell.

    Returns:
        Colours (size, size, 3), 0 to 255, and how much of each pixel the shell covers (size, size),
        0 to 1; float32.
    """
    wide, side = round(size * SUPERSAMPLING), -1 if shell.sinistral else 1
    px_per_mm = view.share * wide / measure(shell)["shell_height_mm"]
    dextral = replace(shell, sinistral=False)
    parts = (
        _Whorls(dextral, look, view, px_per_mm),
        _Lip(dextral, look),
        _Mouth(dextral, look, px_per_mm),
    )
    points = np.concatenate([part.points for part in parts], axis=1, dtype=np.float32)
    turning = np.diag(np.float32([side, 1, 1])) @ view.turning * np.float32(px_per_mm)
    # Not by BLAS, whose threads cost more than so thin a product.
    seen = np.einsum("ik,kn->in", turning, points)
    pixels, shown, distance = _nearest(seen, view.middle, wide)

    colours, light, start = np.zeros((wide * wide, 4), np.float32), _Light.on(view, side), 0
    for part in parts:
        own = (shown >= start) & (shown < start + part.points.shape[1])
        colours[pixels[own], :3] = part.shaded(shown[own] - start, light)
        start += part.points.shape[1]
    colours[pixels, :3] *= _openness(distance, 2 * round(0.025 * wide) + 1).ravel()[pixels, None]
    colours[pixels, 3] = 1
    channels = [_shrunk(channel, size) for channel in colours.T.reshape(4, wide, wide)]
    cover = channels[3]
    return np.stack(channels[:3], axis=-1) / np.maximum(cover, 1e-3)[..., None], cover


def _shrunk(channel: np.ndarray, size: int) -> np.ndarray:
    image = Image.fromarray(np.ascontiguousarray(channel))
    return np.asarray(image.resize((size, size), Image.Resampling.HAMMING))
