"""The epochs of a phase: all in a row, or each with samples that were chosen just before it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import keras
import numpy as np

from training.distribution import evened, spread
from training.tasks import drawn_task

AT_ONCE = 1024  # samples that are fitted to the network together


@dataclass(frozen=True)
class Samples:
    """The training part, as a phase needs it.

    Attributes:
        arrays: input name -> array; K times as long as the targets if it holds K stored views.
        targets: (samples,) class indices, or (samples, classes) shares of the classes.
        weights: (samples,) what each counts in the loss.
        augment: (sample, seed) -> sample; None where the arrays are fitted already.
        fit: arrays as they stand in the table -> arrays fitted to the network.
    """

    arrays: dict
    targets: np.ndarray
    weights: np.ndarray
    augment: Callable | None
    fit: Callable

    def view(self, number: int) -> dict:
        """One of the stored views of every sample."""
        first = number * len(self.targets)
        return {
            name: array[first : first + len(self.targets)] for name, array in self.arrays.items()
        }

    @property
    def views(self) -> int:
        return len(next(iter(self.arrays.values()))) // len(self.targets)


def steps_of(phase, targets: np.ndarray) -> int:
    """Batches of an epoch."""
    if phase.sampling is None:
        return -(-len(targets) // phase.batch_size)
    return -(-phase.sampling.places(targets) // (phase.batch_size * phase.sampling.together))


def fit_epochs(trained, phase, samples, validation, pipelines, seed, first, callbacks) -> None:
    """Fit a compiled network from epoch `first` on."""
    common = {
        "steps_per_epoch": steps_of(phase, samples.targets),
        "shuffle": False,  # the pipeline does it
        "validation_data": evened(pipelines.judging(*validation)),
        "verbose": 0,
    }
    if phase.tasks:
        _fit_tasks(trained, phase, samples, common, pipelines, seed, first, callbacks)
        return
    if phase.sampling is None and first < phase.epochs:
        batches = _batches(phase, samples, pipelines, seed, first, phase.epochs)
        _fit(trained, batches, first, phase.epochs, callbacks, common)
        return
    told = _OneTraining(callbacks, add_history=True, model=trained, epochs=phase.epochs)
    embedder = None if phase.sampling is None else _embedder(trained)
    told.begin()
    for epoch in range(first, phase.epochs):

        def embed(epoch=epoch):
            return _embeddings(embedder, samples, pipelines, epoch)

        rows = phase.sampling.rows(samples.targets, phase.batch_size, (seed, epoch), embed)
        batches = _batches(phase, samples, pipelines, seed, epoch, epoch + 1, rows)
        _fit(trained, batches, epoch, epoch + 1, told, common)
        if trained.stop_training:
            break
    told.end()


def _fit_tasks(network, phase, samples, common, pipelines, seed, first, callbacks) -> None:
    """Let each epoch train the network of the task that is drawn for it, and no other."""
    learners = network.learners
    told = _OneTraining(callbacks, add_history=True, model=learners[0], epochs=phase.epochs)
    told.begin()
    for epoch in range(first, phase.epochs):
        number = drawn_task(seed, epoch, len(phase.tasks))
        task, learner = phase.tasks[number], learners[number]
        targets = samples.targets if task.targets is None else task.targets
        batches = _batches(
            phase, replace(samples, targets=targets), pipelines, seed, epoch, epoch + 1
        )
        judged = common if task.targets is None else common | {"validation_data": None}
        told.set_model(learner)
        _fit(learner, batches, epoch, epoch + 1, told, judged)
    told.end()


def _fit(model, batches, first, epochs, callbacks, keywords) -> None:
    with spread(model):
        model.fit(batches, initial_epoch=first, epochs=epochs, callbacks=callbacks, **keywords)


def compute(model: keras.Model, arrays: dict, pipelines) -> dict:
    """Outputs of a model for all samples, in row order: name -> array."""
    return model.predict(pipelines.judging(arrays), verbose=0)


def compute_in_pieces(
    model, stored: dict, fit: Callable, pipelines, names, how: Callable = compute
) -> dict:
    """Some outputs of a model for samples that are fitted to it `AT_ONCE` at a time.

    Thousands of photographs would not fit into memory.

    Args:
        model: returns a dictionary.
        stored: input name -> samples as they stand in the table.
        fit: such a dictionary -> arrays fitted to the model.
        pipelines: how to make batches.
        names: of the outputs that are kept.
        how: (model, arrays, pipelines) -> outputs.
    """
    samples = len(next(iter(stored.values())))
    found = {name: [] for name in names}
    for start in range(0, samples, AT_ONCE):
        piece = {name: column[start : start + AT_ONCE] for name, column in stored.items()}
        outputs = how(model, fit(piece), pipelines)
        for name in names:
            found[name].append(outputs[name])
    return {name: np.concatenate(pieces) for name, pieces in found.items()}


def _batches(phase, samples, pipelines, seed, first, epochs, rows=None):
    together = 1 if phase.sampling is None else phase.sampling.together
    batches = pipelines.training(
        samples.arrays,
        samples.targets,
        samples.weights,
        phase.batch_size * together,
        seed,
        epochs,
        first,
        samples.augment,
        rows,
        phase.mixup,
    )[0]
    return evened(batches, together)


def _embedder(trained) -> keras.Model | None:
    if not isinstance(trained.output, dict) or "embedding" not in trained.output:
        return None  # nothing is mined
    return keras.Model(trained.input, {"embedding": trained.output["embedding"]})


def _embeddings(embedder, samples, pipelines, epoch) -> np.ndarray:
    """(samples, width) of the training part as it is now, or of one of its stored views."""
    if samples.augment is None:
        arrays = samples.view(epoch % samples.views)
        return compute(embedder, arrays, pipelines)["embedding"]
    names = ("embedding",)
    found = compute_in_pieces(embedder, samples.arrays, samples.fit, pipelines, names)
    return found["embedding"]


class _OneTraining(keras.callbacks.CallbackList):
    """Callbacks to which several calls of `fit` are one training."""

    def on_train_begin(self, logs=None):
        pass

    def on_train_end(self, logs=None):
        pass

    def begin(self):
        super().on_train_begin()

    def end(self):
        super().on_train_end()
