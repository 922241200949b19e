"""make_previews and zsar_lab.viz.clips: every clip plays, as itself or as a preview that is made once."""

from __future__ import annotations

import base64
import dataclasses
from pathlib import Path

import numpy as np
import pytest
from numbered_videos import ONE, numbered_frames, numbers_in, write_with

from zsar_lab.data import reading
from zsar_lab.data.catalog import Catalog
from zsar_lab.data.datasets import catalog_dataset
from zsar_lab.data.reading import make_previews, preview_folder
from zsar_lab.data.video import plays_in_browser, probe, read_frames, write_mp4
from zsar_lab.viz import clips


def make_catalog(root: Path, frames: np.ndarray, *names: str) -> Catalog:
    """MPEG-4 avi files of these names, in class folders."""
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        write_with(root / name, "mpeg4", "yuv420p", frames)
    return catalog_dataset("folder", root, limits=ONE)


@pytest.fixture(scope="module")
def catalog(tmp_path_factory) -> Catalog:
    root = tmp_path_factory.mktemp("clips")
    write_mp4(root / "hop" / "plain.mp4", numbered_frames(50), fps=25)
    (root / "run").mkdir()
    write_with(root / "run" / "hevc.mp4", "libx265", "yuv420p", numbered_frames(50))
    write_with(root / "run" / "odd.avi", "ffv1", "rgb32", numbered_frames(10, 97, 131))
    return make_catalog(root, numbered_frames(50), "hop/avi.avi")


def one_preview(catalog: Catalog, clip: str, folder: Path) -> Path:
    return make_previews(catalog, [clip], folder=folder)[clip]


def all_numbers(path: Path) -> list[int]:
    return numbers_in(read_frames(path, range(probe(path).n_frames)))


def test_a_video_that_browsers_play_is_shown_as_it_is(catalog, tmp_path):
    video = catalog.root / "hop" / "plain.mp4"
    assert one_preview(catalog, "hop/plain", tmp_path) == video and plays_in_browser(video)
    content = clips.clip_grid(catalog, ["hop/plain"]).split("base64,")[1].split('"')[0]
    assert base64.b64decode(content) == video.read_bytes() and not list(tmp_path.iterdir())


@pytest.mark.parametrize("clip", ["hop/avi", "run/hevc", "run/odd"])
def test_what_browsers_do_not_play_gets_a_preview(catalog, tmp_path, clip):
    path, original = one_preview(catalog, clip, tmp_path), catalog.clips.set_index("id").loc[clip]
    assert path.parent == tmp_path and plays_in_browser(path)
    assert not plays_in_browser(catalog.root / original["path"])
    info = probe(path)
    assert info.fps == 12 and info.n_frames == round(original["end_s"] * 12) and info.height == 128
    assert abs(info.width / info.height - original["width"] / original["height"]) < 0.02
    shares = [(k + 0.5) / info.n_frames for k in range(info.n_frames)]
    assert all_numbers(path) == [int(share * original["frames"] + 1e-6) for share in shares]


def test_a_preview_is_made_once_and_again_when_the_video_changes(tmp_path):
    found = make_catalog(tmp_path / "videos", numbered_frames(50), "hop/a.avi", "run/a.avi")
    first = make_previews(found, ["hop/a", "run/a"], folder=tmp_path / "made")
    times = [path.stat().st_mtime_ns for path in first.values()]
    assert make_previews(found, ["run/a", "hop/a"], folder=tmp_path / "made") == first
    assert [path.stat().st_mtime_ns for path in first.values()] == times
    write_with(tmp_path / "videos/hop/a.avi", "mpeg4", "yuv420p", numbered_frames(50)[::-1])
    second = one_preview(found, "hop/a", tmp_path / "made")
    assert second != first["hop/a"] and numbers_in(read_frames(second, [0]))[0] > 40


def test_a_part_of_a_video_is_shown_as_that_part(catalog, tmp_path):
    table = catalog.clips.copy()
    table.loc[table["id"] == "hop/plain", ["start_s", "end_s"]] = 1.0, 1.5
    numbers = all_numbers(one_preview(dataclasses.replace(catalog, clips=table), "hop/plain", tmp_path))
    assert len(numbers) == 6 and numbers[0] in (26, 27) and numbers[-1] in (35, 36)


def test_a_long_clip_is_shown_by_its_middle(tmp_path):
    long = np.repeat(numbered_frames(60), 5, axis=0)  # 12 s
    catalog = make_catalog(tmp_path / "videos", long, "hop/long.avi", "run/long.avi")
    numbers = all_numbers(one_preview(catalog, "hop/long", tmp_path / "made"))
    assert len(numbers) == 48 and numbers[0] == 20 and numbers[-1] == 39  # seconds 4 to 8


def test_what_cannot_be_shown_says_why(tmp_path):
    names = [f"{name}/{number}.avi" for name in ("hop", "run") for number in range(2)]
    found = make_catalog(tmp_path / "videos", numbered_frames(10), *names)
    (tmp_path / "videos/hop/0.avi").unlink()
    (tmp_path / "videos/hop/1.avi").write_bytes(b"damaged since" * 100)
    shown = make_previews(found, ["hop/0", "hop/1", "run/0"], folder=tmp_path / "made")
    assert "No such file" in shown["hop/0"] and "could not be decoded" in shown["hop/1"]
    assert shown["run/0"].is_file()
    page = clips.clip_grid(found, ["hop/0", "hop/1", "run/0"])
    assert page.count("zsar-missing") == 2 and page.count("<video") == 1 and "not shown: " in page
    (tmp_path / "file").write_text("")
    assert "must be writable" in str(one_preview(found, "run/1", tmp_path / "file" / "in it"))


def test_a_large_file_is_shown_as_a_preview_in_the_users_cache(catalog, monkeypatch):
    monkeypatch.setattr(reading, "MOST_BYTES", 100)
    assert make_previews(catalog, ["hop/plain"])["hop/plain"].parent == preview_folder()


def test_24_previews_of_a_restless_video_stay_below_2_mb(tmp_path):
    restless = np.random.default_rng(0).integers(0, 256, (48, 128, 160, 3), dtype=np.uint8)
    catalog = make_catalog(tmp_path / "videos", restless, "hop/restless.avi", "run/restless.avi")
    path = one_preview(catalog, "hop/restless", tmp_path / "made")
    write_mp4(tmp_path / "fine.mp4", restless[::2], 12)  # which a finer one would not
    assert path.stat().st_size <= reading.MOST_BYTES < (tmp_path / "fine.mp4").stat().st_size
    assert len(clips.clip_grid(catalog, ["hop/restless"] * 24).encode()) < 2_000_000


def test_a_previews_name_holds_nothing_of_the_clips(tmp_path):
    hostile = "<img src=x onerror=alert(1)>"
    black = np.zeros((4, 32, 32, 3), dtype=np.uint8)
    catalog = make_catalog(tmp_path / "videos", black, f"{hostile}/{hostile}.avi", "other/x.avi")
    path = one_preview(catalog, f"{hostile}/{hostile}", tmp_path / "made")
    assert path.is_file() and set(path.name.removesuffix(".mp4")) <= set("0123456789abcdef")


def test_a_page_of_clips_has_a_limit(catalog, monkeypatch):
    n_bytes = (catalog.root / "hop" / "plain.mp4").stat().st_size
    monkeypatch.setattr(clips, "LARGEST_GRID_BYTES", 2 * n_bytes)
    page = clips.clip_grid(catalog, ["hop/plain"] * 3)
    assert page.count("<video") == 2 and page.count("already holds") == 1


def test_unknown_clips_and_captions_that_do_not_fit_are_refused(catalog):
    for refused, words in (
        (lambda: clips.clip_grid(catalog, ["hop/plain", "nobody"]), "1"),
        (lambda: clips.clip_grid(catalog, ["hop/plain"], []), "got 0"),
        (lambda: clips.contact_sheet(catalog, 0), "got 0"),
    ):
        with pytest.raises(ValueError, match=words):
            refused()


def test_a_contact_sheet_shows_each_class(catalog):
    page = clips.contact_sheet(catalog)
    assert page.count("<video") == 2 and "hop" in page and "run" in page
    assert "autoplay" in page and "muted" in page and "<img" not in page
    one = clips.contact_sheet(catalog, most_classes=1)
    assert one.count("<video") == 1 and "1 of 2 classes are shown" in one
