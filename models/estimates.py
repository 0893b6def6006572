"""How long a training will take, and whether it is worth it, before it begins.

A training is reckoned from what its layers multiply and what they read and write, and from how fast
this machine does either, which is measured for a fraction of a second. It is good to about a factor
of two.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from functools import partial
from math import prod
from typing import NamedTuple

import keras
import numpy as np
from keras import layers, ops

from models.inputs import ImageInput
from training.epochs import steps_of

PASSES = 3  # forward, and backward to the inputs and to the weights
TOUCHES = 6  # how often a value between layers is written or read in a training step
UPDATES = 10  # and a weight, with what the optimizer keeps of it
LONG = 3 * 3600  # seconds that are worth a warning
FEW = 2  # training samples of a class, likewise
UNEVEN = 10  # times as many training samples in the largest class as in the smallest
EVEN = {"class_weights": "train", "long_tail": "adjusted"}  # option -> value against that


class Work(NamedTuple):
    """What a network does to one sample on its way forward.

    Attributes:
        multiplications: of its convolutions and dense layers.
        values: that its layers give.
    """

    multiplications: int
    values: int


def work_of(network: keras.Model, shapes: dict | None = None) -> Work:
    """What a functional network does to one sample.

    Args:
        network: that is looked at.
        shapes: input name -> shape of a sample, for inputs that take any. Other extents that are
            known only at run time, such as the length of a recording, count as one.
    """
    tensors = [
        keras.KerasTensor((None, *(shapes or {}).get(tensor.name, tensor.shape[1:])))
        for tensor in network.inputs
    ]
    return _counted(network, tensors)[0]


def _counted(network: keras.Model, tensors) -> tuple[Work, object]:
    """What a network does to one such sample, and what it gives for it."""
    multiplied, given = 0, _values(tensors)

    def count(operation, *arguments, **keywords):
        nonlocal multiplied, given
        if isinstance(operation, keras.Model):
            one, outputs = _counted(operation, arguments[0])
            multiplied, given = multiplied + one.multiplications, given + one.values
            return outputs
        outputs = operation.compute_output_spec(*arguments, **keywords)
        values = _values(outputs)
        given += values
        multiplied += values * _multiplications_for_a_value(operation)
        return outputs

    network = getattr(network, "_functional", network)  # of a keras.Sequential
    outputs = network._run_through_graph(tensors, lambda operation: partial(count, operation))
    return Work(multiplied, given), outputs


def training_seconds(
    network: keras.Model, phases: Iterable, targets: np.ndarray, shapes: dict | None = None
) -> float:
    """Seconds that the phases of a training take on this machine.

    Args:
        network: that is trained.
        phases: of `training.phases`; of one with stored views the frozen part counts once a view.
        targets: (samples,) class indices of the training part.
        shapes: input name -> shape of a sample that chance does not change.
    """
    machine, seconds = speed(), 0.0
    for phase in phases:
        learners = [task.learner(network) for task in phase.tasks] or [network]
        for learner in learners:  # each in its share of the epochs
            seconds += _phase_seconds(learner, phase, targets, shapes, machine) / len(learners)
    return seconds


def _phase_seconds(network: keras.Model, phase, targets, shapes, machine) -> float:
    rate, bandwidth = machine
    multiplied, given = work_of(network, _shapes_in(phase, shapes or {}))
    step = PASSES * multiplied / rate + TOUCHES * given / bandwidth
    segments = getattr(phase.augment, "segments", 1)  # of a recording, in an epoch
    if phase.trainable is None:
        update = UPDATES * network.count_params() / bandwidth
        seen = segments * _samples_of_an_epoch(phase.sampling, targets)
        return phase.epochs * (seen * step + steps_of(phase, targets) * update)
    # What is frozen is computed forward alone, where it is stored once for each view.
    stored = phase.views or phase.augment is None
    passes = (phase.views or 1) if stored else phase.epochs
    return passes * segments * len(targets) * step / PASSES


def _samples_of_an_epoch(sampling, targets: np.ndarray) -> float:
    """How many are learnt from, repeated ones too; one that is only looked at counts a third."""
    if sampling is None:
        return len(targets)
    return sampling.places(targets) + sampling.looks * len(targets) / PASSES


def _shapes_in(phase, shapes: dict) -> dict:
    """Such shapes in a phase, whose pictures can be smaller than those that are answered."""
    fit = getattr(phase.augment, "fit", None)
    return shapes if fit is None else {name: fit.shape for name in shapes}


def forecast(model) -> list[str]:
    """Lines on how long a prepared model will train, and where that is of little use or lopsided.

    Args:
        model: NNModel, prepared.
    """
    targets = model.table.targets[model.splits.train]
    pictures = [record for record in model.inputs if isinstance(record, ImageInput)]
    shapes = {record.name: record.fitted_shape for record in pictures}
    seconds = training_seconds(model.model, model.phases, targets, shapes)
    if model.options.refit:
        seconds *= 2  # once more, with the validation part
    lines = [f"training will take {_duration(seconds)} on this machine, by a rough reckoning"]
    if seconds > LONG:
        lines.append(f"warning: that is long: {_shorter(model.options, seconds)}")
    counts = np.bincount(targets, minlength=len(model.labels))
    few = int((counts <= FEW).sum())
    if few > len(counts) / 2:
        lines.append(
            f"warning: {few:,} of {len(counts):,} classes have at most {FEW} training samples, "
            f"from which no network learns much: {_coarser(model)}"
        )
    return lines + _uneven(model.options, counts)


def _uneven(options, counts: np.ndarray) -> list[str]:
    """What can be done about large and small classes, where nothing is done."""
    times = counts.max() / max(1, counts.min())
    ways = [
        f"--{name.replace('_', '-')} {value}"
        for name, value in EVEN.items()
        if getattr(options, name, value) == "none"
    ]
    if times < UNEVEN or not ways:
        return []
    return [
        f"the largest class has {times:.0f} times the training samples of the smallest, so "
        f"answers lean towards large ones: {' or '.join(ways)} gives each class the same weight"
    ]


def _shorter(options, seconds: float) -> str:
    """What would make a training shorter, with a number of epochs that takes an hour or so."""
    fewer = max(1, round(options.epochs * 3600 / seconds))
    ways = [f"--epochs {fewer} takes {_duration(seconds * fewer / options.epochs)}"]
    if getattr(options, "image_size", None):
        ways.append(f"--image-size {options.image_size // 2} a quarter of the time")
    if getattr(options, "unfreeze", None) == "all":
        ways.append("--unfreeze none trains the last layers alone")
    return "; ".join([*ways, "a GPU is many times faster; --resume goes on after an interruption"])


def _coarser(model) -> str:
    if model.taxonomy is not None:
        return "ask for coarser ranks (--target-accuracy), or leave them out (--least-pictures)"
    return "gather more, or join classes"


def _duration(seconds: float) -> str:
    """Such as `about 3 minutes`."""
    if seconds < 90:
        return "a minute or so"
    if seconds < 5400:
        return f"about {round(seconds / 60)} minutes"
    if seconds < 48 * 3600:
        return f"about {round(seconds / 3600)} hours"
    return f"about {round(seconds / 86400)} days"


def speed() -> tuple[float, float]:
    """Multiplications a second of a convolution, and values a second that are read and written."""
    rng = np.random.default_rng(0)
    picture = ops.convert_to_tensor(rng.normal(size=(8, 32, 32, 64)).astype(np.float32))
    kernel = ops.convert_to_tensor(rng.normal(size=(3, 3, 64, 64)).astype(np.float32))
    many = ops.convert_to_tensor(np.zeros(2**23, np.float32))
    convolution = _fastest(lambda: ops.conv(picture, kernel, padding="same"))
    passage = _fastest(lambda: ops.relu(many))
    return 8 * 32 * 32 * 9 * 64 * 64 / convolution, 2 * 2**23 / passage


def _fastest(compute) -> float:
    """Seconds of the fastest of a few calls; the first also compiles."""
    found = []
    for _ in range(6):
        start = time.perf_counter()
        ops.convert_to_numpy(ops.reshape(compute(), (-1,))[:1])
        found.append(time.perf_counter() - start)
    return min(found)


def _multiplications_for_a_value(operation) -> int:
    """How many make up one value that a layer gives."""
    if isinstance(operation, (layers.DepthwiseConv1D, layers.DepthwiseConv2D)):
        return prod(operation.kernel_size)
    if isinstance(operation, (layers.Conv1D, layers.Conv2D, layers.Dense)):
        return prod(operation.kernel.shape[:-1])
    return 0


def _values(tensors) -> int:
    """How many a sample has in these tensors."""
    shapes = [tensor.shape[1:] for tensor in keras.tree.flatten(tensors)]
    return sum(prod(extent or 1 for extent in shape) for shape in shapes)
