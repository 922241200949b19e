"""What `import zsar_lab as zl` gives, its examples as doctests on a small study, and classify on the same."""

from __future__ import annotations

import doctest
import json
import os
import re
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
from zsar_lab.infer.predictions import COLUMNS
from zsar_lab.methods.clips import SplitClips
from zsar_lab.study import Data, Study, Text, Training
from zsar_lab.workspace import Workspace

pytestmark = pytest.mark.long

CLASSES = "climb crawl fall glide jump lift roll shake slide spin swing walk".split()


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
def here(tmp_path_factory) -> Path:
    """A folder with a trained study in runs/demo, a video and class folders."""
    folder = tmp_path_factory.mktemp("prompt")
    for kind, name in enumerate(CLASSES):
        (folder / "videos" / name).mkdir(parents=True)
        for clip in range(3):
            write_mp4(folder / "videos" / name / f"{name}{clip}.mp4", _frames(kind, clip), fps=8)
    described = "".join(f"{name},a person can {name} on a stage\n" for name in CLASSES)
    (folder / "videos" / "classes.csv").write_text(f"name,description\n{described}")
    shutil.copy(folder / "videos" / "walk" / "walk0.mp4", folder / "walk.mp4")
    write_mp4(folder / "long.mp4", np.concatenate([_frames(kind, 9, 60) for kind in (0, 3)]), fps=8)
    study = Study(Data(str(folder / "videos")), ("random-0",), Text("label"), Training(epochs=1))
    workspace = Workspace(folder / "runs" / "demo", study, workers=1)
    workspace.train("random-0")
    return folder


@pytest.fixture
def there(here: Path, monkeypatch) -> Path:
    monkeypatch.chdir(here)
    return here


@pytest.mark.parametrize("name", zl.__all__)
def test_an_example_at_the_prompt_does_what_it_says(there, name):
    test = doctest.DocTestFinder(recurse=False).find(getattr(zl, name), name, module=False, globs={})[0]
    assert test.examples
    found = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE).run(test)
    assert found.failed == 0


@pytest.mark.parametrize(
    "page", ["README.md", "docs/evaluation.md", "docs/own_videos.md", "docs/class_texts.md"]
)
def test_the_python_of_a_page_runs(there, page, monkeypatch):
    monkeypatch.setenv("PLOTLY_RENDERER", "json")
    if not Path("my_dataset").exists():
        Path("my_clips").mkdir()
        shutil.copy("walk.mp4", "my_clips/first.mp4")
        for kind, name in enumerate("bounce dance kick nod push wave wink yawn".split()):
            Path("my_dataset", name).mkdir(parents=True)
            for clip in range(3):
                write_mp4(Path("my_dataset", name, f"{name}{clip}.mp4"), _frames(kind, clip), fps=8)
    text = (Path(__file__).parents[1] / page).read_text()
    blocks = re.findall(r"^```python\n(.*?)^```", text, re.M | re.S)
    assert blocks
    for block in blocks:
        exec(compile(block, page, "exec"), {"workspace": zl.Workspace("runs/demo")})


def test_the_prompt_gives_what_it_lists():
    assert set(zl.__all__) <= set(dir(zl)) & set(dir(api))
    with pytest.raises(AttributeError, match="has no attribute 'clasify'"):
        zl.clasify  # noqa: B018


def test_unseen_clips_are_named_as_the_study_scores_them(there):
    workspace = zl.Workspace()
    protocol, clips = workspace.protocol("random-0"), workspace.embeddings("random-0")
    paths = [f"videos/{clip}.mp4" for clip in protocol.test_clips]
    table = zl.classify(paths, list(protocol.unseen), limits=api.Limits(1))
    gathered = SplitClips.of(clips, protocol)
    scores = gathered.fit(workspace.class_embeddings(), "transfer").scores(gathered.test)
    assert table["prediction"].tolist() == [protocol.unseen[c] for c in scores.argmax(1)]
    np.testing.assert_allclose(table["score"], scores.max(1), atol=2e-3)  # kept in half precision
    assert set(table["trained"]) == {"no"}
    mixed = zl.classify(paths, [*protocol.unseen, *protocol.seen], limits=api.Limits(1))
    named = mixed.set_index("prediction")["trained"].to_dict()
    assert named == {name: "exact" if name in protocol.seen else "no" for name in named}


def test_a_long_video_is_cut_and_a_short_one_is_not(there):
    paths, cut = ["long.mp4", "walk.mp4", "gone.mp4"], WindowSettings(whole_up_to_s=4)
    table = zl.classify(paths, ["climbing", "gliding"], windows=cut)
    counts = table["path"].map(lambda path: Path(path).name).value_counts()
    assert counts["long.mp4"] >= 13 and counts["walk.mp4"] == counts["gone.mp4"] == 1
    long = table[table["path"].str.endswith("long.mp4")]
    assert long["start_s"].is_monotonic_increasing and long["end_s"].max() == pytest.approx(15)
    assert "there is no such file" in table["why"].iloc[-1]


def test_the_command_prints_in_order_saves_and_scores_labelled_folders(there, capsys, tmp_path):
    of_training = ["--model", "runs/demo/trainings/random-0", "--json", f"{tmp_path}/j.json"]
    assert main(["classify", "videos", "--names", *CLASSES, *of_training]) == 0
    printed, rows = capsys.readouterr(), json.loads((tmp_path / "j.json").read_text())
    assert [row["path"] for row in rows] == [line.split(" ")[0] for line in printed.out.splitlines()]
    assert len(rows) == 36 and {row["prediction"] for row in rows} <= set(CLASSES)
    assert all(len(row["best"]) == 5 for row in rows)
    right = sum(row["prediction"] == row["label"] for row in rows)
    assert f"36 labelled windows: {100 * right / 36:.1f} % right (chance 8.3 %)" in printed.err
    assert "windows a second" in printed.err and "The model was trained on " in printed.err


def test_lists_of_files_and_ids_and_of_classes_with_ids_are_taken(there, capsys, tmp_path):
    lines = [f"{there}/videos/{name}/{name}0.mp4 {number}" for number, name in enumerate(CLASSES)]
    (tmp_path / "list.txt").write_text("\n".join(lines))
    rows = "".join(f"{n},{name}\n" for n, name in enumerate(CLASSES))
    (tmp_path / "ids.csv").write_text(f"id,name\n{rows}")
    given = ["classify", str(tmp_path / "list.txt"), "--classes", str(tmp_path / "ids.csv"), "--allow-bias"]
    assert main(given) == 0
    said = capsys.readouterr().err
    assert "12 labelled windows: " in said and "Not scored" not in said and "no gamma" in said


def test_the_command_writes_a_table_and_a_timeline(there, capsys, tmp_path):
    page = tmp_path / "t.html"
    given = "classify long.mp4 walk.mp4 --names climb glide --window 4 --stride 3 --timeline".split()
    assert main([*given, str(page), "--csv", str(tmp_path / "t.csv")]) == 0
    rows = pd.read_csv(tmp_path / "t.csv")
    assert list(rows.columns) == COLUMNS and len(rows) == 6
    assert rows["path"].tolist() == ["long.mp4"] * 5 + ["walk.mp4"]  # as given, though long ones come last
    assert rows["start_s"].iloc[:5].is_monotonic_increasing
    assert "What is seen in long.mp4" in page.read_text()


TWO = "--names walk run"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("--names walk", "2 classes or more"),
        ("--classes none.csv", "'none.csv'"),
        (f"{TWO} --model nowhere/at-all/here", "nowhere/at-all/here"),
        (f"{TWO} --split random-7", "got 'random-7'"),
        (f"{TWO} --prompt structure", "got 'structure'"),
        (f"{TWO} --stride -1", "stride_s"),
        ("--names walk --names run", "--names must be given once"),
        (f"{TWO} --classes c.csv", "either --classes or --names"),
        ("", "either --classes or --names"),
        (f"{TWO} --csv walk.mp4", "--csv must name a file of its own"),
        (f"{TWO} --json videos", "--json must name a file of its own"),
        (f"{TWO} b.mp4", "got 'b.mp4'"),
        (f"{TWO} --timeline walk.mp4", "in a folder that is there, got 'walk.mp4'"),
        (f"{TWO} --timeline nowhere/t.html", "in a folder that is there, got 'nowhere/t.html'"),
    ],
)
def test_bad_input_is_one_sentence(there, capsys, arguments, said):
    assert main(["classify", "walk.mp4", *arguments.split()]) == 2
    assert said in capsys.readouterr().err


def test_a_timeline_of_nothing_is_not_written(there, capsys, tmp_path):
    (tmp_path / "x.mp4").write_bytes(b"no video")
    given = ["classify", str(tmp_path / "x.mp4"), *TWO.split(), "--timeline", str(tmp_path / "t.html")]
    assert main(given) == 1  # nothing could be read
    assert "there is no timeline" in capsys.readouterr().err and not (tmp_path / "t.html").exists()


def test_who_reads_the_output_may_have_enough(there):
    command = f"{sys.executable} -m zsar_lab classify walk.mp4 videos long.mp4 {TWO} --stride 0.2".split()
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, env=environment, **pipes) as process:
        assert process.stdout.readline().startswith(b"walk.mp4 0.0-")
        process.stdout.close()
        said = process.stderr.read().decode()
        assert process.wait(120) == 141 and "Broken pipe" not in said and "Traceback" not in said


def test_what_is_no_video_and_no_model(there, tmp_path, monkeypatch):
    with pytest.raises((ValueError, FileNotFoundError), match=str(tmp_path)):
        zl.classify(tmp_path, ["walk", "run"])
    shutil.copy("runs/demo/trainings/random-0/checkpoint.safetensors", tmp_path / "c.safetensors")
    with pytest.raises(ValueError, match="c.safetensors"):
        load_model(tmp_path / "c.safetensors")
    with pytest.raises(FileNotFoundError, match=r"config.json or study.json"):
        load_model(tmp_path)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FileNotFoundError, match="runs/demo"):
        load_model()


def test_a_model_is_opened_by_its_workspace_training_or_export(there):
    shared = zl.export(zl.Workspace(), folder="shared/elsewhere")
    training = "runs/demo/trainings/random-0"
    of_training = training, f"{training}/checkpoint.safetensors"
    forms = "runs/demo", *of_training, "shared/elsewhere", "shared/elsewhere/model.safetensors"
    assert {load_model(form).fingerprint for form in forms} == {shared.fingerprint}
    for form, split in (("shared/elsewhere", "random-0"), (training, "random-1")):
        with pytest.raises(ValueError, match=split):
            load_model(form, split)
    shutil.copytree("shared/elsewhere", "shared/damaged")
    Path("shared/damaged/config.json").write_text('{"kind": ')
    with pytest.raises(ValueError, match="shared/damaged/config.json"):
        load_model("shared/damaged")


def test_export_and_info_say_what_the_model_is(there, capsys):
    assert main(["export", "--out", "shared/mine"]) == 0
    assert "Written to shared/mine." in capsys.readouterr().out
    assert main(["info", "shared/mine"]) == 0
    said = capsys.readouterr().out
    assert "seen classes; protocol" in said and "chance" in said and "transfer with label" in said
