"""Protocols: which classes and clips train, validate and test, and how the score is averaged. Checked when made, hashed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from zsar_lab.artefacts import fingerprint, read_json, write_json


@dataclass(frozen=True)
class Protocol:
    """One split of classes and clips. Construction checks that nothing is shared and nothing is empty.

    Attributes:
        name: says how it was drawn, for example "family-stratified draw 0".
        seen: classes trained on.
        validation: seen-side classes never trained on, to choose settings (pseudo-unseen).
        unseen: classes that are only tested on.
        train_clips: clips of seen classes to train on (ids of the catalog).
        seen_test_clips: clips of seen classes held out from training.
        validation_clips: every clip of the validation classes.
        test_clips: every clip of the unseen classes.
        average: "micro" (over clips) is the headline average of a score; the mean per class stands beside it.
    """

    name: str
    seen: tuple[str, ...]
    validation: tuple[str, ...]
    unseen: tuple[str, ...]
    train_clips: tuple[str, ...]
    seen_test_clips: tuple[str, ...]
    validation_clips: tuple[str, ...]
    test_clips: tuple[str, ...]
    average: str = "micro"

    def __post_init__(self) -> None:
        _check_apart({"seen": self.seen, "validation": self.validation, "unseen": self.unseen}, "class")
        clips = {"train": self.train_clips, "seen test": self.seen_test_clips}
        clips |= {"validation": self.validation_clips, "test": self.test_clips}
        _check_apart(clips, "clip")
        if min(len(self.seen), len(self.validation), len(self.unseen)) < 2:
            raise ValueError(
                f"a protocol needs at least 2 seen, 2 validation and 2 unseen classes, got {len(self.seen)}, {len(self.validation)} and"
                f" {len(self.unseen)}; add classes"
            )
        if self.average not in ("micro", "mean_class"):
            raise ValueError(f"average must be 'micro' or 'mean_class', got {self.average!r}")

    @property
    def hash(self) -> str:
        """Hash of class lists, clip ids and the averaging; not of the name, file paths or seeds."""
        content = asdict(self)
        content.pop("name")
        return fingerprint("protocol", {key: sorted(value) if isinstance(value, tuple) else value for key, value in content.items()})

    def save(self, path: Path) -> None:
        """Write the protocol with its hash as a json file."""
        write_json(path, asdict(self) | {"hash": self.hash})

    @staticmethod
    def load(path: Path) -> Protocol:
        """Read a protocol back; ValueError when its content does not give the hash it names."""
        content = read_json(path)
        stated = content.pop("hash", None)
        protocol = Protocol(**{key: tuple(value) if isinstance(value, list) else value for key, value in content.items()})
        if protocol.hash != stated:
            raise ValueError(f"a protocol file's content must give its hash, '{path}' says {stated} but holds {protocol.hash}; draw it anew")
        return protocol


def make_protocol(
    name: str, clips: pd.DataFrame, unseen: Sequence[str], validation: Sequence[str], seed: int, seen_test_share: float = 0.2
) -> Protocol:
    """A protocol from lists of unseen and validation classes; all other classes are seen.

    Args:
        name: of the protocol.
        clips: usable clips, columns `id` and `class`.
        unseen, validation: class names.
        seed: of the draw of held-out clips within each seen class.
        seen_test_share: share of each seen class's clips held out from training, at least one clip, 0..1.

    Raises:
        ValueError: a class has no readable clip, a list names an unknown class, lists overlap, or a seen class has one clip only.
    """
    ids = {str(group): sorted(rows) for group, rows in clips.groupby("class")["id"]}
    for chosen in (*unseen, *validation):
        if chosen not in ids:
            raise ValueError(f"every class of a protocol needs a readable clip, {chosen!r} has none; leave it out or add videos")
    seen = [label for label in sorted(ids) if label not in set(unseen) | set(validation)]
    random = np.random.default_rng(seed)
    train: list[str] = []
    held_out: list[str] = []
    for label in seen:
        if len(ids[label]) < 2:
            raise ValueError(f"a seen class needs at least 2 readable clips (one to hold out), {label!r} has {len(ids[label])}; add videos")
        n_held_out = max(1, round(seen_test_share * len(ids[label])))
        order = random.permutation(len(ids[label]))
        held_out += [ids[label][i] for i in sorted(order[:n_held_out])]
        train += [ids[label][i] for i in sorted(order[n_held_out:])]
    return Protocol(
        name=name,
        seen=tuple(seen),
        validation=tuple(sorted(validation)),
        unseen=tuple(sorted(unseen)),
        train_clips=tuple(train),
        seen_test_clips=tuple(held_out),
        validation_clips=tuple(i for label in sorted(validation) for i in ids[label]),
        test_clips=tuple(i for label in sorted(unseen) for i in ids[label]),
    )


def family_stratified_draw(clips: pd.DataFrame, classes: pd.DataFrame, draw: int) -> Protocol:
    """One unseen and one validation class from every family of at least four classes; the rest is seen.

    Args:
        clips: usable clips, columns `id` and `class`.
        classes: columns `name` and `family`.
        draw: the draw's number, also its seed.

    Raises:
        ValueError: there is no column `family`, or fewer than two families are large enough.
    """
    if "family" not in classes:
        raise ValueError("a family-stratified draw needs the column 'family' in classes.csv; add it or use random_draw")
    with_clips = classes[classes["name"].isin(set(clips["class"])) & (classes["family"].fillna("") != "")]
    random = np.random.default_rng([draw, 1])
    unseen, validation = [], []
    for _, members in sorted(with_clips.groupby("family")["name"]):
        if len(members) >= 4:
            chosen = random.permutation(sorted(members))
            unseen.append(str(chosen[0]))
            validation.append(str(chosen[1]))
    if len(unseen) < 2:
        raise ValueError(f"a family-stratified draw needs at least 2 families of 4 classes or more, got {len(unseen)}; use random draws only")
    return make_protocol(f"family-stratified draw {draw}", clips, unseen, validation, seed=draw)


def random_draw(clips: pd.DataFrame, draw: int, n_unseen: int | None = None, n_validation: int | None = None) -> Protocol:
    """Unseen and validation classes drawn plainly at random; the rest is seen.

    Args:
        clips: usable clips, columns `id` and `class`.
        draw: the draw's number, also its seed.
        n_unseen, n_validation: how many; None for 10, or a quarter of the classes where there are fewer than 40.

    Raises:
        ValueError: fewer than 2 seen classes would be left, or fewer than 2 would be unseen.
    """
    names = sorted(set(clips["class"]))
    n_unseen = min(10, len(names) // 4) if n_unseen is None else n_unseen
    n_validation = min(10, len(names) // 4) if n_validation is None else n_validation
    if n_unseen < 2 or n_unseen + n_validation + 2 > len(names):
        raise ValueError(
            f"a random draw needs 2 unseen and 2 seen classes or more beside the validation classes, got {n_unseen} unseen and"
            f" {n_validation} validation of {len(names)} classes; add classes (8 or more for the default) or change the numbers"
        )
    chosen = np.random.default_rng([draw, 2]).permutation(names)
    unseen, validation = chosen[:n_unseen].tolist(), chosen[n_unseen : n_unseen + n_validation].tolist()
    return make_protocol(f"random draw {draw}", clips, unseen, validation, seed=draw)


def _check_apart(lists: dict[str, tuple[str, ...]], what: str) -> None:
    owner: dict[str, str] = {}
    for list_name, members in lists.items():
        if what == "clip" and not members:
            raise ValueError(f"a protocol needs {list_name} clips, got none; add videos")
        for member in members:
            if member in owner:
                raise ValueError(
                    f"a {what} must stand once in one of {', '.join(lists)}; {member!r} is in {owner[member]} and in {list_name}; remove it from one"
                )
            owner[member] = list_name
