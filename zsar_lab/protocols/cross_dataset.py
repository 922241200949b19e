"""Cross-dataset protocols: trained on one dataset, tested on half or all classes, or an official test list, of another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Unpack

import pandas as pd

from zsar_lab.protocols.build import (
    NO_PART,
    Options,
    Terms,
    check_distinct,
    group_keys,
    make_protocol,
    removal_reason,
)
from zsar_lab.protocols.protocol import Protocol
from zsar_lab.protocols.splits import class_order, half_split, validation_split

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
