"""`run.py recipe`: train the rows of a paper's table and print theirs beside ours."""

from __future__ import annotations

import argparse
import dataclasses
import difflib
import logging
import sys
import time
import typing
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

from datasets.errors import InputError
from models import model_class
from models.commands.parser import Parser, print_json, user_path
from models.commands.pool import serve
from models.commands.recipe_page import provenance, table_of, write_page, write_summary
from models.commands.recipe_runs import RecipeRuns
from models.options import flag, type_hints
from training.recipes import Recipe, recipe_names

ALL = "all"
OWN_FLAGS = {"data_dir": "--data-dir", "data": "--data", "seed": "--seeds"}

log = logging.getLogger("menagerie")


def run(words: list[str]) -> int:
    parser = Parser("recipe", "Train the rows of a paper's table: theirs beside ours.")
    parser.add_argument(
        "name",
        metavar="NAME",
        help=f"see python run.py list; {ALL}: every one on its demonstration set",
    )
    parser.add_argument(
        "--data-dir", type=user_path, help="the real data; without it, the demonstration set"
    )
    parser.add_argument("--data", help="what they are, such as fma, where it cannot be told")
    parser.add_argument("--quick", action="store_true", help="one seed or two folds, few epochs")
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
    parser.add_processes("rows")
    parser.add_out()
    parser.add_json()
    arguments = parser.parse(words, "recipe")
    if arguments.worker:
        recipe = _recipe(arguments)
        serve(RecipeRuns(recipe, _settings(arguments.set, recipe), arguments).answer)
        return 0
    if arguments.name == ALL:
        return _make_all(arguments, words)
    page = _make(arguments, words)
    if arguments.json:
        print_json(page)
    else:
        print(Path(page["folder"], "README.md").read_text())
    return 0


def _make(arguments, words: list[str]) -> dict:
    """Train what is missing of one recipe, and write its page."""
    recipe = _recipe(arguments)
    trained = RecipeRuns(recipe, _settings(arguments.set, recipe), arguments)
    seeds = _seeds(arguments, recipe)
    trained.check(seeds[0])
    runs = trained.folders(seeds, arguments.processes, words)
    if not runs:
        raise InputError(f"nothing of {arguments.name} can be trained on these data")
    page = {
        "recipe": arguments.name,
        "provenance": provenance(runs),
        "set": arguments.set,
        "left_out": trained.left_out_lines(),
        "rows": table_of(recipe, runs),
        "findings": _function(recipe.findings)(runs),
    }
    folder = arguments.out / "recipes" / (arguments.name + trained.kind)
    drawn = _function(recipe.drawn) if recipe.drawn else None
    write_page(folder, recipe, runs, page, drawn)
    return page | {"folder": str(folder)}


def _make_all(arguments, words: list[str]) -> int:
    """Every recipe on its demonstration set, and one page of them all."""
    given = [name for name in ("data_dir", "data", "set", "seeds") if getattr(arguments, name)]
    if given:
        raise InputError(f"{flag(given[0])} is of one recipe: name it instead of '{ALL}'")
    pages, failed, begun = {}, {}, time.monotonic()
    for name in recipe_names():
        one = argparse.Namespace(**vars(arguments) | {"name": name})
        log.info("recipe %s", name)
        try:
            pages[name] = _make(one, [name, *(word for word in words if word != ALL)])
        except InputError as error:
            failed[name] = str(error)
    recipes = {name: import_module(f"training.recipes.{name}").RECIPE for name in pages}
    kind = "-quick" * arguments.quick + "-full" * arguments.full
    folder = arguments.out / "recipes" / f"{ALL}{kind}-demonstration"
    write_summary(folder, recipes, pages, failed, arguments, time.monotonic() - begun)
    if arguments.json:
        print_json({"folder": str(folder), "recipes": pages, "failed": failed})
    else:
        print((folder / "README.md").read_text())
    for name, line in failed.items():
        print(f"error: {name}: {line}", file=sys.stderr)
    return 2 if failed else 0


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
        few = recipe.repetitions[: 2 if recipe.folds else 1]
        return few if arguments.quick else recipe.repetitions
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
