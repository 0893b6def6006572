"""`run.py export`: a saved run for ONNX Runtime, LiteRT or OpenVINO."""

from __future__ import annotations

from dataclasses import asdict

from datasets.errors import InputError
from models.artefact import verify_run
from models.commands.parser import Parser, print_json, user_path
from models.export import export_run
from models.export_formats import FORMATS
from models.runs import find_run


def run(words: list[str]) -> int:
    parser = Parser(
        "export",
        "Write a saved run in another format, check it against the Keras model, and time both.",
    )
    parser.add_run()
    parser.add_argument("--format", choices=FORMATS, required=True)
    parser.add_argument(
        "--to",
        type=user_path,
        metavar="FOLDER",
        help="a new folder (default RUN/exports/FORMAT)",
    )
    parser.add_out()
    parser.add_json()
    arguments = parser.parse(words, "export")
    form = FORMATS[arguments.format]
    form.check_installed()
    folder = find_run(arguments.run, arguments.out)
    to = arguments.to or folder / "exports" / arguments.format
    if to.exists():
        raise InputError(f"{to} exists: remove it, or name another folder by --to")
    if arguments.to and not to.absolute().parent.is_dir():
        raise InputError(f"--to {to}: the folder that it would lie in does not exist")
    verify_run(folder)
    export = export_run(folder, arguments.format, form, to)
    if arguments.json:
        print_json(
            {
                "run": str(folder),
                "format": arguments.format,
                "folder": str(export.folder),
                "agreement": asdict(export.agreement),
                "milliseconds": [asdict(latency) for latency in export.latencies],
            }
        )
        return 0
    _print(export, form)
    return 0


def _print(export, form) -> None:
    agreement = export.agreement
    print(f"{form.title} written to {export.folder}")
    print(
        f"  as the Keras model to {agreement.probabilities:.1g} of a probability, "
        f"{agreement.samples} answers to {agreement.about}"
    )
    for one in export.latencies:
        print(
            f"  {one.about}: {one.export:.1f} ms, {one.export / one.savedmodel:.2f} times the "
            f"SavedModel's, {one.export / one.keras:.2f} times the Keras model's"
        )
