"""From an action's keyframes to moving 3-D joints: curves, random variation, ground contact, hands."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from zsar_lab.demo.actions import Action
from zsar_lab.demo.body import (
    ANGLES,
    INDEX,
    PLACES,
    Proportions,
    forward_kinematics,
    periodic_curve,
    reach,
    rotation,
)

SIDED = ("sho", "abd", "rot", "elb", "hip", "habd", "knee", "toe", "hand")
CONTACTS = [
    INDEX[name] for name in INDEX if not name.endswith(("shoulder", "elbow", "hip", "waist", "chest", "head"))
]


@dataclass(frozen=True)
class Variation:
    """What makes one clip's figure differ from the action's own keyframes."""

    proportions: Proportions
    amplitude: float
    offset_deg: dict[str, float]

    @staticmethod
    def drawn(rng: np.random.Generator) -> Variation:
        """Segments exp(N(0, 0.04)), amplitude N(1, 0.08) within 0.8 to 1.2, joint offsets N(0, 3 degrees)."""
        amplitude = float(np.clip(rng.normal(1.0, 0.08), 0.8, 1.2))
        offsets = dict(zip(ANGLES, rng.normal(0.0, 3.0, len(ANGLES)).tolist(), strict=True))
        # an offset of the whole body would sink a foot or a hand of a lying figure into the ground
        offsets.update(pitch=0.4 * offsets["pitch"], roll=0.3 * offsets["roll"], yaw=0.0)
        return Variation(Proportions().varied(rng), amplitude, offsets)

    @staticmethod
    def none() -> Variation:
        """The keyframes as they stand."""
        return Variation(Proportions(), 1.0, dict.fromkeys(ANGLES, 0.0))


@dataclass(frozen=True)
class Motion:
    """joints (T, 18, 3), stick direction (T, 3; unit or 0) in the world; track (T, 3), the mean travel."""

    joints: np.ndarray
    stick: np.ndarray
    track: np.ndarray


def channel_values(action: Action, name: str, phase: np.ndarray, amplitude: float) -> np.ndarray | None:
    """One channel over time, float64 (T, D), D = 1 (degrees or body heights) or 3; None without keys."""
    base = name[2:] if name[:2] in ("l_", "r_") else name
    key = name if name in action.keys else base
    if key not in action.keys:
        return None
    raw = action.keys[key]
    values = np.atleast_1d(np.asarray(raw, dtype=np.float64))
    if base in ("hand", "stick"):
        values = values.reshape(-1, 3)
        if key == "hand" and name[0] == "l":
            values = values * (1.0, -1.0, 1.0)
    else:
        values = values.reshape(-1, 1)
    times = np.arange(len(values)) / len(values)
    if action.times and len(values) == len(action.times):
        times = np.asarray(action.times)
    if base in action.antiphase and name[0] == "r":
        phase = phase + 0.5
    mean = values.mean(axis=0)
    if base not in ("stick",) and not (base == "hand" and action.reach == "world"):
        values = mean + amplitude * (values - mean)
    return periodic_curve(times, values, phase)


def move(action: Action, phase: np.ndarray, variation: Variation) -> Motion:
    """Move the figure through an action.

    Args:
        action: keyframes and how the body stands in the world.
        phase: (T,) float, cycles since the first keyframe; may be negative or above 1.
        variation: body proportions, amplitude and joint offsets.

    Returns:
        The joints in the world. Where the action is grounded, the lowest joint of every frame touches z = 0
        plus its lift.
    """
    phase = np.asarray(phase, dtype=np.float64)
    angles = {}
    for name in ANGLES:
        values = channel_values(action, name, phase, variation.amplitude)
        drift = action.drift.get(name, 0.0) * phase
        angles[name] = (0.0 if values is None else values[:, 0]) + variation.offset_deg[name] + drift
    joints = forward_kinematics(angles, variation.proportions, action.level_feet)

    place = np.zeros((len(phase), 3))
    track = np.zeros((len(phase), 3))
    for axis, name in enumerate(PLACES):
        values = channel_values(action, name, phase, 1.0 if name == "lift" else variation.amplitude)
        track[:, axis] = action.drift.get(name, 0.0) * phase
        place[:, axis] = track[:, axis] + (0.0 if values is None else values[:, 0])
    if action.pin:
        joints[:, :, :2] -= joints[:, [INDEX[name] for name in action.pin]].mean(axis=1)[:, None, :2]
    if action.ground:
        held = [
            joint for joint in CONTACTS if not (action.reach and joint in (INDEX["l_hand"], INDEX["r_hand"]))
        ]
        place[:, 2] -= joints[:, held, 2].min(axis=1)
    joints += place[:, None]

    stick = channel_values(action, "stick", phase, 1.0)
    heading = rotation(2, angles["yaw"])
    stick = np.zeros((len(phase), 3)) if stick is None else np.einsum("tij,tj->ti", heading, stick)
    stick /= np.maximum(np.linalg.norm(stick, axis=1, keepdims=True), 1e-9)
    if action.reach:
        reach_hands(action, joints, phase, variation, heading, stick)
    return Motion(joints, stick, track)


def reach_hands(
    action: Action,
    joints: np.ndarray,
    phase: np.ndarray,
    variation: Variation,
    heading: np.ndarray,
    stick: np.ndarray,
) -> None:
    """Put elbows and hands of `joints` (T, 18, 3), in place, where the action's hand keys want them.

    A hand without keys keeps its joint angles, unless the stick is held with both hands: then the left hand
    grips the stick `action.grip` body heights from the right one.
    """
    for side, sign in (("r", -1.0), ("l", 1.0)):
        target = channel_values(action, f"{side}_hand", phase, variation.amplitude)
        if target is not None and action.reach == "shoulders":
            target = joints[:, INDEX["chest"]] + np.einsum("tij,tj->ti", heading, target)
        if side == "l" and action.grip is not None:
            target = joints[:, INDEX["r_hand"]] + action.grip * stick
        if target is None:
            continue
        pole = heading @ np.array([-0.3, 0.7 * sign, -0.8])
        size = variation.proportions
        elbow, hand = reach(joints[:, INDEX[f"{side}_shoulder"]], target, size.upper_arm, size.forearm, pole)
        joints[:, INDEX[f"{side}_elbow"]] = elbow
        joints[:, INDEX[f"{side}_hand"]] = hand
