"""What the recipe of paper 003 states below its table: its tables 1 to 5 beside ours.

Counts, never percentages: those of the paper are cut off, not rounded. Every function takes the
runs of the recipe, row name -> seed -> folder, and returns Markdown lines.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from models import model_class
from models.artefact import read_history
from models.runs import read_json

SPECIES = ("clarkii", "perideraion", "ocellaris", "frenatus", "other")
COUNTS = {  # table 1 and section II d: training and validation pictures of each class
    "two species": ("RI2", "TL2"),
    "four species": ("RI4", "TL4"),
    "four and other": ("TL4.2",),
}
PAPER_COUNTS = {
    "two species": {"clarkii": (380, 59), "perideraion": (228, 25)},
    "four species": {
        "clarkii": (234, 59), "perideraion": (228, 25), "ocellaris": (211, 23),
        "frenatus": (140, 16),
    },
}  # fmt: skip
PAPER_COUNTS["four and other"] = PAPER_COUNTS["four species"] | {"other": (312, 78)}
PAPER_RIGHT = {  # tables 2, 3 and 5: right answers on the validation pictures of PAPER_COUNTS
    "RI2": (57, 15),
    "TL2": (57, 24),
    "RI4": (42, 18, 11, 11),
    "TL4": (57, 23, 16, 14),
    "TL4.2": (42, 23, 19, 13, 44),
}
# Table 4, its third row as the authors' own list of mistakes has it: printed is 0/2/16/3.
PAPER_CONFUSION = ((57, 0, 1, 1), (0, 23, 1, 1), (2, 2, 16, 3), (2, 0, 0, 14))
# From the authors' logs: the best epoch, counted from 1, and the training's minutes.
PAPER_TRAINING = {
    "RI2": (9, 19.7), "TL2": (2, 22.3), "RI4": (17, 28.2), "TL4": (4, 25.0), "TL4.2": (44, 128.2),
}  # fmt: skip

Runs = dict[str, dict[int, Path]]


def tables(runs: Runs) -> list[str]:
    """Tables 1 to 5 of the paper beside ours, its shared mistakes, and how training went."""
    return [
        *counts(runs),
        "",
        *right_answers(runs),
        *(["", *confusion(runs)] if "TL4" in runs else []),
        *(["", *shared_mistakes(runs)] if {"RI2", "TL2"} <= set(runs) else []),
        *(["", *none_of_these(runs)] if "TL4" in runs else []),
        "",
        *training(runs),
    ]


def counts(runs: Runs) -> list[str]:
    """Table 1: pictures of each class in both parts."""
    lines = [
        "Table 1, pictures of each class:",
        "",
        "| data | class | training | paper | validation | paper |",
        "|---|---|---|---|---|---|",
    ]
    for data, rows in COUNTS.items():
        found = [row for row in rows if row in runs]
        if not found:
            continue
        folder = _first(runs[found[0]])
        ours = {part: _supports(folder, part) for part in ("train", "validation")}
        entries = [
            [ours["train"][label], ours["validation"][label], *_paper_counts(data, label)]
            for label in ours["train"]
        ]
        stated = [entry[2:] for entry in entries if None not in entry[2:]]
        sums = [sum(entry[place] for entry in entries) for place in (0, 1)]
        complete = len(stated) == len(PAPER_COUNTS[data])
        sums += [sum(column) for column in zip(*stated, strict=True)] if complete else [None, None]
        for label, entry in zip((*ours["train"], "all"), (*entries, sums), strict=True):
            train, validation, *paper = map(_cell, entry)
            lines.append(f"| {data} | {label} | {train} | {paper[0]} | {validation} | {paper[1]} |")
    return lines


def right_answers(runs: Runs) -> list[str]:
    """Tables 2, 3 and 5: right answers of each class on the validation part."""
    lines = [
        "Tables 2, 3 and 5, right answers of the validation pictures, each seed:",
        "",
        "| network | class | ours | paper |",
        "|---|---|---|---|",
    ]
    for name, seeds in runs.items():
        matrices = [_confusion(folder) for folder in seeds.values()]
        labels = _labels(_first(seeds))
        for index, label in enumerate(labels):
            ours = ", ".join(f"{matrix[index, index]}/{matrix[index].sum()}" for matrix in matrices)
            lines.append(f"| {name} | {label} | {ours} | {_paper_right(name, label)} |")
        ours = ", ".join(f"{np.trace(matrix)}/{matrix.sum()}" for matrix in matrices)
        right, n = sum(PAPER_RIGHT[name]), sum(pair[1] for pair in _counts_of(name).values())
        lines.append(f"| {name} | all | {ours} | {right}/{n} |")
    return lines


def confusion(runs: Runs) -> list[str]:
    """Table 4: what TL4 answers for each species, first seed."""
    seed, folder = next(iter(runs["TL4"].items()))
    labels, ours = _labels(folder), _confusion(folder)
    species = [_species(label) for label in labels]
    lines = [
        f"Table 4, answers of TL4, ours (seed {seed}) and the paper's, its row of ocellaris "
        "corrected by the authors' list of mistakes (printed: 0/2/16/3, which is two short):",
        "",
        "| true class | " + " | ".join(labels) + " |",
        "|---" * (1 + len(labels)) + "|",
    ]
    for row, label in enumerate(labels):
        cells = [
            f"{ours[row, column]}, paper {_paper_confusion(species[row], species[column])}"
            for column in range(len(labels))
        ]
        lines.append(f"| {label} | " + " | ".join(cells) + " |")
    return lines


def shared_mistakes(runs: Runs) -> list[str]:
    """Which validation pictures that TL2 gets wrong RI2 gets wrong as well (section II b)."""
    lines = ["Mistakes of TL2 that RI2 makes as well (the paper: 2 of 3):", ""]
    table = None
    for seed, folder in runs["TL2"].items():
        wrong = {}
        for name in ("RI2", "TL2"):
            model = _loaded(runs[name][seed])
            table = (
                model.read_table(model.options.data, model.options.data_dir)
                if table is None
                else table
            )
            wrong[name] = _wrong(model, table)
        shared = wrong["RI2"] & wrong["TL2"]
        line = (
            f"- seed {seed}: {len(shared)} of {len(wrong['TL2'])}; RI2 errs on "
            f"{len(wrong['RI2'])} of {_confusion(folder).sum()}"
        )
        lines.append(line + (f"; both on {', '.join(sorted(shared))}" if shared else ""))
    return lines


def none_of_these(runs: Runs) -> list[str]:
    """The paper's proposal: "other" below a confidence (TL4), beside a class of its own (TL4.2)."""
    values = [
        read_json(folder, "metrics.json")["rejection"].get("auroc")
        for folder in runs["TL4"].values()
    ]
    if None in values:
        return ["TL4 met no pictures of other species: 'other' by confidence is not judged."]
    listed = ", ".join(f"{value:.3f}" for value in values)
    return [
        "'Other' by confidence, as the paper proposes instead of a fifth class: a validation "
        "picture makes TL4 more confident than one of another species with a chance of "
        f"{listed} (AUROC, each seed)."
    ]


def training(runs: Runs) -> list[str]:
    """The best epoch, over-fitting and the time."""
    lines = [
        'The paper sees "no sign of overfitting". Training minus validation accuracy in points, '
        "the best epoch (counted from 1; it is the one that is kept) and the minutes, first seed:",
        "",
        "| network | gap | best epoch | paper | minutes | paper |",
        "|---|---|---|---|---|---|",
    ]
    for name, seeds in runs.items():
        folder = _first(seeds)
        metrics, history = read_json(folder, "metrics.json"), read_history(folder)
        gap = 100 * (metrics["train"]["accuracy"] - metrics["validation"]["accuracy"])
        best = int(history["epoch"][history["val_accuracy"].idxmax()])
        minutes = history["seconds"].sum() / 60
        paper_best, paper_minutes = PAPER_TRAINING[name]
        lines.append(
            f"| {name} | {gap:.1f} | {best} of {len(history)} | {paper_best} | {minutes:.1f} "
            f"| {paper_minutes:.1f} |"
        )
    return lines


def _species(label: str) -> str:
    """The paper's word for a class: 'clarkii' of 'Amphiprion_clarkii'."""
    return label.lower().replace(" ", "_").split("_")[-1]


def _counts_of(name: str) -> dict[str, tuple[int, int]]:
    return next(PAPER_COUNTS[data] for data, rows in COUNTS.items() if name in rows)


def _paper_counts(data: str, label: str) -> tuple:
    return PAPER_COUNTS[data].get(_species(label), (None, None))


def _paper_right(name: str, label: str) -> str:
    pictures, species = _counts_of(name), _species(label)
    if species not in pictures:
        return "-"
    return f"{PAPER_RIGHT[name][SPECIES.index(species)]}/{pictures[species][1]}"


def _paper_confusion(row: str, column: str) -> str:
    places = [SPECIES[:4].index(one) for one in (row, column) if one in SPECIES[:4]]
    return str(PAPER_CONFUSION[places[0]][places[1]]) if len(places) == 2 else "-"


def _cell(value) -> str:
    return "-" if value is None else str(value)


def _first(seeds: dict[int, Path]) -> Path:
    return next(iter(seeds.values()))


def _labels(folder: Path) -> list[str]:
    return read_json(folder, "labels.json")


def _confusion(folder: Path) -> np.ndarray:
    return np.array(read_json(folder, "metrics.json")["validation"]["confusion"])


def _supports(folder: Path, part: str) -> dict[str, int]:
    matrix = np.array(read_json(folder, "metrics.json")[part]["confusion"])
    return dict(zip(_labels(folder), matrix.sum(axis=1).tolist(), strict=True))


def _loaded(folder: Path):
    return model_class(read_json(folder, "metadata.json")["model"]).loadModel(folder)


def _wrong(model, table) -> set[str]:
    """Keys of the validation pictures that a saved run gets wrong."""
    model.split_table(table)
    rows = model.splits.validation
    answers = model.probabilities(model.fitted(model.table.take(rows))).argmax(axis=1)
    return set(model.table.frame["key"].iloc[rows[answers != model.table.targets[rows]]])
