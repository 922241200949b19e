"""zsar_lab.data.datasets: official annotation files read to the last line, their traps, and damaged ones."""

from __future__ import annotations

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
    WRITERS,
    activitynet_json,
    entry,
    one_sentence,
    replace,
    row_of,
    write_ucf101,
)

from zsar_lab.data.datasets import DATASETS, PUBLIC, class_list, list_datasets, read_annotations
from zsar_lab.data.datasets.annotations import path_fault, video_stem

KINETICS_HEADER = "label,youtube_id,time_start,time_end,split\n"
ANNOTATION_COLUMNS = ["id", "class", "group", "splits", "start_s", "end_s", "stems", "reason"]


@pytest.fixture(scope="module")
def official(tmp_path_factory) -> Path:
    """Each dataset's annotations in a folder of its name."""
    root = tmp_path_factory.mktemp("official")
    for name, write in WRITERS.items():
        write(root / name)
    return root


@pytest.fixture(scope="module")
def read(official) -> dict:
    return {name: read_annotations(name, official / name) for name in WRITERS}


def reasons_of(annotations) -> dict[str, str]:
    return dict(zip(annotations.clips["id"], annotations.clips["reason"], strict=True))


def test_the_table_says_what_each_dataset_is():
    counts = dict(list_datasets()[["name", "classes"]].itertuples(index=False))
    assert counts["folder"] == 0 and counts["ucf101"] == 101 and list(counts) == list(DATASETS)
    assert list(DATASETS) == ["folder", *PUBLIC] and [DATASETS[name].name for name in DATASETS] == list(
        DATASETS
    )
    for name in PUBLIC:
        dataset = DATASETS[name]
        assert re.compile(dataset.files) and dataset.suffix in (".avi", ".mp4") and len(class_list(name)) > 50
        assert re.search(dataset.files, dataset.example.replace(" ", "\n"))


# --- the official counts and forms


def test_ucf101_has_its_official_counts(read, official):
    ucf, lists = read["ucf101"], official / "ucf101" / "ucfTrainTestlist"
    assert len(ucf.clips) == 13320 and ucf.classes["name"].tolist() == sorted(UCF101_CLASSES)
    parts = ucf.clips["splits"].str.split(" ", expand=True)
    for split, (n_train, n_test) in enumerate([(9537, 3783), (9586, 3734), (9624, 3696)]):
        assert parts[split].value_counts().to_dict() == {"train": n_train, "test": n_test}
        assert (lists / f"trainlist0{split + 1}.txt").read_text().count("\n") == n_train  # a second way
        assert UCF101_TEST_COUNTS[split] == n_test
    assert (ucf.clips["reason"] == "").all() and ucf.unlabelled == 0
    assert ucf.clips["group"].nunique() == 101 * 25 and ucf.clips[["start_s", "end_s"]].isna().all(axis=None)
    by_id = ucf.classes.sort_values("official_id")
    assert by_id["official_id"].tolist() == list(range(1, 102))
    assert by_id["name"].tolist() == (lists / "classInd.txt").read_text().split()[1::2]


def test_ucf101_reads_as_a_plain_loop_over_its_lines_does(read, official):
    expected: dict[str, list[str]] = {}
    for split in range(3):
        for part in ("train", "test"):
            path = official / "ucf101" / "ucfTrainTestlist" / f"{part}list0{split + 1}.txt"
            for line in path.read_text().splitlines():
                expected.setdefault(line.split()[0].replace(".avi", ""), ["unused"] * 3)[split] = part
    clips = read["ucf101"].clips
    assert dict(zip(clips["id"], clips["splits"], strict=True)) == {
        k: " ".join(v) for k, v in expected.items()
    }
    clip = row_of(clips, "HandstandPushups/v_HandStandPushups_g08_c01")  # the class is the folder
    assert clip[["class", "group", "splits"]].tolist() == [
        "HandstandPushups",
        "HandstandPushups/g08",
        "train test train",
    ]
    assert clip["stems"] == ["v_HandStandPushups_g08_c01"]


def test_hmdb51_has_its_official_counts(read):
    hmdb = read["hmdb51"]
    assert len(hmdb.clips) == 6766 and hmdb.classes["name"].tolist() == sorted(HMDB51_CLASSES)
    parts = hmdb.clips["splits"].str.split(" ", expand=True)
    for split in range(3):
        assert parts[split].value_counts().to_dict() == {"train": 3570, "test": 1530, "unused": 1666}
        by_class = pd.crosstab(hmdb.clips["class"], parts[split])
        assert (by_class["train"] == 70).all() and (by_class["test"] == 30).all()
    assert (hmdb.clips["group"] == "").all() and (hmdb.clips["reason"] == "").all()


def test_kinetics_has_clips_by_their_header_and_counts_those_without_a_label(read):
    kinetics = read["kinetics400"]
    assert kinetics.classes["name"].tolist() == sorted(KINETICS_CLASSES) and kinetics.unlabelled == 6
    assert kinetics.clips["splits"].value_counts().to_dict() == {"train": 18, "val": 6}
    clip = row_of(kinetics.clips, "singing, humming/-0004000000_000000_000010")
    assert (clip["group"], clip["stems"]) == ("youtube:-0004000000", ["-0004000000_000000_000010"])


def test_activitynet_has_segments_or_whole_videos(read, official):
    segments = read["activitynet"]
    videos = read_annotations("activitynet", official / "activitynet", unit="video")
    assert (len(segments.clips), len(videos.clips)) == (
        44,
        20,
    ) and segments.unlabelled == videos.unlabelled == 4
    assert segments.classes["name"].tolist() == ACTIVITYNET_CLASSES and (segments.clips["reason"] == "").all()
    segment = row_of(segments.clips, "Clean and jerk/-a0b0000000#2")
    assert segment[["start_s", "end_s", "group", "splits"]].tolist() == [
        45.5,
        60.25,
        "youtube:-a0b0000000",
        "train",
    ]
    assert segment["stems"] == ["v_-a0b0000000", "-a0b0000000"]
    video = row_of(videos.clips, "Archery/-a0b0000000")
    assert video["reason"] == "a whole video must be of one class, got 2: Archery, Clean and jerk"
    assert pd.isna(video["start_s"]) and (videos.clips["reason"] != "").sum() == 4
    assert videos.clips["splits"].value_counts().to_dict() == {"train": 12, "val": 8}


@pytest.mark.parametrize("name", WRITERS)
def test_tables_have_their_columns_and_unique_sorted_ids(read, name):
    annotations = read[name]
    assert annotations.dataset is DATASETS[name] and list(annotations.clips.columns) == ANNOTATION_COLUMNS
    assert list(annotations.classes.columns) == ["name"] + ["official_id"] * (name == "ucf101")
    ids = annotations.clips["id"].tolist()
    assert ids == sorted(set(ids)) and set(annotations.clips["class"]) <= set(annotations.classes["name"])
    assert list(annotations.clips.index) == list(range(len(annotations.clips)))


# --- forms of the files


def test_annotations_are_found_up_to_two_levels_down_and_never_among_hidden_files(tmp_path):
    write_ucf101(tmp_path / "a", clips_per_class=3)
    shutil.copytree(tmp_path / "a/ucfTrainTestlist", tmp_path / ".hidden")
    folders = (tmp_path / "a/ucfTrainTestlist", tmp_path / "a", tmp_path)
    lists = [read_annotations("ucf101", folder).clips for folder in folders]
    assert lists[0].equals(lists[1]) and lists[0].equals(lists[2]) and len(lists[0]) == 303
    (tmp_path / "deep/er").mkdir(parents=True)
    (tmp_path / "a").rename(tmp_path / "deep/er/a")
    with pytest.raises(FileNotFoundError, match="at most 2 levels down, but there are none"):
        read_annotations("ucf101", tmp_path)


def test_ucf101_lists_with_trailing_spaces_other_line_ends_blank_lines_and_a_mark_read_the_same(tmp_path):
    write_ucf101(tmp_path, clips_per_class=3)
    plain, home = read_annotations("ucf101", tmp_path).clips, tmp_path / "ucfTrainTestlist"
    for path in home.iterdir():
        content = path.read_bytes().replace(b"\r\n", b"\n").replace(b"\n", b" \t\r\n\r\n")
        path.write_bytes(b"\xef\xbb\xbf\r\n" + content)
    assert read_annotations("ucf101", tmp_path).clips.equals(plain)
    clip = "ApplyEyeMakeup/v_ApplyEyeMakeup_g01_c01.avi"
    replace(home / "testlist01.txt", clip, f"UCF-101/{clip} 1")
    assert read_annotations("ucf101", tmp_path).clips.equals(plain)
    replace(home / "testlist02.txt", "YoYo/v_YoYo_g08_c01.avi", "")
    left_out = row_of(read_annotations("ucf101", tmp_path).clips, "YoYo/v_YoYo_g08_c01")
    assert left_out["splits"] == "train unused train"


def test_what_ucf101_lists_again_or_out_of_its_folder_is_kept_with_a_reason(tmp_path):
    write_ucf101(tmp_path, clips_per_class=3)
    before = read_annotations("ucf101", tmp_path).clips
    odd = ["YoYo/v_YoYo_g08_c01.avi"] * 2
    odd += ["/data/YoYo/v_YoYo_g99_c01.avi", "../YoYo/v_YoYo_g08_c01.avi", "YoYo/v_Yo\x0bYo_g01_c01.avi"]
    with open(tmp_path / "ucfTrainTestlist/testlist01.txt", "a", encoding="utf-8", newline="") as file:
        file.write("\n".join(odd) + "\n")
    annotations = read_annotations("ucf101", tmp_path)
    clips, reasons = annotations.clips, reasons_of(annotations)
    assert len(clips) == len(before) + 5 and clips["id"].is_unique
    assert clips[clips["reason"] == ""].reset_index(drop=True).equals(before)
    again = row_of(clips, "YoYo/v_YoYo_g08_c01 (listed again)")
    assert (
        again["splits"] == "test unused unused" and again["stems"] == []
    )  # a path out of it is never looked for
    assert again["reason"] == "a path must stay below the dataset's folder, got '../YoYo/v_YoYo_g08_c01.avi'"
    listed = r"'testlist01.txt' line \d+ lists it again as test, but split 1 has it as train already"
    for number in (2, 3):
        assert re.fullmatch(listed, reasons[f"YoYo/v_YoYo_g08_c01 (listed again {number})"])
    assert "must be relative" in reasons["YoYo/v_YoYo_g99_c01"]
    assert "no control character, got 'YoYo/v_Yo\\x0bYo_g01_c01.avi'" in reasons["YoYo/v_Yo\\x0bYo_g01_c01"]
    replace(tmp_path / "ucfTrainTestlist/trainlist01.txt", "", "../Archery/v_Archery_g08_c01.avi 3\n")
    first = read_annotations("ucf101", tmp_path).clips  # the good one keeps the id, whichever comes first
    assert row_of(first, "Archery/v_Archery_g08_c01")["reason"] == ""
    assert row_of(first, "Archery/v_Archery_g08_c01 (listed again)")["splits"] == "train unused unused"


def test_hmdb51_names_may_hold_signs_and_spaces_and_be_listed_again_in_the_nearest_folder(tmp_path):
    for class_name in ("run", "sit"):
        for split in (1, 2, 3):
            lines = f"a [1] #;&(x) {class_name}.avi 1 \nb.avi {split - 1}\n\n"
            (tmp_path / f"{class_name}_test_split{split}.txt").write_text(lines)
    shutil.copytree(tmp_path, tmp_path / "old", ignore=lambda *_: ["old"])
    (tmp_path / "old/walk_test_split1.txt").write_text("c.avi 1\n")
    with open(tmp_path / "run_test_split2.txt", "a", encoding="utf-8") as file:
        file.write("b.avi 2\n")
    annotations = read_annotations("hmdb51", tmp_path)
    assert dict(zip(annotations.clips["id"], annotations.clips["splits"], strict=True)) == {
        "run/a [1] #;&(x) run": "train train train",
        "run/b": "unused train test",
        "run/b (listed again)": "unused test unused",
        "sit/a [1] #;&(x) sit": "train train train",
        "sit/b": "unused train test",
    }
    again = "'run_test_split2.txt' line 4 lists it again as test, but split 2 has it as train already"
    assert reasons_of(annotations)["run/b (listed again)"] == again


def read_kinetics_rows(folder: Path, text: str, name: str = "some.csv"):
    folder.joinpath(name).write_text(text, encoding="utf-8")
    return read_annotations("kinetics600", folder)


def test_kinetics_columns_are_read_by_name_in_any_order(tmp_path):
    (tmp_path / "classes.csv").write_text("name,label\nrun,running\n")  # describes classes
    rows = '12.0,0,2.0,-x,"a, ""b""",validation\n1000010,1,1000000,y,c,TRAIN\n\n'
    text = "\ufefftime_end,is_cc,time_start,youtube_id,label,Split\n" + rows
    clips = read_kinetics_rows(tmp_path, text, name="test.csv").clips
    assert clips["id"].tolist() == ['a, "b"/-x_000002_000012', "c/y_1000000_1000010"]
    assert clips["splits"].tolist() == ["val", "train"], "the column counts, not the file's name"


def test_kinetics_tables_without_a_split_column_take_it_from_their_name(tmp_path):
    header = "label,youtube_id,time_start,time_end\n"
    for number, name in enumerate(("kinetics_train.csv", "k600_validate.csv", "holdout_test.csv")):
        (tmp_path / name).write_text(f"{header}run,id{number},0,10\n")
    assert read_annotations("kinetics600", tmp_path).clips["splits"].tolist() == ["train", "val", "test"]
    (tmp_path / "train_and_test.csv").write_text(f"{header}run,z,0,10\n")
    with pytest.raises(ValueError, match="train_and_test.csv' must have a column 'split'"):
        read_annotations("kinetics600", tmp_path)


def test_kinetics_keeps_what_it_rules_out(tmp_path):
    rows = "run,a,0,10,train\nrun,a,0,10,val\nwalk,a,0,10,train\nrun,../b,0,10,train\n"
    rows += "run,c,10,10,train\nrun,c,10,10,val\nrun,d,-3,10,train\nrun,,0,10,train\n,e,0,10,val\n"
    annotations = read_kinetics_rows(tmp_path, KINETICS_HEADER + rows)
    again = "'some.csv' line {} lists it again ({}), but it is 'run' (train) already"
    late = "a clip must start at 0 s or later and end after its start, got "
    assert reasons_of(annotations) == {
        "run/a_000000_000010": "",
        "run/a_000000_000010 (listed again)": again.format(3, "val"),
        "walk/a_000000_000010": again.format(4, "train"),
        "run/../b_000000_000010": "a path must stay below the dataset's folder, got '../b_000000_000010'",
        "run/c_000010_000010": late + "10 to 10 s",
        "run/c_000010_000010 (listed again)": late + "10 to 10 s",
        "run/d_-00003_000010": late + "-3 to 10 s",
        "run/_000000_000010": "a video id must name a file, got ''",
    }
    assert annotations.unlabelled == 1


def test_activitynet_keeps_segments_that_it_rules_out(tmp_path):
    rule = "a segment must start at 0 s or later and end after its start, got "
    pair = "a segment must be a start and an end in seconds, got "
    segments = [
        ([0, 5], ""),
        ([5, 5], rule + "5 to 5 s"),
        ([-1, 4], rule + "-1 to 4 s"),
        ([0.0, 5.0], "the annotation lists the same segment as #0 again"),
        ("x", pair + "x"),
        ([1, float("nan")], pair + "[1, nan]"),
        ([True, 2], pair + "[True, 2]"),
        ([7, 3.5], rule + "7 to 3.5 s"),
        (None, pair + "None"),
        ([1, float("inf")], pair + "[1, inf]"),
    ]
    odd = {"../b": entry([0, 1]), "c\u2028\ud800": entry([0, 1]), "d/e": entry([0, 1])}
    activitynet_json(tmp_path, {"a": entry(*(segment for segment, _ in segments))} | odd)
    assert reasons_of(read_annotations("activitynet", tmp_path)) == {
        **{f"Archery/a#{number}": reason for number, (_, reason) in enumerate(segments)},
        "Archery/../b#0": "a path must stay below the dataset's folder, got '../b'",
        "Archery/c\\u2028\\ud800#0": "a name must hold no control character, got 'c\\u2028\\ud800'",
        "Archery/d/e#0": "a video id must name a file, got 'd/e'",
    }


def test_activitynet_reads_the_one_json_that_has_a_database(tmp_path):
    activitynet_json(tmp_path, {"a": entry([0, 1]), "t": {"subset": "testing"}}, name="mine.json")
    (tmp_path / "other.json").write_text("[1]")
    assert read_annotations("activitynet", tmp_path).unlabelled == 1
    activitynet_json(tmp_path, {"b": entry([0, 1])}, name="second.json")
    with pytest.raises(ValueError, match="mine.json' and '.*second.json'"):
        read_annotations("activitynet", tmp_path)
    path = activitynet_json(tmp_path, {"c": entry([0, 1])})
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())  # the official name comes first
    assert read_annotations("activitynet", tmp_path).clips["id"].tolist() == ["Archery/c#0"]


# --- damaged, foreign and missing files


@pytest.mark.parametrize("asked", WRITERS)
@pytest.mark.parametrize("there", WRITERS)
def test_the_folder_of_another_dataset_is_recognised(official, asked, there):
    if asked != there:
        with pytest.raises(
            ValueError, match=f"it looks like the annotations of {DATASETS[there].label}"
        ) as caught:
            read_annotations(asked, official / there)
        assert f"must hold the annotation files of {DATASETS[asked].label}" in one_sentence(caught.value)


def test_an_unknown_dataset_or_unit_is_refused(official):
    with pytest.raises(ValueError, match="one of ucf101, hmdb51, .*kinetics400, .*, got 'UCF-101'"):
        read_annotations("UCF-101", official)
    with pytest.raises(ValueError, match="segment or video, got 'clip'"):
        read_annotations("activitynet", official / "activitynet", unit="clip")


def test_paths_and_names_are_judged():
    bad = ["/a.avi", "\\\\server\\a.avi", "C:\\a.avi", "c:/a.avi", "a/../b.avi", "..", "a\\..\\b.avi"]
    bad += ["a\x00.avi", "a\udcff.avi", "", "a/"]
    good = ["a.avi", "..a/b...avi", "#;&[1](2)'.avi", "C:a", "你好 é.avi", "a\u3000b.avi", ".avi.avi"]
    assert all(map(path_fault, bad)) and not any(map(path_fault, good))
    assert [video_stem(name) for name in ("a/b.c.AVI", "b.c", "a/b")] == ["b.c", "b.c", "b"]
