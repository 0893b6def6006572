"""What a frozen part makes of a sample is kept: nothing looks at the same picture twice.

Training, judging and the baselines of a run, its second training and the folds of a
cross-validation send the same samples through the same frozen layers. Outputs are kept in memory,
by what the layers and the sample are, not by where they come from: so a layer that has changed, or
a picture, is computed anew. Of recordings, the samples are their segments.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import lru_cache, partial
from hashlib import blake2b

import keras
import numpy as np
from keras import ops

from training.epochs import compute
from training.frozen import CutNetwork, cut_at_networks, inputs_of, split_at_frozen
from training.processes import process_count

KEPT = 512 * 2**20  # bytes; the oldest outputs go first
LARGEST = 64 * 2**10  # bytes of one sample; whole feature maps are not worth their memory
BATCH = 256  # pieces of samples that a network is shown together


class FrozenOutputs:
    """Outputs of frozen layers, by layers and sample.

    Args:
        limit: bytes that are kept.
    """

    def __init__(self, limit: int = KEPT):
        self._limit, self._bytes = limit, 0
        self._kept: dict[bytes, tuple[np.ndarray, ...]] = {}

    def compute(self, model: keras.Model, arrays: dict, pipelines) -> dict:
        """Outputs of a model that is frozen and deterministic, in row order: name -> array.

        Args:
            model: returns a dictionary.
            arrays: input name -> samples, fitted to the model.
            pipelines: how to make batches.
        """
        groups = {}
        for name, tensor in model.output.items():
            groups.setdefault(inputs_of(tensor), {})[name] = tensor
        found = {}
        for inputs, tensors in groups.items():
            part = keras.Model({name: model.input[name] for name in inputs}, tensors)
            needed = {name: arrays[name] for name in inputs}
            if _is_worth_it(part, needed):
                how = partial(compute, pipelines=pipelines)
                found |= self._look_up(part, needed, _layers_digest(part), how)
            else:
                found |= self.predict(part, pipelines.judging(needed))
        return {name: found[name] for name in model.output}

    def predict(self, model: keras.Model, batches) -> dict:
        """Outputs of a model for batches of inputs, in row order: name -> array.

        What the frozen networks inside it make of what they are shown is kept: each then hears a
        segment once, whatever else hears it, and in whatever recording it stands.

        Args:
            model: returns a dictionary.
            batches: input name -> samples of a batch, fitted to the model.
        """
        cut = cut_at_networks(model) if process_count() == 1 else None
        if cut is None:
            return model.predict(batches, verbose=0)
        return self._predict_cut(cut, batches)

    def _predict_cut(self, cut: CutNetwork, batches) -> dict:
        digests = {name: _layers_digest(network) for name, network in cut.networks.items()}
        found = {name: [] for name in cut.behind.output}
        for batch in batches:
            known = _tensors(batch)
            shown = cut.before(known, training=False)
            for name, network in cut.networks.items():
                pieces = {
                    key: ops.convert_to_numpy(shown[f"{name} {key}"]) for key in network.input
                }
                known |= _tensors(self._look_up(network, pieces, digests[name], _on_batches))
            for name, output in cut.behind(known, training=False).items():
                found[name].append(ops.convert_to_numpy(output))
        return {name: np.concatenate(outputs) for name, outputs in found.items()}

    def _look_up(self, part: keras.Model, arrays: dict, layers: bytes, how: Callable) -> dict:
        keys = [
            blake2b(layers + b"".join(map(_bytes, row)), digest_size=16).digest()
            for row in zip(*(arrays[name] for name in sorted(arrays)), strict=True)
        ]
        missing = {key: row for row, key in enumerate(keys) if key not in self._kept}
        fresh = {}
        if missing:
            rows = list(missing.values())
            outputs = how(part, {name: array[rows] for name, array in arrays.items()})
            columns = (outputs[name] for name in part.output)
            fresh = dict(zip(missing, zip(*columns, strict=True), strict=True))
        rows = [fresh[key] if key in fresh else self._kept[key] for key in keys]
        self._keep(fresh)
        return {
            name: np.stack(column)
            for name, column in zip(part.output, zip(*rows, strict=True), strict=True)
        }

    def _keep(self, fresh: dict) -> None:
        for key, row in fresh.items():
            self._kept[key] = tuple(map(np.copy, row))  # not a view that holds its whole batch
            self._bytes += _size(row)
        while self._bytes > self._limit:
            self._bytes -= _size(self._kept.pop(next(iter(self._kept))))


FROZEN_OUTPUTS = FrozenOutputs()


@lru_cache(maxsize=1)  # a run asks for all its parts, and once more for each shuffled modality
def through_frozen(network: keras.Model) -> Callable:
    """How to compute a network: by its frozen part, if it has one, as (network, arrays, pipelines).

    So samples that the training has sent through that part are not sent through it again.
    """
    split = split_at_frozen(network)
    if split is None:
        return compute
    # Recordings of different lengths have different numbers of segments, which no array holds.
    if any(None in one.shape[1:] for one in split.frozen.output.values()):
        return lambda network, arrays, pipelines: FROZEN_OUTPUTS.predict(
            network, pipelines.judging(arrays)
        )

    def look(network, arrays, pipelines):
        seen = FROZEN_OUTPUTS.compute(split.frozen, arrays, pipelines)
        return compute(split.head, seen, pipelines)

    return look


def _is_worth_it(part: keras.Model, arrays: dict) -> bool:
    """Whether there are layers with weights, small outputs, and samples that are in memory."""
    if not part.weights or not all(isinstance(array, np.ndarray) for array in arrays.values()):
        return False
    shapes = [tensor.shape[1:] for tensor in part.output.values()]
    if any(None in shape for shape in shapes):
        return False
    return sum(4 * int(np.prod(shape)) for shape in shapes) <= LARGEST


def _layers_digest(part: keras.Model) -> bytes:
    """Of what the layers are and hold; names that Keras numbers are told by their place."""
    places = {}
    for layer in part._flatten_layers():
        places.setdefault(layer.name, f"#{len(places)}")
    for operation in part.operations:
        places.setdefault(operation.name, f"#{len(places)}")

    def placed(value):
        if isinstance(value, dict):
            return {key: placed(inner) for key, inner in value.items()}
        if isinstance(value, list):
            return [placed(inner) for inner in value]
        return places.get(value, value) if isinstance(value, str) else value

    digest = blake2b(json.dumps(placed(json.loads(part.to_json()))).encode())
    for weight in part.weights:
        digest.update(_bytes(ops.convert_to_numpy(weight)))
    return digest.digest()


def _on_batches(part: keras.Model, arrays: dict) -> dict:
    """What `compute` does, of few samples, for which a pipeline takes longer than the network."""
    samples = len(next(iter(arrays.values())))
    pieces = [
        part.predict_on_batch(
            {name: array[start : start + BATCH] for name, array in arrays.items()}
        )
        for start in range(0, samples, BATCH)
    ]
    return {name: np.concatenate([piece[name] for piece in pieces]) for name in part.output}


def _tensors(arrays: dict) -> dict:
    """Of the backend, also of the tensors of a pipeline, which are TensorFlow's on every one."""
    return {name: ops.convert_to_tensor(np.asarray(array)) for name, array in arrays.items()}


def _bytes(array) -> bytes:
    array = np.ascontiguousarray(array)
    return f"{array.dtype}{array.shape}".encode() + array.tobytes()


def _size(row: tuple) -> int:
    return sum(array.nbytes for array in row)
