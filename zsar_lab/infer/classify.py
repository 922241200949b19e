"""Name the actions in videos by classes of the user's own."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path

import pandas as pd

from zsar_lab.data.datasets.folders import find_videos
from zsar_lab.data.sampling import WindowSettings
from zsar_lab.data.workers import Limits
from zsar_lab.infer.answers import answers
from zsar_lab.infer.classifier import Candidates, NamingModel
from zsar_lab.infer.embedding import WindowEmbeddings, embed_windows, joined

Paths = str | Path | Sequence[str | Path]


def embed_videos(
    paths: Paths,
    model: NamingModel,
    windows: WindowSettings = WindowSettings(),
    limits: Limits = Limits(),
    shown: bool = True,
) -> WindowEmbeddings:
    """Every window of these videos in the shared space, in the order of the paths; named by any classes afterwards, see `answers`.

    Args:
        paths: video files, folders of them, or a csv file with the columns path and label, see `find_videos`.
        model: what embeds, see `naming_model`.
        windows, limits, shown: as in `embed_windows`.

    Raises:
        FileNotFoundError, ValueError: there is no video at all, as `find_videos`.
    """
    videos = find_videos(paths)
    with closing(embed_windows(videos, model, windows, limits, shown)) as parts:
        return joined(list(parts), videos["path"].tolist())


def answers_as_they_come(
    paths: Paths,
    candidates: Candidates,
    model: NamingModel,
    windows: WindowSettings = WindowSettings(),
    limits: Limits = Limits(),
    shown: bool = True,
) -> Iterator[pd.DataFrame]:
    """A few rows of `answers` at a time, in no order, while the next videos are read; nothing is kept.

    Args and Raises: as `embed_videos`; candidates: from `model.candidates`.
    """
    with closing(embed_windows(find_videos(paths), model, windows, limits, shown)) as parts:
        for part in parts:
            yield answers(part, candidates)
