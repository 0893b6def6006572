"""The audit: duplicates, contradictions and leaks on a table made by hand."""

import json

import numpy as np
import pandas as pd

from datasets.audit import audit
from datasets.base import Splits, Table

ROWS = [
    # key, label, part, digest
    ("a1", "cat", "train", "A"),
    ("a2", "cat", "train", "A"),
    ("a3", "cat", "test", "A"),
    ("b1", "cat", "train", "B"),
    ("b2", "dog", "validation", "B"),
    ("c1", "dog", "train", "C"),
    ("d1", "fox", "test", "D"),
]


def make_table(rows=ROWS, unreadable=()):
    frame = pd.DataFrame(rows, columns=["key", "label", "part", "digest"])
    images = {"image": np.zeros((len(frame), 1))}
    return Table("made", "made for a test", ("cat", "dog"), frame, images, unreadable)


def test_counts_are_per_class_and_unknown_labels_stand_apart():
    found = audit(make_table())
    assert found.samples == 7
    assert found.counts == {"cat": 4, "dog": 2}
    assert found.unknown == {"fox": 1}


def test_duplicates_are_groups_and_surplus():
    found = audit(make_table())
    assert (found.duplicate_groups, found.surplus) == (2, 3)


def test_a_contradiction_names_the_copies_and_their_labels():
    (group,) = audit(make_table()).contradictions
    assert group.keys == ("b1", "b2")
    assert group.labels == ("cat", "dog")


def test_leaks_are_counted_per_pair_of_the_publishers_parts():
    assert audit(make_table()).crossings == {
        "train/validation": 1,
        "train/test": 1,
        "validation/test": 0,
    }


def test_leaks_are_counted_per_pair_of_given_splits():
    splits = Splits(np.array([0, 1, 2]), np.array([3, 5]), np.array([4, 6]))
    assert audit(make_table(), splits).crossings == {
        "train/validation": 0,
        "train/test": 0,
        "validation/test": 1,
    }


def test_the_sentences_say_what_was_found():
    text = "\n".join(audit(make_table(unreadable=("x.jpg: is empty",))).lines())
    assert "7 samples in 2 classes: cat 4, dog 2." in text
    assert "The largest class, cat, has 2.0 times the least, dog." in text
    assert "Labels outside the classes: fox 1." in text
    assert "1 sample could not be read:\n  x.jpg: is empty" in text
    assert "2 pictures occur more than once, which makes 3 samples superfluous." in text
    assert "1 picture occurs under more than one label:\n  b1 (cat) = b2 (dog)" in text
    assert "1 picture occurs both in train and in test." in text
    assert "validation and in test" not in text


def test_a_clean_set_is_said_to_be_clean():
    rows = [("a", "cat", "", "A"), ("b", "dog", "", "B")]
    found = audit(make_table(rows))
    assert found.crossings == {}
    assert found.lines()[-1] == "No picture occurs twice."


def test_long_lists_are_cut_with_a_count():
    lines = audit(make_table(unreadable=tuple(f"{n}.jpg: bad" for n in range(9)))).lines()
    assert "  and 4 more" in lines
    assert "  5.jpg: bad" not in lines


def test_the_findings_survive_json():
    found = audit(make_table())
    again = json.loads(json.dumps(found.to_json()))
    assert again == found.to_json()
    assert again["contradictions"] == [{"keys": ["b1", "b2"], "labels": ["cat", "dog"]}]
