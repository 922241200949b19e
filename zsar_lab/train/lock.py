"""One training at a time in a run's folder."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from zsar_lab.files import held


@contextmanager
def only_one(folder: Path) -> Iterator[None]:
    """Hold a run's folder inside the block, see `held`.

    Raises:
        RuntimeError: another process trains in it.
    """
    with ExitStack() as block:
        try:
            block.enter_context(held(folder, waits=False))
        except BlockingIOError as error:
            raise RuntimeError(
                f"one training at a time may run in '{folder}', and another process trains there; wait for it, or stop it"
            ) from error
        yield
