"""How time and memory grow with samples, classes and pictures, on a log-log plot.

    python -m benchmarks.growth --out growth.json --plot growth.png

An exponent of 1 is linear growth. Memory is the peak of what NumPy and Python allocate during the
call, input not counted.
"""

from __future__ import annotations

import argparse
import json
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.specificity import probabilities, random_taxonomy
from datasets.artist_groups import fit_artist_groups
from datasets.base import Table
from datasets.near_duplicates import near_duplicates
from models.species.specificity import best_taxa
from training.evaluation import evaluate
from training.miners import mine_triplets


def _mining(samples: int) -> Callable:
    rng = np.random.default_rng(0)
    embeddings = rng.normal(size=(samples, 32)).astype(np.float32)
    targets = np.arange(samples) % (samples // 10)
    return lambda: mine_triplets(embeddings, targets, 0.2, np.arange(samples), 0)


def _evaluation(samples: int, classes: int = 50) -> Callable:
    rng = np.random.default_rng(0)
    answers = rng.dirichlet(np.ones(classes), samples).astype(np.float32)
    targets = rng.integers(0, classes, samples)
    return lambda: evaluate(answers, targets, [str(number) for number in range(classes)])


def _evaluation_of_classes(classes: int) -> Callable:
    return _evaluation(4 * 1600, classes)


def _rollup(pictures: int, leaves: int = 1000) -> Callable:
    taxonomy = random_taxonomy(leaves)
    answers = probabilities(taxonomy, pictures, 0)
    return lambda: best_taxa(answers, taxonomy)


def _rollup_of_leaves(leaves: int) -> Callable:
    return _rollup(1000, leaves)


def _audit(pictures: int) -> Callable:
    hashes = np.random.default_rng(0).integers(0, 256, (pictures, 32)).astype(np.uint8)
    return lambda: near_duplicates(hashes)


def _artist_groups(tracks: int) -> Callable:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "key": [str(number) for number in range(tracks)],
            "artist": [f"artist {number // 5}" for number in range(tracks)],
            "subgenres": [f"style {number}" for number in rng.integers(0, 150, tracks)],
        }
    )
    table = Table("invented", "invented", ("a", "b"), frame, {})
    return lambda: fit_artist_groups("s", table, np.arange(tracks), 0)


DOUBLED = 5
CASES = {  # what grows -> smallest size, doubled four times, and what is called
    "mining, samples": (500, _mining),
    "evaluation, samples": (4000, _evaluation),
    "evaluation, classes": (100, _evaluation_of_classes),
    "rollup, pictures": (1000, _rollup),
    "rollup, species": (1000, _rollup_of_leaves),
    "look-alikes, pictures": (2000, _audit),
    "artist groups, tracks": (1000, _artist_groups),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", default="growth.json")
    parser.add_argument("--plot", help="a PNG; needs what the reports need")
    arguments = parser.parse_args()
    rows = {}
    for name, (smallest, make) in CASES.items():
        sizes = [smallest * 2**step for step in range(DOUBLED)]
        measured = [_measured(make(size)) for size in sizes]
        seconds, megabytes = zip(*measured, strict=True)
        rows[name] = {
            "sizes": sizes,
            "seconds": seconds,
            "megabytes": megabytes,
            "time_exponent": _slope(sizes, seconds),
            "memory_exponent": _slope(sizes, megabytes),
        }
        print(
            f"{name:24} {sizes[0]:6} to {sizes[-1]:6}: {seconds[-1]:7.2f} s, time ^"
            f"{rows[name]['time_exponent']:.2f}; {megabytes[-1]:7.1f} MB, memory ^"
            f"{rows[name]['memory_exponent']:.2f}"
        )
    Path(arguments.out).write_text(json.dumps(rows, indent=1))
    if arguments.plot:
        _plot(rows, arguments.plot)


def _measured(call: Callable) -> tuple[float, float]:
    """Seconds of a call, and megabytes at its peak, which slow the second call down."""
    begun = time.perf_counter()
    call()
    seconds = time.perf_counter() - begun
    tracemalloc.start()
    call()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return seconds, peak / 1e6


def _slope(sizes, values) -> float:
    """Exponent of the growth, by the last three sizes: what is constant weighs less there."""
    return float(np.polyfit(np.log(sizes[-3:]), np.log(values[-3:]), 1)[0])


def _plot(rows: dict, path: str) -> None:
    from matplotlib import pyplot

    figure, panels = pyplot.subplots(1, 2, figsize=(10, 4.5), layout="constrained")
    for panel, kind in zip(panels, ("seconds", "megabytes"), strict=True):
        for name, row in rows.items():
            panel.loglog(row["sizes"], row[kind], marker="o", label=name)
        panel.set(xlabel="samples, classes, pictures, ...", ylabel=kind)
    panels[1].legend(fontsize="small")
    figure.savefig(path, dpi=120)


if __name__ == "__main__":
    main()
