"""Why the clips of one class were named as they were: pure functions of a draw's result, and their html."""

from __future__ import annotations

import html
from dataclasses import dataclass

import numpy as np

from zsar_lab.data.catalog import Catalog
from zsar_lab.text.classtext import label
from zsar_lab.views.clips import TEXT, Caption, clip_grid
from zsar_lab.zeroshot.evaluate import DrawResult
from zsar_lab.zeroshot.metrics import confusion_matrix, per_class_table

N_PARTS = 8  # seen classes listed by name


@dataclass(frozen=True)
class Verdict:
    """What a rule said of one clip.

    Attributes:
        clip_id: of the catalog.
        predicted: class name with the best score.
        margin: score of the true class minus the best score of another class, in the rule's own units; below 0 when wrong.
        right: the predicted class is the true one.
    """

    clip_id: str
    predicted: str
    margin: float
    right: bool


def verdicts(result: DrawResult, rule: str, class_name: str) -> list[Verdict]:
    """The verdict on each clip of an unseen class, the most wrong first.

    Raises:
        ValueError: no such rule, or the class is not one of the draw's unseen ones.
    """
    target, scores_BC = _index(result, class_name), result.rule(rule).scores_BC
    found = []
    for row in np.flatnonzero(result.targets == target):
        scores = scores_BC[row]
        best = int(scores.argmax())
        margin = float(scores[target] - np.delete(scores, target).max())
        found.append(Verdict(result.ids[row], result.protocol.unseen[best], margin, best == target))
    return sorted(found, key=lambda verdict: verdict.margin)


def taken_for(result: DrawResult, rule: str, class_name: str) -> dict[str, int]:
    """How many clips of an unseen class were taken for each unseen class: the class itself first, then by falling count.

    Raises:
        ValueError: no such rule, or the class is not one of the draw's unseen ones.
    """
    names, target = result.protocol.unseen, _index(result, class_name)
    counts = confusion_matrix(result.rule(rule).scores_BC, result.targets, len(names))[target]
    order = sorted(range(len(names)), key=lambda i: (i != target, -counts[i], names[i]))
    return {names[i]: int(counts[i]) for i in order}


def rival(result: DrawResult, rule: str, class_name: str) -> str | None:
    """The class that its clips were most often wrongly taken for; None when none was."""
    counts = taken_for(result, rule, class_name)
    others = {name: count for name, count in counts.items() if name != class_name and count}
    return max(others, key=others.get) if others else None


def prototype_parts(result: DrawResult, class_name: str, at_least: float = 0.02) -> list[tuple[str, float]]:
    """The seen classes that composed an unseen class's prototype, with their weights, the largest first; smaller ones are left out.

    Raises:
        ValueError: the class is not one of the draw's unseen ones.
    """
    weights = result.weights_US[_index(result, class_name)]
    parts = [(name, float(weight)) for name, weight in zip(result.protocol.seen, weights) if weight >= at_least]
    return sorted(parts, key=lambda part: -part[1])


def worst_first(result: DrawResult, rule: str) -> list[tuple[str, float]]:
    """Each unseen class with its top-1 (0..1), the worst first; of equal ones the one with the stronger rival."""
    table = per_class_table(result.rule(rule).scores_BC, result.targets, result.protocol.unseen)
    table = table.sort_values(["top1", "taken_for_clips", "class"], ascending=[True, False, True])
    return list(zip(table["class"], table["top1"].astype(float)))


def caption_of(verdict: Verdict, labels: dict[str, str]) -> Caption:
    """The caption of a clip: the predicted class and the score margin with its sign."""
    return Caption((labels[verdict.predicted], f"margin {verdict.margin:+.3f}"), verdict.right)


def error_clips(catalog: Catalog, result: DrawResult, rule: str, class_name: str, max_clips: int = 48) -> str:
    """A grid of the class's clips playing, the most wrong first, each marked right or wrong.

    Raises:
        ValueError: as `verdicts`.
    """
    labels = dict(zip(catalog.classes["name"], label(catalog.classes)))
    shown = verdicts(result, rule, class_name)[:max_clips]
    return clip_grid(catalog, [verdict.clip_id for verdict in shown], [caption_of(verdict, labels) for verdict in shown])


def texts_and_parts(catalog: Catalog, result: DrawResult, rule: str, class_name: str) -> str:
    """Html: the class and its rival side by side, each with its class text and the seen classes its prototype was composed of.

    Raises:
        ValueError: as `verdicts`.
    """
    texts = result.class_text
    scheme, text_of = texts.scheme, dict(zip(texts.names, texts.texts))
    labels = dict(zip(catalog.classes["name"], label(catalog.classes)))
    other = rival(result, rule, class_name)
    columns = [_column("True class", class_name, result, text_of, labels, scheme)]
    if other:
        columns.append(_column("Most often taken for", other, result, text_of, labels, scheme))
    else:
        columns.append('<div style="flex:1 1 300px">No clip of it was taken for another class.</div>')
    return f'<div class="zsar-texts" style="display:flex;flex-wrap:wrap;gap:24px;font-size:13px;line-height:1.45;{TEXT}">{"".join(columns)}</div>'


def _column(role: str, name: str, result: DrawResult, text_of: dict[str, str], labels: dict[str, str], scheme: str) -> str:
    composed = prototype_parts(result, name, at_least=0.005)
    shown, rest = composed[:N_PARTS], [weight for _, weight in composed[N_PARTS:]]
    parts = "".join(
        f'<tr><td style="text-align:left;padding:1px 8px 1px 0">{html.escape(labels[seen])}</td>'
        f'<td style="padding:1px 6px;text-align:right">{weight:.2f}</td><td style="width:120px;text-align:left">'
        f'<div style="background:#0072B2;height:9px;width:{round(120 * weight)}px"></div></td></tr>'
        for seen, weight in shown
    )
    if rest:
        more = f'<td style="text-align:left;padding:1px 8px 1px 0">{len(rest)} more</td>'
        parts += f'<tr>{more}<td style="padding:1px 6px">{sum(rest):.2f}</td><td></td></tr>'
    text = text_of[name].replace("\n", " · ")
    return (
        f'<div style="flex:1 1 300px;min-width:0"><div>{role}: <b>{html.escape(labels[name])}</b></div>'
        f'<div style="margin:4px 0"><i>class text ({html.escape(scheme)}):</i> {html.escape(text)}</div>'
        f'<div><i>transfer composed its prototype of these seen classes (weight):</i></div>'
        f'<table style="font-size:13px;line-height:1.45">{parts}</table></div>'
    )


def _index(result: DrawResult, class_name: str) -> int:
    if class_name not in result.protocol.unseen:
        raise ValueError(f"the class must be one of the draw's unseen ones ({', '.join(result.protocol.unseen)}), got {class_name!r}")
    return result.protocol.unseen.index(class_name)
