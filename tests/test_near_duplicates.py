"""Perceptual hashes: which pictures look alike, and which samples belong together."""

import io

import numpy as np
import pytest
from PIL import Image

from datasets import near_duplicates as module
from datasets.images import decode_image
from datasets.near_duplicates import (
    duplicate_groups,
    near_duplicates,
    perceptual_hash,
    perceptual_hashes,
)


def scene(seed, size=(120, 160)):
    """A smooth picture made by chance, (height, width, 3)."""
    spots = np.random.default_rng(seed).integers(0, 256, (9, 12, 3), np.uint8)
    return np.asarray(Image.fromarray(spots).resize(size[::-1], Image.Resampling.BICUBIC))


def bits_apart(one, other):
    return int(np.bitwise_count(perceptual_hash(one) ^ perceptual_hash(other)).sum())


def saved_as_jpeg(image, quality):
    file = io.BytesIO()
    Image.fromarray(image).save(file, "JPEG", quality=quality)
    return decode_image(file.getvalue())


def resized(image, share):
    height, width = (round(share * side) for side in image.shape[:2])
    return np.asarray(Image.fromarray(image).resize((width, height)))


def brightened(image, factor):
    return (image * factor).clip(0, 255).astype(np.uint8)


COPIES = {
    "resized": lambda image: resized(image, 0.6),
    "compressed": lambda image: saved_as_jpeg(image, 40),
    "darkened": lambda image: brightened(image, 0.6),
    "brightened": lambda image: brightened(image, 1.2),
    "cropped": lambda image: image[2:-2, 2:-2],
}


@pytest.mark.parametrize("change", COPIES.values(), ids=COPIES)
def test_a_changed_copy_is_near_and_another_picture_is_not(change):
    for seed in range(10):
        assert bits_apart(scene(seed), change(scene(seed))) <= 30
        assert bits_apart(scene(seed), change(scene(seed + 100))) > 60


def test_the_hash_is_that_of_the_publication():
    """By its definition: is the right neighbour brighter, on 16 rows of 17 grey values?"""
    image = scene(0)
    grey = Image.fromarray(image).convert("L").resize((17, 16), Image.Resampling.LANCZOS)
    expected = [
        grey.getpixel((x + 1, y)) > grey.getpixel((x, y)) for y in range(16) for x in range(16)
    ]
    assert np.unpackbits(perceptual_hash(image)).tolist() == expected


def test_grey_pictures_are_hashed_as_their_copies_in_colour():
    grey = scene(0)[..., :1]
    assert (perceptual_hash(grey) == perceptual_hash(np.repeat(grey, 3, axis=2))).all()


def test_hashes_of_many_are_the_hashes_of_each_and_of_its_mirror_image():
    images = [scene(0), scene(1, (50, 40))[..., :1]]
    hashes, mirrored = perceptual_hashes(images)
    assert (hashes[1] == perceptual_hash(images[1])).all()
    for image, hash_ in zip(images, mirrored, strict=True):
        assert np.bitwise_count(hash_ ^ perceptual_hash(image[:, ::-1])).sum() <= 4


def test_no_pictures_give_no_hashes_and_no_pairs():
    hashes, mirrored = perceptual_hashes([])
    assert hashes.shape == mirrored.shape == (0, 32)
    assert near_duplicates(hashes, mirrored=mirrored) == []


def test_mirrored_copies_are_found_only_with_hashes_of_the_mirror_images():
    hashes, mirrored = perceptual_hashes([scene(0), scene(1), scene(0)[:, ::-1]])
    assert near_duplicates(hashes) == []
    ((one, other, bits),) = near_duplicates(hashes, mirrored=mirrored)
    assert (one, other) == (0, 2)
    assert bits <= 4


def close_hashes(rng, count):
    """Hashes of which many are a few bits apart."""
    hashes = rng.integers(0, 256, (12, 32), np.uint8)[rng.integers(0, 12, count)]
    flips = rng.random((count, 256)) < rng.uniform(0, 0.2, (count, 1))
    return hashes ^ np.packbits(flips, axis=1)


@pytest.mark.parametrize("distance", (0, 10, 30, 60))
def test_the_pairs_are_those_of_a_plain_loop(distance, monkeypatch):
    monkeypatch.setattr(module, "_TILE", (16, 24))
    rng = np.random.default_rng(distance)
    hashes, mirrored = close_hashes(rng, 100), close_hashes(rng, 100)
    mirrored[:20] = hashes[rng.permutation(100)[:20]]

    def expected(others):
        for i in range(100):
            for j in range(i + 1, 100):
                bits = min(
                    int(np.unpackbits(hashes[i] ^ other[j]).sum()) for other in (hashes, *others)
                )
                if bits <= distance:
                    yield i, j, bits

    found = near_duplicates(hashes, distance)
    assert found == list(expected(()))
    both = near_duplicates(hashes, distance, mirrored)
    assert both == list(expected((mirrored,)))
    assert len(both) > len(found) >= (distance > 0)


def test_hashes_that_differ_in_every_bit_are_no_pair():
    hashes = close_hashes(np.random.default_rng(0), 1)
    assert near_duplicates(np.concatenate([hashes, ~hashes])) == []


def test_flat_pictures_are_compared_with_none():
    rng = np.random.default_rng(0)
    flat = [np.full((48, 48, 1), level, np.uint8) for level in range(20, 60)]
    vignettes = [(image + np.linspace(0, 5, 48)[:, None]).astype(np.uint8) for image in flat]
    specks = [image.copy() for image in flat]
    for image in specks:  # a hot pixel on nothing
        y, x = rng.integers(0, 48, 2)
        image[y, x] = 255
    ramps = [np.tile(np.arange(48, dtype=np.uint8)[:, None], (48, 1, 1))] * 3  # all bits set
    images = [*flat, *vignettes, *specks, *ramps, scene(0), scene(0)]
    hashes, mirrored = perceptual_hashes(images)
    last = len(images) - 1
    assert near_duplicates(hashes, mirrored=mirrored) == [(last - 1, last, 0)]


def test_groups_join_exact_copies_near_pairs_and_chains_of_both():
    digests = np.array(["A", "B", "C", "A", "D", "E"], object)
    groups = duplicate_groups(digests, [(3, 1, 12), (1, 4, 30)])
    assert groups.tolist() == [groups[0], groups[0], groups[2], groups[0], groups[0], groups[5]]
    assert sorted(set(groups.tolist())) == [0, 1, 2]


def test_groups_without_copies_are_the_rows():
    assert duplicate_groups(np.array(["A", "B"]), []).tolist() == [0, 1]
    assert duplicate_groups(np.array([], object), []).shape == (0,)


@pytest.mark.real
def test_the_known_pairs_of_the_clownfish_are_found(real_data):
    files = sorted((real_data / "clownfish").glob("*/*.*"))
    images = [decode_image(file.read_bytes()) for file in files]
    hashes, mirrored = perceptual_hashes(images)
    found = {
        (files[one].stem, files[other].stem): bits
        for one, other, bits in near_duplicates(hashes, mirrored=mirrored)
    }
    assert len(files) == 608
    assert found == {
        ("gbif_clar_76", "gbif_peri_78"): 0,
        ("pixAmphiprion_perideraion472", "pixAmphiprion_perideraion473"): 20,
    }

    few = images[::12]
    copies = [brightened(saved_as_jpeg(resized(one, 0.6)[:, ::-1], 40), 0.8) for one in few]
    hashes, mirrored = perceptual_hashes([*few, *copies])
    pairs = {(i, j) for i, j, _ in near_duplicates(hashes, mirrored=mirrored)}
    recalled = sum((row, row + len(few)) in pairs for row in range(len(few)))
    assert recalled >= 0.95 * len(few)
