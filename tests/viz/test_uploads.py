"""zsar_lab.viz.widgets_own_videos_upload: files from the browser, in parts, under safe names, and gone with the kernel."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from coloured_videos import write_video
from test_widgets_own_videos import Box, box, catalog, folder, read, session, text_of  # noqa: F401  (the small ones are fixtures)

from zsar_lab.viz import widgets_own_videos_upload as upload

pytestmark = pytest.mark.long


def send(box: Box, name: str, content: bytes, part: int = 1000) -> None:
    """As the button does it: a part only when the one before was answered by "more"."""
    key, answers = f"key {name}", []
    box.upload.send = answers.append
    box.upload._handle_custom_msg({"kind": "start", "key": key, "name": name, "size": len(content)}, [])
    for start in range(0, len(content), part):
        if answers[-1] == {"key": key, "more": True}:
            box.upload._handle_custom_msg(
                {"kind": "part", "key": key}, [memoryview(content[start : start + part])]
            )
    assert answers[-1] == {"key": key, "more": False}


def uploads_folder(box: Box) -> Path:
    return box.upload._msg_callbacks.callbacks[0].__self__.folder


def test_an_upload_is_written_in_parts_read_and_named(box, session, tmp_path):
    content = write_video(tmp_path / "x.mp4", ["blue"]).read_bytes()
    send(box, "../../x.mp4", content)
    folder = uploads_folder(box)
    assert [path.name for path in folder.iterdir()] == ["x.mp4"] and (
        folder / "x.mp4"
    ).read_bytes() == content
    assert not (folder.parent / "x.mp4").exists() and not (folder.parent.parent / "x.mp4").exists()
    send(box, "C:\\films\\x.mp4", content)
    assert text_of(box.uploaded.value) == "uploaded: x.mp4 (0.0 MB), x (2).mp4 (0.0 MB)"
    box.read_uploads.click()
    assert session.table["name"].tolist() == ["blue", "blue"] and session.table["path"].tolist() == [
        str(folder / "x.mp4"),
        str(folder / "x (2).mp4"),
    ]
    box.sure.click()
    box.save_to.value = str(tmp_path / "kept")
    box.save.click()
    assert "2 clips lie where uploads go: their frames are kept, the videos go with this widget." in text_of(
        box.save_said.value
    )


def test_what_cannot_be_uploaded_is_said(box, session, tmp_path):
    send(box, "notes.txt", b"x")
    assert "an uploaded file must be a video (.3gp .avi" in text_of(
        box.uploaded.value
    ) and "got 'notes.txt'" in text_of(box.uploaded.value)
    box.upload._handle_custom_msg({"kind": "start", "key": "k", "name": "long.mp4", "size": 60_000_000}, [])
    assert "at most 50 MB, 'long.mp4' has 60 MB; put it into a folder" in text_of(box.uploaded.value)
    box.upload._handle_custom_msg({"kind": "part", "key": "k"}, [b"x"])
    assert "a part of a file came that was not begun" in text_of(box.uploaded.value)
    box.upload._handle_custom_msg({"kind": "start", "key": "k", "name": "a.mp4", "size": 2}, [])
    box.upload._handle_custom_msg({"kind": "part", "key": "k"}, [b"xyz"])
    assert "'a.mp4' must have the 2 bytes that were announced, got 3" in text_of(box.uploaded.value)
    assert list(uploads_folder(box).iterdir()) == [] and box.read_uploads.disabled
    send(box, "a.mp4", write_video(tmp_path / "a.mp4", ["red"]).read_bytes())
    assert (
        "got 'notes.txt'" in text_of(box.uploaded.value) and not box.read_uploads.disabled
    )  # what was refused still stands there
    box.read_uploads.click()
    assert text_of(box.uploaded.value) == "uploaded: a.mp4 (0.0 MB)" and session.table["name"].tolist() == [
        "red"
    ]


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("../../x.mp4", "x.mp4"),
        ("/etc/x.MP4", "x.MP4"),
        ("a\\..\\b.mov", "b.mov"),
        (".hidden.mp4", "hidden.mp4"),
        ("a\nb<c>.mp4", "a_b_c_.mp4"),
        ("é 動.webm", "é 動.webm"),
        ("taken.mp4", "taken (3).mp4"),
        ("x" * 300 + ".mp4", "x" * 120 + ".mp4"),
    ],
)
def test_names_are_made_safe(name, safe):
    assert upload.safe_name(name, {"taken.mp4", "taken (2).mp4"}) == safe


@pytest.mark.parametrize("name", ["..", "../", "mp4", "x.mp4/", "", ".mp4", "x.exe"])
def test_names_of_no_video_are_refused(name):
    with pytest.raises(ValueError, match="an uploaded file must be a video"):
        upload.safe_name(name, set())


def test_a_long_name_in_another_script_can_be_written(tmp_path):
    name = upload.safe_name("動" * 300 + ".mp4", set())
    (tmp_path / name).touch()
    assert 90 < len(name.encode()) <= 255


def test_uploads_go_with_the_process():
    code = "from zsar_lab.viz import widgets_own_videos_upload as upload; u = upload.Uploads(print); print(u.folder, u.folder.is_dir())"
    said = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[2],
    ).stdout
    folder, was_there = said.split()
    assert was_there == "True" and not Path(folder).exists()
