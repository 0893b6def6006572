"""What happens while a network trains: progress, the history, checkpoints to go on from."""

from __future__ import annotations

import json
import math
import os
import time
from pathlib import Path

import keras
import pandas as pd
from tqdm import tqdm

CHECKPOINT_SECONDS = 20  # what an interruption may lose, where writing takes a second or less
HISTORY, STATE = "history.csv", "state.json"


class Progress(keras.callbacks.Callback):
    """One bar over all steps of a phase, with the time left, on standard error."""

    def __init__(self, title: str, epochs: int, steps: int, first_epoch: int = 0):
        super().__init__()
        self.epochs, self.steps = epochs, steps
        self.bar = tqdm(
            total=epochs * steps,
            initial=first_epoch * steps,
            desc=title,
            unit="step",
            mininterval=1.0,
        )

    def on_epoch_begin(self, epoch, logs=None):
        self._before = epoch * self.steps

    def on_train_batch_end(self, batch, logs=None):
        self.bar.update(self._before + batch + 1 - self.bar.n)

    def on_epoch_end(self, epoch, logs=None):
        shown = {
            name: f"{logs[name]:.3f}"
            for name in ("loss", "accuracy", "val_loss", "val_accuracy")
            if name in logs
        }
        self.bar.set_postfix(epoch=f"{epoch + 1}/{self.epochs}", **shown)

    def close(self):
        """End the bar; an interruption skips `on_train_end`, so the caller does it."""
        self.bar.close()


class SeedEpochs(keras.callbacks.Callback):
    """Makes the chance in an epoch (dropout) depend on the seed and the epoch's number alone.

    Keras does not save the state of its random layers with the weights; this way a training that
    is gone on with draws what an uninterrupted one would have drawn.
    """

    def __init__(self, seed: int):
        super().__init__()
        self.seed = seed

    def on_epoch_begin(self, epoch, logs=None):
        generators = [
            generator
            for layer in self.model._flatten_layers()
            for generator in layer._seed_generators
        ]
        for index, generator in enumerate(generators):
            generator.state.assign([self.seed % 2**32, (index << 24) + (epoch << 16)])
        self._epoch = epoch

    def on_train_batch_begin(self, batch, logs=None):
        # On PyTorch unseeded dropout draws from one generator for all, of which the first batch of
        # a training has taken a number when it comes here.
        if batch == 0 and keras.backend.backend() == "torch":
            import torch

            torch.manual_seed((self.seed << 16) + self._epoch)


class History(keras.callbacks.Callback):
    """Writes one row per epoch to `history.csv`: figures, learning rate and seconds.

    Columns: phase, epoch (from 1), loss, accuracy, val_loss, val_accuracy, learning_rate (that of
    the epoch), seconds; and `task` where each epoch learns one of several, whose name is then that
    of the epoch's model.
    """

    def __init__(self, folder: Path, phase: str, tells_task: bool = False):
        super().__init__()
        self.path, self.phase, self.tells_task = folder / HISTORY, phase, tells_task

    def on_epoch_begin(self, epoch, logs=None):
        self._start = time.perf_counter()

    def on_epoch_end(self, epoch, logs=None):
        rate = float(keras.ops.convert_to_numpy(self.model.optimizer.learning_rate))
        row = {"phase": self.phase, "epoch": epoch + 1}
        row |= {"task": self.model.name} if self.tells_task else {}
        row |= {name: float(value) for name, value in logs.items() if name != "learning_rate"}
        row |= {"learning_rate": rate, "seconds": time.perf_counter() - self._start}
        # Phases differ in what they tell, so the columns can grow.
        earlier = [pd.read_csv(self.path)] if self.path.exists() else []
        _write_table(pd.concat([*earlier, pd.DataFrame([row])]), self.path)


class StopOnNaN(keras.callbacks.Callback):
    """Ends a training at the first batch whose loss is not a finite number.

    Args:
        batch_size: samples of a batch, to say which samples of the epoch they were.

    Raises:
        ArithmeticError: names epoch, batch and samples.
    """

    def __init__(self, batch_size: int):
        super().__init__()
        self.batch_size = batch_size

    def on_epoch_begin(self, epoch, logs=None):
        self._epoch, self._done = epoch, 0

    def on_train_batch_end(self, batch, logs=None):
        begun, self._done = self._done, batch + 1
        if math.isfinite(float(logs["loss"])):  # a mean over the epoch, which keeps a NaN
            return
        first, last = begun * self.batch_size + 1, (batch + 1) * self.batch_size
        batches = f"batch {batch + 1}" if batch == begun else f"batches {begun + 1} to {batch + 1}"
        raise ArithmeticError(
            f"the loss became {float(logs['loss'])} in epoch {self._epoch + 1}, {batches} "
            f"(samples {first} to {last} in the order of that epoch): look for values that are "
            "huge among the measurements, or try a lower --learning-rate"
        )


class ObjectiveFigures(keras.callbacks.Callback):
    """Adds to the figures of an epoch what the objective has learnt and the mining has found.

    Args:
        sampling: of the phase, see `training.sampling`; its `figures`, if it has any, are told.
    """

    def __init__(self, sampling):
        super().__init__()
        self.sampling = sampling

    def on_epoch_end(self, epoch, logs=None):
        logs.update(self.model.objective.figures())
        logs.update(getattr(self.sampling, "figures", {}))


class AverageWeights(keras.callbacks.SwapEMAWeights):
    """Judges a network after each epoch by its averaged weights, and ends with them.

    The optimizer averages over its steps (`use_ema`; Polyak and Juditsky 1992).
    """

    def on_train_end(self, logs=None):
        # Keras does so at the end of an epoch; one that was trained before a kill has none left.
        self.model.optimizer.finalize_variable_values(self.model.trainable_variables)


class KeepBest(keras.callbacks.Callback):
    """Keeps the weights of the best epoch on disk and puts them back when the phase ends.

    A later epoch must be better, not equal. What was best before an interruption is read from the
    history; its weights lie in the folder.

    Args:
        folder: of the draft.
        phase: name of the phase.
        figure: column of the history; accuracies should be high, all others low.
        first_epoch: epochs that an earlier call has done.
    """

    def __init__(self, folder: Path, phase: str, figure: str, first_epoch: int):
        super().__init__()
        self.path = folder / f"best-{phase}.weights.h5"
        self.figure, self.sign = figure, 1 if figure.endswith("accuracy") else -1
        self.best = -math.inf
        if first_epoch:
            history = pd.read_csv(folder / HISTORY)
            earlier = history[history["phase"] == phase][figure]
            self.best = float((self.sign * earlier).max())

    def on_epoch_end(self, epoch, logs=None):
        value = self.sign * logs[self.figure]
        if value > self.best:
            self.best = value
            _write_weights(self.model, self.path)

    def on_train_end(self, logs=None):
        self.model.load_weights(self.path)


class Checkpoint(keras.callbacks.Callback):
    """Keeps the newest whole epoch on disk: weights, optimizer and where the training stands.

    What is kept is `network`, of which an epoch may have trained a part.
    """

    def __init__(self, folder: Path, phase: int, epochs: int, network: keras.Model):
        super().__init__()
        self.folder, self.phase, self.epochs, self.network = folder, phase, epochs, network
        self._last, self._wait = time.perf_counter(), CHECKPOINT_SECONDS

    def on_epoch_end(self, epoch, logs=None):
        due = time.perf_counter() - self._last >= self._wait
        # A phase that stopped early has no epochs left to go on with.
        done = self.epochs if self.model.stop_training else epoch + 1
        if not due and done < self.epochs:
            return
        start = time.perf_counter()
        weights = self.folder / f"checkpoint-{self.phase}-{done}.weights.h5"
        _write_weights(self.network, weights)
        write_state(self.folder, {"phase": self.phase, "epoch": done, "weights": weights.name})
        for old in self.folder.glob("checkpoint-*.weights.h5"):
            if old != weights:
                old.unlink()
        self._last = time.perf_counter()
        # A network whose weights take seconds to write is kept less often.
        self._wait = CHECKPOINT_SECONDS * max(1.0, self._last - start)


class Resume(keras.callbacks.Callback):
    """Puts weights, optimizer and the other callbacks back to the end of a kept epoch.

    Callbacks such as ReduceLROnPlateau forget everything when a training begins, but what they
    know is a function of the history: they are shown it again, then the optimizer is restored.
    """

    def __init__(self, folder: Path, phase: str, state: dict, others, network: keras.Model):
        super().__init__()
        self.folder, self.phase, self.state, self.others = folder, phase, state, others
        self.network = network

    def on_train_begin(self, logs=None):
        history = pd.read_csv(self.folder / HISTORY)
        for row in history[history["phase"] == self.phase].to_dict("records"):
            for callback in self.others:
                callback.on_epoch_end(row["epoch"] - 1, row)
        self.network.load_weights(self.folder / self.state["weights"])


def read_state(folder: Path) -> dict | None:
    """Where an interrupted training stands: phase (from 0), epochs done, weights; None if new."""
    path = folder / STATE
    return json.loads(path.read_text()) if path.exists() else None


def write_state(folder: Path, state: dict) -> None:
    """Replace the state in one step: a kill leaves the old one or the new one."""
    draft = folder / (STATE + ".new")
    draft.write_text(json.dumps(state))
    os.replace(draft, folder / STATE)


def forget_later_epochs(folder: Path, phase: str, epoch: int) -> None:
    """Drop rows of the history that came after the kept epoch; they will be trained again."""
    path = folder / HISTORY
    if not path.exists():
        return
    history = pd.read_csv(path)
    kept = history[(history["phase"] != phase) | (history["epoch"] <= epoch)]
    if kept.empty:
        path.unlink()
    else:
        _write_table(kept, path)


def _write_table(table: pd.DataFrame, path: Path) -> None:
    """Replace a table in one step: a kill or a full disk leaves the old one."""
    draft = path.with_name(f"new-{path.name}")
    table.to_csv(draft, index=False)
    os.replace(draft, path)


def _write_weights(network: keras.Model, path: Path) -> None:
    """Replace weights in one step: a kill or a full disk leaves the old ones."""
    draft = path.with_name(f"new-{path.name}")
    try:
        network.save_weights(draft)
    except BaseException:
        draft.unlink(missing_ok=True)  # which also makes room on a full disk
        raise
    os.replace(draft, path)
