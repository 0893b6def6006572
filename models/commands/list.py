"""`run.py list`: what there is. Imports nothing heavy, so that it answers at once."""

from __future__ import annotations

import ast
from pathlib import Path

from datasets import DATASETS
from models import MODELS
from models.commands.parser import Parser, percent, print_json
from models.runs import SUMMARY, all_cross_validations, all_runs, read_json
from training.recipes import recipe_names

ROOT = Path(__file__).parents[2]


def run(words: list[str]) -> int:
    parser = Parser("list", "Show models, data sets, recipes and saved runs.")
    parser.add_out()
    parser.add_json()
    arguments = parser.parse(words, "list")
    found = {
        "models": {name: _summary(place.split(":")[0]) for name, place in MODELS.items()},
        "data": {name: _summary(place) for name, place in DATASETS.items()},
        "recipes": {name: _summary(f"training.recipes.{name}") for name in recipe_names()},
        "runs": {_name(path): _figures(path) for path in all_runs(arguments.out)},
        "cross-validations": {
            _name(path): _fold_figures(path) for path in all_cross_validations(arguments.out)
        },
    }
    if arguments.json:
        print_json(found)
        return 0
    for title, entries in found.items():
        print(title + ":" + ("" if entries else " none yet"))
        for name, text in entries.items():
            print(f"  {name:24} {text}")
    return 0


def _summary(module: str) -> str:
    """First line of a module's docstring, read without importing it."""
    source = Path(ROOT, *module.split(".")).with_suffix(".py").read_text(encoding="utf-8")
    return (ast.get_docstring(ast.parse(source)) or "").split("\n")[0]


def _name(folder: Path) -> str:
    return f"{folder.parent.name}/{folder.name}"


def _figures(run: Path) -> str:
    metadata, metrics = read_json(run, "metadata.json"), read_json(run, "metrics.json")
    part = "test" if "test" in metrics else "validation"
    accuracy = f"{part} accuracy {percent(metrics[part]['accuracy'])}, n {metrics[part]['n']}"
    return f"{accuracy}, {_kind(metadata)}, {metadata['finished']}"


def _fold_figures(folder: Path) -> str:
    summary = read_json(folder, SUMMARY)
    pooled = summary["pooled"]
    accuracy = f"accuracy {percent(pooled['accuracy'])}, n {pooled['n']}"
    return f"{summary['folds']} folds, {accuracy}, {_kind(summary)}, {summary['finished']}"


def _kind(record: dict) -> str:
    """What somebody learnt from, of the metadata of a run or the summary of several."""
    return "demonstration data" if record["synthetic"] else record["data"]
