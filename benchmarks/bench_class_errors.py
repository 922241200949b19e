"""How fast the widget of class errors follows a choice, and how large a page of its clips is.

    python benchmarks/bench_class_errors.py [runs/demo]

Everything a choice does in Python, figures included; the sending to the page comes on top.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from zsar_lab.results.tags import Tags
from zsar_lab.viz.widgets.class_errors import ClassErrors
from zsar_lab.workspace import Workspace


def main(folder: str) -> None:
    workspace = Workspace.open(folder)
    splits = workspace.study.splits[:2]
    predictions = {split: workspace.predictions(split) for split in splits}
    clips = {split: workspace.embeddings(split) for split in splits}
    with tempfile.TemporaryDirectory() as temporary:
        given, tags = (workspace.catalog, predictions, "transfer", clips), Tags(Path(temporary) / "tags.csv")
        for what in ("the widget, with previews made where needed", "the widget again"):
            print(f"{what:44s} {timed(lambda: ClassErrors(*given, tags)):6.3f} s")
        measure(ClassErrors(*given, tags))


def measure(widget: ClassErrors) -> None:
    """Make each kind of choice several times."""
    controls, sizes = widget.controls, []
    names, methods = ([value for _, value in controls[of].options] for of in ("name", "method"))

    def choose(**changes: str) -> None:
        widget.choose(**changes)
        sizes.append(len(widget.grid.html.encode()))

    def report(what: str, actions: Iterable[Callable[[], object]]) -> None:
        seconds = sorted(timed(action) for action in actions)
        half, most = seconds[len(seconds) // 2], seconds[-1]
        print(
            f"{what:28s} median {half:6.3f} s, most {most:6.3f} s of {len(seconds):3d}   (target: under 0.5)"
        )

    def each(field: str, values: Iterable[str]) -> list[Callable[[], None]]:
        return [lambda value=value: choose(**{field: value}) for value in values]

    for name in names:  # makes the previews of all
        choose(name=name)
    sizes.clear()
    report("open a class", each("name", names * 2))
    report("its order", each("order", controls["order"].options[1:]))
    shown = widget.clips["clip"].tolist()[:8]
    report("choose a clip, first time", each("clip", shown))
    report("choose a clip, again", each("clip", shown))
    report("tag a clip", [controls["tag"].click])
    report("remove its tag", [controls["remove_tag"].click])
    report("another method", each("method", methods))
    report("another split", each("split", reversed(controls["split"].options)))
    print(f"a page of clips: {max(sizes) / 1e6:.2f} MB of html at most (target: under 0.5 MB)")


def timed(action: Callable[[], object]) -> float:
    started = time.perf_counter()
    action()
    return time.perf_counter() - started


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "runs/demo")
