"""Search clips by a text: the cosine of its point in the shared space with each clip's."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from zsar_lab.embed.outside import FORMS, Embeddings, EmbeddingsError, nearest_clips
from zsar_lab.infer.model import VideoModel, load_model
from zsar_lab.infer.predictions import Paths, embed_videos
from zsar_lab.text.relatedness import unit
from zsar_lab.workspace import Workspace


def search(
    text: str | np.ndarray,
    where: Embeddings | Workspace | VideoModel | str | Path,
    k: int = 20,
    *,
    model: str | Path | VideoModel | None = None,
    videos: Paths | None = None,
    split: str | None = None,
    method: str | None = None,
    prompt: str | None = None,
) -> pd.DataFrame:
    """The k clips nearest to a text, the nearest first: score = cos(text, clip); it is no probability.

    Examples:
        >>> import zsar_lab as zl
        >>> found = zl.search("someone walks", "runs/demo", k=5)
        >>> found.columns.tolist(), len(found)
        (['rank', 'clip', 'score', 'path', 'class'], 5)

    Args:
        text: read word by word as it is given, by the model; or its vector [D] in the space of the clips.
        where: a workspace or its folder; `Embeddings` or their file; or a model, with `videos`.
        k: how many, or all.
        model: of `Embeddings`, the one that made them; None for a vector.
        videos: files or folders that a model embeds first, a clip a window.
        split: of a workspace; None for its first.
        method: how the text becomes a point, "direct" or "transfer"; None for the model's usual one.
        prompt: None for the text alone.

    Returns:
        rank (from 1), clip, score (-1..1), path and class ("" where not known), by (-score, clip).

    Raises:
        EmbeddingsError: a text without a model, a model other than that of the embeddings, a vector of
            another width, zero or not finite.
        ValueError, FileNotFoundError: no text, k below 1, no video, or as `load_model`.
    """
    if isinstance(where, (str, Path)):
        path, is_study = Path(where), (Path(where) / "study.json").is_file()
        opened = Embeddings.read if path.suffix in FORMS else Workspace.open if is_study else load_model
        where = opened(where)
    by: VideoModel | None
    if isinstance(where, Workspace):
        split = split or where.study.splits[0]
        by = load_model(where, split) if model is None else load_model(model)
        made, clips = where.embeddings(split), where.catalog.clips.set_index("id")
        found = nearest_clips(made.ids, made.embedding_ND, _point(text, by, method, prompt), k)
        paths = [str(where.catalog.root / path) for path in clips["path"][found["clip"]]]
        return found.assign(path=paths, **{"class": clips["class"][found["clip"]].tolist()})
    if isinstance(where, VideoModel):
        if videos is None:
            raise ValueError("a model searches videos, got none")
        windows = embed_videos(videos, where)
        if n_bad := int((windows["reason"] != "").sum()):
            such = windows.loc[windows["reason"] != "", ["path", "reason"]].iloc[0].tolist()
            warnings.warn(f"{n_bad} cannot be read, such as {': '.join(such)}", stacklevel=2)
        return search_windows(text, where, windows, k, method, prompt)
    revision, by = where.provenance.get("revision"), None if model is None else load_model(model)
    if by is not None and revision not in (None, by.fingerprint):
        got = f"{revision}, got {by.fingerprint}"
        raise EmbeddingsError(f"the model must be the one of the embeddings, {got}")
    found = nearest_clips(where.clips, where.vectors, _point(text, by, method, prompt), k)
    paths = [clip if Path(clip).is_file() else "" for clip in found["clip"]]
    return found.assign(path=paths, **{"class": ""})


def search_windows(
    text: str | np.ndarray,
    model: VideoModel,
    windows: pd.DataFrame,
    k: int = 20,
    method: str | None = None,
    prompt: str | None = None,
) -> pd.DataFrame:
    """As `search`, of embedded windows (see `embed_videos`) that could be read; with row, their number."""
    read = windows[windows["reason"] == ""]
    if read.empty:
        raise ValueError(f"there must be a video that can be read, got {len(windows)} that cannot")
    rows = read.index.astype(str).str.zfill(len(str(len(windows))))  # whose order is that of the rows
    vectors = unit(np.stack(read["embedding"].to_list())).astype(np.float32)
    found = nearest_clips(list(rows), vectors, _point(text, model, method, prompt), k)
    of = read.loc[found["clip"].astype(int)]
    clips = [f"{Path(row.path).name} {row.start_s:.1f}-{row.end_s:.1f} s" for row in of.itertuples()]
    about = {"path": of["path"].tolist(), "class": of["label"].tolist(), "row": of.index}
    return found.assign(clip=clips, **about)


def _point(text: str | np.ndarray, model: VideoModel | None, method: str | None, prompt: str | None) -> Any:
    """The vector of a text."""
    if not isinstance(text, str):
        return text
    if not text.strip():
        raise ValueError("there must be a text to search for, got none")
    if model is None:
        raise EmbeddingsError("a text needs the model of the embeddings: give model=, or the text's vector")
    return model.point_of(text.strip(), method, prompt)
