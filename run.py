"""Menagerie: train, judge and use the models of the zoo.

python run.py --model FinalNN --combine features     train, judge, report and save
python run.py VERB --help                            more about one verb
"""

from __future__ import annotations

import logging
import os
import sys
from importlib import import_module
from importlib.util import find_spec

from datasets.errors import InputError
from models.commands import VERBS
from models.quiet import standard_error_closed

BACKENDS = ("tensorflow", "jax", "torch")
NEED_NETWORKS = ("train", "evaluate", "predict", "embed", "export", "demo", "recipe")


def main(words: list[str] | None = None) -> int:
    """Run one command line; returns its exit code (2: a mistake in what was given)."""
    words = list(sys.argv[1:] if words is None else words)
    _quieten()
    try:
        if words in ([], ["-h"], ["--help"], ["help"]):
            print(_help())
            return 0
        verb = "train" if words[0].startswith("-") else words.pop(0)
        if verb not in VERBS:
            raise InputError(f"there is no verb '{verb}': take one of {', '.join(VERBS)}")
        _check_backend()
        if verb in NEED_NETWORKS and not {"-h", "--help"} & set(words):
            _import_tensorflow()
        with standard_error_closed():  # TensorFlow, where --help alone brings it in
            command = import_module(f"models.commands.{verb}")
        return command.run(words)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    except InputError as error:
        if "--debug" in words:
            raise
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        return 2


def _help() -> str:
    verbs = "\n".join(f"    {verb:9} {text}" for verb, text in VERBS.items())
    return f"{__doc__.rstrip()}\n\nVerbs:\n{verbs}"


def _check_backend() -> None:
    """Say in one line what Keras would say in a traceback."""
    backend = os.environ.get("KERAS_BACKEND", "tensorflow")
    if backend not in BACKENDS:
        raise InputError(f"KERAS_BACKEND={backend}: take one of {', '.join(BACKENDS)}")
    if find_spec(backend) is None:
        raise InputError(
            f'KERAS_BACKEND={backend}: {backend} is not installed: pip install -e ".[backends]"'
        )


def _import_tensorflow() -> None:
    """Import it with standard error closed: its start-up lines ignore every setting.

    With another backend of Keras it only makes the batches, and leaves the GPUs alone.
    """
    with standard_error_closed():
        config = import_module("tensorflow").config
        if os.environ.get("KERAS_BACKEND", "tensorflow") != "tensorflow":
            config.set_visible_devices([], "GPU")
        config.list_physical_devices()
    logging.getLogger("tensorflow").setLevel(logging.ERROR)  # or it would tell of its tracing


def _quieten() -> None:
    """Progress and messages go to standard error; TensorFlow keeps its own to itself."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    logging.basicConfig(format="%(message)s", stream=sys.stderr)
    logging.getLogger("menagerie").setLevel(logging.INFO)


if __name__ == "__main__":
    sys.exit(main())
