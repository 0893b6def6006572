"""What the verbs share: a parser whose complaints are one line, and how to print an answer."""

from __future__ import annotations

import argparse
import difflib
import json
from pathlib import Path
from typing import NoReturn

from datasets.errors import InputError

OUT = "saved_models"


class Parser(argparse.ArgumentParser):
    """An argument parser that raises `InputError` and names the right flags."""

    def __init__(self, verb: str, description: str):
        super().__init__(prog=f"run.py {verb}", description=description, allow_abbrev=False)
        self.add_argument("--debug", action="store_true", help="show the traceback of an error")

    def error(self, message) -> NoReturn:
        raise InputError(f"{message} (see python {self.prog} --help)")

    def parse(self, words: list[str], owner: str) -> argparse.Namespace:
        """Parse all words; an unknown flag is an error that lists the right ones."""
        arguments, unknown = self.parse_known_args(words)
        if unknown:
            word = unknown[0].split("=")[0]
            named = [action.option_strings for action in self._actions if action.option_strings]
            flags = [next(flag for flag in names if flag.startswith("--")) for names in named]
            near = difflib.get_close_matches(word, flags, n=1)
            hint = f" (did you mean {near[0]}?)" if near else ""
            raise InputError(f"{owner} has no option {word}{hint}; it has {', '.join(flags)}")
        return arguments

    def add_run(self) -> None:
        self.add_argument("run", metavar="RUN", help="a run's folder, MODEL/RUN, or MODEL (newest)")

    def add_out(self) -> None:
        self.add_argument(
            "--out", type=user_path, default=Path(OUT), help=f"folder of saved runs (default {OUT})"
        )

    def add_reject_at(self) -> None:
        self.add_argument(
            "--reject-at",
            type=share,
            metavar="X",
            help="answer 'other' below the confidence that reaches this share of right answers on "
            "the run's validation part",
        )

    def add_processes(self, what: str) -> None:
        """How many of several trainings are under way at a time; `--worker` marks one of those."""
        self.add_argument(
            "--processes",
            type=_whole_number,
            default=1,
            metavar="N",
            help=f"train so many {what} at a time, each in a process that has its share of the "
            "cores (default 1); where RAY_ADDRESS names a cluster of Ray, on its machines",
        )
        self.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)

    def add_json(self) -> None:
        self.add_argument("--json", action="store_true", help="print one JSON object")


def user_path(text: str) -> Path:
    """A path as a shell would read it, `--out=~/runs` included."""
    if not text.strip():
        raise argparse.ArgumentTypeError("the path is empty")
    return Path(text).expanduser()


def _whole_number(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text}: a number from 1 on is needed")
    return int(text)


def share(text: str) -> float:
    """A number above 0 and up to 1."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value <= 1:
        raise argparse.ArgumentTypeError(f"{text} is no share: a number above 0 and up to 1")
    return value


def print_json(content) -> None:
    print(json.dumps(content, indent=1, allow_nan=False))


def percent(value: float) -> str:
    return f"{100 * value:.1f} %"


def share_with_interval(result_json: dict, figure: str) -> str:
    low, high = result_json["intervals"][figure]
    return f"{percent(result_json[figure])} ({100 * low:.1f} to {100 * high:.1f})"
