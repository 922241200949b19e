"""zsar_lab.study: what is refused, and what is read back."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from zsar_lab.data.prepare import Source
from zsar_lab.data.sampling import FrameSettings
from zsar_lab.files import write_json
from zsar_lab.study import DEMO_NAME, Data, Evaluation, Study, Text, Training
from zsar_lab.train.config import PRESETS

PUBLIC, ON = {"videos": "v", "annotations": "a"}, Data(train_on="out")


@pytest.mark.parametrize(
    ("part", "wrong", "value"),
    [
        (Data, {"clips_per_class": 0}, "clips_per_class .* got 0"),
        (Data, {"seed": -1}, "seed .* got -1"),
        (Data, {"dataset": "ucf101"}, "'ucf101' needs its folder of videos"),
        (Data, {"annotations": "lists"}, "'folder' needs its folder of videos"),
        (Data, {"videos": "v", "dataset": "ucf"}, "got 'ucf'"),
        (Data, {"videos": "v", "dataset": "ucf101"}, "ucf101"),
        (Data, PUBLIC, "folder"),
        (Data, PUBLIC | {"dataset": "activitynet", "unit": "clip"}, "got 'clip'"),
        (Data, {"frames": 24}, "FrameSettings, got 24"),
        (Data, {"prepared": "out", "videos": "v"}, "prepared replaces videos and frames"),
        (Data, {"prepared": "out", "frames": FrameSettings(8)}, "prepared replaces videos and frames"),
        (Text, {"prompt": "names"}, "got 'names'"),
        (Text, {"prompt": ("no field",)}, "no field"),
        (Text, {"prompt": 3}, "got 3"),
        (Text, {"encoder": " "}, "encoder .* got ' '"),
        (Text, {"encoder": 3}, "encoder .* got 3"),
        (Text, {"trained_layers": -1}, "trained_layers .* got -1"),
        (Training, {"epochs": 0}, "epochs .* got 0"),
        (Training, {"epochs": 1.5}, "epochs .* got 1.5"),
        (Training, {"preset": "rest50"}, "got 'rest50'"),
        (Training, {"preset": None}, "got None"),
        (Training, {"overrides": None}, "got None"),
        (Training, {"overrides": {"batchsize": 8}}, "'batchsize'; .* 'batch_size'"),
        (Training, {"overrides": {"epochs": 1}}, "'epochs' out"),
        (Evaluation, {"views": 2}, "views .* got 2"),
        *((Evaluation, {"leakage_distance": d}, f"got {d}") for d in (-0.1, 2.5, float("nan"))),
        (Study, {"protocols": ()}, "at least one"),
        (Study, {"protocols": "half-0"}, "got 'half-0'"),
        (Study, {"protocols": ("half",)}, "got 'half'"),
        (Study, {"protocols": (3,)}, "got 3"),
        (Study, {"protocols": ("intra-2..1",)}, "upwards, got 'intra-2..1'"),
        (Study, {"protocols": ("truze..2",)}, "got 'truze..2'"),
        (Study, {"protocols": ("half-0",)}, "'half-0' needs train_on, got None"),
        (Study, {"protocols": ("half-0", "intra-0"), "data": ON}, "'intra-0' must not have"),
        (Study, {"protocols": ("intra-0..1", "intra-0")}, "named once, got intra-0, intra-1, intra-0"),
        (Study, {"data": Data(**PUBLIC, dataset="hmdb51"), "text": Text("structure")}, "no structure"),
        (Study, {"data": {"seed": 1}}, "data must be Data"),
    ],
)
def test_an_impossible_study_is_refused(part, wrong, value):
    with pytest.raises(ValueError, match=value):
        part(**wrong)


def test_splits_and_families():
    assert Study().splits == ("stratified-0", "stratified-1", "stratified-2", "random-0")
    assert Study(protocols=("stratified-0",)).families == {"stratified": ("stratified-0",)}
    named = Study(protocols=("half-3", "all", "half-0"), data=ON)
    assert named.splits == ("half-3", "all", "half-0")
    assert list(named.families.items()) == [("half", ("half-3", "half-0")), ("all", ("all",))]
    three = Study(protocols=("intra-8..10", "truze", "generalised-intra-0..1"))
    assert three.families == {
        "intra": ("intra-8", "intra-9", "intra-10"),
        "truze": ("truze",),
        "generalised-intra": ("generalised-intra-0", "generalised-intra-1"),
    }
    assert Data().source("runs/videos") == Source("folder", "runs/videos", name=DEMO_NAME)
    asked = Data(videos="/v", dataset="activitynet", annotations="/a", unit="video")
    assert asked.source("runs/videos") == Source("activitynet", "/v", "/a", "video")
    assert Data().is_generated and not asked.is_generated and not Data(prepared="out").is_generated
    assert [Training(name).epochs for name in PRESETS] == [25, 150, 150, 150, 150]
    assert Training("rest18", epochs=3).epochs == 3


LABEL, HMDB51 = Text(prompt="label"), Data("v", "hmdb51", "a", frames=FrameSettings(8, 6.5, 32, 80))
R3D18 = Training("rest_r3d18", overrides={"learning_rate": 1e-4, "view": {"n_frames": 8}})
STUDIES = [
    Study(),
    Study(HMDB51, ("truze", "intra-4"), LABEL, evaluation=Evaluation(25, 0.05, strict=False)),
    Study(Data("v é", train_on="out", seed=4), ("generalised-half-9", "official-2"), LABEL),
    Study(Data(frames=FrameSettings(12, size_px=128)), training=R3D18),
    Study(training=Training(epochs=3, overrides={"model": {"backbone_widths": [8, 16]}})),
    Study(text=Text(("a {label}", "the {label}"), encoder="team/model", trained_layers=1)),
]


@pytest.mark.parametrize("study", STUDIES)
def test_a_study_is_read_as_it_was_written(study, tmp_path):
    write_json(tmp_path / "study.json", study.as_json())
    back = Study.read(tmp_path / "study.json")
    assert back == study
    assert back.as_json() == study.as_json()
    assert hash(back) == hash(study)


def test_overrides_are_a_copy():
    given = {"batch_size": 8, "model": {"backbone_widths": [8, 16]}}
    training = Training(overrides=given)
    given["model"]["backbone_widths"].append(32)
    given["batch_size"] = 9
    assert training.overrides == {"batch_size": 8, "model": {"backbone_widths": [8, 16]}}


def test_paths_are_whole_and_names_stay(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "model").mkdir()
    assert Data(videos=Path("videos")).videos == str(tmp_path / "videos")
    text = Text(prompt="mine.csv", encoder="model")
    assert (text.prompt, text.encoder) == (str(tmp_path / "mine.csv"), str(tmp_path / "model"))
    assert Text(encoder="team/model").encoder == "team/model"


WRITTEN = Study().as_json()


def without(part: str, key: str) -> dict:
    return WRITTEN | {part: {name: value for name, value in WRITTEN[part].items() if name != key}}


@pytest.mark.parametrize(
    ("content", "value"),
    [
        ({key: value for key, value in WRITTEN.items() if key != "schema_version"}, "1, got None"),
        (WRITTEN | {"schema_version": 0}, "schema_version 1, got 0"),
        (without("data", "frames"), "frames"),
        ({key: value for key, value in WRITTEN.items() if key != "protocols"}, "protocols"),
        (without("training", "epochs"), "epochs"),
        (WRITTEN | {"n_splits": 3}, "n_splits"),
        (WRITTEN | {"data": WRITTEN["data"] | {"length": 3}}, "length"),
        (WRITTEN | {"data": 24}, "study"),
        (WRITTEN | {"protocols": None}, "study"),
        (WRITTEN | {"training": WRITTEN["training"] | {"epochs": "25"}}, "got '25'"),
        (WRITTEN | {"training": WRITTEN["training"] | {"preset": "rest50"}}, "got 'rest50'"),
        ([1, 2], "schema_version 1"),
        ("a text", "schema_version 1"),
        ({}, "schema_version 1"),
    ],
)
def test_an_old_or_foreign_study_is_refused(content, value, tmp_path):
    (tmp_path / "study.json").write_text(json.dumps(content))
    with pytest.raises(ValueError, match=value):
        Study.read(tmp_path / "study.json")
    with pytest.raises(FileNotFoundError, match=r"study\.json"):
        Study.read(tmp_path / "none" / "study.json")
    (tmp_path / "study.json").write_text('{"videos": ')
    with pytest.raises(ValueError, match=r"study\.json"):
        Study.read(tmp_path / "study.json")
