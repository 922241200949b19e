"""Windows spread over a clip: their places by hand and by property, and their frames against the store's and against readings of their own."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from test_catalog import make_dataset
from test_video import numbered_frames, numbers_in, write_variable, write_with

from zsar_lab.data import pixels
from zsar_lab.data.catalog import Catalog, join_catalogs
from zsar_lab.data.datasets import catalog_dataset
from zsar_lab.data.frames import FrameStore, SpreadFrames, join_frames, make_frame_store
from zsar_lab.data.loader import scoring_batches
from zsar_lab.data.sampling import (
    FrameSettings,
    clip_instants,
    frame_indices,
    frame_indices_by_time,
    window_instants,
)
from zsar_lab.data.video import frame_times, read_frames, write_mp4
from zsar_lab.data.workers import Limits

SETTINGS = FrameSettings(n_frames=4, fps=6.0, size_px=24)
IDS = ["hop/long", "hop/short", "hop/wide", "run/old", "run/tall", "run/uneven"]


class Clips(NamedTuple):
    """Videos in two class folders, cataloged and stored."""

    catalog: Catalog
    store: FrameStore


def stored(root: Path) -> Clips:
    catalog = catalog_dataset("folder", root, limits=Limits(workers=1))
    return Clips(
        catalog, make_frame_store(catalog, root.with_name(f"{root.name} frames"), SETTINGS, Limits(workers=1))
    )


def six_clips(root: Path) -> Clips:
    """Of 0.5 to 5 seconds: four mp4 files, an avi file, and one with a variable frame rate."""
    hop, run = root / "hop", root / "run"
    for folder in (hop, run):
        folder.mkdir(parents=True)
    write_mp4(hop / "long.mp4", numbered_frames(60, 64, 64), fps=12)
    write_mp4(hop / "short.mp4", numbered_frames(6, 64, 64), fps=12)
    write_mp4(hop / "wide.mp4", numbered_frames(40, 64, 96), fps=15)
    write_mp4(run / "tall.mp4", numbered_frames(50, 96, 64), fps=25)
    write_with(run / "old.avi", "mpeg4", "yuv420p", numbered_frames(55, 64, 80))
    write_variable(run / "uneven.mp4")
    return stored(root)


@pytest.fixture(scope="module")
def clips(tmp_path_factory) -> Clips:
    return six_clips(tmp_path_factory.mktemp("clips") / "videos")


@pytest.fixture(scope="module")
def others(tmp_path_factory) -> Clips:
    return stored(
        make_dataset(
            tmp_path_factory.mktemp("others") / "videos", {"rise": {"x.mp4": 29}, "sit": {"x.mp4": 20}}
        )
    )


def windows_plain(start_s: float, end_s: float, settings: FrameSettings, windows: int) -> list[list[float]]:
    """One window at a time: where it starts, and its instants as if it were a clip."""
    length_s = min(end_s - start_s, settings.n_frames / settings.fps)
    first_start_s, last_start_s = start_s, end_s - length_s
    found = []
    for number in range(windows):
        share = 0.5 if windows == 1 else number / (windows - 1)
        begin_s = first_start_s * (1 - share) + last_start_s * share
        found.append([begin_s + (k + 0.5) * length_s / settings.n_frames for k in range(settings.n_frames)])
    return found


def random_clips(n_clips: int = 60):
    random = np.random.default_rng(0)
    for _ in range(n_clips):
        settings = FrameSettings(n_frames=int(random.integers(1, 20)), fps=random.uniform(1, 30))
        start_s = random.uniform(0, 50) * random.integers(0, 2)
        yield start_s, start_s + random.uniform(0.05, 20), settings, int(random.integers(1, 30))


def test_places_by_hand():
    settings = FrameSettings(n_frames=2, fps=1.0)
    assert window_instants(1, 5, settings, 3).tolist() == [[1.5, 2.5], [2.5, 3.5], [3.5, 4.5]]
    assert window_instants(1, 5, settings, 2).tolist() == [[1.5, 2.5], [3.5, 4.5]]
    assert window_instants(1, 5, settings).tolist() == [[2.5, 3.5]]
    # as long as a window, and shorter
    assert window_instants(1, 3, settings, 3).tolist() == [[1.5, 2.5]] * 3
    assert window_instants(1, 2, settings, 3).tolist() == [[1.25, 1.75]] * 3
    # frames of a video of 2 a second
    assert frame_indices(1, 5, 10, 2.0, settings, 3).tolist() == [3, 5, 5, 7, 7, 9]


def test_places_equal_the_plain_loop():
    for case in random_clips():
        np.testing.assert_allclose(window_instants(*case), windows_plain(*case), rtol=0, atol=1e-9)


def test_windows_reach_from_the_start_of_a_clip_to_its_end_in_even_steps():
    for start_s, end_s, settings, windows in random_clips():
        found = window_instants(start_s, end_s, settings, windows)
        alone, length_s = (
            clip_instants(start_s, end_s, settings),
            min(end_s - start_s, settings.n_frames / settings.fps),
        )
        margin_s = length_s / settings.n_frames / 2
        assert found.shape == (windows, settings.n_frames)
        if windows > 1:
            assert found[0, 0] - margin_s == pytest.approx(start_s, abs=1e-9) and found[
                -1, -1
            ] + margin_s == pytest.approx(end_s, abs=1e-9)
            np.testing.assert_allclose(
                np.diff(found, axis=0), (end_s - start_s - length_s) / (windows - 1), rtol=0, atol=1e-9
            )
        assert (window_instants(start_s, end_s, settings)[0] == alone).all()
        if windows % 2:
            assert (found[windows // 2] == alone).all()


def test_frames_equal_the_plain_loop_and_those_by_time():
    for start_s, end_s, settings, windows in random_clips():
        fps = 24.0
        n_frames = int(np.ceil(end_s * fps))
        found = frame_indices(start_s, end_s, n_frames, fps, settings, windows)
        instants = np.ravel(windows_plain(start_s, end_s, settings, windows))
        assert found.tolist() == [min(n_frames - 1, int(t * fps + 1e-6)) for t in instants]
        assert (
            found.tolist()
            == frame_indices_by_time(start_s, end_s, np.arange(n_frames) / fps, settings, windows).tolist()
        )


@pytest.mark.parametrize("windows", [0, 2.5])
def test_a_number_of_windows_that_is_none_is_refused(windows, clips):
    for refused in (
        lambda: window_instants(0, 1, SETTINGS, windows),
        lambda: SpreadFrames(clips.catalog, clips.store, windows),
    ):
        with pytest.raises(ValueError, match=f"windows must be a whole number of 1 or more, got {windows}"):
            refused()


def test_one_window_and_the_middle_one_show_the_frames_of_the_store(clips):
    one, many = (SpreadFrames(clips.catalog, clips.store, windows) for windows in (1, 25))
    assert (
        clips.store.ids == IDS and one.shape == (6, 1, 4, 24, 24, 3) and many.shape == (6, 25, 4, 24, 24, 3)
    )
    for row in range(len(clips.store)):
        kept = clips.store.frames[row]
        assert one[row].shape == one.shape[1:] and one[row].dtype == np.uint8 and np.ptp(kept) > 150
        assert np.array_equal(one[row][0], kept) and np.array_equal(many[row][12], kept)


def test_windows_equal_readings_of_their_own(clips):
    found = SpreadFrames(clips.catalog, clips.store, 5)
    for row, clip in clips.catalog.usable.iterrows():
        path, by_hand = (
            clips.catalog.root / clip["path"],
            windows_plain(clip["start_s"], clip["end_s"], SETTINGS, 5),
        )
        begin_s = frame_times(path)
        for instants, window in zip(by_hand, found[row], strict=True):
            chosen = [int(np.flatnonzero(begin_s <= t + 1e-5)[-1]) for t in instants]
            frames = read_frames(path, chosen, 24)
            top, left = (frames.shape[1] - 24) // 2, (frames.shape[2] - 24) // 2
            assert np.array_equal(window, frames[:, top : top + 24, left : left + 24]), (clip["id"], chosen)


def test_the_numbers_in_the_frames_go_from_the_clips_start_to_its_end(clips):
    found = SpreadFrames(clips.catalog, clips.store, 3)
    # five seconds at 12 frames a second; a window's frames stand for 1/6 s each, so the second frame of each
    # is taken
    assert [numbers_in(window) for window in found[IDS.index("hop/long")]] == [
        [1, 3, 5, 7],
        [27, 29, 31, 33],
        [53, 55, 57, 59],
    ]
    # half a second is shorter than a window
    assert [numbers_in(window) for window in found[IDS.index("hop/short")]] == [[0, 2, 3, 5]] * 3


def test_a_file_is_read_once_for_all_windows(clips, monkeypatch):
    read, real = [], pixels.read_frames
    monkeypatch.setattr(
        pixels, "read_frames", lambda path, *more: read.append(path.name) or real(path, *more)
    )
    found = SpreadFrames(clips.catalog, clips.store, 25)
    assert not read and len(found) == 6
    assert [found[row].shape for row in range(6)] == [(25, 4, 24, 24, 3)] * 6
    assert read == ["long.mp4", "short.mp4", "wide.mp4", "old.avi", "tall.mp4", "uneven.mp4"]


def test_readers_change_nothing(clips):
    found, rows = SpreadFrames(clips.catalog, clips.store, 3), np.array([5, 0, 2, 2, 1])
    alone, ahead = (list(scoring_batches(found, rows, 2, readers)) for readers in (0, 3))
    assert [len(batch) for batch in alone] == [2, 2, 1] and alone[0].shape == (2, 3, 4, 24, 24, 3)
    assert all(np.array_equal(one, other) for one, other in zip(alone, ahead, strict=True))
    assert np.array_equal(alone[1][0], found[2])


def test_windows_are_raw_where_the_store_keeps_jpeg(clips):
    jpeg = replace(clips.store, settings=replace(SETTINGS, jpeg_quality=10))
    raw, of_jpeg = (SpreadFrames(clips.catalog, store, 3)[0] for store in (clips.store, jpeg))
    assert np.array_equal(raw, of_jpeg)


def test_windows_of_joined_stores(clips, others):
    joined = replace(others.catalog, name="others")
    found = SpreadFrames(join_catalogs(clips.catalog, joined), join_frames(clips.store, others.store), 3)
    assert found.ids == [*IDS, "rise/x", "sit/x"]
    assert np.array_equal(found[4], SpreadFrames(clips.catalog, clips.store, 3)[4])
    assert np.array_equal(found[7][1], others.store.frames[1])


def test_a_catalog_of_other_clips_is_refused(clips, others):
    with pytest.raises(
        ValueError,
        match=r"6 .*first 'hop/long'",
    ):
        SpreadFrames(others.catalog, clips.store, 3)


@pytest.mark.parametrize(
    ("content", "reason"),
    [(None, "there is no such file"), (b"", "it is empty"), (b"no video" * 99, "could not be decoded")],
)
def test_a_video_that_can_no_longer_be_read_is_named(clips, tmp_path, content, reason):
    moved = replace(clips.catalog, root=tmp_path)
    (tmp_path / "hop").mkdir()
    if content is not None:
        (tmp_path / "hop" / "wide.mp4").write_bytes(content)
    sentence = rf"clip 'hop/wide' .*wide.mp4.* {reason}"
    with pytest.raises(ValueError, match=sentence):
        SpreadFrames(moved, clips.store, 3)[IDS.index("hop/wide")]


def test_a_video_that_became_shorter_is_named(clips, tmp_path):
    (tmp_path / "hop").mkdir()
    write_mp4(tmp_path / "hop" / "long.mp4", numbered_frames(20, 64, 64), fps=12)
    with pytest.raises(
        ValueError,
        match=r"clip 'hop/long' .*frame indices must be in 0..19 for .*, got 59",
    ):
        SpreadFrames(replace(clips.catalog, root=tmp_path), clips.store, 3)[0]
