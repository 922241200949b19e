"""Tables and sentences made of numbers, so that words cannot contradict them."""

from __future__ import annotations

import textwrap

import numpy as np
import pandas as pd

from zsar_lab.data.catalog import Catalog
from zsar_lab.methods.metrics import per_class_table
from zsar_lab.protocols.protocol import Protocol
from zsar_lab.results.evaluate import DIRECT, RIDGE, RIDGE_CENTRED, TRANSFER, SplitResult
from zsar_lab.results.report import Report, settings_as_text
from zsar_lab.results.wording import detectable_as_text
from zsar_lab.text.prompts import label


def score_table(report: Report) -> pd.DataFrame:
    """The zero-shot table for reading: one decimal (skewness two), nothing where there is no number; accuracies in percent."""
    table = report.table().set_index("method")
    decimals = {"N1_skewness": 2}
    shown = {c: [_figure(value, decimals.get(c, 1)) for value in table[c]] for c in table}
    return pd.DataFrame(shown, index=table.index.rename(None))


def settings_table(report: Report) -> pd.DataFrame:
    """What was chosen on validation classes: a row a method, a column a split."""
    rows = {
        row.method: [settings_as_text(settings) or "nothing to choose" for settings in row.settings]
        for row in report.rows
    }
    return pd.DataFrame.from_dict(
        rows, orient="index", columns=[result.protocol.name for result in report.results]
    )


def report_as_text(report: Report) -> str:
    """The zero-shot table as text: what it was scored on, the methods between chance and upper bound, and the smallest detectable differences.

    Accuracies are percentages; an interval is the class-bootstrap 95 % interval of top-1.
    """
    table = report.table().map(lambda value: f"{value:.1f}" if isinstance(value, float) else value)
    clips = sum(len(result.targets) for result in report.results)
    lines = [
        f"Zero-shot top-1: {report.name}",
        f"protocol {report.protocol_hash}, {clips} test clips, {len(report.results[0].protocol.seen)} seen,"
        f" {len(report.results[0].protocol.validation)} validation, {len(report.results[0].protocol.unseen)} unseen classes a split",
        f"seen-class top-1 on held-out clips: {100 * report.seen_top1:.1f} %",
        "",
        table.replace("nan", "").fillna("").to_string(index=False),
        "",
        detectables_as_text(report),
    ]
    if report.generalised_rows:
        lines += [
            "",
            f"Seen and unseen classes as candidates, protocol {report.generalised_rows[0].protocol}",
            "",
            generalised_table(report).to_string(),
        ]
    return "\n".join(lines)


def generalised_table(report: Report) -> pd.DataFrame:
    """A row a method: S, U and H in percent as the scores are and calibrated, the interval of the calibrated H, the area under the curve (0..1)."""
    content = []
    for row in report.generalised_rows:
        low, high = (100 * end for end in row.harmonic_ci95)
        plain_scores, calibrated = (
            [f"{100 * value:.1f}" for value in values]
            for values in (
                (row.seen, row.unseen, row.harmonic),
                (row.calibrated_seen, row.calibrated_unseen, row.calibrated_harmonic),
            )
        )
        names = ("S_%", "U_%", "H_%")
        content.append(
            {"method": row.method}
            | dict(zip(names, plain_scores))
            | dict(zip((f"calibrated {name}" for name in names), calibrated))
            | {
                "its interval": f"[{low:.1f}, {high:.1f}]",
                "area": f"{row.area:.3f}",
                "best H on the curve_%": f"{100 * row.harmonic_upper_bound:.1f}",
            }
        )
    return pd.DataFrame(content).set_index("method").rename_axis(None)


def detectables_as_text(report: Report) -> str:
    """One sentence: how large a difference to transfer must truly be to be found, method by method, in points."""
    found = {
        row.method: detectable_as_text(report.compare(row.method, TRANSFER).detectable)
        for row in report.rows
        if row.method != TRANSFER
    }
    by_method = "; ".join(f"{method} {points or 'not known'}" for method, points in found.items())
    return f"Smallest true difference to {TRANSFER} that would be found in four of five such studies (points): {by_method}"


def comparison_as_text(report: Report, method_a: str, method_b: str) -> str:
    """One sentence: top-1 of two methods, their difference on the same clips with its 95 % interval, what may be claimed, and what could be found.

    Raises:
        ValueError: there is no such method.
    """
    compared = report.compare(method_a, method_b)
    (low, high), points = compared.ci95, detectable_as_text(compared.detectable)
    if low > 0:
        claim = f"{method_a} is better"
    elif high < 0:
        claim = f"{method_b} is better"
    else:
        claim = "no difference can be claimed"
    return (
        f"{method_a} {100 * report.row(method_a).top1:.1f} % against {method_b} {100 * report.row(method_b).top1:.1f} %: difference"
        f" {100 * compared.difference:+.1f} points, 95 % interval [{100 * low:+.1f}, {100 * high:+.1f}]: {claim}"
        + (
            f" (a true difference of {points} points would be found in four of five such studies)"
            if points
            else ""
        )
    )


def findings_as_text(report: Report, beside: Report | None = None) -> str:
    """What a report shows, in sentences: transfer against each form of direct, class texts, hubness, classes without a right clip, and `beside`."""
    lines = [
        f"{report.name}: chance {100 * report.chance:.1f} %, upper bound {100 * report.upper_bound:.1f} %."
    ]
    lines += [f"- {comparison_as_text(report, TRANSFER, other)}." for other in (DIRECT, RIDGE, RIDGE_CENTRED)]
    texts = sorted((row for row in report.text_rows if row.method == TRANSFER), key=lambda row: row.top1)
    if len(texts) > 1:
        worst, best = (f"{100 * row.top1:.1f} % ({row.class_text})" for row in (texts[0], texts[-1]))
        lines.append(f"- Class text, under transfer: from {worst} to {best}.")
    skewness = [f"{row.method} {row.hubness['skewness']:+.2f}" for row in report.rows]
    lines.append(
        f"- Hubness, N_1 skewness (mean over splits; noisy with so few classes): {'; '.join(skewness)}."
    )
    none_right = [
        f"{row['class']} ({result.protocol.name})"
        for result in report.results
        for _, row in per_class_table(
            result.method(TRANSFER).scores_BC, result.targets, result.protocol.unseen
        ).iterrows()
        if row["correct"] == 0
    ]
    lines.append(
        f"- Classes of which transfer got no clip right: {', '.join(none_right) if none_right else 'none'}."
    )
    if beside:
        scores = f"transfer {100 * beside.row(TRANSFER).top1:.1f} %, {RIDGE_CENTRED} {100 * beside.row(RIDGE_CENTRED).top1:.1f} %"
        lines.append(f"- Beside it, {beside.name}: {scores}, upper bound {100 * beside.upper_bound:.1f} %.")
    return "\n".join(
        textwrap.fill(line, 110, subsequent_indent="  " if line.startswith("-") else "") for line in lines
    )


def protocol_table(protocols: dict[str, Protocol]) -> pd.DataFrame:
    """A row a split: how many classes and clips of each kind, and its hash."""
    rows = [
        {
            "split": split,
            "seen": len(p.seen),
            "validation": len(p.validation),
            "unseen": len(p.unseen),
            "train clips": len(p.train_clips),
            "held-out seen clips": len(p.seen_test_clips),
            "validation clips": len(p.validation_clips),
            "test clips": len(p.test_clips),
            "hash": p.hash,
        }
        for split, p in protocols.items()
    ]
    return pd.DataFrame(rows).set_index("split").rename_axis(None)


def held_out_classes(protocols: dict[str, Protocol], catalog: Catalog) -> pd.DataFrame:
    """A column a split: the labels of its unseen and then of its validation classes, both in the order of families."""
    labels = dict(zip(catalog.classes["name"], label(catalog.classes)))
    families = (
        dict(zip(catalog.classes["name"], catalog.classes["family"])) if "family" in catalog.classes else {}
    )
    columns = {}
    for split, protocol in protocols.items():
        for kind in ("unseen", "validation"):
            names = sorted(getattr(protocol, kind), key=lambda name: (families.get(name, ""), name))
            columns |= {
                (split, f"{kind} {number}"): labels[name] for number, name in enumerate(names, start=1)
            }
    return (
        pd.Series(columns)
        .unstack(0, fill_value="")
        .reindex(index=list(dict.fromkeys(row for _, row in columns)), columns=list(protocols))
    )


def prototype_table(result: SplitResult, guess: str = "composed") -> pd.DataFrame:
    """A row an unseen class: cosine of where it is expected to its own true prototype, the mean and the nearest of the others.

    Args:
        result: the split.
        guess: "composed", its composed prototype, or "unseen text", its class text by the trained label head
            (the direct method).

    Returns:
        Columns class, own, others_mean, nearest_other, nearest_other_cosine, own_rank (1: its own true
        prototype is the nearest).
    """
    names = result.protocol.unseen
    cosine_UU = result.prototypes[guess] @ result.prototypes["true"].T
    others = cosine_UU.copy()
    np.fill_diagonal(others, np.nan)
    nearest = np.nanargmax(others, axis=1)
    own = np.diag(cosine_UU)
    content = {
        "class": names,
        "own": own,
        "others_mean": np.nanmean(others, axis=1),
        "nearest_other": [names[i] for i in nearest],
        "nearest_other_cosine": others[np.arange(len(names)), nearest],
        "own_rank": (cosine_UU >= own[:, None]).sum(1),
    }
    return pd.DataFrame(content).round(3)


def _figure(value: object, decimals: int) -> str:
    if isinstance(value, float):
        return "" if np.isnan(value) else f"{value:.{decimals}f}"
    return str(value)
