"""zsar_lab.protocols: splits that stay what they were, and the published kinds of protocol within and across datasets."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from zsar_lab.protocols.build import account
from zsar_lab.protocols.protocol import Protocol, generalised
from zsar_lab.protocols.split_files import read_class_splits
from zsar_lab.protocols.splits import (
    TRUZE,
    all_classes,
    class_order,
    cross_dataset,
    family_stratified_split,
    half_classes,
    half_split,
    intra_dataset_from_file,
    intra_dataset_split,
    kinetics220,
    kinetics220_split,
    official_split,
    random_split,
    truze,
    validation_split,
)

# family a has 5 classes, b and c 4, d 3: too few to give one away
FAMILY_SIZES = {"a": 5, "b": 4, "c": 4, "d": 3}
CLASSES = pd.DataFrame(
    [(f"{family}{n}", family) for family, size in FAMILY_SIZES.items() for n in range(size)],
    columns=["name", "family"],
)
CLIPS = pd.DataFrame(
    [(f"{name}/{n}", name) for name in CLASSES["name"] for n in range(5)], columns=["id", "class"]
)
DEMO_CLASSES = pd.read_csv(Path(__file__).parents[2] / "data" / "demo" / "classes.csv").fillna("")


def table(names: list[str], prefix: str, n_clips: int = 5) -> pd.DataFrame:
    """Clips of a made-up catalog; every two clips of a class come from one source."""
    rows = [
        (f"{prefix}{name}/{n}", name, f"{prefix}{name} {n // 2}", "")
        for name in names
        for n in range(n_clips)
    ]
    return pd.DataFrame(rows, columns=["id", "class", "group", "splits"])


def all_rows(*tables: pd.DataFrame) -> list[pd.DataFrame]:
    return [clips.assign(status="ok", reason="") for clips in tables]


def all_clips(protocol: Protocol) -> list[str]:
    return sorted(clip for ids in protocol.roles.values() for clip in ids)


KINETICS = table([f"k{n:02}" for n in range(30)], "K ")
UCF = table([f"u{n:02}" for n in range(11)], "U ")


# the demo's splits, as literal lists: its published figures rest on them
STRATIFIED = {
    0: (
        ("a1", "b1", "c0"),
        ("a4", "b3", "c1"),
        ("a0/2", "a2/4", "a3/0", "b0/3", "b2/4", "c2/4", "c3/2", "d0/3", "d1/4", "d2/4"),
    ),
    1: (
        ("a1", "b2", "c0"),
        ("a4", "b3", "c2"),
        ("a0/4", "a2/3", "a3/2", "b0/1", "b1/3", "c1/1", "c3/4", "d0/0", "d1/3", "d2/2"),
    ),
    2: (
        ("a0", "b1", "c0"),
        ("a2", "b2", "c1"),
        ("a1/2", "a3/2", "a4/4", "b0/4", "b3/3", "c2/2", "c3/1", "d0/1", "d1/0", "d2/1"),
    ),
}
RANDOM = {
    0: (
        ("a0", "a1", "a2", "b0"),
        ("b3", "c1", "d1"),
        ("a3/2", "a4/4", "b1/0", "b2/3", "c0/4", "c2/4", "c3/2", "d0/3", "d2/4"),
    ),
    1: (
        ("a0", "b3", "c0", "d0"),
        ("a3", "b0", "b1"),
        ("a1/4", "a2/3", "a4/2", "b2/1", "c1/3", "c2/1", "c3/4", "d1/0", "d2/3"),
    ),
    2: (
        ("a1", "a3", "d1", "d2"),
        ("c0", "c1", "c2"),
        ("a0/2", "a2/2", "a4/4", "b0/4", "b1/3", "b2/2", "b3/1", "c3/1", "d0/0"),
    ),
}
DEMO_UNSEEN = {
    0: "Backstroke ClimbingStairs CricketShot Digging Jogging LegRaises Lunges PlayingGuitar SkippingRope TennisServe",
    1: "BaseballSwing Breaststroke ChoppingWood Clapping ClimbingStairs JavelinThrow Jogging JumpingJacks Lunges MountainClimbers",
    2: "BodyWeightSquats Breaststroke Clapping ClimbingLadder HoppingOnOneLeg JavelinThrow PushUps Sweeping TennisBackhand TiptoeWalking",
    3: "BarbellSquats Clapping ClimbingStairs Crawling Digging HockeyShot HoppingOnOneLeg Kayaking Sprinting TennisServe",
    4: "ChoppingWood ClimbingStairs FrontCrawl HockeyShot Jogging PlayingViolin SitUps SittingDown TrampolineJumping VolleyballSpike",
}


@pytest.mark.parametrize("split", range(3))
def test_the_splits_of_a_number_stay_what_they_were(split):
    for clips in (CLIPS, CLIPS.assign(group="")):
        for made, expected in (
            (family_stratified_split(clips, CLASSES, split), STRATIFIED[split]),
            (random_split(clips, split, 4, 3), RANDOM[split]),
        ):
            assert (made.unseen, made.validation, made.seen_test_clips) == expected


@pytest.mark.parametrize("split", range(5))
def test_the_unseen_classes_of_the_demo_stay_what_they_were(split):
    clips = pd.DataFrame(
        [(f"{name}/{n}", name) for name in DEMO_CLASSES["name"] for n in range(3)], columns=["id", "class"]
    )
    assert family_stratified_split(clips, DEMO_CLASSES, split).unseen == tuple(DEMO_UNSEEN[split].split())


def test_the_family_split_takes_one_unseen_and_one_validation_class_from_each_large_family():
    for split in range(8):
        made = family_stratified_split(CLIPS, CLASSES, split)
        assert [name[0] for name in made.unseen] == ["a", "b", "c"] == [name[0] for name in made.validation]
        assert made.test_clips == tuple(f"{name}/{n}" for name in made.unseen for n in range(5))
        assert all_clips(made) == sorted(CLIPS["id"])


def test_splits_repeat_by_number_and_differ_across_numbers():
    for drawn in (
        lambda n: family_stratified_split(CLIPS, CLASSES, n),
        lambda n: random_split(CLIPS, n, 4, 3),
        lambda n: intra_dataset_split(CLIPS, n),
    ):
        assert drawn(1) == drawn(1)
        assert len({drawn(n).unseen for n in range(6)}) > 2
        assert drawn(0).hash != drawn(1).hash
    # the order of the rows is not what is drawn from
    assert family_stratified_split(CLIPS[::-1], CLASSES[::-1], 2) == family_stratified_split(
        CLIPS, CLASSES, 2
    )
    assert random_split(CLIPS[::-1], 2, 4, 3) == random_split(CLIPS, 2, 4, 3)
    assert half_classes(KINETICS[::-1], UCF[::-1], 2) == half_classes(KINETICS, UCF, 2)


def test_every_class_of_a_large_family_is_drawn_at_some_time():
    drawn = {name for n in range(25) for name in family_stratified_split(CLIPS, CLASSES, n).unseen}
    assert drawn == {name for name in CLASSES["name"] if name[0] in "abc"}


def test_a_class_without_clips_does_not_count_for_its_family():
    made = family_stratified_split(
        CLIPS[CLIPS["class"] != "b3"], CLASSES, 0
    )  # leaves three classes in family b
    assert [name[0] for name in made.unseen] == ["a", "c"]


def test_a_family_split_needs_families():
    with pytest.raises(ValueError, match="needs the column 'family' in classes.csv"):
        family_stratified_split(CLIPS, CLASSES[["name"]], 0)
    with pytest.raises(
        ValueError, match="at least 2 families of 4 classes or more, got 1; use random splits only"
    ):
        family_stratified_split(CLIPS, CLASSES[CLASSES["family"].isin(["a", "d"])], 0)


def test_the_random_split():
    made = random_split(CLIPS, 0, n_unseen=4, n_validation=3)
    assert (len(made.unseen), len(made.validation), len(made.seen)) == (4, 3, 9)
    assert made.test_clips == tuple(f"{name}/{n}" for name in made.unseen for n in range(5))
    assert all_clips(made) == sorted(CLIPS["id"])
    by_default = random_split(CLIPS, 0)
    assert len(by_default.unseen) >= 2 and len(by_default.seen) >= 2
    assert all_clips(by_default) == sorted(CLIPS["id"])
    assert random_split(CLIPS, 0, n_unseen=4, n_validation=0).validation == ()


@pytest.mark.parametrize(("n_unseen", "n_validation"), [(10, 5), (1, 0), (0, 3)])
def test_a_random_split_of_too_few_classes_is_refused(n_unseen, n_validation):
    with pytest.raises(
        ValueError, match=f"got {n_unseen} unseen and {n_validation} validation of 16 classes; add classes"
    ):
        random_split(CLIPS, 0, n_unseen, n_validation)
    with pytest.raises(
        ValueError, match="needs 2 unseen and 2 seen classes or more .* of 3 classes; add classes"
    ):
        random_split(CLIPS[CLIPS["class"].isin(["a0", "a1", "a2"])], 0)


@pytest.mark.parametrize(("n_classes", "n_unseen"), [(101, 50), (51, 25), (200, 100)])
def test_the_half_split_is_the_published_one_and_leaves_the_global_seed_alone(n_classes, n_unseen):
    for split in range(10):
        before = np.random.get_state()
        found = half_split(n_classes, split)
        assert all(np.array_equal(one, other) for one, other in zip(before, np.random.get_state()))
        np.random.seed(split)
        assert found == np.random.permutation(n_classes)[: n_classes // 2].tolist()
        np.random.set_state(before)
        assert len(set(found)) == n_unseen


def test_a_half_split_needs_classes_and_a_number():
    for arguments in ((3, 0), (101, -1)):
        with pytest.raises(
            ValueError,
            match="needs 4 classes or more and a split's number from 0, got {} classes and split {}".format(
                *arguments
            ),
        ):
            half_split(*arguments)


def test_the_class_order_is_by_code_point():
    assert class_order(["brush_hair", "Hammering", "JumpRope", "HammerThrow", "JumpingJack", "Ärger"]) == [
        "HammerThrow",
        "Hammering",
        "JumpRope",
        "JumpingJack",
        "brush_hair",
        "Ärger",
    ]


def test_the_validation_split():
    names = [f"k{n:03}" for n in range(60)]
    drawn = validation_split(names, None, 0)
    assert len(drawn) == 6 and drawn == sorted(drawn) == validation_split(
        names[::-1], None, 0
    ) != validation_split(names, None, 1)
    assert (
        len(validation_split(names[:5], None, 0)) == 2
        and validation_split(names, 0, 0) == []
        and len(validation_split(names, 58, 0)) == 58
    )
    for number in (1, -2, 59):
        with pytest.raises(
            ValueError,
            match=f"n_validation must be 0, or 2 and more with 2 classes left to train on, got {number} of 60",
        ):
            validation_split(names, number, 0)


def test_half_classes_across_datasets():
    made = [
        half_classes(KINETICS, UCF, split, train_data="kinetics700", test_data="ucf101")
        for split in range(10)
    ]
    names = class_order(set(UCF["class"]))
    for split, protocol in enumerate(made):
        assert (
            protocol.unseen == tuple(sorted(names[i] for i in half_split(11, split)))
            and len(protocol.unseen) == 5
        )
        assert protocol.test_clips == tuple(
            UCF["id"][UCF["class"].isin(protocol.unseen)]
        )  # all clips of the drawn classes
        assert (protocol.name, protocol.test_data) == (
            f"half-classes, cross-dataset, split {split}",
            "ucf101",
        )
        found = account(protocol, *all_rows(KINETICS, UCF))
        assert set(found["reason"]) == {"", "its class takes no part"} and len(found) == len(KINETICS) + len(
            UCF
        )
    # one training serves all splits
    assert (
        len({(p.seen, p.validation, p.train_clips, p.seen_test_clips, p.validation_clips) for p in made}) == 1
    )
    assert len({p.hash for p in made}) == 10
    assert (len(made[0].seen), len(made[0].validation)) == (27, 3)
    assert half_classes(KINETICS, UCF, 0, n_validation=0).validation == ()
    assert half_classes(KINETICS, UCF, 0, seen_test_share=0).seen_test_clips == ()
    assert half_classes(KINETICS, UCF, 0, seed=1).validation != made[0].validation
    made_for_both = half_classes(
        KINETICS,
        UCF,
        0,
        generalised=True,
        views=25,
        average="mean_class",
        train_data="kinetics700",
        test_data="ucf101",
    )
    assert (made_for_both.views, made_for_both.average, len(made_for_both.candidates)) == (
        25,
        "mean_class",
        27 + 5,
    )


def test_the_published_splits_count_classes_without_clips_too():
    names = class_order(set(UCF["class"]))
    partly = UCF[UCF["class"] != "u00"]  # not drawn by the split below, but every place after it would move
    split = next(n for n in range(20) if 0 not in half_split(11, n))
    assert (
        half_classes(KINETICS, partly, split, test_classes=names).unseen
        == half_classes(KINETICS, UCF, split).unseen
    )
    drawn = next(n for n in range(20) if 0 in half_split(11, n))
    with pytest.raises(ValueError, match="every class of a protocol needs a readable clip, 'u00' has none"):
        half_classes(KINETICS, partly, drawn, test_classes=names)
    with pytest.raises(
        ValueError,
        match="must name every class of the test dataset once, got 10 names with 'u10' left out; correct them",
    ):
        half_classes(KINETICS, UCF, 0, test_classes=names[:-1])
    with pytest.raises(ValueError, match="got 12 names with a repeated one"):
        half_classes(KINETICS, UCF, 0, test_classes=[*names, "u00"])


def test_all_classes_across_datasets():
    made = all_classes(KINETICS, UCF)
    assert made.unseen == tuple(class_order(set(UCF["class"]))) and made.test_clips == tuple(UCF["id"])
    assert generalised(made).name == "all-classes (0/100), cross-dataset, generalised"


def test_an_official_split_takes_its_test_list_and_leaves_the_others_out():
    words = [
        " ".join("test" if (n + split) % 3 == 0 else "train" for split in range(3)) for n in range(len(UCF))
    ]
    words[0] = ""  # a clip in no list
    listed = UCF.assign(splits=words)
    made = [official_split(KINETICS, listed, split) for split in (1, 2, 3)]
    for split, protocol in enumerate(made, start=1):
        assert protocol.test_clips == tuple(
            i for i, row in zip(UCF["id"], words) if row and row.split()[split - 1] == "test"
        )
        assert {reason for _, reason in protocol.left_out} == {f"not in the official test list {split}"}
        assert len(protocol.test_clips) + len(protocol.left_out) == len(UCF)
        assert (account(protocol, *all_rows(listed))["role"] == "left out").sum() == len(protocol.left_out)
    assert sorted(clip for protocol in made for clip in protocol.test_clips) == sorted(UCF["id"][1:])
    with pytest.raises(ValueError, match=r"split must be 1, 2 or 3 .*, got 4"):
        official_split(KINETICS, listed, 4)
    for lacking in (UCF, UCF.drop(columns="splits"), UCF.assign(splits="train train train")):
        with pytest.raises(
            ValueError, match="needs a column 'splits' with the word test, list 2 has no clip; catalog"
        ):
            official_split(KINETICS, lacking, 2)


def test_a_class_of_both_datasets_must_be_removed():
    both = pd.concat([KINETICS, table(["u03", "u07"], "K ")])
    for make in (lambda **o: half_classes(both, UCF, 0, **o), lambda **o: all_classes(both, UCF, **o)):
        with pytest.raises(
            ValueError,
            match=r"not be trained and tested on, 2 are in both datasets \(u03, u07\); run the leakage audit",
        ):
            make()
        with pytest.raises(ValueError, match=r"1 are in both datasets \(u07\)"):
            make(removed=["u03"])
        made = make(removed=["u07", "u03", "k05"], removed_rule="the same name")
        assert made.removed == ("k05", "u03", "u07") and "k05" not in made.seen + made.validation
        found = account(made, *all_rows(both, UCF)).set_index("id")
        assert len(found) == len(both) + len(UCF)
        assert set(found.loc[["K u03/0", "K u07/4", "K k05/1"], "reason"]) == {
            "its class was removed by the same name"
        }
        for name in ("u03", "u07"):  # the removed class's namesake in the test data
            expected = ("test", "") if name in made.unseen else ("left out", "its class takes no part")
            assert tuple(found.loc[f"U {name}/0", ["role", "reason"]]) == expected
    with pytest.raises(
        ValueError, match="must stand once in all catalogs of a protocol, 'U u00/0' stands twice"
    ):
        all_classes(pd.concat([KINETICS, UCF.assign(**{"class": "k"})]), UCF)


def test_a_training_clip_of_a_test_source_is_left_out():
    training = KINETICS.assign(group=KINETICS["group"].mask(KINETICS["id"] == "K k04/2", "youtube:x"))
    testing = UCF.assign(group=UCF["group"].mask(UCF["id"] == "U u06/1", "youtube:x"))
    for split in range(4):  # whether the class of the test clip is drawn or not
        made = half_classes(training, testing, split)
        assert made.left_out == (("K k04/2", "held by a source group of a clip of the test data"),)
        assert all_clips(made).count("K k04/2") == 0


def test_official_lists_of_the_training_data_are_kept():
    words = KINETICS["id"].str[-1].map({"0": "train", "1": "train", "2": "val", "3": "test", "4": ""})
    training = KINETICS.assign(splits=words, group="")
    made = all_classes(training, UCF)
    of_seen = training[training["class"].isin(made.seen)]
    assert set(made.train_clips) == set(of_seen["id"][of_seen["splits"] == "train"])
    assert set(made.seen_test_clips) == set(of_seen["id"][of_seen["splits"] == "val"])
    assert {reason for _, reason in made.left_out} == {
        "in the test list of the training data",
        "in no list of the training data",
    }
    assert len(made.left_out) == 2 * 30 and len(account(made, *all_rows(training, UCF))) == len(
        training
    ) + len(UCF)
    # a source of a val clip is not trained on
    grouped = training.assign(
        group=training["group"].mask(
            training["id"].isin([f"K {made.seen[0]}/1", f"K {made.seen[0]}/2"]), "youtube:y"
        )
    )
    assert (f"K {made.seen[0]}/1", "held by a source group of a held-out seen clip") in all_classes(
        grouped, UCF
    ).left_out
    # without a val list clips are held out by groups
    drawn = all_classes(KINETICS.assign(splits="train"), UCF)
    assert {clip.split("/")[0][2:] for clip in drawn.seen_test_clips} == set(
        drawn.seen
    ) and not drawn.left_out


def test_validation_classes_are_given_or_drawn_not_both():
    with pytest.raises(ValueError, match="either given or drawn, got 2 names and n_validation=3; drop one"):
        cross_dataset("x", KINETICS, UCF, ["u00", "u01"], ["u02", "u03"], n_validation=3)


@pytest.mark.parametrize(("n_classes", "n_seen", "n_unseen"), [(101, 51, 50), (51, 26, 25)])
def test_an_own_split_within_a_dataset(n_classes, n_seen, n_unseen):
    names = [f"c{n:03}" for n in range(n_classes)]
    made = intra_dataset_split(table(names, ""), 3, n_validation=4)
    assert made.name == "intra-dataset 50/50, own split 3"
    assert (len(made.seen) + len(made.validation), len(made.validation), len(made.unseen)) == (
        n_seen,
        4,
        n_unseen,
    )
    assert made.unseen == tuple(sorted(names[i] for i in half_split(n_classes, 3)))
    assert len(intra_dataset_split(table(names, ""), 3, n_validation=0).seen) == n_seen


def test_a_split_of_a_file_within_a_dataset(tmp_path):
    names = ["wave", "clap", "run", "sit", "stand", "jump", "kick"]
    path = tmp_path / "splits.txt"
    path.write_text("1 3 5\n2 4 6\n")
    made = intra_dataset_from_file(table(names, ""), path, 2, names)
    assert (
        made.unseen == ("clap", "jump", "sit") and made.name == "intra-dataset 50/50, split 2 of splits.txt"
    )
    assert (len(made.seen), len(made.validation)) == (2, 2)
    other = intra_dataset_from_file(table(names, ""), path, 1, names, lists="seen", n_validation=0)
    assert (
        set(other.seen) == {"wave", "run", "stand"}
        and other.name == "intra-dataset 3/4, split 1 of splits.txt"
    )
    for split in (0, 3):
        with pytest.raises(
            ValueError,
            match=rf"split must be in 1..2 \(the number of splits in '.*splits.txt'\), got {split}",
        ):
            intra_dataset_from_file(table(names, ""), path, split, names)
    with pytest.raises(ValueError, match="needs a readable clip, 'clap' has none"):
        intra_dataset_from_file(table(names[:1] + names[2:], ""), path, 2, names)
    assert read_class_splits(path, names)[1] == ("clap", "sit", "jump")


@pytest.mark.parametrize(
    ("dataset", "name", "n_classes"),
    [("ucf101", "TruZe 70/31 (UCF101)", 101), ("hmdb51", "TruZe 29/22 (HMDB51)", 51)],
)
def test_truze(dataset, name, n_classes):
    unseen = TRUZE[dataset].unseen
    names = [*unseen, *(f"other {n}" for n in range(n_classes - len(unseen)))]
    made = truze(table(names, ""), dataset, n_validation=5)
    assert made.name == name and made.unseen == tuple(sorted(unseen))
    assert f"{len(made.seen) + len(made.validation)}/{len(made.unseen)}" in name
    with pytest.raises(
        ValueError,
        match=rf"needs clips of the {n_classes} classes of .*, got {n_classes - 1} classes without {unseen[0]}; catalog",
    ):
        truze(table(names[1:], ""), dataset)
    with pytest.raises(
        ValueError, match=rf"got {n_classes} classes without {unseen[0]}, {unseen[1]}; catalog"
    ):
        truze(table([*names[2:], "x", "y"], ""), dataset)
    with pytest.raises(ValueError, match=f"got {n_classes + 1} classes; catalog the whole dataset"):
        truze(table([*names, "x"], ""), dataset)
    with pytest.raises(
        ValueError, match="TruZe has lists for 'ucf101' and 'hmdb51', got 'UCF'; name one of them"
    ):
        truze(table(names, ""), "UCF")


def test_the_truze_lists_stay_what_was_published():
    assert [len(TRUZE[dataset].unseen) for dataset in ("ucf101", "hmdb51")] == [31, 22]
    assert all(len(set(entry.unseen)) == len(entry.unseen) for entry in TRUZE.values())
    assert {"ApplyLipstick", "YoYo", "TableTennisShot"} <= set(TRUZE["ucf101"].unseen) and {
        "wave",
        "shoot_gun",
    } <= set(TRUZE["hmdb51"].unseen)


def kinetics_pair(n_new: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """30 classes of Kinetics-400; Kinetics-600 with 20 of them under the same clip ids, two under a new spelling, and new ones."""
    k400 = table([f"old class {n:02}" for n in range(30)], "").assign(splits="train")
    spelt = table(["Old_Class_20", "old class (21)"], "")
    new = table([f"new {n:03}" for n in range(n_new)], "")
    return k400, pd.concat(
        [k400[k400["class"] < "old class 20"], table(["old class 00"], "later "), spelt, new]
    )


def test_kinetics220_by_lists():
    k400, k600 = kinetics_pair(8)
    made = kinetics220(
        k400, k600, ["new 000", "new 001"], ["new 002", "new 003", "new 004"], test_data="kinetics600"
    )
    assert (len(made.seen), made.validation, made.unseen) == (
        30,
        ("new 000", "new 001"),
        ("new 002", "new 003", "new 004"),
    )
    assert made.test_clips == tuple(k600["id"][k600["class"].isin(made.unseen)])
    elsewhere = [
        f"{name}/{n}" for name in ("later old class 00", "Old_Class_20", "old class (21)") for n in range(5)
    ]
    assert set(made.left_out) == {
        (clip, "Kinetics-600 tests only with its new classes") for clip in elsewhere
    }
    found = account(made, *all_rows(k400, k600))
    assert len(found) == len(k400) + len(k600)
    assert set(found["reason"][found["class"] == "new 005"]) == {"its class takes no part"}
    with pytest.raises(ValueError, match="'Old_Class_20' is 'old class 20' of Kinetics-400; leave it out"):
        kinetics220(k400, k600, ["new 000", "new 001"], ["new 002", "Old_Class_20"])
    with pytest.raises(
        ValueError, match=r"must be new in Kinetics-600, 'old class \(21\)' is 'old class 21'"
    ):
        kinetics220(k400, k600, ["new 000", "old class (21)"], ["new 002", "new 003"])
    with pytest.raises(ValueError, match="needs a usable clip in Kinetics-600, 'new 999' has none"):
        kinetics220(k400, k600, ["new 000", "new 999"], ["new 002", "new 003"])
    with pytest.raises(ValueError, match="'new 002' is in validation and in unseen"):
        kinetics220(k400, k600, ["new 000", "new 002"], ["new 002", "new 003"])


def test_kinetics220_leaves_out_training_clips_of_a_test_video():
    k400, k600 = kinetics_pair(8)
    k400 = k400.assign(group=k400["group"].mask(k400["id"] == "old class 05/0", "youtube:x"))
    k600 = k600.assign(group=k600["group"].mask(k600["id"] == "new 007/0", "youtube:x"))
    made = kinetics220(k400, k600, ["new 000", "new 001"], ["new 002", "new 003"])
    assert ("old class 05/0", "held by a source group of a clip of the test data") in made.left_out


def test_an_own_split_of_kinetics220():
    k400, k600 = kinetics_pair(225)
    made = kinetics220_split(k400, k600, 3)
    assert made.name == "Kinetics-220, own split 3 of 225 new classes"
    assert (len(made.validation), len(made.unseen)) == (60, 160) and all(
        name.startswith("new ") for name in made.validation + made.unseen
    )
    assert made.hash == kinetics220_split(k400, k600[::-1], 3).hash != kinetics220_split(k400, k600, 4).hash
    with pytest.raises(
        ValueError,
        match="needs 220 classes with usable clips that are new in Kinetics-600, got 219 of 241; add videos or",
    ):
        kinetics220_split(*kinetics_pair(219), 0)


def test_a_split_beyond_the_published_ones_says_so():
    assert half_classes(KINETICS, UCF, 9).name == "half-classes, cross-dataset, split 9"
    assert (
        half_classes(KINETICS, UCF, 10).name
        == "half-classes, cross-dataset, split 10 (own, 10 are published)"
    )
