"""Reading the landmarks of a set of faces, by all cores and by one process.

    python -m benchmarks.landmarks --data-dir DIR

Reads every face by all cores into a table that is thrown away, and a sample of them in one process.
Prints both rates, their ratio and the whole time, and writes landmarks.json.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from pathlib import Path

from datasets.landmarks import extract_landmarks
from datasets.own_data import read_class_folders


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data-dir", required=True, help="class folders of faces, or an archive")
    parser.add_argument("--sample", type=int, default=2000, help="faces read in one process")
    parser.add_argument("--json", default="landmarks.json")
    arguments = parser.parse_args()

    faces = read_class_folders(arguments.data_dir)
    every = max(1, len(faces.images) // arguments.sample)
    single, seconds_single = _timed(faces.images[::every], faces.digests[::every], workers=1)
    parallel, seconds = _timed(faces.images, faces.digests, workers=None)
    result = {
        "faces": len(faces.images),
        "distinct": parallel,
        "seconds": round(seconds, 1),
        "faces_per_second": round(parallel / seconds),
        "one_process_per_second": round(single / seconds_single),
        "ratio": round(parallel / seconds / (single / seconds_single), 2),
    }
    Path(arguments.json).write_text(json.dumps(result, indent=1))
    for name, value in result.items():
        print(f"{name:24} {value}")


def _timed(images, digests, workers) -> tuple[int, float]:
    """Number of distinct faces, and the seconds that they took."""
    with tempfile.TemporaryDirectory() as folder:
        os.environ["MENAGERIE_CACHE"] = folder
        start = time.perf_counter()
        extract_landmarks(images, digests, workers=workers)
        return len(set(digests)), time.perf_counter() - start


if __name__ == "__main__":
    main()
