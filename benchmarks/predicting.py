"""Answers for thousands of picture files: `run.py predict --table` against a plain Keras loop.

    python -m benchmarks.predicting RUN PICTURES --files 10000

The plain loop is what a user would write: `load_img` to the size of the network, a stack of 32,
`model.predict`. The folder is filled up with links to its own pictures, under other names. Both are
whole processes, start and loading included, one after the other; the memory is the peak of each.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SUFFIXES = (".jpg", ".jpeg", ".png")
STACK = 32


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("run", help="folder of a run that takes one picture")
    parser.add_argument("pictures", type=Path, help="folder of pictures")
    parser.add_argument("--files", type=int, default=10_000)
    parser.add_argument("--out", default="predicting.json")
    parser.add_argument("--plain", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.plain:
        _plain(Path(arguments.run), arguments.pictures)
        return
    rows = {}
    for count in (arguments.files // 4, arguments.files):
        with tempfile.TemporaryDirectory() as folder:
            _fill(Path(folder), arguments.pictures.resolve(), count)
            table = str(Path(folder, "answers.csv"))
            ours = ["run.py", "predict", arguments.run, folder, "--table", table, "--nearest", "0"]
            plain = ["-m", "benchmarks.predicting", arguments.run, folder, "--plain"]
            rows[count] = {"ours": _measured(ours), "plain": _measured(plain)}
        found = rows[count]
        print(
            f"{count:6} files: {found['ours']['seconds']:.0f} s, "
            f"{found['ours']['megabytes']:.0f} MB; plain loop {found['plain']['seconds']:.0f} s, "
            f"{found['plain']['megabytes']:.0f} MB; "
            f"{found['plain']['seconds'] / found['ours']['seconds']:.2f} times as fast"
        )
    Path(arguments.out).write_text(json.dumps(rows, indent=1))


def _fill(folder: Path, pictures: Path, count: int) -> None:
    found = sorted(path for path in pictures.rglob("*") if path.suffix.lower() in SUFFIXES)
    for number, path in zip(range(count), itertools.cycle(found)):
        os.symlink(path, folder / f"{number:06}{path.suffix}")


def _measured(words: list[str]) -> dict[str, float]:
    begun = time.perf_counter()
    process = subprocess.Popen([sys.executable, *words], stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{' '.join(words)} failed")
    return {"seconds": time.perf_counter() - begun, "megabytes": usage.ru_maxrss / 1024}


def _plain(run: Path, pictures: Path) -> None:
    import keras
    import numpy as np
    import pandas as pd

    import models.base  # noqa: F401  registers the layers

    model = keras.models.load_model(run / "model.keras", compile=False)
    labels = json.loads((run / "labels.json").read_text())
    side = model.get_layer("network").input["image"].shape[1]
    files = sorted(path for path in pictures.iterdir() if path.suffix.lower() in SUFFIXES)
    answers = []
    for start in range(0, len(files), STACK):
        some = files[start : start + STACK]
        images = [keras.utils.load_img(path, target_size=(side, side)) for path in some]
        stack = np.stack([keras.utils.img_to_array(image, dtype="uint8") for image in images])
        found = model.predict({"image": stack}, verbose=0)["probabilities"]
        answers += [labels[index] for index in found.argmax(axis=1)]
    pd.DataFrame({"input": files, "label": answers}).to_csv(pictures / "plain.csv", index=False)


if __name__ == "__main__":
    main()
