"""Why the clips of one class were named as they were: pure functions of a split's result, and their html."""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from zsar_lab.data.catalog import Catalog
from zsar_lab.methods.metrics import answers_of, confusion_matrix, per_class_table
from zsar_lab.results.calibration import confidences
from zsar_lab.results.evaluate import SplitResult
from zsar_lab.text.lint import cluster_order
from zsar_lab.viz.clips import TEXT, Caption, clip_grid
from zsar_lab.viz.figures.style import by_family, labels_of

CLASS_ORDERS = ("accuracy", "name", "family")
N_PARTS = 8  # seen classes listed by name
SIDE_BY_SIDE = f"display:flex;flex-wrap:wrap;gap:24px;font-size:13px;line-height:1.45;{TEXT}"
MARGIN, CONFIDENCE, TYPICAL, UNTYPICAL = (
    "margin, most wrong first",
    "confidence, surest wrong first",
    "most typical first",
    "least typical first",
)


@dataclass(frozen=True)
class Verdict:
    """What a method said of one clip.

    Attributes:
        clip_id: of the catalog.
        predicted: class name with the best score; of tied ones not the true one, as scores count.
        margin: score of the true class minus the best score of another class, in the method's own units;
            below 0 when wrong.
        right: the predicted class is the true one.
        confidence: of the predicted class, 0..1, at the method's temperature; None where none was chosen.
        typicality: cosine to the mean of the other clips of its class, -1..1.
    """

    clip_id: str
    predicted: str
    margin: float
    right: bool
    confidence: float | None
    typicality: float


def verdicts(result: SplitResult, method: str, class_name: str) -> list[Verdict]:
    """The verdict on each clip of an unseen class, the most wrong first.

    Raises:
        ValueError: no such method, or the class is not one of the split's unseen ones.
    """
    target, scored, names = _index(result, class_name), result.method(method), result.protocol.unseen
    rows = np.flatnonzero(result.targets == target)
    scores = scored.scores_BC[rows]
    best, margins = (
        answers_of(scores, result.targets[rows]),
        scores[:, target] - np.delete(scores, target, 1).max(1, initial=-np.inf),
    )
    typicality = result.upper_bound_BC[rows, target]
    sure = (
        [None] * len(rows)
        if scored.temperature is None
        else confidences(scores, scored.temperature).max(1).tolist()
        if len(rows)
        else []
    )
    found = [
        Verdict(
            result.ids[row], names[answer], float(margin), bool(answer == target), confidence, float(typical)
        )
        for row, answer, margin, confidence, typical in zip(
            rows, best, margins, sure, typicality, strict=True
        )
    ]
    return sorted(found, key=lambda verdict: verdict.margin)


def orders(verdicts: Sequence[Verdict]) -> list[str]:
    """The orders that `in_order` can put these verdicts in: by confidence only where the method has one."""
    return [
        MARGIN,
        *([CONFIDENCE] if all(verdict.confidence is not None for verdict in verdicts) else []),
        TYPICAL,
        UNTYPICAL,
    ]


def in_order(verdicts: Sequence[Verdict], order: str = MARGIN) -> list[Verdict]:
    """Verdicts in one of the `orders`; by confidence: the wrong ones from the surest on, then the right ones from the least sure on.

    Raises:
        ValueError: no such order of these verdicts.
    """
    if order not in orders(verdicts):
        raise ValueError(
            f"an order of these clips must be one of {'; '.join(orders(verdicts))}, got {order!r}"
        )
    keys = {
        MARGIN: lambda verdict: verdict.margin,
        CONFIDENCE: lambda verdict: (
            verdict.right,
            verdict.confidence if verdict.right else -verdict.confidence,
        ),
        TYPICAL: lambda verdict: -verdict.typicality,
        UNTYPICAL: lambda verdict: verdict.typicality,
    }
    return sorted(verdicts, key=keys[order])


def confusion_order(result: SplitResult, method: str) -> np.ndarray:
    """Positions of the unseen classes by cluster: classes taken for one another stand side by side, see `cluster_order`.

    The similarity of two classes is the mean of the shares of their clips that were taken for the other one.

    Raises:
        ValueError: no such method.
    """
    counts = confusion_matrix(result.method(method).scores_BC, result.targets, len(result.protocol.unseen))
    share = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    return cluster_order((share + share.T) / 2)


def taken_for(result: SplitResult, method: str, class_name: str) -> dict[str, int]:
    """How many clips of an unseen class were taken for each unseen class: the class itself first, then by falling count.

    Raises:
        ValueError: no such method, or the class is not one of the split's unseen ones.
    """
    names, target = result.protocol.unseen, _index(result, class_name)
    counts = confusion_matrix(result.method(method).scores_BC, result.targets, len(names))[target]
    order = sorted(range(len(names)), key=lambda i: (i != target, -counts[i], names[i]))
    return {names[i]: int(counts[i]) for i in order}


def rival(result: SplitResult, method: str, class_name: str) -> str | None:
    """The class that its clips were most often wrongly taken for; None when none was."""
    counts = taken_for(result, method, class_name)
    others = {name: count for name, count in counts.items() if name != class_name and count}
    return max(others, key=others.get) if others else None


def prototype_parts(result: SplitResult, class_name: str, at_least: float = 0.02) -> list[tuple[str, float]]:
    """The seen classes that composed an unseen class's prototype, with their weights, the largest first; smaller ones are left out.

    Raises:
        ValueError: the class is not one of the split's unseen ones.
    """
    weights = result.weights_US[_index(result, class_name)]
    parts = [
        (name, float(weight)) for name, weight in zip(result.protocol.seen, weights) if weight >= at_least
    ]
    return sorted(parts, key=lambda part: -part[1])


def worst_first(result: SplitResult, method: str) -> list[tuple[str, float]]:
    """Each unseen class with its top-1 (0..1), the worst first; of equal ones the one with the stronger rival."""
    table = per_class_table(result.method(method).scores_BC, result.targets, result.protocol.unseen)
    table = table.sort_values(["top1", "taken_for_clips", "class"], ascending=[True, False, True])
    return list(zip(table["class"], table["top1"].astype(float)))


def classes_in_order(catalog: Catalog, result: SplitResult, method: str, by: str) -> list[str]:
    """The unseen classes by "accuracy" (worst first), by "name" (the readable label) or by "family".

    Raises:
        ValueError: no such method, or no such order.
    """
    names, labels = result.protocol.unseen, labels_of(catalog)
    if by == "accuracy":
        return [name for name, _ in worst_first(result, method)]
    if by == "name":
        return sorted(names, key=lambda name: (labels[name].casefold(), name))
    if by == "family":
        return [names[place] for place in by_family(names, catalog)]
    raise ValueError(f"classes must be in the order of {', '.join(CLASS_ORDERS)}, got {by!r}")


def caption_of(
    verdict: Verdict, labels: dict[str, str], number: int | None = None, order: str = MARGIN, kind: str = ""
) -> Caption:
    """The caption of a clip: the predicted class, the margin with its sign, the figure it is ordered by, and what it is tagged as.

    Args:
        verdict: on the clip.
        labels: the readable label of each class name.
        number: it is called by, before the class; None for none.
        order: one of `orders`.
        kind: of its tag; "" without one.
    """
    named = labels[verdict.predicted] if number is None else f"{number}. {labels[verdict.predicted]}"
    margin = f"margin {verdict.margin:+.3f}"
    ordered = {CONFIDENCE: [f"{100 * (verdict.confidence or 0):.0f} % sure"], MARGIN: []}.get(
        order, [f"typicality {verdict.typicality:.2f}"]
    )
    return Caption((named, margin, *ordered, *([f"⚑ {kind}"] if kind else [])), verdict.right)


def error_clips(
    catalog: Catalog, result: SplitResult, method: str, class_name: str, max_clips: int = 48
) -> str:
    """A grid of the class's clips playing, the most wrong first, each tagged right or wrong.

    Raises:
        ValueError: as `verdicts`.
    """
    labels = labels_of(catalog)
    shown = verdicts(result, method, class_name)[:max_clips]
    return clip_grid(
        catalog, [verdict.clip_id for verdict in shown], [caption_of(verdict, labels) for verdict in shown]
    )


def texts_and_parts(catalog: Catalog, result: SplitResult, method: str, class_name: str) -> str:
    """Html: the class and its rival side by side, each with its class text and the seen classes its prototype was composed of.

    Raises:
        ValueError: as `verdicts`.
    """
    labels, other = labels_of(catalog), rival(result, method, class_name)
    columns = [class_column("True class", class_name, result, labels)]
    if other:
        columns.append(class_column("Most often taken for", other, result, labels))
    else:
        columns.append('<div style="flex:1 1 300px">No clip of it was taken for another class.</div>')
    return f'<div class="zsar-texts" style="{SIDE_BY_SIDE}">{"".join(columns)}</div>'


def class_column(
    role: str, name: str, result: SplitResult, labels: dict[str, str], parts: str | None = None
) -> str:
    """Html: a class with its class text and, as a table of weights unless other html is given, what transfer composed its prototype of.

    Args:
        role: what the class is, before its label.
        name: of an unseen class.
        result: of the split.
        labels: the readable label of each class name.
        parts: html in the place of the table.
    """
    texts = result.class_text
    text = dict(zip(texts.names, texts.texts))[name].replace("\n", " · ")
    return (
        f'<div style="flex:1 1 300px;min-width:0"><div>{role}: <b>{html.escape(labels[name])}</b></div>'
        f'<div style="margin:4px 0"><i>class text ({html.escape(texts.prompt)}):</i> {html.escape(text)}</div>'
        f"<div><i>transfer composed its prototype of these seen classes (weight):</i></div>"
        f"{_weights(name, result, labels) if parts is None else parts}</div>"
    )


def _weights(name: str, result: SplitResult, labels: dict[str, str]) -> str:
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
    return f'<table style="font-size:13px;line-height:1.45">{parts}</table>'


def _index(result: SplitResult, class_name: str) -> int:
    if class_name not in result.protocol.unseen:
        raise ValueError(
            f"the class must be one of the split's unseen ones ({', '.join(result.protocol.unseen)}), got {class_name!r}"
        )
    return result.protocol.unseen.index(class_name)
