"""The conventions and the ablation as tables for reading and as text; figures/scores.py draws them."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable

import pandas as pd

from zsar_lab.results.ablation import NOT_TESTED, Ablation, claims_against_findings
from zsar_lab.results.conventions import ConventionTable
from zsar_lab.results.wording import interval_as_text, p_as_text
from zsar_lab.viz.tables import Column, readable

WIDTH = 110
TOP1: tuple[Column, ...] = (
    ("top1_%", ("top1",), lambda share: _one(share)),
    ("interval", ("top1_low", "top1_high"), lambda *ends: interval_as_text(ends)),
)


def convention_table(conventions: ConventionTable) -> pd.DataFrame:
    """A row a convention: percentages with one decimal, the difference to the reference in points."""
    rows = conventions.table.copy()
    rows.loc[0, "difference"] = None
    columns: list[Column] = [
        ("candidates", ("candidates",), lambda number: f"{number:g}"),
        ("clips", ("clips",), lambda number: f"{number:g}"),
        ("splits", ("n_splits",), str),
        ("chance_%", ("chance",), _one),
        *TOP1,
        ("std", ("std",), _one),
        ("above chance_%", ("above_chance",), _one),
        ("difference", ("difference",), lambda share: f"{100 * share:+.1f}"),
    ]
    return readable(rows, columns).set_index([rows["aspect"].rename(None), rows["name"].rename(None)])


def spread_table(conventions: ConventionTable) -> pd.DataFrame:
    """A row an aspect: the lowest and the highest top-1 of its conventions, and their distance in points."""
    rows = {
        row.aspect: {
            "lowest_%": _named(conventions.table.loc[row.lowest]),
            "highest_%": _named(conventions.table.loc[row.highest]),
            "apart": _one(row.top1),
            "apart above chance": _one(row.above_chance),
        }
        for row in conventions.spreads().itertuples()
    }
    return pd.DataFrame.from_dict(rows, orient="index")


def conventions_as_text(conventions: ConventionTable) -> str:
    """What each convention scores, what could not be scored, and how far they move the number."""
    lines = [f"- {row.aspect}, {row.name}: {row.scored}." for row in conventions.table.itertuples()]
    lines += [f"- Not scored: {words}." for words in conventions.left_out]
    return f"{_wrapped(lines)}\n\n{textwrap.fill(conventions.sentence(), WIDTH)}"


def ablation_table(ablation: Ablation) -> pd.DataFrame:
    """A row a variant, after the whole system: top-1 in percent, differences in points, p alone and by Holm.

    `detectable` is the smallest true difference whose p is at most 0.05 with 80 % chance; Holm's p asks for
    more.
    """
    rows, n_splits = ablation.table.copy(), ablation.n_splits
    rows.loc[0, "same_in"] = 0
    untested = rows["p"].isna()
    rows.loc[untested, ["difference", "difference_low", "difference_high"]] = None
    columns: list[Column] = [
        *TOP1,
        ("chosen in", ("same_in",), lambda n: f"{n:g} of {n_splits} splits" if n else ""),
        ("difference", ("difference",), lambda share: f"{100 * share:+.1f}"),
        ("its interval", ("difference_low", "difference_high"), lambda *ends: interval_as_text(ends, "+")),
        ("p", ("p",), p_as_text),
        ("p (Holm)", ("p_holm",), p_as_text),
        ("detectable", ("min_detectable",), _one),
    ]
    return readable(rows, columns).set_index([rows["aspect"].rename(None), rows["variant"].rename(None)])


def claims_as_text(ablation: Ablation) -> str:
    """What the abstract's parts add in this reconstruction, with the differences of each verdict."""
    n_splits = f"{ablation.n_splits} split{'s' * (ablation.n_splits > 1)}"
    lines = [
        f"The parts that the paper's abstract names, in this reconstruction, over {n_splits},"
        f" {ablation.n_clips} clips of {ablation.n_classes} unseen classes:"
    ]
    for claim in claims_against_findings(ablation).itertuples():
        rows = "; ".join(_compared(ablation.table.loc[row]) for row in claim.rows)
        rows = "no such training was given" if claim.verdict == NOT_TESTED else rows
        beside = "".join(f" Beside it, {_compared(ablation.table.loc[row])}." for row in claim.beside)
        lines.append(f"- {claim.claim} This {claim.verdict}: {rows}.{beside}".replace("This not", "Not"))
    lines.append(
        "- Differences are to transfer. A true one as large as is named detectable has p <= 0.05 with 80 %"
        " chance, Holm's p less often."
    )
    return _wrapped(lines)


def _compared(row: pd.Series) -> str:
    """A variant's difference: "direct +0.8 points [-7.5, +7.8], Holm's p = 1.00, detectable 10.2"."""
    p = p_as_text(row["p_holm"])
    ends = interval_as_text((row["difference_low"], row["difference_high"]), "+")
    p = p if p.startswith("<") else f"= {p}"
    difference = f"{row['variant']} {100 * row['difference']:+.1f} points {ends}"
    return f"{difference}, Holm's p {p}, detectable {_one(row['min_detectable'])}"


def _named(row: pd.Series) -> str:
    return f"{_one(row['top1'])} ({row['name']})"


def _one(share: float) -> str:
    return f"{100 * share:.1f}"


def _wrapped(lines: Iterable[str]) -> str:
    return "\n".join(
        textwrap.fill(line, WIDTH, subsequent_indent="  " if line.startswith("-") else "") for line in lines
    )
