"""The things around the figure as 3-D shapes: sticks, balls, apparatus, instruments, boats."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike

from zsar_lab.demo.actions import Action, Ball, Stick
from zsar_lab.demo.body import INDEX
from zsar_lab.demo.motion import Motion, Variation, move

WOOD, STEEL, DARK, RED = (150, 105, 60), (170, 175, 185), (45, 45, 50), (200, 50, 45)


@dataclass
class Shapes:
    """What is painted: capsules (sorted by depth with the limbs), flat quads behind or in front of them.

    capsules: (start (T, 3), end (T, 3), radius, colour, shown (T,) bool). behind, front: (corners (T, 4, 3),
    colour), the corners in turn around a convex outline. Lengths in body heights, colours RGB 0-255.
    """

    frames: int
    capsules: list[tuple] = field(default_factory=list)
    behind: list[tuple] = field(default_factory=list)
    front: list[tuple] = field(default_factory=list)

    def bar(
        self,
        start: ArrayLike,
        end: ArrayLike,
        radius: float,
        colour: ArrayLike,
        shown: np.ndarray | None = None,
    ) -> None:
        """Add a capsule from start to end; both (3,) or (T, 3)."""
        shown = np.ones(self.frames, dtype=bool) if shown is None else shown
        self.capsules.append((self._timed(start), self._timed(end), radius, colour, shown))

    def quad(self, corners: list, colour: ArrayLike, front: bool = False) -> None:
        """Add a flat quad of four corners, each (3,) or (T, 3)."""
        stacked = np.stack([self._timed(corner) for corner in corners], axis=1)
        (self.front if front else self.behind).append((stacked, colour))

    def box(self, low: tuple, high: tuple, colour: tuple) -> None:
        """Add a block behind the figure: its top, back and right faces, as flat quads."""
        (x0, y0, z0), (x1, y1, z1) = low, high
        dark = tuple(int(0.7 * c) for c in colour)
        self.quad([(x0, y1, z0), (x0, y1, z1), (x0, y0, z1), (x0, y0, z0)], dark)
        self.quad(
            [(x0, y0, z0), (x1, y0, z0), (x1, y0, z1), (x0, y0, z1)], tuple(int(0.85 * c) for c in colour)
        )
        self.quad([(x0, y0, z1), (x1, y0, z1), (x1, y1, z1), (x0, y1, z1)], colour)

    def _timed(self, point: ArrayLike) -> np.ndarray:
        return np.broadcast_to(np.asarray(point, dtype=np.float64), (self.frames, 3))


def joint(motion: Motion, name: str) -> np.ndarray:
    """One joint over time, (T, 3)."""
    return motion.joints[:, INDEX[name]]


def across(direction: np.ndarray, other: tuple) -> np.ndarray:
    """Unit vectors (T, 3) square to `direction` (T, 3) and to one fixed direction."""
    square = np.cross(direction, np.asarray(other, dtype=np.float64))
    return square / np.maximum(np.linalg.norm(square, axis=1, keepdims=True), 1e-6)


def add_stick(
    shapes: Shapes, stick: Stick, action: Action, motion: Motion, phase: np.ndarray, variation: Variation
) -> None:
    """The stick in the right hand, or in flight after its release."""
    hand, along = joint(motion, "r_hand"), motion.stick
    if stick.release is not None:
        flying = np.mod(phase, 1.0) > stick.release
        at = move(action, np.floor(phase) + stick.release, variation)
        flown = ((np.mod(phase, 1.0) - stick.release) * action.period_s)[:, None]
        path = (
            at.joints[:, INDEX["r_hand"]] + np.asarray(stick.velocity) * flown + flown**2 * (0.0, 0.0, -0.6)
        )
        hand = np.where(flying[:, None], path, hand)
    tip = hand + along * stick.ahead
    shapes.bar(hand - along * stick.behind, tip, stick.width, stick.colour)
    flat = across(along, (0.0, 0.0, 1.0))
    if stick.head == "racket":
        shapes.bar(tip, tip + along * 0.08, 0.075, stick.colour)
        shapes.bar(tip + along * 0.01, tip + along * 0.07, 0.056, (235, 235, 225))
    elif stick.head == "bat":
        shapes.bar(hand + along * 0.1, tip, 0.034, stick.colour)
    elif stick.head in ("club", "blade"):
        size = 0.06 if stick.head == "club" else 0.14
        shapes.bar(
            tip,
            tip + np.cross(flat, along) * 0.02 + flat * size * np.array([1.0, 1.0, 0.3]),
            0.022,
            stick.colour,
        )
    elif stick.head == "broom":
        shapes.bar(tip - flat * 0.12, tip + flat * 0.12, 0.045, (215, 180, 80))
    elif stick.head == "mop":
        shapes.bar(tip - flat * 0.06, tip + flat * 0.06, 0.075, (225, 225, 230))
    elif stick.head == "rake":
        shapes.bar(tip - flat * 0.16, tip + flat * 0.16, 0.018, (60, 60, 60))
        for step in (-0.16, -0.08, 0.0, 0.08, 0.16):
            shapes.bar(tip + flat * step, tip + flat * step + (0.0, 0.0, -0.06), 0.01, (60, 60, 60))
    elif stick.head == "spade":
        shapes.bar(tip, tip + along * 0.1, 0.05, (95, 100, 110))
    elif stick.head == "axe":
        blade = across(along, (0.0, 1.0, 0.0))
        shapes.bar(tip, tip + blade * 0.07, 0.036, (185, 190, 200))
    elif stick.head == "paddle":
        shapes.bar(tip - along * 0.12, tip, 0.036, stick.colour)
        shapes.bar(hand - along * stick.behind, hand - along * (stick.behind - 0.12), 0.036, stick.colour)


def ball_point(ball: Ball, action: Action, motion: Motion) -> np.ndarray:
    """Where the ball is held or struck, (T, 3)."""
    if ball.before == "hands":
        return (joint(motion, "r_hand") + joint(motion, "l_hand")) / 2.0
    if ball.contact == "head" and action.stick is not None:
        return joint(motion, "r_hand") + motion.stick * (action.stick.ahead + 0.03)
    return joint(motion, "r_hand") + (0.03, 0.0, 0.03)


def add_ball(
    shapes: Shapes, ball: Ball, action: Action, motion: Motion, phase: np.ndarray, variation: Variation
) -> None:
    """The ball: p(t) = p0 + v t - (0, 0, g/2) t^2 from its release; held, lying or flying in before."""
    wrapped = np.mod(phase, 1.0)
    time_s = ((wrapped - ball.leaves) * action.period_s)[:, None]
    origin = ball_point(ball, action, move(action, np.floor(phase) + ball.leaves, variation))
    if ball.before == "rest":
        origin = origin * (1.0, 1.0, 0.0) + (0.0, 0.0, ball.radius)
    fall = np.array([0.0, 0.0, -0.5 * ball.gravity])
    after = origin + np.asarray(ball.velocity) * time_s + fall * time_s**2
    if ball.before == "flies":
        before = origin + np.asarray(ball.incoming) * time_s + fall * time_s**2
        if action.stick is not None and action.stick.head == "racket" and ball.incoming[1] == 0.0:
            # a serve: until the toss the ball is in the left hand, so it is never below it
            low = joint(motion, "l_hand") + (0.02, 0.0, 0.03)
            before = np.where((time_s < -0.42), low, before)
    elif ball.before == "rest":
        before = origin
    else:
        before = ball_point(ball, action, motion)
    point = np.where(time_s < 0.0, before, after)
    point[:, 2] = np.maximum(point[:, 2], ball.radius)
    shapes.bar(point, point, ball.radius, ball.colour)


def _stairs(shapes: Shapes, motion: Motion) -> None:
    # each step 0.22 deep and 0.14 high: the drift of two steps a cycle
    first = int(np.floor(motion.track[:, 0].min() / 0.22)) - 4
    for step in range(first + 14, first, -1):
        x, z = step * 0.22 + 0.02, step * 0.14
        shapes.quad(
            [(x, -0.25, z), (x, -0.25, z - 3.0), (x + 0.22, -0.25, z - 3.0), (x + 0.22, -0.25, z)],
            (120, 110, 105),
        )
        shapes.quad([(x, 0.25, z), (x, 0.25, z - 0.14), (x, -0.25, z - 0.14), (x, -0.25, z)], (145, 135, 125))
        shapes.quad([(x, -0.25, z), (x + 0.22, -0.25, z), (x + 0.22, 0.25, z), (x, 0.25, z)], (195, 185, 170))


def _ladder(shapes: Shapes, motion: Motion) -> None:
    low, high = motion.track[:, 2].min() - 0.8, motion.track[:, 2].max() + 2.2
    for y in (-0.15, 0.15):
        shapes.bar((0.27, y, low), (0.27, y, high), 0.02, (205, 165, 70))
    for rung in range(int(np.ceil(low / 0.16)), int(high / 0.16)):
        shapes.bar((0.27, -0.15, rung * 0.16), (0.27, 0.15, rung * 0.16), 0.014, (185, 145, 60))


def _rope(shapes: Shapes, motion: Motion) -> None:
    low, high = motion.track[:, 2].min() - 1.0, motion.track[:, 2].max() + 2.2
    shapes.bar((0.15, 0.0, low), (0.15, 0.0, high), 0.018, (205, 180, 130))


def _bar(shapes: Shapes, motion: Motion) -> None:
    for y in (-0.45, 0.45):
        shapes.bar((0.06, y, 0.0), (0.06, y, 1.24), 0.02, STEEL)
    shapes.bar((0.06, -0.45, 1.24), (0.06, 0.45, 1.24), 0.018, DARK)


def _chair(shapes: Shapes, motion: Motion) -> None:
    for x, top in ((-0.4, 0.58), (-0.14, 0.2)):
        for y in (-0.13, 0.13):
            shapes.bar((x, y, 0.0), (x, y, top), 0.016, WOOD)
    for y in (-0.1, 0.0, 0.1):
        shapes.bar((-0.4, y, 0.2), (-0.14, y, 0.2), 0.025, WOOD)
    for z in (0.42, 0.52):
        shapes.bar((-0.4, -0.13, z), (-0.4, 0.13, z), 0.03, WOOD)


def _barbell(shapes: Shapes, motion: Motion) -> None:
    middle = (joint(motion, "l_hand") + joint(motion, "r_hand")) / 2.0
    side = joint(motion, "l_hand") - joint(motion, "r_hand")
    side = side / np.linalg.norm(side, axis=1, keepdims=True)
    shapes.bar(middle - side * 0.46, middle + side * 0.46, 0.014, STEEL)
    for sign in (-1.0, 1.0):
        for out, radius in ((0.36, 0.11), (0.4, 0.09)):
            plate = middle + side * sign * out
            shapes.bar(plate, plate, radius, DARK if radius > 0.1 else (85, 85, 95))


def _jump_rope(shapes: Shapes, motion: Motion, phase: np.ndarray) -> None:
    left, right = joint(motion, "l_hand"), joint(motion, "r_hand")
    # the loop is lowest at phase 0.5, the top of the jump
    turn = 2.0 * np.pi * (phase - 0.5)
    bow = np.stack([np.sin(turn), np.zeros_like(turn), -np.cos(turn)], axis=1)
    centre_height = ((left + right) / 2.0)[:, 2:3]
    radius = np.where(bow[:, 2:3] < 0.0, centre_height - 0.02, 0.62)
    share = np.linspace(0.0, 1.0, 10)
    wide = np.array([0.0, 0.06, 0.0])
    points = [
        right
        + (left - right) * s
        + bow * radius * np.sin(np.pi * s) ** 0.6
        + wide * np.sin(2 * np.pi * s) * -1.0
        for s in share
    ]
    for start, end in zip(points[:-1], points[1:], strict=True):
        shapes.bar(start, end, 0.011, (240, 215, 70))


def _trampoline(shapes: Shapes, motion: Motion) -> None:
    ring = [(0.5 * np.cos(a), 0.5 * np.sin(a)) for a in np.linspace(0.0, 2.0 * np.pi, 9)]
    dip = np.stack(
        [
            np.zeros(shapes.frames),
            np.zeros(shapes.frames),
            np.minimum(motion.joints[:, :, 2].min(axis=1), 0.0),
        ],
        axis=1,
    )
    for (x0, y0), (x1, y1) in zip(ring[:-1], ring[1:], strict=True):
        shapes.quad([(x0, y0, 0.0), (x1, y1, 0.0), dip, dip], (40, 45, 60))
        shapes.bar((x0, y0, 0.0), (x1, y1, 0.0), 0.022, (60, 110, 200))
        shapes.bar((x0, y0, 0.0), (x0, y0, -0.22), 0.014, STEEL)


def _box(shapes: Shapes, motion: Motion) -> None:
    shapes.box((0.22, -0.26, 0.0), (0.72, 0.26, 0.3), (190, 140, 80))


def _net(shapes: Shapes, motion: Motion) -> None:
    for z in np.linspace(0.75, 1.15, 5):
        shapes.bar((0.62, -0.7, z), (0.62, 0.7, z), 0.009, (235, 235, 235))
    for y in np.linspace(-0.7, 0.7, 9):
        shapes.bar((0.62, y, 0.75), (0.62, y, 1.15), 0.007, (225, 225, 225))
    for y in (-0.7, 0.7):
        shapes.bar((0.62, y, 0.0), (0.62, y, 1.18), 0.02, DARK)


def _wicket(shapes: Shapes, motion: Motion) -> None:
    for x in (0.02, 0.08, 0.14):
        shapes.bar((x, -0.5, 0.0), (x, -0.5, 0.36), 0.012, (235, 215, 160))


def _bucket(shapes: Shapes, motion: Motion) -> None:
    shapes.quad([(-0.5, 0.0, 0.2), (-0.26, 0.0, 0.2), (-0.3, 0.0, 0.0), (-0.46, 0.0, 0.0)], (60, 120, 200))
    shapes.bar((-0.5, 0.0, 0.2), (-0.26, 0.0, 0.2), 0.015, (40, 90, 160))


def _soil(shapes: Shapes, motion: Motion) -> None:
    for x, y, radius in ((0.4, 0.42, 0.09), (0.55, 0.46, 0.07), (0.26, 0.48, 0.07)):
        shapes.bar((x, y, 0.0), (x, y, 0.04), radius, (95, 65, 40))
    shapes.bar((0.42, 0.0, -0.02), (0.62, 0.0, -0.02), 0.03, (60, 42, 28))


def _log(shapes: Shapes, motion: Motion) -> None:
    shapes.quad([(0.48, 0.0, 0.16), (0.72, 0.0, 0.16), (0.72, 0.0, 0.0), (0.48, 0.0, 0.0)], (120, 80, 45))
    shapes.bar((0.5, 0.0, 0.16), (0.7, 0.0, 0.16), 0.022, (215, 180, 130))


def _leaves(shapes: Shapes, motion: Motion) -> None:
    for number in range(16):
        x, y = 0.35 + 0.6 * ((number * 0.618) % 1.0), -0.35 + 0.7 * ((number * 0.383) % 1.0)
        colour = ((215, 120, 30), (190, 70, 30), (225, 180, 50))[number % 3]
        shapes.bar((x, y, 0.01), (x + 0.02, y, 0.01), 0.02, colour)


def _boat(shapes: Shapes, motion: Motion) -> None:
    seat = joint(motion, "pelvis").mean(axis=0)
    x, top, colour = seat[0] + 0.08, 0.075, RED
    sides = [((x - 0.85, top + 0.03), (x - 0.5, -0.06)), ((x + 0.85, top + 0.03), (x + 0.5, -0.06))]
    (stern, keel_back), (bow, keel_front) = sides
    shapes.quad(
        [
            (stern[0], 0.0, stern[1]),
            (bow[0], 0.0, bow[1]),
            (keel_front[0], 0.0, -0.06),
            (keel_back[0], 0.0, -0.06),
        ],
        colour,
        front=True,
    )


def _oars(shapes: Shapes, motion: Motion) -> None:
    seat = joint(motion, "pelvis").mean(axis=0)
    for side, sign in (("l", 1.0), ("r", -1.0)):
        hand = joint(motion, f"{side}_hand")
        lock = np.array([seat[0] + 0.2, sign * 0.26, 0.17])
        along = lock - hand
        along = along / np.linalg.norm(along, axis=1, keepdims=True)
        end = lock + along * 0.55
        shapes.bar(hand, end, 0.013, WOOD)
        shapes.bar(end, end + along * 0.1, 0.04, (240, 240, 230))


def _gloves(shapes: Shapes, motion: Motion) -> None:
    for side in "lr":
        shapes.bar(joint(motion, f"{side}_hand"), joint(motion, f"{side}_hand"), 0.058, RED)


def _guitar(shapes: Shapes, motion: Motion) -> None:
    belly = joint(motion, "waist") + (0.13, -0.07, -0.01)
    neck = joint(motion, "l_hand") + (0.0, 0.02, 0.0)
    along = (neck - belly) / np.linalg.norm(neck - belly, axis=1, keepdims=True)
    shapes.bar(belly - along * 0.06, belly - along * 0.06, 0.105, (190, 100, 40))
    shapes.bar(belly + along * 0.07, belly + along * 0.07, 0.08, (200, 110, 45))
    shapes.bar(belly + along * 0.12, neck + along * 0.06, 0.02, (70, 40, 25))
    shapes.bar(belly + along * 0.03, belly + along * 0.03, 0.032, DARK)


def _violin(shapes: Shapes, motion: Motion) -> None:
    chin = joint(motion, "l_shoulder") + (0.05, -0.03, 0.05)
    hand = joint(motion, "l_hand") + (0.0, 0.0, 0.02)
    shapes.bar(chin, chin + (hand - chin) * 0.5, 0.045, (165, 80, 35))
    shapes.bar(chin, hand, 0.015, (80, 45, 25))
    bridge = chin + (hand - chin) * 0.45 + (0.02, 0.0, 0.045)
    bow_hand = joint(motion, "r_hand")
    along = (bridge - bow_hand) / np.linalg.norm(bridge - bow_hand, axis=1, keepdims=True)
    shapes.bar(bow_hand, bow_hand + along * 0.42, 0.011, (245, 240, 225))


def _drum(shapes: Shapes, motion: Motion) -> None:
    waist = joint(motion, "pelvis").mean(axis=0)
    x, top = waist[0] + 0.36, waist[2] + 0.06
    shapes.bar((x, 0.12, top - 0.1), (x, -0.12, top - 0.1), 0.1, (190, 40, 50))
    shapes.bar((x, 0.15, top), (x, -0.15, top), 0.035, (240, 240, 235))
    for y in (-0.16, 0.16):
        shapes.bar((x, y, top - 0.12), (x, y * 1.4, 0.0), 0.013, STEEL)
    for side in "lr":
        hand = joint(motion, f"{side}_hand")
        tip = np.array([x + 0.02, 0.06 if side == "l" else -0.06, top + 0.04])
        # the tip of the stick rises three halves of what the hand rises
        lifted = tip + np.maximum(hand - hand.min(axis=0), 0.0) * (0.0, 0.0, 1.2)
        along = (lifted - hand) / np.linalg.norm(lifted - hand, axis=1, keepdims=True)
        shapes.bar(hand, hand + along * 0.24, 0.012, (235, 215, 170))


SCENERY: dict[str, Callable[[Shapes, Motion], None]] = {
    "stairs": _stairs,
    "ladder": _ladder,
    "rope": _rope,
    "bar": _bar,
    "chair": _chair,
    "barbell": _barbell,
    "trampoline": _trampoline,
    "box": _box,
    "net": _net,
    "wicket": _wicket,
    "bucket": _bucket,
    "soil": _soil,
    "log": _log,
    "leaves": _leaves,
    "boat": _boat,
    "oars": _oars,
    "gloves": _gloves,
    "guitar": _guitar,
    "violin": _violin,
    "drum": _drum,
}
# these two are backgrounds: the renderer paints them
BACKDROPS = ("water", "rock")


def add_props(
    shapes: Shapes, action: Action, motion: Motion, phase: np.ndarray, variation: Variation
) -> None:
    """Add all an action's things to the shapes."""
    for name in action.scenery:
        if name == "jump rope":
            _jump_rope(shapes, motion, phase)
        elif name not in BACKDROPS:
            SCENERY[name](shapes, motion)
    if action.stick is not None:
        add_stick(shapes, action.stick, action, motion, phase, variation)
    if action.ball is not None:
        add_ball(shapes, action.ball, action, motion, phase, variation)
