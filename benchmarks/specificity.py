"""Answers of fitting depth by blocks, against a depth-first search in plain Python per picture.

    python -m benchmarks.specificity --out specificity.json

Random probabilities over a random tree of seven ranks, made block by block and never held together.
All pictures are answered by blocks, a sample of them by the search, and the answers of the sample
are compared. Prints rates, their ratio, the whole time and the largest memory, and writes JSON.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import time
from pathlib import Path

import numpy as np

from datasets.taxonomy import Node, Taxonomy
from models.species.specificity import best_taxa, depths

RANKS = ("kingdom", "phylum", "class", "order", "family", "genus", "species")
TAXA = (5, 40, 150, 700, 2500, 7000)  # above the species, of about twenty thousand
GRID = 2.0**22  # probabilities are multiples of 1/GRID: then all sums are exact, in any order
PART = 512  # pictures in one array of probabilities


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--pictures", type=int, default=100_000)
    parser.add_argument("--leaves", type=int, default=19_027)
    parser.add_argument("--sample", type=int, default=200, help="pictures searched one by one")
    parser.add_argument("--threshold", type=float, default=0.6)
    parser.add_argument("--out", default="specificity.json")
    arguments = parser.parse_args()

    taxonomy = random_taxonomy(arguments.leaves)
    parts = Parts(taxonomy, arguments.pictures)
    start = time.perf_counter()
    best = best_taxa(parts, taxonomy)
    depth = depths(best, arguments.threshold)
    making = parts.seconds
    seconds = time.perf_counter() - start - making
    peak = _peak_gigabytes()
    sample = min(arguments.sample, PART, arguments.pictures)
    rows = next(iter(parts))[:sample].tolist()
    found, search_seconds = _search(taxonomy, rows, arguments.threshold)
    blocks = [Node(deep, int(best.nodes[row, deep])) for row, deep in enumerate(depth[:sample])]
    rate, search_rate = arguments.pictures / seconds, sample / search_seconds
    result = {
        "pictures": arguments.pictures,
        "leaves": arguments.leaves,
        "ranks": len(RANKS),
        "threshold": arguments.threshold,
        "mean_depth": round(float(depth.mean()), 2),
        "seconds": round(seconds, 1),
        "seconds_of_making_probabilities": round(making, 1),
        "peak_gigabytes": round(peak, 2),
        "pictures_per_second": round(rate, 1),
        "search_pictures_per_second": round(search_rate, 1),
        "ratio": round(rate / search_rate, 1),
        "compared": sample,
        "different_answers": sum(one != other for one, other in zip(blocks, found, strict=True)),
    }
    Path(arguments.out).write_text(json.dumps(result, indent=1))
    for name, value in result.items():
        print(f"{name:32} {value}")


def random_taxonomy(leaves: int, seed: int = 0) -> Taxonomy:
    """Seven ranks, with fewer taxa where there are few leaves."""
    rng = np.random.default_rng(seed)
    sizes = [*(max(1, round(size * leaves / 19_027)) for size in TAXA), leaves]
    parents = [np.zeros(sizes[0], np.int64)]
    for above, here in zip(sizes[:-1], sizes[1:], strict=True):
        every = np.concatenate([np.arange(above), rng.integers(0, above, here - above)])
        parents.append(np.sort(every))
    parents[-1] = rng.permutation(parents[-1])  # classes need not be sorted by lineage
    names = (
        tuple(f"{rank} {index}" for index in range(size))
        for rank, size in zip(RANKS, sizes, strict=True)
    )
    return Taxonomy(RANKS, tuple(names), tuple(parents))


class Parts:
    """Probabilities in arrays (PART or fewer, leaves) float32, and the seconds of making them."""

    def __init__(self, taxonomy: Taxonomy, pictures: int):
        self._taxonomy, self._pictures = taxonomy, pictures
        self.seconds = 0.0

    def __iter__(self):
        for number, first in enumerate(range(0, self._pictures, PART)):
            start = time.perf_counter()
            part = probabilities(self._taxonomy, min(PART, self._pictures - first), number)
            self.seconds += time.perf_counter() - start
            yield part


def probabilities(taxonomy: Taxonomy, pictures: int, seed: int) -> np.ndarray:
    """(pictures, leaves) float32, multiples of 1/GRID, of sum 1.

    A part of each picture's mass lies on one leaf, a part in one taxon of every rank above it, so
    that answers of all depths occur; the rest lies anywhere.
    """
    rng = np.random.default_rng(seed)
    leaves = len(taxonomy.leaves)
    found = rng.random((pictures, leaves), np.float32)
    shares = rng.dirichlet(np.full(len(RANKS) + 1, 0.4), pictures)
    found *= (shares[:, 0] / found.sum(axis=1))[:, None].astype(np.float32)
    for row, leaf in enumerate(rng.integers(0, leaves, pictures)):
        for depth in range(1, len(RANKS) + 1):
            node = Node(depth, int(taxonomy.ancestors[depth, leaf]))
            below = taxonomy.leaves_below(node)
            found[row, below] += shares[row, depth] / len(below)
    found *= GRID
    np.floor(found, out=found)
    rest = GRID - found.sum(axis=1, dtype=np.float64)
    found[np.arange(pictures), found.argmax(axis=1)] += rest.astype(np.float32)
    found /= GRID
    return found


def depth_first(taxonomy: Taxonomy, children, leaf_probabilities: list[float], threshold: float):
    """The deepest node of p >= threshold, of equally deep ones the more probable.

    Args:
        taxonomy: of the leaves.
        children: indices of the taxa right below each taxon, by depth and index.
        leaf_probabilities: in class order.
        threshold: on the probability.
    """
    last = len(taxonomy.ranks)
    best, best_probability = Node(0, 0), 1.0

    def visit(depth: int, index: int) -> float:
        nonlocal best, best_probability
        if depth == last:
            probability = leaf_probabilities[index]
        else:
            probability = sum([visit(depth + 1, child) for child in children[depth][index]])
        if depth and probability >= threshold:
            surer = depth == best.depth and probability > best_probability
            if depth > best.depth or surer:
                best, best_probability = Node(depth, index), probability
        return probability

    visit(0, 0)
    return best


def _search(taxonomy: Taxonomy, rows: list[list[float]], threshold: float):
    """The answers for some pictures one by one, and the seconds that they took."""
    names = [("root",), *taxonomy.names[:-1]]
    children = [
        [taxonomy.children(Node(depth, index)).tolist() for index in range(len(taxa))]
        for depth, taxa in enumerate(names)
    ]
    start = time.perf_counter()
    found = [depth_first(taxonomy, children, row, threshold) for row in rows]
    return found, time.perf_counter() - start


def _peak_gigabytes() -> float:
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e9


if __name__ == "__main__":
    main()
