"""Descriptors of whole tracks: what they measure, and which of the two extractors does it."""

import importlib.machinery
import sys
import types

import librosa
import numpy as np
import pytest
import scipy.stats

from datasets import song_descriptors as module
from datasets.recordings import Recordings
from datasets.song_descriptors import mel_statistics, song_descriptors
from datasets.spectrograms import MelSettings, Spectrograms, log_mel

RATE = 22_050


def spectrogram(frames=100, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(-40, 8, (frames, 128)).astype(np.float32)


def recordings(count=3, rate=RATE, frames=60):
    return Recordings.of(
        [np.full(400, 0.1 * (row + 1), np.float32) for row in range(count)],
        rate,
        Spectrograms.of([spectrogram(frames, seed) for seed in range(count)]),
    )


def test_one_band_is_its_own_centroid():
    mel = np.full((50, 128), -100, np.float32)
    mel[:, 90] = 0
    centre = librosa.mel_frequencies(130, fmin=0, fmax=RATE / 2)[91]
    peak = int(librosa.filters.mel(sr=RATE, n_fft=2**14)[90].argmax()) * RATE / 2**14
    assert centre == pytest.approx(peak, rel=1e-3)  # of the filters the spectrograms are made by
    found = mel_statistics(mel, RATE)
    assert found["centroid_mean"] == pytest.approx(centre, rel=0.01)
    assert found["rolloff_p50"] == pytest.approx(centre)
    assert found["bandwidth_mean"] < 0.1 * centre
    assert found["flatness_mean"] < 0.01


def test_levels_add_up_the_bands():
    mel = np.zeros((20, 128), np.float32)
    mel[:, 8:16] = -30
    mel[:, 16:24] = np.arange(8)
    found = mel_statistics(mel, RATE)
    power = 112 + 8 * 1e-3 + (10 ** (np.arange(8) / 10)).sum()
    assert found["level_mean"] == pytest.approx(10 * np.log10(power), abs=1e-3)
    bands = [found[f"band_{number}_mean"] for number in range(16)]
    assert bands == pytest.approx([0, -30, 3.5] + [0] * 13, abs=1e-5)
    assert "band_16_mean" not in found


def test_statistics_of_a_curve_by_hand():
    steps = np.array([0, 0, 3, 9, -2, 4], np.float32)
    mel = np.tile(steps[:, None], (1, 128)) - 20
    found = mel_statistics(mel, RATE)
    level = steps - 20 + 10 * np.log10(128)
    expected = {
        "mean": level.mean(),
        "deviation": level.std(),
        "skewness": scipy.stats.skew(level),
        "p10": np.percentile(level, 10),
        "p50": 1.5 - 20 + 10 * np.log10(128),
        "p90": np.percentile(level, 90),
        "change": (0 + 3 + 6 + 11 + 6) / 5,
        "change_deviation": np.std([0, 3, 6, -11, 6]),
    }
    for statistic, number in expected.items():
        assert found[f"level_{statistic}"] == pytest.approx(number, abs=1e-3), statistic
    assert found["flatness_skewness"] == 0  # it is constant


@pytest.mark.parametrize("rate", [8_000, 22_050, 44_100])
@pytest.mark.parametrize("beats", [90, 120, 170])
def test_the_tempo_is_that_of_the_beats(rate, beats):
    rng = np.random.default_rng(0)
    hiss = 0.003 * rng.normal(size=20 * rate)
    waveform, times = hiss.copy(), np.arange(1, 19 * beats / 60) * 60 / beats
    fading = 0.3 * np.exp(-np.arange(0.15, step=1 / rate) / 0.03)
    for start in (times * rate).astype(int):
        waveform[start : start + len(fading)] += fading * rng.normal(size=len(fading))
    played, hissed = (
        mel_statistics(log_mel(sound.astype(np.float32), MelSettings(rate)), rate)
        for sound in (waveform, hiss)
    )
    assert played["tempo"] == pytest.approx(beats, rel=0.03)  # a lag of whole frames
    assert played["onset_rate"] == pytest.approx(len(times) / 20, rel=0.1)
    assert played["pulse"] > 0.75
    assert hissed["pulse"] < 0.25


def test_quiet_frames_are_counted_from_the_loudest():
    mel = np.full((10, 128), -10, np.float32)
    mel[:3] -= 61
    mel[3:5] -= 59
    assert mel_statistics(mel, RATE)["quiet_share"] == 0.3


@pytest.mark.parametrize("frames", [1, 2, 3, 9, 100])
@pytest.mark.parametrize("level", [-100, None])
def test_short_and_silent_tracks_have_finite_numbers(frames, level):
    mel = spectrogram(frames)
    if level is not None:
        mel[:] = level
    found = mel_statistics(mel, RATE)
    assert np.isfinite(list(found.values())).all()
    if level is not None:
        assert found["pulse"] == found["onset_rate"] == found["quiet_share"] == 0


@pytest.mark.parametrize(
    ("rate", "octaves"), [(8_000, 5), (12_000, 5), (16_000, 6), (22_050, 6), (96_000, 6)]
)
def test_every_rate_has_the_octaves_below_half_of_it(rate, octaves):
    found = mel_statistics(spectrogram(), rate)
    assert f"contrast_{octaves}_mean" in found
    assert f"contrast_{octaves + 1}_mean" not in found
    assert len(found) == 8 * (6 + 16 + 13 + octaves + 1) + 4
    assert np.isfinite(list(found.values())).all()


def test_without_essentia_librosa_describes_and_says_so(monkeypatch):
    monkeypatch.setitem(sys.modules, "essentia", None)
    tracks = recordings()
    found = song_descriptors(tracks, np.array(["a", "b", "c"]))
    assert "librosa" in found.source
    assert (found.dropped, found.failed) == (0, {})
    assert found.values.shape == (3, 340) and found.values.dtype == np.float32
    for row, mel in enumerate(tracks.spectrograms):
        expected = np.float32(list(mel_statistics(mel, RATE).values()))
        assert (found.values[row] == expected).all()


class Pool(dict):
    def descriptorNames(self):  # noqa: N802 - Essentia's name
        return list(self)


@pytest.fixture
def essentia(monkeypatch, tmp_path):
    """A stand-in for the package, which describes a waveform by its first sample."""
    heard = []

    class MusicExtractor:
        def __call__(self, path):
            waveform, rate = module.soundfile.read(path)
            heard.append(rate)
            if not waveform.any():
                raise RuntimeError("File looks like a\nsilent file")
            first = float(waveform[0])
            beats = np.arange(len(heard), dtype=np.float32)
            return Pool({
                "tonal.key": "C",
                "tonal.tags": ["a", "b"],
                "lowlevel.cov": np.array([[first, 2], [3, 4]], np.float32),
                "lowlevel.odd": np.nan if first > 0.25 else 1.0,
                "rhythm.beats_position": beats,
                "rhythm.bpm": 100 * first,
            }), None  # fmt: skip

    standard = types.ModuleType("essentia.standard")
    standard.MusicExtractor = MusicExtractor
    package = types.ModuleType("essentia")
    package.__version__, package.standard = "2.1", standard
    package.log = types.SimpleNamespace()
    package.__spec__ = importlib.machinery.ModuleSpec("essentia", None)
    monkeypatch.setitem(sys.modules, "essentia", package)
    monkeypatch.setitem(sys.modules, "essentia.standard", standard)
    monkeypatch.setattr(module, "threads", lambda: 1)  # other processes lack the stand-in
    monkeypatch.setenv("MENAGERIE_CACHE", str(tmp_path / "cache"))
    return heard


def test_essentia_describes_where_it_is_installed(essentia):
    found = song_descriptors(recordings(), np.array(["a", "b", "c"]))
    assert found.source == "Essentia"
    assert essentia == [RATE] * 3
    assert found.dropped == 1  # `odd`, missing for the third track
    expected = [[first, 2, 3, 4, 100 * first] for first in (0.1, 0.2, 0.3)]
    assert found.values == pytest.approx(np.float32(expected), rel=1e-5)


def test_what_essentia_found_is_not_computed_again(essentia):
    first = song_descriptors(recordings(), np.array(["a", "b", "c"]))
    again = song_descriptors(recordings(), np.array(["a", "b", "c"]))
    assert len(essentia) == 3
    assert (again.values == first.values).all()
    song_descriptors(recordings(), np.array(["a", "x", "c"]))
    assert len(essentia) == 4
    song_descriptors(recordings(rate=44_100), np.array(["a", "b", "c"]))
    assert essentia[4:] == [44_100] * 3


def test_a_track_that_essentia_refuses_has_a_reason(essentia):
    tracks = recordings()
    tracks = Recordings.of([tracks[0], 0 * tracks[1], tracks[0]], RATE, tracks.spectrograms)
    found = song_descriptors(tracks, np.array(["a", "b", "c"]))
    assert found.failed == {1: "File looks like a silent file"}
    assert found.dropped == 0
    assert np.isnan(found.values[1]).all()
    assert np.isfinite(found.values[[0, 2]]).all()
    silent = Recordings.of([0 * tracks[0]], RATE, tracks.spectrograms[:1])
    assert song_descriptors(silent, np.array(["d"])).values.shape == (1, 0)


def test_a_folder_that_cannot_be_written_costs_a_warning(essentia, tmp_path, caplog):
    (tmp_path / "cache").write_text("a file, no folder")
    found = song_descriptors(recordings(), np.array(["a", "b", "c"]))
    assert found.values.shape == (3, 5)
    assert len(caplog.records) == 1
    assert "MENAGERIE_CACHE" in caplog.text
