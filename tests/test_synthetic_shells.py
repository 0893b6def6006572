"""Synthetic shells: Raup's surface, what a caliper reads on it, and what one sees of it."""

from dataclasses import replace

import numpy as np
import pytest

from datasets.synthetic import snails
from datasets.synthetic.shells import EMBRYO_MM, Look, Shell, View, draw, measure, touching

TYPICAL = Shell(expansion=1.75, distance=0.06, translation=3.4, shape=1.42, radius=1.2, flare=0.06)
SHELLS = (
    TYPICAL,
    Shell(expansion=2.3, distance=0.2, translation=2.1, shape=1.1, radius=2.0),
    Shell(expansion=1.5, distance=0.01, translation=4.4, shape=1.6, radius=0.8, flare=0.15),
)


def surface(shell, last=0.0):
    """Points of the surface up to a turn, (3, points)."""
    turns = np.linspace(-shell.whorls, last, 3000)
    return shell.at(turns, np.linspace(-np.pi, np.pi, 721)).reshape(3, -1)


def lip(shell):
    """Points of the edge of the aperture, (3, points)."""
    edge = shell.at(np.zeros(1), np.linspace(-np.pi, np.pi, 721)).reshape(3, -1)
    middle = np.array([shell.middle[0], 0, shell.middle[1]])[:, None]
    return middle + (1 + shell.flare) * (edge - middle)


@pytest.mark.parametrize("shell", SHELLS)
def test_measurements_are_the_extents_of_the_surface(shell):
    whole, mouth = np.hstack([surface(shell), lip(shell)]), np.ptp(lip(shell), axis=1)
    width, _, height = np.ptp(whole, axis=1)
    expected = {
        "shell_height_mm": height,
        "shell_width_mm": width,
        "body_whorl_width_mm": np.ptp(surface(shell)[1]),
        "penultimate_whorl_width_mm": np.ptp(surface(shell, last=-0.75)[0]),
        "aperture_height_mm": mouth[2],
        "aperture_width_mm": mouth[0],
    }
    assert tuple(expected) == snails.SHELL_MEASUREMENTS
    assert measure(shell) == pytest.approx(expected, rel=1e-4)


def test_measurements_of_a_shell_that_one_can_work_out():
    read = measure(Shell(expansion=2, distance=0, translation=3, shape=1, radius=1))
    # The ellipse is a circle of radius 1/2 at (1/2, 3/2); the first one reaches up to 1 x 0.07.
    assert read["aperture_height_mm"] == read["aperture_width_mm"] == 1
    assert read["shell_height_mm"] == pytest.approx(2 - EMBRYO_MM)
    # A spiral's bulge is 1 / cos of the angle by which it comes late, times its growth there.
    late = np.arctan(np.log(2) / (2 * np.pi))
    bulge = np.cos(late) * 2 ** (late / (2 * np.pi))
    assert read["shell_width_mm"] == pytest.approx(1 + bulge / np.sqrt(2))


def test_a_shell_is_similar_to_itself_one_turn_before():
    turns, angles = np.linspace(-2, 0, 50), np.linspace(-3, 3, 20)
    now, before = TYPICAL.at(turns, angles), TYPICAL.at(turns - 1, angles)
    np.testing.assert_allclose(before * TYPICAL.expansion, now, rtol=1e-9, atol=1e-12)


def test_whorls_touch_at_the_limit_of_translation():
    limit = touching(1.8, 0.1, 1.4)
    shell = Shell(expansion=1.8, distance=0.1, translation=limit, shape=1.4, radius=1.0)
    down, half_height = shell.middle[1], shell.half_axes[1]
    assert (down + half_height) / 1.8 == pytest.approx(down - half_height)
    for specimen in snails.collect(100):
        form = specimen.shell
        assert form.translation < touching(form.expansion, form.distance, form.shape)


def drawn(shell, look=None, **view):
    colours, cover = draw(shell, look or Look(), View(**view), 96)
    return 240 + (colours - 240) * cover[..., None]


def mirrored(light):
    return -light[0], light[1], light[2]


def test_the_mirrored_picture_of_a_dextral_shell_is_a_sinistral_one():
    other = replace(TYPICAL, sinistral=True)
    points = TYPICAL.at(np.linspace(-3, 0, 40), np.linspace(-2, 2, 9))
    np.testing.assert_array_equal(
        other.at(np.linspace(-3, 0, 40), np.linspace(-2, 2, 9)),
        points * np.array([-1, 1, 1])[:, None, None],
    )
    look, light = Look(ribs=0.5, cords=0.4, band=0.5), (-0.6, -0.5, 0.6)
    right = drawn(TYPICAL, look, light=light, lean=0.1)
    left = drawn(other, look, light=mirrored(light), lean=0.1)
    assert np.abs(left - right[:, ::-1]).mean() < 0.05
    assert np.abs(left - right).mean() > 15, "the comparison would hold without mirroring, too"


def mouth_side(picture):
    """Where the dark aperture lies from the middle of the shell, px to the right and down."""
    grey = picture.mean(axis=-1)
    there = grey < np.percentile(grey, 90) - 25
    dark = there & (grey <= np.percentile(grey[there], 20))
    return np.argwhere(dark).mean(axis=0)[::-1] - np.argwhere(there).mean(axis=0)[::-1]


def test_the_aperture_lies_at_the_lower_right_and_the_apex_above():
    right, down = mouth_side(drawn(TYPICAL))
    assert right > 4 and down > 4
    right, down = mouth_side(drawn(replace(TYPICAL, sinistral=True)))
    assert right < -4 and down > 4
    _, cover = draw(TYPICAL, Look(), View(), 96)
    rows = np.flatnonzero(cover.sum(axis=1) > 0.5)
    assert cover[rows[0] : rows[0] + 10].sum() < 0.6 * cover[rows[-1] - 10 : rows[-1]].sum()
    assert len(rows) == pytest.approx(0.8 * 96, abs=5), "the share of the height asked for"


def test_light_falls_from_where_it_comes():
    left, right = (drawn(TYPICAL, light=(x, -0.3, 0.3))[24:60, 24:56] for x in (-0.8, 0.8))
    half = left.shape[1] // 2
    assert left[:, :half].mean() > left[:, half:].mean() + 15
    assert right[:, :half].mean() < left[:, :half].mean() - 15


@pytest.mark.parametrize(
    "look",
    [
        Look(ribs=0.6),
        Look(cords=0.6),
        Look(band=0.8),
        Look(lip=0.16),
        Look(broken=0.25),
        Look(colour=(150, 150, 170)),
    ],
)
def test_ornament_is_seen(look):
    assert np.abs(drawn(TYPICAL, look) - drawn(TYPICAL)).mean() > 0.5


def test_a_shell_may_leave_the_picture():
    assert drawn(TYPICAL, share=2.0).shape == drawn(TYPICAL, middle=(0.1, 1.2)).shape


def test_photographs_show_which_way_a_shell_turns():
    specimens = snails.collect(60)
    pictures = [snails.photograph(one, np.random.default_rng(7)) for one in specimens]
    sides = np.array([mouth_side(picture)[0] for picture in pictures])
    sinistral = np.array([one.shell.sinistral for one in specimens])
    assert 5 < sinistral.sum() < 30
    assert ((sides < 0) == sinistral).mean() > 0.95
