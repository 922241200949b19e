"""zsar_lab.data.datasets.folders: files, folders and csv files become one table; what is no video has its reason. No video is opened."""

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


def listed(paths) -> list[tuple[str, str, str]]:
    table = find_videos(paths)
    assert list(table.columns) == ["path", "label", "reason"] and table.index.tolist() == list(
        range(len(table))
    )
    return list(table.itertuples(index=False, name=None))


def test_a_file_is_itself_as_text_or_path(tmp_path, monkeypatch):
    touch(tmp_path, "run/a.MP4")
    path = tmp_path / "run" / "a.MP4"
    assert listed(path) == listed(str(path)) == listed([path]) == [(str(path), "", "")]
    monkeypatch.chdir(tmp_path)
    assert listed("run/a.MP4") == [("run/a.MP4", "", "")]


@pytest.mark.parametrize("paths", [3, None, [1], [None]])
def test_what_is_no_path_is_refused(paths):
    with pytest.raises(
        ValueError, match="paths must be a video, a folder, a csv file or a list of them, got"
    ):
        find_videos(paths)


def test_a_folder_is_the_videos_below_it_with_the_names_of_class_folders(tmp_path):
    videos, others = (
        ["b.mov", "run/b.mp4", "run/a.avi", "a b/é.webm", "run/inner/c.mp4"],
        ["run/notes.txt", "README"],
    )
    root = touch(tmp_path / "own", *videos, *others, ".h.mp4", ".cache/x.mp4", "run/.x.mp4")
    found = [(os.path.relpath(path, root), label, reason) for path, label, reason in listed(root)]
    assert found == [
        ("a b/é.webm", "a b", ""),
        ("b.mov", "", ""),
        ("run/a.avi", "run", ""),
        ("run/b.mp4", "run", ""),
        ("run/inner/c.mp4", "", ""),
    ]
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
    found = listed(root / "list.csv")
    assert [(os.path.relpath(path, root), label) for path, label, _ in found] == [
        ("run/a.mp4", "hop"),
        ("c.mp4", ""),
        ("run/gone.mp4", "run"),
        ("list.csv", ""),
        ("run", ""),
    ]
    reasons = [reason.split(" (")[0] for _, _, reason in found]
    assert reasons == [
        "",
        "",
        "there is no such file",
        "its suffix '.csv' is not that of a video",
        "it is a folder",
    ]
    for order in ([root, root / "list.csv"], [root / "list.csv", root]):
        labels = {os.path.relpath(path, root): label for path, label, _ in listed(order)}
        assert {name: labels[name] for name in ("run/a.mp4", "run/b.mp4", "c.mp4")} == {
            "run/a.mp4": "hop",
            "run/b.mp4": "run",
            "c.mp4": "",
        }


def test_a_csv_file_without_labels_and_with_absolute_paths(tmp_path):
    touch(tmp_path, "videos/a.mp4")
    (tmp_path / "lists").mkdir()
    (tmp_path / "lists" / "x.csv").write_text(f"path\n{tmp_path}/videos/a.mp4\n../videos/a.mp4\n")
    assert listed(tmp_path / "lists" / "x.csv") == [(f"{tmp_path}/videos/a.mp4", "", "")]


def test_what_is_no_video_has_its_reason_and_the_rest_goes_on(tmp_path):
    root = touch(tmp_path, "a.mp4", "notes.txt", "none/README", "link/x.mp4")
    (root / "link" / "y.mp4").symlink_to(root / "gone.mp4")
    found = listed([root / "notes.txt", root / "gone.mp4", root / "none", root / "a.mp4", root / "link"])
    assert [(os.path.relpath(path, root), reason.split(" (")[0]) for path, _, reason in found] == [
        ("notes.txt", "its suffix '.txt' is not that of a video"),
        ("gone.mp4", "there is no such file"),
        ("none", "no video"),
        ("a.mp4", ""),
        ("link/x.mp4", ""),
        ("link/y.mp4", "it is a link that leads to no file"),
    ]
    assert "(.3gp .avi .flv .gif" in found[0][2] and found[2][2].endswith("lies in the folder")


def test_links_are_followed_once_and_never_in_circles(tmp_path):
    root = touch(tmp_path / "own", "run/a.mp4")
    touch(tmp_path / "disk", "b.mp4")
    (root / "run" / "up").symlink_to(root)
    (root / "hop").symlink_to(tmp_path / "disk")
    (root / "skip").symlink_to(tmp_path / "disk")
    assert [(os.path.relpath(path, root), label) for path, label, _ in listed(root)] == [
        ("hop/b.mp4", "hop"),
        ("run/a.mp4", "run"),
    ]


def test_a_name_that_is_no_text_is_told_and_can_be_written(tmp_path):
    root = touch(tmp_path, "a.mp4", "new\nline.mp4")
    with open(os.fsencode(root) + b"/\xff.mp4", "wb"):
        pass
    table = find_videos(root)
    assert table["path"].map(os.path.basename).tolist() == ["a.mp4", "new\\nline.mp4", "\\udcff.mp4"]
    assert table["reason"].tolist() == ["", *["a path must be printable UTF-8; rename it"] * 2]
    table.to_csv(tmp_path / "table.csv", encoding="utf-8")


def test_a_folder_that_may_not_be_listed_is_named(tmp_path, monkeypatch):
    root, real = touch(tmp_path, "run/a.mp4", "hop/b.mp4"), os.scandir

    def refuse(folder):
        if Path(folder).name == "hop":
            raise PermissionError(13, "Permission denied", str(folder))
        return real(folder)

    monkeypatch.setattr(os, "scandir", refuse)
    assert listed(root) == [
        (str(root / "run/a.mp4"), "run", ""),
        (str(root / "hop"), "", "the folder cannot be listed (Permission denied)"),
    ]


def test_nothing_found_is_one_sentence(tmp_path):
    touch(tmp_path, "empty/README", "notes.txt")
    with pytest.raises(FileNotFoundError, match="there is no file or folder '.*gone'; check the path"):
        find_videos(tmp_path / "gone")
    with pytest.raises(FileNotFoundError, match=r"'.*gone' \(and 1 more\); check"):
        find_videos([tmp_path / "gone", tmp_path / "gone.mp4"])
    with pytest.raises(
        ValueError,
        match=r"at least one video \(.3gp .*\) must be found in '.*empty', got none; the first reason: .*no video",
    ):
        find_videos(tmp_path / "empty")
    with pytest.raises(
        ValueError,
        match="must be found in '.*notes.txt', got none; the first reason: '.*notes.txt': its suffix '.txt' is not",
    ):
        find_videos(tmp_path / "notes.txt")
    with pytest.raises(ValueError, match="paths must name at least one video, folder or csv file, got none"):
        find_videos([])
    (tmp_path / "list.csv").write_text("path\n")
    with pytest.raises(ValueError, match="must be found in '.*list.csv', got none$"):
        find_videos(tmp_path / "list.csv")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            b"file,label\na.mp4,x\n",
            r"must have a column 'path' with one video a row, got the columns \['file', 'label'\]; name the column",
        ),
        (b"", r"must have a column 'path' .* got the columns \[\]"),
        (b"path,label\na.mp4\n", "must have 2 fields as its header, got 1 in row 1; put texts"),
        (b"path,label\n,x\n", "must name a video, got an empty path in row 1; fill it in"),
        (b"path,label\nb\xe9.mp4,x\n", "must be a UTF-8 csv table, but .*; save it again"),
        (
            b"path,label\na.mp4,x\n./a.mp4,y\n",
            "'.*a.mp4' must have one label, got 'x' and 'y'; delete one of its rows",
        ),
    ],
)
def test_a_csv_file_that_is_no_list_is_refused(tmp_path, content, message):
    (tmp_path / "list.csv").write_bytes(content)
    with pytest.raises(ValueError, match=message) as caught:
        find_videos(tmp_path / "list.csv")
    assert "list.csv" in str(caught.value) or "a.mp4" in str(caught.value)
