"""zsar_lab.viz.studies on a small study: every clip has a part, and the example holds what it says."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from zsar_lab.data.video import UnreadableVideo, probe, write_mp4
from zsar_lab.study import Data, Study, Text
from zsar_lab.viz import studies
from zsar_lab.viz.widgets import show_folded
from zsar_lab.workspace import Workspace

pytestmark = pytest.mark.long
CLASSES = "climb crawl fall glide jump lift roll shake slide spin swing walk".split()


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """Twelve classes of three videos; nothing is trained."""
    folder = tmp_path_factory.mktemp("study")
    for kind, name in enumerate(CLASSES):
        (folder / "videos" / name).mkdir(parents=True)
        for clip in range(3):
            frames = np.full((8, 48, 48, 3), 20 * kind + clip, np.uint8)
            write_mp4(folder / "videos" / name / f"{name}{clip}.mp4", frames, fps=8)
    study = Study(Data(str(folder / "videos")), ("random-0",), Text("label"))
    return Workspace(folder / "work", study, workers=1)


def test_every_clip_has_a_part_in_every_split(workspace):
    (account,) = studies.accounts(workspace).values()
    assert len(account) == 36 and account["role"].ne("left out").all()


def test_the_example_is_unseen_clips_under_names_that_say_nothing(workspace):
    folder, label_of = studies.example_videos(workspace, "random-0", per_class=2)
    unseen = set(workspace.protocol("random-0").unseen)
    assert set(label_of.values()) == unseen and len(label_of) == 2 * len(unseen)
    assert {path.name for path in folder.iterdir()} == {*label_of, "broken.mp4", "long.mp4"}
    for name, label in label_of.items():
        originals = (workspace.catalog.root / label).iterdir()
        assert (folder / name).read_bytes() in [path.read_bytes() for path in originals]
    assert probe(folder / "long.mp4").n_frames == len(unseen) * workspace.frames.settings.n_frames
    with pytest.raises(UnreadableVideo):
        probe(folder / "broken.mp4")


def test_what_is_folded_is_escaped(monkeypatch):
    shown = []
    monkeypatch.setattr("zsar_lab.viz.widgets.display", shown.append)
    show_folded("<title>", "a < b")
    assert shown[0].data == "<details><summary>&lt;title&gt;</summary><pre>a &lt; b</pre></details>"


def test_a_folder_that_cannot_be_written_is_a_sentence(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(PermissionError, match="must be writable"):
        Workspace(tmp_path / "file" / "runs" / "demo", Study())
