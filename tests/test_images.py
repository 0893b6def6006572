"""Decoding pictures, and the zoo's one grey conversion and one resize."""

import io

import numpy as np
import pytest
from PIL import Image

from datasets import images
from datasets.images import decode_image, fit_images, resize, to_grey

RNG = np.random.default_rng(0)
GREY = RNG.integers(0, 256, (6, 9), np.uint8)
COLOUR = RNG.integers(0, 256, (6, 9, 3), np.uint8)


def encode(image, kind="PNG", **options):
    if isinstance(image, np.ndarray):
        image = Image.fromarray(image)
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def test_grey_and_colour_pictures_come_back_pixel_by_pixel():
    assert np.array_equal(decode_image(encode(GREY)), GREY[..., None])
    assert np.array_equal(decode_image(encode(COLOUR)), COLOUR)


def test_a_picture_is_turned_as_its_exif_tag_says():
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned clockwise by 90 degrees
    found = decode_image(encode(COLOUR, exif=exif))
    assert np.array_equal(found, np.rot90(COLOUR, -1))


def test_a_palette_becomes_colours():
    picture = Image.fromarray(COLOUR).quantize(16)
    assert np.array_equal(decode_image(encode(picture)), np.array(picture.convert("RGB")))


def test_cmyk_becomes_rgb():
    picture = Image.new("CMYK", (8, 8), (0, 255, 255, 0))
    found = decode_image(encode(picture, "TIFF"))
    assert found.shape == (8, 8, 3)
    assert found[0, 0].tolist() == [255, 0, 0]


@pytest.mark.parametrize(("mode", "fill", "seen"), [("RGBA", (9, 9, 9, 0), 3), ("LA", (9, 0), 1)])
def test_transparent_parts_are_white(mode, fill, seen):
    found = decode_image(encode(Image.new(mode, (4, 5), fill)))
    assert found.shape == (5, 4, seen)
    assert (found == 255).all()


def test_sixteen_bits_become_eight():
    values = np.array([[0, 257, 257 * 100, 65535]], np.uint16)
    assert decode_image(encode(values))[0, :, 0].tolist() == [0, 1, 100, 255]


def test_of_an_animation_the_first_frame_counts():
    frames = [Image.new("L", (4, 4), value) for value in (10, 200)]
    data = encode(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert (decode_image(data) == 10).all()


def test_one_bit_pictures_are_black_and_white():
    found = decode_image(encode(Image.fromarray(GREY > 128)))
    assert np.array_equal(found[..., 0], np.where(GREY > 128, 255, 0))


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "is empty"),
        (b"not a picture at all", "is not a picture"),
        (encode(RNG.integers(0, 256, (64, 64), np.uint8))[:2000], "is damaged"),
        (encode(RNG.integers(0, 256, (64, 64), np.uint8), "JPEG")[:1500], "is damaged"),
        (encode(Image.new("F", (4, 4)), "TIFF"), "no fixed range"),
    ],
)
def test_what_is_no_whole_picture_is_refused_with_the_reason(data, reason):
    with pytest.raises(ValueError, match=reason) as caught:
        decode_image(data)
    assert "\n" not in str(caught.value)


def test_a_decompression_bomb_is_refused(monkeypatch):
    monkeypatch.setattr(images, "MAX_PIXELS", 50)
    with pytest.raises(ValueError, match="million pixels"):
        decode_image(encode(GREY))


def test_grey_of_colours_is_their_brightness():
    expected = COLOUR.astype(float) @ [0.299, 0.587, 0.114]
    np.testing.assert_allclose(np.asarray(to_grey(COLOUR))[..., 0], expected, atol=1e-4)


@pytest.mark.parametrize("channels", [1, 3])
def test_grey_pictures_keep_their_exact_values(channels):
    values = RNG.random((2, 5, 7, 1), np.float32) * 255
    found = np.asarray(to_grey(np.repeat(values, channels, axis=-1)))
    assert np.array_equal(found, values)


def test_resize_is_the_identity_on_a_picture_that_fits():
    values = RNG.random((2, 48, 48, 1), np.float32) * 255
    assert np.array_equal(np.asarray(resize(values, 48, 48)), values)


def test_resize_averages_where_it_shrinks():
    stripes = np.zeros((1, 96, 96, 1), np.float32)
    stripes[:, :, ::2] = 255
    shrunk = np.asarray(resize(stripes, 48, 48))
    # Without antialiasing, single columns would be picked: flat black or flat white.
    assert np.abs(shrunk[:, :, 1:-1] - 127.5).max() < 1


@pytest.mark.parametrize("shape", [(48, 48, 1), (48, 48, 3), (30, 61, 1), (100, 70, 3)])
def test_the_graph_of_unknown_shapes_agrees_with_the_pipeline(shape):
    import tensorflow as tf

    graph = tf.function(
        lambda batch: resize(to_grey(batch), 48, 48),
        input_signature=[tf.TensorSpec((None, None, None, None), tf.uint8)],
    )
    picture = RNG.integers(0, 256, shape, np.uint8)
    found = graph(picture[None]).numpy()
    assert found.shape == (1, 48, 48, 1)
    expected = fit_images([picture]).astype(np.float32)
    if shape[:2] == (48, 48):
        assert np.array_equal(found, expected)
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_fitting_grey_pictures_of_the_right_size_changes_nothing():
    pictures = list(RNG.integers(0, 256, (5, 48, 48, 1), np.uint8))
    found = fit_images(pictures)
    assert found.dtype == np.uint8
    assert np.array_equal(found, pictures)


def test_fitting_mixed_pictures_keeps_their_order():
    pictures = [np.full((side, 40, 3), side, np.uint8) for side in (50, 60, 50, 48, 60)]
    pictures.append(np.full((48, 48, 1), 7, np.uint8))
    found = fit_images(pictures)
    assert found.shape == (6, 48, 48, 1)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found.mean(axis=(1, 2, 3)), [50, 60, 50, 48, 60, 7], rtol=1e-5)


def test_batches_of_equal_shape_change_no_value(monkeypatch):
    pictures = list(RNG.integers(0, 256, (7, 20, 30, 3), np.uint8))
    whole = fit_images(pictures)
    monkeypatch.setattr(images, "_BATCH_BYTES", 1)
    assert np.array_equal(fit_images(pictures), whole)


def test_no_pictures_give_no_rows():
    assert fit_images([]).shape == (0, 48, 48, 1)
