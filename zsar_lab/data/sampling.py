"""Which frames of a video stand for a clip."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class FrameSettings:
    """How a clip becomes frames: n_frames over a span of n_frames / fps seconds, each a square of size_px pixels.

    They are kept as raw pixels, or as JPEG of this quality (1..100) where that would not fit: about a tenth
    of the size, and slower to read.
    """

    n_frames: int = 24
    fps: float = 12.0
    size_px: int = 64
    jpeg_quality: int | None = None

    def __post_init__(self) -> None:
        for field in ("n_frames", "size_px"):
            value = getattr(self, field)
            if int(value) != value or value < 1:
                raise ValueError(f"{field} must be a whole number of 1 or more, got {value}")
        if not 0 < self.fps < float("inf"):
            raise ValueError(f"fps must be above 0 and finite, got {self.fps}")
        if self.jpeg_quality is not None and self.jpeg_quality not in range(1, 101):
            raise ValueError(
                f"jpeg_quality must be a whole number in 1..100, or None for raw pixels, got {self.jpeg_quality}"
            )


def clip_instants(start_s: float, end_s: float, settings: FrameSettings) -> np.ndarray:
    """The instants that stand for a clip: those of the centred d = min(end_s - start_s, n_frames / fps) seconds of it.

        t_k = middle - d / 2 + (k + 1/2) d / n_frames, k = 0..n_frames-1

    Returns:
        float64 [T], seconds in the clip's video, rising.

    Raises:
        ValueError: not 0 <= start_s < end_s.
    """
    if not (0 <= start_s < end_s < float("inf")):
        raise ValueError(f"a clip must have 0 <= start_s < end_s, got {start_s} and {end_s}")
    span_s = min(end_s - start_s, settings.n_frames / settings.fps)
    first_s = (start_s + end_s) / 2 - span_s / 2
    return first_s + (np.arange(settings.n_frames) + 0.5) * span_s / settings.n_frames


def window_instants(start_s: float, end_s: float, settings: FrameSettings, windows: int = 1) -> np.ndarray:
    """The instants of V windows over a clip, each as long as the d seconds of `clip_instants`.

    Their middles are evenly spaced from the first place where a whole window fits to the last:

        t_jk = t_k + (j / (V - 1) - 1/2) (end_s - start_s - d), j = 0..V-1; t_k of `clip_instants`

    One window, and the middle one of an odd number, are just the stretch of `clip_instants`. In a clip
    shorter than a window all are the same.

    Returns:
        float64 [V, T], seconds in the clip's video, rising along T and never falling along V.

    Raises:
        ValueError: not 0 <= start_s < end_s, or windows below 1.
    """
    if int(windows) != windows or windows < 1:
        raise ValueError(f"windows must be a whole number of 1 or more, got {windows}")
    centred_s = clip_instants(start_s, end_s, settings)
    slack_s = end_s - start_s - min(end_s - start_s, settings.n_frames / settings.fps)
    shares = (2 * np.arange(windows) - (windows - 1)) / max(
        1, 2 * (windows - 1)
    )  # in this order the middle one is 0 without rounding
    return centred_s + shares[:, None] * slack_s


def frame_indices(
    start_s: float,
    end_s: float,
    n_video_frames: int,
    video_fps: float,
    settings: FrameSettings,
    windows: int = 1,
) -> np.ndarray:
    """Which frames of a video with an even frame rate stand for a clip.

    For each instant of `window_instants` the frame that is on screen then, floor(t_k * video_fps), which is
    the frame with the nearest centre (of two equally near, the later).

    Args:
        start_s, end_s: the clip's bounds in its video, in seconds, 0 <= start_s < end_s.
        n_video_frames: frames in the video file, 1 or more.
        video_fps: frames a second of the file, above 0.
        settings: n_frames (T) and fps are used.
        windows: V stretches spread over the clip; 1 is the centred one.

    Returns:
        int64 array of shape [V * T], a window after the other, never falling in a window, in
        0..n_video_frames-1; frames repeat where the video has too few.

    Raises:
        ValueError: bounds, frame count or rate out of range, or a clip that starts after the video's end.
    """
    instants_s = window_instants(start_s, end_s, settings, windows).ravel()
    if n_video_frames < 1 or not 0 < video_fps < float("inf"):
        raise ValueError(
            f"a video must have one frame or more at a rate above 0, got {n_video_frames} at {video_fps}"
        )
    if start_s * video_fps >= n_video_frames:
        raise ValueError(
            f"a clip must start before its video ends at {n_video_frames / video_fps:g} s, got start_s {start_s}"
        )
    # an instant on the border of two frames must not fall to either side by rounding
    return np.clip(np.floor(instants_s * video_fps + 1e-6), 0, n_video_frames - 1).astype(np.int64)


def frame_indices_by_time(
    start_s: float, end_s: float, times_s: np.ndarray, settings: FrameSettings, windows: int = 1
) -> np.ndarray:
    """Which frames of a video with a variable frame rate stand for a clip: at each instant the last frame that has begun.

    Args:
        start_s, end_s: the clip's bounds in its video, in seconds, 0 <= start_s < end_s.
        times_s: float64 [N], rising: when each frame begins, the first at 0.
        settings: n_frames (T) and fps are used.
        windows: V stretches spread over the clip; 1 is the centred one.

    Returns:
        int64 array of shape [V * T], a window after the other, never falling in a window, in 0..N-1.

    Raises:
        ValueError: bounds out of range.
    """
    instants_s = window_instants(start_s, end_s, settings, windows).ravel()
    return np.clip(np.searchsorted(times_s, instants_s + 1e-7, side="right") - 1, 0, len(times_s) - 1).astype(
        np.int64
    )
