"""How a model's folder is loaded with transformers: quietly, and with one sentence when that fails."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def quiet() -> Iterator[None]:
    """No loading bars and no advice of transformers inside the block."""
    from transformers.utils import logging as theirs

    before, bars = theirs.get_verbosity(), theirs.is_progress_bar_enabled()
    theirs.set_verbosity(logging.ERROR)
    theirs.disable_progress_bar()
    try:
        yield
    finally:
        theirs.set_verbosity(before)
        if bars:
            theirs.enable_progress_bar()


@contextmanager
def one_sentence(method: str, folder: Path) -> Iterator[None]:
    """Whatever transformers raises over a folder, as one sentence that begins with what the folder must hold.

    Raises:
        ValueError: it cannot be loaded.
    """
    try:
        yield
    except (
        Exception
    ) as error:  # transformers, tokenizers and safetensors raise many kinds, some directly of Exception
        first = str(error).strip().splitlines()[0][:150] if str(error).strip() else type(error).__name__
        raise ValueError(f"{method}, '{folder}' does not ({first}); fetch it again") from error
