"""zsar_lab.data.workers: a worker that crashes, hangs, fails or takes too much memory costs one task."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import closing
from pathlib import Path

import pytest
from numbered_videos import ONE, REPOSITORY

from zsar_lab.data.workers import Limits, run_tasks

ON_LINUX = pytest.mark.skipif(sys.platform != "linux", reason="Linux bounds memory and shows processes so")
FULL = pytest.mark.skipif(not Path("/dev/full").exists(), reason="a device that is always full is needed")

ODD_JOB = """
import os, time
kept = []
def odd_job(task):
    kept.append(bytearray(task.get('keep_mb', 0) * 1_000_000))
    print('noise on stdout')
    os.system('echo noise of a child')
    time.sleep(task.get('sleep_s', 0))
    bytearray(task.get('size_mb', 0) * 1_000_000)
    if 'write_to' in task:
        open(task['write_to'], 'wb', buffering=0).write(b'x')
    if 'signal' in task:
        os.kill(os.getpid(), task['signal'])
    if 'error' in task:
        raise RuntimeError(task['error'])
    return {'process': os.getpid()}
"""


@pytest.fixture
def job(tmp_path, monkeypatch):
    """A job that sleeps, dies or raises, as its task says, and else answers with its process number."""
    (tmp_path / "odd_job.py").write_text(ODD_JOB)
    monkeypatch.syspath_prepend(tmp_path)
    import odd_job

    yield odd_job.odd_job
    del sys.modules["odd_job"]


def is_there(process: int) -> bool:
    return Path(f"/proc/{process}").exists()


def test_a_worker_that_crashes_hangs_or_fails_costs_one_task(job):
    tasks = [{"path": str(number)} for number in range(8)]
    tasks[1] |= {"sleep_s": 60}
    tasks[3] |= {"signal": int(signal.SIGSEGV)}
    tasks[5] |= {"error": "two\nlines"}
    with closing(run_tasks(job, tasks, len(tasks), Limits(timeout_s=1.5))) as found:
        answers = sorted(found, key=lambda answer: answer.index)
    assert [answer.index for answer in answers] == list(range(8))
    assert {answer.index: answer.reason for answer in answers if answer.result is None} == {
        1: "'1' took longer than 1.5 s",
        3: "'3' ended its worker process (exit code -11)",
        5: "RuntimeError: two lines",
    }
    assert [answer.index for answer in answers if answer.ended] == [1, 3]
    processes = {answer.result["process"] for answer in answers if answer.result}
    assert os.getpid() not in processes and not [process for process in processes if is_there(process)]


def test_leaving_early_ends_the_workers(job):
    tasks = [{"path": "0"}] + [{"path": "1", "sleep_s": 60}] * 3
    with closing(run_tasks(job, tasks, len(tasks), Limits(timeout_s=50.0))) as found:
        process = next(found).result["process"]
        assert is_there(process)
    assert not is_there(process)


def test_a_job_that_workers_cannot_import_or_start_is_an_error_not_a_hang(job, monkeypatch):
    with pytest.raises(ValueError, match="<lambda>"):
        run_tasks(lambda task: task, [{}], 1, Limits())
    monkeypatch.setattr(job, "__name__", "no_such_function")
    with pytest.raises(RuntimeError, match="no_such_function"):
        list(run_tasks(job, [{"path": "0"}], 1, Limits(1, 1.0)))


@ON_LINUX
def test_a_task_that_needs_too_much_memory_is_answered_and_the_worker_lives_on(job):
    tasks = [{"path": "small", "size_mb": 50}, {"path": "large", "size_mb": 600}, {"path": "after"}]
    answers = list(run_tasks(job, tasks, 3, Limits(workers=1, memory_mb=300)))
    large = "'large' needs more than the 300 MB that a worker may use"
    assert [answer.reason for answer in answers] == ["", large, ""]
    assert answers[0].result == answers[2].result and not any(answer.ended for answer in answers)


@ON_LINUX
def test_what_a_task_leaves_behind_is_not_put_upon_the_next(job):
    tasks = [{"path": str(mb), "keep_mb": mb} for mb in (0, 50, 180)] + [{"path": "large", "size_mb": 200}]
    answers = list(run_tasks(job, tasks, 4, Limits(workers=1, memory_mb=300)))
    assert [answer.reason for answer in answers] == [""] * 4
    first, second, third, fourth = (answer.result["process"] for answer in answers)
    assert first == second == third != fourth


@FULL
def test_a_failure_ends_workers_whose_tasks_are_held_up(job):
    free = threading.Event()

    def tasks():
        yield {"path": "0", "write_to": "/dev/full"}
        assert free.wait(60)

    with pytest.raises(OSError, match="it is full"):
        list(run_tasks(job, tasks(), 2, Limits(workers=2), ending=free.set))


@FULL
def test_a_full_disk_ends_the_job_and_is_no_fault_of_the_task(job):
    tasks = [{"path": "0"}, {"path": "1", "write_to": "/dev/full"}, {"path": "2"}]
    with pytest.raises(OSError, match="it is full .*'1': No space left"):
        list(run_tasks(job, tasks, 3, ONE))
    absent = list(run_tasks(job, [{"path": "3", "write_to": "/no/such/place"}], 1, Limits()))
    assert absent[0].reason == "'3': No such file or directory" and not absent[0].disk_full


PARENT = """
from odd_job import odd_job
from zsar_lab.data.workers import Limits, run_tasks
for answer in run_tasks(odd_job, [{'path': '0'}, {'path': '1', 'sleep_s': 60}], 2, Limits(workers=1)):
    print(answer.result['process'], flush=True)
"""


@ON_LINUX
def test_a_worker_in_a_task_ends_when_its_parent_is_killed(job, tmp_path):
    environment = os.environ | {"PYTHONPATH": os.pathsep.join((str(tmp_path), str(REPOSITORY)))}
    command = [sys.executable, "-c", PARENT]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment) as parent:
        worker = int(parent.stdout.readline())
        parent.kill()
    until = time.monotonic() + 20
    while is_there(worker) and time.monotonic() < until:
        time.sleep(0.2)
    assert not is_there(worker)


def test_more_files_may_be_open_than_select_knows_of(job):
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    if before[1] < 2048:
        pytest.skip("so many files may not be opened here")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(before[0], 2048), before[1]))
    held = [open(os.devnull) for _ in range(1100)]
    try:
        assert len(list(run_tasks(job, [{"path": "0"}], 1, ONE))) == 1
    finally:
        for file in held:
            file.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_tasks_are_taken_as_they_are_needed(job):
    taken = []

    def tasks():
        for number in range(50):
            taken.append(number)
            yield {"path": str(number)}

    with closing(run_tasks(job, tasks(), 50, ONE)) as found:
        assert not taken
        next(found)
        assert len(taken) < 50
        assert len(list(found)) == 49 and taken == list(range(50))


@pytest.mark.parametrize(
    ("field", "value"),
    [("workers", 0), ("workers", 1.5), ("timeout_s", 0), ("timeout_s", float("nan")), ("memory_mb", 100)],
)
def test_limits_are_checked(field, value):
    with pytest.raises(ValueError, match=f"{field} must be .*, got {value}"):
        Limits(**{field: value})


def test_the_modules_of_the_jobs_stay_light():
    code = "import sys, zsar_lab.data.reading, zsar_lab.data.pixels; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, check=True)
    assert not {b"pandas", b"torch", b"av", b"decord"} & set(done.stdout.split())
