"""Devices: in what precision a network trains, on how many of them, and in how many processes.

On TensorFlow all GPUs of a machine share every batch (`MirroredStrategy`), on JAX all devices of
all processes (`keras.distribution.DataParallel`). A batch is as large as on one device, and the
training comes to the same weights. A network lies on one device but for its training: `begin` tells
TensorFlow where variables are made, JAX has them moved for each call of `fit` (`spread`), and
`settled` brings the trained network back.
"""

from __future__ import annotations

import contextlib
import functools
from dataclasses import asdict, dataclass

import keras
import numpy as np

from training.copies import copied
from training.processes import (
    DeviceError,
    join_processes,
    lost_processes_told,
    process_count,
    process_index,
)

# Policies by the compute capability of NVIDIA's GPUs: tensor cores multiply float16 from 7.0 on,
# and from 8.0 on bfloat16, which needs no scaling of the loss.
HALF_FLOATS = {7: "mixed_float16", 8: "mixed_bfloat16"}


@dataclass(frozen=True)
class Device:
    """What networks compute on.

    Attributes:
        name: of the processor, such as `NVIDIA H100 80GB HBM3`, or `CPU`.
        capability: major compute capability of an NVIDIA GPU; 0 for all else.
    """

    name: str
    capability: int = 0


@dataclass(frozen=True)
class Setting:
    """How networks train, as `metadata.json` records it.

    Attributes:
        backend: of Keras.
        device: name of the processor.
        devices: how many of them share every batch.
        processes: that these belong to.
        precision: name of the Keras policy.
    """

    backend: str
    device: str
    devices: int
    processes: int
    precision: str

    def to_json(self) -> dict:
        return asdict(self)


def setting_text(values: dict) -> str:
    """A `Setting` as `metadata.json` holds it, worded for people."""
    several = f"{values['devices']} x " if values["devices"] > 1 else ""
    apart = f" in {values['processes']} processes" if values["processes"] > 1 else ""
    return f"{several}{values['device']}{apart}, {values['precision']}, by {values['backend']}"


def begin(precision: str, distribute: str) -> Setting:
    """Let what is built from here on be trained in this precision and on these devices.

    Args:
        precision: a policy of Keras, or `auto`.
        distribute: `none`: one device; `auto`: all of this process; `hosts`: those of all
            processes, which wait for each other here.

    Raises:
        DeviceError: the backend cannot do that.
    """
    backend = keras.backend.backend()
    if distribute == "hosts":
        join_processes()
    if distribute != "none" and backend == "torch":
        raise DeviceError(
            "--distribute auto shares batches on the backends tensorflow and jax: leave it out, or "
            "set KERAS_BACKEND"
        )
    found = _FINDERS[backend]()
    policy = chosen_precision(precision, found[0])
    keras.config.set_dtype_policy(policy)
    number = 1 if distribute == "none" else len(found)
    if backend == "tensorflow":
        _compute_alike()
        _set_strategy(number)
    if backend == "jax" and distribute == "hosts":
        import jax

        number = jax.device_count()
    processes = process_count() if distribute == "hosts" else 1
    _State.setting = Setting(backend, found[0].name, number, processes, policy)
    return _State.setting


class _State:
    setting: Setting | None = None


def setting() -> Setting:
    """How networks train at present."""
    return _State.setting or begin("float32", "none")


def chosen_precision(asked: str, device: Device) -> str:
    """The Keras policy for what was asked for: `auto` is what the device gains by."""
    if asked != "auto":
        return asked
    gains = [policy for least, policy in HALF_FLOATS.items() if device.capability >= least]
    return gains[-1] if gains else "float32"


def gains_nothing() -> bool:
    """Whether networks train in half the bits on a processor that is not faster by it."""
    found = _FINDERS[keras.backend.backend()]()[0]
    return setting().precision != "float32" and found.capability < min(HALF_FLOATS)


def _compute_alike() -> None:
    """Let every repetition of an operation give the same bits, whatever threads do."""
    import tensorflow as tf

    tf.config.experimental.enable_op_determinism()


def _tensorflow_devices() -> list[Device]:
    import tensorflow as tf

    found = []
    for gpu in tf.config.list_physical_devices("GPU"):
        told = tf.config.experimental.get_device_details(gpu)
        capability = told.get("compute_capability", (0,))[0]
        found.append(Device(told.get("device_name", "GPU"), capability))
    return found or [Device("CPU")] * len(tf.config.list_logical_devices("CPU"))


def _jax_devices() -> list[Device]:
    import jax

    return [
        Device("CPU")
        if one.platform == "cpu"
        else Device(one.device_kind, int(float(getattr(one, "compute_capability", 0))))
        for one in jax.local_devices()
    ]


def _torch_devices() -> list[Device]:
    import torch

    if not torch.cuda.is_available():
        return [Device("CPU")]
    return [Device(torch.cuda.get_device_name(), torch.cuda.get_device_capability()[0])]


_FINDERS = {"tensorflow": _tensorflow_devices, "jax": _jax_devices, "torch": _torch_devices}


def _set_strategy(devices: int) -> None:
    import tensorflow as tf

    tf.distribute.experimental_set_strategy(_mirrored() if devices > 1 else None)


@functools.cache
def _mirrored():
    """One for all of a process: its variables cannot be mixed with another's."""
    import tensorflow as tf

    kind = "GPU" if tf.config.list_physical_devices("GPU") else "CPU"
    return tf.distribute.MirroredStrategy(
        [one.name for one in tf.config.list_logical_devices(kind)]
    )


def summed_devices() -> int:
    """How many devices' gradients are added up, each of the mean over its own samples."""
    return setting().devices if setting().backend == "tensorflow" else 1


def synchronise(network: keras.Model) -> None:
    """Let batch normalisations normalise by the whole batch, of which a device sees a part.

    On JAX they do so by themselves.
    """
    if summed_devices() > 1:
        for layer in network._flatten_layers():
            if isinstance(layer, keras.layers.BatchNormalization):
                layer.synchronized = True


def settled(network: keras.Model) -> keras.Model:
    """A trained network on one device that computes in float32, as its weights are.

    So it can be judged, saved and used anywhere. What is built from here on is of that kind too.
    """
    changed = setting().precision != "float32" or summed_devices() > 1
    begin("float32", "none")
    if not changed:
        return network
    return copied(network, _plain)


def _plain(layer):
    told = layer.get_config() | {"dtype": "float32"}
    if isinstance(layer, keras.layers.BatchNormalization):
        told["synchronized"] = False
    return type(layer).from_config(told)


def evened(batches, together: int = 1):
    """Batches that all devices get an equal part of; of several processes, this one's parts.

    Where the samples of a batch cannot be shared out evenly, some stand in it twice, the second
    time with weight 0, and the others weigh as much more as keeps the mean of the loss.

    Args:
        batches: tf.data of (inputs, targets) or (inputs, targets, weights).
        together: how many samples belong together: of a batch of triplets first come the anchors,
            then the positives, then the negatives. Each device gets whole triplets, in that order.
    """
    devices = setting().devices
    if devices == 1:
        return batches
    import tensorflow as tf

    by_device = setting().backend == "tensorflow"  # JAX computes as if all were on one device
    parts, part = setting().processes, process_index()

    def even(inputs, targets, weights=None):
        samples = tf.shape(targets)[0] // together
        each = -(-samples // devices)
        places = tf.range(each * devices)
        rows = tf.range(together)[:, None] * samples + tf.minimum(places, samples - 1)[None]
        share = tf.cast(places < samples, tf.float32) * tf.cast(
            each * devices / samples, tf.float32
        )
        shares = tf.tile(share[None], (together, 1))
        if by_device:
            rows, shares = (
                tf.transpose(tf.reshape(one, (together, devices, each)), (1, 0, 2))
                for one in (rows, shares)
            )
        rows, shares = tf.reshape(rows, [-1]), tf.reshape(shares, [-1])
        size = together * each * devices // parts
        rows, shares = (one[part * size : (part + 1) * size] for one in (rows, shares))
        taken = {name: tf.gather(tensor, rows) for name, tensor in inputs.items()}
        weights = shares if weights is None else shares * tf.gather(weights, rows)
        return taken, tf.gather(targets, rows), weights

    return batches.map(even, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)


@contextlib.contextmanager
def spread(model: keras.Model):
    """Let the variables of a compiled model lie on all devices while it is fitted.

    Raises:
        LostProcessError: another process has ended.
    """
    if setting().backend != "jax" or setting().devices == 1:
        yield
        return
    devices = keras.distribution.list_devices() if setting().processes > 1 else _local_names()
    everywhere = keras.distribution.DataParallel(devices=devices, auto_shard_dataset=False)
    variables = [*model.variables, *model.optimizer.variables, *model.metrics_variables]
    for variable in variables:
        layout = everywhere.get_variable_layout(variable)
        variable.assign(keras.distribution.distribute_tensor(variable.value, layout))
    with everywhere.scope(), lost_processes_told():
        yield
    for variable in variables:
        variable.assign(np.asarray(variable.value.addressable_data(0)))


def _local_names() -> list[str]:
    import jax

    return [f"{one.platform}:{one.id}" for one in jax.local_devices()]
