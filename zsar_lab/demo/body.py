"""The body of the demo figure: proportions, joint angles to 3-D joints, and smooth curves through keyframes.

Axes: x points where the figure faces, y to its left, z up. The unit of length is the body height.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

JOINTS = (
    "pelvis",
    "waist",
    "chest",
    "head",
    "l_shoulder",
    "l_elbow",
    "l_hand",
    "r_shoulder",
    "r_elbow",
    "r_hand",
    "l_hip",
    "l_knee",
    "l_ankle",
    "l_toe",
    "r_hip",
    "r_knee",
    "r_ankle",
    "r_toe",
)
INDEX = {name: number for number, name in enumerate(JOINTS)}

ROOT_ANGLES = ("pitch", "roll", "yaw", "spine", "tilt", "twist", "neck")
ARM_ANGLES = ("sho", "abd", "rot", "elb")
LEG_ANGLES = ("hip", "habd", "knee", "toe")
ANGLES = ROOT_ANGLES + tuple(f"{side}_{name}" for side in "lr" for name in ARM_ANGLES + LEG_ANGLES)
PLACES = ("forward", "side", "lift")


@dataclass(frozen=True)
class Proportions:
    """Segment lengths in body heights; `shoulders` and `hips` are half widths."""

    lower_trunk: float = 0.14
    upper_trunk: float = 0.17
    neck: float = 0.12
    shoulders: float = 0.105
    hips: float = 0.055
    upper_arm: float = 0.17
    forearm: float = 0.20
    thigh: float = 0.245
    shank: float = 0.25
    foot: float = 0.10

    def varied(self, rng: np.random.Generator) -> Proportions:
        """The same body with every segment scaled by exp(N(0, 0.04)), arms and legs alike on both sides."""
        return replace(
            self,
            **{name: length * float(np.exp(rng.normal(0.0, 0.04))) for name, length in vars(self).items()},
        )


def rotation(axis: int, degrees: np.ndarray) -> np.ndarray:
    """Rotation matrices about one axis.

    Args:
        axis: 0 for x, 1 for y, 2 for z.
        degrees: (T,) float, right-handed.

    Returns:
        (T, 3, 3) float64.
    """
    angle = np.deg2rad(np.asarray(degrees, dtype=np.float64))
    matrices = np.zeros((len(angle), 3, 3))
    first, second = (axis + 1) % 3, (axis + 2) % 3
    matrices[:, axis, axis] = 1.0
    matrices[:, first, first] = matrices[:, second, second] = np.cos(angle)
    matrices[:, second, first] = np.sin(angle)
    matrices[:, first, second] = -matrices[:, second, first]
    return matrices


def forward_kinematics(
    angles: dict[str, np.ndarray], proportions: Proportions, level_feet: bool
) -> np.ndarray:
    """Joint positions from joint angles, with the pelvis at the origin.

    A child joint lies at p_child = p_parent + R_parent R(angles) offset. All angles 0 is standing upright
    with hanging arms. Positive: pitch leans forward, roll tips to the right, yaw and twist turn left, spine
    and neck bend forward, tilt bends to the right, sho and hip lift the limb forward, abd and habd spread it
    sideways, rot turns the forearm inwards, elb and knee bend, toe points the foot down.

    Args:
        angles: for every name of ANGLES a (T,) float array in degrees.
        proportions: segment lengths in body heights.
        level_feet: True keeps the soles parallel to the ground, False keeps them square to the shank.

    Returns:
        (T, 18, 3) float64, joints in the order of JOINTS, in body heights.
    """
    size = proportions
    joints = np.zeros((len(angles["pitch"]), len(JOINTS), 3))
    heading = rotation(2, angles["yaw"])
    root = heading @ rotation(1, angles["pitch"]) @ rotation(0, angles["roll"])
    trunk = root @ rotation(2, angles["twist"]) @ rotation(1, angles["spine"]) @ rotation(0, angles["tilt"])
    joints[:, INDEX["waist"]] = root[:, :, 2] * size.lower_trunk
    chest = joints[:, INDEX["waist"]] + trunk[:, :, 2] * size.upper_trunk
    joints[:, INDEX["chest"]] = chest
    joints[:, INDEX["head"]] = chest + (trunk @ rotation(1, angles["neck"]))[:, :, 2] * size.neck
    for side, sign in (("l", 1.0), ("r", -1.0)):
        shoulder = chest + trunk[:, :, 1] * (sign * size.shoulders)
        arm = trunk @ rotation(1, -angles[f"{side}_sho"]) @ rotation(0, sign * angles[f"{side}_abd"])
        elbow = shoulder - arm[:, :, 2] * size.upper_arm
        arm = arm @ rotation(2, -sign * angles[f"{side}_rot"]) @ rotation(1, -angles[f"{side}_elb"])
        joints[:, INDEX[f"{side}_shoulder"]] = shoulder
        joints[:, INDEX[f"{side}_elbow"]] = elbow
        joints[:, INDEX[f"{side}_hand"]] = elbow - arm[:, :, 2] * size.forearm

        hip = root[:, :, 1] * (sign * size.hips)
        leg = root @ rotation(1, -angles[f"{side}_hip"]) @ rotation(0, sign * angles[f"{side}_habd"])
        knee = hip - leg[:, :, 2] * size.thigh
        leg = leg @ rotation(1, angles[f"{side}_knee"])
        ankle = knee - leg[:, :, 2] * size.shank
        foot = (heading if level_feet else leg) @ rotation(1, angles[f"{side}_toe"])
        joints[:, INDEX[f"{side}_hip"]] = hip
        joints[:, INDEX[f"{side}_knee"]] = knee
        joints[:, INDEX[f"{side}_ankle"]] = ankle
        joints[:, INDEX[f"{side}_toe"]] = ankle + foot[:, :, 0] * size.foot
    return joints


def reach(
    shoulder: np.ndarray, target: np.ndarray, upper: float, lower: float, pole: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Elbow and hand of an arm that reaches for a target, as closely as its lengths allow.

    With d the shoulder-hand distance, the elbow lies a = (upper^2 - lower^2 + d^2) / (2 d) along the line to
    the hand and sqrt(upper^2 - a^2) off it, on the side of the pole.

    Args:
        shoulder: (T, 3) float, in body heights.
        target: (T, 3) float, in body heights.
        upper: length of the upper arm in body heights.
        lower: length of the forearm in body heights.
        pole: (T, 3) float, the direction in which the elbow points.

    Returns:
        elbow and hand, each (T, 3) float64.
    """
    line = target - shoulder
    wanted = np.linalg.norm(line, axis=1, keepdims=True)
    line = line / np.maximum(wanted, 1e-9)
    distance = np.clip(wanted, abs(upper - lower) * 1.02 + 1e-6, (upper + lower) * 0.9995)
    along = (upper**2 - lower**2 + distance**2) / (2.0 * distance)
    aside = pole - np.sum(pole * line, axis=1, keepdims=True) * line
    aside /= np.maximum(np.linalg.norm(aside, axis=1, keepdims=True), 1e-9)
    elbow = shoulder + along * line + np.sqrt(np.maximum(upper**2 - along**2, 0.0)) * aside
    return elbow, shoulder + distance * line


def periodic_curve(times: np.ndarray, values: np.ndarray, phase: np.ndarray) -> np.ndarray:
    """A smooth closed curve through keyframes: cubic Hermite pieces over one cycle that repeats.

    The slope at a key is the central difference of its neighbours, and 0 where the key is a turning point, so
    the curve never leaves the range of the keys around it there.

    Args:
        times: (K,) float, rising, in [0, 1).
        values: (K, D) float.
        phase: (T,) float; only its fractional part counts.

    Returns:
        (T, D) float64.
    """
    if len(values) == 1:
        return np.repeat(values, len(phase), axis=0)
    times = np.concatenate([times[-2:] - 1.0, times, times[:2] + 1.0])
    values = np.concatenate([values[-2:], values, values[:2]])
    before, after = values[1:-1] - values[:-2], values[2:] - values[1:-1]
    slopes = (values[2:] - values[:-2]) / (times[2:] - times[:-2])[:, None]
    slopes[before * after <= 0.0] = 0.0
    wrapped = np.mod(phase, 1.0)
    left = np.clip(np.searchsorted(times, wrapped, side="right") - 1, 1, len(times) - 3)
    gap = (times[left + 1] - times[left])[:, None]
    s = (wrapped - times[left])[:, None] / gap
    return (
        values[left] * (1 + 2 * s) * (1 - s) ** 2
        + slopes[left - 1] * gap * s * (1 - s) ** 2
        + values[left + 1] * s * s * (3 - 2 * s)
        + slopes[left] * gap * s * s * (s - 1)
    )
