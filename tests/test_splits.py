"""Splits: the paper's sizes, disjoint, seeded, and told apart by their fingerprints."""

import numpy as np
import pandas as pd
import pytest

from datasets.base import SPLITS, Table, given_split, shuffled_split, split_table
from datasets.errors import InputError


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
    with pytest.raises(InputError, match="--split-rule paper"):
        given_split(make_table(30), seed=0)


def test_too_few_samples_are_refused():
    with pytest.raises(InputError, match="none for the"):
        shuffled_split(make_table(3), seed=0)


def test_a_class_without_a_training_sample_is_refused():
    table = make_table(60, ["train"] * 30 + ["validation"] * 15 + ["test"] * 15)
    table.frame.loc[table.frame["part"] == "train", "label"] = "c0"
    with pytest.raises(InputError, match="no sample of class 'c1'"):
        given_split(table, seed=0)
