"""Pictures that look alike: copies which were resized, compressed anew, brightened or mirrored.

The hash is the difference hash of N. Krawetz (2013, hackerfactor.com, "Kind of Like That") on
16 x 17 grey values: whether each value is brighter than its left neighbour. What it finds was
measured on 608 photographs of clownfish and 3,696 pictures of other fish, at the default distance
of 30 of 256 bits:

- every copy that was resized to 60 %; 99 % and more of those saved anew as JPEG of quality 40,
  mirrored, or darkened to 60 %; 98 % of those brightened by 30 %;
- 99 % of the copies whose rim of 5 % of the area was cut off, 19 % where it was 5 % of the height
  and of the width, hardly any where that was cut off on one side only;
- 135 pairs in the 3,696 pictures beside the exact copies, about one in twenty of them false. The
  false ones are different fish, drawn or photographed alike before an empty background, and differ
  in 20 bits or more.

So a pair is a hint for a person to look at, and a cropped copy may go unseen.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pandas as pd
from PIL import Image

BITS = 256
DISTANCE = 30  # bits, the default
MOST = 20_000  # pictures that are compared unasked: each is read, and each pair of them looked at

_SIDE = 16
_FLAT = 8  # grey levels between the darkest and the brightest spot
_TILE = (256, 2048)  # rows by columns of one step: its arrays stay in the processor's cache


def perceptual_hash(image: np.ndarray) -> np.ndarray:
    """What a picture shows, coarsely: pictures that look alike differ in few bits.

    Args:
        image: uint8, (height, width, 1 or 3).

    Returns:
        (32,) uint8, 256 bits; all zero for a picture with next to no contrast.
    """
    return _rises(_thumbnail(image))


def perceptual_hashes(images: Iterable[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Hashes of many pictures, and of their mirror images.

    Args:
        images: uint8 pictures (height, width, 1 or 3), each of its own size.

    Returns:
        The hashes, (pictures, 32) uint8, and those of the mirror images, of the same shape.
    """
    hashes = []
    for image in images:
        thumbnail = _thumbnail(image)
        hashes.append((_rises(thumbnail), _rises(thumbnail[:, ::-1])))
    both = np.array(hashes, np.uint8).reshape(-1, 2, BITS // 8)
    return both[:, 0], both[:, 1]


def near_duplicates(
    hashes: np.ndarray, distance: int = DISTANCE, mirrored: np.ndarray | None = None
) -> list[tuple[int, int, int]]:
    """All pairs of pictures whose hashes differ in few bits.

    A flat picture is like every other one, and is compared with none: one whose hash differs from
    an empty or a full one in `distance` bits or fewer.

    Every pair is compared, in steps of bounded memory; 30,000 pictures with their mirror images
    take about 6 s on one core, 100,000 a minute and a half. A picture in k copies makes
    k * (k - 1) / 2 pairs, so leave exact copies out beforehand.

    Args:
        hashes: (pictures, 32) uint8, as `perceptual_hash` gives them.
        distance: the most bits in which a pair may differ.
        mirrored: hashes of the mirror images, to find mirrored copies too.

    Returns:
        (row, later row, number of bits), in ascending order.
    """
    filled = np.bitwise_count(hashes).sum(axis=1, dtype=np.int64)
    rows = np.flatnonzero((filled > distance) & (filled < BITS - distance))
    words = _words(hashes[rows])
    found = _close_pairs(words, words, distance)
    if mirrored is not None:
        for pair, bits in _close_pairs(words, _words(mirrored[rows]), distance).items():
            found[pair] = min(bits, found.get(pair, BITS))
    return [(int(rows[i]), int(rows[j]), bits) for (i, j), bits in sorted(found.items())]


def duplicate_groups(digests: np.ndarray, pairs: Iterable[tuple[int, int, int]]) -> np.ndarray:
    """Number the groups of samples that a split should keep together.

    Samples belong together if they are exact copies, a near pair, or joined by a chain of these.

    Args:
        digests: (rows,), hash of the content of each sample.
        pairs: (row, row, distance), as `near_duplicates` gives them.

    Returns:
        (rows,) int64, the group of each row; groups count from 0.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    content, _ = pd.factorize(np.asarray(digests))
    alike = np.array([(content[i], content[j]) for i, j, *_ in pairs], np.int64).reshape(-1, 2)
    contents = int(content.max(initial=-1)) + 1
    graph = coo_array((np.ones(len(alike), np.int8), alike.T), shape=(contents, contents))
    _, groups = connected_components(graph, directed=False)
    return groups.astype(np.int64)[content]


def _thumbnail(image: np.ndarray) -> np.ndarray:
    picture = Image.fromarray(image[..., 0] if image.shape[2] == 1 else image).convert("L")
    # A sharp filter tells pictures apart: a bilinear one finds 995 pairs of fish, this one 175.
    return np.asarray(picture.resize((_SIDE + 1, _SIDE), Image.Resampling.LANCZOS))


def _rises(thumbnail: np.ndarray) -> np.ndarray:
    """The bits of a thumbnail, (16, 17) uint8, as (32,) uint8."""
    if int(thumbnail.max()) - int(thumbnail.min()) < _FLAT:
        return np.zeros(BITS // 8, np.uint8)
    return np.packbits(thumbnail[:, 1:] > thumbnail[:, :-1])


def _words(hashes: np.ndarray) -> np.ndarray:
    """(4, pictures) uint64."""
    return np.ascontiguousarray(np.ascontiguousarray(hashes, np.uint8).view(np.uint64).T)


def _close_pairs(one: np.ndarray, other: np.ndarray, distance: int) -> dict[tuple, int]:
    """(i, j) with i < j -> number of bits in which picture i of one and j of the other differ."""
    found = {}
    total, (height, width) = one.shape[1], _TILE
    for top in range(0, total, height):
        for left in range(top, total, width):
            rows, columns = _candidates(
                one[:, top : top + height], other[:, left : left + width], distance
            )
            rows, columns = rows + top, columns + left
            rows, columns = rows[rows < columns], columns[rows < columns]
            bits = np.bitwise_count(one[:, rows] ^ other[:, columns]).sum(axis=0, dtype=np.int64)
            close = bits <= distance
            pairs = zip(rows[close].tolist(), columns[close].tolist(), strict=True)
            found.update(zip(pairs, bits[close].tolist(), strict=True))
    return found


def _candidates(one, other, distance):
    """Pairs that are close in the middle half of the picture, where pictures differ the most."""
    bits = np.bitwise_count(one[1][:, None] ^ other[1])
    bits += np.bitwise_count(one[2][:, None] ^ other[2])
    return np.nonzero(bits <= distance)
