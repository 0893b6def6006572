"""Pictures of synthetic organisms: body plan, limbs and colours by a form, fine texture on top.

Lengths are in sides of the picture. A point of the organism is (u, v): u along its axis, 0 in the
middle of the body and positive towards the front, v across. An organism is the mirror image of
itself at v = 0, texture included, so that a mirrored picture shows the same species.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

SIZE = 128  # px
# Directions of a texture's waves from the axis, degrees, for each angle of each kind. The waves run
# over (u, |v|); rings have centres on the axis instead, so many half lengths of the body behind.
WAVES = {
    "stripes": ((0,), (30,), (60,), (90,)),
    "hatching": ((22, -22), (45, -45), (68, -68)),
    "dots": ((0, 90), (22, 112)),
}
RINGS = (0.0, 0.8, 1.8)
KINDS = {name: len(angles) for name, angles in WAVES.items()} | {"rings": len(RINGS)}
TEXTURED = 0.25  # the texture ends so far from the middle of the body
LIMB_END = 0.85  # where along a limb its tip begins to round off
OUTLINE, TAIL_WIDTH = 0.012, 0.05
MOST_LIMBS = 64
BLUR, NOISE = (0.2, 0.45), (2.0, 6.0)  # px, grey values


@dataclass(frozen=True)
class Texture:
    """What only a close-up shows.

    Attributes:
        kind: a name of KINDS.
        angle: which of the kind's directions, from 0 to KINDS[kind] - 1.
        cycles: waves per side of the picture.
        contrast: amplitude, a share of the body's colour.
    """

    kind: str
    angle: int
    cycles: float
    contrast: float = 0.25


@dataclass(frozen=True)
class Form:
    """What one sees from afar."""

    radial: bool  # limbs all around, or in pairs along the body
    limbs: int  # all of them, or pairs
    colour: tuple[float, float, float]  # RGB of the body
    limb_colour: tuple[float, float, float]
    radius: float  # of a disc as large as the body
    elongation: float  # length of the body over its width
    corners: float  # exponent of the superellipse: 2 for an ellipse, more for a box
    taper: float  # how much wider the front is than the middle, a share
    limb_length: float
    limb_width: float  # half the width at the base
    limb_tip: float  # width of the tip over that of the base
    limb_curl: float  # how much limbs bend to the rear, over their length
    tail: float  # length of a tail
    head: float  # radius of a head; 0 for none

    @property
    def half_axes(self) -> tuple[float, float]:
        """Half length and half width of the body."""
        stretch = self.elongation**0.5
        return self.radius * stretch, self.radius / stretch


@dataclass(frozen=True)
class Pose:
    """How an organism lies before the camera; angles in radians."""

    turn: float
    scale: float
    middle: tuple[float, float]  # across and down the picture
    bend: float  # of the axis
    swing: np.ndarray  # (limbs,), how far each limb is turned from where it would be
    light: tuple[float, float]  # from where light falls, to the right and down

    @classmethod
    def drawn(cls, rng: np.random.Generator, limbs: int = MOST_LIMBS) -> Pose:
        """A pose that tells nothing of the organism."""
        return cls(
            turn=rng.normal(0, 0.2),
            scale=rng.uniform(0.92, 1.08),
            middle=tuple(rng.normal(0.5, 0.02, 2).tolist()),
            bend=rng.normal(0, 0.35),
            swing=rng.normal(0, 0.1, limbs),
            light=tuple(rng.normal(0, 0.5, 2).tolist()),
        )

    def points(self) -> tuple[np.ndarray, np.ndarray]:
        """The organism's (u, v) at the middle of every pixel, each (SIZE, SIZE) float32."""
        steps = (np.arange(SIZE, dtype=np.float32) + 0.5) / SIZE
        x = (steps[None, :] - self.middle[0]) / self.scale
        y = (steps[:, None] - self.middle[1]) / self.scale
        cos, sin = np.float32(np.cos(self.turn)), np.float32(np.sin(self.turn))
        u, v = sin * x - cos * y, cos * x + sin * y
        return u, v - np.float32(self.bend) * u * u


class _Brush:
    """Lays colours over one another; a mask is soft over one pixel."""

    def __init__(self, scale: float):
        self.sharpness = np.float32(SIZE * scale)
        self.colour = np.zeros((SIZE, SIZE, 3), np.float32)
        self.alpha = np.zeros((SIZE, SIZE), np.float32)

    def mask(self, depth: np.ndarray) -> np.ndarray:
        """Share of each pixel that lies inside, from the depth below the outline."""
        return np.clip(0.5 + depth * self.sharpness, 0, 1)

    def lay(self, colour, depth: np.ndarray) -> None:
        """Lay a colour with a dark outline; colour (3,) or (SIZE, SIZE, 3)."""
        mask, colour = self.mask(depth), np.float32(colour)
        rows = np.flatnonzero(mask.any(axis=1))
        if not len(rows):
            return
        # Most masks are empty but for a few rows.
        rows = slice(rows[0], rows[-1] + 1)
        edge = 0.5 + 0.5 * self.mask(depth[rows] - OUTLINE)
        own = (colour[rows] if colour.ndim == 3 else colour) * edge[..., None]
        self.colour[rows] += (own - self.colour[rows]) * mask[rows, :, None]
        np.maximum(self.alpha, mask, out=self.alpha)


def smooth_noise(cells: int, rng: np.random.Generator) -> np.ndarray:
    """Smooth noise, (SIZE, SIZE) float32, mostly within -1 and 1."""
    coarse = Image.fromarray(rng.normal(0, 0.5, (cells, cells)).astype(np.float32))
    return np.asarray(coarse.resize((SIZE, SIZE), Image.Resampling.BICUBIC))


def waves(texture: Texture, form: Form, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """The texture at points of the organism: mean 0, variance 1/2 for every kind."""
    pulse, v = np.float32(2 * np.pi * texture.cycles), np.abs(v)
    if texture.kind == "rings":
        behind = np.float32(RINGS[texture.angle] * form.half_axes[0])
        return np.cos(pulse * np.hypot(u + behind, v))
    angles = np.radians(WAVES[texture.kind][texture.angle])
    total = sum(
        np.cos(pulse * (np.float32(np.cos(a)) * u + np.float32(np.sin(a)) * v)) for a in angles
    )
    return total / np.float32(len(angles) ** 0.5)


def _body_depth(form: Form, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Depth below the body's outline, exact only on it."""
    length, width = form.half_axes
    along = np.abs(u) / length
    across = np.abs(v) / (width * np.clip(1 + form.taper * u / length, 0.3, 1.7))
    power = np.float32(form.corners)
    return width * (1 - (along**power + across**power) ** (1 / power))


def _limb_depth(form: Form, along, across, length: float, width: float) -> np.ndarray:
    """Depth below the outline of a limb that starts at (0, 0)."""
    share = along / length
    across = across + form.limb_curl * length * np.clip(share, 0, 1) ** 2
    profile = width * (1 + (form.limb_tip - 1) * np.clip(share, 0, 1))
    rounded = np.clip((share - LIMB_END) / (1 - LIMB_END), 0, 1)
    depth = profile * np.sqrt(1 - rounded**2) - np.abs(across)
    return np.where(share > 0, np.minimum(depth, length - along), -1.0)


def _limb_roots(form: Form) -> list[tuple[float, float, float, int]]:
    """Where each limb starts (u, v), its direction from the front, and the side it curls to."""
    length, width = form.half_axes
    roots = []
    if form.radial:
        for turn in (np.arange(form.limbs) + 0.5) / form.limbs * 2 * np.pi:
            root = 0.6 * length * np.cos(turn), 0.6 * width * np.sin(turn)
            roots.append((*root, turn, 1 if np.sin(turn) > 0 else -1))
        return roots
    for place in np.linspace(0.72, -0.72, form.limbs) if form.limbs > 1 else (0.1,):
        for side in (-1, 1):
            root = place * length, side * 0.5 * width
            roots.append((*root, side * (np.pi / 2 - 0.6 * place), side))
    return roots


def _lay_limbs(brush: _Brush, form: Form, pose: Pose, u, v) -> None:
    deepest = np.full(u.shape, -1, np.float32)
    for (root_u, root_v, turn, side), swing in zip(_limb_roots(form), pose.swing, strict=False):
        cos, sin = np.float32(np.cos(turn + swing)), np.float32(np.sin(turn + swing))
        du, dv = u - np.float32(root_u), v - np.float32(root_v)
        along, across = cos * du + sin * dv, side * (sin * du - cos * dv)
        reach = form.limb_length + 0.5 * form.half_axes[1]
        depth = _limb_depth(form, along, across, reach, form.limb_width)
        np.maximum(deepest, depth, out=deepest)
    if form.tail > 0.02:
        start = 0.7 * form.half_axes[0]
        tail = _limb_depth(form, -u - start, v, form.tail + 0.3 * form.half_axes[0], TAIL_WIDTH)
        np.maximum(deepest, tail, out=deepest)
    ridge = 0.8 + 0.3 * np.clip(deepest / form.limb_width, 0, 1)
    brush.lay(np.float32(form.limb_colour) * ridge[..., None], deepest)


def _lay_head(brush: _Brush, form: Form, u, v) -> None:
    """A head with two eyes."""
    ahead = u - np.float32(form.half_axes[0] + 0.4 * form.head)
    brush.lay(form.colour, form.head - np.hypot(ahead, v))
    eyes = np.hypot(ahead - 0.35 * form.head, np.abs(v) - 0.55 * form.head)
    brush.lay((24, 20, 22), 0.3 * form.head - eyes)


def _lay_body(brush: _Brush, form: Form, texture: Texture, pose: Pose, u, v, rng) -> None:
    """The body as a dome in the light, with its texture."""
    depth = _body_depth(form, u, v)
    width = form.half_axes[1]
    height = np.sqrt(np.clip(depth / width, 0, 1))
    towards = (pose.light[0] * v - pose.light[1] * u) / width
    lit = 0.72 + 0.34 * height + 0.12 * towards
    # Individuals differ by a slight wave in the lines.
    wavy = 0.006 * smooth_noise(6, rng)
    inside = np.clip(3 * depth / width, 0, 1) * np.clip(8 * (1 - np.hypot(u, v) / TEXTURED), 0, 1)
    pattern = waves(texture, form, u + wavy, v) * inside * texture.contrast
    brush.lay(np.float32(form.colour) * (lit * (1 + pattern))[..., None], depth)


def draw(
    form: Form, texture: Texture, pose: Pose, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Draw an organism.

    Returns:
        Colours (SIZE, SIZE, 3), 0 to 255, and how much of each pixel it covers (SIZE, SIZE), 0 to
        1; float32.
    """
    u, v = pose.points()
    brush = _Brush(pose.scale)
    _lay_limbs(brush, form, pose, u, v)
    if form.head:
        _lay_head(brush, form, u, v)
    _lay_body(brush, form, texture, pose, u, v, rng)
    return brush.colour, brush.alpha


def backdrop(rng: np.random.Generator) -> np.ndarray:
    """Ground of any colour with patches, grains and blades, (SIZE, SIZE, 3) float32."""
    one, other = rng.uniform(60, 215, (2, 3)).astype(np.float32)
    grey = rng.uniform(0.4, 0.9)
    one, other = (_greyed(colour, grey) for colour in (one, other))
    noise = smooth_noise(rng.integers(4, 20), rng) + 0.4 * smooth_noise(40, rng)
    share = np.clip(0.5 + rng.uniform(0.4, 2.5) * noise, 0, 1)[..., None]
    ground = one + (other - one) * share
    ground *= 1 + rng.uniform(0, 0.12) * smooth_noise(SIZE, rng)[..., None]
    return _with_blades(ground, rng)


def _greyed(colour: np.ndarray, share: float) -> np.ndarray:
    return colour + share * (colour.mean() - colour)


def _with_blades(ground: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The same ground under some straight blades."""
    count = rng.integers(0, 14)
    canvas = Image.fromarray(ground.clip(0, 255).astype(np.uint8))
    pen = ImageDraw.Draw(canvas)
    colour = _greyed(rng.uniform(60, 200, 3), rng.uniform(0.2, 0.9))
    for _ in range(count):
        ends = rng.uniform(-0.2 * SIZE, 1.2 * SIZE, 4).tolist()
        shade = tuple((colour * rng.uniform(0.8, 1.2)).clip(0, 255).astype(int).tolist())
        pen.line(ends, fill=shade, width=int(rng.integers(1, 5)))
    return np.asarray(canvas.filter(ImageFilter.BoxBlur(0.8)), np.float32)


def _shadowed(ground: np.ndarray, cover: np.ndarray, pose: Pose) -> np.ndarray:
    """The ground, darker where the organism keeps off the light."""
    small = Image.fromarray((255 * cover).astype(np.uint8)).reduce(8)
    soft = small.resize((SIZE, SIZE), Image.Resampling.BICUBIC)
    away = [round(-5 * way) for way in pose.light[::-1]]
    dark = np.roll(np.asarray(soft, np.float32), away, (0, 1)) / 255
    return ground * (1 - 0.35 * dark[..., None])


def photograph(
    form: Form, texture: Texture, ground: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """What a camera shows of an organism.

    Args:
        form: its coarse shape.
        texture: its fine one.
        ground: what it lies on, (SIZE, SIZE, 3).
        rng: draws pose, light and the camera's errors.

    Returns:
        (SIZE, SIZE, 3) uint8.
    """
    pose = Pose.drawn(rng)
    colours, cover = draw(form, texture, pose, rng)
    ground = _shadowed(ground, cover, pose)
    picture = ground + (colours - ground) * cover[..., None]
    steps = np.linspace(-1, 1, SIZE, dtype=np.float32)
    slope = 1 + 0.15 * np.float32(pose.light[0]) * steps
    slope = slope + 0.15 * np.float32(pose.light[1]) * steps[:, None]
    picture *= slope[..., None] * np.float32(rng.normal(1, 0.06, 3) * rng.uniform(0.8, 1.2))
    exposed = Image.fromarray(picture.clip(0, 255).astype(np.uint8))
    noise = rng.standard_normal(picture.shape, np.float32) * np.float32(rng.uniform(*NOISE))
    noise += np.asarray(exposed.filter(ImageFilter.GaussianBlur(rng.uniform(*BLUR))))
    return noise.clip(0, 255).astype(np.uint8)
