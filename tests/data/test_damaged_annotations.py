"""zsar_lab.data.datasets: damaged, foreign and absent annotation files end in one sentence each."""

from __future__ import annotations

import shutil

import pytest
from official_files import activitynet_json, entry, one_sentence, replace, write_kinetics, write_small

from zsar_lab.data.datasets import PUBLIC, read_annotations

KINETICS_HEADER = "label,youtube_id,time_start,time_end,split\n"


def ucf_list(old: str, new: str, name: str = "trainlist01.txt"):
    return lambda folder: replace(folder / "ucfTrainTestlist" / name, old, new)


def in_json(old: str, new: str):
    return lambda folder: replace(folder / "activity_net.v1-3.min.json", old, new)


def put(name: str, content: bytes):
    return lambda folder: (folder / name).write_bytes(content)


def row(text: str):
    return put("x.csv", (KINETICS_HEADER + text + "\n").encode("latin-1"))


def database(**videos: object):
    return lambda folder: activitynet_json(folder, videos)


def drop(name: str):
    return lambda folder: (folder / name).unlink()


SECOND_LIST = "ucfTrainTestlist/testlist02.txt"
BAD = {
    "ucf101": [
        (ucf_list("YoYo_g08_c01.avi 101", "YoYo_g08_c01.avi 7"), "line 201 of .* YoYo 101, got 7"),
        (ucf_list("YoYo/", "Yo-Yo/"), "line 201 of .* got 'Yo-Yo/v_Y"),
        (ucf_list("YoYo/", ""), "a class of classInd.txt, got 'v_YoYo_g08_c01.avi'"),
        (ucf_list("c01.avi 101", "c01.avi"), "<number>', got 'YoYo/v_YoYo_g08_c01.avi'"),
        (ucf_list("YoYo_g01_c01.avi", "YoYo_g01_c01", "testlist01.txt"), "got 'YoYo/v_YoYo_g01_c01'"),
        (ucf_list("101 YoYo", "YoYo 101", "classInd.txt"), "line 101 of .* got 'YoYo 101'"),
        (ucf_list("101 YoYo", "101 Archery", "classInd.txt"), "got '101 Archery' in line 101"),
        (ucf_list("101 YoYo", "100 YoYo", "classInd.txt"), "got '100 YoYo' in line 101"),
        (drop(SECOND_LIST), "testlist02.txt"),
        (drop("ucfTrainTestlist/classInd.txt"), "classInd.txt"),
        (put(SECOND_LIST, b""), "an empty file"),
        (put(SECOND_LIST, b"Yo\xe9Yo/v.avi"), "byte 2 is not"),
        (put(SECOND_LIST, "YoYo/v_YoYo_g08_c01.avi".encode("utf-16")), "byte 0 is not"),
        (lambda f: shutil.copytree(f / "ucfTrainTestlist", f / "again"), "one folder .*again' and '.*list'"),
    ],
    "hmdb51": [
        (drop("run_test_split2.txt"), "run_test_split2.txt"),
        (put("run_test_split4.txt", b"a.avi 1"), "split 1, 2 or 3, got '.*run_test_split4.txt'"),
        (put("run_test_split1.txt", b"a.avi 1\nb.avi 3 \n"), "line 2 of .* got 'b.avi 3'"),
        (put("run_test_split1.txt", b"a.avi"), "line 1 of .* got 'a.avi'"),
        (put("run_test_split1.txt", b"1 a.avi"), "line 1 of .* got '1 a.avi'"),
        (put("run_test_split1.txt", b"\xff"), "byte 0 is not"),
    ],
    "kinetics400": [
        (put("x.csv", b"run,abc,0,10,train\n"), "x.csv' must have the column youtube_id, got .*run"),
        (put("x.csv", b""), "the column youtube_id"),
        (put("x.csv", b"label,youtube_id,time_start,split\n"), "the column time_end"),
        (row("a,b,x,0,10,train"), "line 2 of .* 5 cells, got 6"),
        (row("a,x,zero,10,train"), "line 2 of .* whole seconds, got 'zero'"),
        (row("a,x,0,9.5,train"), "whole seconds, got '9.5'"),
        (row("a,x,0,inf,train"), "whole seconds, got 'inf'"),
        (row("a,x,0,10,dev"), "line 2 of .* got 'dev'"),
        (row('"a,x,0,10,train'), "a whole csv table"),
        (row('"a\nb",x,0,10,train'), r"a class name .* got 'a\\nb'"),
        (row("caf\xe9,x,0,10,train"), "must be UTF-8"),
        (
            lambda f: write_kinetics(f / "more", 1, [f"c{n}" for n in range(500)]),
            "the 400 classes .* got 506",
        ),
        (lambda f: write_kinetics(f / "more", 1, [f"c{n}" for n in range(594)]), "got 600, .* kinetics600"),
    ],
    "activitynet": [
        (in_json("}}", ""), "whole json, .* cut short"),
        (in_json("database", "data"), 'must have "database"'),
        (in_json("1.3", "1.2"), "version 1.3, got 'VERSION 1.2'"),
        (in_json("_a0b0000001", "-a0b0000000"), "got '-a0b0000000' more than once"),
        (in_json('"training"', '"dev"'), "the video '-a0b0000000' .* got dev"),
        (database(a={"subset": "testing", "annotations": 3}), "a list of .* got 3"),
        (database(a=entry([0, 1], label=3)), "a list of labelled annotations"),
        (database(a=entry([0, 1], label="")), "a class name .* got ''"),
        (database(a=5), "the video 'a' .* a subset"),
        (database(a=entry(subset="testing")), "a clip with its class, .* has none"),
        (put("activity_net.v1-3.min.json", b'{"database": "caf\xe9"}'), "must be UTF-8"),
    ],
}


@pytest.mark.parametrize(
    ("name", "damage", "words"), [(name, *case) for name, cases in BAD.items() for case in cases]
)
def test_a_bad_file_is_refused_in_one_sentence(tmp_path, name, damage, words):
    write_small(name, tmp_path)
    assert len(read_annotations(name, tmp_path).clips) > 1
    damage(tmp_path)
    absent = words in ("testlist02.txt", "classInd.txt", "run_test_split2.txt")
    with pytest.raises(FileNotFoundError if absent else ValueError, match=words) as caught:
        read_annotations(name, tmp_path)
    one_sentence(caught.value)


def test_a_foreign_table_or_json_beside_the_files_of_another_dataset_is_refused(tmp_path):
    write_small("hmdb51", tmp_path)
    (tmp_path / "notes.csv").write_text("a,b\n")
    (tmp_path / "notes.json").write_text("{}")
    for name in ("kinetics700", "activitynet"):
        with pytest.raises(ValueError, match="notes"):
            read_annotations(name, tmp_path)


@pytest.mark.parametrize("name", PUBLIC)
def test_a_folder_that_is_absent_empty_or_a_file_is_refused(tmp_path, name):
    with pytest.raises(FileNotFoundError, match="nowhere"):
        read_annotations(name, tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError, match="but there are none"):
        read_annotations(name, tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(NotADirectoryError, match="file"):
        read_annotations(name, tmp_path / "file")
