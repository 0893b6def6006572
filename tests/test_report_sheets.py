"""Sheets of pictures and figures of certainty, on made-up pictures and numbers."""

import numpy as np
import pytest
from PIL import Image

from training import reports
from training.reports import drawing

LONG = "Pseudohemiodon laticeps var. extraordinaria"
TWO = ("Amphiprion clarkii", "Amphiprion perideraion")


@pytest.fixture(name="drawn")
def fixture_drawn(monkeypatch):
    """The figures that are saved, in order; each file must be a PNG with something on it."""
    figures, save = [], drawing.save

    def keep(figure, path):
        figures.append(figure)
        saved = save(figure, path)
        with Image.open(saved) as picture:
            assert picture.format == "PNG"
            assert 150 < picture.width < 1600 and 100 < picture.height < 1600
            assert np.ptp(np.asarray(picture.convert("L"))) > 100, "an empty picture"
        return saved

    monkeypatch.setattr(drawing, "save", keep)
    return figures


def photographs(count, seed=0):
    """Pictures upright, level and square, in colour, in grey and in grey with a third axis."""
    rng = np.random.default_rng(seed)
    shapes = ((60, 40, 3), (30, 90, 3), (48, 48), (50, 50, 1), (400, 640, 3))
    return [
        rng.integers(0, 256, shapes[index % len(shapes)], dtype=np.uint8) for index in range(count)
    ]


def faces(count):
    return np.random.default_rng(1).integers(0, 256, (count, 48, 48), dtype=np.uint8)


def shown(figure):
    """Pixels of each picture in order of display."""
    return [axes.images[0].get_array() for axes in figure.axes if axes.images]


def captions(figure):
    """Title of each picture on one line, in order of display."""
    titles = [axes.get_title() for axes in figure.axes if axes.images]
    return [title.replace("\n", " ").replace("\u00a0", " ") for title in titles]


def assert_whole(figure, images):
    """Every pixel is there, and the picture keeps its aspect on the sheet."""
    figure.draw_without_rendering()
    filled = [axes for axes in figure.axes if axes.images]
    assert len(filled) == len(images)
    for axes, image in zip(filled, images, strict=True):
        np.testing.assert_array_equal(
            np.squeeze(axes.images[0].get_array()), np.squeeze(image), strict=True
        )
        height, width = image.shape[:2]
        assert axes.get_xlim() == (-0.5, width - 0.5)
        assert axes.get_ylim() == (height - 0.5, -0.5)
        box = axes.get_window_extent()
        assert box.height / box.width == pytest.approx(height / width, rel=1e-6)


def assert_apart(figure):
    """No text of the sheet lies over another, or beyond the width of the sheet."""
    figure.draw_without_rendering()
    boxes = [axes.title.get_window_extent() for axes in figure.axes if axes.get_title()]
    pictures = [axes.get_window_extent() for axes in figure.axes if axes.images]
    for index, box in enumerate(boxes):
        assert box.x0 >= 0 and box.x1 <= figure.bbox.width
        others = [*boxes[:index], *boxes[index + 1 :], *pictures]
        assert not any(box.padded(-1).overlaps(other) for other in others)


def test_samples_of_different_sizes_are_shown_whole(tmp_path, drawn):
    images = photographs(20)
    reports.plot_samples(images, [f"class {index}" for index in range(20)], tmp_path / "a.png")
    assert_whole(drawn[0], images[:14])
    assert captions(drawn[0]) == [f"class {index}" for index in range(14)]
    assert_apart(drawn[0])


def test_landmarks_lie_in_the_pixels_of_their_picture(tmp_path, drawn):
    images = photographs(3)
    points = [np.full((5, 2), 3.0 * index) for index in range(3)]
    reports.plot_samples(images, "abc", tmp_path / "a.png", points)
    assert_whole(drawn[0], images)
    for axes, expected in zip(drawn[0].axes, points, strict=False):
        np.testing.assert_array_equal(axes.collections[0].get_offsets(), expected)


@pytest.mark.parametrize("count", [1, 6, 14])
@pytest.mark.parametrize("names", [("sad", "fear"), ("disgust", "surprise"), TWO])
def test_mistakes_tell_truth_answer_and_confidence_in_the_order_given(
    tmp_path, drawn, names, count
):
    images = photographs(count) if names == TWO else list(faces(count))
    truths = [names[index % 2] for index in range(count)]
    answers = [names[(index + 1) % 2] for index in range(count)]
    confidences = np.linspace(0.99, 0.5, count)
    reports.plot_mistakes(images, truths, answers, confidences, tmp_path / "a.png")
    assert captions(drawn[0]) == [
        f"{truth} → {answer}, {100 * confidence:.0f} %"
        for truth, answer, confidence in zip(truths, answers, confidences, strict=True)
    ]
    assert_whole(drawn[0], images)
    assert_apart(drawn[0])


def test_mistakes_between_very_long_names_stay_apart(tmp_path, drawn):
    reports.plot_mistakes(
        faces(14), [LONG] * 14, ["$" + LONG] * 14, [0.97] * 14, tmp_path / "a.png"
    )
    for caption in captions(drawn[0]):
        assert caption.startswith("Pseudohemiodon laticeps") and caption.endswith("…, 97 %")
        assert LONG not in caption
    assert_apart(drawn[0])


def test_mistakes_without_an_answer_are_refused(tmp_path):
    with pytest.raises(ValueError, match="shorter"):
        reports.plot_mistakes(faces(2), ["a", "b"], ["b"], [0.9, 0.8], tmp_path / "a.png")


@pytest.mark.parametrize("count", [1, 3, 8, 11])
def test_pairs_stand_side_by_side_over_their_caption(tmp_path, drawn, count):
    left, right = photographs(count), list(faces(count))
    texts = [f"{index}.jpg (angry)\n{index} copy.jpg (sad)\ndistance 2" for index in range(count)]
    reports.plot_pairs(left, right, texts, tmp_path / "a.png")
    visible = min(count, 8)
    in_order = [image for pair in zip(left, right, strict=True) for image in pair]
    assert_whole(drawn[0], in_order[: 2 * visible])
    cells = drawn[0].subfigs
    written = [cell.get_supxlabel() for cell in cells if cell.axes]
    assert written == texts[:visible]
    for cell in (cell for cell in cells if cell.axes):
        first, second = (axes.get_window_extent() for axes in cell.axes)
        assert first.x1 < second.x0
        assert cell._supxlabel.get_window_extent().y1 <= min(first.y0, second.y0)


def test_pairs_keep_a_long_file_name_within_their_width(tmp_path, drawn):
    name = "folder/" * 30 + "photo.jpg"
    reports.plot_pairs(faces(2), faces(2), [name, "b"], tmp_path / "a.png")
    text = drawn[0].subfigs[0].get_supxlabel()
    assert text.replace("\n", "") == name
    assert drawn[0].subfigs[0]._supxlabel.get_window_extent().width < drawn[0].bbox.width / 2


def bins(shift=0.0, empty=2):
    """Ten bins, the first ones empty."""
    confidence = np.linspace(0.05, 0.95, 10)
    count = np.arange(10) * 3
    count[:empty] = 0
    confidence[:empty] = np.nan
    accuracy = np.clip(confidence - shift, 0, 1)
    return {"confidence": confidence, "accuracy": accuracy, "count": count, "ece": shift + 0.01}


def test_reliability_shows_the_bins_of_both(tmp_path, drawn):
    before, after = bins(0.2), bins(0.02, empty=4)
    reports.plot_reliability(before, after, tmp_path / "a.png", "NN1, test")
    upper, lower = drawn[0].axes
    diagonal, *curves = upper.lines
    assert diagonal.get_xydata().tolist() == [[0, 0], [1, 1]]
    for curve, points, strip, expected in zip(
        curves, upper.collections, lower.patches, (before, after), strict=True
    ):
        filled = expected["count"] > 0
        data = np.transpose([expected["confidence"][filled], expected["accuracy"][filled]])
        np.testing.assert_array_equal(curve.get_xydata(), data)
        np.testing.assert_array_equal(points.get_offsets(), data)
        assert strip.get_data().values.tolist() == expected["count"].tolist()
        assert strip.get_data().edges == pytest.approx(np.linspace(0, 1, 11))
    texts = [text.get_text() for text in upper.get_legend().get_texts()]
    assert texts[1:] == ["before scaling, ECE 21.0 %", "after scaling, ECE 3.0 %"]
    assert [line.get_color() for line in curves] == ["#D55E00", "#0072B2"]
    assert drawn[0].get_suptitle() == "NN1, test"


def test_reliability_of_a_single_bin_can_be_drawn(tmp_path, drawn):
    reports.plot_reliability(bins(empty=9), bins(empty=9), tmp_path / "a.png", "NN1")
    assert len(drawn[0].axes[0].collections[0].get_offsets()) == 1


@pytest.mark.parametrize("chosen", [(0.05, 0.98), (0.8, 0.75), (1.0, 0.4)])
def test_risk_coverage_marks_the_working_point(tmp_path, drawn, chosen):
    coverage = np.linspace(0, 1, 21)
    accuracy = 1 - 0.6 * coverage
    accuracy[0] = np.nan
    reports.plot_risk_coverage(coverage, accuracy, tmp_path / "a.png", chosen=chosen, title="NN1")
    (axes,) = drawn[0].axes
    np.testing.assert_array_equal(axes.lines[0].get_ydata(), accuracy)
    assert axes.lines[-1].get_xydata().tolist() == [list(chosen)]
    assert axes.get_ylim()[0] < np.nanmin(accuracy)
    (note,) = axes.texts
    assert note.get_text() == f"answers {chosen[0]:.1%}, {chosen[1]:.1%} of them right".replace(
        "%", " %"
    )
    box = note.get_window_extent()
    assert box.x0 >= axes.bbox.x0 and box.x1 <= axes.bbox.x1


def test_risk_coverage_without_a_working_point_marks_none(tmp_path, drawn):
    reports.plot_risk_coverage([0.5, 1.0], [0.9, 0.8], tmp_path / "a.png")
    assert len(drawn[0].axes[0].lines) == 1 and not drawn[0].axes[0].texts


@pytest.mark.parametrize("other", [[0.1, 0.1, 0.7, 0.2], []])
def test_scores_are_shares_of_each_group(tmp_path, drawn, other):
    known = np.array([0.99, 0.99, 0.5])
    reports.plot_scores(known, other, 0.6, tmp_path / "a.png", "NN1")
    (axes,) = drawn[0].axes
    sure, unsure = axes.patches
    assert sure.get_data().values[-1] == pytest.approx(2 / 3)
    assert sure.get_data().values.sum() == pytest.approx(1)
    assert unsure.get_data().values.sum() == pytest.approx(1 if other else 0)
    assert axes.lines[0].get_xdata() == [0.6, 0.6]
    texts = [text.get_text() for text in drawn[0].legends[0].get_texts()]
    assert texts == [
        "known classes: 3 samples, 66.7 % answered",
        "other: 4 samples, 25.0 % answered" if other else "other: 0 samples, 0.0 % answered",
        "threshold 60.0 %",
    ]


def test_class_counts_keep_the_colour_of_a_part_when_another_is_missing(tmp_path, drawn):
    whole = {"train": {"a": 7, "b": 2}, "validation": {"a": 1}, "test": {"b": 3}}
    reports.plot_class_counts(whole, tmp_path / "whole.png")
    reports.plot_class_counts(whole | {"validation": {}}, tmp_path / "fewer.png")
    texts, colours = zip(*(legend_of(figure) for figure in drawn), strict=True)
    assert texts == (["train (9)", "validation (1)", "test (3)"], ["train (9)", "test (3)"])
    assert colours[1] == [colours[0][0], colours[0][2]]


def legend_of(figure):
    (legend,) = figure.legends
    texts = [text.get_text() for text in legend.get_texts()]
    return texts, [patch.get_facecolor() for patch in legend.get_patches()]


def test_maps_of_mistakes_stand_beside_the_picture(tmp_path, drawn):
    images, hot, cold = list(faces(2)), np.eye(3), np.zeros((3, 3))
    path = reports.plot_mistake_maps(
        [image.reshape(*image.shape[:2], -1) for image in images],
        [(hot, cold), (cold, hot)],
        ["sad", "fear"],
        ["fear", "sad"],
        tmp_path / "a.png",
    )
    assert path.stat().st_size > 5000
    assert [text for text in captions(drawn[0]) if text] == [
        "as the network sees it", "for fear", "nothing for sad",
        "as the network sees it", "nothing for sad", "for fear",
    ]  # fmt: skip
