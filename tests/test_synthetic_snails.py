"""Synthetic snails: species by a tree, sites of one species each, what tells them apart."""

import re
from collections import Counter
from dataclasses import replace
from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from sklearn.ensemble import RandomForestClassifier
from sklearn.model_selection import GroupKFold, StratifiedKFold, cross_val_predict

from datasets.synthetic import snails
from datasets.synthetic.shells import measure
from datasets.synthetic.snail_tree import GENERA, ROOT_AGE, YOUNGEST
from tests.seeded_pictures import assert_seeded


@pytest.fixture(scope="module")
def specimens():
    return snails.collect()


@pytest.fixture(scope="module")
def measured(specimens):
    return np.array([specimen.measured for specimen in specimens])


@pytest.fixture(scope="module")
def table():
    return snails.load(60)


def names(specimens):
    return np.array([specimen.kind.name for specimen in specimens])


def sites(specimens):
    return np.array([specimen.site.name for specimen in specimens])


# The tree.


def read_newick(text):
    """Tip -> {ancestor's number: distance to it} of a tree with lengths on every branch."""
    open_nodes, tips, number = [], {}, 0
    above = []  # tips below each open node, with their distance to it
    for token in re.findall(r"[(),;]|[^(),;]+", text):
        if token == "(":
            open_nodes.append([])
        elif token == ")":
            above = open_nodes.pop()
            number += 1
            for tip, distance in above:
                tips[tip][number] = distance
        elif token not in ",;":
            name, length = token.split(":")
            if name:
                tips[name.replace("_", " ")] = {}
                above = [(name.replace("_", " "), 0.0)]
            open_nodes[-1] += [(tip, distance + float(length)) for tip, distance in above]
    return tips


@pytest.mark.parametrize("world", [0, snails.WORLD, 2])
def test_the_tree_is_ultrametric_and_holds_the_ages(world):
    kin, tips = snails.kinship(world), read_newick(snails.tree(world))
    assert sorted(tips) == list(kin.names) == [one.name for one in snails.species(world)]
    assert [max(way.values()) for way in tips.values()] == pytest.approx([ROOT_AGE] * 21)
    for (i, one), (j, other) in combinations(enumerate(kin.names), 2):
        common = tips[one].keys() & tips[other].keys()
        ancestor = min(common, key=tips[one].get)
        assert tips[one][ancestor] == pytest.approx(kin.ages[i, j])
        assert tips[other][ancestor] == pytest.approx(kin.ages[j, i])
    apart = kin.ages[np.triu_indices(21, 1)]
    assert apart.min() >= YOUNGEST and apart.max() == ROOT_AGE
    assert (np.diag(kin.ages) == 0).all()


@pytest.mark.parametrize("world", range(6))
def test_genera_and_families_are_clades(world):
    kin = snails.kinship(world)
    assert set(kin.genera) == set(GENERA) and len(set(kin.families)) == 2
    assert all(name.split()[0] == genus for name, genus in zip(kin.names, kin.genera, strict=True))
    for taxa in (np.array(kin.genera), np.array(kin.families)):
        same = taxa[:, None] == taxa
        assert kin.ages[same].max() < kin.ages[~same].min()
    pairs = set(zip(kin.genera, kin.families, strict=True))
    assert len(pairs) == len(GENERA), "a genus is of one family"
    named = {family for genus, family in pairs if GENERA[genus] == family}
    assert named == set(kin.families), "a family is named after a genus of its own"


def test_traits_evolve_by_brownian_motion():
    kin = snails.kinship()
    traits = kin.evolve(40_000, np.random.default_rng(0))
    np.testing.assert_allclose(traits @ traits.T / 40_000, 1 - kin.ages / ROOT_AGE, atol=0.03)


def trait_distances(world):
    """Distances between species in all traits, each in its own spread, for every pair."""
    traits = np.array([one.traits for one in snails.species(world)])
    traits = (traits - snails.TYPICAL) / snails.BETWEEN_SPECIES
    return np.linalg.norm(traits[:, None] - traits, axis=-1)[np.triu_indices(21, 1)]


def test_the_longer_apart_the_more_different():
    def agreement(world, kin_world):
        ages = snails.kinship(kin_world).ages[np.triu_indices(21, 1)]
        return np.corrcoef(np.sqrt(ages), trait_distances(world))[0, 1]

    assert agreement(snails.WORLD, snails.WORLD) > 0.6
    own = [agreement(world, world) for world in range(6)]
    foreign = [agreement(world, (world + 1) % 6) for world in range(6)]
    assert min(own) > 0.5 and max(foreign) < 0.4


def test_kin_have_like_measurements(specimens, measured):
    """What can be read off the shells, too, tells of kinship."""
    logs = pd.DataFrame(np.log(measured[:, :6])).groupby(names(specimens)).mean().to_numpy()
    apart = np.linalg.norm(logs[:, None] - logs, axis=-1)[np.triu_indices(21, 1)]
    assert np.corrcoef(np.sqrt(snails.kinship().ages[np.triu_indices(21, 1)]), apart)[0, 1] > 0.25


@pytest.mark.parametrize("world", range(6))
def test_two_or_three_species_with_one_ancestor_are_sinistral(world):
    tips = tuple(i for i, one in enumerate(snails.species(world)) if one.sinistral)
    assert len(tips) in (2, 3)
    assert tips in snails.kinship(world).clades


def test_the_tree_can_be_written(tmp_path):
    snails.write_tree(tmp_path / "tree.nwk")
    text = (tmp_path / "tree.nwk").read_text(encoding="utf-8")
    assert text == snails.tree() + "\n" and text.count(";") == 1


# The specimens.


def test_species_are_as_uneven_as_in_the_paper(specimens):
    counts = Counter(names(specimens))
    assert sorted(counts.values(), reverse=True) == list(snails.COUNTS)
    assert (len(counts), sum(snails.COUNTS)) == (21, 706)
    assert (max(snails.COUNTS), min(snails.COUNTS)) == (88, 5)
    # They are mixed: common species stand in every part of the table.
    for start in range(0, 700, 100):
        common = [name for name, count in counts.items() if count > 40]
        assert set(common) <= set(names(specimens)[start : start + 100])


def test_every_site_has_one_species_and_every_species_some_sites(specimens):
    pairs = {(specimen.site.name, specimen.kind.name) for specimen in specimens}
    assert len(pairs) == len({site for site, _ in pairs}) == 65
    per_species = Counter(name for _, name in pairs)
    assert min(per_species.values()) == 3 and max(per_species.values()) == 4


def test_a_site_has_the_same_columns_but_for_the_readings(specimens, measured):
    frame = pd.DataFrame(measured[:, 6:], columns=snails.SITE_COLUMNS)
    grouped = frame.groupby(sites(specimens))
    spread, between = grouped.std().mean(), grouped.mean().std()
    constant = ["annual_mean_temperature (degC)", "annual_precipitation (mm)", "country"]
    assert (spread[constant] < 1e-9).all()
    assert (spread < 0.02 * between).all()
    assert spread["altitude_m"] > 0.5 and spread["latitude_deg"] > 1e-5


def test_altitude_makes_it_colder(measured):
    assert np.corrcoef(measured[:, 6], measured[:, 7])[0, 1] < -0.8


def test_measurements_are_of_the_shell_with_a_small_error(specimens, measured):
    true = np.array([list(measure(specimen.shell).values()) for specimen in specimens])
    error = measured[:, :6] / true - 1
    missing = np.isnan(error)
    assert not missing[:, :4].any() and 0.005 < missing.mean() < 0.02
    np.testing.assert_array_equal(missing[:, 4], missing[:, 5])
    np.testing.assert_array_equal(missing[:, 4], [one.look.broken > 0 for one in specimens])
    assert np.nanstd(error) == pytest.approx(snails.CALIPER, rel=0.05)
    assert abs(np.nanmean(error)) < 1e-3


def test_measurements_tell_of_raups_parameters(specimens, measured):
    height, width, body, penultimate, mouth_height, mouth_width = measured[:, :6].T
    shells = [specimen.shell for specimen in specimens]
    for ratio, of in (
        (body / penultimate, "expansion"),
        (height / width, "translation"),
        (mouth_height / mouth_width, "shape"),
    ):
        there = np.isfinite(ratio)
        true = np.array([getattr(shell, of) for shell in shells])
        assert np.corrcoef(ratio[there], true[there])[0, 1] > 0.75, of
    assert 1.0 < np.median(height) < 4.0, "minute shells, in mm"


def accuracy(columns, labels, folds, groups=None):
    """Share of right answers of a random forest to specimens of other folds."""
    forest = RandomForestClassifier(60, random_state=0)
    answers = cross_val_predict(forest, np.nan_to_num(columns), labels, cv=folds, groups=groups)
    return (answers == labels).mean()


def test_site_columns_give_the_species_away_and_shells_do_not(specimens, measured):
    labels, stratified = names(specimens), StratifiedKFold(3, shuffle=True, random_state=0)
    assert accuracy(measured[:, 6:], labels, stratified) > 0.95
    assert accuracy(measured, labels, stratified) > 0.95
    assert 0.55 < accuracy(measured[:, :6], labels, stratified) < 0.8
    # The leak is of the sites: at sites never seen, site columns tell much less.
    assert accuracy(measured[:, 6:], labels, GroupKFold(3), sites(specimens)) < 0.6


# The pictures and the table.


def photographed(specimen):
    return snails.photograph(specimen, np.random.default_rng(7)).astype(float)


def test_a_picture_does_not_show_the_size(specimens):
    specimen = specimens[0]
    large = replace(specimen, shell=replace(specimen.shell, radius=1.4 * specimen.shell.radius))
    other = replace(specimen, shell=replace(specimen.shell, expansion=1.3))
    picture = photographed(specimen)
    assert (
        np.abs(photographed(large) - picture).mean()
        < 0.3 * np.abs(photographed(other) - picture).mean()
    )


def test_a_spring_stains_its_shells(specimens):
    site = specimens[0].site
    red = replace(specimens[0], site=replace(site, tint=site.tint * [1.2, 1.0, 0.8]))
    muddy = replace(specimens[0], site=replace(site, dirt=2.0))
    middle = (slice(40, 90), slice(40, 90))
    plain = photographed(specimens[0])[middle]
    warmth = np.array([1, 0, -1])
    assert ((photographed(red)[middle] - plain) @ warmth).mean() > 20
    assert (photographed(muddy)[middle] - plain).mean() < -10


def test_the_same_seed_gives_the_same_pictures_in_another_process():
    assert_seeded(snails, 6)


def test_a_specimen_does_not_depend_on_how_many_are_asked_for(table, specimens, measured):
    few = snails.load(7)
    pd.testing.assert_frame_equal(few.frame, table.frame[:7])
    np.testing.assert_array_equal(few.modalities["measurements"], measured[:7].astype(np.float32))
    assert snails.species_of_rows(800)[:706] == snails.species_of_rows(706)
    assert len(set(snails.species_of_rows(800))) == 800


def test_another_seed_collects_at_the_same_sites_and_another_world_elsewhere(specimens):
    again = snails.collect(seed=1)
    assert set(sites(again)) == set(sites(specimens))
    assert {one.site.altitude for one in again} == {one.site.altitude for one in specimens}
    assert not {one.measured[0] for one in again} & {one.measured[0] for one in specimens}
    assert snails.tree(2) != snails.tree()
    assert {one.altitude for kind in snails.species(2) for one in kind.sites}.isdisjoint(
        one.site.altitude for one in specimens
    )


def test_table_has_the_promised_form(table):
    assert (table.name, len(table), table.synthetic) == ("snails", 60, True)
    assert table.labels == tuple(sorted(table.labels)) and len(table.labels) == 21
    assert table.frame.columns.tolist() == [
        *("key", "label", "part", "digest", "site", "family", "genus", "species")
    ]
    assert table.frame["key"].is_unique and table.frame["digest"].is_unique
    assert (table.frame["part"] == "").all() and (table.targets >= 0).all()
    assert (table.frame["label"] == table.frame["species"]).all()
    assert (table.frame["label"].str.split().str[0] == table.frame["genus"]).all()
    assert {picture.shape for picture in table.modalities["image"]} == {(128, 128, 3)}
    assert "not photographs" in table.provenance


def test_columns_say_what_the_measurements_mean(table):
    values = table.modalities["measurements"]
    assert (values.shape, values.dtype) == ((60, 12), np.float32)
    assert tuple(column.name for column in table.columns) == (
        *snails.SHELL_MEASUREMENTS,
        *snails.SITE_COLUMNS,
    )
    assert [column.unit for column in table.columns] == [
        *6 * ["mm"],
        *("m", "degC", "mm", "deg", "deg", ""),
    ]
    country = table.columns[-1]
    assert country.values == tuple(sorted(snails.COUNTRIES))
    assert set(values[:, -1]) <= set(range(len(country.values)))
    assert not any(column.values for column in table.columns[:-1])
