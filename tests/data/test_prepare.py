"""zsar_lab.data.prepare and its command: what is there and what is not; mistakes of the caller."""

from __future__ import annotations

import dataclasses
import re
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pandas as pd
import pytest
from numbered_videos import ONE, count_tasks, make_dataset, numbered_frames, numbers_in, write_with
from odd_datasets import (
    ACTIVITYNET_EIGHT,
    make_activitynet,
    make_folder_of_folders,
    make_hmdb51,
    make_kinetics,
    make_ucf101,
    put,
)

from zsar_lab.cli import main
from zsar_lab.data import catalog as catalog_module
from zsar_lab.data import frames
from zsar_lab.data.catalog import EXCLUDED, Catalog, shown
from zsar_lab.data.datasets import class_list
from zsar_lab.data.prepare import Prepared, Source, make_catalog, prepare, summary
from zsar_lab.data.sampling import FrameSettings
from zsar_lab.data.video import write_mp4
from zsar_lab.protocols.build import account
from zsar_lab.protocols.protocol import Protocol
from zsar_lab.protocols.splits import ProtocolData, protocol_named

SETTINGS = FrameSettings(n_frames=4, fps=4.0, size_px=24)
pytestmark = pytest.mark.long
KINETICS = ("kinetics400", "kinetics600", "kinetics700")
CASES = ("ucf101", "hmdb51", *KINETICS, "activitynet", "activitynet video", "folder")


@pytest.fixture(scope="module")
def stand_ins(tmp_path_factory) -> tuple[bytes, bytes]:
    """An avi file, and an mp4 file of two seconds."""
    folder = tmp_path_factory.mktemp("stand-in")
    write_with(folder / "x.avi", "mpeg4", "yuv420p", numbered_frames(10, 64, 64))
    write_mp4(folder / "x.mp4", numbered_frames(24, 64, 64), fps=12)
    return (folder / "x.avi").read_bytes(), (folder / "x.mp4").read_bytes()


@pytest.fixture(scope="module")
def written(tmp_path_factory, stand_ins) -> dict[str, tuple[Source, dict[str, int]]]:
    """Where each dataset lies, and how many rows of each status its catalog must have."""
    root, (avi, mp4) = tmp_path_factory.mktemp("datasets"), stand_ins
    makers = {"ucf101": make_ucf101, "hmdb51": make_hmdb51, **dict.fromkeys(KINETICS, make_kinetics)}
    makers |= {"activitynet": make_activitynet, "folder": make_folder_of_folders}
    expected = {name: make(root / name, avi if "1" in name else mp4) for name, make in makers.items()}
    # a whole video is ruled out where it is of two classes
    expected["activitynet video"] = {"ok": 23, "excluded": 1, "missing": 1, "not listed": 1}
    found = {}
    for case in CASES:
        name, unit = (case.split() + ["segment"])[:2]
        lists = "" if name == "folder" else str(root / name)
        found[case] = Source(name, str(root / name / "videos"), lists, unit), expected[case]
    return found


@pytest.fixture(scope="module")
def outs(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("prepared")


@pytest.fixture(scope="module")
def opened(written, outs) -> Counter:
    """How often each video of ActivityNet was opened to catalog its segments, which is in `outs` then."""
    with pytest.MonkeyPatch.context() as patch:
        names = count_tasks(patch, catalog_module)
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


@pytest.mark.parametrize("name", CASES)
def test_every_clip_and_file_is_counted(written, prepared, name):
    (source, expected), catalog = written[name], prepared[name].catalog
    assert catalog.clips["status"].value_counts().to_dict() == expected
    report = catalog.report().drop(columns=["class", "seconds"])
    assert {status: report[status.replace(" ", "_")].sum() for status in expected} == expected
    assert report.to_numpy().sum() == len(catalog.clips)
    assert (catalog.excluded["reason"] != "").all() and (catalog.usable["reason"] == "").all()
    files = (path for path in Path(source.videos).rglob("*") if not path.is_dir())
    there = {shown(path.relative_to(source.videos).as_posix()) for path in files} - {"classes.csv"}
    rows = catalog.clips[catalog.clips["path"] != ""]
    assert set(rows["path"]) == there
    if name != "activitynet":  # where several segments are in a file
        chosen = rows[~((rows["status"] == EXCLUDED) & rows["path"].duplicated(keep=False))]
        assert sorted(chosen["path"]) == sorted(there)


def test_counts_by_class_and_saved_tables(prepared, outs):
    report = pd.read_csv(outs / "ucf101" / "catalog_report.csv").set_index("class")
    pd.testing.assert_frame_equal(report.reset_index(), prepared["ucf101"].catalog.report())
    archery = report.loc["Archery", ["ok", "missing", "unreadable", "excluded", "not_listed"]]
    assert archery.tolist() == [2, 0, 2, 2, 1] and report.loc["Archery", "seconds"] == pytest.approx(0.8)
    assert report.loc["Basketball", "ok"] == 3 and report.loc["YoYo", "missing"] == 3
    # a folder that is no class, a pipe and a file beside the class folders
    of_none = report.loc["(no class of the dataset)", ["unreadable", "not_listed", "not_a_video"]]
    assert of_none.tolist() == [1, 1, 1]
    kinetics = prepared["kinetics400"].catalog.report().set_index("class")
    assert kinetics.loc["zumba", ["ok", "missing"]].tolist() == [2, 2]
    assert kinetics.loc["yoga", ["ok", "unreadable", "excluded"]].tolist() == [3, 1, 1]
    assert prepared["folder"].catalog.empty_classes == ["class 8"]


@pytest.mark.parametrize("name", CASES)
def test_bad_clips_are_all_that_have_no_frames(prepared, outs, name):
    made, catalog = prepared[name], prepared[name].catalog
    bad = made.bad_clips
    assert list(bad.columns) == ["id", "path", "class", "status", "reason"]
    assert bad["id"].tolist() == sorted(set(catalog.clips["id"]) - set(made.frames.ids))
    assert (bad["reason"] != "").all() and not bad["reason"].str.contains("\n").any()
    saved = pd.read_csv(outs / name / "bad_clips.csv", keep_default_na=False)
    assert saved[["id", "reason"]].equals(bad[["id", "reason"]])
    undecodable = bad["reason"][bad["status"] == "undecodable"]
    assert len(undecodable) == (name == "ucf101") and undecodable.str.contains("could not be decoded").all()
    said, n_ok, n_bad = summary(made), len(catalog.usable), len(undecodable)
    n_classes = len(catalog.classes) - len(catalog.empty_classes)
    assert f"{catalog.name}: {n_ok:,} usable clips of {n_classes} classes; " in said
    assert f"Frames: {n_ok - n_bad:,} clips of 4 frames, 24 x 24 pixels, raw, " in said
    assert f"{n_bad} clips could be opened but not decoded" in said


def test_segments_of_activitynet_are_held_against_their_video(prepared, opened):
    clips = prepared["activitynet"].catalog.clips
    late, moved = clips[clips["status"] == EXCLUDED], clips[clips["remark"] != ""]
    assert len(late) == len(moved) == 8
    assert set(late["reason"]) == {"its annotated 0.1 to 2.8 s must lie in its video, which ends at 2.00 s"}
    assert set(moved["remark"]) == {"its end was moved from 2.3 to 2.00 s, where the video ends"}
    assert set(moved["status"]) == {"ok"} and set(moved["end_s"]) == {2.0} and set(moved["start_s"]) == {0.2}
    # several segments a file, and no file but theirs is opened
    assert len(opened) == 24 and set(opened.values()) == {1}
    of_two = clips[clips["path"] == "v_-0a.mp4"]
    assert sorted(of_two["class"]) == [*[ACTIVITYNET_EIGHT[0]] * 2, ACTIVITYNET_EIGHT[1]]
    whole = prepared["activitynet video"].catalog
    assert of_two["group"].nunique() == 1 and whole.name == "activitynet, videos"
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
    shipped = class_list(dataset).set_index("name")["label"].reindex(classes["name"]).fillna("")
    assert classes["label"].tolist() == shipped.tolist() and (classes["label"] != "").sum() >= 4
    assert classes["name"].is_monotonic_increasing


def test_a_folder_is_described_by_its_classes_csv(prepared):
    labels = prepared["folder"].catalog.classes.set_index("name")["label"]
    assert labels["class 0"] == "waving a hand" and set(labels.drop("class 0")) == {""}


def decoded(made: Prepared) -> pd.DataFrame:
    return made.catalog.usable[made.catalog.usable["id"].isin(made.frames.ids)]


def check_account(protocol: Protocol, *catalogs: Catalog) -> pd.DataFrame:
    """Every row of the catalogs is in a list of the protocol, or left out with a reason."""
    accounted = account(protocol, *[catalog.clips for catalog in catalogs])
    assert accounted["id"].tolist() == [clip for catalog in catalogs for clip in catalog.clips["id"]]
    for role, clips in protocol.roles.items():
        assert set(accounted["id"][accounted["role"] == role]) == set(clips) and clips
    left_out = accounted["role"] == "left out"
    assert (accounted["reason"][left_out] != "").all() and (accounted["reason"][~left_out] == "").all()
    return accounted


INTRA = ("ucf101", "kinetics700", "activitynet", "activitynet video")


@pytest.mark.parametrize(
    ("name", "split"), [*((name, "intra-0") for name in INTRA), ("folder", "random-1"), ("hmdb51", "truze")]
)
def test_no_clip_is_dropped_unsaid_within_a_dataset(prepared, name, split):
    made = prepared[name]
    data = ProtocolData(decoded(made), made.catalog.classes, made.catalog.name)
    protocol = protocol_named(split, data)
    accounted = check_account(protocol, made.catalog).set_index("id")
    usable = made.catalog.usable
    unseen = set(usable["id"][usable["class"].isin(protocol.unseen)]) - set(made.frames.excluded["id"])
    assert unseen == set(protocol.test_clips)
    assert set(made.catalog.excluded["id"]) <= set(accounted.index[accounted["role"] == "left out"])
    if split == "truze":
        assert len(protocol.unseen) == 22 and len(protocol.test_clips) == 44
    if name == "activitynet":  # the segments of a video are never on both sides
        group = usable.set_index("id")["group"]
        others = [*protocol.test_clips, *protocol.seen_test_clips, *protocol.validation_clips]
        assert not set(group[list(protocol.train_clips)]) & set(group[others])


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
    opened, stored = count_tasks(monkeypatch, catalog_module), count_tasks(monkeypatch, frames)
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
    changed = {"dataset": "kinetics400", "unit": "video"}.get(key, str(tmp_path))
    other = dataclasses.replace(source, **{key: changed})
    with pytest.raises(
        ValueError, match=f"clips with {key} '{source.inputs[key]}', got '{other.inputs[key]}'"
    ):
        prepare(other, outs / "activitynet", SETTINGS, ONE)
    n_clips = len(prepared["activitynet"].catalog.clips)
    assert len(Catalog.load(outs / "activitynet" / "catalog").clips) == n_clips


@pytest.mark.parametrize("content", ['{"videos": "x"}', "[1]", "{"])
def test_a_foreign_source_file_is_refused(written, tmp_path, content):
    (tmp_path / "source.json").write_text(content)
    with pytest.raises(ValueError, match="source.json"):
        make_catalog(written["folder"][0], tmp_path)


@pytest.mark.parametrize(
    ("arguments", "got"),
    [
        (("imagenet", "x"), "folder, ucf101, .*activitynet.*, got 'imagenet'"),
        (("folder", "x", "lists"), "'folder' has no .* got annotations 'lists'"),
        (("hmdb51", "x"), "'hmdb51' needs .* got annotations ''"),
        (("activitynet", "x", "y", "clip"), "unit .* got 'clip'"),
    ],
)
def test_an_impossible_source_is_refused(arguments, got):
    with pytest.raises(ValueError, match=got):
        Source(*arguments)


def test_an_output_folder_among_the_videos_or_not_to_be_written_is_refused(written, tmp_path):
    source = written["folder"][0]
    with pytest.raises(ValueError, match="class 0/out' is in"):
        make_catalog(source, Path(source.videos) / "class 0" / "out", ONE)
    (tmp_path / "file").write_text("in the way")
    for place in (tmp_path / "file" / "out", Path("/proc/zsar_lab")):
        with pytest.raises(PermissionError, match=str(place)):
            prepare(source, place, SETTINGS, ONE)


def test_a_prepared_folder_that_holds_its_videos_can_be_moved(tmp_path):
    here, there = tmp_path / "here", tmp_path / "there"
    make_dataset(here / "videos", {"hop": {"a.mp4": 12}, "run": {"b.mp4": 12}})
    before = make_catalog(Source("folder", str(here / "videos")), here)
    here.rename(there)
    moved = make_catalog(Source("folder", str(there / "videos")), there)
    assert moved.root == there / "videos" and moved.fingerprint == before.fingerprint
    with pytest.raises(ValueError, match="videos '.*there/videos', got '.*six'"):
        make_catalog(Source("folder", str(tmp_path / "six")), there)


def command(*arguments: object) -> int:
    small = ("--frames", 4, "--fps", 4, "--size", 24, "--workers", 1)
    return main(["prepare", *map(str, arguments), *map(str, small)])


def test_the_command_says_what_is_there(written, outs, prepared, capsys):
    source, out = written["kinetics400"][0], outs / "kinetics400"
    folders = ("--videos", source.videos, "--annotations", source.annotations, "--out", out)
    assert command("kinetics400", *folders) == 0
    said = capsys.readouterr().out
    assert "29 usable clips of 8 classes; 2 excluded, 2 missing, 1 not listed, 1 unreadable." in said
    assert "8 clips without a class" in said  # those of the test table
    assert "Memory: at most 1 x 2000 MB for decoding" in said and "bad_clips.csv" in said
    assert (out / "catalog_report.html").stat().st_size > 1000


def test_a_mistake_ends_in_one_sentence_and_status_2(written, tmp_path, capsys):
    (tmp_path / "given").mkdir()
    videos, lists = written["ucf101"][0].videos, written["hmdb51"][0].annotations
    for dataset, folders, words in (
        ("ucf101", (videos, lists), "it looks like the annotations of HMDB51"),
        ("ucf101", (tmp_path / "no", written["ucf101"][0].annotations), "there is no folder '.*no'"),
    ):
        given = ("--videos", folders[0], "--annotations", folders[1])
        assert command(dataset, *given, "--out", tmp_path / "out") == 2
        said = capsys.readouterr().err.strip()
        assert len(said.splitlines()) == 1 and re.search(words, said), said
        assert not (tmp_path / "out" / "source.json").exists()
