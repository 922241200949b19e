"""One training at a time in a run's folder."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def only_one(folder: Path) -> Iterator[None]:
    """Hold a run's folder inside the block; the system lets go of it when the process ends, however it does.

    Nothing is written. Windows, and some disks of a network, know no such lock: there nothing is checked.

    Raises:
        RuntimeError: another process trains in it.
    """
    try:
        import fcntl
    except ImportError:  # Windows
        yield
        return
    opened = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise RuntimeError(f"one training at a time may run in '{folder}', and another process trains there; wait for it, or stop it") from error
        except OSError:  # not on this disk
            pass
        yield
    finally:
        os.close(opened)
