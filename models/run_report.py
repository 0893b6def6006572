"""The report of a run: which figures it shows, and in which order."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from datasets.audit import Audit, audit
from models.music.group_figures import draw_groups
from models.run_certainty import draw_certainty, rejection_lines
from models.species.depth_figures import draw_depth, rank_results, readable_ranks
from training import reports
from training.distribution import setting_text
from training.evaluation import Result
from training.report_page import CONFUSION, CURVES, write_report_page

CURVE_CAPTIONS = {
    "accuracy": "Accuracy over the epochs",
    "loss": "Loss over the epochs; class weights count in training only",
    "learning_rate": "Learning rate of each epoch",
    "loss_weights": "Learnt weights s of the losses (Kendall et al. 2018)",
}
SHOWN = 14
EXPLAINED = 4  # of the mistakes that are shown
SHOWN_PAIRS = 8


def write_report(folder: Path, run, metadata: dict, history: pd.DataFrame) -> None:
    """Write all pictures and tables of a run, and the page that shows them.

    Args:
        folder: where they go.
        run: models.artefact.Run.
        metadata: as in `metadata.json`.
        history: one row per epoch.
    """
    folder.mkdir(exist_ok=True)
    found = audit(run.table, run.splits)
    curves = reports.plot_history(history, folder)
    figures = {CURVES: [(CURVE_CAPTIONS[path.stem], path) for path in curves]}
    figures |= _confusions(run, folder)
    if run.specificity:
        figures["Answers as deep as they are sure"] = draw_depth(run, folder)
    if run.groups:
        figures["Groups of artists"] = draw_groups(run.groups, metadata["seed"], folder)
    figures["Certainty"] = draw_certainty(run, folder)
    figures |= _mistakes(run, folder)
    figures["Data"] = _data_figures(run, found, folder)
    for part, result in run.results.items():
        reports.write_classification_report(result, folder / f"classification_{part}.csv")
        reports.write_confusion_csv(result, folder / f"confusion_{part}.csv")
    write_report_page(
        folder / "report.html",
        title=f"{run.model} on {run.table.name}, run {metadata['run']}",
        provenance=run.table.provenance,
        synthetic=run.table.synthetic,
        facts=_facts(run, metadata),
        architecture=_architecture(run.network),
        command=run.command,
        results=run.results,
        figures=figures,
        audit=found.lines(),
        notes=[
            *run.notes,
            *rejection_lines(run),
            *(run.specificity.lines() if run.specificity else []),
            *_drop_lines(run.modality_drop),
        ],
        baselines=run.baselines,
    )


def _confusions(run, folder: Path) -> dict:
    """Matrices of all parts; of a run with a taxonomy, of the ranks that can be read.

    The finest of those is drawn in every kind, the coarser ones as shares of the true taxon and for
    the part that is judged last alone. The counts of every rank are written as CSV.
    """
    if run.taxonomy is None:
        drawn = draw_confusions(run.results, folder, run.model)
        return {
            f"{CONFUSION}: {part}": [
                (f"{part}, {reports.KINDS[kind]}", path) for kind, path in paths.items()
            ]
            for part, paths in drawn.items()
        }
    figures, ranks, targets = {}, readable_ranks(run.taxonomy), run.table.targets
    for part, result in run.results.items():
        truth = targets[run.splits[part]]
        found = rank_results(run.probabilities[part], truth, run.taxonomy)
        for rank, coarse in found.items():
            reports.write_classification_report(
                coarse, folder / f"classification_{part}_{rank}.csv"
            )
            reports.write_confusion_csv(coarse, folder / f"confusion_{part}_{rank}.csv")
        found[run.taxonomy.ranks[-1]] = result
        kinds = [(rank, kind) for rank in ranks[:1] for kind in reports.KINDS]
        if part == run.splits.parts()[-1]:
            kinds += [(rank, "row_normalised") for rank in ranks[1:]]
        figures[f"{CONFUSION}: {part}"] = [
            (
                f"{part}, {rank}, {reports.KINDS[kind]}",
                reports.plot_confusion(
                    found[rank],
                    kind,
                    folder / f"confusion_{part}_{rank}_{kind}.png",
                    f"{run.model}, {part}, {rank}",
                ),
            )
            for rank, kind in kinds
        ]
    return figures


def draw_confusions(results: dict[str, Result], folder: Path, name: str) -> dict:
    """Draw every kind of matrix of every part: part -> kind -> file."""
    return {
        part: {
            kind: reports.plot_confusion(
                result, kind, folder / f"confusion_{part}_{kind}.png", f"{name}, {part}"
            )
            for kind in reports.KINDS
        }
        for part, result in results.items()
    }


def _mistakes(run, folder: Path) -> dict:
    """The most confident mistakes of the part that is judged last, as pictures."""
    part = run.splits.parts()[-1]
    rows, probabilities = run.splits[part], run.probabilities[part]
    targets, answers = run.table.targets[rows], probabilities.argmax(axis=1)
    confidence = run.calibration.confidences(probabilities)
    wrong = np.flatnonzero(answers != targets)
    wrong = wrong[np.argsort(-confidence[wrong], kind="stable")][:SHOWN]
    if "image" not in run.table.modalities or not len(wrong):
        return {}
    truths, given = (
        [run.table.labels[index] for index in classes[wrong]] for classes in (targets, answers)
    )
    path = reports.plot_mistakes(
        _pictures(run.table, rows[wrong]), truths, given, confidence[wrong], folder / "mistakes.png"
    )
    drawn = [(f"{part}: true class -> answer, confidence", path)]
    few = wrong[:EXPLAINED]
    maps = [run.mistakes.maps(rows[at], [answers[at], targets[at]]) for at in few]
    if None not in maps:
        path = folder / "mistakes_explained.png"
        images, heats = zip(*maps, strict=True)
        reports.plot_mistake_maps(images, heats, truths[: len(few)], given[: len(few)], path)
        drawn.append(("Where the picture speaks for the answer, and where for the truth", path))
    return {"Most confident mistakes": drawn}


def _data_figures(run, found: Audit, folder: Path) -> list:
    counts = {part: _counts(run.table, run.splits[part]) for part in run.splits.parts()}
    drawn = [("Samples of each class", reports.plot_class_counts(counts, folder / "classes.png"))]
    if found.leaks:
        path = folder / "importances.png"
        caption = "Which measurements a random forest decides by (mean decrease of impurity)"
        drawn.append(
            (caption, reports.plot_importances(found.leaks.importances, path, found.leaks.suspects))
        )
    if "image" not in run.table.modalities:
        return drawn
    drawn.append(("Training samples", _draw_examples(run, folder / "examples.png")))
    if found.near_duplicates:
        drawn.append(("Pictures that look alike", _draw_pairs(run, found, folder / "alike.png")))
    return drawn


def _counts(table, rows) -> dict[str, int]:
    found = np.bincount(table.targets[rows], minlength=len(table.labels))
    return dict(zip(table.labels, found.tolist(), strict=True))


def _draw_examples(run, path: Path) -> Path:
    """Some training samples, as many of each class as there is room for."""
    targets, rows = run.table.targets, run.splits.train
    each = max(1, SHOWN // len(run.table.labels))
    chosen = np.concatenate(
        [rows[targets[rows] == index][:each] for index in range(len(run.table.labels))]
    )[:SHOWN]
    landmarks = run.table.modalities.get("landmarks")
    return reports.plot_samples(
        _pictures(run.table, chosen),
        run.table.frame["label"].iloc[chosen].tolist(),
        path,
        None if landmarks is None else landmarks[chosen],
    )


def _draw_pairs(run, found: Audit, path: Path) -> Path:
    pairs = found.near_duplicates[:SHOWN_PAIRS]
    place = {key: row for row, key in enumerate(run.table.frame["key"])}
    left, right = (
        _pictures(run.table, np.array([place[pair.keys[side]] for pair in pairs]))
        for side in (0, 1)
    )
    captions = [
        f"{pair.keys[0]} ({pair.labels[0]}) and {pair.keys[1]} ({pair.labels[1]}), "
        f"{pair.distance} of 256 bits differ"
        for pair in pairs
    ]
    return reports.plot_pairs(left, right, captions, path)


def _pictures(table, rows) -> list[np.ndarray]:
    return [np.clip(image, 0, 255).astype(np.uint8) for image in table.modalities["image"][rows]]


def _facts(run, metadata: dict) -> dict[str, str]:
    options = ", ".join(
        f"{name.replace('_', ' ')} {value}"
        for name, value in run.options.items()
        if value is not None and name not in ("data", "data_dir", "preset", "seed")
    )
    sizes = run.splits.sizes()
    versions = metadata["versions"]
    return {
        "Model": f"{run.model}, {metadata['parameters']:,} parameters",
        "Preset": metadata["preset"],
        "Options": options,
        "Data": metadata["data"],
        "Parts": ", ".join(f"{size:,} {part}" for part, size in sizes.items()),
        "Seed": str(metadata["seed"]),
        "Finished": metadata["finished"].replace("T", " ").replace("+00:00", " UTC"),
        "Duration": f"{metadata['seconds']:.0f} s",
        "Trained on": ", then ".join(map(setting_text, metadata["devices"])),
        "Versions": ", ".join(f"{name} {number}" for name, number in versions.items()),
    }


def _architecture(network) -> str:
    """Every layer with the shape of its output and its parameters, as text."""
    lines = []
    # Keras cuts wider lines off where there is no terminal.
    network.summary(line_length=80, print_fn=lines.append, expand_nested=True)
    return "\n".join(lines)


def _drop_lines(drops: dict[str, float]) -> list[str]:
    return [
        f"Shuffling {name} among the test samples costs {100 * drop:.1f} points of accuracy."
        for name, drop in drops.items()
    ]
