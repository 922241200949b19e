"""Where a long video is cut into overlapping windows, and how many of them are read at a time.

Shape letters: V windows, T frames of a window.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from zsar_lab.data.sampling import FrameSettings

CHUNK_BYTES = 25_000_000  # of the frames that are read at a time
WHOLE_UP_TO_S = 10.0
MOST_BY_STRIDE = 50_000  # windows of a video


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
        for field, default in (
            ("window_s", "the stretch that the model looks at"),
            ("stride_s", "half a window"),
        ):
            value = getattr(self, field)
            if value is not None and not 0 < value < math.inf:
                raise ValueError(f"{field} must be above 0 and finite, or None for {default}, got {value}")
        if self.whole_up_to_s is not None and not self.whole_up_to_s >= 0:
            raise ValueError(f"whole_up_to_s must be 0 or more, got {self.whole_up_to_s}")
        if int(self.most_windows) != self.most_windows or self.most_windows < 1:
            raise ValueError(f"most_windows must be a whole number of 1 or more, got {self.most_windows}")


def windows_of(
    duration_s: float, frames: FrameSettings, settings: WindowSettings = WindowSettings()
) -> tuple[np.ndarray, str]:
    """The windows of a video: one every stride_s from 0 on, and the last one ends where the video ends.

    A video of at most whole_up_to_s, or no longer than a window, is one window, of which the middle is looked
    at. With stride <= window every instant lies in a window. More than most_windows (see `WindowSettings`)
    are spread evenly over the video instead; a single one lies in its middle.

    Args:
        duration_s: of the video, above 0.
        frames: n_frames / fps is how long a window is where settings do not say.
        settings: of the cut.

    Returns:
        float64 [V, 2], start_s and end_s of each window within 0..duration_s, both rising; and a sentence
        where they were spread, or where less than half of a whole video is looked at and no window was given,
        else "".

    Raises:
        ValueError: a duration out of range, or a stride of which there are more than 50,000 in it.
    """
    if not 0 < duration_s < math.inf:
        raise ValueError(f"a video must be longer than 0 s, got {duration_s}")
    looked_at_s = frames.n_frames / frames.fps
    window_s = looked_at_s if settings.window_s is None else settings.window_s
    last_s = duration_s - window_s
    if duration_s <= _whole_up_to_s(settings) or last_s <= 0:
        part = f"of its {duration_s:.1f} s the middle {looked_at_s:g} s are looked at; give a window or a stride for all of it"
        return np.array(
            [[0.0, duration_s]]
        ), part if settings.window_s is None and looked_at_s < duration_s / 2 else ""
    stride_s = window_s / 2 if settings.stride_s is None else settings.stride_s
    n_windows = (
        math.ceil(last_s / stride_s - 1e-6) + 1
    )  # a last window that is moved by next to nothing is no other one
    if settings.stride_s is not None and n_windows > MOST_BY_STRIDE:
        raise ValueError(
            f"a stride must leave at most {MOST_BY_STRIDE:,} windows, {stride_s:g} s gives {n_windows:,} in {duration_s:.0f} s; take a longer one"
        )
    remark = ""
    if settings.stride_s is None and n_windows > settings.most_windows:
        n_windows = settings.most_windows
        starts_s = np.linspace(0.0, last_s, n_windows) if n_windows > 1 else np.array([last_s / 2])
        remark = _spread(duration_s, window_s, n_windows, last_s / max(1, n_windows - 1))
    else:
        starts_s = np.append(np.arange(n_windows - 1) * stride_s, last_s)
    ends_s = np.where(
        starts_s == last_s, duration_s, np.minimum(starts_s + window_s, duration_s)
    )  # the very end, not what rounding makes of it
    return np.stack([starts_s, ends_s], axis=1), remark


def _whole_up_to_s(settings: WindowSettings) -> float:
    if settings.whole_up_to_s is not None:
        return settings.whole_up_to_s
    return WHOLE_UP_TO_S if settings.window_s is None and settings.stride_s is None else 0.0


def _spread(duration_s: float, window_s: float, n_windows: int, apart_s: float) -> str:
    if n_windows == 1:
        return f"of its {duration_s:.0f} s one window of {window_s:g} s in the middle is looked at; set stride_s or a larger most_windows for more"
    return (
        f"its {duration_s:.0f} s are looked at in {n_windows} windows of {window_s:g} s that start {apart_s:.3g} s apart; "
        "set stride_s for more of them"
    )


def chunks_of(windows_V2: np.ndarray, frames: FrameSettings, seconds: float) -> list[tuple[int, int]]:
    """Runs of windows to be read one at a time: each has at most 25 MB of frames and reaches over at most so many seconds of its video.

    Args:
        windows_V2: of `windows_of`.
        frames: how many pixels a window has.
        seconds: of video that a run may reach over, above 0. A single window may be longer, and of more
            bytes.

    Returns:
        (first, end) of each run, in order: windows first..end-1. Together they are all windows.
    """
    most = max(1, CHUNK_BYTES // (frames.n_frames * frames.size_px**2 * 3))
    runs, first, n_windows = [], 0, len(windows_V2)
    while first < n_windows:
        in_reach = int(np.searchsorted(windows_V2[:, 1], windows_V2[first, 0] + seconds, side="right"))
        end = min(first + most, max(first + 1, in_reach), n_windows)
        runs.append((first, end))
        first = end
    return runs
