"""Random trees and probabilities, for tests of answers and of their thresholds."""

import numpy as np
import pandas as pd
import pytest

from datasets.errors import InputError
from datasets.taxonomy_table import from_frame
from models.species.specificity import best_taxa, correctness

FISH = [
    ("Perciformes", "Labridae", "Thalassoma", "T. lunare"),
    ("Perciformes", "Labridae", "Thalassoma", "T. lutescens"),
    ("Perciformes", "Labridae", "Coris", "C. aygula"),
    ("Perciformes", "Scaridae", "Scarus", "S. niger"),
    ("Blenniiformes", "Blenniidae", "Salarias", "S. fasciatus"),
]
RANKS = ("order", "family", "genus", "species")
GRID = 2**20  # sums of multiples of 1/GRID are exact in any order


def fish():
    return from_frame(pd.DataFrame(FISH, columns=RANKS), RANKS, [row[-1] for row in FISH]).taxonomy


def tree(seed, leaves=40, ranks=4):
    """A random tree, its leaves in random class order."""
    rng = np.random.default_rng(seed)
    lineage = np.array([f"l{index:03}" for index in rng.permutation(leaves)], object)
    columns = {f"r{ranks}": lineage}
    group = rng.integers(0, leaves // 2, leaves)
    for rank in range(ranks - 1, 0, -1):
        columns[f"r{rank}"] = np.array([f"{rank}-{one}" for one in group], object)
        group = rng.integers(0, 2 * rank, leaves)[group]
    frame = pd.DataFrame(columns)
    names = [f"r{rank}" for rank in range(1, ranks + 1)]
    return from_frame(frame, names, list(lineage)).taxonomy


def guesses(taxonomy, pictures, seed=0, sharpness=3.0, right_towards=None):
    """(pictures, leaves) float64 on the grid, of sum 1; of the true leaves if these are given."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(pictures, len(taxonomy.leaves)))
    for depth in range(1, len(taxonomy.ranks) + 1):
        taxa = rng.normal(size=(pictures, len(taxonomy.names[depth - 1])))
        logits += taxa[:, taxonomy.ancestors[depth]]
    if right_towards is not None:
        for depth in range(1, len(taxonomy.ranks) + 1):
            row = taxonomy.ancestors[depth]
            logits += 0.7 * (row == row[right_towards][:, None])
    powers = np.exp(sharpness * (logits - logits.max(axis=1, keepdims=True)))
    counts = np.floor(powers / powers.sum(axis=1, keepdims=True) * GRID)
    counts[np.arange(pictures), counts.argmax(axis=1)] += GRID - counts.sum(axis=1)
    return counts / GRID


def drawn(taxonomy, pictures, seed=0, sharpness=1.0):
    """Probabilities and true leaves of a network that is right now and then."""
    targets = np.random.default_rng(seed).integers(0, len(taxonomy.leaves), pictures)
    return guesses(taxonomy, pictures, seed + 1, sharpness, targets), targets


def judged(taxonomy, probabilities, targets, within=()):
    best = best_taxa(probabilities, taxonomy, within)
    return best, correctness(best, targets, taxonomy)


def refusal(function, *arguments, **options):
    with pytest.raises(InputError) as caught:
        function(*arguments, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)
