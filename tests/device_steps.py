"""A training on one device and on two, for `tests/test_distribution.py`.

    python -m tests.device_steps TASK

TASK is one of `TRAININGS`. On TensorFlow two logical CPUs stand for two GPUs; on JAX set
XLA_FLAGS=--xla_force_host_platform_device_count=2. Prints the largest differences as JSON.
"""

import json
import sys
import tempfile
from pathlib import Path

import keras
import numpy as np
from keras import layers

from models.artefact import read_history
from models.base import PIPELINES
from models.fused_batch_norm import BatchNormalization
from training import distribution
from training.objectives import TripletObjective
from training.phases import Phase, train_phases
from training.sampling import MinedTriplets

SAMPLES, CLASSES, BATCH = 45, 3, 16  # the last batch has 13, which two cannot share


def two_cpus() -> None:
    """What a machine with two GPUs looks like to TensorFlow."""
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        (cpu,) = tf.config.list_physical_devices("CPU")
        halves = [tf.config.LogicalDeviceConfiguration()] * 2
        tf.config.set_logical_device_configuration(cpu, halves)


def network() -> keras.Model:
    """Convolution, batch normalisation and the named outputs."""
    image = keras.Input((8, 8, 1), name="image")
    seen = layers.Conv2D(4, 3, name="convolution")(image)
    seen = BatchNormalization(name="norm")(seen)
    seen = layers.GlobalAveragePooling2D(name="features")(layers.ReLU()(seen))
    embedding = layers.Dense(4, name="embedding")(seen)
    answer = layers.Dense(CLASSES, activation="softmax", dtype="float32", name="probabilities")
    outputs = {"features": seen, "embedding": embedding, "probabilities": answer(embedding)}
    return keras.Model({"image": image}, outputs, name="network")


def cross_entropy() -> Phase:
    """Weighted samples, as of uneven classes."""
    weights = np.linspace(0.5, 2, SAMPLES).astype(np.float32)
    return Phase("training", 3, BATCH, keras.optimizers.SGD(0.1), sample_weight=weights)


def triplets() -> Phase:
    """Anchors, positives and negatives, which belong together."""
    margins = np.full((CLASSES, CLASSES), 0.2, np.float32)
    return Phase(
        "training", 3, BATCH, keras.optimizers.SGD(0.1),
        sampling=MinedTriplets(margins, balanced=False), objective=TripletObjective(margins),
    )  # fmt: skip


TRAININGS = {"cross_entropy": cross_entropy, "triplets": triplets}


def train(task: str, distribute: str, precision: str = "float32"):
    """Weights, losses of the validation part and answers after three epochs."""
    setting = distribution.begin(precision, distribute)
    keras.utils.set_random_seed(1)
    rng = np.random.default_rng(0)
    targets = rng.integers(0, CLASSES, SAMPLES)
    images = rng.normal(0, 1, (SAMPLES, 8, 8, 1)).astype(np.float32) + targets[:, None, None, None]
    arrays, model = {"image": images}, network()
    distribution.synchronise(model)
    with tempfile.TemporaryDirectory() as folder:
        train_phases(
            model, (TRAININGS[task](),), (arrays, targets), (arrays, targets), PIPELINES,
            lambda stored: stored, seed=1, folder=Path(folder), title=task,
        )  # fmt: skip
        losses = read_history(Path(folder))["val_loss"].to_numpy()
    model = distribution.settled(model)
    return setting, model, losses, model.predict(arrays, verbose=0)["probabilities"]


def main(task: str) -> None:
    two_cpus()
    one, first, losses, answers = train(task, "none")
    two, second, again, same = train(task, "auto")
    pairs = zip(first.get_weights(), second.get_weights(), strict=True)
    start = network().get_weights()
    moved = zip(start, first.get_weights(), strict=True)
    found = {
        "devices": [one.devices, two.devices],
        "weights": max(float(np.abs(a - b).max()) for a, b in pairs),
        "moved": max(float(np.abs(a - b).max()) for a, b in moved),
        "losses": float(np.abs(losses - again).max()),
        "answers": float(np.abs(answers - same).max()),
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main(sys.argv[1])
