"""zsar_lab.protocols.split_files: fixed splits in each format, and an error for each file that is not one."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.io import savemat

from zsar_lab.protocols.protocol import ProtocolError
from zsar_lab.protocols.split_files import intra_dataset_from_file, read_class_splits, read_clip_splits

NAMES = ["wave", "clap hands", "run", "sit", "stand", "jump"]
IDS = [[2, 4, 6], [5, 3, 1]]
EXPECTED = [("clap hands", "sit", "jump"), ("wave", "run", "stand")]


def written(folder: Path, file_name: str, text: str) -> Path:
    (folder / file_name).write_text(text, encoding="utf-8")
    return folder / file_name


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
    for variable in (None, "three"):
        with pytest.raises(ProtocolError, match=r"\(test_id, train_id\)"):
            read_class_splits(tmp_path / "two.mat", NAMES, variable=variable)


def test_a_file_may_list_the_seen_classes(tmp_path):
    path = written(tmp_path, "seen.txt", "2 4\n5 3\n")
    seen = [("wave", "run", "stand", "jump"), ("wave", "clap hands", "sit", "jump")]
    assert read_class_splits(path, NAMES, lists="seen") == seen
    with pytest.raises(ProtocolError, match="'test'"):
        read_class_splits(path, NAMES, lists="test")


@pytest.mark.parametrize(
    ("file_name", "text", "words"),
    [
        ("a.txt", "1 2 7\n", "an id in 1..6, got 7 in split 1"),
        ("a.txt", "1 2 3\n0 1 2\n", "1..6, got 0 in split 2; add 1"),
        ("a.txt", "1 2 -3\n", "got -3 in split 1"),
        ("a.csv", "1,2\n3,3\n", "split 2 .* it has 3 twice"),
        ("a.csv", "run,sit\nsit,sit\n", "split 2 .* it has 'sit' twice"),
        ("a.txt", "1 2 3\n4 5\n", r"got 2 of \[2, 3\]"),
        ("a.txt", "# nothing\n", r"got 0 of \[\]"),
        ("a.json", "[[1, 2], []]", r"got 2 of \[0, 2\]"),
        ("a.json", "[[]]", r"got 1 of \[0\]"),
        ("a.txt", "run,swim\n", "6 names, got 'swim' in split 1"),
        ("a.txt", "1,2.5\n", "6 names, got 1 in split 1"),
        ("a.json", "[1, 2, 3]", "list of lists"),
        ("a.json", "[[1, null]]", "got None"),
        ("a.json", "[[1, true]]", "got True"),
        ("a.json", "[[1, 2", "cannot be read"),
        ("a.npy", "1 2 3", "cannot be read"),
        ("a.npy", "", "cannot be read"),
        ("a.mat", "1 2 3", "cannot be read"),
        ("a.mat", "", "cannot be read"),
        ("a.mat", "MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(124) + "\0\2IM" + "\0" * 64, "version 7.3"),
        ("a.xlsx", "1 2 3", ".txt, .csv, .json, .npy, .mat"),
    ],
)
def test_a_file_that_is_no_list_of_splits_is_refused(file_name, text, words, tmp_path):
    path = written(tmp_path, file_name, text)
    with pytest.raises(ProtocolError, match=words) as refused:
        read_class_splits(path, NAMES)
    assert str(path) in str(refused.value)


def test_a_file_that_is_not_there_or_not_text(tmp_path):
    for suffix in (".txt", ".json", ".npy", ".mat"):
        with pytest.raises(FileNotFoundError, match="none"):
            read_class_splits(tmp_path / f"none{suffix}", NAMES)
    (tmp_path / "latin.txt").write_bytes("übung,run".encode("latin-1"))
    with pytest.raises(ProtocolError, match="latin.txt"):
        read_class_splits(tmp_path / "latin.txt", NAMES)


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (np.array([1, 2, 3]), r"got int64 of shape \(3,\)"),
        (np.array(IDS, float), "got float64"),
        (np.array([["wave", "run"]]), "got <U4"),
        (np.array([[0, 1]]), "add 1 to every id"),
        (np.zeros((2, 0), int), r"got 2 of \[0\]"),
        (np.array([[1, "x"]], dtype=object), "cannot be read"),  # a pickle is not opened
    ],
)
def test_an_array_that_is_no_list_of_splits_is_refused(array, words, tmp_path):
    np.save(tmp_path / "a.npy", array, allow_pickle=True)
    with pytest.raises(ProtocolError, match=words):
        read_class_splits(tmp_path / "a.npy", NAMES)


@pytest.mark.parametrize("ids", [[[1.5, 2]], [[np.nan, 2]], [[1j, 2]], "words only"])
def test_a_mat_file_without_whole_numbers_is_refused(ids, tmp_path):
    savemat(tmp_path / "a.mat", {"ids": ids})
    with pytest.raises(ProtocolError, match="none" if ids == "words only" else "whole numbers"):
        read_class_splits(tmp_path / "a.mat", NAMES)


CLIP_IDS = [f"clip {n}" for n in range(1, 8)]
PLACES = {"trainval_loc": [[1], [2], [5]], "test_seen_loc": [[3]], "test_unseen_loc": [[4], [7]]}


def test_clip_locations(tmp_path):
    path = tmp_path / "att_splits.mat"
    for places in (PLACES, {name: np.array(rows, np.uint16).T for name, rows in PLACES.items()}):
        savemat(path, dict(places) | {"att": np.zeros((3, 4)), "allclasses_names": "words"})
        found = read_clip_splits(path, CLIP_IDS)
        assert found == {name: tuple(f"clip {row[0]}" for row in rows) for name, rows in PLACES.items()}
    with pytest.raises(ProtocolError, match="a.txt"):
        read_clip_splits(tmp_path / "a.txt", CLIP_IDS)
    with pytest.raises(FileNotFoundError, match="a.mat"):
        read_clip_splits(tmp_path / "a.mat", CLIP_IDS)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"test_seen_loc": [[8]]}, "test_seen_loc .*1..7, got 8"),
        ({"trainval_loc": [[0], [1]]}, "trainval_loc .*got 0"),
        ({"test_seen_loc": [[5]]}, "place 5 .*trainval_loc and test_seen_loc"),
        ({"test_unseen_loc": [[4], [4]]}, "place 4 .*test_unseen_loc and test_unseen_loc"),
        ({"test_unseen_loc": [[4.5]]}, "whole numbers"),
        ({"test_seen_loc": "words"}, "it lacks test_seen_loc"),
    ],
)
def test_clip_locations_that_are_none_are_refused(change, words, tmp_path):
    savemat(tmp_path / "att_splits.mat", PLACES | change)
    with pytest.raises(ProtocolError, match=words):
        read_clip_splits(tmp_path / "att_splits.mat", CLIP_IDS)


def test_a_split_of_a_file_within_a_dataset(tmp_path):
    names = ["wave", "clap", "run", "sit", "stand", "jump", "kick"]
    path = written(tmp_path, "splits.txt", "1 3 5\n2 4 6\n")
    clips = pd.DataFrame([(f"{name}/{n}", name) for name in names for n in range(5)], columns=["id", "class"])
    made = intra_dataset_from_file(clips, path, 2, names)
    assert made.unseen == ("clap", "jump", "sit")
    assert made.name == "intra-dataset 50/50, split 2 of splits.txt"
    assert (len(made.seen), len(made.validation)) == (2, 2)
    other = intra_dataset_from_file(clips, path, 1, names, lists="seen", n_validation=0)
    assert set(other.seen) == {"wave", "run", "stand"}
    assert other.name == "intra-dataset 3/4, split 1 of splits.txt"
    for split in (0, 3):
        with pytest.raises(ProtocolError, match=f"1..2 .*got {split}"):
            intra_dataset_from_file(clips, path, split, names)
    with pytest.raises(ProtocolError, match="'clap' has none"):
        intra_dataset_from_file(clips[clips["class"] != "clap"], path, 2, names)
