"""The audit: duplicates, contradictions and leaks on a table made by hand."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd

import datasets.audit
from datasets.audit import audit
from datasets.base import Splits, Table
from datasets.pictures import Pictures

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
    assert "All classes have the same number of samples." in found.lines()
    assert found.lines()[-1] == "No picture occurs twice."


def test_recordings_are_called_so():
    table = make_table([("a", "dub", "", "A"), ("b", "ska", "", "B")])
    heard = replace(table, modalities={"waveform": np.zeros((2, 5), np.float32)})
    assert audit(heard).lines()[-1] == "No recording occurs twice."


def test_long_lists_are_cut_with_a_count():
    lines = audit(make_table(unreadable=tuple(f"{n}.jpg: bad" for n in range(9)))).lines()
    assert "  and 4 more" in lines
    assert "  5.jpg: bad" not in lines


def test_the_findings_survive_json():
    found = audit(make_table())
    again = json.loads(json.dumps(found.to_json()))
    assert again == found.to_json()
    assert again["contradictions"] == [{"keys": ["b1", "b2"], "labels": ["cat", "dog"]}]


def noise(seed):
    spots = np.random.default_rng(seed).integers(0, 256, (8, 8, 1), np.uint8)
    return np.kron(spots, np.ones((5, 5, 1), np.uint8))


def make_photographs(rows=ROWS):
    """Copies of A and B; C is like A, and mirrored; D is alone."""
    table = make_table(rows)
    content = {"A": noise(0), "B": noise(1), "C": noise(0)[:, ::-1] // 2, "D": noise(2)}
    images = Pictures.of(content[digest] for digest in table.frame["digest"])
    return replace(table, modalities={"image": images})


def test_pictures_that_look_alike_are_found_and_named_by_their_most_harmful_copy():
    (pair,) = audit(make_photographs()).near_duplicates
    assert pair.keys == ("a3", "c1")  # a1 and a2 stand in one part with c1
    assert pair.labels == ("cat", "dog")
    assert pair.parts == ("test", "train")
    assert 0 <= pair.distance <= 30
    assert pair.across_labels and pair.across_parts


def test_large_sets_are_not_searched_for_look_alikes_and_that_is_said(monkeypatch):
    monkeypatch.setattr(datasets.audit, "MOST", 3)
    found = audit(make_photographs())
    assert found.near_duplicates is None and found.uncompared == 4
    assert (
        "Look-alikes were not looked for: 4 different pictures are more than the 3 that are "
        "compared with each other." in found.lines()
    )
    assert json.loads(json.dumps(found.to_json()))["near_duplicates"] is None


def test_of_many_classes_the_usual_is_said():
    sizes = [1, 1, *[5] * 200, 30]
    rows = [
        (f"k{row}", f"c{label:03}", "", f"d{row}")
        for row, label in enumerate(np.repeat(range(203), sizes))
    ]
    table = replace(make_table(rows), labels=tuple(f"c{label:03}" for label in range(203)))
    assert audit(table).lines()[0] == (
        "1,032 samples in 203 classes of 1 to 30 samples each, 5 in the middle; 2 have fewer than "
        "5, 2 of these a single one."
    )


def test_pictures_that_look_alike_are_judged_by_the_given_splits():
    rows = np.arange(len(ROWS))
    together = Splits(rows[[0, 1, 2, 5]], rows[[3]], rows[[4]])
    (pair,) = audit(make_photographs(), together).near_duplicates
    assert pair.parts == ("train", "train")
    assert not pair.across_parts
    assert pair.keys == ("a1", "c1")


def test_a_sample_outside_the_parts_is_across_none():
    rows = [(key, label, "", digest) for key, label, _, digest in ROWS]
    (pair,) = audit(make_photographs(rows)).near_duplicates
    assert pair.parts == ("", "")
    assert not pair.across_parts
    half = [*rows[:-2], ("c1", "dog", "train", "C")]
    assert not audit(make_photographs(half)).near_duplicates[0].across_parts
    assert audit(make_photographs(rows)).lines()[-1].startswith("  a1 (cat) ~ c1 (dog): ")


def test_the_sentences_name_pictures_that_look_alike():
    found = audit(make_photographs())
    bits = found.near_duplicates[0].distance
    assert found.lines()[-2:] == [
        "1 pair looks alike (near-duplicates), 1 across labels and 1 across parts:",
        f"  a3 (cat, test) ~ c1 (dog, train): {bits} of 256 bits differ",
    ]
    again = json.loads(json.dumps(found.to_json(), allow_nan=False))
    assert again == found.to_json()
    assert again["near_duplicates"] == [
        {"keys": ["a3", "c1"], "labels": ["cat", "dog"], "parts": ["test", "train"]}
        | {"distance": bits}
    ]


def test_pairs_across_parts_or_labels_stand_first_the_most_alike_of_them_first():
    rows = [
        *(("x1", "cat", "train", "X"), ("x2", "cat", "train", "X2")),
        *(("y1", "cat", "train", "Y"), ("y2", "dog", "train", "Y2")),
        *(("z1", "cat", "train", "Z"), ("z2", "cat", "test", "Z2")),
    ]
    images = [image for seed in range(3) for image in (noise(seed), noise(seed) // 2)]
    images[3] = noise(1)[:-1]
    table = replace(make_table(rows), modalities={"image": Pictures.of(images)})
    pairs = audit(table).near_duplicates
    assert [pair.keys for pair in pairs] == [("z1", "z2"), ("y1", "y2"), ("x1", "x2")]
    assert pairs[0].distance < pairs[1].distance > pairs[2].distance


def test_photographs_that_differ_are_said_to_differ():
    for rows in ([], ROWS[-1:]):
        assert audit(make_photographs(rows)).lines()[-1] == "No two different pictures look alike."


def test_exact_copies_are_not_repeated_as_near_duplicates():
    rows = [row for row in ROWS if row[3] != "C"]
    assert audit(make_photographs(rows)).near_duplicates == ()


def test_pictures_of_one_size_in_an_array_are_not_compared():
    table = make_photographs()
    dense = replace(table, modalities={"image": np.stack(list(table.modalities["image"]))})
    assert audit(dense).near_duplicates is None
    assert audit(replace(table, modalities={})).near_duplicates is None
    assert not any("alike" in line for line in audit(dense).lines())
    assert audit(dense).to_json()["near_duplicates"] is None
