"""Training as data: a phase says what trains, how, and for how long."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import keras
import numpy as np

from training.callbacks import (
    Checkpoint,
    History,
    Progress,
    Resume,
    SeedEpochs,
    forget_later_epochs,
    read_state,
)
from training.frozen import split_at_frozen

SHORT_STEP_WEIGHTS = 100_000  # below this a step takes less time than Python needs to start it
STEPS_AT_ONCE = 16


@dataclass(frozen=True)
class Phase:
    """One stretch of training.

    Attributes:
        name: shown in the progress bar, the history and the plots.
        epochs: passes over the training data.
        batch_size: samples per step.
        optimizer: of this phase alone.
        loss: on the `probabilities` output, against class indices.
        trainable: names of the layers that train; None for all.
        sample_weight: (training samples,) weight of each sample in the loss; None for ones.
        callbacks: schedules and the like.
    """

    name: str
    epochs: int
    batch_size: int
    optimizer: keras.optimizers.Optimizer
    loss: str = "sparse_categorical_crossentropy"
    trainable: tuple[str, ...] | None = None
    sample_weight: np.ndarray | None = None
    callbacks: tuple[keras.callbacks.Callback, ...] = ()


@dataclass(frozen=True)
class Pipelines:
    """How arrays become batches; handed in, so that `training` knows no data set.

    Attributes:
        training: (arrays, targets, weights, batch_size, seed, epochs, first_epoch) -> batches of
            all epochs in a row, and the number of batches per epoch.
        judging: (arrays, targets or None) -> batches in row order.
    """

    training: Callable
    judging: Callable


def train_phases(network, phases, train, validation, pipelines, *, seed, folder, title):
    """Train a network phase by phase and leave history and checkpoints in `folder`.

    What an earlier, interrupted call left there is gone on with.

    Args:
        network: the whole functional model with the named output `probabilities`.
        phases: what to do, in order.
        train: (arrays, targets) of the training part.
        validation: (arrays, targets) of the validation part.
        pipelines: how to make batches.
        seed: seeds the order of the samples and what is drawn in training.
        folder: where `history.csv` and the checkpoints go.
        title: shown before the progress bar.

    Raises:
        ArithmeticError: the loss became NaN or infinite.
    """
    state = read_state(folder) or {"phase": 0}
    for index, phase in enumerate(phases):
        start = folder / f"start-{index}.weights.h5"  # the whole network; a phase may train a part
        if index < state["phase"]:
            continue
        resumed = index == state["phase"] and "epoch" in state
        if resumed and start.exists():
            network.load_weights(start)
        elif index:
            network.save_weights(start)
        _train_phase(
            network, phase, train, validation, pipelines,
            index=index, seed=seed + index, folder=folder, title=title,
            state=state if resumed else None,
        )  # fmt: skip


def _train_phase(
    network, phase, train, validation, pipelines, *, index, seed, folder, title, state
):
    set_trainable(network, phase.trainable)
    trained = keras.Model(network.input, network.output["probabilities"])
    split = split_at_frozen(trained)
    if split is not None:
        train = (compute(split.frozen, train[0], pipelines), train[1])
        validation = (compute(split.frozen, validation[0], pipelines), validation[1])
        trained = split.head
    first = state["epoch"] if state else 0
    weights = phase.sample_weight
    weights = np.ones(len(train[1]), np.float32) if weights is None else weights
    batches, steps = pipelines.training(
        *train, weights, phase.batch_size, seed, phase.epochs, first
    )
    trained.compile(
        optimizer=phase.optimizer,
        loss=phase.loss,
        metrics=["accuracy"],
        steps_per_execution=_steps_at_once(trained, steps),
    )
    progress = Progress(f"{title} {phase.name}", phase.epochs, steps, first)
    callbacks = [
        progress,
        SeedEpochs(seed),
        History(folder, phase.name),
        *phase.callbacks,
    ]
    forget_later_epochs(folder, phase.name, first)
    if state:
        callbacks.append(Resume(folder, phase.name, state, phase.callbacks))
    callbacks.append(Checkpoint(folder, index, phase.epochs))
    try:
        trained.fit(
            batches,
            epochs=phase.epochs,
            initial_epoch=first,
            steps_per_epoch=steps,
            shuffle=False,  # the pipeline does it
            validation_data=pipelines.judging(*validation),
            callbacks=callbacks,
            verbose=0,
        )
    finally:
        progress.close()


def set_trainable(network: keras.Model, names: tuple[str, ...] | None) -> None:
    """Let exactly the layers of these names train; all of them for None.

    Raises:
        ValueError: the network has no layer of that name.
    """
    for name in names or ():
        network.get_layer(name)
    for layer in network.layers:
        layer.trainable = names is None or layer.name in names


def compute(model: keras.Model, arrays: dict, pipelines: Pipelines) -> dict:
    """Outputs of a model for all samples, in row order: name -> array."""
    return model.predict(pipelines.judging(arrays), verbose=0)


def _steps_at_once(model, steps):
    """Small heads run several steps per call; more than an epoch has would mix epochs."""
    if model.count_params() > SHORT_STEP_WEIGHTS:
        return 1
    return max(size for size in range(1, STEPS_AT_ONCE + 1) if steps % size == 0)
