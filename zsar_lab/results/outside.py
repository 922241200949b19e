"""Predictions from elsewhere, or free answers read as such, and what they are worth."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from zsar_lab.files import csv_delimiter, fingerprint, read_csv, read_text
from zsar_lab.names import Matches, match_names, refuse_same
from zsar_lab.results.hubness import hubness, hubness_interval
from zsar_lab.results.report_files import SCHEMA_VERSION
from zsar_lab.results.statistics import QUANTITIES, accuracy, interval
from zsar_lab.results.tables import interval_as_text
from zsar_lab.text.answers import UNPARSEABLE, read_answers

COLUMNS = ["label", "prediction"]


class PredictionsError(ValueError):
    """Predictions or a list of classes that cannot be scored."""


@dataclass(frozen=True, eq=False)
class OutsidePredictions:
    """How often each label goes with each prediction, and all candidate classes.

    Attributes:
        counts: of the clips of each pair that occurs, columns label, prediction and clips.
        classes: names of the candidates.
        classes_from: where they were read from.
        fingerprint: of the file, or of both lists.
        respelt: the class of each name that was written otherwise, see `match_names`.
        read: of free answers, how many were read in which way, see `read_answers`.
    """

    counts: pd.DataFrame
    classes: tuple[str, ...]
    classes_from: str
    fingerprint: str
    respelt: dict[str, str] = field(default_factory=dict)
    read: dict[str, int] = field(default_factory=dict)

    @property
    def rows(self) -> pd.DataFrame:
        """Label and prediction, a row a clip, pair by pair."""
        counts = self.counts
        return counts.loc[counts.index.repeat(counts["clips"]), COLUMNS].reset_index(drop=True)


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
        table = pd.DataFrame(f["per_class"]).rename(columns={"top1": "top1_%"})
        table["top1_%"] = ["" if pd.isna(share) else f"{100 * share:.1f}" for share in table["top1_%"]]
        top1, mean_class = (interval_as_text(f[f"{quantity}_ci95"]) for quantity in QUANTITIES)
        hubs = f"skewness {h['skewness']:.2f}, Robin Hood {h['robin_hood']:.2f}, Gini {h['gini']:.2f}"
        return (
            f"{f['clips']} clips, {f['classes']} classes (from {f['classes_from']}),"
            f" chance {100 * f['chance']:.1f} %\n"
            + (f"names {said}\n" if (said := Matches(f["respelt"], {}).said) else "")
            + (f"answers: {', '.join(f'{n} {how}' for how, n in f['read'].items())}\n" if f["read"] else "")
            + (f"{f['unparseable']} name no one class and count as wrong\n" if f["unparseable"] else "")
            + f"top-1 (share of clips) {100 * f['top1']:.1f} %, 95 % interval over classes {top1}\n"
            f"mean over classes {100 * f['mean_class']:.1f} %, 95 % interval {mean_class}\n"
            f"hubness of N_1: {hubs}, Atkinson {h['atkinson']:.2f}, classes never predicted"
            f" {100 * h['antihubs']:.0f} %, on hubs {100 * h['hub_occurrence']:.0f} %\n\n"
            + table.to_string(index=False)
        )


def score_predictions(predictions: OutsidePredictions) -> OutsideScores:
    """Top-1 and mean over classes with intervals, hubness, the table by class and the confusion.

    The confusion has an entry for every pair of label and prediction that occurs; labels_fingerprint is of
    the number of clips of each class, for clips have no name here.
    """
    names, counts = list(predictions.classes), predictions.counts
    table = counts.pivot(index="label", columns="prediction", values="clips")
    table = table.reindex(names).fillna(0).astype(int)
    confusion_CC, clips = table.reindex(columns=names, fill_value=0).to_numpy(), table.to_numpy().sum(1)
    occurrence = confusion_CC.sum(0)
    wrong_CC = confusion_CC - np.diag(np.diag(confusion_CC))
    by_class = pd.DataFrame({"class": names, "clips": clips, "correct": np.diag(confusion_CC)})
    by_class["top1"] = (by_class["correct"] / by_class["clips"]).astype(object).where(clips > 0, None)
    by_class["confused_with"] = np.where(wrong_CC.any(1), np.array(names, object)[wrong_CC.argmax(1)], "")
    by_class = by_class.assign(confused_clips=wrong_CC.max(1), predictions=occurrence)
    rows = pd.DataFrame({"right": np.diag(confusion_CC), "clips": clips}, index=names).sort_index()
    confusion = {name: {other: int(n) for other, n in of.items() if n} for name, of in table.iterrows()}
    return OutsideScores(
        {
            "schema_version": SCHEMA_VERSION,
            "clips": int(clips.sum()),
            "classes": len(names),
            "classes_from": predictions.classes_from,
            "respelt": predictions.respelt,
            "read": predictions.read,
            "unparseable": int(counts["clips"][counts["prediction"] == UNPARSEABLE].sum()),
            "fingerprint": predictions.fingerprint,
            "labels_fingerprint": fingerprint("labels", {name: int(n) for name, n in zip(names, clips) if n}),
            "candidates_fingerprint": fingerprint("candidates", sorted(names)),
            "top1": accuracy(rows),
            "top1_ci95": list(interval(rows)),
            "mean_class": accuracy(rows, "mean_class"),
            "mean_class_ci95": list(interval(rows, "mean_class")),
            "chance": 1 / len(names),
            "hubness": asdict(hubness(occurrence, 1)),
            "hubness_ci95": {name: [*ends] for name, ends in hubness_interval(occurrence, 1).items()},
            "per_class": by_class.to_dict("records"),
            "confusion": {name: of_class for name, of_class in confusion.items() if of_class},
        }
    )


def read_predictions(path: Path, classes_path: Path | None = None) -> OutsidePredictions:
    """Read a csv with the columns label and prediction, a row a clip; spaces around names do not count.

    A column `answer` in the place of `prediction` holds free answers, which `read_answers` reads.

    Ten million rows without quotes take 1.3 GB; with quotes, or with a row that ends early, the table is read
    row by row, in some ten times the time and memory.

    Args:
        path: UTF-8, with commas between the columns; further columns are not read.
        classes_path: a file of all candidates: one name a line, or a csv with a column `name` and maybe
            `id` and `label`; without it they are those that occur, sorted.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: a file is no such table, a cell is empty, or as `predictions_of`.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"there is no file '{path}'")
    data = path.read_bytes()
    listed, also = (None, []) if classes_path is None else _class_names(Path(classes_path))
    listed_in = "the candidates" if classes_path is None else f"'{classes_path}'"
    if counts := _plain_counts(data):
        return _matched(counts, fingerprint(data), listed, f"'{path}'", listed_in, also)
    columns = read_csv(path, COLUMNS[:1], pad=True)[0]
    is_free = "answer" in columns and "prediction" not in columns
    rows = _cells(path, COLUMNS[: 1 if is_free else 2])
    if not rows:
        raise PredictionsError(f"'{path}' must have a row a clip below its first line, got none")
    labels, given = (
        [row[column] for row in rows] for column in ("label", "answer" if is_free else "prediction")
    )
    read: dict[str, int] = {}
    if is_free:
        label_of = dict.fromkeys(listed or labels, "") | {name: said for said, name in also}
        found = read_answers(given, pd.DataFrame(label_of.items(), columns=["name", "label"]))
        given, read = found["prediction"].tolist(), found["read"].value_counts().to_dict()
    made = predictions_of(labels, given, listed, f"'{path}'", listed_in, also)
    return replace(made, fingerprint=fingerprint(data), read=read)


def predictions_of(
    labels: Sequence[str],
    predictions: Sequence[str],
    candidates: Sequence[str] | None = None,
    where: str = "the clips",
    listed_in: str = "the candidates",
    also: Sequence[tuple[str, str]] = (),
) -> OutsidePredictions:
    """Predictions of lists in memory; names are matched to the candidates, or to the labels, `match_names`.

    Args:
        labels: true class of each clip.
        predictions: predicted class of each, or "(unparseable)", which is wrong and no candidate.
        candidates: all candidate classes; None for those that occur, sorted.
        where: what the clips are called in messages.
        listed_in: what the candidates are called there.
        also: ids and labels of candidates, each with its candidate.

    Raises:
        ValueError: other numbers of labels and predictions, a name that is no text or no candidate, clips of
            one class only, one class under two names, or no prediction that is a label where no candidates
            are given.
    """
    rows = {"label": list(labels), "prediction": list(predictions)}
    n_labels, n_predictions = map(len, rows.values())
    if n_labels != n_predictions:
        got = f"{n_labels} and {n_predictions}"
        raise PredictionsError(f"every clip needs a label and a prediction, got {got}")
    odd = [name for names in rows.values() for name in names if not isinstance(name, str)]
    if odd:
        raise PredictionsError(f"labels and predictions must be texts, got {odd[0]!r}")
    counts = Counter(zip(*rows.values(), strict=True))
    made = _matched(counts, "", candidates, where, listed_in, also)
    matched = ([made.respelt.get(name, name) for name in names] for names in rows.values())
    return replace(made, fingerprint=fingerprint(*matched))


def _matched(
    counts: Counter[tuple[str, str]],
    key: str,
    candidates: Sequence[str] | None,
    where: str,
    listed_in: str,
    also: Sequence[tuple[str, str]],
) -> OutsidePredictions:
    """The counts by class; `key` is the fingerprint."""
    rows = {column: [pair[n] for pair in counts] for n, column in enumerate(COLUMNS)}
    known = list(dict.fromkeys(rows["label"])) if candidates is None else list(candidates)
    refuse_same(known)
    named = {column: [name for name in names if name != UNPARSEABLE] for column, names in rows.items()}
    matches = {column: match_names(names, known, also) for column, names in named.items()}
    if counts and not named["prediction"]:
        raise PredictionsError(f"no answer of {where} names a class, all {counts.total()} are unparseable")
    if candidates is None:
        others = matches["prediction"]
        refuse_same([*known, *others.unknown])
        if known and not others.class_of:
            raise PredictionsError(
                f"no prediction is a label of {where}, such as {others.lacking}; give classes"
            )
        matches["prediction"] = replace(others, class_of=others.class_of | {n: n for n in others.unknown})
    else:
        for column, found in matches.items():
            if found.unknown:
                names = zip(rows[column], counts.values(), strict=True)
                count = sum(clips for name, clips in names if name in found.unknown)
                not_there = f"{count} are not: {found.lacking}"
                raise PredictionsError(f"every {column} must be a class of {listed_in}, {not_there}")
    matches["prediction"].class_of[UNPARSEABLE] = UNPARSEABLE
    rows = {column: [matches[column].class_of[name] for name in names] for column, names in rows.items()}
    if len(set(rows["label"])) < 2:
        got = "all are " + repr(rows["label"][0]) if counts else "there are none"
        raise PredictionsError(f"{where} must be of at least 2 classes, {got}")
    occurring = sorted({name for names in rows.values() for name in names} - {UNPARSEABLE})
    classes, source = (occurring, "the names that occur") if candidates is None else (candidates, listed_in)
    meant = matches["label"].class_of | matches["prediction"].class_of
    respelt = {name: of_class for name, of_class in meant.items() if name != of_class}
    table = pd.DataFrame(rows | {"clips": list(counts.values())})
    table = table.groupby(COLUMNS, sort=False, as_index=False)["clips"].sum()
    return OutsidePredictions(table, tuple(classes), source, key, respelt)


def _plain_counts(data: bytes) -> Counter[tuple[str, str]]:
    """How often each pair is in a csv table without quotes, whole in every row; none for another table."""
    from pyarrow import ArrowException, csv, dictionary, int32, py_buffer, string

    first, names = data[:4096].partition(b"\n")[0].decode("utf-8-sig", "replace"), COLUMNS
    delimiter = csv_delimiter([first], names)
    header = [cell.strip("\r") for cell in first.split(delimiter)]
    if b'"' in data or data.count(b"\r") != data.count(b"\r\n") or any(header.count(n) != 1 for n in names):
        return Counter()
    kinds = csv.ConvertOptions(
        include_columns=names, column_types=dict.fromkeys(names, dictionary(int32(), string()))
    )
    try:
        data.decode()
        form = csv.ParseOptions(delimiter=delimiter, quote_char=False)
        table = csv.read_csv(py_buffer(data), parse_options=form, convert_options=kinds)
    except (UnicodeDecodeError, ArrowException):
        return Counter()
    columns = [column.combine_chunks() for column in table.unify_dictionaries().itercolumns()]
    if not len(table):
        return Counter()
    labels, predictions = (column.dictionary.to_pylist() for column in columns)
    rows = [column.indices.to_numpy().astype(np.int64) for column in columns]
    codes, places, clips = np.unique(
        rows[0] * len(predictions) + rows[1], return_index=True, return_counts=True
    )
    order = np.argsort(places)
    pairs = zip(*(part.tolist() for part in np.divmod(codes[order], len(predictions))), clips[order].tolist())
    counts: Counter[tuple[str, str]] = Counter()
    for a, b, n in pairs:
        counts[labels[a].strip(), predictions[b].strip()] += n
    return counts if all(map(all, counts)) else Counter()


def _class_names(path: Path) -> tuple[list[str], list[tuple[str, str]]]:
    """The names of a list of classes, and ids and labels beside them: a csv table, or one name a line."""
    lines = [line.strip() for line in read_text(path).splitlines() if line.strip()]
    header = [cell.strip() for cell in re.split("[,;\t]", lines[0])] if lines else []
    rows = _cells(path, ["name"]) if "name" in header else [{"name": line} for line in lines]
    names = [row["name"] for row in rows]
    twice = [name for n, name in enumerate(names) if name in names[:n]]
    if len(names) < 2 or twice:
        got = f"{twice[0]!r} twice" if twice else f"{len(names)}"
        raise PredictionsError(f"'{path}' must name at least 2 classes, each once, got {got}")
    also = [(row[column], row["name"]) for row in rows for column in ("id", "label") if row.get(column)]
    return names, also


def _cells(path: Path, columns: list[str]) -> list[dict[str, str]]:
    """The rows of a csv table, none of these columns empty."""
    _, rows = read_csv(path, columns, pad=True)
    for number, row in rows:
        empty = [column for column in columns if not row[column]]
        if empty:
            raise PredictionsError(f"line {number} of '{path}' must have a {empty[0]}, it is empty")
    return [row for _, row in rows]
