"""The actions of the demo figure: what an entry of actions.toml means, and reading it."""

from __future__ import annotations

import functools
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib import resources
from typing import Any


@dataclass(frozen=True)
class Stick:
    """A long thing in the right hand, along the action's stick direction.

    ahead, behind: how far it reaches from the hand, body heights. head: what sits at its far end. release:
    the phase at which it leaves the hand, None for never; velocity: of its flight, body heights a second.
    """

    ahead: float
    behind: float = 0.0
    width: float = 0.016
    head: str = "none"
    colour: Sequence[int] = (150, 100, 50)
    release: float | None = None
    velocity: Sequence[float] = (0.0, 0.0, 0.0)


@dataclass(frozen=True)
class Ball:
    """A ball that leaves at phase `leaves` with `velocity`.

    before: held in the "hand" or "hands", at "rest", or it "flies" in with velocity `incoming`. contact:
    where a ball that is not held leaves from, the "hand" or the "head" of the stick.
    """

    leaves: float
    velocity: Sequence[float]
    before: str = "hand"
    contact: str = "hand"
    incoming: Sequence[float] = (0.0, 0.0, 0.0)
    gravity: float = 2.0
    radius: float = 0.035
    colour: Sequence[int] = (240, 240, 230)


@dataclass(frozen=True)
class Action:
    """The motion of one class.

    keys: channel name to one value or several, spread evenly over the cycle, or at `times` where there are
    as many values as times. Angles in degrees, places in body heights. A limb channel without l_ or r_ drives
    both sides; named in `antiphase`, the right side lags half a cycle. "hand" keys are (forward, left, up)
    triples for the right hand, mirrored for the left; "stick" keys are directions in the same axes.

    period_s: one cycle. once: a stroke with a beginning and an end, which a clip shows whole. drift: change
    of a channel over one cycle, on top of its keys. ground: the lowest joint touches the ground (plus
    "lift"); otherwise "lift" is the pelvis height. pin: joints whose mean stays above the origin. reach: hand
    keys are relative to the "shoulders" or fixed in the "world"; "" leaves the hands to the joint angles.
    grip: distance of the left hand along the stick, None for a free left hand. view_deg: yaw of the camera
    around the figure (0 from the front, -90 from its right side) and elevation. scenery: of props.SCENERY.
    """

    period_s: float
    keys: dict[str, Any]
    times: Sequence[float] = ()
    once: bool = False
    antiphase: Sequence[str] = ()
    drift: dict[str, float] = field(default_factory=dict)
    ground: bool = True
    level_feet: bool = True
    pin: Sequence[str] = ()
    reach: str = ""
    grip: float | None = None
    view_deg: Sequence[float] = (-90.0, 8.0)
    stick: Stick | None = None
    ball: Ball | None = None
    scenery: Sequence[str] = ()


@functools.cache
def actions() -> dict[str, Action]:
    """All actions by class name, from actions.toml."""
    text = resources.files(__package__).joinpath("actions.toml").read_text(encoding="utf-8")
    made = {"stick": lambda table: Stick(**table), "ball": lambda table: Ball(**table)}
    return {
        name: Action(**{key: made.get(key, lambda value: value)(value) for key, value in table.items()})
        for name, table in tomllib.loads(text).items()
    }


def action_of(class_name: str) -> Action:
    """The motion of a demo class.

    Raises:
        ValueError: there is no such class.
    """
    if class_name not in actions():
        raise ValueError(f"class_name must be a demo class (see demo_classes()), got '{class_name}'")
    return actions()[class_name]
