"""Keyframes of the actions of the body itself: gait, climbing, knee bends, floor exercises, jumps, and two lone ones."""

from __future__ import annotations

from zsar_lab.data.synthetic.actions import Action

FEET = ("l_ankle", "r_ankle")
TOES = ("l_toe", "r_toe")
WALK = ("sho", "elb", "hip", "knee")

GAIT = {
    "Walking": Action(
        period_s=1.1,
        antiphase=WALK,
        drift={"forward": 0.9},
        keys={"pitch": 3, "hip": (28, 17, 3, -12, -20, -5, 20, 30), "knee": (5, 14, 8, 6, 25, 58, 50, 15),
              "sho": (-25, -17, 0, 17, 25, 17, 0, -17), "elb": 15, "abd": 5},
    ),
    "Jogging": Action(
        period_s=0.85,
        antiphase=WALK,
        drift={"forward": 1.3},
        keys={"pitch": 8, "hip": (35, 20, 0, -18, -22, 5, 35, 42), "knee": (18, 30, 20, 12, 35, 85, 80, 40),
              "sho": (-35, -25, 0, 20, 30, 20, 0, -25), "elb": 92, "abd": 8, "lift": (0, 0.05, 0, 0.05)},
    ),
    "Sprinting": Action(
        period_s=0.74,
        antiphase=WALK,
        drift={"forward": 2.0},
        keys={"pitch": 26, "neck": -15, "hip": (70, 45, 15, -12, -22, 10, 75, 100),
              "knee": (35, 30, 15, 10, 45, 120, 128, 90), "sho": (-65, -45, 0, 45, 75, 55, 0, -45), "elb": 95,
              "abd": 8, "lift": (0, 0.07, 0, 0.07)},
    ),
    "Marching": Action(
        period_s=1.2,
        antiphase=WALK,
        drift={"forward": 0.6},
        keys={"pitch": -3, "hip": (12, 3, -4, -6, 0, 50, 92, 55), "knee": (0, 0, 0, 2, 25, 85, 95, 45),
              "sho": (-40, -25, 0, 50, 85, 60, 0, -25), "elb": 3, "abd": 4},
    ),
    "TiptoeWalking": Action(
        period_s=1.4,
        antiphase=("hip", "knee"),
        drift={"forward": 0.45},
        keys={"pitch": 12, "spine": 14, "neck": -10, "toe": 58, "hip": (26, 20, 14, 6, 4, 25, 55, 48),
              "knee": (22, 26, 24, 22, 35, 80, 85, 40), "sho": 35, "abd": (50, 58, 50, 58), "elb": 75, "rot": -30},
    ),
}  # fmt: skip

CLIMBING = {
    "ClimbingStairs": Action(
        period_s=1.3,
        antiphase=WALK,
        ground=False,
        drift={"forward": 0.44, "lift": 0.28},
        keys={"pitch": 12, "lift": 0.49, "hip": (78, 55, 32, 14, 5, 25, 62, 86), "knee": (72, 50, 26, 8, 15, 62, 88, 85),
              "sho": (-25, -15, 0, 20, 30, 20, 0, -15), "elb": 35, "abd": 6},
        scenery=("stairs",),
    ),
    "ClimbingLadder": Action(
        period_s=1.4,
        antiphase=("hip", "knee", "hand"),
        ground=False,
        reach="shoulders",
        drift={"lift": 0.48},
        keys={"pitch": 4, "neck": -15, "lift": 0.6, "habd": 6,
              "hand": ((0.24, -0.10, 0.29), (0.24, -0.10, 0.18), (0.24, -0.10, 0.05), (0.18, -0.10, 0.15)),
              "hip": (25, 48, 95, 82, 55, 34), "knee": (25, 70, 115, 90, 58, 34)},
        view_deg=(-155, 4),
        scenery=("ladder",),
    ),
    "RopeClimbing": Action(
        period_s=1.5,
        antiphase=("hand",),
        ground=False,
        reach="shoulders",
        drift={"lift": 0.45},
        keys={"pitch": 0, "neck": -20, "lift": (0.6, 0.56, 0.6, 0.68), "habd": 8,
              "hand": ((0.15, -0.01, 0.33), (0.15, -0.01, 0.2), (0.15, -0.01, 0.02), (0.13, -0.04, 0.2)),
              "hip": (35, 85, 110, 70), "knee": (50, 100, 125, 85)},
        view_deg=(-80, 4),
        scenery=("rope",),
    ),
    "RockClimbing": Action(
        period_s=1.8,
        antiphase=("hip", "knee", "habd", "hand"),
        ground=False,
        reach="shoulders",
        drift={"lift": 0.35},
        keys={"pitch": 2, "neck": -15, "lift": 0.6, "side": (-0.05, 0.05),
              "hand": ((0.16, -0.22, 0.30), (0.16, -0.26, 0.16), (0.16, -0.27, -0.02), (0.10, -0.30, 0.14)),
              "hip": (20, 40, 75, 65, 42, 25), "habd": (22, 35, 60, 52, 35, 25), "knee": (15, 60, 105, 85, 45, 20)},
        view_deg=(180, 3),
        scenery=("rock",),
    ),
    "PullUps": Action(
        period_s=1.9,
        ground=False,
        level_feet=False,
        reach="world",
        keys={"lift": (0.58, 0.60, 0.86, 0.84), "hand": ((0.06, -0.17, 1.24),), "hip": (5, 12), "knee": (35, 60), "toe": 30,
              "neck": (0, -15)},
        view_deg=(10, 2),
        scenery=("bar",),
    ),
}  # fmt: skip

KNEE_BENDS = {
    "BodyWeightSquats": Action(
        period_s=1.8,
        pin=FEET,
        keys={"pitch": (0, 35), "neck": (0, -15), "hip": (0, 114), "knee": (0, 110), "habd": 10, "sho": (5, 118), "abd": 5},
        view_deg=(-60, 8),
    ),
    "Lunges": Action(
        period_s=2.2,
        pin=FEET,
        antiphase=("hip", "knee", "toe"),
        keys={"hip": (0, 78, 0, -14), "knee": (0, 82, 0, 78), "toe": (0, 0, 0, 50), "abd": 42, "sho": -18, "elb": 95, "rot": 60},
        view_deg=(-75, 8),
    ),
    "SittingDown": Action(
        period_s=2.6,
        pin=FEET,
        times=(0.0, 0.18, 0.32, 0.45, 0.68, 0.82),
        keys={"pitch": (0, 0, 38, 2, 2, 38), "hip": (0, 0, 100, 92, 92, 100), "knee": (0, 0, 76, 88, 88, 76),
              "sho": (0, 0, 50, 28, 28, 50), "elb": (5, 5, 20, 55, 55, 20), "abd": 6},
        view_deg=(-75, 8),
        scenery=("chair",),
    ),
    "BarbellSquats": Action(
        period_s=2.2,
        pin=FEET,
        reach="shoulders",
        keys={"pitch": (4, 34), "neck": (0, -20), "hip": (4, 112), "knee": (2, 108), "habd": 14,
              "hand": ((-0.05, -0.2, 0.03),)},
        view_deg=(-35, 8),
        scenery=("barbell",),
    ),
    "Deadlift": Action(
        period_s=2.2,
        pin=FEET,
        reach="shoulders",
        keys={"pitch": (72, 0), "neck": (-35, 0), "hip": (112, 0), "knee": (52, 0), "habd": 7,
              "hand": ((0.02, -0.13, -0.36), (0.1, -0.13, -0.35))},
        view_deg=(-40, 8),
        scenery=("barbell",),
    ),
}  # fmt: skip

PLANK_HANDS = ((0.76, -0.15, 0.02),)

FLOOR = {
    "PushUps": Action(
        period_s=1.6,
        pin=TOES,
        level_feet=False,
        reach="world",
        keys={"pitch": (69, 86), "neck": -12, "hand": PLANK_HANDS},
        view_deg=(-90, 12),
    ),
    "SitUps": Action(
        period_s=1.9,
        pin=("pelvis",),
        level_feet=False,
        keys={"pitch": (-88, -25), "spine": (0, 35), "hip": (42, 105), "knee": 98, "sho": (115, 95), "abd": 35, "elb": 135, "rot": 20},
        view_deg=(-90, 10),
    ),
    "Crawling": Action(
        period_s=1.3,
        antiphase=("sho", "hip", "knee", "elb"),
        level_feet=False,
        drift={"forward": 0.55},
        keys={"pitch": 69, "neck": -35, "hip": (95, 75, 50, 78), "knee": (86, 84, 86, 105), "sho": (50, 68, 95, 85),
              "elb": (0, 0, 0, 30), "toe": 60},
        view_deg=(-80, 12),
    ),
    "MountainClimbers": Action(
        period_s=1.0,
        antiphase=("hip", "knee"),
        ground=False,
        level_feet=False,
        reach="world",
        keys={"pitch": 68, "neck": -15, "lift": 0.29, "hand": ((0.30, -0.14, 0.02),), "hip": (0, 60, 118, 60),
              "knee": (4, 75, 120, 75)},
        view_deg=(-90, 12),
    ),
    "LegRaises": Action(
        period_s=1.9,
        pin=("pelvis",),
        level_feet=False,
        keys={"pitch": -88, "hip": (2, 92), "knee": (2, 6), "abd": 14, "sho": -4, "toe": 25},
        view_deg=(-90, 12),
    ),
}  # fmt: skip

JUMPS = {
    "JumpingJacks": Action(
        period_s=1.1,
        keys={"abd": (8, 90, 160, 90), "elb": 8, "rot": -90, "habd": (2, 16, 30, 16), "knee": (12, 4), "hip": (6, 2),
              "lift": (0, 0.06, 0, 0.06)},
        view_deg=(0, 8),
    ),
    "SkippingRope": Action(
        period_s=0.8,
        keys={"hip": (16, 4), "knee": (32, 10), "lift": (0, 0.11), "abd": 32, "sho": -5, "elb": 70, "rot": -35, "toe": (0, 35)},
        view_deg=(-30, 8),
        scenery=("jump rope",),
    ),
    "HoppingOnOneLeg": Action(
        period_s=0.8,
        drift={"forward": 0.35},
        keys={"pitch": 6, "l_hip": (26, 4), "l_knee": (42, 8), "r_hip": (38, 22), "r_knee": 105, "lift": (0, 0.14), "l_toe": (0, 35),
              "abd": (62, 40), "elb": 35, "rot": -40},
        view_deg=(-70, 8),
    ),
    "TrampolineJumping": Action(
        period_s=1.3,
        times=(0.0, 0.12, 0.5, 0.88),
        keys={"lift": (-0.06, 0.06, 0.55, 0.06), "hip": (30, 6, 12, 6), "knee": (50, 8, 16, 8), "abd": (35, 90, 150, 80),
              "rot": -60, "elb": 15, "toe": (0, 30, 40, 30), "habd": (8, 6, 14, 6)},
        view_deg=(-20, 12),
        scenery=("trampoline",),
    ),
    "BoxJump": Action(
        period_s=2.2,
        once=True,
        pin=FEET,
        times=(0.0, 0.16, 0.3, 0.44, 0.58, 0.68, 0.82),
        keys={"pitch": (0, 35, 8, 32, 2, 2, 10), "hip": (0, 95, 60, 100, 3, 3, 40), "knee": (0, 95, 85, 100, 3, 3, 50),
              "sho": (0, -50, 150, 80, 5, 5, 10), "elb": 12, "lift": (0, 0, 0.38, 0.3, 0.3, 0.3, 0.16),
              "forward": (0, 0, 0.22, 0.46, 0.46, 0.46, 0.2)},
        view_deg=(-80, 8),
        scenery=("box",),
    ),
}  # fmt: skip

LONE = {
    "Cartwheel": Action(
        period_s=1.8,
        drift={"roll": 360.0, "side": -1.6},
        level_feet=False,
        keys={"abd": 165, "rot": -90, "habd": (24, 38, 42, 38), "toe": 40},
        view_deg=(0, 8),
    ),
    "Boxing": Action(
        period_s=1.1,
        antiphase=("hand",),
        reach="shoulders",
        pin=FEET,
        keys={"pitch": 8, "twist": (22, 0, -22, 0), "l_hip": 28, "r_hip": -12, "l_knee": 26, "r_knee": 26, "neck": 8,
              "hand": ((0.14, -0.06, 0.0), (0.14, -0.06, 0.0), (0.42, 0.0, 0.03), (0.2, -0.05, 0.0)),
              "lift": (0, 0.02, 0, 0.02)},
        view_deg=(-60, 6),
        scenery=("gloves",),
    ),
}  # fmt: skip

BODY_ACTIONS: dict[str, Action] = {**GAIT, **CLIMBING, **KNEE_BENDS, **FLOOR, **JUMPS, **LONE}
