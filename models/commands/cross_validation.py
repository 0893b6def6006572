"""What `run.py train --folds K` does: one run per fold, and what they say together."""

from __future__ import annotations

import logging
import re
import sys
from argparse import Namespace
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import keras
import pandas as pd

from datasets.errors import InputError
from models.commands.parser import percent, print_json, share_with_interval
from models.commands.pool import RUN_PY, Workers, all_done
from models.drafts import check_place
from models.fold_results import (
    Results,
    fold_run,
    read_fold,
    summary_folder,
)
from models.rules import trained_as
from models.runs import SUMMARY, has_draft, read_json, write_json
from training.reports import plot_fold_accuracies
from training.statistics import mean_over_runs

FIGURES = ("accuracy", "balanced_accuracy", "macro_f1", "log_loss", "ece")
CAVEAT = (
    "The mean's interval is Student's over the folds. Folds share training samples, so it is too "
    "narrow rather than too wide (Bengio and Grandvalet 2004). The interval of all answers is "
    "Wilson's: each sample is tested once, by the network of its fold."
)

log = logging.getLogger("menagerie")


class CrossValidation:
    """The training of one run per fold, `OUT/MODEL/RUN-fold1` and so on, and their summary.

    Args:
        chosen: class of the model.
        options: its options, with `folds` and without `fold`.
        arguments: `out`, `run`, `resume`, `processes`, `worker` and `json` of the command line,
            and all of its words, `typed`.
        steps: trains and saves a model; takes it, and whether to go on with an interrupted run.

    Raises:
        InputError: runs of that name are there and `resume` is off; or none are, and it is on; or
            those that are there began with other options.
    """

    def __init__(self, chosen, options, arguments: Namespace, steps: Callable):
        self.options, self.arguments = options, arguments
        self.name, self.out = chosen.name(), arguments.out
        self._chosen, self._steps = chosen, steps
        waiting = self._newest_waiting() if arguments.resume and not arguments.run else None
        self.run = arguments.run or waiting or chosen(options, self.out).run
        self._runs = [fold_run(self.run, number) for number in range(1, options.folds + 1)]
        self.folder = summary_folder(self.out, self.name, self.run)
        if not arguments.worker:
            self._check_begin()

    def train(self) -> None:
        """Train the folds that are not there yet, and write the summary."""
        missing = []
        for number, run in enumerate(self._runs, start=1):
            if self._place(run).exists():
                log.info("fold %d of %d: takes the run %s", number, len(self._runs), run)
            else:
                missing.append(number)
        if self.arguments.processes > 1:
            self._train_side_by_side(missing)
        else:
            for number in missing:
                self._train(number, self.arguments.resume)
        _write(self.folder, self._summary())

    def answer(self, question: dict) -> dict:
        """Train a fold because another process asks for it."""
        number = question["fold"]
        self._train(number, has_draft(self.out, self._runs[number - 1]))
        return {}

    def _train(self, number: int, resume: bool) -> None:
        run = self._runs[number - 1]
        log.info("fold %d of %d: trains %s", number, len(self._runs), run)
        keras.utils.clear_session()
        self._steps(self._chosen(self._fold(number), self.out, run), resume)

    def _train_side_by_side(self, folds: list[int]) -> None:
        arguments = self.arguments
        command = [sys.executable, str(RUN_PY), "train", *arguments.typed]
        command += ["--run", self.run, "--worker"]
        with Workers(command, arguments.processes) as workers:
            alone = {number: [] for number in folds}  # none of them needs another
            trained = all_done(
                alone, lambda number: workers.ask({"fold": number}), arguments.processes
            )
            for number, _ in trained:
                log.info("fold %d of %d is there", number, len(self._runs))

    def has_begun(self) -> bool:
        """Whether a fold is there, trained or interrupted."""
        return any(self._place(run).exists() or has_draft(self.out, run) for run in self._runs)

    def report(self) -> None:
        """Print the folds, their mean and all answers together."""
        summary = read_json(self.folder, SUMMARY)
        if self.arguments.json:
            print_json({"folder": str(self.folder), **summary})
            return
        kind = " (demonstration data)" * summary["synthetic"]
        print(f"{self.name} on {summary['data']}, {summary['folds']} folds{kind}")
        print("  fold   train  validation    test  accuracy")
        for row in summary["rows"]:
            print(
                f"  {row['fold']:4} {row['n_train']:7} {row['n_validation']:11} {row['n']:7}  "
                f"{share_with_interval(row, 'accuracy')}"
            )
        mean, pooled = _headlines(summary)
        print(f"  mean         {mean}\n  all answers  {pooled}")
        print(f"runs:    {self._place(self._runs[0])} to -fold{len(self._runs)}")
        print(f"summary: {self.folder / 'README.md'}")

    def _fold(self, number: int):
        return self.options.replaced(fold=number)

    def _place(self, run: str) -> Path:
        return Path(self.out, self.name, run)

    def _check_begin(self) -> None:
        if not self.arguments.resume:
            if self.has_begun() or (self.folder / SUMMARY).exists():
                raise InputError(
                    f"folds of {self.name}/{self.run} lie in {self.out} already: go on with "
                    "--resume, or choose another --run"
                )
        elif not self.has_begun():
            raise InputError(
                f"no interrupted cross-validation called {self.run} lies in {self.out}: leave "
                "--resume out"
            )
        for number, run in enumerate(self._runs, start=1):
            if not self._place(run).exists():
                check_place(self.out, self.name, run)
            elif not trained_as(self._place(run), self._fold(number)):
                raise InputError(
                    f"{self._place(run)} was trained with other options, see config.json there: "
                    "give the same ones, or start a new --run"
                )

    def _newest_waiting(self) -> str:
        """The name of the newest cross-validation with so many folds that has no summary yet."""
        ages = {}
        for path in Path(self.out, self.name).glob("*-fold*"):
            found = re.fullmatch(r"\.?(?P<run>.+)-fold\d+(\.partial)?", path.name)
            if not found or not (path / "config.json").is_file():
                continue
            run, folds = found["run"], read_json(path, "config.json").get("folds")
            if folds == self.options.folds and not self._summary_of(run).exists():
                ages[run] = max(ages.get(run, 0.0), path.stat().st_mtime)
        if not ages:
            raise InputError(
                f"no interrupted cross-validation of {self.name} with {self.options.folds} folds "
                f"is in {self.out}: leave --resume out"
            )
        return max(ages, key=ages.get)

    def _summary_of(self, run: str) -> Path:
        return summary_folder(self.out, self.name, run) / SUMMARY

    def _summary(self) -> dict:
        folders = [self._place(run) for run in self._runs]
        results = Results(
            f"{self.name}/{self.run}", self.folder, False, tuple(map(read_fold, folders))
        )
        _check_disjoint(results)
        metrics = [read_json(folder, "metrics.json") for folder in folders]
        metadata = [read_json(folder, "metadata.json") for folder in folders]
        rows = [
            {"fold": number, "run": run} | _row(one)
            for number, (run, one) in enumerate(zip(self._runs, metrics, strict=True), start=1)
        ]
        return {
            "model": self.name,
            "run": self.run,
            "folds": len(folders),
            "group": self.options.group,
            "seed": self.options.seed,
            **{name: metadata[0][name] for name in ("data", "provenance", "synthetic", "preset")},
            "command": f"{self.options.command(self.name)} --run {self.run}",
            "runs": [f"{self.name}/{run}" for run in self._runs],
            "rows": rows,
            "mean": {figure: _mean([row[figure] for row in rows]) for figure in FIGURES},
            "pooled": results.figures()["pooled"],
            "notes": _shared_notes(metadata),
            "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        }


def _check_disjoint(results: Results) -> None:
    keys = pd.concat([fold.answers["key"] for fold in results.folds])
    if keys.duplicated().any():
        raise InputError(
            f"the folds of {results.name} test '{keys[keys.duplicated()].iloc[0]}' twice, so the "
            "data changed between them: train them anew under another --run"
        )


def _row(metrics: dict) -> dict:
    tested = metrics["test"]
    return {
        "n_train": metrics["train"]["n"],
        "n_validation": metrics["validation"]["n"],
        "n": tested["n"],
        **{figure: tested[figure] for figure in FIGURES},
        "intervals": {figure: tested["intervals"][figure] for figure in FIGURES},
    }


def _mean(values) -> dict:
    found = mean_over_runs(values)
    return {"mean": found.mean, "low": found.low, "high": found.high}


def _shared_notes(metadata: list[dict]) -> list[str]:
    """The notes that all runs have, such as what became of small classes."""
    return [
        note for note in metadata[0]["notes"] if all(note in other["notes"] for other in metadata)
    ]


def _headlines(summary: dict) -> tuple[str, str]:
    mean, pooled = summary["mean"]["accuracy"], summary["pooled"]
    return (
        f"{percent(mean['mean'])} ({100 * mean['low']:.1f} to {100 * mean['high']:.1f}, Student, "
        f"n = {summary['folds']} folds)",
        f"{percent(pooled['accuracy'])} ({100 * pooled['low']:.1f} to {100 * pooled['high']:.1f}, "
        f"Wilson, n = {pooled['n']} samples, {pooled['right']} right)",
    )


def _write(folder: Path, summary: dict) -> None:
    """The summary as table, figure and page; `folds.json` last, as the sign that all is there."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for row in summary["rows"]:
        bounds = row["intervals"]
        ends = {
            f"{figure}_{end}": bounds[figure][index]
            for figure in FIGURES
            for index, end in enumerate(("low", "high"))
        }
        rows.append({name: value for name, value in row.items() if name != "intervals"} | ends)
    pd.DataFrame(rows).to_csv(folder / "folds.csv", index=False)
    accuracies = [row["accuracy"] for row in summary["rows"]]
    plot_fold_accuracies({summary["model"]: accuracies}, folder / "accuracies.png")
    (folder / "README.md").write_text("\n".join(_page(summary)) + "\n", encoding="utf-8")
    write_json(folder / SUMMARY, summary)


def _page(summary: dict) -> list[str]:
    mean, pooled = _headlines(summary)
    lines = [f"# {summary['model']}, {summary['folds']} folds, {summary['run']}", ""]
    if summary["synthetic"]:
        lines += ["> **Demonstration data.** The figures say nothing about real samples.", ""]
    grouped = f", grouped by `{summary['group']}`" if summary["group"] else ""
    return [
        *lines,
        f"- **Data:** {summary['provenance']}",
        f"- **Folds:** stratified{grouped}, seed {summary['seed']}",
        f"- **Mean of the folds:** {mean}",
        f"- **All answers:** {pooled}",
        *(f"- {note}" for note in summary["notes"]),
        "",
        CAVEAT,
        "",
        "| fold | train | validation | test | accuracy (95 % interval) | balanced accuracy "
        "| macro F1 | log loss | ECE |",
        "|---" * 9 + "|",
        *(_line(row) for row in summary["rows"]),
        "",
        "![Accuracy of each fold](accuracies.png)",
        "",
        "```bash",
        summary["command"],
        "```",
    ]


def _line(row: dict) -> str:
    cells = [row["fold"], row["n_train"], row["n_validation"], row["n"]]
    cells += [share_with_interval(row, "accuracy"), percent(row["balanced_accuracy"])]
    cells += [percent(row["macro_f1"]), f"{row['log_loss']:.3f}", f"{row['ece']:.3f}"]
    return "| " + " | ".join(map(str, cells)) + " |"
