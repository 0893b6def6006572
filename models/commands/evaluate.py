"""`run.py evaluate`: a saved run on its own split, or on new data."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from datasets import load_table
from datasets.base import SPLITS
from datasets.errors import InputError
from models import model_class
from models.commands.parser import Parser, percent, print_json, share_with_interval, user_path
from models.runs import find_run, read_json

FIGURES = ("accuracy_known", "balanced_accuracy", "macro_f1")


def run(words: list[str]) -> int:
    parser = Parser("evaluate", "Judge a saved run.")
    parser.add_argument("run", metavar="RUN", help="a run's folder, MODEL/RUN, or MODEL (newest)")
    parser.add_argument(
        "--data-dir", type=user_path, help="judge every sample found here instead of the run's own"
    )
    parser.add_argument("--split", choices=SPLITS, help="part of the run's own data (default test)")
    parser.add_out()
    parser.add_json()
    arguments = parser.parse(words, "evaluate")
    if arguments.data_dir and arguments.split:
        raise InputError("--split names a part of the run's own data: leave it or --data-dir out")
    folder = find_run(arguments.run, arguments.out)
    model = model_class(read_json(folder, "metadata.json")["model"]).loadModel(folder)
    if arguments.data_dir:
        answer = _judge_new_data(model, arguments.data_dir)
    else:
        answer = _judge_own_split(model, arguments.split or "test")
    answer = {"run": str(folder), **answer}
    print_json(answer) if arguments.json else _print(answer)
    return 0


def _judge_own_split(model, part: str) -> dict:
    place = model.options.data_dir
    if place and not Path(place).expanduser().exists():
        raise InputError(
            f"the data of {model.folder}, {place}, are not there: go to the folder it was trained "
            "from, or judge other data with --data-dir"
        )
    model.loadData()
    result = model.evaluate_on(model.table.take(model.splits[part]))
    return {"data": model.table.name, "split": part, **result.to_json()}


def _judge_new_data(model, data_dir: Path) -> dict:
    names = tuple(record.name for record in model.inputs)
    options = model.options
    name = options.data if options.data_dir else options.REAL_DATA
    table = load_table(name, data_dir, names, strict=False)
    split = read_json(model.folder, "split.json")
    seen = table.frame["digest"].isin(split["train"]["digests"]).to_numpy()
    if seen.all():
        raise InputError(f"every sample in {data_dir} was trained on: nothing is left to judge")
    table = table.take(np.flatnonzero(~seen))
    known = table.relabelled(model.labels).targets >= 0
    if not known.any():
        raise InputError(
            f"no sample in {data_dir} has a label that the run knows: {', '.join(model.labels)}"
        )
    unknown = table.frame["label"][~known].value_counts()
    return {
        "data": str(data_dir),
        "split": None,
        **model.evaluate_on(table).to_json(),
        "left_out": {"trained_on": int(seen.sum()), "unreadable": list(table.unreadable)},
        "seen_in_validation": int(table.frame["digest"].isin(split["validation"]["digests"]).sum()),
        "unknown_labels": {label: int(count) for label, count in unknown.items()},
    }


def _print(answer: dict) -> None:
    where = f"{answer['split']} part of {answer['data']}" if answer["split"] else answer["data"]
    print(f"{answer['run']} on the {where}")
    print(f"  n                  {answer['n']}")
    print(f"  accuracy           {share_with_interval(answer, 'accuracy')}")
    for figure in FIGURES:
        print(f"  {figure.replace('_', ' '):18} {share_with_interval(answer, figure)}")
    print(f"  log loss           {answer['log_loss']:.3f}")
    print(f"  ECE                {answer['ece']:.3f}")
    for label, row in answer["per_class"].items():
        print(
            f"    {label:20} recall {percent(row['recall']):>8}  precision "
            f"{percent(row['precision']):>8}  n {row['support']}"
        )
    if "left_out" in answer:
        left, unreadable = answer["left_out"]["trained_on"], answer["left_out"]["unreadable"]
        print(f"  left out: {left} trained on, {len(unreadable)} unreadable")
        for label, count in answer["unknown_labels"].items():
            print(f"  counted as wrong: {count} of the unknown class '{label}'")
