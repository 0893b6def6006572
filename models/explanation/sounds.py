"""When and at what frequencies a recording speaks for an answer."""

from __future__ import annotations

from dataclasses import dataclass

import keras
import numpy as np

from models.explanation.anatomy import SEGMENTS, answering, last_maps
from models.explanation.attribution import class_activation, overlapped
from models.explanation.pictures import spread
from models.explanation.slopes import slopes_of_layers
from models.music.segments import SegmentAttention

AT_ONCE = 64  # segments
# Places of a segment that a map must tell apart, in time and in frequency. The last maps of MelDCNN
# tell 2 by 4. When the 15 % of a recording's patches that such a map names are made the median of
# their bands, the score of the answer falls by 0.4 and 0.5 (40 spoken digits, 40 drawn tracks; at
# random by 0.1 and 0.3), and by 2.0 and 1.9 where a map of 10 by 16 names them.
PLACES = 8


@dataclass(frozen=True)
class SoundMap:
    """What each frame and mel band of a recording adds to the score of a class.

    The score is the mean over the segments of the recording, each of which counts as the network
    lets it.

    Attributes:
        segments: (segments, frames, bands) in dB, those that lie inside the recording.
        heat: (frames, bands) signed: positive where the recording speaks for the class.
        probabilities: (segments,) of the class.
    """

    segments: np.ndarray
    heat: np.ndarray
    probabilities: np.ndarray

    @property
    def hop(self) -> int:
        """Frames from segment to segment."""
        return self.segments.shape[1] // 2


def sound_map(network: keras.Model, arrays: dict, target: int) -> SoundMap:
    """A class activation map of one recording, put together from those of its segments.

    Taken at the last maps that tell apart `PLACES` by `PLACES`, of every network that hears.

    Args:
        network: of a model of sound.
        arrays: `waveform`, the log-mel spectrogram (1, frames, bands) in dB.
        target: index of the class.
    """
    network = answering(network)
    spectrogram = np.asarray(arrays["waveform"])
    segments, inside = network.get_layer(SEGMENTS)(spectrogram)
    is_inside = keras.ops.convert_to_numpy(inside)[0] > 0
    segments = keras.ops.convert_to_numpy(segments)[is_inside]
    counted = _counted(network, spectrogram, is_inside)
    layers = list(dict.fromkeys(fine_enough(layer) for layer in last_maps(network)))
    maps, probabilities = [], []
    for first in range(0, len(segments), AT_ONCE):
        heard = {"waveform": segments[first : first + AT_ONCE]}
        _, watched = slopes_of_layers(network, heard, target, layers)
        shares = counted[first : first + AT_ONCE, None, None]
        maps += list(shares * _merged(watched, segments.shape[1:]))
        answer = network(heard, training=False)["probabilities"]
        probabilities.append(keras.ops.convert_to_numpy(answer)[:, target])
    length = spectrogram.shape[1]
    heat = overlapped(maps, segments.shape[1] // 2, length)[:length]
    return SoundMap(segments, heat, np.concatenate(probabilities))


def _counted(network: keras.Model, spectrogram: np.ndarray, is_inside: np.ndarray) -> np.ndarray:
    """(segments inside,) how much each counts in the answer, summing to 1."""
    attended = [layer.output for layer in network.layers if isinstance(layer, SegmentAttention)]
    if not attended:
        return np.full(is_inside.sum(), 1 / is_inside.sum(), np.float32)
    found = keras.Model(network.input, attended)({"waveform": spectrogram}, training=False)
    shares = [keras.ops.convert_to_numpy(one)[0] for one in keras.tree.flatten(found)]
    return np.mean(shares, axis=0)[is_inside]


def _merged(watched: list[list], shape: tuple[int, int]) -> np.ndarray:
    """(segments, frames, bands): what all maps add at each place."""
    total = 0.0
    for (one,) in watched:
        heats = class_activation(one.value, one.slope).astype(np.float32)
        total = total + np.stack([spread(heat, *shape) for heat in heats])
    return total


def fine_enough(layer: keras.layers.Layer) -> keras.layers.Layer:
    """A layer whose map tells enough places apart: it, or the last such pooling before it.

    What is not pooled yet has slopes at the few places alone that the maximum lets through.

    Args:
        layer: the end of a chain of layers with maps (batch, frames, bands, channels).
    """
    found = layer
    while min(found.output.shape[1:3]) < PLACES or not _is_end(found, layer):
        (tensor,) = found._inbound_nodes[0].input_tensors
        found = tensor._keras_history.operation
        if isinstance(found, keras.layers.InputLayer) or len(found.output.shape) != 4:
            return layer
    return found


def _is_end(found, layer) -> bool:
    return found is layer or isinstance(found, keras.layers.MaxPooling2D)
