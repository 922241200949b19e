"""find_videos: files, folders and csv files become one table; what is no video has its reason."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from zsar_lab.data.datasets.folders import find_videos


def touch(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


def listed(paths, below: Path | None = None) -> list[tuple[str, str, str]]:
    """Path, label and reason of each row; paths relative to a folder, reasons without brackets."""
    table = find_videos(paths)
    assert list(table.columns) == ["path", "label", "reason"] and table.index.tolist() == list(
        range(len(table))
    )
    rows = list(table.itertuples(index=False, name=None))
    if below is None:
        return rows
    return [(os.path.relpath(path, below), label, reason.split(" (")[0]) for path, label, reason in rows]


def test_a_file_is_itself_as_text_or_path(tmp_path, monkeypatch):
    path = touch(tmp_path, "run/a.MP4") / "run" / "a.MP4"
    assert listed(path) == listed(str(path)) == listed([path]) == [(str(path), "", "")]
    monkeypatch.chdir(tmp_path)
    assert listed("run/a.MP4") == [("run/a.MP4", "", "")]


@pytest.mark.parametrize("paths", [3, None, [1], [None]])
def test_what_is_no_path_is_refused(paths):
    with pytest.raises(ValueError, match="paths must be a video, a folder"):
        find_videos(paths)


def test_a_folder_is_the_videos_below_it_with_the_names_of_class_folders(tmp_path):
    videos = ["b.mov", "run/b.mp4", "run/a.avi", "a b/é.webm", "run/inner/c.mp4"]
    others = ["run/notes.txt", "README", ".h.mp4", ".cache/x.mp4", "run/.x.mp4"]
    root = touch(tmp_path / "own", *videos, *others)
    labels = {"a b/é.webm": "a b", "b.mov": "", "run/a.avi": "run", "run/b.mp4": "run", "run/inner/c.mp4": ""}
    assert listed(root, root) == [(path, label, "") for path, label in labels.items()]
    assert [label for _, label, _ in listed(root / "run")] == ["", "", "inner"]


def test_a_video_stands_once_where_it_is_named_first(tmp_path):
    root = touch(tmp_path, "run/a.mp4", "run/b.mp4")
    b, a = str(root / "run/b.mp4"), str(root / "run/a.mp4")
    again = os.path.join(root, "run", "..", "run", "b.mp4")
    assert listed([b, again, root]) == [(b, "run", ""), (a, "run", "")]


def test_a_csv_file_names_videos_beside_it_and_their_labels(tmp_path):
    root = touch(tmp_path / "own", "run/a.mp4", "run/b.mp4", "c.mp4")
    lines = [
        "path,note,label",
        "run/a.mp4,x,hop",
        "",
        '"c.mp4","1, 2",',
        "run/gone.mp4,,run",
        "list.csv,,",
        "run,,",
    ]
    (root / "list.csv").write_text("\n".join(lines), encoding="utf-8-sig")
    assert listed(root / "list.csv", root) == [
        ("run/a.mp4", "hop", ""),
        ("c.mp4", "", ""),
        ("run/gone.mp4", "run", "there is no such file"),
        ("list.csv", "", "its suffix '.csv' is not that of a video"),
        ("run", "", "it is a folder"),
    ]
    for order in ([root, root / "list.csv"], [root / "list.csv", root]):
        labels = {path: label for path, label, _ in listed(order, root)}
        assert [labels[name] for name in ("run/a.mp4", "run/b.mp4", "c.mp4")] == ["hop", "run", ""]


def test_a_txt_file_lists_a_file_and_its_id_or_label_a_line(tmp_path):
    root = touch(tmp_path, "v/a b.mp4", "v/c.avi", "v/d.mp4")
    (root / "test.txt").write_text("v/a b.mp4 12\n\nv/c.avi\tlong jump\nv/d.mp4\ngone.mp4 3\n")
    assert listed(root / "test.txt", root) == [
        ("v/a b.mp4", "12", ""),
        ("v/c.avi", "long jump", ""),
        ("v/d.mp4", "", ""),
        ("gone.mp4", "3", "there is no such file"),
    ]


def test_a_csv_file_without_labels_and_with_absolute_paths(tmp_path):
    touch(tmp_path, "videos/a.mp4", "lists/x.csv")
    (tmp_path / "lists" / "x.csv").write_text(f"path\n{tmp_path}/videos/a.mp4\n../videos/a.mp4\n")
    assert listed(tmp_path / "lists" / "x.csv") == [(f"{tmp_path}/videos/a.mp4", "", "")]


def test_what_is_no_video_has_its_reason_and_the_rest_goes_on(tmp_path):
    root = touch(tmp_path, "a.mp4", "notes.txt", "none/README", "link/x.mp4")
    (root / "link" / "y.mp4").symlink_to(root / "gone.mp4")
    assert listed([root / name for name in ("notes.txt", "gone.mp4", "none", "a.mp4", "link")], root) == [
        ("notes.txt", "", "its suffix '.txt' is not that of a video"),
        ("gone.mp4", "", "there is no such file"),
        ("none", "", "no video"),
        ("a.mp4", "", ""),
        ("link/x.mp4", "", ""),
        ("link/y.mp4", "", "it is a link that leads to no file"),
    ]


def test_links_are_followed_once_and_never_in_circles(tmp_path):
    root = touch(tmp_path / "own", "run/a.mp4")
    disk = touch(tmp_path / "disk", "b.mp4")
    for name, target in {"run/up": root, "hop": disk, "skip": disk}.items():
        (root / name).symlink_to(target)
    assert listed(root, root) == [("hop/b.mp4", "hop", ""), ("run/a.mp4", "run", "")]


def test_a_name_that_is_no_text_is_told_and_can_be_written(tmp_path):
    root = touch(tmp_path, "a.mp4", "new\nline.mp4", os.fsdecode(b"\xff.mp4"))
    odd = "a path must be printable UTF-8; rename it"
    expected = {"a.mp4": "", "new\\nline.mp4": odd, "\\udcff.mp4": odd}
    assert listed(root, root) == [(path, "", reason) for path, reason in expected.items()]
    find_videos(root).to_csv(tmp_path / "table.csv", encoding="utf-8")


def test_a_folder_that_may_not_be_listed_is_named(tmp_path, monkeypatch):
    root, real = touch(tmp_path, "run/a.mp4", "hop/b.mp4"), os.scandir

    def refuse(folder):
        if Path(folder).name == "hop":
            raise PermissionError(13, "Permission denied", str(folder))
        return real(folder)

    monkeypatch.setattr(os, "scandir", refuse)
    assert listed(root, root) == [("run/a.mp4", "run", ""), ("hop", "", "the folder cannot be listed")]


def test_nothing_found_is_one_sentence(tmp_path):
    touch(tmp_path, "empty/README", "notes.txt")
    (tmp_path / "list.csv").write_text("path\n")
    for names, words in ((["gone"], "gone'"), (["gone", "gone.mp4"], r"gone' \(and 1 more\)")):
        with pytest.raises(FileNotFoundError, match=words):
            find_videos([tmp_path / name for name in names])
    for name, words in {
        "empty": "no video .*in the folder",
        "notes.txt": "'.txt'",
        "list.csv": "got none$",
    }.items():
        with pytest.raises(ValueError, match=rf"\(.3gp .*\) .*{name}', got none.*{words}|{words}"):
            find_videos(tmp_path / name)
    with pytest.raises(ValueError, match="at least one"):
        find_videos([])


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"file,label\na.mp4,x\n", "one column 'path', .*file, label"),
        (b"path,label\n,x\n", "must name a video, line 2"),
        (b"path,label\na.mp4,x\n./a.mp4,y\n", "a.mp4' must have one label, got x and y"),
    ],
)
def test_a_csv_file_that_is_no_list_is_refused(tmp_path, content, words):
    (tmp_path / "list.csv").write_bytes(content)
    with pytest.raises(ValueError, match=words) as caught:
        find_videos(tmp_path / "list.csv")
    assert "list.csv" in str(caught.value) or "a.mp4" in str(caught.value)
