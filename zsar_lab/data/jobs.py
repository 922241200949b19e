"""What worker processes do with one video: probe it, decode a clip into the frame store, read windows of it, or make a preview of it.

The module stays light, for each worker imports it.
"""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path

import numpy as np

from zsar_lab.data.pixels import append_jpeg, write_raw
from zsar_lab.data.sampling import FrameSettings, frame_indices, frame_indices_by_time
from zsar_lab.data.video import UnreadableVideo, frame_times, probe, read_frames
from zsar_lab.data.video_writing import write_mp4
from zsar_lab.data.windows import WindowSettings, chunks_of, windows_of

LEAST_PIXELS_PER_S = 20e6  # that a worker decodes; 60e6 were seen on a busy machine
PREVIEW_CRFS = (23, 29, 35, 41, 47, 51)  # x264's constant rate factor, the finest first


def probe_clip(task: dict) -> dict:
    """`probe` of task["path"]."""
    return asdict(probe(Path(task["path"])))


def store_clip(task: dict) -> dict:
    """Decode a clip of task["path"], crop a centred square, and write it as row task["row"] of the store task["store"].

    The task also names start_s, end_s, the video's frames, fps and variable_rate, and the settings. The
    pixels are on disk before the answer is given.

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
        windows: V stretches spread over the clip (see `window_instants`); 1 is the centred one, which a frame
            store keeps.

    Returns:
        RGB, uint8 in 0..255, [V * T, size_px, size_px, 3], a window after the other.

    Raises:
        ValueError: the file cannot be read, or the clip does not lie in it.
    """
    return _centred(_frames_of(task, settings, windows), settings.size_px)


def read_video(task: dict) -> dict:
    """`probe` of task["path"]; one of so few windows that they can be read at a time is read too, as by `read_chunk`.

    The task also names target, settings, how the video is cut (cut) and the time limit of the worker
    (timeout_s).

    Returns:
        The fields of `VideoInfo`.
    """
    info = asdict(probe(Path(task["path"])))
    windows_V2, _, chunks = cut(
        info, FrameSettings(**task["settings"]), WindowSettings(**task["cut"]), task["timeout_s"]
    )
    if len(chunks) == 1:
        read_chunk(task | {"info": info, "bounds": windows_V2.tolist()})
    return info


def read_chunk(task: dict) -> dict:
    """Decode windows of task["path"] in one reading and write them as task["target"], a npy file: uint8 [V, T, size_px, size_px, 3].

    The task also names the video (info, the fields of `VideoInfo`), the settings, and start_s and end_s of
    each window (bounds). A window that is the whole video has the frames that a frame store keeps of it.
    """
    path, settings, info = Path(task["path"]), FrameSettings(**task["settings"]), task["info"]
    times_s = frame_times(path) if info["variable_rate"] else None
    chosen = [
        _chosen(start_s, end_s, info["n_frames"], info["fps"], times_s, settings)
        for start_s, end_s in task["bounds"]
    ]
    frames = _centred(_read(path, np.concatenate(chosen), settings, info["n_frames"]), settings.size_px)
    np.save(task["target"], frames.reshape(len(chosen), settings.n_frames, *frames.shape[1:]))
    return {}


def cut(
    info: dict, settings: FrameSettings, window_settings: WindowSettings, timeout_s: float
) -> tuple[np.ndarray, str, list[tuple[int, int]]]:
    """The windows of a video and the remark of `windows_of`, and the runs of windows that a worker reads at a time, well within its time limit.

    Args:
        info: the fields of `VideoInfo`.
        settings, window_settings: see `windows_of`.
        timeout_s: seconds that a worker may take.
    """
    windows_V2, remark = windows_of(info["n_frames"] / info["fps"], settings, window_settings)
    pixels_per_video_s = info["fps"] * info["width"] * info["height"]
    return (
        windows_V2,
        remark,
        chunks_of(windows_V2, settings, timeout_s * LEAST_PIXELS_PER_S / pixels_per_video_s),
    )


def preview_clip(task: dict) -> dict:
    """Write a clip as task["target"], an H.264 mp4; the task names the clip and settings as for `store_clip`, and most_bytes.

    A clip that becomes larger than most_bytes is written again, coarser, until it fits or x264 has nothing
    coarser.
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
    times_s = frame_times(path) if task["variable_rate"] else None
    return _read(
        path,
        _chosen(task["start_s"], task["end_s"], task["frames"], task["fps"], times_s, settings, windows),
        settings,
        task["frames"],
    )


def _chosen(
    start_s: float,
    end_s: float,
    n_frames: int,
    fps: float,
    times_s: np.ndarray | None,
    settings: FrameSettings,
    windows: int = 1,
) -> np.ndarray:
    """The numbers of the frames that stand for a clip, int64 [windows * T]; by the time stamps of a video with a variable rate."""
    if times_s is None:
        return frame_indices(start_s, end_s, n_frames, fps, settings, windows)
    return frame_indices_by_time(start_s, end_s, times_s, settings, windows)


def _read(path: Path, chosen: np.ndarray, settings: FrameSettings, n_frames: int) -> np.ndarray:
    try:
        return read_frames(path, chosen, settings.size_px, "decord", n_frames)
    except UnreadableVideo:
        return read_frames(path, chosen, settings.size_px, "pyav", n_frames)


def _centred(frames: np.ndarray, size_px: int) -> np.ndarray:
    """The centred square of each frame."""
    top, left = (np.array(frames.shape[1:3]) - size_px) // 2
    return frames[:, top : top + size_px, left : left + size_px]
