"""Jobs in several processes: who waits for whom, and what happens when one of them ends."""

import json
import os
import subprocess
import sys
import time
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

from datasets.errors import InputError
from models.commands.pool import WorkerEndedError, Workers, all_done, completed

ROOT = Path(__file__).resolve().parents[1]
WORKER = """
import os, signal, sys, time
from pathlib import Path
sys.path.insert(0, {root!r})
from datasets.errors import InputError
from models.commands.pool import serve

def answer(question):
    print("this must not mix with the answers")
    os.system("echo nor this")
    known = question.get("kill_unless")
    once = known and not Path(known).exists()
    for name in question.get("write", []):
        Path(name).touch()
    if once:
        os.kill(os.getpid(), signal.SIGKILL)
    if question.get("kill"):
        os.kill(os.getpid(), signal.SIGKILL)
    if question.get("mistake"):
        raise InputError(question["mistake"])
    for name in question.get("await", []):
        while not Path(name).exists():
            time.sleep(0.01)
    return {{"process": os.getpid(), "threads": os.environ["OMP_NUM_THREADS"]}}

serve(answer)
"""
COMMAND = [sys.executable, "-c", WORKER.format(root=str(ROOT))]


def done(result=None):
    future = Future()
    future.set_result(result)
    return future


def test_a_job_begins_when_those_that_it_needs_are_done():
    needs = {"a": [], "b": ["a"], "c": ["a", "b"], "d": []}
    begun = []

    def begin(job):
        begun.append(job)
        return done(job.upper())

    found = []
    for job, result in completed(needs, begin, 1):
        assert result == job.upper()
        assert set(needs[job]) <= set(found)
        found.append(job)
    assert begun == found == ["a", "b", "c", "d"]


def test_no_more_jobs_are_under_way_than_wanted_and_none_waits_without_need():
    futures, begun = {}, []

    def begin(job):
        begun.append(job)
        futures[job] = Future()
        return futures[job]

    results = completed({"a": [], "b": ["a"], "c": [], "d": []}, begin, 2)
    with ThreadPoolExecutor(1) as other:
        first = other.submit(next, results)
        until(lambda: len(begun) == 2)
        assert begun == ["a", "c"]  # b needs a, and d would be the third
        futures["c"].set_result(1)
        assert first.result(5) == ("c", 1)
        second = other.submit(next, results)
        until(lambda: len(begun) == 3)
        assert begun == ["a", "c", "d"]
        futures["a"].set_result(2)
        assert second.result(5) == ("a", 2)


def test_an_error_of_a_job_is_raised():
    future = Future()
    future.set_exception(InputError("no such thing"))
    with pytest.raises(InputError, match="no such thing"):
        list(completed({"a": []}, lambda _: future, 2))


def test_two_processes_work_at_the_same_time_and_are_kept(tmp_path):
    one, other = str(tmp_path / "one"), str(tmp_path / "other")
    with Workers(COMMAND, 2) as workers:
        # Each waits for what the other writes.
        pair = [
            workers.ask({"write": [one], "await": [other]}),
            workers.ask({"write": [other], "await": [one]}),
        ]
        processes = {future.result(20)["process"] for future in pair}
        assert len(processes) == 2
        assert workers.ask({}).result(20)["process"] in processes
    for process in processes:
        with pytest.raises(ProcessLookupError):
            os.kill(process, 0)


def test_each_process_has_its_share_of_the_cores_unless_the_user_says_more(monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr("models.commands.pool.threads", lambda: 8)
    with Workers(COMMAND, 2) as workers:
        assert workers.ask({}).result(20)["threads"] == "4"
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    with Workers(COMMAND, 2) as workers:
        assert workers.ask({}).result(20)["threads"] == "3"


def test_a_mistake_comes_back_and_the_process_goes_on():
    with Workers(COMMAND, 1) as workers:
        with pytest.raises(InputError, match="no such column"):
            workers.ask({"mistake": "no such column"}).result(20)
        assert workers.ask({}).result(20)["process"]


def test_what_a_killed_process_was_asked_is_asked_again(tmp_path):
    begun = tmp_path / "begun"
    with Workers(COMMAND, 1) as workers:
        found = workers.ask({"write": [str(begun)], "kill_unless": str(begun)}).result(40)
        assert found["process"] and begun.exists()


def test_a_process_that_is_killed_twice_over_one_question_is_an_error_with_its_signal():
    with Workers(COMMAND, 1) as workers:
        with pytest.raises(WorkerEndedError, match="killed by signal 9") as caught:
            workers.ask({"kill": True}).result(20)
        assert caught.value.code == -9
        assert workers.ask({}).result(20)["process"]
    failed = Future()
    failed.set_exception(caught.value)
    with pytest.raises(InputError, match="twice: give the same command again"):
        list(all_done({"a": []}, lambda _: failed, 1))


@pytest.mark.slow
def test_a_cluster_of_ray_is_asked_by_the_same_code(monkeypatch, tmp_path):
    ray = pytest.importorskip("ray")
    monkeypatch.setenv("RAY_ADDRESS", "local")
    one, other = str(tmp_path / "one"), str(tmp_path / "other")
    try:
        with Workers(COMMAND, 2) as workers:
            pair = [
                workers.ask({"write": [one], "await": [other]}),
                workers.ask({"write": [other], "await": [one]}),
            ]
            assert len({future.result(120)["process"] for future in pair}) == 2
            with pytest.raises(InputError, match="no such column"):
                workers.ask({"mistake": "no such column"}).result(60)
            begun = tmp_path / "begun"
            question = {"write": [str(begun)], "kill_unless": str(begun)}
            process = workers.ask(question).result(60)["process"]
            with pytest.raises(WorkerEndedError, match="killed by signal 9"):
                workers.ask({"kill": True}).result(60)
        until(lambda: not Path(f"/proc/{process}").exists())
    finally:
        ray.shutdown()


def test_a_cluster_without_ray_is_one_line(monkeypatch):
    monkeypatch.setenv("RAY_ADDRESS", "auto")
    monkeypatch.setattr("models.commands.pool.find_spec", lambda name: None)
    with pytest.raises(InputError, match="Ray is not installed"):
        Workers(COMMAND, 1)


def test_an_interruption_ends_processes_that_are_busy(tmp_path):
    begun = tmp_path / "begun"
    with pytest.raises(KeyboardInterrupt), Workers(COMMAND, 1) as workers:
        workers.ask({"write": [str(begun)], "await": [str(tmp_path / "never")]})
        until(begun.exists)
        raise KeyboardInterrupt


def test_a_busy_process_does_not_outlive_the_one_that_asks(tmp_path):
    begun = tmp_path / "begun"
    asked = json.dumps({"write": [str(begun)], "await": [str(tmp_path / "never")]})
    worker = subprocess.Popen(COMMAND, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    with worker:
        worker.stdin.write(asked + "\n")
        worker.stdin.flush()
        until(begun.exists)
        worker.stdin.close()
        assert worker.wait(20) == 0
        assert worker.stdout.read() == ""


def until(happened):
    end = time.monotonic() + 20
    while not happened():
        assert time.monotonic() < end
        time.sleep(0.01)
