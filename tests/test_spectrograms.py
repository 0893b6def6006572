"""Log-mel spectrograms: as librosa computes them, and as the column of a table."""

import librosa
import numpy as np
import pytest
import soundfile

from datasets.spectrograms import AMIN, BANDS, MelSettings, Spectrograms, log_mel


def by_librosa(waveform, settings):
    power = librosa.feature.melspectrogram(
        y=waveform,
        sr=settings.rate,
        n_fft=settings.fft,
        win_length=settings.window,
        hop_length=settings.hop,
        n_mels=BANDS,
        pad_mode="constant",
    )
    return librosa.power_to_db(power, amin=AMIN, ref=1, top_db=None).T


def assert_agree(found, expected):
    """What issue 6 asks for: 1e-3 dB down to 60 dB below the peak, 0.1 dB under that."""
    assert found.dtype == np.float32 and found.shape == expected.shape
    difference = np.abs(found - expected)
    assert difference[expected > expected.max() - 60].max() < 1e-3
    assert difference.max() < 0.1


def music(rate, seconds=3.3):
    """Tones from the lowest to the highest band that fade away, over a little noise."""
    times = np.arange(round(seconds * rate)) / rate
    tones = sum(np.sin(2 * np.pi * share * rate / 2 * times) for share in (0.002, 0.03, 0.2, 0.7))
    noise = 1e-5 * np.random.default_rng(0).standard_normal(len(times))
    return (0.2 * tones * np.exp(-3 * times) + noise).astype(np.float32)


@pytest.mark.parametrize("rate", [8000, 11_025, 22_050, 44_100, 48_000, 96_000])
def test_a_spectrogram_is_librosas(rate):
    settings = MelSettings(rate)
    waveform = music(rate)
    assert_agree(log_mel(waveform, settings), by_librosa(waveform, settings))


def test_frames_last_46_milliseconds_and_overlap_by_half():
    settings = MelSettings(44_100)
    assert (settings.window, settings.hop, settings.fft, settings.bands) == (2048, 1024, 2048, 128)
    for rate in (8000, 16_000, 22_050, 48_000, 96_000):
        settings = MelSettings(rate)
        assert settings.window == 2 * settings.hop
        assert settings.window / rate == pytest.approx(2048 / 44_100, rel=0.01)


def test_no_band_is_empty_at_any_rate():
    for rate in (3000, 4000, 8000, 11_000, 11_025, 16_000, 22_050, 44_100, 48_000, 192_000):
        settings = MelSettings(rate)
        assert settings.fft / 2 < settings.window <= settings.fft
        assert settings.filters().shape == (BANDS, settings.fft // 2 + 1)
        assert settings.filters().any(axis=1).all()
        assert np.count_nonzero(settings.taper()) == settings.window - 1


@pytest.mark.parametrize("samples", [0, 1, 371, 372, 373, 186 * 128, 186 * 128 + 1])
def test_frames_by_the_number_of_samples(samples):
    waveform = np.random.default_rng(1).standard_normal(samples).astype(np.float32)
    found = log_mel(waveform, MelSettings(8000))
    assert found.shape == (1 + samples // 186, 128) and np.isfinite(found).all()


def test_silence_has_100_decibels_below_one():
    for waveform in (np.zeros(9000, np.float32), np.full(9000, 1e-9, np.float32)):
        found = log_mel(waveform, MelSettings(8000))
        np.testing.assert_allclose(found, -100, rtol=1e-6)  # of a logarithm in float32


def test_the_waveform_is_left_as_it_was():
    waveform = music(8000, 0.5)
    before = waveform.copy()
    log_mel(waveform, MelSettings(8000))
    assert np.array_equal(waveform, before)


# --- the column


@pytest.fixture
def many():
    rng = np.random.default_rng(2)
    return [rng.standard_normal((frames, BANDS)).astype(np.float32) for frames in (5, 1, 7, 3)]


def test_a_column_gives_each_spectrogram(many):
    column = Spectrograms.of(iter(many))
    assert len(column) == 4 and column.counts.tolist() == [5, 1, 7, 3]
    assert all(map(np.array_equal, column, many))
    assert np.array_equal(column[-1], many[-1]) and np.array_equal(column[np.int64(2)], many[2])
    with pytest.raises(IndexError):
        column[4]


def test_rows_and_slices_share_the_buffer(many):
    column = Spectrograms.of(many)
    cut = column[np.array([2, 0, 0])]
    assert all(map(np.array_equal, cut, (many[2], many[0], many[0])))
    assert all(map(np.array_equal, column[1:][::2], (many[1], many[3])))
    assert cut.frames is column.frames and len(column[:0]) == 0


def test_padded_to_the_longest_with_nan(many):
    column = Spectrograms.of(many)[:2]
    padded = column.padded()
    assert padded.shape == column.shape == (2, 5, BANDS)
    assert np.array_equal(padded[0], many[0]) and np.array_equal(padded[1, :1], many[1])
    assert np.isnan(padded[1, 1:]).all()


def test_a_column_of_none():
    column = Spectrograms.of([])
    assert len(column) == 0 and column.shape == (0, 0, BANDS) and list(column) == []


# --- real recordings


@pytest.mark.real
def test_a_spectrogram_of_speech_is_librosas(real_data):
    paths = sorted((real_data / "spoken_digits").glob("*.wav"))
    for path in paths[::200]:
        waveform, rate = soundfile.read(path, dtype="float32")
        settings = MelSettings(rate)
        assert_agree(log_mel(waveform, settings), by_librosa(waveform, settings))
