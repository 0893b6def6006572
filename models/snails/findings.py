"""What the recipe of paper 000 states below its table."""

from __future__ import annotations

from itertools import pairwise

from models.paired_rows import Runs, paired_rows

PAPER_P = "p > 0.6 for the dynamic against the fixed margin, test not named"


def four_configurations(runs: Runs) -> list[str]:
    """Each configuration against the one before it, in the folds that both have."""
    return [
        "Each configuration against the one above it (difference in points; paired t-test over the "
        "folds, the same corrected for overlapping training parts, and McNemar's exact test on all "
        f"answers). The paper: {PAPER_P}.",
        "",
        *paired_rows(runs, pairwise(runs)),
    ]
