"""The protocols that can be asked for by name: the table PROTOCOLS and the functions that split classes.

The number N of a protocol is also its seed. Every function takes the options of `make_protocol`:
n_validation, seed (of validation classes and held-out clips), seen_test_share, and fields of the Protocol.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from zsar_lab.names import same
from zsar_lab.protocols.build import (
    NO_PART,
    check_distinct,
    class_order,
    group_keys,
    half_split,
    make_protocol,
    published_of,
    removal_reason,
    split_words,
)
from zsar_lab.protocols.protocol import Protocol, ProtocolError, generalised
from zsar_lab.protocols.split_files import intra_dataset_from_file

GENERALISED = "generalised-"
N_PUBLISHED = 10  # half-class splits, numbered from 0
N_VALIDATION_220, N_UNSEEN_220 = 60, 160
FIRST_TO_LAST = "first to last, means of frame vectors as they are"  # see `spread_indices`
TEST_DATA_GROUP = "held by a source group of a clip of the test data"


@dataclass(frozen=True, eq=False)
class ProtocolData:
    """What a protocol is made of: usable clips with `id`, `class`, and optionally `group` and `splits`.

    `clips`, `classes` (also those without clips: `name`, and what a protocol needs) and `name` are of the
    dataset tested on; `train_clips` and `train_name` of another one that is trained on, where there is one.
    With a train_name and without train_clips, what is scored was trained elsewhere. `split_file` has splits
    of one's own, see `from_file`.
    """

    clips: pd.DataFrame
    classes: pd.DataFrame | None = None
    name: str = ""
    train_clips: pd.DataFrame = None
    train_name: str = ""
    split_file: str = ""

    @cached_property
    def names(self) -> list[str]:
        """The classes that have clips, in `class_order`."""
        return class_order(set(self.clips["class"].unique()))


@dataclass(frozen=True)
class Kind:
    """An entry of PROTOCOLS."""

    make: Callable[..., Protocol]  # (data, number or None, **options)
    label: str  # what is trained on and tested on
    needs: str = ""  # what the data must have beside clips of classes
    numbered: bool = True  # its name ends in a number
    crosses: bool = False  # trains on another dataset than it tests on
    shares_training: bool = False  # all its splits train on the whole other dataset
    average: str = "micro"  # the headline average of a score
    in_folds: bool = False  # its name ends in the number of folds and a number
    alone: bool = False  # names its own prompt and frames: a model embeds for it, and for no other at once


def stratified(data: ProtocolData, number: int, **options: Any) -> Protocol:
    """One unseen and one validation class from every family of at least four classes; the rest is seen."""
    if data.classes is None or "family" not in data.classes:
        raise ProtocolError("stratified splits need a column 'family' in classes.csv; or use random-N")
    classes = data.classes[data.classes["name"].isin(data.names) & (data.classes["family"].fillna("") != "")]
    random = np.random.default_rng([number, 1])
    unseen, validation = [], []
    for _, members in sorted(classes.groupby("family")["name"]):
        if len(members) >= 4:
            chosen = random.permutation(sorted(members))
            unseen.append(str(chosen[0]))
            validation.append(str(chosen[1]))
    if len(unseen) < 2:
        raise ProtocolError(f"stratified splits need 2 families of 4 classes or more, got {len(unseen)}")
    options = {"seed": number} | options
    return make_protocol(f"family-stratified split {number}", data.clips, unseen, validation, **options)


def random(data: ProtocolData, number: int, n_unseen: int | None = None, **options: Any) -> Protocol:
    """Unseen and validation classes at random: 10 of each, or a quarter where there are fewer than 40."""
    quarter = min(10, len(data.names) // 4)
    n_unseen = quarter if n_unseen is None else n_unseen
    n_validation = options.pop("n_validation", quarter)
    if n_unseen < 2 or n_unseen + n_validation + 2 > len(data.names):
        got = f"{n_unseen} unseen and {n_validation} validation of {len(data.names)} classes"
        needs = "2 unseen and 2 seen classes or more (by default of 8)"
        raise ProtocolError(f"a random split needs {needs}, got {got}")
    chosen = np.random.default_rng([number, 2]).permutation(data.names).tolist()
    unseen, validation = chosen[:n_unseen], chosen[n_unseen : n_unseen + n_validation]
    options = {"seed": number} | options
    return make_protocol(f"random split {number}", data.clips, unseen, validation, **options)


def folds(data: ProtocolData, number: int, n_folds: int, **options: Any) -> Protocol:
    """One fold of a partition of the classes is unseen; over the folds every class is, once.

    Split N of n_folds = K has fold N mod K of partition N // K as unseen classes. Validation classes are
    those of the next fold, as many as leave half of all classes seen. Classes of one family, where there are
    families, are dealt to folds one after another.

    Raises:
        ProtocolError: fewer than 3 folds, or fewer than two classes a fold.
    """
    if n_folds < 3 or len(data.names) < 2 * n_folds:
        raise ProtocolError(f"folds need 3 and 2 classes in each, got {n_folds} of {len(data.names)} classes")
    partition, fold = divmod(number, n_folds)
    order = np.random.default_rng([partition, 4]).permutation(data.names).tolist()
    if data.classes is not None and "family" in data.classes:
        family_of = dict(zip(data.classes["name"], data.classes["family"].fillna("")))
        order.sort(key=lambda name: (not family_of.get(name), family_of.get(name, "")))
    unseen, following = order[fold::n_folds], order[(fold + 1) % n_folds :: n_folds]
    n_validation = max(2, len(order) - len(unseen) - (len(order) + 1) // 2)
    options = {"seed": number} | options
    name = f"fold {fold} of {n_folds}, partition {partition}"
    return make_protocol(name, data.clips, unseen, following[:n_validation], **options)


def intra(data: ProtocolData, number: int, **options: Any) -> Protocol:
    """An own 50/50 split: of n classes n // 2 are unseen (UCF101 50 of 101, HMDB51 25 of 51)."""
    unseen = [data.names[i] for i in half_split(len(data.names), number)]
    return make_protocol(f"intra-dataset 50/50, own split {number}", data.clips, unseen, **options)


def from_file(data: ProtocolData, number: int, **options: Any) -> Protocol:
    """Split N = 1, 2, ... of a file that names the unseen classes of each, see `read_class_splits`."""
    if not data.split_file:
        raise ProtocolError(f"file-{number} needs a file of splits (--splits), got none")
    names = data.names if data.classes is None else data.classes["name"].tolist()
    options = {"seed": number, "ids": False} | options
    return intra_dataset_from_file(data.clips, Path(data.split_file), number, names, **options)


def truze(data: ProtocolData, number: None = None, **options: Any) -> Protocol:
    """TruZe: UCF101 with 70 seen-side and 31 unseen classes, or HMDB51 with 29 and 22.

    Source: Gowda et al., GCPR 2021; a 67/34 list of UCF101 circulates too, so the name says the numbers.
    """
    title, n, unseen = published_of(data.name, "truze", "TruZe")
    absent = ", ".join([name for name in unseen if name not in data.names][:3]) or "none"
    if len(data.names) != n or absent != "none":
        got = f"{len(data.names)} classes, of those tested on lacking {absent}"
        raise ProtocolError(f"TruZe needs clips of the {n} classes of {title}, got {got}")
    return make_protocol(f"TruZe {n - len(unseen)}/{len(unseen)} ({title})", data.clips, unseen, **options)


def half(data: ProtocolData, number: int, **options: Any) -> Protocol:
    """Half of the test dataset's classes with all their clips; the other half takes no part.

    The published splits count classes without clips too. One training serves all splits.

    Source: Brattoli et al., CVPR 2020.
    """
    names = data.names if data.classes is None else class_order(data.classes["name"].tolist())
    unnamed = class_order(set(data.names) - set(names))
    if unnamed or len(set(names)) < len(names):
        got = f"{len(names)}, {repr(unnamed[0]) + ' left out' if unnamed else 'one of them twice'}"
        raise ProtocolError(f"the classes must be all of the test dataset, each once, got {got}")
    unseen = [names[i] for i in half_split(len(names), number)]
    beyond = "" if number < N_PUBLISHED else f" (own, {N_PUBLISHED} are published)"
    return cross_dataset(f"half-classes, cross-dataset, split {number}{beyond}", data, unseen, **options)


def all_classes(data: ProtocolData, number: None = None, **options: Any) -> Protocol:
    """All classes of the test dataset that have clips, and all their clips (0/100)."""
    return cross_dataset("all-classes (0/100), cross-dataset", data, data.names, **options)


def official(data: ProtocolData, number: int, **options: Any) -> Protocol:
    """All classes, and of their clips those whose word `number` of `splits` is "test"."""
    if number not in (1, 2, 3):
        raise ProtocolError(f"N must be 1, 2 or 3 (the number of an official test list), got {number!r}")
    in_list = split_words(data.clips).map(lambda row: row[number - 1 : number] == ["test"]).astype(bool)
    if not in_list.any():
        raise ProtocolError(f"official test list {number} has no clip; catalog the dataset with its lists")
    left_out = dict.fromkeys(data.clips["id"][~in_list], f"not in the official test list {number}")
    name = f"official test split {number}, cross-dataset"
    return cross_dataset(name, data, data.names, left_out=left_out, **options)


def mveb(data: ProtocolData, number: None = None, **options: Any) -> Protocol:
    """What mteb's MVEB scores: test list 1 of the 51 classes of UCF101 that have sound, or of HMDB51.

    With mteb's prompt, frames and rule for ties; its name says where some of mteb's clips are missing.
    Source: UCF101VideoZeroShotClassification and HMDB51ZeroShot of mteb 2.26.24.
    """
    title, n_clips, unseen = published_of(data.name, "mveb", "MVEB")
    if data.train_clips is not None:
        raise ProtocolError(f"mveb scores what was trained elsewhere, got {data.train_name} to train on")
    if lacking := [name for name in unseen if name not in data.names]:
        raise ProtocolError(f"MVEB needs clips of 51 classes, {len(lacking)} have none: {lacking[0]!r}")
    options = {"ties": "first", "prompt": "a video of {spaced_name}", "frames": FIRST_TO_LAST} | options
    made = official(replace(data, clips=data.clips[data.clips["class"].isin(unseen)]), 1, **options)
    short = f", {len(made.test_clips):,} of its {n_clips:,} clips" * (len(made.test_clips) != n_clips)
    return replace(made, name=f"MVEB, {title}{short}")


def kinetics220(data: ProtocolData, number: int, **options: Any) -> Protocol:
    """An own split of 60 validation and 160 unseen classes among all that are new in Kinetics-600."""
    new, n = _new_classes(data), N_VALIDATION_220 + N_UNSEEN_220
    if len(new) < n:
        got = f"{len(new)} of {len(data.names)}; add videos, or use kinetics220_of_lists"
        raise ProtocolError(f"Kinetics-220 needs {n} classes new in Kinetics-600, got {got}")
    chosen = np.random.default_rng([number, 4]).permutation(new)[:n].tolist()
    name = f"Kinetics-220, own split {number} of {len(new)} new classes"
    lists = chosen[:N_VALIDATION_220], chosen[N_VALIDATION_220:]
    return kinetics220_of_lists(data, *lists, name, **options)


def kinetics220_of_lists(
    data: ProtocolData,
    validation: Sequence[str],
    unseen: Sequence[str],
    name: str = "Kinetics-220, given lists",
    **options: Any,
) -> Protocol:
    """Trained on Kinetics-400; validated and tested on given classes that only Kinetics-600 has.

    Source: Chen and Huang, ICCV 2021 (ER-ZSAR), three fixed lists of 60 and 160.
    """
    new = _new_classes(data)
    for label in (*validation, *unseen):
        if label not in new:
            why = "an old one of Kinetics-400" if label in data.names else "without a usable clip"
            raise ProtocolError(f"a class of Kinetics-220 must be new in Kinetics-600, {label!r} is {why}")
    is_new = data.clips["class"].isin(new)
    old = set(data.clips["id"][~is_new].tolist()) - set(data.train_clips["id"].tolist())
    left_out = dict.fromkeys(old, "Kinetics-600 tests only with its new classes")
    data = ProtocolData(data.clips[is_new], None, data.name, data.train_clips)
    return cross_dataset(name, data, unseen, validation=list(validation), left_out=left_out, **options)


def cross_dataset(
    name: str,
    data: ProtocolData,
    unseen: Sequence[str],
    left_out: Mapping[str, str] | None = None,
    removed: Sequence[str] = (),
    removed_rule: str = "",
    **options: Any,
) -> Protocol:
    """A protocol that trains on all classes of one dataset that are not removed, and tests on another's.

    Where the training catalog has official lists (its `splits` are the words train, val, test), "train" is
    trained on, "val" is the held-out seen clips, and the rest is left out; otherwise clips are held out by
    source groups. A training clip whose source group also holds a clip of the test catalog is left out, also
    where that clip's class is not unseen.

    `unseen` and, where given, `validation` are classes of the dataset tested on; `left_out` has reasons by
    clip id, of clips that must go into no list; `removed` must hold every class of both datasets.
    """
    train_clips = data.clips[:0] if data.train_clips is None else data.train_clips
    both = pd.concat([train_clips, data.clips], ignore_index=True)
    check_distinct(both)
    trained_on = set(train_clips["class"].unique()) - set(removed)
    shared = class_order(trained_on & {*data.names, *unseen})
    if shared:
        both_have = f"{len(shared)} are in both datasets ({', '.join(shared)})"
        raise ProtocolError(f"a class must not be trained and tested on, {both_have}; give them as removed")
    same = set(removed) & set(data.names)  # removed classes whose name both datasets use
    taking_part = {*unseen, *(options.get("validation") or ())}
    no_part = data.clips["id"][data.clips["class"].isin(same - taking_part)]
    namesakes = train_clips["id"][train_clips["class"].isin(same)]
    reasons = dict(left_out or {}) | dict.fromkeys(namesakes, removal_reason(removed_rule))
    reasons |= dict.fromkeys(no_part, NO_PART)
    training = train_clips[train_clips["class"].isin(trained_on)]
    words = dict(zip(training["id"].tolist(), map(" ".join, split_words(training)), strict=True))
    held_out: list[str] = []
    if "train" in words.values() and set(words.values()) <= {"train", "val", "test", ""}:
        held_out = [clip for clip, word in words.items() if word == "val"]
        why = {"test": "in the test list of the training data", "": "in no list of the training data"}
        reasons |= {clip: why[word] for clip, word in words.items() if word in why}
    if len(training):
        of_test_data = group_keys(training).isin(set(group_keys(data.clips).unique()))
        reasons |= dict.fromkeys(training["id"][of_test_data], TEST_DATA_GROUP)
    options |= {"removed": removed, "removed_rule": removed_rule}
    lists: dict[str, Any] = {"seen": trained_on, "held_out": held_out or None, "left_out": reasons}
    if data.train_clips is None:
        lists |= {"validation": [], "seen_test_share": 0.0}
        options.pop("n_validation", None)
    return make_protocol(name, both, unseen, **lists, **options)


def _new_classes(data: ProtocolData) -> list[str]:
    """Classes tested on whose name means no class trained on, in `class_order`."""
    if data.train_clips is None:
        raise ProtocolError("Kinetics-220 needs the clips of Kinetics-400 beside, got none")
    old = set(map(same, data.train_clips["class"].unique()))
    return [name for name in data.names if same(name) not in old]


WHOLE: dict[str, Any] = {"crosses": True, "shares_training": True}
PROTOCOLS = {
    "stratified": Kind(
        stratified, "an unseen and a validation class of each family", "families in classes.csv"
    ),
    "random": Kind(random, "unseen and validation classes at random"),
    "folds": Kind(folds, "each class unseen once in K splits; folds-KxR for R partitions", in_folds=True),
    "intra": Kind(intra, "one half of the classes trained on, the other tested on, own splits"),
    "file": Kind(from_file, "split N = 1.. of a file of your own", "a file of unseen classes' names"),
    "truze": Kind(truze, "the published lists of TruZe", "UCF101 or HMDB51", numbered=False),
    "half": Kind(half, "half of the classes, trained on another dataset (published: 0..9)", **WHOLE),
    "all": Kind(all_classes, "all classes, trained on another dataset (0/100)", numbered=False, **WHOLE),
    "official": Kind(
        official, "an official test list (1..3), trained on another dataset", "test lists", **WHOLE
    ),
    "mveb": Kind(mveb, "as mteb's MVEB scores it", "test lists", numbered=False, alone=True, **WHOLE),
    "kinetics220": Kind(kinetics220, "160 classes new in Kinetics-600", "Kinetics-400 and 600", crosses=True),
}


def list_protocols() -> pd.DataFrame:
    """The protocols by name, N a number: label, needs and average; each also as "generalised-...".

    >>> from zsar_lab.protocols.splits import list_protocols
    >>> list_protocols().loc["truze", "label"]
    'the published lists of TruZe'
    """
    rows = [(kind.label, kind.needs, kind.crosses, kind.average) for kind in PROTOCOLS.values()]
    return pd.DataFrame(rows, index=_forms(), columns=["label", "needs", "crosses datasets", "average"])


def _forms() -> list[str]:
    ends = ((name, "-K" * kind.in_folds + "-N" * kind.numbered) for name, kind in PROTOCOLS.items())
    return [name + end for name, end in ends]


@dataclass(frozen=True)
class ProtocolName:
    """A name such as "half-3", "folds-5-0" or "generalised-all" taken apart; None for no number."""

    kind: str
    number: int | None
    is_generalised: bool
    n_folds: int | None = None

    @staticmethod
    def of(name: str) -> ProtocolName:
        """Take a name apart; a number has no leading zero, so that a protocol has one name."""
        bare = name.removeprefix(GENERALISED)
        kind, *ends = bare.split("-")
        made = PROTOCOLS.get(kind)
        whole = all(re.fullmatch("0|[1-9][0-9]*", end) for end in ends)
        if made is None or not whole or len(ends) != made.in_folds + made.numbered:
            forms = ", ".join(_forms())
            raise ProtocolError(f"a protocol must be one of {forms}, or generalised-..., got {name!r}")
        numbers = [int(end) for end in ends]
        n_folds = numbers.pop(0) if made.in_folds else None
        return ProtocolName(kind, numbers[0] if numbers else None, bare != name, n_folds)

    @property
    def is_cross_dataset(self) -> bool:
        """Whether it trains on another dataset than it tests on."""
        return PROTOCOLS[self.kind].crosses

    @property
    def training(self) -> str:
        """What is trained for it: splits of one such name have the same classes and clips to train on."""
        if PROTOCOLS[self.kind].shares_training:
            return "other dataset"
        numbers = (self.n_folds, self.number)
        return "-".join([self.kind, *(str(number) for number in numbers if number is not None)])

    @property
    def family(self) -> str:
        """The name without its number: protocols of one family are splits of one kind."""
        return GENERALISED * self.is_generalised + self.kind + (f"-{self.n_folds}" if self.n_folds else "")


def protocol_named(name: str, data: ProtocolData, **options: Any) -> Protocol:
    """Make the protocol of a name (see `ProtocolName`); options as of `make_protocol` or `cross_dataset`."""
    asked = ProtocolName.of(name)
    kind = PROTOCOLS[asked.kind]
    if kind.crosses != (data.train_clips is not None) and not (kind.crosses and data.train_name):
        says = "needs another dataset to train on" if kind.crosses else "trains and tests on one dataset"
        raise ProtocolError(f"{name!r} {says}, got {data.train_name or 'none'} as train_on")
    terms = {"average": kind.average, "train_data": data.train_name or data.name, "test_data": data.name}
    if kind.in_folds:
        options = {"n_folds": asked.n_folds} | options
    made = kind.make(data, asked.number, **(terms | options))
    return generalised(made) if asked.is_generalised else made
