"""FMA: clips of 30 seconds from the Free Music Archive, under 16 top genres and their sub-genres.

Source: Defferrard, Benzi, Vandergheynst and Bresson, "FMA: A Dataset For Music Analysis", ISMIR
2017, arXiv 1612.01840, https://github.com/mdeff/fma. The metadata are under CC BY 4.0, each track
under the licence that its artist chose. Nothing of it is distributed with this code: unpack
`fma_metadata.zip` and one of `fma_small.zip` (8,000 tracks, 8 genres), `fma_medium.zip` (25,000
tracks, 16 genres: the data of paper 002) and `fma_large.zip` (106,574 tracks, of which those with
one top genre count) beside each other and pass their folder, or, where several of these lie there,
the one that is meant. SHA-1 of the archives as published, in this order:
f0df49ffe5f2a6008d7dc83c6915b31835dfe733, ade154f733639d52e35e32f5593efe5be76c6d70,
c67b69ea232021025fca9231fc1c7c1a063ab50b, 497109f4dd721066b5ce5e5f250ec604dc78939e.

Format: `fma_metadata/tracks.csv` (two rows of column names, a row `track_id`, a row per track),
`fma_metadata/genres.csv`, and audio as in `fma_small/000/000002.mp3`.
"""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pandas as pd

from datasets.base import Table
from datasets.errors import InputError
from datasets.files import damaged
from datasets.own_data import PART_NAMES
from datasets.sheets import read_sheet
from datasets.track_listing import (
    Listing,
    album_notes,
    read_listing,
    refuse_other_modalities,
    unpacked_only,
)

RATE = 44_100  # of nearly all clips, and of paper 002
METADATA = "fma_metadata"
SUBSETS = {  # folder of the audio -> the column `subset` of what lies in it
    "fma_small": ("small",),
    "fma_medium": ("small", "medium"),
    "fma_large": ("small", "medium", "large"),
}
# What the publishers' wiki lists as faulty in the small and the medium subset: their lengths were
# wrong in the archive, so that the clips were cut where the tracks end, or behind it.
NO_AUDIO = (
    *(1486, 5574, 65753, 80391, 98558, 98559, 98560, 98571, 99134, 105247, 108925, 126981, 127336),
    *(133297, 143992),
)
CUT_SHORT = (98565, 98566, 98567, 98568, 98569, 108924)
_COLUMNS = {
    "part": ("set", "split"),
    "subset": ("set", "subset"),
    "label": ("track", "genre_top"),
    "genres": ("track", "genres_all"),
    "title": ("track", "title"),
    "artist_id": ("artist", "id"),
    "artist": ("artist", "name"),
    "album_id": ("album", "id"),
    "album": ("album", "title"),
}


def load(
    data_dir: str | Path,
    modalities: tuple[str, ...] = ("waveform",),
    strict: bool = True,
    *,
    rate: int | None = None,
    tasks: str = "",
) -> Table:
    """The clips of one subset with a top genre; these genres, sorted, are the classes.

    Left out and named are the clips that the publishers list as faulty, and counted those without
    a top genre. Others that are not there or cannot be read stop the reading where they are more
    than 1 %. The parts are the publishers' own, which no artist crosses.

    Args:
        data_dir: the folder with `fma_metadata` and one audio folder, or an audio folder with
            `fma_metadata` beside it.
        modalities: `waveform`, which is all that there is.
        strict: False where the clips are only judged: a single genre will do then.
        rate: samples per second that all are brought to; None for 44,100.
        tasks: letters of `datasets.artist_groups.TASKS`; what these need is asked for before a
            recording is read.

    Returns:
        A table with the modality `waveform` (Recordings with their spectrograms). Its keys are
        relative to the audio folder. Its frame has `artist` and `album` (their names, with the
        number behind where several share one; '' for no album), `subgenres` (the titles of
        `genres_all` without the top genre, joined by `|`), `title` and `seconds`. Its notes say how
        many albums have one label for all their tracks; paper 002, section 2, found 5,028 of 5,152
        in the medium subset.

    Raises:
        InputError: a folder, the metadata or a column is missing, or too much cannot be used.
    """
    refuse_other_modalities(modalities)
    audio = _audio(Path(data_dir).expanduser().absolute())
    tracks = _read_tracks(audio.parent / METADATA / "tracks.csv")
    titles = _read_titles(audio.parent / METADATA / "genres.csv")
    return read_listing(_listing(audio, tracks, titles), rate or RATE, strict, tasks)


def _audio(location: Path) -> Path:
    """The folder of the audio."""
    if location.is_file():
        raise unpacked_only(location)
    found = [location] if location.name in SUBSETS else [location / name for name in SUBSETS]
    found = [folder for folder in found if folder.is_dir()]
    if len(found) > 1:
        raise InputError(
            f"{location} holds {' and '.join(folder.name for folder in found)}: give the one that "
            f"is meant as --data-dir, such as {found[0]}"
        )
    if not found or not (found[0].parent / METADATA).is_dir():
        raise InputError(
            f"{location} does not hold FMA as it is published: expected {METADATA} and, beside it, "
            f"{', '.join(SUBSETS)}; unpack the archives of https://github.com/mdeff/fma there"
        )
    return found[0]


def _read_tracks(path: Path) -> pd.DataFrame:
    """The columns of all tracks, as text, with the names of `_COLUMNS` and the number as `id`."""
    try:
        with open(path, encoding="utf-8", newline="") as file:
            header = [row for row, _ in zip(csv.reader(file), range(3), strict=False)]
        groups, names, first = header
        places = {pair: place for place, pair in enumerate(zip(groups, names, strict=True))}
        wanted = {0: "id"} | {places[pair]: name for name, pair in _COLUMNS.items()}
        tracks = pd.read_csv(
            path, skiprows=3, header=None, usecols=list(wanted), dtype="str", na_filter=False
        )
        is_whole = first[0] == "track_id" and tracks[0].str.fullmatch("[0-9]+").all()
    except OSError as error:
        raise damaged(path, error) from None
    except (ValueError, KeyError, csv.Error):
        is_whole = False
    if not is_whole:
        raise InputError(
            f"{path} is not the table that FMA publishes (two rows of column names, a row "
            "'track_id', a row per track): unpack fma_metadata.zip again"
        )
    return tracks.rename(columns=wanted)


def _read_titles(path: Path) -> dict[str, str]:
    """Number -> title of the genres."""
    try:
        with open(path, "rb") as stream:
            cells = read_sheet(stream, str(path)).cells
    except OSError as error:
        raise damaged(path, error) from None
    if not {"genre_id", "title"} <= set(cells):
        raise InputError(
            f"{path} is not the table that FMA publishes (genre_id, title, ...): unpack "
            "fma_metadata.zip again"
        )
    return dict(zip(cells["genre_id"], cells["title"], strict=True))


def _listing(audio: Path, tracks: pd.DataFrame, titles: dict[str, str]) -> Listing:
    tracks = tracks.assign(
        artist=_names(tracks["artist"], tracks["artist_id"]),
        album=_names(tracks["album"], tracks["album_id"]),
        part=tracks["part"].map(PART_NAMES).fillna(""),
    )
    tracks = tracks[tracks["subset"].isin(SUBSETS[audio.name])]
    annotated = tracks[tracks["label"] != ""]
    ids = annotated["id"].astype(int)
    left_out = [f"{_path(number)}: {why}" for number in ids if (why := _fault(number))]
    lone = len(tracks) - len(annotated)
    if lone:
        left_out.append(f"tracks without one top genre: {lone:,}")
    kept = annotated[[not _fault(number) for number in ids]]
    paths = np.array([_path(number) for number in kept["id"].astype(int)], object)
    frame = kept[["label", "part", "artist", "album", "title"]].reset_index(drop=True)
    return Listing(
        name="fma",
        provenance=(
            "FMA: A Dataset For Music Analysis (Defferrard et al. 2017, arXiv 1612.01840), "
            f"{audio.name}; metadata under CC BY 4.0, each track under its artist's licence"
        ),
        where=str(audio),
        folder=str(audio),
        frame=frame.assign(key=paths, subgenres=_subgenres(kept, titles, audio)),
        paths=paths,
        which=paths,
        left_out=tuple(left_out),
        notes=album_notes(annotated["label"], annotated["album"]),
    )


def _path(number: int) -> str:
    name = f"{number:06d}"
    return f"{name[:3]}/{name}.mp3"


def _fault(number: int) -> str:
    """Why a clip is left out; '' where it is not."""
    if number in NO_AUDIO:
        return "has no audio (listed by the publishers)"
    return "is cut short (listed by the publishers)" if number in CUT_SHORT else ""


def _names(names: pd.Series, numbers: pd.Series) -> pd.Series:
    """Names that tell artists or albums apart; '' where there is none (-1 in the album's number).

    An artist, or album, is what has one number: of several names of it the first counts.
    """
    pairs = pd.DataFrame({"name": names, "number": numbers}).drop_duplicates("number")
    shared = pairs["name"].duplicated(keep=False) | (pairs["name"] == "")
    unique = pairs["name"].where(~shared, pairs["name"] + " (" + pairs["number"] + ")")
    by_number = dict(zip(pairs["number"], unique.str.strip(), strict=True))
    return numbers.map(by_number | {"": "", "-1": ""})


def _subgenres(tracks: pd.DataFrame, titles: dict[str, str], audio: Path) -> list[str]:
    """The titles of each track's genres but the top one, joined by `|`."""
    try:
        named = {
            text: [titles[str(genre)] for genre in json.loads(text)]
            for text in set(tracks["genres"])
        }
    except (ValueError, KeyError) as error:
        raise InputError(
            f"{audio.parent / METADATA}: tracks.csv and genres.csv do not belong together, for "
            f"one lacks a genre of the other ({error}): unpack fma_metadata.zip again"
        ) from None
    return [
        "|".join(dict.fromkeys(title for title in named[text] if title != top))
        for text, top in zip(tracks["genres"], tracks["label"], strict=True)
    ]
