"""From videos to predictions: embed windows as they are read, classify them, and say what was found.

Two tables, a row a window: of embeddings (`embed_videos`) and of predictions (`predict`).
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from zsar_lab.data.datasets.folders import find_videos
from zsar_lab.data.reading import ReadWindows, read_windows
from zsar_lab.data.sampling import WindowSettings
from zsar_lab.data.workers import Limits
from zsar_lab.files import write_json, writing
from zsar_lab.infer.calibrate import FEWEST
from zsar_lab.infer.classifier import NOT_KNOWN, ZeroShotClassifier
from zsar_lab.names import match_names
from zsar_lab.progress import progress
from zsar_lab.results.calibration import confidences

if TYPE_CHECKING:
    from zsar_lab.infer.model import VideoModel

Paths = str | Path | Sequence[str | Path]
AT_ONCE = 16  # windows of short videos that the model reads together
N_BEST, NO_PREDICTION, MOST_REMARKS, MOST_NAMES = 5, "", 3, 12
WINDOW_COLUMNS = "path label start_s end_s duration_s number windows of remark reason embedding".split()
COLUMNS = "path start_s end_s prediction confidence unsure why score trained best label remark".split()


def embed_windows(
    videos: pd.DataFrame, model: VideoModel, cut: WindowSettings = WindowSettings(), limits: Limits = Limits()
) -> Generator[pd.DataFrame]:
    """Read and embed videos as they come, in no order; memory grows with neither their number nor length.

    Close the iterator (contextlib.closing) when leaving it early: that ends the readers.

    Args:
        videos: from `find_videos`: path, label and reason; those with a reason are handed on with it.
        model: embeds the frames.
        cut: how long videos are cut into windows.
        limits: processes that decode, and the time and memory that each may take for a file.

    Yields:
        A few windows at a time: path, label ("" unless known), start_s, end_s, duration_s (of the video),
        number (of the window, from 0), windows (that the row stands for) of so many in the video, remark,
        reason ("" or why it could not be read), embedding (float32 [D], unit; None with a reason).
    """
    refused = videos[videos["reason"] != ""]
    if len(refused):
        nothing: dict[str, Any] = dict.fromkeys(("start_s", "end_s", "duration_s"), 0.0)
        nothing |= {"number": 0, "windows": 0, "of": 0, "remark": "", "embedding": None}
        yield refused.assign(**nothing)[WINDOW_COLUMNS]
    good = videos[videos["reason"] == ""]
    labels, waiting = good["label"].tolist(), []
    bar = progress(what="predicting", unit="video", total=len(good))
    with closing(read_windows(good["path"].tolist(), model.frames, cut, limits)) as readings, bar:
        for reading in readings:
            waiting.append(reading)
            if sum(len(read.frames_VTHWC) for read in waiting) >= AT_ONCE:
                yield _embedded(waiting, labels, model)
                waiting = []
            share = len(reading.start_s) / reading.n_windows if reading.n_windows else 1.0
            bar.update(min(share, bar.total - bar.n))  # shares of a video add up to one by rounding only
        if waiting:
            yield _embedded(waiting, labels, model)


def embed_videos(
    paths: Paths, model: VideoModel, cut: WindowSettings = WindowSettings(), limits: Limits = Limits()
) -> pd.DataFrame:
    """All of `embed_windows` in one table, in the order of the paths; see `find_videos` for what they are."""
    videos = find_videos(paths)
    with closing(embed_windows(videos, model, cut, limits)) as parts:
        return pd.concat(list(in_order(parts, videos)), ignore_index=True)


def _embedded(readings: Sequence[ReadWindows], labels: Sequence[str], model: VideoModel) -> pd.DataFrame:
    frames = [reading.frames_VTHWC for reading in readings if not reading.reason]
    embeddings = iter(model.embed(np.concatenate(frames)).astype(np.float32) if frames else ())
    rows = []
    for reading in readings:
        start_s, end_s = reading.start_s.tolist(), reading.end_s.tolist()
        if reading.reason:  # one row for all windows that were not read
            start_s, end_s = start_s[:1] or [0.0], end_s[-1:] or [0.0]
        n_windows = len(reading.start_s) if reading.reason else 1
        about = n_windows, reading.n_windows, reading.remark, reading.reason
        for number, bounds in enumerate(zip(start_s, end_s, strict=True), start=reading.first):
            embedding = None if reading.reason else next(embeddings)
            of_video = reading.path, labels[reading.video]
            rows.append((*of_video, *bounds, reading.duration_s, number, *about, embedding))
    return pd.DataFrame(rows, columns=WINDOW_COLUMNS)


def in_order(parts: Iterable[pd.DataFrame], videos: pd.DataFrame) -> Generator[pd.DataFrame]:
    """The rows of `embed_windows` in the order of `videos` and of time, each as soon as all before it came.

    What waits are embeddings, not frames.
    """
    waiting: dict[tuple[str | None, int], pd.DataFrame] = {}
    paths, number = iter(videos["path"]), 0
    path = next(paths, None)
    for part in parts:
        for row in range(len(part)):
            one = part.iloc[row : row + 1]
            waiting[one["path"].iat[0], int(one["number"].iat[0])] = one
        done = []
        while (one := waiting.pop((path, number), None)) is not None:
            done.append(one)
            number += int(one["windows"].iat[0])
            if number >= one["of"].iat[0]:
                path, number = next(paths, None), 0
        if done:
            yield pd.concat(done, ignore_index=True)
    if waiting:
        raise RuntimeError(f"{len(waiting)} windows belong to no video asked for, or lack one before")


def predict(
    windows: pd.DataFrame, classifier: ZeroShotClassifier, coverage: float | None = None
) -> pd.DataFrame:
    """Classify embedded windows.

    Returns:
        A row a window, in their order: path; label ("" unless known); start_s and end_s; prediction ("" where
        the video could not be read); confidence, 0..1, softmax of balanced scores at a temperature chosen on
        validation classes (NaN without one, in best too); score, the cosine, -1..1; trained, whether the
        model was trained on the predicted name, see `ZeroShotClassifier.known`; unsure; why ("" or what makes
        it unsure, or why it could not be read); best, the five best (name, confidence); remark; with a
        coverage set, the names of `prediction_sets`.
    """
    empty = {
        "prediction": NO_PREDICTION,
        "confidence": np.nan,
        "score": np.nan,
        "trained": "",
        "unsure": True,
    }
    table = windows.assign(**empty, why="not read: " + windows["reason"])
    table["best"], table["set"] = ([[] for _ in range(len(table))] for _ in range(2))
    rows = table.index[windows["reason"] == ""]
    if len(rows):
        embedding_ND = np.stack(windows.loc[rows, "embedding"].to_list())
        scores_NC = classifier.scores(embedding_ND)
        balanced_NC = classifier.balanced(scores_NC)
        confidence_NC = np.full_like(balanced_NC, np.nan)
        if classifier.temperature is not None:
            confidence_NC = confidences(balanced_NC, classifier.temperature)
        order_NC = np.argsort(-balanced_NC, axis=1, kind="stable")[:, :N_BEST]
        names, first_N, every_N = np.array(classifier.names, dtype=object), order_NC[:, 0], range(len(rows))
        shares_NC = np.take_along_axis(confidence_NC, order_NC, 1).tolist()
        best = [list(zip(names[order_C], shares_C)) for order_C, shares_C in zip(order_NC, shares_NC)]
        table.loc[rows, "best"] = pd.Series(best, index=rows)
        table.loc[rows, "prediction"], table.loc[rows, "confidence"] = names[first_N], confidence_NC.max(1)
        table.loc[rows, "score"] = scores_NC[every_N, first_N]
        table.loc[rows, "trained"] = classifier.known["trained"].to_numpy()[first_N]
        table.loc[rows, "why"] = why = classifier.why_unsure(embedding_ND, scores_NC, confidence_NC)
        table.loc[rows, "unsure"] = why != ""
        if coverage is not None:
            sets = [names[row].tolist() for row in classifier.sets(scores_NC, coverage)]
            table.loc[rows, "set"] = pd.Series(sets, index=rows)
    return table[COLUMNS + ["set"] * (coverage is not None)]


def cells(table: pd.DataFrame) -> pd.DataFrame:
    """The rows in the order of their videos and of time, each with the time that is its own.

    Where windows overlap, the overlap is cut in its middle, so that no instant belongs to two of them.
    """
    order = np.lexsort((table["start_s"], pd.factorize(table["path"])[0]))
    table = table.iloc[order].reset_index(drop=True)
    by_video = table.groupby("path", sort=False)
    ended, begins = by_video["end_s"].shift(), by_video["start_s"].shift(-1)
    start_s = table["start_s"].where(~(ended > table["start_s"]), (ended + table["start_s"]) / 2)
    end_s = table["end_s"].where(~(begins < table["end_s"]), (begins + table["end_s"]) / 2)
    return table.assign(start_s=start_s, end_s=end_s)


def segments(table: pd.DataFrame) -> pd.DataFrame:
    """What a reader is shown of overlapping windows: neighbours that say the same are one, none overlaps.

    A row a segment: path, start_s, end_s, prediction ("" where not read), unsure, why, windows (count),
    confidence (mean). A gap, and what was not read, parts segments.
    """
    own = cells(table)
    said = own[["path", "prediction", "unsure", "why"]]
    goes_on = (said == said.shift()).all(axis=1) & (own["start_s"] <= own["end_s"].shift())
    by_segment = own.groupby((~goes_on).cumsum(), sort=False)
    found = by_segment[["path", "start_s", "end_s", "prediction", "unsure", "why"]].first()
    found["end_s"] = by_segment["end_s"].last()
    windows, confidence = by_segment.size(), by_segment["confidence"].mean()
    return found.assign(windows=windows, confidence=confidence).reset_index(drop=True)


def classes_meant(labels: Iterable[str], classes: pd.DataFrame) -> dict[str, str]:
    """The class that each label means, by its name, label or id, see `match_names`; none of other labels."""
    columns = [column for column in ("label", "id") if column in classes]
    also = [pair for column in columns for pair in zip(classes[column], classes["name"], strict=True)]
    return match_names(filter(None, labels), classes["name"], also).class_of


def accuracy_of(table: pd.DataFrame, classifier: ZeroShotClassifier) -> dict[str, float]:
    """How many predictions are right where labels are known.

    Windows without a label, of a label that is no class (see `classes_meant`), or that could not be read, are
    left out and counted (not_scored). Returns clips (scored), top1 and top5 (shares of them), chance, sure
    (share), top1_sure (share right among the sure ones, or nan). ValueError where no label is a class.
    """
    labelled = table[(table["label"] != "") & (table["prediction"] != NO_PREDICTION)]
    true = labelled["label"].map(classes_meant(labelled["label"], classifier.classes))
    if true.isna().all():
        got = f"such as {labelled['label'].iloc[0]!r}" if len(labelled) else "but there are no labels"
        raise ValueError(f"accuracy needs labels among the {len(classifier.names)} classes, {got}")
    labelled, true = labelled[true.notna()], true.dropna()
    right = true == labelled["prediction"]
    among = [name in dict(best) for name, best in zip(true, labelled["best"], strict=True)]
    sure = ~labelled["unsure"].astype(bool)
    return {
        "clips": len(labelled),
        "top1": float(right.mean()),
        "top5": float(np.mean(among)),
        "chance": 1 / len(classifier.names),
        "sure": float(sure.mean()),
        "top1_sure": float(right[sure].mean()) if sure.any() else float("nan"),
        "not_scored": len(table) - len(labelled),
    }


def save_table(parts: Sequence[pd.DataFrame], path: Path, form: str) -> None:
    """Write predictions as a table, form "csv", or as a list of objects, "json"."""
    table = pd.concat(parts, ignore_index=True)
    if form == "csv":
        best = ["; ".join(named(name, share, "{:.3f}") for name, share in row) for row in table["best"]]
        with writing(path) as temporary:
            table.assign(best=best).to_csv(temporary, index=False, lineterminator="\n")
    else:
        given = [[(name, None if np.isnan(one) else one) for name, one in row] for row in table["best"]]
        objects = [[dict(zip(("name", "confidence"), one)) for one in row] for row in given]
        found = table.astype(object).where(table.notna(), None).assign(best=objects)
        write_json(path, found.to_dict("records"))


def named(name: str, confidence: float, form: str = "{:.2f}") -> str:
    """A prediction with its confidence, where there is one."""
    return name if np.isnan(confidence) else f"{name} {form.format(confidence)}"


def as_lines(table: pd.DataFrame) -> str:
    """Predictions as lines for reading, a window each."""
    lines = []
    for row in table.itertuples(index=False):
        if row.prediction == NO_PREDICTION:
            lines.append(f"{row.path}: {row.why}\n")
            continue
        others = ", ".join(named(*one) for one in row.best[1:3])
        found = f"{row.path} {row.start_s:.1f}-{row.end_s:.1f} s: {named(row.prediction, row.confidence)}"
        lines.append(f"{found} ({others})" + (f"  unsure: {row.why}\n" if row.unsure else "\n"))
    return "".join(lines)


def summary(parts: Sequence[pd.DataFrame], classifier: ZeroShotClassifier, seconds: float) -> str:
    """What was done and how fast, how sure to be, and accuracy where labels are known."""
    table = pd.concat(parts, ignore_index=True)
    read = table[table["prediction"] != NO_PREDICTION]
    said = [
        f"{read['path'].nunique()} of {table['path'].nunique()} videos read, {len(read)} windows in"
        f" {seconds:.1f} s: {len(read) / seconds:.1f} windows a second; {int(read['unsure'].sum())} unsure,"
        f" {len(table) - len(read)} could not be read."
    ]
    remarks = table[table["remark"] != ""].drop_duplicates("path")
    said += [f"{row.path}: {row.remark}" for row in remarks.head(MOST_REMARKS).itertuples()]
    more = len(remarks) - MOST_REMARKS
    said += [f"Videos with such a remark that are not listed: {more}."] if more > 0 else []
    said += [*long_videos(table), known_sentence(classifier), sure_sentence(classifier)]
    return "\n".join([*said, *scored_sentences(table, classifier)])


def long_videos(table: pd.DataFrame) -> list[str]:
    """A line a video of several windows: its segments, those that are unsure in brackets."""
    lines = []
    for path, found in segments(table).groupby("path", sort=False):
        said = (
            f"{row.start_s:.1f}-{row.end_s:.1f} s "
            + ((f"({row.prediction})" if row.unsure else row.prediction) if row.prediction else "not read")
            for row in found.itertuples()
        )
        if found["windows"].sum() > 1:
            lines.append(f"{path}: {', '.join(said)}")
    return lines[:MOST_NAMES]


def known_sentence(classifier: ZeroShotClassifier) -> str:
    """Which names the model was trained on, and what was done about it."""
    known = classifier.known
    if (known["trained"] == NOT_KNOWN).all():
        return "Which names the model was trained on is not known."
    trained, n_new = known[classifier.is_trained], int((~classifier.is_trained).sum())
    if trained.empty:
        return "The model was trained on none of the names."
    how = [f"{row.name} ({row.trained}: {row.seen})" for row in trained.itertuples(index=False)]
    listed = ", ".join(how[:MOST_NAMES]) + ", ..." * (len(how) > MOST_NAMES)
    balance = f"gamma {classifier.gamma:.2f} is taken off their scores" if classifier.gamma else "no gamma"
    return f"The model was trained on {len(trained)} of the names, {n_new} are new: {listed}; {balance}."


def sure_sentence(classifier: ZeroShotClassifier) -> str:
    """How sure to be by the thresholds, or why there are none."""
    if classifier.thresholds:
        return classifier.thresholds.sentence()
    return f"Nothing is called sure: thresholds need {FEWEST} validation classes or more."


def scored_sentences(table: pd.DataFrame, classifier: ZeroShotClassifier) -> list[str]:
    """Accuracy where any label is one of the classes, and which labels are none; nothing without labels."""
    labels = sorted(set(table.loc[table["prediction"] != NO_PREDICTION, "label"]) - {""})
    known, said = classes_meant(labels, classifier.classes), []
    if known:
        found = accuracy_of(table, classifier)
        top1, chance, top5, sure, top1_sure = (
            f"{100 * found[key]:.1f} %" for key in ("top1", "chance", "top5", "sure", "top1_sure")
        )
        among_sure = f"of the {sure} that are sure {top1_sure}" if found["sure"] else "none is sure"
        right = f"{top1} right (chance {chance}), among the five best {top5}; {among_sure}"
        said.append(f"{found['clips']} labelled windows: {right}.")
    strange = [label for label in labels if label not in known]  # folders need not be named after classes
    if strange:
        n_strange = f"{len(strange)} of the {len(labels)} labels {'is' if len(strange) == 1 else 'are'}"
        said.append(f"Not scored: {n_strange} none of the classes, such as {strange[0]!r}; add such a class.")
    return said
