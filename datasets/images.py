"""Pictures as arrays: decoding, and the zoo's one conversion to grey and one resize.

`to_grey` and `resize` run both in the data pipeline and inside the saved graphs, so what a network
is trained on and what it is given later cannot drift apart.
"""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

PICTURE_SUFFIXES = (".jpg", ".jpeg", ".png", ".gif", ".bmp", ".webp", ".tif", ".tiff", ".pgm")
MAX_PIXELS = 89_478_485  # a quarter of a gigabyte of RGB, Pillow's own limit

LEAST_SIDE = 8  # pixels; what is smaller shows nothing: tracking pixels, spacers
STORED_SIDE = 512  # pixels; a table keeps no picture with a longer shorter side

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
        ValueError: the bytes are no picture, a truncated, an oversized or a tiny one; the reason is
            short.
    """
    try:
        image = Image.open(io.BytesIO(data))
        if image.width * image.height > MAX_PIXELS:
            raise Image.DecompressionBombError
        image.load()
        pixels = _to_array(ImageOps.exif_transpose(image))
    except UnidentifiedImageError:
        reason = "is not a picture" if data else "is empty"
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        reason = f"has more than {MAX_PIXELS // 10**6} million pixels"
    except Exception as error:  # Pillow's decoders raise whatever a damaged file leads them to
        reason = f"is damaged ({' '.join(str(error).split()) or type(error).__name__})"
    else:
        height, width = pixels.shape[:2]
        if min(height, width) >= LEAST_SIDE:
            return pixels
        reason = f"is too small ({width}x{height} pixels, {LEAST_SIDE}x{LEAST_SIDE} are needed)"
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


def to_rgb(image):
    """Three channels of a picture of one or three; a coloured picture is returned value by value.

    Args:
        image: tensor (..., height, width, channels), 1 or 3 channels, also unknown until run time.

    Returns:
        float32 tensor (..., height, width, 3) on the scale of the input.
    """
    from keras import ops

    image = ops.cast(image, "float32")
    channels = image.shape[-1]
    if channels == 3:
        return image
    if channels is None:
        channels = ops.shape(image)[-1]
    middle = channels // 2  # 0 of 1 channel, 1 of 3
    parts = (image[..., :1], image[..., middle : middle + 1], image[..., -1:])
    return ops.concatenate(parts, axis=-1)


def central_square(image, share: float):
    """The middle of a picture: a square with this share of its shorter side.

    Args:
        image: tensor (..., height, width, channels), whose extents may be unknown until run time.
        share: in (0, 1].
    """
    from keras import ops

    height, width = ops.shape(image)[-3:-1]
    if isinstance(height, int) and isinstance(width, int):
        # In float32, as below: else one picture in a thousand would lose a row here and not there.
        side = max(1, int(np.float32(min(height, width)) * np.float32(share) + np.float32(0.5)))
    else:
        shorter = ops.cast(ops.minimum(height, width), "float32")
        side = ops.maximum(1, ops.cast(shorter * share + 0.5, "int32"))
    top, left = (height - side) // 2, (width - side) // 2
    return image[..., top : top + side, left : left + side, :]


def background(image):
    """The colour behind what a picture shows: the median of its four corners.

    One of them may be covered.

    Args:
        image: float tensor (..., height, width, channels), whose extents may be unknown until run
            time.

    Returns:
        (..., 1, 1, channels).
    """
    from keras import ops

    tall, wide = ops.shape(image)[-3:-1]
    corners = [image[..., y : y + 1, x : x + 1, :] for y in (0, tall - 1) for x in (0, wide - 1)]
    middle = ops.sort(ops.stack(corners), axis=0)[1:3]
    return (middle[0] + middle[1]) / 2


def padded(image, height: int, width: int):
    """A picture that is widened to the proportions of height to width, itself in the middle.

    What is added has the colour of the background.

    Args:
        image: float tensor (..., height, width, channels), whose extents may be unknown until run
            time.
        height, width: of the proportions wanted.
    """
    from keras import ops

    tall, wide = ops.shape(image)[-3:-1]
    down, across = -(-wide * height // width) - tall, -(-tall * width // height) - wide
    if isinstance(tall, int) and isinstance(wide, int):
        down, across = max(0, down), max(0, across)
        if down == across == 0:
            return image
    else:
        down, across = ops.maximum(0, down), ops.maximum(0, across)
    colour = background(image)
    around = [[0, 0]] * (len(image.shape) - 3)
    around += [[down // 2, down - down // 2], [across // 2, across - across // 2], [0, 0]]
    return ops.pad(image - colour, around) + colour


@dataclass(frozen=True)
class Fit:
    """How a picture of any size and colour becomes what a network sees.

    Attributes:
        height, width: of the result, in pixels.
        channels: 1 (made grey) or 3.
        crop: share of the shorter side that a central square keeps; None takes the whole picture,
            whose proportions then change.
        pad: widen the surroundings of the picture instead, so that its proportions stay.
    """

    height: int
    width: int
    channels: int = 1
    crop: float | None = None
    pad: bool = False

    @property
    def shape(self) -> tuple[int, int, int]:
        return (self.height, self.width, self.channels)

    def __call__(self, image, resize=resize):
        """float32 tensor (..., *shape), 0 to 255, of a tensor (..., height, width, 1 or 3).

        Args:
            image: as above.
            resize: what `resize` of this module does, perhaps by other operations.
        """
        image = to_grey(image) if self.channels == 1 else to_rgb(image)
        if self.crop is not None:
            image = central_square(image, self.crop)
        if self.pad:
            image = padded(image, self.height, self.width)
        return resize(image, self.height, self.width)

    def seen(self, height: int, width: int) -> tuple[float, float, float, float]:
        """Left, top, right and bottom of what is seen of a picture, in its pixels.

        Padding lies outside of it. To a pixel, where the number of pixels is odd.
        """
        across, down = float(width), float(height)
        if self.crop is not None:
            across = down = self.crop * min(across, down)
        if self.pad:
            across, down = (
                max(across, down * self.width / self.height),
                max(down, across * self.height / self.width),
            )
        left, top = (width - across) / 2, (height - down) / 2
        return left, top, left + across, top + down

    def raw(self) -> Fit:
        """The fit whose result is itself a raw picture: fitted again it gives what this one does.

        A central square would be cut a second time, so the raw picture is larger by that much.
        """
        if self.crop is None:
            return self
        height, width = (round(side / self.crop) for side in (self.height, self.width))
        return Fit(height, width, self.channels, 1.0, self.pad)


def fit_images(images, fit: Fit) -> np.ndarray:
    """Pictures of one size, as a network sees them.

    Args:
        images: uint8 pictures (height, width, 1 or 3), each of its own size.
        fit: size and colour of the result.

    Returns:
        (pictures, *fit.shape): the uint8 pictures themselves where all have that shape and nothing
        is cut, float32 on the scale 0 to 255, not rounded, otherwise.
    """
    images = list(images)
    if fit.crop is None and all(
        image.shape == fit.shape and image.dtype == np.uint8 for image in images
    ):
        return np.stack(images) if images else np.zeros((0, *fit.shape), np.uint8)
    fitted = np.empty((len(images), *fit.shape), np.float32)
    for rows in batches_of_equal_shape(images):
        fitted[rows] = _fit(np.stack([images[row] for row in rows]), fit)
    return fitted


def _fit(batch: np.ndarray, fit: Fit) -> np.ndarray:
    from keras import ops

    return ops.convert_to_numpy(fit(batch))


def shrink(image: np.ndarray, side: int = STORED_SIDE) -> np.ndarray:
    """A picture whose shorter side is at most `side` pixels, proportions kept, uint8.

    What is learnt from and what is judged are both shrunk so: hundreds of photographs of many
    megapixels then fit into memory, and no network here looks closer.
    """
    shorter = min(image.shape[:2])
    if shorter <= side:
        return image
    from keras import ops

    height, width = (max(1, round(extent * side / shorter)) for extent in image.shape[:2])
    return np.rint(ops.convert_to_numpy(resize(image, height, width))).clip(0, 255).astype(np.uint8)


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
