"""Predictions from elsewhere: a csv of label and prediction, and what they are worth. No model is needed, and none of its packages is loaded."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from zsar_lab.files import fingerprint
from zsar_lab.methods.metrics import confusion_of_answers, mean_over_classes, table_of_answers
from zsar_lab.results.hubness import Hubness, hubness, hubness_interval
from zsar_lab.results.statistics import class_bootstrap
from zsar_lab.text.class_lists import read_text, refuse_nearly_same

COLUMNS = ("label", "prediction")


@dataclass(frozen=True, eq=False)
class Predictions:
    """True and predicted class of each clip.

    Attributes:
        classes: names of the C candidate classes.
        targets, answers: [B] index of each clip's true and predicted class.
        classes_from: where the candidates were read from.
        fingerprint: of the file's bytes, or of both lists.
    """

    classes: tuple[str, ...]
    targets: np.ndarray
    answers: np.ndarray
    classes_from: str
    fingerprint: str


@dataclass(frozen=True, eq=False)
class PredictionScores:
    """What predictions are worth. Accuracies are fractions, 0..1.

    Attributes:
        predictions: what was scored.
        top1: share of right clips; ci95: its class-bootstrap 95 % interval.
        mean_class: mean over the classes with clips of their share of right clips.
        chance: 1 / number of candidate classes.
        hubness: of N_1 over the candidates; hubness_ci95: intervals of its measures.
        per_class: a row a class: class, clips, correct, top1 (no number without clips), taken_for,
            taken_for_clips, answers (N_1).
        confusion_CC: counts, row true class, column prediction.
    """

    predictions: Predictions
    top1: float
    ci95: tuple[float, float]
    mean_class: float
    chance: float
    hubness: Hubness
    hubness_ci95: dict[str, tuple[float, float]]
    per_class: pd.DataFrame
    confusion_CC: np.ndarray

    def content(self) -> dict[str, Any]:
        """The scores as plain json content; the confusion has an entry for every pair of label and prediction that occurs.

        The labels' fingerprint is of the number of clips of each class, for clips have no name here.
        """
        names = self.predictions.classes
        rows = self.per_class.astype(object).where(self.per_class.notna(), None).to_dict("records")
        confusion = {
            name: {names[c]: int(counts[c]) for c in np.flatnonzero(counts)}
            for name, counts in zip(names, self.confusion_CC)
        }
        return {
            "clips": len(self.predictions.targets),
            "classes": len(names),
            "classes_from": self.predictions.classes_from,
            "fingerprint": self.predictions.fingerprint,
            "labels_fingerprint": fingerprint(
                "labels", {row["class"]: row["clips"] for row in rows if row["clips"]}
            ),
            "candidates_fingerprint": fingerprint("candidates", sorted(names)),
            "top1": self.top1,
            "top1_ci95": list(self.ci95),
            "mean_class": self.mean_class,
            "chance": self.chance,
            "hubness": asdict(self.hubness),
            "hubness_ci95": {name: list(interval) for name, interval in self.hubness_ci95.items()},
            "per_class": rows,
            "confusion": {name: of_class for name, of_class in confusion.items() if of_class},
        }

    def text(self) -> str:
        """The scores for reading: a sentence for each, and the table by class."""
        low, high = (100 * end for end in self.ci95)
        h, predictions = self.hubness, self.predictions
        table = self.per_class.assign(
            top1=[f"{100 * share:.1f}" if share == share else "" for share in self.per_class["top1"]]
        )
        return "\n".join(
            [
                f"{len(predictions.targets)} clips, {len(predictions.classes)} classes (from {predictions.classes_from}),"
                f" chance {100 * self.chance:.1f} %",
                f"top-1 {100 * self.top1:.1f} %, 95 % interval over classes [{low:.1f}, {high:.1f}]; mean over classes {100 * self.mean_class:.1f} %",
                f"hubness of N_1: skewness {h.skewness:.2f}, Robin Hood {h.robin_hood:.2f}, Gini {h.gini:.2f}, Atkinson {h.atkinson:.2f},"
                f" classes never predicted {100 * h.antihubs:.0f} %, predictions that fall on hubs {100 * h.hub_occurrence:.0f} %",
                "",
                table.rename(columns={"top1": "top1_%"}).to_string(index=False),
            ]
        )


def score_predictions(predictions: Predictions, seed: int = 0) -> PredictionScores:
    """Top-1 with its interval, mean over classes, hubness, and the table by class.

    Args:
        predictions: from `read_predictions`.
        seed: of the bootstrap.

    Raises:
        ValueError: the clips are of fewer than two classes.
    """
    names, targets, answers = predictions.classes, predictions.targets, predictions.answers
    right = answers == targets
    confusion = confusion_of_answers(answers, targets, len(names))
    occurrence = confusion.sum(0)
    table = table_of_answers(confusion, names)
    table["top1"] = table["top1"].where(table["clips"] > 0)
    return PredictionScores(
        predictions=predictions,
        top1=float(right.mean()),
        ci95=class_bootstrap(right, targets, seed),
        mean_class=mean_over_classes(right, targets),
        chance=1 / len(names),
        hubness=hubness(occurrence, 1),
        hubness_ci95=hubness_interval(occurrence, 1, seed),
        per_class=table.assign(answers=occurrence),
        confusion_CC=confusion,
    )


def read_predictions(path: Path, classes_path: Path | None = None) -> Predictions:
    """Read a csv with the columns label and prediction, one row a clip; further columns are not read.

    Spaces around a name do not count. Names that differ only in case, spaces, hyphens or underscores are
    refused: read as two classes they would make right answers wrong without a word, read as one they might
    join classes that are two.

    Args:
        path: UTF-8, with commas between the columns.
        classes_path: a file of all candidate classes, UTF-8: one name a line, or a csv table with a column
            `name` (as classes.csv); without it they are those that occur, sorted.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: a file cannot be read as such a table or list, a cell is empty, names are nearly the same,
            a name is no class of the list, or the clips are of one class only.
    """
    path = Path(path)
    labels, answers = _columns(path)
    listed = _class_names(Path(classes_path)) if classes_path else None
    listed_in = f"'{classes_path}'" if classes_path else "the candidates"
    made = predictions_of(labels, answers, listed, f"'{path}'", listed_in)
    return replace(made, fingerprint=fingerprint(path.read_bytes()))


def predictions_of(
    labels: Sequence[str],
    names: Sequence[str],
    candidates: Sequence[str] | None = None,
    where: str = "the clips",
    listed_in: str = "the candidates",
) -> Predictions:
    """As `read_predictions`, of lists in memory.

    Args:
        labels, names: true and predicted class of each clip.
        candidates: all candidate classes; None for those that occur, sorted.
        where, listed_in: what the lists are called in messages.

    Raises:
        ValueError: other numbers of labels and names, or as `read_predictions`.
    """
    labels, names = list(labels), list(names)
    if len(labels) != len(names):
        raise ValueError(
            f"every clip must have a label and a name, got {len(labels)} labels and {len(names)} names; give one each"
        )
    odd = [name for name in (*labels, *names) if not isinstance(name, str)]
    if odd:
        raise ValueError(
            f"labels and names must be texts, got {odd[0]!r}; write class names, or str() of numbers"
        )
    occurring = sorted({*labels, *names})
    refuse_nearly_same([*(candidates or []), *occurring])
    if candidates is not None:
        for column, given in zip(COLUMNS, (labels, names)):
            _refuse_unknown(where, column, given, candidates, listed_in)
    if len(set(labels)) < 2:
        got = f"all of {where} are labelled {labels[0]!r}" if labels else f"there are none in {where}"
        raise ValueError(
            f"the clips must be of at least 2 classes, {got}; give the clips of all test classes"
        )
    classes = tuple(occurring if candidates is None else candidates)
    number = {name: c for c, name in enumerate(classes)}
    targets, predicted = (
        np.array([number[name] for name in given], dtype=np.int64) for given in (labels, names)
    )
    source = "the names that occur" if candidates is None else listed_in
    return Predictions(classes, targets, predicted, source, fingerprint(labels, names))


def _columns(path: Path) -> tuple[list[str], list[str]]:
    """The labels and the predictions, without the spaces around them."""
    try:
        rows = list(csv.reader(io.StringIO(read_text(path, "predictions"), newline=""), strict=True))
    except csv.Error as error:
        raise ValueError(
            f"a file of predictions must be a csv table, '{path}' is not ({error}); save it anew as csv"
        ) from error
    header = [cell.strip() for cell in rows[0]] if rows else []
    clips = [(number, row) for number, row in enumerate(rows[1:], 2) if row]  # an empty line is no clip
    _check_header(path, header)
    if not clips:
        raise ValueError(
            f"a file of predictions must have a row a clip, '{path}' has none below its first row; write the predictions into it"
        )
    places = [header.index(name) for name in COLUMNS]
    columns: tuple[list[str], list[str]] = ([], [])
    for number, row in clips:
        if len(row) > len(header):
            raise ValueError(
                f"a row must have as many cells as the first row, {len(header)}, row {number} of '{path}' has {len(row)}; put names with a comma in"
                " double quotes"
            )
        for column, name, place in zip(columns, COLUMNS, places):
            cell = row[place].strip() if place < len(row) else ""
            if not cell:
                raise ValueError(
                    f"every clip must have a label and a prediction, the {name} in row {number} of '{path}' is empty; write it"
                )
            column.append(cell)
    return columns


def _check_header(path: Path, header: list[str]) -> None:
    for name in COLUMNS:
        if header.count(name) != 1:
            what = (
                f"has {header.count(name)} of {name!r}"
                if name in header
                else f"has no {name!r} (its first row is {_some(header) or 'empty'})"
            )
            if len(header) == 1 and any(mark in header[0] for mark in ";\t"):
                what = "separates its columns by semicolons or tabs, not by commas"
            raise ValueError(
                f"a file of predictions must have one column label and one column prediction, '{path}' {what}; mend its first row"
            )


def _class_names(path: Path) -> list[str]:
    """The names of a class list in its order: the column `name` of a csv table, where the first line says that it has one, else one a line."""
    text = read_text(path, "classes")
    first = next(line for line in text.splitlines() if line.strip())
    if any("name" in [cell.strip() for cell in first.split(mark)[:-1]] for mark in ";\t"):
        raise ValueError(
            f"a table of classes must separate its columns by commas, '{path}' does by semicolons or tabs; save it anew"
        )
    names = (
        _column_of_names(path, text)
        if "name" in _cells(first)
        else [line.strip() for line in text.splitlines() if line.strip()]
    )
    if len(names) < 2:
        raise ValueError(
            f"a file of classes must name at least 2 classes, one a line, '{path}' names {len(names)}; add the others"
        )
    twice = [name for n, name in enumerate(names) if name in names[:n]]
    if twice:
        raise ValueError(
            f"a file of classes must name every class once, '{path}' names {_some(twice)} more than once; delete lines"
        )
    return names


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in next(csv.reader([line]), [])]


def _column_of_names(path: Path, text: str) -> list[str]:
    """The column `name` of a table of classes."""
    try:
        rows = [
            row
            for row in csv.reader(io.StringIO(text, newline=""), strict=True)
            if any(cell.strip() for cell in row)
        ]
    except csv.Error as error:
        raise ValueError(
            f"a table of classes must be a csv table, '{path}' is not ({error}); save it anew as csv"
        ) from error
    header = [cell.strip() for cell in rows[0]]
    if header.count("name") != 1:
        raise ValueError(
            f"a table of classes must have one column 'name', '{path}' has {header.count('name')}; mend its first row"
        )
    place = header.index("name")
    names = [row[place].strip() if place < len(row) else "" for row in rows[1:]]
    for number, (row, name) in enumerate(zip(rows[1:], names), 1):
        if not name or len(row) > len(header):
            problem = f"has {len(row)} cells where the first row has {len(header)}" if name else "has no name"
            raise ValueError(
                f"every row of a table of classes must have a name and no cell too many, row {number} below the first of '{path}' {problem}; mend it"
            )
    return names


def _refuse_unknown(
    where: str, column: str, names: Sequence[str], listed: Sequence[str], listed_in: str
) -> None:
    known = set(listed)
    unknown = [name for name in dict.fromkeys(names) if name not in known]
    if unknown:
        clips = sum(name not in known for name in names)
        raise ValueError(
            f"every {column} must be a class of {listed_in}, {clips} in {where} are not ({_some(unknown)}); mend them or add the classes"
        )


def _some(names: Sequence[str]) -> str:
    return ", ".join(repr(name[:60]) for name in names[:3]) + (", ..." if len(names) > 3 else "")
