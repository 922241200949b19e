"""zsar_lab.data.catalog: every video is opened once, also over a kill, and bounds are held against the videos."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from test_catalog import make_dataset

from zsar_lab.data import catalog as probing
from zsar_lab.data.catalog import CLIP_COLUMNS, complete_clips, probe_files
from zsar_lab.data.workers import Limits


@pytest.fixture
def root(tmp_path) -> Path:
    return make_dataset(tmp_path / "videos", {"hop": {f"{n}.mp4": 12 + n for n in range(4)}, "run": {}})


@pytest.fixture
def opened(monkeypatch) -> list[str]:
    """The names of the files that are opened, in any order."""
    names: list[str] = []
    run_tasks = probing.run_tasks

    def counted(job, tasks, n_tasks, limits):
        def noted():
            for task in tasks:
                names.append(Path(task["path"]).name)
                yield task

        yield from run_tasks(job, noted(), n_tasks, limits)

    monkeypatch.setattr(probing, "run_tasks", counted)
    return names


def paths_of(root: Path) -> list[str]:
    return sorted(path.relative_to(root).as_posix() for path in root.rglob("*.mp4"))


def test_a_file_is_opened_once_and_again_only_when_it_changed(root, opened, tmp_path):
    (root / "run" / "bad.mp4").write_text("no video")
    paths, journal = paths_of(root), tmp_path / "work" / "probed.jsonl"
    first = probe_files(root, [*paths, paths[0]], Limits(workers=1), journal)
    assert (
        sorted(opened) == ["0.mp4", "1.mp4", "2.mp4", "3.mp4", "bad.mp4"]
        and list(first) != []
        and set(first) == set(paths)
    )
    assert first["hop/2.mp4"] == {
        "n_frames": 14,
        "fps": 12.0,
        "width": 64,
        "height": 64,
        "variable_rate": False,
    }
    assert "damaged, cut off or no video" in first["run/bad.mp4"]
    opened.clear()
    assert probe_files(root, paths, Limits(), journal) == first and opened == []
    (root / "hop" / "1.mp4").write_bytes((root / "hop" / "3.mp4").read_bytes())
    again = probe_files(root, paths, Limits(), journal)
    assert opened == ["1.mp4"] and again["hop/1.mp4"]["n_frames"] == 15


def test_a_line_cut_short_costs_one_file(root, opened, tmp_path):
    paths, journal = [path for path in paths_of(root) if "hop" in path], tmp_path / "probed.jsonl"
    probe_files(root, paths, Limits(workers=1), journal)
    journal.write_bytes(journal.read_bytes()[:-20])
    opened.clear()
    found = probe_files(root, paths, Limits(), journal)
    assert len(opened) == 1 and len(found) == 4
    opened.clear()
    assert probe_files(root, paths, Limits(), journal) == found and opened == []


def test_a_worker_that_died_is_not_a_lasting_answer(root, opened, tmp_path, monkeypatch):
    journal = tmp_path / "probed.jsonl"
    found = probe_files(root, ["hop/0.mp4"], Limits(timeout_s=1e-6), journal)
    assert "took longer than 1e-06 s" in found["hop/0.mp4"]
    assert probe_files(root, ["hop/0.mp4"], Limits(), journal)["hop/0.mp4"]["n_frames"] == 12


def test_bounds_are_held_against_the_video():
    found = {"a.mp4": {"n_frames": 100, "fps": 10.0, "width": 8, "height": 6, "variable_rate": False}}
    found["one.mp4"] = found["a.mp4"] | {"n_frames": 1}
    found["bad.mp4"] = "it is damaged"
    rows = [
        ("1 whole", "a.mp4", np.nan, np.nan, ""),
        ("2 inside", "a.mp4", 2.0, 5.0, ""),
        ("3 a little late", "a.mp4", 2.0, 10.4, ""),
        ("4 late", "a.mp4", 2.0, 10.6, ""),
        ("5 after", "a.mp4", 10.0, 10.2, ""),
        ("6 one frame", "one.mp4", np.nan, np.nan, ""),
        ("7 bad", "bad.mp4", np.nan, np.nan, ""),
        ("8 missing", "", 1.0, 2.0, "missing"),
    ]
    table = pd.DataFrame(rows, columns=["id", "path", "start_s", "end_s", "status"]).assign(
        **{"class": "x", "group": "", "splits": "", "reason": ""}
    )
    clips = complete_clips(table.sample(frac=1, random_state=0), found).set_index("id")
    assert ["id", *clips.columns] == CLIP_COLUMNS
    assert clips["status"].tolist() == [
        "ok",
        "ok",
        "ok",
        "excluded",
        "excluded",
        "ok",
        "unreadable",
        "missing",
    ]
    assert clips["start_s"].tolist() == [0, 2, 2, 2, 10, 0, 0, 1] and clips["end_s"].tolist() == [
        10,
        5,
        10,
        10.6,
        10.2,
        0.1,
        0,
        2,
    ]
    assert clips["remark"].tolist()[2] == "its end was moved from 10.4 to 10.00 s, where the video ends"
    assert clips["remark"].tolist()[5] == "it has one frame" and set(
        clips["remark"].drop(["3 a little late", "6 one frame"])
    ) == {""}
    assert (
        clips.at["4 late", "reason"]
        == "its annotated 2 to 10.6 s must lie in its video, which ends at 10.00 s"
    )
    assert clips.at["7 bad", "reason"] == "it is damaged" and clips.at["7 bad", "frames"] == 0
