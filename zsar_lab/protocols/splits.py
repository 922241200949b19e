"""Splits of classes: which are unseen and which validate, by a number that is also the seed."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from zsar_lab.protocols.build import make_protocol
from zsar_lab.protocols.protocol import Protocol


def class_order(names: Sequence[str]) -> list[str]:
    """The class names sorted by code point, capitals before small letters: this is the rule that every split counts by.

    Another order (by class id, or without regard to case) gives other classes for the same seed: Hammering
    and HammerThrow, or JumpingJack and JumpRope, change places, and with them most published splits of
    UCF101.
    """
    return sorted(str(name) for name in names)


def half_split(n_classes: int, split: int) -> list[int]:
    """The positions of the unseen classes of a published half-class split, in the order drawn.

    Equal to `np.random.seed(split); np.random.permutation(n_classes)[: n_classes // 2]`, and leaves NumPy's
    global state alone.

    Args:
        n_classes: of the whole dataset, 4 or more, in `class_order`.
        split: the seed, 0..9 in publications.

    Returns:
        n_classes // 2 different positions, 0..n_classes - 1.

    Raises:
        ValueError: there are fewer than 4 classes, or the split's number is negative.
    """
    if n_classes < 4 or split < 0:
        raise ValueError(
            f"a half split needs 4 classes or more and a split's number from 0, got {n_classes} classes and split {split}; change them"
        )
    return np.random.RandomState(split).permutation(n_classes)[: n_classes // 2].tolist()


def validation_split(seen: Sequence[str], n_validation: int | None, seed: int) -> list[str]:
    """Classes drawn from the seen-side ones to validate.

    Args:
        seen: names of the seen-side classes.
        n_validation: how many, 0 or 2 and more; None for a tenth of them, at least 2.
        seed: of the split.

    Returns:
        Their names, sorted.

    Raises:
        ValueError: the number is 1 or negative, or leaves fewer than 2 classes to train on.
    """
    number = max(2, round(0.1 * len(seen))) if n_validation is None else n_validation
    if number < 0 or number == 1 or number > len(seen) - 2:
        raise ValueError(
            f"n_validation must be 0, or 2 and more with 2 classes left to train on, got {number} of {len(seen)} seen-side classes; change it"
        )
    return class_order(np.random.default_rng([seed, 3]).permutation(class_order(seen))[:number])


def family_stratified_split(clips: pd.DataFrame, classes: pd.DataFrame, split: int) -> Protocol:
    """One unseen and one validation class from every family of at least four classes; the rest is seen.

    Args:
        clips: usable clips, columns `id` and `class`, and optionally `group`.
        classes: columns `name` and `family`.
        split: the split's number, also its seed.

    Raises:
        ValueError: there is no column `family`, or fewer than two families are large enough.
    """
    if "family" not in classes:
        raise ValueError(
            "a family-stratified split needs the column 'family' in classes.csv; add it, or split at random (--splits 0 --random-splits 3)"
        )
    with_clips = classes[classes["name"].isin(set(clips["class"])) & (classes["family"].fillna("") != "")]
    random = np.random.default_rng([split, 1])
    unseen, validation = [], []
    for _, members in sorted(with_clips.groupby("family")["name"]):
        if len(members) >= 4:
            chosen = random.permutation(sorted(members))
            unseen.append(str(chosen[0]))
            validation.append(str(chosen[1]))
    if len(unseen) < 2:
        raise ValueError(
            f"a family-stratified split needs at least 2 families of 4 classes or more, got {len(unseen)}; use random splits only"
        )
    return make_protocol(f"family-stratified split {split}", clips, unseen, validation, seed=split)


def random_split(
    clips: pd.DataFrame, split: int, n_unseen: int | None = None, n_validation: int | None = None
) -> Protocol:
    """Unseen and validation classes drawn plainly at random; the rest is seen.

    Args:
        clips: usable clips, columns `id` and `class`, and optionally `group`.
        split: the split's number, also its seed.
        n_unseen, n_validation: how many; None for 10, or a quarter of the classes where there are fewer than
            40.

    Raises:
        ValueError: fewer than 2 seen classes would be left, or fewer than 2 would be unseen.
    """
    names = sorted(set(clips["class"]))
    n_unseen = min(10, len(names) // 4) if n_unseen is None else n_unseen
    n_validation = min(10, len(names) // 4) if n_validation is None else n_validation
    if n_unseen < 2 or n_unseen + n_validation + 2 > len(names):
        raise ValueError(
            f"a random split needs 2 unseen and 2 seen classes or more beside the validation classes, got {n_unseen} unseen and"
            f" {n_validation} validation of {len(names)} classes; add classes (8 or more for the default) or change the numbers"
        )
    chosen = np.random.default_rng([split, 2]).permutation(names)
    unseen, validation = chosen[:n_unseen].tolist(), chosen[n_unseen : n_unseen + n_validation].tolist()
    return make_protocol(f"random split {split}", clips, unseen, validation, seed=split)
