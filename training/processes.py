"""Several processes, on one machine or many, that train one network together, on JAX.

Each is told where the first one listens, how many there are and which it is, by a launcher (Slurm,
Open MPI) or by the variables of `VARIABLES`, which are those of Keras. The first one writes.
"""

from __future__ import annotations

import contextlib
import os

import keras
import numpy as np

VARIABLES = (
    "KERAS_DISTRIBUTION_JOB_ADDRESSES",
    "KERAS_DISTRIBUTION_NUM_PROCESSES",
    "KERAS_DISTRIBUTION_PROCESS_ID",
)
HEARTBEAT_SECONDS = 20  # without a sign of life, a process counts as ended
MEETING_SECONDS = 300  # that processes wait for each other at the beginning
WAITING_SECONDS = 1800  # and where one has more to do than the others, such as a large checkpoint
TEXT_BYTES = 4096


class DeviceError(ValueError):
    """Devices, a backend or processes cannot do what was asked for."""


def join_processes() -> None:
    """Meet the other processes; does nothing when they have met.

    Raises:
        DeviceError: the backend is not JAX, nothing says where the others are, or they did not
            come.
    """
    if keras.backend.backend() != "jax":
        raise DeviceError(
            "--distribute hosts needs the backend jax: set KERAS_BACKEND=jax (Keras 3 cannot train "
            "by tf.distribute.MultiWorkerMirroredStrategy)"
        )
    import jax

    if process_count() > 1:
        return
    address, number, index = (os.environ.get(name) for name in VARIABLES)
    told = {}
    if address or number or index:
        try:
            told = {"num_processes": int(number), "process_id": int(index)}
        except (TypeError, ValueError):
            raise DeviceError(f"{_HOW}; they hold '{address}', '{number}', '{index}'") from None
        told["coordinator_address"] = (address or "").split(",")[0]
    # Loaded data, a compiled step: processes may come to a collective minutes apart.
    flag = f"--xla_cpu_collective_timeout_seconds={WAITING_SECONDS}"
    os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {flag}".strip()
    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    try:
        jax.distributed.initialize(
            **told,
            initialization_timeout=MEETING_SECONDS,
            heartbeat_timeout_seconds=HEARTBEAT_SECONDS,
        )
    except ValueError as error:
        raise DeviceError(f"{_HOW} ({error})") from None
    except RuntimeError as error:
        raise DeviceError(f"the other processes did not come: {error}") from None
    _State.count, _State.index = jax.process_count(), jax.process_index()


_HOW = (
    "--distribute hosts: no launcher says which process this is: set "
    f"{VARIABLES[0]}=HOST:PORT of the first process, {VARIABLES[1]} and {VARIABLES[2]}, from 0"
)


def process_count() -> int:
    """How many processes train together; 1 before they have met, and when they have parted."""
    return _State.count


def process_index() -> int:
    """Which of them this is, from 0; it keeps that number."""
    return _State.index


def is_first() -> bool:
    """Whether this is the process that writes."""
    return _State.index == 0


class _State:
    count, index = 1, 0


def on_first(action) -> str:
    """What an action of the first process returns, a text; the others wait for it.

    Raises:
        DeviceError: the action failed, in the other processes; the first one raises what it raised.
    """
    if process_count() == 1:
        return action()
    text, failure = "", None
    if is_first():
        try:
            text = "+" + action()
        except Exception as error:
            text, failure = f"-{error}", error
    told = _from_first(text)
    if failure is not None:
        raise failure
    if told.startswith("-"):
        raise DeviceError(told[1:])
    return told[1:]


def check_same(value: str, what: str) -> None:
    """Make sure that all processes have the same of something.

    Raises:
        DeviceError: this one has another than the first.
    """
    if process_count() > 1 and _from_first(value) != value:
        raise DeviceError(f"process {process_index()} has other {what} than the first one")


def _from_first(text: str) -> str:
    from jax.experimental import multihost_utils

    told = np.zeros(TEXT_BYTES, np.uint8)
    encoded = text.encode()[:TEXT_BYTES]
    told[: len(encoded)] = np.frombuffer(encoded, np.uint8)
    with lost_processes_told():
        told = bytes(multihost_utils.broadcast_one_to_all(told))
    return told.rstrip(b"\0").decode(errors="ignore")


class LostProcessError(DeviceError):
    """Another process of the training is gone, so that this one cannot go on."""


@contextlib.contextmanager
def lost_processes_told():
    """Say in one line what JAX says in many when another process is gone.

    Raises:
        LostProcessError: it is.
    """
    import jax

    try:
        yield
    except (jax.errors.JaxRuntimeError, ValueError) as error:
        # Some of JAX's calls make a ValueError of what Gloo reports.
        told_so = isinstance(error, jax.errors.JaxRuntimeError) or "Gloo" in str(error)
        if process_count() == 1 or not told_so:
            raise
        raise LostProcessError(
            "another process of this training has ended or cannot be reached: start all of them "
            f"again, with --resume ({str(error).splitlines()[0][:200]})"
        ) from None


def leave_processes() -> None:
    """Part from the others, when all have come as far as this."""
    if process_count() > 1:
        import jax

        jax.distributed.shutdown()
        _State.count = 1
