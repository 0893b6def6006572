"""Species of clownfish: what is learnt, the pixels' statistics, both networks and their options."""

from dataclasses import replace
from math import cos, pi
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

import run
from datasets.base import Table, content_digest
from datasets.clownfish import Choice, build, without_copies
from datasets.errors import InputError
from datasets.images import Fit, fit_images
from datasets.pictures import Pictures
from models.backbones import build_backbone
from models.clownfish.net96 import Net96
from models.clownfish.photographs import statistics, torch_start
from models.clownfish.transfer_cnn import TransferCNN
from training.schedules import schedule

# Pictures of each species of which 10 % for validation leaves table 1 of the paper.
TOTALS = {"clarkii": 590, "perideraion": 253, "ocellaris": 234, "frenatus": 156, "akallopisos": 90,
          "bicinctus": 400, "sandaracinos": 120}  # fmt: skip


def table_of(counts, seed=0, side=18):
    """Noise in which no two pictures are alike."""
    rng = np.random.default_rng(seed)
    labels = [label for label, count in counts.items() for _ in range(count)]
    images = list(rng.integers(0, 256, (len(labels), side, side, 3), np.uint8))
    frame = pd.DataFrame(
        {
            "key": [f"{label}/{row}.jpg" for row, label in enumerate(labels)],
            "label": labels,
            "part": "",
            "digest": [content_digest(image) for image in images],
        }
    )
    return Table("fish", "noise", tuple(sorted(counts)), frame, {"image": Pictures.of(images)})


def with_images(table, changed):
    """The table with other pictures at some rows."""
    images = [changed.get(row, image) for row, image in enumerate(table.modalities["image"])]
    frame = table.frame.assign(digest=[content_digest(image) for image in images])
    return replace(table, frame=frame, modalities={"image": Pictures.of(images)})


def counts_of(division, part):
    taken = division.table.take(division.splits[part])
    return taken.counts()


@pytest.fixture(scope="module")
def fish():
    return table_of(TOTALS)


@pytest.fixture(scope="module")
def few():
    return table_of({"a": 40, "b": 30, "c": 24})


# --- what is learnt


def test_two_species_are_those_of_table_1(fish):
    division = build(fish, Choice(species="2", cap="table"), "holdout", 0)
    assert division.table.labels == ("clarkii", "bicinctus")  # the most represented of these here
    fewer = fish.take(np.flatnonzero(fish.frame["label"] != "bicinctus"))
    division = build(fewer, Choice(species="2", cap="table"), "holdout", 0)
    assert counts_of(division, "train") == {"clarkii": 380, "perideraion": 228}
    assert counts_of(division, "validation") == {"clarkii": 59, "perideraion": 25}
    assert division.splits.parts() == ("train", "validation")
    (line,) = (line for line in division.table.left_out if "--cap" in line)
    assert line.startswith("151 of 531 training pictures of clarkii")


FOUR = "clarkii,perideraion,ocellaris,frenatus"


def test_four_species_and_other_are_those_of_the_paper(fish):
    choice = Choice(species=FOUR, cap="table", other=True, other_validation=0.2)
    division = build(fish, choice, "holdout", 0)
    assert division.others is None
    assert division.table.labels == (*FOUR.split(","), "other")
    assert list(counts_of(division, "train").values()) == [234, 228, 211, 140, 312]
    assert list(counts_of(division, "validation").values()) == [59, 25, 23, 16, 78]
    other = division.table.frame.query("label == 'other'")["species"]
    assert set(other) == {"akallopisos", "bicinctus", "sandaracinos"}


def test_the_text_caps_at_twice_the_training_pictures_of_the_rarest_species(fish):
    division = build(fish, Choice(species=FOUR, cap="text"), "holdout", 0)
    assert list(counts_of(division, "train").values()) == [280, 228, 211, 140]
    free = build(fish, Choice(species=FOUR), "holdout", 0)
    assert list(counts_of(free, "train").values()) == [531, 228, 211, 140]
    assert set(division.splits.train) < set(free.splits.train)
    np.testing.assert_array_equal(division.splits.validation, free.splits.validation)


def test_species_that_are_not_learnt_are_the_others(few):
    division = build(few, Choice(species="b, a"), "stratified", 0)
    assert division.table.labels == ("b", "a")
    assert set(division.others.frame["label"]) == {"c"}
    assert len(division.others) == 24
    assert division.splits.parts() == ("train", "validation", "test")
    assert build(few, Choice(), "stratified", 0).others is None


def test_the_choice_depends_on_the_seed_alone(few):
    choice = Choice(species="a", other=True, other_limit=20, other_validation=0.3)
    one, same, other = (build(few, choice, "holdout", seed) for seed in (1, 1, 2))
    assert one.splits.fingerprint(one.table) == same.splits.fingerprint(same.table)
    assert one.splits.fingerprint(one.table) != other.splits.fingerprint(other.table)
    assert counts_of(one, "validation") == {"a": 4, "other": 6}


@pytest.mark.parametrize(
    ("choice", "parts"),
    [
        (Choice(species="5"), ["--species 5", "fish has 3 species"]),
        (Choice(species="0"), ["--species 0"]),
        (Choice(species="1"), ["at least two classes"]),
        (Choice(species=",", other=True), ["at least two classes"]),
        (Choice(species="a,x"), ["has no 'x'", "a, b, c"]),
        (Choice(other=True), ["--other", "every species", "--species"]),
    ],
)
def test_a_wrong_choice_is_refused(few, choice, parts):
    with pytest.raises(InputError) as error:
        build(few, choice, "holdout", 0)
    for part in parts:
        assert part in str(error.value)


def test_a_species_called_other_is_not_learnt_beside_the_class_other():
    table = table_of({"a": 20, "other": 15, "b": 10})
    with pytest.raises(InputError, match="has a class 'other' of its own"):
        build(table, Choice(species="2", other=True), "holdout", 0)
    division = build(table, Choice(species="a", other=True), "holdout", 0)
    assert division.table.counts() == {"a": 20, "other": 25}


# --- copies, look-alikes and the exclusion list


def test_copies_leave_and_those_with_two_labels_leave_together():
    table = table_of({"a": 20, "b": 20})
    images = list(table.modalities["image"])
    table = with_images(table, {5: images[3], 30: images[10]})
    division = build(table, Choice(), "holdout", 0)
    keys = set(division.table.frame["key"])
    assert not keys & {"a/5.jpg", "a/10.jpg", "b/30.jpg"}
    assert "a/3.jpg" in keys
    assert len(keys) == 37
    assert sorted(division.table.left_out) == [
        "a/10.jpg (a): the same picture stands under another label as well",
        "a/5.jpg (a): a copy of another picture of the class",
        "b/30.jpg (b): the same picture stands under another label as well",
    ]


def test_a_class_that_has_nothing_but_copies_keeps_them():
    table = table_of({"a": 4, "b": 2, "c": 5})
    images = list(table.modalities["image"])
    table = with_images(table, {4: images[0], 5: images[0], 6: images[1]})
    kept = without_copies(table)
    # b has one picture, which a has too; c has others than the one it shares with a.
    assert kept.frame["key"].tolist() == [
        "a/2.jpg", "a/3.jpg", "b/4.jpg", "c/7.jpg", "c/8.jpg", "c/9.jpg", "c/10.jpg",
    ]  # fmt: skip
    assert "b/5.jpg (b): the same picture stands under another label as well" in kept.left_out


def test_look_alikes_stay_in_one_part():
    table = table_of({"a": 30, "b": 30}, side=40)
    images = list(table.modalities["image"])
    darker = {row + 1: (images[row] * 0.8).astype(np.uint8) for row in range(0, 60, 2)}
    for seed in range(3):
        division = build(with_images(table, darker), Choice(), "stratified", seed)
        assert len(division.table) == 60
        part = np.empty(60, object)
        for name in division.splits.parts():
            part[division.splits[name]] = name
        assert (part[::2] == part[1::2]).all()
        assert set(part) == {"train", "validation", "test"}


def written(tmp_path, text):
    path = tmp_path / "leave-out.csv"
    path.write_text(text)
    return str(path)


def test_the_exclusion_list_leaves_pictures_out_with_their_reasons(few, tmp_path):
    text = "file,reason,seen by\na/3.jpg,drawing,me\n41.jpg,stamp,me\na/7.jpg,drawing,me\n2.jpg,,\n"
    division = build(few, Choice(exclude=written(tmp_path, text)), "holdout", 0)
    keys = set(division.table.frame["key"])
    assert len(keys) == len(few) - 4
    assert not keys & {"a/3.jpg", "b/41.jpg", "a/7.jpg", "a/2.jpg"}
    assert set(division.table.left_out) == {
        "2 excluded by leave-out.csv: drawing",
        "1 excluded by leave-out.csv: stamp",
        "1 excluded by leave-out.csv: no reason given",
    }


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("file,why\na/3.jpg,x\n", ["lacks a column", "'file' and 'reason'"]),
        ("file,reason\nz.jpg,x\n", ["'z.jpg' is not among the pictures"]),
        ("file,reason\n3.jpg,x\n", ["'3.jpg' names several pictures"]),
        ("", ["cannot be read as CSV"]),
    ],
)
def test_a_wrong_exclusion_list_is_refused(few, tmp_path, text, parts):
    keys = few.frame["key"].replace("b/50.jpg", "b/3.jpg")
    table = replace(few, frame=few.frame.assign(key=keys))
    with pytest.raises(InputError) as error:
        build(table, Choice(exclude=written(tmp_path, text)), "holdout", 0)
    for part in ("--exclude", "leave-out.csv", *parts):
        assert part in str(error.value)


def test_a_missing_exclusion_list_is_refused(few, tmp_path):
    with pytest.raises(InputError, match="cannot be read"):
        build(few, Choice(exclude=str(tmp_path / "none.csv")), "holdout", 0)


# --- pixels


@pytest.fixture(scope="module")
def bright():
    """Twelve pictures of 30 to 41 pixels; splits with eight, two and two of them."""
    rng = np.random.default_rng(6)
    images = [rng.integers(0, 200 + row, (30 + row, 41 - row, 3), np.uint8) for row in range(12)]
    table = SimpleNamespace(modalities={"image": Pictures.of(images)})
    splits = SimpleNamespace(train=np.arange(8), validation=np.array([8, 9]))
    return table, splits


def test_statistics_are_of_training_pixels_only(bright):
    table, splits = bright
    fit = Fit(16, 16, 3)
    before = statistics(table, splits, fit, paper=False)
    pixels = fit_images(table.modalities["image"][:8], fit).reshape(-1, 3)
    np.testing.assert_allclose(before[0], pixels.mean(axis=0), rtol=1e-5)
    np.testing.assert_allclose(before[1], pixels.std(axis=0), rtol=1e-4)
    images = list(table.modalities["image"])
    for row in range(8, 12):
        images[row] = np.zeros_like(images[row])
    changed = SimpleNamespace(modalities={"image": Pictures.of(images)})
    assert statistics(changed, splits, fit, paper=False) == before
    assert statistics(changed, splits, fit, paper=True) != statistics(
        table, splits, fit, paper=True
    )


def test_the_papers_statistics_are_means_over_training_and_validation_pictures(bright):
    table, splits = bright
    mean, deviation = statistics(table, splits, Fit(16, 16, 3), paper=True)
    squares = fit_images(table.modalities["image"][:10], Fit(224, 224, 3, 1.0)).reshape(10, -1, 3)
    np.testing.assert_allclose(mean, squares.mean(axis=(0, 1)), rtol=1e-4)
    np.testing.assert_allclose(deviation, squares.std(axis=1).mean(axis=0), rtol=1e-4)


# --- networks and schedules


def net96_of(classes):
    """The paper's Net96 for so many classes."""
    model = Net96(Net96.Options(preset="paper", species=str(classes)))
    model.split_table(table_of(dict.fromkeys("abcd", 12)))
    model.createArchitecture()
    return model


@pytest.fixture(scope="module")
def net96():
    return net96_of(2)


def test_net96_has_the_papers_layers_and_parameters(net96):
    assert net96.model.count_params() == 29_815_712
    shapes = [layer.output.shape[1:] for layer in net96.model.layers if "maximum" in layer.name]
    assert shapes == [(45, 45, 70), (21, 21, 110), (9, 9, 180)]
    assert net96.model.output["features"].shape == (None, 200)


def test_net96_has_the_papers_parameters_for_four_species():
    assert net96_of(4).model.count_params() == 29_816_114


@pytest.mark.parametrize(
    ("name", "fan_in"), [("convolution_1", 75), ("convolution_3", 990), ("dense_2", 2000)]
)
def test_net96_begins_as_pytorch_would(net96, name, fan_in):
    bound = 1 / np.sqrt(fan_in)
    for values in net96.model.get_layer(name).get_weights():
        assert np.abs(values).max() <= bound
        assert values.std() == pytest.approx(bound / np.sqrt(3), rel=0.15)
        assert np.abs(values).max() > 0.9 * bound
    kernel = torch_start(fan_in)["kernel_initializer"]
    assert (kernel.minval, kernel.maxval) == (-bound, bound)


def test_the_papers_rate_falls_to_a_tenth_every_seven_epochs():
    options = Net96.Options(preset="paper")
    (steps,) = schedule(options.schedule, 1e-3, 50, options.patience)
    for epoch in (0, 6, 7, 13, 14, 49):
        assert steps.schedule(epoch) == pytest.approx(1e-3 * 0.1 ** (epoch // 7))
    assert steps.schedule(49) == pytest.approx(1e-10)


def test_the_cosine_rises_for_a_twentieth_and_falls_to_nothing():
    rate, stop = schedule("cosine", 1e-2, 40, 3)
    assert (stop.monitor, stop.patience) == ("val_loss", 3)
    values = [rate.schedule(epoch) for epoch in range(40)]
    assert values[:3] == pytest.approx([1e-2 / 3, 2e-2 / 3, 1e-2])
    assert values[21] == pytest.approx(1e-2 * 0.5 * (1 + cos(pi / 2)))
    assert values[39] == pytest.approx(1e-2 * 0.5 * (1 + cos(pi * 37 / 38)))
    assert all(one > two for one, two in zip(values[2:], values[3:], strict=False))


@pytest.mark.parametrize(("model", "epochs"), [(Net96, 50), (TransferCNN, 30)])
def test_the_papers_preset_is_the_paper(model, epochs):
    paper = model.Options(preset="paper", data_dir="fish")
    assert (paper.epochs, paper.batch_size, paper.learning_rate) == (epochs, 16, 1e-3)
    assert (paper.split_rule, paper.cap, paper.schedule) == ("holdout", "table", "step")
    assert (paper.normalise, paper.augmentation, paper.dropout) == ("paper", "paper", 0.0)
    assert (paper.other_limit, paper.other_validation, paper.patience) == (390, 0.2, None)
    recommended = model.Options(data_dir="fish")
    assert recommended.preset == "recommended"
    assert (recommended.split_rule, recommended.cap) == ("stratified", "none")
    assert recommended.normalise != "paper"


# --- mistakes in the options


@pytest.mark.parametrize(
    ("flags", "parts"),
    [
        (
            ["--preset", "paper", "--fine-tune-epochs", "2"],
            ["--fine-tune-epochs needs --unfreeze", "Conv_1"],
        ),
        (["--preset", "paper", "--unfreeze", "block_16"], ["--unfreeze needs --fine-tune-epochs"]),
        (["--unfreeze", "stage9"], ["stage9"]),
        (["--unfreeze", "1.5"], ["--unfreeze 1.5"]),
        (["--batch-norm", "train", "--weights", "OWN"], ["--stored-views", "--batch-norm train"]),
        (["--weights", "FILE"], ["weights.h5", "mobilenet_v2_035"]),
        (["--cap", "half"], ["--cap half", "text, table, none"]),
    ],
)
def test_a_wrong_option_is_one_line_before_any_data_are_read(
    flags, parts, tmp_path, capsys, monkeypatch
):
    def read(*_):
        raise AssertionError("data were read")

    monkeypatch.setattr("models.base.load_table", read)
    for place, name in (("FILE", "mobilenet_v2_050"), ("OWN", "mobilenet_v2_035")):
        if place in flags:
            file = tmp_path / f"{name}.weights.h5"
            build_backbone(name, "none", 32, 32).network.save_weights(file)
            flags = [str(file) if one == place else one for one in flags]
    words = ["--model", "TransferCNN", "--backbone", "mobilenet_v2_035", "--image-size", "32"]
    assert run.main([*words, *flags, "--out", str(tmp_path / "out")]) == 2
    captured = capsys.readouterr()
    (line,) = [one for one in captured.err.splitlines() if one.startswith("error: ")]
    for part in parts:
        assert part in line
    assert not (tmp_path / "out").exists()
