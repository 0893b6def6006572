"""What the recipes of paper 002 state below their tables, of runs with known figures."""

import math
from collections import Counter
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from models.music import findings
from models.music.cases import F1, LOSS, cases_of, difference_cells
from tests.music_runs import runs_of
from training.recipes import music_splits, music_sweep
from training.reports import plot_trends

SWEEP, SPLITS = music_sweep.RECIPE, music_splits.RECIPE
TASKS = "gmdes"


def linear(name, seed):
    """A figure that grows by 2 points with every task but by 1 from MTN; g adds 6 points."""
    *_, kind, tasks = name.split()
    number = 1 if kind == "wSTN" else len(tasks)
    slope = 0.01 if kind == "MTN" else 0.02
    wiggle = 0.0001 * (seed - 1) * number  # no two seeds are alike
    value = 0.4 + slope * (number - 1) + 0.06 * ("g" in tasks or kind == "wSTN") + wiggle
    value += 0.03 * (seed == 2)
    return {"macro_f1": value, "log_loss": 2 - value}


@pytest.fixture(scope="module")
def lines(tmp_path_factory):
    return findings.sweep(runs_of(tmp_path_factory.mktemp("runs"), linear))


def cells(lines, *begin):
    """Cells of the one line that begins with these."""
    head = f"| {' | '.join(begin)} |"
    (line,) = [line for line in lines if line.startswith(head)]
    return [cell.strip() for cell in line.removeprefix(head).removesuffix("|").split("|")]


def section(lines, name):
    start = next(number for number, line in enumerate(lines) if line.startswith(name))
    return lines[start : lines.index("", start + 2) if "" in lines[start + 2 :] else None]


def number(cell):
    return float(cell.split()[0])


def test_what_a_further_task_adds_is_told_with_its_interval(lines):
    for kind, slope in (("STN", 2), ("MTN", 1)):
        for part in ("with g", "without g"):
            f1, p, found, loss, _, found_loss, _ = cells(
                lines, f"one task more, {kind}, sets {part}"
            )
            assert number(f1) == pytest.approx(slope, abs=0.05)
            assert number(loss) == pytest.approx(-slope / 100, abs=0.0006)
            assert (found, found_loss) == ("better", "better")
            plain, corrected = map(float, p.split(", "))
            assert plain < corrected < 0.05
        # Of many tasks g is more often one: the whole slope is steeper, by the line of all sets.
        sizes = np.array([len(tasks) for tasks in music_sweep.SETS])
        g = np.array([0.06 * ("g" in tasks) for tasks in music_sweep.SETS])
        steeper = 100 * np.polyfit(sizes, g, 1)[0]
        f1, *_ = cells(lines, f"one task more, {kind}, all sets")
        # The MTN of one task are the STN, which does not change a line through this kind of cases.
        assert number(f1) == pytest.approx(slope + steeper, abs=0.06)


def test_the_main_task_is_judged_at_the_same_number_of_tasks(lines):
    for kind in ("STN", "MTN"):
        f1, *_ = cells(lines, f"with g - without g, as many tasks, {kind}")
        assert f1 == "+6.0 (6.0 to 6.0)"
    f1, _, found, *_ = cells(lines, "gmdes - g, STN")
    assert number(f1) == pytest.approx(8.0, abs=0.05)
    assert found == "better"


def test_shared_networks_are_paired_with_separate_ones(lines):
    several = [len(tasks) for tasks in music_sweep.SHARED]
    f1, _, found, loss, _, _, paper = cells(lines, "MTN - STN, sets of two tasks and more")
    assert number(f1) == pytest.approx(-np.mean([size - 1 for size in several]), abs=0.05)
    assert number(loss) == pytest.approx(np.mean([size - 1 for size in several]) / 100, abs=0.0006)
    # All seeds differ alike, which no test of the spread between seeds can judge.
    assert found == "-"
    assert "significant" in paper
    (pairs,) = [line for line in lines if line.startswith("With every set and seed")]
    assert "macro F1 better in 0 of 78 (p = " in pairs


def test_table_3_is_the_mean_with_and_without_g(lines):
    stn = {tasks: linear(f"STN {tasks}", 1) for tasks in music_sweep.SETS}
    f1_with, f1_without, loss_with, loss_without = cells(section(lines, "Table 3"), "STN")
    for cell, figure, scale, with_g in (
        (f1_with, "macro_f1", 100, True), (f1_without, "macro_f1", 100, False),
        (loss_with, "log_loss", 1, True), (loss_without, "log_loss", 1, False),
    ):  # fmt: skip
        values = [one[figure] for tasks, one in stn.items() if ("g" in tasks) == with_g]
        shift = 0.01 if figure == "macro_f1" else -0.01  # of the third seed
        assert number(cell) == pytest.approx(scale * (np.mean(values) + shift), abs=0.051)


def test_table_4_has_62_cases_of_which_five_stand_there_twice(lines):
    table = [line for line in section(lines, "Table 4") if line.startswith(("| STN", "| MTN"))]
    assert len(table) == 62
    doubles = [line for line in table if "the same as" in line]
    assert [line.split(" | ")[1] for line in doubles] == list(TASKS)
    for task in TASKS:
        *figures, mark = cells(table, "MTN", task)
        assert mark == f"the same as STN {task}"
        assert figures == cells(table, "STN", task)[:2]
    assert cells(table, "MTN", "gm")[0].startswith("48.0 (")


def test_table_5_sets_the_best_of_each_number_beside_the_wide_network(lines):
    table = section(lines, "Table 5")
    assert len(table) == 4 + 2 * 5
    best, shared, wide, gain, _, shared_gain, _ = cells(table, "3", "macro F1, %")
    assert best.startswith("gde 51.0 (")  # as good as any with g, and the first in the alphabet
    assert shared.startswith("gde 49.0 (")
    assert wide.startswith("47.0 (")
    assert gain.startswith("+4.0 ")
    assert shared_gain.startswith("+2.0 ")
    first = cells(table, "1", "macro F1, %")
    assert first[0] == first[1] == f"g {first[2]}"
    assert "chosen on the validation part" in table[0]


def test_table_5_chooses_by_validation(tmp_path):
    def figures(name, seed):
        good, fair = ({"macro_f1": f1, "log_loss": 1.0} for f1 in (0.8, 0.6))
        lucky = name.endswith("de")  # good on the test part alone
        known = name.endswith("ms")
        return {
            "train": fair, "validation": good if known else fair, "test": good if lucky else fair,
        }  # fmt: skip

    table = section(findings.sweep(runs_of(tmp_path, figures)), "Table 5")
    assert cells(table, "2", "macro F1, %")[0].startswith("ms 60.0")


def test_without_a_test_part_the_validation_part_is_judged(tmp_path):
    lines = findings.sweep(runs_of(tmp_path, linear, parts=("train", "validation")))
    assert "of the validation part" in lines[0]
    assert "flatters STN and MTN" in section(lines, "Table 5")[0]


def test_figure_3_is_the_mean_of_all_sets_of_a_size(tmp_path):
    runs = runs_of(tmp_path, linear)
    table = section(findings.sweep(runs), "Figure 3")
    sizes = Counter(len(tasks) for tasks in music_sweep.SETS)
    for size, count in sizes.items():
        sets, f1, shared, loss, _ = cells(table, f"{size}")
        with_g = math.comb(4, size - 1) / count
        assert int(sets) == count
        assert number(f1) == pytest.approx(41 + 2 * (size - 1) + 6 * with_g, abs=0.051)
        assert number(shared) == pytest.approx(41 + size - 1 + 6 * with_g, abs=0.051)
        assert number(loss) == pytest.approx(2 - number(f1) / 100, abs=0.0011)

    (picture, _, link) = findings.figure3(runs, tmp_path)
    assert "(figure3.png)" in picture
    assert "(cases.csv)" in link
    assert Image.open(tmp_path / "figure3.png").width > 500
    cases = pd.read_csv(tmp_path / "cases.csv")
    assert len(cases) == 3 * (62 + 4)
    assert cases["same"].sum() == 3 * 5


def test_harm_and_doubt_are_said_as_well():
    harm = difference_cells([-2.0, -2.1, -1.9], F1, 0.125)
    assert harm[2] == "worse"
    assert difference_cells([2.0, 2.1, 1.9], LOSS, 0.125)[2] == "worse"
    assert difference_cells([-2.0, -2.1, -1.9], LOSS, 0.125)[2] == "better"
    doubt = difference_cells([1.0, -0.5, 0.7], F1, 0.125)
    assert doubt[2] == "no difference shown"
    # t = 0.4 / (0.7937 / 3 ** 0.5) = 0.8729, and 1 / (1 + 3 / 8) ** 0.5 of it.
    assert doubt[1] == "0.47, 0.53"
    # By the corrected test alone nothing is shown.
    assert difference_cells([1.0, 1.4, 0.7], F1, 0.25)[1:] == ["0.036, 0.061", doubt[2]]
    assert difference_cells([2.0], F1, 0.125) == ["+2.0", "-", "-"]


def test_one_seed_and_few_sets_are_enough_for_a_page(tmp_path):
    quick = replace(SWEEP, rows=tuple(row for row in SWEEP.rows if row.in_quick))
    lines = findings.sweep(runs_of(tmp_path, linear, quick, seeds=(0,)))
    assert cells(lines, "gmdes - g, STN")[1:3] == ["-", "-"]
    assert not [line for line in lines if "nan" in line]
    assert cells(section(lines, "Table 5"), "5", "macro F1, %")[2] == "-"


def test_the_gap_of_a_random_split_has_welchs_interval(tmp_path):
    def figures(name, seed):
        value = (0.6 if "by" in name else 0.8) + 0.02 * (seed - 1)
        return {"accuracy": value, "macro_f1": value, "log_loss": 2 - value}

    lines = findings.splits(runs_of(tmp_path, figures, SPLITS))
    gap = section(lines, "The gap")
    # Variances of 4 and 4 over 3 seeds: 2.776 * (8 / 3) ** 0.5 = 4.53 around 20.
    for model in ("MelDCNN, g", "TransferMLP"):
        for group in ("by artist", "by album"):
            accuracy, p, f1, _, loss, _ = cells(gap, model, group)
            assert accuracy == f1 == "+20.0 (15.5 to 24.5)"
            assert loss == "-0.200 (-0.245 to -0.155)"
            assert float(p) == pytest.approx(0.00025, rel=0.05)
        assert cells(lines, model, "random", "test, 30 tracks")[0] == "80.0 (75.0 to 85.0)"


def test_a_gap_of_one_seed_has_no_test(tmp_path):
    lines = findings.splits(runs_of(tmp_path, lambda *_: linear("STN g", 0), SPLITS, seeds=(0,)))
    assert cells(section(lines, "The gap"), "TransferMLP", "by album")[:2] == ["+0.0", "-"]


def test_cases_tell_what_was_judged(tmp_path):
    cases = cases_of(runs_of(tmp_path, linear))
    assert set(cases["part"]) == {"test"}
    assert cases["ratio"].unique() == pytest.approx([30 / 240])
    wide = cases[cases["kind"] == "wSTN"]
    assert sorted(set(wide["number"])) == [2, 3, 4, 5]


def test_trends_are_drawn_with_every_line(tmp_path):
    seeds = {"up": {1: [1.0, 1.2], 2: [2.0, 2.2]}, "down": {1: [2.0], 2: [1.0]}}
    path = plot_trends({"one": seeds, "other": seeds}, "number", tmp_path / "trends.png")
    pixels = np.asarray(Image.open(path).convert("RGB")).reshape(-1, 3)
    for colour in ((0xD5, 0x5E, 0x00), (0x00, 0x72, 0xB2)):
        assert (pixels == colour).all(axis=1).sum() > 100
