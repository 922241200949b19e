"""How figures of comparisons are written."""

from __future__ import annotations


def p_as_text(p: float | None) -> str:
    """A p value with two decimals; "" for none, and never 0."""
    return "" if p is None else "<0.01" if p < 0.01 else f"{p:.2f}"


def interval_as_text(ends: tuple[float, float], sign: str = "") -> str:
    """An interval of fractions in percent or points, "[39.0, 71.0]"; `sign` "+" for differences."""
    low, high = (format(100 * end, f"{sign}.1f") for end in ends)
    return f"[{low}, {high}]"


def detectable_as_text(detectable: float | None) -> str:
    """A minimum detectable effect in points; "" for none, and for 0 (two that differ alike in every class).

    No difference is larger than 100 points, so that with few classes none may be large enough to be found:
    "over 100".
    """
    points = "" if detectable is None else f"{100 * detectable:.1f}"
    return "" if points == "0.0" else "over 100" if detectable is not None and detectable > 1 else points
