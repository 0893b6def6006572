"""How long a large table of observations takes to read, check and split, and the memory it takes.

    python -m benchmarks.observations --out observations.json

A table like that of paper 001, section 4: 1,214,141 rows, 19,027 species, seven ranks, long-tailed.
Its rows share a few pictures, as decoding a million would measure the decoder. Prints the seconds
of the clock and of the processor and the largest memory, and writes JSON.
"""

from __future__ import annotations

import argparse
import json
import resource
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

from datasets.observations import load
from datasets.splits import split_table
from datasets.taxonomy import RANKS

PICTURES = 50
CHILDREN = (4, 4, 5, 6, 8, 3)  # how many taxa of the next rank a taxon has


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rows", type=int, default=1_214_141)
    parser.add_argument("--species", type=int, default=19_027)
    parser.add_argument("--out", default="observations.json")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        _write(Path(folder), arguments.rows, arguments.species)
        start, busy = time.perf_counter(), time.process_time()
        table = load(folder)
        splits = split_table(table, "random", 0)
        result = {
            "rows": len(table),
            "species": len(table.labels),
            "sizes": splits.sizes(),
            "seconds": round(time.perf_counter() - start, 1),
            "processor_seconds": round(time.process_time() - busy, 1),
            "peak_gigabytes": round(
                resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9, 2
            ),
        }
    for name, value in result.items():
        print(f"{name:18} {value}")
    Path(arguments.out).write_text(json.dumps(result, indent=2) + "\n")


def _write(folder: Path, rows: int, species: int) -> None:
    rng = np.random.default_rng(0)
    for number in range(PICTURES):
        pixels = rng.integers(0, 256, (32, 32, 3), np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.jpg")
    lineages = [_lineage(number) for number in range(species)]
    shares = 1 / np.arange(1, species + 1)
    drawn = rng.choice(species, rows - species, p=shares / shares.sum())
    numbers = np.concatenate([np.arange(species), drawn])
    with open(folder / "observations.csv", "w") as file:
        file.write(",".join(("image", *RANKS)) + "\n")
        for row, number in enumerate(numbers.tolist()):
            file.write(f"{row % PICTURES}.jpg,{lineages[number]}\n")


def _lineage(number: int) -> str:
    """The names of a species and of its taxa, coarse ones first, separated by commas."""
    names = [f"species{number}"]
    for rank, children in zip(RANKS[-2::-1], CHILDREN[::-1], strict=True):
        number //= children
        names.append(f"{rank.capitalize()}{number}")
    names[0] = f"{names[1]} {names[0]}"
    return ",".join(reversed(names))


if __name__ == "__main__":
    main()
