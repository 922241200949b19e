"""zsar_lab.protocols.split_files: fixed splits in each format, and an error for each file that is not one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.io import savemat

from zsar_lab.protocols.protocol import ProtocolError
from zsar_lab.protocols.split_files import intra_dataset_from_file, read_class_splits

NAMES = ["wave", "clap hands", "run", "sit", "stand", "jump"]
IDS = [[2, 4, 6], [5, 3, 1]]
EXPECTED = [("clap hands", "sit", "jump"), ("wave", "run", "stand")]
WHOLE, SMALL = (np.array(IDS, kind) for kind in (np.int64, np.uint8))
MATLAB_73 = "MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(124) + "\0\2IM" + "\0" * 64


def written(path: Path, content: Any) -> Path:
    """A .mat file of a dictionary, a .npy file of an array, or a file of text or bytes."""
    if isinstance(content, dict):
        savemat(path, content)
    elif isinstance(content, np.ndarray):
        np.save(path, content, allow_pickle=True)
    else:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


@pytest.mark.parametrize(
    ("file_name", "content"),
    [
        ("ids.txt", "# unseen\n2 4 6\n\n5 3 1  # the second\n"),
        ("ids.txt", "\ufeff2\t4\t6\r\n5\t3\t1\r\n"),
        ("ids.csv", "2,4,6\n5, 3, 1"),
        ("ids.TXT", " 2,4 6\n5 3,1,\n"),
        ("ids.json", json.dumps(IDS)),
        ("ids.npy", WHOLE),
        ("ids.npy", SMALL),
        ("ids.mat", {"test_id": WHOLE, "note": "unseen ids", "n": 2.0}),
        ("ids.mat", {"test_id": SMALL}),
        ("names.txt", "clap hands,sit,jump\nstand, run, wave\n"),
        ("names.csv", '"clap hands",sit,jump\nwave,run,stand\n'),
        ("names.txt", "clap hands\tsit\tjump\nwave run stand\n"),
        ("names.json", json.dumps([[NAMES[i - 1] for i in row] for row in IDS])),
    ],
)
def test_a_file_of_ids_or_names(file_name, content, tmp_path):
    assert read_class_splits(written(tmp_path / file_name, content), NAMES) == EXPECTED


def test_a_variable_of_several_and_a_file_of_seen_classes(tmp_path):
    two = written(tmp_path / "two.mat", {"test_id": WHOLE * 1.0, "train_id": WHOLE[::-1] * 1.0})
    assert read_class_splits(two, NAMES, variable="train_id") == EXPECTED[::-1]
    for variable in (None, "three"):
        with pytest.raises(ProtocolError, match=r"\(test_id, train_id\)"):
            read_class_splits(two, NAMES, variable=variable)
    path = written(tmp_path / "seen.txt", "2 4\n5 3\n")
    seen = [("wave", "run", "stand", "jump"), ("wave", "clap hands", "sit", "jump")]
    assert read_class_splits(path, NAMES, lists="seen") == seen
    with pytest.raises(ProtocolError, match="'test'"):
        read_class_splits(path, NAMES, lists="test")


@pytest.mark.parametrize(
    ("file_name", "content", "words"),
    [
        ("a.txt", "1 2 7\n", "1..6, got 7 in split 1"),
        ("a.txt", "1 2 3\n0 1 2\n", "1..6, got 0 in split 2; add 1"),
        ("a.csv", "1,2\n3,3\n", "split 2 .* 3 twice"),
        ("a.csv", "run,sit\nsit,sit\n", "split 2 .* 'sit' twice"),
        ("a.txt", "1 2 3\n4 5\n", r"got 2 of \[2, 3\]"),
        ("a.txt", "# nothing\n", r"got 0 of \[\]"),
        ("a.json", "[[1, 2], []]", r"got 2 of \[0, 2\]"),
        ("a.txt", "run,swim\n", "6 names, got 'swim' in split 1"),
        ("a.txt", "1,2.5\n", "6 names, got 1 in split 1"),
        ("a.txt", "übung,run".encode("latin-1"), "cannot be read"),
        ("a.json", "[1, 2, 3]", r"\[1, 2, 3\]"),
        ("a.json", "[[1, null]]", "got None"),
        ("a.json", "[[1, true]]", "got True"),
        ("a.json", "[[1, 2", "cannot be read"),
        ("a.npy", "1 2 3", "cannot be read"),
        ("a.npy", "", "cannot be read"),
        ("a.npy", np.array([[1, "x"]], dtype=object), "cannot be read"),  # a pickle is not opened
        ("a.npy", np.array([1, 2, 3]), r"got int64 of shape \(3,\)"),
        ("a.npy", WHOLE * 1.0, "got float64"),
        ("a.npy", np.array([["wave", "run"]]), "got <U4"),
        ("a.npy", np.zeros((2, 0), int), r"got 2 of \[0\]"),
        ("a.mat", "1 2 3", "cannot be read"),
        ("a.mat", "", "cannot be read"),
        ("a.mat", MATLAB_73, "7.3"),
        ("a.mat", {"ids": [[1.5, 2]]}, "whole numbers"),
        ("a.mat", {"ids": [[1j, 2]]}, "whole numbers"),
        ("a.mat", {"ids": "words only"}, "none"),
        ("a.xlsx", "1 2 3", ".txt, .csv, .json, .npy, .mat"),
    ],
)
def test_a_file_that_is_no_list_of_splits_is_refused(file_name, content, words, tmp_path):
    path = written(tmp_path / file_name, content)
    with pytest.raises(ProtocolError, match=words) as refused:
        read_class_splits(path, NAMES)
    assert str(path) in str(refused.value)
    if path.suffix != ".xlsx":
        with pytest.raises(FileNotFoundError, match="none"):
            read_class_splits(tmp_path / f"none{path.suffix}", NAMES)


def test_a_split_of_a_file_within_a_dataset(tmp_path):
    names = ["wave", "clap", "run", "sit", "stand", "jump", "kick"]
    path = written(tmp_path / "splits.txt", "1 3 5\n2 4 6\n")
    clips = pd.DataFrame([(f"{name}/{n}", name) for name in names for n in range(5)], columns=["id", "class"])
    made = intra_dataset_from_file(clips, path, 2, names)
    assert (made.unseen, len(made.seen), len(made.validation)) == (("clap", "jump", "sit"), 2, 2)
    assert made.name == "intra-dataset 50/50, split 2 of splits.txt"
    other = intra_dataset_from_file(clips, path, 1, names, lists="seen", n_validation=0)
    assert set(other.seen) == {"wave", "run", "stand"}
    assert other.name == "intra-dataset 3/4, split 1 of splits.txt"
    fewer = clips[clips["class"] != "clap"]
    for table, split, words in ((clips, 0, "1..2 .*got 0"), (clips, 3, "1..2 .*got 3"), (fewer, 2, "'clap'")):
        with pytest.raises(ProtocolError, match=words):
            intra_dataset_from_file(table, path, split, names)
