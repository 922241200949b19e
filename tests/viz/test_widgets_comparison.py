"""zsar_lab.viz.widgets.comparison driven from Python: every clip is in one outcome, and the clips play."""

from __future__ import annotations

import pytest
from seven_classes import made_predictions

from zsar_lab.viz.explanations import clip_table
from zsar_lab.viz.widgets.comparison import BOTH, NEITHER, ONLY_A, ONLY_B, ClipComparison, compared


def test_two_methods_are_compared_clip_by_clip(catalog, predictions):
    widget = ClipComparison(catalog, {"demo": predictions}, ("demo", "direct"), ("demo", "transfer"))
    right = {side: set(predictions.rows(side).query("rank == 1")["clip"]) for side in ("direct", "transfer")}
    a, b, everything = right["direct"], right["transfer"], set(predictions.ids())
    by_hand = {ONLY_A: a - b, ONLY_B: b - a, BOTH: a & b, NEITHER: everything - a - b}
    counts = {value: text for text, value in widget.controls["outcome"].options}
    for outcome, clips in by_hand.items():
        widget.controls["outcome"].value = outcome
        assert counts[outcome] == f"{outcome} ({len(clips)})" and set(widget.clips["clip"]) == clips
    assert "On 12 clips: A 100.0 %, B 41.7 % right." in widget.html["shown"].value
    widget.choose(outcome=ONLY_A, name="A")
    assert set(widget.clips["clip"]) == {clip for clip in a - b if clip.startswith("A/")}
    widget.grid.chosen = 1
    assert widget.state.clip == widget.clips["clip"].iloc[1] and widget.grid.why.count("zsar-clip") == 2
    assert "A ✓" in widget.grid.html and "B ✗" in widget.grid.html and "<img" not in widget.grid.html


def test_two_models_are_compared_on_the_clips_of_both(catalog, predictions, embeddings):
    other = made_predictions(catalog.classes, embeddings, "split 1")
    widget = ClipComparison(catalog, {"one": predictions, "two": other}, ("one", "direct"), ("two", "direct"))
    assert ("two: transfer", ("two", "transfer")) in widget.controls["b"].options
    assert (widget.table["outcome"] == BOTH).all() and "No clip" not in widget.html["shown"].value
    a = clip_table(predictions, "transfer")
    assert len(compared(a, a.iloc[:5])) == 5 and compared(a, a.iloc[:0]).empty
    apart = compared(a, a.assign(margin=0.0)).eval("abs(margin_a - margin_b)")
    assert apart.is_monotonic_decreasing


def test_what_is_not_there_is_refused(catalog, predictions):
    with pytest.raises(ValueError, match="at least one model"):
        ClipComparison(catalog, {})
    with pytest.raises(KeyError, match="odd"):
        ClipComparison(catalog, {"demo": predictions}, ("demo", "odd"))
