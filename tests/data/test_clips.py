"""zsar_lab.viz.clips and zsar_lab.data.reading: every clip plays, as itself or as a preview that is made once."""

from __future__ import annotations

import base64
import dataclasses
from pathlib import Path

import av
import numpy as np
import pytest
from numbered_videos import ONE, numbered_frames, numbers_in, write_variable, write_with

from zsar_lab.data import reading as previews
from zsar_lab.data.catalog import Catalog
from zsar_lab.data.datasets import catalog_dataset
from zsar_lab.data.reading import make_previews, preview_folder
from zsar_lab.data.video import plays_in_browser, probe, read_frames, write_mp4
from zsar_lab.viz import clips


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("clips")
    (folder / "hop").mkdir()
    (folder / "run").mkdir()
    write_mp4(folder / "hop" / "plain.mp4", numbered_frames(50), fps=25)
    write_with(folder / "hop" / "avi.avi", "mpeg4", "yuv420p", numbered_frames(50))
    write_with(folder / "run" / "hevc.mp4", "libx265", "yuv420p", numbered_frames(50))
    write_with(folder / "run" / "odd.avi", "ffv1", "rgb32", numbered_frames(10, 97, 131))
    write_variable(folder / "run" / "variable.mp4")
    return folder


@pytest.fixture(scope="module")
def catalog(root) -> Catalog:
    return catalog_dataset("folder", root, limits=ONE)


def codec_of(path: Path) -> str:
    with av.open(str(path)) as container:
        return container.streams.video[0].codec_context.name


def test_a_video_that_browsers_play_is_shown_as_it_is(catalog, root, tmp_path):
    assert make_previews(catalog, ["hop/plain"], folder=tmp_path) == {"hop/plain": root / "hop" / "plain.mp4"}
    content = clips.clip_grid(catalog, ["hop/plain"]).split("base64,")[1].split('"')[0]
    assert base64.b64decode(content) == (root / "hop" / "plain.mp4").read_bytes() and not list(
        tmp_path.iterdir()
    )
    assert plays_in_browser(root / "hop" / "plain.mp4")


@pytest.mark.parametrize("clip", ["hop/avi", "run/hevc", "run/odd"])
def test_what_browsers_do_not_play_gets_a_preview(catalog, root, tmp_path, clip):
    path = make_previews(catalog, [clip], folder=tmp_path)[clip]
    assert (
        path.parent == tmp_path
        and plays_in_browser(path)
        and not plays_in_browser(root / catalog.clips.set_index("id").at[clip, "path"])
    )
    info, original = probe(path), catalog.clips.set_index("id").loc[clip]
    assert info.fps == 12 and info.n_frames == round(original["end_s"] * 12) and info.height == 128
    assert abs(info.width / info.height - original["width"] / original["height"]) < 0.02
    shown = numbers_in(read_frames(path, range(info.n_frames)))
    assert shown == [int((k + 0.5) / info.n_frames * original["frames"] + 1e-6) for k in range(info.n_frames)]


def test_a_preview_is_made_once_and_again_when_the_video_changes(catalog, root, tmp_path, monkeypatch):
    changing = tmp_path / "videos"
    for name in ("hop", "run"):
        (changing / name).mkdir(parents=True)
        (changing / name / "a.avi").write_bytes((root / "hop" / "avi.avi").read_bytes())
    found = catalog_dataset("folder", changing, limits=ONE)
    first = make_previews(found, ["hop/a", "run/a"], folder=tmp_path / "kept")
    made = [path.stat().st_mtime_ns for path in first.values()]
    assert make_previews(found, ["run/a", "hop/a"], folder=tmp_path / "kept") == first
    assert [path.stat().st_mtime_ns for path in first.values()] == made
    write_with(changing / "hop" / "a.avi", "mpeg4", "yuv420p", numbered_frames(50)[::-1])
    second = make_previews(found, ["hop/a"], folder=tmp_path / "kept")["hop/a"]
    assert second != first["hop/a"] and numbers_in(read_frames(second, [0]))[0] > 40


def test_a_part_of_a_video_is_shown_as_that_part(catalog, tmp_path):
    table = catalog.clips.copy()
    table.loc[table["id"] == "hop/plain", ["start_s", "end_s"]] = 1.0, 1.5
    path = make_previews(dataclasses.replace(catalog, clips=table), ["hop/plain"], folder=tmp_path)[
        "hop/plain"
    ]
    numbers = numbers_in(read_frames(path, range(probe(path).n_frames)))
    assert len(numbers) == 6 and numbers[0] in (26, 27) and numbers[-1] in (35, 36)


def test_a_long_clip_is_shown_by_its_middle(tmp_path):
    for name in ("hop", "run"):
        (tmp_path / "videos" / name).mkdir(parents=True)
        write_with(
            tmp_path / "videos" / name / "long.avi",
            "mpeg4",
            "yuv420p",
            np.repeat(numbered_frames(60), 5, axis=0),
        )
    catalog = catalog_dataset("folder", tmp_path / "videos", limits=ONE)  # 12 s
    path = make_previews(catalog, ["hop/long"], folder=tmp_path / "kept")["hop/long"]
    numbers = numbers_in(read_frames(path, range(probe(path).n_frames)))
    assert len(numbers) == 48 and numbers[0] == 20 and numbers[-1] == 39  # seconds 4 to 8


def test_a_variable_frame_rate_is_shown_in_its_own_time(catalog, tmp_path):
    path = make_previews(catalog, ["run/variable"], folder=tmp_path)["run/variable"]
    if path.parent == tmp_path:
        assert codec_of(path) == "h264"
    else:  # a browser shows its time stamps itself
        assert plays_in_browser(path)


def test_what_cannot_be_shown_says_why(catalog, root, tmp_path):
    copied = tmp_path / "videos"
    for name in ("hop", "run"):
        (copied / name).mkdir(parents=True)
        for number in range(2):
            (copied / name / f"{number}.avi").write_bytes((root / "hop" / "avi.avi").read_bytes())
    found = catalog_dataset("folder", copied, limits=ONE)
    (copied / "hop" / "0.avi").unlink()
    (copied / "hop" / "1.avi").write_bytes(b"damaged since" * 100)
    shown = make_previews(found, ["hop/0", "hop/1", "run/0"], folder=tmp_path / "kept")
    assert (
        "No such file" in shown["hop/0"]
        and "could not be decoded" in shown["hop/1"]
        and shown["run/0"].is_file()
    )
    page = clips.clip_grid(found, ["hop/0", "hop/1", "run/0"])
    assert page.count("zsar-missing") == 2 and page.count("<video") == 1 and "not shown: " in page
    (tmp_path / "file").write_text("")
    assert "must be writable" in make_previews(found, ["run/1"], folder=tmp_path / "file" / "in it")["run/1"]


def test_a_large_file_is_shown_as_a_preview(catalog, root, monkeypatch, tmp_path):
    monkeypatch.setattr(previews, "MOST_BYTES", 100)
    assert make_previews(catalog, ["hop/plain"], folder=tmp_path)["hop/plain"].parent == tmp_path


def test_24_previews_of_a_restless_video_stay_below_2_mb(tmp_path):
    restless = np.random.default_rng(0).integers(0, 256, (48, 128, 160, 3), dtype=np.uint8)
    for name in ("hop", "run"):
        (tmp_path / "videos" / name).mkdir(parents=True)
        write_with(tmp_path / "videos" / name / "restless.avi", "mpeg4", "yuv420p", restless)
    catalog = catalog_dataset("folder", tmp_path / "videos", limits=ONE)
    path = make_previews(catalog, ["hop/restless"], folder=tmp_path / "kept")["hop/restless"]
    write_mp4(tmp_path / "fine.mp4", restless[::2], 12)
    assert (
        path.stat().st_size <= previews.MOST_BYTES < (tmp_path / "fine.mp4").stat().st_size
    )  # which a finer one would not
    assert len(clips.clip_grid(catalog, ["hop/restless"] * 24).encode()) < 2_000_000


def test_a_previews_name_holds_nothing_of_the_clips(tmp_path):
    hostile = "<img src=x onerror=alert(1)>"
    for name in (hostile, "other"):
        (tmp_path / "videos" / name).mkdir(parents=True)
        write_with(
            tmp_path / "videos" / name / f"{hostile}.avi",
            "mpeg4",
            "yuv420p",
            np.zeros((4, 32, 32, 3), dtype=np.uint8),
        )
    catalog = catalog_dataset("folder", tmp_path / "videos", limits=ONE)
    (path,) = make_previews(catalog, [f"{hostile}/{hostile}"], folder=tmp_path / "kept").values()
    assert path.is_file() and set(path.name.removesuffix(".mp4")) <= set("0123456789abcdef")


def test_previews_lie_in_the_users_cache(catalog):
    assert make_previews(catalog, ["hop/avi"])["hop/avi"].parent == preview_folder()


def test_a_page_of_clips_has_a_limit(catalog, root, monkeypatch):
    monkeypatch.setattr(clips, "LARGEST_GRID_BYTES", 2 * (root / "hop" / "plain.mp4").stat().st_size)
    page = clips.clip_grid(catalog, ["hop/plain"] * 3)
    assert page.count("<video") == 2 and page.count("already holds") == 1


def test_unknown_clips_and_captions_that_do_not_fit_are_refused(catalog):
    with pytest.raises(ValueError, match="clips must be in the catalog, 1 are not"):
        clips.clip_grid(catalog, ["hop/plain", "nobody"])
    with pytest.raises(ValueError, match=r"one caption a clip \(1\), got 0"):
        clips.clip_grid(catalog, ["hop/plain"], [])
    with pytest.raises(ValueError, match="per_class and most_classes must be 1 or more, got 0 and 200"):
        clips.contact_sheet(catalog, 0)


def test_a_contact_sheet_shows_each_class(catalog):
    page = clips.contact_sheet(catalog)
    assert page.count("<video") == 2 and "hop" in page and "run" in page
    assert "autoplay" in page and "muted" in page and "<img" not in page
    one = clips.contact_sheet(catalog, most_classes=1)
    assert one.count("<video") == 1 and "1 of 2 classes are shown" in one
