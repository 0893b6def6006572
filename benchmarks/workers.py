"""Processes that hold one contender each and take their turns, so that noise meets all of them."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable

WARM_UP = 2  # calls before the first turn


class Worker:
    """A process that does its work a number of times whenever it is told to.

    Args:
        module: such as `benchmarks.training_step`; with these words it has to call `serve`.
        words: of its command line.
        environment: variables in addition to those of this process.
    """

    def __init__(self, module: str, words: list[str], environment: dict[str, str] | None = None):
        self._process = subprocess.Popen(
            [sys.executable, "-m", module, *words],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", **(environment or {})},
        )
        self.said = self._line()  # and so it is ready before the next one starts

    def turn(self, what: str = "") -> float:
        """Seconds of one call of what it does."""
        print(what, file=self._process.stdin, flush=True)
        return float(self._line())

    def stop(self) -> None:
        self._process.stdin.close()
        self._process.wait()

    def _line(self) -> str:
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit("a contender's process has ended; its error stands above")
        return line.strip()


def serve(acts: dict[str, Callable], times: int, say: str = "") -> None:
    """In the process of a worker: warm up, say a line, then do what each line names."""
    for act in acts.values():
        for _ in range(WARM_UP):
            act()
    print(say, flush=True)
    for line in sys.stdin:
        act, start = acts[line.strip()], time.perf_counter()
        for _ in range(times):
            act()
        print((time.perf_counter() - start) / times, flush=True)


def take_turns(workers: dict, rounds: int, what: str = "") -> dict:
    """Contender -> seconds of one call in each round."""
    seconds = {name: [] for name in workers}
    for _ in range(rounds):
        for name, worker in workers.items():
            seconds[name].append(worker.turn(what))
    return seconds


def fastest(seconds: dict, names: list) -> str:
    """The one of these contenders with the least median."""
    return min(names, key=lambda name: statistics.median(seconds[name]))


def ratio(seconds: dict, ours, theirs) -> dict[str, float]:
    """How many times as fast ours is, round by round: median, lowest and highest."""
    ratios = [other / own for own, other in zip(seconds[ours], seconds[theirs], strict=True)]
    return {
        "ratio": round(statistics.median(ratios), 3),
        "lowest": round(min(ratios), 3),
        "highest": round(max(ratios), 3),
    }
