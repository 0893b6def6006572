"""What landmarks, measurements and whole modalities add to the score of an answer."""

from __future__ import annotations

from dataclasses import dataclass

import keras
import numpy as np

from datasets.columns import Column
from models.explanation.anatomy import JOINED, answering
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
        arrays: fitted inputs, name -> (1, ...).
    """

    def __init__(self, network: keras.Model, parts: tuple[str, ...], arrays: dict):
        meeting = network.get_layer(JOINED).input
        found = keras.Model(network.input, meeting)(arrays, training=False)
        found = [keras.ops.convert_to_numpy(value)[0] for value in found]
        self.values = dict(zip(parts, found, strict=True))
        self._rest = keras.Model(meeting, {"probabilities": network.output["probabilities"]})

    def contributions(self, target: int, baseline: dict[str, np.ndarray]) -> JoinedContributions:
        """Integrated gradients of what the modalities hand over.

        Args:
            target: index of the class.
            baseline: modality -> (width,); one that is missing stays as it is.
        """
        start, values = self.values | baseline, list(self.values.values())
        ends = np.cumsum([len(value) for value in values])[:-1]

        def slopes_at(points):
            parted = np.split(points, ends, axis=-1)
            return np.concatenate(slopes_of_inputs(self._rest, parted, target)[1], axis=-1)

        sample = np.concatenate(values).astype(np.float32)
        start = np.concatenate([start[name] for name in self.values]).astype(np.float32)
        found = np.split(integrated_gradients(slopes_at, sample, start), ends)
        both = np.split(np.stack([sample, start]), ends, axis=-1)
        return JoinedContributions(
            dict(zip(self.values, found, strict=True)),
            *map(float, scores(self._rest, both, target)),
        )


def by_column(values: np.ndarray, encoder: EncodeMeasurements, columns: tuple[Column, ...]):
    """Contributions of encoded measurements as those of the columns that they come from."""
    found = np.zeros(len(columns))
    np.add.at(found, encoder.sources(), values)
    return found


def encoder_of(network: keras.Model) -> EncodeMeasurements:
    """The layer that encodes the measurements."""
    return next(layer for layer in network.layers if isinstance(layer, EncodeMeasurements))
