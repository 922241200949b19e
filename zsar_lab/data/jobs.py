"""What worker processes do with one video: probe it, decode a clip into the frame store, or make a preview of it.

The module stays light, for each worker imports it.
"""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path

import numpy as np

from zsar_lab.data.pixels import append_jpeg, write_raw
from zsar_lab.data.sampling import FrameSettings, frame_indices, frame_indices_by_time
from zsar_lab.data.video import UnreadableVideo, frame_times, probe, read_frames, write_mp4

PREVIEW_CRFS = (23, 29, 35, 41, 47, 51)  # x264's constant rate factor, the finest first


def probe_clip(task: dict) -> dict:
    """`probe` of task["path"]."""
    return asdict(probe(Path(task["path"])))


def store_clip(task: dict) -> dict:
    """Decode a clip of task["path"], crop a centred square, and write it as row task["row"] of the store task["store"].

    The task also names start_s, end_s, the video's frames, fps and variable_rate, and the settings. The pixels are on disk before
    the answer is given.

    Returns:
        {"places": the T + 1 places of the JPEG images in their file}, or {} for raw pixels.
    """
    settings, store = FrameSettings(**task["settings"]), Path(task["store"])
    square = square_frames(task, settings)
    if settings.jpeg_quality is None:
        write_raw(store, task["row"], square)
        return {}
    return {"places": append_jpeg(store, square, settings.jpeg_quality)}


def square_frames(task: dict, settings: FrameSettings, windows: int = 1) -> np.ndarray:
    """Decode the frames that stand for a clip and cut out a centred square, in one reading of its file.

    Args:
        task: names path, start_s, end_s, the video's frames, fps and variable_rate.
        settings: frames a window (T), their rate and size.
        windows: V stretches spread over the clip (see `window_instants`); 1 is the centred one, which a frame store keeps.

    Returns:
        RGB, uint8 in 0..255, [V * T, size_px, size_px, 3], a window after the other.

    Raises:
        ValueError: the file cannot be read, or the clip does not lie in it.
    """
    frames = _frames_of(task, settings, windows)
    top, left = (np.array(frames.shape[1:3]) - settings.size_px) // 2
    return frames[:, top : top + settings.size_px, left : left + settings.size_px]


def preview_clip(task: dict) -> dict:
    """Write a clip as task["target"], an H.264 mp4; the task names the clip and settings as for `store_clip`, and most_bytes.

    A clip that becomes larger than most_bytes is written again, coarser, until it fits or x264 has nothing coarser.
    """
    asked = FrameSettings(**task["settings"])
    n_frames = max(1, min(asked.n_frames, round((task["end_s"] - task["start_s"]) * asked.fps)))
    frames = _frames_of(task, replace(asked, n_frames=n_frames))
    height, width = (side // 2 * 2 for side in frames.shape[1:3])  # yuv420p needs even sides
    for crf in PREVIEW_CRFS:
        write_mp4(Path(task["target"]), frames[:, :height, :width], int(asked.fps), crf)
        if Path(task["target"]).stat().st_size <= task["most_bytes"]:
            break
    return {}


def _frames_of(task: dict, settings: FrameSettings, windows: int = 1) -> np.ndarray:
    """The frames that stand for a clip, uint8 [windows * T, H, W, 3], the shorter side of settings.size_px."""
    path = Path(task["path"])
    if task["variable_rate"]:
        chosen = frame_indices_by_time(task["start_s"], task["end_s"], frame_times(path), settings, windows)
    else:
        chosen = frame_indices(task["start_s"], task["end_s"], task["frames"], task["fps"], settings, windows)
    try:
        return read_frames(path, chosen, settings.size_px, "decord", task["frames"])
    except UnreadableVideo:
        return read_frames(path, chosen, settings.size_px, "pyav", task["frames"])
