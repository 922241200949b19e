"""Scores as text: which columns a table of each kind has, and how figures are written."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

# columns of `Results.table` and the like that are shares, shown in percent
SHARES = (
    *("top1", "mean_class", "top5", "std", "validation_top1", "difference", "seen", "unseen", "harmonic"),
    *("harmonic_upper_bound", "calibration_error", "error_at_80", "error", "chance", "above_chance"),
    *("upper_bound", "seen_top1", "top1_a", "top1_b"),
)
TOP1 = {"top1_%": "{top1:.1f}", "interval": "[{top1_low:.1f}, {top1_high:.1f}]"}
DIFFERENCE = {
    "difference": "{difference:+.1f}",
    "its interval": "[{difference_low:+.1f}, {difference_high:+.1f}]",
    "p": "{p}",
    "p (Holm)": "{p_holm}",
    "detectable": "{min_detectable}",
}
VALIDATION, SKEWNESS = {"validation_%": "{validation_top1:.1f}"}, {"N1_skewness": "{hubness_skewness:.2f}"}
MEASURES = {"skewness": "skewness", "robin_hood": "Robin Hood", "gini": "Gini", "atkinson": "Atkinson"}
MEASURES |= {"antihubs": "anti-hubs", "hub_occurrence": "hub occurrence"}
TABLES: dict[str, tuple[str, dict[str, str]]] = {  # the part of `Results.table`, and the columns
    "methods": (
        "methods",
        TOP1
        | {"std": "{std:.1f}", "mean_class_%": "{mean_class:.1f}"}
        | {"interval of classes": "[{mean_class_low:.1f}, {mean_class_high:.1f}]", "top5_%": "{top5:.1f}"}
        | (VALIDATION | SKEWNESS | DIFFERENCE),
    ),
    "prompts": ("prompts", TOP1 | VALIDATION | {"chosen in": "{chosen}"} | DIFFERENCE),
    "reductions": ("reductions", {"setting": "{setting}"} | TOP1 | VALIDATION | SKEWNESS | DIFFERENCE),
    "generalised": (
        "generalised",
        {"S_%": "{seen:.1f}", "U_%": "{unseen:.1f}", "H_%": "{harmonic:.1f}"}
        | {"its interval": "[{harmonic_low:.1f}, {harmonic_high:.1f}]", "AUSUC": "{ausuc:.3f}"}
        | {"best H on the curve_%": "{harmonic_upper_bound:.1f}"},
    ),
    "hubness": (
        "methods",
        {
            title: f"{{hubness_{name}:.2f}} [{{hubness_{name}_low:.2f}}, {{hubness_{name}_high:.2f}}]"
            for name, title in MEASURES.items()
        },
    ),
    "confidence": (
        "methods",
        {"calibration error": "{calibration_error:.1f}", "error_%": "{error:.1f}"}
        | {"error_% of the surest 80 %": "{error_at_80:.1f}", "area under risk-coverage": "{aurc:.3f}"}
        | {"negative log-likelihood": "{negative_log_likelihood:.3f}"},
    ),
}


def readable(rows: pd.DataFrame, columns: Mapping[str, str]) -> pd.DataFrame:
    """The rows as text, a column for each template; "" where a number is missing."""
    shares = [name for share in SHARES for name in (share, f"{share}_low", f"{share}_high") if name in rows]
    rows = rows.assign(**{name: 100 * rows[name].astype(float) for name in shares})
    records = [
        {name: value for name, value in row.items() if not pd.isna(value)} for row in rows.to_dict("records")
    ]
    for record in records:
        record |= {name: p_as_text(record[name]) for name in ("p", "p_holm") if name in record}
        if "min_detectable" in record:
            record["min_detectable"] = detectable_as_text(record["min_detectable"])

    def text(template: str, record: dict[str, object]) -> str:
        try:
            return template.format_map(record)
        except KeyError:
            return ""

    return pd.DataFrame({title: [text(one, record) for record in records] for title, one in columns.items()})


def p_as_text(p: float) -> str:
    """A p value with two decimals, never 0."""
    return "<0.01" if p < 0.01 else f"{p:.2f}"


def interval_as_text(ends: tuple[float, float], sign: str = "") -> str:
    """An interval of fractions in percent or points, "[39.0, 71.0]"; `sign` "+" for differences."""
    low, high = (format(100 * end, f"{sign}.1f") for end in ends)
    return f"[{low}, {high}]"


def detectable_as_text(detectable: float) -> str:
    """A minimum detectable effect in points; "" for 0 (two that differ alike in every class).

    No difference is larger than 100 points, so that with few classes none may be large enough to be found:
    "over 100".
    """
    points = f"{100 * detectable:.1f}"
    return "" if points == "0.0" else "over 100" if detectable > 1 else points
