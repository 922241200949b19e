"""Own videos as a reader names them: classes typed, names given and saved, a large file uploaded."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
from jupyter_page import WAIT_MS, expect, playing, show

from zsar_lab.data.catalog import Catalog
from zsar_lab.data.video import write_mp4

NAME, BOX = "07_your_own_videos", ".zsar-own-videos"


def names(page) -> list[str]:
    return [
        text.strip()
        for text in page.locator(f"{BOX} .zsar-clips figcaption").all_inner_texts()
        if text.strip()
    ]


def test_names_are_typed_given_and_saved(open_notebook, keep, picture, tmp_path):
    page = open_notebook(NAME)
    box = page.locator(BOX)
    show(page, BOX)
    before = names(page)
    found, advancing = playing(page, f"{BOX} .zsar-clips")
    assert len(before) == 24 and found >= 24 and advancing >= 1
    keep(page, BOX, "07_own_videos")
    picture(page, BOX, f"{BOX} .zsar-clips", "own_videos")

    typed = (
        "cooking",
        "walking a dog: Someone walks with a dog on a lead.",
        "playing the guitar: Someone plucks the strings of a guitar.",
    )
    box.locator("textarea").fill("\n".join(typed))
    box.get_by_role("button", name="name them").click()
    expect(page.locator(BOX).first).to_contain_text("3 classes; 59 of 59 clips moved", timeout=WAIT_MS)
    after = names(page)
    assert after != before and all(
        re.match("cooking|walking a dog|playing the guitar", name) for name in after
    )
    titles = [video.get_attribute("title") for video in page.locator(f"{BOX} .zsar-clips video").all()]
    assert all(
        name.splitlines()[0] in title for name, title in zip(after, titles, strict=True)
    )  # the same videos, newly named

    page.locator(f"{BOX} .zsar-clips figure").nth(2).click()
    expect(box.locator(".zsar-large")).to_contain_text("confidence of the 3 best", timeout=WAIT_MS)
    chosen = page.locator(".zsar-own-clip select")
    other = next(name for name in ("cooking", "walking a dog") if not after[2].startswith(name))
    chosen.select_option(label=other)
    page.get_by_role("button", name="accept this name").click()
    expect(page.locator(f"{BOX} .zsar-clips figure:nth-child(3) figcaption").first).to_contain_text(
        f"✓ {other}", timeout=WAIT_MS
    )
    box.get_by_role("button", name="accept all sure ones").click()
    expect(page.locator(BOX).first).to_contain_text("names accepted;", timeout=WAIT_MS)
    box.get_by_label("save in").fill(str(tmp_path / "named"))
    box.get_by_role("button", name="save", exact=True).click()
    expect(page.locator(".zsar-saved").first).to_contain_text("are saved in", timeout=WAIT_MS)
    kept = Catalog.load(tmp_path / "named" / "catalog").usable
    assert other in kept.loc[kept["id"].str.contains("clip02"), "class"].tolist()
    keep(page, ".zsar-own-clip", "07_own_videos_clip")

    box.get_by_role("button", name="later").click()
    page.wait_for_timeout(1500)
    page.locator(f"{BOX} .zsar-clips figure", has_text="long.mp4").nth(3).click()
    expect(page.locator(".zsar-own-clip").first).to_contain_text("What is seen in long.mp4", timeout=WAIT_MS)
    keep(page, ".zsar-own-clip", "07_own_videos_timeline")


def test_a_video_of_more_than_ten_megabytes_is_uploaded(open_notebook, keep, tmp_path):
    path = padded(tmp_path / "telephone.mp4", 12_000_000)
    (tmp_path / "notes.mp4.txt").write_text("no video")
    page = open_notebook(NAME)
    show(page, BOX)
    page.locator(f"{BOX} input[type=file]").set_input_files([path, tmp_path / "notes.mp4.txt"])
    expect(page.locator(BOX).first).to_contain_text("uploaded: telephone.mp4 (12.0 MB)", timeout=WAIT_MS)
    expect(page.locator(BOX).first).to_contain_text("an uploaded file must be a video", timeout=WAIT_MS)
    page.locator(BOX).get_by_role("button", name="read the uploads").click()
    expect(page.locator(BOX).first).to_contain_text("1 of 1 video read.", timeout=WAIT_MS)
    assert len(names(page)) == 1
    keep(page, BOX, "07_own_videos_upload")
    page.locator(BOX).get_by_role("button", name="read", exact=True).click()
    expect(page.locator(BOX).first).to_contain_text("predicting:", timeout=WAIT_MS)
    expect(page.locator(BOX).first).to_contain_text("41 of 42 videos read.", timeout=WAIT_MS)
    page.wait_for_timeout(500)
    assert "predicting:" not in page.locator(BOX).inner_text() and len(names(page)) == 24


def padded(path: Path, size: int) -> Path:
    """A small video in a file of this size: mp4 lets a box of nothing stand at its end."""
    write_mp4(path, np.random.default_rng(0).integers(0, 256, (24, 64, 64, 3), dtype=np.uint8), fps=12)
    missing = size - path.stat().st_size
    with open(path, "ab") as file:
        file.write(missing.to_bytes(4, "big") + b"free" + bytes(missing - 8))
    return path
