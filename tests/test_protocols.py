"""zsar_lab.data.protocols: nothing shared, nothing lost, and a hash that is of the content only."""

from __future__ import annotations

from dataclasses import replace

import pandas as pd
import pytest

from zsar_lab.artefacts import read_json, write_json
from zsar_lab.data.protocols import Protocol, family_stratified_draw, make_protocol, random_draw

# family a has 5 classes, b and c 4, d 3: too few to give one away
FAMILY_SIZES = {"a": 5, "b": 4, "c": 4, "d": 3}
CLASSES = pd.DataFrame(
    [(f"{family}{n}", family) for family, size in FAMILY_SIZES.items() for n in range(size)], columns=["name", "family"]
)
CLIPS = pd.DataFrame([(f"{name}/{n}", name) for name in CLASSES["name"] for n in range(5)], columns=["id", "class"])

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


def all_clips(protocol: Protocol) -> list[str]:
    return sorted(protocol.train_clips + protocol.seen_test_clips + protocol.validation_clips + protocol.test_clips)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"unseen": ("climb", "run")}, "a class must stand once in one of .*; 'run' is in seen and in unseen"),
        ({"validation": ("climb", "sit")}, "'climb' is in validation and in unseen"),
        ({"unseen": ("climb", "climb")}, "'climb' is in unseen and in unseen"),
        ({"test_clips": ("climb/1", "run/1")}, "a clip must stand once in one of .*; 'run/1' is in train and in test"),
        ({"seen_test_clips": ("run/1",)}, "'run/1' is in train and in seen test"),
        ({"train_clips": ()}, "needs train clips, got none"),
        ({"test_clips": ()}, "needs test clips, got none"),
        ({"unseen": ("climb",)}, "at least 2 seen, 2 validation and 2 unseen classes, got 2, 2 and 1"),
        ({"seen": ("run",)}, "at least 2 seen, 2 validation and 2 unseen classes, got 1, 2 and 2"),
        ({"validation": ("sit",)}, "got 2, 1 and 2; add classes"),
        ({"seen_test_clips": ()}, "needs seen test clips, got none"),
        ({"validation_clips": ()}, "needs validation clips, got none"),
        ({"average": "best"}, "average must be 'micro' or 'mean_class', got 'best'"),
    ],
)
def test_a_protocol_that_shares_or_lacks_something_is_refused(change, message):
    with pytest.raises(ValueError, match=message):
        replace(PLAIN, **change)


def test_the_hash_is_of_classes_and_clips_not_of_name_and_order():
    assert replace(PLAIN, name="other").hash == PLAIN.hash
    assert replace(PLAIN, seen=("jump", "run"), train_clips=("jump/1", "run/1")).hash == PLAIN.hash
    changes = [
        {"unseen": ("climb", "dive")},
        {"seen": ("run", "hop")},
        {"validation": ("sit", "kneel")},
        {"train_clips": ("run/1", "jump/3")},
        {"seen_test_clips": ("run/2",)},
        {"validation_clips": ("sit/2", "stand/1")},
        {"test_clips": ("climb/1", "swim/2")},
        {"seen_test_clips": ("run/1", "jump/2"), "train_clips": ("run/2", "jump/1")},  # the same clips in other lists
        {"average": "mean_class"},
    ]
    hashes = {replace(PLAIN, **change).hash for change in changes}
    assert len(hashes | {PLAIN.hash}) == len(changes) + 1


def test_a_saved_protocol_comes_back(tmp_path):
    for protocol in (PLAIN, family_stratified_draw(CLIPS, CLASSES, 0)):
        protocol.save(tmp_path / "protocol.json")
        assert Protocol.load(tmp_path / "protocol.json") == protocol


def test_a_tampered_file_is_refused(tmp_path):
    path = tmp_path / "protocol.json"
    PLAIN.save(path)
    content = read_json(path)
    write_json(path, content | {"test_clips": ["climb/1"]})
    with pytest.raises(ValueError, match=f"content must give its hash, '.*protocol.json' says {PLAIN.hash} but holds"):
        Protocol.load(path)
    write_json(path, {key: value for key, value in content.items() if key != "hash"})
    with pytest.raises(ValueError, match="says None but holds"):
        Protocol.load(path)


def test_make_protocol_by_hand():
    made = make_protocol("mine", CLIPS, unseen=["b0", "a0"], validation=["c0", "c1"], seed=0, seen_test_share=0.4)
    assert made.unseen == ("a0", "b0") and made.validation == ("c0", "c1")
    assert made.seen == tuple(sorted(set(CLASSES["name"]) - {"a0", "b0", "c0", "c1"}))
    assert made.test_clips == tuple(f"{name}/{n}" for name in ("a0", "b0") for n in range(5))
    assert made.validation_clips == tuple(f"{name}/{n}" for name in ("c0", "c1") for n in range(5))
    for name in made.seen:  # two of five clips of each seen class are held out
        assert sum(clip.startswith(f"{name}/") for clip in made.seen_test_clips) == 2
        assert sum(clip.startswith(f"{name}/") for clip in made.train_clips) == 3
    assert all_clips(made) == sorted(CLIPS["id"])
    shuffled = CLIPS.sample(frac=1, random_state=3)
    assert make_protocol("mine", shuffled, unseen=["a0", "b0"], validation=["c0", "c1"], seed=0, seen_test_share=0.4) == made
    assert make_protocol("mine", CLIPS, ["a0", "b0"], ["c0", "c1"], seed=1, seen_test_share=0.4).train_clips != made.train_clips


@pytest.mark.parametrize("share", [0.0, 0.01, 0.2])
def test_at_least_one_clip_of_each_seen_class_is_held_out(share):
    made = make_protocol("mine", CLIPS, ["a0", "b0"], ["c0", "c1"], seed=0, seen_test_share=share)
    assert sorted(clip.split("/")[0] for clip in made.seen_test_clips) == list(made.seen)


def test_a_class_without_a_readable_clip_is_named():
    with pytest.raises(ValueError, match="needs a readable clip, 'z9' has none; leave it out or add videos"):
        make_protocol("mine", CLIPS, ["a0", "z9"], [], seed=0)
    without = CLIPS[CLIPS["class"] != "a1"]
    with pytest.raises(ValueError, match="needs a readable clip, 'a1' has none"):
        make_protocol("mine", without, ["a0", "b0"], ["a1"], seed=0)


def test_lists_that_overlap_are_refused():
    with pytest.raises(ValueError, match="'a0' is in validation and in unseen"):
        make_protocol("mine", CLIPS, ["a0", "b0"], ["a0"], seed=0)


def test_a_seen_class_with_one_clip_is_refused():
    fewer = CLIPS[~CLIPS["id"].isin([f"d1/{n}" for n in range(1, 5)])]
    with pytest.raises(ValueError, match="at least 2 readable clips .*, 'd1' has 1; add videos"):
        make_protocol("mine", fewer, ["a0", "b0"], ["c0", "c1"], seed=0)
    made = make_protocol("mine", fewer, ["a0", "d1"], ["c0", "c1"], seed=0)  # as an unseen class one clip is enough
    assert "d1/0" in made.test_clips


def test_the_family_draw_takes_one_unseen_and_one_validation_class_from_each_large_family():
    for draw in range(8):
        made = family_stratified_draw(CLIPS, CLASSES, draw)
        assert [name[0] for name in made.unseen] == ["a", "b", "c"] == [name[0] for name in made.validation]
        assert made.test_clips == tuple(f"{name}/{n}" for name in made.unseen for n in range(5))
        assert all_clips(made) == sorted(CLIPS["id"])


def test_draws_repeat_by_number_and_differ_across_numbers():
    for drawn in (lambda n: family_stratified_draw(CLIPS, CLASSES, n), lambda n: random_draw(CLIPS, n, 4, 3)):
        assert drawn(1) == drawn(1)
        assert len({drawn(n).unseen for n in range(6)}) > 2
        assert drawn(0).hash != drawn(1).hash
    # the order of the rows is not what is drawn from
    assert family_stratified_draw(CLIPS[::-1], CLASSES[::-1], 2) == family_stratified_draw(CLIPS, CLASSES, 2)
    assert random_draw(CLIPS[::-1], 2, 4, 3) == random_draw(CLIPS, 2, 4, 3)


def test_every_class_of_a_large_family_is_drawn_at_some_time():
    drawn = {name for n in range(60) for name in family_stratified_draw(CLIPS, CLASSES, n).unseen}
    assert drawn == {name for name in CLASSES["name"] if name[0] in "abc"}


def test_a_class_without_clips_does_not_count_for_its_family():
    made = family_stratified_draw(CLIPS[CLIPS["class"] != "b3"], CLASSES, 0)  # leaves three classes in family b
    assert [name[0] for name in made.unseen] == ["a", "c"]


def test_a_family_draw_needs_families():
    with pytest.raises(ValueError, match="needs the column 'family' in classes.csv"):
        family_stratified_draw(CLIPS, CLASSES[["name"]], 0)
    with pytest.raises(ValueError, match="at least 2 families of 4 classes or more, got 1; use random draws only"):
        family_stratified_draw(CLIPS, CLASSES[CLASSES["family"].isin(["a", "d"])], 0)


def test_the_random_draw():
    made = random_draw(CLIPS, 0, n_unseen=4, n_validation=3)
    assert (len(made.unseen), len(made.validation), len(made.seen)) == (4, 3, 9)
    assert made.test_clips == tuple(f"{name}/{n}" for name in made.unseen for n in range(5))
    assert all_clips(made) == sorted(CLIPS["id"])
    by_default = random_draw(CLIPS, 0)
    assert len(by_default.unseen) >= 2 and len(by_default.seen) >= 2
    assert all_clips(by_default) == sorted(CLIPS["id"])


@pytest.mark.parametrize(("n_unseen", "n_validation"), [(10, 5), (1, 0), (0, 3)])
def test_a_random_draw_of_too_few_classes_is_refused(n_unseen, n_validation):
    with pytest.raises(ValueError, match=f"got {n_unseen} unseen and {n_validation} validation of 16 classes; add classes"):
        random_draw(CLIPS, 0, n_unseen, n_validation)
    with pytest.raises(ValueError, match="needs 2 unseen and 2 seen classes or more .* of 3 classes; add classes"):
        random_draw(CLIPS[CLIPS["class"].isin(["a0", "a1", "a2"])], 0)
