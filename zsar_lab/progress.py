"""The one progress bar: done of total, rate and remaining time, a line of text in notebooks and terminals."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Any

from tqdm import tqdm


def progress(
    items: Iterable | None = None, *, what: str, unit: str, done: int = 0, shown: bool = True, **given: Any
) -> tqdm:
    """A bar over `items`, or one moved by hand: `.update(n)`, then `.close()`.

    Written to stderr, in a log file as a line every ten seconds; in a notebook to stdout, where its last line
    stays (a bar that is a widget stands at 0 % in a saved notebook).

    Args:
        items: what to iterate over; None for a bar moved by hand.
        what: a few words in front of the bar, for example "decoding".
        unit: the singular of what is counted, for example "clip".
        done: how many were done before (a resumed job), so that the rate counts only new work.
        shown: False for work that is over in a moment.
        given: total, where `items` has no length.
    """
    in_notebook = "ipykernel" in sys.modules
    interval = 0.2 if sys.stderr.isatty() or in_notebook else 10.0
    look = {"mininterval": interval, "disable": not shown, "file": sys.stdout if in_notebook else sys.stderr}
    look |= {"ncols": 100} if in_notebook else {"dynamic_ncols": True}
    return tqdm(items, desc=what, unit=f" {unit}", initial=done, **look, **given)
