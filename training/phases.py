"""Training as data: a phase says what trains, how, and for how long."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import keras
import numpy as np

from training.callbacks import (
    AverageWeights,
    Checkpoint,
    History,
    KeepBest,
    ObjectiveFigures,
    Progress,
    Resume,
    SeedEpochs,
    StopOnNaN,
    forget_later_epochs,
    read_state,
)
from training.distribution import setting
from training.epochs import Samples, compute, compute_in_pieces, fit_epochs, steps_of
from training.frozen import learn_from, split_at_frozen
from training.frozen_outputs import FROZEN_OUTPUTS
from training.losses import SmoothedCrossEntropy
from training.objectives import ObjectiveModel
from training.sampling import Balanced, HalfPasses, MinedTriplets
from training.tasks import Task, TaskNetwork

SHORT_STEP_WEIGHTS = 100_000  # below this a step takes less time than Python needs to start it
STEPS_AT_ONCE = 16


@dataclass(frozen=True)
class Phase:
    """One stretch of training.

    Attributes:
        name: shown in the progress bar, the history and the plots.
        epochs: passes over the training data.
        batch_size: samples per step.
        optimizer: of this phase alone; one that averages the weights (`use_ema`) leaves them so.
        loss: on the trained output, against class indices, or shares of the classes where there are
            `targets` or `mixup`.
        output: of the network, probabilities that this phase trains and is judged by.
        tasks: what is learnt in turn, each epoch one of them, in place of `output`, `optimizer` and
            `loss`.
        classes: (classes,) class of that output that each class of the data belongs to, such as
            the genus of each species; None where they are the same.
        targets: (training samples, classes) and (validation samples, classes), the share of each
            class, in place of class indices; for a loss that takes them.
        mixup: alpha of mixup, which blends samples and their targets in pairs; 0 for none. It makes
            shares of class indices, and needs a loss that takes them.
        begin: (network) -> None, changes weights before the first epoch, such as handing those of
            an earlier phase's output down to this one's.
        learn_again: whether layers that learn at once from the training part, such as
            `models.whitening.Whiten`, do so before this phase too; before the first they always do.
        trainable: names of the layers that train; None for all.
        sample_weight: (training samples,) weight of each sample in the loss; None for ones.
        callbacks: schedules and the like.
        augment: (sample, seed) -> sample, what chance does to a training sample; None for nothing.
        views: how many random views of each sample are made, once, instead of a new one in every
            epoch; what is frozen is then computed once for each view. None or 0 for new ones.
        plain_view: whether the first of these views is the sample as it is.
        keep_best: figure of the history whose best epoch is kept; None keeps the last epoch.
        batch_norm: what frozen batch normalisations do: `inference` uses what they know, `train`
            normalises by the batch and goes on averaging, as in PyTorch's training mode. `kept`
            freezes all of them, also those of layers that train.
        sampling: which samples make up each epoch; None for all of them, shuffled.
        objective: such as `training.objectives.TripletObjective`, in place of `loss`.
        glance: validation samples, fitted to the network -> the part of each that is looked at
            after every epoch; None for the whole.
        on_validation: whether the validation part is what is learnt from, as it is: for a few
            weights that say how far frozen networks are right on samples they have not learnt.
    """

    name: str
    epochs: int
    batch_size: int
    optimizer: keras.optimizers.Optimizer | None = None
    loss: str | keras.losses.Loss = "sparse_categorical_crossentropy"
    output: str = "probabilities"
    tasks: tuple[Task, ...] = ()
    classes: np.ndarray | None = None
    targets: tuple[np.ndarray, np.ndarray] | None = None
    mixup: float = 0.0
    begin: Callable | None = None
    learn_again: bool = False
    trainable: tuple[str, ...] | None = None
    sample_weight: np.ndarray | None = None
    callbacks: tuple[keras.callbacks.Callback, ...] = ()
    augment: Callable | None = None
    views: int | None = None
    plain_view: bool = False
    keep_best: str | None = None
    batch_norm: str = "inference"
    sampling: Balanced | HalfPasses | MinedTriplets | None = None
    objective: keras.layers.Layer | None = None
    glance: Callable | None = None
    on_validation: bool = False


def mixing(alpha: float | None) -> dict:
    """What a phase is told so that it mixes samples."""
    return {"mixup": alpha, "loss": SmoothedCrossEntropy()} if alpha else {}


@dataclass(frozen=True)
class Pipelines:
    """How arrays become batches; handed in, so that `training` knows no data set.

    Attributes:
        training: (arrays, targets, weights, batch_size, seed, epochs, first_epoch, augment, rows,
            mixup) -> batches of all epochs in a row, and the number of batches per epoch.
        judging: (arrays, targets or None) -> batches in row order.
        view: (arrays, augment, seed, number) -> batches in row order of one random view.
    """

    training: Callable
    judging: Callable
    view: Callable


def train_phases(
    network, phases, train, validation, pipelines, fit, *, seed, folder, title, tensorboard=False
):
    """Train a network phase by phase and leave history and checkpoints in `folder`.

    What an earlier, interrupted call left there is gone on with.

    Args:
        network: the whole functional model with the named outputs that the phases train.
        phases: what to do, in order.
        train: (arrays, targets) of the training part, the arrays as they stand in the table.
        validation: (arrays, targets) of the validation part, fitted to the network.
        pipelines: how to make batches.
        fit: arrays as they stand in the table -> arrays fitted to the network.
        seed: seeds the order of the samples and what is drawn in training.
        folder: where `history.csv` and the checkpoints go.
        title: shown before the progress bar.
        tensorboard: whether to write what TensorBoard draws, below `folder`.

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
        else:
            if phase.begin is not None:
                phase.begin(network)
            if index:
                network.save_weights(start)
        _train_phase(
            network, phase, train, validation, pipelines, fit,
            index=index, seed=seed + index, folder=folder, title=title,
            state=state if resumed else None, tensorboard=tensorboard,
        )  # fmt: skip


def _train_phase(
    network, phase, train, validation, pipelines, fit, *, index, seed, folder, title, state,
    tensorboard,
):  # fmt: skip
    set_trainable(network, phase.trainable, phase.batch_norm)
    wanted = {"probabilities": phase.output} | {name: name for name in _needs(phase)}
    wanted |= {task.output: task.output for task in phase.tasks}
    if phase.glance is not None:
        validation = (phase.glance(validation[0]), validation[1])
    part = keras.Model(network.input, {name: network.output[at] for name, at in wanted.items()})
    (arrays, targets), validation = (_answering(phase, *samples) for samples in (train, validation))
    augment = phase.augment
    split = split_at_frozen(part)
    if phase.on_validation:
        arrays, targets = validation
    elif augment is None:
        arrays = fit(arrays)
    if split is not None and (augment is None or phase.views):
        arrays = _frozen_arrays(split.frozen, phase, arrays, pipelines, fit, seed)
        seen = FROZEN_OUTPUTS.compute(split.frozen, validation[0], pipelines)
        validation = (seen, validation[1])
        part, augment = split.head, None
    elif phase.views:
        raise ValueError(f"phase {phase.name}: stored views need a frozen part before what trains")
    if (index == 0 or phase.learn_again) and not state:
        learn_from(part, _for_all(arrays, augment, pipelines, fit), targets)
    steps = steps_of(phase, targets)
    trained = _trained(part, phase, steps)
    first = state["epoch"] if state else 0
    targets, judged = _shares(phase, part, targets, validation[1])
    validation = (validation[0], judged)
    weights = phase.sample_weight
    weights = np.ones(len(targets), np.float32) if weights is None else weights
    samples = Samples(arrays, targets, weights, augment, fit)
    progress = Progress(f"{title} {phase.name}", phase.epochs, steps, first)
    callbacks = [
        progress,
        StopOnNaN(phase.batch_size),
        SeedEpochs(seed),
        *([ObjectiveFigures(phase.sampling)] if phase.objective else []),
        History(folder, phase.name, bool(phase.tasks)),
        *phase.callbacks,
    ]
    forget_later_epochs(folder, phase.name, first)
    if state:
        callbacks.append(Resume(folder, phase.name, state, phase.callbacks, trained))
    if phase.keep_best:
        callbacks.append(KeepBest(folder, phase.name, phase.keep_best, first))
    if getattr(phase.optimizer, "use_ema", False):
        callbacks.append(AverageWeights())
    if tensorboard:
        place = folder / "tensorboard" / phase.name
        callbacks.append(keras.callbacks.TensorBoard(place, write_graph=False))
    callbacks.append(Checkpoint(folder, index, phase.epochs, trained))
    try:
        fit_epochs(trained, phase, samples, validation, pipelines, seed, first, callbacks)
    finally:
        progress.close()


def _for_all(arrays, augment, pipelines, fit) -> Callable:
    """A model of a dictionary -> its outputs for all samples, without what chance does to them."""
    if augment is None:
        return lambda model: compute(model, arrays, pipelines)
    return lambda model: compute_in_pieces(model, arrays, fit, pipelines, model.output)


def _needs(phase: Phase) -> tuple[str, ...]:
    """Outputs of the network that the objective asks for beside the probabilities."""
    return () if phase.objective is None else phase.objective.needs


def _answering(phase: Phase, arrays, targets):
    """Samples with the classes of the output that the phase trains."""
    return arrays, targets if phase.classes is None else phase.classes[targets]


def _shares(phase: Phase, part: keras.Model, *targets: np.ndarray):
    """Targets of the training and the validation part, as shares of the classes where needed."""
    if phase.targets is not None:
        return (phase.targets[1],) * 2 if phase.on_validation else phase.targets
    if not phase.mixup:
        return targets
    classes = part.output["probabilities"].shape[-1]
    return tuple(np.eye(classes, dtype=np.float32)[one] for one in targets)


def _trained(part: keras.Model, phase: Phase, steps: int) -> keras.Model:
    """What is fitted, compiled: one loss, an objective of several outputs, or several tasks."""
    if phase.tasks:
        return TaskNetwork(part, phase.tasks)
    if phase.objective is None:
        trained = keras.Model(part.input, part.output["probabilities"])
    else:
        trained = ObjectiveModel(part.input, part.output, phase.objective)
        phase.optimizer.exclude_from_weight_decay(phase.objective.trainable_variables)
    trained.compile(
        optimizer=phase.optimizer,
        loss=phase.loss,
        metrics=["accuracy"],
        steps_per_execution=_steps_at_once(trained, steps),
    )
    _check_paths(trained)
    trained.optimizer.build(trained.trainable_variables)  # so that a checkpoint can be put back
    return trained


def _check_paths(trained: keras.Model) -> None:
    """Keras on PyTorch clears the gradients of only one of several variables with one path.

    Those of the others would add up from step to step.

    Raises:
        ValueError: two variables that train have one path.
    """
    paths = [variable.path for variable in trained.trainable_variables]
    twice = sorted({path for path in paths if paths.count(path) > 1})
    if twice and keras.backend.backend() == "torch":
        raise ValueError(f"two variables are called {twice[0]}: build one in a keras.name_scope")


def set_trainable(
    network: keras.Model, names: tuple[str, ...] | None, batch_norm: str = "inference"
) -> None:
    """Let exactly the layers of these names train; all of them for None.

    `outer/inner` names a layer inside a layer that is itself a network. Its batch normalisations
    stay frozen: a few small batches would spoil their averages.

    Args:
        network: whose layers are meant.
        names: of layers that train.
        batch_norm: `train` lets frozen batch normalisations normalise by the batch and go on
            averaging, their scale and shift still frozen; `kept` freezes all of them.

    Raises:
        ValueError: the network has no layer of that name.
    """
    whole = {name for name in names or () if "/" not in name}
    for name in whole:
        network.get_layer(name)
    for layer in network.layers:
        _switch(layer, names is None or layer.name in whole)
    for name in set(names or ()) - whole:
        _unfreeze_inner(network, *name.split("/", 1))
    if batch_norm == "kept":
        for layer in _batch_norms(network):
            _switch(layer, False)
    if batch_norm == "train":
        for layer in _batch_norms(network):
            if not layer.trainable:
                layer.trainable = True
                for weight in layer.weights:
                    weight.trainable = False


def _unfreeze_inner(network, outer, name):
    inner = network.get_layer(outer)
    if not inner.trainable:
        inner.trainable = True
        for layer in inner.layers:
            _switch(layer, False)
    layer = inner.get_layer(name)
    _switch(layer, not isinstance(layer, keras.layers.BatchNormalization))


def _switch(layer, trainable: bool):
    # Keras passes over a layer that has the value already, and so over what lies inside it.
    for part in layer._flatten_layers():
        part.trainable = not trainable
        part.trainable = trainable


def _batch_norms(network):
    for layer in network.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            yield layer
        elif isinstance(layer, keras.Model):
            yield from _batch_norms(layer)


def _frozen_arrays(frozen, phase, arrays, pipelines, fit, seed) -> dict:
    """What the frozen part makes of every sample, or of every view of it, view after view."""
    if phase.augment is None:
        return FROZEN_OUTPUTS.compute(frozen, arrays, pipelines)
    views = []
    if phase.plain_view:
        how = FROZEN_OUTPUTS.compute
        views.append(compute_in_pieces(frozen, arrays, fit, pipelines, frozen.output, how))
    views += [
        FROZEN_OUTPUTS.predict(frozen, pipelines.view(arrays, phase.augment, seed, number))
        for number in range(len(views), phase.views)
    ]
    return {name: np.concatenate([view[name] for view in views]) for name in views[0]}


def _steps_at_once(model, steps):
    """Small heads run several steps per call; more than an epoch has would mix epochs.

    PyTorch has nothing that would make one call of several, and `MirroredStrategy` fails at it.
    """
    single = keras.backend.backend() == "torch" or setting().devices > 1
    if single or model.count_params() > SHORT_STEP_WEIGHTS:
        return 1
    return max(size for size in range(1, STEPS_AT_ONCE + 1) if steps % size == 0)
