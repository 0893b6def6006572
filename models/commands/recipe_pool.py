"""Jobs in several processes, each begun when those that it needs are done. Imports nothing heavy.

A process is a command that reads questions and writes answers, each a line of JSON, until nobody is
there to ask: see `serve`. Nothing is kept here of what was done; jobs leave it on disk.
"""

from __future__ import annotations

import json
import os
import queue
import subprocess
import threading
from collections.abc import Callable, Hashable, Iterator
from concurrent.futures import (
    FIRST_COMPLETED,
    CancelledError,
    Future,
    ThreadPoolExecutor,
    wait,
)

from datasets.errors import InputError
from datasets.picture_files import threads


def completed(needs: dict[Hashable, list], begin: Callable, most: int) -> Iterator[tuple]:
    """Jobs with their results, in the order in which they are done.

    Args:
        needs: job -> jobs that must be done before it begins, all of them in this dictionary;
            of those that may begin, the first ones do.
        begin: job -> `concurrent.futures.Future` of its result.
        most: jobs that are under way at a time.
    """
    waiting, running = dict(needs), {}
    while waiting or running:
        unfinished = waiting.keys() | running.values()
        free = [job for job, needed in waiting.items() if unfinished.isdisjoint(needed)]
        for job in free[: most - len(running)]:
            del waiting[job]
            running[begin(job)] = job
        for future in wait(running, return_when=FIRST_COMPLETED).done:
            yield running.pop(future), future.result()


class WorkerEndedError(Exception):
    """A process has ended in the middle of its work.

    Attributes:
        code: its exit code; negative for the number of the signal that ended it.
    """

    def __init__(self, code: int):
        super().__init__(f"the process ended with code {code}")
        self.code = code


class Workers:
    """Processes that are asked one thing after another, started when they are first needed.

    With it, `ask`; whatever happens, none of them goes on when it ends.

    Args:
        command: of a process that calls `serve`.
        count: of processes.
    """

    def __init__(self, command: list[str], count: int):
        self._command, self._count = command, count
        self._askers = ThreadPoolExecutor(count)
        self._started, self._idle, self._over = [], [], False
        self._starting = threading.Lock()

    def __enter__(self) -> Workers:
        return self

    def __exit__(self, *_) -> None:
        with self._starting:
            self._over = True
        for worker in self._started:
            worker.terminate()
        self._askers.shutdown(cancel_futures=True)
        for worker in self._started:
            worker.wait()
            worker.stdin.close()
            worker.stdout.close()

    def ask(self, question: dict) -> Future:
        """The answer, a dictionary, in time.

        Its result raises `WorkerEndedError`, or `InputError` where the process has raised that.
        """
        return self._askers.submit(self._ask, question)

    def _ask(self, question: dict) -> dict:
        try:
            worker = self._idle.pop()
        except IndexError:
            worker = self._start()
        try:
            worker.stdin.write(json.dumps(question) + "\n")
            worker.stdin.flush()
            line = worker.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line.endswith("\n"):
            raise WorkerEndedError(worker.wait())
        self._idle.append(worker)
        answer = json.loads(line)
        if "error" in answer:
            raise InputError(answer["error"])
        return answer

    def _start(self) -> subprocess.Popen:
        with self._starting:
            if self._over:
                raise CancelledError
            worker = subprocess.Popen(
                self._command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                env=self._surroundings(),
                process_group=0,  # Ctrl-C is for the asking process, which ends the others
            )
            self._started.append(worker)
        return worker

    def _surroundings(self) -> dict[str, str]:
        """Each process has its share of the cores and no bars; what the user has set stays."""
        share = str(max(1, threads() // self._count))
        return {
            "OMP_NUM_THREADS": share,
            "TF_NUM_INTRAOP_THREADS": share,
            "TF_FORCE_GPU_ALLOW_GROWTH": "true",
            "TQDM_DISABLE": "1",
        } | os.environ


def serve(answer: Callable[[dict], dict]) -> None:
    """Answer questions from standard input on standard output until the asking process is gone.

    What `answer` prints goes to standard error. Where it raises `InputError`, that is the answer.
    """
    asked = os.fdopen(os.dup(0))
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    questions = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(asked, questions), daemon=True).start()
    while True:
        try:
            found = answer(questions.get())
        except InputError as error:
            found = {"error": str(error)}
        answers.write(json.dumps(found) + "\n")
        answers.flush()


def _listen(asked, questions: queue.SimpleQueue) -> None:
    """Hand on every question; end the process, busy or not, when nobody asks any more.

    It would go on with a job that the next call begins anew.
    """
    for line in asked:
        questions.put(json.loads(line))
    os._exit(0)
