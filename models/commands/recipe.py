"""`run.py recipe`: train the rows of a paper's table and print theirs beside ours."""

from __future__ import annotations

import logging
from importlib import import_module
from pathlib import Path

import keras

from datasets.errors import InputError
from models import model_class
from models.artefact import read_history, write_json
from models.commands.parser import Parser, print_json, user_path
from models.runs import draft_folder, read_json
from training.recipes import Recipe, Row, recipe_names
from training.reports import plot_comparison
from training.statistics import mean_over_runs

PARTS = ("validation", "test")

log = logging.getLogger("menagerie")


def run(words: list[str]) -> int:
    parser = Parser("recipe", "Train the rows of a paper's table: theirs beside ours.")
    parser.add_argument("name", metavar="NAME", help="see python run.py list")
    parser.add_argument(
        "--data-dir", type=user_path, help="the real data; without it, the demonstration set"
    )
    parser.add_argument("--quick", action="store_true", help="one seed, few epochs")
    parser.add_argument("--seeds", help="comma-separated, instead of the recipe's own")
    parser.add_out()
    parser.add_json()
    arguments = parser.parse(words, "recipe")
    recipe = _recipe(arguments.name)
    seeds = _seeds(arguments, recipe)
    trained = _RecipeRuns(recipe, arguments)
    runs = {row.name: {} for row in recipe.rows}
    for seed in seeds:
        for row in recipe.rows:
            runs[row.name][seed] = trained.folder_of(row, seed)
    table = _table(recipe, runs)
    module, function = recipe.findings.split(":")
    lines = getattr(import_module(module), function)(runs)
    folder = arguments.out / "recipes" / (arguments.name + trained.kind)
    _write(folder, recipe, runs, table, lines, trained.provenance())
    if arguments.json:
        print_json(
            {
                "recipe": arguments.name,
                "provenance": trained.provenance(),
                "rows": table,
                "findings": lines,
                "folder": str(folder),
            }
        )
    else:
        print((folder / "README.md").read_text())
    return 0


def _recipe(name: str) -> Recipe:
    known = recipe_names()
    if name not in known:
        raise InputError(f"no recipe is called '{name}': take one of {', '.join(known)}")
    return import_module(f"training.recipes.{name}").RECIPE


def _seeds(arguments, recipe: Recipe) -> tuple[int, ...]:
    if not arguments.seeds:
        return recipe.seeds[:1] if arguments.quick else recipe.seeds
    try:
        return tuple(int(seed) for seed in arguments.seeds.split(","))
    except ValueError:
        raise InputError(f"--seeds {arguments.seeds}: numbers separated by commas") from None


class _RecipeRuns:
    """Trains rows, or takes the runs that an earlier call has left; reads a row's data once."""

    def __init__(self, recipe, arguments):
        self.rows = {row.name: row for row in recipe.rows}
        self.data_dir = str(arguments.data_dir) if arguments.data_dir else None
        self.out = arguments.out
        self.extra = recipe.quick if arguments.quick else {}
        self.kind = ("-quick" * arguments.quick) + ("" if self.data_dir else "-demonstration")
        self._tables = {}

    def folder_of(self, row: Row, seed: int) -> Path:
        """The folder of a row's run for one seed."""
        chosen = model_class(row.model)
        uses = {
            option: f"{self.rows[other].model}/{self._run_name(self.rows[other], seed)}"
            for option, other in row.uses.items()
        }
        options = chosen.Options(
            data_dir=self.data_dir, seed=seed, **row.options, **uses, **self.extra
        )
        run = self._run_name(row, seed)
        folder = self.out / row.model / run
        if folder.exists():
            if read_json(folder, "config.json") != options.to_json():
                raise InputError(
                    f"{folder} was trained with other options than the recipe's: "
                    "move it away, or give another --out"
                )
            log.info("%s, seed %d: takes the run %s", row.name, seed, folder)
            return folder
        log.info("%s, seed %d: trains %s", row.name, seed, folder)
        keras.utils.clear_session()
        model = chosen(options, self.out, run)
        self._give_data(model, row)
        model.createArchitecture()
        model.prepareModel()
        model.train(resume=draft_folder(self.out, row.model, run).exists())
        return model.save()

    def provenance(self) -> str:
        first = next(iter(self.rows.values()))
        folder = next((self.out / first.model).glob(f"{self._run_name(first, '*')}"))
        return read_json(folder, "metadata.json")["provenance"]

    def _run_name(self, row: Row, seed) -> str:
        """The same for a row that several recipes share, so that it is trained once."""
        words = "".join(letter if letter.isalnum() else " " for letter in row.name).split()
        return f"recipe-{'-'.join(words).lower()}{self.kind}-seed{seed}"

    def _give_data(self, model, row):
        if row.name not in self._tables:
            model.loadData()
            self._tables[row.name] = model.table
        else:
            model.split_table(self._tables[row.name])


def _table(recipe: Recipe, runs) -> list[dict]:
    rows = []
    for row in recipe.rows:
        entry = {"name": row.name, "paper": row.paper}
        for part in PARTS:
            values = [
                100 * read_json(folder, "metrics.json")[part]["accuracy"]
                for folder in runs[row.name].values()
            ]
            mean = mean_over_runs(values)
            entry[part] = {
                "mean": mean.mean,
                "low": mean.low,
                "high": mean.high,
                "values": list(mean.values),
            }
        entry["n"] = read_json(next(iter(runs[row.name].values())), "metrics.json")["test"]["n"]
        rows.append(entry)
    return rows


def _write(folder, recipe, runs, table, lines, provenance) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / "table.json", {"rows": table, "findings": lines})
    seeds = list(next(iter(runs.values())))
    text = [
        f"# {recipe.title}",
        "",
        f"Data: {provenance}. Seeds {', '.join(map(str, seeds))}; "
        f"n = {table[0]['n']} test samples per seed. Accuracy in percent: the mean of the seeds, "
        "its 95 % interval over seeds (Student), and each seed.",
        "",
        "| network | validation | paper | test | paper |",
        "|---|---|---|---|---|",
        *(_line(entry) for entry in table),
        "",
        *lines,
    ]
    for column in ("val_accuracy", "val_loss") if recipe.compared else ():
        histories = {name: read_history(runs[name][seeds[0]]) for name in recipe.compared}
        plot_comparison(histories, column, folder / f"{column}.png")
        text += ["", f"![{column} over the epochs, seed {seeds[0]}]({column}.png)"]
    (folder / "README.md").write_text("\n".join(text) + "\n")


def _line(entry: dict) -> str:
    cells = []
    for part in PARTS:
        ours, paper = entry[part], entry["paper"].get(part)
        spread = f" ({ours['low']:.1f} to {ours['high']:.1f})" if len(ours["values"]) > 1 else ""
        each = ", ".join(f"{value:.1f}" for value in ours["values"])
        cells.append(f"{ours['mean']:.1f}{spread}: {each}")
        cells.append("-" if paper is None else f"{paper:.1f}")
    return f"| {entry['name']} | " + " | ".join(cells) + " |"
