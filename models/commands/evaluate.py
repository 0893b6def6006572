"""`run.py evaluate`: a saved run on its own split, or on new data."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from datasets.base import SPLITS, Table
from datasets.errors import InputError
from models import model_class
from models.commands.depth import add_depth_flags, depth_asked, taxa_figures
from models.commands.parser import Parser, percent, print_json, share_with_interval, user_path
from models.run_certainty import rejection_line
from models.runs import find_run, read_json
from models.species.run_specificity import specificity_line
from training.calibration import OTHER, calibration_figures, rejection_figures
from training.evaluation import evaluate

FIGURES = ("accuracy_known", "balanced_accuracy", "macro_f1")
SHOWN = 100  # classes that are listed on the terminal


def run(words: list[str]) -> int:
    parser = Parser("evaluate", "Judge a saved run.")
    parser.add_run()
    parser.add_argument(
        "--data-dir", type=user_path, help="judge every sample found here instead of the run's own"
    )
    parser.add_argument(
        "--other",
        type=user_path,
        metavar="DIR",
        help="pictures of none of the classes, for judging the answer 'other'",
    )
    parser.add_reject_at()
    add_depth_flags(parser)
    parser.add_argument("--split", choices=SPLITS, help="part of the run's own data (default test)")
    parser.add_out()
    parser.add_json()
    arguments = parser.parse(words, "evaluate")
    if arguments.data_dir and arguments.split:
        raise InputError("--split names a part of the run's own data: leave it or --data-dir out")
    folder = find_run(arguments.run, arguments.out)
    depth = depth_asked(folder, arguments)
    model = model_class(read_json(folder, "metadata.json")["model"]).loadModel(folder)
    if arguments.data_dir:
        about, table = _new_data(model, arguments.data_dir)
    else:
        about, table = _own_split(model, arguments.split)
    others = _read_others(model, arguments.other) if arguments.other else model.others
    table = table.relabelled(model.labels)
    probabilities = model.judge(table)
    answer = {
        "run": str(folder),
        **_judge(model, table, probabilities, others, arguments.reject_at),
        **taxa_figures(folder, table, probabilities, depth),
        **about,
    }
    print_json(answer) if arguments.json else _print(answer)
    return 0


def _judge(model, table, probabilities, others, target: float | None) -> dict:
    """Figures of the samples of a table, and of "none of these" where there is reason for it."""
    figures = evaluate(probabilities, table.targets, model.labels).to_json()
    calibration = model.calibration()
    figures["calibration"] = calibration_figures(calibration, probabilities, table.targets)
    target = target or model.options.reject_at
    others = None if others is None else model.judge(others)
    if target or others is not None or (table.targets < 0).any():
        figures["rejection"] = rejection_figures(
            calibration,
            target or float(calibration.correct.mean()),
            probabilities,
            table.targets,
            others,
        )
    return figures


def _read_others(model, folder: Path):
    kind = model.options.REAL_DATA
    kind = kind if kind in ("specimens", "tracks") else "folders"
    return model.read_table(kind, str(folder), strict=False)


def _own_split(model, part: str | None) -> tuple[dict, Table]:
    place = model.options.data_dir
    if place and not Path(place).expanduser().exists():
        raise InputError(
            f"the data of {model.folder}, {place}, are not there: go to the folder it was trained "
            "from, or judge other data with --data-dir"
        )
    model.loadData()
    part = part or model.splits.parts()[-1]
    if part not in model.splits.parts():
        raise InputError(f"{model.folder} has no {part} part: it was split without one")
    if part in model.learnt_parts()[1:]:
        raise InputError(
            f"{model.folder} learnt from its {part} part in the end (--refit): its figures there, "
            "from before that, stand in metrics.json"
        )
    return {"data": model.table.name, "split": part}, model.table.take(model.splits[part])


def _new_data(model, data_dir: Path) -> tuple[dict, Table]:
    options = model.options
    name = options.data if options.data_dir else options.REAL_DATA
    table = model.read_table(name, str(data_dir), strict=False)
    split = read_json(model.folder, "split.json")
    learnt = [digest for part in model.learnt_parts() for digest in split[part]["digests"]]
    seen = table.frame["digest"].isin(learnt).to_numpy()
    if seen.all():
        raise InputError(f"every sample in {data_dir} was trained on: nothing is left to judge")
    table = _renamed(table.take(np.flatnonzero(~seen)), model.labels)
    known = table.relabelled(model.labels).targets >= 0
    if not known.any():
        raise InputError(
            f"no sample in {data_dir} has a label that the run knows: {_some(model.labels)}"
        )
    unknown = table.frame["label"][~known].value_counts()
    return {
        "data": str(data_dir),
        "split": None,
        "left_out": {"trained_on": int(seen.sum()), "unreadable": list(table.unreadable)},
        "seen_in_validation": int(table.frame["digest"].isin(split["validation"]["digests"]).sum()),
        "unknown_labels": {label: int(count) for label, count in unknown.items()},
    }, table


def _renamed(table: Table, labels: tuple[str, ...]) -> Table:
    """The table, its unknown labels called "other" where the run has learnt such a class."""
    if OTHER not in labels:
        return table
    label = table.frame["label"].where(table.frame["label"].isin(labels), OTHER)
    return replace(table, frame=table.frame.assign(label=label))


def _print(answer: dict) -> None:
    where = f"{answer['split']} part of {answer['data']}" if answer["split"] else answer["data"]
    print(f"{answer['run']} on the {where}")
    print(f"  n                  {answer['n']}")
    print(f"  accuracy           {share_with_interval(answer, 'accuracy')}")
    for figure in FIGURES:
        print(f"  {figure.replace('_', ' '):18} {share_with_interval(answer, figure)}")
    print(f"  log loss           {answer['log_loss']:.3f}")
    print(f"  ECE                {answer['ece']:.3f}", end="")
    print(f" ({answer['calibration']['ece_after']:.3f} calibrated)")
    if "rejection" in answer:
        print(f"  {rejection_line(answer['rejection'])}")
        if "auroc" in answer["rejection"]:
            print(f"  AUROC              {answer['rejection']['auroc']:.3f}, known against other")
    for rank, found in answer.get("ranks", {}).items():
        print(f"  {rank:18} {share_with_interval(_bounded(found), 'accuracy')}")
    if "specificity" in answer:
        print(f"  {specificity_line(answer['specificity'], list(answer['ranks']))}")
        if answer["specificity"].get("outside"):
            print(
                f"  {answer['specificity']['outside']} samples are of other taxa: counted as wrong"
            )
    _print_classes(answer["per_class"])
    if "left_out" in answer:
        left, unreadable = answer["left_out"]["trained_on"], answer["left_out"]["unreadable"]
        print(f"  left out: {left} trained on, {len(unreadable)} unreadable")
        unknown = answer["unknown_labels"]
        for label in list(unknown)[:SHOWN]:
            which = f"the unknown class '{label}'" if label else "no named class"
            print(f"  counted as wrong: {unknown[label]} of {which}")
        if len(unknown) > SHOWN:
            rest = sum(list(unknown.values())[SHOWN:])
            print(f"  counted as wrong: {rest} of {len(unknown) - SHOWN} more unknown classes")


def _print_classes(per_class: dict) -> None:
    if len(per_class) > SHOWN:
        print(f"    {len(per_class)} classes: --json gives the figures of each")
        return
    for label, row in per_class.items():
        print(
            f"    {label:20} recall {percent(row['recall']):>8}  precision "
            f"{percent(row['precision']):>8}  n {row['support']}"
        )


def _bounded(found: dict) -> dict:
    return found | {"intervals": {"accuracy": found["interval"]}}


def _some(labels) -> str:
    """The labels, or of very many the first ones and their number."""
    if len(labels) <= SHOWN:
        return ", ".join(labels)
    return f"{', '.join(labels[:10])} and {len(labels) - 10} more"
