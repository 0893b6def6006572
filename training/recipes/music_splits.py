"""Paper 002, section 4: a random split of tracks beside splits that part artists or albums."""

from training.recipes import Recipe, Row
from training.recipes.music_sweep import RECIPE as SWEEP
from training.recipes.music_sweep import TASKS


def _rows(where: str, **split) -> tuple[Row, ...]:
    """On one kind of split, a network for each task, and the genre by all their features."""
    # Groups need not be of one genre; the paper's 85/15 of each genre is what --full asks for.
    full = {"split_rule": "holdout"} if split else {}
    networks = tuple(
        Row(
            f"STN {task}{where}",
            "MelDCNN",
            {"tasks": task, **split},
            full=full,
            in_quick=task == "g",
        )
        for task in TASKS
    )
    uses = {"networks": tuple(row.name for row in networks)}
    return *networks, Row(f"transfer{where}", "TransferMLP", split, uses, full=full, some=True)


RECIPE = Recipe(
    title="Genre of unknown tracks, artists and albums (paper 002, section 4)",
    # Those of the random split are the sweep's own networks.
    rows=(
        *_rows(""),
        *_rows(", by artist", group="artist"),
        *_rows(", by album", group="album"),
    ),
    seeds=SWEEP.seeds,
    differs=(
        "the paper states the random split's figures only as those of its sweep; that "
        "groups cost accuracy is its own observation, from a public and a secret test "
        "set."
    ),
    findings="models.music.findings:splits",
    one_table=True,
    full=SWEEP.full,
    demonstration=SWEEP.demonstration,
    quick=SWEEP.quick,
)
