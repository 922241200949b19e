"""A training that is asked to stop: signals are noted, and obeyed between two steps."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager


class TrainingInterrupted(KeyboardInterrupt):
    """Training was asked to stop; its sentence says at which step, and that the checkpoint was kept."""


@contextmanager
def terminated_as_interrupted() -> Iterator[None]:
    """Inside the block SIGTERM raises KeyboardInterrupt, so that what is under way is ended in order. Outside the main thread nothing changes."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    earlier = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, earlier)


@contextmanager
def stop_signals() -> Iterator[threading.Event]:
    """An event that Ctrl-C, a kernel interrupt or SIGTERM sets, so that a step is never left half done.

    Outside the main thread signals cannot be taken over, and the event is never set.
    """
    stop = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    earlier = {
        number: signal.signal(number, lambda *_: stop.set()) for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield stop
    finally:
        for number, handler in earlier.items():
            signal.signal(number, handler)
