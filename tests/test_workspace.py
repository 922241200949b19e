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

from zsar_lab.cli import main
from zsar_lab.data.loader import ViewSettings
from zsar_lab.data.sampling import FrameSettings
from zsar_lab.data.video import write_mp4
from zsar_lab.results.report_files import report_content
from zsar_lab.study import Data, Study, Text, Training
from zsar_lab.study_ablation import predictions_without_losses, without_losses
from zsar_lab.train.checkpoint import load_checkpoint
from zsar_lab.viz.explanations import texts_and_parts
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
        way = (t * 2 + 4, 20) if kind < 4 else (20, 20)
        x, y = [way, (36 - way[0], 20), (20, 36 - way[0]), (20, way[0])][kind % 4] if kind < 4 else way
        light = (
            255
            if kind < 4
            else [255 * (t % 2), 255 * (t // 4 % 2), 16 * t, int(127 + 127 * np.sin(t))][kind - 4]
        )
        frames[t, y : y + 8, x : x + 8] = light
    return frames


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
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
def study(videos: Path) -> Study:
    return Study(
        data=Data(videos=str(videos)),
        protocols=("stratified-0", "random-0"),
        text=Text(prompt="description"),
        training=Training(epochs=2),
    )


@pytest.fixture(scope="module")
def finished(study: Study, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    workspace = Workspace(tmp_path_factory.mktemp("work") / "study", study)
    for split in study.splits:  # here; the interrupted training below is one in processes of its own
        workspace._timed("training", lambda: workspace.train(split))
    workspace.report()
    return workspace


def test_report_holds_what_it_promises(finished: Workspace) -> None:
    report = json.loads((finished.folder / "report.json").read_text())
    protocol = report["protocol"]
    assert set(protocol) >= {"name", "hash", "seen", "validation", "unseen"}
    groups = [set(protocol[kind]) for kind in ("seen", "validation", "unseen")]
    assert len(set.union(*groups)) == sum(map(len, groups))
    assert report["chance"] == pytest.approx(1 / len(protocol["unseen"]))
    assert set(report["methods"]) >= {"direct", "transfer", "match"}
    for name, method in report["methods"].items():
        assert method["setting"] == "inductive" and report["top1"][name] == method["top1"]
        assert 0 <= method["top1_low"] <= method["top1"] <= method["top1_high"] <= 1
        assert method["top1"] <= method["top5"] <= 1 and "hubness_skewness" in method
    assert {"catalog", "frames", "class_text", "checkpoints"} <= set(report["fingerprints"])
    assert report["seconds"]["training"] > 0 and len(report["splits"]) == 1 and len(report["beside"]) == 1


def test_one_split_shows_no_deviation_over_splits(finished: Workspace) -> None:
    assert finished.report().table()["std"].isna().all()


def test_every_clip_is_scored_or_excluded_with_a_reason(finished: Workspace) -> None:
    catalog, protocol = finished.catalog, finished.protocol("stratified-0")
    in_protocol = {
        *protocol.train_clips,
        *protocol.seen_test_clips,
        *protocol.validation_clips,
        *protocol.test_clips,
    }
    assert in_protocol == set(catalog.usable["id"])
    assert len(catalog.excluded) == 2 and (catalog.excluded["reason"].str.len() > 0).all()
    assert set(finished.predictions("stratified-0").ids()) == set(protocol.test_clips)


def test_a_second_look_makes_nothing_again(finished: Workspace, study: Study) -> None:
    def times() -> dict[str, int]:
        kept = [
            p
            for p in finished.folder.rglob("*")
            if p.is_file()
            and p.suffix in {".safetensors", ".npy", ".parquet", ".csv"}
            and p.name != "report.csv"
        ]
        return {str(path): path.stat().st_mtime_ns for path in kept}

    before = times()
    kept = json.loads((finished.folder / "report.json").read_text())
    results = Workspace(finished.folder, study).report()
    assert times() == before and len(before) >= 8
    assert json.loads(json.dumps(report_content(results)))["methods"] == kept["methods"]


@pytest.fixture(scope="module")
def clip_encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny(tmp_path_factory.mktemp("models") / "tiny-clip", "clip")


def test_a_study_with_another_encoder_and_templates_of_its_own(
    videos: Path, clip_encoder: Path, tmp_path: Path
) -> None:
    own = ["a film of {label}", "someone: {label}"]
    study = Study(
        data=Data(videos=str(videos)),
        protocols=("stratified-0",),
        text=Text(prompt=own, encoder=str(clip_encoder)),
        training=Training(epochs=1),
    )
    workspace = Workspace(tmp_path / "work", study, workers=1)
    with pytest.warns(
        UserWarning,
        match=r"leaves out what the encoder cannot read whole \(templates, .*\): the class text of .* at most 24 tokens",
    ):
        predictions = workspace.predictions("stratified-0")
    read = workspace.class_embeddings()
    assert read.encoder == workspace.encoder.revision == predictions.about["fingerprints"]["encoder"]
    assert read.pooled_CF.shape == (8, 16) and read.words_CLE.shape[2] == 32
    assert predictions.prompt == "a film of {label} | someone: {label}"
    assert set(predictions.table["prompt"]) == {
        "a film of {label} | someone: {label}",
        "label",
        "template",
        "description",
    }
    # what the folder keeps is the same study
    again = Workspace.open(workspace.folder)
    assert again.study == study and again.class_embeddings().fingerprint == read.fingerprint
    page = texts_and_parts(
        again.catalog, again.predictions("stratified-0"), "transfer", result.protocol.unseen[0]
    )
    assert "class text (a film of {label} | someone: {label})" in page


def test_a_file_of_texts_is_checked_before_videos_are_opened(videos: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.csv").write_text("name;text\nBlink;a\n")
    for texts, sentence in (
        ("none.csv", "must be there"),
        ("mine.csv", "separates its columns by semicolons"),
    ):
        study = Study(
            data=Data(videos=str(videos)),
            protocols=("stratified-0",),
            text=Text(prompt=str(tmp_path / texts)),
        )
        with pytest.raises((ValueError, FileNotFoundError), match=sentence):
            Workspace(tmp_path / "work", study).begin()
        assert not (tmp_path / "work" / "catalog").exists()


def test_the_command_line_takes_several_templates(
    videos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = [
        "demo",
        "--videos",
        videos,
        "--workspace",
        tmp_path / "w",
        "--protocol",
        "stratified-0",
        "--workers",
        "1",
    ]
    said = _refusal(capsys, *command, "--prompt", "{label}", "someone {nothing}", "x {label}")
    assert "got {nothing}" in said
    said = _refusal(capsys, *command, "--prompt", "{label}", "no field", "{label}")
    assert "got 'no field'" in said


def test_a_text_that_the_encoder_cannot_read_is_said_before_frames_are_made(
    videos: Path, clip_encoder: Path, tmp_path: Path
) -> None:
    long = Study(
        data=Data(videos=str(videos)),
        protocols=("stratified-0",),
        text=Text(prompt="{label} " * 30, encoder=str(clip_encoder)),
    )
    with pytest.raises(
        ValueError,
        match=r"class text of .* cannot be read: a class text must have at most 24 tokens for the encoder tiny-clip",
    ):
        Workspace(tmp_path / "work", long, workers=1).frames  # noqa: B018
    assert not (tmp_path / "work" / "frames").exists() and not (tmp_path / "work" / "study.json").exists()


def test_a_study_trains_the_preset_that_it_asks_for_with_its_changes(
    finished: Workspace, videos: Path, tmp_path: Path
) -> None:
    overrides = {"batch_size": 8, "view": {"n_frames": 8}, "model": {"width": 64}}
    study = Study(
        Data(videos=str(videos), frames=FrameSettings(12, size_px=128)),
        ("random-3",),
        Text(prompt="label", trained_layers=1),
        Training("rest_r3d18", overrides=overrides),
    )
    config = Workspace(tmp_path / "work", study).train_config("random-3")
    model = config.model
    assert (config.epochs, config.batch_size, config.seed, config.text_layers, config.learning_rate) == (
        150,
        8,
        3,
        1,
        1e-3,
    )
    assert config.view == ViewSettings(8, 112, "rgb") and (
        model.n_frames,
        model.size_px,
        model.width,
        model.backbone,
    ) == (8, 112, 64, "r3d-18")
    # as the demo's preset, it gets its sizes from the protocol and the class texts
    text = finished.train_config("random-0").model
    assert (
        (model.n_seen, model.text_width, model.word_width)
        == (text.n_seen, text.text_width, text.word_width)
        == (4, 384, 384)
    )
    assert Workspace.open(tmp_path / "work").study == study


def test_frames_that_are_too_small_are_said_before_videos_are_opened(
    videos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    study = Study(
        data=Data(videos=str(videos)),
        protocols=("stratified-0",),
        text=Text(prompt="label"),
        training=Training(preset="rest18"),
    )
    with pytest.raises(
        ValueError,
        match="at least the 8 frames of 224 px .* got 24 of 64 px; make the frames with .*n_frames=24, .* size_px=256",
    ):
        Workspace(tmp_path / "work", study).begin()
    command = [
        "demo",
        "--videos",
        videos,
        "--workspace",
        tmp_path / "work",
        "--prompt",
        "label",
        "--frames",
        "8",
        "--fps",
        "6",
        "--size",
        "56",
    ]
    said = _refusal(capsys, *command, "--preset", "rest_r3d18")
    assert (
        "got 8 of 56 px; make the frames with FrameSettings(n_frames=24, fps=6.0, size_px=128, jpeg_quality=None)"
        in said
    )
    assert "the 8 frames of 64 px" in _refusal(capsys, *command, "--set", "view.size_px=64")
    assert not any((tmp_path / "work").iterdir())


def test_the_command_line_asks_for_a_preset_with_changes_on_a_prepared_folder(
    videos: Path, tmp_path: Path, capsys, monkeypatch
) -> None:
    configs = []
    monkeypatch.setattr(
        Workspace, "report", lambda workspace: (configs.append(workspace.train_config("random-1")), None)
    )  # nothing is trained
    out, work = tmp_path / "out", tmp_path / "work"
    assert (
        main(
            ["prepare", "folder", "--videos", str(videos), "--out", str(out), "--frames", "8", "--size", "32"]
        )
        == 0
    )
    command = [
        "demo",
        "--prepared",
        str(out),
        "--protocol",
        "random-1",
        "--prompt",
        "label",
        "--workspace",
        str(work),
        "--epochs",
        "1",
    ]
    small = [
        "--set",
        "view.size_px=32",
        "view.n_frames=4",
        "model.backbone_widths=[8, 16]",
        "optimiser=sgd",
    ]
    assert "at least the 8 frames of 48 px that the view takes, got 8 of 32 px" in _refusal(capsys, *command)
    assert main([*command, *small]) == 0 and f"Videos: {out}" in capsys.readouterr().out
    (config,) = configs
    assert (config.epochs, config.optimiser, config.view, config.model.backbone_widths) == (
        1,
        "sgd",
        ViewSettings(4, 32),
        (8, 16),
    )
    assert "got 'many'" in _refusal(capsys, *command, "--set", "batch_size=many")
    assert "prepared replaces videos and frames" in _refusal(capsys, *command, "--size", "48")


def test_an_encoder_that_is_not_there_is_said_before_videos_are_opened(
    videos: Path, tmp_path: Path, monkeypatch
) -> None:
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    study = Study(
        data=Data(videos=str(videos)),
        protocols=("stratified-0",),
        text=Text(prompt="label", encoder="nobody/none"),
    )
    with pytest.raises(
        FileNotFoundError,
        match="'nobody/none' is no folder, not in the hub's cache, and the hub did not give it",
    ):
        Workspace(tmp_path / "work", study).begin()
    assert not (tmp_path / "work" / "catalog").exists()


def test_another_study_in_the_folder_is_refused(finished: Workspace, videos: Path) -> None:
    with pytest.raises(ValueError, match=r"training.epochs = 2, got 3"):
        Workspace(
            finished.folder,
            Study(
                data=Data(videos=str(videos)),
                protocols=("stratified-0", "random-0"),
                text=Text(prompt="description"),
                training=Training(epochs=3),
            ),
        )


def test_an_unknown_split_is_refused(finished: Workspace) -> None:
    with pytest.raises(
        ValueError, match=r"a split must be one of stratified-0, random-0, got 'stratified-7'"
    ):
        finished.protocol("stratified-7")


def _refusal(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> str:
    """The sentence a command ends in; its status must be 2."""
    assert main([str(argument) for argument in arguments]) == 2
    return capsys.readouterr().err.strip().splitlines()[-1]


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda folder: folder.mkdir(), "must hold class folders"),
        (lambda folder: (folder / "Only").mkdir(parents=True), "at least two classes"),
        (lambda folder: folder.write_text("a file"), "must be a folder of class folders"),
        (lambda folder: None, "there is no"),
    ],
    ids=["empty", "one class", "a file", "absent"],
)
def test_a_bad_folder_ends_in_one_sentence(
    make, sentence: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make(tmp_path / "videos")
    assert sentence in _refusal(
        capsys, "demo", "--videos", tmp_path / "videos", "--workspace", tmp_path / "work"
    )


def test_a_refused_study_does_not_hold_the_folder(videos: Path, tmp_path: Path) -> None:
    wrong = Workspace(
        tmp_path / "work",
        Study(data=Data(videos=str(videos)), protocols=("random-0",), text=Text(prompt="structure")),
        workers=1,
    )
    with pytest.raises(ValueError, match="the prompt 'structure' needs a structure for every class"):
        wrong.frames  # noqa: B018
    assert not (tmp_path / "work" / "study.json").exists() and not (tmp_path / "work" / "frames").exists()
    right = Workspace(
        tmp_path / "work",
        Study(data=Data(videos=str(videos)), protocols=("random-0",), text=Text(prompt="label")),
        workers=1,
    )
    assert len(right.catalog.usable) == 40
    assert not (tmp_path / "work" / "study.json").is_file()  # looking at the catalog begins no study
    assert len(right.frames) == 40
    assert Workspace(tmp_path / "work").study == right.study


def test_train_without_a_study_ends_in_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said = _refusal(capsys, "train", "random-0", "--workspace", tmp_path)
    assert "holds no study" in said


def test_an_interrupt_while_preparing_says_so(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "zsar_lab", "demo", "--workspace", str(tmp_path / "work")]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    limit = time.monotonic() + 60
    while not (tmp_path / "work" / "videos" / "begun.json").is_file() and time.monotonic() < limit:
        time.sleep(0.05)
    time.sleep(1.0)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert (
        process.returncode == 130 and "interrupted; what was finished is saved, run it again to go on" in said
    )


def test_an_unwritable_workspace_ends_in_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("in the way")
    assert "the output folder must be writable" in _refusal(
        capsys, "demo", "--workspace", tmp_path / "file" / "work"
    )


def test_help_reads_well() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "zsar_lab", "--help"], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0 and "zero-shot table" in done.stdout and "Train one split" in done.stdout


def copy_without_trainings(finished: Workspace, study: Study, folder: Path) -> Workspace:
    shutil.copytree(finished.folder, folder, ignore=shutil.ignore_patterns("trainings", "study.json"))
    return Workspace(folder, study)


@pytest.mark.skipif(
    "ZSAR_LAB_SLOW" not in os.environ,
    reason="starts torchrun and two ranks for 15 s; set ZSAR_LAB_SLOW to run it",
)
def test_a_training_on_two_ranks_is_streamed_interrupted_and_gone_on_with_on_one(
    finished: Workspace, study: Study, tmp_path: Path, capsys
) -> None:
    workspace, histories = (
        copy_without_trainings(finished, replace(study, training=Training(epochs=6)), tmp_path / "work"),
        [],
    )

    def interrupt_the_first_time(history: list) -> None:
        if not histories:
            os.kill(os.getpid(), signal.SIGINT)
        histories.append(history)

    with pytest.raises(
        KeyboardInterrupt,
        match="training on 2 ranks was interrupted; .* keeps its checkpoint, run it again to go on",
    ):
        workspace.train("stratified-0", interrupt_the_first_time, processes=2)
    said, kept = capsys.readouterr().out, load_checkpoint(workspace.run_folder("stratified-0"))
    assert (
        "training, family-stratified split 0" in said
        and "rank 0: training was interrupted at step" in said
        and "Error" not in said
    )
    assert 0 < kept.step < kept.total_steps
    assert (
        workspace.train("stratified-0").complete
        and len(load_checkpoint(workspace.run_folder("stratified-0")).history) == 6
    )
    assert workspace.train("stratified-0", processes=2).complete  # nothing is left to do


def test_an_interrupted_training_goes_on_where_it_stopped(
    finished: Workspace, study: Study, tmp_path: Path
) -> None:
    workspace = copy_without_trainings(
        finished, replace(study, training=Training(epochs=400)), tmp_path / "work"
    )
    workspace.train_config("stratified-0")
    command = [
        sys.executable,
        "-m",
        "zsar_lab",
        "train",
        "stratified-0",
        "--workspace",
        str(workspace.folder),
    ]
    process = subprocess.Popen(
        command, stderr=subprocess.PIPE, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"}
    )
    log = workspace.run_folder("stratified-0") / "log.csv"
    limit = time.monotonic() + 60
    while not log.is_file() and time.monotonic() < limit:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert (
        "training was interrupted at step" in said
        and "run it again to go on from there" in said
        and "Traceback" not in said
    )
    kept = load_checkpoint(workspace.run_folder("stratified-0"))
    assert 0 < kept.step < kept.total_steps and not kept.complete


def test_trainings_without_a_loss_are_of_the_same_splits(finished: Workspace, study: Study) -> None:
    assert predictions_without_losses(finished) == {} and not (finished.folder / "ablations").exists()
    others = without_losses(finished)
    assert (
        list(others) == ["no classification", "no alignment", "no matching"]
        and predictions_without_losses(finished) == {}
    )
    other, split = others["no alignment"], "stratified-0"
    assert other.study.splits == (split,) and other.train_config(split) == replace(
        finished.train_config(split), alignment_weight=0.0
    )
    assert (
        other.protocol(split) == finished.protocol(split)
        and other.frames.fingerprint == finished.frames.fingerprint
    )
    other.train(split)
    found = predictions_without_losses(finished)
    assert (
        list(found) == ["no alignment"]
        and found["no alignment"][0].fingerprints["checkpoint"] != finished.train(split).fingerprint
    )
    assert Workspace.open(other.folder).study == other.study


def test_a_study_of_one_loss_has_none_to_leave_out(finished: Workspace, tmp_path: Path) -> None:
    alone = Study(
        data=Data(prepared=str(finished.folder)),
        protocols=("random-0",),
        text=Text(prompt="label"),
        training=Training(overrides={"classification_weight": 0, "matching_weight": 0}),
    )
    assert without_losses(Workspace(tmp_path, alone)) == {}
