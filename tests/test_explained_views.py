"""Where on the sheet of an explained answer the views of a picture stand."""

from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from models.commands.asking import Asked
from models.commands.explaining import Sample
from models.explanation.anatomy import View
from models.explanation.explain import Explanation
from models.explanation.pictures import PictureMap
from models.inputs import ImageInput
from training.reports import plot_explanation

HEAT = np.eye(4)


def sample(asked, views, names):
    maps = [PictureMap(view, HEAT, share) for view, share in zip(views, (0.75, 0.25), strict=True)]
    records = {name: ImageInput(8, 8, 3, name=name) for name in names}
    explainer = SimpleNamespace(records=records, folder=asked.names[0].parent)
    prediction = {"label": "a", "probability": 0.9, "top": [], "nearest": []}
    asked.names = [str(asked.names[0])]
    return Sample(explainer, asked, 0, {}, Explanation("a", maps), prediction)


@pytest.fixture(name="picture")
def fixture_picture(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (40, 80, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    return tmp_path / "a.png", pixels


def test_the_centre_is_framed_in_the_whole_and_drawn_by_itself(picture):
    path, pixels = picture
    views = View("whole", "image"), View("view_2", "image", 0.5)
    one = sample(Asked(names=[path], images=[pixels]), views, ["image"])
    whole, centre = one.sheet().pictures
    assert whole.extent == (0, 0, 80, 40)
    assert whole.box == (20, 10, 60, 30)
    assert np.array_equal(centre.image, pixels[10:30, 20:60])
    assert (centre.extent, centre.box) == ((0, 0, 40, 20), None)
    assert (whole.title, centre.title) == ("picture: 75.0 %", "picture, centre: 25.0 %")
    first, second = one.to_json()["pictures"]
    assert first["strongest_at"] == [10, 5]
    assert second["strongest_at"] == [25, 12.5]
    assert plot_explanation(one.sheet(), path.with_name("b.png")).stat().st_size > 10_000


def test_a_box_is_framed_in_the_picture_as_it_is_drawn(picture):
    path, pixels = picture
    small = pixels[::2, ::2]  # as a large picture is made smaller when it is read
    views = View("whole", "image"), View("view_2", "image_box")
    asked = Asked(
        names=[path], images=[small], boxes=[np.array([8.0, 4, 40, 20])],
        views={"image_box": [pixels[4:20, 8:40]]},
    )  # fmt: skip
    whole, box = sample(asked, views, ["image", "image_box"]).sheet().pictures
    assert whole.box == (4, 2, 20, 10)
    assert box.extent == (0, 0, 32, 16)
    assert box.title == "picture box: 25.0 %"
