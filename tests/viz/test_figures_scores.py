"""zsar_lab.viz: the figures and tables of generalised scores, confidences and hubs show the report's numbers."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from test_rescore import NAMES, PROTOCOL, UNSEEN, clips, good, result, vague  # noqa: F401  (fixtures)

from zsar_lab.results.calibration import confidences
from zsar_lab.results.evaluate import ALL_METHODS, DIRECT, METHODS, TRANSFER
from zsar_lab.results.hubness import hubness, k_occurrence
from zsar_lab.results.report import Report, make_report
from zsar_lab.viz.figures_confidence import N_BINS, confidence_curves, confidence_table
from zsar_lab.viz.figures_generalised import seen_unseen_curves
from zsar_lab.viz.figures_hubs import accuracy_against_hub_rank, hub_table, hubness_table
from zsar_lab.viz.tables import generalised_table, report_as_text

CATALOG = SimpleNamespace(
    classes=pd.DataFrame({"name": NAMES, "label": [f"label of {name}" for name in NAMES]})
)


@pytest.fixture(scope="module")
def report(result) -> Report:  # noqa: F811
    return make_report("two splits, the test's", [result, result], "catalog", "frames")


def test_the_generalised_methods_are_those_scored_with_all_classes(report, result):  # noqa: F811
    assert [row.method for row in report.generalised_rows] == [
        DIRECT,
        "direct, ridge",
        "direct, ridge centred",
        TRANSFER,
    ]
    for scored in result.generalised:
        assert scored.scores_BC.shape == (len(PROTOCOL.seen_test_clips) + len(PROTOCOL.test_clips), 13)
        alone = scored.scores_BC[len(PROTOCOL.seen_test_clips) :, 8:]
        np.testing.assert_allclose(
            alone, result.method(scored.method).scores_BC, atol=1e-6
        )  # unseen clips and classes: as without the seen ones


def test_the_curve_of_each_method_and_split(report):
    figure = seen_unseen_curves(report)
    assert len(figure.data) == 2 * 4 * 3
    scored = report.results[0].generalised[0]
    line, plain, calibrated = figure.data[:3]
    np.testing.assert_allclose(line.x, 100 * scored.curve.seen)
    np.testing.assert_allclose(line.y, 100 * scored.curve.unseen)
    assert (plain.x[0], plain.y[0]) == (100 * scored.plain.seen, 100 * scored.plain.unseen)
    assert (calibrated.x[0], calibrated.y[0]) == (
        100 * scored.calibrated.seen,
        100 * scored.calibrated.unseen,
    )
    assert [trace.showlegend for trace in figure.data[::3]] == [True] * 4 + [False] * 4
    assert (
        "split 0" in figure.layout.xaxis.title.text
        and figure.layout.title.text.count("constant chosen on validation") == 1
    )


def test_the_generalised_table_in_percent(report):
    table, row = generalised_table(report), report.generalised_rows[3]
    assert table.loc[TRANSFER, ["S_%", "U_%", "H_%"]].tolist() == [
        f"{100 * value:.1f}" for value in (row.seen, row.unseen, row.harmonic)
    ]
    assert (
        table.loc[TRANSFER, "calibrated H_%"] == f"{100 * row.calibrated_harmonic:.1f}"
        and table.loc[TRANSFER, "area"] == f"{row.area:.3f}"
    )
    assert report_as_text(report).endswith(
        table.to_string()
    ) and f"candidates, protocol {row.protocol}" in report_as_text(report)
    assert (
        table.loc[TRANSFER, "its interval"]
        == f"[{100 * row.harmonic_ci95[0]:.1f}, {100 * row.harmonic_ci95[1]:.1f}]"
    )


def test_confidences_by_method(report, result):  # noqa: F811
    figure, table = confidence_curves(report), confidence_table(report)
    assert len(figure.data) == 2 * len(METHODS) + 1 and table.index.tolist() == list(ALL_METHODS)
    at = [trace.name for trace in figure.data].index(TRANSFER)
    kept, bins = figure.data[at : at + 2]
    scored = result.method(TRANSFER)
    right = scored.scores_BC.argmax(1) == result.targets
    assert (
        len(kept.x) == 2 * len(right)
        and kept.x[-1] == 100
        and kept.y[-1] == pytest.approx(100 * (1 - right.mean()))
    )
    surest = confidences(scored.scores_BC, scored.temperature).max(1).argmax()
    assert kept.y[0] == 100 * (1 - right[surest])
    assert sum(bins.customdata) == 2 * len(right) and len(bins.x) <= N_BINS
    row = report.row(TRANSFER)
    assert table.loc[TRANSFER, "calibration error"] == f"{100 * row.confidence['calibration_error']:.1f}"
    assert table.loc[TRANSFER, "error_%"] == f"{100 * (1 - right.mean()):.1f}"


def test_hubs_and_antihubs(report, result):  # noqa: F811
    table = hub_table(result, CATALOG)
    counts = k_occurrence(result.method(TRANSFER).scores_BC, 1)
    assert table["N_1"].tolist() == sorted(counts, reverse=True)
    assert set(table.index) == {f"label of {name}" for name in UNSEEN}
    for name, row in table.iterrows():
        count = counts[UNSEEN.index(name.removeprefix("label of "))]
        assert row["N_1"] == count and row[""] == (
            "hub" if count >= 2 * counts.mean() else "anti-hub" if count == 0 else ""
        )
    figure = accuracy_against_hub_rank(report)
    assert len(figure.data) == 2 and len(figure.data[0].x) == 5 and "rank correlation" in figure.data[0].name


def test_measures_of_hubness_with_their_intervals(report, result):  # noqa: F811
    table, row = hubness_table(report), report.row(DIRECT)
    assert table.index.tolist() == list(ALL_METHODS) and table.shape[1] == 6
    assert (
        table.loc[DIRECT, "Gini"]
        == f"{row.hubness['gini']:.2f} [{row.hubness_ci95['gini'][0]:.2f}, {row.hubness_ci95['gini'][1]:.2f}]"
    )
    assert row.hubness["gini"] == pytest.approx(
        hubness(k_occurrence(result.method(DIRECT).scores_BC, 1), 1).gini
    )
