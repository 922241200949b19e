"""The one progress bar: done of total, rate and remaining time, in a notebook and in a terminal alike."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Any

from tqdm.auto import tqdm


def progress(
    items: Iterable | None = None, *, what: str, unit: str, done: int = 0, shown: bool = True, **given: Any
) -> tqdm:
    """A bar over `items`, or one moved by hand: `.update(n)`, then `.close()`.

    Written to stderr; in a log file it is a line every ten seconds.

    Args:
        items: what to iterate over; None for a bar moved by hand.
        what: a few words in front of the bar, for example "decoding".
        unit: the singular of what is counted, for example "clip".
        done: how many were done before (a resumed job), so that the rate counts only new work.
        shown: False for work that is over in a moment.
        given: total, where `items` has no length.
    """
    interval = 0.2 if sys.stderr.isatty() or "ipykernel" in sys.modules else 10.0
    look = {"mininterval": interval, "dynamic_ncols": True, "disable": not shown}
    return tqdm(items, desc=what, unit=f" {unit}", initial=done, **look, **given)
