"""The whole path on a small folder of real videos: library and command line, mistakes and interrupts."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tiny_encoders import save_tiny

from zsar_lab.cli import COMMANDS, main
from zsar_lab.data.loader import ViewSettings
from zsar_lab.data.sampling import FrameSettings
from zsar_lab.data.video import write_mp4
from zsar_lab.results.report_files import report_content
from zsar_lab.study import Data, Study, StudyError, Text, Training
from zsar_lab.study_ablation import predictions_without_losses, without_losses
from zsar_lab.train.checkpoint import load_checkpoint
from zsar_lab.workspace import Workspace

pytestmark = pytest.mark.long

FAMILIES = {
    "sliding": ["SlideLeft", "SlideRight", "SlideUp", "SlideDown"],
    "blinking": ["Blink", "SlowBlink", "Fade", "Pulse"],
}


def _frames(kind: int, random: np.random.Generator) -> np.ndarray:
    """A bright square that moves or blinks in one of eight ways, uint8 [16, 48, 48, 3]."""
    frames = random.integers(0, 60, (16, 48, 48, 3), dtype=np.uint8)
    for t in range(16):
        far = t * 2 + 4
        x, y = [(far, 20), (36 - far, 20), (20, 36 - far), (20, far)][kind] if kind < 4 else (20, 20)
        lights = 255 * (t % 2), 255 * (t // 4 % 2), 16 * t, int(127 + 127 * np.sin(t))
        frames[t, y : y + 8, x : x + 8] = lights[kind - 4] if kind >= 4 else 255
    return frames


@pytest.fixture(scope="module")
def videos(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("videos #1 'é'")
    random = np.random.default_rng(0)
    rows = ["name,label,family,description"]
    for family, names in FAMILIES.items():
        for name in names:
            (folder / name).mkdir()
            rows.append(f"{name},,{family},A square that does {name}.")
            for clip in range(5):
                kind = [n for members in FAMILIES.values() for n in members].index(name)
                write_mp4(folder / name / f"{name} [{clip}].mp4", _frames(kind, random), fps=8)
    (folder / "classes.csv").write_text("\n".join(rows), encoding="utf-8")
    (folder / "Blink" / "broken.mp4").write_bytes(b"")
    (folder / "Blink" / "text.mp4").write_text("no video")
    return folder


@pytest.fixture(scope="module")
def study(videos) -> Study:
    return Study(Data(str(videos)), ("stratified-0", "random-0"), Text("description"), Training(epochs=2))


@pytest.fixture(scope="module")
def finished(study, tmp_path_factory) -> Workspace:
    workspace = Workspace(tmp_path_factory.mktemp("work") / "study", study)
    for split in study.splits:  # here; the interrupted training below is one in processes of its own
        workspace.train(split)
    workspace.report()
    return workspace


def refusal(capsys, *arguments: str | Path) -> str:
    """The sentence a command ends in; its status must be 2."""
    assert main([str(argument) for argument in arguments]) == 2
    return capsys.readouterr().err.strip().splitlines()[-1]


def asked(videos, protocol: str = "random-0", **text) -> Study:
    """A study of these videos with one split, by their labels."""
    return Study(Data(str(videos)), (protocol,), Text(**{"prompt": "label"} | text))


def test_report_holds_what_it_promises(finished):
    report = json.loads((finished.folder / "report.json").read_text())
    (split,) = report["splits"]
    groups = [set(split[kind]) for kind in ("seen", "validation", "unseen")]
    assert len(set.union(*groups)) == sum(map(len, groups))
    assert report["chance"] == pytest.approx(1 / len(split["unseen"]))
    assert set(report["methods"]) >= {"direct", "transfer", "match"}
    for name, method in report["methods"].items():
        assert method["setting"] == "inductive" and report["top1"][name] == method["top1"]
        assert 0 <= method["top1_low"] <= method["top1"] <= method["top1_high"] <= 1
        assert method["top1"] <= method["top5"] <= 1 and "hubness_skewness" in method
    assert {"catalog", "frames", "class_text", "checkpoints"} <= set(report["fingerprints"])
    assert len(report["beside"]) == 1
    assert finished.report().table()["std"].isna().all()  # one split has no deviation over splits
    # every clip is scored or excluded with a reason
    catalog, protocol = finished.catalog, finished.protocol("stratified-0")
    assert {clip for ids in protocol.roles.values() for clip in ids} == set(catalog.usable["id"])
    assert len(catalog.excluded) == 2 and (catalog.excluded["reason"].str.len() > 0).all()
    assert set(finished.predictions("stratified-0").ids()) == set(protocol.test_clips)


def test_a_second_look_makes_nothing_again(finished, study):
    def times() -> dict[Path, int]:
        made = {".safetensors", ".npy", ".parquet", ".jsonl"}
        return {p: p.stat().st_mtime_ns for p in finished.folder.rglob("*") if p.suffix in made}

    before, report = times(), json.loads((finished.folder / "report.json").read_text())
    results = Workspace(finished.folder, study).report()
    assert times() == before
    assert len(before) >= 8
    assert json.loads(json.dumps(report_content(results)))["methods"] == report["methods"]
    assert results.title("random").startswith("random classes, 1 split")


@pytest.fixture(scope="module")
def clip_encoder(tmp_path_factory) -> Path:
    return save_tiny(tmp_path_factory.mktemp("models") / "tiny-clip", "clip", longest=20)


def test_another_encoder_and_templates_of_its_own(videos, clip_encoder, tmp_path):
    own = "a film of {label} | someone: {label}"
    study = asked(videos, "stratified-0", prompt=own.split(" | "), encoder=str(clip_encoder))
    workspace = Workspace(tmp_path / "work", replace(study, training=Training(epochs=1)), workers=1)
    with pytest.warns(UserWarning, match=r"not compared: templates"):
        predictions = workspace.predictions("stratified-0")
    read = workspace.class_embeddings()
    assert read.encoder == workspace.encoder.revision
    assert read.pooled_CF.shape == (8, 16)
    assert set(predictions.table["prompt"]) == {own, "label", "template", "description"}
    again = Workspace(workspace.folder)
    assert again.study == workspace.study
    assert again.class_embeddings().fingerprint == read.fingerprint


@pytest.mark.parametrize(
    ("text", "error", "value"),
    [
        ({"prompt": "none.csv"}, FileNotFoundError, "none.csv"),
        ({"prompt": "mine.csv"}, ValueError, "mine.csv"),
        ({"encoder": "nobody/none"}, FileNotFoundError, "nobody/none"),
        ({"trained_layers": 9}, ValueError, "got 9"),
    ],
)
def test_texts_and_encoders_are_checked_before_videos_are_opened(
    text, error, value, videos, tmp_path, monkeypatch
):
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.chdir(tmp_path)
    Path("mine.csv").write_text("title;text\nBlink;a\n")
    with pytest.raises(error, match=value):
        Workspace(tmp_path / "work", asked(videos, **text)).begin()
    assert not any((tmp_path / "work").iterdir())


def test_a_text_that_the_encoder_cannot_read_is_said_before_frames_are_made(videos, clip_encoder, tmp_path):
    long = asked(videos, prompt="{label} " * 30, encoder=str(clip_encoder))
    with pytest.raises(ValueError, match="at most 20 tokens"):
        Workspace(tmp_path / "work", long, workers=1).frames  # noqa: B018
    assert not (tmp_path / "work" / "frames").exists()
    assert not (tmp_path / "work" / "study.json").exists()


def test_a_study_trains_the_preset_that_it_asks_for(finished, videos, tmp_path):
    overrides = {"batch_size": 8, "view": {"n_frames": 8}, "model": {"width": 64}}
    study = Study(
        Data(str(videos), frames=FrameSettings(12, size_px=128)),
        ("random-3",),
        Text(prompt="label", trained_layers=1),
        Training("rest_r3d18", overrides=overrides),
    )
    config = Workspace(tmp_path / "work", study).train_config("random-3")
    assert (config.epochs, config.batch_size, config.seed, config.text_layers) == (150, 8, 3, 1)
    assert config.view == ViewSettings(8, 112, "rgb")
    model, of_demo = config.model, finished.train_config("random-0").model
    assert (model.n_frames, model.size_px, model.width, model.backbone) == (8, 112, 64, "r3d-18")
    for sizes in (model, of_demo):  # these come from the protocol and the class texts
        assert (sizes.n_seen, sizes.text_width, sizes.word_width) == (4, 384, 384)
    assert Workspace(tmp_path / "work").study == study


def test_frames_that_are_too_small_are_said_before_videos_are_opened(videos, tmp_path, capsys):
    work = tmp_path / "work"
    with pytest.raises(ValueError, match="8 frames of 224 px, got 24 of 64 px"):
        Workspace(work, replace(asked(videos), training=Training("rest18"))).begin()
    command = ["study", videos, "--workspace", work, "--prompt", "label", "--frames", "8"]
    command += ["--fps", "6", "--size", "56"]
    said = refusal(capsys, *command, "--preset", "rest_r3d18")
    assert "got 8 of 56 px" in said
    assert "of 128 px" in said
    assert "8 frames of 64 px" in refusal(capsys, *command, "--set", "view.size_px=64")
    assert not any(work.iterdir())


def test_the_command_line_asks_for_a_preset_with_overrides_on_a_prepared_folder(
    videos, tmp_path, capsys, monkeypatch
):
    configs = []

    class Nothing(Workspace):
        def report(self):
            configs.append(self.train_config("random-1"))
            raise KeyboardInterrupt  # nothing is trained

    monkeypatch.setattr("zsar_lab.workspace.Workspace", Nothing)
    out, work = tmp_path / "out", tmp_path / "work"
    prepare = ["prepare", "folder", "--videos", videos, "--out", out, "--frames", "8", "--size", "32"]
    assert main([str(argument) for argument in prepare]) == 0
    command = ["study", out, "--protocol", "random-1", "--prompt", "label", "--workspace", work]
    command = [str(argument) for argument in [*command, "--epochs", "1"]]
    small = ["--set", "view.size_px=32", "view.n_frames=4", "model.backbone_widths=[8, 16]", "optimiser=sgd"]
    assert "got 8 of 32 px" in refusal(capsys, *command)
    assert main([*command, *small]) == 130
    assert f"Videos: {out}" in capsys.readouterr().out
    (config,) = configs
    assert (config.epochs, config.optimiser, config.view) == (1, "sgd", ViewSettings(4, 32))
    assert config.model.backbone_widths == (8, 16)
    assert "'many'" in refusal(capsys, *command, "--set", "batch_size=many")
    assert "prepared replaces videos and frames" in refusal(capsys, *command, "--size", "48")
    command[command.index("label")] = "someone {nothing}"
    assert "{nothing}" in refusal(capsys, *command, *small)
    command[command.index("someone {nothing}") : command.index("someone {nothing}") + 1] = ["{label}", "none"]
    assert "'none'" in refusal(capsys, *command, *small)


def test_another_study_in_the_folder_is_refused(finished, study):
    with pytest.raises(StudyError, match=r"training\.epochs = 2, got 3"):
        Workspace(finished.folder, replace(study, training=Training(epochs=3)))
    assert Workspace(finished.folder).study == study


@pytest.mark.parametrize("split", ["stratified-7", 3, None])
def test_an_unknown_split_is_refused(split, finished):
    with pytest.raises(ValueError, match=f"stratified-0, random-0, got {split!r}"):
        finished.protocol(split)


@pytest.mark.parametrize(
    ("make", "value"),
    [
        (lambda folder: folder.mkdir(), "class folders"),
        (lambda folder: (folder / "Only").mkdir(parents=True), "class folders at least, got 1"),
        (lambda folder: folder.write_text("a file"), "folder of class folders"),
        (lambda folder: None, "there is no"),
    ],
    ids=["empty", "one class", "a file", "absent"],
)
def test_a_bad_folder_ends_in_one_sentence(make, value, tmp_path, capsys):
    make(tmp_path / "videos")
    command = "study", tmp_path / "videos", "--workspace", tmp_path / "work"
    assert value in refusal(capsys, *command)


def test_a_refused_study_does_not_hold_the_folder(videos, tmp_path):
    folder = tmp_path / "work"
    with pytest.raises(ValueError, match="structure"):
        Workspace(folder, asked(videos, prompt="structure"), workers=1).begin()
    assert not (folder / "study.json").exists()
    right = Workspace(folder, asked(videos), workers=1)
    assert len(right.catalog.usable) == 40
    assert not (folder / "study.json").exists()  # a look at the catalog begins no study
    assert len(right.frames) == 40
    assert Workspace(folder).study == right.study


def test_commands_on_folders_that_do_not_fit(tmp_path, capsys):
    assert "holds no study" in refusal(capsys, "train", "random-0", "--workspace", tmp_path)
    (tmp_path / "file").write_text("in the way")
    assert "must be writable" in refusal(capsys, "demo", "--workspace", tmp_path / "file" / "work")


def test_an_interrupt_while_preparing_says_so(tmp_path):
    command = [sys.executable, "-m", "zsar_lab", "demo", "--workspace", str(tmp_path / "work")]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    limit = time.monotonic() + 60
    while not (tmp_path / "work" / "videos" / "begun.json").is_file() and time.monotonic() < limit:
        time.sleep(0.05)
    time.sleep(1.0)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "interrupted; what was finished is saved, run it again to go on" in said


def test_help_lists_the_commands():
    command = [sys.executable, "-m", "zsar_lab", "--help"]
    said = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout
    assert all(command.__name__ in said for command in COMMANDS)


def copy_without_trainings(finished, study, folder) -> Workspace:
    shutil.copytree(finished.folder, folder, ignore=shutil.ignore_patterns("trainings", "study.json"))
    return Workspace(folder, study)


@pytest.mark.skipif("ZSAR_LAB_SLOW" not in os.environ, reason="starts torchrun and two ranks for 15 s")
def test_a_training_on_two_ranks_is_streamed_interrupted_and_gone_on_with_on_one(
    finished, study, tmp_path, capsys
):
    longer = replace(study, training=Training(epochs=6))
    workspace, histories = copy_without_trainings(finished, longer, tmp_path / "work"), []

    def interrupt_the_first_time(history: list):
        if not histories:
            os.kill(os.getpid(), signal.SIGINT)
        histories.append(history)

    with pytest.raises(KeyboardInterrupt, match="training on 2 ranks was interrupted"):
        workspace.train("stratified-0", interrupt_the_first_time, processes=2)
    said, kept = capsys.readouterr().out, load_checkpoint(workspace.run_folder("stratified-0"))
    assert "rank 0: training was interrupted at step" in said and "Error" not in said
    assert 0 < kept.step < kept.total_steps
    assert workspace.train("stratified-0").complete
    assert len(load_checkpoint(workspace.run_folder("stratified-0")).history) == 6
    assert workspace.train("stratified-0", processes=2).complete  # nothing is left to do


def test_an_interrupted_training_goes_on_where_it_stopped(finished, study, tmp_path):
    long = replace(study, training=Training(epochs=400))
    workspace = copy_without_trainings(finished, long, tmp_path / "work")
    workspace.train_config("stratified-0")
    command = [sys.executable, "-m", "zsar_lab", "train", "stratified-0", "--workspace", workspace.folder]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment)
    log = workspace.run_folder("stratified-0") / "log.csv"
    limit = time.monotonic() + 60
    while not log.is_file() and time.monotonic() < limit:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "training was interrupted at step" in said
    assert "Traceback" not in said
    kept = load_checkpoint(workspace.run_folder("stratified-0"))
    assert 0 < kept.step < kept.total_steps
    assert not kept.complete


def test_trainings_without_a_loss_are_of_the_same_splits(finished, tmp_path):
    assert predictions_without_losses(finished) == {}
    assert not (finished.folder / "ablations").exists()
    others = without_losses(finished)
    assert list(others) == ["no classification", "no alignment", "no matching"]
    assert predictions_without_losses(finished) == {}
    other, split = others["no alignment"], "stratified-0"
    whole = finished.train_config(split)
    assert other.study.splits == (split,)
    assert other.train_config(split) == replace(whole, loss_weights=whole.loss_weights | {"alignment": 0.0})
    assert other.protocol(split) == finished.protocol(split)
    assert other.frames.fingerprint == finished.frames.fingerprint
    other.train(split)
    found = predictions_without_losses(finished)
    assert list(found) == ["no alignment"]
    assert found["no alignment"][0].about["fingerprints"]["checkpoint"] != finished.train(split).fingerprint
    assert Workspace(other.folder).study == other.study
    # a study of one loss has none to leave out
    training = Training(overrides={"loss_weights": {"classification": 0.0, "matching": 0.0}})
    alone = Study(Data(prepared=str(finished.folder)), ("random-0",), Text(prompt="label"), training)
    assert without_losses(Workspace(tmp_path, alone)) == {}
