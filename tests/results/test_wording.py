"""zsar_lab.results.wording: figures of comparisons as text."""

from __future__ import annotations

import pytest

from zsar_lab.results.wording import detectable_as_text, interval_as_text, p_as_text


@pytest.mark.parametrize(
    ("detectable", "text"),
    [(None, ""), (0.0, ""), (0.0004, ""), (0.031, "3.1"), (1.0, "100.0"), (1.04, "over 100")],
)
def test_detectable_differences(detectable, text):
    assert detectable_as_text(detectable) == text


def test_p_and_intervals():
    assert [p_as_text(p) for p in (None, 0.001, 0.05, 1.0)] == ["", "<0.01", "0.05", "1.00"]
    assert (
        interval_as_text((0.39, 0.71)) == "[39.0, 71.0]"
        and interval_as_text((-0.078, 0.075), "+") == "[-7.8, +7.5]"
    )
