"""The protocol object: checked when made, hashed over its content, printable, saved as json."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from zsar_lab.files import fingerprint, read_json, write_json
from zsar_lab.shown import Shown

AVERAGES = {"micro": "micro average over clips", "mean_class": "mean of the classes' averages"}
VIEWS = (1, 25)
TIES = {"wrong": "a tie with another class is wrong", "first": "of tied classes the first one is predicted"}
ASKED = {"ties": "wrong", "prompt": "", "frames": ""}  # and what they are where a protocol does not say
TRAINED = ("seen", "validation", "train_clips", "seen_test_clips", "validation_clips")
HASHED = (*TRAINED, "unseen", "test_clips", "generalised", "average", "views")
N_REMOVED_SHOWN = 8
SUFFIX = ", generalised"  # of the name of a generalised variant


class ProtocolError(ValueError):
    """A protocol, or what it was to be made of, breaks a rule."""


@dataclass(frozen=True, repr=False)
class Protocol(Shown):
    """One split of classes and clips (ids). Nothing is in two lists, and nothing that is needed is empty.

    Without validation classes, on which settings are chosen, every setting must be fixed beforehand.
    """

    name: str  # says how it was made, such as "family-stratified split 0"
    seen: tuple[str, ...]  # classes trained on, 2 or more; none where the training was elsewhere
    validation: tuple[str, ...]  # seen-side classes that are never trained on, none or 2 and more
    unseen: tuple[str, ...]  # classes that are only tested on, 2 or more
    train_clips: tuple[str, ...]  # of seen classes
    seen_test_clips: tuple[str, ...]  # of seen classes, held out from training; maybe none unless generalised
    validation_clips: tuple[str, ...]
    test_clips: tuple[str, ...]
    generalised: bool = False  # seen and unseen classes are candidates, seen_test_clips are scored too
    average: str = "micro"  # the headline average of a score, see AVERAGES
    views: int = 1  # test views a clip whose embeddings are averaged, 1 or 25
    removed: tuple[str, ...] = ()  # training classes that a leakage rule removed
    removed_rule: str = ""  # that rule with its threshold
    train_data: str = ""  # name of the dataset, ActivityNet's with its unit: "activitynet, segments"
    test_data: str = ""
    left_out: tuple[tuple[str, str], ...] = ()  # (clip, reason) of clips in no list, sorted by reason
    ties: str = "wrong"  # see TIES
    prompt: str = ""  # of the class texts, where the protocol names one
    frames: str = ""  # which frames of a video are looked at, where the protocol says

    def __post_init__(self) -> None:
        kinds = {"str": str, "bool": bool, "int": int}
        for field in fields(self):
            value, kind = getattr(self, field.name), kinds.get(str(field.type))
            parts = [part for pair in value for part in pair] if field.name == "left_out" else value
            is_names = isinstance(value, tuple) and all(issubclass(of, str) for of in set(map(type, parts)))
            if not (type(value) is kind if kind else is_names):
                raise ProtocolError(f"{field.name} must be {field.type}, got {str(value)[:60]!r}")
        object.__setattr__(self, "left_out", tuple(sorted(self.left_out, key=lambda pair: pair[::-1])))
        classes = {"seen": self.seen, "validation": self.validation}
        _check_apart(classes | {"unseen": self.unseen}, "class")
        _check_apart(self.roles | {"left out": tuple(clip for clip, _ in self.left_out)}, "clip")
        _check_apart(classes | {"removed": self.removed}, "class")
        self._check_counts()
        if self.average not in AVERAGES:
            raise ProtocolError(f"average must be 'micro' or 'mean_class', got {self.average!r}")
        if self.views not in VIEWS:
            raise ProtocolError(f"views must be 1 or 25 (test views a clip), got {self.views!r}")
        if self.ties not in TIES:
            raise ProtocolError(f"ties must be one of {', '.join(TIES)}, got {self.ties!r}")

    def _facts(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "seen": len(self.seen),
            "validation": len(self.validation),
            "unseen": len(self.unseen),
            "test clips": len(self.test_clips),
            "hash": self.hash,
        }

    def _check_counts(self) -> None:
        counts = len(self.seen), len(self.validation), len(self.unseen)
        elsewhere = not (self.seen or self.train_clips or self.generalised)
        if (counts[0] < 2 and not elsewhere) or counts[1] == 1 or counts[2] < 2:
            got = "{}, {} and {}".format(*counts)
            raise ProtocolError(f"2 seen, 2 (or no) validation and 2 unseen classes are needed, got {got}")
        wanted = (
            {"test"} | ({"train"} if self.seen else set()) | ({"validation"} if self.validation else set())
        )
        wanted |= {"seen test"} if self.generalised else set()
        lacking = [role for role, ids in self.roles.items() if role in wanted and not ids]
        if lacking:
            cure = "hold some out (seen_test_share above 0)" if lacking[0] == "seen test" else "add videos"
            raise ProtocolError(f"the protocol {self.name!r} needs {lacking[0]} clips, got none; {cure}")
        if self.validation_clips and not self.validation:
            raise ProtocolError(f"{len(self.validation_clips)} validation clips, but no validation class")

    @property
    def roles(self) -> dict[str, tuple[str, ...]]:
        """The clip lists by the role of their clips: "train", "seen test", "validation" and "test"."""
        lists = self.train_clips, self.seen_test_clips, self.validation_clips, self.test_clips
        return dict(zip(("train", "seen test", "validation", "test"), lists))

    @property
    def candidates(self) -> tuple[str, ...]:
        """The classes a clip is scored against: the unseen ones, or seen and unseen when generalised."""
        return self.seen + self.unseen if self.generalised else self.unseen

    @property
    def asked(self) -> dict[str, str]:
        """Of ASKED what is not as everywhere: how clips are asked, and ties are broken."""
        return {key: getattr(self, key) for key, usual in ASKED.items() if getattr(self, key) != usual}

    @cached_property
    def hash(self) -> str:
        """Hash of class lists, clip ids (in any order), generalised, average, views and `asked`."""
        content = {key: getattr(self, key) for key in HASHED} | self.asked
        lists = {key: sorted(value) for key, value in content.items() if isinstance(value, tuple)}
        return fingerprint("protocol", content | lists)

    @cached_property
    def training_hash(self) -> str:
        """Hash of what a training reads, in its order. Protocols with the same one share a training."""
        return fingerprint("what is trained on", {key: getattr(self, key) for key in TRAINED})

    def __str__(self) -> str:
        """A paragraph: name, data, counts, candidates, chance, average, views, removed classes and hash."""
        trained_on, tested_on = self.train_data or "unnamed data", self.test_data or "unnamed data"
        is_named = bool(self.train_data or self.test_data)
        data = f" Trained on {trained_on}, tested on {tested_on}." if is_named else ""
        classes = "{} seen, {} validation and {} unseen classes".format(
            *map(len, (self.seen, self.validation, self.unseen))
        )
        clips = ", ".join(f"{len(ids):,} {role}" for role, ids in self.roles.items())
        left_out = f", {len(self.left_out):,} left out" if self.left_out else ""
        kind = "seen and unseen classes (generalised)" if self.generalised else "unseen classes"
        n_removed, names = len(self.removed), ", ".join(self.removed[:N_REMOVED_SHOWN])
        rule = f" ({self.removed_rule or 'no rule named'})" if n_removed or self.removed_rule else ""
        more = f" and {n_removed - N_REMOVED_SHOWN} more" if n_removed > N_REMOVED_SHOWN else ""
        asked = "".join(
            f" {key.capitalize()}: {TIES.get(value, value)}." for key, value in self.asked.items()
        )
        return textwrap.fill(
            f"{self.name}.{data} {classes}; {clips} clips{left_out}."
            f" {len(self.candidates)} candidates, the {kind};"
            f" chance level {100 / len(self.candidates):.2f} %;"
            f" {AVERAGES[self.average]}; {self.views} view{'s' * (self.views > 1)} a clip."
            f"{asked} {n_removed or 'No'} training class{'es' * (n_removed > 1)} removed{rule}"
            f"{': ' * (n_removed > 0)}{names}{more}. Hash {self.hash}.",
            110,
        )

    def save(self, path: Path) -> None:
        """Write the protocol with its hash as a json file."""
        reasons: dict[str, list[str]] = {}
        for clip, reason in self.left_out:
            reasons.setdefault(reason, []).append(clip)
        content = {key: value for key, value in asdict(self).items() if key not in ASKED} | self.asked
        write_json(path, content | {"left_out": reasons, "hash": self.hash})

    @staticmethod
    def load(path: Path) -> Protocol:
        """Read a protocol back; ProtocolError when it breaks a rule or gives another hash than it names."""
        content = read_json(path)
        expected = {field.name for field in fields(Protocol)} - ASKED.keys() | {"hash"}
        if not isinstance(content, dict) or content.keys() - ASKED.keys() != expected:
            odd = sorted(expected ^ set(content)) if isinstance(content, dict) else [type(content).__name__]
            raise ProtocolError(f"'{path}' must have the keys of a protocol, it differs in {', '.join(odd)}")
        stated, left_out = content.pop("hash"), content.pop("left_out")
        content = {key: tuple(value) if isinstance(value, list) else value for key, value in content.items()}
        try:
            pairs = tuple((clip, reason) for reason, clips in left_out.items() for clip in list(clips))
            protocol = Protocol(**content, left_out=pairs)
        except (ProtocolError, TypeError, AttributeError) as error:
            raise ProtocolError(f"'{path}' holds no valid protocol: {error}") from error
        if protocol.hash != stated:
            raise ProtocolError(f"'{path}' must give the hash {stated}, but it gives {protocol.hash}")
        return protocol


def generalised(protocol: Protocol) -> Protocol:
    """The generalised variant: held-out seen clips are scored too, and all classes are candidates."""
    if protocol.generalised:
        return protocol
    return replace(protocol, name=protocol.name + SUFFIX, generalised=True)


def plain(protocol: Protocol) -> Protocol:
    """The variant that is not generalised: unseen classes are the candidates, their clips are scored."""
    if not protocol.generalised and not protocol.name.endswith(SUFFIX):
        return protocol
    return replace(protocol, name=protocol.name.removesuffix(SUFFIX), generalised=False)


def _check_apart(lists: Mapping[str, Sequence[str]], what: str) -> None:
    owner: dict[str, str] = {}
    for list_name, members in lists.items():
        for member in members:
            if member in owner:
                both = f"{member!r} is in {owner[member]} and in {list_name}"
                raise ProtocolError(f"a {what} must be in one of {', '.join(lists)} once; {both}")
            owner[member] = list_name
