"""`run.py embed`: where a run places samples among one another, as a table."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pandas as pd

from datasets.errors import InputError
from models.artefact import load_savedmodel, verify_run
from models.commands.asking import outputs_for, read_asked
from models.commands.parser import Parser, print_json, user_path
from models.commands.whole_files import check_writable, whole_file
from models.inputs import read_inputs
from models.nearest import Reference
from models.runs import find_run


def run(words: list[str]) -> int:
    parser = Parser("embed", "Write the embeddings of samples to a table.")
    parser.add_run()
    parser.add_argument(
        "inputs",
        metavar="INPUT",
        nargs="*",
        help="pictures, folders of them, or tables of specimens; without any, the run's own "
        "training samples",
    )
    parser.add_argument(
        "--to", type=user_path, default=Path("embeddings.csv"), help="default embeddings.csv"
    )
    parser.add_out()
    parser.add_json()
    arguments = parser.parse(words, "embed")
    if arguments.to.exists():
        raise InputError(f"{arguments.to} exists: name another file by --to")
    check_writable(arguments.to, "--to")
    folder = find_run(arguments.run, arguments.out)
    verify_run(folder)
    table, broken = _asked(folder, arguments.inputs) if arguments.inputs else (_own(folder), [])
    with whole_file(arguments.to, "--to") as draft:
        table.to_csv(draft, index=False)
    if arguments.json:
        print_json({"run": str(folder), "file": str(arguments.to), "n": len(table)})
    else:
        print(f"{len(table)} embeddings written to {arguments.to}")
    for line in broken:
        print(f"error: {line}", file=sys.stderr)
    return 2 if broken else 0


def _own(folder: Path) -> pd.DataFrame:
    reference = Reference.read(folder)
    return _table(reference.keys, reference.labels, reference.embeddings)


def _asked(folder: Path, inputs: list[str]) -> tuple[pd.DataFrame, list[str]]:
    records = read_inputs(folder)
    asked = read_asked(inputs, records)
    if not asked.names:
        raise InputError(f"nothing could be read: {asked.broken[0]}")
    outputs = outputs_for(load_savedmodel(folder), records, asked)
    vectors = np.stack([output["embedding"] for output in outputs])
    return _table(asked.names, asked.labels, vectors), asked.broken


def _table(names, labels, vectors: np.ndarray) -> pd.DataFrame:
    columns = [f"embedding_{number}" for number in range(vectors.shape[1])]
    table = pd.DataFrame(vectors, columns=columns)
    table.insert(0, "label", list(labels))
    table.insert(0, "input", list(names))
    return table
