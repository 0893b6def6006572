"""The leak check on tables whose leak is known."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from datasets import leaks
from datasets.audit import audit
from datasets.base import Table
from datasets.columns import Column
from datasets.leak_report import ALONE, STRONG
from datasets.leaks import find_leaks
from training import reports

CLASSES, SITES, EACH = 6, 4, 9  # sites of a class, specimens of a site
SPECIMENS = CLASSES * SITES * EACH
SIZES = ("height_mm", "width_mm")


@pytest.fixture(autouse=True)
def small_forests(monkeypatch):
    monkeypatch.setattr(leaks, "TREES", 16)
    monkeypatch.setattr(leaks, "FEW_TREES", 10)


def make_table(values, columns, labels, sites=None, name="site"):
    """A table of specimens; `columns` are names, or Column records."""
    labels = [f"class {label:02}" for label in labels]
    frame = pd.DataFrame(
        {"key": range(len(labels)), "label": labels, "part": "", "digest": range(len(labels))}
    )
    if sites is not None:
        frame[name] = sites
    named = tuple(one if isinstance(one, Column) else Column(one) for one in columns)
    values = np.column_stack(values).astype(np.float32)
    classes = tuple(sorted(set(labels)))
    return Table("made", "made", classes, frame, {"measurements": values}, columns=named)


def specimens():
    """(class, site) of each; every site holds one class."""
    sites = np.repeat(np.arange(CLASSES * SITES), EACH)
    return sites % CLASSES, sites


def shells(labels, apart=0.6, seed=0):
    """Two sizes that tell the classes apart a little."""
    rng = np.random.default_rng(seed)
    return [rng.normal(apart * np.asarray(labels), 1.0) for _ in SIZES]


def of_sites(sites, seed, noise=0.001):
    """A value of each site's own, measured finely."""
    rng = np.random.default_rng(seed)
    return rng.permutation(sites.max() + 1)[sites] + noise * rng.normal(size=len(sites))


def country(labels, sites):
    """Of each class two countries, of six: coarse, and the same all over a site."""
    return (labels + (sites // CLASSES) % 2) % 6


def leaky(sites_named=True, name="site"):
    labels, sites = specimens()
    values = [*shells(labels), of_sites(sites, 1), of_sites(sites, 2), country(labels, sites)]
    columns = (*SIZES, "latitude_deg", "altitude_m", Column("country", tuple("ABCDEF")))
    return make_table(values, columns, labels, sites if sites_named else None, name)


def test_columns_that_identify_the_site_are_named_and_the_others_left():
    found = find_leaks(leaky())
    leak = found.leak
    assert set(leak.columns) == {"latitude_deg", "altitude_m"}
    assert leak.remaining == (*SIZES, "country")
    assert (leak.place, leak.places, leak.single) == ("site", 24, 24)
    assert leak.identified.accuracy > 0.95 and leak.alone.accuracy > 0.95
    assert leak.without.accuracy <= STRONG < found.whole.accuracy
    assert found.suspects == leak.columns


def test_at_places_that_were_held_out_the_leak_is_worth_nothing():
    labels, sites = specimens()
    table = make_table([of_sites(sites, 1), of_sites(sites, 2)], ("x", "y"), labels, sites)
    leak = find_leaks(table).leak
    assert leak.alone.accuracy > 0.95
    assert leak.other_places.accuracy < 0.6
    assert leak.other_places.n == CLASSES * EACH  # one site of the four of each class
    assert leak.remaining == () and leak.without is None
    assert "--measurements none" in leak.line()


def test_the_sentence_says_what_to_drop():
    first, second = find_leaks(leaky()).lines()
    assert first.startswith("A random forest on the measurements alone (5 columns) names the class")
    assert first.endswith(f"{CLASSES} classes.")
    assert "identify the site (24 of them, each with one class;" in second
    assert "and thereby the class" in second and "whole places are held out" in second
    assert second.endswith("drop them with --measurements height_mm,width_mm,country")


def test_names_with_spaces_are_quoted():
    table = leaky()
    columns = (Column("height (mm)"), *table.columns[1:])
    line = find_leaks(replace(table, columns=columns)).lines()[1]
    assert line.endswith("drop them with --measurements 'height (mm),width_mm,country'")


def test_sites_of_several_classes_give_nothing_away():
    labels = np.tile(np.arange(CLASSES), SITES * EACH)
    sites = np.repeat(np.arange(12), SPECIMENS // 12)
    values = [*shells(labels), of_sites(sites, 1)]
    found = find_leaks(make_table(values, (*SIZES, "latitude_deg"), labels, sites))
    assert found.leak is None and found.suspects == ()
    assert len(found.lines()) == 1


def test_measures_of_the_specimen_are_no_leak_however_well_they_tell():
    """Within a site they vary as they do within the class."""
    labels, sites = specimens()
    found = find_leaks(make_table(shells(labels, apart=30), SIZES, labels, sites))
    assert found.whole.accuracy > 0.99 and found.leak is None
    assert "the measurements themselves tell the classes apart" in found.lines()[-1]


def test_a_coarse_column_of_the_place_is_no_leak():
    labels, sites = specimens()
    values = [*shells(labels), country(labels, sites)]
    found = find_leaks(
        make_table(values, (*SIZES, Column("country", tuple("ABCDEF"))), labels, sites)
    )
    assert found.leak is None


def test_one_place_for_each_class_cannot_be_told_from_the_class():
    labels = np.repeat(np.arange(8), 10)
    found = find_leaks(make_table([of_sites(labels, 1), *shells(labels)], "abc", labels, labels))
    assert found.one_place_each and found.leak is None
    assert found.lines()[-1].startswith("Each class comes from one site only")


def test_without_a_place_few_columns_are_named_and_the_way_to_tell():
    found = find_leaks(leaky(sites_named=False))
    assert found.place is None and found.leak is None
    names, score = found.few[-1]
    assert len(names) == 1 and names[0] in ("latitude_deg", "altitude_m")
    assert score.accuracy > ALONE
    assert found.suspects == names
    _, few, advice = found.lines()
    assert few.startswith(f"{names[0]} alone names ")
    assert "--group" in advice


def test_values_that_repeat_are_counted():
    labels, sites = specimens()
    values = [of_sites(sites, 1, noise=0), *shells(labels)]
    line = find_leaks(make_table(values, ("latitude_deg", *SIZES), labels)).lines()[1]
    assert "with 24 different values among 216 samples" in line


def test_many_columns_that_tell_the_class_together_are_not_named():
    labels = np.repeat(np.arange(12), 20)
    rng = np.random.default_rng(0)
    values = list((rng.normal(size=(12, 40))[labels] + rng.normal(0, 0.9, (240, 40))).T)
    found = find_leaks(make_table(values, [f"margin{n}" for n in range(40)], labels))
    assert found.whole.accuracy > STRONG
    assert len(found.few) == 3 and found.few[-1][1].accuracy < ALONE
    assert found.suspects == ()
    assert len(found.lines()) == 2


def test_two_classes_told_apart_by_one_column_are_nothing_unusual():
    labels = np.repeat([0, 1], 40)
    found = find_leaks(make_table(shells(labels, apart=30), SIZES, labels))
    assert found.few[-1][1].accuracy > ALONE and found.suspects == ()


def test_the_best_pair_is_found_step_by_step():
    """The class is a cell of a grid; the third column is noise."""
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(12), 25)
    x, y = labels // 4 + 0.1 * rng.normal(size=300), labels % 4 + 0.1 * rng.normal(size=300)
    found = find_leaks(make_table([rng.normal(size=300), x, y], ("noise", "x", "y"), labels))
    assert [names for names, _ in found.few] == [("y",), ("y", "x")]
    assert found.few[0][1].accuracy < 0.5 < ALONE < found.few[1][1].accuracy
    assert found.suspects == ("y", "x")


def test_importances_sum_to_one_and_come_in_order():
    found = find_leaks(leaky())
    shares = list(found.importances.values())
    assert sum(shares) == pytest.approx(1)
    assert shares == sorted(shares, reverse=True)
    assert set(list(found.importances)[-2:]) == set(SIZES)


def test_what_is_held_out_is_a_fifth_of_each_class_and_never_all_of_it():
    targets = np.repeat([0, 1, 2, 3], [1, 2, 10, 100])
    rows = leaks._share_of_each(targets, 0.2, np.random.default_rng(0))
    assert np.bincount(targets[rows], minlength=4).tolist() == [0, 1, 2, 20]
    assert len(set(rows.tolist())) == len(rows)


def test_missing_values_and_unknown_sites_do_no_harm():
    table = leaky()
    values = table.modalities["measurements"].copy()
    values[::11] = np.nan
    values[::5, 0] = np.nan
    values = np.column_stack([values, np.full(len(values), np.nan)])
    frame = table.frame.assign(site=table.frame["site"].astype(object))
    frame.loc[::13, "site"] = None
    found = find_leaks(
        replace(
            table, frame=frame, modalities={"measurements": values},
            columns=(*table.columns, Column("empty")),
        )
    )  # fmt: skip
    assert set(found.leak.columns) == {"latitude_deg", "altitude_m"}
    assert found.leak.places == 24
    assert found.samples == SPECIMENS - len(values[::11])
    assert found.importances["empty"] == 0


def test_samples_of_unknown_classes_are_left_out():
    table = leaky()
    fewer = replace(table, labels=table.labels[:4])
    found = find_leaks(fewer)
    assert (found.samples, found.classes) == (SPECIMENS * 4 // 6, 4)


def test_a_very_large_table_is_looked_at_in_part(monkeypatch):
    monkeypatch.setattr(leaks, "LARGEST_CHECK", SPECIMENS * CLASSES * np.sqrt(5) / 2)
    found = find_leaks(leaky())
    assert found.samples == SPECIMENS // 2
    assert found.leak is not None


def test_the_place_may_be_a_group_or_a_locality():
    assert find_leaks(leaky(name="locality")).leak.place == "locality"
    assert find_leaks(leaky(name="group")).leak.place == "group"


def test_nothing_is_looked_for_without_measurements_or_classes():
    table = leaky()
    assert find_leaks(replace(table, columns=())) is None
    assert find_leaks(replace(table, modalities={})) is None
    assert find_leaks(replace(table, labels=table.labels[:1])) is None
    pairs = table.frame.groupby("label").head(2).index.to_numpy()
    assert find_leaks(table.take(pairs)) is None


def test_the_same_table_is_checked_once_and_another_anew(monkeypatch):
    counted = []
    check = leaks._check
    monkeypatch.setattr(leaks, "_check", lambda data: counted.append(1) or check(data))
    leaks._latest.clear()
    table = leaky()
    first, again = find_leaks(table), find_leaks(replace(table, name="renamed"))
    assert first is again and len(counted) == 1
    assert find_leaks(table, seed=1) is not first
    changed = table.modalities["measurements"].copy()
    changed[0, 0] += 1
    find_leaks(replace(table, modalities={"measurements": changed}))
    assert len(counted) == 3


def test_one_seed_gives_one_report():
    first = find_leaks(leaky())
    leaks._latest.clear()
    assert find_leaks(leaky()) == first


def test_the_audit_carries_the_findings():
    table = leaky()
    found = audit(table)
    assert found.leaks == find_leaks(table)
    assert found.lines()[-2:] == found.leaks.lines()
    again = json.loads(json.dumps(found.to_json()))
    assert again == found.to_json()
    assert again["leaks"]["leak"]["remaining"] == [*SIZES, "country"]
    assert audit(replace(table, columns=())).to_json()["leaks"] is None


def test_importances_are_drawn_with_the_suspects_in_red(tmp_path, monkeypatch):
    drawn = []
    save = reports.drawing.save
    monkeypatch.setattr(reports.drawing, "save", lambda *a: drawn.append(a[0]) or save(*a))
    shares = {f"column {n}": 0.5**n for n in range(1, 31)}
    path = reports.plot_importances(shares, tmp_path / "a.png", ("column 2", "column 30"))
    (axes,) = drawn[0].axes
    blue, red = (reports.PALETTE[place] for place in (1, 0))
    bars = {round(bar.get_y() + bar.get_height() / 2): bar for bar in axes.patches}
    assert len(bars) == 20
    assert bars[0].get_width() == 50 and bars[1].get_width() == 25
    from matplotlib.colors import to_hex

    assert to_hex(bars[1].get_facecolor()).upper() == red
    assert to_hex(bars[0].get_facecolor()).upper() == blue
    assert axes.get_title() == "the first 20 of 30 columns"
    assert [label.get_text() for label in axes.get_yticklabels()][:2] == ["column 1", "column 2"]
    with Image.open(path) as picture:
        assert np.ptp(np.asarray(picture.convert("L"))) > 100
