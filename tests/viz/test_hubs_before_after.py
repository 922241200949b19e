"""zsar_lab.viz.figures_hubs: hubness before and after corrections, and hubs by name."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from small_report import small_report, small_split
from test_tables_text import TARGETS, UNSEEN

from zsar_lab.methods.query_bank import INDUCTIVE, TRANSDUCTIVE
from zsar_lab.results.hubness import hubness, k_occurrence
from zsar_lab.viz.figures.style import plain
from zsar_lab.viz.figures_corrections import MEANING
from zsar_lab.viz.figures_hubs import NOT_CORRECTED, hubness_before_after, hubs_by_name

CATALOG = SimpleNamespace(
    classes=pd.DataFrame({"name": UNSEEN, "label": [f"<b>{name}</b>" for name in UNSEEN]})
)


def measured(scores: np.ndarray, measure: str) -> float:
    return getattr(hubness(k_occurrence(scores, 1), 1), measure)


def test_each_measure_of_direct_transfer_and_every_correction_with_its_interval():
    report = small_report()
    figure = hubness_before_after(report)
    assert len(figure.data) == 3 * 3 and {trace.name for trace in figure.data} == {
        NOT_CORRECTED,
        *(plain(text) for text in MEANING.values()),
    }
    assert (
        list(figure.layout.yaxis.ticktext)[:2] == ["direct", "transfer"]
        and len(figure.layout.yaxis.ticktext) == 4
    )
    for number, measure in enumerate(("skewness", "robin_hood", "antihubs")):
        alone, inductive, transductive = figure.data[3 * number : 3 * number + 3]
        wanted = [
            [measured(r.method(method).scores_BC, measure) for method in ("direct", "transfer")]
            for r in report.results
        ]
        assert list(alone.x) == pytest.approx(np.mean(wanted, axis=0))
        for trace, setting in ((inductive, INDUCTIVE), (transductive, TRANSDUCTIVE)):
            of_splits = [
                [measured(s.scores_BC, measure) for s in r.corrected if s.setting == setting]
                for r in report.results
            ]
            assert list(trace.x) == pytest.approx(np.mean(of_splits, axis=0)) and [
                round(y) for y in trace.y
            ] == [2, 3]
        low, high = report.row("transfer").hubness_ci95[measure]
        assert (
            alone.x[1] - alone.error_x.arrayminus[1],
            alone.x[1] + alone.error_x.array[1],
        ) == pytest.approx((low, high))
    assert (
        figure.layout.xaxis.title.text == "skewness"
        and figure.layout.xaxis3.title.text == "share of anti-hubs"
    )
    assert "<script" not in figure.to_json()


def test_without_corrections_direct_and_transfer_are_shown():
    split = replace(small_split(0), corrected=())
    report = small_report()
    alone = replace(report, results=(split,), correction_rows=())
    assert len(hubness_before_after(alone).data[0].x) == 2 and len(hubs_by_name(split, CATALOG)) == 2


def test_hubs_and_antihubs_by_name_before_and_after():
    split, n_classes = small_split(0), len(UNSEEN)
    to_first = np.eye(n_classes)[np.zeros(len(TARGETS), int)]
    evenly = np.eye(n_classes)[TARGETS]
    scored = [
        replace(scored, scores_BC=scores) for scored, scores in zip(split.corrected, (to_first, evenly))
    ]
    table = hubs_by_name(replace(split, corrected=tuple(scored)), CATALOG)
    assert table.index.tolist() == [
        "direct",
        "transfer",
        *(f"+ {row.method.removeprefix('transfer, ')}" for row in scored),
    ]
    one, even = table.iloc[2], table.iloc[3]
    assert one["most answered (N_1)"] == f"<b>{UNSEEN[0]}</b> ({len(TARGETS)}, hub)"
    assert one["least answered (N_1)"] == ", ".join(f"<b>{name}</b> (0, anti-hub)" for name in UNSEEN[1:])
    share = len(TARGETS) // n_classes
    assert (even["top1_%"], even["N_1 expected"], even["setting"]) == ("100.0", f"{share}.0", INDUCTIVE)
    assert even["most answered (N_1)"].endswith(f"({share})") and even["least answered (N_1)"].endswith(
        f"({share})"
    )
    assert "<b>" not in table.to_html()
