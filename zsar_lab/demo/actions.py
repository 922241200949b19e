"""What an action of the demo figure is: keyframes, tempo, contact with the world, props and a sensible view."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Stick:
    """A long thing in the right hand (the left may grip it too, see Action.grip), along the action's stick direction.

    ahead, behind: how far it reaches from the hand, body heights. head: what sits at its far end. release:
    the phase at which it leaves the hand, None for never; velocity: of its flight, body heights a second.
    """

    ahead: float
    behind: float = 0.0
    width: float = 0.016
    head: str = "none"
    colour: tuple[int, int, int] = (150, 100, 50)
    release: float | None = None
    velocity: tuple[float, float, float] = (0.0, 0.0, 0.0)


@dataclass(frozen=True)
class Ball:
    """A ball that leaves at phase `leaves` with `velocity`; before, it is held ("hand", "hands"), lies ("rest") or comes in ("flies").

    A ball that is not held leaves from the point of contact: `contact` is "hand" or the stick's "head".
    """

    leaves: float
    velocity: tuple[float, float, float]
    before: str = "hand"
    contact: str = "hand"
    incoming: tuple[float, float, float] = (0.0, 0.0, 0.0)
    gravity: float = 2.0
    radius: float = 0.035
    colour: tuple[int, int, int] = (240, 240, 230)


@dataclass(frozen=True)
class Action:
    """The motion of one class.

    keys: channel name to one value or a tuple of values, spread evenly over the cycle, or at `times` where
    there are as many values as times. Angles in degrees, places in body heights. A limb channel without l_ or
    r_ drives both sides; named in `antiphase`, the right side lags half a cycle. "hand" keys are (forward,
    left, up) triples for the right hand, mirrored for the left; "stick" keys are directions in the same axes.

    period_s: one cycle. once: a stroke with a beginning and an end, which a clip shows whole. drift: change
    of a channel
    over one cycle, on top of its keys. ground: the lowest joint touches the ground (plus "lift"); otherwise
    "lift" is the
    pelvis height. pin: joints whose mean stays above the origin. reach: hand keys are relative to the
    "shoulders" or fixed in the "world"; "" leaves the hands to the joint angles. grip: distance of the left
    hand along the stick, None for a
    free left hand. view_deg: yaw of the camera around the figure (0 from the front, -90 from its right side)
    and elevation.
    scenery: names of props.SCENERY.
    """

    period_s: float
    keys: dict[str, float | tuple]
    times: tuple[float, ...] = ()
    once: bool = False
    antiphase: tuple[str, ...] = ()
    drift: dict[str, float] = field(default_factory=dict)
    ground: bool = True
    level_feet: bool = True
    pin: tuple[str, ...] = ()
    reach: str = ""
    grip: float | None = None
    view_deg: tuple[float, float] = (-90.0, 8.0)
    stick: Stick | None = None
    ball: Ball | None = None
    scenery: tuple[str, ...] = ()


def action_of(class_name: str) -> Action:
    """The motion of a demo class.

    Raises:
        ValueError: there is no such class.
    """
    # imported here because the tables import Action from this file
    from zsar_lab.demo.actions_body import BODY_ACTIONS
    from zsar_lab.demo.actions_object import OBJECT_ACTIONS

    if class_name in BODY_ACTIONS:
        return BODY_ACTIONS[class_name]
    if class_name in OBJECT_ACTIONS:
        return OBJECT_ACTIONS[class_name]
    raise ValueError(
        f"the class must be one of the demo classes, got '{class_name}'; see the column name of demo_classes()"
    )
