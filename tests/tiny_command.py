"""The command line with the network of one layer in place of the zoo: python -m tests.tiny_command

As `run.py`, for processes of their own. With STOP_AFTER=N a process ends itself, as if killed, when
it has trained N epochs; with STOP_ONCE=FILE too, only the first one does, which makes that file.
"""

import os
import signal
import sys

import keras

import models
import run
from tests.tiny_model import Tiny
from tests.undrawn import leave_undrawn


class _Killed(keras.callbacks.Callback):
    def __init__(self, epochs):
        super().__init__()
        self.epochs = epochs

    def on_epoch_end(self, epoch, logs=None):
        if epoch + 1 == self.epochs and _is_first(os.environ.get("STOP_ONCE")):
            os.kill(os.getpid(), signal.SIGKILL)


def _is_first(marker: str | None) -> bool:
    try:
        return marker is None or not os.close(os.open(marker, os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return False


def main() -> int:
    import pytest

    models.MODELS["Tiny"] = "tests.tiny_model:Tiny"
    prepare, stop = Tiny.prepareModel, int(os.environ.get("STOP_AFTER", 0))

    def prepare_and_stop(model):
        prepare(model)
        if stop:
            (phase,) = model.phases
            object.__setattr__(phase, "callbacks", (*phase.callbacks, _Killed(stop)))

    with pytest.MonkeyPatch.context() as patch:
        leave_undrawn(patch)
        patch.setattr(Tiny, "prepareModel", prepare_and_stop)
        patch.setattr("training.callbacks.CHECKPOINT_SECONDS", 0)
        return run.main(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
