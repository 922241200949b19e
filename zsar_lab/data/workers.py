"""Worker processes that probe and decode videos, so that a file which crashes or hangs a decoder costs one clip only.

A worker is a plain `python -m zsar_lab.data.workers <module>:<function>` that reads tasks and writes answers as json lines. Unlike
multiprocessing it never imports the caller's main module, so scripts without a main guard and notebooks are safe; it
ends by itself when its parent is gone. The module stays light (numpy and the decoders) because each worker imports it.
"""

from __future__ import annotations

import importlib
import json
import os
import queue
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Generator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from zsar_lab.data.video import UnreadableVideo, probe, read_frames

START_LIMIT_S = 120.0


@dataclass(frozen=True)
class Answer:
    """What became of task number `index`: its `result`, or None and the `reason` in one sentence."""

    index: int
    result: dict | None
    reason: str


def probe_clip(task: dict) -> dict:
    """Job: `probe` of task["path"]."""
    return asdict(probe(Path(task["path"])))


def store_clip(task: dict) -> dict:
    """Job: decode task["frame_indices"] of task["path"], crop a centred square, write it into row task["row"] of task["store"].

    The data are flushed to disk before the answer is given.
    """
    path, size_px = Path(task["path"]), task["size_px"]
    try:
        frames = read_frames(path, task["frame_indices"], size_px, reader="decord")
        reader = "decord"
    except UnreadableVideo:
        frames = read_frames(path, task["frame_indices"], size_px, reader="pyav")
        reader = "pyav"
    top, left = (frames.shape[1] - size_px) // 2, (frames.shape[2] - size_px) // 2
    store = np.lib.format.open_memmap(task["store"], mode="r+")
    store[task["row"]] = frames[:, top : top + size_px, left : left + size_px]
    store.flush()
    return {"reader": reader}


def run_tasks(job: Callable[[dict], dict], tasks: Sequence[dict], workers: int, timeout_s: float) -> Generator[Answer, None, None]:
    """Run one job over all tasks in worker processes and yield the answers as they come (in any order).

    Close the iterator (contextlib.closing) when leaving it early: that ends the workers at once.

    Args:
        job: a function at the top of an importable module, from a json-ready dict to another; exceptions become reasons.
        tasks: the job's arguments, one a task; task["path"] is named in messages.
        workers: processes at the same time, 1 or more.
        timeout_s: a task that takes longer (seconds) is ended and answered with a reason.

    Raises:
        ValueError: workers or timeout_s out of range, or a job that cannot be imported elsewhere (at the call already).
        RuntimeError: a worker cannot be started at all.
    """
    if int(workers) != workers or workers < 1:
        raise ValueError(f"workers must be a whole number of 1 or more, got {workers}")
    if not timeout_s > 0:
        raise ValueError(f"timeout_s must be above 0 seconds, got {timeout_s}")
    if job.__module__ == "__main__" or "." in job.__qualname__:
        raise ValueError(f"a job must be a function at the top of an importable module, got {job.__module__}.{job.__qualname__}")
    return _answers(job, tasks, min(int(workers), len(tasks)), timeout_s)


def _answers(job: Callable[[dict], dict], tasks: Sequence[dict], workers: int, timeout_s: float) -> Generator[Answer, None, None]:
    to_do: queue.SimpleQueue = queue.SimpleQueue()
    for numbered in enumerate(tasks):
        to_do.put(numbered)
    answers: queue.SimpleQueue = queue.SimpleQueue()
    crews = [_Crew(job, to_do, answers, timeout_s) for _ in range(workers)]
    try:
        for crew in crews:
            crew.thread.start()
        for _ in tasks:
            answer = answers.get()
            if isinstance(answer, Exception):
                raise answer
            yield answer
    finally:
        for crew in crews:
            crew.stop()


class _Crew:
    """One thread that keeps one worker process at work and starts another when it died or was ended."""

    def __init__(self, job: Callable[[dict], dict], to_do: queue.SimpleQueue, answers: queue.SimpleQueue, timeout_s: float) -> None:
        self.job = f"{job.__module__}:{job.__name__}"
        self.to_do, self.answers, self.timeout_s = to_do, answers, timeout_s
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
            while not self.stopped.is_set():
                index, task = self.to_do.get_nowait()
                if self.process is None and not self._start():
                    return
                self.answers.put(self._ask(index, task))
        except queue.Empty:
            pass
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
                [sys.executable, "-P", "-m", "zsar_lab.data.workers", self.job],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.stderr, env=environment,
                start_new_session=True,  # Ctrl-C is for the parent, which ends its workers in order
            )
        line, _ = self._readline(START_LIMIT_S)
        if not line and not self.stopped.is_set():
            self.stderr.seek(0)
            tail = self.stderr.read().decode(errors="replace").strip().splitlines()[-1:] or ["it said nothing"]
            raise RuntimeError(f"a worker process must start with '{sys.executable}', but it ended at once: {tail[0]}")
        return bool(line)

    def _readline(self, limit_s: float) -> tuple[bytes, bool]:
        """The worker's next line (empty when it died or was ended), and whether it was ended for taking too long."""
        late = threading.Event()

        def end() -> None:
            late.set()
            self.process.kill()

        timer = threading.Timer(limit_s, end)
        timer.daemon = True  # a caller that leaves without closing is not held up
        timer.start()
        line = self.process.stdout.readline()
        timer.cancel()
        timer.join()  # else a timer that fires just now would end the process in its next task
        return line, late.is_set()

    def _ask(self, index: int, task: dict) -> Answer:
        try:
            self.process.stdin.write(json.dumps(task).encode() + b"\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            pass  # the worker is dead: the empty line below says so
        line, late = self._readline(self.timeout_s)
        if late or not line.endswith(b"\n"):
            code = self._end_process()
            if not line.endswith(b"\n"):
                how = f"took longer than {self.timeout_s:g} s" if late else f"ended its worker process (exit code {code})"
                return Answer(index, None, f"'{task.get('path')}' {how}")
        return Answer(index, **json.loads(line))

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


def serve(job: str) -> None:
    """The life of a worker process for the job "<module>:<function>": a task a line from stdin, an answer a line to stdout."""
    module, name = job.split(":")
    function = getattr(importlib.import_module(module), name)
    answers = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)  # what C libraries print must not mix with the answers
    answers.write(b"ready\n")
    for line in sys.stdin.buffer:
        try:
            answer = {"result": function(json.loads(line)), "reason": ""}
        except Exception as error:  # the boundary of the process: every reason goes to the parent
            reason = str(error) if isinstance(error, UnreadableVideo) else f"{type(error).__name__}: {error}"
            answer = {"result": None, "reason": " ".join(reason.split())}
        answers.write(json.dumps(answer).encode() + b"\n")


if __name__ == "__main__":
    serve(sys.argv[1])
