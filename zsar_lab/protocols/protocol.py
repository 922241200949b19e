"""The protocol object: typed, checked when made, hashed over its content, printable, and saved as json."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from zsar_lab.files import fingerprint, read_json, write_json

AVERAGES = {"micro": "micro average over clips", "mean_class": "mean of the classes' averages"}
VIEWS = (1, 25)
TRAINED = ("seen", "validation", "train_clips", "seen_test_clips", "validation_clips")
HASHED = (
    "seen",
    "validation",
    "unseen",
    "train_clips",
    "seen_test_clips",
    "validation_clips",
    "test_clips",
    "generalised",
    "average",
    "views",
)
N_REMOVED_SHOWN = 8
SUFFIX = ", generalised"  # of the name of a generalised variant


@dataclass(frozen=True)
class Protocol:
    """One split of classes and clips. Construction checks that nothing is shared and nothing needed is empty.

    Attributes:
        name: says how it was drawn, for example "family-stratified split 0".
        seen: classes trained on, 2 or more.
        validation: seen-side classes never trained on, to choose settings (pseudo-unseen); 2 or more, or
            none, and then every setting must be fixed beforehand.
        unseen: classes that are only tested on, 2 or more.
        train_clips: clips of seen classes to train on (ids of the catalog).
        seen_test_clips: clips of seen classes held out from training; may be empty unless generalised.
        validation_clips: clips of the validation classes.
        test_clips: clips of the unseen classes.
        generalised: all seen and unseen classes are candidates, and seen_test_clips are scored too.
        average: "micro" (over clips) or "mean_class" (over the classes' averages): the headline average of a
            score.
        views: test views a clip whose embeddings are averaged, 1 or 25.
        removed: training classes that a leakage rule removed.
        removed_rule: that rule with its threshold, for example "cosine distance under 0.05 to a test class".
        train_data, test_data: names of the datasets, ActivityNet's with its unit: "activitynet, segments".
        left_out: (clip id, reason) of clips whose class takes part but that are in no list; kept sorted by
            reason and id.
    """

    name: str
    seen: tuple[str, ...]
    validation: tuple[str, ...]
    unseen: tuple[str, ...]
    train_clips: tuple[str, ...]
    seen_test_clips: tuple[str, ...]
    validation_clips: tuple[str, ...]
    test_clips: tuple[str, ...]
    generalised: bool = False
    average: str = "micro"
    views: int = 1
    removed: tuple[str, ...] = ()
    removed_rule: str = ""
    train_data: str = ""
    test_data: str = ""
    left_out: tuple[tuple[str, str], ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(
            self, "left_out", tuple(sorted(self.left_out, key=lambda pair: (pair[1], pair[0])))
        )
        _check_apart({"seen": self.seen, "validation": self.validation, "unseen": self.unseen}, "class")
        _check_apart(self.roles | {"left out": tuple(clip for clip, _ in self.left_out)}, "clip")
        _check_apart({"seen": self.seen, "validation": self.validation, "removed": self.removed}, "class")
        _check_counts(self)
        if self.average not in AVERAGES:
            raise ValueError(f"average must be 'micro' or 'mean_class', got {self.average!r}")
        if self.views not in VIEWS:
            raise ValueError(f"views must be 1 or 25 (test views a clip), got {self.views!r}")

    @property
    def roles(self) -> dict[str, tuple[str, ...]]:
        """The clip lists by the role of their clips: "train", "seen test", "validation" and "test"."""
        lists = (self.train_clips, self.seen_test_clips, self.validation_clips, self.test_clips)
        return dict(zip(("train", "seen test", "validation", "test"), lists))

    @property
    def candidates(self) -> tuple[str, ...]:
        """The classes a clip is scored against: the unseen ones, or seen and unseen when generalised."""
        return self.seen + self.unseen if self.generalised else self.unseen

    @cached_property
    def hash(self) -> str:
        """Hash of class lists, clip ids, generalised, average and views; not of name, order, removal rule, data names or paths."""
        content = {key: getattr(self, key) for key in HASHED}
        return fingerprint(
            "protocol",
            {key: sorted(value) if isinstance(value, tuple) else value for key, value in content.items()},
        )

    @cached_property
    def training_hash(self) -> str:
        """Hash of what a training reads, in its order: all lists but the unseen classes and their clips. Protocols with the same one share a training."""
        return fingerprint("what is trained on", {key: getattr(self, key) for key in TRAINED})

    def __str__(self) -> str:
        """A paragraph: name, data, counts, candidates, chance level, average, views, removed classes and hash."""
        trained_on, tested_on = self.train_data or "unnamed data", self.test_data or "unnamed data"
        data = (
            f" Trained on {trained_on}, tested on {tested_on}." if self.train_data or self.test_data else ""
        )
        classes = (
            f"{len(self.seen)} seen, {len(self.validation)} validation and {len(self.unseen)} unseen classes"
        )
        clips = ", ".join(f"{len(ids):,} {role}" for role, ids in self.roles.items()) + " clips"
        left_out = f", {len(self.left_out):,} left out" if self.left_out else ""
        kind = "seen and unseen classes (generalised)" if self.generalised else "unseen classes"
        chance, views = (
            f"chance level {100 / len(self.candidates):.2f} %",
            f"{self.views} view{'s' * (self.views > 1)} a clip",
        )
        scoring = (
            f"{len(self.candidates)} candidates, the {kind}; {chance}; {AVERAGES[self.average]}; {views}"
        )
        paragraph = f"{self.name}.{data} {classes}; {clips}{left_out}. {scoring}. {_removed_shown(self)} Hash {self.hash}."
        return textwrap.fill(paragraph, 110)

    def save(self, path: Path) -> None:
        """Write the protocol with its hash as a json file."""
        reasons: dict[str, list[str]] = {}
        for clip, reason in self.left_out:
            reasons.setdefault(reason, []).append(clip)
        write_json(path, asdict(self) | {"left_out": reasons, "hash": self.hash})

    @staticmethod
    def load(path: Path) -> Protocol:
        """Read a protocol back.

        Raises:
            FileNotFoundError: there is no such file.
            ValueError: it is no protocol, lacks or adds a key, breaks a rule, or its content does not give
                the hash it names.
        """
        content = read_json(path)
        _check_form(path, content)
        stated = content.pop("hash")
        content["left_out"] = [
            (clip, reason) for reason, clips in content["left_out"].items() for clip in clips
        ]
        try:
            protocol = Protocol(
                **{key: tuple(value) if isinstance(value, list) else value for key, value in content.items()}
            )
        except ValueError as error:
            raise ValueError(f"'{path}' holds no valid protocol: {error}") from error
        if protocol.hash != stated:
            raise ValueError(
                f"a protocol file's content must give its hash, '{path}' says {stated} but holds {protocol.hash}; draw it anew"
            )
        return protocol


def generalised(protocol: Protocol) -> Protocol:
    """The generalised variant: held-out seen clips are scored too, and all seen and unseen classes are candidates.

    Raises:
        ValueError: the protocol holds out no seen clips.
    """
    if not protocol.seen_test_clips:
        raise ValueError(
            f"a generalised protocol scores held-out clips of seen classes, {protocol.name!r} has none; make it with seen_test_share above 0"
        )
    return (
        protocol
        if protocol.generalised
        else replace(protocol, name=f"{protocol.name}{SUFFIX}", generalised=True)
    )


def plain(protocol: Protocol) -> Protocol:
    """The variant that is not generalised: unseen classes alone are candidates, and their clips alone are scored."""
    return (
        replace(protocol, name=protocol.name.removesuffix(SUFFIX), generalised=False)
        if protocol.generalised
        else protocol
    )


def _removed_shown(protocol: Protocol) -> str:
    if not protocol.removed:
        return (
            f"No training class removed ({protocol.removed_rule})."
            if protocol.removed_rule
            else "No training class removed."
        )
    more = len(protocol.removed) - N_REMOVED_SHOWN
    names = ", ".join(protocol.removed[:N_REMOVED_SHOWN]) + (f" and {more} more" if more > 0 else "")
    classes = "class" if len(protocol.removed) == 1 else "classes"
    return f"{len(protocol.removed)} training {classes} removed ({protocol.removed_rule or 'no rule named'}): {names}."


def _check_apart(lists: dict[str, Sequence[str]], what: str) -> None:
    owner: dict[str, str] = {}
    for list_name, members in lists.items():
        for member in members:
            if member in owner:
                raise ValueError(
                    f"a {what} must stand once in one of {', '.join(lists)}; {member!r} is in {owner[member]} and in {list_name}; remove it from one"
                )
            owner[member] = list_name


def _check_counts(protocol: Protocol) -> None:
    if len(protocol.seen) < 2 or len(protocol.unseen) < 2 or len(protocol.validation) == 1:
        raise ValueError(
            f"a protocol needs at least 2 seen, 2 (or no) validation and 2 unseen classes, got {len(protocol.seen)}, {len(protocol.validation)}"
            f" and {len(protocol.unseen)}; change their numbers or add classes"
        )
    needed = {
        "train": True,
        "seen test": protocol.generalised,
        "validation": bool(protocol.validation),
        "test": True,
    }
    for role, ids in protocol.roles.items():
        if needed[role] and not ids:
            kind = {
                "seen test": "generalised protocol",
                "validation": "protocol with validation classes",
            }.get(role, "protocol")
            cure = "hold some out (seen_test_share above 0)" if role == "seen test" else "add videos"
            raise ValueError(f"a {kind} needs {role} clips, got none; {cure}")
    if protocol.validation_clips and not protocol.validation:
        raise ValueError(
            f"validation clips need validation classes, got {len(protocol.validation_clips)} clips and no class; name their classes"
        )


def _check_form(path: Path, content: Any) -> None:
    """Check that what a json file holds has the keys and types of a protocol."""
    if not isinstance(content, dict):
        raise ValueError(
            f"'{path}' must be a protocol file, but it holds a {type(content).__name__}; split the protocol anew"
        )
    expected = {field.name: _is_of(field.type) for field in fields(Protocol)} | {
        "hash": lambda value: isinstance(value, str)
    }
    expected["left_out"] = lambda value: (
        isinstance(value, dict) and all(_is_names(clips) for clips in value.values())
    )
    for problem, keys in (
        ("lacks", expected.keys() - content.keys()),
        ("has the unknown", content.keys() - expected.keys()),
    ):
        if keys:
            raise ValueError(
                f"a protocol file must have the keys of a protocol, '{path}' {problem} {', '.join(sorted(keys))}; delete it and draw it anew"
            )
    wrong = [key for key, fits in expected.items() if not fits(content[key])]
    if wrong:
        raise ValueError(
            f"each key of a protocol file must be of its type, '{path}' has {wrong[0]} = {str(content[wrong[0]])[:60]!r}; draw it anew"
        )


def _is_names(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(name, str) for name in value)


def _is_of(annotation: Any) -> Any:
    """A test of json values for a field's annotation (a string, since annotations are not evaluated here)."""
    plain = {"str": str, "bool": bool, "int": int}.get(annotation)
    return _is_names if plain is None else lambda value: type(value) is plain
