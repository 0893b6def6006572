"""Decoding pictures, and the zoo's one grey conversion and one resize."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from datasets import images
from datasets.images import (
    LEAST_SIDE,
    STORED_SIDE,
    Fit,
    central_square,
    decode_image,
    fit_images,
    padded,
    resize,
    shrink,
    to_grey,
    to_rgb,
)

RNG = np.random.default_rng(0)
GREY = RNG.integers(0, 256, (8, 11), np.uint8)
COLOUR = RNG.integers(0, 256, (8, 11, 3), np.uint8)
FACE = Fit(48, 48)


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


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_a_photograph_that_was_taken_upright_stands_upright(kind):
    lying = np.zeros((16, 32, 3), np.uint8)
    lying[:, :16] = 255  # what was up when the camera was turned to the left
    exif = Image.Exif()
    exif[0x0112] = 6
    found = decode_image(encode(lying, kind, exif=exif))
    assert found.shape == (32, 16, 3)
    assert found[:14].min() > 200 and found[18:].max() < 50


def test_a_palette_becomes_colours():
    picture = Image.fromarray(COLOUR).quantize(16)
    assert np.array_equal(decode_image(encode(picture)), np.array(picture.convert("RGB")))


def test_cmyk_becomes_rgb():
    picture = Image.new("CMYK", (8, 8), (0, 255, 255, 0))
    for kind, error in (("TIFF", 0), ("JPEG", 3)):
        found = decode_image(encode(picture, kind))
        assert found.shape == (8, 8, 3)
        np.testing.assert_allclose(found[0, 0], [255, 0, 0], atol=error)


@pytest.mark.parametrize(("mode", "fill", "seen"), [("RGBA", (9, 9, 9, 0), 3), ("LA", (9, 0), 1)])
def test_transparent_parts_are_white(mode, fill, seen):
    found = decode_image(encode(Image.new(mode, (8, 9), fill)))
    assert found.shape == (9, 8, seen)
    assert (found == 255).all()


def test_sixteen_bits_become_eight():
    values = np.tile(np.array([0, 257, 257 * 100, 65535], np.uint16), (8, 2))
    found = decode_image(encode(values))
    assert found.dtype == np.uint8
    assert found[0, :4, 0].tolist() == [0, 1, 100, 255]


def test_sixteen_bits_of_each_colour_become_eight():
    colour = np.array([0, 257 * 100, 65535], ">u2")
    row = b"\0" + np.tile(colour, 9).tobytes()
    head = struct.pack(">IIBBBBB", 9, 8, 16, 2, 0, 0, 0)
    parts = [(b"IHDR", head), (b"IDAT", zlib.compress(row * 8)), (b"IEND", b"")]
    data = b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        for name, body in parts
    )
    found = decode_image(data)
    assert found.shape == (8, 9, 3)
    assert (found == [0, 100, 255]).all()


def test_of_an_animation_the_first_frame_counts():
    frames = [Image.new("L", (8, 8), value) for value in (10, 200)]
    data = encode(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert (decode_image(data) == 10).all()


def test_a_gif_of_colours_comes_back_in_colour():
    picture = Image.fromarray(COLOUR).quantize(64)
    assert np.array_equal(decode_image(encode(picture, "GIF")), np.array(picture.convert("RGB")))


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
        (encode(Image.new("F", (8, 8)), "TIFF"), "no fixed range"),
        (encode(Image.new("RGB", (1, 1))), r"is too small \(1x1 pixels, 8x8 are needed\)"),
        (encode(Image.new("L", (1, 1)), "GIF"), "is too small"),
        (encode(Image.new("RGB", (500, 7))), r"is too small \(500x7 pixels"),
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


def test_the_least_picture_is_read():
    assert decode_image(encode(Image.new("RGB", (LEAST_SIDE, LEAST_SIDE)))).shape == (8, 8, 3)


def test_a_bomb_is_refused_before_it_goes_off():
    head = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    crc = struct.pack(">I", zlib.crc32(b"IHDR" + head))
    bomb = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + b"IHDR" + head + crc
    bomb += struct.pack(">I", 2**30) + b"IDAT"  # its pixels would be reported as missing
    with pytest.raises(ValueError, match="has more than 89 million pixels"):
        decode_image(bomb)


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


def test_three_channels_of_a_grey_picture_are_its_values():
    values = RNG.integers(0, 256, (2, 5, 7, 1), np.uint8)
    found = np.asarray(to_rgb(values))
    assert found.dtype == np.float32
    assert np.array_equal(found, np.repeat(values, 3, axis=-1))
    colours = RNG.integers(0, 256, (2, 5, 7, 3), np.uint8)
    assert np.array_equal(np.asarray(to_rgb(colours)), colours)


@pytest.mark.parametrize(
    ("shape", "share", "rows", "columns"),
    [
        ((10, 10), 1.0, slice(0, 10), slice(0, 10)),
        ((10, 20), 1.0, slice(0, 10), slice(5, 15)),
        ((20, 10), 0.5, slice(7, 12), slice(2, 7)),
        ((256, 256), 0.875, slice(16, 240), slice(16, 240)),
        ((300, 256), 0.875, slice(38, 262), slice(16, 240)),
        ((9, 9), 0.05, slice(4, 5), slice(4, 5)),
    ],
)
def test_the_central_square_is_cut_from_the_middle(shape, share, rows, columns):
    picture = np.arange(shape[0] * shape[1] * 3).reshape(*shape, 3)
    assert np.array_equal(np.asarray(central_square(picture, share)), picture[rows, columns])


def test_a_crop_of_the_exact_size_is_a_slice():
    picture = RNG.integers(0, 256, (64, 80, 3), np.uint8)
    found = fit_images([picture], Fit(48, 48, 3, 0.75))
    assert found.dtype == np.float32
    assert np.array_equal(found[0], picture[8:56, 16:64])


@pytest.mark.parametrize(
    ("shape", "rows", "columns"),
    [
        ((10, 40), slice(15, 25), slice(0, 40)),
        ((40, 11), slice(0, 40), slice(14, 25)),
        ((40, 40), slice(0, 40), slice(0, 40)),
    ],
)
def test_a_padded_picture_lies_in_the_middle_of_its_background(shape, rows, columns):
    picture = RNG.integers(0, 256, (*shape, 3), np.uint8)
    picture[[0, 0, -1], [0, -1, 0]] = (10, 20, 30)  # one of the corners is covered
    found = fit_images([picture], Fit(40, 40, 3, pad=True))[0]
    assert np.array_equal(found[rows, columns], picture)
    outside = np.ones((40, 40), bool)
    outside[rows, columns] = False
    assert (found[outside] == (10, 20, 30)).all()


def test_a_padded_picture_has_the_proportions_of_what_is_wanted():
    picture = RNG.integers(0, 256, (30, 10, 1), np.uint8)
    found = np.asarray(padded(picture.astype(np.float32), 20, 40))
    assert found.shape == (30, 60, 1)
    assert np.array_equal(found[:, 25:35], picture)


FITS = [
    Fit(48, 48),
    Fit(32, 40, 3),
    Fit(32, 32, 3, 0.875),
    Fit(40, 40, 1, 0.7),
    Fit(48, 48, 1, pad=True),
    Fit(32, 40, 3, pad=True),
]
SHAPES = [(48, 48, 1), (48, 48, 3), (30, 61, 1), (100, 70, 3), (33, 45, 3), (8, 200, 3)]


@pytest.mark.parametrize("fit", FITS)
def test_the_graph_of_unknown_shapes_agrees_with_the_pipeline(fit):
    import tensorflow as tf

    graph = tf.function(fit, input_signature=[tf.TensorSpec((None, None, None, None), tf.uint8)])
    for shape in SHAPES:
        picture = RNG.integers(0, 256, shape, np.uint8)
        found = graph(picture[None]).numpy()
        assert found.shape == (1, *fit.shape)
        expected = fit_images([picture], fit).astype(np.float32)
        if shape == fit.shape and fit.crop is None:
            assert np.array_equal(found, expected)
        np.testing.assert_allclose(found, expected, atol=1e-3)


def test_the_graph_cuts_the_same_square_as_the_pipeline():
    import tensorflow as tf

    @tf.function(input_signature=[tf.TensorSpec((None, None, 1)), tf.TensorSpec(())])
    def graph(picture, share):
        return central_square(picture, share)

    for share in (0.5, 0.7, 0.875, 0.9):
        for side in range(8, 120):
            picture = np.arange(side * (side + 3), dtype=np.float32).reshape(side, -1, 1)
            expected = central_square(picture, share)
            assert np.array_equal(graph(picture, share), expected), (share, side)


@pytest.mark.parametrize(
    "fit", [Fit(32, 32, 3), Fit(48, 48), Fit(56, 56, 3, 0.875), Fit(48, 48, 3, pad=True)]
)
def test_a_raw_picture_is_fitted_to_what_the_original_is_fitted_to(fit):
    y, x = np.mgrid[:128, :160] / 16
    smooth = (127 + 60 * np.sin(x) + 60 * np.cos(y))[..., None].astype(np.uint8)
    original = np.concatenate([smooth, 255 - smooth, smooth // 2], axis=-1)
    raw = fit_images([original], fit.raw())
    expected = fit_images([original], fit)
    again = fit_images(np.rint(raw).astype(np.uint8), fit)
    assert raw.shape[1] == round(fit.height / (fit.crop or 1))
    assert expected.std() > 10
    np.testing.assert_allclose(again, expected, atol=2)  # whole grey values, and the rim
    assert np.abs(again - expected).mean() < 0.5


def test_fitting_pictures_of_the_right_size_changes_nothing():
    for channels in (1, 3):
        pictures = list(RNG.integers(0, 256, (5, 48, 48, channels), np.uint8))
        found = fit_images(pictures, Fit(48, 48, channels))
        assert found.dtype == np.uint8
        assert np.array_equal(found, pictures)


def test_fitting_mixed_pictures_keeps_their_order():
    pictures = [np.full((side, 40, 3), side, np.uint8) for side in (50, 60, 50, 48, 60)]
    pictures.append(np.full((48, 48, 1), 7, np.uint8))
    for fit in (FACE, Fit(48, 48, 3), Fit(24, 24, 3, 0.5)):
        found = fit_images(pictures, fit)
        assert found.shape == (6, *fit.shape)
        assert found.dtype == np.float32
        np.testing.assert_allclose(found.mean(axis=(1, 2, 3)), [50, 60, 50, 48, 60, 7], rtol=1e-5)


def test_batches_of_equal_shape_change_no_value(monkeypatch):
    pictures = list(RNG.integers(0, 256, (7, 20, 30, 3), np.uint8))
    whole = fit_images(pictures, FACE)
    monkeypatch.setattr(images, "_BATCH_BYTES", 1)
    assert np.array_equal(fit_images(pictures, FACE), whole)


def test_no_pictures_give_no_rows():
    assert fit_images([], FACE).shape == (0, 48, 48, 1)
    assert fit_images([], Fit(20, 30, 3, 0.5)).shape == (0, 20, 30, 3)


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((60, 90, 3), (20, 30, 3)),
        ((90, 60, 1), (30, 20, 1)),
        ((21, 41, 3), (20, 39, 3)),
        ((40, 4000, 3), (20, 2000, 3)),
    ],
)
def test_a_large_picture_shrinks_and_keeps_its_proportions(shape, expected):
    picture = np.full(shape, 77, np.uint8)
    picture[: shape[0] // 2] = 200
    found = shrink(picture, 20)
    assert found.dtype == np.uint8
    assert found.shape == expected
    assert (found[: expected[0] // 2 - 2] == 200).all()
    assert (found[-expected[0] // 2 + 2 :] == 77).all()


@pytest.mark.parametrize("shape", [(20, 20, 3), (20, 400, 1), (8, 9, 3)])
def test_a_small_picture_is_left_as_it_is(shape):
    picture = RNG.integers(0, 256, shape, np.uint8)
    assert shrink(picture, 20) is picture


def test_no_shorter_side_of_a_table_exceeds_what_is_stored():
    assert shrink(np.zeros((STORED_SIDE + 1, STORED_SIDE + 9, 3), np.uint8)).shape[0] == STORED_SIDE
    whole = np.zeros((STORED_SIDE, STORED_SIDE, 3), np.uint8)
    assert shrink(whole) is whole
