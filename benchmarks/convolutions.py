"""Training and answering with TensorFlow's two kinds of convolutions: oneDNN's and its own.

    python -m benchmarks.convolutions --out convolutions.json

Each network lives in two processes, one for each kind, which take their turns. `models` asks for
oneDNN where TensorFlow does not by itself, as on processors without AVX-512.
"""

from __future__ import annotations

import argparse
import json
import statistics
from pathlib import Path

from benchmarks.workers import Worker, ratio, serve, take_turns

NETWORKS = ("MelDCNN", "NN1", "Net96", "mobilenet_v2_035")
KINDS = {"TensorFlow": "0", "oneDNN": "1"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=4, help="in each turn")
    parser.add_argument("--out", default="convolutions.json")
    parser.add_argument("--worker", choices=NETWORKS, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker:
        _work(arguments.worker, arguments.steps)
        return
    found = [row for name in NETWORKS for row in _compared(name, arguments)]
    Path(arguments.out).write_text(json.dumps({**vars(arguments), "rows": found}, indent=1))
    print(f"{'network':18} {'':10} {'TensorFlow':>11} {'oneDNN':>8} {'ratio':>6} {'range':>13}")
    for row in found:
        print(
            f"{row['network']:18} {row['what']:10} {row['rates']['TensorFlow']:11.1f} "
            f"{row['rates']['oneDNN']:8.1f} {row['ratio']:6.2f} "
            f"{row['lowest']:.2f} to {row['highest']:.2f}"
        )


def _compared(name: str, arguments) -> list[dict]:
    """Samples per second of both kinds, in training and answering, and their ratio by round."""
    words = ["--worker", name, "--steps", str(arguments.steps)]
    workers = {
        kind: Worker("benchmarks.convolutions", words, {"TF_ENABLE_ONEDNN_OPTS": flag})
        for kind, flag in KINDS.items()
    }
    samples = int(workers["oneDNN"].said)
    rows = []
    for what in ("training", "answering"):
        seconds = take_turns(workers, arguments.rounds, what)
        rates = {kind: samples / statistics.median(seconds[kind]) for kind in KINDS}
        rows.append(
            {"network": name, "what": what, "rates": rates} | ratio(seconds, "oneDNN", "TensorFlow")
        )
    for worker in workers.values():
        worker.stop()
    return rows


def _work(name: str, steps: int) -> None:
    """Be one of the processes."""
    from benchmarks.networks import BATCH, batch, network

    made, samples = network(name), BATCH[name]
    (arrays,), targets = batch(made, samples)
    made.compile("adam", "sparse_categorical_crossentropy")
    acts = {
        "training": lambda: made.train_on_batch(arrays, targets),
        "answering": lambda: made.predict_on_batch(arrays),
    }
    serve(acts, steps, str(samples))


if __name__ == "__main__":
    main()
