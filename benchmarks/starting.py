"""How long a user waits: for help and lists, and from a command to the first training step.

    python -m benchmarks.starting --out starting.json

`run.py --help` and `run.py list` against `python -c "import keras"`; `run.py --model NN1` on its
demonstration set against a plain Keras script that makes the same faces and trains the same
network. Each is a process of its own, from its start to its end or to the end of its first step.
They take their turns.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.workers import ratio

COMMANDS = {
    "import keras": ["-c", "import keras"],
    "run.py --help": ["run.py", "--help"],
    "run.py list": ["run.py", "list"],
    "plain Keras to first step": ["-m", "benchmarks.starting", "--plain"],
    "run.py --model NN1 --preset paper to first step": ["-m", "benchmarks.starting", "--ours"],
}
PAIRS = (
    ("run.py --help", "import keras"),
    ("run.py list", "import keras"),
    ("run.py --model NN1 --preset paper to first step", "plain Keras to first step"),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", default="starting.json")
    parser.add_argument("--plain", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--ours", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.plain:
        _plain()
    if arguments.ours:
        _ours()
    seconds = {name: [] for name in COMMANDS}
    for number in range(arguments.rounds + 1):
        for name, words in COMMANDS.items():
            taken = _seconds(words)
            if number:  # the first round fills the caches of the disk
                seconds[name].append(taken)
    rows = [{"ours": a, "theirs": b, **ratio(seconds, a, b)} for a, b in PAIRS]
    Path(arguments.out).write_text(json.dumps({"seconds": seconds, "rows": rows}, indent=1))
    for row in rows:
        print(
            f"{row['ours']:34} {row['ratio']:6.2f} times as fast as {row['theirs']} "
            f"({row['lowest']:.2f} to {row['highest']:.2f})"
        )


def _seconds(words: list[str]) -> float:
    begun = time.perf_counter()
    done = subprocess.run(
        [sys.executable, *words],
        capture_output=True,
        text=True,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
    )
    if done.returncode:
        raise SystemExit(f"{' '.join(words)} failed:\n{done.stderr[-2000:]}")
    return time.perf_counter() - begun


def _stopping():
    """A callback that ends the process behind the first training step."""
    import keras

    class Stop(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            os._exit(0)

    return Stop()


def _ours() -> None:
    import run
    import training.phases

    progress = training.phases.Progress
    stop = _stopping()
    progress.on_train_batch_end = stop.on_train_batch_end
    with tempfile.TemporaryDirectory() as folder:
        run.main(["--model", "NN1", "--preset", "paper", "--out", folder])


def _plain() -> None:
    """What a user would write without the zoo (paper 004, listing 3)."""
    import keras
    from keras import layers

    from datasets.synthetic import faces

    table = faces.load()
    rows = (table.frame["part"] == "train").to_numpy()
    rows = rows if rows.any() else slice(None)
    model = keras.Sequential(
        [
            keras.Input((48, 48, 1)),
            layers.Rescaling(1 / 255),
            *[
                layer
                for filters, stride in ((16, 1), (32, 2), (64, 1))
                for layer in (
                    layers.Conv2D(filters, 2, activation="relu"),
                    layers.MaxPooling2D(2, stride),
                )
            ],
            layers.Flatten(),
            layers.Dense(512, activation="relu"),
            layers.Dense(16, activation="sigmoid"),
            layers.Dense(len(table.labels), activation="softmax"),
        ]
    )
    loss = "sparse_categorical_crossentropy"
    model.compile(keras.optimizers.Adam(1e-3), loss, metrics=["accuracy"])
    images = table.modalities["image"][rows]
    model.fit(images, table.targets[rows], batch_size=32, callbacks=[_stopping()], verbose=0)


if __name__ == "__main__":
    main()
