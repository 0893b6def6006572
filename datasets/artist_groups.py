"""Learning targets from artists: dictionary, bag of words, topics (paper 002, section 3.1).

What is measured of tracks becomes words of a dictionary, the words of an artist's tracks a bag, and
latent Dirichlet allocation (LDA) makes of the bags a few factors that artists have shares in: the
Artist Group Factors, which a network learns to tell from the sound (Figure 1 and Table 1):

    m  MFCC of the frames, 25, in a dictionary made by k-means
    d  their slope in time: `librosa.feature.delta`, a line fitted through nine frames
    e  descriptors of whole tracks, each quantile-normalised to a normal distribution, by k-means
    s  names of sub-genres, which are the words themselves

Only training tracks are looked at, so that nothing of a held-out track enters a target.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import librosa
import numpy as np
import pandas as pd
from sklearn.cluster import MiniBatchKMeans
from sklearn.decomposition import PCA, LatentDirichletAllocation
from sklearn.manifold import TSNE
from sklearn.preprocessing import QuantileTransformer
from threadpoolctl import threadpool_limits
from tqdm import tqdm

from datasets.base import Table
from datasets.errors import InputError
from datasets.song_descriptors import song_descriptors

TASKS = {
    "g": "genre",
    "m": "MFCC",
    "d": "delta MFCC",
    "e": "song descriptors",
    "s": "sub-genres",
}
COEFFICIENTS = 25
FRAMES = 1_000_000  # at most so many, drawn at random, make the dictionary: 100 MB
# Samples per word at least, as in the paper (21,250 training tracks for 2,048 words). With a word
# of its own for every track, no two artists would have a word in common.
PER_WORD = 10
MAPPED_BY_TSNE = 100  # artists from which on t-SNE makes the map; its perplexity of 30 needs them

_DELTA_WIDTH = 9  # frames, librosa's default
_BATCH = 4096  # frames or tracks in a step of the k-means
# Passes of the LDA over the artists. On 200 made-up bags of 40 factors its shares correlate with
# the true ones by 0.945 after 10, 0.957 after 20 and 0.960 after 30.
_ITERATIONS = 20
# The LDA may get stuck with factors that nobody has a share in. Of six starts on bags of synthetic
# and of real sound, the one with the highest bound after 5 passes had it after 20 passes as well.
_STARTS, _FIRST_ITERATIONS = 5, 5
_NAMED = 5  # artists that a note names


@dataclass(frozen=True)
class ArtistGroups:
    """Factors of artists for one task.

    Attributes:
        task: `m`, `d`, `e` or `s`.
        artists: (artists,) names, sorted.
        factors: (artists, factors) float32, the share of each factor; rows sum to one.
        zero: artists in whose tracks nothing was found to count: their row is uniform.
        notes: how the factors came about and what is odd about them, in lines.
    """

    task: str
    artists: tuple[str, ...]
    factors: np.ndarray
    zero: tuple[str, ...]
    notes: tuple[str, ...]

    def targets(self, artist_names: Iterable[str]) -> np.ndarray:
        """What a network learns for tracks of these artists, (rows, factors) float32.

        The row of a track without an artist ('') is uniform.

        Raises:
            ValueError: an artist has no training track: there is no target for a held-out track.
        """
        names = np.asarray(artist_names, object)
        places = pd.Index(self.artists).get_indexer(names)
        strange = names[(places < 0) & (names != "")]
        if len(strange):
            raise ValueError(f"no target for '{strange[0]}', who has no training track")
        uniform = np.full(self.factors.shape[1], 1 / self.factors.shape[1], np.float32)
        return np.where((places >= 0)[:, None], self.factors[places], uniform)


def check_tasks(tasks: Iterable[str], table: Table) -> None:
    """Whether a table has what tasks are learnt from; to be called before any work.

    Args:
        tasks: letters of `TASKS`.
        table: tracks of music.

    Raises:
        InputError: there is no such task, or the table lacks the sound, the artists or the
            sub-genres that one needs.
    """
    if "waveform" not in table.modalities:
        raise InputError(f"{table.name} has no recordings, of which the tasks are learnt")
    check_columns(tasks, table.frame, table.name)


def check_columns(tasks: Iterable[str], frame: pd.DataFrame, name: str) -> None:
    """Whether recordings that need not be read yet have the columns of tasks.

    Args:
        tasks: letters of `TASKS`.
        frame: one row per recording, with `artist` and `subgenres`, '' for unknown.
        name: of the data set, for messages.

    Raises:
        InputError: there is no such task, or it needs a column that is empty.
    """
    artists = _distinct(frame, "artist")
    for task in tasks:
        if task not in TASKS:
            known = ", ".join(f"{letter} ({what})" for letter, what in TASKS.items())
            raise InputError(f"there is no task '{task}': choose among {known}")
        if task != "g" and artists < 2:
            has = "names only one artist" if artists else "names no artist"
            raise InputError(
                f"{name} {has}, and task {task} ({TASKS[task]}) groups artists: give a "
                "column 'artist', or take task g alone"
            )
        if task == "s" and not _distinct(frame, "subgenres"):
            raise InputError(
                f"{name} names no sub-genre, and task s counts them: give a column "
                "'subgenres', or leave out task s"
            )


# One thread: the sums, and so the factors, are the same on any number of cores; and the work on one
# track is too little to share, so that several threads took longer (measured on two busy cores).
_one_thread = threadpool_limits.wrap(1)


@_one_thread
def fit_artist_groups(
    task: str,
    table: Table,
    train_rows: np.ndarray,
    seed: int,
    factors: int = 40,
    words: int = 2048,
) -> ArtistGroups:
    """Group the artists of the training tracks (paper 002, section 3.1 and Figure 1).

    Tracks are read one after the other, twice for m and d; what is kept of them in the memory does
    not grow with their length.

    Args:
        task: `m`, `d`, `e` or `s`.
        table: tracks of music, for m, d and e with their spectrograms.
        train_rows: row numbers of the training tracks; no other row is looked at.
        seed: of the drawn frames, the k-means and the LDA.
        factors: number of factors; at most as many as artists who have something to count.
        words: in the dictionary; fewer where there are less than ten samples for each.

    Raises:
        InputError: there are less than two artists with something to count.
    """
    rows = np.sort(train_rows)
    names = table.frame["artist"].to_numpy(object)[rows]
    rows, names = rows[names != ""], names[names != ""]
    artists, owners = np.unique(names.astype(str), return_inverse=True)
    tracks = _Tracks(table, rows, owners, len(artists))
    bags, notes = _BAGS[task](task, tracks, words, seed)
    filled = bags.any(axis=1)
    if filled.sum() < 2:
        raise InputError(
            f"{table.name}: task {task} ({TASKS[task]}) groups artists, and {filled.sum()} of "
            f"{len(artists)} in the training part have something to count: leave out the task"
        )
    topics = min(factors, int(filled.sum()))
    shares = np.full((len(artists), topics), 1 / topics)
    shares[filled] = _topics(bags[filled], topics, seed)
    zero = tuple(artists[~filled].tolist())
    notes += _artist_notes(np.bincount(owners), len(train_rows) - len(rows), zero)
    idle = topics - len(set(shares[filled].argmax(axis=1)))
    if idle:
        notes.append(f"{idle} of {topics} factors are the largest of no artist")
    if topics < factors:
        notes.append(f"warning: {topics} factors and not {factors}: no more artists to group")
    return ArtistGroups(
        task,
        tuple(artists.tolist()),
        shares.astype(np.float32),
        zero,
        tuple(f"task {task}: {note}" for note in notes),
    )


def nearest_artists(groups: ArtistGroups, count: int = 5) -> list[list[tuple[str, float]]]:
    """For each factor the artists with the largest share in it, and the shares.

    Artists in `groups.zero` are not among them.
    """
    counted = np.flatnonzero(~np.isin(groups.artists, groups.zero))
    shares = groups.factors[counted]
    order = np.argsort(-shares, axis=0, kind="stable")[:count]
    return [
        [(groups.artists[counted[place]], float(shares[place, factor])) for place in places]
        for factor, places in enumerate(order.T)
    ]


@_one_thread
def artist_map(groups: ArtistGroups, seed: int) -> np.ndarray:
    """Places of the artists in a plane, (artists, 2) float: near ones have alike shares.

    By t-SNE from `MAPPED_BY_TSNE` artists on, else by the first two principal components; of the
    square roots of the shares, whose distance is that of Hellinger between two distributions.
    """
    roots = np.sqrt(groups.factors.astype(float))
    if len(roots) < MAPPED_BY_TSNE:
        return PCA(2).fit_transform(roots)
    return TSNE(2, init="pca", random_state=seed).fit_transform(roots).astype(float)


def mfcc(log_mel: np.ndarray) -> np.ndarray:
    """Mel-frequency cepstral coefficients, (frames, 25) float32: the cosine transform of the bands.

    Args:
        log_mel: (frames, bands) float32 dB.
    """
    return librosa.feature.mfcc(S=log_mel.T, n_mfcc=COEFFICIENTS).T


def delta_mfcc(log_mel: np.ndarray) -> np.ndarray:
    """Slope of the MFCC per frame, (frames, 25) float32.

    Args:
        log_mel: (frames, bands) float32 dB; the first and the last frame of less than nine are
            repeated.
    """
    mode = "interp" if len(log_mel) >= _DELTA_WIDTH else "nearest"
    return librosa.feature.delta(mfcc(log_mel), width=_DELTA_WIDTH, axis=0, mode=mode)


@dataclass(frozen=True)
class _Tracks:
    """Training tracks of known artists.

    Attributes:
        table: where they stand.
        rows: (tracks,) their row numbers, in order.
        owners: (tracks,) number of the artist of each.
        artists: how many there are.
    """

    table: Table
    rows: np.ndarray
    owners: np.ndarray
    artists: int

    def spectrograms(self, doing: str) -> Iterator[np.ndarray]:
        """(frames, bands) float32 dB of each track, one after the other."""
        column = self.table.modalities["waveform"].spectrograms
        for row in tqdm(self.rows, doing, delay=2, leave=False):
            yield column[int(row)]


_FRAME_FEATURES: dict[str, Callable] = {"m": mfcc, "d": delta_mfcc}


def _frame_bags(task: str, tracks: _Tracks, words: int, seed: int) -> tuple[np.ndarray, list[str]]:
    """(artists, words) int64, how often a frame of the artist is nearest to the word; and notes."""
    features = _FRAME_FEATURES[task]
    frames = tracks.table.modalities["waveform"].spectrograms.counts[tracks.rows]
    drawn = _drawn_frames(features, tracks, frames, seed)
    dictionary, notes = _dictionary(drawn, words, seed, f"of {frames.sum():,} frames")
    bags = np.zeros((tracks.artists, dictionary.n_clusters), np.int64)
    found = tracks.spectrograms(f"counting words, task {task}")
    for artist, log_mel in zip(tracks.owners, found, strict=True):
        if len(log_mel):
            heard = dictionary.predict(features(log_mel))
            bags[artist] += np.bincount(heard, minlength=dictionary.n_clusters)
    return bags, notes


def _drawn_frames(features, tracks: _Tracks, frames: np.ndarray, seed: int) -> np.ndarray:
    """At most `FRAMES` of the frames, each as likely as any other, (drawn, 25) float32."""
    total = int(frames.sum())
    if total > FRAMES:
        rng = np.random.default_rng(seed)
        chosen = np.sort(rng.choice(total, FRAMES, replace=False, shuffle=False))
    else:
        chosen = np.arange(total)
    ends = np.cumsum(frames)
    bounds = np.searchsorted(chosen, np.concatenate([[0], ends]))
    drawn = np.empty((len(chosen), COEFFICIENTS), np.float32)
    for number, log_mel in enumerate(tracks.spectrograms("drawing frames")):
        mine = slice(bounds[number], bounds[number + 1])
        if mine.start < mine.stop:
            drawn[mine] = features(log_mel)[chosen[mine] - (ends[number] - frames[number])]
    return drawn


def _song_bags(task: str, tracks: _Tracks, words: int, seed: int) -> tuple[np.ndarray, list[str]]:
    """(artists, words) int64, how many tracks of the artist are nearest to the word; and notes."""
    frame = tracks.table.frame.iloc[tracks.rows]
    recordings = tracks.table.modalities["waveform"][tracks.rows]
    found = song_descriptors(recordings, frame["digest"].to_numpy())
    described = np.setdiff1d(np.arange(len(tracks.rows)), list(found.failed))
    notes = [f"{found.values.shape[1]:,} descriptors of each track: {found.source}"]
    if found.dropped:
        notes.append(f"{found.dropped} descriptors, not finite for some track, left out")
    for row, reason in found.failed.items():
        notes.append(f"warning: {frame['key'].iloc[row]} counts no word: {reason}")
    if not len(described):
        return np.zeros((tracks.artists, 1), np.int64), notes
    normal = QuantileTransformer(
        n_quantiles=min(1000, len(described)), output_distribution="normal", random_state=seed
    ).fit_transform(found.values[described])
    dictionary, more = _dictionary(normal, words, seed, f"of {len(described):,} tracks")
    bags = np.zeros((tracks.artists, dictionary.n_clusters), np.int64)
    np.add.at(bags, (tracks.owners[described], dictionary.predict(normal)), 1)
    return bags, notes + more


def _subgenre_bags(task: str, tracks: _Tracks, words: int, seed: int):
    """(artists, names) int64, how many tracks of the artist bear the name; and notes."""
    cells = tracks.table.frame["subgenres"].to_numpy(object)[tracks.rows]
    listed = [sorted({name for name in cell.split("|") if name}) for cell in cells]
    names = sorted({name for of_track in listed for name in of_track})
    bags = np.zeros((tracks.artists, len(names)), np.int64)
    places = {name: place for place, name in enumerate(names)}
    for artist, of_track in zip(tracks.owners, listed, strict=True):
        for name in of_track:
            bags[artist, places[name]] += 1
    return bags, [f"{len(names):,} sub-genres are the words"]


_BAGS = {"m": _frame_bags, "d": _frame_bags, "e": _song_bags, "s": _subgenre_bags}


def _dictionary(
    samples: np.ndarray, words: int, seed: int, kind: str
) -> tuple[MiniBatchKMeans, list[str]]:
    """Words, the centres of (samples, features); and notes on their number."""
    size = min(words, len(samples), max(2, len(samples) // PER_WORD))
    notes = [f"dictionary of {size:,} words from {len(samples):,} {kind}"]
    if size < words:
        notes.append(
            f"warning: {size:,} words and not {words:,}: less than {PER_WORD} samples for each"
        )
    return MiniBatchKMeans(size, batch_size=_BATCH, random_state=seed).fit(samples), notes


def _topics(bags: np.ndarray, factors: int, seed: int) -> np.ndarray:
    """Shares of the factors in bags of words, (bags, factors) float64; rows sum to one."""

    def lda(start: int, passes: int) -> LatentDirichletAllocation:
        return LatentDirichletAllocation(factors, max_iter=passes, random_state=start)

    starts = np.random.default_rng(seed).integers(2**31, size=_STARTS).tolist()
    best = max(starts, key=lambda start: lda(start, _FIRST_ITERATIONS).fit(bags).score(bags))
    shares = lda(best, _ITERATIONS).fit_transform(bags)
    return shares / shares.sum(axis=1, keepdims=True)


def _artist_notes(tracks: np.ndarray, nameless: int, zero: tuple[str, ...]) -> list[str]:
    """What people should know of the artists; `tracks` holds the number of each one's."""
    notes = []
    single = int((tracks == 1).sum())
    if single:
        notes.append(f"{single} of {len(tracks)} artists have a single training track")
    if nameless:
        notes.append(f"warning: {nameless} training tracks without an artist: a uniform target")
    if zero:
        named = ", ".join(zero[:_NAMED]) + f" and {len(zero) - _NAMED} more" * (len(zero) > _NAMED)
        notes.append(f"warning: {len(zero)} artists with nothing to count: uniform: {named}")
    return notes


def _distinct(frame: pd.DataFrame, column: str) -> int:
    """How many different values a column has, '' aside; 0 where there is no column."""
    if column not in frame:
        return 0
    return len(set(frame[column]) - {""})
