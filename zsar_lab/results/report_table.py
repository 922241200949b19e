"""A report as one table: a row for each method, class text and correction, with every figure, its comparison and its fingerprints."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from zsar_lab.methods.query_bank import INDUCTIVE
from zsar_lab.results.evaluate import TRANSFER
from zsar_lab.results.report import settings_as_text
from zsar_lab.results.report_json import PARTS, check_report, rows_of
from zsar_lab.results.statistics import compare_by_class, holm

BASELINE_TEXT, GENERALISED = "label", "generalised"
GENERALISED_FIGURES = (
    "average",
    "seen",
    "unseen",
    "harmonic",
    "calibrated_seen",
    "calibrated_unseen",
    "calibrated_harmonic",
    "area",
    "harmonic_upper_bound",
)
PLAIN = ("method", "setting", "class_text", "top1", "std", "top5", "mean_class", "validation_top1")


def report_table(content: dict[str, Any]) -> pd.DataFrame:
    """A row for what was scored, of the report and of those beside it.

    Methods and corrections are compared with transfer, class texts with the label under the same method, all
    on the same clips; p is adjusted for all that are compared with one baseline, corrections for those of
    their setting (`holm`).

    Args:
        content: of `Report.content`, or read from report.json.

    Returns:
        Columns part ("methods", "class_texts", "corrections", "generalised"), method, setting, class_text;
        top1, std (none for a single split), ci95_low, ci95_high, top5, mean_class, validation_top1; hubness_*
        of each measure (so of any group of measures that rows have; _low and _high of intervals); splits_top1
        and settings (a value a split, set apart by ;), compared_with, difference, difference_low,
        difference_high, p, p_holm, detectable; chance, upper_bound, seen_top1, n_splits, n_clips;
        protocol_name, and fingerprint_* of all that the row came from. Rows "generalised" have the figures of
        `GeneralisedRow` instead. Accuracies and differences are fractions.

    Raises:
        ValueError: it is no report, or one of an earlier version.
    """
    check_report(content, "the content")
    tables = []
    for one in (content, *content.get("beside", ())):
        check_report(one, "a report of the content")
        tables.append(
            pd.DataFrame([*(row for part in PARTS for row in _rows(one, part)), *_generalised(one)])
        )
    return pd.concat(tables, ignore_index=True)


def _rows(content: dict[str, Any], part: str) -> list[dict[str, Any]]:
    rows, splits = rows_of(content, part), content["splits"]
    shared = {name: content[name] for name in ("chance", "upper_bound", "seen_top1")}
    shared |= {
        "n_splits": len(splits),
        "n_clips": sum(split["clips_scored"] for split in splits),
        "protocol_name": content["protocol"]["name"],
    }
    found = []
    for row, compared in zip(rows, _comparisons(content, part, rows)):
        figures = (
            {"part": part}
            | {name: row[name] for name in PLAIN}
            | dict(zip(("ci95_low", "ci95_high"), row["ci95"]))
        )
        figures["std"] = (
            row["std"] if len(splits) > 1 else None
        )  # of one draw it is 0, which would look like agreement
        figures |= _measures(row)
        figures |= {"splits_top1": "; ".join(f"{top1:.6g}" for top1 in row["splits"])}
        figures |= {
            "settings": "; ".join(settings_as_text(settings) for settings in row["settings"]).strip("; ")
        }
        found.append(
            figures
            | compared
            | shared
            | {f"fingerprint_{name}": value for name, value in row["fingerprints"].items()}
        )
    return found


def _generalised(content: dict[str, Any]) -> list[dict[str, Any]]:
    splits, found = content["splits"], []
    n_clips = sum(split["clips_scored"] + split["clips"]["seen test"]["number"] for split in splits)
    shared = {"n_splits": len(splits), "n_clips": n_clips, "protocol_name": content["protocol"]["name"]}
    for row in content.get("generalised", ()):
        figures = {
            "part": GENERALISED,
            "method": row["method"],
            "setting": INDUCTIVE,
            "class_text": row["class_text"],
        }
        figures |= {name: row[name] for name in GENERALISED_FIGURES} | dict(
            zip(("harmonic_low", "harmonic_high"), row["harmonic_ci95"])
        )
        found.append(
            figures | shared | {f"fingerprint_{name}": value for name, value in row["fingerprints"].items()}
        )
    return found


def _measures(row: dict[str, Any]) -> dict[str, float]:
    """The figures that stand in a row under a name of their group; an interval becomes two."""
    found = {}
    for group, measures in row.items():
        if isinstance(measures, dict) and group != "fingerprints":
            for name, value in measures.items():
                ends = (
                    dict(zip(("_low", "_high"), value)) if isinstance(value, (list, tuple)) else {"": value}
                )
                found |= {f"{group}_{name}{end}": figure for end, figure in ends.items()}
    return found


def _comparisons(content: dict[str, Any], part: str, rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Each row against its baseline; nothing for the baseline itself, and where there is none."""
    transfer = next((row for row in content["methods"] if row["method"] == TRANSFER), None)
    found: list[dict[str, Any]] = [_compared() for _ in rows]
    groups: dict[str, list[int]] = {}
    for place, row in enumerate(rows):
        group = {"methods": "", "class_texts": row["method"], "corrections": row["setting"]}[part]
        groups.setdefault(group, []).append(place)
    for places in groups.values():
        if part == "class_texts":
            baseline = next(
                (rows[place] for place in places if rows[place]["class_text"] == BASELINE_TEXT), None
            )
        else:
            baseline = transfer
        others = [place for place in places if baseline is not None and rows[place] is not baseline]
        pairs = [compare_by_class(rows[place]["per_class"], baseline["per_class"]) for place in others]
        for place, pair, p_holm in zip(others, pairs, holm([pair.p for pair in pairs]).tolist()):
            name = BASELINE_TEXT if part == "class_texts" else TRANSFER
            found[place] = _compared(name, pair.difference, *pair.ci95, pair.p, p_holm, pair.detectable)
    return found


def _compared(*values: Any) -> dict[str, Any]:
    names = ("compared_with", "difference", "difference_low", "difference_high", "p", "p_holm", "detectable")
    return dict(zip(names, values or (None,) * len(names), strict=True))
