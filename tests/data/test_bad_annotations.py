"""zsar_lab.data.datasets: damaged, foreign and missing annotation files, one clear sentence each."""

from __future__ import annotations

import shutil

import pytest
from official_files import write_kinetics
from test_datasets import (
    KINETICS_HEADER,
    SHOWN,
    WRITERS,
    activitynet_json,
    entry,
    official,  # noqa: F401  (a fixture)
    replace,
    write_small,
)  # noqa: F401  (official is a fixture)

from zsar_lab.data.catalog import shown
from zsar_lab.data.datasets import PUBLIC as DATASETS
from zsar_lab.data.datasets import read_annotations
from zsar_lab.data.datasets.annotations import path_fault, video_stem


def ucf_list(old: str, new: str, name: str = "trainlist01.txt"):
    return lambda folder: replace(folder / "ucfTrainTestlist" / name, old, new)


def in_json(old: str, new: str):
    return lambda folder: replace(folder / "activity_net.v1-3.min.json", old, new)


def write_bytes(name: str, content: bytes):
    return lambda folder: (folder / name).write_bytes(content)


BAD = {
    "ucf101": [
        (
            ucf_list("YoYo_g08_c01.avi 101", "YoYo_g08_c01.avi 7"),
            ValueError,
            "line 201 of .* must give YoYo the number 101 .* got 7;",
        ),
        (
            ucf_list("YoYo/", "Yo-Yo/"),
            ValueError,
            "line 201 of .* must name a class of classInd.txt, got 'Yo-Yo/v_Y",
        ),
        (ucf_list("YoYo/", ""), ValueError, r"must name a class of classInd.txt, got 'v_YoYo_g08_c01.avi'"),
        (
            ucf_list("c01.avi 101", "c01.avi"),
            ValueError,
            r"must be '<class>/<video>.avi <number>', got 'YoYo/v_YoYo_g08_c01.avi'",
        ),
        (
            ucf_list("YoYo_g01_c01.avi", "YoYo_g01_c01", "testlist01.txt"),
            ValueError,
            r"must be '<class>/<video>.avi', got 'YoYo/v_YoYo_g01_c01'",
        ),
        (
            ucf_list("101 YoYo", "YoYo 101", "classInd.txt"),
            ValueError,
            r"line 101 of '.*' must be a number and a class name, got 'YoYo 101'",
        ),
        (
            ucf_list("101 YoYo", "101 Archery", "classInd.txt"),
            ValueError,
            r"each class and number once, got '101 Archery' again in line 101",
        ),
        (
            ucf_list("101 YoYo", "100 YoYo", "classInd.txt"),
            ValueError,
            r"each class and number once, got '100 YoYo' again in line 101",
        ),
        (
            lambda folder: (folder / "ucfTrainTestlist/testlist02.txt").unlink(),
            FileNotFoundError,
            "there is no file '.*testlist02.txt'",
        ),
        (
            lambda folder: (folder / "ucfTrainTestlist/classInd.txt").unlink(),
            FileNotFoundError,
            "there is no file '.*classInd.txt'",
        ),
        (
            write_bytes("ucfTrainTestlist/testlist02.txt", b""),
            ValueError,
            "must have a line for each clip, got an empty file",
        ),
        (
            write_bytes("ucfTrainTestlist/testlist02.txt", b"Yo\xe9Yo/v.avi"),
            ValueError,
            "must be UTF-8 text, but byte 2 is not",
        ),
        (
            write_bytes("ucfTrainTestlist/testlist02.txt", "YoYo/v_YoYo_g08_c01.avi".encode("utf-16")),
            ValueError,
            "must be UTF-8 text, but byte 0",
        ),
        (
            lambda folder: shutil.copytree(folder / "ucfTrainTestlist", folder / "again"),
            ValueError,
            "one folder with .* got '.*again' and '.*list'",
        ),
    ],
    "hmdb51": [
        (
            lambda folder: (folder / "run_test_split2.txt").unlink(),
            FileNotFoundError,
            "there is no file '.*run_test_split2.txt'",
        ),
        (
            write_bytes("run_test_split4.txt", b"a.avi 1"),
            ValueError,
            "split 1, 2 or 3, got split 4 in '.*run_test_split4.txt'",
        ),
        (
            write_bytes("run_test_split1.txt", b"a.avi 1\nb.avi 3 \n"),
            ValueError,
            r"line 2 of '.*' must be .* 0 \(unused\), 1 .* got 'b.avi 3'",
        ),
        (write_bytes("run_test_split1.txt", b"a.avi"), ValueError, "line 1 of .* got 'a.avi'"),
        (write_bytes("run_test_split1.txt", b"1 a.avi"), ValueError, "line 1 of .* got '1 a.avi'"),
        (write_bytes("run_test_split1.txt", b"\xff"), ValueError, "must be UTF-8 text, but byte 0"),
    ],
    "kinetics400": [
        (
            write_bytes("x.csv", b"run,abc,0,10,train\n"),
            ValueError,
            "'.*x.csv' must begin with a header .* got 'run, abc, 0, 10, train'",
        ),
        (
            write_bytes("x.csv", b""),
            ValueError,
            "must begin with a header that has youtube_id, time_start, time_end, got ''",
        ),
        (
            write_bytes("x.csv", b"label,youtube_id,time_start,split\n"),
            ValueError,
            "must begin with a header .* got 'label, .*, split'",
        ),
        (
            write_bytes("x.csv", (KINETICS_HEADER + "a,b,x,0,10,train\n").encode()),
            ValueError,
            "line 2 of .* must have 5 fields as its header, got 6",
        ),
        (
            write_bytes("x.csv", (KINETICS_HEADER + "a,x,zero,10,train\n").encode()),
            ValueError,
            "times in line 2 of .* whole seconds, got 'zero'",
        ),
        (
            write_bytes("x.csv", (KINETICS_HEADER + "a,x,0,9.5,train\n").encode()),
            ValueError,
            "whole seconds, got '9.5'",
        ),
        (
            write_bytes("x.csv", (KINETICS_HEADER + "a,x,0,inf,train\n").encode()),
            ValueError,
            "whole seconds, got 'inf'",
        ),
        (
            write_bytes("x.csv", (KINETICS_HEADER + "a,x,0,10,dev\n").encode()),
            ValueError,
            "the split in line 2 of .* must be one of .* got 'dev'",
        ),
        (
            write_bytes("x.csv", (KINETICS_HEADER + '"a,x,0,10,train\n').encode()),
            ValueError,
            "must be a whole csv table, but at line 2",
        ),
        (
            write_bytes("x.csv", (KINETICS_HEADER + '"a\nb",x,0,10,train\n').encode()),
            ValueError,
            r"a class name must be text .* got 'a\\nb'",
        ),
        (
            write_bytes("x.csv", KINETICS_HEADER.encode() + b"caf\xe9,x,0,10,train\n"),
            ValueError,
            "must be UTF-8 text",
        ),
        (
            lambda folder: write_kinetics(folder / "more", 1, [f"c{n}" for n in range(500)]),
            ValueError,
            "must name the 400 classes of .* got 506",
        ),
        (
            lambda folder: write_kinetics(folder / "more", 1, [f"c{n}" for n in range(594)]),
            ValueError,
            "got 600 classes, the number of kinetics600",
        ),
    ],
    "activitynet": [
        (in_json("}}", ""), ValueError, "must be a whole json file, but .* cut short"),
        (in_json("database", "data"), ValueError, 'must have "database" with an entry a video'),
        (in_json("1.3", "1.2"), ValueError, "must be version 1.3 of ActivityNet, got 'VERSION 1.2'"),
        (in_json("_a0b0000001", "-a0b0000000"), ValueError, "each video once, got '-a0b0000000' more"),
        (in_json('"training"', '"dev"'), ValueError, "the video '-a0b0000000' .* a subset, .* got dev"),
        (
            lambda folder: activitynet_json(folder, {"a": {"subset": "testing", "annotations": 3}}),
            ValueError,
            "a list of annotations .* got 3",
        ),
        (
            lambda folder: activitynet_json(folder, {"a": entry([0, 1], label=3)}),
            ValueError,
            "must have a list of annotations with a label each",
        ),
        (
            lambda folder: activitynet_json(folder, {"a": entry([0, 1], label="")}),
            ValueError,
            "a class name must be text .* got ''",
        ),
        (
            lambda folder: activitynet_json(folder, {"a": 5}),
            ValueError,
            "the video 'a' in .* must have a subset",
        ),
        (
            lambda folder: activitynet_json(folder, {"a": entry(subset="testing")}),
            ValueError,
            "must name at least one clip with its class, got none",
        ),
        (
            write_bytes("activity_net.v1-3.min.json", b'{"database": "caf\xe9"}'),
            ValueError,
            "must be UTF-8 text",
        ),
    ],
}


def one_sentence(error: BaseException) -> str:
    text = str(error)
    assert "\n" not in text and text.isprintable() and len(text) < 600
    return text


@pytest.mark.parametrize(
    ("name", "damage", "kind", "match"), [(name, *case) for name, cases in BAD.items() for case in cases]
)
def test_a_bad_file_is_refused_in_one_sentence(tmp_path, name, damage, kind, match):
    write_small(name, tmp_path)
    assert len(read_annotations(name, tmp_path).clips) > 1
    damage(tmp_path)
    with pytest.raises(kind, match=match) as caught:
        read_annotations(name, tmp_path)
    one_sentence(caught.value)


@pytest.mark.parametrize("asked", WRITERS)
@pytest.mark.parametrize("there", WRITERS)
def test_the_folder_of_another_dataset_is_recognised(official, asked, there):
    if asked != there:
        with pytest.raises(
            ValueError, match=f"but it looks like the annotations of {SHOWN[there]}"
        ) as caught:
            read_annotations(asked, official / there)
        assert f"must hold the annotation files of {SHOWN[asked]}" in one_sentence(caught.value)


def test_a_foreign_table_or_json_beside_the_files_of_another_dataset_is_seen_through(tmp_path):
    write_small("hmdb51", tmp_path)
    (tmp_path / "notes.csv").write_text("a,b\n")
    (tmp_path / "notes.json").write_text("{}")
    with pytest.raises(ValueError, match=r"got 'a, b' \(the folder looks like the annotations of HMDB51\)"):
        read_annotations("kinetics700", tmp_path)
    with pytest.raises(
        ValueError, match=r"but it has none \(the folder looks like the annotations of HMDB51\)"
    ):
        read_annotations("activitynet", tmp_path)


@pytest.mark.parametrize("name", DATASETS)
def test_a_folder_that_is_absent_empty_or_a_file_is_refused(tmp_path, name):
    with pytest.raises(FileNotFoundError, match="there is no folder '.*nowhere'"):
        read_annotations(name, tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError, match="must hold the annotation files of .* but there are none"):
        read_annotations(name, tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(NotADirectoryError, match="annotations must be given as a folder"):
        read_annotations(name, tmp_path / "file")


def test_an_unknown_dataset_or_unit_is_refused(official):
    with pytest.raises(
        ValueError, match="dataset must be one of ucf101, hmdb51, kinetics400, .*, got 'UCF-101'"
    ):
        read_annotations("UCF-101", official)
    with pytest.raises(ValueError, match="the unit of ActivityNet must be one of .* got 'clip'"):
        read_annotations("activitynet", official / "activitynet", unit="clip")


def test_paths_and_names_are_judged():
    for bad in (
        "/a.avi",
        "\\\\server\\a.avi",
        "C:\\a.avi",
        "c:/a.avi",
        "a/../b.avi",
        "..",
        "a\\..\\b.avi",
        "a\x00.avi",
        "a\udcff.avi",
        "",
        "a/",
    ):
        assert path_fault(bad), bad
    for good in ("a.avi", "..a/b...avi", "#;&[1](2)'.avi", "C:a", "你好 é.avi", "a\u3000b.avi", ".avi.avi"):
        assert not path_fault(good), good
    assert shown("a\nb\udcff\u2029\x9b é\u3000") == "a\\nb\\udcff\\u2029\\x9b é\u3000"
    assert [video_stem(name) for name in ("a/b.c.AVI", "b.c", "a/b")] == ["b.c", "b.c", "b"]
