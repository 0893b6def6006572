"""Trained networks that another network is built on: taken where they fit, trained where not."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import keras

from datasets.errors import InputError
from models.runs import draft_folder, find_run, read_json, runs_in
from training.processes import process_count

SHARED = (
    "data", "data_dir", "split_rule", "folds", "fold", "group", "seed", "preset", "precision",
    "distribute",
)  # fmt: skip

log = logging.getLogger("menagerie")


def trained_branch(model, branch_class, run: str | None, fits: Callable, **options):
    """The branch to use: the run asked for, the newest that fits, or a new one.

    Args:
        model: NNModel that needs it, with its data.
        branch_class: of the branch.
        run: what the user calls it; None for the newest.
        fits: options of a run, as plain values -> whether it can be the branch.
        options: of a new branch, beside those of `SHARED`, which are the model's.

    Returns:
        A loaded or trained NNModel; the model's notes say which.

    Raises:
        InputError: the run asked for is not there, cannot be the branch, or was trained on other
            data or another split.
    """
    folder = find_run(run, model.out) if run else _newest(model, branch_class, fits)
    if folder is None:
        return _train(model, branch_class, options)
    branch = branch_class.loadModel(folder)
    _check(model, folder, fits)
    command = read_json(folder, "metadata.json")["command"]
    _tell(model, f"{branch_class.name()}: uses the run {folder}, made by {command}")
    return branch


def frozen_part(branch, output: str, name: str) -> keras.Model:
    """One output of a trained branch, as a single layer that does not train."""
    part = keras.Model(branch.model.input, branch.model.output[output], name=name)
    part.trainable = False
    return part


def _newest(model, branch_class, fits) -> Path | None:
    """The newest run on the same samples, split in the same way."""
    wanted = model.splits.fingerprint(model.table)
    fitting = [
        folder
        for folder in runs_in(model.out / branch_class.name())
        if read_json(folder, "metadata.json")["split"] == wanted
        and fits(read_json(folder, "config.json"))
    ]
    return fitting[-1] if fitting else None


def _check(model, folder, fits) -> None:
    if read_json(folder, "metadata.json")["split"] != model.splits.fingerprint(model.table):
        raise InputError(
            f"{folder} was trained on other data or another split: its training samples may be "
            "test samples here; name a run with the same --data-dir, --split-rule and --seed"
        )
    if not fits(read_json(folder, "config.json")):
        raise InputError(
            f"{folder} was trained with other options than are needed here: see its config.json, "
            "or name no run, and one is trained"
        )


def _train(model, branch_class, options: dict):
    if process_count() > 1:
        raise InputError(
            f"no run of {branch_class.name()} fits, and several processes train one model at a "
            f"time: train {branch_class.name()} first, on the same data and split"
        )
    shared = {name: getattr(model.options, name) for name in SHARED}
    # One that was begun keeps its place; several of one kind lie side by side.
    taken = [folder.name for folder in runs_in(model.out / branch_class.name())]
    run = next(
        name
        for name in (model.run, *(f"{model.run}-{number}" for number in range(2, 100)))
        if name not in taken
    )
    branch = branch_class(branch_class.Options(**shared, **options), model.out, run)
    name = branch.name()
    _tell(model, f"{name}: no run on this data and split with these options yet, trained a new one")
    branch.use_data(model.table, model.splits)
    branch.createArchitecture()
    branch.prepareModel()
    branch.train(resume=draft_folder(branch.out, name, branch.run).exists())
    log.info("%s: saved as %s", name, branch.save())
    return branch


def _tell(model, line: str) -> None:
    log.info(line)
    model.notes.append(line)
