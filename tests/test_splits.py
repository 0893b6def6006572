"""Splits: the paper's sizes, disjoint, seeded, and told apart by their fingerprints."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from datasets.base import SPLITS, Splits, Table
from datasets.errors import InputError
from datasets.splits import (
    given_split,
    holdout_split,
    shuffled_split,
    split_table,
    stratified_split,
)
from tests.uneven_table import uneven_table


def make_table(rows, parts=None, classes=3):
    frame = pd.DataFrame(
        {
            "key": [f"k{row}" for row in range(rows)],
            "label": [f"c{row % classes}" for row in range(rows)],
            "part": [""] * rows if parts is None else parts,
            "digest": [f"d{row}" for row in range(rows)],
        }
    )
    labels = tuple(f"c{index}" for index in range(classes))
    return Table("made", "made for a test", labels, frame, {"image": np.zeros((rows, 1))})


def test_the_papers_split_of_fer2013_has_the_papers_sizes():
    splits = shuffled_split(make_table(35887), seed=0)
    assert splits.sizes() == {"train": 25121, "validation": 7177, "test": 3589}


def test_parts_are_disjoint_and_lose_nothing():
    splits = shuffled_split(make_table(997), seed=3)
    together = np.concatenate([splits[part] for part in SPLITS])
    assert sorted(together) == list(range(997))


def test_the_shuffle_is_that_of_pandas_sample():
    table = make_table(50)
    order = table.frame.sample(frac=1, random_state=7)["key"].tolist()
    splits = shuffled_split(table, seed=7)
    rows = np.concatenate([splits[part] for part in SPLITS])
    assert table.frame["key"].to_numpy()[rows].tolist() == order


def test_one_seed_gives_one_split_and_another_seed_another():
    table = make_table(100)
    one, same, other = (shuffled_split(table, seed) for seed in (0, 0, 1))
    assert one.fingerprint(table) == same.fingerprint(table)
    assert one.fingerprint(table) != other.fingerprint(table)


@pytest.mark.parametrize("column", ["label", "digest"])
def test_the_fingerprint_changes_with_a_label_and_with_a_picture(column):
    table, changed = make_table(100), make_table(100)
    changed.frame.loc[5, column] = "c0" if column == "label" else "other"
    splits = shuffled_split(table, 0)
    assert changed.frame.loc[5, column] != table.frame.loc[5, column]
    assert splits.fingerprint(table) != splits.fingerprint(changed)


def test_the_fingerprint_does_not_depend_on_keys():
    table, moved = make_table(100), make_table(100)
    moved.frame["key"] = "elsewhere/" + moved.frame["key"]
    splits = shuffled_split(table, 0)
    assert splits.fingerprint(table) == splits.fingerprint(moved)


def test_the_publishers_three_parts_are_taken_as_they_are():
    table = make_table(90, ["train"] * 60 + ["validation"] * 18 + ["test"] * 12)
    splits = given_split(table, seed=0)
    assert splits.train.tolist() == list(range(60))
    assert splits.validation.tolist() == list(range(60, 78))
    assert splits.test.tolist() == list(range(78, 90))


@pytest.mark.parametrize("judged", ["validation", "test"])
def test_a_lone_judged_part_is_the_test_part(judged):
    table = make_table(90, ["train"] * 60 + [judged] * 30)
    splits = split_table(table, "official", seed=0)
    assert splits.test.tolist() == list(range(60, 90))
    assert sorted([*splits.train, *splits.validation]) == list(range(60))
    held = table.targets[splits.validation]
    assert np.bincount(held).tolist() == [2, 2, 2]


def test_without_parts_the_official_rule_is_refused():
    with pytest.raises(
        InputError, match="--split-rule shuffled or stratified or holdout or random"
    ):
        given_split(make_table(30), seed=0)


def test_too_few_samples_are_refused():
    with pytest.raises(InputError, match="none for the"):
        shuffled_split(make_table(3), seed=0)


def test_a_class_without_a_training_sample_is_refused():
    table = make_table(60)
    lone = shuffled_split(table, seed=0).test[0]
    table.frame["label"] = ["c1" if row == lone else "c0" for row in range(60)]
    table = Table("made", "made for a test", ("c0", "c1"), table.frame, table.modalities)
    with pytest.raises(InputError, match="no sample of class 'c1'"):
        shuffled_split(table, seed=0)


@pytest.mark.parametrize("judged", ["validation", "test"])
def test_class_folders_that_differ_between_the_parts_are_refused(judged):
    table = make_table(90, ["train"] * 60 + [judged] * 30)
    table.frame.loc[table.frame["part"] == judged, "label"] = ["c0", "c1", "d2"] * 10
    line = f"'c2' is in the train part and not in the {judged} part"
    with pytest.raises(InputError, match=line) as caught:
        split_table(table, "official", seed=0)
    assert "\n" not in str(caught.value)
    table.frame["label"] = table.frame["label"].replace("c2", "d2")
    alike = table.relabelled(("c0", "c1", "d2"))
    assert len(split_table(alike, "official", seed=0).test) == 30


def test_a_class_that_only_the_judged_part_has_is_refused():
    table = make_table(90, ["train"] * 60 + ["validation"] * 15 + ["test"] * 15)
    table.frame.loc[80, "label"] = "a new one"
    with pytest.raises(InputError, match="'a new one' is in the test part and not in the train"):
        given_split(table, seed=0)


# --- the same share of each class


def per_class(table, rows):
    return np.bincount(table.targets[rows], minlength=len(table.labels)).tolist()


def assert_whole(splits, table):
    together = np.concatenate([splits[part] for part in SPLITS])
    assert sorted(together) == list(range(len(table)))


def test_every_class_gives_its_share_to_each_part():
    table = uneven_table()
    splits = stratified_split(table, seed=0)
    assert per_class(table, splits.validation) == [10, 5, 2]
    assert per_class(table, splits.test) == [10, 5, 2]
    assert per_class(table, splits.train) == [80, 40, 16]
    assert_whole(splits, table)
    wide = stratified_split(table, seed=0, validation=0.3, test=0.2)
    assert per_class(table, wide.validation) == [30, 15, 6]
    assert per_class(table, wide.test) == [20, 10, 4]
    assert_whole(wide, table)


def test_the_least_class_gives_one_sample_to_each_part():
    table = uneven_table((30, 3))
    splits = stratified_split(table, seed=0)
    for part in SPLITS:
        assert per_class(table, splits[part])[1] == 1


@pytest.mark.parametrize(("count", "rule"), [(1, "stratified"), (2, "stratified"), (1, "holdout")])
def test_a_class_that_is_too_small_for_its_parts_is_named(count, rule):
    with pytest.raises(InputError, match=f"class 'c1' has {count} different") as caught:
        split_table(uneven_table((30, count)), rule, seed=0)
    assert "\n" not in str(caught.value)
    assert "--species" in str(caught.value)


def test_two_samples_are_enough_where_there_is_no_test_part():
    table = uneven_table((30, 2))
    splits = split_table(table, "holdout", seed=0)
    assert per_class(table, splits.train) == [27, 1]
    assert per_class(table, splits.validation) == [3, 1]


def test_no_group_is_split():
    rng = np.random.default_rng(0)
    groups = np.concatenate([rng.integers(0, 40, 100), rng.integers(40, 60, 50), range(60, 80)])
    table = uneven_table(groups=[f"g{group}" for group in groups])
    for seed in range(5):
        splits = stratified_split(table, seed)
        assert_whole(splits, table)
        found = [set(groups[splits[part]]) for part in SPLITS]
        assert not found[0] & found[1] and not found[0] & found[2] and not found[1] & found[2]
        assert all(min(per_class(table, splits[part])) >= 1 for part in SPLITS)


def test_a_group_of_two_classes_is_cut_once():
    groups = [f"g{row}" for row in range(60)]
    groups[30] = groups[0]  # one picture of each class, alike
    table = uneven_table((30, 30), groups)
    for seed in range(30):
        splits = stratified_split(table, seed)
        assert_whole(splits, table)
        assert [set(np.isin([0, 30], splits[part])) for part in SPLITS].count({True}) == 1


def test_a_class_of_one_group_is_refused():
    table = uneven_table((30, 20), [*map(str, range(30)), *["alike"] * 20])
    with pytest.raises(InputError, match="class 'c1' has 1 different"):
        stratified_split(table, seed=0)


def test_one_seed_gives_one_stratified_split_and_another_seed_another():
    table = uneven_table()
    one, same, other = (stratified_split(table, seed) for seed in (0, 0, 1))
    for part in SPLITS:
        assert np.array_equal(one[part], same[part])
        assert not np.array_equal(one[part], other[part])


def test_shares_may_be_given_class_by_class():
    table = uneven_table()
    splits = split_table(table, "stratified", 0, validation={"c1": 0.4})
    assert per_class(table, splits.validation) == [10, 20, 2]
    assert per_class(table, splits.test) == [10, 5, 2]
    held = split_table(table, "holdout", 0, validation={"c1": 0.4, "c2": 0.2})
    assert per_class(table, held.validation) == [10, 20, 4]


def test_shares_that_leave_nothing_to_learn_from_are_refused():
    with pytest.raises(InputError, match="no sample of class 'c1'"):
        stratified_split(uneven_table((30, 3)), seed=0, validation={"c1": 0.9})


def test_a_holdout_has_no_test_part():
    table = uneven_table()
    splits = holdout_split(table, seed=0)
    assert splits.parts() == ("train", "validation")
    assert splits.sizes() == {"train": 153, "validation": 17}
    assert per_class(table, splits.validation) == [10, 5, 2]
    assert len(splits.test) == 0
    assert_whole(splits, table)
    moved = Splits(splits.train, splits.test, splits.validation)
    assert splits.fingerprint(table) != moved.fingerprint(table)


def test_a_random_split_has_the_papers_shares_and_trains_every_class():
    table = uneven_table((700, 200, 60, *[1] * 40))
    splits = split_table(table, "random", 3)
    assert splits.sizes() == {"train": 800, "validation": 100, "test": 100}
    assert_whole(splits, table)
    assert min(per_class(table, splits.train)) == 1
    assert per_class(table, splits.train)[3:] == [1] * 40
    other = split_table(table, "random", 4)
    assert not np.array_equal(splits.test, other.test)
    assert np.array_equal(splits.test, split_table(table, "random", 3).test)
    unknown = replace(table, labels=table.labels[:1])
    assert set(split_table(unknown, "random", 0).train) <= set(range(700))


def test_which_sample_of_a_class_always_trains_is_chance():
    table = uneven_table((30, 2))
    trained = [
        np.isin([30, 31], split_table(table, "random", seed).train).tolist() for seed in range(60)
    ]
    assert {(True, False), (False, True)} <= set(map(tuple, trained))
    assert [False, False] not in trained


def test_a_random_split_cuts_no_group():
    rng = np.random.default_rng(0)
    groups = np.concatenate([rng.integers(0, 40, 100), rng.integers(30, 60, 50), range(60, 80)])
    table = uneven_table(groups=[f"g{group}" for group in groups])
    for seed in range(20):
        splits = split_table(table, "random", seed)
        assert_whole(splits, table)
        found = [set(groups[splits[part]]) for part in SPLITS]
        assert not found[0] & found[1] and not found[0] & found[2] and not found[1] & found[2]
        assert min(per_class(table, splits.train)) >= 1


def test_a_random_split_needs_classes_of_several_samples():
    with pytest.raises(InputError, match="leaves none for the validation part"):
        split_table(uneven_table([1] * 20), "random", 0)
