"""What `import zsar_lab as zl` gives, its examples as doctests on a small study, and classify on the same."""

from __future__ import annotations

import doctest
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import zsar_lab as zl
from zsar_lab import api
from zsar_lab.cli import main
from zsar_lab.data.sampling import WindowSettings
from zsar_lab.data.video import write_mp4
from zsar_lab.infer.model import load_model
from zsar_lab.methods.clips import SplitClips
from zsar_lab.study import Data, Study, Text, Training
from zsar_lab.workspace import Workspace

pytestmark = pytest.mark.long

CLASSES = (
    "climb",
    "crawl",
    "fall",
    "glide",
    "jump",
    "lift",
    "roll",
    "shake",
    "slide",
    "spin",
    "swing",
    "walk",
)


def _frames(kind: int, seed: int, n_frames: int = 16) -> np.ndarray:
    """A square that moves in one of twelve ways."""
    random = np.random.default_rng([kind, seed])
    frames = random.integers(0, 40, (n_frames, 48, 48, 3), dtype=np.uint8)
    angle, pace = 2 * np.pi * (kind % 6) / 6, 1 + kind // 6
    for t in range(n_frames):
        x, y = (int(20 + pace * (t - 8) * part) % 40 for part in (np.cos(angle), np.sin(angle)))
        frames[t, y : y + 8, x : x + 8] = 255
    return frames


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a trained study in runs/demo, a video and class folders."""
    folder = tmp_path_factory.mktemp("prompt")
    for kind, name in enumerate(CLASSES):
        (folder / "videos" / name).mkdir(parents=True)
        for clip in range(3):
            write_mp4(folder / "videos" / name / f"{name}{clip}.mp4", _frames(kind, clip), fps=8)
    shutil.copy(folder / "videos" / "walk" / "walk0.mp4", folder / "walk.mp4")
    write_mp4(folder / "long.mp4", np.concatenate([_frames(kind, 9, 60) for kind in (0, 3)]), fps=8)
    study = Study(
        data=Data(videos=str(folder / "videos")),
        protocols=("random-0",),
        text=Text(prompt="label"),
        training=Training(epochs=1),
    )
    workspace = Workspace(folder / "runs" / "demo", study, workers=1)
    workspace.train("random-0")
    return folder


@pytest.fixture
def there(here: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(here)
    return here


@pytest.mark.parametrize("name", zl.__all__)
def test_an_example_at_the_prompt_does_what_it_says(there, name):
    test = doctest.DocTestFinder(recurse=False).find(getattr(zl, name), name, module=False, globs={})[0]
    assert test.examples
    found = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE).run(test)
    assert found.failed == 0


def test_the_prompt_gives_what_it_lists():
    assert set(zl.__all__) == set(api.__all__) <= set(dir(zl))
    with pytest.raises(AttributeError, match="has no attribute 'clasify'; at a prompt it has classify, "):
        zl.clasify  # noqa: B018


def test_unseen_clips_are_named_as_the_study_scores_them(there):
    workspace = zl.open_workspace()
    protocol, clips = workspace.protocol("random-0"), workspace.embeddings("random-0")
    paths = [f"videos/{clip}.mp4" for clip in protocol.test_clips]
    table = zl.classify(paths, list(protocol.unseen), limits=api.Limits(1))
    gathered = SplitClips.of(clips, protocol)
    scores = gathered.fit(workspace.class_embeddings(), "transfer").scores(gathered.test)
    assert table["prediction"].tolist() == [protocol.unseen[c] for c in scores.argmax(1)]
    np.testing.assert_allclose(
        table["score"], scores.max(1), atol=2e-3
    )  # embeddings are kept in half precision


def test_a_long_video_is_cut_and_a_short_one_is_not(there):
    table = zl.classify(
        ["long.mp4", "walk.mp4", "gone.mp4"], ["climbing", "gliding"], windows=WindowSettings(whole_up_to_s=4)
    )
    counts = table["path"].map(lambda path: Path(path).name).value_counts()
    assert counts["long.mp4"] >= 13 and counts["walk.mp4"] == counts["gone.mp4"] == 1
    long = table[table["path"].str.endswith("long.mp4")]
    assert long["start_s"].is_monotonic_increasing and long["end_s"].max() == pytest.approx(15)
    assert "there is no such file" in table["why"].iloc[-1]


def test_the_command_streams_json_and_scores_labelled_folders(there, capsys):
    assert (
        main(
            [
                "classify",
                "videos",
                "--names",
                *CLASSES,
                "--model",
                "runs/demo/trainings/random-0",
                "--json",
                "--workers",
                "1",
            ]
        )
        == 0
    )
    printed = capsys.readouterr()
    rows = [json.loads(line) for line in printed.out.splitlines()]
    assert (
        len(rows) == 36
        and {row["prediction"] for row in rows} <= set(CLASSES)
        and all(len(row["best"]) == 5 for row in rows)
    )
    right = sum(row["prediction"] == row["label"] for row in rows)
    assert (
        f"36 labelled windows: {100 * right / 36:.1f} % right (chance 8.3 %)" in printed.err
        and "windows a second" in printed.err
    )


def test_the_command_writes_a_table_and_a_timeline(there, capsys, tmp_path):
    (tmp_path / "c.csv").write_text("name,description\nclimb,\nglide,A square glides.\n")
    page = tmp_path / "t.html"
    given = [
        "classify",
        "long.mp4",
        "--names",
        "climb",
        "glide",
        "--csv",
        "--window",
        "4",
        "--stride",
        "3",
        "--timeline",
        str(page),
    ]
    assert main(given) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("path,label,start_s") and len(lines) == 6
    assert "What is seen in long.mp4" in page.read_text()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            ["--names", "walk"],
            "2 classes or more",
        ),
        (["--names", "walk", "Walk"], "must differ in more than case"),
        (["--classes", "none.csv"], "'none.csv'"),
        (["--names", "walk", "run", "--model", "nowhere/at-all/here"], "nowhere/at-all/here"),
        (
            ["--names", "walk", "run", "--split", "random-7"],
            "a split must be one of random-0, got 'random-7'",
        ),
        (
            ["--names", "walk", "run", "--prompt", "description"],
            "the prompt of transfer must be one of label, got 'description'",
        ),
        (["--names", "walk", "run", "--stride", "-1"], "stride_s"),
        (["--names", "walk", "--names", "run"], "--names must be given once"),
        (["--names", "walk", "run", "--classes", "c.csv"], "either --classes or --names"),
        ([], "either --classes or --names"),
        (["--names", "walk", "run", "--csv", "--json"], "at most one of --json and --csv"),
        (
            ["--names", "walk", "run", "b.mp4"],
            "a class name must be no video, got 'b.mp4'",
        ),
        (
            ["--names", "walk", "run", "--timeline", "walk.mp4"],
            "in a folder that is there, got 'walk.mp4'",
        ),
        (
            ["--names", "walk", "run", "--timeline", "nowhere/t.html"],
            "in a folder that is there, got 'nowhere/t.html'",
        ),
    ],
)
def test_bad_input_is_one_sentence(there, capsys, arguments, said):
    assert main(["classify", "walk.mp4", *arguments]) == 2
    assert said in capsys.readouterr().err


def test_a_timeline_of_nothing_is_not_written(there, capsys, tmp_path):
    (tmp_path / "x.mp4").write_bytes(b"no video")
    assert (
        main(
            [
                "classify",
                str(tmp_path / "x.mp4"),
                "--names",
                "walk",
                "run",
                "--timeline",
                str(tmp_path / "t.html"),
            ]
        )
        == 0
    )
    assert (
        "No video could be read, so there is no timeline" in capsys.readouterr().err
        and not (tmp_path / "t.html").exists()
    )


def test_who_reads_the_output_may_have_enough(there):
    command = [
        sys.executable,
        "-m",
        "zsar_lab",
        "classify",
        "long.mp4",
        "--names",
        "walk",
        "run",
        "--stride",
        "0.2",
        "--csv",
    ]
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment
    ) as process:
        assert process.stdout.readline().startswith(b"path,label")
        process.stdout.close()
        said = process.stderr.read().decode()
        assert process.wait(120) == 141 and "Broken pipe" not in said and "Traceback" not in said


def test_a_folder_is_a_workspace_too(there):
    assert zl.embeddings("runs/demo")[1].equals(zl.embeddings(zl.open_workspace("runs/demo"))[1])


def test_without_any_video(there, tmp_path):
    with pytest.raises((ValueError, FileNotFoundError), match=str(tmp_path)):
        zl.classify(tmp_path, ["walk", "run"])


def test_without_the_demo(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(
        FileNotFoundError,
        match="runs/demo",
    ):
        load_model()


def test_a_file_by_itself_is_no_model(there, tmp_path):
    shutil.copy("runs/demo/trainings/random-0/checkpoint.safetensors", tmp_path / "c.safetensors")
    with pytest.raises(
        ValueError,
        match="c.safetensors",
    ):
        load_model(tmp_path / "c.safetensors")
    with pytest.raises(FileNotFoundError, match="config.json or study.json"):
        load_model(tmp_path)


def test_a_model_is_opened_by_its_workspace_training_or_export(there):
    shared = zl.export(zl.open_workspace(), folder="shared/elsewhere")
    of_training = "runs/demo/trainings/random-0"
    forms = (
        "runs/demo",
        of_training,
        f"{of_training}/checkpoint.safetensors",
        "shared/elsewhere",
        "shared/elsewhere/model.safetensors",
    )
    assert {load_model(form).fingerprint for form in forms} == {shared.fingerprint}
    with pytest.raises(
        ValueError,
        match="shared/elsewhere.*random-0",
    ):
        load_model("shared/elsewhere", "random-0")
    with pytest.raises(
        ValueError,
        match="random-0.*random-1",
    ):
        load_model(of_training, "random-1")
    shutil.copytree("shared/elsewhere", "shared/damaged")
    Path("shared/damaged/config.json").write_text('{"kind": ')
    with pytest.raises(
        ValueError,
        match="shared/damaged/config.json",
    ):
        load_model("shared/damaged")


def test_export_and_info_say_what_the_model_is(there, capsys):
    assert main(["export", "--out", "shared/mine"]) == 0
    assert "Written to shared/mine." in capsys.readouterr().out
    assert main(["info", "shared/mine"]) == 0
    said = capsys.readouterr().out
    assert "seen classes; protocol" in said and "chance" in said and "transfer with label" in said


def test_scores_of_lists():
    found = zl.score(["a", "a", "b", "b", "c"], ["a", "b", "b", "b", "a"], candidates=["a", "b", "c", "d"])
    assert (
        found["top1"] == pytest.approx(3 / 5)
        and found["chance"] == 0.25
        and isinstance(pd.DataFrame(found["per_class"]), pd.DataFrame)
    )
    with pytest.raises(ValueError, match="2 .*1"):
        zl.score(["a", "b"], ["a"])
