"""Training rate of TripletClassifier's network: Keras, Keras with fused layers, and PyTorch.

    pip install torch==2.13.0
    python -m benchmarks.training_step --out training_step.json

MobileNetV3Small on 224 px, 32 features, a 32-d embedding and a head: forward, backward and Adam on
batches of 48 pictures. Each network lives in a process of its own, for each number of threads; they
take their turns, so that what slows the machine slows them all, and each is judged by its best
number of threads. PyTorch computes channels last, with its fused Adam.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path

SIDE, FEATURES, CLASSES, RATE = 224, 32, 21, 1e-3
PEER = "PyTorch"
WARM_UP = 2  # steps


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--batch-size", type=int, default=48)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, os.cpu_count()])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--steps", type=int, default=3, help="in each turn")
    parser.add_argument("--out", default="training_step.json")
    parser.add_argument("--worker", choices=STEPS, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker:
        _work(arguments)
        return
    contenders = [(name, threads) for name in STEPS for threads in sorted(set(arguments.threads))]
    workers = {one: _Worker(*one, arguments) for one in contenders}
    rates = _measure(workers, arguments.rounds)
    weights = {worker.weights for worker in workers.values()}
    if len(weights) > 1:
        raise SystemExit(f"the networks differ in their trained weights: {weights}")
    result = {
        "batch_size": arguments.batch_size,
        "rounds": arguments.rounds,
        "steps_per_turn": arguments.steps,
        "trained_weights": weights.pop(),
        "cores": os.cpu_count(),
        "machine": platform.machine(),
        "versions": {name: version(name) for name in ("tensorflow", "keras", "torch")},
        "networks": _summary(rates),
        "rates": {f"{name}, {threads} threads": rates[name, threads] for name, threads in rates},
    }
    Path(arguments.out).write_text(json.dumps(result, indent=1))
    _print(result["networks"])


def _measure(workers: dict, rounds: int) -> dict:
    """(network, threads) -> images per second in each round."""
    rates = {one: [] for one in workers}
    for _ in range(rounds):
        for one, worker in workers.items():
            rates[one].append(round(worker.turn(), 2))
    for worker in workers.values():
        worker.stop()
    return rates


def _summary(rates: dict) -> list[dict]:
    """Each network at its best number of threads, and its ratio to the peer round by round."""
    best = {
        name: max(
            (one for one in rates if one[0] == name),
            key=lambda one: statistics.median(rates[one]),
        )
        for name in STEPS
    }
    rows = []
    for name, one in best.items():
        pairs = zip(rates[one], rates[best[PEER]], strict=True)
        ratios = [ours / theirs for ours, theirs in pairs]
        rows.append(
            {
                "network": name,
                "threads": one[1],
                "images_per_second": round(statistics.median(rates[one]), 1),
                "ratio_to_peer": round(statistics.median(ratios), 2),
                "lowest_ratio": round(min(ratios), 2),
                "highest_ratio": round(max(ratios), 2),
            }
        )
    return rows


def _print(rows: list[dict]) -> None:
    print(f"{'network':20} {'threads':>7} {'images/s':>9} {'of ' + PEER:>11} {'range':>13}")
    for row in rows:
        spread = f"{row['lowest_ratio']:.2f} to {row['highest_ratio']:.2f}"
        print(
            f"{row['network']:20} {row['threads']:7} {row['images_per_second']:9.1f} "
            f"{row['ratio_to_peer']:11.2f} {spread:>13}"
        )


class _Worker:
    """A process with one network, which trains when it is told to."""

    def __init__(self, name: str, threads: int, arguments):
        words = [
            sys.executable, "-m", "benchmarks.training_step", "--worker", name,
            "--threads", str(threads), "--batch-size", str(arguments.batch_size),
            "--steps", str(arguments.steps),
        ]  # fmt: skip
        self.images = arguments.batch_size * arguments.steps
        self._process = subprocess.Popen(
            words,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": str(threads), "TF_CPP_MIN_LOG_LEVEL": "3"},
        )
        self.weights = int(self._line())  # and so it is ready before the next one starts

    def turn(self) -> float:
        """Images per second."""
        print(file=self._process.stdin, flush=True)
        return self.images / float(self._line())

    def stop(self) -> None:
        self._process.stdin.close()
        self._process.wait()

    def _line(self) -> str:
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit("a network's process has ended; its error stands above")
        return line


def _work(arguments) -> None:
    """Say how many weights are trained, then after each line read the seconds of some steps."""
    step, weights = STEPS[arguments.worker](arguments.batch_size, arguments.threads[0])
    for _ in range(WARM_UP):
        step()
    print(weights, flush=True)
    for _ in sys.stdin:
        start = time.perf_counter()
        for _ in range(arguments.steps):
            step()
        print(time.perf_counter() - start, flush=True)


def _keras_step(batch_size: int, threads: int, fused: bool):
    import keras
    import tensorflow as tf
    from keras import layers

    from models.fused_batch_norm import with_fused_batch_norm

    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(threads)
    backbone = keras.applications.MobileNetV3Small(
        include_top=False, weights=None, input_shape=(SIDE, SIDE, 3), include_preprocessing=False
    )
    backbone = with_fused_batch_norm(backbone) if fused else backbone
    pooled = layers.GlobalAveragePooling2D()(backbone.output)
    embedding = layers.Dense(FEATURES)(layers.Dense(FEATURES)(pooled))
    answer = layers.Dense(CLASSES, activation="softmax")(embedding)
    model = keras.Model(backbone.input, answer)
    model.compile(keras.optimizers.Adam(RATE), "sparse_categorical_crossentropy")
    images = tf.random.normal((batch_size, SIDE, SIDE, 3), seed=0)
    targets = tf.range(batch_size) % CLASSES
    weights = sum(weight.value.shape.num_elements() for weight in model.trainable_weights)
    return lambda: model.train_on_batch(images, targets), weights


def _stock_step(batch_size: int, threads: int):
    return _keras_step(batch_size, threads, fused=False)


def _fused_step(batch_size: int, threads: int):
    return _keras_step(batch_size, threads, fused=True)


def _torch_step(batch_size: int, threads: int):
    import torch
    from torch import nn

    from benchmarks.torch_mobilenet import LAST, features

    torch.set_num_threads(threads)
    torch.manual_seed(0)
    head = [nn.Linear(LAST, FEATURES), nn.Linear(FEATURES, FEATURES), nn.Linear(FEATURES, CLASSES)]
    model = nn.Sequential(features(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), *head)
    model = model.to(memory_format=torch.channels_last).train()
    optimizer = torch.optim.Adam(model.parameters(), RATE, fused=True)
    images = torch.randn(batch_size, 3, SIDE, SIDE).to(memory_format=torch.channels_last)
    targets = torch.arange(batch_size) % CLASSES

    def step():
        optimizer.zero_grad(set_to_none=True)
        loss = nn.functional.cross_entropy(model(images), targets)
        loss.backward()
        optimizer.step()
        return loss.item()

    return step, sum(weight.numel() for weight in model.parameters())


STEPS = {"Keras": _stock_step, "Keras, fused": _fused_step, PEER: _torch_step}


if __name__ == "__main__":
    main()
