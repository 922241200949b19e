"""Predictions from elsewhere: rows with label and prediction, and what they are worth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from zsar_lab.files import fingerprint, read_csv, read_text
from zsar_lab.results.hubness import hubness, hubness_interval
from zsar_lab.results.report_files import SCHEMA_VERSION
from zsar_lab.results.statistics import accuracy, interval
from zsar_lab.text.class_lists import refuse_nearly_same

COLUMNS = ["label", "prediction"]


class PredictionsError(ValueError):
    """Predictions or a list of classes that cannot be scored."""


@dataclass(frozen=True, eq=False)
class OutsidePredictions:
    """Rows with label and prediction, a clip each, and all candidate classes.

    Attributes:
        rows: columns label and prediction.
        classes: names of the candidates.
        classes_from: where they were read from.
        fingerprint: of the file, or of both lists.
    """

    rows: pd.DataFrame
    classes: tuple[str, ...]
    classes_from: str
    fingerprint: str


@dataclass(frozen=True, eq=False)
class OutsideScores:
    """What predictions from elsewhere are worth: `figures` is plain json content."""

    figures: dict[str, Any]

    def content(self) -> dict[str, Any]:
        """The figures, as `evaluate --predictions --json` writes them."""
        return self.figures

    def text(self) -> str:
        """The figures for reading, and the table by class."""
        f, h = self.figures, self.figures["hubness"]
        intervals = (
            f"[{100 * low:.1f}, {100 * high:.1f}]" for low, high in (f["top1_ci95"], f["mean_class_ci95"])
        )
        table = pd.DataFrame(f["per_class"]).rename(columns={"top1": "top1_%"})
        table["top1_%"] = ["" if pd.isna(share) else f"{100 * share:.1f}" for share in table["top1_%"]]
        measures = {
            "skewness": "skewness",
            "robin_hood": "Robin Hood",
            "gini": "Gini",
            "atkinson": "Atkinson",
        }
        hubs = ", ".join(f"{words} {h[name]:.2f}" for name, words in measures.items())
        chance = f"chance {100 * f['chance']:.1f} %"
        lines = [
            f"{f['clips']} clips, {f['classes']} classes (from {f['classes_from']}), {chance}",
            f"top-1 (share of clips) {100 * f['top1']:.1f} %, 95 % interval over classes {next(intervals)}",
            f"mean over classes {100 * f['mean_class']:.1f} %, 95 % interval {next(intervals)}",
            f"hubness of N_1: {hubs}, classes never predicted {100 * h['antihubs']:.0f} %, on hubs"
            f" {100 * h['hub_occurrence']:.0f} %",
        ]
        return "\n".join([*lines, "", table.to_string(index=False)])


def score_predictions(predictions: OutsidePredictions, seed: int = 0) -> OutsideScores:
    """Top-1 and mean over classes with intervals, hubness (`seed` of its bootstrap), and the table by class.

    The confusion has an entry for every pair of label and prediction that occurs; labels_fingerprint is of
    the number of clips of each class, for clips have no name here.
    """
    names, rows = predictions.classes, predictions.rows
    place = {name: c for c, name in enumerate(names)}
    targets, predicted = (rows[column].map(place).to_numpy(np.int64) for column in COLUMNS)
    n = len(names)
    confusion_CC = np.bincount(targets * n + predicted, minlength=n**2).reshape(n, n)
    correct, clips, occurrence = np.diag(confusion_CC), confusion_CC.sum(1), confusion_CC.sum(0)
    wrong_CC = confusion_CC - np.diag(correct)
    rival, most = wrong_CC.argmax(1), wrong_CC.max(1)
    by_class = [
        {
            "class": name,
            "clips": int(clips[c]),
            "correct": int(correct[c]),
            "top1": float(correct[c] / clips[c]) if clips[c] else None,
            "confused_with": names[rival[c]] if most[c] else "",
            "confused_clips": int(most[c]),
            "predictions": int(occurrence[c]),
        }
        for c, name in enumerate(names)
    ]
    confusion = {
        name: {names[c]: int(counts[c]) for c in np.flatnonzero(counts)}
        for name, counts in zip(names, confusion_CC)
    }
    return OutsideScores(
        {
            "schema_version": SCHEMA_VERSION,
            "clips": len(rows),
            "classes": len(names),
            "classes_from": predictions.classes_from,
            "fingerprint": predictions.fingerprint,
            "labels_fingerprint": fingerprint("labels", {name: int(n) for name, n in zip(names, clips) if n}),
            "candidates_fingerprint": fingerprint("candidates", sorted(names)),
            "top1": accuracy(rows),
            "top1_ci95": list(interval(rows)),
            "mean_class": accuracy(rows, "mean_class"),
            "mean_class_ci95": list(interval(rows, "mean_class")),
            "chance": 1 / len(names),
            "hubness": asdict(hubness(occurrence, 1)),
            "hubness_ci95": {
                name: list(ends) for name, ends in hubness_interval(occurrence, 1, seed).items()
            },
            "per_class": by_class,
            "confusion": {name: of_class for name, of_class in confusion.items() if of_class},
        }
    )


def read_predictions(path: Path, classes_path: Path | None = None) -> OutsidePredictions:
    """Read a csv with the columns label and prediction, a row a clip; spaces around names do not count.

    Args:
        path: UTF-8, with commas between the columns; further columns are not read.
        classes_path: a file of all candidates: one name a line, or a csv with a column `name`; without it
            they are those that occur, sorted.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: a file is no such table, a cell is empty, or as `predictions_of`.
    """
    path = Path(path)
    rows = _cells(path, COLUMNS)
    if not rows:
        raise PredictionsError(f"'{path}' must have a row a clip below its first line, got none")
    listed = None if classes_path is None else _class_names(Path(classes_path))
    listed_in = "the candidates" if classes_path is None else f"'{classes_path}'"
    labels, predictions = ([row[column] for row in rows] for column in COLUMNS)
    made = predictions_of(labels, predictions, listed, f"'{path}'", listed_in)
    return replace(made, fingerprint=fingerprint(path.read_bytes()))


def predictions_of(
    labels: Sequence[str],
    predictions: Sequence[str],
    candidates: Sequence[str] | None = None,
    where: str = "the clips",
    listed_in: str = "the candidates",
) -> OutsidePredictions:
    """Predictions of lists in memory.

    Names that differ only in case, spaces, hyphens or underscores are refused: read as two classes they would
    make right predictions wrong, read as one they might join two classes.

    Args:
        labels: true class of each clip.
        predictions: predicted class of each.
        candidates: all candidate classes; None for those that occur, sorted.
        where: what the clips are called in messages.
        listed_in: what the candidates are called there.

    Raises:
        ValueError: other numbers of labels and predictions, a name that is no text, names that are nearly the
            same, a name that is no candidate, or clips of one class only.
    """
    rows = {"label": list(labels), "prediction": list(predictions)}
    n_labels, n_predictions = map(len, rows.values())
    if n_labels != n_predictions:
        raise PredictionsError(
            f"every clip needs a label and a prediction, got {n_labels} and {n_predictions}"
        )
    odd = [name for names in rows.values() for name in names if not isinstance(name, str)]
    if odd:
        raise PredictionsError(f"labels and predictions must be texts, got {odd[0]!r}")
    occurring = sorted({name for names in rows.values() for name in names})
    refuse_nearly_same([*(candidates or []), *occurring])
    for column, names in rows.items():
        unknown = [name for name in names if candidates is not None and name not in candidates]
        if unknown:
            first = ", ".join(repr(name[:60]) for name in dict.fromkeys(unknown[:3]))
            raise PredictionsError(
                f"every {column} must be a class of {listed_in}, {len(unknown)} are not ({first})"
            )
    if len(set(rows["label"])) < 2:
        got = "all are " + repr(rows["label"][0]) if n_labels else "there are none"
        raise PredictionsError(f"{where} must be of at least 2 classes, {got}")
    classes, source = (occurring, "the names that occur") if candidates is None else (candidates, listed_in)
    return OutsidePredictions(pd.DataFrame(rows), tuple(classes), source, fingerprint(*rows.values()))


def _class_names(path: Path) -> list[str]:
    """The names of a list of classes: the column `name` of a csv table, or one a line."""
    lines = [line.strip() for line in read_text(path).splitlines() if line.strip()]
    header = (
        [cell.strip() for cell in lines[0].replace(";", ",").replace("\t", ",").split(",")] if lines else []
    )
    names = [row["name"] for row in _cells(path, ["name"])] if "name" in header else lines
    twice = [name for n, name in enumerate(names) if name in names[:n]]
    if len(names) < 2 or twice:
        got = f"{twice[0]!r} twice" if twice else f"{len(names)}"
        raise PredictionsError(f"'{path}' must name at least 2 classes, each once, got {got}")
    return names


def _cells(path: Path, columns: list[str]) -> list[dict[str, str]]:
    """The rows of a csv table, none of these columns empty."""
    _, rows = read_csv(path, columns, pad=True)
    for number, row in rows:
        empty = [column for column in columns if not row[column]]
        if empty:
            raise PredictionsError(f"line {number} of '{path}' must have a {empty[0]}, it is empty")
    return [row for _, row in rows]
