"""A run while it is trained: the hidden folder it grows in, which one process at a time writes."""

from __future__ import annotations

import atexit
import fcntl
import logging
import os
import shutil
import tempfile
from pathlib import Path
from typing import IO

from datasets.errors import InputError
from models.options import same_training
from models.runs import draft_folder, draft_run, read_json, write_json
from training.distribution import setting
from training.processes import is_first, on_first

DEVICES = "devices.json"  # of a draft: what it has been trained on
REFIT = "refit"  # where a second training lies in a draft
LOCK = "lock"

log = logging.getLogger("menagerie")

_HELD: dict[Path, IO] = {}  # draft -> its lock, held as long as it is open


def open_draft(out: Path, model: str, run: str, config: dict, resume: bool) -> Path:
    """The hidden folder in which a run grows until it is whole.

    Raises:
        InputError: the run exists, a draft of it lies there and `resume` is off, the options differ
            from those it began with, or another process trains it.
    """
    draft = draft_folder(out, model, run)
    check_place(out, model, run)
    draft.mkdir(parents=True, exist_ok=True)
    _hold(draft)
    begun = (draft / "config.json").exists()  # a kill may come before it
    if begun and resume:
        if not same_training(read_json(draft, "config.json"), config):
            raise InputError(
                f"{model}/{run} began with other options, see {draft / 'config.json'}: "
                "give the same ones, or start a new --run"
            )
        return draft
    if begun:
        raise InputError(
            f"an interrupted training of {model}/{run} lies in {draft}: "
            "go on with --resume, or choose another --run"
        )
    write_json(draft / "config.json", config)
    return draft


def begin_draft(out: Path, model: str, run: str, config: dict, resume: bool) -> Path:
    """Where this process trains: `open_draft`, or of several processes a copy of it in all others.

    What it trains on is noted; after an interruption that may be something else.

    Raises:
        InputError: as `open_draft`, or this process does not see the draft.
        DeviceError: in the other processes, where the first one could not open it.
    """

    def opened() -> str:
        draft = open_draft(out, model, run, config, resume)
        noted = read_json(draft, DEVICES) if (draft / DEVICES).exists() else []
        used = setting().to_json()
        write_json(draft / DEVICES, [*noted, used] if used not in noted else noted)
        return str(draft.resolve())

    draft = Path(on_first(opened))
    if not is_first():
        if not draft.is_dir():
            raise InputError(f"{draft} is not there: --out must be a folder that all hosts share")
        folder = tempfile.TemporaryDirectory(prefix="menagerie-")
        atexit.register(folder.cleanup)
        draft = Path(shutil.copytree(draft, folder.name, dirs_exist_ok=True))
    on_first(lambda: "")  # no copy is taken of what changes
    return draft


def check_place(out: Path, model: str, run: str) -> None:
    """Make sure that a run can be written, before any work is put into it.

    Raises:
        InputError: the run exists, or nothing can be written there.
    """
    if (out / model / run).exists():
        raise InputError(f"the run {out / model / run} exists: choose another --run")
    there = next(path for path in (out / model, *(out / model).parents) if path.exists())
    if not there.is_dir() or not os.access(there, os.W_OK):
        raise InputError(
            f"no run can be written to {out}: {there} is no folder to write to; give another --out"
        )


def drop_draft(draft: Path) -> None:
    """Forget a training that cannot be gone on with."""
    release(draft)
    shutil.rmtree(draft)


def release(draft: Path) -> None:
    """Let go of a draft that this process holds."""
    held = _HELD.pop(draft.resolve(), None)
    if held is not None:
        (draft / LOCK).unlink(missing_ok=True)
        held.close()


def _hold(draft: Path) -> None:
    """Keep other processes out of a draft until it is released, or this process ends in any way.

    Raises:
        InputError: another process holds it.
    """
    place = draft.resolve()
    if place in _HELD:
        return
    stream = (draft / LOCK).open("w")
    try:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        stream.close()
        raise InputError(
            f"another process trains {draft.parent.name}/{draft_run(draft)}: wait for it, or "
            "choose another --run"
        ) from None
    except OSError as error:  # some network file systems know no locks
        log.info("  warning: %s cannot be locked (%s): train it once at a time", draft, error)
    _HELD[place] = stream
