"""The generated demo videos: class table, forward kinematics, rendering, and writing that can be resumed."""

from __future__ import annotations

import hashlib
import re
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from zsar_lab.data.video import probe, read_frames
from zsar_lab.demo import DemoSettings, demo_classes, make_demo_videos, render_clip, videos
from zsar_lab.demo.actions import action_of, actions
from zsar_lab.demo.body import ANGLES, INDEX, Proportions, forward_kinematics
from zsar_lab.demo.motion import Variation, move
from zsar_lab.files import read_json

ARM, LEG = ("shoulder", "elbow", "hand"), ("hip", "knee", "ankle", "toe")
LIMBS = dict(zip([*pairwise(ARM), *pairwise(LEG)], ("upper_arm", "forearm", "thigh", "shank", "foot")))
NAMES = sorted(actions())
SETTINGS = DemoSettings(clips_per_class=1, seed=5)


def pose(level_feet: bool = True, **degrees: float) -> dict[str, np.ndarray]:
    """Joints of the standard body with these angles, by name."""
    angles = {name: np.array([float(degrees.get(name, 0.0))]) for name in ANGLES}
    joints = forward_kinematics(angles, Proportions(), level_feet)[0]
    return {name: joints[number] for name, number in INDEX.items()}


def assert_limb_lengths(joints: np.ndarray, size: Proportions) -> None:
    for side in "lr":
        for (near, far), name in LIMBS.items():
            limb = joints[:, INDEX[f"{side}_{far}"]] - joints[:, INDEX[f"{side}_{near}"]]
            np.testing.assert_allclose(np.linalg.norm(limb, axis=1), getattr(size, name), atol=1e-9)


def test_the_class_table_is_whole_and_every_class_has_a_motion():
    classes = demo_classes()
    assert list(classes.columns) == ["name", "label", "family", "description", "structure"]
    assert all(classes[column].is_unique for column in ("name", "label", "description", "structure"))
    assert sorted(classes["family"].value_counts()) == [1, 1, *[5] * 10]
    assert sorted(classes["name"]) == NAMES
    for row in classes.itertuples():
        assert re.fullmatch(r"[A-Z][^.!?;]*\.", row.description), row.description
        assert 5 <= len(row.description.split()) <= 30, row.description
        label, _, parts = row.structure.partition(": ")
        assert label == row.label == row.label.lower() and len(parts.split("; ")) == 5, row.structure
        assert re.fullmatch(r"[A-Z][A-Za-z]+", row.name)
    # members of a family share words of their structure
    parts = [set(structure.partition(": ")[2].split("; ")) for structure in classes["structure"]]
    for family, rows in classes.groupby("family").indices.items():
        for row in rows:
            others = set().union(*(parts[other] for other in rows if other != row))
            assert len(rows) == 1 or parts[row] & others, (family, classes["name"][row])


@pytest.mark.parametrize(
    ("joint", "wanted", "angles"),
    [
        ("l_ankle", (0.0, 0.055, -0.495), {}),
        ("r_hand", (0.0, -0.105, 0.31 - 0.37), {}),
        ("r_hand", (0.37, -0.105, 0.31), {"r_sho": 90}),  # straight ahead
        ("l_hand", (0.20, 0.105, 0.31 - 0.17), {"l_elb": 90}),  # the forearm ahead
        ("l_ankle", (0.245, 0.055, -0.25), {"l_hip": 90, "l_knee": 90}),  # the thigh level, the shank hangs
        ("head", (0.43, 0.0, 0.0), {"pitch": 90, "level_feet": False}),  # face down
    ],
)
def test_hand_worked_poses(joint, wanted, angles):
    np.testing.assert_allclose(pose(**angles)[joint], wanted, atol=1e-9)


def test_limb_lengths_hold_for_random_angles_and_in_every_action():
    rng = np.random.default_rng(0)
    size, angles = Proportions().varied(rng), {name: rng.uniform(-180, 180, 50) for name in ANGLES}
    assert_limb_lengths(forward_kinematics(angles, size, level_feet=False), size)
    for name in NAMES:
        variation = Variation.drawn(np.random.default_rng(1))
        joints = move(action_of(name), np.linspace(0, 1, 13), variation).joints
        assert_limb_lengths(joints, variation.proportions)
        assert action_of(name).period_s >= 0.7, "too fast for eight frames"
        if name in ("Walking", "BodyWeightSquats", "SitUps", "Sweeping", "Cartwheel"):  # on the ground
            np.testing.assert_allclose(joints[:, :, 2].min(axis=1), 0.0, atol=1e-9)


def test_every_class_renders_within_its_limits_and_as_before():
    digest = hashlib.sha256()
    for name in NAMES:
        frames, fps = render_clip(name, 7)
        digest.update(frames.tobytes())
        assert frames.dtype == np.uint8 and frames.ndim == 4 and frames.shape[3] == 3
        assert not any(side % 2 for side in frames.shape[1:3])
        assert 2.0 - 1e-6 <= len(frames) / fps <= 3.0 + 1e-6, name
        moved = np.abs(frames[1:].astype(int) - frames[:-1].astype(int)).max(axis=(1, 2, 3))
        assert np.median(moved) > 20, name
    assert digest.hexdigest().startswith("b725abd70fc99be9")


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda _: render_clip("Yodelling", 0), "Yodelling"),
        (lambda _: render_clip("Walking", -1), "seed .* -1"),
        (lambda _: DemoSettings(clips_per_class=0), "clips_per_class .* 0"),
        (lambda _: DemoSettings(seed=-2), "seed .* -2"),
        (lambda folder: make_demo_videos(folder, DemoSettings(1), workers=0), "workers .* 0"),
    ],
)
def test_bad_input(call, said, tmp_path):
    with pytest.raises(ValueError, match=said):
        call(tmp_path)


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    return make_demo_videos(tmp_path_factory.mktemp("demo"), SETTINGS, workers=2)


def test_files_decode_with_their_frames_and_size(made):
    assert sorted(path.name for path in made.iterdir() if path.is_dir()) == NAMES
    for name in NAMES[::13]:
        path = made / name / f"{name}_000.mp4"
        frames, fps = render_clip(name, videos.clip_seed(SETTINGS, name, 0))
        info, read = probe(path), read_frames(path, [0, len(frames) - 1])
        assert info.n_frames == len(frames) and info.fps == pytest.approx(fps)
        assert read.shape[1:] == frames.shape[1:]
        assert np.abs(read[0].astype(int) - frames[0].astype(int)).mean() < 12
    about = read_json(made / "about.json")
    assert about["generated"] is True and about["what"] == "generated demo videos"
    assert about["settings"] == {"clips_per_class": 1, "seed": 5} and len(about["fingerprint"]) == 16
    assert (made / "classes.csv").read_bytes() == videos.classes_path().read_bytes()
    assert not (made / "begun.json").exists()


def test_a_second_run_makes_what_is_missing_and_other_settings_are_refused(made):
    times = {path: path.stat().st_mtime_ns for path in made.rglob("*") if path.is_file()}
    make_demo_videos(made, SETTINGS, workers=1)
    assert {path: path.stat().st_mtime_ns for path in made.rglob("*") if path.is_file()} == times
    lost, half = made / "Boxing" / "Boxing_000.mp4", made / "Boxing" / ".Boxing_000.mp4.abc.mp4"
    before = lost.read_bytes()
    lost.unlink()
    half.write_bytes(b"half")
    (made / "about.json").rename(made / "begun.json")  # as a killed run leaves it
    make_demo_videos(made, SETTINGS, workers=1)
    assert lost.read_bytes() == before and not half.exists()
    remade = {path for path in times if path.stat().st_mtime_ns != times[path]}
    assert remade == {lost, made / "about.json", made / "classes.csv"}
    with pytest.raises(ValueError, match=re.escape(str(made))):
        make_demo_videos(made, DemoSettings(clips_per_class=2, seed=5), workers=1)
