"""`run.py data`: describe and audit a data set before training."""

from __future__ import annotations

from datasets import DATASETS, load_table
from datasets.audit import audit
from datasets.errors import InputError
from models.commands.parser import Parser, print_json, user_path


def run(words: list[str]) -> int:
    parser = Parser("data", "Describe and audit a data set.")
    parser.add_argument("name", metavar="NAME", help=", ".join(DATASETS))
    parser.add_argument("--data-dir", type=user_path, help="where your data lie")
    parser.add_json()
    arguments = parser.parse(words, "data")
    if arguments.name not in DATASETS:
        raise InputError(
            f"no data set is called '{arguments.name}': take one of {', '.join(DATASETS)}"
        )
    table = load_table(arguments.name, arguments.data_dir, ("image",), strict=False)
    found = audit(table)
    parts = {
        part or "not assigned": int(count)
        for part, count in table.frame["part"].value_counts().items()
    }
    if arguments.json:
        print_json(
            {"data": table.name, "provenance": table.provenance, "parts": parts, **found.to_json()}
        )
        return 0
    print(f"{table.name}: {table.provenance}")
    print("parts: " + ", ".join(f"{part} {count}" for part, count in parts.items()))
    for line in found.lines():
        print(line)
    return 0
