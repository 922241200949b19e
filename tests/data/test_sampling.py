"""zsar_lab.data.sampling: which frames and windows, by hand, against plain loops and by property."""

from __future__ import annotations

import numpy as np
import pytest

from zsar_lab.data.sampling import (
    CHUNK_BYTES,
    FrameSettings,
    WindowSettings,
    chunks_of,
    clip_instants,
    frame_indices,
    frame_indices_by_time,
    spread_indices,
    windows_of,
)

TWO_SECONDS = FrameSettings(n_frames=24, fps=12.0, size_px=64)


def frame_indices_plain(start_s, end_s, n_video_frames, video_fps, settings):
    """For each instant, walk through all frames and take the one with the nearest centre (the later)."""
    span_s = min(end_s - start_s, settings.n_frames / settings.fps)
    chosen = []
    for k in range(settings.n_frames):
        instant_s = start_s + (end_s - start_s - span_s) / 2 + span_s * (2 * k + 1) / (2 * settings.n_frames)
        best, best_distance = 0, float("inf")
        for frame in range(n_video_frames):
            distance = abs((frame + 0.5) / video_fps - instant_s) * video_fps
            if distance <= best_distance + 2e-6:
                best, best_distance = frame, min(distance, best_distance)
        chosen.append(best)
    return chosen


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ((0, 2, 4, 2), [0, 1, 2, 3]),  # 2 s at the video's rate of 2: each frame once
        (
            (0, 4, 40, 10),
            [12, 17, 22, 27],
        ),  # seconds 1 to 3, instants 1.25 1.75 2.25 2.75
        ((0, 0.5, 2, 4), [0, 0, 1, 1]),  # two frames: instants 0.0625 0.1875 0.3125 0.4375
        ((3, 5, 100, 10), [32, 37, 42, 47]),  # inside a video
        ((1, 3, 20, 10), [12, 17, 19, 19]),  # the clip's end lies past the video's
        ((0, 1 / 30, 1, 30), [0, 0, 0, 0]),
    ],
)
def test_frame_indices_by_hand(arguments, expected):
    assert frame_indices(*arguments, FrameSettings(n_frames=4, fps=2.0)).tolist() == expected


def spread_by_hand(n: int, wanted: int) -> list[int]:
    """mteb's rule in whole numbers: the nearest frame to k (n - 1) / (T - 1), of two the even one."""
    if n < wanted:
        return [k * n // wanted for k in range(wanted)]
    found = []
    for k in range(wanted):
        whole, rest = divmod(k * (n - 1), max(1, wanted - 1))
        found.append(whole + (2 * rest > wanted - 1 or (2 * rest == wanted - 1 and whole % 2)))
    return found


@pytest.mark.parametrize(
    ("n", "expected"),  # as mteb 2.26.24 gives them for 8 frames
    [
        (5, [0, 0, 1, 1, 2, 3, 3, 4]),
        (9, [0, 1, 2, 3, 5, 6, 7, 8]),
        (16, [0, 2, 4, 6, 9, 11, 13, 15]),
        (40, [0, 6, 11, 17, 22, 28, 33, 39]),
    ],
)
def test_frames_from_the_first_to_the_last(n, expected):
    assert spread_indices(n, 8).tolist() == expected == spread_by_hand(n, 8)
    for wanted in range(1, 20):
        found = spread_indices(n, wanted)
        assert found.tolist() == spread_by_hand(n, wanted) and found.dtype == np.int64
    with pytest.raises(ValueError, match="n_frames must be"):
        spread_indices(n, 0)


def test_an_instant_on_the_border_of_two_frames_takes_the_later_in_spite_of_rounding():
    assert frame_indices(0, 2, 48, 24, TWO_SECONDS).tolist() == list(range(1, 48, 2))


def test_frame_indices_equal_the_plain_loop_and_those_by_time():
    random = np.random.default_rng(0)
    for _ in range(300):
        video_fps = float(random.choice([5, 10, 12, 23.976, 24, 25, 29.97, 30, 60]))
        n_frames = int(random.integers(1, 200))
        start_s, end_s = np.sort(random.uniform(0, n_frames / video_fps, 2))
        if random.random() < 0.5:
            start_s, end_s = 0.0, n_frames / video_fps
        settings = FrameSettings(int(random.integers(1, 33)), float(random.choice([4.0, 6, 12, 12.5, 25])))
        found = frame_indices(start_s, end_s, n_frames, video_fps, settings)
        assert found.dtype == np.int64
        assert found.tolist() == frame_indices_plain(start_s, end_s, n_frames, video_fps, settings)
        by_time = frame_indices_by_time(start_s, end_s, np.arange(n_frames) / video_fps, settings)
        assert by_time.dtype == np.int64 and by_time.tolist() == found.tolist()


@pytest.mark.parametrize(
    ("arguments", "got"),
    [
        ((1.0, 1.0, 10, 5.0), "got 1.0 and 1.0"),
        ((-1.0, 1.0, 10, 5.0), "got -1.0"),
        ((0.0, float("nan"), 10, 5.0), "got 0.0 and nan"),
        ((0.0, 1.0, 0, 5.0), "got 0 at 5.0"),
        ((0.0, 1.0, 10, 0.0), "got 10 at 0.0"),
        ((2.0, 3.0, 10, 5.0), "got 2.0 of 2 s"),
    ],
)
def test_frame_indices_refuse(arguments, got):
    with pytest.raises(ValueError, match=got):
        frame_indices(*arguments, FrameSettings())


def windows_plain(duration_s: float, window_s: float, stride_s: float) -> list[list[float]]:
    """One window after the other until one would reach past the end; then one that ends there."""
    found, start_s = [], 0.0
    while start_s + window_s < duration_s - 1e-6 * stride_s:
        found.append([start_s, start_s + window_s])
        start_s = len(found) * stride_s
    return [*found, [duration_s - window_s, duration_s]]


@pytest.mark.parametrize(
    ("duration_s", "settings", "expected"),
    [
        (0.5, {}, [[0, 0.5]]),
        (4.0, {}, [[0, 4.0]]),
        (4.0, {"window_s": 2}, [[0, 2], [1, 3], [2, 4]]),
        (4.0, {"stride_s": 2}, [[0, 2], [2, 4]]),
        (4.0, {"window_s": 2, "whole_up_to_s": 5}, [[0, 4]]),
        (1.5, {"whole_up_to_s": 0}, [[0, 1.5]]),
        (2.0, {"whole_up_to_s": 0}, [[0, 2.0]]),
        (2.5, {"whole_up_to_s": 0}, [[0, 2], [0.5, 2.5]]),
        (4.0, {"whole_up_to_s": 0}, [[0, 2], [1, 3], [2, 4]]),
        (4.25, {"whole_up_to_s": 0}, [[0, 2], [1, 3], [2, 4], [2.25, 4.25]]),
        (12.0, {"window_s": 6}, [[0, 6], [3, 9], [6, 12]]),
        (12.0, {"window_s": 20, "whole_up_to_s": 0}, [[0, 12]]),
        (12.0, {"window_s": 2, "stride_s": 5}, [[0, 2], [5, 7], [10, 12]]),
        (500.0, {"window_s": 2, "whole_up_to_s": float("inf")}, [[0, 500]]),
    ],
)
def test_windows_by_hand(duration_s, settings, expected):
    windows, remark = windows_of(duration_s, TWO_SECONDS, WindowSettings(**settings))
    assert windows.dtype == np.float64 and windows.tolist() == expected and remark == ""


def test_windows_are_those_of_a_plain_loop_and_leave_no_instant_out_where_they_overlap():
    random = np.random.default_rng(0)
    for _ in range(200):
        window_s = random.uniform(0.1, 5)
        duration_s, stride_s = window_s * random.uniform(1.01, 40), window_s * random.uniform(0.05, 2)
        windows, remark = windows_of(duration_s, TWO_SECONDS, WindowSettings(window_s, stride_s, 0.0))
        assert (
            windows == pytest.approx(np.array(windows_plain(duration_s, window_s, stride_s))) and not remark
        )
        assert (np.diff(windows, axis=0) > 0).all() and (windows[0, 0], windows[-1, 1]) == (0, duration_s)
        assert np.diff(windows[:, 0]).max(initial=0) <= stride_s + 1e-9
        if stride_s <= window_s:
            assert (windows[1:, 0] <= windows[:-1, 1] + 1e-9).all()
        for start_s, end_s in windows[[0, -1]]:  # a window is a clip, and its instants lie in it
            instants_s = clip_instants(start_s, end_s, TWO_SECONDS)
            assert start_s < instants_s[0] and instants_s[-1] < end_s


def test_a_whole_video_of_which_little_is_looked_at_says_so():
    windows, remark = windows_of(10.0, TWO_SECONDS)
    assert windows.tolist() == [[0, 10.0]] and "of its 10.0 s the middle 2 s are looked at" in remark
    assert windows_of(4.01, TWO_SECONDS)[1] and not windows_of(4.0, TWO_SECONDS)[1]


def test_a_very_long_video_is_looked_at_evenly_and_says_so():
    windows, remark = windows_of(7200.0, TWO_SECONDS)
    assert len(windows) == 1000 and windows[0].tolist() == [0, 2] and windows[-1].tolist() == [7198, 7200]
    assert np.diff(windows[:, 0]) == pytest.approx(7198 / 999)
    assert "its 7200 s are looked at in 1000 windows of 2 s that start 7.21 s apart" in remark
    assert "that start 2.31 s apart" in windows_of(32.0, TWO_SECONDS, WindowSettings(most_windows=14))[1]
    assert windows_of(1001.0, TWO_SECONDS)[1] == "" and len(windows_of(1001.0, TWO_SECONDS)[0]) == 1000
    asked, remark = windows_of(7200.0, TWO_SECONDS, WindowSettings(stride_s=1.0))
    assert len(asked) == 7199 and remark == ""
    with pytest.raises(ValueError, match="50,000 windows, 0.0001 s gives 80,001"):
        windows_of(10.0, TWO_SECONDS, WindowSettings(stride_s=0.0001))
    assert len(windows_of(10.0, FrameSettings(1, 1e9), WindowSettings(whole_up_to_s=0))[0]) == 1000


def test_a_single_window_lies_in_the_middle():
    windows, remark = windows_of(100.0, TWO_SECONDS, WindowSettings(most_windows=1))
    assert windows.tolist() == [[49, 51]] and "one window of 2 s in the middle" in remark
    assert clip_instants(0, 100, TWO_SECONDS) == pytest.approx(clip_instants(*windows[0], TWO_SECONDS))


@pytest.mark.parametrize(("seconds", "fewest"), [(0.5, 1000), (3.0, 1000), (60.0, 112), (1e9, 12)])
def test_runs_are_all_windows_and_stay_in_their_bounds(seconds, fewest):
    windows, _ = windows_of(7200.0, TWO_SECONDS)
    runs = chunks_of(windows, TWO_SECONDS, seconds)
    assert [number for first, end in runs for number in range(first, end)] == list(range(1000))
    for first, end in runs:
        assert (end - first) * 24 * 64 * 64 * 3 <= CHUNK_BYTES
        assert windows[end - 1, 1] - windows[first, 0] <= seconds or end - first == 1
    assert len(runs) == fewest  # 9 windows reach over 2 + 8 * 7.2 s; 84 have 24.8 MB


def test_a_window_of_any_size_is_a_run():
    large = FrameSettings(64, 8.0, 1024)
    assert chunks_of(np.array([[0.0, 10.0], [5.0, 15.0]]), large, 1.0) == [(0, 1), (1, 2)]


@pytest.mark.parametrize(
    ("kind", "field", "value"),
    [
        *((FrameSettings, *pair) for pair in (("n_frames", 0), ("size_px", 1.5), ("fps", 0.0))),
        *((FrameSettings, *pair) for pair in (("fps", float("inf")), ("jpeg_quality", 101))),
        *((WindowSettings, "window_s", value) for value in (0, float("inf"))),
        *((WindowSettings, "stride_s", value) for value in (-1, float("nan"))),
        *((WindowSettings, "whole_up_to_s", value) for value in (-1, float("nan"))),
        *((WindowSettings, "most_windows", value) for value in (0, 1.5)),
    ],
)
def test_settings_are_checked(kind, field, value):
    with pytest.raises(ValueError, match=f"{field} must be .*, got {value}"):
        kind(**{field: value})


@pytest.mark.parametrize("duration_s", [0.0, -1.0, float("nan"), float("inf")])
def test_a_duration_is_checked(duration_s):
    with pytest.raises(ValueError, match=f"got {duration_s}"):
        windows_of(duration_s, TWO_SECONDS)
