"""Synthetic organisms: seven ranks, kin that look alike, species that only a close-up tells."""

from collections import Counter
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.model_selection import StratifiedKFold, cross_val_predict

from datasets.column_roles import ranks_above_label
from datasets.synthetic import organism_pictures as pictures
from datasets.synthetic import organisms
from tests.seeded_pictures import assert_seeded

WORLDS = (0, 1, organisms.WORLD)
VIEW = 64  # px, of both views
CROP = slice(pictures.SIZE // 4, 3 * pictures.SIZE // 4)


@pytest.fixture(scope="module")
def table():
    return organisms.load(60)


def whole(picture):
    """The whole picture as a network of paper 001 sees it, (VIEW, VIEW, 3) float."""
    small = Image.fromarray(picture).resize((VIEW, VIEW), Image.Resampling.BILINEAR)
    return np.asarray(small, float)


def crop(picture):
    """The central half of the picture, at the same size."""
    return whole(picture[CROP, CROP])


# The tree.


@pytest.mark.parametrize("world", WORLDS)
def test_each_taxon_has_one_parent_and_no_name_is_used_twice(world):
    taxa = [kind.taxa for kind in organisms.species(world)]
    assert all(len(line) == len(organisms.RANKS) == 7 and all(line) for line in taxa)
    for above, below in pairwise(zip(*taxa, strict=True)):
        assert len(set(zip(above, below, strict=True))) == len(set(below))
    sizes = [len(set(column)) for column in zip(*taxa, strict=True)]
    assert sizes == [2, 3, 5, 8, 12, 20, 36]
    assert len({name for line in taxa for name in line}) == sum(sizes)


def test_taxa_are_named_after_their_genera():
    first = {}
    for *_, order, family, genus, name in (kind.taxa for kind in organisms.species()):
        assert name.split()[0] == genus and len(name.split()) == 2
        for taxon, ending in ((family, "idae"), (order, "oida")):
            assert taxon.endswith(ending)
            assert first.setdefault(taxon, genus).startswith(taxon.removesuffix(ending))


def test_the_tree_is_uneven():
    genera = Counter(kind.taxa[5] for kind in organisms.species())
    assert Counter(genera.values()) == {1: 9, 2: 7, 3: 3, 4: 1}


@pytest.mark.parametrize("world", WORLDS)
def test_the_closer_the_kin_the_more_alike(world):
    kinds = organisms.species(world)
    traits = np.array([kind.traits for kind in kinds]) / organisms.UNITS
    apart = np.linalg.norm(traits[:, None] - traits, axis=-1)
    taxa = np.array([kind.taxa for kind in kinds])
    shared = (taxa[:, None] == taxa).sum(axis=-1)
    means = [apart[shared == ranks].mean() for ranks in (6, 5, 4, 3)]
    assert means == sorted(means)
    assert means[0] < 0.5 * means[1] < 0.5 * means[2], "a genus, a family, an order"
    body_plan = {(kind.taxa[0], kind.radial, kind.headed) for kind in kinds}
    assert len(body_plan) == 2, "set by the kingdom"


@pytest.mark.parametrize("world", range(6))
def test_texture_is_of_genus_and_species(world):
    kinds = organisms.species(world)
    of_genus, of_family = {}, {}
    for kind in kinds:
        of_genus.setdefault(kind.taxa[5], []).append(kind.texture)
        of_family.setdefault(kind.taxa[4], {})[kind.taxa[5]] = kind.texture.kind
    for textures in of_genus.values():
        assert len({texture.kind for texture in textures}) == 1
        assert len({texture.angle for texture in textures}) == len(textures)
    for sisters in of_family.values():
        assert len(set(sisters.values())) == len(sisters)


# The pictures.


def views_of(kinds, count, view):
    """Views of some individuals of each species and the numbers of their species."""
    drawn = [
        view(organisms.picture(kind, 1000 * number + row))
        for number, kind in enumerate(kinds)
        for row in range(count)
    ]
    return np.stack(drawn), np.repeat(np.arange(len(kinds)), count)


def slants(view):
    """How the edges of the middle of a view run: directions in each of 4 x 4 cells."""
    grey = view[VIEW // 8 : -VIEW // 8, VIEW // 8 : -VIEW // 8].mean(axis=-1)
    down, across = np.gradient(grey)
    turn = np.arctan2(down, across) % np.pi
    bins = (turn / np.pi * 6).astype(int) % 6
    cell = np.arange(len(grey)) * 4 // len(grey)
    place = (4 * cell[:, None] + cell) * 6 + bins
    found = np.bincount(place.ravel(), np.hypot(down, across).ravel(), 96).reshape(16, 6)
    return (found / (found.sum(axis=1, keepdims=True) + 1e-6)).ravel()


def accuracy(features, labels):
    reader = LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto")
    folds = StratifiedKFold(4, shuffle=True, random_state=0)
    return (cross_val_predict(reader, features, labels, cv=folds) == labels).mean()


def read(kinds, view, count=28):
    """Share of pictures of some species whose species can be read off the edges of a view."""
    views, labels = views_of(kinds, count, view)
    return accuracy(np.stack([slants(one) for one in views]), labels)


def test_only_the_crop_tells_the_species_of_a_genus():
    genus = [kind for kind in organisms.species() if kind.taxa[5] == "Gethrosa"]
    assert len(genus) == 3
    assert read(genus, crop) > 0.8
    assert read(genus, whole) < 0.65, "chance is a third"
    # With waves four times as long, the whole picture tells it, too.
    coarse = [replace(one, texture=replace(one.texture, cycles=10.0)) for one in genus]
    assert read(coarse, whole) > 0.8


def texture_strength(texture, view):
    """Root mean square of what a texture changes in a view, grey values."""
    form = organisms.form_of(organisms.species()[4], np.random.default_rng(1))
    ground = np.full((pictures.SIZE, pictures.SIZE, 3), 120, np.float32)
    with_it, without = (
        view(pictures.photograph(form, one, ground, np.random.default_rng(2)))
        for one in (texture, replace(texture, contrast=0.0))
    )
    return np.sqrt(((with_it - without)[VIEW // 4 : -VIEW // 4] ** 2).mean())


@pytest.mark.parametrize("kind", pictures.KINDS)
@pytest.mark.parametrize("cycles", organisms.CYCLES)
def test_texture_is_lost_in_the_whole_view_and_kept_in_the_crop(kind, cycles):
    texture = pictures.Texture(kind, 0, cycles)
    kept, lost = texture_strength(texture, crop), texture_strength(texture, whole)
    assert kept > 8 > 3 > lost
    coarse = replace(texture, cycles=cycles / 4)
    assert texture_strength(coarse, whole) > 2 * lost


def test_the_whole_view_tells_the_family():
    kinds = {kind.taxa[4]: kind for kind in organisms.species()}
    views, labels = views_of(list(kinds.values()), 14, whole)
    small = views.reshape(len(views), 16, 4, 16, 4, 3).mean(axis=(2, 4))
    assert 0.6 < accuracy(small.reshape(len(views), -1), labels) < 1


@pytest.mark.parametrize(
    "kind, angle", [(k, a) for k, n in pictures.KINDS.items() for a in range(n)]
)
def test_a_mirrored_picture_shows_the_same_species(kind, angle):
    texture = pictures.Texture(kind, angle, 20.0)
    kinds = organisms.species()
    for number in (0, -1):
        form = organisms.form_of(kinds[number], np.random.default_rng(0))
        pose = replace(
            pictures.Pose.drawn(np.random.default_rng(3)),
            turn=0.4,
            swing=np.zeros(pictures.MOST_LIMBS),
            middle=(0.45, 0.5),
        )
        other = replace(
            pose,
            turn=-pose.turn,
            bend=-pose.bend,
            middle=(0.55, 0.5),
            light=(-pose.light[0], pose.light[1]),
        )
        left, right = (
            np.multiply(*expanded(pictures.draw(form, texture, one, np.random.default_rng(5))))
            for one in (pose, other)
        )
        # Individuals' waves in the lines are not mirrored.
        assert np.abs(left - right[:, ::-1]).mean() < 0.2 * np.abs(left - right).mean()


def expanded(drawn):
    colours, cover = drawn
    return colours, cover[..., None]


def test_what_an_organism_lies_on_tells_nothing_of_it():
    kinds = organisms.species()
    different = [kinds[0], kinds[12], kinds[20], kinds[-1]]
    for row in range(5):
        seen = [organisms.picture(kind, row).astype(int) for kind in different]
        assert min(alike(one, seen[0]) for one in seen) > 0.2
        assert alike(organisms.picture(kinds[0], row + 1), seen[0]) < 0.07


def alike(picture, other):
    """Share of pixels that two pictures have in common but for the camera's errors."""
    return (np.abs(picture - other) <= 4).all(axis=-1).mean()


def test_limbs_end():
    """Before an even ground nothing but the organism, in one piece, is seen."""
    for number in (0, 11, 14, 22, 35):
        form = organisms.form_of(organisms.species()[number], np.random.default_rng(0))
        pose = pictures.Pose.drawn(np.random.default_rng(1))
        texture = pictures.Texture("stripes", 0, 40.0)
        _, cover = pictures.draw(form, texture, pose, np.random.default_rng(2))
        assert max(cover[0].sum(), cover[-1].sum()) < 1
        assert max(cover[:, 0].sum(), cover[:, -1].sum()) < 1


def test_individuals_differ():
    kind = organisms.species()[0]
    forms = [organisms.form_of(kind, np.random.default_rng(row)) for row in range(20)]
    assert len({form.radius for form in forms}) == 20
    assert len({form.limbs for form in forms}) == 1
    textures = [organisms.texture_of(kind, np.random.default_rng(row)) for row in range(20)]
    assert len({texture.contrast for texture in textures}) == 20
    assert {(texture.kind, texture.angle) for texture in textures} == {
        (kind.texture.kind, kind.texture.angle)
    }


# The table.


def test_classes_have_a_long_tail_and_are_mixed():
    rows = organisms.species_of_rows(organisms.SAMPLES)
    counts = Counter(rows)
    assert sorted(counts.values(), reverse=True) == list(organisms.COUNTS)
    assert (len(counts), sum(counts.values())) == (36, 731)
    assert (max(organisms.COUNTS), min(organisms.COUNTS)) == (64, 3)
    assert np.median(organisms.COUNTS) < 0.7 * np.mean(organisms.COUNTS)
    assert [counts[number] for number in range(36)] == [one.count for one in organisms.species()]
    common = {number for number, count in counts.items() if count > 40}
    for start in range(0, 700, 100):
        assert common <= set(rows[start : start + 100])


def test_the_same_seed_gives_the_same_pictures_in_another_process():
    assert_seeded(organisms, 8)


def test_a_picture_does_not_depend_on_how_many_are_drawn(table):
    few = organisms.load(9)
    pd.testing.assert_frame_equal(few.frame, table.frame[:9])
    assert organisms.species_of_rows(900)[:731] == organisms.species_of_rows(731)
    assert organisms.species_of_rows(100, 5) != organisms.species_of_rows(100, 6)


def test_table_has_the_promised_form(table):
    assert (table.name, len(table), table.synthetic) == ("organisms", 60, True)
    assert table.labels == tuple(sorted(table.labels)) and len(table.labels) == 36
    assert table.frame.columns.tolist() == ["key", "label", "part", "digest", *organisms.RANKS]
    assert table.frame["key"].is_unique and table.frame["digest"].is_unique
    assert (table.frame["part"] == "").all() and (table.targets >= 0).all()
    assert (table.frame["label"] == table.frame["species"]).all()
    assert (table.frame[list(organisms.RANKS)] != "").all(axis=None)
    assert ranks_above_label(table.frame) == organisms.RANKS[:-1]
    assert table.ranks == organisms.RANKS
    shapes = {picture.shape for picture in table.modalities["image"]}
    assert shapes == {(pictures.SIZE, pictures.SIZE, 3)}
    assert "not photographs" in table.provenance
