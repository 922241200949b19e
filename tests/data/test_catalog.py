"""zsar_lab.data.catalog: class folders as a catalog; every video is opened once."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from numbered_videos import ONE, count_tasks, make_dataset

from zsar_lab.data import catalog as catalog_module
from zsar_lab.data.catalog import CLIP_COLUMNS, Catalog, complete_clips, probe_files, shown
from zsar_lab.data.datasets import catalog_dataset
from zsar_lab.data.workers import Limits

ODD_NAMES = ["two words.mp4", 'it\'s "quoted".mp4', "#1.mp4", "é.mp4", "你好.mp4", "[a-z]*.mp4", "CAPS.MP4"]
CLASSES = '\ufeffname,label,description\nrun,running,"fast, on foot"\nswim,swimming,in water\n'


@pytest.fixture(scope="module")
def mixed(tmp_path_factory) -> Path:
    """Two good classes, one class without a readable video, one empty folder, and every bad file."""
    videos = {"run": dict.fromkeys(ODD_NAMES, 3), "jump high": {"a.mp4": 24}, "bad": {}, "none": {}}
    root = make_dataset(tmp_path_factory.mktemp("mixed"), videos)
    whole = (root / "jump high" / "a.mp4").read_bytes()
    files = {
        "bad/text.mp4": b"no video\n" * 100,
        "bad/zero.MP4": b"",
        "bad/cut.mp4": whole[: len(whole) * 9 // 10],
        "run/notes.txt": b"side notes",
        "run/README": b"more",
        "run/.hidden.mp4": b"",
        "about.json": b"{}",
        "beside.mp4": whole,
        "classes.csv": CLASSES.encode(),
    }
    for path, content in files.items():
        (root / path).write_bytes(content)
    for folder in ("bad/folder.mp4", "run/inner", ".ipynb_checkpoints"):
        (root / folder).mkdir()
    (root / "bad" / "gone.mp4").symlink_to(root / "nowhere.mp4")
    return root


@pytest.fixture(scope="module")
def mixed_catalog(mixed) -> Catalog:
    return catalog_dataset("folder", mixed)


def test_usable_clips_have_their_facts(mixed_catalog, mixed):
    usable = mixed_catalog.usable
    assert list(usable.columns) == CLIP_COLUMNS and list(usable.index) == list(range(8))
    assert set(usable["path"]) == {"jump high/a.mp4"} | {f"run/{name}" for name in ODD_NAMES}
    clip = usable.set_index("id").loc["jump high/a"]
    assert clip[["class", "start_s", "end_s", "frames", "fps"]].tolist() == ["jump high", 0.0, 2.0, 24, 12.0]
    assert clip[["width", "height", "status", "reason"]].tolist() == [64, 64, "ok", ""]
    assert mixed_catalog.clips["id"].is_monotonic_increasing and mixed_catalog.clips["id"].is_unique
    assert mixed_catalog.root == mixed and mixed_catalog.name == mixed.name


def test_every_other_file_is_listed_with_its_reason(mixed_catalog):
    reasons = mixed_catalog.excluded.set_index("path")[["status", "reason"]]
    expected = {
        "bad/text.mp4": ("unreadable", "damaged, cut off or no video"),
        "bad/zero.MP4": ("unreadable", "is empty (0 bytes)"),
        "bad/folder.mp4": ("unreadable", "it is a folder"),
        "bad/cut.mp4": ("unreadable", "is cut off: its data end early"),
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
    assert mixed_catalog.classes.to_dict("list") == {
        "name": ["bad", "jump high", "none", "run", "swim"],
        "label": ["", "", "", "running", "swimming"],
        "description": ["", "", "", "fast, on foot", "in water"],
    }
    assert mixed_catalog.empty_classes == ["bad", "none", "swim"]
    report = mixed_catalog.report()
    counts = ["ok", "missing", "unreadable", "excluded", "not_listed", "not_a_video"]
    assert list(report.columns) == ["class", *counts, "seconds"]
    by_class = report.set_index("class")
    assert by_class.loc["bad"].tolist() == [0, 0, 5, 0, 0, 0, 0.0]
    assert by_class.loc["jump high"].tolist() == [1, 0, 0, 0, 0, 0, 2.0]
    assert by_class.loc["run"].tolist() == [7, 0, 0, 0, 0, 3, pytest.approx(7 * 3 / 12)]
    assert by_class.loc["(no class of the dataset)"].tolist() == [0, 0, 0, 0, 1, 0, 0.0]
    assert report[counts].to_numpy().sum() == len(mixed_catalog.clips)


def test_the_number_of_workers_changes_nothing(mixed, mixed_catalog):
    other = catalog_dataset("folder", mixed, called="another name", limits=ONE)
    assert other.clips.equals(mixed_catalog.clips) and other.fingerprint == mixed_catalog.fingerprint


def test_save_and_load(mixed_catalog, tmp_path):
    mixed_catalog.save(tmp_path)
    loaded = Catalog.load(tmp_path)
    assert loaded.clips.equals(mixed_catalog.clips) and loaded.classes.equals(mixed_catalog.classes)
    for field in ("name", "root", "fingerprint"):
        assert getattr(loaded, field) == getattr(mixed_catalog, field)
    changed = mixed_catalog.clips.copy()
    changed.loc[changed["id"] == "jump high/a", "class"] = "run"
    changed.to_parquet(tmp_path / "clips.parquet", index=False)
    with pytest.raises(ValueError, match=f"the fingerprint {mixed_catalog.fingerprint}"):
        Catalog.load(tmp_path)
    changed.drop(columns="fps").to_parquet(tmp_path / "clips.parquet", index=False)
    with pytest.raises(ValueError, match="columns .*fps"):
        Catalog.load(tmp_path)
    (tmp_path / "clips.parquet").write_bytes(b"PAR1 no table")
    with pytest.raises(ValueError, match="must be whole"):
        Catalog.load(tmp_path)
    (tmp_path / "classes.parquet").unlink()
    mixed_catalog.clips.to_parquet(tmp_path / "clips.parquet", index=False)
    with pytest.raises(FileNotFoundError, match="classes.parquet"):
        Catalog.load(tmp_path)


def test_the_fingerprint_is_of_the_content_only(mixed_catalog):
    def changed(**columns: object) -> Catalog:
        return dataclasses.replace(mixed_catalog, clips=mixed_catalog.clips.assign(**columns))

    moved = dataclasses.replace(changed(path="y"), name="x", root=Path("/elsewhere"))
    assert moved.fingerprint == mixed_catalog.fingerprint
    fewer = dataclasses.replace(mixed_catalog, classes=mixed_catalog.classes.iloc[:-1])
    others = [changed(start_s=0.5), changed(frames=7), changed(status="ok"), changed(end_s=9.0)]
    others += [changed(**{"class": "run"}), fewer, mixed_catalog]
    assert len({catalog.fingerprint for catalog in others}) == 7


def test_ids_stay_unique(tmp_path):
    root = make_dataset(tmp_path, {"a": {"x.mp4": 2, "y.mp4": 2}, "b": {"x.mp4": 2}})
    # x.mp4.avi has another file's name as its stem; y.txt is no video and leaves the id of y.mp4 short
    for name in ("x.avi", "x.mp4.avi", "y.txt"):
        (root / "a" / name).write_text("")
    ids = catalog_dataset("folder", root).clips["id"].tolist()
    assert ids == ["a/x.avi", "a/x.mp4", "a/x.mp4.avi", "a/y", "a/y.txt", "b/x"]


def test_names_that_are_not_utf8(tmp_path):
    root = make_dataset(tmp_path / "data", {"a": {"x.mp4": 2}, "b": {}})
    (root / "b" / os.fsdecode(b"caf\xe9.mp4")).write_text("")
    catalog = catalog_dataset("folder", root)
    assert "got 'caf\\udce9.mp4'" in catalog.excluded["reason"].item()
    catalog.save(tmp_path / "saved")
    (root / os.fsdecode(b"\xe9")).mkdir()
    with pytest.raises(ValueError, match=r"got '\\udce9'"):
        catalog_dataset("folder", root)
    assert shown("a\nb\udcff\u2029\x9b é\u3000") == "a\\nb\\udcff\\u2029\\x9b é\u3000"


def test_bad_folders_give_one_sentence(tmp_path):
    def refused(kind: type[Exception], words: str, folder: Path = tmp_path) -> None:
        with pytest.raises(kind, match=words):
            catalog_dataset("folder", folder)

    refused(FileNotFoundError, "nowhere", tmp_path / "nowhere")
    (tmp_path / "file.mp4").write_text("")
    refused(NotADirectoryError, "file.mp4", tmp_path / "file.mp4")
    refused(ValueError, "at least, got 0")
    (tmp_path / "run").mkdir()
    refused(ValueError, "at least, got 1")
    (tmp_path / "jump").mkdir()
    refused(ValueError, "of 1 files .*it lies beside")
    (tmp_path / "jump" / "a.mp4").write_text("")
    refused(ValueError, r"of 2 files .*empty \(0 bytes\)")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"label,description\nrunning,x\n", "one column 'name'.*label, description"),
        (b"", "one column 'name'"),
        (b"name\nrun\nrun\n", "'run' more than once"),
        (b"name,label\nrun,x\n,y\n", "must name a class, line 3"),
        (b"name,description\nrun,fast, on foot\n", "line 2 .* 2 cells, got 3"),
        (b"name\ncaf\xe9\n", "must be UTF-8"),
        (b'name\n"run\n', "a whole csv table"),
    ],
)
def test_a_bad_classes_csv_gives_one_sentence(tmp_path, content, words):
    make_dataset(tmp_path, {"run": {}, "jump": {}})
    (tmp_path / "classes.csv").write_bytes(content)
    with pytest.raises(ValueError, match=words):
        catalog_dataset("folder", tmp_path)


@pytest.fixture
def root(tmp_path) -> Path:
    return make_dataset(tmp_path / "videos", {"hop": {f"{n}.mp4": 12 + n for n in range(4)}, "run": {}})


@pytest.fixture
def opened(monkeypatch):
    return count_tasks(monkeypatch, catalog_module)


def test_a_file_is_opened_once_and_again_only_when_it_changed(root, opened, tmp_path):
    (root / "run" / "bad.mp4").write_text("no video")
    paths = sorted(path.relative_to(root).as_posix() for path in root.rglob("*.mp4"))
    journal = tmp_path / "work" / "probed.jsonl"
    first = probe_files(root, [*paths, paths[0]], ONE, journal)
    assert opened == dict.fromkeys(["0.mp4", "1.mp4", "2.mp4", "3.mp4", "bad.mp4"], 1) and set(first) == set(
        paths
    )
    size = {"width": 64, "height": 64}
    assert first["hop/2.mp4"] == {"n_frames": 14, "fps": 12.0, "variable_rate": False} | size
    assert "damaged, cut off or no video" in first["run/bad.mp4"]
    opened.clear()
    assert probe_files(root, paths, Limits(), journal) == first and not opened
    (root / "hop" / "1.mp4").write_bytes((root / "hop" / "3.mp4").read_bytes())
    again = probe_files(root, paths, Limits(), journal)
    assert list(opened) == ["1.mp4"] and again["hop/1.mp4"]["n_frames"] == 15


def test_a_line_cut_short_costs_one_file(root, opened, tmp_path):
    paths, journal = [f"hop/{n}.mp4" for n in range(4)], tmp_path / "probed.jsonl"
    probe_files(root, paths, ONE, journal)
    journal.write_bytes(journal.read_bytes()[:-20])
    for n_opened in (1, 0):
        opened.clear()
        assert len(probe_files(root, paths, Limits(), journal)) == 4 and opened.total() == n_opened


def test_a_worker_that_died_is_not_a_lasting_answer(root, tmp_path):
    journal = tmp_path / "probed.jsonl"
    found = probe_files(root, ["hop/0.mp4"], Limits(timeout_s=1e-6), journal)
    assert "took longer than 1e-06 s" in found["hop/0.mp4"]
    assert probe_files(root, ["hop/0.mp4"], Limits(), journal)["hop/0.mp4"]["n_frames"] == 12


def test_bounds_are_held_against_the_video():
    info = {"n_frames": 100, "fps": 10.0, "width": 8, "height": 6, "variable_rate": False}
    found = {"a.mp4": info, "one.mp4": info | {"n_frames": 1}, "bad.mp4": "it is damaged"}
    nan, late = np.nan, "its annotated {} to {} s must lie in its video, which ends at 10.00 s"
    rows = [  # path, bounds, status before and after, bounds after, reason or remark
        ("a.mp4", nan, nan, "", "ok", 0, 10, ""),
        ("a.mp4", 2.0, 5.0, "", "ok", 2, 5, ""),
        ("a.mp4", 2.0, 10.4, "", "ok", 2, 10, "its end was moved from 10.4 to 10.00 s, where the video ends"),
        ("a.mp4", 2.0, 10.6, "", "excluded", 2, 10.6, late.format(2, 10.6)),
        ("a.mp4", 10.0, 10.2, "", "excluded", 10, 10.2, late.format(10, 10.2)),
        ("one.mp4", nan, nan, "", "ok", 0, 0.1, "it has one frame"),
        ("bad.mp4", nan, nan, "", "unreadable", 0, 0, "it is damaged"),
        ("", 1.0, 2.0, "missing", "missing", 1, 2, ""),
    ]
    table = pd.DataFrame([row[:4] for row in rows], columns=["path", "start_s", "end_s", "status"])
    table = table.assign(id=[str(n) for n in range(8)], group="", splits="", reason="").assign(
        **{"class": "x"}
    )
    clips = complete_clips(table.sample(frac=1, random_state=0), found)
    assert list(clips.columns) == CLIP_COLUMNS and clips["id"].tolist() == [str(n) for n in range(8)]
    text = clips["reason"] + clips["remark"]
    got = zip(clips["status"], clips["start_s"], clips["end_s"], text, strict=True)
    assert list(got) == [row[4:] for row in rows] and clips["frames"][6] == 0
