"""Worker processes that open videos, so that a file which crashes or hangs a decoder costs one clip only.

A worker is a plain `python -m zsar_lab.data.workers <module>:<function> <MB>` that reads tasks and writes
answers as json lines. Unlike multiprocessing, and pools built on it, it neither imports the caller's main
module nor forks the caller, so scripts without a main guard and notebooks are safe; it ends by itself when
its parent is gone. This module and those of the jobs stay light: each worker imports them.
"""

from __future__ import annotations

import errno
import importlib
import json
import os
import queue
import selectors
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass

START_LIMIT_S = 120.0
LEAST_MEMORY_MB = 256
SPENT_SHARE = 0.75  # of its memory that a worker may still hold between two tasks
# poll knows no limit of open files, as select does, and opens none itself, as epoll does
Selector = getattr(selectors, "PollSelector", selectors.DefaultSelector)


@dataclass(frozen=True)
class Limits:
    """What the worker processes may use.

    Attributes:
        workers: processes at the same time, 1 or more; results do not depend on it.
        timeout_s: a task that takes longer (seconds, above 0) is ended and answered with a reason.
        memory_mb: the memory a worker may ask for (MB, 256 or more; not where the system knows no such limit,
            as macOS and Windows). All workers together stay below workers * memory_mb.
    """

    workers: int = 2
    timeout_s: float = 60.0
    memory_mb: int = 2000

    def __post_init__(self) -> None:
        for name, least in (("workers", 1), ("memory_mb", LEAST_MEMORY_MB)):
            value = getattr(self, name)
            if int(value) != value or value < least:
                raise ValueError(f"{name} must be a whole number of {least} or more, got {value}")
        if not self.timeout_s > 0:
            raise ValueError(f"timeout_s must be above 0 seconds, got {self.timeout_s}")


@dataclass(frozen=True)
class Answer:
    """What became of task number `index`: its `result`, or None and the `reason` in one sentence.

    `ended` tells that the worker took too long or died, so that another try may end otherwise; `disk_full`
    that nothing more can be written, which is no fault of the task.
    """

    index: int
    result: dict | None
    reason: str
    ended: bool = False
    disk_full: bool = False


def run_tasks(
    job: Callable[[dict], dict],
    tasks: Iterable[dict],
    n_tasks: int,
    limits: Limits,
    ending: Callable[[], None] = lambda: None,
) -> Generator[Answer, None, None]:
    """Run one job over all tasks in worker processes and yield the answers as they come (in any order).

    Close the iterator (contextlib.closing) when leaving it early: that ends the workers at once.

    Args:
        job: a function at the top of an importable module, from a json-ready dict to another; exceptions
            become reasons.
        tasks: the job's arguments, taken one by one as workers become free; messages name task["path"].
        n_tasks: how many tasks there are.
        limits: of the workers.
        ending: called before the workers are ended; it must let go whoever waits inside `tasks`.

    Raises:
        ValueError: a job that cannot be imported elsewhere (at the call already).
        RuntimeError, OSError: a worker cannot be started at all, or found the disk full.
    """
    name = f"{job.__module__}:{job.__name__}"
    if job.__module__ == "__main__" or "." in job.__qualname__:
        raise ValueError(f"a job must be a function at the top of an importable module, got {name}")
    return _answers(name, tasks, n_tasks, limits, ending)


def _answers(
    job: str, tasks: Iterable[dict], n_tasks: int, limits: Limits, ending: Callable[[], None]
) -> Generator[Answer, None, None]:
    pool = _Pool(job, tasks, limits)
    threads = [threading.Thread(target=pool.work, daemon=True) for _ in range(min(limits.workers, n_tasks))]
    try:
        for thread in threads:
            thread.start()
        for _ in range(n_tasks):
            answer = pool.answers.get()
            if isinstance(answer, Exception):
                raise answer
            if answer.disk_full:
                raise OSError(f"the disk must have room, but it is full ({answer.reason})")
            yield answer
    finally:
        ending()
        pool.stop()
        for thread in threads:
            if thread.ident is not None:
                thread.join()


class _Worker:
    """A worker process, and lines to and from it."""

    def __init__(self, job: str, memory_mb: int) -> None:
        self.stderr = tempfile.TemporaryFile()
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-m", "zsar_lab.data.workers", job, str(memory_mb)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.stderr,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(folder for folder in sys.path if folder)},
            start_new_session=True,  # Ctrl-C is for the parent, which ends its workers in order
        )
        assert self.process.stdin and self.process.stdout
        self.stdin, self.stdout = self.process.stdin, self.process.stdout

    def readline(self, limit_s: float) -> tuple[bytes, bool]:
        """The next line (empty if the process died or was ended), and whether it was ended for being late."""
        with Selector() as selector:
            selector.register(self.stdout, selectors.EVENT_READ)
            late = not selector.select(limit_s)
        if late:
            self.process.kill()
        return self.stdout.readline(), late

    def ask(self, task: dict, limit_s: float) -> tuple[bytes, bool]:
        try:
            self.stdin.write(json.dumps(task).encode() + b"\n")
            self.stdin.flush()
        except BrokenPipeError:
            pass  # the worker is dead: an empty line says so
        return self.readline(limit_s)

    def end(self) -> int:
        for pipe in (self.stdin, self.stdout):
            try:
                pipe.close()
            except BrokenPipeError:
                pass
        try:
            self.process.wait(timeout=1.0)
        except subprocess.TimeoutExpired:
            self.process.kill()
        self.stderr.close()
        return self.process.wait()


class _Pool:
    """Threads that each keep one worker at work, and start another when it died or was ended."""

    def __init__(self, job: str, tasks: Iterable[dict], limits: Limits) -> None:
        self.job, self.limits = job, limits
        self.tasks, self.taking = iter(enumerate(tasks)), threading.Lock()
        self.answers: queue.SimpleQueue[Answer | Exception] = queue.SimpleQueue()
        self.running: set[_Worker] = set()
        self.stopped, self.lock = False, threading.Lock()

    def stop(self) -> None:
        with self.lock:
            self.stopped = True
            for worker in self.running:
                worker.process.kill()

    def work(self) -> None:
        worker = None
        try:
            while not self.stopped:
                with self.taking:
                    numbered = next(self.tasks, None)
                if numbered is None or (worker := worker or self._start()) is None:
                    return
                answer, spent = self._answer(worker, *numbered)
                worker = worker if not spent else None
                self.answers.put(answer)
        except Exception as error:  # handed to the caller's thread, which raises it
            self.answers.put(error)
        finally:
            if worker:
                self._end(worker)

    def _start(self) -> _Worker | None:
        with self.lock:
            if self.stopped:
                return None
            worker = _Worker(self.job, self.limits.memory_mb)
            self.running.add(worker)
        if not worker.readline(START_LIMIT_S)[0] and not self.stopped:
            worker.stderr.seek(0)
            said = worker.stderr.read().decode(errors="replace").strip().splitlines() or ["it said nothing"]
            self._end(worker)
            raise RuntimeError(f"a worker process must start with '{sys.executable}', but ended: {said[-1]}")
        return worker

    def _answer(self, worker: _Worker, index: int, task: dict) -> tuple[Answer, bool]:
        """What a worker says of a task, and whether it was ended after it."""
        line, late = worker.ask(task, self.limits.timeout_s)
        if line.endswith(b"\n"):
            said = json.loads(line)
            if spent := said.pop("spent") or late:
                self._end(worker)
            return Answer(index, **said), spent
        code = self._end(worker)
        how = f"took longer than {self.limits.timeout_s:g} s"
        how = how if late else f"ended its worker process (exit code {code})"
        return Answer(index, None, f"'{task.get('path')}' {how}", ended=True), True

    def _end(self, worker: _Worker) -> int:
        with self.lock:
            self.running.discard(worker)
        return worker.end()


def serve(job: str, memory_mb: int) -> None:
    """The life of a worker process for the job `<module>:<function>`: tasks from stdin, answers to stdout."""
    threading.Thread(target=_end_without_parent, args=[os.getppid()], daemon=True).start()
    if sys.platform == "linux":  # private memory; a file mapped from disk does not count
        import resource

        resource.setrlimit(resource.RLIMIT_DATA, (memory_mb * 1_000_000, memory_mb * 1_000_000))
    module, name = job.split(":")
    function = getattr(importlib.import_module(module), name)
    answers = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)  # what C libraries print must not mix with the answers
    answers.write(b"ready\n")
    for line in sys.stdin.buffer:
        task = json.loads(line)
        answer = _answer(function, task, memory_mb) | {"spent": _held_bytes() > SPENT_SHARE * memory_mb * 1e6}
        answers.write(json.dumps(answer).encode() + b"\n")


def _answer(function: Callable[[dict], dict], task: dict, memory_mb: int) -> dict:
    path = f"'{task.get('path')}'"
    try:
        return {"result": function(task), "reason": ""}
    except MemoryError:
        reason, full = f"{path} needs more than the {memory_mb} MB that a worker may use", False
    except OSError as error:
        reason, full = f"{path}: {error.strerror or error}", error.errno in (errno.ENOSPC, errno.EDQUOT)
    except Exception as error:  # the boundary of the process: every reason goes to the parent
        kind = "" if isinstance(error, ValueError) else f"{type(error).__name__}: "
        reason, full = " ".join(f"{kind}{error}".split()), False
    return {"result": None, "reason": reason, "disk_full": full}


def _end_without_parent(parent: int) -> None:
    """End this process when its parent is gone: a decoder that hangs would never ask for another task."""
    while os.getppid() == parent:
        time.sleep(1.0)
    os._exit(1)


def _held_bytes() -> int:
    """The private memory that earlier tasks left behind: with too much of it the next might fail."""
    if sys.platform != "linux":
        return 0
    with open("/proc/self/status") as status:
        return next((int(line.split()[1]) * 1024 for line in status if line.startswith("VmData:")), 0)


if __name__ == "__main__":
    serve(sys.argv[1], int(sys.argv[2]))
