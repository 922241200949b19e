"""Worker processes that open videos, so that a file which crashes or hangs a decoder costs one clip only.

A worker is a plain `python -m zsar_lab.data.workers <module>:<function> <MB>` that reads tasks and writes
answers as json lines. Unlike multiprocessing (and pools built on it) it never imports the caller's main
module nor forks the caller, so scripts without a main guard and notebooks are safe; it ends by itself within
a second or two when its parent is gone. This module and those of the jobs stay light: each worker imports them.
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
        ending: called before the workers are ended, also after a failure; it must let go whoever waits inside
            `tasks`.

    Raises:
        ValueError: a job that cannot be imported elsewhere (at the call already).
        RuntimeError: a worker cannot be started at all.
        OSError: a worker found the disk full; the tasks that were answered are done.
    """
    name = f"{job.__module__}:{job.__qualname__}"
    if job.__module__ == "__main__" or "." in job.__qualname__:
        raise ValueError(f"a job must be a function at the top of an importable module, got {name}")
    return _answers(f"{job.__module__}:{job.__name__}", tasks, n_tasks, limits, ending)


def _answers(
    job: str, tasks: Iterable[dict], n_tasks: int, limits: Limits, ending: Callable[[], None]
) -> Generator[Answer, None, None]:
    answers: queue.SimpleQueue = queue.SimpleQueue()
    numbered, lock = iter(enumerate(tasks)), threading.Lock()

    def take() -> tuple[int, dict] | None:
        with lock:
            return next(numbered, None)

    crews = [_Crew(job, take, answers, limits) for _ in range(min(limits.workers, n_tasks))]
    try:
        for crew in crews:
            crew.start()
        for _ in range(n_tasks):
            answer = answers.get()
            if isinstance(answer, Exception):
                raise answer
            if answer.disk_full:
                raise OSError(
                    f"the disk must have room for what is written, but it is full ({answer.reason}); "
                    "free some and run again to go on"
                )
            yield answer
    finally:
        ending()
        for crew in crews:
            crew.stop()


class _Crew(threading.Thread):
    """Keeps one worker process at work, and starts another when it died or was ended."""

    def __init__(
        self,
        job: str,
        take: Callable[[], tuple[int, dict] | None],
        answers: queue.SimpleQueue,
        limits: Limits,
    ) -> None:
        super().__init__(daemon=True)
        self.job, self.take, self.answers, self.limits = job, take, answers, limits
        self.process: subprocess.Popen | None = None
        self.stopped, self.lock = threading.Event(), threading.Lock()

    def stop(self) -> None:
        with self.lock:
            self.stopped.set()
            if self.process is not None:
                self.process.kill()
        if self.ident is not None:
            self.join()

    def run(self) -> None:
        try:
            while not self.stopped.is_set() and (task := self.take()) is not None:
                if self.process is None and not self._begin():
                    return
                self.answers.put(self._ask(*task))
        except Exception as error:  # handed to the caller's thread, which raises it
            self.answers.put(error)
        finally:
            self._end()

    def _begin(self) -> bool:
        self.stderr = tempfile.TemporaryFile()
        with self.lock:
            if self.stopped.is_set():
                return False
            self.process = subprocess.Popen(
                [sys.executable, "-P", "-m", "zsar_lab.data.workers", self.job, str(self.limits.memory_mb)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self.stderr,
                env=os.environ | {"PYTHONPATH": os.pathsep.join(folder for folder in sys.path if folder)},
                start_new_session=True,  # Ctrl-C is for the parent, which ends its workers in order
            )
        line, _ = self._readline(START_LIMIT_S)
        if not line and not self.stopped.is_set():
            self.stderr.seek(0)
            said = self.stderr.read().decode(errors="replace").strip().splitlines() or ["it said nothing"]
            raise RuntimeError(
                f"a worker process must start with '{sys.executable}', but it ended: {said[-1]}"
            )
        return bool(line)

    def _readline(self, limit_s: float) -> tuple[bytes, bool]:
        """The worker's next line (empty if it died or was ended), and whether it was ended for being late."""
        process = self.process
        with Selector() as selector:
            selector.register(process.stdout, selectors.EVENT_READ)
            late = not selector.select(limit_s)
        if late:
            process.kill()
        return process.stdout.readline(), late

    def _ask(self, index: int, task: dict) -> Answer:
        try:
            self.process.stdin.write(json.dumps(task).encode() + b"\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            pass  # the worker is dead: the empty line below says so
        line, late = self._readline(self.limits.timeout_s)
        if not line.endswith(b"\n"):
            code = self._end()
            how = f"took longer than {self.limits.timeout_s:g} s"
            how = how if late else f"ended its worker process (exit code {code})"
            return Answer(index, None, f"'{task.get('path')}' {how}", ended=True)
        said = json.loads(line)
        if said.pop("spent") or late:
            self._end()
        return Answer(index, **said)

    def _end(self) -> int | None:
        with self.lock:
            process, self.process = self.process, None
        if process is None:
            return None
        for pipe in (process.stdin, process.stdout):
            try:
                pipe.close()
            except BrokenPipeError:
                pass
        try:
            code = process.wait(timeout=1.0)
        except subprocess.TimeoutExpired:
            process.kill()
            code = process.wait()
        self.stderr.close()
        return code


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
