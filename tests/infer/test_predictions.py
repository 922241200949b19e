"""zsar_lab.infer.predictions: predictions, segments and accuracy by hand, and the lines they become."""

from __future__ import annotations

import csv
import dataclasses
import json

import numpy as np
import pandas as pd
import pytest
from coloured_videos import ColourModel

from zsar_lab.data.reading import ReadWindows
from zsar_lab.infer import predictions
from zsar_lab.infer.calibrate import HeldOut, Thresholds
from zsar_lab.infer.classifier import BETWEEN, NONE_OF_THESE, UNKNOWN, ZeroShotClassifier
from zsar_lab.infer.predictions import predict, segments, summary
from zsar_lab.results.calibration import risk_coverage
from zsar_lab.results.prediction_sets import CoverageError
from zsar_lab.text.class_lists import read_classes
from zsar_lab.text.prompts import texts_of

ROWS = [  # number of the window, how many the row stands for, of how many
    ("a.mp4", "walk", 0.0, 2.0, (0, 1, 1), [1, 0, 0]),
    ("b.avi", "jump", 0.0, 2.0, (0, 1, 2), [0.6, 0.8, 0]),
    ("b.avi", "jump", 1.0, 3.0, (1, 1, 2), [0.8, 0.6, 0]),
    ("c.mp4", "", 0.0, 0.0, (0, 0, 0), None),
    ("d.mp4", "sit", 0.0, 1.5, (0, 1, 1), [0, 0, 1]),
]
LOST = "'c.mp4' is empty"


@pytest.fixture
def windows() -> pd.DataFrame:
    rows = []
    for path, label, start_s, end_s, counts, vector in ROWS:
        embedding = None if vector is None else np.array(vector, dtype=np.float32)
        why = LOST if vector is None else ""
        rows.append((path, label, start_s, end_s, end_s, *counts, "", why, embedding))
    return pd.DataFrame(rows, columns=predictions.WINDOW_COLUMNS)


@pytest.fixture
def classifier() -> ZeroShotClassifier:
    table = read_classes(["walk", "jump", "sit"])
    curve = risk_coverage(np.array([0.9, 0.8]), np.array([True, False]))
    thresholds = Thresholds(0.9, 2.0, (0.7, 0.7), 0.8, 4, 0.5, 0.9, 0.7, 0.3, curve)
    held_out = HeldOut((), 0, np.eye(3), np.zeros(0, int), np.eye(3))  # to which nothing is strange
    weights_CD = np.array([[1, 0, 0], [0, 1, 0], [0.6, 0, 0.8]])
    known = pd.DataFrame({"name": table["name"], "trained": ["exact", "no", "no"], "seen": ["Walk", "", ""]})
    given = table, texts_of(table, "label"), "transfer", weights_CD, 0.1, known, 0.0, thresholds, held_out
    return ZeroShotClassifier(*given)


def test_predictions_confidences_and_marks_by_hand(windows, classifier):
    table = predict(windows, classifier)
    assert list(table.columns) == predictions.COLUMNS and table["path"].tolist() == [row[0] for row in ROWS]
    assert table["prediction"].tolist() == ["walk", "jump", "walk", "", "sit"]
    exponents = np.exp([0 / 0.1, -0.4 / 0.1, -1 / 0.1])  # of the first window: cosines 1, 0.6 (sit) and 0
    assert table["confidence"][0] == pytest.approx(exponents[0] / exponents.sum())
    assert table["score"][4] == pytest.approx(0.8) and np.isnan(table["confidence"][3])
    assert [name for name, _ in table["best"][0]] == ["walk", "sit", "jump"] and table["best"][3] == []
    assert sum(share for _, share in table["best"][0]) == pytest.approx(1)
    far, lost = NONE_OF_THESE, f"not read: {LOST}"
    assert table["why"].tolist() == ["", far, far, lost, far]
    assert table["unsure"].tolist() == [False, True, True, True, True]
    assert table["trained"].tolist() == ["exact", "no", "exact", "", "no"]
    assert predict(windows.iloc[[3]], classifier)["prediction"].tolist() == [""]


def test_gamma_is_taken_off_the_names_that_were_trained_on(windows, classifier):
    table = predict(windows, dataclasses.replace(classifier, gamma=0.3))
    third = "jump"  # with 0.8 against 0.6
    assert table["prediction"].tolist() == ["walk", "jump", third, "", "sit"]
    assert table["score"][2] == pytest.approx(0.6) and table["score"][0] == pytest.approx(1)
    exponents = np.exp([0.7 / 0.1, 0 / 0.1, 0.6 / 0.1])
    assert table["confidence"][0] == pytest.approx(exponents[0] / exponents.sum())
    said = summary([table], dataclasses.replace(classifier, gamma=0.3), 1.0)
    assert "walk (exact: Walk)" in said and "gamma 0.30" in said and "2 are new" in said


def test_sets_hold_all_names_that_are_far_enough_ahead(windows, classifier):
    # clips of nine new classes score 0, 0, .8, and .2 or more for their own: at 90 % all weight is needed,
    # so walk and jump may be behind the best other name by .8 - .2, and sit must be ahead by .2
    clips_ED, own_E = np.repeat([[0.0, 0, 1]], 9, axis=0), np.linspace(0.2, 0.9, 9)
    made = dataclasses.replace(classifier, calibration=(clips_ED, own_E, np.arange(9)))
    table = predict(windows, made, 0.9)
    assert list(table.columns) == [*predictions.COLUMNS, "set"]
    assert table["set"].tolist() == [["walk"], ["walk", "jump"], ["walk", "jump"], [], ["sit"]]
    for calibration, words in ((None, "public model"), ((clips_ED[:8], own_E[:8], np.arange(8)), "got 8")):
        with pytest.raises(CoverageError, match=words):
            predict(windows, dataclasses.replace(made, calibration=calibration), 0.9)


def test_near_enough_but_between_two_and_without_thresholds(windows, classifier):
    weights_CD = np.array([[0.8, 0.6, 0], [0.6, 0.8, 0], [0, 0, 1]])
    table = predict(windows, dataclasses.replace(classifier, weights_CD=weights_CD, temperature=0.5))
    assert table["why"][1] == BETWEEN and table["confidence"][1] < 0.7 and table["score"][1] > 0.9
    table = predict(windows, dataclasses.replace(classifier, thresholds=None))
    assert table["why"].tolist() == [UNKNOWN] * 3 + [f"not read: {LOST}", UNKNOWN] and table["unsure"].all()


def test_parts_are_joined_in_the_order_of_the_paths_and_of_time(windows, monkeypatch):
    parts = [windows.iloc[rows].reset_index(drop=True) for rows in ([4], [2, 0], [1], [3])]
    videos = pd.DataFrame({"path": ["a.mp4", "b.avi", "c.mp4", "d.mp4"]})
    monkeypatch.setattr(predictions, "find_videos", lambda _: videos)
    monkeypatch.setattr(predictions, "embed_windows", lambda *_: (part for part in parts))
    pd.testing.assert_frame_equal(predictions.embed_videos("videos", ColourModel()), windows)


def test_the_parts_of_a_video_add_up_to_it_where_some_could_not_be_read(monkeypatch):
    def reading(video: int, n: int, of: int, reason: str = "") -> ReadWindows:
        frames = np.zeros((0 if reason else n, 4, 16, 16, 3), np.uint8) + 9
        bounds = np.arange(n) * 1.0, np.arange(n) + 1.0
        return ReadWindows(video, f"{video}.mp4", *bounds, frames, 0, of, 9.0 if of else 0.0, "", reason)

    read = [reading(0, 3, 10), reading(0, 3, 10, "bad"), reading(1, 0, 0, "none"), reading(0, 4, 10, "bad")]
    monkeypatch.setattr(predictions, "read_windows", lambda *_: (one for one in read))
    videos = pd.DataFrame({"path": ["0.mp4", "1.mp4"], "label": "", "reason": ""})
    (table,) = predictions.embed_windows(videos, ColourModel())
    bounds = [[0, 1], [1, 2], [2, 3], [0, 3], [0, 0], [0, 4]]  # one row for what was not read of a part
    assert table[["start_s", "end_s"]].values.tolist() == bounds
    assert table["reason"].tolist() == ["", "", "", "bad", "none", "bad"]
    assert table[["windows", "of"]].values.tolist() == [[1, 10]] * 3 + [[3, 10], [0, 0], [4, 10]]


def test_rows_come_in_order_as_soon_as_those_before_them(windows):
    parts = [windows.iloc[rows].reset_index(drop=True) for rows in ([4, 2], [0], [3, 1])]
    found = list(
        predictions.in_order(iter(parts), pd.DataFrame({"path": ["a.mp4", "b.avi", "c.mp4", "d.mp4"]}))
    )
    assert [len(part) for part in found] == [1, 4]
    pd.testing.assert_frame_equal(pd.concat(found, ignore_index=True), windows)


def _predicted(*rows: tuple) -> pd.DataFrame:
    """Rows of path, start_s, end_s, prediction, confidence and why."""
    table = pd.DataFrame(rows, columns=["path", "start_s", "end_s", "prediction", "confidence", "why"])
    return table.assign(unsure=table["why"] != "")


def test_windows_that_overlap_become_segments_that_do_not():
    table = _predicted(
        ("v", 4, 6, "jump", 0.8, ""),  # in any order
        ("v", 0, 2, "walk", 0.9, ""),
        ("v", 1, 3, "walk", 0.7, ""),
        ("v", 2, 4, "walk", 0.4, BETWEEN),
        ("v", 3, 5, "jump", 0.5, BETWEEN),
        ("w", 0, 2, "jump", 0.6, ""),
    )
    found = segments(table)[["path", "start_s", "end_s", "prediction", "unsure", "windows", "confidence"]]
    assert found.values.tolist() == [
        ["v", 0, 2.5, "walk", False, 2, pytest.approx(0.8)],
        ["v", 2.5, 3.5, "walk", True, 1, 0.4],
        ["v", 3.5, 4.5, "jump", True, 1, 0.5],
        ["v", 4.5, 6, "jump", False, 1, 0.8],
        ["w", 0, 2, "jump", False, 1, 0.6],
    ]


def test_what_was_not_seen_parts_a_segment():
    table = _predicted(
        ("v", 0, 2, "run", 0.9, ""),
        ("v", 2, 4, "run", 0.7, ""),
        ("v", 4, 60, "", np.nan, "not read: lost"),
        ("v", 60, 62, "run", 0.8, ""),
        ("v", 64, 66, "run", 0.6, ""),
        ("w", 66, 68, "run", 0.6, ""),
    )
    found = segments(table).query("prediction == 'run'")[["path", "start_s", "end_s", "windows"]]
    assert found.values.tolist() == [["v", 0, 4, 2], ["v", 60, 62, 1], ["v", 64, 66, 1], ["w", 66, 68, 1]]


def test_accuracy_where_labels_are_known(windows, classifier):
    table, third = predict(windows, classifier), pytest.approx(1 / 3)
    wanted = {"clips": 4, "top1": 0.75, "top5": 1.0, "chance": third, "sure": 0.25, "top1_sure": 1.0}
    assert predictions.accuracy_of(table, classifier) == wanted | {"not_scored": 1}
    assert np.isnan(predictions.accuracy_of(table.assign(unsure=True), classifier)["top1_sure"])
    for label, said in (("", "no labels"), ("run", "'run'")):
        with pytest.raises(ValueError, match=said):
            predictions.accuracy_of(table.assign(label=label), classifier)


def test_lines_for_people_tables_and_programs(windows, classifier, tmp_path):
    table = predict(windows, classifier)
    said = predictions.as_lines(table).splitlines()
    assert said[0] == "a.mp4 0.0-2.0 s: walk 0.98 (sit 0.02, jump 0.00)"
    assert said[3] == f"c.mp4: not read: {LOST}" and said[1].endswith("unsure: perhaps none of these")
    for form in ("csv", "json"):
        predictions.save_table([table[:1], table[1:]], tmp_path / form, form)
    read = list(csv.DictReader((tmp_path / "csv").read_text().splitlines()))
    assert [row["prediction"] for row in read] == table["prediction"].tolist()
    assert read[3]["confidence"] == "" and read[0]["best"].startswith("walk 0.982; sit")
    objects = json.loads((tmp_path / "json").read_text())
    assert objects[3]["confidence"] is None and objects[0]["unsure"] is False
    assert objects[0]["best"][0] == {"name": "walk", "confidence": table["confidence"][0]}
    assert list(objects[0]) == predictions.COLUMNS and objects[0]["score"] == table["score"][0]


def test_the_summary_counts_and_scores(windows, classifier):
    table = predict(windows, classifier)
    said = summary([table[:2], table[2:]], classifier, 2.0)
    assert "3 of 4 videos read, 4 windows in 2.0 s: 2.0 windows a second; 3 unsure, 1 could not be" in said
    assert "4 labelled windows: 75.0 % right (chance 33.3 %)" in said
    assert "of the 25.0 % that are sure 100.0 %" in said
    assert "b.avi: 0.0-1.5 s (jump), 1.5-3.0 s (walk)" in said and "d.mp4: 0.0" not in said
    assert "labelled windows:" not in summary([table.assign(label="")], classifier, 2.0)
    strange = summary([table.assign(label="camera 1")], classifier, 2.0)
    assert "Not scored: 1 of the 1 labels is none of the classes, such as 'camera 1'" in strange
    some = table.assign(label=["Walk", "run", "JUMP ", "", "swim"], remark="only its middle was looked at")
    said = summary([some], classifier, 2.0)
    assert "2 labelled windows: 50.0 % right" in said and "2 of the 4 labels are none" in said
    assert said.count("only its middle") == 3 and "that are not listed: 1." in said
    unknown = summary([table], dataclasses.replace(classifier, thresholds=None), 2.0)
    assert "Nothing is called sure" in unknown and unknown.count("thresholds") == 1
    assert "none is sure" in summary([table.assign(unsure=True)], classifier, 2.0)


def test_labels_mean_classes_as_people_write_them():
    table = pd.DataFrame({"name": ["SkippingRope", "run"], "label": ["skipping rope", "jogging"]})
    rope, run = ["skipping_rope", "Skipping Rope", "SKIPPINGROPE"], ["Jogging", "run"]
    wanted = dict.fromkeys(rope, "SkippingRope") | dict.fromkeys(run, "run")
    assert predictions.classes_meant([*rope, *run, "", "swim", "1"], read_classes(table)) == wanted
    ids = read_classes(table.assign(id=[1, 2]))
    assert predictions.classes_meant(["2", "1", "3"], ids) == {"2": "run", "1": "SkippingRope"}
    numbered = predictions.classes_meant(["0: skipping_rope", "1: Run"], read_classes(table))  # as CVAT does
    assert list(numbered.values()) == ["SkippingRope", "run"]
