"""zsar_lab.results.tags: tags on clips come back whole from a csv file, and a score without them says so."""

from __future__ import annotations

import csv
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from zsar_lab.results.tags import AMBIGUOUS, COLUMNS, LABEL_WRONG, TEXT_WRONG, Tags, score_without

IDS, TARGETS = tuple("abcdefgh"), np.array([0, 0, 0, 0, 0, 0, 1, 1])
PREDICTED = np.array([0, 0, 0, 1, 1, 1, 1, 0])  # right: a b c and g
HEAD = ",".join(COLUMNS).encode() + b"\n"


def predictions_of(average: str = "micro") -> SimpleNamespace:
    rows = pd.DataFrame({"clip": IDS, "label": TARGETS, "prediction": PREDICTED})
    return SimpleNamespace(protocol=SimpleNamespace(average=average), rows=lambda method: rows)


def test_tags_are_saved_in_a_csv_file_and_read_back(tmp_path):
    tags = Tags(tmp_path / "new" / "tags.csv")
    assert tags.table().empty and tuple(tags.table().columns) == COLUMNS and not tags.path.exists()
    tags.add("A/0", "A", "split-0", "transfer", LABEL_WRONG, 'two, "people"\nand  a dog, é')
    hostile = '</script><img src=x onerror=alert(1)>, "b" & c'
    tags.add(f"{hostile}/0", hostile, "NA", "direct", TEXT_WRONG, "=1")
    with open(tags.path, encoding="utf-8", newline="") as file:
        head, first, second = csv.reader(file)
    assert head == list(COLUMNS)
    assert first[:6] == ["A/0", "A", "split-0", "transfer", "label wrong", 'two, "people" and a dog, é']
    assert first[6][10] == "T" and first[6].endswith("+00:00")
    assert second[:4] == [f"{hostile}/0", hostile, "NA", "direct"] and second[5:] == ["=1", second[6]]
    assert Tags(tags.path).table().to_numpy().tolist() == [first, second]
    assert tags.kinds() == {"A/0": LABEL_WRONG, f"{hostile}/0": TEXT_WRONG}


@pytest.mark.long
def test_two_processes_at_once_lose_no_tag(tmp_path):
    code = (
        "import sys\nfrom zsar_lab.results.tags import Tags\n"
        "for n in range(40):\n"
        "    Tags(sys.argv[1]).add(f'{sys.argv[2]}/{n}', 'A', 'd', 'transfer', 'ambiguous')\n"
    )
    path, root = tmp_path / "tags.csv", Path(__file__).parents[2]
    started = [subprocess.Popen([sys.executable, "-c", code, str(path), who], cwd=root) for who in "ab"]
    assert [process.wait(120) for process in started] == [0, 0] and len(Tags(path).table()) == 80


def test_a_clip_has_one_tag_the_last_and_it_can_be_removed(tmp_path):
    first, second = Tags(tmp_path / "tags.csv"), Tags(tmp_path / "tags.csv")
    first.add("A/0", "A", "split-0", "transfer", LABEL_WRONG)
    second.add("A/1", "A", "split-0", "transfer", LABEL_WRONG)  # another notebook
    first.add("A/0", "A", "split-0", "transfer", AMBIGUOUS)
    assert second.kinds() == {"A/1": LABEL_WRONG, "A/0": AMBIGUOUS}
    second.remove("A/1")
    assert first.kinds() == {"A/0": AMBIGUOUS}
    with pytest.raises(ValueError, match="'A/1' must be one of the 1 tagged clips"):
        first.remove("A/1")
    for clip, kind in (("a", "odd"), ("", AMBIGUOUS)):
        with pytest.raises(ValueError, match=f"got '{clip}' and '{kind}'"):
            first.add(clip, "A", "d", "r", kind)
    with pytest.raises(ValueError, match=r"\.csv, got .*tags\.txt"):
        Tags(tmp_path / "tags.txt")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "csv table"),
        (b"clip,kind\na,ambiguous\n", "columns .*, got clip, kind"),
        (HEAD + b"a,A,d,r,odd,,\n", "kinds among .*, got 'odd'"),
        (HEAD + b"a,A,d,r,ambiguous,,\n" * 2, "each clip once, got 'a' again"),
        (HEAD + b"a,A,d,r,ambiguous,,,more\n", "columns"),
        (HEAD + b"a,A,d,r,ambiguous,\xff\xfe,\n", "UTF-8"),
    ],
)
def test_a_bad_file_is_refused_and_left_as_it_is(tmp_path, content, words):
    tags = Tags(tmp_path / "tags.csv")
    tags.path.write_bytes(content)
    add, remove = lambda: tags.add("b", "B", "d", "r", AMBIGUOUS), lambda: tags.remove("a")
    for action in (tags.table, add, remove):
        with pytest.raises(ValueError, match=f"tags.csv' must .*{words}"):
            action()
    assert tags.path.read_bytes() == content


def test_the_score_without_tagged_clips_by_hand():
    kinds = {"d": LABEL_WRONG, "e": LABEL_WRONG, "a": AMBIGUOUS, "elsewhere": AMBIGUOUS}
    scored = score_without(predictions_of(), "transfer", kinds)
    assert (scored.n_clips, scored.top1, scored.n_kept, scored.top1_kept) == (8, 0.5, 5, 3 / 5)
    assert scored.left_out == {LABEL_WRONG: 2, AMBIGUOUS: 1} and scored.n_wrong_left_out == 2
    words = "transfer 50.0 % on 8 clips; 60.0 % on the 5 not tagged (3 left out: 2 label wrong, 1 ambiguous)"
    assert scored.sentence().startswith(words) and "not comparable" in scored.sentence()
    only = score_without(predictions_of(), "transfer", kinds, (AMBIGUOUS,))
    assert only.left_out == {AMBIGUOUS: 1} and only.top1_kept == 3 / 7
    mean = score_without(predictions_of("mean_class"), "transfer", kinds)  # 2 of 3, 1 of 2 clips are right
    assert (mean.top1, mean.top1_kept) == (0.5, pytest.approx((2 / 3 + 1 / 2) / 2))


def test_no_tag_and_nothing_but_tags_are_said():
    none = score_without(predictions_of(), "transfer", {"z": AMBIGUOUS})
    assert none.sentence() == "transfer 50.0 % on 8 clips; none of them is left out."
    nothing = score_without(predictions_of("mean_class"), "transfer", dict.fromkeys(IDS, TEXT_WRONG))
    assert (nothing.n_kept, nothing.top1_kept) == (0, None)
    assert "(mean over classes)" in nothing.sentence() and "8 left out: 8 text wrong" in nothing.sentence()
    with pytest.raises(ValueError, match="got 'odd'"):
        score_without(predictions_of(), "transfer", {}, ("odd",))
