"""zsar_lab.protocols.split_files: fixed splits in each format, and one clear sentence for each that is not one."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from scipy.io import savemat

from zsar_lab.protocols.split_files import read_class_splits, read_clip_splits

NAMES = ["wave", "clap hands", "run", "sit", "stand", "jump"]
IDS = [[2, 4, 6], [5, 3, 1]]
EXPECTED = [("clap hands", "sit", "jump"), ("wave", "run", "stand")]


def written(folder: Path, file_name: str, text: str) -> Path:
    path = folder / file_name
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("file_name", "text"),
    [
        ("ids.txt", "# unseen\n2 4 6\n\n5 3 1  # the second\n"),
        ("ids.txt", "\ufeff2\t4\t6\r\n5\t3\t1\r\n"),
        ("ids.csv", "2,4,6\n5, 3, 1"),
        ("ids.TXT", " 2,4 6\n5 3,1,\n"),
        ("ids.json", json.dumps(IDS)),
        ("names.txt", "clap hands,sit,jump\nstand, run, wave\n"),
        ("names.csv", '"clap hands",sit,jump\nwave,run,stand\n'),
        ("names.txt", "clap hands\tsit\tjump\nwave run stand\n"),
        ("names.json", json.dumps([[NAMES[i - 1] for i in row] for row in IDS])),
    ],
)
def test_a_text_file_of_ids_or_names(file_name, text, tmp_path):
    assert read_class_splits(written(tmp_path, file_name, text), NAMES) == EXPECTED


@pytest.mark.parametrize("kind", [np.int64, np.uint8])
def test_an_array_file_of_ids(kind, tmp_path):
    np.save(tmp_path / "ids.npy", np.array(IDS, kind))
    assert read_class_splits(tmp_path / "ids.npy", NAMES) == EXPECTED
    savemat(tmp_path / "ids.mat", {"test_id": np.array(IDS, kind), "note": "unseen ids", "n": 2.0})
    assert read_class_splits(tmp_path / "ids.mat", NAMES) == EXPECTED
    savemat(tmp_path / "two.mat", {"test_id": np.array(IDS, float), "train_id": np.array(IDS[::-1], float)})
    assert read_class_splits(tmp_path / "two.mat", NAMES, variable="test_id") == EXPECTED
    assert read_class_splits(tmp_path / "two.mat", NAMES, variable="train_id") == EXPECTED[::-1]


def test_a_file_may_list_the_seen_classes(tmp_path):
    path = written(tmp_path, "seen.txt", "2 4\n5 3\n")
    assert read_class_splits(path, NAMES, lists="seen") == [
        ("wave", "run", "stand", "jump"),
        ("wave", "clap hands", "sit", "jump"),
    ]
    with pytest.raises(ValueError, match="lists must be 'unseen' or 'seen' .*, got 'test'"):
        read_class_splits(path, NAMES, lists="test")


@pytest.mark.parametrize(
    ("file_name", "text", "message"),
    [
        (
            "a.txt",
            "1 2 7\n",
            r"a class id in '.*a.txt' must be in 1..6 \(the number of classes\), got 7 in split 1; give all class names",
        ),
        (
            "a.txt",
            "1 2 3\n0 1 2\n",
            "must be in 1..6 .*, got 0 in split 2; add 1 to every id if the file counts from 0",
        ),
        ("a.txt", "1 2 -3\n", "got -3 in split 1"),
        (
            "a.csv",
            "1,2\n3,3\n",
            "a class must stand once in a split, '.*a.csv' has 3 more than once in split 2; check that each row is one split",
        ),
        ("a.csv", "run,sit\nsit,sit\n", "has 'sit' more than once in split 2"),
        (
            "a.txt",
            "1 2 3\n4 5\n",
            r"must list the same number of classes, at least 1, got 2 rows with \[2, 3\] classes",
        ),
        ("a.txt", "# nothing\n", r"at least 1, got 0 rows with \[\] classes; correct the file"),
        ("a.json", "[[1, 2], []]", r"got 2 rows with \[0, 2\] classes"),
        (
            "a.txt",
            "run,swim\n",
            "must be one of the dataset's 6 classes, got 'swim' in split 1; correct its name",
        ),
        ("a.txt", "1,2.5\n", "must be one of the dataset's 6 classes, got 1 in split 1"),
        ("a.json", "[1, 2, 3]", r"must be a list of lists \(a split each\), got '\[1, 2, 3\]'"),
        ("a.json", "[[1, null]]", "must list class ids or names, got None"),
        ("a.json", "[[1, true]]", "must list class ids or names, got True"),
        ("a.json", "[[1, 2", "must be a readable .json file in UTF-8, but"),
        ("a.npy", "1 2 3", r"must be a plain .npy array of integers, but it cannot be read"),
        ("a.npy", "", "must be a plain .npy array of integers, but it cannot be read"),
        ("a.mat", "1 2 3", r"must be a .mat file, but it cannot be read \(.*\); save it again"),
        ("a.mat", "", r"must be a .mat file, but it cannot be read"),
        (
            "a.xlsx",
            "1 2 3",
            "must end in one of .txt, .csv, .json, .npy, .mat, got '.*a.xlsx'; save it as one of them",
        ),
    ],
)
def test_a_file_that_is_no_list_of_splits_is_refused(file_name, text, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        read_class_splits(written(tmp_path, file_name, text), NAMES)


def test_a_file_that_is_not_there_or_not_text(tmp_path):
    for suffix in (".txt", ".json", ".npy", ".mat"):
        with pytest.raises(FileNotFoundError, match="there is no split file '.*none"):
            read_class_splits(tmp_path / f"none{suffix}", NAMES)
    (tmp_path / "latin.txt").write_bytes("übung,run".encode("latin-1"))
    with pytest.raises(ValueError, match="must be a readable .txt file in UTF-8, but"):
        read_class_splits(tmp_path / "latin.txt", NAMES)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.array([1, 2, 3]), r"2-D array of integers, a split a row, got int64 of shape \(3,\)"),
        (np.array(IDS, float), "2-D array of integers, a split a row, got float64"),
        (np.array([["wave", "run"]]), "2-D array of integers"),
        (np.array([[0, 1]]), "add 1 to every id"),
        (np.zeros((2, 0), int), r"got 2 rows with \[0\] classes"),
    ],
)
def test_an_array_that_is_no_list_of_splits_is_refused(array, message, tmp_path):
    np.save(tmp_path / "a.npy", array)
    with pytest.raises(ValueError, match=message):
        read_class_splits(tmp_path / "a.npy", NAMES)


def test_a_pickled_array_is_not_opened(tmp_path):
    np.save(tmp_path / "a.npy", np.array([[1, "x"]], dtype=object), allow_pickle=True)
    with pytest.raises(ValueError, match="must be a plain .npy array of integers, but it cannot be read"):
        read_class_splits(tmp_path / "a.npy", NAMES)


def test_a_mat_file_must_say_which_variable(tmp_path):
    path = tmp_path / "a.mat"
    savemat(path, {"one": np.array(IDS), "two": np.array(IDS)})
    with pytest.raises(
        ValueError, match="must hold one 2-D numeric variable, got one, two; name one as variable"
    ):
        read_class_splits(path, NAMES)
    with pytest.raises(
        ValueError, match=r"variable must be a 2-D numeric variable of '.*' \(one, two\), got 'three'"
    ):
        read_class_splits(path, NAMES, variable="three")
    savemat(path, {"text": "words only"})
    with pytest.raises(ValueError, match="one 2-D numeric variable, got none"):
        read_class_splits(path, NAMES)
    for broken in ([[1.5, 2]], [[np.nan, 2]], [[1j, 2]]):
        savemat(path, {"ids": np.array(broken)})
        with pytest.raises(ValueError, match="must hold whole numbers, got others; save the ids again"):
            read_class_splits(path, NAMES)
    path.write_bytes(b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(124) + b"\x00\x02IM" + bytes(64))
    with pytest.raises(
        ValueError, match="must be a .mat file of version 7 or older, got version 7.3; save it again with -v7"
    ):
        read_class_splits(path, NAMES)


CLIP_IDS = [f"clip {n}" for n in range(1, 8)]
PLACES = {"trainval_loc": [[1], [2], [5]], "test_seen_loc": [[3]], "test_unseen_loc": [[4], [7]]}


def test_clip_locations(tmp_path):
    path = tmp_path / "att_splits.mat"
    for places in (PLACES, {name: np.array(rows, np.uint16).T for name, rows in PLACES.items()}):
        savemat(path, dict(places) | {"att": np.zeros((3, 4)), "allclasses_names": "words"})
        found = read_clip_splits(path, CLIP_IDS)
        assert found == {
            "trainval_loc": ("clip 1", "clip 2", "clip 5"),
            "test_seen_loc": ("clip 3",),
            "test_unseen_loc": ("clip 4", "clip 7"),
        }


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"test_seen_loc": [[8]]},
            r"a place in test_seen_loc of '.*' must be in 1..7 \(the number of clips\), got 8; give",
        ),
        ({"trainval_loc": [[0], [1]]}, "a place in trainval_loc .*, got 0"),
        (
            {"test_seen_loc": [[5]]},
            "a clip must stand once in '.*', place 5 is in trainval_loc and in test_seen_loc",
        ),
        ({"test_unseen_loc": [[4], [4]]}, "place 4 is in test_unseen_loc and in test_unseen_loc"),
        ({"test_unseen_loc": [[4.5]]}, "must hold whole numbers"),
        (
            {"test_seen_loc": "words"},
            "must hold trainval_loc, test_seen_loc, test_unseen_loc, it lacks test_seen_loc; give the att_splits file",
        ),
    ],
)
def test_clip_locations_that_are_none_are_refused(change, message, tmp_path):
    savemat(tmp_path / "att_splits.mat", PLACES | change)
    with pytest.raises(ValueError, match=message):
        read_clip_splits(tmp_path / "att_splits.mat", CLIP_IDS)


def test_clip_locations_come_from_a_mat_file(tmp_path):
    with pytest.raises(ValueError, match="a file of clip locations must be a .mat file, got '.*a.txt'"):
        read_clip_splits(tmp_path / "a.txt", CLIP_IDS)
    with pytest.raises(FileNotFoundError, match="there is no split file"):
        read_clip_splits(tmp_path / "a.mat", CLIP_IDS)
