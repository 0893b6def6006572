"""Anatomy of a synthetic clownfish: what its species gives it, how it stands, what one sees of it.

Lengths are in standard lengths of the fish (snout to base of the tail). A point of the fish is
(u, v): u = 0 at the snout and 1 at the base of the tail, v = 0 on the midline, up positive.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

WHITE, BLACK, ORANGE = (240, 242, 246), (18, 14, 16), (236, 118, 26)
# Half the depth of the body along u, relative to the species' own; height of the fins along u.
PROFILE = (
    (0.0, 0.02, 0.05, 0.1, 0.18, 0.28, 0.4, 0.52, 0.65, 0.78, 0.9, 1.0, 1.06),
    (0.0, 0.26, 0.44, 0.63, 0.82, 0.95, 1.0, 0.97, 0.87, 0.68, 0.48, 0.37, 0.36),
)
DORSAL = (
    (0.24, 0.3, 0.45, 0.6, 0.66, 0.74, 0.84, 0.92, 0.95),
    (0.0, 0.05, 0.07, 0.055, 0.06, 0.1, 0.11, 0.06, 0.0),
)
ANAL = ((0.6, 0.66, 0.76, 0.86, 0.92, 0.95), (0.0, 0.04, 0.1, 0.11, 0.06, 0.0))
PELVIC = ((0.32, 0.36, 0.46, 0.52, 0.54), (0.0, 0.03, 0.12, 0.1, 0.0))
TAIL_LENGTH = 0.25


@dataclass(frozen=True)
class Band:
    """A white band across the body: its middle, its width, how far it bulges to the head."""

    place: float
    width: float
    bulge: float = 0.0


HEAD, BROAD_HEAD = Band(0.215, 0.065, -0.03), Band(0.215, 0.1, -0.03)


@dataclass(frozen=True)
class Species:
    """What the members of a species share; colours are RGB."""

    body: tuple[int, int, int]
    fins: tuple[int, int, int]
    tail: tuple[int, int, int]
    depth: float  # half the depth of the body
    bands: tuple[Band, ...] = ()
    young_bands: tuple[Band, ...] | None = None  # where the young differ
    edge: float = 0.012  # width of the bands' black edge
    ridge: float = 0.0  # depth of a white stripe along the back, a share of the body's
    rim: float = 0.0  # width of the fins' black margin
    fork: float = 0.0  # how far the tail is forked (positive) or rounded (negative)
    dark_spot: tuple[float, ...] = (0.62, 0.06, 0.45, 0.2)  # u, v and radii of what may darken
    darkness: tuple[float, float] = (0.0, 0.1)  # how dark the spot is: lightest, darkest


SPECIES = {
    "clarkii": Species(
        body=(222, 122, 30),
        fins=(226, 150, 36),
        tail=(244, 214, 120),
        depth=0.25,
        bands=(Band(0.225, 0.1, -0.03), Band(0.57, 0.13), Band(0.95, 0.08)),
        fork=0.25,
        dark_spot=(0.6, 0.06, 0.55, 0.34),
        darkness=(0.45, 1.0),
    ),
    "ephippium": Species(
        body=(226, 84, 24),
        fins=(230, 96, 28),
        tail=(232, 112, 40),
        depth=0.25,
        young_bands=(HEAD,),
        fork=-0.2,
        dark_spot=(0.68, 0.06, 0.26, 0.16),
        darkness=(0.7, 1.0),
    ),
    "frenatus": Species(
        body=(218, 58, 22),
        fins=(226, 70, 24),
        tail=(228, 84, 30),
        depth=0.245,
        bands=(BROAD_HEAD,),
        young_bands=(BROAD_HEAD, Band(0.56, 0.07)),
        edge=0.02,
        fork=-0.25,
        dark_spot=(0.64, 0.05, 0.42, 0.3),
        darkness=(0.0, 0.75),
    ),
    "ocellaris": Species(
        body=(240, 112, 18),
        fins=(242, 116, 20),
        tail=(242, 122, 26),
        depth=0.205,
        bands=(Band(0.235, 0.1, -0.035), Band(0.55, 0.13, 0.07), Band(0.94, 0.075)),
        edge=0.018,
        rim=0.022,
        fork=-0.4,
        darkness=(0.0, 0.3),
    ),
    "perideraion": Species(
        body=(236, 140, 88),
        fins=(240, 190, 160),
        tail=(244, 222, 206),
        depth=0.2,
        bands=(Band(0.225, 0.05, -0.02),),
        edge=0.006,
        ridge=0.16,
        fork=-0.1,
    ),
    "sandaracinos": Species(
        body=(240, 134, 40),
        fins=(240, 160, 76),
        tail=(242, 150, 56),
        depth=0.195,
        ridge=0.34,
        fork=-0.15,
    ),
}


@dataclass(frozen=True)
class Fish:
    """One fish: its species as it wears it."""

    species: Species
    darkness: float = 0.5
    hue: tuple[float, float, float] = (1.0, 1.0, 1.0)  # factors of its body's colour channels

    @classmethod
    def drawn(cls, species: Species, rng: np.random.Generator, young: float = 0.15) -> Fish:
        """A fish of the species, with a chance of `young` a juvenile: rounder, paler, banded."""
        juvenile = rng.random() < young
        own = species.young_bands if juvenile and species.young_bands is not None else None
        bands = tuple(
            Band(
                band.place + rng.normal(0, 0.012),
                band.width * np.clip(rng.normal(1, 0.18), 0.6, 1.5),
                band.bulge + rng.normal(0, 0.012),
            )
            for band in (species.bands if own is None else own)
        )
        shape = np.clip(rng.normal(1.12 if juvenile else 1.0, 0.06), 0.85, 1.3)
        low, high = species.darkness
        return cls(
            replace(
                species,
                bands=bands,
                depth=species.depth * shape,
                ridge=species.ridge * rng.uniform(0.6, 1.3),
                edge=species.edge * rng.uniform(0.3, 1.3),
                rim=species.rim * rng.uniform(0.2, 1.2),
            ),
            darkness=rng.uniform(low, high) * (0.5 if juvenile else 1.0),
            hue=tuple(np.clip(rng.normal(1, [0.06, 0.12, 0.14]), 0.6, 1.4)),
        )


@dataclass(frozen=True)
class Pose:
    """Where a fish stands: pixels, radians; `facing` is -1 to the left and 1 to the right."""

    x: float
    y: float
    length: float
    facing: int = -1
    tilt: float = 0.0  # nose up
    squeeze: float = 1.0  # how much of its length is seen: less as it turns to the camera
    bend: float = 0.0  # of the tail, up

    def window(self, shape: tuple[int, int]) -> tuple[slice, slice]:
        """The part of a picture (height, width) outside of which nothing of the fish is seen."""
        cos, sin = abs(np.cos(self.tilt)), abs(np.sin(self.tilt))
        along, across = 0.72 * self.squeeze * self.length, (0.4 + abs(self.bend)) * self.length
        return (
            _span(self.y, along * sin + across * cos, shape[0]),
            _span(self.x, along * cos + across * sin, shape[1]),
        )

    def points(self, window: tuple[slice, slice]) -> tuple[np.ndarray, np.ndarray]:
        """The fish's (u, v) at the middle of each pixel of a window of the picture."""
        y, x = np.mgrid[window].astype(np.float32) + np.float32(0.5)
        x, y = -self.facing * (x - self.x) / self.length, (y - self.y) / self.length
        cos, sin = np.cos(self.tilt), np.sin(self.tilt)
        u = 0.6 + (cos * x + sin * y) / self.squeeze
        v = sin * x - cos * y - self.bend * np.clip(u - 0.4, 0, None) ** 2
        return u.astype(np.float32), v.astype(np.float32)


def _span(middle: float, reach: float, end: int) -> slice:
    return slice(*np.clip([int(middle - reach), int(middle + reach) + 1], 0, end))


class _Brush:
    """Lays colours over one another; a mask is soft over one pixel."""

    def __init__(self, shape: tuple[int, int], length: float):
        self.length = np.float32(length)
        self.colour = np.zeros((*shape, 3), np.float32)
        self.alpha = np.zeros(shape, np.float32)

    def mask(self, distance: np.ndarray) -> np.ndarray:
        """Share of each pixel that lies inside, from the distance to the outline."""
        return np.clip(0.5 + distance * self.length, 0, 1)

    def lay(self, colour, mask: np.ndarray) -> None:
        rows = np.flatnonzero(mask.any(axis=1))
        if not len(rows):
            return
        # Most masks are empty but for a few rows.
        rows = slice(rows[0], rows[-1] + 1)
        colour, mask = np.asarray(colour, np.float32), mask[rows]
        change = (colour[rows] if colour.ndim == 3 else colour) - self.colour[rows]
        change *= mask[..., None]
        self.colour[rows] += change
        np.maximum(self.alpha[rows], mask, out=self.alpha[rows])


def _fin_distance(u, height_along, start, v) -> np.ndarray:
    """Distance to the outline of a fin that rises from `start`, a share of the way in."""
    height = np.interp(u, *height_along).astype(np.float32)
    return np.where(height > 0, np.minimum(start + height - v, v - 0.8 * start), -1.0)


def _tail_distance(u, v, fork: float) -> np.ndarray:
    along = (u - 1.0) / TAIL_LENGTH
    height = 0.08 + 0.12 * np.clip(along, 0, 1) ** 0.7
    end = 0.85 + fork * ((v / height) ** 2 - 0.4)
    return np.minimum(np.minimum(height - np.abs(v), TAIL_LENGTH * (end - along)), u - 0.97)


def _lay_fins(brush: _Brush, fish: Fish, u, v, half) -> np.ndarray:
    """Paint fins and tail; the mask of the dorsal fin, over which bands run on."""
    species = fish.species
    rays = 0.88 + 0.12 * np.sin(150 * u + 25 * v)
    dorsal = _fin_distance(u, DORSAL, half, v)
    lower = np.maximum(*(_fin_distance(u, fin, half, -v) for fin in (ANAL, PELVIC)))
    tail = _tail_distance(u, v, species.fork)
    for distance, colour in ((np.maximum(dorsal, lower), species.fins), (tail, species.tail)):
        mask = brush.mask(distance)
        brush.lay(np.multiply(colour, fish.hue) * rays[..., None], mask)
        if species.rim:
            brush.lay(BLACK, mask * brush.mask(species.rim - distance))
    return brush.mask(dorsal)


def _lay_bands(brush: _Brush, fish: Fish, u, v, half, body, dorsal) -> None:
    species = fish.species
    across = np.clip(v / np.maximum(half, 0.05), -1.4, 1.4)
    for band in species.bands:
        # At the middle of the flank the band bulges, towards back and belly it narrows.
        middle = band.place - band.bulge * (1 - across**2)
        width = band.width * (1.1 - 0.3 * across**2)
        inside = width / 2 - np.abs(u - middle)
        over = body if band.place < 0.3 else np.maximum(body, 0.8 * dorsal)
        brush.lay(BLACK, brush.mask(inside + species.edge) * over)
        brush.lay(WHITE, brush.mask(inside) * over)
    if species.ridge:
        stripe = brush.mask(v - half * (1 - species.ridge)) * brush.mask(0.95 - u)
        brush.lay(WHITE, 0.9 * stripe * np.maximum(body, 0.7 * dorsal))


def _lay_head(brush: _Brush, fish: Fish, u, v) -> None:
    """Eye, mouth and gill cover."""
    eye = np.hypot(u - 0.115, v - 0.045)
    brush.lay((214, 150, 70), brush.mask(0.036 - eye))
    brush.lay(BLACK, brush.mask(0.026 - eye))
    brush.lay(WHITE, brush.mask(0.008 - np.hypot(u - 0.106, v - 0.056)))
    mouth = brush.mask(0.005 - np.abs(v + 0.03 + 0.4 * u)) * brush.mask(0.06 - u) * brush.alpha
    brush.lay((70, 30, 24), 0.8 * mouth)


def _lay_pectoral(brush: _Brush, fish: Fish, u, v) -> None:
    x, y = (u - 0.4) * 0.95 + (v + 0.07) * 0.3, (v + 0.07) * 0.95 - (u - 0.4) * 0.3
    inside = 0.075 * (1 - np.hypot(x / 0.095, y / 0.075))
    rays = 0.88 + 0.12 * np.sin(110 * y + 40 * x)
    colour = np.multiply(fish.species.fins, fish.hue) * rays[..., None]
    brush.lay(0.55 * colour, 0.6 * brush.mask(inside + 0.012))
    brush.lay(colour, 0.85 * brush.mask(inside))


def paint(picture: np.ndarray, fish: Fish, pose: Pose) -> None:
    """Draw a fish, as it looks in white light, into a picture (height, width, 3) of floats."""
    window = pose.window(picture.shape[:2])
    u, v = pose.points(window)
    species, brush = fish.species, _Brush(u.shape, pose.length)
    half = species.depth * np.interp(u, *PROFILE, left=-1, right=-1).astype(np.float32)
    dorsal = _lay_fins(brush, fish, u, v, np.maximum(half, 0))
    body = brush.mask(half - np.abs(v))
    brush.lay(np.multiply(species.body, fish.hue), body)

    spot_u, spot_v, radius_u, radius_v = species.dark_spot
    far = ((u - spot_u) / radius_u) ** 2 + ((v - spot_v) / radius_v) ** 2
    dark = np.clip(1.6 - 1.6 * far, 0, 1) * fish.darkness
    brush.lay((24, 16, 18), dark * np.maximum(body, 0.8 * dorsal))

    _lay_bands(brush, fish, u, v, half, body, dorsal)
    _lay_head(brush, fish, u, v)
    _shade(brush, u, v, half, body)
    _lay_pectoral(brush, fish, u, v)
    picture[window] += (brush.colour - picture[window]) * brush.alpha[..., None]


def _shade(brush: _Brush, u, v, half, body) -> None:
    """Round the flank, light from above, and hint at scales."""
    across = np.clip(v / np.maximum(half, 0.05), -1, 1)
    scales = 1 + 0.06 * np.sin(130 * u) * np.sin(130 * v)
    lit = (1 + 0.14 * across - 0.22 * across**2) * scales
    brush.colour *= (1 + (lit - 1) * body)[..., None]
