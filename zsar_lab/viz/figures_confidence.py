"""Can a confidence be believed: error against coverage, confidence against accuracy, and the table of both."""

from __future__ import annotations

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from zsar_lab.methods.metrics import truth_rank
from zsar_lab.results.calibration import EQUAL_MASS, confidences, reliability, risk_coverage
from zsar_lab.results.evaluate import METHODS
from zsar_lab.results.report import Report
from zsar_lab.viz.figures.scores import METHOD_COLOURS, about_report, legend_below
from zsar_lab.viz.figures.style import GREY, new_panels, percent, plain

N_BINS = 8
SHAPES = ("circle", "square", "diamond", "cross", "x", "triangle-up")


def confidence_curves(report: Report) -> go.Figure:
    """Error among the clips that are answered as the least confident are left out; accuracy against confidence in bins of equally many clips.

    The confidence of a clip is the softmax of its scores at a temperature that was chosen on validation
    classes, a split at a time.
    """
    axes = [("clips answered (%)", "error among them (%)"), ("confidence (%)", "accuracy (%)")]
    figure = new_panels(
        "Are the confident answers the right ones?",
        f"{about_report(report)}; dotted: confidence is accuracy",
        axes,
        430,
        per_row=2,
    )
    for row in report.rows:
        if row.method not in METHOD_COLOURS or not row.confidence:
            continue
        confidence, right = _pooled(report, row.method)
        kept, bins = (
            risk_coverage(confidence, right),
            reliability(confidence, right, EQUAL_MASS, N_BINS).table,
        )
        colour, shape = METHOD_COLOURS[row.method], SHAPES[METHODS.index(row.method) % len(SHAPES)]
        look = {"legendgroup": row.method, "name": plain(row.method)}
        figure.add_scatter(
            x=percent(kept.coverage),
            y=percent(kept.risk),
            mode="lines",
            line={"color": colour},
            row=1,
            col=1,
            **look,
            hovertemplate="%{x:.0f} % answered: %{y:.1f} % wrong<extra>" + plain(row.method) + "</extra>",
        )
        figure.add_scatter(
            x=percent(bins["confidence"]),
            y=percent(bins["accuracy"]),
            mode="lines+markers",
            showlegend=False,
            row=1,
            col=2,
            **look,
            line={"color": colour, "width": 1},
            marker={"symbol": shape, "size": 8, "color": colour},
            customdata=bins["clips"].tolist(),
            hovertemplate="confidence %{x:.1f} %, right %{y:.1f} % of %{customdata} clips<extra></extra>",
        )
    figure.add_scatter(
        x=[0, 100],
        y=[0, 100],
        mode="lines",
        line={"color": GREY, "dash": "dot"},
        showlegend=False,
        hoverinfo="skip",
        row=1,
        col=2,
    )
    figure.update_layout(legend=legend_below(-0.2), margin_b=110)
    return figure


def confidence_table(report: Report) -> pd.DataFrame:
    """A row a method, means over splits: calibration error in points, error in percent with all and with the surest 80 % of clips answered."""
    content = [
        {
            "method": row.method,
            "calibration error": f"{100 * row.confidence['calibration_error']:.1f}",
            "error_%": f"{100 * (1 - row.top1):.1f}",
            "error_% of the surest 80 %": f"{100 * row.confidence['error_at_80']:.1f}",
            "area under risk-coverage": f"{row.confidence['aurc']:.3f}",
            "negative log-likelihood": f"{row.confidence['negative_log_likelihood']:.3f}",
        }
        for row in report.rows
        if row.confidence
    ]
    return pd.DataFrame(content).set_index("method").rename_axis(None)


def _pooled(report: Report, method: str) -> tuple[np.ndarray, np.ndarray]:
    """Confidence and rightness of the clips of all splits, each split at its own temperature."""
    scored = [(result.method(method), result.targets) for result in report.results]
    confidence = [
        confidences(method_scores.scores_BC, method_scores.temperature).max(1) for method_scores, _ in scored
    ]
    return np.concatenate(confidence), np.concatenate(
        [truth_rank(method_scores.scores_BC, targets) == 1 for method_scores, targets in scored]
    )
