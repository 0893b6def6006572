"""`run.py train`: data -> network -> training -> saved run."""

from __future__ import annotations

import argparse
import logging
import math
import os
import sys
from pathlib import Path

from datasets.audit import audit
from datasets.errors import InputError
from datasets.folds import fold_notes, group_notes
from models import MODELS, model_class
from models.commands.cross_validation import CrossValidation
from models.commands.parser import Parser, percent, print_json, share_with_interval
from models.commands.pool import serve
from models.drafts import check_place
from models.estimates import forecast
from models.run_baselines import baseline_lines
from models.runs import draft_run, drafts, has_draft, read_json
from models.species.run_specificity import RULE, specificity_line
from training import distribution
from training.phases import set_trainable
from training.processes import DeviceError, LostProcessError, is_first, leave_processes

log = logging.getLogger("menagerie")


def run(words: list[str]) -> int:
    arguments = _arguments(words)
    chosen = model_class(arguments.model)
    flags = {name: value for name, value in vars(arguments).items() if name not in _OWN}
    options = chosen.Options(**flags)
    _check_run_name(arguments.run)
    _check_hosts(options)
    folds = options.folds and not options.fold
    if arguments.processes > 1 and not folds:
        raise InputError("--processes trains several --folds at a time, and here is one training")
    if folds:
        training = CrossValidation(chosen, options, arguments, _go_through_the_steps)
        if arguments.worker:
            serve(training.answer)
    else:
        training = _Training(chosen, options, arguments)
    try:
        training.train()
    except KeyboardInterrupt:
        log.info("\n%s", _how_to_go_on(training))
        return 130
    except LostProcessError as error:
        print(f"error: {error}", file=sys.stderr, flush=True)
        os._exit(1)  # JAX would wait for the process that is gone, and then abort
    except (ArithmeticError, DeviceError) as error:
        raise InputError(str(error)) from error
    except OSError as error:  # a full disk, or one that is gone
        raise InputError(f"{error.strerror or error}; {_how_to_go_on(training)}") from error
    except Exception as error:
        _, is_ours, said = str(error).partition("InputError: ")
        if isinstance(error, InputError) or not is_ours:
            raise
        # A picture that went away meanwhile: TensorFlow has read it, and wraps what was said.
        raise InputError(f"{said.splitlines()[0]}; {_how_to_go_on(training)}") from error
    if is_first():
        training.report()
    return 0


class _Training:
    """The training of one run."""

    def __init__(self, chosen, options, arguments):
        self.options, self.arguments = options, arguments
        self.model = chosen(options, arguments.out, _run_name(arguments, chosen.__name__))
        self.name, self.out, self.run = self.model.name(), self.model.out, self.model.run

    def train(self) -> None:
        _go_through_the_steps(self.model, self.arguments.resume)

    def report(self) -> None:
        _report(self.model, self.arguments.json)

    def has_begun(self) -> bool:
        return has_draft(self.out, self.run)


def _how_to_go_on(training) -> str:
    command = f"{training.options.command(training.name)} --out {training.out}"
    command += f" --run {training.run}"
    if training.has_begun():
        return f"interrupted; go on with: {command} --resume"
    return f"interrupted before anything was trained; begin again with: {command}"


_OWN = {"model", "out", "run", "resume", "json", "debug", "processes", "worker", "typed"}


def _arguments(words) -> argparse.Namespace:
    asks_help = {"-h", "--help"} & set(words)
    parser = Parser("train", "Train a model, judge it and save the run.")
    parser.add_argument("--model", metavar="NAME", help=", ".join(MODELS))
    name = parser.parse_known_args([word for word in words if word not in asks_help])[0].model
    parser.add_out()
    parser.add_argument("--run", help="name of the run (default: the time)")
    parser.add_argument("--resume", action="store_true", help="go on after an interruption")
    parser.add_processes("--folds")
    parser.add_json()
    if name is None and not asks_help:
        raise InputError(f"--model is missing: take one of {', '.join(MODELS)}")
    if name is not None:
        model_class(name).Options.add_flags(parser)
    arguments = parser.parse(words, name)
    arguments.typed = words
    return arguments


def _check_run_name(run: str | None) -> None:
    if run is not None and (Path(run).name != run or run.startswith(".")):
        raise InputError(f"--run {run}: a plain name is needed; --out says where it goes")


def _check_hosts(options) -> None:
    if options.distribute == "hosts" and options.folds and not options.fold:
        raise InputError(
            "--distribute hosts trains one run at a time: give each of the --folds as a command of "
            "its own, with --fold"
        )


def _run_name(arguments, model: str) -> str | None:
    """The name asked for; with --resume alone, that of the newest interrupted training."""
    out, run = arguments.out, arguments.run
    if not arguments.resume:
        return run
    if run is None:
        waiting = drafts(out, model)
        if not waiting:
            raise InputError(f"no interrupted training of {model} is in {out}: leave --resume out")
        return draft_run(waiting[-1])
    if not has_draft(out, run):
        raise InputError(f"no interrupted training called {run} lies in {out}")
    return run


def _go_through_the_steps(model, resume: bool) -> None:
    check_place(model.out, model.name(), model.run)
    model.seed_weights()  # before the data: other processes may have to be met
    model.loadData()
    model.notes.extend(_split_notes(model))
    log.info("data: %s", model.table.provenance)
    if model.options.split_rule != "official" and model.table.frame["part"].any():
        log.info("  the parts that the data come with are not used: --split-rule official does")
    found = audit(model.table, model.splits).lines()
    for line in (*model.table.notes, *found, *model.notes):
        log.info("  %s", line)
    model.createArchitecture()
    model.prepareModel()
    set_trainable(model.model, model.phases[0].trainable)
    trained = sum(math.prod(weight.shape) for weight in model.model.trainable_weights)
    total = model.model.count_params()
    log.info("%s: %s parameters, %s of them train", model.name(), f"{total:,}", f"{trained:,}")
    log.info("  %s", ", ".join(f"{name} {value}" for name, value in model.options.stated().items()))
    setting = distribution.setting()
    log.info("  on %s", distribution.setting_text(setting.to_json()))
    if setting.processes > 1:
        log.info("  when a process ends, all of them end: start them again with --resume")
    if distribution.gains_nothing():
        log.info("  warning: on this processor --precision %s saves no time", setting.precision)
    for line in forecast(model):
        log.info("  %s", line)
    model.train(resume)
    leave_processes()
    if not is_first():
        log.info("the first process judges the network and writes the run")
        return
    log.info("judging and writing the run ...")
    model.save()


def _split_notes(model) -> list[str]:
    """What is to be said about groups, and about classes too small for the folds."""
    options, table = model.options, model.table
    lines = group_notes(table, options.group) if options.group else []
    return lines + (fold_notes(table, options.folds, options.seed) if options.folds else [])


def _report(model, as_json: bool) -> None:
    metrics = read_json(model.folder, "metrics.json")
    if as_json:
        print_json({"run": str(model.folder), "synthetic": model.table.synthetic, **metrics})
        return
    print(
        f"{model.name()} on {model.table.name}" + (" (demonstration data)" * model.table.synthetic)
    )
    for part in model.splits.parts():
        print(
            f"  {part:10} accuracy {share_with_interval(metrics[part], 'accuracy')}"
            f"   n {metrics[part]['n']}"
        )
    if "ranks" in metrics:
        _print_depth(metrics)
    for name, drop in metrics.get("modality_drop", {}).items():
        print(f"  shuffling {name} among the test samples costs {100 * drop:.1f} points")
    for line in baseline_lines(metrics["baselines"]):
        print(f"  {line}")
    print(f"run:    {model.folder}\nreport: {model.folder / 'reports' / 'report.html'}")


def _print_depth(metrics: dict) -> None:
    """Accuracy by rank, and what a target accuracy costs in depth."""
    part, rules = metrics["specificity"]["part"], metrics["specificity"]["rules"]
    ranks = metrics["ranks"][part]
    named = ", ".join(f"{rank} {percent(found['accuracy'])}" for rank, found in ranks.items())
    print(f"  {part} by rank: {named}")
    if rules[RULE]["threshold"] is not None:
        print(f"  {specificity_line(rules[RULE], list(ranks))}")
