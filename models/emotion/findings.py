"""What the recipes of paper 004 state below their tables.

Every function takes the runs of a recipe, row name -> seed -> folder, and returns Markdown lines.
"""

from __future__ import annotations

import platform
from pathlib import Path

import numpy as np
import pandas as pd

from models.artefact import verify_run
from models.emotion.faces import read_faces
from models.emotion.nn2 import NN2
from models.runs import read_json

THREE_TIMES_CHANCE = 3 / 7
LARGEST_GAP = 0.03  # training minus validation accuracy that still counts as not overfitted
AN_HOUR = 3600

Runs = dict[str, dict[int, Path]]


def requirements(runs: Runs) -> list[str]:
    """The paper's six non-functional requirements (section 5.1.2), one by one."""
    return [
        "The paper's non-functional requirements (section 5.1.2), as measured:",
        "",
        f"1. Python only: yes, Python {platform.python_version()}.",
        f"2. Saved persistently: {_saved(runs)}.",
        f"3. NN1 and NN2 at least 3/7 = 42.9 %: {_three_times_chance(runs)}.",
        f"4. FinalNN better than both branches: {_fusion_wins(runs)}.",
        "5. Not overfitted (training minus validation accuracy at most 3 points at the last "
        f"epoch): {_gaps(runs)}.",
        f"6. All trainings within an hour: {_duration(runs)}.",
    ]


def _saved(runs):
    folders = [folder for seeds in runs.values() for folder in seeds.values()]
    for folder in folders:
        verify_run(folder)
    return f"yes, {len(folders)} runs, all checksums hold"


def _three_times_chance(runs):
    found = []
    for name in ("NN1", "NN2"):
        for part in ("validation", "test"):
            values = [_accuracy(folder, part) for folder in runs[name].values()]
            held = sum(value >= THREE_TIMES_CHANCE for value in values)
            found.append(f"{name} {part} {_listed(values)} ({held} of {len(values)} hold)")
    return "; ".join(found)


def _fusion_wins(runs):
    found = []
    for name in ("FinalNN, decisions", "FinalNN, features"):
        for part in ("validation", "test"):
            margins = [
                _accuracy(folder, part)
                - max(_accuracy(runs[branch][seed], part) for branch in ("NN1", "NN2"))
                for seed, folder in runs[name].items()
            ]
            held = sum(margin > 0 for margin in margins)
            found.append(
                f"{name} {part} by {_listed(margins)} points ({held} of {len(margins)} hold)"
            )
    return "; ".join(found)


def _gaps(runs):
    found = []
    for name, seeds in runs.items():
        gaps = []
        for folder in seeds.values():
            gaps.append(_accuracy(folder, "train") - _accuracy(folder, "validation"))
        held = sum(gap <= LARGEST_GAP for gap in gaps)
        found.append(f"{name} {_listed(gaps)} ({held} of {len(gaps)} hold)")
    return "; ".join(found)


def _duration(runs):
    totals = {
        seed: sum(read_json(seeds[seed], "metadata.json")["seconds"] for seeds in runs.values())
        for seed in next(iter(runs.values()))
    }
    listed = ", ".join(f"seed {seed} {total / 60:.1f} min" for seed, total in totals.items())
    verdict = "yes" if max(totals.values()) < AN_HOUR else "no"
    return f"{verdict}, {listed} (data, training, judging and writing)"


def modality_drops(runs: Runs) -> list[str]:
    """Test accuracy lost when one modality is shuffled among the test faces."""
    lines = [
        "Points of test accuracy lost when one modality is shuffled among the test faces:",
        "",
        "| network | test accuracy | pictures shuffled | landmarks shuffled |",
        "|---|---|---|---|",
    ]
    for name, seeds in runs.items():
        for folder in seeds.values():
            drops = read_json(folder, "metrics.json").get("modality_drop")
            if drops:
                lines.append(
                    f"| {name} | {100 * _accuracy(folder, 'test'):.1f} % "
                    f"| {100 * drops['image']:.1f} | {100 * drops['landmarks']:.1f} |"
                )
    return lines


def quality_quarters(runs: Runs) -> list[str]:
    """NN2's test accuracy by quarters of the faces' landmark quality."""
    lines = [
        "Test accuracy of NN2 by quarters of the faces' landmark quality, worst first:",
        "",
        "| training | worst | second | third | best |",
        "|---|---|---|---|---|",
    ]
    for name, seeds in runs.items():
        quarters = np.mean([_accuracy_by_quarter(folder) for folder in seeds.values()], axis=0)
        lines.append(
            f"| {name} | " + " | ".join(f"{100 * share:.1f} %" for share in quarters) + " |"
        )
    return lines


def _accuracy_by_quarter(folder) -> np.ndarray:
    model = NN2.loadModel(folder)
    options = model.options
    model.split_table(
        read_faces(model, options.data, options.data_dir, True, ("landmark_quality",))
    )
    rows = model.splits.test
    right = (
        model.probabilities({"landmarks": model.table.modalities["landmarks"][rows]}).argmax(axis=1)
        == model.table.targets[rows]
    )
    order = pd.Series(model.table.quality["landmarks"][rows]).rank(method="first")
    quarter = pd.qcut(order, 4, labels=False)
    return np.array([right[quarter == index].mean() for index in range(4)])


def _accuracy(folder, part: str) -> float:
    return read_json(folder, "metrics.json")[part]["accuracy"]


def _listed(values) -> str:
    return ", ".join(f"{100 * value:.1f}" for value in values)
