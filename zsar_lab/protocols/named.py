"""Protocols by a short name, as studies and the command line call them: "intra-0", "truze", "half-3", "generalised-all"."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from zsar_lab.data.catalog import Catalog
from zsar_lab.protocols.cross_dataset import all_classes, half_classes, official_split
from zsar_lab.protocols.intra_dataset import intra_dataset_split
from zsar_lab.protocols.protocol import Protocol, generalised
from zsar_lab.protocols.published import kinetics220_split, truze
from zsar_lab.protocols.splits import family_stratified_split, random_split

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
