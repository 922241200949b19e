"""Embed a user's videos once: windows as they are read, the model working while the next ones are decoded."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass

import numpy as np
import pandas as pd

from zsar_lab.data.reading import ReadWindows, read_windows
from zsar_lab.data.sampling import WindowSettings
from zsar_lab.data.workers import Limits
from zsar_lab.infer.classifier import NamingModel
from zsar_lab.progress import progress

AT_ONCE = 16  # windows of short videos that the model reads together
WINDOW_COLUMNS = ("path", "label", "start_s", "end_s", "duration_s", "remark", "reason")


@dataclass(frozen=True, eq=False)
class WindowEmbeddings:
    """Embedded windows of videos, and the videos that could not be read.

    Attributes:
        table: a row a window: path, label ("" unless known), start_s, end_s, duration_s of the video, remark,
            and reason ("" or why it could not be read; then no window stands behind it, and start_s and end_s
            are those that failed, or 0).
        embedding_ND: float32, unit rows, one for each row of the table; zeros where there is a reason.
        model: fingerprint of the model.
    """

    table: pd.DataFrame
    embedding_ND: np.ndarray
    model: str

    @property
    def read(self) -> np.ndarray:
        """Which rows were read, bool [N]."""
        return (self.table["reason"] == "").to_numpy()


def embed_windows(
    videos: pd.DataFrame,
    model: NamingModel,
    windows: WindowSettings = WindowSettings(),
    limits: Limits = Limits(),
    shown: bool = True,
) -> Iterator[WindowEmbeddings]:
    """Read and embed videos as they come, in no order, with a bar; memory does not grow with their number or length.

    Close the iterator (contextlib.closing) when leaving it early: that ends the readers.

    Args:
        videos: from `find_videos`: path, label and reason; those with a reason are handed on with it.
        model: what embeds.
        windows: how long videos are cut.
        limits: processes that decode, and the time and memory that each may take for a file.
        shown: False for no bar.

    Yields:
        A few windows at a time.
    """
    refused = videos[videos["reason"] != ""]
    if len(refused):
        yield _refused(refused, model)
    good = videos[videos["reason"] == ""].reset_index(drop=True)
    labels, waiting = good["label"].tolist(), []
    bar = progress(what="naming", unit="video", total=len(good), shown=shown)
    with closing(read_windows(good["path"].tolist(), model.frames, windows, limits)) as readings, bar:
        for reading in readings:
            waiting.append(reading)
            if sum(len(read.frames_VTHWC) for read in waiting) >= AT_ONCE:
                yield _embedded(waiting, labels, model)
                waiting = []
            bar.update(
                min(_share(reading), bar.total - bar.n)
            )  # shares of a video add up to one by rounding only
        if waiting:
            yield _embedded(waiting, labels, model)


def joined(parts: Sequence[WindowEmbeddings], order: Sequence[str]) -> WindowEmbeddings:
    """All parts as one, the videos in the order of these paths and the windows in time."""
    table = pd.concat([part.table for part in parts], ignore_index=True)
    place = {path: number for number, path in enumerate(order)}
    rows = np.lexsort((table["start_s"], table["path"].map(place)))
    width = max(
        part.embedding_ND.shape[1] for part in parts
    )  # parts of which nothing could be read have none
    embedding_ND = np.concatenate(
        [np.pad(part.embedding_ND, ((0, 0), (0, width - part.embedding_ND.shape[1]))) for part in parts]
    )
    return WindowEmbeddings(table.iloc[rows].reset_index(drop=True), embedding_ND[rows], parts[0].model)


def _share(reading: ReadWindows) -> float:
    """How much of its video a reading is."""
    return len(reading.start_s) / reading.n_windows if reading.n_windows else 1.0


def _embedded(readings: Sequence[ReadWindows], labels: Sequence[str], model: NamingModel) -> WindowEmbeddings:
    rows = []
    for reading in readings:
        about = reading.path, labels[reading.video]
        if reading.reason:
            bounds = [(reading.start_s[0], reading.end_s[-1])] if len(reading.start_s) else [(0.0, 0.0)]
        else:
            bounds = list(zip(reading.start_s.tolist(), reading.end_s.tolist(), strict=True))
        rows += [(*about, *bound, reading.duration_s, reading.remark, reading.reason) for bound in bounds]
    frames = [reading.frames_VTHWC for reading in readings if not reading.reason]
    read = model.embed(np.concatenate(frames)).astype(np.float32) if frames else np.zeros((0, 0), np.float32)
    table = pd.DataFrame(rows, columns=WINDOW_COLUMNS)
    embedding_ND = np.zeros((len(table), read.shape[1]), np.float32)
    embedding_ND[(table["reason"] == "").to_numpy()] = read
    return WindowEmbeddings(table, embedding_ND, model.fingerprint)


def _refused(videos: pd.DataFrame, model: NamingModel) -> WindowEmbeddings:
    table = videos.assign(start_s=0.0, end_s=0.0, duration_s=0.0, remark="")[
        list(WINDOW_COLUMNS)
    ].reset_index(drop=True)
    return WindowEmbeddings(table, np.zeros((len(table), 0), np.float32), model.fingerprint)
