"""Protocols made from tables of clips, and the account of every clip."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from zsar_lab.protocols.protocol import Protocol, ProtocolError

TEST_GROUP = "held by a source group of a test clip"
VALIDATION_GROUP = "held by a source group of a validation clip"
SEEN_TEST_GROUP = "held by a source group of a held-out seen clip"
NO_PART = "its class takes no part"


def class_order(names: Iterable[str]) -> list[str]:
    """The class names sorted by code point, capitals before small letters: what every split counts by.

    Another order gives other classes for the same seed: most published splits of UCF101 change when Hammering
    and HammerThrow change places.
    """
    return sorted(str(name) for name in names)


def validation_split(seen: Sequence[str] | set[str], n_validation: int | None, seed: int) -> list[str]:
    """The names, sorted, of `n_validation` seen-side classes that validate; None for a tenth, at least 2."""
    number = max(2, round(0.1 * len(seen))) if n_validation is None else n_validation
    if number < 0 or number == 1 or number > len(seen) - 2:
        raise ProtocolError(f"n_validation must be 0, or 2 and more with 2 left, got {number} of {len(seen)}")
    return class_order(np.random.default_rng([seed, 3]).permutation(class_order(seen))[:number])


def half_split(n_classes: int, split: int) -> list[int]:
    """The places in `class_order` of the unseen classes of a published half-class split.

    Equal to `np.random.seed(split); np.random.permutation(n_classes)[: n_classes // 2]`, and leaves NumPy's
    global state alone. Publications use splits 0..9.
    """
    if n_classes < 4 or split < 0:
        raise ProtocolError(f"a half split needs 4 classes or more and N >= 0, got {n_classes} and N {split}")
    return np.random.RandomState(split).permutation(n_classes)[: n_classes // 2].tolist()


def published(which: str) -> dict[str, dict[str, Any]]:
    """Published lists, "truze" or "mveb", by dataset: its title, a count, and the unseen classes."""
    lists = json.loads(Path(__file__).with_name(f"{which}.json").read_text(encoding="utf-8"))
    return {name: entry | {"unseen": tuple(entry["unseen"].split())} for name, entry in lists.items()}


def published_of(dataset: str, which: str, called: str) -> list[Any]:
    """The entry of a dataset in published lists; ProtocolError where there is none."""
    lists = published(which)
    if dataset not in lists:
        raise ProtocolError(f"{called} has lists for {' and '.join(map(repr, lists))}, got {dataset!r}")
    return list(lists[dataset].values())


def make_protocol(
    name: str,
    clips: pd.DataFrame,
    unseen: Sequence[str],
    validation: Sequence[str] | None = None,
    seed: int = 0,
    seen_test_share: float = 0.2,
    seen: Sequence[str] | set[str] | None = None,
    n_validation: int | None = None,
    held_out: Sequence[str] | None = None,
    left_out: Mapping[str, str] | None = None,
    **fields: Any,
) -> Protocol:
    """A protocol from lists of classes and the clips they have.

    Clips are held out by whole source groups. A clip of a seen or validation class whose group also holds a
    test clip (or a seen one's a validation clip) is left out, so that no source is on both sides.

    Args:
        name: of the protocol.
        clips: usable clips, columns `id`, `class` and optionally `group` ("" for a group of its own).
        unseen: class names.
        validation: class names; None to draw `n_validation` of the seen-side classes, see `validation_split`.
        seed: of the split of validation classes, and of held-out clips within each seen class.
        seen_test_share: share of each seen class's clips held out from training, 0 up to below 1; at least
            one group unless 0.
        seen: the seen-side classes, those that validate among them or not; None for all that are not unseen.
        n_validation: how many validation classes to draw, 0 or 2 and more.
        held_out: ids of the held-out seen clips where an official list names them; None to draw them.
        left_out: reasons by clip id, of clips that must go into no list.
        fields: further fields of the Protocol.

    Raises:
        ProtocolError: a class has no readable clip (left), lists overlap, a clip id is there twice, or a seen
            class has too few source groups to hold one out.
    """
    if not 0 <= seen_test_share < 1:
        raise ProtocolError(f"seen_test_share must be in 0 up to below 1, got {seen_test_share}")
    if validation is not None and n_validation is not None:
        raise ProtocolError(f"validation classes are given or drawn, got both ({n_validation} to draw)")
    check_distinct(clips)
    reasons = dict(left_out or {})
    groups = pd.factorize(group_keys(clips))[0]  # numbers are looked up faster than texts
    table = pd.DataFrame({"id": clips["id"], "class": clips["class"], "group": groups})
    table = table[~table["id"].isin(list(reasons))].sort_values(["class", "id"])
    present = set(table["class"].unique())
    seen = present - set(unseen) if seen is None else seen
    validation = validation_split(seen, n_validation, seed) if validation is None else validation
    seen = class_order(set(seen) - set(validation))
    without = [chosen for chosen in (*unseen, *validation, *seen) if chosen not in present]
    if without:
        raise ProtocolError(f"every class of a protocol needs a readable clip, {without[0]!r} has none")

    def apart(rows: pd.DataFrame, others: pd.DataFrame, reason: str) -> pd.DataFrame:
        """The rows whose source group holds none of the others; the reason is noted for the rest."""
        shares = rows["group"].isin(set(others["group"].unique()))
        reasons.update(dict.fromkeys(rows["id"][shares].tolist(), reason))
        return rows[~shares]

    lists = (unseen, validation, seen)
    test, validating, training = (table[table["class"].isin(list(names))] for names in lists)
    validating, training = apart(validating, test, TEST_GROUP), apart(training, test, TEST_GROUP)
    training = apart(training, validating, VALIDATION_GROUP)
    held = _held_out(training, seen, seen_test_share, seed) if held_out is None else set(held_out)
    seen_test = training[training["id"].isin(held)]
    training = apart(training[~training["id"].isin(held)], seen_test, SEEN_TEST_GROUP)
    protocol = Protocol(
        name=name,
        seen=tuple(seen),
        validation=tuple(sorted(validation)),
        unseen=tuple(sorted(unseen)),
        train_clips=tuple(training["id"].tolist()),
        seen_test_clips=tuple(seen_test["id"].tolist()),
        validation_clips=tuple(validating["id"].tolist()),
        test_clips=tuple(test["id"].tolist()),
        left_out=tuple(reasons.items()),
        **(fields | {"removed": tuple(sorted(fields.get("removed", ())))}),
    )
    for role, names in (("train", seen), ("validation", validation), ("test", unseen)):
        clipless = set(names) - set(table["class"][table["id"].isin(set(protocol.roles[role]))])
        if clipless:
            raise ProtocolError(f"every class needs at least one {role} clip, {min(clipless)!r} has none")
    return protocol


def _held_out(training: pd.DataFrame, seen: Sequence[str], share: float, seed: int) -> set[str]:
    """Ids of seen clips to hold out: groups in a random order until the share of each class is reached."""
    if not share:
        return set()
    random = np.random.default_rng(seed)
    is_held: dict[str, bool] = {}  # of each group
    groups_of: dict[str, list[Any]] = {label: [] for label in seen}
    for label, group in zip(training["class"].tolist(), training["group"].tolist(), strict=True):
        groups_of[label].append(group)
    for label in seen:
        sizes = Counter(groups_of[label])  # in the order of each group's first clip
        groups = list(sizes)
        free = [groups[i] for i in random.permutation(len(groups)).tolist() if groups[i] not in is_held]
        wanted = max(1, round(share * sum(sizes.values())))
        n_held = sum(sizes[group] for group in groups if is_held.get(group))
        to_train_on = any(is_held.get(group) is False for group in groups)
        for group in free:  # one is left to train on
            is_held[group] = n_held < wanted and (to_train_on or group != free[-1])
            n_held += sizes[group] * is_held[group]
        if len({is_held[group] for group in groups}) < 2:
            single = [other for other in seen if len({*groups_of[other]}) < 2 and other != label]
            more = f" (as have {', '.join(map(repr, single))})" if single else ""
            has = f"{label!r} has {len(groups)} of {sum(sizes.values())} clips{more}; add videos"
            raise ProtocolError(f"a seen class needs 2 source groups, {has}")
    return set(training["id"][training["group"].map(is_held).astype(bool)].tolist())


def account(protocol: Protocol, *catalog_clips: pd.DataFrame) -> pd.DataFrame:
    """What a protocol does with every clip of its catalogs, usable or not, in their order.

    The tables are as `Catalog.clips`: columns `id`, `class`, `status` ("ok" or why not) and `reason`. Returns
    id, class, role (as `Protocol.roles`, or "left out") and reason ("" unless left out).
    """
    columns = ["id", "class", "status", "reason"]
    table = pd.concat([clips[columns] for clips in catalog_clips], ignore_index=True)
    role_of = {clip: role for role, ids in protocol.roles.items() for clip in ids}
    left_out, part = dict(protocol.left_out), {*protocol.seen, *protocol.validation, *protocol.unseen}
    removed, rows = set(protocol.removed), []
    for clip, label, status, reason in table.itertuples(index=False, name=None):
        role, why = role_of.get(clip, "left out"), ""
        if role != "left out" and status != "ok":
            raise ProtocolError(f"the {role} clip {clip!r} is {status!r} ({reason}), not usable")
        if status != "ok":
            why = f"{status}: {reason}" if reason else status
        elif role == "left out":
            elsewhere = removal_reason(protocol.removed_rule) if label in removed else NO_PART
            why = left_out.get(clip, "no list of the protocol names it" if label in part else elsewhere)
        rows.append((clip, label, role, why))
    return pd.DataFrame(rows, columns=["id", "class", "role", "reason"])


def removal_reason(rule: str) -> str:
    """Why a clip of a removed training class is left out."""
    return f"its class was removed by {rule or 'a rule without a name'}"


def group_keys(clips: pd.DataFrame) -> pd.Series:
    """The source group of each clip; one without ("" or no column `group`) is its own, under its own key."""
    own = "clip " + clips["id"].astype(str)
    if "group" not in clips:
        return own
    groups = clips["group"].fillna("").astype(str)
    return ("group " + groups).where(groups != "", own)


def split_words(clips: pd.DataFrame) -> pd.Series:
    """The words of `splits`, a list a clip; empty lists where the table has no such column."""
    splits = clips["splits"].fillna("").tolist() if "splits" in clips else [""] * len(clips)
    return pd.Series([words.split() for words in splits], index=clips.index, dtype=object)


def check_distinct(clips: pd.DataFrame) -> None:
    """ProtocolError when a clip of a table is not usable, or its id is there twice."""
    if "status" in clips and (clips["status"] != "ok").any():
        bad = clips[clips["status"] != "ok"]
        count = f"{len(bad)} are not (first {bad['id'].iloc[0]!r}, {bad['status'].iloc[0]!r})"
        raise ProtocolError(f"a protocol is made of catalog.usable, {count}")
    twice = clips["id"][clips["id"].duplicated()]
    if len(twice):
        raise ProtocolError(f"each clip id must be in the catalogs once, {twice.iloc[0]!r} is there twice")
