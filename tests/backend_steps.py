"""What every model does on one backend of Keras, for `tests/test_backends.py`.

    KERAS_BACKEND=jax python -m tests.backend_steps FOLDER [MODEL ...]

Initial weights are those that the TensorFlow backend left in FOLDER, which runs first; chance that
each backend draws in its own way (dropout) is off. Writes FOLDER/BACKEND/MODEL.npz.
"""

import sys
from pathlib import Path

import keras
import numpy as np
import pytest

from models import MODELS
from models.artefact import read_history
from tests.small_models import make_smaller, prepared, raw_inputs
from tests.undrawn import leave_undrawn

BRANCHED = ("FinalNN", "TransferMLP")


def main(folder: Path, names: list[str]) -> None:
    backend = keras.backend.backend()
    (folder / backend).mkdir(exist_ok=True)
    with pytest.MonkeyPatch.context() as patch:
        make_smaller(patch)
        leave_undrawn(patch)
        for name in names:
            np.savez(folder / backend / f"{name}.npz", **_steps(folder, backend, name))


def _steps(folder: Path, backend: str, name: str) -> dict[str, np.ndarray]:
    """Answers of the untrained network, then an epoch, and answers, losses and weights."""
    # Branches are trained once and loaded by the other backends.
    model = prepared(name, folder / "runs", f"{backend}-{name}", epochs=1)
    for layer in model.model._flatten_layers():
        if isinstance(layer, keras.layers.Dropout):
            layer.rate = 0.0
    start = folder / f"{name}-start.npz"
    if backend == "tensorflow":
        np.savez(start, *model.model.get_weights())
    with np.load(start) as stored:
        model.model.set_weights([stored[f"arr_{number}"] for number in range(len(stored))])
    raw = raw_inputs(model)
    before = model.predict(raw)
    model._train(folder / backend / f"{name}-draft", name)
    history = read_history(folder / backend / f"{name}-draft")
    found = {f"before_{key}": value for key, value in before.items()}
    found |= {f"after_{key}": value for key, value in model.predict(raw).items()}
    found["test_probabilities"] = model.judge(model.table.take(model.splits.test))
    found |= {column: history[column].to_numpy() for column in ("loss", "val_loss")}
    weights = [value.ravel() for value in model.model.get_weights()]
    return found | {"weights": np.concatenate(weights)}


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:] or list(MODELS))
