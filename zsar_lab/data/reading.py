"""Reading videos in worker processes: windows of them as asked for, and previews. V windows, T frames."""

from __future__ import annotations

import os
import tempfile
import threading
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from zsar_lab.data.pixels import centred, whole_frames
from zsar_lab.data.sampling import CHUNK_BYTES, FrameSettings, WindowSettings, chunks_of, windows_of
from zsar_lab.data.video import READING_RULE, UnreadableVideo, plays_in_browser, probe_clip, write_mp4
from zsar_lab.data.workers import Answer, Limits, run_tasks
from zsar_lab.files import fingerprint, make_folder
from zsar_lab.progress import progress

if TYPE_CHECKING:  # workers that read do without pandas
    from zsar_lab.data.catalog import Catalog

LEAST_PIXELS_PER_S = 20e6  # that a worker decodes; 60e6 were seen on a busy machine
# What lies ready until workers wait: enough short clips for a batch while the one before is with the model.
AHEAD_BYTES = 8 * CHUNK_BYTES
AHEAD_FILES = 500
PREVIEW = FrameSettings(n_frames=48, fps=12.0, size_px=128)  # four seconds around a clip's middle
PREVIEW_CRFS = (23, 29, 35, 41, 47, 51)  # x264's constant rate factor, the finest first
# Of a preview; a larger file is shown as a preview too. A grid of 24 then stays below 2 MB of html (base64
# makes 4 bytes of 3).
MOST_BYTES = 60_000


@dataclass(frozen=True, eq=False)
class ReadWindows:
    """Some windows of a video, one after another, or why they could not be read.

    Attributes:
        video, path: which of the paths, from 0.
        start_s, end_s: of each window in its video, float64 [V], where they are known.
        frames_VTHWC: RGB, uint8 in 0..255, [V, T, size_px, size_px, 3]; V = 0 where they could not be read.
        first: number of the first of these windows in the video, from 0.
        n_windows, duration_s: of the whole video; 0 where it could not be read.
        remark: of `windows_of`, mostly "".
        reason: why the windows could not be read, one sentence; else "".
    """

    video: int
    path: str
    start_s: np.ndarray
    end_s: np.ndarray
    frames_VTHWC: np.ndarray
    first: int
    n_windows: int
    duration_s: float
    remark: str
    reason: str


def read_windows(
    paths: Sequence[str],
    frames: FrameSettings,
    settings: WindowSettings = WindowSettings(),
    limits: Limits = Limits(),
) -> Generator[ReadWindows, None, None]:
    """Read the windows of videos, in worker processes that stay a little ahead of whoever takes them.

    A video comes whole where its windows are at most 25 MB of frames and quickly decoded. Longer ones come in
    runs of windows, after all others. Neither videos nor the runs of one come in order. What cannot be read
    comes once, with its reason. The frames are those of a frame store of the same stretch, always raw.

    At most some 200 MB of frames, and what the workers are at, wait in a temporary folder, which goes with
    the iterator. Close it (contextlib.closing) when leaving early: that ends the workers at once.

    Raises:
        ValueError: one path instead of a list (at the call already).
        RuntimeError, OSError: a worker cannot be started at all, or the disk is full.
    """
    if isinstance(paths, (str, Path)):
        raise ValueError(f"paths must be a list of video files, got '{paths}' alone")
    return _read(list(map(str, paths)), frames, settings, limits)


def _read(
    paths: list[str], frames: FrameSettings, settings: WindowSettings, limits: Limits
) -> Generator[ReadWindows, None, None]:
    common = {"settings": asdict(frames), "cut": asdict(settings), "timeout_s": limits.timeout_s}
    none_VTHWC = np.empty((0, frames.n_frames, frames.size_px, frames.size_px, 3), dtype=np.uint8)
    long_videos = []

    def item(
        video: int, info: dict, run: tuple[int, int], frames_VTHWC: np.ndarray, reason: str = ""
    ) -> ReadWindows:
        windows_V2, remark, _ = _cut(common | info)
        of_video = len(windows_V2), info["frames"] / info["fps"], remark, reason
        start_s, end_s = windows_V2[slice(*run)].T.copy()
        return ReadWindows(video, paths[video], start_s, end_s, frames_VTHWC, run[0], *of_video)

    with tempfile.TemporaryDirectory(prefix="zsar_lab_windows_") as folder:
        tasks = (common | {"path": path} for path in paths)
        with closing(_answers(read_video, tasks, len(paths), folder, limits)) as answers:
            for answer, frames_VTHWC in answers:
                video, info = answer.index, answer.result
                if info is None:
                    nowhere, of_video = np.empty(0), (0, 0, 0.0, "", answer.reason)
                    yield ReadWindows(video, paths[video], nowhere, nowhere, none_VTHWC, *of_video)
                elif frames_VTHWC is None:
                    long_videos.append((video, info))
                else:
                    yield item(video, info, (0, len(frames_VTHWC)), frames_VTHWC)
        runs = [(video, info, run) for video, info in long_videos for run in _cut(common | info)[2]]
        tasks = (common | info | {"path": paths[video], "run": run} for video, info, run in runs)
        with closing(_answers(read_chunk, tasks, len(runs), folder, limits)) as answers:
            for answer, frames_VTHWC in answers:
                frames_VTHWC = none_VTHWC if frames_VTHWC is None else frames_VTHWC
                yield item(*runs[answer.index], frames_VTHWC, answer.reason)


def read_video(task: dict) -> dict:
    """A worker's job: `probe` of task["path"], with n_frames as frames; of a short video its windows too.

    The task also names target, settings, how the video is cut (cut) and the time limit (timeout_s).
    """
    info = probe_clip(task)
    info["frames"] = info.pop("n_frames")
    windows_V2, _, chunks = _cut(task | info)
    if len(chunks) == 1:
        read_chunk(task | info | {"run": (0, len(windows_V2))})
    return info


def read_chunk(task: dict) -> dict:
    """A worker's job: write a run of windows as task["target"]: uint8 [V, T, size_px, size_px, 3], npy.

    Besides what `read_video` takes and gives, the task names the run. A window that is the whole video
    has the frames that a frame store has of it.
    """
    settings = FrameSettings(**task["settings"])
    bounds = _cut(task)[0][slice(*task["run"])].tolist()
    frames = centred(whole_frames(task, bounds, settings), settings.size_px)
    np.save(task["target"], frames.reshape(len(bounds), settings.n_frames, *frames.shape[1:]))
    return {}


def _cut(task: dict) -> tuple[np.ndarray, str, list[tuple[int, int]]]:
    """The windows of a video, the remark of `windows_of`, and runs that are read well within the limit."""
    settings = FrameSettings(**task["settings"])
    windows_V2, remark = windows_of(task["frames"] / task["fps"], settings, WindowSettings(**task["cut"]))
    pixels_per_video_s = task["fps"] * task["width"] * task["height"]
    seconds = task["timeout_s"] * LEAST_PIXELS_PER_S / pixels_per_video_s
    return windows_V2, remark, chunks_of(windows_V2, settings, seconds)


def _answers(
    job: Callable[[dict], dict], tasks: Iterable[dict], n_tasks: int, folder: str, limits: Limits
) -> Generator[tuple[Answer, np.ndarray | None], None, None]:
    """Run a job over tasks; the answers, each with the frames that it wrote as task["target"] (None if none).

    Answers are short texts, so frames go through files; tasks are held back while many lie there untaken.
    """
    changed, ended = threading.Condition(), threading.Event()

    def has_room() -> bool:
        sizes = [] if ended.is_set() else [entry.stat().st_size for entry in os.scandir(folder)]
        return len(sizes) < AHEAD_FILES and sum(sizes) < AHEAD_BYTES

    def let_through() -> Iterator[dict]:
        for number, task in enumerate(tasks):
            with changed:
                changed.wait_for(has_room)
            if ended.is_set():
                return
            yield task | {"target": os.path.join(folder, f"{number}.npy")}

    def end() -> None:  # one of the workers' threads may be waiting
        with changed:
            ended.set()
            changed.notify_all()

    with closing(run_tasks(job, let_through(), n_tasks, limits, ending=end)) as answers:
        for answer in answers:
            target = Path(folder, f"{answer.index}.npy")
            frames = np.load(target) if answer.result is not None and target.exists() else None
            with changed:
                target.unlink(missing_ok=True)  # also half a file, of a worker that was ended
                changed.notify_all()
            yield answer, frames


def preview_clip(task: dict) -> dict:
    """A worker's job: write a clip as task["target"], an mp4 as fine as task["most_bytes"] allow."""
    asked = FrameSettings(**task["settings"])
    n_frames = max(1, min(asked.n_frames, round((task["end_s"] - task["start_s"]) * asked.fps)))
    frames = whole_frames(task, [(task["start_s"], task["end_s"])], replace(asked, n_frames=n_frames))
    height, width = (side // 2 * 2 for side in frames.shape[1:3])  # yuv420p needs even sides
    for crf in PREVIEW_CRFS:
        write_mp4(Path(task["target"]), frames[:, :height, :width], int(asked.fps), crf)
        if Path(task["target"]).stat().st_size <= task["most_bytes"]:
            break
    return {}


def preview_folder() -> Path:
    """Where previews are saved: zsar_lab/previews in XDG_CACHE_HOME, by default ~/.cache."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "zsar_lab" / "previews"


def make_previews(
    catalog: Catalog, ids: Sequence[str], limits: Limits = Limits(timeout_s=20.0), folder: Path | None = None
) -> dict[str, Path | str]:
    """A file that browsers play for each clip: the video itself if it is one and whole, else a preview.

    A preview is H.264 in mp4 without sound: up to four seconds around the clip's middle at 12 frames a
    second, the shorter side 128 pixels, as fine as 60 kB allow; made once for a video.

    Returns:
        For each id (KeyError if not in the catalog) a path, or a sentence that says why there is none.
    """
    folder = preview_folder() if folder is None else Path(folder)
    listed = catalog.clips
    if "fps" not in listed:  # no video of the catalog was opened yet
        from zsar_lab.data.catalog import MISSING, complete_clips, probe_files  # workers need no pandas

        listed = listed[listed["id"].isin(ids)]
        listed = listed.assign(status=np.where(listed["path"] == "", MISSING, ""))
        paths = listed["path"][listed["status"] == ""]
        listed = complete_clips(listed, probe_files(catalog.root, paths, limits))
    clips = listed.set_index("id").loc[
        list(dict.fromkeys(ids)), ["path", "start_s", "end_s", "frames", "fps", "variable_rate"]
    ]
    shown: dict[str, Path | str] = {}
    tasks = []
    for clip_id, clip in clips.to_dict("index").items():
        path = Path(catalog.root) / clip["path"]
        if not clip["path"]:
            shown[clip_id] = "no video is known"
            continue
        try:
            status = path.stat()
            is_whole = clip["start_s"] == 0 and clip["end_s"] * clip["fps"] > clip["frames"] - 1
            if is_whole and status.st_size <= MOST_BYTES and plays_in_browser(path):
                shown[clip_id] = path
                continue
        except (OSError, UnreadableVideo) as error:
            shown[clip_id] = str(error)
            continue
        made_of = str(path.absolute()), status.st_size, status.st_mtime_ns, clip["start_s"], clip["end_s"]
        target = folder / f"{fingerprint('preview', READING_RULE, *made_of, asdict(PREVIEW), MOST_BYTES)}.mp4"
        shown[clip_id] = target
        if not target.is_file():
            files = {"path": str(path), "target": str(target)}
            tasks.append(
                clip | files | {"id": clip_id, "settings": asdict(PREVIEW), "most_bytes": MOST_BYTES}
            )
    if not tasks:
        return shown
    try:
        make_folder(folder)
    except PermissionError as error:
        return shown | {task["id"]: str(error) for task in tasks}
    bar = progress(what="previews", unit="clip", total=len(tasks))
    with closing(run_tasks(preview_clip, tasks, len(tasks), limits)) as answers, bar:
        for answer in answers:
            if answer.result is None:
                shown[tasks[answer.index]["id"]] = answer.reason
            bar.update(1)
    return shown
