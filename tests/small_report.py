"""A small report for tests: two draws of twelve unseen classes with planted differences, class texts and corrections."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from test_corrected import planted
from test_tables_text import draw_of

from zsar_lab.zeroshot.evaluate import DrawResult
from zsar_lab.zeroshot.report import Report, make_report

SCHEMES = {"description": (0.4, (0.5, 0.7)), "label": (0.6, (0.4, 0.4)), "<b>$x_1$ & 5 %": (0.1, (0.6, 0.1))}
NAME = "family-stratified, 2 draws, <script>alert(1)</script> & #1_x"


def small_draw(number: int, schemes: dict | None = None, checkpoint: str = "c", gain: float = 0.3) -> DrawResult:
    draw = draw_of(number, schemes or SCHEMES)
    train = (f"train {number}", "train x")  # so that draws differ in their hash
    prints, texts = draw.fingerprints | {"checkpoint": f"{checkpoint}{number}"}, {name: f"print of {name}" for name in schemes or SCHEMES}
    protocol = replace(draw.protocol, train_clips=train)
    return replace(draw, protocol=protocol, corrected=planted(number, gain), fingerprints=prints, text_fingerprints=texts)


def small_report(draws: tuple[int, ...] = (0, 1), schemes: dict | None = None, checkpoint: str = "c", gain: float = 0.3) -> Report:
    return make_report(NAME, [small_draw(n, schemes, checkpoint, gain) for n in draws], "catalog", "frames")


def as_read(report: Report, *beside: Report) -> dict[str, Any]:
    """Its content as it comes back from json."""
    return json.loads(json.dumps(report.content() | {"beside": [one.content() for one in beside]}))
