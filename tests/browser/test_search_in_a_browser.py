"""A text is typed into a widget, and the clips nearest to it play, each with its score, in its order."""

from __future__ import annotations

import re

import pytest
from jupyter_page import WAIT_MS, expect, in_kernel, playing, show

TEXT = "a person climbs a ladder"


@pytest.mark.parametrize(
    ("name", "box", "kept"),
    [
        ("05_shared_space", ".zsar-space", "05_search"),
        ("07_your_own_videos", ".zsar-own-videos", "07_search"),
    ],
)
def test_a_text_ranks_clips_that_play(open_notebook, keep, name, box, kept):
    page = open_notebook(name)
    show(page, box)
    field = page.locator(box).get_by_label("search")
    field.fill(TEXT)
    field.press("Enter")
    expect(page.locator(box).first).to_contain_text(f"earest to “{TEXT}”", timeout=WAIT_MS)
    expect(page.locator(box).first).to_contain_text("and no probability", timeout=WAIT_MS)
    captions = page.locator(f"{box} .zsar-clips figcaption")
    expect(captions.first).to_contain_text("score", timeout=WAIT_MS)  # drawn after the sentence
    said = captions.all_inner_texts()
    scores = [float(one) for text in said for one in re.findall(r"score ([+-]\d\.\d{3})", text)]
    assert len(scores) == 24 and scores == sorted(scores, reverse=True)
    found, advancing = playing(page, f"{box} .zsar-clips")
    assert found >= 24 and advancing >= 1
    keep(page, box, kept)
    if name.startswith("05"):
        everything = f"zl.search({TEXT!r}, workspace, 10**6, split=split)['clip']"
        ranked = in_kernel(page, f"[clip for clip in {everything} if clip in set(space.ids)][:24]")
        assert in_kernel(page, "list(explorer.selected_ids)") == ranked
