"""Reading windows of videos as they are asked for, in worker processes, and keeping nothing.

Shape letters: V windows, T frames of a window, H W pixels, C colours.
"""

from __future__ import annotations

import os
import tempfile
import threading
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from zsar_lab.data.jobs import cut, read_chunk, read_video
from zsar_lab.data.sampling import FrameSettings
from zsar_lab.data.windows import CHUNK_BYTES, WindowSettings
from zsar_lab.data.workers import Answer, Limits, run_tasks

# What lies ready until workers wait: enough short clips for a batch while the one before is with the model.
AHEAD_BYTES = 8 * CHUNK_BYTES
AHEAD_FILES = 500


@dataclass(frozen=True, eq=False)
class ReadWindows:
    """Some windows of a video, one after another, or why they could not be read.

    Attributes:
        video: which of the paths, from 0.
        path: of the video.
        start_s, end_s: of each window in its video, float64 [V]; of those that could not be read, where they
            are known.
        frames_VTHWC: RGB, uint8 in 0..255, [V, T, size_px, size_px, 3]; V = 0 where they could not be read.
        first: number of the first of these windows in the video, from 0.
        n_windows: of the whole video; 0 where it could not be read.
        duration_s: of the video, 0 where it could not be read.
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
    runs of windows, after all others. Neither videos nor the runs of one come in order. A video that cannot
    be read comes once, with its reason; so does a run of windows. The frames are those that a frame store
    keeps of the same stretch of video, always raw.

    At most some 200 MB of frames, and what the workers are at, wait in a temporary folder, which goes with
    the iterator. Close it (contextlib.closing) when leaving early: that ends the workers at once.

    Args:
        paths: of the videos.
        frames: frames a window (T), their rate and size.
        settings: how a long video is cut.
        limits: workers, and the time and memory that each may take for a video or a run of windows.

    Raises:
        ValueError: one path instead of a list (at the call already).
        RuntimeError: a worker cannot be started at all.
        OSError: the disk is full.
    """
    if isinstance(paths, (str, Path)):
        raise ValueError(
            f"paths must be a list of video files, got '{paths}' alone; put it into a list, or give a folder to find_videos"
        )
    return _Reader(list(map(str, paths)), frames, settings, limits).items()


class _Reader:
    """What `read_windows` was asked for; `items` does it."""

    def __init__(
        self, paths: list[str], frames: FrameSettings, settings: WindowSettings, limits: Limits
    ) -> None:
        self.paths, self.frames, self.settings, self.limits = paths, frames, settings, limits
        self.common = {"settings": asdict(frames), "cut": asdict(settings), "timeout_s": limits.timeout_s}
        self.none_VTHWC = np.empty((0, frames.n_frames, frames.size_px, frames.size_px, 3), dtype=np.uint8)

    def items(self) -> Generator[ReadWindows, None, None]:
        tasks, long_videos = (self.common | {"path": path} for path in self.paths), {}
        with tempfile.TemporaryDirectory(prefix="zsar_lab_windows_") as folder:
            with closing(_answers(read_video, tasks, len(self.paths), folder, self.limits)) as answers:
                for answer, frames_VTHWC in answers:
                    video, info = answer.index, answer.result
                    if info is None:
                        nowhere = np.empty(0)
                        yield ReadWindows(
                            video,
                            self.paths[video],
                            nowhere,
                            nowhere,
                            self.none_VTHWC,
                            0,
                            0,
                            0.0,
                            "",
                            answer.reason,
                        )
                    elif frames_VTHWC is None:
                        long_videos[video] = info
                    else:
                        yield self._item(video, info, (0, len(frames_VTHWC)), frames_VTHWC)
            yield from self._items_of_long(long_videos, folder)

    def _items_of_long(self, infos: dict[int, dict], folder: str) -> Generator[ReadWindows, None, None]:
        runs = [(video, run) for video, info in infos.items() for run in self._cut(info)[2]]
        tasks = (
            self.common
            | {
                "path": self.paths[video],
                "info": infos[video],
                "bounds": self._cut(infos[video])[0][slice(*run)].tolist(),
            }
            for video, run in runs
        )
        with closing(_answers(read_chunk, tasks, len(runs), folder, self.limits)) as answers:
            for answer, frames_VTHWC in answers:
                video, run = runs[answer.index]
                yield self._item(
                    video,
                    infos[video],
                    run,
                    self.none_VTHWC if frames_VTHWC is None else frames_VTHWC,
                    answer.reason,
                )

    def _cut(self, info: dict) -> tuple[np.ndarray, str, list[tuple[int, int]]]:
        return cut(info, self.frames, self.settings, self.limits.timeout_s)

    def _item(
        self, video: int, info: dict, run: tuple[int, int], frames_VTHWC: np.ndarray, reason: str = ""
    ) -> ReadWindows:
        windows_V2, remark, _ = self._cut(info)
        start_s, end_s = windows_V2[slice(*run)].T.copy()
        duration_s = info["n_frames"] / info["fps"]
        return ReadWindows(
            video,
            self.paths[video],
            start_s,
            end_s,
            frames_VTHWC,
            run[0],
            len(windows_V2),
            duration_s,
            remark,
            reason,
        )


def _answers(
    job: Callable[[dict], dict], tasks: Iterable[dict], n_tasks: int, folder: str, limits: Limits
) -> Generator[tuple[Answer, np.ndarray | None], None, None]:
    """Run a job over tasks; the answers, each with the frames that the job wrote as task["target"] (None if none)."""
    ahead = _Ahead(folder)
    # one of the workers' threads may be waiting in it when they are ended
    with closing(run_tasks(job, ahead.let_through(tasks), n_tasks, limits, ending=ahead.end)) as answers:
        for answer in answers:
            yield answer, ahead.take(answer)


class _Ahead:
    """The files that workers have written and nobody has taken yet; holds back tasks while there are many.

    Answers are short texts, so the frames go through files.
    """

    def __init__(self, folder: str) -> None:
        self.folder, self.changed, self.ended = folder, threading.Condition(), False

    def let_through(self, tasks: Iterable[dict]) -> Iterator[dict]:
        for number, task in enumerate(tasks):
            with self.changed:
                self.changed.wait_for(lambda: self.ended or self._is_small())
            if self.ended:
                return
            yield task | {"target": self._target(number)}

    def take(self, answer: Answer) -> np.ndarray | None:
        """The frames of a task, whose file goes; None if there are none."""
        target = Path(self._target(answer.index))
        frames_VTHWC = np.load(target) if answer.result is not None and target.exists() else None
        with self.changed:
            target.unlink(missing_ok=True)  # also half a file, of a worker that was ended
            self.changed.notify_all()
        return frames_VTHWC

    def end(self) -> None:
        with self.changed:
            self.ended = True
            self.changed.notify_all()

    def _target(self, number: int) -> str:
        return os.path.join(self.folder, f"{number}.npy")

    def _is_small(self) -> bool:
        with os.scandir(self.folder) as entries:
            sizes = [entry.stat().st_size for entry in entries]
        return len(sizes) < AHEAD_FILES and sum(sizes) < AHEAD_BYTES
