"""Training once more, on the training and the validation part together.

A tenth of eight specimens per class is one in eight that the network never sees. What the
validation part is needed for, it has done after the first training: it has given the temperature,
the threshold for "other" and figures of its own. It must not have chosen an epoch, because there
is nothing left to choose one by the second time.
"""

from __future__ import annotations

import copy
from dataclasses import replace
from functools import cached_property

import numpy as np

from datasets.errors import InputError

NOTE = (
    "Trained twice, with the same seed and epochs. The network that is kept learnt from the "
    "training and the validation part; figures of the validation part, temperature and thresholds "
    "are those of the first one, which learnt from the training part alone, as the baselines did."
)


def check_refit(model) -> None:
    """Make sure that a second training can follow, before the first one begins.

    Raises:
        InputError: a phase chooses its epoch by the validation part, or there is no test part that
            could judge the network.
    """
    if not len(model.splits.test):
        raise InputError(
            "--refit learns from the validation part, and the split has no test part to judge by: "
            "take --split-rule stratified, or --no-refit"
        )
    chosen = [phase.name for phase in model.phases if phase.keep_best]
    if chosen:
        raise InputError(
            f"--refit: the phase {chosen[0]} keeps its best epoch, and without a validation part "
            "nothing would tell it: take --no-refit"
        )


def untrained_twin(model):
    """The same model before its training, whose training part holds the validation part too.

    Args:
        model: NNModel, prepared or trained.
    """
    twin = copy.copy(model)
    made = {"model", "phases"} | {
        name
        for kind in type(model).__mro__
        for name, value in vars(kind).items()
        if isinstance(value, cached_property)
    }
    for name in made:
        vars(twin).pop(name, None)
    twin.notes = []
    splits = model.splits
    twin.splits = replace(splits, train=np.sort(np.concatenate([splits.train, splits.validation])))
    twin.seed_weights()
    twin.createArchitecture()
    twin.prepareModel()
    return twin
