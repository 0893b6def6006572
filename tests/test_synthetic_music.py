"""Synthetic music: genres that play differently, artists that sound alike in all, wrong labels."""

from collections import Counter
from dataclasses import fields, replace

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import RidgeClassifier
from sklearn.model_selection import GroupKFold, KFold, StratifiedKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from datasets.base import content_digest
from datasets.spectrograms import MelSettings, log_mel
from datasets.synthetic import music, music_sound
from datasets.synthetic.music_sound import RATE, Notes, Score, Sound, compose, perform
from datasets.synthetic.music_styles import GENRES, LABELS, SUBGENRES, style_of

SEEDS = (0, 1, 2)
TRACKS = 120
SECOND = 43  # frames
WRITTEN = ("tempo", "scale", "beats", "kick", "snare", "hat", "bass", "comp", "lead", "swing")
NEUTRAL = Sound(
    register=0,
    cents=0,
    spread=0.01,
    vibrato=5,
    depth=0.01,
    formants=(600, 2000),
    resonance=0,
    slope=1,
    even=1,
    attack=1,
    kit=1,
    tilt=0,
    floor=-90,
)


@pytest.fixture(scope="module")
def table():
    return music.load(TRACKS)


@pytest.fixture(scope="module")
def features(table):
    """Means and standard deviations of the bands, what a listener without a sense of time hears."""
    spectrograms = table.modalities["waveform"].spectrograms
    return np.stack([np.r_[one.mean(axis=0), one.std(axis=0)] for one in spectrograms])


def rng(seed=0):
    return np.random.default_rng(seed)


def albums(seed):
    return music.albums_of_block(seed, 0)


# The plan: artists, albums, labels.


@pytest.mark.parametrize("seed", SEEDS)
def test_a_block_has_sixty_artists_with_albums_of_two_to_four_tracks(seed):
    found = albums(seed)
    assert sum(len(album.seconds) for album in found) == music.BLOCK == music.TRACKS == 300
    assert len({album.number for album in found}) == len(found) == 100
    assert Counter(len(album.seconds) for album in found) == music.SIZES
    per_artist = Counter(album.artist for album in found)
    assert Counter(per_artist.values()) == music.ALBUMS and len(per_artist) == 60


@pytest.mark.parametrize("seed", SEEDS)
def test_genres_have_a_long_tail_and_the_first_tracks_have_them_all(seed):
    homes = {album.artist: album.home for album in albums(seed)}
    assert Counter(homes.values()) == music.ARTISTS
    assert set(music.ARTISTS) == set(LABELS) and max(music.ARTISTS.values()) == 14
    rows = [album for album, _ in music.albums_of_rows(90, seed)]
    assert {album.home for album in rows} == set(LABELS)


@pytest.mark.parametrize("seed", SEEDS)
def test_most_artists_play_one_genre_and_some_play_two(seed):
    genres = {}
    for album in albums(seed):
        genres.setdefault(album.artist, {album.home}).add(album.genre)
    assert Counter(map(len, genres.values())) == {1: 48, 2: music.VERSATILE}


@pytest.mark.parametrize("seed", SEEDS)
def test_eight_in_a_hundred_albums_carry_a_wrong_label_and_its_subgenre(seed):
    found = albums(seed)
    wrong = [album for album in found if album.label != album.genre]
    assert len(wrong) == music.MISLABELLED * len(found) == 8
    assert all(album.named in SUBGENRES[album.label] for album in found)
    assert all(album.named == album.subgenre for album in found if album not in wrong)


@pytest.mark.parametrize("seed", SEEDS)
def test_most_tracks_last_six_seconds_and_two_less_than_one(seed):
    seconds = np.array([length for _, length in music.albums_of_rows(music.BLOCK, seed)])
    assert (seconds < 1).sum() == music.TINY_ROWS == 2
    assert ((seconds > 1) & (seconds < 5)).sum() == music.SHORT_ROWS
    assert ((seconds >= 5.5) & (seconds <= 6.5)).sum() == 286


def test_a_track_does_not_depend_on_how_many_are_drawn(table):
    few = music.load(9)
    pd.testing.assert_frame_equal(few.frame, table.frame[:9])
    assert music.albums_of_rows(700, 5)[:310] == music.albums_of_rows(310, 5)
    artists = {album.artist for album, _ in music.albums_of_rows(600, 5)}
    assert len(artists) == 120, "the next block has artists of its own"


def test_the_same_seed_gives_the_same_tracks_and_another_seed_others():
    first = music.load(8, seed=3)
    music.albums_of_block.cache_clear()
    again, other = music.load(8, seed=3), music.load(8, seed=4)
    pd.testing.assert_frame_equal(first.frame, again.frame)
    for one, same in zip(first.modalities["waveform"], again.modalities["waveform"], strict=True):
        np.testing.assert_array_equal(one, same)
    assert not set(first.frame["digest"]) & set(other.frame["digest"])


# The table.


def test_table_has_the_promised_form(table):
    assert (table.name, len(table), table.synthetic, table.labels) == (
        "music",
        TRACKS,
        True,
        tuple(sorted(LABELS)),
    )
    assert table.frame.columns.tolist() == [
        *("key", "label", "part", "digest", "artist", "album", "subgenres", "seconds"),
        "true_genre",
    ]
    assert table.frame["key"].is_unique and table.frame["digest"].is_unique
    assert set(table.frame["label"]) == set(table.frame["true_genre"]) == set(LABELS)
    assert "not recordings" in table.provenance


def test_an_album_has_one_artist_one_genre_and_one_label(table):
    per_album = table.frame.groupby("album")[["artist", "label", "true_genre"]].nunique()
    assert (per_album == 1).all(axis=None)
    planned = {
        f"album-{album.number:03d}"
        for album, _ in music.albums_of_rows(TRACKS, 0)
        if album.label != album.genre
    }
    wrong = table.frame["label"] != table.frame["true_genre"]
    assert planned == set(table.frame["album"][wrong])


def test_subgenres_are_of_the_genre_that_the_label_names(table):
    names = table.frame["subgenres"].str.split("|")
    assert all(
        set(found) <= set(SUBGENRES[label])
        for found, label in zip(names, table.frame["label"], strict=True)
    )
    assert set(names.map(len)) == {1, 2} and 0.15 < (names.map(len) == 2).mean() < 0.35


def test_recordings_are_finite_loud_enough_and_below_full_scale(table):
    recordings = table.modalities["waveform"]
    assert recordings.rate == RATE == 22_050
    for row, waveform in enumerate(recordings):
        assert waveform.dtype == np.float32 and waveform.ndim == 1
        assert len(waveform) == round(table.frame["seconds"][row] * RATE)
        assert 0.35 < np.abs(waveform).max() < 1, "a NaN would fail here, too"
        assert np.sqrt(np.mean(waveform**2)) > 0.01
        assert content_digest(waveform) == table.frame["digest"][row]


def test_spectrograms_are_those_of_the_recordings_and_some_need_padding(table):
    recordings = table.modalities["waveform"]
    found, settings = recordings.spectrograms, MelSettings(RATE)
    assert len(found) == len(table)
    shortest = int(table.frame["seconds"].argmin())
    for row in (0, TRACKS - 1, shortest):
        np.testing.assert_allclose(found[row], log_mel(recordings[row], settings), atol=1e-3)
    assert len(found[shortest]) < SECOND, "shorter than the crop of a network"


# What is played.


def test_each_genre_has_two_or_three_subgenres_that_change_rhythm_or_scale():
    names = [name for subgenres in SUBGENRES.values() for name in subgenres]
    assert len(names) == len(set(names)), "a name belongs to one genre"
    for genre, subgenres in SUBGENRES.items():
        assert len(subgenres) in (2, 3)
        for name in subgenres:
            changed = style_of(genre, name)
            assert any(getattr(changed, part) != getattr(GENRES[genre], part) for part in WRITTEN)
            kept = [
                each.name for each in fields(changed) if each.name not in SUBGENRES[genre][name]
            ]
            assert len(kept) > len(fields(changed)) / 2, "it is still that genre"


def test_of_two_subgenres_the_first_decides():
    both, swapped = style_of("rock", "punk", "metal"), style_of("rock", "metal", "punk")
    assert both.scale == style_of("rock", "punk").scale != swapped.scale
    assert both.tempo == swapped.tempo == style_of("rock", "punk").tempo
    assert both.drive == style_of("rock", "metal").drive


@pytest.mark.parametrize("genre", LABELS)
def test_a_genre_keeps_its_tempo_and_its_scale(genre):
    style = GENRES[genre]
    for seed in range(5):
        score = compose(style, 20.0, rng(seed))
        assert style.tempo[0] <= score.tempo <= style.tempo[1]
        for part in music_sound.PITCHED:
            pitches = score.parts[part].pitches.ravel() - music_sound.PITCHED[part]
            keys = [key for key in range(-3, 4) if set((pitches - key) % 12) <= set(style.scale)]
            assert keys, f"the {part} leaves the scale"
        starts = score.parts["bass"].starts
        assert starts[0] == 0 and (np.diff(starts) > 0).all() and starts[-1] < 20


def test_genres_differ_in_tempo_and_scale():
    pairs = {(style.tempo, style.scale) for style in GENRES.values()}
    assert len(pairs) == len(GENRES) == 8
    assert len({style.scale for style in GENRES.values()}) >= 5
    fast, slow = GENRES["electronic"].tempo, GENRES["reggae"].tempo
    assert fast[0] > 1.4 * slow[1]


def test_swing_delays_the_second_half_of_a_beat_and_nothing_else():
    straight = replace(GENRES["jazz"], swing=0.0)
    even, late = (compose(style, 10.0, rng()) for style in (straight, GENRES["jazz"]))
    before, after = (score.parts["lead"].starts[:40] for score in (even, late))
    beat = 60 / even.tempo
    on_beat = np.isclose((before / beat + 0.25) % 1, 0.25)
    np.testing.assert_allclose(after[on_beat], before[on_beat])
    np.testing.assert_allclose(after[~on_beat], before[~on_beat] + GENRES["jazz"].swing * beat)


def onsets(waveform):
    """How much louder each frame is than the one before, over all bands."""
    spectrogram = log_mel(waveform, MelSettings(RATE))
    return np.maximum(np.diff(np.maximum(spectrogram, -20), axis=0), 0).sum(axis=1)


@pytest.mark.parametrize("genre", ["electronic", "rock", "reggae", "hip-hop"])
def test_the_beat_is_heard(genre):
    """Onsets come again after a bar, and less so at times that fit no pattern."""
    found = []
    for seed in range(4):
        score = compose(GENRES[genre], 12.0, rng(seed))
        strength = onsets(perform(score, GENRES[genre], NEUTRAL, 12.0, rng(seed)))
        strength -= strength.mean()
        bar = 4 * 60 / score.tempo * RATE / MelSettings(RATE).hop
        at = [round(bar * turn) for turn in (1, 0.91, 1.09)]
        again, *beside = (strength[lag:] @ strength[:-lag] for lag in at)
        found.append(again > 2 * max(beside))
    assert np.mean(found) > 0.8


# How it sounds.


def one_note(sound, style=None, pitch=69.0, seconds=2.0):
    """The waveform of a single note of the lead."""
    style = style or replace(GENRES["chamber"], echo=(0.5, 0.0), cutoff=9000.0)
    part = Notes(np.zeros(1), np.array([[pitch]]), np.ones(1))
    return perform(Score(60.0, {"lead": part}), style, sound, seconds, rng())


def loudest(waveform):
    """Hz of the strongest tone."""
    power = np.abs(np.fft.rfft(waveform * np.hanning(len(waveform))))
    return np.argmax(power) * RATE / len(waveform)


def centroid(waveform):
    """Hz around which the spectrum lies."""
    power = np.abs(np.fft.rfft(waveform)) ** 2
    return (np.arange(len(power)) @ power) / power.sum() * RATE / len(waveform)


def test_a_note_has_its_pitch_and_the_artists_register_and_tuning():
    assert loudest(one_note(NEUTRAL)) == pytest.approx(440, abs=1)
    assert loudest(one_note(NEUTRAL, pitch=72)) == pytest.approx(523.3, abs=1)
    sharp = replace(NEUTRAL, register=12, cents=50.0)
    assert loudest(one_note(sharp)) == pytest.approx(880 * 2 ** (50 / 1200), abs=1)


def test_formants_and_tilt_and_overtones_colour_a_note():
    plain = centroid(one_note(NEUTRAL))
    assert centroid(one_note(replace(NEUTRAL, tilt=6.0))) > 1.1 * plain
    assert centroid(one_note(replace(NEUTRAL, slope=0.6))) > 1.2 * plain
    lifted = replace(NEUTRAL, formants=(440 * 3, 440 * 3.1), resonance=24.0)
    assert loudest(one_note(lifted)) == pytest.approx(440 * 3, abs=2)
    odd = np.abs(np.fft.rfft(one_note(replace(NEUTRAL, even=0.0))))
    assert odd[2 * 440 * 2] < 0.01 * odd[2 * 440 * 3], "bins of half a hertz; no even overtone"


def test_vibrato_widens_a_note():
    def width(sound):
        power = np.abs(np.fft.rfft(one_note(sound) * np.hanning(2 * RATE))) ** 2
        near = power[2 * 400 : 2 * 480]
        return (near / near.sum() * (np.arange(len(near)) / 2 - 40) ** 2).sum() ** 0.5

    assert width(replace(NEUTRAL, depth=60.0)) > 3 * width(NEUTRAL)


def test_effects_are_heard():
    style = replace(GENRES["chamber"], lead_shape=(0.004, 0.05), echo=(0.5, 0.0), cutoff=9000.0)
    dry = one_note(NEUTRAL, style)
    later = slice(round(0.5 * RATE), round(0.6 * RATE))
    echoed = one_note(NEUTRAL, replace(style, echo=(0.5, 0.5)))
    assert np.abs(echoed[later]).max() > 0.3 * np.abs(echoed).max()
    assert np.abs(dry[later]).max() < 0.01 * np.abs(dry).max()
    assert centroid(one_note(NEUTRAL, replace(style, cutoff=700.0))) < 0.8 * centroid(dry)
    soft = replace(style, slope=4.0)
    driven = one_note(NEUTRAL, replace(soft, drive=10.0))
    assert centroid(driven) > 1.3 * centroid(one_note(NEUTRAL, soft))


def strokes(drum, sound):
    """The waveform of a drum that is struck at 0 and at 1 s."""
    part = Notes(np.array([0.0, 1.0]), np.zeros((2, 0)), np.ones(2))
    return perform(Score(60.0, {drum: part}), GENRES["rock"], sound, 2.0, rng())


def test_drums_sound_when_they_are_struck_each_at_its_pitch():
    low, middle, high = (centroid(strokes(drum, NEUTRAL)) for drum in music_sound.DRUMS)
    assert low < 200 < 1000 < middle < 4000 < 6000 < high
    assert centroid(strokes("snare", replace(NEUTRAL, kit=1.5))) > 1.2 * middle
    begin, pause, again = strokes("kick", NEUTRAL).reshape(4, -1)[:3]
    assert np.abs(begin).max() == pytest.approx(np.abs(again).max(), rel=0.01)
    assert np.abs(pause).max() < 0.01 * np.abs(begin).max()


def test_a_track_of_less_than_half_a_second_has_notes_in_every_genre():
    for genre, subgenres in SUBGENRES.items():
        for name in subgenres:
            style = style_of(genre, name)
            score = compose(style, music.TINY[0], rng())
            assert "bass" in score.parts
            waveform = perform(score, style, NEUTRAL, music.TINY[0], rng())
            assert np.sqrt(np.mean(waveform**2)) > 0.01


# What can be learnt.


def test_the_genre_explains_the_stated_share_of_the_artists_traits():
    traits = np.stack(
        [[music.traits_of(artist, genre, 0) for artist in range(400)] for genre in LABELS]
    )
    between = traits.mean(axis=1).var(axis=0).mean()
    share = between / traits.var(axis=(0, 1)).mean()
    assert share == pytest.approx(music.KINSHIP, abs=0.03) and 0.1 < share < 0.3


def majority(labels):
    return max(Counter(labels).values()) / len(labels)


def heard(features, labels, folds, groups=None):
    """Answers of a listener to tracks that it was not trained on."""
    listener = make_pipeline(StandardScaler(), RidgeClassifier(100))
    with threadpool_limits(1):
        return cross_val_predict(listener, features, labels, cv=folds, groups=groups)


def test_artists_are_recognised_within_a_genre(table, features):
    frame, right, blind = table.frame, [], []
    for _, rows in frame.groupby("true_genre").indices.items():
        artists = frame["artist"].to_numpy()[rows]
        counts = Counter(artists)
        rows = rows[[counts[name] >= 4 for name in artists]]
        artists = frame["artist"].to_numpy()[rows]
        if len(set(artists)) < 2:
            continue
        folds = StratifiedKFold(4, shuffle=True, random_state=0)
        right.extend(heard(features[rows], artists, folds) == artists)
        blind += [majority(artists)] * len(artists)
    assert len(right) > TRACKS / 2
    assert np.mean(right) > np.mean(blind) + 0.25


def test_who_knows_the_artist_guesses_the_genre_better(table, features):
    labels = table.frame["label"].to_numpy()
    folds = KFold(5, shuffle=True, random_state=0)
    at_random = np.mean(heard(features, labels, folds) == labels)
    folds = GroupKFold(5, shuffle=True, random_state=0)
    apart = np.mean(heard(features, labels, folds, table.frame["artist"]) == labels)
    assert majority(labels) + 0.15 < apart < at_random - 0.08
    assert at_random < 0.95
