"""Training and answering with TensorFlow's two kinds of convolutions: oneDNN's and its own.

    python -m benchmarks.convolutions --out convolutions.json

Each network lives in two processes, one for each kind, which take their turns. `models` asks for
oneDNN where TensorFlow does not by itself, as on processors without AVX-512.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

NETWORKS = {"MelDCNN": 64, "NN1": 32, "Net96": 16, "mobilenet_v2_035": 32}  # -> batch size
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
        low, high = min(row["ratios"]), max(row["ratios"])
        print(
            f"{row['network']:18} {row['what']:10} {row['rates']['TensorFlow']:11.1f} "
            f"{row['rates']['oneDNN']:8.1f} {statistics.median(row['ratios']):6.2f} "
            f"{low:.2f} to {high:.2f}"
        )


def _compared(name: str, arguments) -> list[dict]:
    """Samples per second of both kinds, in training and answering, and their ratio by round."""
    processes = {
        kind: subprocess.Popen(
            [sys.executable, "-m", "benchmarks.convolutions", "--worker", name]
            + ["--steps", str(arguments.steps)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "TF_ENABLE_ONEDNN_OPTS": flag, "TF_CPP_MIN_LOG_LEVEL": "3"},
        )
        for kind, flag in KINDS.items()
    }
    rows = []
    for what in ("training", "answering"):
        rates = {kind: [] for kind in KINDS}
        for _ in range(arguments.rounds):
            for kind, process in processes.items():
                print(what, file=process.stdin, flush=True)
                seconds = float(process.stdout.readline())
                rates[kind].append(NETWORKS[name] * arguments.steps / seconds)
        pairs = zip(rates["oneDNN"], rates["TensorFlow"], strict=True)
        rows.append(
            {
                "network": name,
                "what": what,
                "rates": {kind: round(statistics.median(rates[kind]), 1) for kind in KINDS},
                "ratios": [round(one / other, 3) for one, other in pairs],
            }
        )
    for process in processes.values():
        process.stdin.close()
        process.wait()
    return rows


def _work(name: str, steps: int) -> None:
    """Read what to do from each line, and say how many seconds so many steps of it took."""
    model, samples, targets = _network(name)
    acts = {
        "training": lambda: model.train_on_batch(samples, targets),
        "answering": lambda: model.predict_on_batch(samples),
    }
    for act in acts.values():
        act(), act()  # traced
    for line in sys.stdin:
        act, start = acts[line.strip()], time.perf_counter()
        for _ in range(steps):
            act()
        print(time.perf_counter() - start, flush=True)


def _network(name: str):
    """A network of the zoo with random weights, compiled, and a batch."""
    import keras
    import numpy as np
    from keras import layers

    from models import MODELS, model_class
    from models.backbones import build_backbone
    from models.music.mel_network import shared_block, task_features

    rng = np.random.default_rng(0)
    if name == "MelDCNN":
        inputs = keras.Input((43, 128))
        features = task_features(shared_block(inputs, 1.0, 1e-5), "genre", 1.0, 1e-5)
        model = keras.Model(inputs, layers.Dense(16, activation="softmax")(features))
    elif name in MODELS:
        model = _of_the_zoo(model_class(name))
    else:
        network = build_backbone(name, "none", 224, 224).network
        pooled = layers.GlobalAveragePooling2D()(network.output)
        model = keras.Model(network.input, layers.Dense(10, activation="softmax")(pooled))
    samples = rng.random((NETWORKS[name], *model.inputs[0].shape[1:]), np.float32)
    model.compile("adam", "sparse_categorical_crossentropy")
    return model, samples, np.arange(NETWORKS[name]) % model.output.shape[-1]


def _of_the_zoo(chosen):
    import keras

    from datasets.synthetic import faces, reef

    made = chosen()
    made.split_table({"NN1": faces, "Net96": reef}[made.name()].load(140))
    made.createArchitecture()
    return keras.Model(made.model.inputs, made.model.output["probabilities"])


if __name__ == "__main__":
    main()
