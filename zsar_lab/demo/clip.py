"""One demo clip: draw its variation, move the figure, place the camera, paint the frames."""

from __future__ import annotations

import numpy as np

from zsar_lab.demo.actions import Action, action_of
from zsar_lab.demo.backdrop import contrasting_colour, paint_backdrop, scroll
from zsar_lab.demo.body import INDEX
from zsar_lab.demo.motion import Motion, Variation, move
from zsar_lab.demo.props import Shapes, add_props
from zsar_lab.demo.render import Camera, paint_capsules, paint_quad, paint_water
from zsar_lab.files import fingerprint

SIZES_PX = ((64, 64), (64, 80), (72, 72), (72, 96), (80, 64))  # height, width
FRAME_RATES = (12, 15, 20, 24)
FRAME_RATE_SHARES = (0.42, 0.36, 0.12, 0.10)
SKINS = ((241, 205, 175), (224, 172, 135), (198, 134, 95), (141, 88, 58), (96, 60, 42))
LONGEST_S = 3.0
LUMA = np.array([0.299, 0.587, 0.114])


def render_clip(class_name: str, seed: int) -> tuple[np.ndarray, int]:
    """Render one generated clip of a demo class.

    Args:
        class_name: a value of the column name of demo_classes().
        seed: at least 0; the same class and seed give the same frames.

    Returns:
        frames (T, H, W, 3) uint8 with even H and W, and the frame rate in frames a second. T / fps is 2 to 3
        seconds.

    Raises:
        ValueError: no such class, or a negative seed.
    """
    action = action_of(class_name)
    if seed < 0:
        raise ValueError(f"seed must be at least 0, got {seed}")
    rng = np.random.default_rng(int(fingerprint("clip", class_name, int(seed)), 16))
    fps = int(rng.choice(FRAME_RATES, p=FRAME_RATE_SHARES))
    height, width = SIZES_PX[rng.integers(len(SIZES_PX))]
    phase = draw_phase(action, fps, rng)
    variation = Variation.drawn(rng)
    motion = move(action, phase, variation)
    camera = place_camera(action, motion, height, width, rng)
    frames = paint(action, motion, phase, variation, camera, (height, width), rng)
    return frames, fps


def draw_phase(action: Action, fps: int, rng: np.random.Generator) -> np.ndarray:
    """Phases (T,) of the frames: tempo exp(N(0, 0.13)), 2 to 3 s, a random start; a stroke fits in whole."""
    length_s = rng.uniform(2.0, LONGEST_S)
    period_s = action.period_s * float(np.exp(rng.normal(0.0, 0.13)))
    start = rng.random()
    if action.once:
        period_s = min(period_s, LONGEST_S - 1.0 / fps)
        length_s = max(length_s, period_s + 1.0 / fps)
        # negative phases before the stroke are the end of the one before it
        start = -rng.random() * max(length_s - 1.0 / fps - period_s, 0.0) / period_s
    frames = int(np.ceil(length_s * fps - 1e-6))
    frames = min(frames, int(LONGEST_S * fps))
    return start + np.arange(frames) / (fps * period_s)


def place_camera(action: Action, motion: Motion, height: int, width: int, rng: np.random.Generator) -> Camera:
    """A camera that keeps the figure in the central square, follows most of its travel, and shakes a bit."""
    frames = len(motion.joints)
    camera = Camera(
        yaw_deg=action.view_deg[0] + rng.triangular(-45.0, 0.0, 45.0),
        elevation_deg=action.view_deg[1] + rng.uniform(-4.0, 8.0),
        mirror=bool(rng.random() < 0.5),
        scale_px=1.0,
        centre_px=np.zeros((frames, 2)),
    )
    # at most 0.3 body heights of the travel stay visible as motion across the picture
    left_over = min(0.3 / max(np.ptp(motion.track[:, :2], axis=0).max(), 1e-6), 1.0) * rng.random()
    followed = motion.track * (1.0 - left_over, 1.0 - left_over, 1.0)
    follow_px, _ = camera.project(followed)
    points = [motion.joints]
    if action.stick is not None and action.stick.release is None:
        points.append(motion.joints[:, [INDEX["r_hand"]]] + 0.8 * action.stick.ahead * motion.stick[:, None])
    seen, _ = camera.project(np.concatenate(points, axis=1))
    seen = seen - follow_px[:, None]
    low, high = seen.min(axis=(0, 1)) - 0.07, seen.max(axis=(0, 1)) + 0.07
    square = min(height, width)
    zoom = rng.uniform(0.82, 0.97)
    scale = zoom * square / max(float((high - low).max()), 0.95)
    room = np.maximum(square - scale * (high - low), 0.0) / 2.0
    middle = np.array([width, height]) / 2.0 + rng.uniform(-0.6, 0.6, 2) * room
    time = np.arange(frames)[:, None]
    shake = rng.uniform(0.0, 0.7, 2) * np.sin(time * rng.uniform(0.15, 0.5, 2) + rng.uniform(0.0, 6.3, 2))
    centre = middle - scale * (low + high) / 2.0 - scale * follow_px + shake
    return Camera(camera.yaw_deg, camera.elevation_deg, camera.mirror, scale, centre)


def add_body(shapes: Shapes, motion: Motion, colours: dict[str, np.ndarray]) -> None:
    """Add the figure's capsules: trunk, head with hair at its back, arms, legs, feet."""
    at = {name: motion.joints[:, number] for name, number in INDEX.items()}
    # the face looks along the cross product of the shoulder line and the neck
    face = np.cross(at["l_shoulder"] - at["r_shoulder"], at["head"] - at["chest"])
    face = face / np.maximum(np.linalg.norm(face, axis=1, keepdims=True), 1e-6)
    up = (at["head"] - at["chest"]) / np.linalg.norm(at["head"] - at["chest"], axis=1, keepdims=True)
    shapes.bar(at["pelvis"], at["waist"], 0.072, colours["shirt"])
    shapes.bar(at["waist"], at["chest"] - up * 0.03, 0.078, colours["shirt"])
    shapes.bar(at["l_shoulder"], at["r_shoulder"], 0.042, colours["shirt"])
    shapes.bar(at["l_hip"], at["r_hip"], 0.055, colours["trousers"])
    shapes.bar(at["chest"], at["head"], 0.035, colours["skin"])
    shapes.bar(at["head"] + face * 0.012, at["head"] + face * 0.012, 0.068, colours["skin"])
    shapes.bar(
        at["head"] + up * 0.025 - face * 0.03, at["head"] + up * 0.025 - face * 0.03, 0.062, colours["hair"]
    )
    for side in "lr":
        shapes.bar(at[f"{side}_shoulder"], at[f"{side}_elbow"], 0.036, colours["sleeves"])
        shapes.bar(at[f"{side}_elbow"], at[f"{side}_hand"], 0.029, colours["skin"])
        shapes.bar(at[f"{side}_hip"], at[f"{side}_knee"], 0.05, colours["trousers"])
        shapes.bar(at[f"{side}_knee"], at[f"{side}_ankle"], 0.038, colours["legs"])
        shapes.bar(at[f"{side}_ankle"], at[f"{side}_toe"], 0.027, colours["shoes"])


def draw_clothes(swims: bool, background: np.ndarray, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Colours of the figure, (3,) each, that stand out from the background's mean (3,); swimmers are bare."""
    skin = np.asarray(SKINS[rng.integers(len(SKINS))], dtype=np.float64)
    shirt, trousers = contrasting_colour(rng, background), contrasting_colour(rng, background)
    shorts, bare = rng.random() < 0.35, rng.random() < 0.5
    return {
        "skin": skin,
        "hair": np.asarray(rng.choice([25.0, 60.0, 110.0])) * np.array([1.0, 0.8, 0.55]),
        "shirt": skin if swims and rng.random() < 0.5 else shirt,
        "sleeves": skin if bare or swims else shirt,
        "trousers": trousers,
        "legs": skin if shorts or swims else trousers,
        "shoes": skin if swims else np.full(3, rng.choice([35.0, 225.0])),
    }


def paint(
    action: Action,
    motion: Motion,
    phase: np.ndarray,
    variation: Variation,
    camera: Camera,
    size_px: tuple[int, int],
    rng: np.random.Generator,
) -> np.ndarray:
    """Paint all frames: backdrop, quads behind, capsules by depth, quads in front, water, sensor noise.

    Returns:
        (T, H, W, 3) uint8.
    """
    height, width = size_px
    frames = len(phase)
    ground, _ = camera.project(np.zeros((frames, 1, 3)))
    kind = "rock" if "rock" in action.scenery else "water" if "water" in action.scenery else "plain"
    horizon = ground[0, 0, 1] - rng.uniform(0.04, 0.22) * min(height, width) * (
        1.6 if kind == "water" else 1.0
    )
    picture = paint_backdrop(rng, height, width, horizon, kind)
    canvas = scroll(picture, ground[:, 0] - ground[0, 0])

    shapes = Shapes(frames)
    # a swimmer is seen against the water, others against the whole picture
    background = picture.mean(axis=(0, 1)) if kind != "water" else picture[-height // 4 :].mean(axis=(0, 1))
    swims = kind == "water" and "boat" not in action.scenery
    add_body(shapes, motion, draw_clothes(swims, background, rng))
    figure = len(shapes.capsules)
    add_props(shapes, action, motion, phase, variation)
    for corners, colour in shapes.behind:
        paint_quad(
            canvas, camera.project(corners)[0], set_off(np.asarray([colour], dtype=np.float64), background)[0]
        )

    start, near_start = camera.project(np.stack([capsule[0] for capsule in shapes.capsules], axis=1))
    end, near_end = camera.project(np.stack([capsule[1] for capsule in shapes.capsules], axis=1))
    depth = (near_start + near_end) / 2.0
    # limbs nearer than the trunk are lighter and farther ones darker, so that left and right can be told
    # apart
    trunk = depth[:, :2].mean(axis=1, keepdims=True)
    light = np.clip(1.0 + 1.6 * (depth - trunk), 0.68, 1.16)
    light[:, figure:] = 1.0
    colour = np.stack([np.asarray(capsule[3], dtype=np.float64) for capsule in shapes.capsules])
    colour[figure:] = set_off(colour[figure:], background)
    radius = np.array([capsule[2] for capsule in shapes.capsules]) * camera.scale_px
    shown = np.stack([capsule[4] for capsule in shapes.capsules], axis=1)
    paint_capsules(
        canvas,
        start,
        end,
        np.maximum(radius, 0.55),
        np.minimum(colour * light[..., None], 255.0),
        depth,
        shown,
    )

    for corners, front_colour in shapes.front:
        paint_quad(canvas, camera.project(corners)[0], np.asarray(front_colour))
    if kind == "water":
        paint_water(canvas, ground[:, 0, 1], phase, (55.0, 130.0, 175.0))
    return add_noise(canvas, rng)


def set_off(colours: np.ndarray, background: np.ndarray) -> np.ndarray:
    """Colours (K, 3) of props, darker or lighter where within 45 grey levels of the background (3,)."""
    near = np.abs(colours @ LUMA - background @ LUMA) < 45.0
    other = 0.45 * colours if background @ LUMA > 120.0 else 0.4 * colours + 0.6 * 250.0
    return np.where(near[:, None], other, colours)


def add_noise(canvas: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Sensor noise N(0, 1.5 to 4.5 grey levels), exposure exp(N(0, 0.08)); (T, H, W, 3) float32 to uint8.

    One noise picture, shifted at random from frame to frame, looks like fresh noise and costs a tenth of it.
    """
    frames, height, width, _ = canvas.shape
    grain = rng.normal(0.0, rng.uniform(1.5, 4.5), (height + 16, width + 16, 1)).astype(np.float32)
    canvas *= np.float32(np.exp(rng.normal(0.0, 0.08)))
    for frame, (row, column) in enumerate(rng.integers(0, 16, (frames, 2))):
        canvas[frame] += grain[row : row + height, column : column + width]
    return np.clip(canvas, 0.0, 255.0, out=canvas).astype(np.uint8)
