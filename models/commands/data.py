"""`run.py data`: describe and audit a data set before training."""

from __future__ import annotations

from datasets import DATASETS, load_table
from datasets.audit import audit
from datasets.column_roles import Roles
from datasets.errors import InputError
from models.commands.parser import Parser, print_json, user_path

ROLES = ("label", "measurements", "ranks", "group")


def run(words: list[str]) -> int:
    parser = Parser("data", "Describe and audit a data set.")
    parser.add_argument("name", metavar="NAME", help=", ".join(DATASETS))
    parser.add_argument("--data-dir", type=user_path, help="where your data lie")
    for name in ROLES:
        parser.add_argument(f"--{name}", metavar="COLUMNS", help=f"column(s) of a table: {name}")
    parser.add_json()
    arguments = parser.parse(words, "data")
    if arguments.name not in DATASETS:
        raise InputError(
            f"no data set is called '{arguments.name}': take one of {', '.join(DATASETS)}"
        )
    table = _table(arguments)
    found = audit(table)
    parts = {
        part or "not assigned": int(count)
        for part, count in table.frame["part"].value_counts().items()
    }
    if arguments.json:
        print_json(
            {
                "data": table.name,
                "provenance": table.provenance,
                "notes": list(table.notes),
                "parts": parts,
                **found.to_json(),
            }
        )
        return 0
    print(f"{table.name}: {table.provenance}")
    for line in table.notes:
        print(line)
    print("parts: " + ", ".join(f"{part} {count}" for part, count in parts.items()))
    for line in found.lines():
        print(line)
    return 0


def _table(arguments):
    said = {name: getattr(arguments, name) for name in ROLES if getattr(arguments, name)}
    if arguments.name == "specimens":
        modalities = ("image", "measurements")
        return load_table(arguments.name, arguments.data_dir, modalities, roles=Roles(**said))
    if arguments.name == "observations" and "measurements" not in said:
        return load_table(arguments.name, arguments.data_dir, None, roles=Roles(**said))
    modalities, told = ("image",), {}
    if arguments.name in ("tracks", "fma"):
        modalities = ("waveform",)
    if arguments.name == "tracks" and "label" in said:
        told["label"] = said.pop("label")
    if said:
        name = "measurements" if arguments.name == "observations" else next(iter(said))
        raise InputError(f"--{name}: {arguments.name} has no such columns: leave it out")
    return load_table(arguments.name, arguments.data_dir, modalities, strict=False, **told)
