"""zsar_lab.files: fingerprints, and writing that never leaves half a file."""

from __future__ import annotations

import errno
import hashlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from zsar_lab.files import fingerprint, make_folder, read_json, read_path, write_json, writing, written_path


def test_a_fingerprint_is_a_stated_hash():
    # SHA-256 of the json text and a zero byte, by hashlib and as a literal worked out with `printf '"a"\0' |
    # sha256sum`
    assert fingerprint("a") == hashlib.sha256(b'"a"\x00').hexdigest()[:16] == "1f0033aa97a57b85"
    expected = hashlib.sha256(b'["run", 1]\x00{"a": 2, "b": null}\x00').hexdigest()[:16]
    assert fingerprint(["run", 1], {"b": None, "a": 2}) == expected


def test_equal_content_gives_equal_fingerprints_and_another_gives_another():
    assert fingerprint({"a": 1, "b": [2, 3]}) == fingerprint({"b": (2, 3), "a": 1})
    array = np.arange(6, dtype=np.int64)
    grid = array.reshape(2, 3)
    assert fingerprint(grid) == fingerprint(np.asfortranarray(grid)) == fingerprint(grid.copy())
    assert fingerprint(np.arange(0, 10, 2)) == fingerprint(np.arange(10)[::2][:])
    contents = [(), ("a",), ("b",), ("a", "b"), ("b", "a"), ("ab",), (["a", "b"],), (1,), (1.5,), ("1",)]
    contents += [(None,), (True,), ({"a": 1},), ({"a": 2},), ({"b": 1},), ("ä",), (b"a",), (array,)]
    contents += [(array.astype(np.int32),), (grid,), (array + 1,), (array.tolist(),)]
    assert len({fingerprint(*content) for content in contents}) == len(contents)
    for part in (object(), {1, 2}, Path("a"), np.float32(1)):
        with pytest.raises(TypeError, match="not JSON serializable"):
            fingerprint(part)


def test_writing_makes_the_file_and_its_folders(tmp_path):
    path = tmp_path / "new" / "folder" / "table.csv"
    with writing(path) as temporary:
        assert temporary.parent == path.parent and temporary.suffix == ".csv" and temporary != path
        temporary.write_text("whole")
        assert not path.exists()
    assert path.read_text() == "whole" and list(path.parent.iterdir()) == [path]
    assert path.stat().st_mode & 0o777 == 0o644


def test_the_file_is_exchanged_in_one_go(tmp_path):
    path = tmp_path / "table.csv"
    path.write_text("old")
    with open(path) as reader:  # who has the old file open keeps it whole: it is not written into
        with writing(path) as temporary:
            temporary.write_text("new")
        assert reader.read() == "old"
    assert path.read_text() == "new"


@pytest.mark.parametrize("error", [RuntimeError("planted"), KeyboardInterrupt("planted")])
def test_a_block_that_fails_leaves_the_old_file_and_no_temporary(tmp_path, error):
    path = tmp_path / "table.csv"
    path.write_text("old")
    with pytest.raises(type(error), match="planted"):  # noqa: PT012
        with writing(path) as temporary:
            temporary.write_text("half")
            raise error
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]


def test_a_process_that_is_killed_leaves_the_old_file(tmp_path):
    path = tmp_path / "table.csv"
    path.write_text("old")
    code = (
        "import os, signal, sys\nfrom zsar_lab.files import writing\n"
        "with writing(sys.argv[1]) as temporary:\n"
        "    temporary.write_text('half')\n    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert path.read_text() == "old"
    # what is left beside it is hidden, and the next writing goes through
    assert all(left.name.startswith(".") for left in tmp_path.iterdir() if left != path)
    with writing(path) as temporary:
        temporary.write_text("new")
    assert path.read_text() == "new"


@pytest.mark.parametrize("name", ["file", "file/below"])
def test_a_folder_is_made_with_its_parents_but_where_a_file_lies(tmp_path, name):
    assert make_folder(tmp_path / "a" / "b") == tmp_path / "a" / "b" == make_folder(tmp_path / "a" / "b")
    assert (tmp_path / "a" / "b").is_dir()
    (tmp_path / "file").write_text("a file")
    with pytest.raises(PermissionError, match=f"'{tmp_path / name}'"):
        make_folder(tmp_path / name)
    with pytest.raises(PermissionError), writing(tmp_path / name / "table.csv"):
        pass
    assert (tmp_path / "file").read_text() == "a file"


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="needs a user whom rights hold back")
def test_a_folder_without_rights_is_refused(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(PermissionError, match="must be writable"):
        make_folder(tmp_path)


def test_json_comes_back_and_what_cannot_be_written_leaves_the_old_file(tmp_path):
    content = {"name": "Übung 跑步", "numbers": [1, 2.5, None, True], "nested": {"a": []}}
    write_json(tmp_path / "a.json", content)
    assert read_json(tmp_path / "a.json") == content
    assert "Übung 跑步" in (tmp_path / "a.json").read_text(encoding="utf-8")
    with pytest.raises(TypeError, match="not JSON serializable"):
        write_json(tmp_path / "a.json", [object()])
    assert read_json(tmp_path / "a.json") == content and len(list(tmp_path.iterdir())) == 1


def test_a_cut_json_file_and_one_that_is_not_there_are_refused(tmp_path):
    path = tmp_path / "a.json"
    write_json(path, {"name": "Übung", "numbers": [1, 2, 3]})
    whole = path.read_bytes()
    for length in (0, 5, len(whole) - 3, whole.index("Ü".encode()) + 1):
        path.write_bytes(whole[:length])
        with pytest.raises(ValueError, match=r"a\.json' must be a whole json file"):
            read_json(path)
    for name in ("none.json", "."):
        with pytest.raises(FileNotFoundError):
            read_json(tmp_path / name)


@pytest.mark.parametrize("kind", [OSError, RuntimeError])
def test_a_full_disk_is_one_sentence_whatever_the_library_says(kind, tmp_path):
    (tmp_path / "a.txt").write_text("before")
    with pytest.raises(OSError, match=r"the disk is full, writing '.*a\.txt'"):
        with writing(tmp_path / "a.txt"):
            raise kind(f"I/O error: {os.strerror(errno.ENOSPC)} (os error 28)")
    assert [path.read_text() for path in tmp_path.iterdir()] == ["before"]
    with pytest.raises(kind, match="^other$"), writing(tmp_path / "a.txt"):
        raise kind("other")


def test_paths_in_one_folder_move_with_it(tmp_path):
    here, there = tmp_path / "here", tmp_path / "there"
    written = written_path(here / "videos", here / "catalog")
    assert written == "../videos" and read_path(written, there / "catalog") == there / "videos"
    assert written_path(tmp_path / "elsewhere", here / "catalog") == str(tmp_path / "elsewhere")
    assert read_path(str(tmp_path / "elsewhere"), here / "catalog") == tmp_path / "elsewhere"
    assert written_path(Path("/videos"), Path("/catalog")) == "/videos"
