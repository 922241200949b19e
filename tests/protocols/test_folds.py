"""zsar_lab.protocols.splits: classes split into folds, and splits of a file of one's own."""

from __future__ import annotations

from dataclasses import replace

import pandas as pd
import pytest

from zsar_lab.protocols.protocol import ProtocolError
from zsar_lab.protocols.splits import ProtocolData, protocol_named

# family a has 5 classes, b and c 4, d 3
FAMILIES = [(f"{f}{n}", f) for f, size in {"a": 5, "b": 4, "c": 4, "d": 3}.items() for n in range(size)]
CLASSES = pd.DataFrame(FAMILIES, columns=["name", "family"])
CLIPS = pd.DataFrame([(f"{c}/{n}", c) for c in CLASSES["name"] for n in range(5)], columns=["id", "class"])
SMALL = ProtocolData(CLIPS, CLASSES, "small")


@pytest.mark.parametrize("n_folds", [3, 4, 7])
@pytest.mark.parametrize("data", [SMALL, replace(SMALL, classes=None)])
def test_over_the_folds_every_class_is_unseen_once(data, n_folds):
    for partition in range(2):
        numbers = range(partition * n_folds, (partition + 1) * n_folds)
        made = [protocol_named(f"folds-{n_folds}-{number}", data) for number in numbers]
        assert sorted(name for one in made for name in one.unseen) == data.names
        for one, following in zip(made, [*made[1:], made[0]]):
            assert set(one.validation) <= set(following.unseen) and len(one.validation) >= 2
            assert 2 * len(one.seen) >= len(data.names) or len(one.validation) == 2
            sizes = CLASSES.set_index("name").loc[list(one.unseen), "family"].value_counts()
            assert data.classes is None or sizes.max() <= -(-5 // n_folds)
    assert {one.unseen for one in made}.isdisjoint({protocol_named(f"folds-{n_folds}-0", data).unseen})


def test_splits_of_a_file_are_those_it_names(tmp_path):
    path = tmp_path / "mine.txt"
    path.write_text("a0, b1\nc2, d1\n")
    data = replace(SMALL, split_file=str(path))
    made = [protocol_named(f"file-{number}", data) for number in (1, 2)]
    assert [one.unseen for one in made] == [("a0", "b1"), ("c2", "d1")]
    assert all({*one.seen, *one.validation, *one.unseen} == {*SMALL.names} for one in made)
    for name, given, got in (("file-3", data, "got 3"), ("file-0", data, "got 0"), ("file-1", SMALL, "none")):
        with pytest.raises(ProtocolError, match=got):
            protocol_named(name, given)
    without = replace(data, clips=CLIPS[CLIPS["class"] != "b1"])
    with pytest.raises(ProtocolError, match="'b1' has none"):
        protocol_named("file-1", without)
    path.write_text("1, 2\n3, 4\n")
    with pytest.raises(ProtocolError, match="got ids"):
        protocol_named("file-1", data)


def test_the_folds_of_a_number_stay_what_they_were():
    made = protocol_named("folds-4-1", SMALL)
    assert " ".join(made.unseen) == "a2 b1 c1 d2" and " ".join(made.validation) == "a1 b3 c0 d0"


@pytest.mark.parametrize(("n_folds", "number"), [(2, 0), (9, 0), (1, 0), (0, 0)])
def test_folds_of_one_class_or_without_seen_ones_are_refused(n_folds, number):
    with pytest.raises(ProtocolError, match=f"got {n_folds} of 16"):
        protocol_named(f"folds-{n_folds}-{number}", SMALL)
