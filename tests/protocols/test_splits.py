"""zsar_lab.protocols.splits: every named protocol, its splits as literal lists, and what is refused."""

from __future__ import annotations

from dataclasses import astuple, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from official_files import HMDB51_CLASSES, UCF101_CLASSES

from zsar_lab.protocols.build import (
    NO_PART,
    SEEN_TEST_GROUP,
    account,
    class_order,
    half_split,
    published,
)
from zsar_lab.protocols.protocol import Protocol, ProtocolError, generalised
from zsar_lab.protocols.splits import (
    PROTOCOLS,
    TEST_DATA_GROUP,
    ProtocolData,
    ProtocolName,
    kinetics220_of_lists,
    list_protocols,
    protocol_named,
)
from zsar_lab.text.prompts import Templates

DEMO_CLASSES = pd.read_csv(Path(__file__).parents[2] / "data" / "demo" / "classes.csv").fillna("")


def table(names: list[str], prefix: str = "", n_clips: int = 5) -> pd.DataFrame:
    """Clips of a made-up catalog; every two clips of a class come from one source."""
    rows = [(f"{prefix}{c}/{n}", c, f"{prefix}{c} {n // 2}", "") for c in names for n in range(n_clips)]
    return pd.DataFrame(rows, columns=["id", "class", "group", "splits"])


def all_clips(protocol: Protocol) -> list[str]:
    return sorted(clip for ids in protocol.roles.values() for clip in ids)


# family a has 5 classes, b and c 4, d 3: too few to give one away
FAMILIES = [(f"{f}{n}", f) for f, size in {"a": 5, "b": 4, "c": 4, "d": 3}.items() for n in range(size)]
CLASSES = pd.DataFrame(FAMILIES, columns=["name", "family"])
CLIPS = table(CLASSES["name"].tolist())[["id", "class"]]
SMALL = ProtocolData(CLIPS, CLASSES, "small")
KINETICS, UCF = table([f"k{n:02}" for n in range(30)], "K "), table([f"u{n:02}" for n in range(11)], "U ")
CROSS = ProtocolData(UCF, None, "ucf101", KINETICS, "kinetics700")
UCF_NAMES = class_order(set(UCF["class"]))


WITHOUT_U00 = replace(CROSS, clips=UCF[UCF["class"] != "u00"])
SHARED = replace(CROSS, train_clips=pd.concat([KINETICS, table(["u03", "u07"], "K ")]))
# one clip in no list, every other in the test list of one of three splits
WORDS = [" ".join("train test".split()[(n + k) % 3 == 0] for k in range(3)) for n in range(len(UCF))]
LISTED = replace(CROSS, clips=UCF.assign(splits=["", *WORDS[1:]]))


def with_source(clips: pd.DataFrame, *ids: str) -> pd.DataFrame:
    """The clips, with these from one and the same video."""
    return clips.assign(group=clips["group"].mask(clips["id"].isin(ids), "youtube:x"))


def kinetics_pair(n_new: int) -> ProtocolData:
    """30 classes of Kinetics-400, and Kinetics-600 with 20 of them, two in a new spelling, and new ones."""
    k400 = table([f"old class {n:02}" for n in range(30)]).assign(splits="train")
    spelt = table(["Old_Class_20", "old class (21)"])
    same = k400[k400["class"] < "old class 20"]
    new = table([f"new {n:03}" for n in range(n_new)])
    return ProtocolData(pd.concat([same, table(["old class 00"], "later "), spelt, new]), None, "k600", k400)


def accounted(protocol: Protocol, *tables: pd.DataFrame) -> pd.DataFrame:
    found = account(protocol, *(clips.assign(status="ok", reason="") for clips in tables))
    assert len(found) == sum(map(len, tables))
    return found.set_index("id")


@pytest.mark.parametrize(
    ("name", "parts", "family", "training"),
    [
        ("stratified-0", ("stratified", 0, False), "stratified", "stratified-0"),
        ("random-12", ("random", 12, False), "random", "random-12"),
        ("folds-5-7", ("folds", 7, False, 5), "folds-5", "folds-5-7"),
        ("generalised-folds-3-0", ("folds", 0, True, 3), "generalised-folds-3", "folds-3-0"),
        ("file-2", ("file", 2, False), "file", "file-2"),
        ("intra-49", ("intra", 49, False), "intra", "intra-49"),
        ("truze", ("truze", None, False), "truze", "truze"),
        ("half-9", ("half", 9, False), "half", "other dataset"),
        ("all", ("all", None, False), "all", "other dataset"),
        ("official-3", ("official", 3, False), "official", "other dataset"),
        ("mveb", ("mveb", None, False), "mveb", "other dataset"),
        ("kinetics220-1", ("kinetics220", 1, False), "kinetics220", "kinetics220-1"),
        ("generalised-truze", ("truze", None, True), "generalised-truze", "truze"),
        ("generalised-half-0", ("half", 0, True), "generalised-half", "other dataset"),
        ("generalised-intra-2", ("intra", 2, True), "generalised-intra", "intra-2"),
    ],
)
def test_a_name_taken_apart(name, parts, family, training):
    asked = ProtocolName.of(name)
    assert astuple(asked) == (*parts, None)[:4] and (asked.family, asked.training) == (family, training)
    assert asked.is_cross_dataset == (asked.kind in ("half", "all", "official", "mveb", "kinetics220"))


BAD_NAMES = """half half- half-x half--1 half-1.0 Half-1 half-01 half-٣ truze-0 all-1 intra kinetics220
folds folds-5 folds-5-01 folds-5-1-1 random-5-1 truze-
kinetics400-0 generalised- generalised generalised-half generalised-generalised-all
generalised-all-generalised seen""".split()


@pytest.mark.parametrize("name", ["", " half-1", "half-1\n", *BAD_NAMES])
def test_a_bad_name_is_refused(name):
    with pytest.raises(ProtocolError, match="stratified-N.*truze.*kinetics220-N"):
        ProtocolName.of(name)


def test_every_protocol_is_listed_and_refuses_data_that_it_is_not_for():
    listed = list_protocols()
    for form, (name, kind) in zip(listed.index, PROTOCOLS.items(), strict=True):
        asked = form.replace("-K", "-3").replace("-N", "-1")
        assert ProtocolName.of(asked).kind == name and listed.loc[form, "label"] == kind.label
        got, data = ("none", SMALL) if kind.crosses else ("kinetics700", CROSS)
        with pytest.raises(ProtocolError, match=f"'generalised-{asked}' .*got {got} as train_on"):
            protocol_named(f"generalised-{asked}", data)


# the demo's splits, as literal lists: its published figures rest on them
SPLITS = {
    "stratified-0": ("a1 b1 c0", "a4 b3 c1", "a0/2 a2/4 a3/0 b0/3 b2/4 c2/4 c3/2 d0/3 d1/4 d2/4"),
    "stratified-1": ("a1 b2 c0", "a4 b3 c2", "a0/4 a2/3 a3/2 b0/1 b1/3 c1/1 c3/4 d0/0 d1/3 d2/2"),
    "stratified-2": ("a0 b1 c0", "a2 b2 c1", "a1/2 a3/2 a4/4 b0/4 b3/3 c2/2 c3/1 d0/1 d1/0 d2/1"),
    "random-0": ("a0 a1 a2 b0", "b3 c1 d1", "a3/2 a4/4 b1/0 b2/3 c0/4 c2/4 c3/2 d0/3 d2/4"),
    "random-1": ("a0 b3 c0 d0", "a3 b0 b1", "a1/4 a2/3 a4/2 b2/1 c1/3 c2/1 c3/4 d1/0 d2/3"),
    "random-2": ("a1 a3 d1 d2", "c0 c1 c2", "a0/2 a2/2 a4/4 b0/4 b1/3 b2/2 b3/1 c3/1 d0/0"),
}
DEMO_UNSEEN = """\
Backstroke ClimbingStairs CricketShot Digging Jogging LegRaises Lunges PlayingGuitar SkippingRope TennisServe
BaseballSwing Breaststroke ChoppingWood Clapping ClimbingStairs JavelinThrow Jogging JumpingJacks Lunges MountainClimbers
BodyWeightSquats Breaststroke Clapping ClimbingLadder HoppingOnOneLeg JavelinThrow PushUps Sweeping TennisBackhand TiptoeWalking
BarbellSquats Clapping ClimbingStairs Crawling Digging HockeyShot HoppingOnOneLeg Kayaking Sprinting TennisServe
ChoppingWood ClimbingStairs FrontCrawl HockeyShot Jogging PlayingViolin SitUps SittingDown TrampolineJumping VolleyballSpike
""".splitlines()  # noqa: E501


@pytest.mark.parametrize("name", SPLITS)
def test_the_splits_of_a_number_stay_what_they_were(name):
    kind, number = name.split("-")
    options = {"n_unseen": 4, "n_validation": 3} if kind == "random" else {}
    for clips in (CLIPS, CLIPS.assign(group=""), CLIPS[::-1]):
        made = protocol_named(name, ProtocolData(clips, CLASSES[::-1]), **options)
        lists = tuple(" ".join(part) for part in (made.unseen, made.validation, made.seen_test_clips))
        assert lists == SPLITS[name] and all_clips(made) == sorted(CLIPS["id"])
    assert kind in made.name and made.name.endswith(number)


@pytest.mark.parametrize("number", range(5))
def test_the_unseen_classes_of_the_demo_stay_what_they_were(number):
    data = ProtocolData(table(DEMO_CLASSES["name"].tolist(), n_clips=3), DEMO_CLASSES)
    assert protocol_named(f"stratified-{number}", data).unseen == tuple(DEMO_UNSEEN[number].split())


def test_the_family_split_takes_one_unseen_and_one_validation_class_from_each_large_family():
    unseen = set()
    for number in range(25):
        made = protocol_named(f"stratified-{number}", SMALL)
        assert [name[0] for name in made.unseen] == ["a", "b", "c"] == [name[0] for name in made.validation]
        unseen |= set(made.unseen)
    assert unseen == {name for name in CLASSES["name"] if name[0] in "abc"}
    # a class without clips does not count for its family, and leaves three classes in b
    fewer = ProtocolData(CLIPS[CLIPS["class"] != "b3"], CLASSES)
    assert [name[0] for name in protocol_named("stratified-0", fewer).unseen] == ["a", "c"]


@pytest.mark.parametrize(
    ("name", "n_classes", "options", "counts"),
    [
        ("random-0", 16, {}, (4, 4, 8)),
        ("random-0", 16, {"n_unseen": 4, "n_validation": 3}, (4, 3, 9)),
        ("random-0", 16, {"n_validation": 0}, (4, 0, 12)),
        ("intra-3", 101, {"n_validation": 4}, (50, 4, 47)),
        ("intra-3", 51, {"n_validation": 4}, (25, 4, 22)),
    ],
)
def test_random_and_own_splits_within_a_dataset(name, n_classes, options, counts):
    names = [f"c{n:03}" for n in range(n_classes)]
    made = protocol_named(name, ProtocolData(table(names), name="ucf101"), **options)
    assert (len(made.unseen), len(made.validation), len(made.seen)) == counts
    assert (made.train_data, made.test_data) == ("ucf101", "ucf101")
    if name == "intra-3":
        assert made.unseen == tuple(sorted(names[i] for i in half_split(n_classes, 3)))


@pytest.mark.parametrize(("name", "data"), [("stratified", SMALL), ("intra", SMALL), ("half", CROSS)])
def test_splits_repeat_by_number_and_differ_across_numbers(name, data):
    made = [protocol_named(f"{name}-{n}", data) for n in range(6)]
    assert made[2] == protocol_named(f"{name}-2", replace(data, clips=data.clips[::-1]))
    assert len({protocol.unseen for protocol in made}) > 2 and len({protocol.hash for protocol in made}) == 6
    variant = protocol_named(f"generalised-{name}-2", data)
    assert variant == generalised(made[2]) and variant.hash != made[2].hash


@pytest.mark.parametrize(("n_classes", "n_unseen"), [(101, 50), (51, 25), (200, 100)])
def test_the_half_split_is_the_published_one_and_leaves_the_global_seed_alone(n_classes, n_unseen):
    for split in range(10):
        before = np.random.get_state()[1].tolist()  # noqa: NPY002
        found = half_split(n_classes, split)
        assert before == np.random.get_state()[1].tolist()  # noqa: NPY002
        by_numpy = np.random.RandomState()  # as `np.random.seed` and `np.random.permutation`
        by_numpy.seed(split)
        assert found == by_numpy.permutation(n_classes)[: n_classes // 2].tolist()
        assert len(set(found)) == n_unseen
    for arguments in ((3, 0), (101, -1)):
        with pytest.raises(ProtocolError, match="got {} and N {}".format(*arguments)):
            half_split(*arguments)
    names = ["HammerThrow", "Hammering", "JumpRope", "JumpingJack", "brush_hair", "Ärger"]
    assert class_order(reversed(names)) == names  # by code point


def test_half_classes_across_datasets():
    made = [protocol_named(f"half-{split}", CROSS) for split in range(10)]
    for split, protocol in enumerate(made):
        assert protocol.unseen == tuple(sorted(UCF_NAMES[i] for i in half_split(11, split)))
        assert protocol.test_clips == tuple(UCF["id"][UCF["class"].isin(protocol.unseen)])
        assert set(accounted(protocol, KINETICS, UCF)["reason"]) == {"", NO_PART}
    assert (made[0].train_data, made[0].test_data) == ("kinetics700", "ucf101")
    assert "own" not in made[9].name and "own" in protocol_named("half-10", CROSS).name
    # one training serves all splits
    assert len({p.training_hash for p in made}) == 1 and len({p.hash for p in made}) == 10
    assert (len(made[0].seen), len(made[0].validation)) == (27, 3)
    assert protocol_named("half-0", CROSS, n_validation=0).validation == ()
    assert protocol_named("half-0", CROSS, seen_test_share=0).seen_test_clips == ()
    assert protocol_named("half-0", CROSS, seed=1).validation != made[0].validation
    both = protocol_named("half-0", CROSS, generalised=True, views=25, average="mean_class")
    assert (both.generalised, both.views, both.average) == (True, 25, "mean_class")
    assert len(both.candidates) == 27 + 5


def test_the_published_splits_count_classes_without_clips_too():
    partly = replace(WITHOUT_U00, classes=pd.DataFrame({"name": UCF_NAMES}))
    for split in range(6):
        name = f"half-{split}"
        if 0 in half_split(11, split):
            with pytest.raises(ProtocolError, match="'u00' has none"):
                protocol_named(name, partly)
        else:
            assert protocol_named(name, partly).unseen == protocol_named(name, CROSS).unseen


def test_an_official_split_takes_its_test_list_and_leaves_the_others_out():
    tested = []
    for split in (1, 2, 3):
        made = protocol_named(f"official-{split}", LISTED)
        rows = LISTED.clips["splits"].str.split()
        of_list = [clip for clip, row in zip(UCF["id"], rows) if row and row[split - 1] == "test"]
        assert list(made.test_clips) == of_list and made.unseen == tuple(UCF_NAMES)
        assert {reason for _, reason in made.left_out} == {f"not in the official test list {split}"}
        roles = accounted(made, LISTED.clips)["role"]
        assert (roles == "left out").sum() == len(UCF) - len(of_list)
        tested += of_list
    assert sorted(tested) == sorted(UCF["id"][1:])


@pytest.mark.parametrize("name", ["half-0", "all"])
def test_a_removed_class_of_both_datasets(name):
    made = protocol_named(name, SHARED, removed=["u07", "u03", "k05"], removed_rule="the same name")
    assert made.removed == ("k05", "u03", "u07") and "k05" not in made.seen + made.validation
    found = accounted(made, SHARED.train_clips, UCF)
    reasons = set(found.loc[["K u03/0", "K u07/4", "K k05/1"], "reason"])
    assert reasons == {"its class was removed by the same name"}
    for label in ("u03", "u07"):  # the removed class's namesake in the test data
        expected = ("test", "") if label in made.unseen else ("left out", NO_PART)
        assert tuple(found.loc[f"U {label}/0", ["role", "reason"]]) == expected


def test_a_training_clip_of_a_test_source_is_left_out():
    training, testing = with_source(KINETICS, "K k04/2"), with_source(UCF, "U u06/1")
    for split in range(4):  # whether the class of the test clip is unseen or not
        made = protocol_named(f"half-{split}", replace(CROSS, clips=testing, train_clips=training))
        assert made.left_out == (("K k04/2", TEST_DATA_GROUP),) and "K k04/2" not in all_clips(made)


def test_official_lists_of_the_training_data_are_kept():
    words = KINETICS["id"].str[-1].map({"0": "train", "1": "train", "2": "val", "3": "test", "4": ""})
    training = KINETICS.assign(splits=words, group="")
    made = protocol_named("all", replace(CROSS, train_clips=training))
    of_seen = training[training["class"].isin(made.seen)]
    assert set(made.train_clips) == set(of_seen["id"][of_seen["splits"] == "train"])
    assert set(made.seen_test_clips) == set(of_seen["id"][of_seen["splits"] == "val"])
    of_lists = {"in the test list of the training data", "in no list of the training data"}
    assert {reason for _, reason in made.left_out} == of_lists and len(made.left_out) == 2 * 30
    accounted(made, training, UCF)
    # a source of a val clip is not trained on
    one = f"K {made.seen[0]}/1"
    made = protocol_named("all", replace(CROSS, train_clips=with_source(training, one, one[:-1] + "2")))
    assert (one, SEEN_TEST_GROUP) in made.left_out
    # without a val list clips are held out by groups
    made = protocol_named("all", replace(CROSS, train_clips=KINETICS.assign(splits="train")))
    assert {clip.split("/")[0][2:] for clip in made.seen_test_clips} == set(made.seen) and not made.left_out


@pytest.mark.parametrize(
    ("dataset", "names", "name"),
    [("ucf101", UCF101_CLASSES, "TruZe 70/31 (UCF101)"), ("hmdb51", HMDB51_CLASSES, "TruZe 29/22 (HMDB51)")],
)
def test_truze(dataset, names, name):
    unseen, n = published("truze")[dataset]["unseen"], len(names)
    assert len(set(unseen)) == len(unseen) == {"ucf101": 31, "hmdb51": 22}[dataset]
    made = protocol_named("truze", ProtocolData(table(names), name=dataset), n_validation=5)
    assert made.name == name and made.unseen == tuple(sorted(unseen))
    others = [label for label in names if label not in unseen]
    for wrong, words in (
        ([*others, *unseen[1:]], f"got {n - 1} classes, .* lacking {unseen[0]}$"),
        ([*others, *unseen[2:], "x", "y"], f"got {n} classes, .* lacking {unseen[0]}, {unseen[1]}$"),
        ([*names, "x"], f"got {n + 1} classes"),
    ):
        with pytest.raises(ProtocolError, match=words):
            protocol_named("truze", ProtocolData(table(wrong), name=dataset))


@pytest.mark.parametrize(("dataset", "names"), [("ucf101", UCF101_CLASSES), ("hmdb51", HMDB51_CLASSES)])
def test_mveb(dataset, names):
    unseen = published("mveb")[dataset]["unseen"]
    assert len(set(unseen)) == 51 and list(unseen) == class_order(unseen) and set(unseen) <= set(names)
    texts = Templates(("a video of {spaced_name}",))(pd.DataFrame({"name": unseen}))
    assert sum(map(len, texts)) == {"ucf101": 1154, "hmdb51": 887}[dataset]  # in mteb's shipped statistics
    assert ("a video of HammerThrow" if dataset == "ucf101" else "a video of brush hair") in texts
    clips = table(names).assign(splits=["test" if n % 5 < 2 else "train" for n in range(5 * len(names))])
    data = ProtocolData(clips, name=dataset, train_name="elsewhere")
    made = protocol_named("mveb", data)
    assert made.unseen == unseen and len(made.test_clips) == 2 * 51 and not made.seen
    assert (made.ties, made.prompt) == ("first", "a video of {spaced_name}") and "102 of its 1," in made.name
    said = " ".join(str(made).split())
    assert "Ties: of tied classes the first" in said and "Frames: first to last" in said
    assert made.hash != protocol_named("mveb", data, ties="wrong").hash
    for wrong, error in (
        (replace(data, name="other"), "'ucf101' and 'hmdb51', got 'other'"),
        (replace(data, clips=clips[clips["class"] != unseen[3]]), f"1 have none: '{unseen[3]}'"),
        (replace(data, train_clips=KINETICS, train_name="kinetics700"), "got kinetics700"),
    ):
        with pytest.raises(ProtocolError, match=error):
            protocol_named("mveb", wrong)


def test_kinetics220_by_lists():
    data = kinetics_pair(8)
    validation, unseen = ["new 000", "new 001"], ["new 002", "new 003", "new 004"]
    made = kinetics220_of_lists(data, validation, unseen)
    assert (len(made.seen), list(made.validation), list(made.unseen)) == (30, validation, unseen)
    assert made.test_clips == tuple(data.clips["id"][data.clips["class"].isin(unseen)])
    old = {clip: reason for clip, reason in made.left_out if "new classes" in reason}
    names = ("later old class 00", "Old_Class_20", "old class (21)")
    assert set(old) == {f"{name}/{n}" for name in names for n in range(5)} == set(dict(made.left_out))
    assert accounted(made, data.train_clips, data.clips).loc["new 005/0", "reason"] == NO_PART
    for wrong, words in (
        (["new 002", "Old_Class_20"], "'Old_Class_20' is an old"),
        (["new 002", "new 999"], "'new 999' is without"),
        (["new 000", "new 003"], "'new 000' is in validation and in unseen"),
    ):
        with pytest.raises(ProtocolError, match=words):
            kinetics220_of_lists(data, validation, wrong)
    # a training clip of a test video
    k600, k400 = with_source(data.clips, "new 007/0"), with_source(data.train_clips, "old class 05/0")
    made = kinetics220_of_lists(replace(data, clips=k600, train_clips=k400), validation, unseen)
    assert ("old class 05/0", TEST_DATA_GROUP) in made.left_out


def test_an_own_split_of_kinetics220():
    data = kinetics_pair(225)
    made = protocol_named("kinetics220-3", data)
    assert "own split 3 of 225" in made.name and (len(made.validation), len(made.unseen)) == (60, 160)
    assert all(name.startswith("new ") for name in made.validation + made.unseen)
    assert made.hash == protocol_named("kinetics220-3", replace(data, clips=data.clips[::-1])).hash
    assert made.hash != protocol_named("kinetics220-4", data).hash


def cross(clips: pd.DataFrame = UCF, names: list[str] | None = None) -> ProtocolData:
    return replace(CROSS, clips=clips, classes=None if names is None else pd.DataFrame({"name": names}))


@pytest.mark.parametrize(
    ("name", "data", "options", "words"),
    [
        ("stratified-0", ProtocolData(CLIPS, CLASSES[["name"]]), {}, "family"),
        ("stratified-0", ProtocolData(CLIPS, CLASSES[CLASSES["family"] == "a"]), {}, "got 1"),
        ("random-0", ProtocolData(CLIPS[:15]), {}, "of 3 classes"),
        ("random-0", SMALL, {"n_unseen": 10, "n_validation": 5}, "10 unseen and 5 validation of 16"),
        ("random-0", SMALL, {"n_unseen": 1, "n_validation": 0}, "1 unseen and 0 validation of 16"),
        ("random-0", SMALL, {"n_unseen": 0, "n_validation": 3}, "0 unseen and 3 validation of 16"),
        ("truze", ProtocolData(table(UCF101_CLASSES), name="UCF"), {}, "got 'UCF'"),
        ("half-0", cross(names=UCF_NAMES[:-1]), {}, "got 10, 'u10'"),
        ("half-0", cross(names=[*UCF_NAMES, "u00"]), {}, "got 12"),
        ("official-0", LISTED, {}, "got 0"),
        ("official-4", LISTED, {}, "got 4"),
        ("official-2", CROSS, {}, "list 2 "),
        ("official-2", cross(UCF.drop(columns="splits")), {}, "list 2 "),
        ("official-2", cross(UCF.assign(splits="train train train")), {}, "list 2 "),
        ("half-0", SHARED, {}, r"2 are .*\(u03, u07\)"),
        ("all", SHARED, {"removed": ["u03"]}, r"1 are .*\(u07\)"),
        ("all", replace(CROSS, train_clips=pd.concat([KINETICS, UCF])), {"removed": UCF_NAMES}, "'U u00/0'"),
        ("kinetics220-0", kinetics_pair(219), {}, "got 219 of 241"),
    ],
)
def test_data_that_a_protocol_cannot_be_made_of_are_refused(name, data, options, words):
    with pytest.raises(ProtocolError, match=words):
        protocol_named(name, data, **options)
