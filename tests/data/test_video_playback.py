"""What plays in a browser is said by what a file holds; tests/browser asks Chromium itself."""

from __future__ import annotations

import pytest
from painted_videos import Kind, write

from zsar_lab.data import video_playback
from zsar_lab.data.video import plays_in_browser

PLAYS = {
    Kind("h264", "mp4", 4): True,
    Kind("h264", "mkv", 4): True,
    Kind("vp9", "webm", 4): True,
    Kind("h264", "mp4", 4, tracks="second"): True,
    Kind("h264", "mkv", 4, tracks="second"): False,
    Kind("mpeg4", "mp4", 4): False,
    Kind("h264", "ts", 4): False,
    Kind("h264", "avi", 4): False,
    Kind("h264", "h264", 4): False,
}


@pytest.mark.parametrize("kind", PLAYS, ids=str)
def test_what_plays_is_said_by_what_the_file_holds(tmp_path, kind):
    path = tmp_path / f"x.{kind.suffix}"
    write(kind, path)
    assert plays_in_browser(path.rename(tmp_path / "x.mp4")) == PLAYS[kind]


def test_a_file_is_opened_once_and_again_when_it_changes(tmp_path, monkeypatch):
    path, opened, times = tmp_path / "x.mp4", video_playback.opened, []
    monkeypatch.setattr(video_playback, "opened", lambda path: times.append(path) or opened(path))
    for kind, plays in ((Kind("h264", "mp4", 4), True), (Kind("mpeg4", "mp4", 4), False)):
        write(kind, path)
        assert [plays_in_browser(path) for _ in range(3)] == [plays] * 3
    assert times == [path] * 2
