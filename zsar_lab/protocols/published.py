"""Published fixed class lists: TruZe of UCF101 and HMDB51, and Kinetics-220."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Unpack

import numpy as np
import pandas as pd

from zsar_lab.protocols.build import Options, Terms
from zsar_lab.protocols.cross_dataset import cross_dataset
from zsar_lab.protocols.intra_dataset import intra_dataset
from zsar_lab.protocols.protocol import Protocol
from zsar_lab.protocols.splits import class_order

N_VALIDATION_220, N_UNSEEN_220 = 60, 160
SHARED_CLASS = "Kinetics-600 tests only with its new classes"


class TruZe(NamedTuple):
    """One published TruZe list: the dataset as one writes it, its number of classes, and the classes tested on."""

    title: str
    n_classes: int
    unseen: tuple[str, ...]


TRUZE = {
    "ucf101": TruZe(
        "UCF101",
        101,
        tuple(
            """ApplyLipstick BalanceBeam Billiards BlowDryHair Fencing FieldHockeyPenalty FrontCrawl Hammering HandstandPushups
        HandstandWalking HorseRace IceDancing JumpingJack MilitaryParade Mixing Nunchucks ParallelBars PizzaTossing PlayingDaf
        PlayingDhol PlayingSitar PlayingTabla PommelHorse Rafting Rowing StillRings SumoWrestling TableTennisShot UnevenBars
        WallPushups YoYo""".split()
        ),
    ),
    "hmdb51": TruZe(
        "HMDB51",
        51,
        tuple(
            """chew climb_stairs draw_sword fall_floor fencing flic_flac handstand hit jump kick pick pour run sit shoot_gun smile stand
        sword_exercise talk turn walk wave""".split()
        ),
    ),
}


def truze(clips: pd.DataFrame, dataset: str, **options: Unpack[Options]) -> Protocol:
    """TruZe: UCF101 with 70 seen-side and 31 unseen classes, or HMDB51 with 29 and 22; the validation classes are of the first.

    Args:
        clips: usable clips of the dataset, columns `id` and `class`, and optionally `group`.
        dataset: "ucf101" or "hmdb51".
        options: see `Options`.

    Raises:
        ValueError: the dataset is another, or the classes of the clips are not all of its classes.

    Source: Gowda et al., GCPR 2021; a 67/34 list of UCF101 circulates too, so the numbers are part of the
    name.
    """
    if dataset not in TRUZE:
        raise ValueError(f"TruZe has lists for 'ucf101' and 'hmdb51', got {dataset!r}; name one of them")
    title, n_classes, unseen = TRUZE[dataset]
    names = class_order(set(clips["class"].unique()))
    absent = [name for name in unseen if name not in set(names)]
    if len(names) != n_classes or absent:
        without = f" without {', '.join(absent[:3])}" if absent else ""
        raise ValueError(
            f"TruZe needs clips of the {n_classes} classes of {title}, got {len(names)} classes{without}; catalog the whole dataset"
        )
    return intra_dataset(
        f"TruZe {n_classes - len(unseen)}/{len(unseen)} ({title})", clips, unseen, names, **options
    )


def kinetics220(
    k400_clips: pd.DataFrame,
    k600_clips: pd.DataFrame,
    validation: Sequence[str],
    unseen: Sequence[str],
    name: str = "Kinetics-220, given lists",
    seed: int = 0,
    seen_test_share: float = 0.2,
    **terms: Unpack[Terms],
) -> Protocol:
    """Trained on Kinetics-400; validated and tested on classes that only Kinetics-600 has, with all their usable clips.

    Args:
        k400_clips, k600_clips: usable clips, columns `id`, `class`, and optionally `group` (`youtube:<id>`)
            and `splits`.
        validation, unseen: names of new classes, 60 and 160 in publications.
        name: of the protocol; says which lists.
        seed, seen_test_share, terms: see `Options`.

    Raises:
        ValueError: a class is not in Kinetics-600, is one of Kinetics-400 by its letters and digits, or as
            `cross_dataset`.

    Source: Chen and Huang, ICCV 2021 (ER-ZSAR), three fixed lists.
    """
    of_k600, of_k400 = (
        set(k600_clips["class"].unique()),
        {_normalised(label): label for label in set(k400_clips["class"].unique())},
    )
    for label in (*validation, *unseen):
        if label not in of_k600:
            raise ValueError(
                f"a class of Kinetics-220 needs a usable clip in Kinetics-600, {label!r} has none; leave it out or correct its name"
            )
        if _normalised(label) in of_k400:
            old = of_k400[_normalised(label)]
            raise ValueError(
                f"a class of Kinetics-220 must be new in Kinetics-600, {label!r} is {old!r} of Kinetics-400; leave it out"
            )
    is_new = k600_clips["class"].isin({label for label in of_k600 if _normalised(label) not in of_k400})
    shared = set(k600_clips["id"][~is_new].tolist()) - set(k400_clips["id"].tolist())
    left_out = dict.fromkeys(shared, SHARED_CLASS)
    return cross_dataset(
        name,
        k400_clips,
        k600_clips[is_new],
        unseen,
        validation,
        left_out,
        seed=seed,
        seen_test_share=seen_test_share,
        **terms,
    )


def kinetics220_split(
    k400_clips: pd.DataFrame, k600_clips: pd.DataFrame, split: int, **options: Unpack[Options]
) -> Protocol:
    """An own split of 60 validation and 160 unseen classes among all that are new in Kinetics-600; its name says of how many.

    Args:
        k400_clips, k600_clips: as for `kinetics220`.
        split: the split's number, also its seed.
        options: as for `kinetics220`.

    Raises:
        ValueError: fewer than 220 classes with usable clips are new, or as `kinetics220`.
    """
    of_k400 = {_normalised(label) for label in set(k400_clips["class"].unique())}
    new = [
        label for label in class_order(set(k600_clips["class"].unique())) if _normalised(label) not in of_k400
    ]
    if len(new) < N_VALIDATION_220 + N_UNSEEN_220:
        raise ValueError(
            f"Kinetics-220 needs {N_VALIDATION_220 + N_UNSEEN_220} classes with usable clips that are new in Kinetics-600, got {len(new)} of"
            f" {k600_clips['class'].nunique()}; add videos or use kinetics220 with shorter lists"
        )
    chosen = np.random.default_rng([split, 4]).permutation(new)[: N_VALIDATION_220 + N_UNSEEN_220].tolist()
    name = f"Kinetics-220, own split {split} of {len(new)} new classes"
    return kinetics220(
        k400_clips, k600_clips, chosen[:N_VALIDATION_220], chosen[N_VALIDATION_220:], name, **options
    )


def _normalised(name: str) -> str:
    """Small letters and digits only: a class keeps its name when its spelling changes."""
    return "".join(character for character in name.lower() if character.isalnum())
