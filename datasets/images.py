"""Pictures as arrays: decoding, and the zoo's one conversion to grey and one resize.

`to_grey` and `resize` run both in the data pipeline and inside the saved graphs, so what a network
is trained on and what it is given later cannot drift apart.
"""

from __future__ import annotations

import io

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

PICTURE_SUFFIXES = (".jpg", ".jpeg", ".png", ".gif", ".bmp", ".webp", ".tif", ".tiff", ".pgm")
MAX_PIXELS = 89_478_485  # a quarter of a gigabyte of RGB, Pillow's own limit

_BATCH_BYTES = 32 * 2**20


def decode_image(data: bytes) -> np.ndarray:
    """Decode one picture file.

    Turned as its EXIF tag says; of an animation the first frame. Palettes and CMYK become RGB,
    transparent parts white, 16 bits per channel 8.

    Args:
        data: the bytes of the file.

    Returns:
        uint8, (height, width, 1) for a grey picture and (height, width, 3) otherwise.

    Raises:
        ValueError: the bytes are no picture, a truncated or an oversized one; the reason is short.
    """
    try:
        image = Image.open(io.BytesIO(data))
        if image.width * image.height > MAX_PIXELS:
            raise Image.DecompressionBombError
        image.load()
        return _to_array(ImageOps.exif_transpose(image))
    except UnidentifiedImageError:
        reason = "is not a picture" if data else "is empty"
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        reason = f"has more than {MAX_PIXELS // 10**6} million pixels"
    except Exception as error:  # Pillow's decoders raise whatever a damaged file leads them to
        reason = f"is damaged ({' '.join(str(error).split()) or type(error).__name__})"
    raise ValueError(reason)


def _to_array(image: Image.Image) -> np.ndarray:
    if image.mode.startswith("I"):
        return _from_integers(np.asarray(image))
    if image.mode == "F":
        raise ValueError("pictures of floating-point numbers have no fixed range")
    if image.has_transparency_data:
        image = _on_white(image)
    if image.mode in ("1", "L"):
        return np.array(image.convert("L"))[..., None]
    return np.array(image.convert("RGB"))


def _from_integers(values: np.ndarray) -> np.ndarray:
    """Grey values of 16 bits, possibly held in 32, as 8 bits."""
    if values.min() < 0 or values.max() > 65535:
        raise ValueError("grey values do not fit into 16 bits")
    return np.rint(values / 257).astype(np.uint8)[..., None]


def _on_white(image: Image.Image) -> Image.Image:
    is_grey = image.mode in ("L", "LA", "La", "1")
    image = image.convert("RGBA")
    page = Image.new("RGBA", image.size, "white")
    return Image.alpha_composite(page, image).convert("L" if is_grey else "RGB")


def to_grey(image):
    """Brightness of a picture (ITU-R BT.601); a grey picture is returned value by value.

    Args:
        image: tensor (..., height, width, channels), 1 or 3 channels, also unknown until run time.

    Returns:
        float32 tensor (..., height, width, 1) on the scale of the input.
    """
    from keras import ops

    image = ops.cast(image, "float32")
    channels = image.shape[-1]
    if channels == 1:
        return image
    if channels is None:
        channels = ops.shape(image)[-1]
    middle = channels // 2  # 0 of 1 channel, 1 of 3
    red, green, blue = image[..., :1], image[..., middle : middle + 1], image[..., -1:]
    # 0.299 R + 0.587 G + 0.114 B, written so that equal channels give their value exactly.
    return green + 0.299 * (red - green) + 0.114 * (blue - green)


def resize(image, height: int, width: int):
    """Bilinear, antialiased resize; a picture that already fits is returned value by value.

    Args:
        image: tensor (height, width, channels) or (batch, height, width, channels), where any
            extent may be unknown until run time.
        height: rows of the result.
        width: columns of the result.

    Returns:
        float32 tensor of the same rank, on the scale of the input.
    """
    from keras import ops

    image = ops.cast(image, "float32")
    if tuple(image.shape[-3:-1]) == (height, width):
        return image
    return ops.image.resize(
        image,
        (height, width),
        interpolation="bilinear",
        antialias=True,
        data_format="channels_last",
    )


def fit_images(images: list[np.ndarray], size: tuple[int, int] = (48, 48)) -> np.ndarray:
    """Grey pictures of one size.

    Args:
        images: uint8 pictures (height, width, 1 or 3), each of its own size.
        size: height and width of the result.

    Returns:
        (pictures, height, width, 1): the uint8 pictures themselves where all are grey and of that
        size, float32 on the scale 0 to 255, not rounded, otherwise.
    """
    shape = (*size, 1)
    if all(image.shape == shape and image.dtype == np.uint8 for image in images):
        return np.stack(images) if images else np.zeros((0, *shape), np.uint8)
    fitted = np.empty((len(images), *shape), np.float32)
    for rows in batches_of_equal_shape(images):
        batch = np.stack([images[row] for row in rows])
        fitted[rows] = np.asarray(_fit(batch, size))
    return fitted


def _fit(batch: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    from keras import ops

    return ops.convert_to_numpy(resize(to_grey(batch), *size))


def batches_of_equal_shape(images: list[np.ndarray]) -> list[list[int]]:
    """Row numbers of pictures that fit into one array of bounded size."""
    groups: dict[tuple, list[int]] = {}
    for row, image in enumerate(images):
        groups.setdefault(image.shape, []).append(row)
    batches = []
    for shape, rows in groups.items():
        step = max(1, _BATCH_BYTES // (4 * int(np.prod(shape))))
        batches += [rows[start : start + step] for start in range(0, len(rows), step)]
    return batches
