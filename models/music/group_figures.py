"""A look inside the artist group factors: who is near whom, and who stands for each factor."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from datasets.artist_groups import ArtistGroups, artist_map, nearest_artists
from models.music.tracks import TASKS
from training import reports

LEAST = 0.05  # share in a factor below which an artist does not stand for it


def draw_groups(groups: dict[str, ArtistGroups], seed: int, folder: Path) -> list:
    """Draw the groups of every task, and write each artist's factors as CSV.

    Args:
        groups: task -> its groups.
        seed: of the map.
        folder: of the report.

    Returns:
        (caption, file) of each picture.
    """
    drawn = []
    for task, found in groups.items():
        name, place = TASKS[task].replace("_", " "), f"artists_{TASKS[task]}"
        columns = [f"factor {number}" for number in range(1, found.factors.shape[1] + 1)]
        frame = pd.DataFrame(found.factors, columns=columns)
        frame.insert(0, "artist", found.artists)
        frame.to_csv(folder / f"{place}.csv", index=False, float_format="%.4f")
        shown = reports.plot_artist_map(
            artist_map(found, seed), found.artists, found.factors, folder / f"{place}_map.png"
        )
        members = reports.plot_group_members(_members(found), folder / f"{place}_members.png")
        drawn += [
            (f"Task {task} ({name}): artists near each other have like factors", shown),
            (f"Task {task} ({name}): artists with the largest share of each factor", members),
        ]
    return drawn


def _members(groups: ArtistGroups) -> dict[int, list[tuple[str, float]]]:
    """Number of a factor -> the artists that stand for it; factors of nobody are left out."""
    found = {
        number: [(artist, share) for artist, share in nearest if share >= LEAST]
        for number, nearest in enumerate(nearest_artists(groups), 1)
    }
    return {number: artists for number, artists in found.items() if artists}
