"""The rows of a recipe as runs on disk: trained, or taken from an earlier call."""

from __future__ import annotations

import logging
import sys
from collections import Counter
from concurrent.futures import Future
from pathlib import Path

import keras

from datasets.base import Table
from datasets.errors import InputError
from models import model_class
from models.commands.pool import RUN_PY, Workers, all_done
from models.rules import trained_as
from models.runs import draft_folder
from training.recipes import Recipe, Row

log = logging.getLogger("menagerie")


class RecipeRuns:
    """Trains rows, or takes the runs that an earlier call has left; reads data once.

    Args:
        recipe: with the rows that are wanted.
        settings: model -> option -> value, in place of the recipe's.
        arguments: `data`, `data_dir`, `out`, `quick` and `full` of the command line.

    Attributes:
        left_out: name of a row that the data do not allow -> why.
    """

    def __init__(self, recipe: Recipe, settings: dict[str, dict], arguments):
        self.recipe, self.settings = recipe, settings
        self.rows = {row.name: row for row in recipe.rows}
        self.data_dir = str(arguments.data_dir) if arguments.data_dir else None
        self.data, self.out = arguments.data, arguments.out
        self.extra = recipe.full if arguments.full else self._shared()
        self.extra = self.extra | (recipe.quick if arguments.quick else {})
        self.kind = "-quick" * arguments.quick + "-full" * arguments.full
        self.kind += "" if self.data_dir else "-demonstration"
        self.left_out: dict[str, str] = {}
        self._table: Table | None = None  # the one of all rows
        self._tables: dict[str, Table] = {}  # or of each

    def _shared(self) -> dict:
        recipe = self.recipe
        replaced = not self.data_dir and recipe.demonstration is not None
        return recipe.demonstration if replaced else recipe.shared

    def check(self, number: int) -> None:
        """Find mistakes in options, and missing weights, before anything trains."""
        for row in self.rows.values():
            model = model_class(row.model)(self._options(row, number), self.out)
            if hasattr(type(model), "backbone") and not self._folder(row, number).exists():
                _ = model.backbone

    def folders(
        self, numbers: tuple[int, ...], processes: int, words: list[str]
    ) -> dict[str, dict[int, Path]]:
        """The runs of all rows that the data allow: row name -> seed or fold -> folder.

        Args:
            numbers: of seeds or folds.
            processes: how many train, a row at a time; with 1 it is this one.
            words: after `recipe` on the command line.

        Raises:
            InputError: a mistake in the data, or a process that trained was ended.
        """
        places = {
            (name, number): self._folder(row, number)
            for number in numbers
            for name, row in self.rows.items()
        }
        if self.recipe.one_table and not all(folder.exists() for folder in places.values()):
            self._read(numbers[0])
            for line in self.left_out_lines():
                log.info(line)
        places = {job: folder for job, folder in places.items() if job[0] not in self.left_out}
        if processes > 1:
            self._table = None  # the others read their own
            self._train_side_by_side(list(places), processes, words)
        else:
            for job in places:
                if not self._is_done(*job):
                    self._train(*job)
        found = {}
        for (name, number), folder in places.items():
            found.setdefault(name, {})[number] = folder
        return found

    def left_out_lines(self) -> list[str]:
        """Why rows are left out: a line for each reason, with their number."""
        return [
            reason if count == 1 else f"{reason} ({count} rows)"
            for reason, count in Counter(self.left_out.values()).items()
        ]

    def answer(self, question: dict) -> dict:
        """Train a row because another process asks for it."""
        if self.recipe.one_table and self._table is None:
            self._read(question["number"])
        self._train(question["row"], question["number"])
        return {}

    def _train_side_by_side(self, jobs: list, processes: int, words: list[str]) -> None:
        needs = {
            (name, number): [job for one in self.rows[name].needs if (job := (one, number)) in jobs]
            for name, number in jobs
        }
        command = [sys.executable, str(RUN_PY), "recipe", *words, "--worker"]
        with Workers(command, processes) as workers:

            def begin(job) -> Future:
                if self._is_done(*job):
                    done = Future()
                    done.set_result({})
                    return done
                return workers.ask(dict(zip(("row", "number"), job, strict=True)))

            for count, _ in enumerate(all_done(needs, begin, processes), start=1):
                log.info("%d of %d trainings are there", count, len(jobs))

    def _is_done(self, name: str, number: int) -> bool:
        """Whether an earlier call has left the run."""
        row = self.rows[name]
        folder = self._folder(row, number)
        if not folder.exists():
            return False
        if not trained_as(folder, self._options(row, number)):
            raise InputError(
                f"{folder} was trained with other options than the recipe's: "
                "move it away, or give another --out"
            )
        log.info("%s, number %d: takes the run %s", name, number, folder)
        return True

    def _train(self, name: str, number: int) -> None:
        row = self.rows[name]
        folder = self._folder(row, number)
        keras.utils.clear_session()
        model = model_class(row.model)(self._options(row, number), self.out, folder.name)
        self._give_data(model, row)
        log.info("%s, number %d: trains %s", name, number, folder)
        model.createArchitecture()
        model.prepareModel()
        model.train(resume=draft_folder(self.out, row.model, folder.name).exists())
        model.save()

    def _options(self, row: Row, number: int):
        uses = {option: self._used(row.used(option), number) for option in row.uses}
        chosen = row.options | uses | self.extra | self.settings[row.model]
        folds = self.recipe.folds
        place = {"folds": folds, "fold": number} if folds else {"seed": number}
        return model_class(row.model).Options(self.data, self.data_dir, **place, **chosen)

    def _used(self, names: tuple[str, ...], number: int) -> str | None:
        """The runs of these rows, with commas between; None if there is none."""
        rows = [self.rows[one] for one in names if one in self.rows and one not in self.left_out]
        return ",".join(f"{row.model}/{self._folder(row, number).name}" for row in rows) or None

    def _folder(self, row: Row, number: int) -> Path:
        """The same for a row that several recipes share, so that it is trained once."""
        words = "".join(letter if letter.isalnum() else " " for letter in row.name).split()
        place = f"{'fold' if self.recipe.folds else 'seed'}{number}"
        return self.out / row.model / f"recipe-{'-'.join(words).lower()}{self.kind}-{place}"

    def _read(self, number: int) -> None:
        """Read the table of all rows, and leave out those that it does not allow."""
        first = next(iter(self.rows.values()))
        options = self._options(first, number)
        model = model_class(first.model)(options, self.out)
        self._table = model.read_table(options.data, options.data_dir)
        for row in self.rows.values():
            missing = [] if row.some else [one for one in row.needs if one in self.left_out]
            if missing:
                self.left_out[row.name] = self.left_out[missing[0]]
                continue
            reason = _obstacle(row, self._options(row, number), self._table)
            if reason:
                self.left_out[row.name] = reason

    def _give_data(self, model, row: Row) -> None:
        """Let a model divide the table that was read for it before, or read its own."""
        table = self._table if self.recipe.one_table else self._tables.get(row.name)
        if table is not None:
            model.split_table(table)
            return
        divide = model.divide

        def keep_and_divide(table, options):
            self._tables[row.name] = table
            return divide(table, options)

        model.divide = keep_and_divide  # of this one object: what it keeps is not divided yet
        model.loadData()


def _obstacle(row: Row, options, table: Table) -> str | None:
    """Why the data do not allow a row; None if they do."""
    found = sum(count > 0 for count in table.counts().values())
    if found < row.classes:
        return f"{row.name} is left out: it needs {row.classes} classes, {table.name} has {found}."
    group = options.group
    if group and not (group in table.frame and (table.frame[group] != "").any()):
        return f"Left out: {table.name} has nothing in the column '{group}' to group by."
    if getattr(options, "tasks", None):
        from datasets.artist_groups import check_tasks  # imports what only music needs

        try:
            check_tasks(options.tasks, table)
        except InputError as error:
            return f"Left out: {error}."
    return None
