"""What the class-text inspector shows, as html: the text word by word, its nearest classes, its flags, and what an edit did to the score."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import pandas as pd

from zsar_lab.protocols.protocol import Protocol
from zsar_lab.results.rescore import UNSEEN, VALIDATION, WARNINGS, TextChange, TextScore
from zsar_lab.text.lint import ClassInspection, LineRead, edited_names
from zsar_lab.text.prompts import ClassText
from zsar_lab.viz.clips import TEXT

if TYPE_CHECKING:
    from zsar_lab.text.encoder import Word

SEEN, NO_ROLE = "seen", "not in this split"
WARN, GAIN, LOSS, GREY = (
    "#D55E00",
    "#0072B2",
    "#D55E00",
    "#808080",
)  # of Okabe and Ito's palette, which colour-blind people can tell apart
MOST_ROWS = 30
CELL = "padding:1px 10px 1px 0;text-align:left;vertical-align:top"
NUMBER = "padding:1px 10px 1px 0;text-align:right;vertical-align:top;white-space:nowrap;font-variant-numeric:tabular-nums"
BOX = f"font-size:13px;line-height:1.45;overflow-wrap:break-word;{TEXT}"


def role_of(protocol: Protocol, name: str) -> str:
    """What a class is in a split: "seen", "validation", "unseen" or "not in this split"."""
    groups = ((SEEN, protocol.seen), (VALIDATION, protocol.validation), (UNSEEN, protocol.unseen))
    return next((role for role, names in groups if name in names), NO_ROLE)


def role_sentence(label: str, role: str, on: str) -> str:
    """How the text of a class of this role acts on a score on validation or unseen classes."""
    if role == on:
        return f"“{label}” is one of the {on} classes scored."
    if role == SEEN:
        return f"“{label}” is a seen class: its text acts on the score through what is carried over from seen classes to those scored."
    if role == VALIDATION:
        return f"“{label}” is a validation class: on unseen classes its text acts only through the settings, which validation classes choose."
    if role == UNSEEN:
        return f"“{label}” is an unseen class: its text plays no part in the score on validation classes."
    return f"“{label}” is not in this split: its text plays no part in the score."


def plays_a_part(role: str, on: str) -> bool:
    """False where the text of a class of this role cannot change a score on `on`."""
    return role in (SEEN, VALIDATION) or role == on


def reading(inspection: ClassInspection, labels: Mapping[str, str], protocol: Protocol | None = None) -> str:
    """Html: flags as sentences, the text word by word, and the nearest classes with what they are in the split."""
    role = f" ({role_of(protocol, inspection.name)})" if protocol else ""
    n_lines = len(inspection.lines)
    joined = (
        "" if n_lines == 1 else f", {n_lines} lines {'averaged' if inspection.averaged else 'side by side'}"
    )
    head = f"<b>{html.escape(inspection.label)}</b>{role}: class text ({html.escape(inspection.prompt)}{joined}) as the encoder reads it"
    flags = "".join(
        f'<div class="zsar-flag"><b style="color:{WARN}">⚠</b> {html.escape(text)}</div>'
        for text in inspection.flags["sentence"]
    )
    lines = "".join(_line(line, inspection.most_tokens) for line in inspection.lines)
    left = (
        f'<div style="flex:3 1 340px;min-width:0"><div>{head}</div>{lines}{_legend(inspection)}{flags}</div>'
    )
    right = f'<div style="flex:2 1 320px;min-width:0"><div>nearest classes by their texts</div>{_nearest(inspection.nearest, labels, protocol)}</div>'
    return f'<div class="zsar-reading" style="display:flex;flex-wrap:wrap;gap:10px 28px;{BOX}">{left}{right}</div>'


def words_html(line: LineRead) -> str:
    """A line with its odd words marked: unknown ones wavy, those of three pieces or more dashed, the pieces set apart by dots."""
    shown, place = [], 0
    for word in line.words:
        start = line.text.find(word.text, place)
        shown += [html.escape(line.text[place:start]), _word(word)]
        place = start + len(word.text)
    return "".join(shown) + html.escape(line.text[place:])


def change_html(change: TextChange, labels: Mapping[str, str], without_part: Sequence[str] = ()) -> str:
    """Html: the score before and after an edit, what may be claimed, and a row for each class that gained or lost.

    Args:
        change: of `Rescorer.compare`.
        labels: the readable label of each class name.
        without_part: labels of edited classes whose texts cannot change this score.
    """
    settings = change.settings()
    part = (
        f"<div>No part in this score: {html.escape(', '.join(f'“{label}”' for label in without_part))}.</div>"
        if without_part
        else ""
    )
    head = f"<div><b>{html.escape(change.summary())}</b></div>"
    note = f"<div>{html.escape(settings[0].upper() + settings[1:])}.</div>{_warning(change.before.on)}"
    return f'<div class="zsar-change" style="{BOX}">{head}{note}{part}{_changed_classes(change.table(), labels)}</div>'


def score_html(score: TextScore) -> str:
    """Html: the score while no text is edited."""
    text = f"{score.scored}: {100 * score.top1:.1f} %; no text is edited yet."
    return f'<div class="zsar-change" style="{BOX}"><b>{html.escape(text)}</b>{_warning(score.on) if score.on == UNSEEN else ""}</div>'


def note_html(text: str) -> str:
    """Html: a sentence."""
    return f'<div style="{BOX}">{html.escape(text)}</div>'


def edits_html(before: ClassText, after: ClassText, labels: Mapping[str, str]) -> str:
    """Html: how many texts are edited, and each of them before and after."""
    names = edited_names(before, after)
    head = f"{len(names)} of {len(before.names)} texts edited"
    if not names:
        return f'<div class="zsar-edits" style="{BOX}">{head}</div>'
    old, new = (dict(zip(text.names, text.texts, strict=True)) for text in (before, after))
    rows = "".join(
        f'<tr><td style="{CELL};min-width:8em">{html.escape(labels[name])}</td>'
        f'<td style="{CELL}">{_flat(old[name])}</td><td style="{CELL}">{_flat(new[name])}</td></tr>'
        for name in names
    )
    table = _table(("class", "text before", "text after"), rows)
    return f'<details class="zsar-edits" open style="{BOX}"><summary>{head}</summary>{table}</details>'


def _warning(on: str) -> str:
    return f'<div><b style="color:{WARN}">⚠</b> {html.escape(WARNINGS[on])}</div>'


def _line(line: LineRead, most_tokens: int) -> str:
    count = f'<span style="color:{GREY};white-space:nowrap"> {line.n_tokens} of at most {most_tokens} tokens</span>'
    return f'<div style="margin:3px 0;padding-left:8px;border-left:3px solid {GREY}">{words_html(line)}{count}</div>'


def _word(word: Word) -> str:
    if word.unknown:
        return _marked(word.text, "wavy", "unknown to the encoder")
    pieces = _pieces(word)
    if word.heavily_split:
        return _marked(pieces, "dashed", f"read in {len(word.pieces)} pieces: {' '.join(word.pieces)}")
    return f"<span>{html.escape(pieces)}</span>"


def _marked(text: str, line: str, title: str) -> str:
    style = f"text-decoration:underline {line} {WARN} 2px;text-underline-offset:3px;font-weight:600"
    return f'<span class="zsar-word" style="{style}" title="{html.escape(title)}">{html.escape(text)}</span>'


def _pieces(word: Word) -> str:
    """The word with dots between its pieces, "po·mmel"; without dots where the pieces are not written as the word is."""
    lengths = [len(piece.removeprefix("##").strip("▁Ġ")) for piece in word.pieces]
    if len(word.pieces) == 1 or sum(lengths) != len(word.text):
        return word.text
    starts = [sum(lengths[:number]) for number in range(len(lengths))]
    return "·".join(word.text[start : start + length] for start, length in zip(starts, lengths))


def _legend(inspection: ClassInspection) -> str:
    """What the marks mean, for those that occur."""
    unknown = list(dict.fromkeys(word for line in inspection.lines for word in line.unknown))
    split = list(dict.fromkeys(word for line in inspection.lines for word in line.heavily_split))
    named = (
        ("wavy underline, unknown to the encoder", unknown),
        ("dashed underline, read in three pieces or more, so hardly known to it", split),
    )
    return "".join(
        f'<div style="color:{GREY}">{what}: {html.escape(", ".join(words))}</div>'
        for what, words in named
        if words
    )


def _nearest(nearest: pd.DataFrame, labels: Mapping[str, str], protocol: Protocol | None) -> str:
    rows = []
    for row in nearest.itertuples(index=False):
        name = row[0]
        role = f'<td style="{CELL}">{role_of(protocol, name)}</td>' if protocol else ""
        bar = f'<div style="background:{GAIN};height:9px;width:{round(90 * min(1.0, max(0.0, row.centred)))}px"></div>'
        numbers = (
            f'<td style="{NUMBER}">{row.centred:.2f}</td><td style="padding:6px 10px 0 0;width:90px;vertical-align:top">{bar}</td>'
            f'<td style="{NUMBER}">{row.cosine:.2f}</td>'
        )
        rows.append(f'<tr><td style="{CELL}">{html.escape(labels[name])}</td>{role}{numbers}</tr>')
    columns = ("class", *(("in this split",) if protocol else ()), "centred", "", "cosine")
    return _table(columns, "".join(rows))


def _changed_classes(table: pd.DataFrame, labels: Mapping[str, str]) -> str:
    """A row a class whose clips are named otherwise than before, the largest gains and the largest losses."""
    changed = table[(table["gained_clips"] > 0) | (table["lost_clips"] > 0)]
    same = f"<div>{len(table) - len(changed)} of {len(table)} classes unchanged.</div>"
    if changed.empty:
        return same
    half = MOST_ROWS // 2
    shown = changed if len(changed) <= MOST_ROWS else pd.concat([changed.head(half), changed.tail(half)])
    left_out = (
        f"<div>{len(changed) - len(shown)} more with smaller changes are not shown.</div>"
        if len(shown) < len(changed)
        else ""
    )
    rows = "".join(
        _changed_class(dict(zip(table.columns, row, strict=True)), labels)
        for row in shown.itertuples(index=False, name=None)
    )
    return (
        _table(("class", "before %", "", "after %", "change (points)", "clips gained, lost"), rows)
        + left_out
        + same
    )


def _changed_class(row: Mapping[str, object], labels: Mapping[str, str]) -> str:
    points = row["change_points"]
    colour, sign = (GAIN, "▲") if points > 0 else (LOSS, "▼") if points < 0 else (GREY, "=")
    change = f'<b style="color:{colour}">{sign}</b> {points:+.1f}'
    return (
        f'<tr><td style="{CELL}">{html.escape(labels[row["class"]])}</td><td style="{NUMBER}">{row["before_%"]:.1f}</td>'
        f'<td style="padding-right:10px">{_dots(row["before_%"], row["after_%"], colour)}</td><td style="{NUMBER}">{row["after_%"]:.1f}</td>'
        f'<td style="{NUMBER}">{change}</td><td style="{NUMBER}">+{row["gained_clips"]}, -{row["lost_clips"]} of {row["clips"]}</td></tr>'
    )


def _dots(before: float, after: float, colour: str) -> str:
    """An open dot at the score before, a full one at the score after, a line between them, on a scale of 0 to 100 %."""
    x = [8 + 1.2 * value for value in (before, after)]
    scale = f'<line x1="8" y1="8" x2="128" y2="8" stroke="{GREY}" stroke-opacity="0.35"/>'
    line = f'<line x1="{x[0]:.1f}" y1="8" x2="{x[1]:.1f}" y2="8" stroke="{colour}" stroke-width="3"/>'
    open_dot = f'<circle cx="{x[0]:.1f}" cy="8" r="4.5" fill="none" stroke="{colour}" stroke-width="2"/>'
    full_dot = f'<circle cx="{x[1]:.1f}" cy="8" r="5" fill="{colour}"/>'
    title = f"from {before:.1f} to {after:.1f} %"
    head = f'<svg width="136" height="16" style="vertical-align:middle" role="img" aria-label="{title}"><title>{title}</title>'
    return f"{head}{scale}{line}{open_dot}{full_dot}</svg>"


def _table(columns: Sequence[str], rows: str) -> str:
    numeric = ("centred", "cosine", "before %", "after %", "change (points)", "clips gained, lost")
    plain_head = f"font-weight:normal;white-space:nowrap;color:{GREY}"
    head = "".join(
        f'<th style="{NUMBER if column in numeric else CELL};{plain_head}">{column}</th>'
        for column in columns
    )
    return f'<table style="border-collapse:collapse;font-size:13px;line-height:1.45;color:inherit"><tr>{head}</tr>{rows}</table>'


def _flat(text: str) -> str:
    return html.escape(text.replace("\n", " · "))
