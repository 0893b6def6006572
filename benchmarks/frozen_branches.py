"""FinalNN on stored branch outputs against the same training through the whole network.

    python -m benchmarks.frozen_branches --data-dir DIR --out saved_models

Both trainings run in one process, one after the other, from the same weights, for the same epochs;
the time for computing the stored outputs counts. Prints a table and writes frozen_branches.json.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path

import numpy as np

import training.phases
from models.emotion.final_nn import FinalNN


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data-dir", help="faces; without it, the demonstration set")
    parser.add_argument("--out", default="saved_models", help="where runs of NN1 and NN2 lie")
    parser.add_argument("--combine", default="features", choices=("features", "decisions"))
    parser.add_argument("--epochs", type=int, default=16)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", default="frozen_branches.json")
    arguments = parser.parse_args()

    options = FinalNN.Options(
        data_dir=arguments.data_dir,
        combine=arguments.combine,
        preset="paper",
        epochs=arguments.epochs,
        seed=arguments.seed,
    )
    loaded = FinalNN(options, arguments.out)
    loaded.loadData()
    stored, stored_weights = _train(loaded, options, arguments.out)
    training.phases.split_at_frozen = lambda network: None
    whole, whole_weights = _train(loaded, options, arguments.out)
    difference = max(
        float(np.abs(one - other).max())
        for one, other in zip(stored_weights, whole_weights, strict=True)
    )
    result = {
        "faces": loaded.splits.sizes(),
        "epochs": arguments.epochs,
        "stored_seconds": round(stored, 1),
        "whole_seconds": round(whole, 1),
        "ratio": round(whole / stored, 2),
        "largest_weight_difference": difference,
    }
    Path(arguments.json).write_text(json.dumps(result, indent=1))
    for name, value in result.items():
        print(f"{name:26} {value}")


def _train(loaded, options, out):
    """Seconds that the training took, and the weights that it led to."""
    model = FinalNN(options, out)
    model.use_data(loaded.table, loaded.splits)
    model.createArchitecture()
    model.prepareModel()
    with tempfile.TemporaryDirectory() as folder:
        model.out = Path(folder)  # the draft of this run is thrown away
        start = time.perf_counter()
        model.train()
        seconds = time.perf_counter() - start
    return seconds, model.model.get_weights()


if __name__ == "__main__":
    main()
