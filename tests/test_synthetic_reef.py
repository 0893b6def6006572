"""Synthetic reef: bands where the species has them, anemones that hint, fish that tell more."""

from collections import Counter

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from scipy.stats.contingency import association
from sklearn.ensemble import ExtraTreesClassifier
from sklearn.model_selection import cross_val_predict

from datasets.synthetic import reef
from datasets.synthetic.reef_anatomy import SPECIES, Fish, Pose, paint
from tests.seeded_pictures import assert_seeded

LEARNT = ("clarkii", "perideraion", "ocellaris", "frenatus")
RARE = ("sandaracinos", "ephippium")
SPECIALISTS = {
    "ocellaris": "gigantea",
    "perideraion": "magnifica",
    "frenatus": "quadricolor",
    "sandaracinos": "crispa",
}
LENGTH = 160


@pytest.fixture(scope="module")
def table():
    return reef.load()


def clear(name, **pose):
    """The typical adult of a species alone before grey, snout to the left, (240, 240, 3)."""
    picture = np.full((240, 240, 3), 100, np.float32)
    paint(picture, Fish(SPECIES[name], darkness=SPECIES[name].darkness[1]), posed(**pose))
    return picture


def posed(**pose):
    return Pose(**{"x": 120, "y": 120, "length": LENGTH} | pose)


def at(picture, u, v):
    """Colour at a point (u, v) of the fish that `clear` draws."""
    return picture[round(120 - v * LENGTH), round(120 + (u - 0.6) * LENGTH)]


def white_runs(picture, v=0.03):
    """Where white begins along the flank, from snout to tail, in lengths of the fish."""
    along = np.linspace(0.02, 1.0, 200)
    white = np.array([at(picture, u, v).min() > 150 for u in along])
    return along[1:][white[1:] & ~white[:-1]]


@pytest.mark.parametrize("name", reef.LABELS)
def test_a_fish_wears_the_bands_of_its_species(name):
    begins = white_runs(clear(name))
    bands = SPECIES[name].bands
    assert len(begins) == len(bands)
    for begin, band in zip(begins, bands, strict=True):
        assert begin < band.place - band.bulge < begin + 1.3 * band.width


def test_the_species_have_the_patterns_of_the_real_ones():
    bands = {name: len(SPECIES[name].bands) for name in reef.LABELS}
    assert (bands["clarkii"], bands["ocellaris"]) == (3, 3)
    assert (bands["perideraion"], bands["frenatus"]) == (1, 1)
    assert (bands["sandaracinos"], bands["ephippium"]) == (0, 0)
    for name in reef.LABELS:
        picture, species = clear(name), SPECIES[name]
        back = at(picture, 0.42, 0.9 * species.depth).min() > 150
        assert back == (name in {"perideraion", "sandaracinos"}), "a white stripe along the back"
        red, _, blue = at(picture, 0.4, -0.75 * species.depth)
        assert red > 1.4 * blue, "an orange belly"
    assert at(clear("ephippium"), 0.68, 0.06).max() < 60, "the saddle"
    flank = {name: at(clear(name), 0.75, 0.05).max() for name in ("clarkii", "ocellaris")}
    assert flank["clarkii"] < 60 < flank["ocellaris"]
    tail = {name: at(clear(name), 1.12, 0.0)[2] for name in reef.LABELS}
    assert min(tail["perideraion"], tail["clarkii"]) > 1.5 * max(
        tail["frenatus"], tail["ocellaris"]
    )


def test_a_fish_that_turns_round_is_mirrored():
    left, right = (clear("clarkii", facing=way, tilt=0.3, bend=0.2) for way in (-1, 1))
    np.testing.assert_allclose(left, right[:, ::-1], atol=1)
    assert np.abs(left - right).mean() > 5, "the comparison would hold without mirroring, too"


@pytest.mark.parametrize("tilt", [0.0, 0.9, -0.9])
def test_no_part_of_a_fish_is_cut_off(tilt):
    """Where the window ends, the grey before which the fish stands is untouched."""
    pose = posed(length=100, tilt=tilt, bend=0.4)
    picture = clear("clarkii", length=100, tilt=tilt, bend=0.4)
    rows, columns = pose.window(picture.shape[:2])
    inside = picture[rows, columns]
    assert (inside != 100).any()
    for edge in (inside[0], inside[-1], inside[:, 0], inside[:, -1]):
        assert (edge == 100).all()


@pytest.mark.parametrize("x, y", [(0, 0), (-400, 50), (239, 600)])
def test_a_fish_may_leave_the_picture(x, y):
    assert clear("ocellaris", x=x, y=y).shape == (240, 240, 3)


def test_the_same_seed_gives_the_same_pictures_in_another_process():
    assert_seeded(reef, 12)


def test_a_picture_does_not_depend_on_how_many_are_drawn(table):
    few = reef.load(15)
    pd.testing.assert_frame_equal(few.frame, table.frame[:15])
    assert reef.species_of_rows(400, 5)[:130] == reef.species_of_rows(130, 5)
    assert reef.species_of_rows(130, 5) != reef.species_of_rows(130, 6)


def test_table_has_the_promised_form(table):
    assert (table.name, len(table), table.synthetic) == ("reef", reef.SAMPLES, True)
    assert table.labels == reef.LABELS == tuple(sorted((*LEARNT, *RARE)))
    assert table.frame.columns.tolist() == ["key", "label", "part", "digest", "anemone"]
    assert table.frame["key"].is_unique and table.frame["digest"].is_unique
    assert (table.frame["part"] == "").all()
    assert set(table.frame["anemone"]) == {*reef.ANEMONES, "none"}
    assert "not photographs" in table.provenance


def test_pictures_are_of_many_sizes(table):
    shapes = [picture.shape for picture in table.modalities["image"]]
    assert {picture.dtype for picture in table.modalities["image"]} == {np.dtype(np.uint8)}
    assert all(channels == 3 for *_, channels in shapes)
    sides = np.array(shapes)[:, :2]
    assert sides.min() >= 96 and sides.max() <= 160
    assert len(set(shapes)) > 300
    assert 0.2 < (sides[:, 0] > sides[:, 1]).mean() < 0.4, "some upright, most not"


def test_classes_are_uneven_and_mixed(table):
    counts = table.counts()
    order = [counts[name] for name in (*LEARNT, *RARE)]
    assert order == sorted(order, reverse=True) and len(set(order)) == 6
    assert counts["clarkii"] > 4 * counts["ephippium"] > 100
    assert Counter(reef.species_of_rows(117, 9)) == reef.BLOCK
    for start in range(0, 600, 120):
        part = table.frame["label"][start : start + 120]
        assert set(part) == set(reef.LABELS)
        assert 0.28 < (part == "clarkii").mean() < 0.4


def test_anemones_hint_at_the_species_and_do_not_give_it_away(table):
    seen = table.frame[table.frame["anemone"] != "none"]
    assert 0.05 < 1 - len(seen) / len(table) < 0.15
    cross = pd.crosstab(seen["label"], seen["anemone"])
    assert 0.4 < association(cross.to_numpy(), method="cramer") < 0.75
    share = cross.div(cross.sum(axis=1), axis=0)
    for name, host in SPECIALISTS.items():
        assert share.loc[name].idxmax() == host
        assert 0.55 < share.loc[name, host] < 0.9
    for name in ("clarkii", "ephippium"):
        assert share.loc[name].max() < 0.6
    # Nor does an anemone belong to one species.
    assert (cross.max() / cross.sum()).max() < 0.7


def majority(labels):
    return max(Counter(labels).values()) / len(labels)


def read(features, labels):
    """Answers of a reader of these features to pictures that it was not trained on."""
    forest = ExtraTreesClassifier(100, min_samples_leaf=2, random_state=0)
    return cross_val_predict(forest, np.stack(features), labels, cv=3)


def middle_colours(picture):
    """How the colours in the middle spread, relative to those of the whole picture."""
    small = np.asarray(Image.fromarray(picture).resize((24, 24), Image.Resampling.BOX), float)
    relative = (small - small.mean(axis=(0, 1))) / (small.std(axis=(0, 1)) + 5)
    middle = relative[6:18, 4:20]
    warm, light = middle[..., 0] - middle[..., 2], middle.min(axis=-1)
    parts = (*np.moveaxis(middle, -1, 0), warm, light)
    return np.concatenate([np.percentile(part, [2, 10, 25, 50, 75, 90, 98]) for part in parts])


def lower_texture(picture):
    """Colour and grain of the lowest two fifths, where the anemone stands."""
    low = picture[len(picture) * 3 // 5 :].astype(float)
    grey = low.mean(axis=-1)
    grain = [np.abs(grey[step:] - grey[:-step]).mean() / grey.std() for step in (1, 2, 4, 8)]
    return np.concatenate([low.mean(axis=(0, 1)), low.std(axis=(0, 1)), grain])


def test_fish_tell_the_species_where_the_anemone_cannot(table):
    """Among pictures with the same anemone, the background's hint is worth the majority share."""
    features = np.stack([middle_colours(picture) for picture in table.modalities["image"]])
    frame, right, blind = table.frame, [], []
    for kind in reef.ANEMONES:
        rows = (frame["anemone"] == kind) & frame["label"].isin(LEARNT)
        labels = frame["label"][rows].to_numpy()
        right.extend(read(features[rows], labels) == labels)
        blind += [majority(labels)] * len(labels)
    assert np.mean(blind) + 0.12 < np.mean(right) < 0.95


def test_the_anemone_of_the_table_is_the_one_in_the_picture(table):
    labels = table.frame["anemone"].to_numpy()
    answers = read([lower_texture(picture) for picture in table.modalities["image"]], labels)
    assert (answers == labels).mean() > majority(labels) + 0.12
