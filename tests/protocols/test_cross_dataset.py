"""A whole study on real videos: trained on one dataset, tested on another, and the leakage rule in it."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from numbered_videos import ONE, make_dataset

from zsar_lab.cli import main
from zsar_lab.data.prepare import Prepared, Source, prepare
from zsar_lab.data.sampling import FrameSettings
from zsar_lab.embed.checkpoint import CENTRE
from zsar_lab.files import read_json
from zsar_lab.protocols.protocol import Protocol
from zsar_lab.protocols.splits import ProtocolData, protocol_named
from zsar_lab.results.conventions import class_orders, conventions_of, official_test_lists
from zsar_lab.study import Data, Evaluation, Study, Text, Training
from zsar_lab.study_ablation import ablate_study
from zsar_lab.train.checkpoint import load_checkpoint
from zsar_lab.workspace import Workspace

pytestmark = pytest.mark.long

SETTINGS = FrameSettings(n_frames=10, fps=10.0, size_px=48)
# the first three are classes of the test dataset: by their letters, by their stems, and by their very name
REMOVED = ("Fade", "jumping rope", "slide left")
TRAIN = [*REMOVED, "bow", "clap", "dig", "knock", "nod", "paint", "shrug", "wave"]
TEST = ["Bounce", "Fade", "JumpRope", "Kneel", "SlideLeft", "Spin", "Stretch"]
SPLITS = ("half-0", "half-1")


def asked(protocols, data: dict, leakage_distance=None, strict=True, views=1) -> Study:
    evaluation = Evaluation(views, leakage_distance, strict)
    return Study(Data(**data), tuple(protocols), Text(prompt="label"), Training(epochs=1), evaluation)


def make_videos(folder: Path, names: list[str], letter: str) -> Path:
    """Three clips of each class, of 12 to 14 frames, and a broken file in the first."""
    make_dataset(folder, {name: {f"{letter}{n}.mp4": 12 + n for n in range(3)} for name in names})
    (folder / names[0] / f"{letter} broken.mp4").write_bytes(b"")
    return folder


@pytest.fixture(scope="module")
def train_on(tmp_path_factory) -> tuple[Path, Prepared]:
    """The folder of the prepared training dataset, and what is in it."""
    root = tmp_path_factory.mktemp("train")
    videos = make_videos(root / "A", TRAIN, "a")
    (videos / "classes.csv").write_text("name,label,description\nFade,fading out,It fades.\n")
    return root / "out", prepare(Source("folder", str(videos)), root / "out", SETTINGS, ONE)


@pytest.fixture(scope="module")
def tested(tmp_path_factory) -> Path:
    return make_videos(tmp_path_factory.mktemp("test videos") / "B", TEST, "b")


@pytest.fixture(scope="module")
def study_of(tested, train_on):
    def made(protocols=SPLITS, train=train_on[0], frames=SETTINGS, **evaluation) -> Study:
        data = {"videos": str(tested), "train_on": str(train), "frames": frames}
        return asked(protocols, data, **evaluation)

    return made


@pytest.fixture(scope="module")
def finished(study_of, tmp_path_factory) -> Workspace:
    workspace = Workspace(tmp_path_factory.mktemp("work") / "study", study_of())
    for split in SPLITS:  # here and not in processes of their own, which take longer to start than to train
        workspace.train(split)
    workspace.report()
    return workspace


def copy_of(finished: Workspace, folder: Path, study: Study) -> Workspace:
    """Another study on what was trained."""
    asked_anew = shutil.ignore_patterns("study.json", "report.json", "protocols")
    shutil.copytree(finished.folder, folder, ignore=asked_anew)
    return Workspace(folder, study, workers=1)


def test_overlapping_classes_are_removed_and_the_list_is_saved(finished, train_on):
    removal = read_json(finished.folder / "leakage.json")
    assert (removal["removed"], removal["threshold"]) == (list(REMOVED), None)
    assert (removal["train_names"], removal["test_names"]) == (sorted(TRAIN), sorted(TEST))
    class_of = train_on[1].catalog.clips.set_index("id")["class"]
    for split in SPLITS:
        protocol = Protocol.load(finished.folder / "protocols" / f"{split}.json")
        assert protocol == finished.protocol(split) and len(protocol.validation) == 2
        assert protocol.removed == REMOVED and "exact and normalised" in protocol.removed_rule
        learnt = protocol.train_clips + protocol.seen_test_clips + protocol.validation_clips
        left = set(TRAIN) - set(REMOVED)
        assert set(protocol.seen + protocol.validation) == left == set(class_of[list(learnt)])
        assert finished.refuse_leakage(split).empty


def test_all_usable_clips_of_the_unseen_classes_are_tested_on_one_training(finished):
    results, usable = finished.report(), finished.test_catalog.usable
    assert results.title() == "half, 2 splits, A and B" and list(results.families) == ["half"]
    for number, (split, scored) in enumerate(zip(SPLITS, results.splits(), strict=True)):
        protocol = finished.protocol(split)
        chosen = [sorted(TEST)[place] for place in np.random.RandomState(number).permutation(7)[:3]]
        assert scored.protocol == protocol and protocol.unseen == tuple(sorted(chosen))
        assert set(protocol.test_clips) == set(usable["id"][usable["class"].isin(chosen)])
        rows = scored.rows("transfer")
        assert tuple(rows["clip"]) == scored.ids() == protocol.test_clips and len(rows) == 9
        assert (rows["label"] == rows["clip"].str.split("/").str[0]).all()
        inputs = load_checkpoint(finished.run_folder(split)).inputs
        assert (inputs.protocol, inputs.frames) == (protocol.training_hash, finished.frames.fingerprint)
    assert [folder.name for folder in (finished.folder / "trainings").iterdir()] == ["half-0"]
    for part in ("checkpoint", "embeddings"):
        assert len({split.about["fingerprints"][part] for split in results.splits()}) == 1


def test_splits_that_are_trained_apart_have_trainings_of_their_own(tmp_path):
    names = ("intra-0", "generalised-intra-1", "intra-1", "generalised-intra-0")
    workspace = Workspace(tmp_path, asked(names, {"videos": str(tmp_path)}))
    assert [workspace.run_folder(split).name for split in names] == [*names[:2], names[1], names[0]]


def test_a_distance_removes_more(finished, study_of, tmp_path):
    distances = finished.leakage("half-0").distances_SU
    left = [number for number, name in enumerate(sorted(TRAIN)) if name not in REMOVED]
    threshold = float(np.sort(distances[left].min(axis=1))[:2].mean())
    workspace = Workspace(tmp_path, study_of(leakage_distance=threshold), workers=1)
    workspace.begin()
    removal = read_json(tmp_path / "leakage.json")
    assert set(REMOVED) < set(removal["removed"]) and len(removal["removed"]) == 4
    assert removal["threshold"] == threshold


def test_data_that_do_not_fit_are_refused_before_any_is_decoded(study_of, train_on, tmp_path):
    others = dataclasses.replace(SETTINGS, fps=5.0)
    with pytest.raises(ValueError, match="fps .*got 10 and 5"):
        Workspace(tmp_path / "work", study_of(frames=others)).frames  # noqa: B018
    half_done = tmp_path / "half done"
    train_on[1].catalog.save(half_done / "catalog")
    for folder, lacks in ((tmp_path / "nothing", "catalog/catalog.json"), (half_done, "frames/store.json")):
        with pytest.raises(FileNotFoundError, match=f"'{folder}' holds no {lacks}"):
            Workspace(tmp_path / "work", study_of(train=folder)).catalog  # noqa: B018
    assert not (tmp_path / "work" / "study.json").exists() and not (tmp_path / "work" / "frames").exists()


def test_a_prepared_folder_serves_many_studies_from_anywhere(tested, train_on, tmp_path, monkeypatch):
    made = prepare(Source("folder", str(tested)), tmp_path / "out", SETTINGS, ONE)
    (tmp_path / "elsewhere").mkdir()
    for number, (split, more) in enumerate((("half-0", {"train_on": str(train_on[0])}), ("intra-0", {}))):
        monkeypatch.chdir(tmp_path)
        workspace = Workspace(f"study {number}", asked([split], {"prepared": "out"} | more))
        assert workspace.protocol(split).unseen and not (workspace.folder / "frames").exists()
        assert set(made.frames.ids) <= set(workspace.frames.ids) and not workspace.study.data.is_generated
        monkeypatch.chdir(tmp_path / "elsewhere")
        assert Workspace.open(f"../study {number}").catalog.fingerprint == workspace.catalog.fingerprint
    store = tmp_path / "out" / "frames" / "store.json"
    store.write_text(json.dumps(json.loads(store.read_text()) | {"complete": False}))
    for folder, error in (("nothing", FileNotFoundError), ("out", ValueError)):
        with pytest.raises(error, match=f"'{tmp_path / folder}'"):
            Workspace(tmp_path / "third", asked(["intra-0"], {"prepared": tmp_path / folder})).catalog  # noqa: B018


def test_frames_that_are_there_are_held_against_those_asked_for_before_anything_else(tested, tmp_path):
    prepare(Source("folder", str(tested)), tmp_path, SETTINGS, ONE)
    with pytest.raises(ValueError, match="n_frames 10, .* asked for is n_frames 24, fps 12.0, size_px 64"):
        Workspace(tmp_path, asked(["intra-0"], {"videos": tested})).frames  # noqa: B018
    assert not (tmp_path / "study.json").exists()
    study = asked(["intra-0"], {"videos": tested, "frames": SETTINGS})
    assert len(Workspace(tmp_path, study, workers=1).frames) == 21


def test_a_generalised_study_scores_both_ways_from_one_training(finished, study_of, tmp_path):
    splits = ("half-0", "generalised-half-0")
    workspace = copy_of(finished, tmp_path / "work", study_of(splits))
    checkpoints = [workspace.run_folder(split) / "checkpoint.safetensors" for split in splits]
    written_ns = checkpoints[0].stat().st_mtime_ns
    found = workspace.report()
    assert checkpoints[1].stat().st_mtime_ns == written_ns
    tables = [found.table(name).drop(columns="protocol_name", errors="ignore") for name in found.families]
    pd.testing.assert_frame_equal(*tables)
    assert found.splits(list(found.families)[1])[0].protocol == workspace.protocol("half-0")


def test_25_views_are_scored_from_the_same_training(finished, study_of, tmp_path):
    found = copy_of(finished, tmp_path / "work", study_of(views=25)).predictions("half-0")
    usual = finished.predictions("half-0")
    assert found.protocol.views == 25 and found.protocol.hash != usual.protocol.hash
    same = {key: found.about["fingerprints"][key] == of for key, of in usual.about["fingerprints"].items()}
    assert same["checkpoint"] and not same["embeddings"]
    assert not np.array_equal(found.scores("transfer"), usual.scores("transfer"))
    with pytest.raises(ValueError, match="views"):
        study_of(views=3)


def test_twins_on_both_sides_are_refused_unless_allowed(tmp_path, capsys):
    names = ["waving hands", "WaveHand", "bow", "clap", "dig", "knock", "nod", "paint"]
    videos = make_dataset(tmp_path / "C", {name: {f"{n}.mp4": 12 for n in range(2)} for name in names})
    clips = pd.DataFrame([(f"{name}/{n}", name) for name in names for n in range(2)], columns=["id", "class"])
    made = {f"random-{n}": protocol_named(f"random-{n}", ProtocolData(clips)) for n in range(50)}
    split = next(n for n, p in made.items() if "WaveHand" in p.unseen and "waving hands" in p.seen)
    command = f"study {videos} --protocol {split} --prompt label --epochs 1 --workers 1"
    command += " --frames 10 --fps 10 --size 48 --workspace"
    assert main([*command.split(), str(tmp_path / "strict")]) == 2
    assert f"of {split} may be" in (said := capsys.readouterr().err) and "--allow-leakage" in said
    assert "1 are, 'waving hands' and 'WaveHand' (normalised)" in said
    assert not list((tmp_path / "strict" / "trainings").rglob("*.safetensors"))
    main([*command.split(), str(tmp_path / "lenient"), "--allow-leakage"])  # trains; too few clips to score
    lenient = Workspace.open(tmp_path / "lenient")
    pairs = lenient.refuse_leakage(split)[["train", "test", "rule"]]
    assert pairs.to_numpy().tolist() == [["waving hands", "WaveHand", "normalised"]]
    assert lenient.is_trained(split) and not lenient.study.evaluation.strict


def test_the_conventions_and_the_ablation_of_any_prepared_dataset(finished):
    catalog, splits = finished.test_catalog, [finished.predictions(split) for split in SPLITS]
    clips = [finished.embeddings(split) for split in SPLITS]
    views = [{"centre alone": finished.embeddings(split, views=CENTRE)} for split in SPLITS]
    orders, official = class_orders(catalog.classes), official_test_lists(catalog.clips)
    found = conventions_of(splits, clips, orders=orders, official=official, views=views)
    assert {"clips scored", "candidates", "views", "class text"} <= set(found.table["aspect"])
    assert found.left_out  # three classes are too few to halve
    aspects = {"without transfer", "relatedness", "seen prototypes", "joint encoder"}
    assert aspects <= set(ablate_study(finished).table["aspect"])
