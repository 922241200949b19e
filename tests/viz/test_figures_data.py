"""zsar_lab.viz.figures.data: what is there, what is not, and which clip plays which part, as drawn."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from zsar_lab.data.catalog import CLIP_COLUMNS, Catalog
from zsar_lab.viz.figures import data as figures_data

STATUS_OF = ["ok", "ok", "ok", "missing", "missing", "unreadable", "excluded", "not listed", "not a video"]
CLASS_OF = ["a", "a", "b", "a", "b", "b", "a", "<elsewhere>", "a"]


@pytest.fixture
def catalog() -> Catalog:
    rows = [
        (
            f"{name}/{n}",
            f"{n}.avi",
            name,
            "",
            "",
            0.0,
            2.0,
            50,
            25.0,
            64,
            48,
            False,
            status,
            "" if status == "ok" else "why",
            "",
        )
        for n, (name, status) in enumerate(zip(CLASS_OF, STATUS_OF, strict=True))
    ]
    return Catalog(
        "ucf101",
        Path("nowhere"),
        pd.DataFrame(rows, columns=CLIP_COLUMNS),
        pd.DataFrame({"name": ["a", "b", "c"], "label": ["aa", "bb", "cc"]}),
    )


def bars(figure) -> dict[str, list[int]]:
    return {trace.name: list(trace.x) for trace in figure.data}


def test_the_overview_stacks_every_status_by_class(catalog):
    figure = figures_data.class_overview(catalog)
    drawn = bars(figure)
    assert drawn == {
        "usable clips": [0, 2, 1, 0],
        "missing (2)": [0, 1, 1, 0],
        "unreadable (1)": [0, 0, 1, 0],
        "excluded (1)": [0, 1, 0, 0],
        "not listed (1)": [1, 0, 0, 0],
        "not a video (1)": [0, 1, 0, 0],
    }
    assert list(figure.layout.yaxis.ticktext) == ["(no class of the dataset)", "aa", "bb", "cc"]
    assert sum(sum(counts) for counts in drawn.values()) == len(catalog.clips)
    assert len({(trace.marker.color, trace.marker.pattern.shape) for trace in figure.data}) == 6


def test_the_statuses_sum_to_all_rows(catalog):
    figure = figures_data.status_overview(catalog)
    assert bars(figure) == {
        "ok": [3],
        "missing": [2],
        "unreadable": [1],
        "excluded": [1],
        "not listed": [1],
        "not a video": [1],
    }
    assert [trace.text[0] for trace in figure.data][:2] == [" 3 in 2 classes", " 2 in 2 classes"]
    assert "ucf101, 9 clips and files of 3 classes" in figure.layout.title.text


def test_a_great_many_classes_stay_on_a_page(catalog):
    names = [f"class {n:03}" for n in range(700)]
    many = Catalog(
        "kinetics700", Path("nowhere"), catalog.clips, pd.DataFrame({"name": names, "label": names})
    )
    figure = figures_data.class_overview(many)
    assert figure.layout.height < 5500 and figure.layout.yaxis.showticklabels is False
    assert "class 005" in {row[0] for row in figure.data[0].customdata}


def test_every_clip_of_an_account_stands_in_one_bar():
    roles = ["train"] * 4 + ["seen test"] + ["validation"] * 2 + ["test"] * 3 + ["left out"] * 5
    accounts = {
        "half-0": pd.DataFrame({"role": roles}),
        "<half-1>": pd.DataFrame({"role": ["test", "left out"]}),
    }
    figure = figures_data.protocol_roles(accounts, "ucf101")
    assert bars(figure) == {
        "train": [4, 0],
        "seen test": [1, 0],
        "validation": [2, 0],
        "test": [3, 1],
        "left out": [5, 1],
    }
    assert list(figure.layout.yaxis.ticktext) == ["half-0", "&lt;half-1&gt;"] and figure.data[0].text == (
        "4",
        "",
    )


def test_a_figure_is_written_as_a_page_that_needs_no_network(catalog, tmp_path):
    for name in ("one.html", "two.html"):
        figures_data.write_page(
            [figures_data.status_overview(catalog), figures_data.class_overview(catalog)],
            tmp_path / "report" / name,
        )
    page = (tmp_path / "report" / "one.html").read_text(encoding="utf-8")
    assert (
        page.count("plotly-graph-div") >= 2
        and page.count('src="plotly.min.js"') == 1
        and "http" not in page.split("plotly.min.js")[0].split("<script")[-1]
    )
    assert sorted(path.name for path in (tmp_path / "report").iterdir()) == [
        "one.html",
        "plotly.min.js",
        "two.html",
    ]
    assert (tmp_path / "report" / "plotly.min.js").stat().st_size > 1_000_000


@pytest.mark.parametrize("hostile", ["<img src=x onerror=alert(1)>", "</script><script>alert(1)</script>"])
def test_a_page_holds_no_markup_of_the_data(catalog, tmp_path, hostile):
    classes = pd.DataFrame({"name": ["a", "b", "c"], "label": [hostile] * 3, "family": [hostile] * 3})
    odd = Catalog(hostile, Path("nowhere"), catalog.clips, classes)
    figures_data.write_page(
        [figures_data.status_overview(odd), figures_data.class_overview(odd)], tmp_path / "page.html"
    )
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    for mark in ("<img", "\\u003cimg", "<script>alert", "\\u003cscript", "\\u003c\\u002fscript"):
        assert mark not in page, mark
    assert "alert(1)" in page  # as text
