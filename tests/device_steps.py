"""A training on one device and on two, for `tests/test_distribution.py`.

    python -m tests.device_steps

On TensorFlow two logical CPUs stand for two GPUs; on JAX set
XLA_FLAGS=--xla_force_host_platform_device_count=2. Prints the largest differences of each of
`TRAININGS` as JSON.
"""

import json
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

CLASSES, BATCH = 3, 16
EVEN, UNEVEN = 44, 45  # samples; of the last batch with 13, two devices cannot have as many each


def two_cpus() -> None:
    """What a machine with two GPUs looks like to TensorFlow."""
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        (cpu,) = tf.config.list_physical_devices("CPU")
        halves = [tf.config.LogicalDeviceConfiguration()] * 2
        tf.config.set_logical_device_configuration(cpu, halves)


def network(norm: bool) -> keras.Model:
    """A convolution, perhaps batch normalisation, and the named outputs."""
    image = keras.Input((8, 8, 1), name="image")
    seen = layers.Conv2D(4, 3, name="convolution")(image)
    seen = BatchNormalization(name="norm")(seen) if norm else seen
    seen = layers.GlobalAveragePooling2D(name="features")(layers.ReLU()(seen))
    embedding = layers.Dense(4, name="embedding")(seen)
    answer = layers.Dense(CLASSES, activation="softmax", dtype="float32", name="probabilities")
    outputs = {"features": seen, "embedding": embedding, "probabilities": answer(embedding)}
    return keras.Model({"image": image}, outputs, name="network")


def cross_entropy(samples) -> Phase:
    """Weighted samples, as of uneven classes."""
    weights = np.linspace(0.5, 2, samples).astype(np.float32)
    return Phase("training", 3, BATCH, keras.optimizers.SGD(0.1), sample_weight=weights)


def triplets(samples) -> Phase:
    """Anchors, positives and negatives, which belong together."""
    margins = np.full((CLASSES, CLASSES), 0.2, np.float32)
    return Phase(
        "training", 3, BATCH, keras.optimizers.SGD(0.1),
        sampling=MinedTriplets(margins, balanced=False), objective=TripletObjective(margins),
    )  # fmt: skip


# Phase, samples, and whether there is batch normalisation, which sees the sample that fills up an
# uneven batch.
TRAININGS = {
    "cross_entropy": (cross_entropy, UNEVEN, False),
    "batch_norm": (cross_entropy, EVEN, True),
    "triplets": (triplets, UNEVEN, False),
}


def train(task: str, distribute: str, precision: str = "float32"):
    """Weights, losses of the validation part and answers after three epochs."""
    phase, samples, norm = TRAININGS[task]
    setting = distribution.begin(precision, distribute)
    keras.utils.set_random_seed(1)
    rng = np.random.default_rng(0)
    targets = rng.integers(0, CLASSES, samples)
    images = rng.normal(0, 1, (samples, 8, 8, 1)).astype(np.float32) + targets[:, None, None, None]
    arrays, model = {"image": images}, network(norm)
    start = model.get_weights()
    distribution.synchronise(model)
    with tempfile.TemporaryDirectory() as folder:
        train_phases(
            model, (phase(samples),), (arrays, targets), (arrays, targets), PIPELINES,
            lambda stored: stored, seed=1, folder=Path(folder), title=task,
        )  # fmt: skip
        losses = read_history(Path(folder))["val_loss"].to_numpy()
    model = distribution.settled(model)
    moved = _largest(model.get_weights(), start)
    return setting, model, moved, losses, model.predict(arrays, verbose=0)["probabilities"]


def _largest(first, second) -> float:
    return max(float(np.abs(a - b).max()) for a, b in zip(first, second, strict=True))


def main() -> None:
    two_cpus()
    found = {}
    for task in TRAININGS:
        one, first, moved, losses, answers = train(task, "none")
        two, second, _, again, same = train(task, "auto")
        found[task] = {
            "devices": [one.devices, two.devices],
            "moved": moved,
            "weights": _largest(first.get_weights(), second.get_weights()),
            "losses": _largest(losses[None], again[None]),
            "answers": _largest(answers, same),
        }
    print(json.dumps(found))


if __name__ == "__main__":
    main()
