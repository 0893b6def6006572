"""`run.py demo`: a page on this machine on which a saved run is tried."""

from __future__ import annotations

import socket
import sys
from argparse import ArgumentTypeError
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

from datasets.errors import InputError
from models.commands.depth import add_depth_flags
from models.commands.parser import Parser
from models.demo.uploads import Limits

PORT = 7860
SHOWN = 5  # classes and training specimens


def run(words: list[str]) -> int:
    parser = Parser("demo", "Try a saved run on a page that this machine alone can open.")
    parser.add_run()
    parser.add_argument(
        "--port", type=_whole, default=PORT, metavar="N", help=f"to listen at (default {PORT})"
    )
    limits = Limits()
    for name, what in (
        ("megabytes", "of an upload, and of what a zip unpacks to"),
        ("files", "in one batch"),
        ("seconds", "after which no further file of a batch is begun"),
    ):
        default = getattr(limits, name)
        parser.add_argument(
            f"--most-{name}", type=_whole, default=default, metavar="N", help=f"{what} ({default})"
        )
    parser.add_reject_at()
    add_depth_flags(parser)
    parser.add_out()
    parser.set_defaults(add=[], top=SHOWN, nearest=SHOWN)
    arguments = parser.parse(words, "demo")
    if find_spec("gradio") is None:
        raise InputError('demo needs Gradio: pip install -e ".[demo]"')
    _check_port(arguments.port)
    limits = Limits(arguments.most_megabytes, arguments.most_files, arguments.most_seconds)
    with TemporaryDirectory(prefix="menagerie-demo-") as folder:
        _serve(arguments, limits, Path(folder))
    return 0


def _serve(arguments, limits: Limits, folder: Path) -> None:
    from models.demo.answering import Answerer  # both import what takes seconds
    from models.demo.page import launch

    answerer = Answerer(arguments, limits, folder)
    print(
        f"{answerer.run.folder} answers at http://127.0.0.1:{arguments.port}, until Ctrl-C",
        file=sys.stderr,
    )
    launch(answerer, arguments.port, folder)


def _whole(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise ArgumentTypeError(f"{text}: a whole number from 1 on is needed")
    return int(text)


def _check_port(port: int) -> None:
    """Find out before the network is loaded, which takes long."""
    with socket.socket() as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind(("127.0.0.1", port))
        except (OSError, OverflowError) as error:
            reason = getattr(error, "strerror", None) or "no such port"
            raise InputError(
                f"--port {port}: nothing can listen there ({reason}); name another port"
            ) from None
