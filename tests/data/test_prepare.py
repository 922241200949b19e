"""zsar_lab.data.prepare and its command: what is there and what is not, for every dataset, and nothing is dropped."""

from __future__ import annotations

import csv
import json
import os
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pandas as pd
import pytest
from official_files import (
    ACTIVITYNET_CLASSES,
    KINETICS_CLASSES,
    write_hmdb51,
    write_kinetics,
    write_stand_ins,
    write_ucf101,
)
from test_video import numbered_frames, numbers_in, write_with

from zsar_lab.cli import main
from zsar_lab.data import catalog as probing
from zsar_lab.data import frames
from zsar_lab.data.catalog import EXCLUDED, Catalog, shown
from zsar_lab.data.datasets import class_list
from zsar_lab.data.prepare import Prepared, Source, make_catalog, prepare, summary
from zsar_lab.data.sampling import FrameSettings
from zsar_lab.data.video import write_mp4
from zsar_lab.data.workers import Limits
from zsar_lab.protocols.build import account
from zsar_lab.protocols.protocol import Protocol
from zsar_lab.protocols.splits import ProtocolData, protocol_named

SETTINGS = FrameSettings(n_frames=4, fps=4.0, size_px=24)
ONE = Limits(workers=1)
pytestmark = pytest.mark.long
CASES = (
    "ucf101",
    "hmdb51",
    "kinetics400",
    "kinetics600",
    "kinetics700",
    "activitynet",
    "activitynet video",
    "folder",
)
KINETICS_EIGHT = [*KINETICS_CLASSES, "yoga", "zumba"]
ACTIVITYNET_EIGHT = [*ACTIVITYNET_CLASSES, "Welding", "Windsurfing", "Wrapping presents", "Zumba"]


def put(path: Path, content: bytes | str) -> None:
    """Write a file in the place of another, which may be a link."""
    path.unlink(missing_ok=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)


@pytest.fixture(scope="module")
def avi(tmp_path_factory) -> bytes:
    return write_with(
        tmp_path_factory.mktemp("stand-in") / "x.avi", "mpeg4", "yuv420p", numbered_frames(10, 64, 64)
    ).read_bytes()


@pytest.fixture(scope="module")
def mp4(tmp_path_factory) -> bytes:
    """Two seconds."""
    path = tmp_path_factory.mktemp("stand-in") / "x.mp4"
    write_mp4(path, numbered_frames(24, 64, 64), fps=12)
    return path.read_bytes()


def make_ucf101(folder: Path, avi: bytes) -> dict[str, int]:
    """Eight of the classes are there; among them are odd lines and odd files."""
    paths = write_ucf101(folder, clips_per_class=3)
    there = paths[:24]
    write_stand_ins(folder / "videos", there, avi)
    archery = folder / "videos" / "Archery"
    put(archery / Path(there[8]).name, b"")
    put(archery / "extra.avi", avi)
    put(archery / "new\nline.avi", avi)
    put(folder / "videos" / "Knitting wool" / "other.avi", avi)
    put(folder / "videos" / "readme.txt", "about")
    os.mkfifo(folder / "videos" / "pipe.avi")
    with open(folder / "ucfTrainTestlist" / "trainlist01.txt", "a", encoding="utf-8") as file:
        file.write(f"{there[1]} 1\n../Archery/v_up.avi 3\n/data/Archery/v_whole.avi 3\n")
    return {"ok": 23, "missing": 279, "unreadable": 3, "excluded": 3, "not listed": 2, "not a video": 1}


def make_hmdb51(folder: Path, avi: bytes) -> dict[str, int]:
    """Two clips of every class are there, so that TruZe fits."""
    taken: Counter = Counter()
    for path in write_hmdb51(folder):
        taken[path.split("/")[0]] += 1
        if taken[path.split("/")[0]] <= 2:
            write_stand_ins(folder / "videos", [path], avi)
    return {"ok": 102, "missing": 6766 - 102}


def make_kinetics(folder: Path, mp4: bytes) -> dict[str, int]:
    """Two clips of zumba are missing, a yoga clip is text, two rows are ruled out, and a video of the unlabelled test table is there."""
    paths = write_kinetics(folder, classes=KINETICS_EIGHT)
    write_stand_ins(folder / "videos", paths[:-2], mp4)
    put(folder / "videos" / paths[-5], "no video")
    video_id, start, end = paths[0].removeprefix("archery/").removesuffix(".mp4").rsplit("_", 2)
    put(folder / "videos" / "archery" / "_0000000004_000028_000038.mp4", mp4)
    with open(folder / "annotations" / "validate.csv", "a", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows(
            [("archery", video_id, int(start), int(end), "validate"), ("yoga", "late", 9, 4, "validate")]
        )
    return {"ok": 29, "missing": 2, "unreadable": 1, "excluded": 2, "not listed": 1}


def make_activitynet(folder: Path, mp4: bytes) -> dict[str, int]:
    """Three videos of two seconds a class; one of the first class has a segment of the second too, and one has no file."""
    database = {}
    for number, label in enumerate(ACTIVITYNET_EIGHT):
        segments = {"a": [(0, 1), (0.5, 1.9)], "b": [(0.2, 2.3), (0.1, 2.8)], "d": [(0, 2)]}
        for letter, bounds in segments.items():
            annotations = [{"segment": list(pair), "label": label} for pair in bounds]
            database[f"-{number}{letter}"] = {
                "duration": 2.0,
                "subset": "training",
                "annotations": annotations,
            }
    database["-0a"]["annotations"].append({"segment": [1.0, 1.5], "label": ACTIVITYNET_EIGHT[1]})
    write_stand_ins(folder / "videos", [f"v_{video}.mp4" for video in [*database, "test"]], mp4)
    database["gone"] = {
        "duration": 2.0,
        "subset": "validation",
        "annotations": [{"segment": [0, 1], "label": ACTIVITYNET_EIGHT[0]}],
    }
    database["test"] = {"duration": 2.0, "subset": "testing", "annotations": []}
    put(folder / "activity_net.v1-3.min.json", json.dumps({"version": "VERSION 1.3", "database": database}))
    return {"ok": 33, "excluded": 8, "missing": 1, "not listed": 1}


def make_folder_of_folders(folder: Path, mp4: bytes) -> dict[str, int]:
    write_stand_ins(
        folder / "videos", [f"class {number}/{clip}.mp4" for number in range(8) for clip in range(3)], mp4
    )
    put(folder / "videos" / "class 0" / "zero.mp4", b"")
    put(folder / "videos" / "class 0" / "notes.txt", "notes")
    put(folder / "videos" / "beside.mp4", mp4)
    os.mkfifo(folder / "videos" / "pipe beside.mp4")
    (folder / "videos" / "class 8").mkdir()
    put(folder / "videos" / "classes.csv", "name,label\nclass 0,waving a hand\n")
    return {"ok": 24, "unreadable": 1, "not a video": 1, "not listed": 2}


@pytest.fixture(scope="module")
def written(tmp_path_factory, avi, mp4) -> dict[str, tuple[Source, dict[str, int]]]:
    """Where each dataset lies, and how many rows of each status its catalog must have."""
    root = tmp_path_factory.mktemp("datasets")
    expected = {"ucf101": make_ucf101(root / "ucf101", avi), "hmdb51": make_hmdb51(root / "hmdb51", avi)}
    expected |= {
        name: make_kinetics(root / name, mp4) for name in ("kinetics400", "kinetics600", "kinetics700")
    }
    expected["activitynet"] = make_activitynet(root / "activitynet", mp4)
    expected["folder"] = make_folder_of_folders(root / "folder", mp4)
    sources = {
        name: Source(name, str(root / name / "videos"), "" if name == "folder" else str(root / name))
        for name in expected
    }
    sources["activitynet video"] = Source(
        "activitynet", str(root / "activitynet" / "videos"), str(root / "activitynet"), unit="video"
    )
    # a whole video is ruled out where it is of two classes
    expected["activitynet video"] = {"ok": 23, "excluded": 1, "missing": 1, "not listed": 1}
    return {name: (sources[name], expected[name]) for name in CASES}


@pytest.fixture(scope="module")
def outs(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("prepared")


@pytest.fixture(scope="module")
def opened(written, outs) -> Counter:
    """How often each video of ActivityNet was opened to catalog its segments; the catalog then lies in `outs`."""
    with pytest.MonkeyPatch.context() as patch:
        names = count_tasks(patch, probing)
        make_catalog(written["activitynet"][0], outs / "activitynet", ONE)
    return names


@pytest.fixture(scope="module")
def prepared(written, outs, opened) -> dict[str, Prepared]:
    """Every dataset prepared; a video of UCF101 is damaged after it was cataloged."""
    make_catalog(written["ucf101"][0], outs / "ucf101", ONE)
    put(min((Path(written["ucf101"][0].videos) / "Basketball").iterdir()), b"damaged since")
    with ThreadPoolExecutor(3) as threads:
        made = threads.map(lambda name: prepare(written[name][0], outs / name, SETTINGS, ONE), CASES)
        return dict(zip(CASES, made, strict=True))


def count_tasks(patch: pytest.MonkeyPatch, module) -> Counter:
    """How often the tasks of a module name each file from now on."""
    names: Counter = Counter()
    run_tasks = module.run_tasks

    def counted(job, tasks, n_tasks, limits):
        def noted():
            for task in tasks:
                names[Path(task["path"]).name] += 1
                yield task

        yield from run_tasks(job, noted(), n_tasks, limits)

    patch.setattr(module, "run_tasks", counted)
    return names


@pytest.mark.parametrize("name", CASES)
def test_every_clip_and_file_is_counted(written, prepared, name):
    (source, expected), catalog = written[name], prepared[name].catalog
    assert catalog.clips["status"].value_counts().to_dict() == expected
    report = catalog.report().set_index("class")
    assert {status: int(report[status.replace(" ", "_")].sum()) for status in expected} == expected
    assert report[
        ["ok", "missing", "unreadable", "excluded", "not_listed", "not_a_video"]
    ].to_numpy().sum() == len(catalog.clips)
    assert (catalog.excluded["reason"] != "").all() and (catalog.usable["reason"] == "").all()
    there = Counter(
        shown(path.relative_to(source.videos).as_posix())
        for path in Path(source.videos).rglob("*")
        if not path.is_dir()
    )
    there.pop("classes.csv", None)
    rows = catalog.clips[catalog.clips["path"] != ""]
    assert set(rows["path"]) == set(there)
    if name != "activitynet":  # where several segments are in a file
        chosen = rows[~((rows["status"] == EXCLUDED) & rows["path"].duplicated(keep=False))]
        assert sorted(chosen["path"]) == sorted(there)


def test_counts_by_class_and_kept_tables(prepared, outs):
    report = pd.read_csv(outs / "ucf101" / "catalog_report.csv").set_index("class")
    pd.testing.assert_frame_equal(report.reset_index(), prepared["ucf101"].catalog.report())
    assert report.loc["Archery", ["ok", "missing", "unreadable", "excluded", "not_listed"]].tolist() == [
        2,
        0,
        2,
        2,
        1,
    ]
    assert (
        report.loc["Basketball", "ok"] == 3
        and report.loc["YoYo", "missing"] == 3
        and report.loc["Archery", "seconds"] == pytest.approx(0.8)
    )
    # a folder that is no class, a pipe and a file beside the class folders
    assert report.loc["(no class of the dataset)", ["unreadable", "not_listed", "not_a_video"]].tolist() == [
        1,
        1,
        1,
    ]
    kinetics = prepared["kinetics400"].catalog.report().set_index("class")
    assert kinetics.loc["zumba", ["ok", "missing"]].tolist() == [2, 2]
    assert kinetics.loc["yoga", ["ok", "unreadable", "excluded"]].tolist() == [3, 1, 1]
    assert prepared["folder"].catalog.empty_classes == ["class 8"]


@pytest.mark.parametrize("name", CASES)
def test_bad_clips_are_all_that_have_no_frames(prepared, outs, name):
    made = prepared[name]
    bad = made.bad_clips
    assert (
        list(bad.columns) == ["id", "path", "class", "status", "reason"]
        and bad["id"].is_unique
        and bad["id"].is_monotonic_increasing
    )
    assert set(bad["id"]) | set(made.frames.ids) == set(made.catalog.clips["id"]) and not set(
        bad["id"]
    ) & set(made.frames.ids)
    assert (bad["reason"] != "").all() and not bad["reason"].str.contains("\n").any()
    kept = pd.read_csv(outs / name / "bad_clips.csv", keep_default_na=False)
    assert kept["id"].tolist() == bad["id"].tolist() and kept["reason"].tolist() == bad["reason"].tolist()
    undecodable = bad[bad["status"] == "undecodable"]
    assert len(undecodable) == (name == "ucf101")
    assert (
        undecodable["reason"]
        .str.contains("could not be decoded .* the file is damaged, cut off or no video")
        .all()
    )
    said = summary(made)
    n_ok, n_bad = len(made.catalog.usable), len(undecodable)
    assert (
        f"{made.catalog.name}: {n_ok:,} usable clips of {len(made.catalog.classes) - len(made.catalog.empty_classes)} classes; "
        in said
    )
    assert (
        f"Frames: {n_ok - n_bad:,} clips of 4 frames, 24 x 24 pixels, raw, " in said
        and f"{n_bad} clips could be opened but not decoded" in said
    )


def test_what_an_annotation_methods_out_says_why(prepared):
    reasons = prepared["ucf101"].catalog.excluded.set_index("id")["reason"]
    assert "a path must stay below the dataset's folder, got '../Archery/v_up.avi'" in reasons["Archery/v_up"]
    assert (
        "a path must be relative to the dataset's folder, got '/data/Archery/v_whole.avi'"
        in reasons["Archery/v_whole"]
    )
    assert reasons[[id for id in reasons.index if id.endswith("(listed again)")]].str.contains(
        "lists it again as train"
    ).tolist() == [True]
    assert "a file name must be UTF-8 without control characters" in reasons["Archery/new\\nline.avi"]
    assert (
        reasons["pipe.avi"] == "it is no regular file"
        and "no annotation of ucf101 names it with a class" in reasons["Archery/extra.avi"]
    )
    kinetics = prepared["kinetics600"].catalog.excluded["reason"]
    assert (
        kinetics.str.contains("a clip must start at 0 s or later and end after its start, got 9 to 4 s").sum()
        == 1
    )
    assert kinetics.str.contains("lists it again").sum() == 1


def test_segments_of_activitynet_are_held_against_their_video(prepared, opened):
    clips = prepared["activitynet"].catalog.clips
    late = clips[clips["status"] == EXCLUDED]
    assert len(late) == 8 and set(late["reason"]) == {
        "its annotated 0.1 to 2.8 s must lie in its video, which ends at 2.00 s"
    }
    moved = clips[clips["remark"] != ""]
    assert len(moved) == 8 and set(moved["remark"]) == {
        "its end was moved from 2.3 to 2.00 s, where the video ends"
    }
    assert set(moved["status"]) == {"ok"} and set(moved["end_s"]) == {2.0} and set(moved["start_s"]) == {0.2}
    # several segments a file, and no file but theirs is opened
    assert len(opened) == 24 and set(opened.values()) == {1}
    of_two = clips[clips["path"] == "v_-0a.mp4"]
    assert (
        sorted(of_two["class"]) == [*[ACTIVITYNET_EIGHT[0]] * 2, ACTIVITYNET_EIGHT[1]]
        and of_two["group"].nunique() == 1
    )
    whole = prepared["activitynet video"].catalog
    assert (
        whole.name == "activitynet, videos"
        and prepared["activitynet"].catalog.name == "activitynet, segments"
    )
    assert set(whole.usable["end_s"]) == {2.0} and set(whole.usable["start_s"]) == {0.0}


def test_a_segment_shows_its_own_frames(prepared):
    frames_of = prepared["activitynet"].frames
    clips = prepared["activitynet"].catalog.usable.set_index("id")
    for clip_id in ("Archery/-0a#0", "Archery/-0a#1"):
        start, end = clips.loc[clip_id, ["start_s", "end_s"]]
        span = min(end - start, 1.0)
        instants = [(start + end) / 2 - span / 2 + span * (2 * k + 1) / 8 for k in range(4)]
        wanted = [int(t * 12 + 1e-6) for t in instants]
        assert numbers_in(frames_of.frames[frames_of.rows([clip_id])[0]]) == wanted


@pytest.mark.parametrize("name", [name for name in CASES if name != "folder"])
def test_labels_are_those_of_the_shipped_class_list(prepared, name):
    classes, dataset = prepared[name].catalog.classes, name.removesuffix(" video")
    shipped = class_list(dataset).set_index("name")["label"]
    assert {row["name"]: row["label"] for row in classes.to_dict("records")} == {
        label: shipped.get(label, "") for label in classes["name"]
    }
    assert (classes["label"] != "").sum() >= 4 and classes["name"].is_monotonic_increasing


def test_a_folder_is_described_by_its_classes_csv(prepared):
    labels = prepared["folder"].catalog.classes.set_index("name")["label"]
    assert labels["class 0"] == "waving a hand" and set(labels.drop("class 0")) == {""}


def decoded(made: Prepared) -> pd.DataFrame:
    return made.catalog.usable[made.catalog.usable["id"].isin(made.frames.ids)]


def check_account(protocol: Protocol, *catalogs: Catalog) -> pd.DataFrame:
    """Nothing is dropped unsaid: every row of the catalogs is in a list of the protocol, or left out with a reason."""
    accounted = account(protocol, *[catalog.clips for catalog in catalogs])
    assert accounted["id"].tolist() == [clip for catalog in catalogs for clip in catalog.clips["id"]]
    for role, clips in protocol.roles.items():
        assert set(accounted["id"][accounted["role"] == role]) == set(clips) and clips
    left_out = accounted["role"] == "left out"
    assert (accounted["reason"][left_out] != "").all() and (accounted["reason"][~left_out] == "").all()
    return accounted


@pytest.mark.parametrize(
    ("name", "split"),
    [
        ("ucf101", "intra-0"),
        ("kinetics700", "intra-0"),
        ("activitynet", "intra-0"),
        ("activitynet video", "intra-0"),
        ("folder", "random-1"),
        ("hmdb51", "truze"),
    ],
)
def test_no_clip_is_dropped_unsaid_within_a_dataset(prepared, name, split):
    made = prepared[name]
    data = ProtocolData(decoded(made), made.catalog.classes, made.catalog.name)
    protocol = protocol_named(split, data)
    accounted = check_account(protocol, made.catalog).set_index("id")
    usable = made.catalog.usable
    assert set(usable["id"][usable["class"].isin(protocol.unseen)]) - set(made.frames.excluded["id"]) == set(
        protocol.test_clips
    )
    assert set(made.catalog.excluded["id"]) <= set(accounted.index[accounted["role"] == "left out"])
    if split == "truze":
        assert len(protocol.unseen) == 22 and len(protocol.test_clips) == 44
    if name == "activitynet":  # the segments of a video are never on both sides
        group = usable.set_index("id")["group"]
        assert not set(group[list(protocol.train_clips)]) & set(
            group[[*protocol.test_clips, *protocol.seen_test_clips, *protocol.validation_clips]]
        )


@pytest.mark.parametrize("test", ["hmdb51", "activitynet"])
def test_no_clip_is_dropped_unsaid_across_datasets(prepared, test):
    train, test = prepared["kinetics400"], prepared[test]
    data = ProtocolData(decoded(test), test.catalog.classes, "test", decoded(train), "train")
    protocol = protocol_named("half-0", data, removed=["archery"], removed_rule="a method")
    accounted = check_account(protocol, train.catalog, test.catalog)
    assert protocol.removed == ("archery",) and "archery" not in protocol.seen + protocol.validation
    n_test = len(test.catalog.classes) // 2
    assert len(protocol.unseen) == n_test and set(protocol.unseen) <= set(test.catalog.classes["name"])
    reasons = accounted[accounted["class"] == "archery"].drop_duplicates("reason").set_index("reason")["role"]
    assert reasons["its class was removed by a method"] == "left out"
    # the official val list of the training data is what is held out
    splits = train.catalog.usable.set_index("id")["splits"]
    assert set(splits[list(protocol.train_clips)]) == {"train"} and set(
        splits[list(protocol.seen_test_clips)]
    ) == {"val"}


def test_a_second_call_makes_nothing(written, prepared, outs, monkeypatch):
    opened, stored = count_tasks(monkeypatch, probing), count_tasks(monkeypatch, frames)
    for name in ("activitynet", "folder"):
        texts = {path.name: path.read_bytes() for path in (outs / name).glob("*.csv")}
        times = {
            path: path.stat().st_mtime_ns
            for path in (outs / name).rglob("*")
            if path.is_file() and path.suffix != ".csv"
        }
        again = prepare(written[name][0], outs / name, SETTINGS, ONE)
        assert (
            again.catalog.fingerprint == prepared[name].catalog.fingerprint
            and again.frames.ids == prepared[name].frames.ids
        )
        assert {path: path.stat().st_mtime_ns for path in times} == times and len(times) >= 8
        assert {path.name: path.read_bytes() for path in (outs / name).glob("*.csv")} == texts
    assert not opened and not stored


@pytest.mark.parametrize("key", ["dataset", "videos", "annotations", "unit"])
def test_the_clips_of_another_source_are_refused_and_kept(written, prepared, outs, key, tmp_path):
    source = written["activitynet"][0]
    others = {
        "dataset": Source("kinetics400", source.videos, source.annotations),
        "videos": Source("activitynet", str(tmp_path), source.annotations),
        "annotations": Source("activitynet", source.videos, str(tmp_path)),
        "unit": Source("activitynet", source.videos, source.annotations, unit="video"),
    }
    kept, asked = source.inputs[key], others[key].inputs[key]
    with pytest.raises(
        ValueError,
        match=rf"holds clips with {key} '{kept}', got '{asked}'; choose another folder, or delete it",
    ):
        prepare(others[key], outs / "activitynet", SETTINGS, ONE)
    assert len(Catalog.load(outs / "activitynet" / "catalog").clips) == len(
        prepared["activitynet"].catalog.clips
    )


def test_a_foreign_source_file_is_refused(written, tmp_path):
    (tmp_path / "source.json").write_text('{"videos": "x"}')
    with pytest.raises(
        ValueError,
        match=r"source.json' must name a source of this version of the library, got \{'videos': 'x'\}; choose",
    ):
        make_catalog(written["folder"][0], tmp_path)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ("imagenet", "x"),
            "dataset must be one of folder, ucf101, .*activitynet, got 'imagenet'; 'folder' is any folder of class folders",
        ),
        (("folder", "x", "lists"), "the dataset 'folder' has no annotation files, got annotations 'lists'"),
        (
            ("hmdb51", "x"),
            "the dataset 'hmdb51' needs the folder of its official annotation files, got annotations ''",
        ),
        (("activitynet", "x", "y", "clip"), "unit must be 'segment' or 'video', got 'clip'"),
    ],
)
def test_an_impossible_source_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        Source(*arguments)


def test_frames_of_other_settings_are_refused(written, prepared, outs):
    with pytest.raises(
        ValueError,
        match="has size_px 24, asked for is size_px 32; ask for what is there, or choose another folder",
    ):
        prepare(written["folder"][0], outs / "folder", FrameSettings(4, 4.0, 32), ONE)


def command(*arguments: object) -> int:
    small = ("--frames", 4, "--fps", 4, "--size", 24, "--workers", 1)
    return main(["prepare", *map(str, arguments), *map(str, small)])


def test_the_command_says_what_is_there(written, outs, prepared, capsys):
    source = written["kinetics400"][0]
    assert (
        command(
            "kinetics400",
            "--videos",
            source.videos,
            "--annotations",
            source.annotations,
            "--out",
            outs / "kinetics400",
        )
        == 0
    )
    said = capsys.readouterr().out
    assert (
        "kinetics400: 29 usable clips of 8 classes; 2 excluded, 2 missing, 1 not listed, 1 unreadable."
        in said
    )
    assert "8 clips without a class" in said  # those of the test table
    assert "Memory: at most 1 x 2000 MB for decoding" in said and "bad_clips.csv" in said
    assert (outs / "kinetics400" / "catalog_report.html").stat().st_size > 1000
