"""Whether small pictures should be enlarged before a pretrained network sees them.

    python -m benchmarks.picture_sizes --data-dir FISH --weights WEIGHTS --stored 64

The pictures are made smaller first, as if they had been photographed so; a logistic regression on
the frozen features then tells the classes of the validation part, at each size that they are
enlarged to. The test part is not looked at.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path

import numpy as np
from sklearn.linear_model import LogisticRegression

from datasets.images import shrink
from datasets.pictures import Pictures
from models.base import PIPELINES
from models.inputs import ImageInput
from models.run_baselines import frozen_features
from models.species.multi_view_classifier import MultiViewClassifier
from training.evaluation import wilson_interval
from training.statistics import mcnemar_exact

STRENGTHS = (0.1, 1.0, 10.0)  # C; the best on the same part, alike for all sizes


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data-dir", required=True)
    parser.add_argument("--weights", required=True)
    parser.add_argument("--stored", type=int, default=64, help="shorter side of the pictures")
    parser.add_argument("--sizes", type=int, nargs="+", default=[96, 160, 224, 320])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", default="picture_sizes.json")
    arguments = parser.parse_args()
    model = _model(arguments)
    parts = model.splits.train, model.splits.validation
    pictures = Pictures.of(shrink(one, arguments.stored) for one in model.table.modalities["image"])
    rows = [_measured(model, pictures, parts, size) for size in arguments.sizes]
    largest = rows[-1]["right"]
    for row in rows:
        row["p"] = mcnemar_exact(row.pop("right"), largest).p
        low, high = row["interval"]
        print(
            f"{row['size']:4} px {100 * row['accuracy']:5.1f} % ({100 * low:.1f} to "
            f"{100 * high:.1f}, n = {row['n']}), {1000 * row['seconds']:.1f} ms a picture, "
            f"p {row['p']:.2g} against {rows[-1]['size']} px"
        )
    Path(arguments.out).write_text(json.dumps(vars(arguments) | {"rows": rows}, indent=1))


def _model(arguments) -> MultiViewClassifier:
    """With its data and parts."""
    options = MultiViewClassifier.Options(
        data_dir=arguments.data_dir, weights=arguments.weights, seed=arguments.seed
    )
    with tempfile.TemporaryDirectory() as out:
        model = MultiViewClassifier(options, Path(out), "sizes")
        model.loadData()
    return model


def _measured(model, pictures: Pictures, parts, size: int) -> dict:
    record = ImageInput(size, size, 3)
    options = model.options.replaced(image_size=size, train_size=None)
    backbone = type(model)(options, model.out, "sizes").backbone
    look = frozen_features(record, backbone, PIPELINES)
    begun = time.perf_counter()
    train, validation = (look(pictures[rows]) for rows in parts)
    seconds = (time.perf_counter() - begun) / (len(train) + len(validation))
    targets, truth = (model.table.targets[rows] for rows in parts)
    mean, deviation = train.mean(axis=0), train.std(axis=0) + 1e-6
    train, validation = ((one - mean) / deviation for one in (train, validation))
    answers = [
        LogisticRegression(C=strength, max_iter=200).fit(train, targets).predict(validation)
        for strength in STRENGTHS
    ]
    right = max((answer == truth for answer in answers), key=np.sum)
    return {
        "size": size,
        "accuracy": float(right.mean()),
        "interval": wilson_interval(int(right.sum()), len(right)),
        "n": len(right),
        "seconds": seconds,
        "right": right,
    }


if __name__ == "__main__":
    main()
