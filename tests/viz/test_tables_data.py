"""zsar_lab.viz.tables_data: what is left out is shown with its whole reason, escaped, and counted."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from zsar_lab.data.catalog import CLIP_COLUMNS, Catalog
from zsar_lab.viz.tables_data import left_out_reasons, left_out_table


def catalog_of(rows: list[tuple[str, str, str]]) -> Catalog:
    clips = [
        (f"{n}", path, "a", "", "", 0.0, 1.0, 10, 10.0, 8, 8, False, status, reason, "")
        for n, (path, status, reason) in enumerate(rows)
    ]
    return Catalog(
        "x", Path("nowhere"), pd.DataFrame(clips, columns=CLIP_COLUMNS), pd.DataFrame({"name": ["a"]})
    )


def test_a_reason_is_shown_whole_and_never_as_markup():
    reason = "<img src=x onerror=alert(1)> " + "long " * 60
    page = left_out_table(catalog_of([("a.avi", "ok", ""), ("b.avi", "unreadable", reason)])).to_html()
    assert "<img" not in page and "&lt;img" in page and page.count("long ") >= 60 and "a.avi" not in page
    assert "1 clips and files" in page


def test_of_many_each_status_is_shown():
    rows = [(f"{n}.avi", "missing", "no file") for n in range(1000)] + [
        ("z.avi", "unreadable", "it is empty")
    ]
    page = left_out_table(catalog_of(rows), most=20).to_html()
    assert (
        "1,001 clips and files, 11 of them shown" in page
        and "it is empty" in page
        and page.count("<tr>") == 12
    )


def test_nothing_left_out_is_an_empty_table():
    assert "0 clips and files" in left_out_table(catalog_of([("a.avi", "ok", "")])).to_html()


def test_reasons_are_counted_by_protocol():
    first = pd.DataFrame(
        {
            "role": ["test", "left out", "left out", "left out"],
            "reason": ["", "missing: no file a", "missing: no file b", "its class takes no part"],
        }
    )
    second = pd.DataFrame({"role": ["test"] * 4, "reason": [""] * 4})
    table = left_out_reasons({"half-0": first, "all": second})
    assert table.to_dict() == {
        "half-0": {"its class takes no part": 1, "missing": 2},
        "all": {"its class takes no part": 0, "missing": 0},
    }
