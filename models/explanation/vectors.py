"""What landmarks, measurements and whole modalities add to the score of an answer."""

from __future__ import annotations

from dataclasses import dataclass

import keras
import numpy as np

from datasets.columns import Column
from models.emotion.fusion import Present
from models.explanation.anatomy import JOINED, SEGMENTS, answering
from models.explanation.attribution import integrated_gradients
from models.explanation.slopes import scores, slopes_of_inputs
from models.layers import EncodeMeasurements


@dataclass(frozen=True)
class PointContributions:
    """What each landmark adds to the score of a class, against a mean face.

    Attributes:
        values: (points,) signed contributions, of x and y together.
        score, baseline: of the face and of the mean one; the contributions sum to their difference.
    """

    values: np.ndarray
    score: float
    baseline: float


@dataclass(frozen=True)
class JoinedContributions:
    """What the modalities add to the score of a class, where they meet.

    Attributes:
        parts: modality -> (width,) signed contributions of what it hands over.
        score, baseline: of the sample and of the baseline; all contributions sum to their
            difference.
    """

    parts: dict[str, np.ndarray]
    score: float
    baseline: float

    @property
    def weights(self) -> dict[str, float]:
        """Modality -> the sum of its contributions."""
        return {name: float(values.sum()) for name, values in self.parts.items()}


def point_contributions(
    network: keras.Model, arrays: dict, target: int, baseline: np.ndarray
) -> PointContributions:
    """Integrated gradients of the landmarks of one face; whatever else it sees stays.

    Args:
        network: of a model.
        arrays: fitted inputs, name -> (1, ...).
        target: index of the class.
        baseline: (points, 2), a mean face.
    """
    network = answering(network)

    def inputs(points):
        kept = {name: np.repeat(value, len(points), axis=0) for name, value in arrays.items()}
        return kept | {"landmarks": points}

    def slopes_at(points):
        return slopes_of_inputs(network, inputs(points), target)[1]["landmarks"]

    face = np.asarray(arrays["landmarks"])[0]
    found = integrated_gradients(slopes_at, face, baseline)
    ends = scores(network, inputs(np.stack([face, baseline]).astype(np.float32)), target)
    return PointContributions(found.sum(axis=-1), *map(float, ends))


class Fusion:
    """A network from where its modalities meet, for one sample.

    Args:
        network: of a model.
        parts: the modalities, see `models.explanation.anatomy.Anatomy`.
        arrays: fitted inputs, name -> (1, ...); of a network that hears, (segments, ...): each
            segment as a recording of its own.
    """

    def __init__(self, network: keras.Model, parts: tuple[str, ...], arrays: dict):
        meeting = network.get_layer(JOINED).input
        found = keras.Model(network.input, meeting)(arrays, training=False)
        found = [keras.ops.convert_to_numpy(value) for value in found]
        self.values = dict(zip(parts, found, strict=True))
        # What else the rest of the network asks for: which segments lie inside their recording,
        # or which modalities are there. That is the same for all that is looked at here.
        beside = [
            layer.output[1] if layer.name == SEGMENTS else layer.output
            for layer in network.layers
            if layer.name == SEGMENTS or isinstance(layer, Present)
        ]
        known = keras.Model(network.input, beside)(arrays, training=False) if beside else []
        self._beside = [keras.ops.convert_to_numpy(value)[:1] for value in known]
        answer = network.output["probabilities"]
        self._rest = keras.Model([*meeting, *beside], {"probabilities": answer})
        self._ends = np.cumsum([value.shape[-1] for value in found])[:-1]

    def parted(self, vector: np.ndarray) -> dict[str, np.ndarray]:
        """A vector as long as all modalities together -> modality -> its part."""
        return dict(zip(self.values, np.split(vector, self._ends, axis=-1), strict=True))

    def contributions(self, target: int, baseline: dict[str, np.ndarray]) -> JoinedContributions:
        """Integrated gradients of what the modalities hand over; the mean over segments.

        Args:
            target: index of the class.
            baseline: modality -> (width,); one that is missing stays as it is.
        """
        samples = np.concatenate(list(self.values.values()), axis=-1).astype(np.float32)
        start = [
            np.broadcast_to(baseline.get(name, value), value.shape)
            for name, value in self.values.items()
        ]
        starts = np.concatenate(start, axis=-1).astype(np.float32)

        def slopes_at(points):
            slopes = slopes_of_inputs(self._rest, self._given(points), target)[1]
            return np.concatenate(slopes[: len(self.values)], axis=-1)

        pairs = zip(samples, starts, strict=True)
        found = np.mean([integrated_gradients(slopes_at, *pair) for pair in pairs], axis=0)
        ends = [scores(self._rest, self._given(one), target).mean() for one in (samples, starts)]
        return JoinedContributions(self.parted(found), *map(float, ends))

    def _given(self, points: np.ndarray) -> list[np.ndarray]:
        """What the rest of the network takes."""
        beside = [np.repeat(value, len(points), axis=0) for value in self._beside]
        return [*np.split(points, self._ends, axis=-1), *beside]


def by_column(values: np.ndarray, encoder: EncodeMeasurements, columns: tuple[Column, ...]):
    """Contributions of encoded measurements as those of the columns that they come from."""
    found = np.zeros(len(columns))
    np.add.at(found, encoder.sources(), values)
    return found


def encoder_of(network: keras.Model) -> EncodeMeasurements:
    """The layer that encodes the measurements."""
    return next(layer for layer in network.layers if isinstance(layer, EncodeMeasurements))
