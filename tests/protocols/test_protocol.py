"""zsar_lab.protocols: the object and its making: nothing shared, nothing lost, a hash of the content only."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from zsar_lab.files import read_json, write_json
from zsar_lab.protocols.build import account, check_against, make_protocol, validation_split
from zsar_lab.protocols.protocol import Protocol, ProtocolError, generalised, plain

NAMES = [f"{family}{n}" for family, size in {"a": 5, "b": 4, "c": 4, "d": 3}.items() for n in range(size)]
CLIPS = pd.DataFrame([(f"{name}/{n}", name) for name in NAMES for n in range(5)], columns=["id", "class"])
LISTS = ["a0", "b0"], ["c0", "c1"]
OF_TEST = "held by a source group of a test clip"
OF_VALIDATION = "held by a source group of a validation clip"

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
PLAIN_CLIPS = pd.DataFrame(
    [(clip, clip.split("/")[0]) for ids in PLAIN.roles.values() for clip in ids], columns=["id", "class"]
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
        ({"validation": ("climb", "sit")}, "'climb' is in validation and in unseen"),
        ({"unseen": ("climb", "climb")}, "'climb' is in unseen and in unseen"),
        ({"test_clips": ("climb/1", "run/1")}, "'run/1' is in train and in test"),
        ({"seen_test_clips": ("run/1",)}, "'run/1' is in train and in seen test"),
        ({"left_out": (("run/1", "no reason"),)}, "'run/1' is in train and in left out"),
        ({"removed": ("dive", "run")}, "'run' is in seen and in removed"),
        ({"removed": ("sit",)}, "'sit' is in validation and in removed"),
        ({"train_clips": ()}, "needs train clips"),
        ({"test_clips": ()}, "needs test clips"),
        ({"unseen": ("climb",)}, "got 2, 2 and 1"),
        ({"seen": ("run",)}, "got 1, 2 and 2"),
        ({"validation": ("sit",)}, "got 2, 1 and 2"),
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


def test_validation_and_held_out_clips_may_be_absent():
    bare = replace(PLAIN, validation=(), validation_clips=(), seen_test_clips=())
    assert (
        bare.roles["seen test"] == bare.roles["validation"] == () and bare.roles["test"] == PLAIN.test_clips
    )


SAME = [
    {"name": "other"},
    {"seen": ("jump", "run"), "train_clips": ("jump/1", "run/1")},
    {"removed": ("dive",), "removed_rule": "a rule"},
    {"train_data": "kinetics700", "test_data": "/data/ucf101"},
    {"left_out": (("run/9", "no reason"),)},
]
TRAINED_OTHERWISE = [
    {"seen": ("run", "hop")},
    {"validation": ("sit", "kneel")},
    {"validation": (), "validation_clips": ()},
    {"train_clips": ("run/1", "jump/3")},
    {"seen_test_clips": ("run/2",)},
    {"seen_test_clips": ()},
    {"validation_clips": ("sit/2", "stand/1")},
    {"seen_test_clips": ("run/1", "jump/2"), "train_clips": ("run/2", "jump/1")},  # the same in other lists
]
TESTED_OTHERWISE = [
    {"unseen": ("climb", "dive")},
    {"test_clips": ("climb/1", "swim/2")},
    {"average": "mean_class"},
    {"views": 25},
    {"generalised": True},
]


def test_the_hash_is_of_classes_clips_and_the_score_and_the_training_hash_of_what_is_trained_on():
    assert {replace(PLAIN, **change).hash for change in SAME} == {PLAIN.hash}
    changes = TRAINED_OTHERWISE + TESTED_OTHERWISE
    assert len({replace(PLAIN, **change).hash for change in changes} | {PLAIN.hash}) == len(changes) + 1
    of_training = {replace(PLAIN, **change).training_hash for change in TRAINED_OTHERWISE}
    assert len(of_training | {PLAIN.training_hash}) == len(TRAINED_OTHERWISE) + 1
    tested = [change for change in SAME + TESTED_OTHERWISE if "seen" not in change]
    assert {replace(PLAIN, **change).training_hash for change in tested} == {PLAIN.training_hash}
    # class numbers change with the order
    assert replace(PLAIN, seen=("jump", "run")).training_hash != PLAIN.training_hash
    # written down: checkpoints name them
    assert (PLAIN.hash, PLAIN.training_hash) == ("a196f5f04c86ecf1", "f949ecee62503a5a")


def test_the_hash_is_of_the_split_not_of_the_seed_that_drew_it():
    no_choice = CLIPS[CLIPS["id"].str.endswith("0")]  # one clip a class: none is held out
    made = [make_protocol(f"{n}", no_choice, *LISTS, n, seen_test_share=0).hash for n in range(3)]
    assert len(set(made)) == 1
    assert len({make_protocol("same", CLIPS, *LISTS, seed).hash for seed in range(3)}) == 3


def test_a_generalised_variant():
    variant = generalised(PLAIN)
    assert variant == replace(PLAIN, name="plain, generalised", generalised=True)
    assert generalised(variant) == variant and plain(variant) == plain(PLAIN) == PLAIN
    assert PLAIN.candidates == ("climb", "swim") and variant.candidates == ("run", "jump", "climb", "swim")
    with pytest.raises(ProtocolError, match="seen_test_share above 0"):
        generalised(replace(PLAIN, seen_test_clips=()))


def test_a_protocol_is_printed_as_a_paragraph():
    assert " ".join(str(PLAIN).split()) == (
        "plain. 2 seen, 2 validation and 2 unseen classes; 2 train, 2 seen test, 2 validation, 2 test clips."
        " 2 candidates, the unseen classes; chance level 50.00 %; micro average over clips; 1 view a clip."
        f" No training class removed. Hash {PLAIN.hash}."
    )
    assert " ".join(str(RICH).split()) == (
        "rich. Trained on kinetics700, tested on activitynet, segments. 2 seen, 2 validation and 2 unseen"
        " classes; 2 train, 2 seen test, 2 validation, 2 test clips, 3 left out. 4 candidates, the seen and"
        " unseen classes (generalised); chance level 25.00 %; mean of the classes' averages; 25 views a clip."
        f" 2 training classes removed (the same name): dive, swim. Hash {RICH.hash}."
    )
    assert max(len(line) for line in str(RICH).splitlines()) <= 110
    many = replace(PLAIN, removed=tuple(f"k{n}" for n in range(20)), removed_rule="a rule")
    assert "20 training classes removed (a rule): k0, k1, k2, k3, k4, k5, k6, k7 and 12 more." in " ".join(
        str(many).split()
    )


def test_a_saved_protocol_comes_back(tmp_path):
    path = tmp_path / "protocol.json"
    for protocol in (PLAIN, RICH, make_protocol("mine", CLIPS, *LISTS)):
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
        ({"seen": ["run", 3]}, "seen must be"),
        ({"generalised": 1}, "generalised must be bool"),
        ({"views": "1"}, "views must be int"),
        ({"left_out": [["run/9", "no reason"]]}, "no valid protocol"),
        ({"left_out": {"no reason": 3}}, "no valid protocol"),
        ({"left_out": {"no reason": [3]}}, "left_out must be"),
    ],
)
def test_a_tampered_file_is_refused(change, words, tmp_path):
    path = tmp_path / "protocol.json"
    PLAIN.save(path)
    write_json(path, read_json(path) | change)
    with pytest.raises(ProtocolError, match=f"(?s)'{path}' .*{words}"):
        Protocol.load(path)


def test_a_file_that_is_no_protocol_is_refused(tmp_path):
    path = tmp_path / "protocol.json"
    with pytest.raises(FileNotFoundError):
        Protocol.load(path)
    for key in ("hash", "views", "seen", "left_out"):
        PLAIN.save(path)
        write_json(path, {name: value for name, value in read_json(path).items() if name != key})
        with pytest.raises(ProtocolError, match=f"differs in {key}"):
            Protocol.load(path)
    write_json(path, ["run", "jump"])
    with pytest.raises(ProtocolError, match="differs in list"):
        Protocol.load(path)
    path.write_text('{"name": "cut')
    with pytest.raises(ValueError, match="protocol.json"):
        Protocol.load(path)


def test_make_protocol_by_hand():
    made = make_protocol("mine", CLIPS, ["b0", "a0"], ["c0", "c1"], seen_test_share=0.4)
    assert made.unseen == ("a0", "b0") and made.validation == ("c0", "c1")
    assert made.seen == tuple(sorted(set(NAMES) - {"a0", "b0", "c0", "c1"}))
    assert made.test_clips == tuple(f"{name}/{n}" for name in ("a0", "b0") for n in range(5))
    assert made.validation_clips == tuple(f"{name}/{n}" for name in ("c0", "c1") for n in range(5))
    for name in made.seen:  # two of five clips of each seen class are held out
        assert sum(clip.startswith(f"{name}/") for clip in made.seen_test_clips) == 2
        assert sum(clip.startswith(f"{name}/") for clip in made.train_clips) == 3
    assert all_clips(made) == sorted(CLIPS["id"])
    shuffled = CLIPS.sample(frac=1, random_state=3)
    assert make_protocol("mine", shuffled, *LISTS, seen_test_share=0.4) == made
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
    for clips in (CLIPS, CLIPS.assign(group=""), CLIPS.assign(group=None)):
        made = make_protocol("mine", clips, *LISTS, seed=5, seen_test_share=share)
        assert made.seen_test_clips == tuple(held.split())


def test_the_share_held_out():
    for share in (0.01, 0.2):  # at least one clip of each class
        made = make_protocol("mine", CLIPS, *LISTS, seen_test_share=share)
        assert [clip.split("/")[0] for clip in made.seen_test_clips] == list(made.seen)
    made = make_protocol("mine", CLIPS, ["a0", "b0"], [], seen_test_share=0)
    assert made.seen_test_clips == made.validation_clips == () and all_clips(made) == sorted(CLIPS["id"])
    for share in (-0.1, 1.0, float("nan")):
        with pytest.raises(ProtocolError, match=f"seen_test_share .*{share}"):
            make_protocol("mine", CLIPS, *LISTS, seen_test_share=share)


def test_seen_and_validation_classes_are_given_or_chosen_and_fields_handed_on():
    fields = {"views": 25, "generalised": True, "average": "mean_class", "removed_rule": "r"}
    made = make_protocol("mine", CLIPS, ["a0", "b0"], [], seen=["c1", "c0"], removed=["z", "y"], **fields)
    assert made.seen == ("c0", "c1") and {clip[:2] for clip in all_clips(made)} == {"a0", "b0", "c0", "c1"}
    assert {name: getattr(made, name) for name in fields} == fields and made.removed == ("y", "z")
    drawn = make_protocol("mine", CLIPS, ["a0", "b0"], seen=NAMES[6:15], n_validation=3, seed=4)
    assert list(drawn.validation) == validation_split(NAMES[6:15], 3, 4) and "d2" not in drawn.seen
    with pytest.raises(ProtocolError, match="given or drawn"):
        make_protocol("mine", CLIPS, *LISTS, n_validation=2)
    with pytest.raises(TypeError, match="vews"):
        make_protocol("mine", CLIPS, *LISTS, vews=25)


def test_the_validation_split():
    names = [f"k{n:03}" for n in range(60)]
    drawn = validation_split(names, None, 0)
    assert len(drawn) == 6 and drawn == sorted(drawn) == validation_split(names[::-1], None, 0)
    assert drawn != validation_split(names, None, 1) and len(validation_split(names[:5], None, 0)) == 2
    assert validation_split(names, 0, 0) == [] and len(validation_split(names, 58, 0)) == 58
    for number in (1, -2, 59):
        with pytest.raises(ProtocolError, match=f"got {number} of 60"):
            validation_split(names, number, 0)


def test_classes_that_cannot_be_used_are_named():
    few = CLIPS[CLIPS["class"] != "a1"]
    for clips, unseen, more in (
        (CLIPS, ["a0", "a9"], {"validation": []}),
        (few, ["a0", "b0"], {"validation": ["a1"]}),
        (few, ["a0", "b0"], {"validation": [], "seen": ["a1", "c0"]}),
    ):
        with pytest.raises(ProtocolError, match="needs a readable clip, 'a[19]' has none"):
            make_protocol("mine", clips, unseen, **more)
    with pytest.raises(ProtocolError, match="'a0' is in validation and in unseen"):
        make_protocol("mine", CLIPS, ["a0", "b0"], ["a0"])
    with pytest.raises(ProtocolError, match="'a0/0' is there twice"):
        make_protocol("mine", pd.concat([CLIPS, CLIPS[:1]]), *LISTS)
    marked = CLIPS.assign(status=["ok"] * (len(CLIPS) - 1) + ["missing"])
    with pytest.raises(ProtocolError, match=r"1 are not \(first 'd2/4', 'missing'\)"):
        make_protocol("mine", marked, *LISTS)
    assert make_protocol("mine", CLIPS.assign(status="ok"), *LISTS) == make_protocol("mine", CLIPS, *LISTS)


def test_a_seen_class_with_one_group_is_refused():
    fewer = CLIPS[~CLIPS["id"].isin([f"d1/{n}" for n in range(1, 5)])]
    one_source = CLIPS.assign(group=np.where(CLIPS["class"] == "d1", "video 7", ""))
    for clips, n in ((fewer, 1), (one_source, 5)):
        with pytest.raises(ProtocolError, match=f"'d1' has 1 of {n} clips"):
            make_protocol("mine", clips, *LISTS)
    both = one_source.assign(group=one_source["group"].mask(CLIPS["class"] == "d2", "video 8"))
    with pytest.raises(ProtocolError, match=r"'d1' has 1 of 5 clips \(as have 'd2'\)"):
        make_protocol("mine", both, *LISTS)
    # as an unseen class, or where none is held out, one is enough
    assert "d1/0" in make_protocol("mine", fewer, ["a0", "d1"], ["c0", "c1"]).test_clips
    assert "d1/0" in make_protocol("mine", one_source, *LISTS, seen_test_share=0).train_clips


def random_table(seed: int) -> pd.DataFrame:
    """10 to 14 classes of 6 to 20 clips; some groups lie in several classes, some clips have none."""
    random = np.random.default_rng(seed)
    rows = []
    for label in range(random.integers(10, 15)):
        n_groups = random.integers(3, 7)
        for number in range(random.integers(6, 21)):
            kind, own = random.random(), f"{label} g{random.integers(n_groups)}"
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
    assert {reason for _, reason in made.left_out} <= {OF_TEST, OF_VALIDATION}
    # no test clip is lost to a training one, and each seen class is on both sides
    assert made.test_clips == tuple(table["id"][table["class"].isin(names[:2])])
    for clips in (made.train_clips, made.seen_test_clips):
        assert {clip.split("/")[0] for clip in clips} == set(made.seen)
    assert make_protocol("mine", table.sample(frac=1, random_state=seed), *lists) == made


def test_what_a_group_of_a_test_clip_takes_along():
    table = CLIPS.assign(group="")
    table.loc[table["id"].isin(["a0/0", "c0/0", "d0/0"]), "group"] = "one video"
    table.loc[table["id"].isin(["c1/1", "d1/1"]), "group"] = "another"
    made = make_protocol("mine", table, *LISTS)
    assert made.left_out == (("c0/0", OF_TEST), ("d0/0", OF_TEST), ("d1/1", OF_VALIDATION))


@pytest.mark.parametrize(
    ("clips", "words"),
    [
        (PLAIN_CLIPS[PLAIN_CLIPS["id"] != "sit/1"], r"1 validation clips are not \(first 'sit/1'\)"),
        (PLAIN_CLIPS.replace({"class": {"climb": "crawl"}}), "test clip .*'climb/1' is of 'crawl'"),
        (
            PLAIN_CLIPS.assign(**{"class": PLAIN_CLIPS["class"].mask(PLAIN_CLIPS["id"] == "jump/1", "run")}),
            "one train clip, 'jump' has none",
        ),
        (PLAIN_CLIPS.assign(group=[*"v..v...."]), "'run/1' and the seen test clip 'jump/2'"),
        (PLAIN_CLIPS.assign(group=[*".v.....v"]), "'jump/1' and the test clip 'swim/1'"),
        (PLAIN_CLIPS.assign(group=[*"v...v..."]), "'run/1' and the validation clip 'sit/1'"),
        (
            pd.concat([PLAIN_CLIPS, PLAIN_CLIPS[-1:].assign(id="swim/2")]),
            r"1 are not \(first 'swim/2'\)",
        ),
        (pd.concat([PLAIN_CLIPS, PLAIN_CLIPS[-1:]]), "'swim/1' is there twice"),
    ],
)
def test_a_protocol_that_does_not_fit_its_catalog_is_refused(clips, words):
    check_against(PLAIN, PLAIN_CLIPS)
    if "group" in clips:
        clips = clips.assign(group=clips["group"].replace(".", ""))
    with pytest.raises(ProtocolError, match=words):
        check_against(PLAIN, clips)


def test_a_clip_left_out_with_a_reason_is_accepted():
    more = pd.concat([PLAIN_CLIPS, pd.DataFrame({"id": ["swim/2", "dive/1"], "class": ["swim", "dive"]})])
    check_against(replace(PLAIN, left_out=(("swim/2", "not in the official test list 1"),)), more)


def test_the_account_has_a_row_for_every_clip_usable_or_not():
    grouped = CLIPS.assign(group=np.where(CLIPS["id"].isin(["a0/0", "d0/0"]), "v", ""))
    rule = "a cosine distance under 0.05"
    made = make_protocol(
        "mine", grouped, ["a0", "b0"], [], seen=["c0", "c1", "d0"], removed=["d1"], removed_rule=rule
    )
    ok = CLIPS.assign(status="ok", reason="")
    expected = {
        "a0/9": ("a0", "missing", "no file 9.mp4", "missing: no file 9.mp4"),
        "c0/9": ("c0", "unreadable", "no moov atom", "unreadable: no moov atom"),
        "z/1": ("z", "not listed", "", "not listed"),
        "c0/7": ("c0", "ok", "", "no list of the protocol names it"),  # came later than the protocol
    }
    bad = pd.DataFrame([(clip, *row[:3]) for clip, row in expected.items()], columns=ok.columns)
    found = account(made, ok, bad)
    assert found.columns.tolist() == ["id", "class", "role", "reason"]
    assert found["id"].tolist() == [*CLIPS["id"], *expected]  # one row each, in their order
    by_role = found.groupby("role")["id"].agg(lambda ids: tuple(sorted(ids))).drop("left out").to_dict()
    assert by_role == {role: tuple(sorted(ids)) for role, ids in made.roles.items() if ids}
    assert ((found["role"] == "left out") == (found["reason"] != "")).all()
    reasons = found.set_index("id")["reason"]
    assert reasons["d0/0"] == OF_TEST and reasons["a1/0"] == "its class takes no part"
    assert reasons["d1/0"] == f"its class was removed by {rule}"
    assert reasons[list(expected)].tolist() == [row[3] for row in expected.values()]


def test_the_account_refuses_a_protocol_of_unusable_clips():
    with pytest.raises(ProtocolError, match=r"'run/1' is 'unreadable' \(cut short\)"):
        account(PLAIN, PLAIN_CLIPS.assign(status="unreadable", reason="cut short"))
