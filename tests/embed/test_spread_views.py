"""Windows spread over a clip: their places by hand, their frames against readings of their own."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numbered_videos import make_dataset, numbered_frames, numbers_in
from spread_clips import IDS, SETTINGS, Clips, six_clips, stored, windows_plain, windows_read

from zsar_lab.data import sampling
from zsar_lab.data.catalog import join_catalogs
from zsar_lab.data.frames import SpreadFrames, join_frames
from zsar_lab.data.loader import scoring_batches
from zsar_lab.data.sampling import FrameSettings, frame_indices, window_instants
from zsar_lab.data.video import write_mp4


@pytest.fixture(scope="module")
def clips(tmp_path_factory) -> Clips:
    return six_clips(tmp_path_factory.mktemp("clips") / "videos")


@pytest.fixture(scope="module")
def others(tmp_path_factory) -> Clips:
    folder = tmp_path_factory.mktemp("others") / "videos"
    return stored(make_dataset(folder, {"rise": {"x.mp4": 29}, "sit": {"x.mp4": 20}}))


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


def test_places_equal_the_plain_loop_and_the_middle_window_is_that_of_the_store():
    for start_s, end_s, settings, windows in random_clips():
        found = window_instants(start_s, end_s, settings, windows)
        np.testing.assert_allclose(found, windows_plain(start_s, end_s, settings, windows), atol=1e-9)
        alone = sampling.clip_instants(start_s, end_s, settings)
        assert (window_instants(start_s, end_s, settings)[0] == alone).all()
        assert windows % 2 == 0 or (found[windows // 2] == alone).all()
        fps, n_frames = 24.0, int(np.ceil(end_s * 24))
        indices = frame_indices(start_s, end_s, n_frames, fps, settings, windows).tolist()
        times = np.arange(n_frames) / fps
        assert indices == [min(n_frames - 1, int(t * fps + 1e-6)) for t in found.ravel()]
        assert indices == sampling.frame_indices_by_time(start_s, end_s, times, settings, windows).tolist()


def test_windows_equal_readings_of_their_own_and_the_middle_one_the_store(clips):
    found = SpreadFrames(clips.catalog, clips.store, 25)
    assert clips.store.ids == IDS and found.shape == (6, 25, 4, 24, 24, 3)
    for row, frames in enumerate(clips.store.frames):
        assert np.ptp(frames) > 150 and np.array_equal(found[row][12], frames)
    found = SpreadFrames(clips.catalog, clips.store, 5)
    for row, name in enumerate(IDS):
        assert np.array_equal(found[row], windows_read(clips, row, 5)), name
    for windows in (0, 2.5):
        with pytest.raises(ValueError, match=f"windows .* got {windows}"):
            window_instants(0, 1, SETTINGS, windows)
        with pytest.raises(ValueError, match=f"windows .* got {windows}"):
            SpreadFrames(clips.catalog, clips.store, windows)


def test_the_numbers_in_the_frames_go_from_the_clips_start_to_its_end(clips):
    found = SpreadFrames(clips.catalog, clips.store, 3)
    # five seconds at 12 frames a second; a window's frames are for 1/6 s each: the second frame of each
    seen = [numbers_in(window) for window in found[IDS.index("hop/long")]]
    assert seen == [[1, 3, 5, 7], [27, 29, 31, 33], [53, 55, 57, 59]]
    # half a second is shorter than a window
    assert [numbers_in(window) for window in found[IDS.index("hop/short")]] == [[0, 2, 3, 5]] * 3


def test_workers_and_the_stores_format_change_nothing(clips):
    found, rows = SpreadFrames(clips.catalog, clips.store, 3), np.array([5, 0, 2, 2, 1])
    alone, ahead = (list(scoring_batches(found, rows, 2, n_workers)) for n_workers in (0, 3))
    assert [len(batch) for batch in alone] == [2, 2, 1] and alone[0].shape == (2, 3, 4, 24, 24, 3)
    assert all(np.array_equal(one, other) for one, other in zip(alone, ahead, strict=True))
    assert np.array_equal(alone[1][0], found[2])
    jpeg = replace(clips.store, settings=replace(SETTINGS, jpeg_quality=10))
    assert np.array_equal(SpreadFrames(clips.catalog, jpeg, 3)[0], found[0])


def test_windows_of_joined_stores(clips, others):
    joined = replace(others.catalog, name="others")
    found = SpreadFrames(join_catalogs(clips.catalog, joined), join_frames(clips.store, others.store), 3)
    assert found.ids == [*IDS, "rise/x", "sit/x"]
    assert np.array_equal(found[4], SpreadFrames(clips.catalog, clips.store, 3)[4])
    assert np.array_equal(found[7][1], others.store.frames[1])
    with pytest.raises(ValueError, match="6 .*'hop/long'"):
        SpreadFrames(others.catalog, clips.store, 3)


@pytest.mark.parametrize(
    ("content", "reason"),
    [(None, "no such file"), (b"", "empty"), (b"no video" * 99, "decoded")],
)
def test_a_video_that_can_no_longer_be_read_is_named(clips, tmp_path, content, reason):
    (tmp_path / "hop").mkdir()
    if content is not None:
        (tmp_path / "hop" / "wide.mp4").write_bytes(content)
    with pytest.raises(ValueError, match=rf"'hop/wide' .*wide.mp4.*{reason}"):
        SpreadFrames(replace(clips.catalog, root=tmp_path), clips.store, 3)[IDS.index("hop/wide")]
    write_mp4(tmp_path / "hop" / "long.mp4", numbered_frames(20, 64, 64), fps=12)  # shorter than it was
    with pytest.raises(ValueError, match=r"'hop/long' .*0\.\.19 .*got 59"):
        SpreadFrames(replace(clips.catalog, root=tmp_path), clips.store, 3)[0]
