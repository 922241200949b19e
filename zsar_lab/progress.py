"""The one progress bar: done of total, rate and remaining time, in a notebook and in a terminal alike."""

from __future__ import annotations

import sys
from collections.abc import Iterable

from tqdm.auto import tqdm


def progress(
    items: Iterable | None = None,
    *,
    what: str,
    unit: str,
    total: int | None = None,
    done: int = 0,
    shown: bool = True,
) -> tqdm:
    """A progress bar over `items`, or one moved by hand with `.update(n)` and closed with `.close()`.

    Args:
        items: what to iterate over; None for a bar moved by hand.
        what: a few words in front of the bar, for example "decoding".
        unit: the singular of what is counted, for example "clip".
        total: how many there are; taken from `len(items)` when None.
        done: how many were done before (a resumed job), so that the rate counts only new work.
        shown: False for work that is over in a moment.

    Returns:
        A tqdm bar; `set_postfix` shows figures behind it. Written to stderr; to a log file it writes a line
        every ten seconds.
    """
    interval = 0.2 if sys.stderr.isatty() or "ipykernel" in sys.modules else 10.0
    return tqdm(
        items,
        desc=what,
        unit=f" {unit}",
        total=total,
        initial=done,
        mininterval=interval,
        dynamic_ncols=True,
        disable=not shown,
    )
