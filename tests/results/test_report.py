"""What a report keeps of every row (fingerprints, counts by class), and report.json: written compactly, refused if not whole."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from planted_splits import TARGETS, UNSEEN
from small_report import PROMPTS, as_read, small_report, small_split

from zsar_lab.files import write_json
from zsar_lab.results.evaluate import TRANSFER, SplitResult
from zsar_lab.results.report import Report, make_report, save_report
from zsar_lab.results.report_json import check_report, read_report, rows_of
from zsar_lab.results.statistics import paired_difference, paired_p_value

PRINTS = {"protocol", "catalog", "frames", "class_text", "encoder", "checkpoints", "method"}


@pytest.fixture(scope="module")
def report() -> Report:
    return small_report()


@pytest.fixture
def content(report) -> dict:
    return as_read(report)


def all_rows(content: dict) -> list[dict]:
    return [row for part in ("methods", "class_texts", "corrections") for row in rows_of(content, part)]


def test_every_row_has_its_fingerprints(content):
    rows = all_rows(content)
    assert len(rows) == 6 + 2 * len(PROMPTS) + 4
    for row in rows:
        prints = row["fingerprints"]
        assert set(prints) == PRINTS and prints["protocol"] == content["protocol"]["hash"]
        assert (prints["catalog"], prints["frames"], prints["encoder"]) == ("catalog", "frames", "e")
        assert prints["class_text"] == f"print of {row['class_text']}"
    assert len({row["fingerprints"]["checkpoints"] for row in rows}) == 1
    different = {(row["method"], row["setting"], json.dumps(row["settings"])) for row in rows}
    assert len({row["fingerprints"]["method"] for row in rows}) == len(different)


def test_a_fingerprint_follows_what_it_is_of_and_nothing_else(report):
    def changed(other: Report) -> set[str]:
        before, after = report.fingerprints(report.row(TRANSFER)), other.fingerprints(other.row(TRANSFER))
        return {name for name in PRINTS if before[name] != after[name]}

    assert changed(small_report()) == set() and changed(small_report(checkpoint="d")) == {"checkpoints"}
    assert changed(replace(report, catalog_fingerprint="other")) == {"catalog"} and changed(
        replace(report, frames_fingerprint="other")
    ) == {"frames"}
    assert changed(small_report((1, 0))) == {
        "protocol"
    }  # that of the splits in their order; checkpoints and settings go with their splits
    results = [
        replace(r, methods=tuple(replace(s, settings={"k": 7}) for s in r.methods)) for r in report.results
    ]
    assert changed(make_report("x", results, "catalog", "frames")) == {"method"}
    results = [replace(r, text_fingerprints={"description": "other"}) for r in report.results]
    assert changed(make_report("x", results, "catalog", "frames")) == {"class_text"}


def test_a_prompt_that_the_splits_do_not_tell_of_has_no_fingerprint(report):
    old = make_report("x", [replace(r, text_fingerprints={}) for r in report.results], "c", "f")
    known = {row.class_text: old.fingerprints(row)["class_text"] for row in old.text_rows}
    assert known == {
        "description": None,
        "label": "t",
        "<b>$x_1$ & 5 %": None,
    }  # of the training's prompt the splits tell anyway


def test_counts_by_class_are_those_of_the_clips(report, content):
    for part, row in [(part, row) for part in ("methods", "class_texts") for row in content[part]]:
        for result, counts in zip(report.results, row["per_class"], strict=True):
            of_part = result.methods if part == "methods" else result.texts
            scored = next(
                s for s in of_part if (s.method, s.class_text) == (row["method"], row["class_text"])
            )
            for c, name in enumerate(UNSEEN):
                clips = np.flatnonzero(TARGETS == c)
                assert counts[name] == [
                    sum(int(scored.scores_BC[clip].argmax()) == c for clip in clips),
                    len(clips),
                ]
        right, clips = (
            sum(pair[place] for counts in row["per_class"] for pair in counts.values()) for place in (0, 1)
        )
        assert right / clips == pytest.approx(row["top1"])


def test_a_split_says_how_it_is_scored_and_on_which_clips(report, content):
    first, second = content["splits"]
    assert (first["generalised"], first["average"], first["views"]) == (False, "micro", 1)
    assert {role: clips["number"] for role, clips in first["clips"].items()} == {
        "train": 2,
        "seen test": 2,
        "validation": 2,
        "test": 120,
    }
    same = {
        role
        for role in first["clips"]
        if first["clips"][role]["fingerprint"] == second["clips"][role]["fingerprint"]
    }
    assert same == {"seen test", "validation", "test"}  # the training clips were made to differ
    split = report.results[0]
    mirrored = replace(split, protocol=replace(split.protocol, test_clips=split.protocol.test_clips[::-1]))
    assert make_report("x", [mirrored], "c", "f").content()["splits"][0]["clips"] == first["clips"]


# comparisons within a report


def test_two_methods_are_compared_by_counts_as_by_clips(report):
    def worse(r: SplitResult) -> SplitResult:
        return replace(
            r,
            methods=tuple(
                replace(s, scores_BC=r.texts[5].scores_BC) if s.method == "direct" else s for s in r.methods
            ),
        )

    results = [worse(r) for r in report.results]
    other, classes = make_report("x", results, "c", "f"), list(np.array(UNSEEN)[TARGETS]) * 2
    right = [
        np.concatenate([r.method(method).scores_BC.argmax(1) == TARGETS for r in results])
        for method in (TRANSFER, "direct")
    ]
    found = other.compare(TRANSFER, "direct")
    assert (found.difference, found.ci95) == paired_difference(*right, classes) and found.p == paired_p_value(
        *right, classes
    )
    assert found.difference > 0.2 and 0 < found.detectable < found.difference


# report.json


def test_what_is_written_is_the_content_and_a_list_of_numbers_takes_a_line(report, tmp_path):
    odd = replace(report, name='a "[\n1,\n 2]" [ 3,  4 ]')
    save_report(tmp_path / "report.json", odd, [report], {"training": 1.5})
    text = (tmp_path / "report.json").read_text()
    assert (
        read_report(tmp_path)
        == read_report(tmp_path / "report.json")
        == as_read(odd, report) | {"seconds": {"training": 1.5}}
    )
    first = odd.row("direct").per_class[0]["new00"]
    assert f'"new00": [ {first[0]}, {first[1]} ]' in text and len(text) < 0.8 * len(
        json.dumps(json.loads(text), indent=2)
    )
    check_report(read_report(tmp_path), "it")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "a report must be a whole json file, '.*' is not .*; make it again"),
        ("", "must be a whole json file"),
        ("[1]", "a report must be a json object, '.*' holds a list; give a report.json"),
    ],
)
def test_a_file_that_is_no_json_is_refused(tmp_path, text, words):
    (tmp_path / "report.json").write_text(text)
    with pytest.raises(ValueError, match=words):
        read_report(tmp_path)


def test_a_report_that_is_not_there_is_named(tmp_path):
    with pytest.raises(
        FileNotFoundError,
        match=f"a report must be there, '{tmp_path / 'report.json'}' is not; give a report.json",
    ):
        read_report(tmp_path)
    with pytest.raises(FileNotFoundError, match=f"'{tmp_path / 'x.json'}' is not"):
        read_report(tmp_path / "x.json")


def test_what_is_no_whole_report_of_this_version_is_refused(content, tmp_path):
    with pytest.raises(
        ValueError,
        match="A must be a report as a workspace writes it, but it has no 'protocol'; give a report.json",
    ):
        check_report({"a": 1}, "A")
    for spoil, words in (
        (
            lambda c: c["methods"][0].pop("per_class"),
            "B was made by an earlier version of this library and has no 'per_class'; make it again",
        ),
        (lambda c: c["corrections"][0]["row"].pop("fingerprints"), "has no 'fingerprints'"),
        (lambda c: c["splits"][1].pop("clips"), "has no 'clips'"),
        (lambda c: c["protocol"].pop("hash"), "has no 'hash'"),
        (lambda c: c.update(splits=[]), "B must be a whole report, but it has no split"),
        (lambda c: c.update(splits=5), r"but its parts do not fit \(TypeError: "),
        (lambda c: c["splits"].pop(), "the row 'direct' has counts of 2 splits, not of 1"),
        (
            lambda c: c["methods"][1]["per_class"][0].pop("new03"),
            "the row 'direct, ridge' has counts that do not fit the classes of 'split 0'",
        ),
        (
            lambda c: c["methods"][0]["per_class"][1].update(new03=[11, 10]),
            "counts that do not fit the classes of 'split 1'",
        ),
        (lambda c: c["methods"][0]["per_class"][1].update(new03="all"), "its parts do not fit"),
        (lambda c: c["methods"][0].update(top1="much"), "a value of 'top1' is of another kind"),
        (
            lambda c: c["methods"][0]["hubness"].update(skewness=None),
            "a value of 'figures' is of another kind",
        ),
        (
            lambda c: c["corrections"][0]["row"]["fingerprints"].update(method=[]),
            "a value of 'fingerprints' is of another kind",
        ),
        (lambda c: c.update(beside=3), "what stands beside it is no list of reports"),
    ):
        spoilt = json.loads(json.dumps(content))
        spoil(spoilt)
        with pytest.raises(ValueError, match=words):
            check_report(spoilt, "B")
    write_json(tmp_path / "whole.json", content)
    check_report(read_report(tmp_path / "whole.json"), "it")


def test_a_single_split_is_a_report_too():
    one = make_report("one split", [small_split(0)], "c", "f")
    check_report(as_read(one), "it")
    assert one.content()["methods"][0]["per_class"][0] == one.row("direct").per_class[0]
