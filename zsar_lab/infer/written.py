"""Answers as lines of text, of csv, or of json, written as they come."""

from __future__ import annotations

import csv
import io
import json

import pandas as pd

from zsar_lab.infer.answers import ANSWER_COLUMNS, NO_NAME, own_names, score_of
from zsar_lab.infer.classifier import Candidates

TEXT, CSV, JSON = "text", "csv", "json"
N_BESIDE = 2
MOST_REMARKS = 3


def head(form: str) -> str:
    """What stands above the lines: the columns of csv, else nothing."""
    return _csv([list(ANSWER_COLUMNS)]) if form == CSV else ""


def lines(table: pd.DataFrame, form: str = TEXT) -> str:
    """A line a window, each with its end.

    Args:
        table: from `answers`.
        form: "text" for people; "csv", where the best classes stand as "name 0.520; name 0.210"; "json", an
            object a line, null where there is no figure.
    """
    if form == JSON:
        rows = (
            row | {"best": [{"name": name, "confidence": share} for name, share in row["best"]]}
            for row in table.to_dict("records")
        )
        return "".join(
            json.dumps({key: _plain(value) for key, value in row.items()}, ensure_ascii=False) + "\n"
            for row in rows
        )
    if form == CSV:
        best = ["; ".join(f"{name} {share:.3f}" for name, share in row) for row in table["best"]]
        return _csv(
            [
                ["" if value != value else value for value in row]
                for row in table.assign(best=best).itertuples(index=False)
            ]
        )
    return "".join(_for_people(row) + "\n" for row in table.itertuples(index=False))


def summary(parts: list[pd.DataFrame], candidates: Candidates, seconds: float) -> str:
    """What was done and how fast, how sure to be, and a score where labels are known."""
    table = pd.concat(parts, ignore_index=True)
    read = table[table["name"] != NO_NAME]
    n_videos, n_read, n_unsure = table["path"].nunique(), read["path"].nunique(), int(read["unsure"].sum())
    said = [
        f"{n_read} of {n_videos} videos read, {len(read)} windows in {seconds:.1f} s: {len(read) / seconds:.1f} windows a second; {n_unsure} unsure,"
        f" {len(table) - len(read)} could not be read."
    ]
    remarks = table[table["remark"] != ""].drop_duplicates("path")
    said += [
        f"{path}: {remark}"
        for path, remark in remarks[["path", "remark"]].head(MOST_REMARKS).itertuples(index=False)
    ]
    said += (
        [f"Videos with such a remark that are not listed: {len(remarks) - MOST_REMARKS}."]
        if len(remarks) > MOST_REMARKS
        else []
    )
    said.append(sure_sentence(candidates))
    return "\n".join(said + scored_sentences(table, candidates))


def sure_sentence(candidates: Candidates) -> str:
    """How sure to be by the thresholds, or why there are none."""
    if candidates.thresholds:
        return candidates.thresholds.sentence(len(candidates.names))
    return (
        "Nothing is marked unsure, which does not mean that it is sure: thresholds are chosen on validation classes, of which this model has fewer than 4;"
        " train with more classes, or look at labelled clips of yours."
    )


def scored_sentences(table: pd.DataFrame, candidates: Candidates) -> list[str]:
    """What `score_of` found where any label is one of the classes, and which labels are none; nothing where there are no labels."""
    labels = sorted(set(table.loc[table["name"] != NO_NAME, "label"]) - {""})
    known = own_names(labels, candidates.table)
    strange = [label for label in labels if label not in known]  # folders need not be named after classes
    said = [score_sentence(score_of(table, candidates))] if known else []
    if strange:
        what = f"{len(strange)} of the {len(labels)} labels {'is' if len(strange) == 1 else 'are'} none of the classes, such as {strange[0]!r}"
        said.append(f"Not scored: {what}; add such a class, or rename the label.")
    return said


def score_sentence(score: dict[str, float]) -> str:
    """What `score_of` found, in one line."""
    sure = (
        f"; of the {100 * score['answered']:.0f} % that are sure {100 * score['top1_answered']:.1f} %"
        if score["answered"]
        else "; none is sure"
    )
    return (
        f"{score['clips']} labelled windows: {100 * score['top1']:.1f} % right (chance {100 * score['chance']:.1f} %), among the five best"
        f" {100 * score['top5']:.1f} %{sure}."
    )


def _for_people(row) -> str:
    if row.name == NO_NAME:
        return f"{row.path}: {row.why}"
    beside = ", ".join(f"{name} {share:.2f}" for name, share in row.best[1 : 1 + N_BESIDE])
    mark = f"  unsure: {row.why}" if row.unsure else ""
    return f"{row.path} {row.start_s:.1f}-{row.end_s:.1f} s: {row.name} {row.confidence:.2f} ({beside}){mark}"


def _plain(value: object) -> object:
    """A value that json has: NaN becomes null, numpy's numbers Python's."""
    value = value.item() if hasattr(value, "item") else value
    return None if isinstance(value, float) and value != value else value


def _csv(rows: list[list]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()
