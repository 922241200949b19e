"""The class texts of a study as they were when it began: a file beside it, so that a csv that is changed or gone later does no harm unsaid."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from zsar_lab.text.classtext import ClassText


def kept_text(path: Path, make: Callable[[], ClassText]) -> ClassText:
    """The class text that `path` keeps; made and kept there when it is not.

    Args:
        path: of the json file, see `ClassText.save`.
        make: gives the texts as they are now; where it finds no file to read them from, those kept are taken.

    Raises:
        ValueError: the texts are others now than those kept; or as `make`.
        FileNotFoundError: as `make`, when nothing is kept.
    """
    kept = ClassText.load(path) if path.is_file() else None
    try:
        now = make()
    except FileNotFoundError:
        if kept is None:
            raise
        return kept
    if kept is None:
        now.save(path)
    elif now.fingerprint != kept.fingerprint:
        before, after = (dict(zip(text.names, text.texts, strict=True)) for text in (kept, now))
        changed = [name for name in before | after if before.get(name) != after.get(name)]
        shown = ", ".join(map(repr, changed[:3])) + (", ..." if len(changed) > 3 else "")
        raise ValueError(
            f"the class texts of a study must stay as they were when it began, {len(changed)} differ from '{path}' ({shown}); put"
            " them back, or choose"
            " another folder"
        )
    return now
