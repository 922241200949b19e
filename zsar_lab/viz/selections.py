"""Which clips of a class the error widget shows: those with a certain answer, a page at a time, in words."""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from zsar_lab.data.catalog import Catalog
from zsar_lab.results.evaluate import SplitResult
from zsar_lab.viz.clips import TEXT
from zsar_lab.viz.explanations import Verdict, worst_first
from zsar_lab.viz.figures.style import labels_of

PER_PAGE = 24
TAG_COLUMNS = {
    "clip": "clip",
    "class": "class",
    "kind": "tagged as",
    "note": "note",
    "split": "split",
    "time": "time",
}
MOST_TAGS = 50  # listed on the page; the file holds all


@dataclass(frozen=True)
class Answer:
    """A choice of clips by what they were taken for: all of them, the wrong ones, or those taken for one class.

    Attributes:
        wrong: only clips named wrongly.
        name: only clips taken for this class.
    """

    wrong: bool = False
    name: str | None = None

    def of(self, verdicts: Sequence[Verdict]) -> list[Verdict]:
        """The verdicts so chosen."""
        return [
            verdict
            for verdict in verdicts
            if (self.name in (None, verdict.predicted)) and not (self.wrong and verdict.right)
        ]


ANY, WRONG = Answer(), Answer(wrong=True)


def class_options(catalog: Catalog, result: SplitResult, method: str) -> list[tuple[str, str]]:
    """What the class dropdown offers: `<label> (<top-1> %)` and the class name, the worst class first; texts are made unlike."""
    labels = labels_of(catalog)
    options: dict[str, str] = {}
    for name, top1 in worst_first(result, method):
        text = f"{labels[name]} ({100 * top1:.0f} %)"
        options[text if text not in options else f"{text} [{name}]"] = name
    return list(options.items())


def answer_options(verdicts: Sequence[Verdict], labels: Mapping[str, str]) -> list[tuple[str, Answer]]:
    """What can be chosen, with the number of clips: all, the wrong ones if there are any, then each answer given, the most frequent first."""
    counts = pd.Series([verdict.predicted for verdict in verdicts], dtype=object).value_counts()
    order = sorted(counts.index, key=lambda name: (-counts[name], name))
    wrong = WRONG.of(verdicts)
    options = [
        (f"any answer ({len(verdicts)})", ANY),
        *([(f"wrong answers ({len(wrong)})", WRONG)] if wrong else []),
    ]
    texts = [f"taken for {labels[name]} ({counts[name]})" for name in order]
    return options + [
        (text if texts.count(text) == 1 else f"{text} [{name}]", Answer(name=name))
        for text, name in zip(texts, order)
    ]


def page_of(verdicts: Sequence[Verdict], page: int, per_page: int = PER_PAGE) -> list[Verdict]:
    """The verdicts on a page, from 0.

    Raises:
        ValueError: there is no such page.
    """
    if not 0 <= page < pages(len(verdicts), per_page):
        raise ValueError(
            f"the page must be in 0..{pages(len(verdicts), per_page) - 1} (of {len(verdicts)} clips), got {page}"
        )
    return list(verdicts[page * per_page : (page + 1) * per_page])


def pages(n_clips: int, per_page: int = PER_PAGE) -> int:
    """How many pages so many clips fill; one, empty, without clips."""
    return max(1, -(-n_clips // per_page))


def in_words(
    chosen: Sequence[Verdict],
    shown: Sequence[Verdict],
    first: int,
    label: str,
    answer: Answer,
    labels: Mapping[str, str],
) -> str:
    """One sentence: which of the chosen clips are shown, and how many of them were named wrongly.

    Args:
        chosen: all clips of the choice.
        shown: those on the page.
        first: number of the first of them, from 1.
        label: of their class.
        answer: the choice.
        labels: the readable label of each class name.
    """
    how = f" taken for “{labels[answer.name]}”" if answer.name else " named wrongly" if answer.wrong else ""
    if not chosen:
        return f"No clip of “{label}”{how or ' was tested'}."
    if len(shown) < len(chosen):
        part = f"Clips {first} to {first + len(shown) - 1} of the {len(chosen)}"
    else:
        part = f"The {len(chosen)} clip{'s' * (len(chosen) > 1)}"
    n_wrong = len(WRONG.of(chosen))
    rest = "" if how else "; all named rightly" if not n_wrong else f"; {n_wrong} named wrongly"
    return f"{part} of “{label}”{how}{rest}."


def tags_html(table: pd.DataFrame, labels: Mapping[str, str], path: object) -> str:
    """Html: the tags (of Tags.table), the latest first, and the file they are in.

    Args:
        table: of all tags.
        labels: the readable label of each class name; a class that is not there is shown by its name.
        path: of the file.
    """
    if table.empty:
        return f'<div class="zsar-tags" style="{TEXT}">No clip is tagged; tags are saved in {html.escape(str(path))}.</div>'
    style = "padding:1px 10px 1px 0;text-align:left;vertical-align:top;overflow-wrap:anywhere"
    latest = table.sort_values("time", ascending=False, kind="stable").head(MOST_TAGS)
    latest = latest.assign(**{"class": [labels.get(name, name) for name in latest["class"]]})
    rows = "".join(
        f"<tr>{_cells('td', texts, style)}</tr>"
        for texts in latest[list(TAG_COLUMNS)].itertuples(index=False)
    )
    head = _cells("th", TAG_COLUMNS.values(), style)
    more = (
        f"<div>{len(table) - MOST_TAGS} earlier ones are in the file.</div>" if len(table) > MOST_TAGS else ""
    )
    count = f"{len(table)} clip{'s' * (len(table) > 1)} tagged, saved in {html.escape(str(path))}"
    table_html = f'<table style="font-size:13px;line-height:1.45"><tr>{head}</tr>{rows}</table>'
    return f'<details class="zsar-tags" open style="font-size:13px;{TEXT}"><summary>{count}</summary>{table_html}{more}</details>'


def _cells(tag: str, texts: Iterable[str], style: str) -> str:
    return "".join(f'<{tag} style="{style}">{html.escape(text)}</{tag}>' for text in texts)
