"""From embedded windows and candidate classes to a table of names, and to stretches of a long video.

Shapes: N windows, C candidate classes, D width of the shared space.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import groupby

import numpy as np
import pandas as pd

from zsar_lab.infer.classifier import Candidates
from zsar_lab.infer.embedding import WindowEmbeddings
from zsar_lab.infer.unsure import why_unsure
from zsar_lab.methods.scores import nearest_scores
from zsar_lab.results.calibration import confidences
from zsar_lab.text.class_lists import plain

N_BEST = 5
UNREAD, NO_NAME = "not read", ""
ANSWER_COLUMNS = (
    "path",
    "label",
    "start_s",
    "end_s",
    "name",
    "confidence",
    "score",
    "unsure",
    "why",
    "best",
    "remark",
)


def window_scores(windows: WindowEmbeddings, candidates: Candidates) -> np.ndarray:
    """Cosine of each window that was read to each class's point, float64 [N read, C]."""
    if not windows.read.any():
        return np.zeros((0, len(candidates.names)))
    return nearest_scores(windows.embedding_ND[windows.read].astype(float), candidates.points_CD)


def answers(windows: WindowEmbeddings, candidates: Candidates) -> pd.DataFrame:
    """Name each window.

    Returns:
        A row a window, in the order of the windows: path; label ("" unless known); start_s and end_s
        (seconds); name of the best class ("" where the video could not be read); confidence, 0..1, softmax
        over the candidates at a temperature chosen on validation classes; score, the cosine, -1..1; unsure;
        why ("" or what makes it unsure, or why it could not be read); best, the five best (name, confidence)
        or as many as there are; remark.
    """
    table = windows.table
    scores_NC = window_scores(windows, candidates)
    confidence_NC = confidences(scores_NC, candidates.temperature)
    order = np.argsort(-scores_NC, axis=1, kind="stable")[:, :N_BEST]
    why = why_unsure(candidates.thresholds, scores_NC.max(1, initial=-1), confidence_NC.max(1, initial=0))
    rows = []
    for row, window in enumerate(table[windows.read].itertuples(index=False)):
        best = [(candidates.names[c], float(confidence_NC[row, c])) for c in order[row]]
        bounds = window.path, window.label, window.start_s, window.end_s
        rows.append(
            (*bounds, *best[0], float(scores_NC[row].max()), bool(why[row]), why[row], best, window.remark)
        )
    for window in table[~windows.read].itertuples(index=False):
        rows.append(
            (
                window.path,
                window.label,
                window.start_s,
                window.end_s,
                NO_NAME,
                np.nan,
                np.nan,
                True,
                f"{UNREAD}: {window.reason}",
                [],
                "",
            )
        )
    places = np.argsort(np.concatenate([np.flatnonzero(windows.read), np.flatnonzero(~windows.read)]))
    return pd.DataFrame(rows, columns=ANSWER_COLUMNS).iloc[places].reset_index(drop=True)


def stretches(table: pd.DataFrame) -> pd.DataFrame:
    """Neighbouring windows of a video with one answer put together; what was not looked at, or could not be read, parts them.

    Args:
        table: from `answers`, the windows of a video in the order of time.

    Returns:
        A row a stretch: path, start_s, end_s, name ("" where unsure), windows (how many), confidence (their
            mean).
    """
    rows = []
    shown = table.assign(name=table["name"].where(~table["unsure"], NO_NAME))
    after_gap = (table["start_s"] > table.groupby("path")["end_s"].shift()).cumsum()
    shown = shown.assign(part=after_gap)
    for (path, name, _), group in groupby(
        shown.itertuples(index=False), key=lambda window: (window.path, window.name, window.part)
    ):
        windows = list(group)
        rows.append(
            (
                path,
                windows[0].start_s,
                windows[-1].end_s,
                name,
                len(windows),
                float(np.mean([window.confidence for window in windows])),
            )
        )
    return pd.DataFrame(rows, columns=["path", "start_s", "end_s", "name", "windows", "confidence"])


def own_names(labels: Iterable[str], classes: pd.DataFrame) -> dict[str, str]:
    """The class name that each label means, by name or label of a class but for case, spaces, hyphens and underscores; others are left out."""
    meant = {
        plain(text): name
        for column in ("label", "name")
        for text, name in zip(classes[column], classes["name"], strict=True)
    }
    return {label: meant[plain(label)] for label in labels if label and plain(label) in meant}


def score_of(table: pd.DataFrame, candidates: Candidates) -> dict[str, float]:
    """What the names are worth where labels are known.

    Args:
        table: from `answers`; videos without a label, of a label that is none of the candidates (see
            `own_names`), or that could not be read, are left out, and counted.

    Returns:
        clips (scored), top1 and top5 (shares of them), chance, answered (share that is sure), top1_answered
        (share right among the sure ones; nan where there is none), not_scored (windows left out).

    Raises:
        ValueError: no clip has a label, or no label is one of the candidates.
    """
    labelled = table[(table["label"] != "") & (table["name"] != NO_NAME)]
    if labelled.empty:
        raise ValueError(
            "a score needs videos with labels, got none; put them into class folders, or give a csv with the columns path and label"
        )
    true = labelled["label"].map(own_names(labelled["label"], candidates.table))
    if true.isna().all():
        got = labelled["label"].iloc[0]
        raise ValueError(
            f"a label must be one of the {len(candidates.names)} classes, got none that is, such as {got!r}; add the class, or rename the folder"
        )
    labelled, true = labelled[true.notna()], true.dropna()
    right = (true == labelled["name"]).to_numpy()
    among = np.array(
        [name in [one for one, _ in best] for name, best in zip(true, labelled["best"], strict=True)]
    )
    sure = ~labelled["unsure"].to_numpy(dtype=bool)
    top1_answered = float(right[sure].mean()) if sure.any() else float("nan")
    return {
        "clips": len(labelled),
        "top1": float(right.mean()),
        "top5": float(among.mean()),
        "chance": 1 / len(candidates.names),
        "answered": float(sure.mean()),
        "top1_answered": top1_answered,
        "not_scored": len(table) - len(labelled),
    }
