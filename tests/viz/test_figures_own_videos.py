"""zsar_lab.viz.figures.own_videos: the segments and cells of a timeline by hand."""

from __future__ import annotations

import numpy as np
import pandas as pd

from zsar_lab.infer.classifier import UNKNOWN
from zsar_lab.viz.figures.own_videos import timeline


def _predicted(*rows: tuple) -> pd.DataFrame:
    """Rows of path, start_s, end_s, prediction, confidence and unsure."""
    table = pd.DataFrame(rows, columns=["path", "start_s", "end_s", "prediction", "confidence", "unsure"])
    why = table["unsure"].map({True: UNKNOWN, False: ""})
    return table.assign(why=why, best=[[(row[3], row[4])] if row[3] else [] for row in rows])


def test_what_was_not_seen_parts_the_bars_and_cells_of_a_timeline():
    table = _predicted(
        ("v", 0, 2, "run", 0.9, False),
        ("v", 2, 4, "run", 0.7, False),
        ("v", 4, 60, "", np.nan, True),
        ("v", 60, 62, "run", 0.8, False),
        ("v", 64, 66, "run", 0.6, False),
    )
    (bars,) = [trace for trace in timeline(table, "v").data if trace.type == "bar"]
    assert list(zip(bars.base, bars.x)) == [(0, 4), (60, 2), (64, 2)]
    (cells,) = [trace for trace in timeline(table, "v").data if trace.type == "heatmap"]
    assert list(cells.x) == [0, 2, 4, 60, 62, 64, 66]
    assert np.isnan(np.array(cells.z, float)).tolist() == [[False, False, True, False, True, False]]


def test_cells_of_a_timeline_have_the_time_about_the_middle_of_their_windows():
    table = _predicted(*(("v", start, start + 2.0, "run", 0.9, False) for start in (0.0, 1.0, 2.5)))
    for rows, edges in ((table, [0, 1.5, 2.75, 4.5]), (table[:1], [0, 2])):
        (cells,) = [trace for trace in timeline(rows, "v").data if trace.type == "heatmap"]
        assert list(cells.x) == edges


def test_no_bar_says_sure_where_there_are_no_thresholds():
    table = _predicted(("v", 0, 2, "run", 0.51, True), ("v", 1, 3, "walk", 0.52, True))
    bars = [trace for trace in timeline(table, "v").data if trace.type == "bar"]
    assert {place for bar in bars for place in bar.y} == {"unsure"} and len(bars) == 2
    assert all(UNKNOWN in text for bar in bars for text in bar.customdata)
