"""The spectrogram inside the network: that of `datasets.spectrograms`, at any rate and length."""

import keras
import numpy as np
import pytest

from datasets.spectrograms import BANDS, SILENCE, MelSettings, Spectrograms, log_mel
from models.music.front_end import MelSpectrogram, RelativeLevel, band_statistics

RATES = (8_000, 22_050, 44_100)


def sound(rate, seconds, seed=0):
    """Chords over noise that beats and dies away: loud and quiet frames and bands."""
    rng = np.random.default_rng(seed)
    times = np.arange(round(seconds * rate)) / rate
    chord = sum(np.sin(2 * np.pi * tone * times) for tone in rng.uniform(80, 0.4 * rate, 9))
    beat = np.exp(-8 * (2 * times % 1)) * rng.standard_normal(len(times))
    return np.float32((0.05 * chord + 0.1 * beat) * np.exp(-3 * times))


def in_the_graph(waveforms, rate):
    """(batch, frames, bands) of waveforms, the shorter ones of which end in NaN."""
    batch = np.full((len(waveforms), max(map(len, waveforms))), np.nan, np.float32)
    for row, waveform in zip(batch, waveforms, strict=True):
        row[: len(waveform)] = waveform
    return np.asarray(MelSpectrogram(rate)(batch))


def assert_alike(found, expected):
    """1e-3 dB down to 60 dB below the loudest value, 0.1 dB under that."""
    assert found.shape == expected.shape
    audible = expected > expected.max() - 60
    assert audible.any() and not audible.all()
    np.testing.assert_allclose(found[audible], expected[audible], rtol=0, atol=1e-3)
    np.testing.assert_allclose(found, expected, rtol=0, atol=0.1)


@pytest.mark.parametrize("rate", RATES)
def test_it_is_the_spectrogram_that_the_network_was_trained_on(rate):
    waveform = sound(rate, 2.0)
    (found,) = in_the_graph([waveform], rate)
    assert_alike(found, log_mel(waveform, MelSettings(rate)))


@pytest.mark.parametrize("rate", RATES)
def test_in_a_batch_each_recording_has_what_it_has_alone(rate):
    hop = MelSettings(rate).hop
    waveforms = [sound(rate, seconds, seed) for seed, seconds in enumerate((0.7, 1.1, 0.2))]
    waveforms += [waveforms[0][: 5 * hop], waveforms[0][: 5 * hop - 1], waveforms[0][:1]]
    together = in_the_graph(waveforms, rate)
    assert together.shape == (6, 1 + max(map(len, waveforms)) // hop, BANDS)
    for found, waveform in zip(together, waveforms, strict=True):
        expected = log_mel(waveform, MelSettings(rate))
        assert np.isnan(found[len(expected) :]).all()
        (alone,) = in_the_graph([waveform], rate)
        np.testing.assert_allclose(found[: len(expected)], alone, rtol=0, atol=1e-4)


def test_silence_and_nothing_are_silent():
    silent, nothing = in_the_graph([np.zeros(4_000, np.float32), np.zeros(0, np.float32)], 8_000)
    assert (silent == SILENCE).all()
    assert (nothing[0] == SILENCE).all()
    assert np.isnan(nothing[1:]).all()


def test_it_promises_the_shape_that_comes():
    for samples in (1, 371, 372, 8_000):
        promised = MelSpectrogram(8_000)(keras.Input((samples,), batch_size=2))
        found = MelSpectrogram(8_000)(np.zeros((2, samples), np.float32))
        assert promised.shape == tuple(found.shape)
    assert MelSpectrogram(8_000)(keras.Input((None,))).shape == (None, None, BANDS)


def test_it_outlives_saving(tmp_path):
    waveform = keras.Input((None,))
    model = keras.Model(waveform, MelSpectrogram(22_050)(waveform))
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    given = sound(22_050, 0.5)[None]
    np.testing.assert_array_equal(again(given), model(given))


# --- the level of a segment


def test_the_loudest_value_of_a_segment_is_nought_and_80_db_below_it_is_the_end():
    segments = np.random.default_rng(0).uniform(-90, 20, (3, 43, BANDS)).astype(np.float32)
    found = np.asarray(RelativeLevel()(segments))
    assert (found.max(axis=(1, 2)) == 0).all()
    loudest = segments.max(axis=(1, 2), keepdims=True)
    np.testing.assert_allclose(found, np.maximum(segments - loudest, -80), atol=1e-5)


def test_silence_does_not_become_loud():
    silent = np.full((1, 43, BANDS), SILENCE, np.float32)
    hum = np.full((1, 43, BANDS), -70, np.float32)
    assert (np.asarray(RelativeLevel()(silent)) == -40).all()
    assert (np.asarray(RelativeLevel()(hum)) == -10).all()


# --- the standardisation of each band


def recordings(count=5):
    rng = np.random.default_rng(0)
    found = [rng.normal(-40, 9, (length, BANDS)) for length in range(30, 30 + 7 * count, 7)]
    return [np.float32(one) for one in found]


def test_bands_are_standardised_by_all_frames():
    given = recordings()
    given[0][:, 3] -= 30
    frames = np.concatenate(given).astype(float)
    mean, variance = band_statistics(Spectrograms.of(given))
    np.testing.assert_allclose(mean, frames.mean(axis=0), rtol=1e-6)
    np.testing.assert_allclose(variance, frames.var(axis=0), rtol=1e-4)


def test_relative_levels_are_standardised_by_what_they_are():
    given = recordings()
    given[2] += 25
    levelled = np.concatenate([np.maximum(one - one.max(), -80) for one in given]).astype(float)
    mean, variance = band_statistics(Spectrograms.of(given), level=RelativeLevel())
    np.testing.assert_allclose(mean, levelled.mean(axis=0), rtol=1e-5)
    np.testing.assert_allclose(variance, levelled.var(axis=0), rtol=1e-3)


def test_of_many_recordings_some_from_everywhere_are_looked_at():
    given = recordings()
    mean, _ = band_statistics(Spectrograms.of(given), most=3)
    seen = np.concatenate([given[0], given[2], given[4]])
    np.testing.assert_allclose(mean, seen.mean(axis=0, dtype=float), rtol=1e-6)


def test_a_band_that_is_always_silent_stays_small():
    given = recordings()
    for one in given:
        one[:, 7] = SILENCE
    mean, variance = band_statistics(Spectrograms.of(given))
    assert (mean[7], variance[7]) == (SILENCE, 1.0)
    layer = keras.layers.Normalization(mean=mean, variance=variance)
    assert np.abs(np.asarray(layer(given[0][None]))).max() < 6
