"""Tables and sentences on class texts: each prompt against a baseline on the same clips, and which one validation would choose."""

from __future__ import annotations

import textwrap

import numpy as np
import pandas as pd

from zsar_lab.results.evaluate import TRANSFER
from zsar_lab.results.report import Report, TextRow
from zsar_lab.results.wording import detectable_as_text, interval_as_text, p_as_text

FEW_CLASSES = 50  # below it the bootstrap is too sure, see `paired_p_value`
# what the prompts of the usual question hold: is a class better told by its name, a description, or both
HELD = {"label": "names", "description": "descriptions", "label_and_description": "both"}


def text_table(report: Report, method: str = TRANSFER, baseline: str = "label") -> pd.DataFrame:
    """A row a prompt of class text, for reading: accuracies in percent, differences to the baseline in points.

    The intervals are 95 % class-bootstrap intervals, p is that of the difference, alone and adjusted for all
    prompts compared (Holm); `detectable` is the smallest true difference that would be found in four of five
    such studies. `validation chooses it in` counts the splits whose validation classes score best with it: by
    that a prompt is chosen.

    Raises:
        ValueError: as `Report.compare_texts`.
    """
    rows = report.compare_texts(method, baseline)
    content = {
        "top1_%": [f"{100 * row.top1:.1f}" for row in rows],
        "interval": [interval_as_text(row.ci95) for row in rows],
        "validation_%": [f"{100 * row.validation_top1:.1f}" for row in rows],
        "validation chooses it in": [chosen_as_text(row, report) for row in rows],
        f"difference to {baseline}": [
            "" if row.p is None else f"{100 * row.difference:+.1f}" for row in rows
        ],
        "its interval": ["" if row.p is None else interval_as_text(row.difference_ci95, "+") for row in rows],
        "p": [p_as_text(row.p) for row in rows],
        "p (Holm)": [p_as_text(row.p_holm) for row in rows],
        "detectable": [detectable_as_text(row.detectable) for row in rows],
    }
    return pd.DataFrame(content, index=pd.Index([row.class_text for row in rows]))


def texts_as_text(report: Report, method: str = TRANSFER, baseline: str = "label") -> str:
    """What the comparison of class texts shows, a sentence a prompt, and what a choice by validation would score.

    Raises:
        ValueError: as `Report.compare_texts`.
    """
    rows = report.compare_texts(method, baseline)
    zero, others = (
        next(row for row in rows if row.class_text == baseline),
        [row for row in rows if row.class_text != baseline],
    )
    clips, n_splits = sum(len(result.targets) for result in report.results), len(report.results)
    lines = [
        f"{report.name}: class texts under method {method}, all on the same {clips} clips, {n_splits} split{'s' * (n_splits > 1)} and trained models"
        f" (trained with {report.rows[0].class_text}, which that prompt may profit from).",
        f"- {_score(zero)}: what the others are compared with.",
        *(f"- {_score(row)}: difference {_difference(row, baseline)}." for row in others),
    ]
    chosen = sorted((row for row in rows if row.chosen_in), key=lambda row: -len(row.chosen_in))
    mean = float(np.mean([row.splits[split] for row in rows for split in row.chosen_in]))
    named = ", ".join(f"{row.class_text} in {chosen_as_text(row, report)}" for row in chosen)
    lines.append(
        f"- A prompt is chosen by validation classes, never by unseen ones: {named}. Chosen so, top-1 is {100 * mean:.1f} %."
    )
    n_classes = len({name for result in report.results for name in result.protocol.unseen})
    if n_classes < FEW_CLASSES:
        lines.append(
            f"- Intervals and p resample {n_classes} different classes (splits share some). With so few they are too sure: of true zeros up to 1 in 10 has p <= 0.05."
        )
    return "\n".join(
        textwrap.fill(line, 110, subsequent_indent="  " if line.startswith("-") else "") for line in lines
    )


def chosen_as_text(row: TextRow, report: Report) -> str:
    """In how many splits validation would choose the prompt, "2 of 3 splits"."""
    return f"{len(row.chosen_in)} of {len(report.results)} split{'s' * (len(report.results) > 1)}"


def _score(row: TextRow) -> str:
    name = f"{HELD[row.class_text]} ({row.class_text})" if row.class_text in HELD else row.class_text
    return f"{name} {100 * row.top1:.1f} % {interval_as_text(row.ci95)}"


def _difference(row: TextRow, baseline: str) -> str:
    better = row.class_text if row.difference > 0 else baseline
    claim = f"{better} is better" if row.claimed else "no difference can be claimed"
    p = p_as_text(row.p_holm)
    interval = interval_as_text(row.difference_ci95, "+")
    return f"{100 * row.difference:+.1f} points {interval}, Holm's p {p if p.startswith('<') else '= ' + p}: {claim}"


def flags_as_text(flags: pd.DataFrame, n_classes: int) -> str:
    """The flags of `flags_of` as sentences, under a line that says how many of the texts have one."""
    n_flagged = flags["name"].nunique()
    lines = [
        f"{n_flagged} of {n_classes} class texts flagged ({100 * n_flagged / n_classes:.1f} %){':' if n_flagged else '.'}"
    ]
    lines += [
        f"- {name}: {sentence}." for name, sentence in zip(flags["name"], flags["sentence"], strict=True)
    ]
    return "\n".join(textwrap.fill(line, 110, subsequent_indent="  ") for line in lines)
