"""Learning targets from artists: bags of words by hand, factors that mean something, odd tables."""

import sys
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from datasets import artist_groups as module
from datasets.artist_groups import (
    ArtistGroups,
    artist_map,
    check_tasks,
    delta_mfcc,
    fit_artist_groups,
    mfcc,
    nearest_artists,
)
from datasets.base import Table
from datasets.errors import InputError
from datasets.recordings import Recordings
from datasets.spectrograms import Spectrograms

RATE = 22_050
DARK, BRIGHT = -20 - np.arange(128) / 2, -80 + np.arange(128) / 2  # two spectra, dB


@pytest.fixture(autouse=True)
def without_essentia(monkeypatch):
    monkeypatch.setitem(sys.modules, "essentia", None)


def noisy(spectrum, frames, rng):
    return (spectrum + rng.normal(0, 2, (frames, 128))).astype(np.float32)


def table_of(tracks, spectrograms=None):
    """A table of (artist, sub-genres) or (artist, sub-genres, spectrogram)."""
    rows = range(len(tracks))
    if spectrograms is None:
        spectrograms = [np.zeros((3, 128), np.float32)] * len(tracks)
    frame = pd.DataFrame({
        "key": [f"track {row}" for row in rows],
        "label": "song",
        "part": "",
        "digest": [f"digest {row}" for row in rows],
        "artist": [artist for artist, _ in tracks],
        "subgenres": [names for _, names in tracks],
    })  # fmt: skip
    column = Recordings.of(
        [np.ones(8, np.float32)] * len(tracks), RATE, Spectrograms.of(spectrograms)
    )
    return Table("tunes", "made up", ("song",), frame, {"waveform": column})


@pytest.fixture(scope="module")
def two_kinds():
    """Eight artists of five tracks, four of them dark and dub, four bright and bebop or swing."""
    rng = np.random.default_rng(3)
    tracks, sounds = [], []
    for artist in range(8):
        for track in range(5):
            dark = artist % 2 == 0
            names = ("dub" if track % 2 else "dub|roots") if dark else ("bebop", "swing")[track % 2]
            sound = noisy(DARK if dark else BRIGHT, 30, rng)
            if not dark:
                sound += 15 * np.sin(np.arange(30) / 2 + track)[:, None]  # for the deltas
            tracks.append((f"artist {artist}", names))
            sounds.append(sound.astype(np.float32))
    return table_of(tracks, sounds)


@pytest.fixture
def bags(monkeypatch):
    """The bags of words that the LDA was given."""
    seen = []
    topics = module._topics

    def watch(given, factors, seed):
        seen.append(given.copy())
        return topics(given, factors, seed)

    monkeypatch.setattr(module, "_topics", watch)
    return seen


def every(table):
    return np.arange(len(table))


def same(one, other):
    return one.artists == other.artists and np.array_equal(one.factors, other.factors)


def test_mfcc_are_the_orthonormal_cosine_transform_of_the_bands():
    log_mel = np.random.default_rng(0).normal(-40, 9, (6, 128)).astype(np.float32)
    angles = np.pi / 128 * (np.arange(128) + 0.5)[:, None] * np.arange(25)
    basis = np.cos(angles) * np.sqrt(2 / 128)
    basis[:, 0] = np.sqrt(1 / 128)
    found = mfcc(log_mel)
    assert found.shape == (6, 25) and found.dtype == np.float32
    np.testing.assert_allclose(found, log_mel @ basis, atol=1e-3)


def test_deltas_are_the_slope_per_frame():
    steps = np.arange(40, dtype=np.float32)[:, None]
    found = delta_mfcc(steps * np.full((1, 128), 0.5, np.float32) - 50)
    assert found.shape == (40, 25) and found.dtype == np.float32
    np.testing.assert_allclose(found[:, 0], 0.5 * np.sqrt(128), rtol=1e-3)
    np.testing.assert_allclose(found[:, 1:], 0, atol=1e-3)


@pytest.mark.parametrize("frames", [1, 2, 8, 9])
def test_deltas_of_short_tracks(frames):
    rising = np.arange(frames, dtype=np.float32)[:, None] + np.zeros((1, 128), np.float32)
    found = delta_mfcc(rising)
    assert found.shape == (frames, 25)
    assert (found[:, 0] > 0).all() == (frames > 1)


def test_sub_genres_are_counted_for_each_artist(bags):
    table = table_of([
        ("B", "dub|roots"), ("A", "swing"), ("B", "dub"), ("A", "bebop|swing"), ("A", "dub"),
        ("A", ""), ("B", "dub|dub"),
    ])  # fmt: skip
    groups = fit_artist_groups("s", table, every(table), 0)
    assert groups.artists == ("A", "B")
    # bebop, dub, roots, swing
    assert bags[0].tolist() == [[1, 1, 0, 2], [0, 3, 1, 0]]


def test_frames_are_counted_for_each_artist(bags):
    rng = np.random.default_rng(0)
    tracks = [("A", ""), ("B", ""), ("A", "")]
    parts = [(7, 3), (2, 9), (4, 1)]  # dark and bright frames of each track
    sounds = [np.concatenate([noisy(DARK, d, rng), noisy(BRIGHT, b, rng)]) for d, b in parts]
    table = table_of(tracks, sounds)
    fit_artist_groups("m", table, every(table), 0, words=2)
    counts = bags[0] if bags[0][0, 0] > bags[0][0, 1] else bags[0][:, ::-1]
    assert counts.tolist() == [[11, 4], [2, 9]]


def test_deltas_hear_the_order_of_the_frames_and_mfcc_do_not(bags):
    rng = np.random.default_rng(0)
    sounds = []
    for _ in range(6):
        frames = noisy(DARK, 60, rng)
        frames[::2] = noisy(BRIGHT, 30, rng)
        sounds += [frames, np.concatenate([frames[::2], frames[1::2]])]
    table = table_of([(f"A{row}", "") for row in range(12)], sounds)
    for task in "md":
        fit_artist_groups(task, table, every(table), 0, words=8)
    alike = [np.array_equal(given[0::2], given[1::2]) for given in bags]
    assert alike == [True, False]
    assert (bags[1].sum(axis=1) == 60).all()


def test_tracks_are_counted_for_each_artist(bags, two_kinds):
    rows = np.delete(every(two_kinds), [0, 1, 9])
    fit_artist_groups("e", two_kinds, rows, 0)
    assert bags[0].sum(axis=1).tolist() == [3, 4, 5, 5, 5, 5, 5, 5]
    assert bags[0].shape[1] == 3  # ten tracks for each word
    dark, bright = bags[0][0::2].sum(axis=0), bags[0][1::2].sum(axis=0)
    assert (dark * bright).sum() == 0  # no word that both kinds use


@pytest.mark.parametrize("task", "mdes")
def test_the_factors_tell_two_kinds_of_artists_apart(task, two_kinds):
    groups = fit_artist_groups(task, two_kinds, every(two_kinds), 0, factors=2, words=16)
    assert groups.task == task
    assert groups.factors.shape == (8, 2) and groups.factors.dtype == np.float32
    main = groups.factors.argmax(axis=1)
    assert (main[0::2] == main[0]).all() and (main[1::2] == 1 - main[0]).all()
    assert groups.factors.max(axis=1).min() > 0.75
    near = [{artist for artist, _ in factor} for factor in nearest_artists(groups, 4)]
    assert near[main[0]] == {f"artist {number}" for number in (0, 2, 4, 6)}


def test_a_fit_that_got_stuck_is_not_taken(monkeypatch):
    """With one start, two of these ten seeds leave a factor without an artist."""
    kinds = ("dub", "roots", "swing")
    table = table_of([(f"{kind} {number}", kind) for kind in kinds for number in range(4)] * 3)
    used = []
    for starts in (1, 5):
        monkeypatch.setattr(module, "_STARTS", starts)
        found = [fit_artist_groups("s", table, every(table), seed, 3) for seed in range(10)]
        used.append({len(set(groups.factors.argmax(axis=1))) for groups in found})
    assert used == [{2, 3}, {3}]


def test_factors_that_are_nobodys_largest_are_counted():
    table = table_of([("A", "dub"), ("B", "dub"), ("C", "swing"), ("C", "swing")])
    groups = fit_artist_groups("s", table, every(table), 0)
    assert "task s: 1 of 3 factors are the largest of no artist" in groups.notes


def test_targets_follow_the_rows_and_sum_to_one(two_kinds):
    groups = fit_artist_groups("s", two_kinds, every(two_kinds), 0, factors=5)
    found = groups.targets(["artist 3", "", "artist 0", "artist 3"])
    assert found.shape == (4, 5) and found.dtype == np.float32
    np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-6)
    assert (found[[0, 2, 3]] == groups.factors[[3, 0, 3]]).all()
    assert (found[1] == np.float32(0.2)).all()
    with pytest.raises(ValueError, match="'nobody'"):
        groups.targets(["artist 1", "nobody"])


@pytest.mark.parametrize("task", "mdes")
def test_held_out_tracks_do_not_change_the_factors(task, two_kinds):
    held = np.arange(3, 40, 5)
    rows = np.setdiff1d(every(two_kinds), held)
    rng = np.random.default_rng(8)

    def changed(where):
        frame, spectrograms = (
            two_kinds.frame.copy(),
            list(two_kinds.modalities["waveform"].spectrograms),
        )
        for row in where:
            spectrograms[row] = noisy(np.roll(DARK, 64), 45, rng)
            frame.loc[row, ["artist", "subgenres", "digest"]] = ["artist 1", "noise", "new"]
        others = table_of([("", "")] * len(frame), spectrograms)
        return replace(others, frame=frame)

    before = fit_artist_groups(task, two_kinds, rows, 0, factors=3, words=16)
    assert same(before, fit_artist_groups(task, changed(held), rows, 0, factors=3, words=16))
    assert not same(
        before, fit_artist_groups(task, changed(rows[:3]), rows, 0, factors=3, words=16)
    )


@pytest.mark.parametrize("task", "mdes")
def test_a_seed_fixes_the_factors_whatever_the_order_of_the_rows(task, two_kinds):
    rows = every(two_kinds)
    first = fit_artist_groups(task, two_kinds, rows, 5, factors=3, words=16)
    again = fit_artist_groups(task, two_kinds, rows[::-1], 5, factors=3, words=16)
    assert same(first, again) and first.notes == again.notes
    assert not same(first, fit_artist_groups(task, two_kinds, rows, 6, factors=3, words=16))


def test_an_empty_bag_is_uniform_counted_and_named(bags):
    table = table_of([("A", "dub"), ("B", ""), ("C", "swing"), ("D", "dub|swing"), ("E", "")])
    groups = fit_artist_groups("s", table, every(table), 0, factors=2)
    assert groups.zero == ("B", "E")
    assert (groups.factors[[1, 4]] == 0.5).all()
    assert (groups.factors[[0, 2, 3]] != 0.5).all()
    assert len(bags[0]) == 3  # they have no part in the fit
    assert any("2 artists with nothing to count" in n and "B, E" in n for n in groups.notes)
    for factor in nearest_artists(groups):
        assert {artist for artist, _ in factor} == {"A", "C", "D"}


def test_fewer_artists_than_factors_make_as_many_factors():
    table = table_of([("A", "dub"), ("B", "swing"), ("C", ""), ("D", "dub|roots")])
    groups = fit_artist_groups("s", table, every(table), 0)
    assert groups.factors.shape == (4, 3)
    assert "task s: warning: 3 factors and not 40: no more artists to group" in groups.notes
    assert "task s: 4 of 4 artists have a single training track" in groups.notes


def test_tracks_without_an_artist_take_no_part(bags):
    table = table_of([("A", "dub"), ("", "noise"), ("B", "swing"), ("", "noise"), ("B", "dub")])
    groups = fit_artist_groups("s", table, every(table), 0)
    assert groups.artists == ("A", "B")
    assert bags[0].tolist() == [[1, 0], [1, 1]]
    assert any("2 training tracks without an artist" in note for note in groups.notes)
    assert any("1 of 2 artists have a single" in note for note in groups.notes)


@pytest.mark.parametrize(
    ("task", "frames", "size"),
    [("m", 1, 2), ("m", 5, 2), ("d", 30, 9), ("m", 7, 2), ("e", 30, 2), ("m", 70, 16)],
)
def test_few_samples_make_few_words(task, frames, size, bags):
    rng = np.random.default_rng(0)
    table = table_of([("A", ""), ("B", ""), ("A", "")], [noisy(DARK, frames, rng)] * 3)
    groups = fit_artist_groups(task, table, every(table), 0, words=16)
    assert bags[0].shape == (2, size)
    warned = any(f"warning: {size} words and not 16" in note for note in groups.notes)
    assert warned == (size < 16)


def test_silence_throughout_does_no_harm():
    table = table_of([(name, "") for name in "ABCA"], [np.full((50, 128), -100, np.float32)] * 4)
    for task in "mde":
        groups = fit_artist_groups(task, table, every(table), 0, words=4)
        np.testing.assert_allclose(groups.factors.sum(axis=1), 1, atol=1e-6)


def test_frames_are_drawn_from_all_tracks_where_there_are_many(two_kinds, monkeypatch):
    drawn = []
    dictionary = module._dictionary
    monkeypatch.setattr(module, "FRAMES", 400)
    monkeypatch.setattr(
        module, "_dictionary", lambda *given: drawn.append(given[0]) or dictionary(*given)
    )
    rows = np.arange(3, 38)
    groups = fit_artist_groups("m", two_kinds, rows, 0, words=16)
    assert "task m: dictionary of 16 words from 400 of 1,050 frames" in groups.notes
    spectrograms = two_kinds.modalities["waveform"].spectrograms
    places = {frame.tobytes(): row for row in rows for frame in mfcc(spectrograms[int(row)])}
    found = [places[frame.tobytes()] for frame in drawn[0]]
    assert len({frame.tobytes() for frame in drawn[0]}) == 400
    assert set(found) == set(rows.tolist())
    fit_artist_groups("m", two_kinds, rows, 1, words=16)
    assert not np.array_equal(drawn[0], drawn[1])


def test_a_track_that_cannot_be_described_is_named(two_kinds, monkeypatch):
    describe = module.song_descriptors

    def fail_two(recordings, digests):
        found = describe(recordings, digests)
        found.values[[4, 5]] = np.nan
        return replace(found, failed={4: "is silent", 5: "is silent"}, dropped=7)

    monkeypatch.setattr(module, "song_descriptors", fail_two)
    groups = fit_artist_groups("e", two_kinds, np.array([0, 1, 5, 6, 10, 11, 12]), 0)
    assert groups.zero == () and len(groups.artists) == 3
    assert "task e: warning: track 10 counts no word: is silent" in groups.notes[2]
    groups = fit_artist_groups("e", two_kinds, np.array([0, 1, 5, 6, 10, 15, 20]), 0)
    assert groups.zero == ("artist 2", "artist 3")


def test_one_artist_alone_cannot_be_grouped():
    table = table_of([("A", "dub"), ("B", ""), ("A", "swing")])
    with pytest.raises(InputError, match=r"tunes: task s .* 1 of 2 in the training part"):
        fit_artist_groups("s", table, every(table), 0)
    with pytest.raises(InputError, match="1 of 1"):
        fit_artist_groups("m", table, np.array([0, 2]), 0)
    with pytest.raises(InputError, match="0 of 2"):
        fit_artist_groups("s", table_of([("A", ""), ("B", "")]), np.array([0, 1]), 0)


@pytest.mark.parametrize(
    ("tasks", "change", "says"),
    [
        ("gmx", {}, "no task 'x': choose among g \\(genre\\), m \\(MFCC\\)"),
        ("gs", {"subgenres": ""}, "names no sub-genre, and task s"),
        ("gs", {"subgenres": None}, "names no sub-genre, and task s"),
        ("gd", {"artist": ""}, "names no artist, and task d"),
        ("es", {"artist": None}, "names no artist, and task e"),
        ("m", {"artist": "A"}, "names only one artist, and task m"),
    ],
)
def test_a_task_that_lacks_its_column_is_refused_at_once(tasks, change, says):
    table = table_of([("A", "dub"), ("B", "")])
    check_tasks("gmdes", table)
    frame = table.frame.drop(columns=[name for name, cell in change.items() if cell is None])
    frame = frame.assign(**{name: cell for name, cell in change.items() if cell is not None})
    with pytest.raises(InputError, match=says) as caught:
        check_tasks(tasks, replace(table, frame=frame))
    assert "\n" not in str(caught.value)
    check_tasks("g", replace(table, frame=frame))


def test_pictures_are_no_music():
    table = replace(table_of([("A", "dub"), ("B", "")]), modalities={})
    with pytest.raises(InputError, match="tunes has no recordings"):
        check_tasks("g", table)


def groups_of(factors, zero=()):
    names = tuple(f"artist {number:03}" for number in range(len(factors)))
    return ArtistGroups("m", names, np.asarray(factors, np.float32), zero, ())


def test_the_nearest_artists_have_the_largest_shares():
    shares = [[0.25, 0.75], [0.5, 0.5], [0.875, 0.125], [0, 1], [0.5, 0.5]]
    groups = groups_of(shares, zero=("artist 004",))
    assert nearest_artists(groups, 2) == [
        [("artist 002", 0.875), ("artist 001", 0.5)],
        [("artist 003", 1.0), ("artist 000", 0.75)],
    ]
    assert [len(factor) for factor in nearest_artists(groups, 9)] == [4, 4]


@pytest.mark.parametrize("artists", [2, 12, 100])
def test_the_map_puts_alike_artists_side_by_side(artists):
    rng = np.random.default_rng(0)
    kinds = np.arange(artists) % 2
    shares = rng.dirichlet(np.ones(4), artists) * 0.1 + 0.9 * np.eye(4)[kinds]
    groups = groups_of(shares)
    found = artist_map(groups, 0)
    assert found.shape == (artists, 2) and np.isfinite(found).all()
    assert (found == artist_map(groups, 0)).all()
    centres = np.stack([found[kinds == kind].mean(axis=0) for kind in (0, 1)])
    nearest = np.linalg.norm(found[:, None] - centres, axis=2).argmin(axis=1)
    assert (nearest == kinds).all()
