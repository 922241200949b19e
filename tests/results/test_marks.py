"""zsar_lab.results.tags: tags on clips are kept whole in a csv file, and a score without them says so."""

from __future__ import annotations

import csv
import dataclasses
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from zsar_lab.results.tags import (
    AMBIGUOUS,
    COLUMNS,
    KINDS,
    LABEL_WRONG,
    TEXT_WRONG,
    Tag,
    Tags,
    score_without,
)

IDS = tuple("abcdefgh")
TARGETS = np.array([0, 0, 0, 0, 0, 0, 1, 1])
ANSWERS = np.array([0, 0, 0, 1, 1, 1, 1, 0])  # right: a b c and g


def result_of(average: str = "micro") -> SimpleNamespace:
    rank = np.where(ANSWERS == TARGETS, 1, 2)
    rows = pd.DataFrame({"clip": IDS, "label": TARGETS, "prediction": ANSWERS, "rank": rank})
    return SimpleNamespace(protocol=SimpleNamespace(average=average), rows=lambda method: rows)


def test_tags_are_kept_in_a_csv_file_and_read_back(tmp_path):
    tags = Tags(tmp_path / "new" / "tags.csv")
    assert tags.table().empty and tuple(tags.table().columns) == COLUMNS and not tags.path.exists()
    note = 'two, "people"\nand  a dog, é'
    tags.add(Tag("A/0", "A", "split-0", "transfer", LABEL_WRONG, note))
    tags.add(Tag("B/0", "NA", "split-1", "direct", TEXT_WRONG, "=1", time="2026-01-02T03:04:05+00:00"))
    with open(tags.path, encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file))
    assert rows[0] == list(COLUMNS) and rows[1][:6] == [
        "A/0",
        "A",
        "split-0",
        "transfer",
        "label wrong",
        'two, "people" and a dog, é',
    ]
    assert rows[2] == ["B/0", "NA", "split-1", "direct", "text wrong", "=1", "2026-01-02T03:04:05+00:00"]
    assert rows[1][6][10] == "T" and rows[1][6].endswith("+00:00")
    assert Tags(tags.path).table().to_numpy().tolist() == rows[1:] and tags.kinds() == {
        "A/0": LABEL_WRONG,
        "B/0": TEXT_WRONG,
    }


@pytest.mark.long
def test_two_processes_at_once_lose_no_tag(tmp_path):
    pytest.importorskip("fcntl", reason="the system knows no such lock")
    code = (
        "import sys\nfrom zsar_lab.results.tags import Tag, Tags\n"
        "for n in range(40):\n    Tags(sys.argv[1]).add(Tag(f'{sys.argv[2]}/{n}', 'A', 'd', 'transfer', 'ambiguous'))\n"
    )
    path = tmp_path / "tags.csv"
    started = [
        subprocess.Popen([sys.executable, "-c", code, str(path), who], cwd=Path(__file__).parents[2])
        for who in "ab"
    ]
    assert [process.wait(120) for process in started] == [0, 0]
    assert len(Tags(path).table()) == 80


def test_names_with_markup_and_commas_come_back_letter_by_letter(tmp_path):
    tags = Tags(tmp_path / "tags.csv")
    for hostile in ("<img src=x onerror=alert(1)>", "</script><script>alert(1)</script>", 'a, "b" & c'):
        tags.add(Tag(f"{hostile}/0", hostile, hostile, hostile, AMBIGUOUS, hostile, time="now"))
        assert tags.table().to_numpy().tolist()[-1] == [
            f"{hostile}/0",
            hostile,
            hostile,
            hostile,
            AMBIGUOUS,
            hostile,
            "now",
        ]


def test_a_clip_has_one_tag_the_last_and_it_can_be_removed(tmp_path):
    first, second = Tags(tmp_path / "tags.csv"), Tags(tmp_path / "tags.csv")
    first.add(Tag("A/0", "A", "split-0", "transfer", LABEL_WRONG))
    second.add(Tag("A/1", "A", "split-0", "transfer", LABEL_WRONG))  # another notebook
    first.add(Tag("A/0", "A", "split-0", "transfer", AMBIGUOUS))
    assert second.kinds() == {"A/1": LABEL_WRONG, "A/0": AMBIGUOUS}
    second.remove("A/1")
    assert first.kinds() == {"A/0": AMBIGUOUS} and not [
        path for path in tmp_path.iterdir() if path.name != "tags.csv"
    ]
    with pytest.raises(ValueError, match=r"a tag can be removed from one of the 1 tagged clips, got 'A/1'"):
        first.remove("A/1")


HEAD = ",".join(COLUMNS) + "\n"


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "must be a csv table"),
        (
            b"clip,kind\na,ambiguous\n",
            "must have the columns clip, class, split, method, kind, note, time, got clip, kind",
        ),
        (
            HEAD.encode() + b"a,A,d,r,odd,,\n",
            "must have kinds among label wrong, ambiguous, text wrong, got 'odd'",
        ),
        (HEAD.encode() + b"a,A,d,r,ambiguous,,\n" * 2, "must name each clip once, got 'a' again"),
        (HEAD.encode() + b"a,A,d,r,ambiguous,,,more\n", "must have the columns"),
        (HEAD.encode() + b"a,A,d,r,ambiguous,\xff\xfe,\n", "must be a UTF-8 csv table"),
    ],
)
def test_a_bad_file_is_refused_in_a_sentence_and_kept(tmp_path, content, sentence):
    tags = Tags(tmp_path / "tags.csv")
    tags.path.write_bytes(content)
    for action in (
        tags.table,
        lambda: tags.add(Tag("b", "B", "d", "r", AMBIGUOUS)),
        lambda: tags.remove("a"),
    ):
        with pytest.raises(ValueError, match=f"a file of tags {sentence}.*mend it, or move it away"):
            action()
    assert tags.path.read_bytes() == content


def test_tags_of_another_kind_or_file_are_refused(tmp_path):
    with pytest.raises(
        ValueError, match="a tag must be one of label wrong, ambiguous, text wrong, got 'odd'"
    ):
        Tag("a", "A", "d", "r", "odd")
    with pytest.raises(ValueError, match="a tag must name a clip, got none"):
        Tag("", "A", "d", "r", AMBIGUOUS)
    with pytest.raises(ValueError, match="must end in .csv, got"):
        Tags(tmp_path / "tags.txt")


def test_the_score_without_marked_clips_by_hand():
    kinds = {"d": LABEL_WRONG, "e": LABEL_WRONG, "a": AMBIGUOUS, "elsewhere": AMBIGUOUS}
    scored = score_without(result_of(), "transfer", kinds)
    assert (scored.n_clips, scored.top1, scored.n_kept, scored.top1_kept) == (8, 0.5, 5, pytest.approx(3 / 5))
    assert scored.left_out == {LABEL_WRONG: 2, AMBIGUOUS: 1} and scored.n_wrong_left_out == 2
    assert scored.sentence() == (
        "transfer 50.0 % on 8 clips; 60.0 % on the 5 not tagged (3 left out: 2 label wrong, 1 ambiguous): not comparable with published numbers."
        " Of those left out 2 were named wrongly; a score rises by leaving such out."
    )
    only = score_without(result_of(), "transfer", kinds, (AMBIGUOUS,))
    assert only.left_out == {AMBIGUOUS: 1} and only.top1_kept == pytest.approx(3 / 7)


@pytest.mark.parametrize("average", ["micro", "mean_class"])
def test_it_is_the_score_of_a_result_that_never_had_those_clips(average):
    random, right = np.random.default_rng(0), TARGETS == ANSWERS
    for _ in range(20):
        tagged = {
            name: str(random.choice(KINDS)) for name in random.permutation(list(IDS))[: random.integers(1, 7)]
        }
        scored = score_without(result_of(average), "transfer", tagged)
        groups = [[], []]
        for name, target, is_right in zip(IDS, TARGETS, right):
            if name not in tagged:
                groups[target].append(float(is_right))
        groups = groups if average == "mean_class" else [groups[0] + groups[1]]
        means = [sum(group) / len(group) for group in groups if group]
        assert scored.top1_kept == pytest.approx(sum(means) / len(means))


def test_no_tag_and_nothing_but_tags_are_said():
    assert (
        score_without(result_of(), "transfer", {"z": AMBIGUOUS}).sentence()
        == "transfer 50.0 % on 8 clips; none of them is left out."
    )
    nothing = score_without(result_of("mean_class"), "transfer", dict.fromkeys(IDS, TEXT_WRONG))
    assert nothing.top1_kept is None
    assert (
        nothing.sentence()
        == "transfer 50.0 % (mean over classes) on 8 clips; no clip is left to score (8 left out: 8 text wrong)."
    )
    with pytest.raises(
        ValueError,
        match="kinds of tags to leave out must be among label wrong, ambiguous, text wrong, got 'odd'",
    ):
        score_without(result_of(), "transfer", {}, ("odd",))
    assert dataclasses.asdict(nothing)["n_kept"] == 0
