"""Jobs in several processes, each begun when those that it needs are done. Imports nothing heavy.

A process is a command that reads questions and writes answers, each a line of JSON, until nobody is
there to ask: see `serve`. Nothing is kept here of what was done; jobs leave it on disk.
"""

from __future__ import annotations

import json
import logging
import os
import queue
import signal
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
from functools import partial
from importlib.util import find_spec
from pathlib import Path

from datasets.errors import InputError
from datasets.picture_files import threads

RAY = "RAY_ADDRESS"  # the variable by which Ray itself is told of its cluster
ROOT = Path(__file__).parents[2]
RUN_PY = ROOT / "run.py"

log = logging.getLogger("menagerie")


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


def all_done(needs: dict[Hashable, list], begin: Callable, most: int) -> Iterator[tuple]:
    """What `completed` gives, of trainings that leave their runs on disk.

    Raises:
        InputError: a process was killed twice over the same training.
    """
    try:
        yield from completed(needs, begin, most)
    except WorkerEndedError as error:
        raise InputError(
            f"{error}, twice: give the same command again, which keeps what is finished; if the "
            "memory was too small, with fewer --processes"
        ) from None


class WorkerEndedError(Exception):
    """A process has ended in the middle of its work.

    Attributes:
        code: its exit code; negative for the number of the signal that ended it.
    """

    def __init__(self, code: int):
        how = f"was killed by signal {-code}" if code < 0 else "broke off"
        super().__init__(f"a process that trained {how}")
        self.code = code

    def __reduce__(self):  # from another machine
        return type(self), (self.code,)


class Workers:
    """Processes that are asked one thing after another, started when they are first needed.

    With it, `ask`; whatever happens, none of them goes on when it ends. They are processes of this
    machine, or, where `RAY_ADDRESS` names a cluster of Ray (`auto`: the one that this machine
    belongs to), of any machine of it; there the project and what it reads and writes must lie in
    the same places.

    Args:
        command: of a process that calls `serve`.
        count: of processes.

    Raises:
        InputError: a cluster is named, and Ray is not installed or does not reach it.
    """

    def __init__(self, command: list[str], count: int):
        self._count = count
        self._begin = _on_ray(command, count) if os.environ.get(RAY) else partial(_Here, command)
        self._askers = ThreadPoolExecutor(count)
        self._started, self._idle, self._over = [], [], False
        self._starting = threading.Lock()

    def __enter__(self) -> Workers:
        return self

    def __exit__(self, *_) -> None:
        with self._starting:
            self._over = True
        for worker in self._started:
            worker.end()
        self._askers.shutdown(cancel_futures=True)

    def ask(self, question: dict) -> Future:
        """The answer, a dictionary, in time. A process that is killed is replaced, once a question.

        Its result raises `WorkerEndedError`, or `InputError` where the process has raised that.
        """
        return self._askers.submit(self._ask, question)

    def _ask(self, question: dict) -> dict:
        try:
            answer = self._ask_once(question)
        except WorkerEndedError as error:
            if self._over:
                raise
            log.warning("%s in the middle of its work, which is done again", error)
            answer = self._ask_once(question)
        if "error" in answer:
            raise InputError(answer["error"])
        return answer

    def _ask_once(self, question: dict) -> dict:
        try:
            worker = self._idle.pop()
        except IndexError:
            worker = self._start()
        try:
            answer = worker.ask(question)
        except WorkerEndedError:
            self._started.remove(worker)
            worker.end()  # what it held, such as cores of a cluster, is free for the next one
            raise
        self._idle.append(worker)
        return answer

    def _start(self):
        with self._starting:
            if self._over:
                raise CancelledError
            worker = self._begin(max(1, threads() // self._count))
            self._started.append(worker)
        return worker


class _Here:
    """A process of this machine.

    Args:
        command: that calls `serve`.
        cores: that it may use, unless the user has said otherwise.
    """

    def __init__(self, command: list[str], cores: int):
        share = {
            "OMP_NUM_THREADS": str(cores),
            "TF_NUM_INTRAOP_THREADS": str(cores),
            "TF_FORCE_GPU_ALLOW_GROWTH": "true",
            "TQDM_DISABLE": "1",
        }
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=share | os.environ,
            process_group=0,  # Ctrl-C is for the asking process, which ends the others
        )

    def ask(self, question: dict) -> dict:
        try:
            self._process.stdin.write(json.dumps(question) + "\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line.endswith("\n"):
            raise WorkerEndedError(self._process.wait())
        return json.loads(line)

    def end(self) -> None:
        self._process.terminate()
        self._process.wait()
        self._process.stdin.close()
        self._process.stdout.close()


class _OnRay:
    """A process of some machine of a cluster, behind an actor of Ray.

    Args:
        actor: handle of a remote `_Here`.
    """

    def __init__(self, actor):
        self._actor = actor

    def ask(self, question: dict) -> dict:
        import ray

        try:
            return ray.get(self._actor.ask.remote(question))
        except ray.exceptions.RayTaskError as error:
            raise error.cause from None
        except ray.exceptions.RayActorError:  # its machine is gone
            raise WorkerEndedError(-signal.SIGKILL) from None

    def end(self) -> None:
        import ray

        ray.kill(self._actor)  # the process behind it then has nobody who asks, and ends


def _on_ray(command: list[str], count: int) -> Callable:
    """How to begin one of several processes on the cluster that `RAY_ADDRESS` names."""
    if find_spec("ray") is None:
        raise InputError(
            f'{RAY} names a cluster, and Ray is not installed: pip install -e ".[cluster]", or '
            f"unset {RAY} to stay on this machine"
        )
    import ray

    if not ray.is_initialized():
        here = {"env_vars": {"PYTHONPATH": str(ROOT)}}
        try:
            ray.init(os.environ[RAY], runtime_env=here, logging_level=logging.ERROR)
        except ConnectionError as error:
            raise InputError(
                f"{RAY}={os.environ[RAY]}: no cluster answers there ({error}): start one with "
                f"ray start --head, or unset {RAY}"
            ) from None
    there = ray.cluster_resources()
    cores = max(1, int(there.get("CPU", 1)) // count)
    needed = {"num_cpus": cores, "num_gpus": there.get("GPU", 0) / count}
    remote = ray.remote(**needed)(_Here)
    return lambda _: _OnRay(remote.remote(command, cores))


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
