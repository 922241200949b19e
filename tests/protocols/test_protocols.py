"""zsar_lab.protocols: nothing shared, nothing lost, no source group on both sides, and a hash that is of the content only."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from zsar_lab.files import read_json, write_json
from zsar_lab.protocols.build import account, check_against, make_protocol
from zsar_lab.protocols.protocol import Protocol, generalised, plain
from zsar_lab.protocols.splits import family_stratified_split

# family a has 5 classes, b and c 4, d 3: too few to give one away
FAMILY_SIZES = {"a": 5, "b": 4, "c": 4, "d": 3}
CLASSES = pd.DataFrame(
    [(f"{family}{n}", family) for family, size in FAMILY_SIZES.items() for n in range(size)],
    columns=["name", "family"],
)
CLIPS = pd.DataFrame(
    [(f"{name}/{n}", name) for name in CLASSES["name"] for n in range(5)], columns=["id", "class"]
)

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
    ("change", "message"),
    [
        (
            {"unseen": ("climb", "run")},
            "a class must stand once in one of .*; 'run' is in seen and in unseen",
        ),
        ({"validation": ("climb", "sit")}, "'climb' is in validation and in unseen"),
        ({"unseen": ("climb", "climb")}, "'climb' is in unseen and in unseen"),
        (
            {"test_clips": ("climb/1", "run/1")},
            "a clip must stand once in one of .*; 'run/1' is in train and in test",
        ),
        ({"seen_test_clips": ("run/1",)}, "'run/1' is in train and in seen test"),
        ({"left_out": (("run/1", "no reason"),)}, "'run/1' is in train and in left out; remove it from one"),
        (
            {"removed": ("dive", "run")},
            "must stand once in one of seen, validation, removed; 'run' is in seen and in removed",
        ),
        ({"removed": ("sit",)}, "'sit' is in validation and in removed"),
        ({"train_clips": ()}, "a protocol needs train clips, got none; add videos"),
        ({"test_clips": ()}, "a protocol needs test clips, got none"),
        (
            {"unseen": ("climb",)},
            r"at least 2 seen, 2 \(or no\) validation and 2 unseen classes, got 2, 2 and 1; change",
        ),
        ({"seen": ("run",)}, "got 1, 2 and 2"),
        ({"validation": ("sit",)}, "got 2, 1 and 2"),
        ({"validation_clips": ()}, "a protocol with validation classes needs validation clips, got none"),
        (
            {"validation": ()},
            "validation clips need validation classes, got 2 clips and no class; name their classes",
        ),
        (
            {"generalised": True, "seen_test_clips": ()},
            "a generalised protocol needs seen test clips, got none; hold some out",
        ),
        ({"average": "best"}, "average must be 'micro' or 'mean_class', got 'best'"),
        ({"views": 10}, r"views must be 1 or 25 \(test views a clip\), got 10"),
    ],
)
def test_a_protocol_that_shares_or_lacks_something_is_refused(change, message):
    with pytest.raises(ValueError, match=message):
        replace(PLAIN, **change)


def test_validation_and_held_out_clips_may_be_absent():
    bare = replace(PLAIN, validation=(), validation_clips=(), seen_test_clips=())
    assert bare.roles == {
        "train": PLAIN.train_clips,
        "seen test": (),
        "validation": (),
        "test": PLAIN.test_clips,
    }


def test_the_hash_is_of_classes_and_clips_and_the_score_not_of_what_else_is_said():
    same = [
        {"name": "other"},
        {"seen": ("jump", "run"), "train_clips": ("jump/1", "run/1")},
        {"removed": ("dive",), "removed_rule": "a rule"},
        {"train_data": "kinetics700", "test_data": "/data/ucf101"},
        {"left_out": (("run/9", "no reason"),)},
    ]
    assert {replace(PLAIN, **change).hash for change in same} == {PLAIN.hash}
    changes = [
        {"unseen": ("climb", "dive")},
        {"seen": ("run", "hop")},
        {"validation": ("sit", "kneel")},
        {"validation": (), "validation_clips": ()},
        {"train_clips": ("run/1", "jump/3")},
        {"seen_test_clips": ("run/2",)},
        {"seen_test_clips": ()},
        {"validation_clips": ("sit/2", "stand/1")},
        {"test_clips": ("climb/1", "swim/2")},
        {
            "seen_test_clips": ("run/1", "jump/2"),
            "train_clips": ("run/2", "jump/1"),
        },  # the same clips in other lists
        {"average": "mean_class"},
        {"views": 25},
        {"generalised": True},
    ]
    hashes = {replace(PLAIN, **change).hash for change in changes}
    assert len(hashes | {PLAIN.hash}) == len(changes) + 1
    trained = [
        change
        for change in changes
        if {"seen", "validation", "train_clips", "seen_test_clips", "validation_clips"} & change.keys()
    ]
    assert (
        len({replace(PLAIN, **change).training_hash for change in trained} | {PLAIN.training_hash})
        == len(trained) + 1
        == 9
    )
    tested = [change for change in [*same, *changes] if change not in trained and "seen" not in change]
    assert {replace(PLAIN, **change).training_hash for change in tested} == {PLAIN.training_hash}
    assert (
        replace(PLAIN, seen=("jump", "run")).training_hash != PLAIN.training_hash
    )  # class numbers change with the order


def test_the_hash_is_of_the_split_not_of_the_seed_that_drew_it():
    with_no_choice = CLIPS[
        CLIPS["id"].str[-1].isin(["0"])
    ]  # one clip a class: nothing is drawn, and no clip held out
    made = [
        make_protocol(f"seed {seed}", with_no_choice, ["a0", "b0"], ["c0", "c1"], seed, seen_test_share=0)
        for seed in range(3)
    ]
    assert len({protocol.hash for protocol in made}) == 1
    assert (
        len({make_protocol("same name", CLIPS, ["a0", "b0"], ["c0", "c1"], seed).hash for seed in range(3)})
        == 3
    )


def test_the_candidates():
    assert PLAIN.candidates == ("climb", "swim")
    assert RICH.candidates == ("run", "jump", "climb", "swim")


def test_a_generalised_variant():
    variant = generalised(PLAIN)
    assert (
        variant == replace(PLAIN, name="plain, generalised", generalised=True) and variant.hash != PLAIN.hash
    )
    assert generalised(variant) == variant and plain(variant) == plain(PLAIN) == PLAIN
    with pytest.raises(
        ValueError,
        match="scores held-out clips of seen classes, 'plain' has none; make it with seen_test_share above 0",
    ):
        generalised(replace(PLAIN, seen_test_clips=()))


def test_a_protocol_is_printed_as_a_paragraph():
    text = " ".join(str(PLAIN).split())
    assert text == (
        "plain. 2 seen, 2 validation and 2 unseen classes; 2 train, 2 seen test, 2 validation, 2 test clips. 2 candidates, the unseen classes;"
        f" chance level 50.00 %; micro average over clips; 1 view a clip. No training class removed. Hash {PLAIN.hash}."
    )
    rich = " ".join(str(RICH).split())
    assert rich == (
        "rich. Trained on kinetics700, tested on activitynet, segments. 2 seen, 2 validation and 2 unseen classes; 2 train, 2 seen test,"
        " 2 validation, 2 test clips, 3 left out. 4 candidates, the seen and unseen classes (generalised); chance level 25.00 %; mean of the"
        f" classes' averages; 25 views a clip. 2 training classes removed (the same name): dive, swim. Hash {RICH.hash}."
    )
    assert max(len(line) for line in str(RICH).splitlines()) <= 110
    many = replace(PLAIN, removed=tuple(f"k{n}" for n in range(20)), removed_rule="a rule")
    assert "20 training classes removed (a rule): k0, k1, k2, k3, k4, k5, k6, k7 and 12 more." in " ".join(
        str(many).split()
    )


def test_a_saved_protocol_comes_back(tmp_path):
    path = tmp_path / "protocol.json"
    for protocol in (PLAIN, RICH, family_stratified_split(CLIPS, CLASSES, 0)):
        protocol.save(path)
        assert Protocol.load(path) == protocol and Protocol.load(path).hash == protocol.hash
    RICH.save(path)
    assert read_json(path)["left_out"] == {"in no list": ["climb/8", "run/8"], "no reason": ["run/9"]}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"test_clips": ["climb/1"]},
            f"content must give its hash, '.*protocol.json' says {PLAIN.hash} but holds [0-9a-f]*; draw it anew",
        ),
        ({"views": 25}, "content must give its hash"),
        ({"hash": "0" * 16}, "says 0000000000000000 but holds"),
        (
            {"unseen": ["climb", "run"]},
            "'.*protocol.json' holds no valid protocol: a class must stand once .* 'run' is in seen and in unseen",
        ),
        (
            {"seed": 3, "path": "x"},
            "must have the keys of a protocol, '.*' has the unknown path, seed; delete it and draw it anew",
        ),
        (
            {"seen": "run"},
            "each key of a protocol file must be of its type, '.*' has seen = 'run'; draw it anew",
        ),
        ({"seen": ["run", 3]}, "of its type, '.*' has seen = "),
        ({"generalised": 1}, "of its type, '.*' has generalised = '1'"),
        ({"views": "1"}, "of its type, '.*' has views = '1'"),
        ({"left_out": [["run/9", "no reason"]]}, "of its type, '.*' has left_out = "),
        ({"hash": None}, "of its type, '.*' has hash = 'None'"),
    ],
)
def test_a_tampered_file_is_refused(change, message, tmp_path):
    path = tmp_path / "protocol.json"
    PLAIN.save(path)
    write_json(path, read_json(path) | change)
    with pytest.raises(ValueError, match=message):
        Protocol.load(path)


@pytest.mark.parametrize("key", ["hash", "views", "seen", "left_out"])
def test_a_file_that_lacks_a_key_is_refused(key, tmp_path):
    path = tmp_path / "protocol.json"
    PLAIN.save(path)
    write_json(path, {name: value for name, value in read_json(path).items() if name != key})
    with pytest.raises(ValueError, match=f"'.*protocol.json' lacks {key}; delete it and draw it anew"):
        Protocol.load(path)


def test_a_file_that_is_no_protocol_is_refused(tmp_path):
    path = tmp_path / "protocol.json"
    with pytest.raises(FileNotFoundError, match="there is no file"):
        Protocol.load(path)
    write_json(path, ["run", "jump"])
    with pytest.raises(
        ValueError, match="must be a protocol file, but it holds a list; split the protocol anew"
    ):
        Protocol.load(path)
    path.write_text('{"name": "cut')
    with pytest.raises(ValueError, match="must be a whole json file"):
        Protocol.load(path)


def test_make_protocol_by_hand():
    made = make_protocol(
        "mine", CLIPS, unseen=["b0", "a0"], validation=["c0", "c1"], seed=0, seen_test_share=0.4
    )
    assert made.unseen == ("a0", "b0") and made.validation == ("c0", "c1")
    assert made.seen == tuple(sorted(set(CLASSES["name"]) - {"a0", "b0", "c0", "c1"}))
    assert made.test_clips == tuple(f"{name}/{n}" for name in ("a0", "b0") for n in range(5))
    assert made.validation_clips == tuple(f"{name}/{n}" for name in ("c0", "c1") for n in range(5))
    for name in made.seen:  # two of five clips of each seen class are held out
        assert sum(clip.startswith(f"{name}/") for clip in made.seen_test_clips) == 2
        assert sum(clip.startswith(f"{name}/") for clip in made.train_clips) == 3
    assert all_clips(made) == sorted(CLIPS["id"])
    shuffled = CLIPS.sample(frac=1, random_state=3)
    assert (
        make_protocol(
            "mine", shuffled, unseen=["a0", "b0"], validation=["c0", "c1"], seed=0, seen_test_share=0.4
        )
        == made
    )
    assert (
        make_protocol("mine", CLIPS, ["a0", "b0"], ["c0", "c1"], seed=1, seen_test_share=0.4).train_clips
        != made.train_clips
    )


def test_the_held_out_clips_of_a_seed_stay_what_they_were():
    made = make_protocol("mine", CLIPS, ["a0", "b0"], ["c0", "c1"], seed=5, seen_test_share=0.1)
    assert made.seen_test_clips == (
        "a1/4",
        "a2/1",
        "a3/4",
        "a4/3",
        "b1/4",
        "b2/2",
        "b3/3",
        "c2/2",
        "c3/4",
        "d0/0",
        "d1/3",
        "d2/1",
    )
    made = make_protocol("mine", CLIPS, ["a0", "b0"], ["c0", "c1"], seed=5, seen_test_share=0.4)
    assert made.seen_test_clips == (
        "a1/3",
        "a1/4",
        "a2/1",
        "a2/4",
        "a3/0",
        "a3/4",
        "a4/0",
        "a4/3",
        "b1/2",
        "b1/4",
        "b2/1",
        "b2/2",
        "b3/2",
        "b3/3",
        "c2/2",
        "c2/4",
        "c3/1",
        "c3/4",
        "d0/0",
        "d0/2",
        "d1/2",
        "d1/3",
        "d2/0",
        "d2/1",
    )
    for without_groups in ("", None):
        assert (
            make_protocol(
                "mine",
                CLIPS.assign(group=without_groups),
                ["a0", "b0"],
                ["c0", "c1"],
                seed=5,
                seen_test_share=0.4,
            )
            == made
        )


@pytest.mark.parametrize("share", [0.01, 0.2])
def test_at_least_one_clip_of_each_seen_class_is_held_out(share):
    made = make_protocol("mine", CLIPS, ["a0", "b0"], ["c0", "c1"], seed=0, seen_test_share=share)
    assert sorted(clip.split("/")[0] for clip in made.seen_test_clips) == list(made.seen)


def test_a_share_of_zero_holds_out_nothing():
    made = make_protocol("mine", CLIPS, ["a0", "b0"], [], seed=0, seen_test_share=0)
    assert made.seen_test_clips == made.validation_clips == () and all_clips(made) == sorted(CLIPS["id"])
    for share in (-0.1, 1.0):
        with pytest.raises(ValueError, match=rf"seen_test_share must be in 0 up to below 1 .*, got {share}"):
            make_protocol("mine", CLIPS, ["a0", "b0"], [], seed=0, seen_test_share=share)


def test_the_seen_classes_may_be_given_and_the_fields_handed_on():
    made = make_protocol(
        "mine",
        CLIPS,
        ["a0", "b0"],
        [],
        0,
        seen=["c1", "c0"],
        views=25,
        generalised=True,
        average="mean_class",
        removed=["z", "y"],
        removed_rule="r",
    )
    assert made.seen == ("c0", "c1") and {clip[:2] for clip in made.train_clips + made.seen_test_clips} == {
        "c0",
        "c1",
    }
    assert (made.views, made.generalised, made.average, made.removed, made.removed_rule) == (
        25,
        True,
        "mean_class",
        ("y", "z"),
        "r",
    )
    with pytest.raises(TypeError, match="unexpected keyword argument 'vews'"):
        make_protocol("mine", CLIPS, ["a0", "b0"], [], 0, vews=25)


def test_a_class_without_a_readable_clip_is_named():
    with pytest.raises(ValueError, match="needs a readable clip, 'z9' has none; leave it out or add videos"):
        make_protocol("mine", CLIPS, ["a0", "z9"], [], seed=0)
    without = CLIPS[CLIPS["class"] != "a1"]
    with pytest.raises(ValueError, match="needs a readable clip, 'a1' has none"):
        make_protocol("mine", without, ["a0", "b0"], ["a1"], seed=0)
    with pytest.raises(ValueError, match="needs a readable clip, 'a1' has none"):
        make_protocol("mine", without, ["a0", "b0"], [], seed=0, seen=["a1", "c0"])


def test_lists_that_overlap_are_refused():
    with pytest.raises(ValueError, match="'a0' is in validation and in unseen"):
        make_protocol("mine", CLIPS, ["a0", "b0"], ["a0"], seed=0)
    with pytest.raises(
        ValueError, match="each clip id must stand once in all catalogs of a protocol, 'a0/0' stands twice"
    ):
        make_protocol("mine", pd.concat([CLIPS, CLIPS[:1]]), ["a0", "b0"], [], seed=0)


def test_a_seen_class_with_one_group_is_refused():
    fewer = CLIPS[~CLIPS["id"].isin([f"d1/{n}" for n in range(1, 5)])]
    message = r"a source group to train on and another to hold out, 'd1' has 1 \(clips: {}\) on one side only; .*seen_test_share=0"
    with pytest.raises(ValueError, match=message.format(1)):
        make_protocol("mine", fewer, ["a0", "b0"], ["c0", "c1"], seed=0)
    made = make_protocol(
        "mine", fewer, ["a0", "d1"], ["c0", "c1"], seed=0
    )  # as an unseen class one clip is enough
    assert "d1/0" in made.test_clips
    one_source = CLIPS.assign(group=np.where(CLIPS["class"] == "d1", "video 7", ""))
    with pytest.raises(ValueError, match=message.format(5)):
        make_protocol("mine", one_source, ["a0", "b0"], ["c0", "c1"], seed=0)
    assert (
        "d1/0"
        in make_protocol(
            "mine", one_source, ["a0", "b0"], ["c0", "c1"], seed=0, seen_test_share=0
        ).train_clips
    )


def random_table(seed: int) -> pd.DataFrame:
    """10 to 14 classes of 6 to 20 clips in groups of any size; a few groups lie in several classes, some clips have none."""
    random = np.random.default_rng(seed)
    rows = []
    for label in range(random.integers(10, 15)):
        n_groups = random.integers(3, 7)
        for number in range(random.integers(6, 21)):
            kind = random.random()
            group = (
                f"shared {random.integers(6)}"
                if kind < 0.04
                else ""
                if kind < 0.2
                else f"{label} g{random.integers(n_groups)}"
            )
            rows.append((f"c{label:02}/{number:02}", f"c{label:02}", group))
    return pd.DataFrame(rows, columns=["id", "class", "group"])


@pytest.mark.parametrize("seed", range(40))
def test_no_source_group_lies_on_both_sides_and_no_clip_is_lost(seed):
    table = random_table(seed)
    names = sorted(set(table["class"]))
    made = make_protocol("mine", table, names[:2], names[2:4], seed, seen_test_share=0.3)
    group_of = {clip: group or clip for clip, group in zip(table["id"], table["group"])}
    trained = {group_of[clip] for clip in made.train_clips}
    for role in ("seen test", "validation", "test"):
        assert not trained & {group_of[clip] for clip in made.roles[role]}
    assert sorted(all_clips(made) + [clip for clip, _ in made.left_out]) == sorted(table["id"])
    assert {reason for _, reason in made.left_out} <= {
        "held by a source group of a test clip",
        "held by a source group of a validation clip",
    }
    assert made.test_clips == tuple(
        table["id"][table["class"].isin(names[:2])]
    )  # no test clip is lost to a training one
    for name in made.seen:
        assert all(
            any(clip.startswith(name) for clip in clips) for clips in (made.train_clips, made.seen_test_clips)
        )
    assert (
        make_protocol(
            "mine", table.sample(frac=1, random_state=seed), names[:2], names[2:4], seed, seen_test_share=0.3
        )
        == made
    )


def test_what_a_group_of_a_test_clip_takes_along():
    table = CLIPS.assign(group="")
    table.loc[table["id"].isin(["a0/0", "c0/0", "d0/0"]), "group"] = "one video"
    table.loc[table["id"].isin(["c1/1", "d1/1"]), "group"] = "another"
    made = make_protocol("mine", table, ["a0", "b0"], ["c0", "c1"], seed=0)
    of_test, of_validation = (
        "held by a source group of a test clip",
        "held by a source group of a validation clip",
    )
    assert made.left_out == (("c0/0", of_test), ("d0/0", of_test), ("d1/1", of_validation))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            PLAIN_CLIPS[PLAIN_CLIPS["id"] != "sit/1"],
            r"usable clip of its catalogs, 1 validation clips are not \(first 'sit/1'\)",
        ),
        (
            PLAIN_CLIPS.replace({"class": {"climb": "crawl"}}),
            "a test clip must be of a class of its list, 'climb/1' is of class 'crawl'",
        ),
        (
            PLAIN_CLIPS.assign(**{"class": PLAIN_CLIPS["class"].mask(PLAIN_CLIPS["id"] == "jump/1", "run")}),
            "one train clip, 'jump' has",
        ),
        (
            PLAIN_CLIPS.assign(group=["v", "", "", "v", "", "", "", ""]),
            "group v holds the train clip 'run/1' and the seen test clip 'jump/2'",
        ),
        (
            PLAIN_CLIPS.assign(group=["", "v", "", "", "", "", "", "v"]),
            "the train clip 'jump/1' and the test clip 'swim/1'; leave one out",
        ),
        (
            PLAIN_CLIPS.assign(group=["v", "", "", "", "v", "", "", ""]),
            "the train clip 'run/1' and the validation clip 'sit/1'",
        ),
        (
            pd.concat([PLAIN_CLIPS, PLAIN_CLIPS[-1:].assign(id="swim/2")]),
            r"or left out with a reason, 1 are not \(first 'swim/2'\); split",
        ),
        (pd.concat([PLAIN_CLIPS, PLAIN_CLIPS[-1:]]), "must stand once .* 'swim/1' stands twice"),
    ],
)
def test_a_protocol_that_does_not_fit_its_catalog_is_refused(change, message):
    check_against(PLAIN, PLAIN_CLIPS)
    with pytest.raises(ValueError, match=message):
        check_against(PLAIN, change)


def test_a_clip_left_out_with_a_reason_is_accepted():
    more = pd.concat([PLAIN_CLIPS, pd.DataFrame({"id": ["swim/2", "dive/1"], "class": ["swim", "dive"]})])
    check_against(replace(PLAIN, left_out=(("swim/2", "not in the official test list 1"),)), more)


def test_the_account_has_a_row_for_every_clip_usable_or_not():
    made = make_protocol(
        "mine",
        CLIPS.assign(group=np.where(CLIPS["id"].isin(["a0/0", "d0/0"]), "v", "")),
        ["a0", "b0"],
        [],
        0,
        seen=["c0", "c1", "d0"],
        removed=["d1"],
        removed_rule="a cosine distance under 0.05",
    )
    ok = CLIPS.assign(status="ok", reason="")
    bad = pd.DataFrame(
        [
            ("a0/9", "a0", "missing", "no file 9.mp4"),
            ("c0/9", "c0", "unreadable", "moov atom not found"),
            ("d1/9", "d1", "excluded", "blocked"),
            ("c0/notes.txt", "c0", "not a video", "'.txt' is not a video suffix"),
            ("z/1", "z", "not listed", ""),
        ],
        columns=ok.columns,
    )
    late = pd.DataFrame(
        [("c0/7", "c0", "ok", "")], columns=ok.columns
    )  # came to the catalog after the protocol was made
    found = account(made, ok, pd.concat([bad, late]))
    assert found.columns.tolist() == ["id", "class", "role", "reason"]
    assert found["id"].tolist() == [*CLIPS["id"], *bad["id"], "c0/7"]  # one row each, in their order
    assert {
        role: tuple(sorted(rows)) for role, rows in found.groupby("role")["id"] if role != "left out"
    } == {role: tuple(sorted(ids)) for role, ids in made.roles.items() if ids}
    reasons = found[found["role"] == "left out"].set_index("id")["reason"]
    assert (found["reason"][found["role"] != "left out"] == "").all() and (reasons != "").all()
    assert reasons["d0/0"] == "held by a source group of a test clip"
    assert reasons["d1/0"] == "its class was removed by a cosine distance under 0.05"
    assert reasons["a1/0"] == "its class takes no part"
    assert reasons["c0/7"] == "no list of the protocol names it"
    assert reasons[bad["id"]].tolist() == [
        "missing: no file 9.mp4",
        "unreadable: moov atom not found",
        "excluded: blocked",
        "not a video: '.txt' is not a video suffix",
        "not listed",
    ]
    assert len(account(made, bad)) == len(bad)


def test_the_account_refuses_a_protocol_of_unusable_clips():
    with pytest.raises(
        ValueError,
        match=r"clips must be usable, the train clip 'run/1' is 'unreadable' \(cut short\); split the protocol anew",
    ):
        account(PLAIN, PLAIN_CLIPS.assign(status="unreadable", reason="cut short"))


def test_a_table_with_clips_that_cannot_be_used_is_refused():
    clips = pd.DataFrame(
        {
            "id": [f"{c}/{n}" for c in "abcdef" for n in range(4)],
            "class": [c for c in "abcdef" for _ in range(4)],
        }
    )
    marked = clips.assign(status=["ok"] * 23 + ["missing"])
    make_protocol("whole", clips.assign(status="ok"), ["a", "b"], ["c", "d"], seed=0)
    with pytest.raises(
        ValueError,
        match=r"a protocol is made of usable clips, 1 are not \(first 'f/3', 'missing'\); give catalog.usable",
    ):
        make_protocol("marked", marked, ["a", "b"], ["c", "d"], seed=0)
