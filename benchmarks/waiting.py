"""What share of a training step is spent waiting for data, for each model on its real format.

    python -m benchmarks.waiting --model NN1 --data-dir FER2013 --model Net96 --data-dir PICTURES

Each model is trained for a few epochs by its own `train`: with its pipeline, and with batches of
the first epoch that are kept in memory, in turn. Of both the fastest epoch of each phase counts,
without the first, which compiles. The share is what the pipeline adds, of its epoch; it can come
out below 0 by chance. `--samples` shortens the epochs; `--set NAME=VALUE` sets an option of those
models that have it, such as `weights` of pretrained backbones, or the trained networks to build on
(`image_run`, `landmark_run` of FinalNN, `networks` of TransferMLP).
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np

from models import MODELS, base, model_class

EPOCHS = 4


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--model", action="append", choices=MODELS, required=True)
    parser.add_argument("--data-dir", action="append", help="of each --model, in their order")
    parser.add_argument("--preset", default="recommended")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE")
    parser.add_argument("--samples", type=int, help="of each part, at most")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--out", default="waiting.json")
    arguments = parser.parse_args()
    if len(arguments.model) != len(arguments.data_dir or ()):
        parser.error("one --data-dir is needed for each --model")
    if not all("=" in one for one in arguments.set):
        parser.error("--set takes NAME=VALUE")
    arguments.set = dict(one.split("=", 1) for one in arguments.set)
    for option in arguments.set:
        if not any(option in _options(name) for name in arguments.model):
            parser.error(f"--set {option}: no such option of {' or '.join(arguments.model)}")
    rows = [
        row
        for name, place in zip(arguments.model, arguments.data_dir, strict=True)
        for row in _measured(name, place, arguments)
    ]
    Path(arguments.out).write_text(json.dumps(vars(arguments) | {"rows": rows}, indent=1))
    print(f"{'model':20} {'phase':24} {'ms a step':>10} {'from memory':>12} {'waiting':>8}")
    for row in rows:
        print(
            f"{row['model']:20} {row['phase']:24} {1000 * row['pipeline']:10.2f} "
            f"{1000 * row['memory']:12.2f} {100 * row['share']:7.1f} %"
        )


def _options(name: str) -> set[str]:
    return {one.name for one in dataclasses.fields(model_class(name).Options)}


def _measured(name: str, data_dir: str, arguments) -> list[dict]:
    """A row for each phase."""
    pipelines = base.PIPELINES
    kept = replace(pipelines, training=_kept(pipelines.training))
    found = {"pipeline": [], "memory": []}
    for _ in range(arguments.rounds):
        for way, made in (("pipeline", pipelines), ("memory", kept)):
            base.PIPELINES = made
            found[way].append(_seconds(name, data_dir, arguments))
    base.PIPELINES = pipelines
    rows = []
    for phase in found["pipeline"][0]:
        every = {way: [one[phase] for one in rounds] for way, rounds in found.items()}
        best = {way: min(seconds) for way, seconds in every.items()}
        told = {"model": name, "data_dir": data_dir, "phase": phase, "all": every}
        rows.append(told | best | {"share": 1 - best["memory"] / best["pipeline"]})
    return rows


def _kept(make):
    """A pipeline whose first epoch is kept in memory and repeated."""

    def training(*arguments):
        batches, steps = make(*arguments)
        return batches.take(steps).cache().repeat(), steps

    return training


def _seconds(name: str, data_dir: str, arguments) -> dict[str, float]:
    """Seconds of a step in the fastest epoch of each phase."""
    keras.utils.clear_session()
    chosen = model_class(name)
    words = {"data_dir": data_dir, "epochs": EPOCHS}
    words |= {"preset": arguments.preset} if arguments.preset in chosen.Options.PRESETS else {}
    words |= {
        option: int(value) if value.isdecimal() else value
        for option, value in arguments.set.items()
        if option in _options(name)
    }
    with tempfile.TemporaryDirectory() as out:
        model = chosen(chosen.Options(**words), out, "run")
        model.loadData()
        model.createArchitecture()
        model.splits = _fewer(model.splits, arguments.samples)
        model.prepareModel()
        clocks = {phase.name: _Clock() for phase in model.phases}
        model.phases = tuple(
            replace(phase, callbacks=(*phase.callbacks, clocks[phase.name]))
            for phase in model.phases
        )
        model.train()
    return {phase: min(clock.epochs[1:]) for phase, clock in clocks.items() if clock.epochs[1:]}


def _fewer(splits, samples: int | None):
    """At most so many rows of each part, drawn by chance."""
    drawn = np.random.default_rng(0).permutation
    parts = dataclasses.asdict(splits)
    return replace(splits, **{part: drawn(rows)[:samples] for part, rows in parts.items()})


class _Clock(keras.callbacks.Callback):
    """Seconds a step of each epoch, without its validation."""

    def __init__(self):
        super().__init__()
        self.epochs = []

    def on_epoch_begin(self, epoch, logs=None):
        self._begun = time.perf_counter()

    def on_train_batch_end(self, batch, logs=None):
        self._last, self._steps = time.perf_counter(), batch + 1

    def on_epoch_end(self, epoch, logs=None):
        self.epochs.append((self._last - self._begun) / self._steps)


if __name__ == "__main__":
    main()
