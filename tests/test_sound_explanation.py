"""The patches that explain a recording lie on the sound that tells its class."""

import keras
import numpy as np
import pandas as pd
import pytest

from datasets.base import Splits, Table
from datasets.recordings import Recordings
from datasets.spectrograms import MelSettings, Spectrograms, log_mel
from models.explanation.sounds import fine_enough, sound_map
from models.music.mel_dcnn import MelDCNN
from models.music.mel_network import Block

RATE, BURST, LEARNT = 8_000, 0.25, 160  # samples a second, seconds, recordings
TONES, OTHER = {"high": 2_500, "low": 300}, 1_000  # Hz of the tone that tells the class
# Frames of segments overlap, so a little to either side is heard with the burst.
MARGIN = 0.1  # seconds
ROWS = 8  # mel bands to either side of the tone
BLOCKS = (Block(6, 5, (2, 4)), Block(8, 3, (2, 2)), Block(8, 3, (1, 2)))


def bursts(count, seconds, seed):
    """Noise with two short tones somewhere: one that tells the class, and one that tells nothing.

    Returns:
        Waveforms, and (count, 2) when the telling and the other tone begin, in seconds.
    """
    rng, names = np.random.default_rng(seed), list(TONES)
    times = np.arange(round(seconds * RATE)) / RATE
    waveforms, starts = [], rng.uniform(0, seconds - BURST, (count, 2))
    for number, both in enumerate(starts):
        waveform = rng.normal(0, 0.02, len(times))
        for start, hertz in zip(both, (TONES[names[number % 2]], OTHER), strict=True):
            sounds = (times >= start) & (times < start + BURST)
            waveform += 0.2 * np.sin(2 * np.pi * hertz * times) * sounds
        waveforms.append(waveform.astype(np.float32))
    return waveforms, starts


@pytest.fixture(scope="module")
def heard():
    """A trained network of sound, from spectrograms."""
    waveforms, _ = bursts(LEARNT, 1.0, seed=0)
    labels = np.array(list(TONES))[np.arange(LEARNT) % 2]
    spectrograms = Spectrograms.of(log_mel(one, MelSettings(RATE)) for one in waveforms)
    frame = pd.DataFrame(
        {"key": np.arange(LEARNT).astype(str), "label": labels, "part": "", "artist": "",
         "digest": np.arange(LEARNT).astype(str)}
    )  # fmt: skip
    recordings = Recordings.of(waveforms, RATE, spectrograms)
    table = Table("bursts", "made for a test", tuple(TONES), frame, {"waveform": recordings})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("models.music.mel_network.BLOCKS", BLOCKS)
        patch.setattr("models.music.mel_network.DENSE", 16)
        model = MelDCNN(MelDCNN.Options(epochs=1))
        model.split_table(table)
        model.createArchitecture()
    trained = keras.Model(model.model.input, model.model.output["probabilities"])
    trained.compile(
        keras.optimizers.Adam(3e-3), "sparse_categorical_crossentropy", metrics=["accuracy"]
    )
    fitted, targets = spectrograms.padded(), np.arange(LEARNT) % 2
    trained.fit({"waveform": fitted}, targets, batch_size=20, epochs=12, verbose=0)
    print(trained.evaluate({"waveform": fitted}, targets, verbose=0))
    return model.model


def test_segments_are_drawn_as_they_count():
    waveforms, _ = bursts(8, 2.0, seed=2)
    spectrograms = Spectrograms.of(log_mel(one, MelSettings(RATE)) for one in waveforms)
    frame = pd.DataFrame(
        {"key": list("abcdefgh"), "label": list(TONES) * 4, "part": "", "artist": "",
         "digest": list("abcdefgh")}
    )  # fmt: skip
    recordings = Recordings.of(waveforms, RATE, spectrograms)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("models.music.mel_network.BLOCKS", BLOCKS)
        patch.setattr("models.music.mel_network.DENSE", 16)
        model = MelDCNN(MelDCNN.Options(epochs=1, attention=2))
        table = Table("bursts", "made for a test", tuple(TONES), frame, {"waveform": recordings})
        parts = [np.arange(8)[part] for part in (slice(4), slice(4, 6), slice(6, 8))]
        model.use_data(table, Splits(*parts))
        model.createArchitecture()
    spectrogram = spectrograms[0][None]
    attention = model.model.get_layer("genre_attention")
    counted = keras.Model(model.model.input, attention.output)({"waveform": spectrogram})
    attention.set_weights([50 * weight for weight in attention.get_weights()])
    sharper = keras.Model(model.model.input, attention.output)({"waveform": spectrogram})
    assert np.ptp(sharper) > 10 * np.ptp(counted)
    found = sound_map(model.model, {"waveform": spectrogram}, 0)
    alone = [sound_map(model.model, {"waveform": one[None]}, 0).heat for one in found.segments]
    whole = np.zeros_like(found.heat)
    for number, (share, heat) in enumerate(zip(np.asarray(sharper)[0], alone, strict=True)):
        start = number * found.hop
        whole[start : start + len(heat)] += share * heat
    np.testing.assert_allclose(found.heat, whole, rtol=1e-3, atol=1e-6)


def on_bursts(network, count=8):
    """Of what speaks for the class, the shares that lie on the telling and on the other tone.

    And the share of the area of one of them.
    """
    waveforms, starts = bursts(count, 2.0, seed=1)
    settings = MelSettings(RATE)
    second = settings.rate / settings.hop
    shares, areas = [], []
    for number, (waveform, both) in enumerate(zip(waveforms, starts, strict=True)):
        spectrogram = log_mel(waveform, settings)
        found = sound_map(network, {"waveform": spectrogram[None]}, number % 2)
        assert found.heat.shape == spectrogram.shape
        heat = np.maximum(found.heat, 0)
        for start, hertz in zip(both, (list(TONES.values())[number % 2], OTHER), strict=True):
            tone = np.abs(settings.frequencies() - hertz).argmin()
            first, last = (
                round(second * when) for when in (start - MARGIN, start + BURST + MARGIN)
            )
            box = np.zeros(heat.shape, bool)
            box[max(0, first) : last, max(0, tone - ROWS) : tone + ROWS + 1] = True
            shares.append(heat[box].sum() / heat.sum())
            areas.append(box.mean())
    telling, other = np.reshape(shares, (count, 2)).mean(axis=0)
    return telling, other, np.mean(areas)


def test_patches_lie_on_the_telling_tone_and_random_weights_destroy_it(heard):
    telling, other, area = on_bursts(heard)
    kept = heard.get_weights()
    rng = np.random.default_rng(2)
    heard.set_weights([rng.permutation(values.ravel()).reshape(values.shape) for values in kept])
    random = on_bursts(heard)
    heard.set_weights(kept)
    assert telling > 4 * area
    assert telling > 3 * other
    assert random[0] < 2 * area


def test_maps_too_coarse_are_left_for_the_last_pooling_that_tells_enough_places_apart():
    picture = keras.Input((43, 128, 1))
    seen, found = picture, {}
    for number in range(1, 5):
        seen = keras.layers.Conv2D(2, 3, padding="same", name=f"convolution_{number}")(seen)
        seen = keras.layers.MaxPooling2D(2, name=f"pool_{number}")(seen)
        found[number] = keras.Model(picture, seen).get_layer(f"pool_{number}")
    assert seen.shape[1:3] == (2, 8)
    assert fine_enough(found[4]).name == "pool_2"  # 10 by 32; the third tells 5 by 16
    assert fine_enough(found[2]) is found[2]
    only = keras.layers.Conv2D(2, 40, name="only")
    only(picture)
    assert fine_enough(only) is only  # there is nothing finer before it
