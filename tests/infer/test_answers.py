"""zsar_lab.infer.answers and written: names, marks, stretches and scores by hand, and the lines they become."""

from __future__ import annotations

import csv
import dataclasses
import io
import json

import numpy as np
import pandas as pd
import pytest

from zsar_lab.infer.answers import answers, own_names, score_of, stretches, window_scores
from zsar_lab.infer.classifier import Candidates
from zsar_lab.infer.embedding import WINDOW_COLUMNS, WindowEmbeddings, joined
from zsar_lab.infer.unsure import BETWEEN, NONE_OF_THESE, Thresholds
from zsar_lab.infer.written import head, lines, summary
from zsar_lab.results.calibration import risk_coverage
from zsar_lab.text.class_lists import read_classes, texts_of
from zsar_lab.viz.figures.own_videos import timeline

ROWS = [
    ("a.mp4", "walk", 0.0, 2.0),
    ("b.avi", "jump", 0.0, 2.0),
    ("b.avi", "jump", 1.0, 3.0),
    ("c.mp4", "", 0.0, 0.0),
    ("d.mp4", "sit", 0.0, 1.5),
]


@pytest.fixture
def windows() -> WindowEmbeddings:
    table = pd.DataFrame(
        [(*row, row[3], "", "'c.mp4' is empty" if row[0] == "c.mp4" else "") for row in ROWS],
        columns=WINDOW_COLUMNS,
    )
    rows = np.array([[1, 0, 0], [0.6, 0.8, 0], [0.8, 0.6, 0], [0, 0, 0], [0, 0, 1]], dtype=np.float32)
    return WindowEmbeddings(table, rows, "model")


@pytest.fixture
def candidates() -> Candidates:
    table = read_classes(["walk", "jump", "sit"])
    curve = risk_coverage(np.array([0.9, 0.8]), np.array([True, False]))
    thresholds = Thresholds(0.9, 0.7, 0.8, 0.5, 2, 0.7, 0.3, curve)
    return Candidates(
        table,
        texts_of(table, "label"),
        "transfer",
        np.array([[1, 0, 0], [0, 1, 0], [0.6, 0, 0.8]]),
        0.1,
        thresholds,
    )


def test_names_confidences_and_marks_by_hand(windows, candidates):
    table = answers(windows, candidates)
    assert table["path"].tolist() == [row[0] for row in ROWS] and table["name"].tolist() == [
        "walk",
        "jump",
        "walk",
        "",
        "sit",
    ]
    exponents = np.exp([0 / 0.1, -0.4 / 0.1, -1 / 0.1])  # of the first window: cosines 1, 0.6 (sit) and 0
    assert table["confidence"][0] == pytest.approx(exponents[0] / exponents.sum()) and table["score"][
        4
    ] == pytest.approx(0.8)
    assert [name for name, _ in table["best"][0]] == ["walk", "sit", "jump"]
    assert sum(share for _, share in table["best"][0]) == pytest.approx(1)
    assert table["why"].tolist() == [
        "",
        NONE_OF_THESE,
        NONE_OF_THESE,
        "not read: 'c.mp4' is empty",
        NONE_OF_THESE,
    ]
    assert table["unsure"].tolist() == [False, True, True, True, True] and np.isnan(table["confidence"][3])


def test_near_enough_but_between_two(windows, candidates):
    points = np.array([[0.8, 0.6, 0], [0.6, 0.8, 0], [0, 0, 1]])
    table = answers(
        windows,
        Candidates(candidates.table, candidates.class_text, "transfer", points, 0.5, candidates.thresholds),
    )
    assert table["why"][1] == BETWEEN and table["confidence"][1] < 0.7 and table["score"][1] > 0.9


def test_without_thresholds_only_what_was_not_read_is_unsure(windows, candidates):
    table = answers(
        windows,
        Candidates(candidates.table, candidates.class_text, "direct", candidates.points_CD, 0.1, None),
    )
    assert table["unsure"].tolist() == [False, False, False, True, False]


def test_nothing_could_be_read(windows, candidates):
    lost = WindowEmbeddings(
        windows.table.iloc[[3]].reset_index(drop=True), np.zeros((1, 0), np.float32), "model"
    )
    assert window_scores(lost, candidates).shape == (0, 3) and answers(lost, candidates)["name"].tolist() == [
        ""
    ]


def test_parts_are_joined_in_the_order_of_the_paths_and_of_time(windows):
    table, rows = windows.table, windows.embedding_ND
    parts = [
        WindowEmbeddings(table.iloc[n].reset_index(drop=True), rows[n], "model") for n in ([4], [2, 0], [1])
    ]
    parts.append(
        WindowEmbeddings(table.iloc[[3]].reset_index(drop=True), np.zeros((1, 0), np.float32), "model")
    )
    whole = joined(parts, ["a.mp4", "b.avi", "c.mp4", "d.mp4"])
    pd.testing.assert_frame_equal(whole.table, table)
    np.testing.assert_array_equal(whole.embedding_ND, rows)


def test_neighbours_of_one_answer_become_a_stretch():
    best = [("walk", 0.9)]
    rows = [
        ("v", 0, 2, "walk", 0.9, False),
        ("v", 1, 3, "walk", 0.7, False),
        ("v", 2, 4, "walk", 0.4, True),
        ("v", 3, 5, "jump", 0.5, True),
        ("v", 4, 6, "jump", 0.8, False),
        ("w", 0, 2, "jump", 0.6, False),
    ]
    table = pd.DataFrame(
        [(*row, best) for row in rows],
        columns=["path", "start_s", "end_s", "name", "confidence", "unsure", "best"],
    )
    assert stretches(table).values.tolist() == [
        ["v", 0, 3, "walk", 2, pytest.approx(0.8)],
        ["v", 2, 5, "", 2, pytest.approx(0.45)],
        ["v", 4, 6, "jump", 1, 0.8],
        ["w", 0, 2, "jump", 1, 0.6],
    ]


def test_what_was_not_seen_parts_a_stretch():
    best = [("run", 0.9)]
    rows = [
        ("v", 0, 2, "run", 0.9, False, best),
        ("v", 2, 4, "run", 0.7, False, best),
        ("v", 4, 60, "", np.nan, True, []),
        ("v", 60, 62, "run", 0.8, False, best),
        ("v", 64, 66, "run", 0.6, False, best),
        ("w", 66, 68, "run", 0.6, False, best),
    ]
    table = pd.DataFrame(rows, columns=["path", "start_s", "end_s", "name", "confidence", "unsure", "best"])
    sure = stretches(table).query("name == 'run'")
    assert sure[["path", "start_s", "end_s", "windows"]].values.tolist() == [
        ["v", 0, 4, 2],
        ["v", 60, 62, 1],
        ["v", 64, 66, 1],
        ["w", 66, 68, 1],
    ]
    (bars,) = [trace for trace in timeline(table, "v").data if trace.type == "bar"]
    assert list(zip(bars.base, bars.x)) == [(0, 4), (60, 2), (64, 2)]
    (cells,) = [trace for trace in timeline(table, "v").data if trace.type == "heatmap"]
    assert list(cells.x) == [0, 2, 4, 60, 62, 64, 66] and np.isnan(np.array(cells.z, float)).tolist() == [
        [False, False, True, False, True, False]
    ]


def test_cells_of_a_timeline_have_the_time_about_the_middle_of_their_windows():
    table = pd.DataFrame(
        [("v", start, start + 2.0, "run", 0.9, False, [("run", 0.9)]) for start in (0.0, 1.0, 2.5)],
        columns=["path", "start_s", "end_s", "name", "confidence", "unsure", "best"],
    )
    (cells,) = [trace for trace in timeline(table, "v").data if trace.type == "heatmap"]
    assert list(cells.x) == [0, 1.5, 2.75, 4.5]
    (alone,) = [trace for trace in timeline(table[:1], "v").data if trace.type == "heatmap"]
    assert list(alone.x) == [0, 2]


def test_a_score_where_labels_are_known(windows, candidates):
    found = score_of(answers(windows, candidates), candidates)
    assert found == {
        "clips": 4,
        "top1": 0.75,
        "top5": 1.0,
        "chance": pytest.approx(1 / 3),
        "answered": 0.25,
        "top1_answered": 1.0,
        "not_scored": 1,
    }


def test_what_cannot_be_scored(windows, candidates):
    table = answers(windows, candidates)
    with pytest.raises(
        ValueError, match="a score needs videos with labels, got none; put them into class folders"
    ):
        score_of(table.assign(label=""), candidates)
    with pytest.raises(
        ValueError,
        match="a label must be one of the 3 classes, got none that is, such as 'run'; add the class, or rename",
    ):
        score_of(table.assign(label="run"), candidates)


def test_lines_for_people_tables_and_programs(windows, candidates):
    table = answers(windows, candidates)
    said = lines(table).splitlines()
    assert (
        said[0] == "a.mp4 0.0-2.0 s: walk 0.98 (sit 0.02, jump 0.00)"
        and said[3] == "c.mp4: not read: 'c.mp4' is empty"
    )
    assert said[1].endswith("unsure: perhaps none of these")
    read = list(csv.DictReader(io.StringIO(head("csv") + lines(table, "csv"))))
    assert (
        [row["name"] for row in read] == table["name"].tolist()
        and read[3]["confidence"] == ""
        and read[0]["best"].startswith("walk 0.982; sit")
    )
    objects = [json.loads(line) for line in lines(table, "json").splitlines()]
    assert objects[3]["confidence"] is None and objects[0]["best"][0] == {
        "name": "walk",
        "confidence": pytest.approx(table["confidence"][0]),
    }
    assert objects[0]["unsure"] is False and head("json") == head("text") == ""


def test_the_summary_counts_and_scores(windows, candidates):
    said = summary([answers(windows, candidates)], candidates, 2.0)
    assert (
        "3 of 4 videos read, 4 windows in 2.0 s: 2.0 windows a second; 3 unsure, 1 could not be read." in said
    )
    assert (
        "4 labelled windows: 75.0 % right (chance 33.3 %)" in said
        and "of the 25 % that are sure 100.0 %" in said
    )
    assert "labelled windows" not in summary([answers(windows, candidates).assign(label="")], candidates, 2.0)
    strange = summary([answers(windows, candidates).assign(label="camera 1")], candidates, 2.0)
    assert (
        "Not scored: 1 of the 1 labels is none of the classes, such as 'camera 1'; add such a class, or rename the label."
        in strange
    )
    table = answers(windows, candidates)
    some = table.assign(label=["Walk", "run", "JUMP ", "", "swim"], remark="only its middle was looked at")
    said = summary([some], candidates, 2.0)
    assert (
        "2 labelled windows: 50.0 % right" in said
        and "Not scored: 2 of the 4 labels are none of the classes, such as 'run'" in said
    )
    assert (
        said.count("only its middle") == 3
        and "a.mp4: only its middle was looked at" in said
        and "such a remark that are not listed: 1." in said
    )
    unknown = summary([table], dataclasses.replace(candidates, thresholds=None), 2.0)
    assert (
        "which does not mean that it is sure: thresholds are chosen on validation classes, of which this model has fewer than 4"
        in unknown
    )


def test_labels_mean_classes_as_people_write_them():
    classes = read_classes(
        pd.DataFrame({"name": ["SkippingRope", "run"], "label": ["skipping rope", "jogging"]})
    )
    assert own_names(
        ["skipping_rope", "Skipping Rope", "SKIPPINGROPE", "Jogging", "run", "", "swim"], classes
    ) == {
        "skipping_rope": "SkippingRope",
        "Skipping Rope": "SkippingRope",
        "SKIPPINGROPE": "SkippingRope",
        "Jogging": "run",
        "run": "run",
    }
