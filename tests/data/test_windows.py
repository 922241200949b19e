"""zsar_lab.data.sampling: where windows lie, by hand, against a plain loop and by property; runs of them; what is refused."""

from __future__ import annotations

import numpy as np
import pytest

from zsar_lab.data.sampling import (
    CHUNK_BYTES,
    FrameSettings,
    WindowSettings,
    chunks_of,
    clip_instants,
    windows_of,
)

TWO_SECONDS = FrameSettings(n_frames=24, fps=12.0, size_px=64)


def windows_plain(duration_s: float, window_s: float, stride_s: float) -> list[list[float]]:
    """One window after the other until one would reach past the end; then one that ends there."""
    found, start_s = [], 0.0
    while start_s + window_s < duration_s - 1e-6 * stride_s:
        found.append([start_s, start_s + window_s])
        start_s = len(found) * stride_s
    return [*found, [duration_s - window_s, duration_s]]


def random_cuts(n_cuts: int = 200):
    random = np.random.default_rng(0)
    for _ in range(n_cuts):
        window_s = random.uniform(0.1, 5)
        yield window_s * random.uniform(1.01, 40), window_s, window_s * random.uniform(0.05, 2)


@pytest.mark.parametrize(
    ("duration_s", "settings", "expected"),
    [
        (0.5, WindowSettings(), [[0, 0.5]]),
        (4.0, WindowSettings(), [[0, 4.0]]),
        (4.0, WindowSettings(window_s=2), [[0, 2], [1, 3], [2, 4]]),
        (4.0, WindowSettings(stride_s=2), [[0, 2], [2, 4]]),
        (4.0, WindowSettings(window_s=2, whole_up_to_s=5), [[0, 4]]),
        (1.5, WindowSettings(whole_up_to_s=0), [[0, 1.5]]),
        (2.0, WindowSettings(whole_up_to_s=0), [[0, 2.0]]),
        (2.5, WindowSettings(whole_up_to_s=0), [[0, 2], [0.5, 2.5]]),
        (4.0, WindowSettings(whole_up_to_s=0), [[0, 2], [1, 3], [2, 4]]),
        (4.25, WindowSettings(whole_up_to_s=0), [[0, 2], [1, 3], [2, 4], [2.25, 4.25]]),
        (12.0, WindowSettings(window_s=6), [[0, 6], [3, 9], [6, 12]]),
        (12.0, WindowSettings(window_s=20, whole_up_to_s=0), [[0, 12]]),
        (12.0, WindowSettings(window_s=2, stride_s=5), [[0, 2], [5, 7], [10, 12]]),
        (500.0, WindowSettings(window_s=2, whole_up_to_s=float("inf")), [[0, 500]]),
    ],
)
def test_windows_by_hand(duration_s, settings, expected):
    windows, remark = windows_of(duration_s, TWO_SECONDS, settings)
    assert windows.dtype == np.float64 and windows.tolist() == expected and remark == ""


def test_a_whole_video_of_which_little_is_looked_at_says_so():
    windows, remark = windows_of(10.0, TWO_SECONDS)
    assert (
        windows.tolist() == [[0, 10.0]]
        and remark == "of its 10.0 s the middle 2 s are looked at; give a window or a stride for all of it"
    )
    assert windows_of(4.01, TWO_SECONDS)[1] and not windows_of(4.0, TWO_SECONDS)[1]


def test_a_stride_of_too_many_windows_is_refused():
    with pytest.raises(
        ValueError,
        match="must leave at most 50,000 windows, 0.0001 s gives 80,001 in 10 s; take a longer one",
    ):
        windows_of(10.0, TWO_SECONDS, WindowSettings(stride_s=0.0001))


def test_windows_are_those_of_a_plain_loop():
    for duration_s, window_s, stride_s in random_cuts():
        windows, remark = windows_of(duration_s, TWO_SECONDS, WindowSettings(window_s, stride_s, 0.0))
        assert (
            windows == pytest.approx(np.array(windows_plain(duration_s, window_s, stride_s))) and not remark
        )


def test_windows_rise_within_the_video_and_leave_no_instant_out_where_they_overlap():
    for duration_s, window_s, stride_s in random_cuts():
        windows, _ = windows_of(duration_s, TWO_SECONDS, WindowSettings(window_s, stride_s, 0.0))
        assert (np.diff(windows, axis=0) > 0).all() and (windows[0, 0], windows[-1, 1]) == (0, duration_s)
        assert windows[:, 1] - windows[:, 0] == pytest.approx(window_s)
        assert np.diff(windows[:, 0]).max(initial=0) <= stride_s + 1e-9
        if stride_s <= window_s:
            assert (windows[1:, 0] <= windows[:-1, 1] + 1e-9).all()
        for start_s, end_s in windows[[0, -1]]:  # a window is a clip, and its instants lie in it
            instants_s = clip_instants(start_s, end_s, TWO_SECONDS)
            assert start_s < instants_s[0] and instants_s[-1] < end_s


def test_a_very_long_video_is_looked_at_evenly_and_says_so():
    windows, remark = windows_of(7200.0, TWO_SECONDS)
    assert len(windows) == 1000 and windows[0].tolist() == [0, 2] and windows[-1].tolist() == [7198, 7200]
    assert np.diff(windows[:, 0]) == pytest.approx(7198 / 999)
    assert (
        remark
        == "its 7200 s are looked at in 1000 windows of 2 s that start 7.21 s apart; set stride_s for more of them"
    )
    assert "that start 2.31 s apart" in windows_of(32.0, TWO_SECONDS, WindowSettings(most_windows=14))[1]
    assert windows_of(1001.0, TWO_SECONDS)[1] == "" and len(windows_of(1001.0, TWO_SECONDS)[0]) == 1000
    asked, remark = windows_of(7200.0, TWO_SECONDS, WindowSettings(stride_s=1.0))
    assert len(asked) == 7199 and remark == ""


def test_a_single_window_lies_in_the_middle():
    windows, remark = windows_of(100.0, TWO_SECONDS, WindowSettings(most_windows=1))
    assert windows.tolist() == [[49, 51]]
    assert clip_instants(0, 100, TWO_SECONDS) == pytest.approx(clip_instants(*windows[0], TWO_SECONDS))
    assert remark.startswith("of its 100 s one window of 2 s in the middle is looked at; set stride_s")


@pytest.mark.parametrize("seconds", [0.5, 3.0, 60.0, 1e9])
def test_runs_are_all_windows_and_stay_in_their_bounds(seconds):
    windows, _ = windows_of(7200.0, TWO_SECONDS)
    runs = chunks_of(windows, TWO_SECONDS, seconds)
    assert [number for first, end in runs for number in range(first, end)] == list(range(1000))
    for first, end in runs:
        assert (end - first) * 24 * 64 * 64 * 3 <= CHUNK_BYTES
        assert windows[end - 1, 1] - windows[first, 0] <= seconds or end - first == 1
    fewest = {0.5: 1000, 3.0: 1000, 60.0: 112, 1e9: 12}  # 9 windows reach over 2 + 8 * 7.2 s; 84 have 24.8 MB
    assert len(runs) == fewest[seconds]


def test_a_window_of_any_size_is_a_run():
    assert chunks_of(np.array([[0.0, 10.0], [5.0, 15.0]]), FrameSettings(64, 8.0, 1024), 1.0) == [
        (0, 1),
        (1, 2),
    ]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"window_s": 0},
            "window_s must be above 0 and finite, or None for the stretch that the model looks at, got 0",
        ),
        ({"window_s": float("inf")}, "window_s must be above 0 and finite"),
        ({"stride_s": -1}, "stride_s must be above 0 and finite, or None for half a window, got -1"),
        ({"stride_s": float("nan")}, "stride_s must be above 0 and finite"),
        ({"whole_up_to_s": -1}, "whole_up_to_s must be 0 or more, got -1"),
        ({"whole_up_to_s": float("nan")}, "whole_up_to_s must be 0 or more, got nan"),
        ({"most_windows": 0}, "most_windows must be a whole number of 1 or more, got 0"),
        ({"most_windows": 1.5}, "most_windows must be a whole number of 1 or more, got 1.5"),
    ],
)
def test_settings_are_checked(settings, message):
    with pytest.raises(ValueError, match=message):
        WindowSettings(**settings)


@pytest.mark.parametrize("duration_s", [0.0, -1.0, float("nan"), float("inf")])
def test_a_duration_is_checked(duration_s):
    with pytest.raises(ValueError, match=f"a video must be longer than 0 s, got {duration_s}"):
        windows_of(duration_s, TWO_SECONDS)
