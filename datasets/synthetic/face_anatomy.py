"""Anatomy of a synthetic face: 68 points in space, what moves them, who wears them, who looks.

Lengths are in half pictures (24 px) from the middle of the face: x to the right of the picture,
y down, z towards the camera. In pixels, pixel i spans i to i + 1.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from datasets.landmarks import MIRROR

SIZE = 48

JAW, BROWS, EYES = slice(0, 17), (slice(17, 22), slice(22, 27)), (slice(36, 42), slice(42, 48))
OUTER_LIP, INNER_LIP = slice(48, 60), slice(60, 68)


def _symmetric(text: str) -> np.ndarray:
    """Parse `landmark:x,y ...`, hundredths at the left or in the middle, to (68, 2); mirror it."""
    values = np.zeros((68, 2))
    for entry in text.split():
        index, x, y = (int(number) for number in entry.replace(":", ",").split(","))
        values[MIRROR[index]] = -x / 100, y / 100
        values[index] = (0 if MIRROR[index] == index else x / 100), y / 100
    return values


# The landmarks of a calm face, but for the jaw.
CALM = _symmetric(
    "17:-68,-44 18:-56,-52 19:-43,-54 20:-29,-51 21:-17,-47 "
    "27:0,-24 28:0,-11 29:0,2 30:0,14 31:-16,21 32:-8,24 33:0,26 "
    "36:-57,-24 37:-46,-32 38:-32,-32 39:-22,-23 40:-32,-18 41:-46,-18 "
    "48:-31,47 49:-20,41 50:-8,38 51:0,40 57:0,59 58:-9,58 59:-20,54 "
    "60:-27,47 61:-9,46 62:0,46 66:0,48 67:-9,48"
)
# What a full action unit adds to the landmarks.
ACTION_UNITS = {
    "inner_brow_up": _symmetric("19:0,-3 20:0,-9 21:1,-15"),
    "outer_brow_up": _symmetric("17:0,-9 18:0,-13 19:0,-11 20:0,-5"),
    "brow_down": _symmetric("18:1,3 19:3,7 20:5,11 21:6,14"),
    "lids_open": _symmetric("37:0,-6 38:0,-6 40:0,3 41:0,3"),
    "lids_tight": _symmetric("37:0,4 38:0,4 40:0,-3 41:0,-3"),
    "nose_up": _symmetric("31:-2,-5 32:0,-4 33:0,-2"),
    "upper_lip_up": _symmetric("49:0,-4 50:0,-8 51:0,-7 61:0,-6 62:0,-6"),
    "corners_up": _symmetric("4:-2,0 48:-12,-10 49:-7,-4 59:-7,-2 60:-11,-9 61:-5,-1 67:-5,-1"),
    "corners_down": _symmetric("48:-1,10 49:0,4 59:0,5 60:-1,9 61:0,2 67:0,2"),
    "lips_stretch": _symmetric("48:-9,2 49:-5,0 59:-5,0 60:-8,2"),
    "lips_press": _symmetric("49:1,2 50:0,3 51:0,3 59:1,-3 58:0,-4 57:0,-4"),
    "lips_part": _symmetric("58:0,7 57:0,8 59:0,4 67:0,9 66:0,10"),
    "jaw_drop": _symmetric(
        "4:0,3 5:0,6 6:0,9 7:0,11 8:0,12 48:4,4 57:0,22 58:0,20 59:1,12 60:4,4 66:0,23 67:1,20"
    ),
}


@dataclass(frozen=True)
class Identity:
    """What stays the same whatever a person feels; sizes relative to the calm template's."""

    width: float = 1.0
    eye_distance: float = 1.0
    eye_size: float = 1.0
    nose: float = 1.0
    mouth: float = 1.0
    lips: float = 1.0
    brow_height: float = 0.0
    brow_width: float = 1.3  # px
    skin: float = 170.0  # grey values, as hair
    hair: float = 50.0
    fringe: float = 0.0

    @classmethod
    def drawn(cls, rng: np.random.Generator) -> Identity:
        sizes = rng.normal(1.0, [0.05, 0.05, 0.10, 0.08, 0.08, 0.15]).clip(0.7, 1.35)
        looks = rng.uniform([-0.05, 0.8, 120, 15, -0.1], [0.05, 2.0, 200, 85, 0.12])
        return cls(*sizes, *looks)


@dataclass(frozen=True)
class Camera:
    """How the head stands before the camera: angles in radians, shift in half pictures."""

    yaw: float = 0.0
    pitch: float = 0.0
    roll: float = 0.0
    scale: float = 1.0
    shift: tuple[float, float] = (0.0, 0.0)

    @classmethod
    def drawn(cls, rng: np.random.Generator) -> Camera:
        angles = rng.normal(0, [0.13, 0.08, 0.05]).clip(-0.35, 0.35)
        return cls(*angles, rng.uniform(0.93, 1.03), tuple(rng.normal(0, 0.025, 2)))

    def project(self, points: np.ndarray) -> np.ndarray:
        """Points (n, 3) in half pictures to pixels (n, 2) of the picture."""
        x, y, z = np.asarray(points, float).T
        x, z = _turned(x, z, -self.yaw)
        y, z = _turned(y, z, self.pitch)
        x, y = _turned(x, y, self.roll)
        # The camera stands six half pictures away: near parts look a little larger.
        near = self.scale / (1.0 - z / 6.0)
        flat = np.stack([x * near + self.shift[0], y * near + self.shift[1]], axis=1)
        return (flat + 1.0) * (SIZE / 2)


def _turned(a, b, angle):
    cos, sin = math.cos(angle), math.sin(angle)
    return a * cos - b * sin, b * cos + a * sin


def template(person: Identity) -> np.ndarray:
    """The 68 landmarks of a person's calm face, (68, 3) in half pictures."""
    points = np.column_stack([CALM, np.zeros(68)])
    angle = np.linspace(np.pi, 0, 17)
    points[JAW, 0] = 0.84 * person.width * np.sign(np.cos(angle)) * np.abs(np.cos(angle)) ** 0.8
    points[JAW, 1] = -0.24 + 1.10 * np.sin(angle)
    points[JAW, 2] = -0.55 * np.abs(np.cos(angle))
    points[17:27] = points[17:27] * [person.eye_distance, 1, 1] + [0, person.brow_height, 0]
    points[17:27, 2] = 0.15 - 0.2 * np.abs(points[17:27, 0])
    points[27:36, 1] = (points[27:36, 1] + 0.24) * person.nose - 0.24
    points[27:36, 2] = [0.12, 0.22, 0.32, 0.40, 0.15, 0.22, 0.26, 0.22, 0.15]
    for eye in EYES:
        middle = points[eye].mean(axis=0)
        moved = middle * [person.eye_distance, 1, 1]
        points[eye] = (points[eye] - middle) * person.eye_size + moved
    points[48:, 0] *= person.mouth
    points[OUTER_LIP, 1] = (points[OUTER_LIP, 1] - 0.47) * person.lips + 0.47
    points[48:, 2] = 0.2 - 0.8 * points[48:, 0] ** 2
    return points


def moved_by(movements: dict[str, float], points: np.ndarray) -> np.ndarray:
    """The template's landmarks (68, 3) under action units of the given strengths."""
    points = points.copy()
    for unit, strength in movements.items():
        points[:, :2] += strength * ACTION_UNITS[unit]
    # Lips and eyelids meet; they do not pass through one another.
    for upper, lower in ((61, 67), (62, 66), (63, 65), (37, 41), (38, 40), (43, 47), (44, 46)):
        points[lower, 1] = max(points[lower, 1], points[upper, 1] + 0.015)
    return points
