"""Files that exist whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from datasets.errors import InputError


@contextmanager
def whole_file(path: Path, flag: str) -> Iterator[Path]:
    """A draft beside `path`, which it replaces when the block ends without an error.

    Args:
        path: what is wanted.
        flag: by which the user named it, for the message.

    Raises:
        InputError: nothing can be written there.
    """
    draft = path.with_name(f".{path.stem}.partial{path.suffix}")
    try:
        yield draft
        os.replace(draft, path)
    except OSError as error:
        raise unwritable(path, flag, error) from None
    finally:
        with suppress(OSError):  # it was never there, or the disk is gone; the first error says so
            draft.unlink(missing_ok=True)


def check_writable(path: Path, flag: str) -> None:
    """Find out before the work that a file can be written.

    Raises:
        InputError: it cannot.
    """
    if path.is_dir():
        raise InputError(f"{flag} {path} is a folder: name a file")
    draft = path.with_name(f".{path.stem}.partial{path.suffix}")
    try:
        draft.touch()
        draft.unlink()
    except OSError as error:
        raise unwritable(path, flag, error) from None


def unwritable(path: Path, flag: str, error: OSError) -> InputError:
    """The line that says so."""
    return InputError(
        f"{flag} {path}: nothing can be written there ({error.strerror}); name another place"
    )
