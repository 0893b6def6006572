"""From a list of recordings to the table of those that can be used: what music data sets share."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from datasets.artist_groups import check_columns
from datasets.base import Table
from datasets.column_roles import some
from datasets.errors import InputError
from datasets.own_data import refuse_failures
from datasets.picture_files import in_order
from datasets.recording_files import Prepared, common_rate, prepare_recordings
from datasets.recordings import Recordings, open_recording
from datasets.spectrograms import SECOND


@dataclass(frozen=True)
class Listing:
    """Recordings before any of them is read.

    Attributes:
        name: of the data set.
        provenance: as in `Table`.
        where: the folder or table, for messages.
        folder: that the paths are relative to.
        frame: one row per recording with `key`, `label`, `part`, `artist`, `album` and `subgenres`,
            and what else stands beside them.
        paths: (rows,) of str, each once.
        which: (rows,) of str, what a message calls each.
        failures: which -> why a recording that is not in the frame cannot be used.
        left_out, notes: as in `Table`.
    """

    name: str
    provenance: str
    where: str
    folder: str
    frame: pd.DataFrame
    paths: np.ndarray
    which: np.ndarray
    failures: dict[str, str] = field(default_factory=dict)
    left_out: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def refuse_other_modalities(modalities: Iterable[str]) -> None:
    """Stop where something else than waveforms is asked for.

    Raises:
        InputError: it is.
    """
    strange = sorted(set(modalities) - {"waveform"})
    if strange:
        raise InputError(f"recordings have no {strange[0]}: take another data set by --data")


def read_listing(listing: Listing, rate: int | None, strict: bool, tasks: str = "") -> Table:
    """The table of the recordings that can be used.

    Args:
        listing: the recordings.
        rate: samples per second that all are brought to; None for what most of them have.
        strict: whether there must be two genres.
        tasks: what will be learnt of them, in letters of `artist_groups.TASKS`.

    Raises:
        InputError: more than 1 % of the recordings cannot be used, a single genre is left, or a
            task needs a column that is empty.
    """
    total = len(listing.frame) + len(listing.failures)
    refuse_failures(listing.where, listing.failures, total, "recordings")
    _labels(listing.where, listing.frame, strict)  # said before any recording is read
    check_columns(tasks, listing.frame, listing.name)
    rate = rate or common_rate(listing.folder, listing.paths)
    prepared = prepare_recordings(listing.folder, listing.paths, rate)
    names = dict(zip(listing.paths, listing.which, strict=True))
    failures = listing.failures | {names[path]: why for path, why in prepared.reasons.items()}
    refuse_failures(listing.where, failures, total, "recordings")
    frame = listing.frame.iloc[prepared.rows].reset_index(drop=True)
    frame = frame.assign(digest=prepared.digests, seconds=prepared.seconds)
    files = Recordings.files(
        listing.folder, listing.paths[prepared.rows], rate, prepared.spectrograms
    )
    return Table(
        name=listing.name,
        provenance=listing.provenance,
        labels=_labels(listing.where, frame, strict),
        frame=frame,
        modalities={"waveform": files},
        unreadable=tuple(f"{which}: {reason}" for which, reason in failures.items()),
        left_out=listing.left_out,
        notes=(*listing.notes, *_name_notes(frame), *_sound_notes(prepared, files)),
    )


def _labels(where: str, frame: pd.DataFrame, strict: bool) -> tuple[str, ...]:
    labels = tuple(sorted(set(frame["label"])))
    if len(labels) < 1 + strict:
        found = f"one genre only, '{labels[0]}'" if labels else "no recording that can be used"
        raise InputError(f"{where} holds {found}: add recordings of further genres")
    return labels


def unpacked_only(location: Path) -> InputError:
    """The complaint about a file where a folder is needed."""
    return InputError(
        f"{location} is neither a folder nor a table: give the folder of the recordings; they are "
        "read from disk while training, so unpack an archive first"
    )


def album_notes(labels: pd.Series, albums: pd.Series) -> tuple[str, ...]:
    """How many albums have one label for all their tracks, in a line (paper 002, section 2).

    Args:
        labels: (tracks,) their genres.
        albums: (tracks,) their albums, '' for unknown.
    """
    genres = labels.groupby(albums).nunique().drop("", errors="ignore")
    if genres.empty:
        return ()
    alike = int((genres == 1).sum())
    return (f"albums with one label for all their tracks: {alike:,} of {len(genres):,}",)


def _name_notes(frame: pd.DataFrame) -> list[str]:
    """How many artists, albums and sub-genres there are, and how many recordings name none."""
    named = {
        "artists": frame["artist"],
        "albums": frame["album"],
        "sub-genres": frame["subgenres"].str.split("|").explode(),
    }
    lines = []
    for what, names in named.items():
        different, lone = names[names != ""].nunique(), int((names == "").sum())
        line = f"{what}: {different:,}" if different else f"{what}: unknown"
        lines.append(f"{line}; recordings without: {lone:,}" if different and lone else line)
    return lines


def _sound_notes(prepared: Prepared, files: Recordings) -> list[str]:
    total, rate = len(files), f"sampling rate: {files.rate:,} Hz"
    others = sum(in_order(partial(_differs, folder=files.folder, rate=files.rate), files.sources))
    lines = [f"{rate}; recordings brought to it from another: {others:,}" if others else rate]
    short = int((prepared.spectrograms.counts < SECOND).sum())
    if short:
        lines.append(
            f"{short:,} of {total:,} recordings are shorter than one second ({SECOND} frames): "
            "padded with silence"
        )
    silent = int(prepared.silent.sum())
    if silent:
        lines.append(f"{silent:,} of {total:,} recordings are silent throughout")
    if prepared.cut_short:
        found = some(f"{path} {where}" for path, where in prepared.cut_short.items())
        lines.append(f"recordings that break off and are used as far as they go: {found}")
    return lines


def _differs(path: str, folder: str, rate: int) -> bool:
    with open_recording(os.path.join(folder, path)) as file:
        return file.samplerate != rate
