"""The SavedModel of a run, which only TensorFlow can write.

    python -m models.savedmodel DRAFT

writes that of the `model.keras` in a folder. A run that was trained on another backend of Keras
calls it as a process of its own: a process has one backend.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import keras

from models.folded_batch_norm import folded

FOLDER, NETWORK, LABELS = "savedmodel", "model.keras", "labels.json"


def write_savedmodel(draft: Path, network: keras.Model, labels: tuple[str, ...]) -> None:
    """Export `serve`: dictionary of raw inputs -> probabilities, label and embedding.

    Of a network that looks at pictures `serve_fitted` too, from inputs that are fitted to it: many
    pictures of several sizes make one batch then, and are fitted while it looks at others.

    Args:
        draft: folder of the run, where `model.keras` and `labels.json` lie already.
        network: raw-input model.
        labels: in index order.

    Raises:
        RuntimeError: the process that writes it for another backend failed.
    """
    if keras.backend.backend() == "tensorflow":
        _export(draft / FOLDER, network, labels)
        return
    # Off the GPU, whose memory may be this process's.
    environment = os.environ | {"KERAS_BACKEND": "tensorflow", "CUDA_VISIBLE_DEVICES": "-1"}
    done = subprocess.run(
        [sys.executable, "-m", "models.savedmodel", str(draft.resolve())],
        cwd=Path(__file__).resolve().parents[1],
        env=environment,
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise RuntimeError(f"the SavedModel could not be written:\n{done.stderr[-2000:]}")


def _export(folder: Path, network: keras.Model, labels: tuple[str, ...]) -> None:
    import tensorflow as tf

    network = folded(network)

    def answering(part: keras.Model):
        def answer(inputs):
            outputs = part(inputs, training=False)
            best = tf.argmax(outputs["probabilities"], axis=-1)
            return {
                "probabilities": outputs["probabilities"],
                "label": tf.gather(tf.constant(labels), best),
                "embedding": outputs["embedding"],
            }

        signature = {
            name: tf.TensorSpec(tensor.shape, tensor.dtype, name=name)
            for name, tensor in part.input.items()
        }
        return {"fn": answer, "input_signature": [signature]}

    shutil.rmtree(folder, ignore_errors=True)
    archive = keras.export.ExportArchive()
    archive.track(network)
    archive.add_endpoint("serve", **answering(network))
    if "image" in network.input:
        archive.add_endpoint("serve_fitted", **answering(_behind_preprocessing(network)))
    archive.write_out(str(folder), verbose=False)


def _behind_preprocessing(network: keras.Model) -> keras.Model:
    """The network of fitted inputs inside that of raw ones."""
    return next(layer for layer in network.layers if isinstance(layer, keras.Model))


def _main(draft: Path) -> None:
    import models.layers  # noqa: F401 (the zoo's layers)

    network = keras.models.load_model(draft / NETWORK)
    _export(draft / FOLDER, network, tuple(json.loads((draft / LABELS).read_text())))


if __name__ == "__main__":
    _main(Path(sys.argv[1]))
