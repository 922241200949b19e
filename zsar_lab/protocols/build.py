"""Making protocols from tables of clips, checking them against those tables, and accounting for every clip."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypedDict, Unpack

import numpy as np
import pandas as pd

from zsar_lab.protocols.protocol import Protocol

TEST_GROUP = "held by a source group of a test clip"
VALIDATION_GROUP = "held by a source group of a validation clip"
SEEN_TEST_GROUP = "held by a source group of a held-out seen clip"
NO_PART = "its class takes no part"


class Terms(TypedDict, total=False):
    """Fields of a Protocol that a maker only hands on; Protocol says what each means."""

    generalised: bool
    average: str
    views: int
    removed: Sequence[str]
    removed_rule: str
    train_data: str
    test_data: str


class Options(Terms, total=False):
    """What every maker of a published kind of protocol takes beside its own arguments.

    Attributes:
        n_validation: seen classes drawn to validate, 0 or 2 and more; by default a tenth of the seen classes,
            at least 2.
        seed: of the splits of validation classes and held-out seen clips, 0 by default; the number of a split
            does not change them.
        seen_test_share: share of each seen class's clips held out from training, 0.2 by default; 0 for none.
    """

    n_validation: int | None
    seed: int
    seen_test_share: float


def make_protocol(
    name: str,
    clips: pd.DataFrame,
    unseen: Sequence[str],
    validation: Sequence[str],
    seed: int,
    seen_test_share: float = 0.2,
    seen: Sequence[str] | None = None,
    held_out: Sequence[str] | None = None,
    left_out: Mapping[str, str] | None = None,
    **terms: Unpack[Terms],
) -> Protocol:
    """A protocol from lists of classes, checked against its clips.

    Clips are held out by whole source groups, and a clip of a seen or validation class whose group also holds
    a test clip (or a seen one's a validation clip) is left out, so that no source lies on both sides.

    Args:
        name: of the protocol.
        clips: usable clips, columns `id` and `class`, and optionally `group` ("" for a clip that is its own
            group).
        unseen, validation: class names.
        seed: of the split of held-out clips within each seen class.
        seen_test_share: share of each seen class's clips held out from training, 0 up to below 1; at least
            one group unless 0.
        seen: class names; None for all other classes.
        held_out: ids of the held-out seen clips where an official list names them; None to draw them.
        left_out: reasons by clip id, of clips that must go into no list.
        terms: further fields of the Protocol.

    Raises:
        ValueError: a class has no readable clip, lists overlap, a clip id stands twice, the share is not in
            range, or a seen class has too few source groups to hold one out.
    """
    if not 0 <= seen_test_share < 1:
        raise ValueError(
            f"seen_test_share must be in 0 up to below 1 (0 holds out no clips), got {seen_test_share}"
        )
    reasons = dict(left_out or {})
    check_distinct(clips)
    table = pd.DataFrame(
        {"id": clips["id"], "class": clips["class"], "group": group_keys(clips)}
    ).sort_values("id")
    table = table[~table["id"].isin(set(reasons))]
    seen = _all_present(set(table["class"].unique()), unseen, validation, seen)
    test, validating = (table[table["class"].isin(set(names))] for names in (unseen, validation))
    validating = _apart(validating, test, TEST_GROUP, reasons)
    training = _apart(table[table["class"].isin(set(seen))], test, TEST_GROUP, reasons)
    training = _apart(training, validating, VALIDATION_GROUP, reasons)
    held = _drawn_to_hold_out(training, seen, seen_test_share, seed) if held_out is None else set(held_out)
    seen_test = training[training["id"].isin(held)]
    training = _apart(training[~training["id"].isin(held)], seen_test, SEEN_TEST_GROUP, reasons)
    protocol = Protocol(
        name=name,
        seen=tuple(seen),
        validation=tuple(sorted(validation)),
        unseen=tuple(sorted(unseen)),
        train_clips=_ids(training),
        seen_test_clips=_ids(seen_test),
        validation_clips=_ids(validating),
        test_clips=_ids(test),
        left_out=tuple(reasons.items()),
        **(terms | {"removed": tuple(sorted(terms.get("removed", ())))}),
    )
    check_against(protocol, clips)
    return protocol


def check_against(protocol: Protocol, clips: pd.DataFrame) -> None:
    """Check a protocol against the usable clips of its catalogs.

    Args:
        protocol: any protocol.
        clips: usable clips of all its catalogs together, columns `id` and `class`, and optionally `group`.

    Raises:
        ValueError: a clip id stands twice in the table or is not in it, a clip is not of a class of its list,
            a class has no clip, a source group lies on both sides of training, or a clip of a class of the
            protocol is neither in a list nor left out.
    """
    check_distinct(clips)
    ids = clips["id"].tolist()
    class_of = dict(zip(ids, clips["class"].tolist()))
    names_of = {
        "train": protocol.seen,
        "seen test": protocol.seen,
        "validation": protocol.validation,
        "test": protocol.unseen,
    }
    for role, of_role in protocol.roles.items():
        _check_role(role, of_role, names_of[role], class_of)
    group_of = dict(zip(ids, group_keys(clips).tolist()))
    trained = {group_of[clip]: clip for clip in protocol.train_clips}
    for role in ("seen test", "validation", "test"):
        for clip in protocol.roles[role]:
            if group_of[clip] in trained:
                raise ValueError(
                    f"a source group must not lie on both sides of training, {group_of[clip]} holds the train clip {trained[group_of[clip]]!r}"
                    f" and the {role} clip {clip!r}; leave one out"
                )
    named = {clip for of_role in protocol.roles.values() for clip in of_role} | {
        clip for clip, _ in protocol.left_out
    }
    names = {*protocol.seen, *protocol.validation, *protocol.unseen}
    unnamed = [clip for clip, label in class_of.items() if label in names and clip not in named]
    if unnamed:
        raise ValueError(
            f"every usable clip of a protocol's class must be in one of its lists or left out with a reason, {len(unnamed)} are not (first"
            f" {unnamed[0]!r}); split the protocol anew"
        )


def account(protocol: Protocol, *catalog_clips: pd.DataFrame) -> pd.DataFrame:
    """What a protocol does with every clip of its catalogs, usable or not: one row for each row given, in the same order.

    Args:
        protocol: any protocol.
        catalog_clips: one or several tables as `Catalog.clips`, columns `id`, `class`, `status` ("ok" or why
            not) and `reason`.

    Returns:
        Columns id, class, role ("train", "seen test", "validation", "test" or "left out") and reason (""
        unless left out).

    Raises:
        ValueError: the protocol lists a clip whose status is not "ok".
    """
    table = pd.concat(
        [clips[["id", "class", "status", "reason"]] for clips in catalog_clips], ignore_index=True
    )
    role_of = {clip: role for role, ids in protocol.roles.items() for clip in ids}
    left_out, removed = dict(protocol.left_out), set(protocol.removed)
    part = {*protocol.seen, *protocol.validation, *protocol.unseen}
    rows = []
    for clip, label, status, reason in zip(*(table[column].tolist() for column in table)):
        role = role_of.get(clip, "left out")
        if role != "left out" and status == "ok":
            why = ""
        elif role != "left out":
            raise ValueError(
                f"a protocol's clips must be usable, the {role} clip {clip!r} is {status!r} ({reason}); split the protocol anew"
            )
        elif status != "ok":
            why = f"{status}: {reason}" if reason else status
        elif clip in left_out:
            why = left_out[clip]
        elif label in part:
            why = "no list of the protocol names it"
        else:
            why = removal_reason(protocol.removed_rule) if label in removed else NO_PART
        rows.append((clip, label, role, why))
    return pd.DataFrame(rows, columns=["id", "class", "role", "reason"])


def removal_reason(rule: str) -> str:
    """Why a clip of a removed training class is left out."""
    return f"its class was removed by {rule or 'a rule without a name'}"


def group_keys(clips: pd.DataFrame) -> pd.Series:
    """The source group of each clip; a clip without one ("" or no column `group`) is its own, under a key no group has."""
    own = "clip " + clips["id"].astype(str)
    if "group" not in clips:
        return own
    groups = clips["group"].fillna("").astype(str)
    return ("group " + groups).where(groups != "", own)


def check_distinct(clips: pd.DataFrame) -> None:
    """ValueError when a clip of a table (of one or several catalogs) is not usable, or its id stands twice."""
    if "status" in clips and (clips["status"] != "ok").any():
        bad = clips[clips["status"] != "ok"].iloc[0]
        raise ValueError(
            f"a protocol is made of usable clips, {int((clips['status'] != 'ok').sum())} are not (first {bad['id']!r}, {bad['status']!r}); give catalog.usable"
        )
    twice = clips["id"][clips["id"].duplicated()]
    if len(twice):
        raise ValueError(
            f"each clip id must stand once in all catalogs of a protocol, {twice.iloc[0]!r} stands twice; rename it in one of them"
        )


def _all_present(
    present: set[str], unseen: Sequence[str], validation: Sequence[str], seen: Sequence[str] | None
) -> list[str]:
    """The seen classes, sorted, once every class that is named is known to have a clip."""
    for chosen in (*unseen, *validation, *(seen or ())):
        if chosen not in present:
            raise ValueError(
                f"every class of a protocol needs a readable clip, {chosen!r} has none; leave it out or add videos"
            )
    return sorted(present - set(unseen) - set(validation)) if seen is None else sorted(seen)


def _ids(table: pd.DataFrame) -> tuple[str, ...]:
    return tuple(table.sort_values(["class", "id"])["id"].tolist())


def _apart(table: pd.DataFrame, others: pd.DataFrame, reason: str, reasons: dict[str, str]) -> pd.DataFrame:
    """The rows whose source group holds none of the others; the reason is noted for the rest."""
    shares = table["group"].isin(set(others["group"].unique()))
    reasons.update(dict.fromkeys(table["id"][shares].tolist(), reason))
    return table[~shares]


def _drawn_to_hold_out(training: pd.DataFrame, seen: Sequence[str], share: float, seed: int) -> set[str]:
    """The ids of seen clips to hold out: in each class groups in a random order until the share is reached, leaving one to train on."""
    if not share:
        return set()
    random = np.random.default_rng(seed)
    is_held: dict[str, bool] = {}
    groups_of = dict(list(training.groupby("class")["group"]))
    for label in seen:
        sizes = groups_of.get(label, training["group"][:0]).value_counts(
            sort=False
        )  # in the order of each group's first clip
        groups = list(sizes.index)
        free = [groups[i] for i in random.permutation(len(groups)) if groups[i] not in is_held]
        wanted = max(1, round(share * int(sizes.sum())))
        n_held = sum(int(sizes[group]) for group in groups if is_held.get(group))
        to_train_on = any(is_held.get(group) is False for group in groups)
        for group in free:
            is_held[group] = n_held < wanted and (to_train_on or group != free[-1])
            n_held += int(sizes[group]) * is_held[group]
        if len({is_held[group] for group in groups}) < 2:
            others = [
                other
                for other in seen
                if other != label and groups_of.get(other, training["group"][:0]).nunique() < 2
            ]
            more = f", and a single one have {', '.join(map(repr, others))}" if others else ""
            raise ValueError(
                f"a seen class needs a source group to train on and another to hold out, {label!r} has {len(groups)} (clips: {int(sizes.sum())}) on"
                f" one side only{more}; add videos, take such classes out of the folder, or in Python hold out none (seen_test_share=0)"
            )
    return set(training["id"][training["group"].map(is_held).astype(bool)].tolist())


def _check_role(role: str, ids: Sequence[str], names: Sequence[str], class_of: Mapping[str, str]) -> None:
    missing = [clip for clip in ids if clip not in class_of]
    if missing:
        raise ValueError(
            f"every clip of a protocol must be a usable clip of its catalogs, {len(missing)} {role} clips are not (first {missing[0]!r}); split anew"
        )
    allowed = set(names)
    strays = [clip for clip in ids if class_of[clip] not in allowed]
    if strays:
        raise ValueError(
            f"a {role} clip must be of a class of its list, {strays[0]!r} is of class {class_of[strays[0]]!r}; split the protocol anew"
        )
    without = allowed - {class_of[clip] for clip in ids}
    if without and role != "seen test":
        raise ValueError(
            f"every class needs at least one {role} clip, {min(without)!r} has none; leave the class out or add videos"
        )
