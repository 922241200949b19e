"""zsar_lab.data.datasets: official annotation files read to the last line, and their traps."""

from __future__ import annotations

import json
import os
import re
import shutil
from pathlib import Path

import pandas as pd
import pytest
from official_files import (
    ACTIVITYNET_CLASSES,
    HMDB51_CLASSES,
    KINETICS_CLASSES,
    UCF101_CLASSES,
    UCF101_TEST_COUNTS,
    write_activitynet,
    write_hmdb51,
    write_kinetics,
    write_ucf101,
)

from zsar_lab.data.catalog import shown
from zsar_lab.data.datasets.annotations import video_stem

ANNOTATION_COLUMNS = ["id", "class", "group", "splits", "start_s", "end_s", "stems", "reason"]
FOUND_COLUMNS = [*ANNOTATION_COLUMNS, "path", "status"]
from zsar_lab.data.datasets import read_annotations
from zsar_lab.data.datasets.layout import match_videos

WRITERS = {
    "ucf101": write_ucf101,
    "hmdb51": write_hmdb51,
    "kinetics400": write_kinetics,
    "activitynet": write_activitynet,
}
SHOWN = {"ucf101": "UCF101", "hmdb51": "HMDB51", "kinetics400": "Kinetics", "activitynet": "ActivityNet"}


@pytest.fixture(scope="module")
def official(tmp_path_factory) -> Path:
    """Each dataset in a folder of its name: annotations, and a stand-in for every video."""
    root = tmp_path_factory.mktemp("official")
    for name, write in WRITERS.items():
        write(root / name, video=b"stand-in")
    return root


@pytest.fixture(scope="module")
def read(official) -> dict:
    return {name: read_annotations(name, official / name) for name in WRITERS}


def replace(path: Path, old: str, new: str) -> None:
    """Replace the first `old` in a file; it must be there."""
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8", newline="")


def write_small(name: str, folder: Path) -> None:
    if name == "hmdb51":
        for split in (1, 2, 3):
            (folder / f"run_test_split{split}.txt").write_text("a.avi 1 \nb.avi 2 \n")
    else:
        WRITERS[name](folder, **({"clips_per_class": 3} if name == "ucf101" else {}))


def row_of(table: pd.DataFrame, clip_id: str) -> pd.Series:
    (row,) = (row for _, row in table[table["id"] == clip_id].iterrows())
    return row


def check_nothing_dropped(found: pd.DataFrame, annotations, videos: Path) -> None:
    """Every annotated clip and every visible file is in the table, a file as some row's path; the ids are unique."""
    assert (
        list(found.columns) == FOUND_COLUMNS
        and found["id"].is_unique
        and found["id"].tolist() == sorted(found["id"])
    )
    assert set(annotations.clips["id"]) <= set(found["id"])
    on_disk = set()
    for folder, inner, names in os.walk(videos, followlinks=True):
        inner[:] = [name for name in inner if not name.startswith(".")]
        on_disk |= {
            shown(os.path.relpath(os.path.join(folder, name), videos))
            for name in names
            if not name.startswith(".")
        }
    assert set(found["path"]) - {""} == on_disk
    matched = set(found["path"][found["id"].isin(annotations.clips["id"])]) - {""}
    assert len(found) == len(annotations.clips) + len(on_disk - matched)
    assert set(found["status"]) <= {"", "missing", "excluded", "not listed", "not a video", "unreadable"}
    assert ((found["status"] == "") == (found["reason"] == "")).all() and (found["class"] != "").all()
    assert not found["reason"].str.contains("\n").any()


# --- the official counts and forms


def test_ucf101_has_its_official_counts(read, official):
    ucf = read["ucf101"]
    assert (
        len(ucf.clips) == 13320
        and ucf.classes["name"].tolist() == sorted(UCF101_CLASSES)
        and len(ucf.classes) == 101
    )
    parts = ucf.clips["splits"].str.split(" ", expand=True)
    for split, (n_train, n_test) in enumerate([(9537, 3783), (9586, 3734), (9624, 3696)]):
        assert parts[split].value_counts().to_dict() == {"train": n_train, "test": n_test}
        # a second way: the lines of the list
        assert (
            len((official / f"ucf101/ucfTrainTestlist/trainlist0{split + 1}.txt").read_text().split("\n")) - 1
            == n_train
        )
        assert UCF101_TEST_COUNTS[split] == n_test
    assert (ucf.clips["reason"] == "").all() and ucf.unlabelled == 0 and ucf.unit == "clip"
    assert (
        ucf.clips["group"].nunique() == 101 * 25
        and ucf.clips["start_s"].isna().all()
        and ucf.clips["end_s"].isna().all()
    )


def test_ucf101_keeps_the_official_order_of_its_classes(read, official):
    lines = (official / "ucf101" / "ucfTrainTestlist" / "classInd.txt").read_text().split()
    by_id = read["ucf101"].classes.sort_values("official_id")
    assert by_id["official_id"].tolist() == list(range(1, 102)) and by_id["name"].tolist() == lines[1::2]


def test_hmdb51_has_its_official_counts(read):
    hmdb = read["hmdb51"]
    assert (
        len(hmdb.clips) == 6766
        and hmdb.classes["name"].tolist() == sorted(HMDB51_CLASSES)
        and len(hmdb.classes) == 51
    )
    parts = hmdb.clips["splits"].str.split(" ", expand=True)
    for split in range(3):
        assert parts[split].value_counts().to_dict() == {"train": 3570, "test": 1530, "unused": 1666}
        by_class = pd.crosstab(hmdb.clips["class"], parts[split])
        assert (by_class["train"] == 70).all() and (by_class["test"] == 30).all()
    assert (hmdb.clips["group"] == "").all() and (hmdb.clips["reason"] == "").all()


def test_ucf101_reads_as_a_plain_loop_over_its_lines_does(read, official):
    expected: dict[str, list[str]] = {}
    for split in range(3):
        for part in ("train", "test"):
            for line in (
                (official / f"ucf101/ucfTrainTestlist/{part}list0{split + 1}.txt").read_text().splitlines()
            ):
                expected.setdefault(line.split()[0].replace(".avi", ""), ["unused"] * 3)[split] = part
    clips = read["ucf101"].clips
    assert dict(zip(clips["id"], clips["splits"], strict=True)) == {
        name: " ".join(parts) for name, parts in expected.items()
    }


def test_the_class_of_a_handstand_push_up_is_its_folder(read):
    clip = row_of(read["ucf101"].clips, "HandstandPushups/v_HandStandPushups_g08_c01")
    assert (clip["class"], clip["group"], clip["splits"], clip["stems"]) == (
        "HandstandPushups",
        "HandstandPushups/g08",
        "train test train",
        ["v_HandStandPushups_g08_c01"],
    )


def test_kinetics_has_clips_by_their_header_and_counts_those_without_a_label(read):
    kinetics = read["kinetics400"]
    assert (
        kinetics.classes["name"].tolist() == sorted(KINETICS_CLASSES)
        and len(kinetics.clips) == 24
        and kinetics.unlabelled == 6
    )
    assert kinetics.clips["splits"].value_counts().to_dict() == {"train": 18, "val": 6}
    clip = row_of(kinetics.clips, "singing, humming/-0004000000_000000_000010")
    assert (clip["group"], clip["stems"]) == ("youtube:-0004000000", ["-0004000000_000000_000010"])


def test_activitynet_has_segments_or_whole_videos(read, official):
    segments, videos = (
        read["activitynet"],
        read_annotations("activitynet", official / "activitynet", unit="video"),
    )
    assert (segments.unit, videos.unit) == (
        "segment",
        "video",
    ) and segments.unlabelled == videos.unlabelled == 4
    assert (
        len(segments.clips) == 44
        and len(videos.clips) == 20
        and segments.classes["name"].tolist() == ACTIVITYNET_CLASSES
    )
    segment = row_of(segments.clips, "Clean and jerk/-a0b0000000#2")
    assert (segment["start_s"], segment["end_s"], segment["group"], segment["splits"]) == (
        45.5,
        60.25,
        "youtube:-a0b0000000",
        "train",
    )
    assert segment["stems"] == ["v_-a0b0000000", "-a0b0000000"] and (segments.clips["reason"] == "").all()
    video = row_of(videos.clips, "Archery/-a0b0000000")
    assert video[
        "reason"
    ] == "a whole video must be of one class, got 2: Archery, Clean and jerk" and pd.isna(video["start_s"])
    assert (videos.clips["reason"] != "").sum() == 4 and videos.clips["splits"].value_counts().to_dict() == {
        "train": 12,
        "val": 8,
    }


@pytest.mark.parametrize("name", WRITERS)
def test_tables_have_their_columns_and_unique_sorted_ids(read, name):
    annotations = read[name]
    assert (
        annotations.dataset.name == name
        and list(annotations.clips.columns) == ANNOTATION_COLUMNS
        and list(annotations.classes.columns) == ["name"] + ["official_id"] * (name == "ucf101")
    )
    assert annotations.clips["id"].is_unique and annotations.clips["id"].tolist() == sorted(
        annotations.clips["id"]
    )
    assert set(annotations.clips["class"]) <= set(annotations.classes["name"])
    assert list(annotations.clips.index) == list(range(len(annotations.clips)))


@pytest.mark.parametrize("name", WRITERS)
def test_every_official_video_is_found_as_the_dataset_lays_it_out(read, official, name):
    found = match_videos(read[name], official / name / "videos")
    assert (found["status"] == "").all() and len(found) == len(read[name].clips)
    check_nothing_dropped(found, read[name], official / name / "videos")
    assert all(video_stem(path) in stems for path, stems in zip(found["path"], found["stems"], strict=True))


# --- forms of the files


def test_annotations_are_found_up_to_two_levels_down_and_never_among_hidden_files(tmp_path):
    write_ucf101(tmp_path / "a" / ".." / "a", clips_per_class=3)
    shutil.copytree(tmp_path / "a/ucfTrainTestlist", tmp_path / ".hidden")
    lists = [
        read_annotations("ucf101", folder).clips
        for folder in (tmp_path / "a/ucfTrainTestlist", tmp_path / "a", tmp_path)
    ]
    assert lists[0].equals(lists[1]) and lists[0].equals(lists[2]) and len(lists[0]) == 303
    with pytest.raises(FileNotFoundError, match="at most 2 levels down, but there are none"):
        (tmp_path / "deep/er").mkdir(parents=True)
        (tmp_path / "a").rename(tmp_path / "deep/er/a")
        read_annotations("ucf101", tmp_path)


def test_ucf101_lists_with_trailing_spaces_other_line_ends_blank_lines_and_a_mark_read_the_same(tmp_path):
    write_ucf101(tmp_path, clips_per_class=3)
    plain = read_annotations("ucf101", tmp_path).clips
    home = tmp_path / "ucfTrainTestlist"
    for path in home.iterdir():
        path.write_bytes(
            b"\xef\xbb\xbf\r\n" + path.read_bytes().replace(b"\r\n", b"\n").replace(b"\n", b" \t\r\n\r\n")
        )
    assert read_annotations("ucf101", tmp_path).clips.equals(plain)
    replace(
        home / "testlist01.txt",
        "ApplyEyeMakeup/v_ApplyEyeMakeup_g01_c01.avi",
        "UCF-101/ApplyEyeMakeup/v_ApplyEyeMakeup_g01_c01.avi 1",
    )
    assert read_annotations("ucf101", tmp_path).clips.equals(plain)


def test_a_clip_that_a_split_leaves_out_is_unused_there(tmp_path):
    write_ucf101(tmp_path, clips_per_class=3)
    replace(tmp_path / "ucfTrainTestlist/testlist02.txt", "YoYo/v_YoYo_g08_c01.avi\n", "")
    assert (
        row_of(read_annotations("ucf101", tmp_path).clips, "YoYo/v_YoYo_g08_c01")["splits"]
        == "train unused train"
    )


def test_what_ucf101_lists_again_or_out_of_its_folder_is_kept_with_a_reason(tmp_path):
    write_ucf101(tmp_path, clips_per_class=3, video=b"")
    before = read_annotations("ucf101", tmp_path).clips
    with open(tmp_path / "ucfTrainTestlist/testlist01.txt", "a", encoding="utf-8", newline="") as file:
        file.write(
            "YoYo/v_YoYo_g08_c01.avi\n" * 2
            + "/data/YoYo/v_YoYo_g99_c01.avi\n../YoYo/v_YoYo_g08_c01.avi\nYoYo/v_Yo\x0bYo_g01_c01.avi\n"
        )
    annotations = read_annotations("ucf101", tmp_path)
    clips = annotations.clips
    assert len(clips) == len(before) + 5 and clips["id"].is_unique
    replace(tmp_path / "ucfTrainTestlist/trainlist01.txt", "", "../Archery/v_Archery_g08_c01.avi 3\n")
    first = read_annotations("ucf101", tmp_path).clips
    assert row_of(first, "Archery/v_Archery_g08_c01")["reason"] == "", (
        "the good one keeps the id, whichever comes first"
    )
    assert row_of(first, "Archery/v_Archery_g08_c01 (listed again)")["splits"] == "train unused unused"
    kept = clips[clips["reason"] == ""].reset_index(drop=True)
    assert kept.equals(before)
    reasons = dict(zip(clips["id"], clips["reason"], strict=True))
    again = row_of(clips, "YoYo/v_YoYo_g08_c01 (listed again)")
    assert again["splits"] == "test unused unused"
    assert again["reason"] == "a path must stay below the dataset's folder, got '../YoYo/v_YoYo_g08_c01.avi'"
    for number in (2, 3):
        reason = reasons[f"YoYo/v_YoYo_g08_c01 (listed again {number})"]
        assert re.fullmatch(
            r"'testlist01.txt' line \d+ lists it again as test, but split 1 has it as train already", reason
        )
    assert (
        reasons["YoYo/v_YoYo_g99_c01"]
        == "a path must be relative to the dataset's folder, got '/data/YoYo/v_YoYo_g99_c01.avi'"
    )
    assert (
        reasons["YoYo/v_Yo\\x0bYo_g01_c01"]
        == "a name must hold no control character, got 'YoYo/v_Yo\\x0bYo_g01_c01.avi'"
    )
    found = match_videos(annotations, tmp_path / "videos")
    assert found["status"].value_counts().to_dict() == {"": 303, "excluded": 5}
    assert row_of(found, "YoYo/v_YoYo_g08_c01 (listed again)")["path"] == "", (
        "a path out of the folder is never looked for"
    )
    check_nothing_dropped(found, annotations, tmp_path / "videos")


def test_only_the_nearest_folder_of_hmdb51_lists_counts(tmp_path):
    write_small("hmdb51", tmp_path)
    shutil.copytree(tmp_path, tmp_path / "old", ignore=lambda *_: ["old"])
    (tmp_path / "old/sit_test_split1.txt").write_text("c.avi 1\n")
    assert read_annotations("hmdb51", tmp_path).clips["id"].tolist() == ["run/a", "run/b"]


def test_hmdb51_names_may_hold_signs_and_spaces_and_be_listed_again(tmp_path):
    for class_name in ("run", "sit"):
        for split in (1, 2, 3):
            (tmp_path / f"{class_name}_test_split{split}.txt").write_text(
                f"a [1] #;&(x) {class_name}.avi 1 \nb.avi {split - 1}\n\n"
            )
    with open(tmp_path / "run_test_split2.txt", "a", encoding="utf-8") as file:
        file.write("b.avi 2\n")
    clips = read_annotations("hmdb51", tmp_path).clips
    assert dict(zip(clips["id"], clips["splits"], strict=True)) == {
        "run/a [1] #;&(x) run": "train train train",
        "run/b": "unused train test",
        "run/b (listed again)": "unused test unused",
        "sit/a [1] #;&(x) sit": "train train train",
        "sit/b": "unused train test",
    }
    again = row_of(clips, "run/b (listed again)")["reason"]
    assert again == "'run_test_split2.txt' line 4 lists it again as test, but split 2 has it as train already"


KINETICS_HEADER = "label,youtube_id,time_start,time_end,split\n"


def read_kinetics_rows(folder: Path, text: str, name: str = "some.csv"):
    folder.joinpath(name).write_text(text, encoding="utf-8")
    return read_annotations("kinetics600", folder)


def test_kinetics_columns_are_read_by_name_in_any_order(tmp_path):
    text = 'time_end,is_cc,time_start,youtube_id,label,Split\n12.0,0,2.0,-x,"a, ""b""",validation\n1000010,1,1000000,y,c,TRAIN\n\n'
    clips = read_kinetics_rows(tmp_path, "\ufeff" + text, name="test.csv").clips
    assert clips["id"].tolist() == ['a, "b"/-x_000002_000012', "c/y_1000000_1000010"]
    assert clips["splits"].tolist() == ["val", "train"], "the column counts, not the file's name"


def test_kinetics_tables_without_a_split_column_take_it_from_their_name(tmp_path):
    for number, name in enumerate(("kinetics_train.csv", "k600_validate.csv", "holdout_test.csv")):
        (tmp_path / name).write_text(f"label,youtube_id,time_start,time_end\nrun,id{number},0,10\n")
    assert read_annotations("kinetics600", tmp_path).clips["splits"].tolist() == ["train", "val", "test"]
    (tmp_path / "train_and_test.csv").write_text("label,youtube_id,time_start,time_end\nrun,z,0,10\n")
    with pytest.raises(ValueError, match="must have a column 'split' or one of train, val, test in its name"):
        read_annotations("kinetics600", tmp_path)


def test_kinetics_keeps_what_it_rules_out(tmp_path):
    rows = "run,a,0,10,train\nrun,a,0,10,val\nwalk,a,0,10,train\nrun,../b,0,10,train\n"
    rows += "run,c,10,10,train\nrun,c,10,10,val\nrun,d,-3,10,train\nrun,,0,10,train\n,e,0,10,val\n"
    annotations = read_kinetics_rows(tmp_path, KINETICS_HEADER + rows)
    reasons = dict(zip(annotations.clips["id"], annotations.clips["reason"], strict=True))
    assert reasons == {
        "run/a_000000_000010": "",
        "run/a_000000_000010 (listed again)": "'some.csv' line 3 lists it again (val), but it is 'run' (train) already",
        "walk/a_000000_000010": "'some.csv' line 4 lists it again (train), but it is 'run' (train) already",
        "run/../b_000000_000010": "a path must stay below the dataset's folder, got '../b_000000_000010'",
        "run/c_000010_000010": "a clip must start at 0 s or later and end after its start, got 10 to 10 s",
        "run/c_000010_000010 (listed again)": "a clip must start at 0 s or later and end after its start, got 10 to 10 s",
        "run/d_-00003_000010": "a clip must start at 0 s or later and end after its start, got -3 to 10 s",
        "run/_000000_000010": "a video id must name a file, got ''",
    }
    assert annotations.unlabelled == 1


def test_a_table_that_describes_classes_is_no_kinetics_table(tmp_path):
    (tmp_path / "classes.csv").write_text("name,label\nrun,running\n")
    assert len(read_kinetics_rows(tmp_path, KINETICS_HEADER + "run,a,0,10,train\n").clips) == 1


def activitynet_json(folder: Path, database: dict, name: str = "activity_net.v1-3.min.json", **more) -> Path:
    folder.joinpath(name).write_text(json.dumps({"database": database, **more}), encoding="utf-8")
    return folder


def entry(*segments, subset: str = "training", label: str = "Archery") -> dict:
    return {"subset": subset, "annotations": [{"label": label, "segment": segment} for segment in segments]}


def test_activitynet_keeps_segments_that_it_rules_out(tmp_path):
    segments = [
        [0, 5],
        [5, 5],
        [-1, 4],
        [0.0, 5.0],
        "x",
        [1, float("nan")],
        [True, 2],
        [7, 3.5],
        None,
        [1, float("inf")],
    ]
    activitynet_json(
        tmp_path,
        {"a": entry(*segments), "../b": entry([0, 1]), "c\u2028\ud800": entry([0, 1]), "d/e": entry([0, 1])},
    )
    clips = read_annotations("activitynet", tmp_path).clips
    reasons = dict(zip(clips["id"], clips["reason"], strict=True))
    rule, pair = (
        "a segment must start at 0 s or later and end after its start, got ",
        "a segment must be a start and an end in seconds, got ",
    )
    assert reasons == {
        "Archery/a#0": "",
        "Archery/a#1": rule + "5 to 5 s",
        "Archery/a#2": rule + "-1 to 4 s",
        "Archery/a#3": "the annotation lists the same segment as #0 again",
        "Archery/a#4": pair + "x",
        "Archery/a#5": pair + "[1, nan]",
        "Archery/a#6": pair + "[True, 2]",
        "Archery/a#7": rule + "7 to 3.5 s",
        "Archery/a#8": pair + "None",
        "Archery/a#9": pair + "[1, inf]",
        "Archery/../b#0": "a path must stay below the dataset's folder, got '../b'",
        "Archery/c\\u2028\\ud800#0": "a name must hold no control character, got 'c\\u2028\\ud800'",
        "Archery/d/e#0": "a video id must name a file, got 'd/e'",
    }


def test_activitynet_reads_the_one_json_that_has_a_database(tmp_path):
    activitynet_json(tmp_path, {"a": entry([0, 1]), "t": {"subset": "testing"}}, name="mine.json")
    (tmp_path / "other.json").write_text("[1]")
    assert read_annotations("activitynet", tmp_path).unlabelled == 1
    activitynet_json(tmp_path, {"b": entry([0, 1])}, name="second.json")
    with pytest.raises(
        ValueError, match="must be one json with a \"database\", got '.*mine.json' and '.*second.json'"
    ):
        read_annotations("activitynet", tmp_path)
    path = activitynet_json(tmp_path, {"c": entry([0, 1])}) / "activity_net.v1-3.min.json"
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert read_annotations("activitynet", tmp_path).clips["id"].tolist() == ["Archery/c#0"], (
        "the official name comes first"
    )
