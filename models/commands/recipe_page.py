"""What a recipe has found as a page: theirs beside ours, and of all recipes the difference."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from models.artefact import read_history
from models.runs import read_json, write_json
from training.recipes import Recipe
from training.reports import plot_comparison
from training.statistics import mean_over_runs

PARTS = ("validation", "test")
SYNTHETIC = (
    "Demonstration data, drawn by the zoo: its levels say nothing about the paper's data; only the "
    "order of the rows can be compared."
)
QUICK = "A few epochs of one seed or two folds: the networks are hardly trained."


def provenance(runs) -> str:
    """Where the data of a recipe come from."""
    first = next(iter(next(iter(runs.values())).values()))
    return read_json(first, "metadata.json")["provenance"]


def table_of(recipe: Recipe, runs) -> list[dict]:
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


def write_page(folder: Path, recipe: Recipe, runs, page: dict, drawn: Callable | None) -> None:
    """Write the page of one recipe and its numbers.

    Args:
        folder: of the page.
        recipe: with the rows that were wanted.
        runs: row name -> seed or fold -> folder of the run.
        page: what stands on it.
        drawn: draws into the folder, see `Recipe.drawn`.
    """
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
    if drawn:
        text += ["", *drawn(runs, folder)]
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
        return f"{_percent(stated):.1f} ({right}/{n})"
    return f"{stated:.1f}"


def write_summary(folder, recipes, pages, failed, arguments, seconds: float) -> None:
    """Write one page of all recipes: theirs, ours, the difference, the reason.

    Args:
        folder: of the page.
        recipes: name -> Recipe.
        pages: name -> its page, see `write_page`.
        failed: name of a recipe that could not be made -> why.
        arguments: of the command line.
        seconds: how long all took.
    """
    folder.mkdir(parents=True, exist_ok=True)
    text = [
        "# Every recipe on its demonstration set",
        "",
        f"`python run.py recipe all{' --quick' * arguments.quick}{' --full' * arguments.full}`, "
        f"{seconds / 60:.0f} minutes; what an earlier call has trained was taken from there. "
        "Accuracy in percent.",
        "",
        *([QUICK, ""] if arguments.quick else []),
        SYNTHETIC,
    ]
    for name, page in pages.items():
        recipe = recipes[name]
        text += [
            "",
            f"## {recipe.title}",
            "",
            f"`{name}`, [its page](../{Path(page['folder']).name}/README.md).",
        ]
        text += ["", "| row | part | theirs | ours | difference |", "|---|---|---|---|---|"]
        text += [line for entry in page["rows"] for line in _compared(entry)]
        text += ["", f"Why they differ: {recipe.differs}"]
    text += [
        line for name, why in failed.items() for line in ("", f"## {name}", "", f"Not made: {why}")
    ]
    (folder / "README.md").write_text("\n".join(text) + "\n")


def _compared(entry: dict) -> list[str]:
    """A line for each part that was judged and that the paper states; the last part otherwise."""
    judged = [part for part in PARTS if entry[part]]
    stated = [part for part in judged if part in entry["paper"]] or judged[-1:]
    lines = []
    for part in stated:
        ours, theirs = entry[part]["mean"], entry["paper"].get(part)
        gap = "-" if theirs is None else f"{ours - _percent(theirs):+.1f}"
        lines.append(f"| {entry['name']} | {part} | {_paper(theirs)} | {ours:.1f} | {gap} |")
    return lines


def _percent(stated: float | tuple[int, int]) -> float:
    return 100 * stated[0] / stated[1] if isinstance(stated, tuple) else stated
