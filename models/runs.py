"""Finding saved runs and drafts of runs on disk. Imports nothing heavy."""

from __future__ import annotations

import json
import os
from pathlib import Path

from datasets.errors import InputError

# Where a cross-validation says what its runs have found, OUT/CROSS_VALIDATIONS/MODEL/RUN/SUMMARY.
CROSS_VALIDATIONS, SUMMARY = "cross_validation", "folds.json"
PREDICTIONS = "predictions.csv"  # of a run: its answer to every sample that it did not train on


def find_run(name: str, out: Path) -> Path:
    """The folder of a run.

    Args:
        name: a run's folder, a folder that holds runs (its newest counts), `MODEL/RUN` or `MODEL`.
        out: where runs lie.

    Raises:
        InputError: nothing of that name holds a whole run.
    """
    for place in (Path(name).expanduser(), Path(out) / name):
        if (place / "metadata.json").is_file():
            return place
        inside = runs_in(place)
        if inside:
            return inside[-1]
    known = [f"{run.parent.name}/{run.name}" for run in all_runs(out)]
    have = f"there are {', '.join(known[-5:])}" if known else f"{out} holds no run yet"
    raise InputError(f"no saved run is called '{name}' ({have}): train one, or name its folder")


def runs_in(folder: Path) -> list[Path]:
    """Whole runs directly inside a folder, the newest last."""
    found = [path.parent for path in folder.glob("*/metadata.json")]
    found = [run for run in found if not run.name.startswith(".")]  # a draft is no run yet
    return sorted(found, key=lambda run: (read_json(run, "metadata.json")["finished"], run.name))


def all_runs(out: Path) -> list[Path]:
    """Whole runs of all models below a folder, by model and age."""
    out = Path(out)
    models = sorted(path for path in out.iterdir() if path.is_dir()) if out.is_dir() else []
    return [run for model in models for run in runs_in(model)]


def all_cross_validations(out: Path) -> list[Path]:
    """Folders with the summary of a cross-validation, by model and age."""
    found = [path.parent for path in Path(out, CROSS_VALIDATIONS).glob(f"*/*/{SUMMARY}")]
    return sorted(found, key=lambda one: (one.parent.name, read_json(one, SUMMARY)["finished"]))


def read_json(folder: Path, name: str):
    """A JSON file of a run.

    Raises:
        InputError: it is missing or no JSON.
    """
    path = Path(folder, name)
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{path} is missing: {folder} holds no whole run") from None
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read ({error}): restore it from a copy") from None


def write_json(path: Path, content) -> None:
    """Write a JSON file in one step: a kill leaves the old one or the new one."""
    draft = path.with_name(f".{path.name}.partial")
    draft.write_text(json.dumps(content, indent=1, allow_nan=False), encoding="utf-8")
    os.replace(draft, path)


def drafts(out: Path, model: str) -> list[Path]:
    """Interrupted trainings of a model, the newest last."""
    found = Path(out, model).glob(".*.partial")
    return sorted(found, key=lambda path: path.stat().st_mtime)


def has_draft(out: Path, run: str) -> bool:
    """Whether a training of that name waits; FinalNN's may wait in one of its branches."""
    return any(Path(out).glob(f"*/.{run}.partial"))


def draft_folder(out: Path, model: str, run: str) -> Path:
    """The hidden folder in which a run grows until it is whole."""
    return Path(out, model, f".{run}.partial")


def draft_run(draft: Path) -> str:
    """The name of the run that a draft would become."""
    return draft.name.removeprefix(".").removesuffix(".partial")
