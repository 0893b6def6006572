"""What a user asks a run about that looks at more than one picture of a sample."""

from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

import run
from datasets.errors import InputError
from datasets.images import fit_images
from models.commands.asking import outputs_for, read_asked
from models.inputs import ImageInput

PICTURE = np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)
WHOLE = ImageInput(8, 8, 3)
BOXED = (WHOLE, ImageInput(8, 8, 3, name="image_box"))
PAIRED = (WHOLE, ImageInput(8, 8, 3, name="image_2"))


@pytest.fixture(name="folder")
def fixture_folder(tmp_path):
    Image.fromarray(PICTURE).save(tmp_path / "a.png")
    Image.fromarray(PICTURE[:10, :12]).save(tmp_path / "b.png")
    (tmp_path / "c.png").write_bytes(b"no picture")
    return tmp_path


def table(folder, text, name="observations.csv"):
    (folder / name).write_text(text)
    return str(folder / name)


def test_a_box_is_cut_out_of_the_picture(folder):
    asked = read_asked([str(folder / "a.png")], BOXED, (4, 2, 10.5, 9))
    assert np.array_equal(asked.images[0], PICTURE)
    assert np.array_equal(asked.views["image_box"][0], PICTURE[2:9, 4:11])
    assert asked.names == [str(folder / "a.png")]


def test_a_box_reaches_no_farther_than_the_picture(folder):
    asked = read_asked([str(folder / "a.png")], BOXED, (-5, 15, 400, 400))
    assert np.array_equal(asked.views["image_box"][0], PICTURE[15:, :])
    outside = read_asked([str(folder / "a.png")], BOXED, (30, 0, 40, 5))
    assert outside.images == []
    assert "a.png: has nothing in the box (it is 30 x 20)" in outside.broken[0]


def test_a_table_gives_boxes_and_further_pictures(folder):
    boxes = table(
        folder, "image,x_min,y_min,x_max,y_max\na.png,4,2,11,9\na.png,,,,\nc.png,1,1,2,2\n"
    )
    for place in (boxes, str(folder)):  # the folder stands for its table
        asked = read_asked([place], BOXED)
        found = asked.views["image_box"]
        assert np.array_equal(found[0], PICTURE[2:9, 4:11])
        assert np.array_equal(found[1], PICTURE)  # a row without a box
        assert len(asked.names) == len(asked.images) == len(found) == 2
        assert len(asked.broken) == 1
        assert "c.png" in asked.broken[0]
    pairs = table(folder, "Image;Image_2\nb.png;a.png\na.png;b.png\n", "pairs.csv")
    asked = read_asked([pairs], PAIRED)
    assert [image.shape for image in asked.images] == [(10, 12, 3), (20, 30, 3)]
    assert [image.shape for image in asked.views["image_2"]] == [(20, 30, 3), (10, 12, 3)]


class Value(np.ndarray):
    def __new__(cls, values):
        return np.asarray(values).view(cls)

    def numpy(self):
        return np.asarray(self)


def sums(batch):
    """Of each picture, under the name of its input."""
    return {name: Value(values.astype(float).sum(axis=(1, 2, 3))) for name, values in batch.items()}


def test_views_reach_the_network_together(folder):
    raw = SimpleNamespace(serve=sums)  # a run that answers for raw pictures alone
    pairs = table(folder, "image,image_2\nb.png,a.png\na.png,b.png\n")
    asked = read_asked([pairs], PAIRED)
    whole, part = PICTURE.astype(float).sum(), PICTURE[:10, :12].astype(float).sum()
    found = outputs_for(raw, PAIRED, asked)
    assert [(one["image"], one["image_2"]) for one in found] == [(part, whole), (whole, part)]
    fitted = SimpleNamespace(serve=None, serve_fitted=sums)
    whole, part = fit_images([PICTURE, PICTURE[:10, :12]], WHOLE).sum(axis=(1, 2, 3), dtype=float)
    found = outputs_for(fitted, PAIRED, asked)
    assert [(one["image"], one["image_2"]) for one in found] == [(part, whole), (whole, part)]


def test_many_pictures_of_several_sizes_keep_their_order(folder):
    names = []
    for number in range(70):
        place = folder / f"many-{number:02d}.png"
        Image.fromarray(np.roll(PICTURE, number)[: 10 + number % 7]).save(place)
        names.append(str(place))
    asked = read_asked(names, (WHOLE,))
    found = outputs_for(SimpleNamespace(serve=None, serve_fitted=sums), (WHOLE,), asked)
    expected = fit_images(asked.images, WHOLE).sum(axis=(1, 2, 3), dtype=float)
    np.testing.assert_allclose([one["image"] for one in found], expected)


@pytest.mark.parametrize(
    ("records", "box", "parts"),
    [
        (BOXED, None, ["looks at image_box", "--box X_MIN,Y_MIN,X_MAX,Y_MAX", "x_max, y_max"]),
        (PAIRED, None, ["looks at image_2", "a table with the columns image, image_2"]),
        (PAIRED, (0, 0, 5, 5), ["--box: the run looks at no box"]),
        ((WHOLE,), (0, 0, 5, 5), ["--box: the run looks at no box"]),
    ],
)
def test_a_missing_view_is_said(folder, records, box, parts):
    with pytest.raises(InputError) as caught:
        read_asked([str(folder / "a.png")], records, box)
    for part in parts:
        assert part in str(caught.value)


def test_a_box_goes_with_one_picture(folder):
    pictures = [str(folder / "a.png"), str(folder / "b.png")]
    with pytest.raises(InputError, match="give one picture and --box"):
        read_asked(pictures, BOXED, (0, 0, 5, 5))


def test_a_table_without_the_column_is_named(folder):
    with pytest.raises(InputError, match="has no column y_max, which the run looks at"):
        read_asked([table(folder, "image,x_min,y_min,x_max\na.png,1,1,2\n")], BOXED)


@pytest.mark.parametrize("box", ["1,2,3", "a,b,c,d", "5,0,5,9", "0,9,5,2"])
def test_what_is_no_box_is_refused(capsys, box):
    assert run.main(["predict", "RUN", "a.png", f"--box={box}"]) == 2
    assert f"--box: {box} is" in capsys.readouterr().err
