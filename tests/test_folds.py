"""Folds: every sample tested once, stratified, whole groups together, small classes as promised."""

from dataclasses import replace

import numpy as np
import pytest

from datasets.clownfish import OTHER, Choice, build
from datasets.errors import InputError
from datasets.folds import (
    TRAIN,
    UNKNOWN,
    Fold,
    _validation_rows,
    fold_notes,
    fold_numbers,
    fold_split,
    group_notes,
    grouped,
    joined_groups,
)
from datasets.pictures import Pictures
from datasets.splits import split_table, stratified_split
from tests.uneven_table import uneven_table


def per_class(table, rows):
    return np.bincount(table.targets[rows], minlength=len(table.labels))


def all_splits(table, folds, seed=0, **shares):
    return [fold_split(table, folds, number, seed, **shares) for number in range(1, folds + 1)]


def assert_sound(table, folds, seed=0):
    """What must hold of the folds of any table; returns the rows that are never tested."""
    splits = all_splits(table, folds, seed)
    rows, tested = np.arange(len(table)), np.concatenate([one.test for one in splits])
    assert len(set(tested.tolist())) == len(tested)
    never = np.setdiff1d(rows, tested)
    groups = table.frame["group" if "group" in table.frame else "key"].to_numpy()
    for one in splits:
        assert len(one.train) and len(one.validation) and len(one.test)
        assert sorted([*one.train, *one.validation, *one.test]) == rows.tolist()
        inside = [set(groups[part]) for part in (one.train, one.validation, one.test)]
        assert sum(map(len, inside)) == len(set(groups))
        assert per_class(table, one.train).min() >= 1
        assert np.isin(never, np.concatenate([one.train, one.validation])).all()
    return never


# --- without groups


def test_every_sample_is_tested_once_and_every_class_in_every_fold():
    table = uneven_table((50, 23, 7))
    assert len(assert_sound(table, 5)) == 0
    for one in all_splits(table, 5):
        tested = per_class(table, one.test)
        assert tested[0] == 10
        assert tested[1] in (4, 5)
        assert tested[2] in (1, 2)
        assert len(one.test) == 16


def test_the_validation_part_is_a_tenth_of_the_training_part_stratified():
    table = uneven_table((100, 60, 40))
    for one in all_splits(table, 4):
        assert per_class(table, one.test).tolist() == [25, 15, 10]
        # A tenth of 75, 45 and 30 is 7.5, 4.5 and 3: fifteen, one half of them rounded up.
        held = per_class(table, one.validation)
        assert held.sum() == 15
        assert sorted(held.tolist()) in ([3, 4, 8], [3, 5, 7])


def test_small_classes_share_the_validation_part():
    """99 classes of 8 in 4 folds, as in the leaf table: 59 of 594, no class with two of them."""
    table = uneven_table((8,) * 99)
    splits = all_splits(table, 4)
    for one in splits:
        held = per_class(table, one.validation)
        assert held.sum() == 59
        assert held.max() == 1
        assert per_class(table, one.test).tolist() == [2] * 99
    assert not np.array_equal(*[per_class(table, one.validation) > 0 for one in splits[:2]])


def test_the_test_parts_depend_on_the_seed_alone():
    table = uneven_table((30, 20))
    one, same, other = (fold_split(table, 5, 2, seed) for seed in (0, 0, 1))
    assert one.fingerprint(table) == same.fingerprint(table) != other.fingerprint(table)
    wide = fold_split(table, 5, 2, 0, validation=0.3)
    assert np.array_equal(wide.test, one.test)
    assert len(wide.validation) == 12


def test_shares_may_be_given_class_by_class():
    table = uneven_table((40, 40))
    one = fold_split(table, 4, 1, 0, validation={"c1": 0.5})
    assert per_class(table, one.validation).tolist() == [3, 15]


def test_a_class_with_fewer_samples_than_folds_is_tested_in_fewer():
    table = uneven_table((20, 3, 2, 1))
    never = assert_sound(table, 5)
    assert never.tolist() == [25]
    numbers = fold_numbers(table, 5, 0)
    assert len(set(numbers[20:23])) == 3
    assert len(set(numbers[23:25])) == 2
    fewer, kept = fold_notes(table, 5, 0)
    assert "c1 (3 of 5 folds, 3 samples), c2 (2 of 5 folds, 2 samples), c3 (0 of 5" in fewer
    assert "c0" not in fewer
    assert kept.endswith("c3 (1).")


def test_classes_that_are_large_enough_need_no_note():
    assert fold_notes(uneven_table((10, 10)), 5, 0) == []


def test_a_long_list_of_small_classes_is_cut():
    (line,) = fold_notes(uneven_table((9, *[3] * 20)), 4, 0)
    assert line.endswith("and 12 more.")
    assert len(line) < 400


def test_samples_of_unknown_labels_are_in_no_part():
    table = uneven_table((20, 20))
    table.frame.loc[[3, 25], "label"] = "of no class"
    numbers = fold_numbers(table, 4, 0)
    assert np.flatnonzero(numbers == UNKNOWN).tolist() == [3, 25]
    for one in all_splits(table, 4):
        assert not np.isin([3, 25], np.concatenate([one.train, one.validation, one.test])).any()


@pytest.mark.parametrize(
    ("counts", "folds", "line"),
    [
        ((4, 3), 5, "the largest class has 4 samples: take --folds 4 or fewer"),
        ((1, 1, 1), 2, "no class of made has two samples"),
        ((2, 1), 3, "2 samples can be tested: take --folds 2 or fewer"),
    ],
)
def test_folds_that_cannot_be_cut_are_refused(counts, folds, line):
    with pytest.raises(InputError, match=line) as caught:
        fold_split(uneven_table(counts), folds, 1, 0)
    assert "\n" not in str(caught.value)


def test_a_training_part_that_is_too_small_for_a_validation_part_is_refused():
    with pytest.raises(InputError, match="no validation part can be cut"):
        fold_split(uneven_table((2, 2)), 2, 1, 0)


# --- with groups


def sites(table, each):
    """Groups of `each` samples, one class in each."""
    place = table.frame.groupby("label").cumcount() // each
    return (table.frame["label"] + "-" + place.astype(str)).tolist()


@pytest.mark.parametrize("seed", range(5))
def test_no_group_is_split_and_classes_are_spread(seed):
    table = uneven_table((60, 45, 30))
    table = replace(table, frame=table.frame.assign(group=sites(table, 3)))
    assert len(assert_sound(table, 5, seed)) == 0
    for one in all_splits(table, 5, seed):
        assert per_class(table, one.test).tolist() == [12, 9, 6]


@pytest.mark.parametrize("seed", range(20))
def test_groups_of_several_classes_and_of_any_size(seed):
    rng = np.random.default_rng(seed)
    table = uneven_table((40, 25, 9, 4, 2, 1))
    table = replace(table, frame=table.frame.assign(group=rng.integers(0, 25, len(table))))
    never = assert_sound(table, 4, seed)
    numbers = fold_numbers(table, 4, seed)
    for index in range(6):
        assert (
            len(set(numbers[table.targets == index])) > 1
            or np.isin(np.flatnonzero(table.targets == index), never).all()
        )


def test_a_class_of_one_group_always_trains():
    groups = [*map(str, range(20)), *["alone"] * 10]
    table = uneven_table((20, 10), groups)
    assert assert_sound(table, 5).tolist() == list(range(20, 30))
    (fewer, kept) = fold_notes(table, 5, 0)
    assert "c1 (0 of 5 folds, 1 group)" in fewer
    assert kept.endswith("c1 (10).")


def test_the_smallest_group_trains_where_one_fold_would_test_a_whole_class(monkeypatch):
    """c1 lives in the groups 0 and 3 only, and the cut puts both into one fold."""
    monkeypatch.setattr("datasets.folds._cut", lambda targets, units, *_: 1 + (units % 3 > 0))
    table = uneven_table((28, 4), [row % 7 for row in range(28)] + [0, 3, 3, 0])
    table = table.take(np.delete(np.arange(32), 3))  # group 3 is the smaller one now
    never = assert_sound(table, 2)
    assert set(table.frame["group"].iloc[never]) == {3}
    assert len(never) == 3 + 2
    (fewer, kept) = fold_notes(table, 2, 0)
    assert "c1 (1 of 2 folds, 2 groups)" in fewer
    assert kept.endswith("c0 (3), c1 (2).")


def test_no_group_is_held_back_that_its_classes_cannot_be_learnt_without():
    """Each group but the last holds a class that no other has, so only the last may be held."""
    groups = [*range(10), *[10] * 4, *range(10)]
    table = uneven_table((14, *[1] * 10), groups)
    held = _validation_rows(table, np.arange(len(table)), 0.5, np.random.default_rng(0))
    assert held.tolist() == [10, 11, 12, 13]


def test_too_few_groups_are_refused():
    table = uneven_table((30, 30), ["a", "b"] * 30)
    with pytest.raises(InputError, match="2 groups can be tested: take --folds 2 or fewer"):
        fold_split(table, 5, 1, 0)
    by_class = uneven_table((10, 10), ["x"] * 10 + ["y"] * 10)
    with pytest.raises(InputError, match="no class of made has two groups"):
        fold_split(by_class, 2, 1, 0)


# --- which samples stand together


def test_a_column_becomes_the_groups_and_a_missing_value_a_group_of_its_own():
    site = ["north", "south", None, "north", "", "south", np.nan, "north"]
    table = grouped(uneven_table((4, 4), site=site), "site")
    group = table.frame["group"]
    assert group[0] == group[3] == group[7]
    assert group[1] == group[5]
    assert group.nunique() == 5
    assert table.frame["site"].tolist()[:2] == ["north", "south"]
    (line,) = group_notes(table, "site")
    assert line == "Samples with the same site are never split: 5 groups; 3 samples have no site."


def test_no_column_leaves_the_table_alone():
    table = uneven_table((4, 4))
    assert grouped(table, None) is table


@pytest.mark.parametrize("column", ["Site", "label", "key"])
def test_an_unknown_column_is_one_line_that_names_those_there_are(column):
    with pytest.raises(InputError, match=f"--group {column}: .* it has digest, site, genus") as one:
        grouped(uneven_table((2, 2), site=list("abab"), genus=list("xxyy")), column)
    assert "\n" not in str(one.value)


def test_groups_are_joined_with_those_of_look_alikes():
    table = uneven_table((3, 3), groups=[0, 1, 1, 2, 3, 4], site=["a", "a", "b", "c", "d", "c"])
    group = grouped(table, "site").frame["group"].tolist()
    assert group[0] == group[1] == group[2]
    assert group[3] == group[5]
    assert len(set(group)) == 3


def test_joined_groups_are_the_components_of_both():
    rng = np.random.default_rng(0)
    for _ in range(20):
        one, other = rng.integers(0, 12, 20), rng.integers(0, 12, 20)
        reached = np.eye(20, dtype=bool) | (one[:, None] == one) | (other[:, None] == other)
        for _ in range(5):
            reached = reached @ reached
        found = joined_groups(one, other)
        assert np.array_equal(found[:, None] == found, reached)


def test_a_group_of_a_rule_is_kept_together_too():
    table = uneven_table((30, 30), site=[f"s{row // 3}" for row in range(60)])
    splits = stratified_split(grouped(table, "site"), 0)
    site = table.frame["site"].to_numpy()
    assert not set(site[splits.train]) & set(site[splits.test])


def test_a_rule_that_fails_for_groups_names_the_way_out():
    table = uneven_table((30, 30), groups=["a"] * 30 + list(range(30)))
    with pytest.raises(InputError, match="class 'c0' has 1 different groups .* --folds.* --group"):
        stratified_split(table, 0)


# --- photographs of species


def fish(counts, twins=0):
    """Pictures of species; the first of each class have a slightly darker twin each."""
    rng = np.random.default_rng(0)
    table = uneven_table(counts)
    images = rng.integers(60, 256, (len(table), 40, 40, 3), np.uint8)
    for index in range(len(counts)):
        rows = np.flatnonzero(table.targets == index)
        for twin in range(twins):
            images[rows[2 * twin + 1]] = images[rows[2 * twin]] - 20
    return replace(table, modalities={"image": Pictures.of(list(images))})


def pair_rows(table, twins):
    return [
        np.flatnonzero(table.targets == index)[2 * twin : 2 * twin + 2]
        for index in range(len(table.labels))
        for twin in range(twins)
    ]


def test_folds_of_photographs_keep_look_alikes_together_and_cap_the_training_part():
    table = fish((40, 24, 12), twins=4)
    pairs = pair_rows(table, 4)
    choice = Choice(species="2", other=True, cap="text", other_validation=0.5)
    tested = []
    for number in (1, 2, 3, 4):
        division = build(table, choice, None, 0, Fold(number, 4))
        keys = division.table.frame["key"].tolist()
        splits = division.splits
        assert division.table.labels == ("c0", "c1", OTHER)
        for one, other in pairs:
            where = [
                [keys.index(f"k{row}") in splits[part] for part in ("train", "validation", "test")]
                for row in (one, other)
            ]
            assert where[0] == where[1] or [False] * 3 in where  # one may be capped
            assert not (where[0][2] ^ where[1][2])
        train, held = (per_class(division.table, splits[part]) for part in ("train", "validation"))
        assert train[0] <= 2 * train[1]
        assert abs(int(held[2]) - int(train[2])) <= 2  # half of them, in pairs
        tested += splits.test.tolist()
    assert sorted(tested) == list(range(len(table)))


def test_a_site_joins_photographs_that_do_not_look_alike():
    table = fish((20, 20), twins=2)
    table.frame["site"] = [f"s{row // 4}" for row in range(40)]
    for number in (1, 2):
        division = build(grouped(table, "site"), Choice(), None, 0, Fold(number, 2))
        site = division.table.frame["site"].to_numpy()
        assert not set(site[division.splits.test]) & set(site[division.splits.train])
    assert TRAIN not in fold_numbers(division.table, 2, 0)


def test_split_table_takes_a_fold_instead_of_a_rule():
    table = uneven_table((20, 20))
    one = split_table(table, None, 3, Fold(2, 4))
    assert one.fingerprint(table) == fold_split(table, 4, 2, 3).fingerprint(table)
