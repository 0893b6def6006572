"""`run.py train`: data -> network -> training -> saved run."""

from __future__ import annotations

import argparse
import logging
from pathlib import Path

from datasets.audit import audit
from datasets.errors import InputError
from models import MODELS, model_class
from models.commands.parser import Parser, print_json, share_with_interval
from models.runs import draft_run, drafts, read_json

log = logging.getLogger("menagerie")


def run(words: list[str]) -> int:
    arguments = _arguments(words)
    chosen = model_class(arguments.model)
    flags = {name: value for name, value in vars(arguments).items() if name not in _OWN}
    options = chosen.Options(**flags)
    model = chosen(options, arguments.out, _run_name(arguments, chosen.__name__))
    try:
        _go_through_the_steps(model, arguments.resume)
    except KeyboardInterrupt:
        log.info(
            "\ninterrupted; go on with: %s --out %s --run %s --resume",
            options.command(model.name()),
            arguments.out,
            model.run,
        )
        return 130
    except ArithmeticError as error:
        raise InputError(str(error)) from error
    _report(model, arguments.json)
    return 0


_OWN = {"model", "out", "run", "resume", "json", "debug"}


def _arguments(words) -> argparse.Namespace:
    first = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    first.add_argument("--model")
    name = first.parse_known_args(words)[0].model
    asks_help = {"-h", "--help"} & set(words)
    parser = Parser("train", "Train a model, judge it and save the run.")
    parser.add_argument("--model", metavar="NAME", required=True, help=", ".join(MODELS))
    parser.add_out()
    parser.add_argument("--run", help="name of the run (default: the time)")
    parser.add_argument("--resume", action="store_true", help="go on after an interruption")
    parser.add_json()
    if name is None and not asks_help:
        raise InputError(f"--model is missing: take one of {', '.join(MODELS)}")
    if name is not None:
        model_class(name).Options.add_flags(parser)
    return parser.parse(words, name)


def _run_name(arguments, model: str) -> str | None:
    """The name asked for; with --resume alone, that of the newest interrupted training."""
    out = Path(arguments.out)
    if arguments.run and Path(arguments.run).name != arguments.run:
        raise InputError(f"--run {arguments.run}: a plain name is needed; --out says where it goes")
    if not arguments.resume:
        return arguments.run
    if not arguments.run:
        waiting = drafts(out, model)
        if not waiting:
            raise InputError(
                f"no interrupted training of {model} lies in {out}: leave --resume out"
            )
        return draft_run(waiting[-1])
    # FinalNN may have been interrupted while it trained a branch under the same name.
    if not list(out.glob(f"*/.{arguments.run}.partial")):
        raise InputError(f"no interrupted training called {arguments.run} lies in {out}")
    return arguments.run


def _go_through_the_steps(model, resume: bool) -> None:
    model.loadData()
    log.info("data: %s", model.table.provenance)
    for line in audit(model.table, model.splits).lines():
        log.info("  %s", line)
    model.createArchitecture()
    model.prepareModel()
    trained = sum(int(weight.shape.num_elements()) for weight in model.model.trainable_weights)
    log.info(
        "%s: %s parameters, %s of them train; preset %s, seed %d",
        model.name(),
        f"{model.model.count_params():,}",
        f"{trained:,}",
        model.options.preset,
        model.options.seed,
    )
    model.train(resume)
    log.info("judging and writing the run ...")
    model.save()


def _report(model, as_json: bool) -> None:
    metrics = read_json(model.folder, "metrics.json")
    if as_json:
        print_json({"run": str(model.folder), "synthetic": model.table.synthetic, **metrics})
        return
    print(
        f"{model.name()} on {model.table.name}" + (" (demonstration data)" * model.table.synthetic)
    )
    for part in ("train", "validation", "test"):
        print(
            f"  {part:10} accuracy {share_with_interval(metrics[part], 'accuracy')}"
            f"   n {metrics[part]['n']}"
        )
    for name, drop in metrics.get("modality_drop", {}).items():
        print(f"  shuffling {name} among the test samples costs {100 * drop:.1f} points")
    print(f"run:    {model.folder}\nreport: {model.folder / 'reports' / 'report.html'}")
