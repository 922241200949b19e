"""The error widget on a finished study: the time of each of its callbacks with cached previews, and the size of what a page of clips sends.

    python benchmarks/bench_class_errors.py [study folder, by default runs/demo]

The study is only read; marks are made in a temporary folder.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from zsar_lab.viz.widgets_errors import class_errors

from zsar_lab.results.tags import Marks
from zsar_lab.viz.explanations import classes_in_order
from zsar_lab.workspace import Workspace


def main(folder: str) -> None:
    workspace = Workspace.open(folder)
    splits = workspace.study.splits[:2]
    results, clips = (
        {split: read(split) for split in splits} for read in (workspace.result, workspace.embeddings)
    )
    with tempfile.TemporaryDirectory() as kept:
        marks, boxes = Marks(Path(kept) / "marks.csv"), []
        for what in ("the widget, with previews made where needed", "the widget again"):
            seconds = timed(
                lambda: boxes.append(class_errors(workspace.catalog, results, clips=clips, marks=marks))
            )
            print(f"{what:44s} {seconds:6.3f} s")
        measure(boxes[0], classes_in_order(workspace.catalog, results[splits[0]], "transfer", "name"), splits)


def measure(box: Any, names: list[str], splits: list[str]) -> None:
    """Work the widget, each callback several times."""
    held = {widget.description: widget for widget in descendants(box) if getattr(widget, "description", "")}
    grid = next(widget for widget in descendants(box) if "zsar-clips" in str(getattr(widget, "value", "")))
    sizes: list[int] = []

    def choose(name: str) -> None:
        held["class"].value = name
        sizes.append(len(grid.value.encode()))

    for name in names:  # makes the previews of all
        choose(name)
    sizes.clear()
    report("open a class", [timed(lambda name=name: choose(name)) for name in [*names, *names][1:]])
    report(
        "its order",
        [
            timed(lambda order=order: setattr(held["order"], "value", order))
            for order in held["order"].options[1:]
        ],
    )
    held["clip"].value = ""
    shown = [clip for _, clip in held["clip"].options[1:9]]
    report(
        "choose a clip, first time",
        [timed(lambda clip=clip: setattr(held["clip"], "value", clip)) for clip in shown],
    )
    report(
        "choose a clip, again",
        [timed(lambda clip=clip: setattr(held["clip"], "value", clip)) for clip in shown],
    )
    report("mark a clip", [timed(held["Mark"].click)])
    report("remove its mark", [timed(held["Remove mark"].click)])
    report(
        "another method",
        [
            timed(lambda method=method: setattr(held["method"], "value", method))
            for method in held["method"].options
        ],
    )
    report(
        "another split",
        [timed(lambda split=split: setattr(held["split"], "value", split)) for split in reversed(splits)],
    )
    print(f"a page of clips: {max(sizes) / 1e6:.2f} MB of html at most (target: under 2 MB)")


def descendants(box: Any) -> list[Any]:
    return [box, *(widget for child in getattr(box, "children", ()) for widget in descendants(child))]


def report(what: str, seconds: list[float]) -> None:
    most, half = max(seconds), sorted(seconds)[len(seconds) // 2]
    print(f"{what:28s} median {half:6.3f} s, most {most:6.3f} s of {len(seconds):3d}   (target: under 0.5)")


def timed(action: Callable[[], Any]) -> float:
    started = time.perf_counter()
    action()
    return time.perf_counter() - started


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "runs/demo")
