"""The generated demo videos: class table, forward kinematics, rendering, and writing that can be stopped and resumed."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from zsar_lab.data.video import probe, read_frames
from zsar_lab.demo import DemoSettings, demo_classes, make_demo_videos, render_clip, videos
from zsar_lab.demo.actions import action_of
from zsar_lab.demo.actions_body import BODY_ACTIONS
from zsar_lab.demo.actions_object import OBJECT_ACTIONS
from zsar_lab.demo.body import ANGLES, INDEX, Proportions, forward_kinematics, periodic_curve, reach
from zsar_lab.demo.motion import Variation, move
from zsar_lab.demo.render import paint_capsules
from zsar_lab.files import read_json

LIMBS = (
    ("shoulder", "elbow", "upper_arm"),
    ("elbow", "hand", "forearm"),
    ("hip", "knee", "thigh"),
    ("knee", "ankle", "shank"),
    ("ankle", "toe", "foot"),
)


def still(**degrees: float) -> dict[str, np.ndarray]:
    return {name: np.array([float(degrees.get(name, 0.0))]) for name in ANGLES}


def assert_limb_lengths(joints: np.ndarray, size: Proportions) -> None:
    for side in "lr":
        for near, far, name in LIMBS:
            length = np.linalg.norm(
                joints[:, INDEX[f"{side}_{far}"]] - joints[:, INDEX[f"{side}_{near}"]], axis=1
            )
            np.testing.assert_allclose(length, getattr(size, name), atol=1e-9)


# the class table


def test_class_table_is_whole_and_unique():
    classes = demo_classes()
    assert list(classes.columns) == ["name", "label", "family", "description", "structure"]
    assert len(classes) >= 40
    for column in ("name", "label", "description", "structure"):
        assert classes[column].is_unique, column
    sizes = classes["family"].value_counts()
    assert (sizes == 5).sum() == 10
    assert sizes[sizes != 5].tolist() == [1, 1]


def test_every_class_has_a_motion_and_the_reverse():
    assert set(demo_classes()["name"]) == set(BODY_ACTIONS) | set(OBJECT_ACTIONS)
    assert not set(BODY_ACTIONS) & set(OBJECT_ACTIONS)


def test_descriptions_are_single_sentences_and_structures_have_five_parts():
    for row in demo_classes().itertuples():
        assert re.fullmatch(r"[A-Z][^.!?;]*\.", row.description), row.description
        assert 5 <= len(row.description.split()) <= 30, row.description
        label, _, parts = row.structure.partition(": ")
        assert label == row.label
        assert len(parts.split("; ")) == 5, row.structure
        assert re.fullmatch(r"[A-Z][A-Za-z]+", row.name)
        assert row.label == row.label.lower()


def test_members_of_a_family_share_words_of_their_structure():
    classes = demo_classes()
    parts = [set(structure.partition(": ")[2].split("; ")) for structure in classes["structure"]]
    for family, rows in classes.groupby("family").indices.items():
        for row in rows:
            others = set().union(*(parts[other] for other in rows if other != row))
            assert len(rows) == 1 or parts[row] & others, (family, classes["name"][row])


def test_no_cycle_is_too_fast_for_eight_frames():
    for name in demo_classes()["name"]:
        assert action_of(name).period_s >= 0.7, name


# forward kinematics and curves


def test_hand_worked_poses():
    upright = forward_kinematics(still(), Proportions(), level_feet=True)[0]
    np.testing.assert_allclose(upright[INDEX["l_ankle"]], (0.0, 0.055, -0.495), atol=1e-9)
    np.testing.assert_allclose(upright[INDEX["r_hand"]], (0.0, -0.105, 0.31 - 0.37), atol=1e-9)
    # right arm straight ahead, left elbow bent square with the forearm ahead, left thigh level with the shank
    # hanging
    posed = forward_kinematics(
        still(r_sho=90, l_elb=90, l_hip=90, l_knee=90), Proportions(), level_feet=True
    )[0]
    np.testing.assert_allclose(posed[INDEX["r_hand"]], (0.37, -0.105, 0.31), atol=1e-9)
    np.testing.assert_allclose(posed[INDEX["l_hand"]], (0.20, 0.105, 0.31 - 0.17), atol=1e-9)
    np.testing.assert_allclose(posed[INDEX["l_ankle"]], (0.245, 0.055, -0.25), atol=1e-9)
    # lying face down: the head points ahead
    lying = forward_kinematics(still(pitch=90), Proportions(), level_feet=False)[0]
    np.testing.assert_allclose(lying[INDEX["head"]], (0.43, 0.0, 0.0), atol=1e-9)


def test_limb_lengths_hold_for_random_angles():
    rng = np.random.default_rng(0)
    size = Proportions().varied(rng)
    angles = {name: rng.uniform(-180, 180, 50) for name in ANGLES}
    assert_limb_lengths(forward_kinematics(angles, size, level_feet=False), size)


def test_limb_lengths_hold_in_every_action():
    phase = np.linspace(0, 1, 13)
    for name in demo_classes()["name"]:
        variation = Variation.drawn(np.random.default_rng(1))
        assert_limb_lengths(move(action_of(name), phase, variation).joints, variation.proportions)


def test_reach_meets_a_target_within_reach_and_stretches_towards_one_beyond():
    pole = np.array([[0.0, 0.0, -1.0]])
    elbow, hand = reach(np.zeros((1, 3)), np.array([[0.3, 0.0, 0.4]]) * 0.6, 0.2, 0.2, pole)
    np.testing.assert_allclose(hand, [[0.18, 0.0, 0.24]], atol=1e-9)
    np.testing.assert_allclose(np.linalg.norm(elbow, axis=1), 0.2, atol=1e-9)
    _, hand = reach(np.zeros((1, 3)), np.array([[5.0, 0.0, 0.0]]), 0.2, 0.2, pole)
    np.testing.assert_allclose(hand, [[0.4, 0.0, 0.0]], atol=1e-3)


def test_periodic_curve_meets_its_keys_closes_and_does_not_overshoot():
    times, values = np.array([0.0, 0.2, 0.7]), np.array([[1.0], [5.0], [2.0]])
    np.testing.assert_allclose(periodic_curve(times, values, times + 3.0), values, atol=1e-9)
    np.testing.assert_allclose(periodic_curve(times, values, np.array([1.0 - 1e-9])), values[:1], atol=1e-6)
    curve = periodic_curve(times, values, np.linspace(0, 1, 200))
    assert 1.0 - 1e-9 <= curve.min() and curve.max() <= 5.0 + 1e-9


def test_grounded_figures_touch_the_ground():
    for name in ("Walking", "BodyWeightSquats", "SitUps", "Sweeping", "Cartwheel"):
        joints = move(
            action_of(name), np.linspace(0, 1, 20), Variation.drawn(np.random.default_rng(2))
        ).joints
        np.testing.assert_allclose(joints[:, :, 2].min(axis=1), 0.0, atol=1e-9, err_msg=name)


# rendering


def test_capsule_covers_its_area():
    canvas = np.zeros((1, 40, 40, 3), dtype=np.float32)
    start, end = np.array([[[12.0, 20.0]]]), np.array([[[28.0, 20.0]]])
    ones = np.ones((1, 1), dtype=bool)
    paint_capsules(canvas, start, end, np.array([5.0]), np.full((1, 1, 3), 100.0), np.zeros((1, 1)), ones)
    assert canvas[..., 0].sum() / 100.0 == pytest.approx(16 * 10 + np.pi * 25, rel=0.02)


def test_nearer_capsules_hide_farther_ones():
    canvas = np.zeros((1, 20, 20, 3), dtype=np.float32)
    at = np.full((1, 2, 2), 10.0)
    colours = np.array([[[200.0, 0.0, 0.0], [0.0, 200.0, 0.0]]])
    paint_capsules(
        canvas, at, at, np.array([4.0, 4.0]), colours, np.array([[1.0, -1.0]]), np.ones((1, 2), dtype=bool)
    )
    assert canvas[0, 10, 10].tolist() == [200.0, 0.0, 0.0]


def test_rendering_is_deterministic_and_varies_with_the_seed():
    frames, fps = render_clip("GolfSwing", 3)
    again, again_fps = render_clip("GolfSwing", 3)
    other, _ = render_clip("GolfSwing", 4)
    assert fps == again_fps
    np.testing.assert_array_equal(frames, again)
    assert frames.shape != other.shape or not np.array_equal(frames, other)


def test_every_class_renders_within_its_limits():
    for name in demo_classes()["name"]:
        frames, fps = render_clip(name, 7)
        assert frames.dtype == np.uint8 and frames.ndim == 4 and frames.shape[3] == 3
        assert frames.shape[1] % 2 == 0 and frames.shape[2] % 2 == 0
        assert 2.0 - 1e-6 <= len(frames) / fps <= 3.0 + 1e-6, name
        moved = np.abs(frames[1:].astype(int) - frames[:-1].astype(int)).max(axis=(1, 2, 3))
        assert np.median(moved) > 20, name


def test_two_classes_move_differently():
    phase = np.linspace(0, 1, 16, endpoint=False)
    walking, squats, waving = (
        move(action_of(n), phase, Variation.none()).joints
        for n in ("Walking", "BodyWeightSquats", "HandWaving")
    )
    assert np.ptp(squats[:, INDEX["pelvis"], 2]) > 0.2 > np.ptp(walking[:, INDEX["pelvis"], 2])
    assert np.ptp(waving[:, INDEX["l_ankle"], 0]) < 0.05 < np.ptp(walking[:, INDEX["l_ankle"], 0])


def test_unknown_class_and_negative_seed_are_refused():
    with pytest.raises(ValueError, match="the class must be one of the demo classes, got 'Yodelling'"):
        render_clip("Yodelling", 0)
    with pytest.raises(ValueError, match="seed must be at least 0, got -1"):
        render_clip("Walking", -1)


# writing


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    return make_demo_videos(
        tmp_path_factory.mktemp("demo"), DemoSettings(clips_per_class=1, seed=5), workers=2
    )


def test_files_decode_with_their_frames_and_size(made):
    settings = DemoSettings(clips_per_class=1, seed=5)
    names = demo_classes()["name"]
    assert sorted(path.name for path in made.iterdir() if path.is_dir()) == sorted(names)
    for name in names[::13]:
        path = made / name / f"{name}_000.mp4"
        frames, fps = render_clip(name, videos.clip_seed(settings, name, 0))
        info = probe(path)
        assert info.n_frames == len(frames)
        assert info.fps == pytest.approx(fps)
        read = read_frames(path, [0, len(frames) - 1])
        assert read.shape[1:] == frames.shape[1:]
        assert np.abs(read[0].astype(int) - frames[0].astype(int)).mean() < 12


def test_about_says_generated_and_the_class_table_is_copied(made):
    about = read_json(made / "about.json")
    assert about["generated"] is True
    assert about["what"] == "generated demo videos"
    assert about["settings"] == {"clips_per_class": 1, "seed": 5}
    assert len(about["fingerprint"]) == 16
    assert (made / "classes.csv").read_bytes() == videos.classes_path().read_bytes()
    assert not (made / "begun.json").exists()


def test_a_second_run_makes_nothing_and_a_stopped_one_makes_what_is_missing(made):
    settings = DemoSettings(clips_per_class=1, seed=5)
    times = {path: path.stat().st_mtime_ns for path in made.rglob("*") if path.is_file()}
    make_demo_videos(made, settings, workers=1)
    assert {path: path.stat().st_mtime_ns for path in made.rglob("*") if path.is_file()} == times

    lost = made / "Boxing" / "Boxing_000.mp4"
    before = lost.read_bytes()
    lost.unlink()
    (made / "about.json").rename(made / "begun.json")  # as a killed run leaves it
    half = made / "Boxing" / ".Boxing_000.mp4.abc.mp4"
    half.write_bytes(b"half")
    make_demo_videos(made, settings, workers=1)
    assert lost.read_bytes() == before
    assert not half.exists()
    remade = {path for path in times if path.stat().st_mtime_ns != times[path]}
    assert remade == {lost, made / "about.json", made / "classes.csv"}


def test_other_settings_in_the_same_folder_are_refused(made):
    with pytest.raises(
        ValueError, match=f"'{re.escape(str(made))}' holds those of .*delete that folder or choose another"
    ):
        make_demo_videos(made, DemoSettings(clips_per_class=2, seed=5), workers=1)


def test_settings_state_their_methods():
    with pytest.raises(ValueError, match="clips_per_class must be at least 1, got 0"):
        DemoSettings(clips_per_class=0)
    with pytest.raises(ValueError, match="seed must be at least 0, got -2"):
        DemoSettings(seed=-2)


def test_workers_must_be_positive(tmp_path):
    with pytest.raises(ValueError, match="workers must be a whole number of 1 or more, got 0"):
        make_demo_videos(tmp_path, DemoSettings(1), workers=0)
