"""Figures, tables and the HTML page of a run, on a small made-up result."""

import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from training import reports
from training.evaluation import evaluate
from training.report_page import CONFUSION, CURVES, WIDE, interval, percent, write_report_page
from training.reports import drawing

EMOTIONS = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")
HOSTILE = "<script>alert(1)</script>"
PROVENANCE = 'Drawn by <generator> with the seed "7".'


def made_up(labels=EMOTIONS, samples=200, seed=0):
    """A result of random scores that lean towards the truth; the last class never occurs."""
    rng = np.random.default_rng(seed)
    targets = rng.integers(0, len(labels) - 1, samples)
    scores = rng.random((samples, len(labels)))
    scores[np.arange(samples), targets] += 0.6
    return evaluate(scores / scores.sum(axis=1, keepdims=True), targets, labels)


def history(epochs=6):
    falling = np.linspace(1, 0.4, epochs)
    columns = {"loss": falling, "val_loss": falling + 0.1, "learning_rate": falling / 1000}
    columns |= {"accuracy": 1 - falling, "val_accuracy": 0.9 - falling, "seconds": falling}
    phases = ["head"] * 2 + ["whole"] * (epochs - 2)
    return pd.DataFrame({"epoch": range(1, epochs + 1), "phase": phases, **columns})


def picture_size(path):
    with Image.open(path) as picture:
        assert picture.format == "PNG"
        picture.load()
        assert np.ptp(np.asarray(picture.convert("L"))) > 100, "an empty picture"
        return picture.size


def cell_texts(axes):
    """Text of each annotated cell, keyed by (row, column)."""
    places = ((*(int(place) for place in text.get_position()), text) for text in axes.texts)
    return {(row, column): text.get_text() for column, row, text in places}


@pytest.mark.parametrize("kind", reports.KINDS)
def test_confusion_cells_show_the_values(kind):
    result = made_up()
    axes = reports.confusion_figure(result, kind, "title").axes[0]
    texts = cell_texts(axes)
    values = reports.confusion_values(result.confusion, kind)
    assert len(texts) == values.size
    for place, value in np.ndenumerate(values):
        shown = np.nan if texts[place] == "–" else float(texts[place])
        assert shown == pytest.approx(value, abs=0.051, nan_ok=True)
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("predicted", "true (samples)")
    assert [label.get_text() for label in axes.get_xticklabels()] == list(EMOTIONS)
    support = result.confusion.sum(axis=1)
    rows = [f"{label} ({count})" for label, count in zip(EMOTIONS, support, strict=True)]
    assert [label.get_text() for label in axes.get_yticklabels()] == rows


def test_confusion_values_of_each_kind_by_hand():
    confusion = np.array([[3, 1], [0, 4]])
    assert reports.confusion_values(confusion, "absolute").tolist() == [[3, 1], [0, 4]]
    assert reports.confusion_values(confusion, "percent").tolist() == [[37.5, 12.5], [0, 50]]
    assert reports.confusion_values(confusion, "row_normalised").tolist() == [[75, 25], [0, 100]]


def test_confusion_values_sum_to_a_hundred():
    confusion = made_up().confusion
    assert reports.confusion_values(confusion, "percent").sum() == pytest.approx(100)
    sums = reports.confusion_values(confusion, "row_normalised").sum(axis=1)
    np.testing.assert_allclose(sums[:-1], 100)
    assert np.isnan(sums[-1]), "no share of a class without samples"


def test_unknown_kind_of_confusion_is_refused():
    with pytest.raises(ValueError, match="row_normalised"):
        reports.confusion_values(np.eye(2), "rows")


def test_many_classes_stay_legible():
    labels = tuple(f"Amphiprion percula {index}" for index in range(120))
    figure = reports.confusion_figure(made_up(labels), "absolute", "title")
    axes = figure.axes[0]
    assert not axes.texts
    assert max(figure.get_size_inches()) <= reports.MAX_SIDE
    names = [label.get_text() for label in axes.get_xticklabels()]
    assert names == list(labels[::3])


def test_dollars_in_a_class_name_are_no_formula(tmp_path):
    result = made_up((r"$\broken$", "$", "a"))
    picture_size(reports.plot_confusion(result, "percent", tmp_path / "a.png", r"$\broken$"))


def test_cell_texts_stand_out_from_their_cells():
    every_shade = np.arange(49).reshape(7, 7)
    result = replace(made_up(), confusion=every_shade)
    axes = reports.confusion_figure(result, "absolute", "title").axes[0]
    cells = axes.collections[0].get_facecolors()
    classes = len(EMOTIONS)
    for text in axes.texts:
        column, row = (int(place) for place in text.get_position())
        assert reports.contrast(text.get_color(), cells[row * classes + column]) >= 4.5


@pytest.mark.parametrize("grey", np.linspace(0, 1, 21))
def test_text_colour_stands_out_from_any_grey(grey):
    background = (grey, grey, grey)
    assert reports.contrast(reports.text_colour(background), background) >= 4.5


def test_contrast_has_the_values_of_the_standard():
    assert reports.contrast("black", "white") == pytest.approx(21)
    assert reports.contrast("#777777", "white") == pytest.approx(4.48, abs=0.005)


def test_history_becomes_three_figures(tmp_path):
    paths = reports.plot_history(history(), tmp_path)
    assert [path.name for path in paths] == ["accuracy.png", "loss.png", "learning_rate.png"]
    for path in paths:
        width, height = picture_size(path)
        assert 500 < width < 900 and 300 < height < 700


def test_history_without_validation_or_accuracy(tmp_path):
    bare = history()[:1][["epoch", "phase", "loss"]].assign(accuracy=np.nan)
    assert [path.name for path in reports.plot_history(bare, tmp_path)] == ["loss.png"]
    picture_size(tmp_path / "loss.png")


def test_epochs_are_counted_through_all_phases(tmp_path, monkeypatch):
    drawn = {}
    monkeypatch.setattr(drawing, "save", lambda figure, path: drawn.update({path.name: figure}))
    as_kept = history().assign(epoch=[1, 2, 1, 2, 3, 4])  # each phase begins at 1
    reports.plot_history(as_kept, tmp_path)
    for line in drawn["loss.png"].axes[0].lines[:2]:
        assert list(line.get_xdata()) == [1, 2, 3, 4, 5, 6]


def test_sizes_of_very_many_classes_are_sorted(tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr(drawing, "save", lambda figure, path: drawn.append(figure))
    sizes = np.random.default_rng(0).integers(1, 30, 480)
    counts = {
        "train": dict(zip(map(str, range(480)), sizes.tolist(), strict=True)),
        "test": {"7": 40},
    }
    reports.plot_class_counts(counts, tmp_path / "counts.png")
    axes = drawn[0].axes[0]
    assert axes.get_xlabel() == "480 classes, the largest first"
    sizes[7] += 40
    assert axes.patches[1].get_data().values.tolist() == sorted(sizes.tolist(), reverse=True)


def test_comparison_draws_the_colours_of_the_paper(tmp_path, monkeypatch):
    drawn = {}
    monkeypatch.setattr(drawing, "save", lambda figure, path: drawn.update({path: figure}))
    models = {"FinalNN": history(), "NN1": history(4), "NN2": history(5)}
    reports.plot_comparison(models, "val_accuracy", "path")
    axes = drawn["path"].axes[0]
    assert [line.get_color() for line in axes.lines] == ["#D55E00", "#0072B2", "#009E73"]
    assert [text.get_text() for text in axes.get_legend().get_texts()] == list(models)
    assert list(axes.lines[1].get_ydata()) == list(models["NN1"]["val_accuracy"])


def test_other_figures_are_pictures_of_a_sensible_size(tmp_path):
    rng = np.random.default_rng(0)
    counts = {"train": {"a": 70, "b": 7}, "test": {"a": 10}}
    grey = rng.integers(0, 256, (20, 48, 48), dtype=np.uint8)
    points = rng.uniform(0, 48, (20, 68, 2))
    files = {
        reports.plot_comparison({"NN1": history()}, "loss", tmp_path / "comparison.png"),
        reports.plot_class_counts(counts, tmp_path / "counts.png"),
        reports.plot_samples(grey, ["angry"] * 20, tmp_path / "faces.png", points),
        reports.plot_samples(np.stack([grey] * 3, -1)[:3], "abc", tmp_path / "colour.png"),
        reports.plot_confusion(made_up(), "percent", tmp_path / "confusion.png", "NN1, test"),
    }
    for path in files:
        width, height = picture_size(path)
        assert 300 < width < 1600 and 100 < height < 1600


def test_classification_report_holds_the_result(tmp_path):
    result = made_up()
    table = pd.read_csv(reports.write_classification_report(result, tmp_path / "report.csv"))
    classes = table[table["kind"] == "class"].set_index("name")
    assert list(classes.index) == list(EMOTIONS)
    for label, figures in result.per_class.items():
        assert classes.loc[label, "support"] == figures["support"]
        for name in ("precision", "recall", "f1"):
            stored = classes.loc[label, [name, f"{name}_low", f"{name}_high"]]
            expected = [figures[name], *figures[f"{name}_interval"]]
            assert stored.tolist() == pytest.approx(expected)
    overall = table[table["kind"] == "overall"].set_index("name")
    assert {"accuracy", "balanced_accuracy", "macro_f1", "log_loss", "ece"} <= set(overall.index)
    for name, bounds in result.intervals.items():
        stored = overall.loc[name, ["value", "value_low", "value_high"]]
        assert stored.tolist() == pytest.approx([result.figures[name], *bounds])


def test_confusion_csv_holds_the_counts(tmp_path):
    result = made_up()
    path = reports.write_confusion_csv(result, tmp_path / "confusion.csv")
    table = pd.read_csv(path, index_col=0)
    assert list(table.index) == list(table.columns) == list(EMOTIONS)
    np.testing.assert_array_equal(table.to_numpy(), result.confusion)


class Page(HTMLParser):
    """What a browser would read: tags with their attributes, and the text."""

    def __init__(self, path):
        super().__init__()
        self.tags, self.text = [], []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text.append(data)


@pytest.fixture(name="figures", scope="module")
def fixture_figures(tmp_path_factory):
    folder = tmp_path_factory.mktemp("figures")
    curves = [(path.stem, path) for path in reports.plot_history(history(), folder)]
    matrix = reports.plot_confusion(made_up(), "absolute", folder / "matrix.png", "NN1, test")
    return {
        "Samples": curves[:1],
        f"{CONFUSION}: train": [("counts", matrix)],
        f"{CONFUSION}: test": [("counts", matrix), ("again", matrix)],
        CURVES: curves,
    }


@pytest.fixture(name="page_path", scope="module")
def fixture_page_path(tmp_path_factory, figures):
    return write_page(tmp_path_factory.mktemp("page"), figures=figures)


def write_page(folder, **changes):
    result = made_up(labels=(HOSTILE, "b", "c"))
    arguments = {
        "title": "NN1 on faces",
        "provenance": PROVENANCE,
        "synthetic": True,
        "facts": {"Seed": "7"},
        "architecture": "probabilities (Dense)",
        "command": "python run.py train --model NN1 --seed 7",
        "results": {"train": result, "test": result},
        "figures": {},
        "audit": ["3 pictures occur twice"],
        "notes": ["stopped early"],
    }
    return write_report_page(folder / "report.html", **(arguments | changes))


def test_page_loads_nothing_from_elsewhere(page_path):
    sources = [
        attrs[name]
        for _, attrs in Page(page_path).tags
        for name in ("src", "href")
        if name in attrs
    ]
    assert len(sources) == 7
    assert all(source.startswith("data:image/png;base64,") for source in sources)
    text = re.sub(r"base64,[A-Za-z0-9+/=]+", "", page_path.read_text(encoding="utf-8"))
    assert not re.search(r"https?://|@import|url\(|fetch\(", text)


def test_page_tells_the_provenance_before_any_figure(page_path):
    text = page_path.read_text(encoding="utf-8")
    assert text.index("Drawn by &lt;generator&gt;") < text.index("Demonstration data")
    assert text.index("Demonstration data") < text.index("Test accuracy") < text.index("<img")


def test_page_says_demonstration_data_only_of_generated_data(tmp_path):
    assert "Demonstration data" not in write_page(tmp_path, synthetic=False).read_text("utf-8")


def test_page_escapes_class_names(page_path):
    page = Page(page_path)
    assert HOSTILE in page.text, "the name is shown as it is"
    assert [tag for tag, _ in page.tags].count("script") == 1, "the page's own"


def test_page_holds_the_figures(page_path):
    result = made_up(labels=(HOSTILE, "b", "c"))
    text = " ".join(" ".join(Page(page_path).text).split())
    low, high = result.intervals["accuracy"]
    accuracy = result.figures["accuracy"]
    assert f"{100 * accuracy:.1f} % 95 % interval {100 * low:.1f}–{100 * high:.1f} %" in text
    for name in ("balanced_accuracy", "macro_f1", "ece"):
        assert f"{percent(result.figures[name])} {interval(result.intervals[name])}" in text
    assert f"{result.figures['log_loss']:.3f}" in text
    for line in ("3 pictures occur twice", "stopped early", "python run.py train --model NN1"):
        assert line in text


def test_page_orders_sections_and_tabs(page_path):
    text = page_path.read_text(encoding="utf-8")
    names = (CURVES, CONFUSION, "Classes", "Samples", "Data audit", "Repeat this run")
    places = [text.index(f"<h2>{name}</h2>") for name in names]
    assert places == sorted(places)
    tabs = [attrs["data-tab"] for _, attrs in Page(page_path).tags if "data-tab" in attrs]
    assert tabs == ["test", "counts", "again", "train", "counts", "test", "train"]


def test_page_fits_a_phone(page_path):
    tags = Page(page_path).tags
    assert ("meta", {"name": "viewport", "content": "width=device-width, initial-scale=1"}) in tags


def test_page_speaks_of_unknown_classes_only_where_there_are_some(tmp_path, page_path):
    assert "known classes" not in page_path.read_text("utf-8")
    result = evaluate(np.eye(3), np.array([0, 1, -1]), ("a", "b", "c"))
    page = write_page(tmp_path, results={"test": result})
    assert "known classes" in page.read_text("utf-8")


@pytest.mark.parametrize("parts", [("validation", "train"), ("train",), ("test",), ("new",)])
def test_page_leads_with_the_best_part_there_is(tmp_path, parts):
    results = {part: made_up(seed=seed) for seed, part in enumerate(reversed(parts))}
    text = write_page(tmp_path, results=results).read_text("utf-8")
    assert f"{parts[0].capitalize()} accuracy" in text
    assert [part for part in parts if f'data-tab="{part}"' in text] == list(parts)
    assert ("no test part" in text) == (parts[0] == "validation")
    assert ("were trained on" in text) == (parts[0] == "train")


def test_page_gives_wide_figures_the_whole_width(tmp_path):
    narrow, wide = tmp_path / "narrow.png", tmp_path / "wide.png"
    Image.new("L", (WIDE - 1, 20)).save(narrow)
    Image.new("L", (WIDE, 30)).save(wide)
    figures = {"Most confident mistakes": [("few", narrow), ("many", wide)]}
    tags = Page(write_page(tmp_path, figures=figures)).tags
    assert [attrs.get("class") for tag, attrs in tags if tag == "figure"] == [None, "wide"]
    sizes = [(attrs["width"], attrs["height"]) for tag, attrs in tags if tag == "img"]
    assert sizes == [(str(WIDE - 1), "20"), (str(WIDE), "30")]


def test_page_without_a_result_is_refused(tmp_path):
    with pytest.raises(ValueError, match="at least one part"):
        write_page(tmp_path, results={})


def test_numbers_are_worded_with_one_decimal():
    assert percent(0.6534) == "65.3 %"
    assert interval((0.1, 0.25)) == "10.0–25.0"
    assert interval((0.0, np.inf), in_percent=False) == "0.000–∞"
