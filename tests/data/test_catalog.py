"""zsar_lab.data.catalog and class_folders: what is listed, what is refused, and in which words."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

import numpy as np
import pytest
from test_video import numbered_frames

from zsar_lab.data.catalog import CLIP_COLUMNS, Catalog
from zsar_lab.data.datasets import catalog_dataset
from zsar_lab.data.video import write_mp4
from zsar_lab.data.workers import Limits

ODD_NAMES = ["two words.mp4", 'it\'s "quoted".mp4', "#1.mp4", "é.mp4", "你好.mp4", "[a-z]*.mp4", "CAPS.MP4"]


def make_dataset(root: Path, classes: dict[str, dict[str, int]], size_px: int = 64) -> Path:
    """A folder of class folders with numbered videos: {class: {file name: number of frames}}, 12 frames a second."""
    for name, videos in classes.items():
        (root / name).mkdir(parents=True)
        for file_name, n_frames in videos.items():
            write_mp4(root / name / file_name, numbered_frames(n_frames, size_px, size_px), fps=12)
    return root


@pytest.fixture(scope="module")
def mixed(tmp_path_factory) -> Path:
    """Two good classes, one class without a readable video, one empty folder, and every bad file."""
    root = make_dataset(
        tmp_path_factory.mktemp("mixed"),
        {"run": {name: 3 for name in ODD_NAMES}, "jump high": {"a.mp4": 24}, "bad": {}, "none": {}},
    )
    bad = root / "bad"
    (bad / "text.mp4").write_text("no video\n" * 100)
    (bad / "zero.MP4").write_bytes(b"")
    (bad / "folder.mp4").mkdir()
    whole = (root / "jump high" / "a.mp4").read_bytes()
    (bad / "cut.mp4").write_bytes(whole[: len(whole) * 9 // 10])
    (bad / "gone.mp4").symlink_to(root / "nowhere.mp4")
    (root / "run" / "notes.txt").write_text("side notes")
    (root / "run" / "README").write_text("more")
    (root / "run" / "inner").mkdir()
    (root / "run" / ".hidden.mp4").write_text("")
    (root / ".ipynb_checkpoints").mkdir()
    (root / "about.json").write_text("{}")
    (root / "beside.mp4").write_bytes(whole)
    (root / "classes.csv").write_text(
        '\ufeffname,label,description\nrun,running,"fast, on foot"\nswim,swimming,in water\n',
        encoding="utf-8",
    )
    return root


@pytest.fixture(scope="module")
def mixed_catalog(mixed) -> Catalog:
    return catalog_dataset("folder", mixed)


def test_usable_clips_have_their_facts(mixed_catalog, mixed):
    usable = mixed_catalog.usable
    assert list(usable.columns) == CLIP_COLUMNS and list(usable.index) == list(range(8))
    assert set(usable["path"]) == {"jump high/a.mp4"} | {f"run/{name}" for name in ODD_NAMES}
    clip = usable.set_index("id").loc["jump high/a"]
    assert (clip["class"], clip["start_s"], clip["end_s"], clip["frames"], clip["fps"]) == (
        "jump high",
        0.0,
        2.0,
        24,
        12.0,
    )
    assert (clip["width"], clip["height"], clip["status"], clip["reason"]) == (64, 64, "ok", "")
    assert mixed_catalog.clips["id"].is_monotonic_increasing and mixed_catalog.clips["id"].is_unique
    assert mixed_catalog.root == mixed and mixed_catalog.name == mixed.name


def test_every_other_file_is_listed_with_its_reason(mixed_catalog):
    reasons = mixed_catalog.excluded.set_index("path")[["status", "reason"]]
    expected = {
        "bad/text.mp4": ("unreadable", "damaged, cut off or no video"),
        "bad/zero.MP4": ("unreadable", "is empty (0 bytes)"),
        "bad/folder.mp4": ("unreadable", "it is a folder"),
        "bad/cut.mp4": ("unreadable", "is cut off: its header promises 24 frames"),
        "bad/gone.mp4": ("unreadable", "there is no such file"),
        "beside.mp4": ("not listed", "lies beside the class folders"),
        "run/notes.txt": ("not a video", "'.txt' is not a video suffix"),
        "run/README": ("not a video", "no video suffix"),
        "run/inner": ("not a video", "a folder inside a class folder"),
    }
    assert set(reasons.index) == set(expected)
    for path, (status, words) in expected.items():
        assert reasons.loc[path, "status"] == status and words in reasons.loc[path, "reason"]


def test_classes_and_the_report(mixed_catalog):
    classes = mixed_catalog.classes
    assert classes["name"].tolist() == ["bad", "jump high", "none", "run", "swim"]
    assert classes["label"].tolist() == ["", "", "", "running", "swimming"]
    assert classes["description"].tolist() == ["", "", "", "fast, on foot", "in water"]
    assert mixed_catalog.empty_classes == ["bad", "none", "swim"]
    report = mixed_catalog.report()
    assert list(report.columns) == [
        "class",
        "ok",
        "missing",
        "unreadable",
        "excluded",
        "not_listed",
        "not_a_video",
        "seconds",
    ]
    by_class = report.set_index("class")
    assert by_class.loc["bad"].tolist() == [0, 0, 5, 0, 0, 0, 0.0]
    assert by_class.loc["jump high"].tolist() == [1, 0, 0, 0, 0, 0, 2.0]
    assert by_class.loc["run"].tolist() == [7, 0, 0, 0, 0, 3, pytest.approx(7 * 3 / 12)]
    assert by_class.loc["(no class of the dataset)"].tolist() == [0, 0, 0, 0, 1, 0, 0.0]
    assert by_class.drop(columns="seconds").to_numpy().sum() == len(mixed_catalog.clips)


def test_the_number_of_workers_changes_nothing(mixed, mixed_catalog):
    other = catalog_dataset("folder", mixed, name="another name", limits=Limits(workers=1))
    assert other.clips.equals(mixed_catalog.clips) and other.fingerprint == mixed_catalog.fingerprint


def test_save_and_load(mixed_catalog, tmp_path):
    mixed_catalog.save(tmp_path / "catalog")
    loaded = Catalog.load(tmp_path / "catalog")
    assert loaded.clips.equals(mixed_catalog.clips) and loaded.classes.equals(mixed_catalog.classes)
    assert (loaded.name, loaded.root, loaded.fingerprint) == (
        mixed_catalog.name,
        mixed_catalog.root,
        mixed_catalog.fingerprint,
    )
    (tmp_path / "catalog" / "classes.parquet").unlink()
    with pytest.raises(
        FileNotFoundError, match="there is no file '.*classes.parquet'; catalog the videos again"
    ):
        Catalog.load(tmp_path / "catalog")


def test_load_refuses_other_and_damaged_tables(mixed_catalog, tmp_path):
    mixed_catalog.save(tmp_path)
    changed = mixed_catalog.clips.copy()
    changed.loc[changed["id"] == "jump high/a", "class"] = "run"
    changed.to_parquet(tmp_path / "clips.parquet", index=False)
    with pytest.raises(
        ValueError,
        match=f"must have the fingerprint {mixed_catalog.fingerprint} that catalog.json names, got .*; catalog the videos again",
    ):
        Catalog.load(tmp_path)
    (tmp_path / "clips.parquet").write_bytes(b"PAR1 no table")
    with pytest.raises(ValueError, match="clips.parquet' must be a whole parquet file"):
        Catalog.load(tmp_path)


def test_the_fingerprint_is_of_the_content_only(mixed_catalog):
    moved = dataclasses.replace(
        mixed_catalog, name="x", root=Path("/elsewhere"), clips=mixed_catalog.clips.assign(path="y")
    )
    assert moved.fingerprint == mixed_catalog.fingerprint
    for column, value in (
        ("start_s", 0.5),
        ("frames", 7),
        ("status", "ok"),
        ("class", "run"),
        ("end_s", 9.0),
    ):
        changed = dataclasses.replace(mixed_catalog, clips=mixed_catalog.clips.assign(**{column: value}))
        assert changed.fingerprint != mixed_catalog.fingerprint, column
    fewer = dataclasses.replace(mixed_catalog, classes=mixed_catalog.classes.iloc[:-1])
    assert fewer.fingerprint != mixed_catalog.fingerprint


def test_ids_stay_unique(tmp_path):
    root = make_dataset(tmp_path, {"a": {"x.mp4": 2, "y.mp4": 2}, "b": {"x.mp4": 2}})
    (root / "a" / "x.avi").write_text("")
    (root / "a" / "x.mp4.avi").write_text("")  # its stem is another file's name
    (root / "a" / "y.txt").write_text("")  # no video: leaves the id of y.mp4 short
    assert catalog_dataset("folder", root).clips["id"].tolist() == [
        "a/x.avi",
        "a/x.mp4",
        "a/x.mp4.avi",
        "a/y",
        "a/y.txt",
        "b/x",
    ]


def test_names_that_are_not_utf8(tmp_path):
    root = make_dataset(tmp_path / "data", {"a": {"x.mp4": 2}, "b": {}})
    (root / "b" / os.fsdecode(b"caf\xe9.mp4")).write_text("")
    catalog = catalog_dataset("folder", root)
    assert catalog.excluded["reason"].tolist() == [
        "a file name must be printable UTF-8, got 'caf\\udce9.mp4'; rename it"
    ]
    catalog.save(tmp_path / "saved")
    (root / os.fsdecode(b"\xe9")).mkdir()
    with pytest.raises(ValueError, match="a class folder's name must be printable UTF-8, got .*; rename it"):
        catalog_dataset("folder", root)


def test_bad_folders_give_one_sentence(tmp_path):
    with pytest.raises(
        FileNotFoundError,
        match="there is no folder '.*nowhere'; give the folder that holds one folder a class",
    ):
        catalog_dataset("folder", tmp_path / "nowhere")
    (tmp_path / "file.mp4").write_text("")
    with pytest.raises(
        NotADirectoryError, match="must be a folder of class folders, but '.*file.mp4' is a file"
    ):
        catalog_dataset("folder", tmp_path / "file.mp4")
    with pytest.raises(ValueError, match="must hold class folders .* got none"):
        catalog_dataset("folder", tmp_path)
    (tmp_path / "run").mkdir()
    with pytest.raises(ValueError, match=r"zero-shot needs at least two classes, got 1 \('run'\)"):
        catalog_dataset("folder", tmp_path)
    (tmp_path / "jump").mkdir()
    with pytest.raises(
        ValueError,
        match="at least one readable video in a class folder, got 1 files and none readable; the first reason: it lies beside",
    ):
        catalog_dataset("folder", tmp_path)
    (tmp_path / "jump" / "a.mp4").write_text("")
    with pytest.raises(
        ValueError, match=r"got 2 files and none readable; the first reason: .*empty \(0 bytes\)"
    ):
        catalog_dataset("folder", tmp_path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            b"label,description\nrunning,x\n",
            r"must have a column 'name' .* got the columns \['label', 'description'\]",
        ),
        (b"", r"must have a column 'name' .* got the columns \[\]"),
        (b"name\nrun\nrun\n", "must name each class once, got 'run' more than once"),
        (b"name,label\nrun,x\n,y\n", "must name a class, got an empty name in row 2"),
        (
            b"name,description\nrun,fast, on foot\n",
            "must have 2 fields as its header, got 3 in row 1; put texts with a comma in double quotes",
        ),
        (b"name\ncaf\xe9\n", "must be a UTF-8 csv table"),
    ],
)
def test_a_bad_classes_csv_gives_one_sentence(tmp_path, content, message):
    (tmp_path / "run").mkdir()
    (tmp_path / "jump").mkdir()
    (tmp_path / "classes.csv").write_bytes(content)
    with pytest.raises(ValueError, match=message):
        catalog_dataset("folder", tmp_path)


def test_the_dataset_helper_makes_numbered_videos():
    frames = numbered_frames(2, 4, 12)
    assert np.array_equal(np.unique(frames[1][:, :2]), [220]) and np.array_equal(
        np.unique(frames[1][:, 2:]), [20]
    )
