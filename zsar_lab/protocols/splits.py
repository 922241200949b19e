"""Splits of classes within one dataset and across two, and the names they are asked for by."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Unpack

import numpy as np
import pandas as pd

from zsar_lab.data.catalog import Catalog
from zsar_lab.protocols.build import (
    NO_PART,
    Options,
    Terms,
    check_distinct,
    group_keys,
    make_protocol,
    removal_reason,
)
from zsar_lab.protocols.protocol import Protocol, generalised
from zsar_lab.protocols.split_files import read_class_splits


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


SPLITS = (1, 2, 3)
N_PUBLISHED = 10  # half-class splits, numbered from 0
TEST_DATA_GROUP = "held by a source group of a clip of the test data"


def half_classes(
    train_clips: pd.DataFrame,
    test_clips: pd.DataFrame,
    split: int,
    test_classes: Sequence[str] | None = None,
    **options: Unpack[Options],
) -> Protocol:
    """Half of the test dataset's classes, drawn as `half_split` says, all their clips; the other half takes no part.

    Everything on the side of training is the same for all splits, so that one training serves them all.

    Args:
        train_clips, test_clips: usable clips of the two catalogs, columns `id`, `class`, and optionally
            `group` and `splits`.
        split: the split's number, also its seed; publications use 0..9.
        test_classes: names of all classes of the test dataset, where some have no usable clip: the published
            splits count them too.
        options: see `Options`; `removed` must hold every class that is in both datasets.

    Raises:
        ValueError: as `cross_dataset`, or a drawn class has no usable clip.

    Source: Brattoli et al., CVPR 2020; ours keeps the class list, since the same seed over another order
    splits other classes.
    """
    names = class_order(set(test_clips["class"].unique()) if test_classes is None else test_classes)
    unnamed = class_order(set(test_clips["class"].unique()) - set(names))
    if unnamed or len(set(names)) < len(names):
        fault = f"{unnamed[0]!r} left out" if unnamed else "a repeated one"
        raise ValueError(
            f"test_classes must name every class of the test dataset once, got {len(names)} names with {fault}; correct them"
        )
    unseen = [names[i] for i in half_split(len(names), split)]
    beyond = "" if split < N_PUBLISHED else f" (own, {N_PUBLISHED} are published)"
    return cross_dataset(
        f"half-classes, cross-dataset, split {split}{beyond}", train_clips, test_clips, unseen, **options
    )


def all_classes(train_clips: pd.DataFrame, test_clips: pd.DataFrame, **options: Unpack[Options]) -> Protocol:
    """All classes of the test dataset that have clips, and all their clips (0/100).

    Args, Raises: as `half_classes`.
    """
    return cross_dataset(
        "all-classes (0/100), cross-dataset",
        train_clips,
        test_clips,
        class_order(set(test_clips["class"].unique())),
        **options,
    )


def official_split(
    train_clips: pd.DataFrame, test_clips: pd.DataFrame, split: int, **options: Unpack[Options]
) -> Protocol:
    """All classes of the test dataset, and of their clips those in one of its official test lists.

    Args:
        train_clips, test_clips: as for `half_classes`; word number `split` of a test clip's `splits` says
            whether it is "test".
        split: number of the official list, 1..3.
        options: see `Options`.

    Raises:
        ValueError: as `cross_dataset`, or there is no such list.
    """
    if split not in SPLITS:
        raise ValueError(f"split must be 1, 2 or 3 (the number of an official test list), got {split!r}")
    words = _split_words(test_clips)
    in_list = words.map(lambda row: len(row) >= split and row[split - 1] == "test").astype(bool)
    if not in_list.any():
        raise ValueError(
            f"an official test split needs a column 'splits' with the word test, list {split} has no clip; catalog the dataset with its lists"
        )
    left_out = dict.fromkeys(test_clips["id"][~in_list], f"not in the official test list {split}")
    unseen = class_order(set(test_clips["class"].unique()))
    return cross_dataset(
        f"official test split {split}, cross-dataset",
        train_clips,
        test_clips,
        unseen,
        left_out=left_out,
        **options,
    )


def cross_dataset(
    name: str,
    train_clips: pd.DataFrame,
    test_clips: pd.DataFrame,
    unseen: Sequence[str],
    validation: Sequence[str] | None = None,
    left_out: Mapping[str, str] | None = None,
    n_validation: int | None = None,
    seed: int = 0,
    seen_test_share: float = 0.2,
    **terms: Unpack[Terms],
) -> Protocol:
    """A protocol that trains on one catalog and tests on classes of another.

    Every class of the training catalog that is not removed is trained on or validates. Where that catalog has
    official lists (its `splits` are the words train, val, test), "train" is trained on, "val" is the held-out
    seen clips, and the rest is left out; otherwise clips are held out by source groups. A training clip whose
    source group also holds a clip of the test catalog is left out, also where that clip's class is not drawn.

    Args:
        name: of the protocol.
        train_clips, test_clips: usable clips of the two catalogs, columns `id`, `class`, and optionally
            `group` and `splits`.
        unseen: classes of the test catalog.
        validation: classes of the test catalog that validate; None to split `n_validation` of the seen
            classes.
        left_out: reasons by clip id, of clips that must go into no list.
        n_validation, seed, seen_test_share, terms: see `Options`.

    Raises:
        ValueError: a class of both catalogs is not removed, a clip id is in both, a class has no clip, or too
            few are left.
    """
    if validation is not None and n_validation is not None:
        raise ValueError(
            f"validation classes are either given or drawn, got {len(validation)} names and n_validation={n_validation}; drop one of the two"
        )
    removed = set(terms.get("removed", ()))
    both = pd.concat([train_clips, test_clips], ignore_index=True)
    check_distinct(both)
    trained_on = set(train_clips["class"].unique()) - removed
    shared = class_order(trained_on & {*test_clips["class"].unique(), *unseen})
    if shared:
        raise ValueError(
            f"a class must not be trained and tested on, {len(shared)} are in both datasets ({', '.join(shared)}); run the leakage audit and give"
            " its classes as removed"
        )
    taking_part = {*unseen, *(validation or ())}
    reasons = dict(left_out or {}) | _of_removed_names(
        train_clips, test_clips, removed, taking_part, terms.get("removed_rule", "")
    )
    training = train_clips[train_clips["class"].isin(trained_on)]
    reasons |= _not_to_train_on(training, test_clips)
    validating = (
        validation_split(class_order(trained_on), n_validation, seed)
        if validation is None
        else list(validation)
    )
    return make_protocol(
        name,
        both,
        unseen,
        validating,
        seed,
        seen_test_share,
        seen=class_order(trained_on - set(validating)),
        held_out=_official_held_out(training),
        left_out=reasons,
        **terms,
    )


def _split_words(clips: pd.DataFrame) -> pd.Series:
    """The words of `splits`, a list a clip; empty lists where the table has no such column."""
    splits = clips["splits"].fillna("").tolist() if "splits" in clips else [""] * len(clips)
    return pd.Series([words.split() for words in splits], index=clips.index, dtype=object)


def _has_lists(words: pd.Series) -> bool:
    """Whether a training catalog has one official list a clip: train, val or test."""
    return {tuple(row) for row in words.tolist()} <= {(), ("train",), ("val",), ("test",)} and [
        "train"
    ] in words.tolist()


def _official_held_out(training: pd.DataFrame) -> list[str] | None:
    words = _split_words(training)
    held_out = [clip for clip, row in zip(training["id"].tolist(), words.tolist()) if row == ["val"]]
    return held_out if held_out and _has_lists(words) else None


def _of_removed_names(
    train_clips: pd.DataFrame, test_clips: pd.DataFrame, removed: set[str], taking_part: set[str], rule: str
) -> dict[str, str]:
    """Reasons for clips of removed classes whose name both catalogs use: of the training one, and of the test one if not drawn."""
    same = removed & set(test_clips["class"].unique())
    not_drawn = test_clips["id"][test_clips["class"].isin(same - taking_part)].tolist()
    namesakes = train_clips["id"][train_clips["class"].isin(same)].tolist()
    return dict.fromkeys(namesakes, removal_reason(rule)) | dict.fromkeys(not_drawn, NO_PART)


def _not_to_train_on(training: pd.DataFrame, test_clips: pd.DataFrame) -> dict[str, str]:
    """Reasons for training clips that share a source group with the test catalog, or that its own lists do not give for training."""
    words = _split_words(training)
    reasons = {}
    if _has_lists(words):
        of_list = list(zip(training["id"].tolist(), words.tolist()))
        reasons |= {clip: "in the test list of the training data" for clip, row in of_list if row == ["test"]}
        reasons |= {clip: "in no list of the training data" for clip, row in of_list if not row}
    of_test_data = group_keys(training).isin(set(group_keys(test_clips).unique()))
    return reasons | dict.fromkeys(training["id"][of_test_data].tolist(), TEST_DATA_GROUP)


def intra_dataset_split(clips: pd.DataFrame, split: int, **options: Unpack[Options]) -> Protocol:
    """An own 50/50 split: of n classes n // 2 are unseen, as `half_split` says (UCF101 50 of 101, HMDB51 25 of 51).

    Args:
        clips: usable clips, columns `id` and `class`, and optionally `group`.
        split: the split's number, also its seed.
        options: see `Options`; the validation classes are of the seen half.

    Raises:
        ValueError: as `intra_dataset`, or there are fewer than 4 classes.
    """
    names = class_order(set(clips["class"].unique()))
    unseen = [names[i] for i in half_split(len(names), split)]
    return intra_dataset(f"intra-dataset 50/50, own split {split}", clips, unseen, names, **options)


def intra_dataset_from_file(
    clips: pd.DataFrame,
    path: Path,
    split: int,
    class_names_in_id_order: Sequence[str],
    lists: str = "unseen",
    variable: str | None = None,
    **options: Unpack[Options],
) -> Protocol:
    """One of the fixed splits that a file of class ids or names gives.

    Args:
        clips: usable clips, columns `id` and `class`, and optionally `group`.
        path, class_names_in_id_order, lists, variable: see `read_class_splits`.
        split: the number of the split in the file, 1 and up.
        options: see `Options`; the validation classes are drawn of the seen ones.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is not as `read_class_splits` says, has no such split, or a class has no usable
            clip.
    """
    splits = read_class_splits(path, class_names_in_id_order, lists, variable)
    if not 1 <= split <= len(splits):
        raise ValueError(f"split must be in 1..{len(splits)} (the number of splits in '{path}'), got {split}")
    unseen = splits[split - 1]
    ratio = _ratio(len(class_names_in_id_order) - len(unseen), len(unseen))
    name = f"intra-dataset {ratio}, split {split} of {Path(path).name}"
    return intra_dataset(name, clips, unseen, class_names_in_id_order, **options)


def intra_dataset(
    name: str,
    clips: pd.DataFrame,
    unseen: Sequence[str],
    names: Sequence[str],
    n_validation: int | None = None,
    seed: int = 0,
    seen_test_share: float = 0.2,
    **terms: Unpack[Terms],
) -> Protocol:
    """A protocol of one dataset from its unseen classes; of the others some validate and the rest is trained on.

    Args:
        name: of the protocol.
        clips: usable clips, columns `id` and `class`, and optionally `group`.
        unseen: classes tested on.
        names: all classes of the dataset.
        n_validation, seed, seen_test_share, terms: see `Options`.

    Raises:
        ValueError: a class has no usable clip or too few source groups, or too few classes are left to train
            on.
    """
    others = class_order(set(names) - set(unseen))
    validation = validation_split(others, n_validation, seed)
    return make_protocol(
        name,
        clips,
        unseen,
        validation,
        seed,
        seen_test_share,
        seen=class_order(set(others) - set(validation)),
        **terms,
    )


def _ratio(n_seen: int, n_unseen: int) -> str:
    return "50/50" if n_seen - n_unseen in (0, 1) else f"{n_seen}/{n_unseen}"


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


GENERALISED = "generalised-"
WITHIN, CROSS = ("stratified", "random", "intra", "truze"), ("half", "all", "official", "kinetics220")
NUMBERED = ("stratified", "random", "intra", "half", "official", "kinetics220")


@dataclass(frozen=True)
class ProtocolName:
    """A short name taken apart: its kind, its number (None where there is none) and whether it is the generalised variant.

    Kinds within one dataset: stratified-N and random-N (own splits of unseen classes), intra-N (own 50/50
    splits), truze.
    Kinds that train on another dataset: half-N (the published half-class splits, N = 0..9), all, official-N
    (N = 1..3), kinetics220-N. Each may have "generalised-" in front. A number has no leading zero, so that a
    protocol has one name.
    """

    kind: str
    number: int | None
    is_generalised: bool

    @staticmethod
    def of(name: str) -> ProtocolName:
        """Take a name apart.

        Raises:
            ValueError: no such kind, a number missing, or one too many.
        """
        bare = name.removeprefix(GENERALISED)
        match = re.fullmatch(r"([a-z]+|kinetics220)(?:-(0|[1-9][0-9]*))?", bare)
        kind, number = (match[1], match[2]) if match else ("", None)
        if kind not in WITHIN + CROSS or (number is not None) != (kind in NUMBERED):
            forms = ", ".join(f"{kind}-N" if kind in NUMBERED else kind for kind in WITHIN + CROSS)
            raise ValueError(
                f"a protocol must be one of {forms} (N a number without leading zeros), or one of them with 'generalised-' in front, got {name!r}"
            )
        return ProtocolName(kind, None if number is None else int(number), bare != name)

    @property
    def is_cross_dataset(self) -> bool:
        """True when it trains on another dataset than it tests on."""
        return self.kind in CROSS

    @property
    def training(self) -> str:
        """What is trained for it: splits of one name here have the same classes and clips to train on.

        Half, all and official lists train on the whole other dataset, less what overlaps with any class of
        the one tested on; a generalised variant trains on what the plain one does.
        """
        return (
            "other dataset"
            if self.kind in ("half", "all", "official")
            else self.kind
            if self.number is None
            else f"{self.kind}-{self.number}"
        )

    @property
    def family(self) -> str:
        """The name without its number: protocols of one family are splits of one kind."""
        return GENERALISED * self.is_generalised + self.kind


def protocol_named(
    name: str,
    test: Catalog,
    clips: pd.DataFrame,
    train: Catalog | None = None,
    train_clips: pd.DataFrame | None = None,
    removed: Sequence[str] = (),
    removed_rule: str = "",
) -> Protocol:
    """Make the protocol of a short name.

    Args:
        name: see `ProtocolName`.
        test: the catalog tested on; of kinds within one dataset also the one trained on.
        clips: its usable clips.
        train, train_clips: the catalog trained on and its usable clips, for kinds that train on another
            dataset; else None.
        removed, removed_rule: training classes that the leakage audit removed, and its rule.

    Raises:
        ValueError: no such name, a training dataset is missing or not wanted, or as the maker of the kind.
    """
    asked = ProtocolName.of(name)
    if asked.is_cross_dataset != (train is not None):
        says = "needs a dataset to train on" if asked.is_cross_dataset else "trains and tests on one dataset"
        raise ValueError(
            f"the protocol {name!r} {says}, got {'none' if train is None else train.name}; set train_on accordingly"
        )
    if asked.kind == "stratified":
        made = family_stratified_split(clips, test.classes, asked.number)
    elif asked.kind == "random":
        made = random_split(clips, asked.number)
    elif asked.kind == "intra":
        made = intra_dataset_split(clips, asked.number, train_data=test.name, test_data=test.name)
    elif asked.kind == "truze":
        made = truze(clips, test.name, train_data=test.name, test_data=test.name)
    else:
        made = _cross_dataset(
            asked,
            test,
            clips,
            train_clips,
            removed=removed,
            removed_rule=removed_rule,
            train_data=train.name,
            test_data=test.name,
        )
    return generalised(made) if asked.is_generalised else made


def _cross_dataset(
    asked: ProtocolName, test: Catalog, clips: pd.DataFrame, train_clips: pd.DataFrame, **options
) -> Protocol:
    if asked.kind == "half":
        return half_classes(train_clips, clips, asked.number, test.classes["name"].tolist(), **options)
    if asked.kind == "all":
        return all_classes(train_clips, clips, **options)
    if asked.kind == "official":
        return official_split(train_clips, clips, asked.number, **options)
    return kinetics220_split(train_clips, clips, asked.number, **options)
