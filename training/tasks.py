"""Several tasks that share layers, learnt in turn: one is drawn for each epoch.

Paper 002 (Kim et al. 2018), section 3.2.2, after Liu et al. 2015. Each task is a network of its own
that has layers in common with the others, and an optimizer of its own: what was not drawn does not
move, not even by what an optimizer remembers.
"""

from __future__ import annotations

from dataclasses import dataclass

import keras
import numpy as np


@dataclass(frozen=True)
class Task:
    """One of the things that a phase learns in turn.

    Attributes:
        name: shown in the history.
        output: of the network, what is learnt.
        targets: (training samples, ...) what it should be; None for the classes of the data, which
            alone are judged on the validation part.
        loss: on that output, against the targets.
        optimizer: of this task alone.
    """

    name: str
    output: str
    targets: np.ndarray | None
    loss: str | keras.losses.Loss
    optimizer: keras.optimizers.Optimizer

    def learner(self, network: keras.Model) -> keras.Model:
        """The part of a network that learns this task."""
        return keras.Model(network.input, network.output[self.output], name=self.name)


class TaskNetwork(keras.Model):
    """The networks of several tasks, compiled each for itself; saved together.

    Attributes:
        learners: one network for each task, in order.
    """

    def __init__(self, network: keras.Model, tasks: tuple[Task, ...]):
        names = dict.fromkeys(task.output for task in tasks)
        super().__init__(network.input, {name: network.output[name] for name in names})
        self.learners = []
        for task in tasks:
            learner = task.learner(network)
            learner.compile(optimizer=task.optimizer, loss=task.loss, metrics=["accuracy"])
            # Else a checkpoint would lack those of tasks that have not been drawn yet.
            learner.optimizer.build(learner.trainable_variables)
            self.learners.append(learner)


def drawn_task(seed: int, epoch: int, tasks: int) -> int:
    """Number of the task that an epoch learns, each as likely as the others."""
    return int(np.random.default_rng((seed, epoch)).integers(tasks))


def turns(seed: int, epochs: int, tasks: int) -> list[int]:
    """How many of the epochs learn each task."""
    drawn = [drawn_task(seed, epoch, tasks) for epoch in range(epochs)]
    return [drawn.count(number) for number in range(tasks)]
