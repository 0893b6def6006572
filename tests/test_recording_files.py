"""The pass over recordings on disk: each is decoded once, and what was computed is kept."""

import dataclasses
import fcntl
import os
import shutil
import threading
import time

import numpy as np
import pytest
import soundfile

import datasets.kept_rows
import datasets.recording_files
from datasets.base import content_digest
from datasets.errors import InputError
from datasets.recording_files import common_rate, prepare_recordings
from datasets.recordings import read_recording, resampled
from datasets.spectrograms import MelSettings, Spectrograms, log_mel

RATE = 8000
GOOD = ("0.wav", "1.flac", "2.mp3", "3.wav", "quiet.wav")
BAD = ("text.mp3", "nan.wav", "gone.wav", "notes.txt")
PATHS = np.array([*GOOD[:2], *BAD, *GOOD[2:]], object)


@pytest.fixture
def place(tmp_path):
    """A folder of recordings, some of which cannot be used."""
    folder = tmp_path / "sounds"
    folder.mkdir()
    for number, path in enumerate(GOOD):
        sound = 0.1 * np.random.default_rng(number).standard_normal(6000 + 3000 * number)
        soundfile.write(folder / path, sound * (path != "quiet.wav"), RATE)
    (folder / "text.mp3").write_text("la la la\n" * 50)
    soundfile.write(folder / "nan.wav", np.full(9000, np.nan), RATE, subtype="FLOAT")
    return folder


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("MENAGERIE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(datasets.kept_rows, "_SECONDS", 0)
    return tmp_path / "cache"


@pytest.fixture
def read(monkeypatch):
    """Names of the recordings that are decoded."""
    found, original = [], datasets.recording_files.read_so_far

    def reading(path):
        found.append(os.path.basename(path))
        return original(path)

    monkeypatch.setattr(datasets.recording_files, "read_so_far", reading)
    return found


def assert_same(found, expected):
    for name in ("rows", "digests", "seconds", "silent"):
        assert np.array_equal(getattr(found, name), getattr(expected, name)), name
    assert found.reasons == expected.reasons and found.cut_short == expected.cut_short
    assert len(found.spectrograms) == len(expected.spectrograms)
    assert all(map(np.array_equal, found.spectrograms, expected.spectrograms))


def in_memory(prepared):
    return dataclasses.replace(prepared, spectrograms=Spectrograms.of(prepared.spectrograms))


@pytest.mark.parametrize("rate", [RATE, 22_050])
def test_what_is_prepared_is_what_each_recording_gives(place, rate):
    found = prepare_recordings(str(place), PATHS, rate)
    assert PATHS[found.rows].tolist() == list(GOOD)
    for row, path in enumerate(GOOD):
        waveform, own = read_recording(str(place / path))
        expected = log_mel(resampled(waveform, own, rate), MelSettings(rate))
        np.testing.assert_allclose(found.spectrograms[row], expected, atol=1e-4)
        assert found.digests[row] == content_digest(waveform)
        assert found.seconds[row] == len(waveform) / own
    assert found.silent.tolist() == [False] * 4 + [True]
    assert not found.spectrograms.frames.flags.writeable


def test_what_cannot_be_used_is_named_in_its_order(place):
    reasons = prepare_recordings(str(place), PATHS, RATE).reasons
    assert list(reasons) == list(BAD)
    assert reasons["text.mp3"] == "is no recording, or its header is broken"
    assert reasons["nan.wav"] == "has samples that are NaN or infinite"
    assert reasons["gone.wav"] == "is not there"
    assert reasons["notes.txt"].startswith("is no recording (.wav")


def test_a_recording_that_breaks_off_is_used_and_named(place):
    data = (place / "1.flac").read_bytes()
    soundfile.write(place / "1.flac", np.random.default_rng(0).uniform(-0.5, 0.5, 80_000), RATE)
    data = (place / "1.flac").read_bytes()
    (place / "1.flac").write_bytes(data[: int(0.8 * len(data))])
    for _ in range(2):
        found = prepare_recordings(str(place), PATHS, RATE)
        assert list(found.cut_short) == ["1.flac"] and "1.flac" not in found.reasons
        assert found.cut_short["1.flac"] == f"breaks off after {found.seconds[1]:.1f} of 10.0 s"


def test_nothing_is_decoded_again(place, read):
    first = prepare_recordings(str(place), PATHS, RATE)
    assert sorted(read) == sorted(PATHS)
    read.clear()
    assert_same(prepare_recordings(str(place), PATHS, RATE), first)
    assert sorted(read) == ["gone.wav", "notes.txt"]  # of which there may be one by now
    read.clear()
    turned = prepare_recordings(str(place), PATHS[::-1], RATE)
    assert turned.digests.tolist() == first.digests[::-1].tolist()
    assert np.array_equal(turned.spectrograms[0], first.spectrograms[4])
    assert set(read) == {"gone.wav", "notes.txt"}


def test_every_rate_and_every_folder_has_spectrograms_of_its_own(place, cache, tmp_path):
    prepare_recordings(str(place), PATHS, RATE)
    prepare_recordings(str(place), PATHS, 22_050)
    shutil.copytree(place, tmp_path / "other")
    prepare_recordings(str(tmp_path / "other"), PATHS, RATE)
    names = sorted(path.suffix for path in cache.iterdir())
    assert names == [".frames"] * 3 + [".tsv"] * 3


def test_a_recording_that_has_changed_or_is_new_is_decoded(place, read):
    first = prepare_recordings(str(place), PATHS, RATE)
    read.clear()
    sound = np.random.default_rng(9).uniform(-0.5, 0.5, 4000)
    soundfile.write(place / "0.wav", sound, RATE)
    soundfile.write(place / "gone.wav", sound, RATE)
    found = prepare_recordings(str(place), PATHS, RATE)
    assert sorted(read) == ["0.wav", "gone.wav", "notes.txt"]
    assert found.seconds[0] == 0.5 and found.digests[0] != first.digests[0]
    assert found.digests[0] == found.digests[2] and "gone.wav" not in found.reasons
    assert np.array_equal(found.spectrograms[0], found.spectrograms[2])
    assert np.array_equal(found.spectrograms[1], first.spectrograms[1])


@pytest.mark.parametrize("torn", [0, 1, 300, 1000])
def test_an_interrupted_pass_goes_on(place, cache, read, monkeypatch, torn):
    expected = prepare_recordings(str(place), PATHS, RATE)
    shutil.rmtree(cache)
    read.clear()
    original, seen = datasets.recording_files.log_mel, []

    def stops(waveform, settings):
        seen.append(None)
        if len(seen) == 3:
            raise KeyboardInterrupt
        return original(waveform, settings)

    monkeypatch.setattr("datasets.picture_files.threads", lambda: 1)
    monkeypatch.setattr(datasets.recording_files, "log_mel", stops)
    with pytest.raises(KeyboardInterrupt):
        prepare_recordings(str(place), PATHS, RATE)
    monkeypatch.setattr(datasets.recording_files, "log_mel", original)
    (frames,), (rows,) = cache.glob("*.frames"), cache.glob("*.tsv")
    with open(frames, "ab") as file:  # a kill within a frame, and within a row about it
        file.write(bytes(torn))
    with open(rows, "ab") as file:
        file.write(b"3.wav\t123\t")
    read.clear()
    assert_same(prepare_recordings(str(place), PATHS, RATE), expected)
    assert sorted(read) == ["2.mp3", "3.wav", "gone.wav", "notes.txt", "quiet.wav"]
    read.clear()
    assert_same(prepare_recordings(str(place), PATHS, RATE), expected)
    assert sorted(read) == ["gone.wav", "notes.txt"]


@pytest.mark.parametrize("suffix, share", [(".frames", 0.5), (".frames", 0), (".tsv", 0.5)])
def test_files_that_were_cut_are_made_again(place, cache, read, suffix, share):
    expected = in_memory(prepare_recordings(str(place), PATHS, RATE))
    (path,) = cache.glob(f"*{suffix}")
    content = path.read_bytes()
    path.unlink()  # the old file stays mapped
    path.write_bytes(content[: int(share * len(content))])
    some = prepare_recordings(str(place), PATHS[-1:], RATE)
    assert np.array_equal(some.spectrograms[0], expected.spectrograms[4])
    read.clear()
    assert_same(prepare_recordings(str(place), PATHS, RATE), expected)
    assert len(read) > 2
    read.clear()
    assert_same(prepare_recordings(str(place), PATHS, RATE), expected)
    assert sorted(read) == ["gone.wav", "notes.txt"]


def test_a_second_process_waits_and_then_decodes_nothing(place, cache, read, caplog):
    expected = prepare_recordings(str(place), PATHS, RATE)
    (rows,), (frames,) = cache.glob("*.tsv"), cache.glob("*.frames")
    content = rows.read_bytes()
    rows.unlink()
    read.clear()
    found = []
    with open(frames, "ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        waiting = threading.Thread(
            target=lambda: found.append(prepare_recordings(str(place), PATHS, RATE))
        )
        waiting.start()
        deadline = time.monotonic() + 10
        while "waiting for another process" not in caplog.text:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        rows.write_bytes(content)
    waiting.join(10)
    assert_same(found[0], expected)
    assert sorted(read) == ["gone.wav", "notes.txt"]


def test_a_folder_that_cannot_be_written_to_is_named(place, cache):
    cache.write_text("a file where the folder should be")
    with pytest.raises(InputError, match="set MENAGERIE_CACHE to a folder with room") as caught:
        prepare_recordings(str(place), PATHS, RATE)
    assert "\n" not in str(caught.value)


def test_a_full_disk_is_named_and_the_next_pass_goes_on(place, cache, monkeypatch):
    class Full:
        """Lets through two spectrograms and a half."""

        def __init__(self, file):
            self.file, self.room = file, 2

        def __getattr__(self, name):
            return getattr(self.file, name)

        def __enter__(self):
            return self

        def __exit__(self, *_):
            self.file.close()

        def write(self, data):
            self.room -= 1
            return self.file.write(data if self.room >= 0 else bytes(data)[: data.nbytes // 2 + 1])

    def opened(*arguments, **keywords):
        return Full(open(*arguments, **keywords))  # noqa: SIM115

    monkeypatch.setattr(datasets.recording_files, "open", opened, raising=False)
    with pytest.raises(InputError, match=r"No space left on device"):
        prepare_recordings(str(place), np.array(GOOD, object), RATE)
    monkeypatch.undo()
    monkeypatch.setenv("MENAGERIE_CACHE", str(cache))
    found = prepare_recordings(str(place), np.array(GOOD, object), RATE)
    for row, path in enumerate(GOOD):
        expected = log_mel(read_recording(str(place / path))[0], MelSettings(RATE))
        np.testing.assert_allclose(found.spectrograms[row], expected, atol=1e-4)


def test_no_recording_at_all(place):
    for paths in (np.zeros(0, object), np.array(["gone.wav"], object)):
        found = prepare_recordings(str(place), paths, RATE)
        assert len(found.rows) == len(found.spectrograms) == len(found.digests) == 0


def test_the_most_frequent_rate_counts(place):
    assert common_rate(str(place), PATHS) == RATE
    for path in ("0.wav", "3.wav"):
        soundfile.write(place / path, np.zeros(100), 16_000)
    assert common_rate(str(place), np.array(["0.wav", "1.flac", "3.wav"], object)) == 16_000
    assert common_rate(str(place), np.array(["1.flac", "0.wav"], object)) == 16_000
    assert common_rate(str(place), np.array(["gone.wav", "text.mp3"], object)) == 44_100


@pytest.mark.real
def test_the_spoken_digits_are_all_prepared(real_data):
    folder = real_data / "spoken_digits"
    paths = np.array(sorted(path.name for path in folder.glob("*.wav")), object)
    rate = common_rate(str(folder), paths)
    found = prepare_recordings(str(folder), paths, rate)
    assert rate == 8000 and len(found.rows) == 3000 and not found.reasons
    waveform, _ = read_recording(str(folder / paths[1234]))
    expected = log_mel(waveform, MelSettings(rate))
    np.testing.assert_allclose(found.spectrograms[1234], expected, atol=1e-4)
