"""Worker processes that probe and decode videos, so that a file which crashes or hangs a decoder costs one clip only.

A worker is a plain `python -m zsar_lab.data.workers <module>:<function> <MB>` that reads tasks and writes
answers as json lines. Unlike multiprocessing it never imports the caller's main module, so scripts without a
main guard and notebooks are safe; it ends by itself within a second or two when its parent is gone. This
module and those of the jobs stay light because each worker imports them.
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
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass

START_LIMIT_S = 120.0
LEAST_MEMORY_MB = 256
# poll knows no limit of open files, as select does, and opens none itself, as epoll does
Selector = getattr(selectors, "PollSelector", selectors.DefaultSelector)
SPENT_SHARE = 0.75  # of its memory that a worker may still hold between two tasks


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
        if int(self.workers) != self.workers or self.workers < 1:
            raise ValueError(f"workers must be a whole number of 1 or more, got {self.workers}")
        if not self.timeout_s > 0:
            raise ValueError(f"timeout_s must be above 0 seconds, got {self.timeout_s}")
        if int(self.memory_mb) != self.memory_mb or self.memory_mb < LEAST_MEMORY_MB:
            raise ValueError(
                f"memory_mb must be a whole number of {LEAST_MEMORY_MB} or more, got {self.memory_mb}"
            )


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
        tasks: the job's arguments, one a task, taken one by one as workers become free; task["path"] is named
            in messages.
        n_tasks: how many tasks there are.
        limits: of the workers.
        ending: called before the workers are ended, also after a failure; it must let go whoever waits inside
            `tasks`.

    Raises:
        ValueError: a job that cannot be imported elsewhere (at the call already).
        RuntimeError: a worker cannot be started at all.
        OSError: a worker found the disk full; the tasks that were answered are done.
    """
    if job.__module__ == "__main__" or "." in job.__qualname__:
        raise ValueError(
            f"a job must be a function at the top of an importable module, got {job.__module__}.{job.__qualname__}"
        )
    return _answers(job, tasks, n_tasks, limits, ending)


def _answers(
    job: Callable[[dict], dict],
    tasks: Iterable[dict],
    n_tasks: int,
    limits: Limits,
    ending: Callable[[], None],
) -> Generator[Answer, None, None]:
    to_do = _Shared(enumerate(tasks))
    answers: queue.SimpleQueue = queue.SimpleQueue()
    crews = [_Crew(job, to_do, answers, limits) for _ in range(min(limits.workers, n_tasks))]
    try:
        for crew in crews:
            crew.thread.start()
        for _ in range(n_tasks):
            answer = answers.get()
            if isinstance(answer, Exception):
                raise answer
            if answer.disk_full:
                raise OSError(
                    f"the disk must have room for what is written, but it is full ({answer.reason}); free some and run again to go on"
                )
            yield answer
    finally:
        ending()
        for crew in crews:
            crew.stop()


class _Shared:
    """An iterator that several threads may take from."""

    def __init__(self, items: Iterator[tuple[int, dict]]) -> None:
        self.items, self.lock = items, threading.Lock()

    def take(self) -> tuple[int, dict] | None:
        with self.lock:
            return next(self.items, None)


class _Crew:
    """One thread that keeps one worker process at work and starts another when it died or was ended."""

    def __init__(
        self, job: Callable[[dict], dict], to_do: _Shared, answers: queue.SimpleQueue, limits: Limits
    ) -> None:
        self.job = f"{job.__module__}:{job.__name__}"
        self.to_do, self.answers, self.limits = to_do, answers, limits
        self.process: subprocess.Popen | None = None
        self.stopped = threading.Event()
        self.lock = threading.Lock()
        self.thread = threading.Thread(target=self._work, daemon=True)

    def stop(self) -> None:
        with self.lock:
            self.stopped.set()
            if self.process is not None:
                self.process.kill()
        if self.thread.ident is not None:
            self.thread.join()

    def _work(self) -> None:
        try:
            while not self.stopped.is_set() and (numbered := self.to_do.take()) is not None:
                if self.process is None and not self._start():
                    return
                self.answers.put(self._ask(*numbered))
        except Exception as error:  # handed to the caller's thread, which raises it
            self.answers.put(error)
        finally:
            self._end_process()

    def _start(self) -> bool:
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(folder for folder in sys.path if folder)}
        self.stderr = tempfile.TemporaryFile()
        with self.lock:
            if self.stopped.is_set():
                return False
            self.process = subprocess.Popen(
                [sys.executable, "-P", "-m", "zsar_lab.data.workers", self.job, str(self.limits.memory_mb)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self.stderr,
                env=environment,
                start_new_session=True,  # Ctrl-C is for the parent, which ends its workers in order
            )
        line, _ = self._readline(START_LIMIT_S)
        if not line and not self.stopped.is_set():
            self.stderr.seek(0)
            tail = self.stderr.read().decode(errors="replace").strip().splitlines()[-1:] or [
                "it said nothing"
            ]
            raise RuntimeError(
                f"a worker process must start with '{sys.executable}', but it ended at once: {tail[0]}"
            )
        return bool(line)

    def _readline(self, limit_s: float) -> tuple[bytes, bool]:
        """The worker's next line (empty when it died or was ended), and whether it was ended for taking too long."""
        process = self.process
        with Selector() as selector:
            selector.register(process.stdout, selectors.EVENT_READ)
            if selector.select(limit_s):
                return process.stdout.readline(), False
        process.kill()
        return process.stdout.readline(), True

    def _ask(self, index: int, task: dict) -> Answer:
        try:
            self.process.stdin.write(json.dumps(task).encode() + b"\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            pass  # the worker is dead: the empty line below says so
        line, late = self._readline(self.limits.timeout_s)
        if late or not line.endswith(b"\n"):
            code = self._end_process()
            if not line.endswith(b"\n"):
                how = (
                    f"took longer than {self.limits.timeout_s:g} s"
                    if late
                    else f"ended its worker process (exit code {code})"
                )
                return Answer(index, None, f"'{task.get('path')}' {how}", ended=True)
        said = json.loads(line)
        if said.pop("spent"):
            self._end_process()
        return Answer(index, **said)

    def _end_process(self) -> int | None:
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
    """The life of a worker process for the job `<module>:<function>`: a task a line from stdin, an answer a line to stdout."""
    threading.Thread(target=_end_without_parent, args=[os.getppid()], daemon=True).start()
    _limit_memory(memory_mb)
    module, name = job.split(":")
    function = getattr(importlib.import_module(module), name)
    answers = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)  # what C libraries print must not mix with the answers
    answers.write(b"ready\n")
    for line in sys.stdin.buffer:
        task = json.loads(line)
        try:
            answer = {"result": function(task), "reason": ""}
        except MemoryError:
            answer = {
                "result": None,
                "reason": f"'{task.get('path')}' needs more than the {memory_mb} MB that a worker may use",
            }
        except OSError as error:
            full = error.errno in (errno.ENOSPC, errno.EDQUOT)
            answer = {
                "result": None,
                "reason": f"'{task.get('path')}': {error.strerror or error}",
                "disk_full": full,
            }
        except Exception as error:  # the boundary of the process: every reason goes to the parent
            reason = str(error) if isinstance(error, ValueError) else f"{type(error).__name__}: {error}"
            answer = {"result": None, "reason": " ".join(reason.split())}
        answers.write(json.dumps(answer | {"spent": _is_spent(memory_mb)}).encode() + b"\n")


def _end_without_parent(parent: int) -> None:
    """End this process when its parent is gone: a decoder that hangs would never ask for another task."""
    while os.getppid() == parent:
        time.sleep(1.0)
    os._exit(1)


def _limit_memory(memory_mb: int) -> None:
    """Let this process ask for so much private memory and no more; a file mapped from disk does not count."""
    if sys.platform == "linux":
        import resource

        resource.setrlimit(resource.RLIMIT_DATA, (memory_mb * 1_000_000, memory_mb * 1_000_000))


def _is_spent(memory_mb: int) -> bool:
    """Whether what earlier tasks left behind takes so much of the memory that the next task might fail for it."""
    if sys.platform != "linux":
        return False
    with open("/proc/self/status") as status:
        held_kib = next((int(line.split()[1]) for line in status if line.startswith("VmData:")), 0)
    return held_kib * 1024 > SPENT_SHARE * memory_mb * 1_000_000


if __name__ == "__main__":
    serve(sys.argv[1], int(sys.argv[2]))
