"""Stretches of spectrograms, and the batches that they become."""

import numpy as np
import pytest

from datasets.pipelines import judging_pipeline, training_pipeline, view_pipeline
from datasets.recordings import Recordings
from datasets.spectrogram_excerpts import RandomExcerpt, excerpts, middles, warped
from datasets.spectrograms import BANDS, Spectrograms

LENGTHS = (50, 43, 7, 60, 44)
SEED = 2**32 - 1


def column(lengths=LENGTHS):
    """Spectrograms that tell of each frame its recording and its place in it."""
    return Spectrograms.of(
        np.full((length, BANDS), 1000 * row, np.float32) + np.arange(length)[:, None]
        for row, length in enumerate(lengths)
    )


def places(stretches):
    """(rows, frames), recording and place of each frame; NaN past the end."""
    assert (stretches == stretches[..., :1]).all(axis=-1)[~np.isnan(stretches[..., 0])].all()
    return stretches[..., 0]


def read(lengths, row, draws, frames=43, seed=0):
    spectrograms = column(lengths)
    rows, draws = np.full(len(draws), row), np.asarray(draws)
    return places(RandomExcerpt(frames).read(spectrograms, rows, seed, draws))


# --- what is drawn


def test_an_excerpt_lies_anywhere_in_the_recording_as_likely_as_elsewhere():
    found = read(LENGTHS, 0, range(2000))
    assert (np.diff(found, axis=1) == 1).all()
    starts, counts = np.unique(found[:, 0], return_counts=True)
    assert starts.tolist() == list(range(8))  # 50 frames hold 8 stretches of 43
    assert counts.min() > 200 and counts.max() < 300  # 250 each; four deviations are 59


def test_what_is_as_long_as_an_excerpt_is_taken_whole():
    assert (read(LENGTHS, 1, range(5)) == 1000 + np.arange(43)).all()


def test_what_is_shorter_is_taken_from_its_beginning_and_ends_in_nan():
    found = read(LENGTHS, 2, range(5))
    assert (found[:, :7] == 2000 + np.arange(7)).all()
    assert np.isnan(found[:, 7:]).all()


def test_masks_hide_bands_and_frames_under_the_mean_and_leave_the_end_alone():
    rng = np.random.default_rng(0)
    spectrograms = Spectrograms.of([rng.normal(-40, 9, (30, BANDS)).astype(np.float32)])
    rows, draws = np.zeros(200, int), np.arange(200)
    plain = RandomExcerpt(43).read(spectrograms, rows, 0, draws)
    masked = RandomExcerpt(43, masks=True).read(spectrograms, rows, 0, draws)
    assert np.array_equal(np.isnan(masked), np.isnan(plain))
    changed = (masked != plain)[:, :30]
    assert np.allclose(masked[:, :30][changed], np.nanmean(plain[0]), atol=1e-4)
    whole_bands, whole_frames = changed.all(axis=1).sum(axis=1), changed.all(axis=2).sum(axis=1)
    assert whole_bands.max() <= 32 and whole_bands.mean() > 8
    assert whole_frames.max() <= 8 and whole_frames.mean() > 1
    again = RandomExcerpt(43, masks=True).read(spectrograms, rows[:3], 0, draws[:3])
    assert np.array_equal(again, masked[:3], equal_nan=True)


def test_a_warp_moves_what_is_heard_up_or_down_and_leaves_the_end_alone():
    stretches = np.full((3, 5, BANDS), -80, np.float32)
    stretches[:, :, 60] = 0
    stretches[:, 3:] = np.nan
    found = warped(stretches, np.array([1, 1.25, 0.8], np.float32))
    assert np.array_equal(found[0], stretches[0], equal_nan=True)
    assert np.isnan(found[:, 3:]).all() and not np.isnan(found[:, :3]).any()
    assert found[:, 0].argmax(axis=1).tolist() == [60, 48, 75]
    assert (found[1, 0, 103:] == stretches[1, 0, -1]).all()  # from above the highest band
    ramp = np.arange(BANDS, dtype=np.float32)[None, None]
    np.testing.assert_allclose(warped(ramp, np.array([0.9], np.float32)), 0.9 * ramp, rtol=1e-5)


def test_a_warped_excerpt_is_drawn_within_its_share():
    ramp = Spectrograms.of([np.tile(np.arange(BANDS, dtype=np.float32), (43, 1))])
    rows, draws = np.zeros(400, int), np.arange(400)
    found = RandomExcerpt(43, warp=0.2).read(ramp, rows, 0, draws)
    factors = found[:, 0, 100] / 100
    assert 0.8 <= factors.min() < 0.82 and 1.18 < factors.max() <= 1.2
    assert abs(factors.mean() - 1) < 0.02
    again = RandomExcerpt(43, warp=0.2).read(ramp, rows[:3], 0, draws[:3])
    assert np.array_equal(again, found[:3])


def test_seed_and_number_of_the_draw_decide():
    first = read((300,), 0, [3, 4, 5])
    assert np.array_equal(first, read((300,), 0, [3, 4, 5]))
    assert np.array_equal(first[1:], read((300,), 0, [4, 5]))
    other = read((300,), 0, [3, 4, 5], seed=1)
    assert not (first[:, 0] == other[:, 0]).all()
    assert len(set(first[:, 0])) > 1


def test_the_middle_is_looked_at():
    found = places(middles(column(), 44))
    assert found.shape == (5, 44)
    assert found[0].tolist() == list(range(3, 47))
    assert found[3].tolist() == list(range(3008, 3052))
    for row, length in ((1, 43), (2, 7)):
        assert found[row, :length].tolist() == list(range(1000 * row, 1000 * row + length))
        assert np.isnan(found[row, length:]).all()
    assert middles(column(), 10**6).shape == (5, max(LENGTHS), BANDS)


def test_excerpts_of_a_file_are_read_from_the_file(tmp_path):
    spectrograms = column()
    np.save(tmp_path / "frames.npy", spectrograms.frames)
    frames = np.load(tmp_path / "frames.npy", mmap_mode="r")
    on_disk = Spectrograms(frames, spectrograms.starts, spectrograms.counts)
    told = (np.array([4, 0]), [1, 7], 43)
    expected = excerpts(spectrograms, *told)
    assert np.array_equal(excerpts(on_disk, *told), expected)
    assert expected.flags.writeable and expected.dtype == np.float32
    assert places(expected)[:, 0].tolist() == [4001, 7]


# --- batches


def batches(data):
    return [(inputs["waveform"].numpy(), *map(np.asarray, rest)) for inputs, *rest in data]


def training(given, epochs=3, first=0):
    targets = np.arange(len(given))
    weights = np.ones(len(given))
    data, steps = training_pipeline(
        {"waveform": given}, targets, weights, 2, SEED, epochs, first, RandomExcerpt(20)
    )
    assert data.element_spec[0]["waveform"].shape == (None, 20, BANDS)
    assert steps == 3
    return batches(data)


def test_every_recording_gives_one_new_excerpt_in_every_epoch():
    starts = np.zeros((3, 5))
    for number, (stretches, targets, _) in enumerate(training(column((300,) * 5))):
        found = places(stretches)
        assert (found // 1000 == targets[:, None]).all()
        assert (np.diff(found) == 1).all()
        starts[number // 3, targets] = found[:, 0] % 1000
    assert len(np.unique(starts)) >= 13


def test_an_epoch_is_the_same_whatever_came_before_it():
    whole, last = training(column()), training(column(), first=2)
    assert len(whole) == 9 and len(last) == 3
    for one, other in zip(whole[6:], last, strict=True):
        for array, same in zip(one, other, strict=True):
            assert np.array_equal(array, same, equal_nan=True)


def test_of_recordings_the_spectrograms_are_taken():
    recordings = Recordings.of([np.zeros(9, np.float32)] * 5, 8_000, column())
    for one, other in zip(training(recordings), training(column()), strict=True):
        assert np.array_equal(one[0], other[0], equal_nan=True)


def test_a_view_is_one_excerpt_of_every_recording_in_order():
    views = []
    for number in (0, 1, 0):
        data = view_pipeline({"waveform": column((300,) * 5)}, RandomExcerpt(20), SEED, number, 2)
        views.append(places(np.concatenate([batch["waveform"] for batch in data])))
        assert (views[-1] // 1000 == np.arange(5)[:, None]).all()
    assert np.array_equal(views[0], views[2])
    assert not np.array_equal(views[0], views[1])


@pytest.mark.parametrize("size", [2, 256])
def test_whole_recordings_are_judged_in_order_the_shorter_ones_ending_in_nan(size):
    targets = np.array([3, 1, 4, 1, 5])
    found = batches(judging_pipeline({"waveform": column()}, targets, size))
    assert np.concatenate([answers for _, answers in found]).tolist() == targets.tolist()
    rows = [row for stretches, _ in found for row in places(stretches)]
    for number, (row, length) in enumerate(zip(rows, LENGTHS, strict=True)):
        assert row[:length].tolist() == list(range(1000 * number, 1000 * number + length))
        assert np.isnan(row[length:]).all()
    longest = [stretches.shape[1] for stretches, _ in found]
    assert longest == ([50, 60, 44] if size == 2 else [60])
