"""zsar_lab.protocols: the object and its making: nothing shared, nothing lost, a hash of the content only."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from zsar_lab.files import read_json, write_json
from zsar_lab.protocols import build
from zsar_lab.protocols.build import account, make_protocol, validation_split
from zsar_lab.protocols.protocol import Protocol, ProtocolError, generalised, plain

NAMES = [f"{family}{n}" for family, size in {"a": 5, "b": 4, "c": 4, "d": 3}.items() for n in range(size)]
CLIPS = pd.DataFrame([(f"{name}/{n}", name) for name in NAMES for n in range(5)], columns=["id", "class"])
LISTS = ["a0", "b0"], ["c0", "c1"]

PLAIN = Protocol(
    name="plain",
    seen=("run", "jump"),
    validation=("sit", "stand"),
    unseen=("climb", "swim"),
    train_clips=("run/1", "jump/1"),
    seen_test_clips=("run/2", "jump/2"),
    validation_clips=("sit/1", "stand/1"),
    test_clips=("climb/1", "swim/1"),
)
RICH = replace(
    PLAIN,
    name="rich",
    generalised=True,
    average="mean_class",
    views=25,
    removed=("dive", "swim"),
    removed_rule="the same name",
    train_data="kinetics700",
    test_data="activitynet, segments",
    left_out=(("run/9", "no reason"), ("climb/8", "in no list"), ("run/8", "in no list")),
)


def all_clips(protocol: Protocol) -> list[str]:
    return sorted(clip for ids in protocol.roles.values() for clip in ids)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"unseen": ("climb", "run")}, "'run' is in seen and in unseen"),
        ({"unseen": ("climb", "climb")}, "'climb' is in unseen and in unseen"),
        ({"test_clips": ("climb/1", "run/1")}, "'run/1' is in train and in test"),
        ({"seen_test_clips": ("run/1",)}, "'run/1' is in train and in seen test"),
        ({"left_out": (("run/1", "no reason"),)}, "'run/1' is in train and in left out"),
        ({"removed": ("dive", "run")}, "'run' is in seen and in removed"),
        ({"train_clips": ()}, "needs train clips"),
        ({"test_clips": ()}, "needs test clips"),
        ({"unseen": ("climb",)}, "got 2, 2 and 1"),
        ({"seen": ("run",)}, "got 1, 2 and 2"),
        ({"validation_clips": ()}, "needs validation clips"),
        ({"validation": ()}, "2 validation clips, but no validation class"),
        ({"generalised": True, "seen_test_clips": ()}, "needs seen test clips.*seen_test_share above 0"),
        ({"average": "best"}, "average .*'best'"),
        ({"views": 10}, "views .*10"),
        ({"views": True}, "views must be int, got 'True'"),
        ({"seen": ["run", "jump"]}, "seen must be tuple"),
        ({"unseen": ("climb", 3)}, "unseen must be tuple"),
        ({"left_out": (("run/9", None),)}, "left_out must be tuple"),
        ({"name": None}, "name must be str"),
    ],
)
def test_a_protocol_that_shares_or_lacks_something_is_refused(change, words):
    with pytest.raises(ProtocolError, match=words):
        replace(PLAIN, **change)


SAME = {  # changes of these fields leave both hashes, those below change one or both
    "name": "other",
    "removed": ("dive",),
    "removed_rule": "a rule",
    "train_data": "kinetics700",
    "test_data": "/data/ucf101",
    "left_out": (("run/9", "no reason"),),
}
TRAINED_ON = {
    "seen": ("run", "hop"),
    "validation": ("sit", "kneel"),
    "train_clips": ("run/1", "jump/3"),
    "seen_test_clips": ("run/2",),
    "validation_clips": ("sit/2", "stand/1"),
}
TESTED_ON = {
    "unseen": ("climb", "dive"),
    "test_clips": ("climb/1", "swim/2"),
    "average": "mean_class",
    "views": 25,
    "generalised": True,
}


def test_the_hash_is_of_classes_clips_and_the_score_and_the_training_hash_of_what_is_trained_on():
    same, trained, tested = (
        [replace(PLAIN, **{field: value}) for field, value in changes.items()]
        for changes in (SAME, TRAINED_ON, TESTED_ON)
    )
    trained.append(replace(PLAIN, validation=(), validation_clips=(), seen_test_clips=()))
    # the same clips in other lists
    trained.append(replace(PLAIN, seen_test_clips=("run/1", "jump/2"), train_clips=("run/2", "jump/1")))
    assert {made.hash for made in same} == {PLAIN.hash}
    assert len({made.hash for made in (PLAIN, *trained, *tested)}) == 1 + len(trained) + len(tested)
    assert len({made.training_hash for made in (PLAIN, *trained)}) == 1 + len(trained)
    assert {made.training_hash for made in (*same, *tested)} == {PLAIN.training_hash}
    # class numbers, which a training depends on, change with the order
    turned = replace(PLAIN, seen=("jump", "run"), train_clips=("jump/1", "run/1"))
    assert turned.hash == PLAIN.hash and turned.training_hash != PLAIN.training_hash
    # written down: checkpoints name them
    assert (PLAIN.hash, PLAIN.training_hash) == ("a196f5f04c86ecf1", "f949ecee62503a5a")
    # nor is it of the seed: of one clip a class none is held out
    one = CLIPS[CLIPS["id"].str.endswith("0")]
    assert len({make_protocol(f"{n}", one, *LISTS, n, seen_test_share=0).hash for n in range(3)}) == 1
    assert len({make_protocol("same", CLIPS, *LISTS, seed).hash for seed in range(3)}) == 3


def test_a_generalised_variant():
    variant = generalised(PLAIN)
    assert variant == replace(PLAIN, name="plain, generalised", generalised=True)
    assert generalised(variant) == variant and plain(variant) == plain(PLAIN) == PLAIN
    assert PLAIN.candidates == ("climb", "swim") and variant.candidates == ("run", "jump", "climb", "swim")
    with pytest.raises(ProtocolError, match="seen_test_share above 0"):
        generalised(replace(PLAIN, seen_test_clips=()))


def test_what_a_protocol_asks_for_is_hashed_where_it_is_not_as_everywhere():
    asked = {"ties": "first", "prompt": "a video of {name}", "frames": "all"}
    assert PLAIN.asked == {} and replace(PLAIN, **asked).asked == asked
    made = [replace(PLAIN, **{key: value}) for key, value in asked.items()] + [PLAIN]
    assert len({one.hash for one in made}) == 4 and len({one.training_hash for one in made}) == 1
    with pytest.raises(ProtocolError, match="ties must be one of wrong, first, got 'last'"):
        replace(PLAIN, ties="last")


def test_a_protocol_is_printed_as_a_paragraph():
    many = replace(PLAIN, removed=tuple(f"k{n}" for n in range(20)), removed_rule="a rule")
    for protocol, parts in (
        (PLAIN, ("plain. 2 seen, 2 validation and 2 unseen", "2 candidates", "50.00 %", "micro", "1 view a")),
        (PLAIN, ("2 train, 2 seen test, 2 validation, 2 test clips.", "No training", PLAIN.hash)),
        (RICH, ("on kinetics700, tested on activitynet, segments.", "4 candidates", "25.00 %", "25 views")),
        (RICH, (", 3 left out", "(generalised)", "2 training", "(the same name): dive, swim", RICH.hash)),
        (many, ("20 training classes removed (a rule): k0,", "k7 and 12 more.")),
    ):
        text = " ".join(str(protocol).split())
        assert [part for part in parts if part not in text] == []
        assert max(map(len, str(protocol).splitlines())) <= 110


def test_a_saved_protocol_comes_back(tmp_path):
    path = tmp_path / "protocol.json"
    for protocol in (PLAIN, RICH, make_protocol("mine", CLIPS, *LISTS), replace(RICH, ties="first")):
        protocol.save(path)
        assert Protocol.load(path) == protocol and Protocol.load(path).hash == protocol.hash
    RICH.save(path)
    assert read_json(path)["left_out"] == {"in no list": ["climb/8", "run/8"], "no reason": ["run/9"]}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"test_clips": ["climb/1"]}, f"must give the hash {PLAIN.hash}, but it gives"),
        ({"views": 25}, "must give the hash"),
        ({"hash": "0" * 16}, "must give the hash 0000000000000000"),
        ({"hash": None}, "must give the hash None"),
        ({"unseen": ["climb", "run"]}, "no valid protocol: .*'run' is in seen and in unseen"),
        ({"seed": 3, "path": "x"}, "differs in path, seed"),
        ({"seen": "run"}, "seen must be"),
        ({"generalised": 1}, "generalised must be bool"),
        ({"views": "1"}, "views must be int"),
        ({"left_out": [["run/9", "no reason"]]}, "no valid protocol"),
        ({"left_out": {"no reason": 3}}, "no valid protocol"),
        ({"left_out": {"no reason": [3]}}, "left_out must be"),
        *(({key: ...}, f"differs in {key}") for key in ("hash", "views", "seen", "left_out")),  # without it
    ],
)
def test_a_tampered_file_is_refused(change, words, tmp_path):
    path = tmp_path / "protocol.json"
    PLAIN.save(path)
    content = read_json(path) | change
    write_json(path, {key: value for key, value in content.items() if value is not ...})
    with pytest.raises(ProtocolError, match=f"(?s)'{path}' .*{words}"):
        Protocol.load(path)
    for text, error in (('["run", "jump"]', ProtocolError), ('{"name": "cut', ValueError)):
        path.write_text(text)
        with pytest.raises(error, match="protocol.json"):
            Protocol.load(path)
    with pytest.raises(FileNotFoundError):
        Protocol.load(tmp_path / "none.json")


def test_make_protocol_by_hand():
    made = make_protocol("mine", CLIPS, ["b0", "a0"], ["c0", "c1"], seen_test_share=0.4)
    assert made.unseen == ("a0", "b0") and made.validation == ("c0", "c1")
    assert made.seen == tuple(sorted(set(NAMES) - {"a0", "b0", "c0", "c1"}))
    for names, ids in ((made.unseen, made.test_clips), (made.validation, made.validation_clips)):
        assert ids == tuple(f"{name}/{n}" for name in names for n in range(5))
    assert all_clips(made) == sorted(CLIPS["id"])
    assert make_protocol("mine", CLIPS.sample(frac=1, random_state=3), *LISTS, seen_test_share=0.4) == made
    assert make_protocol("mine", CLIPS, *LISTS, 1, 0.4).train_clips != made.train_clips


@pytest.mark.parametrize(
    ("share", "held"),
    [
        (0.1, "a1/4 a2/1 a3/4 a4/3 b1/4 b2/2 b3/3 c2/2 c3/4 d0/0 d1/3 d2/1"),
        (
            0.4,
            "a1/3 a1/4 a2/1 a2/4 a3/0 a3/4 a4/0 a4/3 b1/2 b1/4 b2/1 b2/2 b3/2 b3/3 c2/2 c2/4 c3/1 c3/4"
            " d0/0 d0/2 d1/2 d1/3 d2/0 d2/1",
        ),
    ],
)
def test_the_held_out_clips_of_a_seed_stay_what_they_were(share, held):
    for clips in (CLIPS, CLIPS.assign(group=""), CLIPS.assign(group=None), CLIPS.assign(status="ok")):
        made = make_protocol("mine", clips, *LISTS, seed=5, seen_test_share=share)
        assert made.seen_test_clips == tuple(held.split())
    for small in (0.01, 0.2):  # at least one clip of each class
        made = make_protocol("mine", CLIPS, *LISTS, seen_test_share=small)
        assert [clip.split("/")[0] for clip in made.seen_test_clips] == list(made.seen)
    made = make_protocol("mine", CLIPS, ["a0", "b0"], [], seen_test_share=0)
    assert made.seen_test_clips == made.validation_clips == () and all_clips(made) == sorted(CLIPS["id"])
    # one source of an unseen class is enough, or where none is held out
    assert "d1/0" in make_protocol("mine", ONE_CLIP, ["a0", "d1"], ["c0", "c1"]).test_clips
    assert "d1/0" in make_protocol("mine", ONE_SOURCE, *LISTS, seen_test_share=0).train_clips


def test_seen_and_validation_classes_are_given_or_chosen_and_fields_handed_on():
    fields = {"views": 25, "generalised": True, "average": "mean_class", "removed_rule": "r"}
    made = make_protocol("mine", CLIPS, ["a0", "b0"], [], seen=["c1", "c0"], removed=["z", "y"], **fields)
    assert made.seen == ("c0", "c1") and {clip[:2] for clip in all_clips(made)} == {"a0", "b0", "c0", "c1"}
    assert {name: getattr(made, name) for name in fields} == fields and made.removed == ("y", "z")
    chosen = make_protocol("mine", CLIPS, ["a0", "b0"], seen=NAMES[6:15], n_validation=3, seed=4)
    assert list(chosen.validation) == validation_split(NAMES[6:15], 3, 4) and "d2" not in chosen.seen
    with pytest.raises(TypeError, match="vews"):
        make_protocol("mine", CLIPS, *LISTS, vews=25)


def test_the_validation_split():
    names = [f"k{n:03}" for n in range(60)]
    chosen = validation_split(names, None, 0)
    assert len(chosen) == 6 and chosen == sorted(chosen) == validation_split(names[::-1], None, 0)
    assert chosen != validation_split(names, None, 1) and len(validation_split(names[:5], None, 0)) == 2
    assert validation_split(names, 0, 0) == [] and len(validation_split(names, 58, 0)) == 58
    for number in (1, -2, 59):
        with pytest.raises(ProtocolError, match=f"got {number} of 60"):
            validation_split(names, number, 0)


WITHOUT_A1 = CLIPS[CLIPS["class"] != "a1"]
ONE_CLIP = CLIPS[~CLIPS["id"].isin([f"d1/{n}" for n in range(1, 5)])]
ONE_SOURCE = CLIPS.assign(group=np.where(CLIPS["class"] == "d1", "video 7", ""))
TWO_CLASSES = ONE_SOURCE.assign(group=ONE_SOURCE["group"].mask(CLIPS["class"] == "d2", "video 8"))


@pytest.mark.parametrize(
    ("clips", "change", "words"),
    [
        (CLIPS, {"unseen": ["a0", "a9"]}, "'a9' has none"),
        (WITHOUT_A1, {"validation": ["a1"]}, "'a1' has none"),
        (WITHOUT_A1, {"seen": ["a1", "c2"]}, "'a1' has none"),
        (CLIPS, {"validation": ["a0"]}, "'a0' is in validation and in unseen"),
        (CLIPS, {"n_validation": 2}, "2 to draw"),
        (CLIPS, {"seen_test_share": -0.1}, "got -0.1"),
        (CLIPS, {"seen_test_share": 1.0}, "got 1.0"),
        (pd.concat([CLIPS, CLIPS[:1]]), {}, "'a0/0' is there twice"),
        (CLIPS.assign(status=["ok"] * (len(CLIPS) - 1) + ["missing"]), {}, "first 'd2/4', 'missing'"),
        (ONE_CLIP, {}, "'d1' has 1 of 1 clips"),
        (ONE_SOURCE, {}, "'d1' has 1 of 5 clips"),
        (TWO_CLASSES, {}, r"'d1' has 1 of 5 clips \(as have 'd2'\)"),
    ],
)
def test_a_protocol_that_cannot_be_made_is_refused(clips, change, words):
    lists = {"unseen": ["a0", "b0"], "validation": ["c0", "c1"]}
    with pytest.raises(ProtocolError, match=words):
        make_protocol("mine", clips, **(lists | change))


def random_table(seed: int) -> pd.DataFrame:
    """12 classes of 6 to 20 clips; some groups lie in several classes, some clips have none."""
    random, rows = np.random.default_rng(seed), []
    for label in range(12):
        for number in range(random.integers(6, 21)):
            kind, own = random.random(), f"{label} g{random.integers(5)}"
            group = f"shared {random.integers(6)}" if kind < 0.04 else "" if kind < 0.2 else own
            rows.append((f"c{label:02}/{number:02}", f"c{label:02}", group))
    return pd.DataFrame(rows, columns=["id", "class", "group"])


@pytest.mark.parametrize("seed", range(20))
def test_no_source_group_lies_on_both_sides_and_no_clip_is_lost(seed):
    table = random_table(seed)
    names = sorted(set(table["class"]))
    lists = names[:2], names[2:4], seed, 0.3
    made = make_protocol("mine", table, *lists)
    group_of = {clip: group or clip for clip, group in zip(table["id"], table["group"])}
    trained = {group_of[clip] for clip in made.train_clips}
    for role in ("seen test", "validation", "test"):
        assert not trained & {group_of[clip] for clip in made.roles[role]}
    assert sorted(all_clips(made) + [clip for clip, _ in made.left_out]) == sorted(table["id"])
    assert {reason for _, reason in made.left_out} <= {build.TEST_GROUP, build.VALIDATION_GROUP}
    # no test clip is lost to a training one, and each seen class is on both sides
    assert made.test_clips == tuple(table["id"][table["class"].isin(names[:2])])
    for clips in (made.train_clips, made.seen_test_clips):
        assert {clip.split("/")[0] for clip in clips} == set(made.seen)
    assert make_protocol("mine", table.sample(frac=1, random_state=seed), *lists) == made


def test_what_a_group_of_a_test_clip_takes_along_and_a_class_that_loses_all_is_refused():
    table = CLIPS.assign(group="")
    table.loc[table["id"].isin(["a0/0", "c0/0", "d0/0"]), "group"] = "one video"
    table.loc[table["id"].isin(["c1/1", "d1/1"]), "group"] = "another"
    taken = ("c0/0", build.TEST_GROUP), ("d0/0", build.TEST_GROUP), ("d1/1", build.VALIDATION_GROUP)
    assert make_protocol("mine", table, *LISTS).left_out == taken
    for label, role in (("d0", "train"), ("c0", "validation")):
        groups = np.where(CLIPS["class"].isin([label, "a0"]), CLIPS["id"].str[-1], "")
        words = f"at least one {role} clip, '{label}' has none"
        for more, said in (({}, f"{words}|'{label}' has 0"), ({"seen_test_share": 0}, words)):
            with pytest.raises(ProtocolError, match=said):
                make_protocol("mine", CLIPS.assign(group=groups), *LISTS, **more)


def test_the_account_has_a_row_for_every_clip_usable_or_not():
    grouped = CLIPS.assign(group=np.where(CLIPS["id"].isin(["a0/0", "d0/0"]), "v", ""))
    options = {"seen": ["c0", "c1", "d0"], "removed": ["d1"], "removed_rule": "a rule"}
    made = make_protocol("mine", grouped, ["a0", "b0"], [], **options)
    bad = pd.DataFrame(
        [
            ("a0/9", "a0", "missing", "no file 9.mp4"),
            ("c0/9", "c0", "unreadable", "no moov atom"),
            ("z/1", "z", "not listed", ""),
            ("c0/7", "c0", "ok", ""),  # came later than the protocol
        ],
        columns=["id", "class", "status", "reason"],
    )
    found = account(made, CLIPS.assign(status="ok", reason=""), bad)
    assert found.columns.tolist() == ["id", "class", "role", "reason"]
    assert found["id"].tolist() == [*CLIPS["id"], *bad["id"]]  # one row each, in their order
    by_role = found.groupby("role")["id"].agg(set).drop("left out").to_dict()
    assert by_role == {role: set(ids) for role, ids in made.roles.items() if ids}
    assert ((found["role"] == "left out") == (found["reason"] != "")).all()
    reasons = found.set_index("id")["reason"]
    assert (
        reasons[["d0/0", "a1/0"]].tolist() == [build.TEST_GROUP, build.NO_PART]
        and "by a rule" in reasons["d1/0"]
    )
    expected = ["missing: no file 9.mp4", "unreadable: no moov atom", "not listed"]
    assert reasons[bad["id"]].tolist() == [*expected, "no list of the protocol names it"]
    rows = [(clip, clip.split("/")[0], "unreadable", "cut short") for clip in PLAIN.train_clips]
    with pytest.raises(ProtocolError, match=r"'run/1' is 'unreadable' \(cut short\)"):
        account(PLAIN, pd.DataFrame(rows, columns=bad.columns))
