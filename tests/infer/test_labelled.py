"""zsar_lab.infer.labelled: named clips as a catalog, and what saving them leaves and refuses."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from coloured_videos import EVIL, write_video

from zsar_lab.data.catalog import EXCLUDED, OK, UNREADABLE, Catalog
from zsar_lab.data.prepare import open_prepared
from zsar_lab.data.sampling import FrameSettings
from zsar_lab.data.workers import Limits
from zsar_lab.infer.labelled import catalog_of, save_labelled
from zsar_lab.text.class_lists import read_classes

FRAMES, ONE = FrameSettings(4, 4.0, 16), Limits(workers=1)


@pytest.fixture(scope="module")
def videos(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("videos")
    write_video(folder / "red.mp4", ["red"])
    write_video(folder / "two.mp4", ["green", "blue"], seconds=2)
    return folder


def clips_of(folder: Path, *rows: tuple[str, float, float]) -> pd.DataFrame:
    return pd.DataFrame(
        [(str(folder / name), start_s, end_s) for name, start_s, end_s in rows],
        columns=["path", "start_s", "end_s"],
    )


@pytest.fixture(scope="module")
def catalog(videos) -> Catalog:
    rows = ("two.mp4", 2.0, 4.0), ("red.mp4", np.nan, np.nan), ("two.mp4", 0.0, 2.0)
    return catalog_of(
        clips_of(videos, *rows),
        ["b", "r", "g"],
        read_classes({"r": "red", "g": "", "b": "", "none": ""}),
        ONE,
    )


def test_clips_stand_in_their_order_with_bounds_and_group(catalog, videos):
    clips = catalog.usable
    assert clips["id"].tolist() == ["0 two.mp4", "1 red.mp4", "2 two.mp4"] and clips["class"].tolist() == [
        "b",
        "r",
        "g",
    ]
    assert clips[["start_s", "end_s"]].values.tolist() == [[2.0, 4.0], [0.0, 1.0], [0.0, 2.0]]
    assert (
        clips["group"].tolist()
        == clips["path"].tolist()
        == [str(videos / name) for name in ("two.mp4", "red.mp4", "two.mp4")]
    )
    assert catalog.classes["name"].tolist() == ["b", "g", "none", "r"] and catalog.classes[
        "description"
    ].tolist() == ["", "", "", "red"]
    assert catalog.empty_classes == ["none"] and catalog.root == Path("/")


def test_one_stretch_of_a_long_video_stays_a_stretch(videos):
    clips = catalog_of(clips_of(videos, ("two.mp4", 1.0, 3.0)), ["r"], read_classes(["r", "g"]), ONE).usable
    assert clips[["start_s", "end_s"]].values.tolist() == [[1.0, 3.0]]


def test_a_relative_path_is_kept_whole(videos, monkeypatch):
    monkeypatch.chdir(videos)
    clips = pd.DataFrame({"path": ["red.mp4"], "start_s": [np.nan], "end_s": [np.nan]})
    assert catalog_of(clips, ["r"], read_classes(["r", "g"]), ONE).usable["path"].tolist() == [
        str(videos / "red.mp4")
    ]


def test_videos_that_went_since_are_in_it_with_a_reason(videos):
    rows = ("gone.mp4", np.nan, np.nan), ("red.mp4", np.nan, np.nan), ("red.mp4", 5.0, 6.0)
    clips = catalog_of(clips_of(videos, *rows), ["r", "r", "g"], read_classes(["r", "g"]), ONE).clips
    assert clips["status"].tolist() == [UNREADABLE, OK, EXCLUDED] and all(clips["reason"][[0, 2]])


def test_what_is_no_catalog_is_refused(videos):
    clips, classes = clips_of(videos, ("red.mp4", 0.0, 1.0)), read_classes(["r", "g"])
    with pytest.raises(ValueError, match="one name a clip, and a clip, got 1 clips and 2 names"):
        catalog_of(clips, ["r", "g"], classes, ONE)
    with pytest.raises(ValueError, match="got 0 clips and 0 names"):
        catalog_of(clips[:0], [], classes, ONE)
    with pytest.raises(ValueError, match="every name must be one of the 2 classes, got 'x'; add the class"):
        catalog_of(clips, ["x"], classes, ONE)


def test_saving_leaves_what_prepare_leaves_and_a_list_of_labels(catalog, tmp_path):
    prepared = save_labelled(catalog, tmp_path / "new" / "named", FRAMES, ONE)
    folder = tmp_path / "new" / "named"
    assert sorted(entry.name for entry in folder.iterdir()) == [
        "bad_clips.csv",
        "catalog",
        "catalog_report.csv",
        "frames",
        "labelled.json",
        "labels.csv",
    ]
    opened = open_prepared("prepared", folder)
    assert (
        opened.catalog.fingerprint
        == Catalog.load(folder / "catalog").fingerprint
        == catalog.fingerprint
        == prepared.catalog.fingerprint
    )
    assert opened.frames.settings == FRAMES and opened.frames.frames.shape == (3, 4, 16, 16, 3)
    first = (
        opened.frames.frames[opened.frames.rows(["0 two.mp4", "1 red.mp4", "2 two.mp4"])]
        .mean((1, 2, 3))
        .argmax(1)
    )
    assert first.tolist() == [2, 0, 1]  # blue, red and green, as their stretches show
    labels = pd.read_csv(folder / "labels.csv")
    assert list(labels.columns) == ["path", "label", "start_s", "end_s"] and labels["label"].tolist() == [
        "b",
        "r",
        "g",
    ]
    assert labels["path"].tolist() == catalog.usable["path"].tolist() and labels["end_s"].tolist() == [
        4.0,
        1.0,
        2.0,
    ]


def test_the_same_again_is_opened_and_other_names_are_refused(catalog, tmp_path):
    save_labelled(catalog, tmp_path, FRAMES, ONE)
    before = (tmp_path / "labels.csv").read_text(), (tmp_path / "catalog" / "catalog.json").read_text()
    assert len(save_labelled(catalog, tmp_path, FRAMES, ONE).frames) == 3
    other = Catalog(
        catalog.name, catalog.root, catalog.clips.assign(**{"class": ["r", "r", "g"]}), catalog.classes
    )
    with pytest.raises(
        ValueError,
        match="the same clips alone may be saved again in one folder, '.*' holds other clips or labels; choose another",
    ):
        save_labelled(other, tmp_path, FRAMES, ONE)
    assert (
        (tmp_path / "labels.csv").read_text(),
        (tmp_path / "catalog" / "catalog.json").read_text(),
    ) == before


def test_a_folder_of_other_things_is_left_alone(catalog, tmp_path):
    (tmp_path / "holiday.mp4").touch()
    with pytest.raises(
        ValueError, match="saved in an empty folder, '.*' holds 'holiday.mp4'; choose another"
    ):
        save_labelled(catalog, tmp_path, FRAMES, ONE)
    assert [entry.name for entry in tmp_path.iterdir()] == ["holiday.mp4"]
    with pytest.raises(OSError, match="must be writable, got '.*holiday.mp4"):
        save_labelled(catalog, tmp_path / "holiday.mp4", FRAMES, ONE)


def test_class_names_that_look_like_markup_are_only_names(videos, tmp_path):
    clips = clips_of(videos, ("red.mp4", np.nan, np.nan), ("two.mp4", 0.0, 2.0))
    save_labelled(catalog_of(clips, list(EVIL), read_classes(list(EVIL)), ONE), tmp_path, FRAMES, ONE)
    assert (
        Catalog.load(tmp_path / "catalog").usable["class"].tolist()
        == list(EVIL)
        == pd.read_csv(tmp_path / "labels.csv")["label"].tolist()
    )
