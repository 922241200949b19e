"""Which frames of a video are a clip, and where a long one is cut into windows. V windows, T frames each."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

CHUNK_BYTES = 25_000_000  # of the frames that are read at a time
WHOLE_UP_TO_S = 10.0
MOST_BY_STRIDE = 50_000  # windows of a video


def _check_whole(least: int = 1, **values: float) -> None:
    for name, value in values.items():
        if int(value) != value or value < least:
            raise ValueError(f"{name} must be a whole number of {least} or more, got {value}")


@dataclass(frozen=True)
class FrameSettings:
    """How a clip becomes frames: n_frames over n_frames / fps seconds, each a square of size_px pixels.

    They are saved raw, or as JPEG of this quality (1..100): about a tenth of the size, and slower to read.
    """

    n_frames: int = 24
    fps: float = 12.0
    size_px: int = 64
    jpeg_quality: int | None = None

    def __post_init__(self) -> None:
        _check_whole(n_frames=self.n_frames, size_px=self.size_px)
        if not 0 < self.fps < math.inf:
            raise ValueError(f"fps must be above 0 and finite, got {self.fps}")
        if self.jpeg_quality is not None and self.jpeg_quality not in range(1, 101):
            raise ValueError(f"jpeg_quality must be in 1..100, or None, got {self.jpeg_quality}")


def clip_instants(start_s: float, end_s: float, settings: FrameSettings) -> np.ndarray:
    """The instants of a clip that are looked at, of its centred d = min(end_s - start_s, n_frames / fps) s.

    t_k = middle - d / 2 + (k + 1/2) d / n_frames, k = 0..n_frames-1; float64 [T], seconds in the video
    """
    if not (0 <= start_s < end_s < math.inf):
        raise ValueError(f"a clip must have 0 <= start_s < end_s, got {start_s} and {end_s}")
    span_s = min(end_s - start_s, settings.n_frames / settings.fps)
    first_s = (start_s + end_s) / 2 - span_s / 2
    return first_s + (np.arange(settings.n_frames) + 0.5) * span_s / settings.n_frames


def window_instants(start_s: float, end_s: float, settings: FrameSettings, windows: int = 1) -> np.ndarray:
    """The instants of V windows over a clip, each as long as the d seconds of `clip_instants`.

    Their middles are evenly spaced from the first place where a whole window fits to the last:

        t_jk = t_k + (j / (V - 1) - 1/2) (end_s - start_s - d), j = 0..V-1; t_k of `clip_instants`; [V, T]

    One window, and the middle one of an odd number, are just the stretch of `clip_instants`; in a clip
    shorter than a window all are.
    """
    _check_whole(windows=windows)
    centred_s = clip_instants(start_s, end_s, settings)
    slack_s = end_s - start_s - min(end_s - start_s, settings.n_frames / settings.fps)
    # in this order the middle one is 0 without rounding
    shares = (2 * np.arange(windows) - (windows - 1)) / max(1, 2 * (windows - 1))
    return centred_s + shares[:, None] * slack_s


def frame_indices(
    start_s: float,
    end_s: float,
    n_video_frames: int,
    video_fps: float,
    settings: FrameSettings,
    windows: int = 1,
) -> np.ndarray:
    """Which frames of a video with an even frame rate are a clip.

    For each instant of `window_instants` the frame that is on screen then, floor(t_k * video_fps), which is
    the frame with the nearest centre (of two equally near, the later).

    Returns:
        int64 [V * T], a window after the other, never falling in a window, in 0..n_video_frames-1; frames
        repeat where the video has too few.

    Raises:
        ValueError: bounds, frame count or rate out of range, or a clip that starts after the video's end.
    """
    instants_s = window_instants(start_s, end_s, settings, windows).ravel()
    if n_video_frames < 1 or not 0 < video_fps < math.inf:
        raise ValueError(f"a video must have frames at a rate above 0, got {n_video_frames} at {video_fps}")
    if start_s * video_fps >= n_video_frames:
        raise ValueError(
            f"a clip must start before its video ends, got {start_s} of {n_video_frames / video_fps:g} s"
        )
    # an instant on the border of two frames must not fall to either side by rounding
    return np.clip(np.floor(instants_s * video_fps + 1e-6), 0, n_video_frames - 1).astype(np.int64)


def frame_indices_by_time(
    start_s: float, end_s: float, times_s: np.ndarray, settings: FrameSettings, windows: int = 1
) -> np.ndarray:
    """As `frame_indices` for a variable rate: the last frame begun; times_s, float64 [N], rise from 0."""
    instants_s = window_instants(start_s, end_s, settings, windows).ravel()
    last_begun = np.searchsorted(times_s, instants_s + 1e-7, side="right") - 1
    return np.clip(last_begun, 0, len(times_s) - 1).astype(np.int64)


def spread_indices(n_video_frames: int, n_frames: int) -> np.ndarray:
    """T frames of a whole video of n, from its first to its last: mteb's rule, which counts no seconds.

    round(k (n - 1) / (T - 1)), halves to the even; where n < T floor(k n / T), which repeats each in place.

    >>> from zsar_lab.data.sampling import spread_indices
    >>> spread_indices(16, 4).tolist(), spread_indices(3, 4).tolist()
    ([0, 5, 10, 15], [0, 0, 1, 2])

    Returns:
        int64 [T], never falling, in 0..n-1; one frame is the first.

    Source: frame_indices of mteb 2.26.24.
    """
    _check_whole(n_video_frames=n_video_frames, n_frames=n_frames)
    if n_video_frames < n_frames:
        return np.arange(n_frames) * n_video_frames // n_frames
    return np.linspace(0, n_video_frames - 1, n_frames).round().astype(np.int64)


@dataclass(frozen=True)
class WindowSettings:
    """How a video is cut into windows (times in seconds).

    Attributes:
        window_s: length of a window; None for the stretch that a model looks at, n_frames / fps. Of a longer
            one the middle stretch is looked at.
        stride_s: from the start of one window to that of the next, used as it is; None for half a window, or
            more where that makes more than most_windows.
        whole_up_to_s: a video up to this length is one window, the whole; None for 10 s, or none where a
            window or a stride is given.
        most_windows: that a video is cut into as long as stride_s is None, 1 or more.
    """

    window_s: float | None = None
    stride_s: float | None = None
    whole_up_to_s: float | None = None
    most_windows: int = 1000

    def __post_init__(self) -> None:
        for field in ("window_s", "stride_s"):
            value = getattr(self, field)
            if value is not None and not 0 < value < math.inf:
                raise ValueError(f"{field} must be above 0 and finite, or None, got {value}")
        if self.whole_up_to_s is not None and not self.whole_up_to_s >= 0:
            raise ValueError(f"whole_up_to_s must be 0 or more, got {self.whole_up_to_s}")
        _check_whole(most_windows=self.most_windows)


def windows_of(
    duration_s: float, frames: FrameSettings, settings: WindowSettings = WindowSettings()
) -> tuple[np.ndarray, str]:
    """The windows of a video: one every stride_s from 0 on, and the last one ends where the video ends.

    A video of at most whole_up_to_s, or no longer than a window, is one window, of which the middle is looked
    at. With stride <= window every instant lies in a window. More than most_windows are spread evenly
    instead; a single one lies in its middle.

    Returns:
        float64 [V, 2], start_s and end_s of each window, both rising; and a sentence where they were
        spread, or where less than half of a whole video is looked at and no window was given, else "".

    Raises:
        ValueError: a duration out of range, or a stride of which there are more than 50,000 in it.
    """
    if not 0 < duration_s < math.inf:
        raise ValueError(f"a video must be longer than 0 s, got {duration_s}")
    looked_at_s = frames.n_frames / frames.fps
    window_s = looked_at_s if settings.window_s is None else settings.window_s
    whole_up_to_s = settings.whole_up_to_s
    if whole_up_to_s is None:
        whole_up_to_s = WHOLE_UP_TO_S if settings.window_s is None and settings.stride_s is None else 0.0
    last_s = duration_s - window_s
    if duration_s <= whole_up_to_s or last_s <= 0:
        part = (
            f"of its {duration_s:.1f} s the middle {looked_at_s:g} s are looked at; "
            "give a window or a stride for all of it"
        )
        return np.array([[0.0, duration_s]]), part * (
            settings.window_s is None and looked_at_s < duration_s / 2
        )
    stride_s = window_s / 2 if settings.stride_s is None else settings.stride_s
    # a last window that is moved by next to nothing is no other one
    n_windows = math.ceil(last_s / stride_s - 1e-6) + 1
    if settings.stride_s is not None and n_windows > MOST_BY_STRIDE:
        raise ValueError(
            f"a stride must leave {MOST_BY_STRIDE:,} windows, {stride_s:g} s gives {n_windows:,}"
        )
    most, remark = settings.most_windows, ""
    if settings.stride_s is not None or n_windows <= most:
        starts_s = np.append(np.arange(n_windows - 1) * stride_s, last_s)
    elif most == 1:
        starts_s = np.array([last_s / 2])
        remark = f"of its {duration_s:.0f} s one window of {window_s:g} s in the middle is looked at"
    else:
        starts_s = np.linspace(0.0, last_s, most)
        remark = (
            f"its {duration_s:.0f} s are looked at in {most} windows of {window_s:g} s "
            f"that start {last_s / (most - 1):.3g} s apart"
        )
    remark += "; set stride_s or a larger most_windows for more" * bool(remark)
    # the very end, not what rounding makes of it
    ends_s = np.where(starts_s == last_s, duration_s, np.minimum(starts_s + window_s, duration_s))
    return np.stack([starts_s, ends_s], axis=1), remark


def chunks_of(windows_V2: np.ndarray, frames: FrameSettings, seconds: float) -> list[tuple[int, int]]:
    """Runs (first, end) of windows to be read at a time: of at most 25 MB and so many seconds, or one."""
    most = max(1, CHUNK_BYTES // (frames.n_frames * frames.size_px**2 * 3))
    runs, first, n_windows = [], 0, len(windows_V2)
    while first < n_windows:
        in_reach = int(np.searchsorted(windows_V2[:, 1], windows_V2[first, 0] + seconds, side="right"))
        end = min(first + most, max(first + 1, in_reach), n_windows)
        runs.append((first, end))
        first = end
    return runs
