"""`run.py recipe`: train the rows of a paper's table and print theirs beside ours."""

from __future__ import annotations

import dataclasses
import difflib
import typing
from argparse import SUPPRESS, ArgumentTypeError
from collections.abc import Callable
from importlib import import_module

from datasets.errors import InputError
from models import model_class
from models.artefact import read_history, write_json
from models.commands.parser import Parser, print_json, user_path
from models.commands.recipe_pool import serve
from models.commands.recipe_runs import RecipeRuns
from models.options import flag, type_hints
from models.runs import read_json
from training.recipes import Recipe, recipe_names
from training.reports import plot_comparison
from training.statistics import mean_over_runs

PARTS = ("validation", "test")
OWN_FLAGS = {"data_dir": "--data-dir", "data": "--data", "seed": "--seeds"}


def run(words: list[str]) -> int:
    parser = Parser("recipe", "Train the rows of a paper's table: theirs beside ours.")
    parser.add_argument("name", metavar="NAME", help="see python run.py list")
    parser.add_argument(
        "--data-dir", type=user_path, help="the real data; without it, the demonstration set"
    )
    parser.add_argument("--data", help="what they are, such as fma, where it cannot be told")
    parser.add_argument("--quick", action="store_true", help="one seed or fold, few epochs")
    parser.add_argument(
        "--full",
        action="store_true",
        help="as large and as long as in the paper, where that takes days",
    )
    parser.add_argument(
        "--seeds", help="comma-separated, instead of the recipe's own seeds or folds"
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="[MODEL.]OPTION=VALUE",
        help="another value of an option, in all rows that have it or in those of a model, such as "
        "TransferCNN.weights=FILE; may be repeated",
    )
    parser.add_argument(
        "--processes",
        type=_processes,
        default=1,
        metavar="N",
        help="train so many rows at a time, each in a process that has its share of the cores "
        "(default 1)",
    )
    parser.add_argument("--worker", action="store_true", help=SUPPRESS)
    parser.add_out()
    parser.add_json()
    arguments = parser.parse(words, "recipe")
    recipe = _recipe(arguments)
    trained = RecipeRuns(recipe, _settings(arguments.set, recipe), arguments)
    if arguments.worker:
        serve(trained.answer)
        return 0
    seeds = _seeds(arguments, recipe)
    trained.check(seeds[0])
    runs = trained.folders(seeds, arguments.processes, words)
    if not runs:
        raise InputError(f"nothing of {arguments.name} can be trained on these data")
    page = {
        "recipe": arguments.name,
        "provenance": _provenance(runs),
        "set": arguments.set,
        "left_out": trained.left_out_lines(),
        "rows": _table(recipe, runs),
        "findings": _function(recipe.findings)(runs),
    }
    folder = arguments.out / "recipes" / (arguments.name + trained.kind)
    _write(folder, recipe, runs, page)
    if arguments.json:
        print_json(page | {"folder": str(folder)})
    else:
        print((folder / "README.md").read_text())
    return 0


def _processes(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise ArgumentTypeError(f"{text}: a number from 1 on is needed")
    return int(text)


def _function(place: str) -> Callable:
    """What "module:function" names."""
    module, function = place.split(":")
    return getattr(import_module(module), function)


def _recipe(arguments) -> Recipe:
    """The recipe of that name, its rows as they are wanted."""
    name, full, quick = arguments.name, arguments.full, arguments.quick
    known = recipe_names()
    if name not in known:
        raise InputError(f"no recipe is called '{name}': take one of {', '.join(known)}")
    recipe = import_module(f"training.recipes.{name}").RECIPE
    rows = [
        dataclasses.replace(row, options=row.options | row.full) if full else row
        for row in recipe.rows
        if (full or not row.only_full) and (row.in_quick or not quick)
    ]
    return dataclasses.replace(recipe, rows=tuple(rows))


def _seeds(arguments, recipe: Recipe) -> tuple[int, ...]:
    if not arguments.seeds:
        return recipe.repetitions[:1] if arguments.quick else recipe.repetitions
    try:
        numbers = tuple(int(seed) for seed in arguments.seeds.split(","))
    except ValueError:
        raise InputError(f"--seeds {arguments.seeds}: numbers separated by commas") from None
    if recipe.folds and not set(numbers) <= set(recipe.repetitions):
        raise InputError(f"--seeds {arguments.seeds}: the recipe has folds 1 to {recipe.folds}")
    return numbers


def _settings(texts: list[str], recipe: Recipe) -> dict[str, dict]:
    """What --set says: model -> option -> value.

    Raises:
        InputError: no row has that option, or the value cannot be read.
    """
    models = list(dict.fromkeys(row.model for row in recipe.rows))
    settings = {model: {} for model in models}
    for text in texts:
        name, _, value = text.partition("=")
        model, _, option = name.strip().rpartition(".")
        option = option.replace("-", "_")
        if not option or not value:
            raise InputError(f"--set {text}: expected OPTION=VALUE or MODEL.OPTION=VALUE")
        if model and model not in models:
            raise InputError(f"--set {text}: no row is a {model}; there are {', '.join(models)}")
        if option in OWN_FLAGS:
            raise InputError(f"--set {text}: say it by {OWN_FLAGS[option]}")
        asked = [model] if model else models
        having = [one for one in asked if option in _option_names(one)]
        if not having:
            known = sorted({name for one in asked for name in _option_names(one)} - set(OWN_FLAGS))
            near = difflib.get_close_matches(option, known, n=1)
            hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(known)}"
            raise InputError(f"--set {text}: {' and '.join(asked)}: no option '{option}'; {hint}")
        for one in having:
            settings[one][option] = _value(model_class(one).Options, option, value, text)
    return settings


def _option_names(model: str) -> list[str]:
    return [field.name for field in dataclasses.fields(model_class(model).Options)]


def _value(options, name: str, value: str, text: str):
    """A value as the flag of that option would read it; yes or no for a switch."""
    kind = type_hints(options)[name]
    if bool in (kind, *typing.get_args(kind)):
        if value not in ("yes", "no"):
            raise InputError(f"--set {text}: yes or no is needed")
        return value == "yes"
    parser = Parser("recipe", "")
    options.add_flags(parser)
    return getattr(parser.parse([f"{flag(name)}={value}"], "recipe"), name)


def _provenance(runs) -> str:
    first = next(iter(next(iter(runs.values())).values()))
    return read_json(first, "metadata.json")["provenance"]


def _table(recipe: Recipe, runs) -> list[dict]:
    """One entry per row that was trained; a part that its split does not have is None."""
    rows = []
    for row in recipe.rows:
        if row.name not in runs:
            continue
        metrics = [read_json(folder, "metrics.json") for folder in runs[row.name].values()]
        entry = {"name": row.name, "paper": row.paper}
        for part in PARTS:
            entry[part] = None
            if part in metrics[0]:
                mean = mean_over_runs([100 * one[part]["accuracy"] for one in metrics])
                entry[part] = {
                    "mean": mean.mean,
                    "low": mean.low,
                    "high": mean.high,
                    "values": list(mean.values),
                }
                entry["n"], entry["judged"] = metrics[0][part]["n"], part
        rows.append(entry)
    return rows


def _write(folder, recipe, runs, page) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    table = page["rows"]
    write_json(folder / "table.json", {name: page[name] for name in ("rows", "findings")})
    seeds = list(next(iter(runs.values())))
    parts = [part for part in PARTS if any(entry[part] for entry in table)]
    kind = "fold" if recipe.folds else "seed"
    text = [
        f"# {recipe.title}",
        "",
        f"Data: {page['provenance']}. {kind.capitalize()}s {', '.join(map(str, seeds))}; "
        f"{_sizes(table, kind)}. Accuracy in percent: the mean of the {kind}s, "
        f"its 95 % interval over {kind}s (Student), and each {kind}.",
        "",
        "| network | " + " | ".join(f"{part} | paper" for part in parts) + " |",
        "|---" * (1 + 2 * len(parts)) + "|",
        *(_line(entry, parts) for entry in table),
        "",
    ]
    if page["set"]:
        text += [f"Not as in the recipe: {', '.join(f'`{one}`' for one in page['set'])}.", ""]
    text += [line for left in page["left_out"] for line in (left, "")]
    text += page["findings"]
    if recipe.drawn:
        text += ["", *_function(recipe.drawn)(runs, folder)]
    compared = [name for name in recipe.compared if name in runs]
    for column in ("val_accuracy", "val_loss") if compared else ():
        histories = {name: read_history(runs[name][seeds[0]]) for name in compared}
        plot_comparison(histories, column, folder / f"{column}.png")
        text += ["", f"![{column} over the epochs, {kind} {seeds[0]}]({column}.png)"]
    (folder / "README.md").write_text("\n".join(text) + "\n")


def _sizes(table: list[dict], kind: str) -> str:
    """How many samples were judged: in one number where it is the same for all rows."""
    if len({(entry["n"], entry["judged"]) for entry in table}) == 1:
        return f"n = {table[0]['n']} {table[0]['judged']} samples per {kind}"
    listed = ", ".join(f"{entry['name']} {entry['n']} {entry['judged']}" for entry in table)
    return f"n, samples per {kind}: {listed}"


def _line(entry: dict, parts: list[str]) -> str:
    cells = []
    for part in parts:
        ours, paper = entry[part], entry["paper"].get(part)
        cells += [_ours(ours) if ours else "-", _paper(paper)]
    return f"| {entry['name']} | " + " | ".join(cells) + " |"


def _ours(figures: dict) -> str:
    values = figures["values"]
    spread = f" ({figures['low']:.1f} to {figures['high']:.1f})" if len(values) > 1 else ""
    return f"{figures['mean']:.1f}{spread}: {', '.join(f'{value:.1f}' for value in values)}"


def _paper(stated: float | tuple[int, int] | None) -> str:
    if stated is None:
        return "-"
    if isinstance(stated, tuple):
        right, n = stated
        return f"{100 * right / n:.1f} ({right}/{n})"
    return f"{stated:.1f}"
