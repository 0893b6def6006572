"""Recordings: what is read of sound files, good ones and bad ones, and the column of a table."""

import shutil

import numpy as np
import pytest
import soundfile

import datasets.recordings
from datasets.errors import InputError
from datasets.recordings import Recordings, read_recording, read_so_far, resampled
from datasets.spectrograms import MelSettings, Spectrograms, log_mel

RATE = 22_050


def stereo(seconds=2.0, rate=RATE):
    """A tone on both sides, (samples, 2), the right one half as loud, over a little noise."""
    times = np.arange(round(seconds * rate)) / rate
    noise = 0.01 * np.random.default_rng(0).standard_normal(len(times))
    left = 0.5 * np.sin(2 * np.pi * 440 * times) + noise
    return np.stack([left, left / 2], axis=1)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The same sound as wav, flac, ogg and mp3."""
    place = tmp_path_factory.mktemp("recordings")
    for suffix in ("wav", "flac", "ogg", "mp3"):
        soundfile.write(place / f"sound.{suffix}", stereo(), RATE)
    return place


def complaint(path):
    with pytest.raises(ValueError) as caught:
        read_recording(str(path))
    assert "\n" not in str(caught.value)
    return str(caught.value)


def cut(path, share, name="cut"):
    """A copy of a file that ends early."""
    data = path.read_bytes()
    found = path.parent / f"{name}{path.suffix}"
    found.write_bytes(data[: int(len(data) * share)])
    return str(found)


# --- files that can be used


@pytest.mark.parametrize(
    "suffix, near", [("wav", 1e-4), ("flac", 1e-4), ("ogg", 0.1), ("mp3", 0.1)]
)
def test_a_waveform_is_the_mean_of_the_channels(folder, suffix, near):
    waveform, rate = read_recording(str(folder / f"sound.{suffix}"))
    assert rate == RATE and waveform.dtype == np.float32 and waveform.ndim == 1
    np.testing.assert_allclose(waveform, stereo().mean(axis=1), atol=near)


@pytest.mark.parametrize(
    "subtype, near", [("PCM_U8", 0.01), ("PCM_16", 1e-4), ("PCM_24", 1e-6), ("FLOAT", 1e-6)]
)
def test_any_depth_of_samples(tmp_path, subtype, near):
    path = tmp_path / "sound.wav"
    soundfile.write(path, stereo(0.3), RATE, subtype=subtype)
    np.testing.assert_allclose(read_recording(str(path))[0], stereo(0.3).mean(axis=1), atol=near)


@pytest.mark.parametrize("channels", [1, 2, 6])
@pytest.mark.parametrize("rate", [8000, 44_100, 96_000, 192_000])
def test_any_number_of_channels_and_any_customary_rate(tmp_path, rate, channels):
    path = tmp_path / "sound.wav"
    sound = np.random.default_rng(0).uniform(-0.5, 0.5, (rate // 10, channels))
    soundfile.write(path, sound, rate, subtype="FLOAT")
    waveform, found = read_recording(str(path))
    assert found == rate
    np.testing.assert_allclose(waveform, sound.mean(axis=1), atol=1e-6)


@pytest.mark.parametrize("suffix", ["wav", "flac", "ogg", "mp3"])
def test_a_file_is_read_in_pieces_as_it_is_at_once(folder, monkeypatch, suffix):
    monkeypatch.setattr(datasets.recordings, "_FRAMES_AT_ONCE", 1000)
    path = folder / f"sound.{suffix}"
    expected, _ = soundfile.read(path, dtype="float32")
    np.testing.assert_allclose(read_recording(str(path))[0], expected.mean(axis=1), atol=1e-6)


@pytest.mark.parametrize("samples", [1, 100, RATE // 2])
def test_recordings_shorter_than_a_second_are_kept(tmp_path, samples):
    path = tmp_path / "short.wav"
    soundfile.write(path, stereo()[:samples], RATE)
    assert len(read_recording(str(path))[0]) == samples


def test_silence_is_kept(tmp_path):
    path = tmp_path / "silence.mp3"
    soundfile.write(path, np.zeros(RATE), RATE)
    waveform, _ = read_recording(str(path))
    assert len(waveform) == RATE and not waveform.any()


def test_the_content_counts_and_not_which_of_the_suffixes(folder, tmp_path):
    shutil.copy(folder / "sound.mp3", tmp_path / "sound.WAV")
    waveform, _ = read_recording(str(tmp_path / "sound.WAV"))
    assert np.array_equal(waveform, read_recording(str(folder / "sound.mp3"))[0])


# --- damaged files


@pytest.mark.parametrize(
    "before", [np.random.default_rng(0).bytes(3000), b"ID3\x03\0\0\0\0\x01\x00TIT2" + b"\xff" * 124]
)
def test_an_mp3_with_a_broken_header_in_front_is_read(folder, tmp_path, before):
    path = tmp_path / "sound.mp3"
    path.write_bytes(before + (folder / "sound.mp3").read_bytes())
    np.testing.assert_allclose(read_recording(str(path))[0], stereo().mean(axis=1), atol=0.1)


@pytest.mark.parametrize("suffix", ["flac", "mp3"])
def test_a_file_that_breaks_off_is_used_as_far_as_it_goes(tmp_path, suffix):
    path = tmp_path / f"sound.{suffix}"
    soundfile.write(path, stereo(10), RATE)
    whole, _ = read_recording(str(path))
    waveform, rate, breaks = read_so_far(cut(path, 0.7))
    assert 6 * RATE < len(waveform) < 8 * RATE and rate == RATE
    np.testing.assert_allclose(waveform[: 6 * RATE], whole[: 6 * RATE], atol=1e-6)
    assert breaks == f"breaks off after {len(waveform) / RATE:.1f} of 10.0 s"
    assert complaint(cut(path, 0.4)).startswith("breaks off after ")
    assert read_so_far(str(path))[2] == ""


@pytest.mark.parametrize("suffix", ["wav", "ogg"])
def test_where_the_header_promises_nothing_a_file_counts_as_whole(tmp_path, suffix):
    path = tmp_path / f"sound.{suffix}"
    soundfile.write(path, stereo(10), RATE)
    waveform, _, breaks = read_so_far(cut(path, 0.4))
    assert 2 * RATE < len(waveform) < 6 * RATE and breaks == ""


def test_an_mp3_without_its_length_counts_as_whole(tmp_path):
    path = tmp_path / "sound.mp3"
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, (5 * RATE, 2))
    soundfile.write(path, noise, RATE, compression_level=0, bitrate_mode="VARIABLE")
    path.write_bytes(path.read_bytes().replace(b"Xing", b"none").replace(b"Info", b"none"))
    assert soundfile.info(path).frames > 9 * RATE  # guessed from the small first frame
    waveform, _, breaks = read_so_far(str(path))
    assert len(waveform) == pytest.approx(5 * RATE, rel=0.03) and breaks == ""


def test_a_flac_of_unknown_length_is_read_to_its_end(folder, tmp_path):
    data = bytearray((folder / "sound.flac").read_bytes())
    data[21] &= 0xF0  # the 36 bits that hold the number of samples
    data[22:26] = bytes(4)
    path = tmp_path / "piped.flac"
    path.write_bytes(data)
    waveform, _, breaks = read_so_far(str(path))
    np.testing.assert_allclose(waveform, stereo().mean(axis=1), atol=1e-4)
    assert breaks == ""


@pytest.mark.parametrize("name", ["text.mp3", "text.wav", "text.flac"])
@pytest.mark.parametrize("content", ["", "la la la\n" * 200])
def test_a_text_is_no_recording(tmp_path, name, content):
    (tmp_path / name).write_text(content)
    assert complaint(tmp_path / name) == "is no recording, or its header is broken"


def test_a_file_without_samples_is_refused(tmp_path):
    soundfile.write(tmp_path / "empty.wav", np.zeros(0), RATE)
    assert complaint(tmp_path / "empty.wav") == "has no sound in it"


@pytest.mark.parametrize("odd", [np.nan, np.inf])
def test_samples_that_are_no_numbers_are_refused(tmp_path, odd):
    sound = stereo()
    sound[777, 1] = odd
    soundfile.write(tmp_path / "odd.wav", sound, RATE, subtype="FLOAT")
    assert complaint(tmp_path / "odd.wav") == "has samples that are NaN or infinite"


@pytest.mark.parametrize("rate", [4000, 384_000])
def test_an_odd_rate_is_refused(tmp_path, rate):
    soundfile.write(tmp_path / "odd.wav", np.zeros(rate), rate)
    assert f"has {rate:,} samples a second" in complaint(tmp_path / "odd.wav")


def test_a_recording_without_an_end_is_refused(folder, monkeypatch):
    monkeypatch.setattr(datasets.recordings, "LONGEST", 1.9)
    assert "lasts more than" in complaint(folder / "sound.mp3")
    monkeypatch.setattr(datasets.recordings, "LONGEST", 2.0)
    assert len(read_recording(str(folder / "sound.mp3"))[0]) == 2 * RATE


def test_what_is_not_there_or_has_another_suffix(folder, tmp_path):
    assert complaint(tmp_path / "gone.wav") == "is not there"
    shutil.copy(folder / "sound.wav", tmp_path / "sound.txt")
    assert complaint(tmp_path / "sound.txt").startswith("is no recording (.wav, ")


# --- rates


@pytest.mark.parametrize("wanted", [8000, 16_000, 44_100])
def test_a_tone_is_the_same_tone_at_another_rate(wanted):
    first, second = (
        np.sin(2 * np.pi * 440 * np.arange(2 * rate) / rate).astype(np.float32)
        for rate in (RATE, wanted)
    )
    found = resampled(first, RATE, wanted)
    assert found.dtype == np.float32 and found.shape == second.shape
    inside = slice(wanted // 10, -wanted // 10)
    np.testing.assert_allclose(found[inside], second[inside], atol=1e-3)


def test_the_last_part_of_a_sample_counts_as_one():
    assert len(resampled(np.ones(1001, np.float32), 44_100, 8000)) == 182


def test_the_same_rate_changes_nothing():
    waveform = np.ones(5, np.float32)
    assert resampled(waveform, 8000, 8000) is waveform


# --- the column


@pytest.fixture(params=["memory", "disk"])
def column(request, tmp_path):
    """Four recordings at 8,000 Hz and their waveforms; on disk at twice the rate."""
    sounds = [stereo(seconds, 16_000)[:, 0] for seconds in (0.5, 0.2, 1.1, 0.3)]
    waveforms = [resampled(sound.astype(np.float32), 16_000, 8000) for sound in sounds]
    spectrograms = Spectrograms.of(log_mel(one, MelSettings(8000)) for one in waveforms)
    if request.param == "memory":
        return Recordings.of(waveforms, 8000, spectrograms), waveforms
    paths = np.array([f"{number}.wav" for number in range(4)], object)
    for path, sound in zip(paths, sounds, strict=True):
        soundfile.write(tmp_path / path, sound, 16_000, subtype="FLOAT")
    return Recordings.files(str(tmp_path), paths, 8000, spectrograms), waveforms


def assert_alike(found, expected):
    for one, other in zip(found, expected, strict=True):
        assert one.dtype == np.float32
        np.testing.assert_allclose(one, other, atol=1e-6)


def test_a_column_gives_each_waveform(column):
    column, waveforms = column
    assert len(column) == 4 and column.rate == 8000
    assert_alike(column, waveforms)
    assert_alike([column[-1], column[np.int64(1)]], [waveforms[3], waveforms[1]])
    with pytest.raises(IndexError):
        column[4]


def test_rows_and_slices_cut_the_spectrograms_alike(column):
    column, waveforms = column
    for rows in (np.array([3, 1, 1]), slice(1, None, 2)):
        cut = column[rows]
        expected = [waveforms[row] for row in np.arange(4)[rows]]
        assert_alike(cut, expected)
        assert cut.rate == 8000
        assert [len(one) for one in cut.spectrograms] == [1 + len(one) // 186 for one in expected]


def test_a_column_without_spectrograms():
    column = Recordings.of([np.zeros(4, np.float32), np.zeros(4, np.float32)], 8000)
    assert column.spectrograms is None and column[1:].spectrograms is None
    assert [len(waveform) for waveform in column[1:]] == [4]


def test_a_recording_that_has_gone_is_named(tmp_path):
    column = Recordings.files(str(tmp_path), np.array(["gone.wav"], object), 8000)
    with pytest.raises(InputError, match=r"gone.wav is not there: it was read before"):
        list(column)
