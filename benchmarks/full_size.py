"""The published two-view InceptionResNetV2: parameters, memory, one training step, one prediction.

    python -m benchmarks.full_size                 # 299 px, batch of 16, 19,027 species
    python -m benchmarks.full_size --batch-size 4 --image-size 149

Random pictures and weights: what is timed does not depend on them. The memory is predicted from
shapes and measured as the peak of this process; what TensorFlow adds on its own is in the latter
only.
"""

from __future__ import annotations

import argparse
import math
import resource
import time
from dataclasses import replace

import keras
import numpy as np
import pandas as pd

from datasets.base import Splits, Table
from models.estimates import work_of
from models.species.multi_view_classifier import MultiViewClassifier
from training.objectives import ObjectiveModel

PICTURES, PASSES = 971_313, 4.5  # paper 001: 80 % of 1,214,141, and how often E2 sees them
FLOAT = 4  # bytes
STATES = 4  # of a weight in training: itself, its gradient, Adam's two averages


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--image-size", type=int, default=299)
    parser.add_argument("--species", type=int, default=19_027)
    parser.add_argument("--steps", type=int, default=2, help="timed after the first one")
    told = parser.parse_args()
    network = build(told.image_size, told.species)
    largest = told.image_size * 2
    rng = np.random.default_rng(0)
    pictures = rng.integers(0, 256, (told.batch_size, largest, largest, 3)).astype(np.float32)
    targets = rng.integers(0, told.species, told.batch_size)
    alike = np.ones(told.batch_size, np.float32)
    weights, kept = network.count_params(), work_of(network).values
    print(f"parameters: {weights:,}, {_trained(network):,} of them train")
    print(
        f"predicted: weights and optimizer {_gigabytes(STATES * FLOAT * weights)}, feature maps of"
    )
    print(f"  a training step {_gigabytes(FLOAT * kept * told.batch_size)}")
    first, later = _timed(
        lambda: network.train_on_batch({"image": pictures}, targets, alike), told.steps
    )
    rate = told.batch_size / later
    days = PICTURES * PASSES / rate / 86_400
    print(f"training: first step {first:.0f} s (traced), then {rate:.2f} pictures/s;", end=" ")
    print(f"the paper's {PASSES} passes would take {days:.0f} days here")
    first, later = _timed(lambda: network.predict_on_batch({"image": pictures}), told.steps)
    print(f"prediction: first {first:.0f} s, then {told.batch_size / later:.2f} pictures/s")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(f"peak memory of this process: {_gigabytes(peak)}")


def build(side: int, species: int) -> keras.Model:
    """The model's network under the preset `paper`, compiled for its last phase."""
    numbers = np.arange(species)
    names = {"genus": [f"G{number // 2}" for number in numbers]}
    names["species"] = [f"G{number // 2} s{number}" for number in numbers]
    frame = pd.DataFrame({"key": names["species"], "label": names["species"], **names})
    model = MultiViewClassifier(
        MultiViewClassifier.Options(
            preset="paper", backbone="inception_resnet_v2", image_size=side, crop_init="random"
        )
    )
    table = Table("invented", "invented", tuple(sorted(names["species"])), frame, {})
    model.use_data(replace(table, ranks=("genus", "species")), Splits(numbers, numbers, numbers))
    model.createArchitecture()
    model.prepareModel()
    phase = model.phases[-1]
    network = ObjectiveModel(model.model.input, model.model.output, phase.objective)
    network.compile(optimizer=phase.optimizer)
    return network


def _trained(network) -> int:
    return sum(math.prod(weight.shape) for weight in network.trainable_weights)


def _timed(step, steps: int) -> tuple[float, float]:
    """Seconds of the first call, and the mean of the later ones."""
    begun = time.perf_counter()
    step()
    first = time.perf_counter() - begun
    begun = time.perf_counter()
    for _ in range(steps):
        step()
    return first, (time.perf_counter() - begun) / steps


def _gigabytes(size: float) -> str:
    return f"{size / 1e9:.1f} GB"


if __name__ == "__main__":
    main()
