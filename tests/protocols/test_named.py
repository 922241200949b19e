"""Protocols by their short names: what each makes, and what is refused."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pandas as pd
import pytest
from official_files import HMDB51_CLASSES, UCF101_CLASSES

from zsar_lab.data.catalog import CLIP_COLUMNS, Catalog
from zsar_lab.protocols.splits import CROSS, NUMBERED, WITHIN, ProtocolName, protocol_named


@pytest.mark.parametrize(
    ("name", "parts", "family", "crosses"),
    [
        ("stratified-0", ("stratified", 0, False), "stratified", False),
        ("random-12", ("random", 12, False), "random", False),
        ("intra-49", ("intra", 49, False), "intra", False),
        ("truze", ("truze", None, False), "truze", False),
        ("half-9", ("half", 9, False), "half", True),
        ("all", ("all", None, False), "all", True),
        ("official-3", ("official", 3, False), "official", True),
        ("kinetics220-1", ("kinetics220", 1, False), "kinetics220", True),
        ("generalised-truze", ("truze", None, True), "generalised-truze", False),
        ("generalised-half-0", ("half", 0, True), "generalised-half", True),
        ("generalised-kinetics220-2", ("kinetics220", 2, True), "generalised-kinetics220", True),
    ],
)
def test_a_name_taken_apart(name, parts, family, crosses):
    asked = ProtocolName.of(name)
    assert dataclasses.astuple(asked) == parts and (asked.family, asked.is_cross_dataset) == (family, crosses)


BAD_NAMES = [
    "",
    "half",
    "half-",
    "half-x",
    "half--1",
    "half-1.0",
    "Half-1",
    " half-1",
    "half-1\n",
    "half-01",
    "half-٣",
    "truze-0",
    "all-1",
    "intra",
    "kinetics220",
    "kinetics400-0",
    "generalised-",
    "generalised",
    "generalised-half",
    "generalised-generalised-all",
    "generalised-all-generalised",
    "seen",
]


@pytest.mark.parametrize("name", BAD_NAMES)
def test_a_bad_name_is_refused(name):
    with pytest.raises(
        ValueError,
        match="a protocol must be one of stratified-N, random-N, intra-N, truze, half-N, all, official-N, kinetics220-N ",
    ):
        ProtocolName.of(name)


def make_catalog(
    name: str,
    classes: list[str],
    clips_per_class: int = 4,
    splits: list[str] | None = None,
    **columns: list[str],
) -> Catalog:
    """A made-up catalog, all of it usable but a missing clip of each class; clip n of a class has the words splits[n]."""
    rows = []
    for label in classes:
        for clip in range(clips_per_class + 1):
            status = ("ok", "") if clip < clips_per_class else ("missing", "no file")
            words = splits[clip % len(splits)] if splits else ""
            rows.append(
                (
                    f"{name}:{label}/{clip}",
                    f"{label}/{clip}.mp4",
                    label,
                    "",
                    words,
                    0.0,
                    1.0,
                    12,
                    12.0,
                    64,
                    48,
                    False,
                    *status,
                    "",
                )
            )
    clips = pd.DataFrame(rows, columns=CLIP_COLUMNS).sort_values("id", ignore_index=True)
    return Catalog(name, Path("/nowhere"), clips, pd.DataFrame({"name": sorted(classes)} | columns))


SIXTEEN = [f"class {number:02d}" for number in range(16)]
SMALL = make_catalog("small", SIXTEEN, family=[f"family {number // 4}" for number in range(16)])
OTHER = make_catalog(
    "other", [f"other {number:02d}" for number in range(12)], splits=["train", "train", "train", "val"]
)
LISTED = make_catalog(
    "listed", SIXTEEN[:10], splits=["test train train", "train test train", "train train test"]
)


def made_within(name: str, catalog: Catalog = SMALL):
    return protocol_named(name, catalog, catalog.usable)


def made_across(name: str, test: Catalog = SMALL, train: Catalog = OTHER, removed: tuple[str, ...] = ()):
    return protocol_named(
        name, test, test.usable, train, train.usable, removed, "a method" if removed else ""
    )


def test_stratified_and_random():
    stratified = made_within("stratified-2")
    assert (
        stratified.name == "family-stratified split 2"
        and len(stratified.unseen) == len(stratified.validation) == 4
    )
    assert [SIXTEEN.index(name) // 4 for name in stratified.unseen] == [0, 1, 2, 3]
    assert made_within("random-1").name == "random split 1" and len(made_within("random-1").unseen) == 4
    assert made_within("random-1").unseen != made_within("random-2").unseen
    with pytest.raises(
        ValueError, match="a family-stratified split needs the column 'family' in classes.csv"
    ):
        made_within("stratified-0", LISTED)


def test_intra():
    made = made_within("intra-3")
    assert made.name == "intra-dataset 50/50, own split 3" and (made.train_data, made.test_data) == (
        "small",
        "small",
    )
    assert len(made.unseen) == 8 and len(made.seen) + len(made.validation) == 8 and not made.generalised


@pytest.mark.parametrize(
    ("dataset", "classes", "n_unseen"), [("ucf101", UCF101_CLASSES, 31), ("hmdb51", HMDB51_CLASSES, 22)]
)
def test_truze(dataset, classes, n_unseen):
    made = made_within("truze", make_catalog(dataset, classes, 2))
    assert (
        made.name.startswith("TruZe ")
        and len(made.unseen) == n_unseen
        and len(made.seen) + len(made.validation) == len(classes) - n_unseen
    )
    assert len(made.test_clips) == 2 * n_unseen
    with pytest.raises(
        ValueError,
        match=f"TruZe needs clips of the {len(classes)} classes of .*, got {len(classes) - 1} classes.*; catalog the",
    ):
        made_within("truze", make_catalog(dataset, classes[1:], 2))


def test_truze_of_another_dataset():
    with pytest.raises(
        ValueError, match="TruZe has lists for 'ucf101' and 'hmdb51', got 'small'; name one of them"
    ):
        made_within("truze")


def test_half_and_all():
    half = made_across("half-5")
    assert (
        half.name == "half-classes, cross-dataset, split 5"
        and len(half.unseen) == 8
        and len(half.test_clips) == 8 * 4
    )
    assert (half.train_data, half.test_data) == ("other", "small") and set(
        half.seen + half.validation
    ) == set(OTHER.classes["name"])
    assert (
        made_across("half-5").hash == half.hash != made_across("half-6").hash
        and made_across("half-6").train_clips == half.train_clips
    )
    everything = made_across("all", removed=("other 03",))
    assert everything.unseen == tuple(SIXTEEN) and set(everything.test_clips) == set(SMALL.usable["id"])
    assert (
        everything.removed == ("other 03",)
        and everything.removed_rule == "a method"
        and "other 03" not in everything.seen + everything.validation
    )


def test_official():
    made = made_across("official-2", LISTED)
    assert made.unseen == tuple(SIXTEEN[:10]) and made.test_clips == tuple(
        f"listed:{name}/1" for name in SIXTEEN[:10]
    )
    assert dict(made.left_out)["listed:class 00/0"] == "not in the official test list 2"
    for number in (0, 4):
        with pytest.raises(
            ValueError,
            match=rf"split must be 1, 2 or 3 \(the number of an official test list\), got {number}",
        ):
            made_across(f"official-{number}", LISTED)
    with pytest.raises(
        ValueError,
        match="an official test split needs a column 'splits' with the word test, list 1 has no clip",
    ):
        made_across("official-1")


def test_kinetics220():
    k400 = make_catalog("kinetics400", [f"old {number}" for number in range(20)])
    k600 = make_catalog(
        "kinetics600",
        [f"old {number}" for number in range(5)] + [f"new {number}" for number in range(220)],
        1,
    )
    made = made_across("kinetics220-1", k600, k400)
    assert made.name == "Kinetics-220, own split 1 of 220 new classes" and (
        len(made.validation),
        len(made.unseen),
        len(made.seen),
    ) == (60, 160, 20)
    assert all(name.startswith("new") for name in made.unseen + made.validation) and all(
        name.startswith("old") for name in made.seen
    )
    with pytest.raises(
        ValueError,
        match="Kinetics-220 needs 220 classes with usable clips that are new in Kinetics-600, got 16 of 16",
    ):
        made_across("kinetics220-0")


@pytest.mark.parametrize("name", ["stratified-0", "random-0", "intra-0"])
def test_generalised_within(name):
    plain, made = made_within(name), made_within(f"generalised-{name}")
    assert (
        made.generalised
        and made.candidates == made.seen + made.unseen
        and made.name == f"{plain.name}, generalised"
    )
    assert made == dataclasses.replace(plain, name=made.name, generalised=True) and made.hash != plain.hash


def test_generalised_across():
    made = made_across("generalised-half-0")
    assert (
        made.generalised
        and made.seen_test_clips
        and made.name == "half-classes, cross-dataset, split 0, generalised"
    )


def test_a_class_of_both_datasets_must_be_removed():
    with pytest.raises(
        ValueError,
        match=r"a class must not be trained and tested on, 10 are in both datasets \(class 00, .*; run the leakage audit",
    ):
        made_across("all", SMALL, LISTED)


def test_a_drawn_class_without_clips_is_named():
    # the published splits count all classes of the dataset, so that a gap in the videos does not change them
    gap = dataclasses.replace(
        SMALL, clips=SMALL.clips[SMALL.clips["class"] != made_across("half-0").unseen[0]]
    )
    with pytest.raises(
        ValueError,
        match=f"every class of a protocol needs a readable clip, '{made_across('half-0').unseen[0]}' has none",
    ):
        made_across("half-0", gap)


@pytest.mark.parametrize("kind", WITHIN)
def test_a_protocol_within_one_dataset_refuses_another(kind):
    name = f"{kind}-0" if kind in NUMBERED else kind
    with pytest.raises(
        ValueError,
        match=f"the protocol '{name}' trains and tests on one dataset, got other; set train_on accordingly",
    ):
        made_across(name)


@pytest.mark.parametrize("kind", CROSS)
def test_a_protocol_across_datasets_needs_another(kind):
    name = f"generalised-{kind}-0" if kind in NUMBERED else f"generalised-{kind}"
    with pytest.raises(
        ValueError,
        match=f"the protocol '{name}' needs a dataset to train on, got none; set train_on accordingly",
    ):
        made_within(name)
