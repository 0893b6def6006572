"""When and at what frequencies a recording speaks for an answer."""

from __future__ import annotations

from dataclasses import dataclass

import keras
import numpy as np

from models.explanation.anatomy import (
    SEGMENTS,
    STANDARD,
    all_layers,
    answering,
    layers_called,
)
from models.explanation.attribution import overlapped
from models.explanation.slopes import scores, slopes_of_layers
from models.music.segments import BySegment

STEPS = 24  # on the way from the baseline
AT_ONCE = 32  # segments


@dataclass(frozen=True)
class SoundMap:
    """What each frame and mel band of a recording adds to the score of a class.

    The score is the mean over the segments of the recording. The baseline is the mean spectrum of
    the training recordings, steady over time.

    Attributes:
        heat: (frames, bands) signed contributions; what lies past the end of a recording that is
            shorter than a segment stands in further rows.
        score, baseline: of the recording and of the mean spectrum; the contributions sum to their
            difference.
        probabilities: (segments,) of the class.
        hop: frames from segment to segment.
        networks: what each of the trained networks behind it contributes, where there are several.
    """

    heat: np.ndarray
    score: float
    baseline: float
    probabilities: np.ndarray
    hop: int
    networks: dict[str, float]


def sound_map(network: keras.Model, arrays: dict, target: int, steps: int = STEPS) -> SoundMap:
    """Integrated gradients of one recording, from the mean spectrum to what is heard.

    Taken where the spectrogram has mean 0 and deviation 1 in every band (the layer `standard`, in
    every network that hears), so that the baseline is 0.

    Args:
        network: of a model of sound.
        arrays: `waveform`, the log-mel spectrogram (1, frames, bands) in dB.
        target: index of the class.
        steps: on the way from the baseline.
    """
    network = answering(network)
    spectrogram = arrays["waveform"]
    segments, inside = network.get_layer(SEGMENTS)(spectrogram)
    segments = keras.ops.convert_to_numpy(segments)[keras.ops.convert_to_numpy(inside)[0] > 0]
    hears = layers_called(network, STANDARD)
    pieces = np.zeros((len(hears), *segments.shape))
    found, silent, probabilities = [], [], []
    for first in range(0, len(segments), AT_ONCE):
        part = slice(first, first + AT_ONCE)
        heard = {"waveform": segments[part]}
        pieces[:, part] = _integrated(network, heard, target, hears, steps)
        found.append(scores(network, heard, target))
        silent.append(slopes_of_layers(network, heard, target, hears, scale=0.0)[0])
        answer = network(heard, training=False)["probabilities"]
        probabilities.append(keras.ops.convert_to_numpy(answer)[:, target])
    pieces /= len(segments)
    names = _names(network)
    parts = dict(zip(names, pieces.sum(axis=(1, 2, 3)).tolist(), strict=True)) if names else {}
    hop = segments.shape[1] // 2
    return SoundMap(
        overlapped(pieces.sum(axis=0), hop, spectrogram.shape[1]),
        float(np.concatenate(found).mean()),
        float(np.concatenate(silent).mean()),
        np.concatenate(probabilities),
        hop,
        parts,
    )


def _integrated(network, heard: dict, target: int, layers, steps: int) -> np.ndarray:
    """(layers, segments, frames, bands) contributions of each segment to its own score."""
    total = 0.0
    for step in range(steps):
        share = (step + 0.5) / steps
        _, found = slopes_of_layers(network, heard, target, layers, share)
        total = total + np.stack([one.value / share * one.slope for (one,) in found])
    return total / steps


def _names(network) -> list[str]:
    """The networks inside the network, with the tasks that they have learnt."""
    names = []
    for layer in network.layers:
        if isinstance(layer, keras.Model):
            inner = [one.name for one in all_layers(layer) if isinstance(one, BySegment)]
            tasks = [name.removesuffix("_features").replace("_", " ") for name in inner]
            names.append(f"{layer.name.replace('_', ' ')} ({', '.join(tasks)})")
    return names
