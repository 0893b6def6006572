"""What a training on 1.2 million pictures takes on 1, 8 and 64 GPUs, reckoned.

    python -m benchmarks.cost                        # GPUs of 312 TFLOPS, of which 15 % are reached
    python -m benchmarks.cost --peak 989 --share 0.15

Multiplications and additions are counted in the network (two views of InceptionResNetV2 at 299 px);
the time to read, decode and augment a picture is measured here, on one core. What no machine at
hand could tell is assumed, and printed: the GPU's peak, the share of it that the network reaches,
and what is lost where several work together.
"""

from __future__ import annotations

import argparse
import io
import time

import numpy as np
import tensorflow as tf
from PIL import Image

from benchmarks.full_size import PASSES, PICTURES, build
from datasets.images import Fit
from models.estimates import work_of
from models.species.multi_view_classifier import MultiViewClassifier
from models.species.observations import augmentation

FLOPS = 2 * 3  # of a multiplication on its way forward: and an addition, forward and twice back
GPUS = {1: 1.0, 8: 0.9, 64: 0.8}  # how many -> share of their joint rate that is left
STORED = 500  # pixels, the long side of a stored picture, as iNaturalist has them
MEASURED = 60  # pictures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--peak", type=float, default=312, help="TFLOPS of a GPU in 16 bits")
    parser.add_argument("--share", type=float, default=0.15, help="of it that is reached")
    parser.add_argument("--image-size", type=int, default=299)
    parser.add_argument("--species", type=int, default=19_027)
    told = parser.parse_args()
    work = work_of(build(told.image_size, told.species))
    flops = FLOPS * work.multiplications
    reading = _reading_seconds(told.image_size)
    print(f"a picture: {work.multiplications / 1e9:.1f} G multiplications forward,", end=" ")
    print(f"{flops / 1e9:.0f} GFLOP a training step, {1000 * reading:.1f} ms of a core to read")
    print(f"a GPU: {told.share:.0%} of {told.peak:g} TFLOPS are reached (assumed)")
    print(f"pictures: {PICTURES:,}, each seen {PASSES} times\n")
    print("| GPUs | pictures/s | the training takes | cores that read for it | scaling (assumed) |")
    print("|---|---|---|---|---|")
    for count, scaling in GPUS.items():
        rate = count * scaling * told.share * told.peak * 1e12 / flops
        hours = PICTURES * PASSES / rate / 3600
        print(f"| {count} | {rate:,.0f} | {hours:.2f} h | {rate * reading:.1f} | {scaling:.0%} |")


def _reading_seconds(side: int) -> float:
    """Seconds of a core to decode and augment one stored picture."""
    file = io.BytesIO()
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (25, 34, 3), np.uint8)
    Image.fromarray(coarse).resize((STORED, STORED * 3 // 4), Image.BICUBIC).save(file, "JPEG")
    augment = augmentation(MultiViewClassifier.Options(preset="paper"), Fit(side, side, 3))

    @tf.function
    def changed(picture, seed):
        return augment({"image": picture}, seed)["image"]

    def read(number: int) -> None:
        picture = np.asarray(Image.open(io.BytesIO(file.getvalue())))
        changed(tf.constant(picture), tf.constant([0, number]))

    read(0)
    begun = time.process_time()
    for number in range(1, MEASURED + 1):
        read(number)
    return (time.process_time() - begun) / MEASURED


if __name__ == "__main__":
    main()
