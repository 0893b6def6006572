"""How well TripletClassifier answers classes that it learnt by their mean alone, without training.

    python -m benchmarks.added_classes --data-dir LEAF --weights WEIGHTS --out added_classes.json

Some classes are kept out of the training. A few specimens of each then give its centroid
(`run.py predict --add`), and the others, with the test part of the trained classes, are answered by
the nearest centroid among all classes.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np

from models.nearest import Reference
from models.snails.triplet_classifier import TripletClassifier
from training.evaluation import wilson_interval


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data-dir", required=True)
    parser.add_argument("--weights", required=True)
    parser.add_argument("--added", type=int, default=10, help="classes that are kept out")
    parser.add_argument("--shown", type=int, default=4, help="specimens of each that are shown")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--out", default="added_classes.json")
    arguments = parser.parse_args()
    found = [_measured(arguments, seed) for seed in arguments.seeds]
    Path(arguments.out).write_text(json.dumps({**vars(arguments), "seeds": found}, indent=1))


def _measured(arguments, seed: int) -> dict:
    options = TripletClassifier.Options(
        data_dir=arguments.data_dir, weights=arguments.weights, seed=seed
    )
    with tempfile.TemporaryDirectory() as out:
        model = TripletClassifier(options, out, "known")
        table = model.read_table("specimens", arguments.data_dir)
        rng = np.random.default_rng(seed)
        added = sorted(rng.choice(table.labels, arguments.added, replace=False).tolist())
        own = table.frame["label"].to_numpy()
        known = tuple(label for label in table.labels if label not in added)
        model.split_table(replace(table.take(np.flatnonzero(~np.isin(own, added))), labels=known))
        model.createArchitecture()
        model.prepareModel()
        model.train()

    reference = _reference(model)
    asked, labels = [], []
    for label in added:
        rows = rng.permutation(np.flatnonzero(own == label))
        shown, rest = rows[: arguments.shown], rows[arguments.shown :]
        embeddings = model.outputs(table.take(shown))["embedding"]
        reference = reference.with_class(label, embeddings, shown)
        asked.append(model.outputs(table.take(rest))["embedding"])
        labels += [label] * len(rest)

    test = model.table.take(model.splits.test)
    answers = model.outputs(test)
    truth = test.frame["label"].to_numpy()
    figures = {
        "seed": seed,
        "added": _share(_nearest(reference, np.concatenate(asked)) == np.array(labels)),
        "known": _share(_nearest(reference, answers["embedding"]) == truth),
        "known, before": _share(_nearest(_reference(model), answers["embedding"]) == truth),
        "known, by the softmax": _share(answers["probabilities"].argmax(axis=1) == test.targets),
    }
    print(json.dumps(figures))
    return figures | {"classes": added}


def _reference(model) -> Reference:
    """The embeddings of the training part, as a saved run holds them."""
    train = model.table.take(model.splits.train)
    embeddings = model.outputs(train)["embedding"]
    frame = train.frame
    return Reference(embeddings, frame["label"].to_numpy().astype(str), frame["key"].to_numpy())


def _nearest(reference: Reference, embeddings: np.ndarray) -> np.ndarray:
    names, distances = reference.centroid_distances(embeddings)
    return np.array(names)[distances.argmin(axis=1)]


def _share(right: np.ndarray) -> dict:
    low, high = wilson_interval(int(right.sum()), len(right))
    return {"right": int(right.sum()), "n": len(right), "interval": [low, high]}


if __name__ == "__main__":
    main()
