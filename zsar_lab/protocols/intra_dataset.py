"""Intra-dataset protocols: some classes of a dataset are trained on, the others of the same dataset are tested on."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Unpack

import pandas as pd

from zsar_lab.protocols.build import Options, Terms, make_protocol
from zsar_lab.protocols.protocol import Protocol
from zsar_lab.protocols.split_files import read_class_splits
from zsar_lab.protocols.splits import class_order, half_split, validation_split


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
