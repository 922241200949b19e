"""Can a confidence be believed: error against coverage, confidence against accuracy, and the table of both."""

from __future__ import annotations

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from zsar_lab.views.figures import RULE_COLOURS, about_report, legend_below
from zsar_lab.views.figures_style import GREY, new_panels, percent, plain
from zsar_lab.zeroshot.calibration import EQUAL_MASS, confidences, reliability, risk_coverage
from zsar_lab.zeroshot.evaluate import RULES
from zsar_lab.zeroshot.metrics import truth_rank
from zsar_lab.zeroshot.report import Report

N_BINS = 8
SHAPES = ("circle", "square", "diamond", "cross", "x", "triangle-up")


def confidence_curves(report: Report) -> go.Figure:
    """Error among the clips that are answered as the least confident are left out; accuracy against confidence in bins of equally many clips.

    The confidence of a clip is the softmax of its scores at a temperature that was chosen on validation classes, a draw at a time.
    """
    axes = [("clips answered (%)", "error among them (%)"), ("confidence (%)", "accuracy (%)")]
    figure = new_panels("Are the confident answers the right ones?", f"{about_report(report)}; dotted: confidence is accuracy", axes, 430, per_row=2)
    for row in report.rows:
        if row.rule not in RULE_COLOURS or not row.confidence:
            continue
        confidence, right = _pooled(report, row.rule)
        kept, bins = risk_coverage(confidence, right), reliability(confidence, right, EQUAL_MASS, N_BINS).table
        colour, shape = RULE_COLOURS[row.rule], SHAPES[RULES.index(row.rule) % len(SHAPES)]
        look = {"legendgroup": row.rule, "name": plain(row.rule)}
        figure.add_scatter(
            x=percent(kept.coverage), y=percent(kept.risk), mode="lines", line={"color": colour}, row=1, col=1, **look,
            hovertemplate="%{x:.0f} % answered: %{y:.1f} % wrong<extra>" + plain(row.rule) + "</extra>",
        )  # fmt: skip
        figure.add_scatter(
            x=percent(bins["confidence"]), y=percent(bins["accuracy"]), mode="lines+markers", showlegend=False, row=1, col=2, **look,
            line={"color": colour, "width": 1}, marker={"symbol": shape, "size": 8, "color": colour},
            customdata=bins["clips"].tolist(), hovertemplate="confidence %{x:.1f} %, right %{y:.1f} % of %{customdata} clips<extra></extra>",
        )  # fmt: skip
    figure.add_scatter(x=[0, 100], y=[0, 100], mode="lines", line={"color": GREY, "dash": "dot"}, showlegend=False, hoverinfo="skip", row=1, col=2)
    figure.update_layout(legend=legend_below(-0.2), margin_b=110)
    return figure


def confidence_table(report: Report) -> pd.DataFrame:
    """A row a rule, means over draws: calibration error in points, error in percent with all and with the surest 80 % of clips answered."""
    content = [
        {
            "rule": row.rule, "calibration error": f"{100 * row.confidence['calibration_error']:.1f}", "error_%": f"{100 * (1 - row.top1):.1f}",
            "error_% of the surest 80 %": f"{100 * row.confidence['error_at_80']:.1f}", "area under risk-coverage": f"{row.confidence['aurc']:.3f}",
            "negative log-likelihood": f"{row.confidence['negative_log_likelihood']:.3f}",
        }
        for row in report.rows if row.confidence
    ]  # fmt: skip
    return pd.DataFrame(content).set_index("rule").rename_axis(None)


def _pooled(report: Report, rule: str) -> tuple[np.ndarray, np.ndarray]:
    """Confidence and rightness of the clips of all draws, each draw at its own temperature."""
    scored = [(result.rule(rule), result.targets) for result in report.results]
    confidence = [confidences(rule_scores.scores_BC, rule_scores.temperature).max(1) for rule_scores, _ in scored]
    return np.concatenate(confidence), np.concatenate([truth_rank(rule_scores.scores_BC, targets) == 1 for rule_scores, targets in scored])
