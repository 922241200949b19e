"""Report.compare_texts and views.tables_text: prompts of class text on identical splits, and what may be said of them."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import reference

from zsar_lab.protocols.protocol import Protocol
from zsar_lab.results.evaluate import METHODS, RIDGE, TRANSFER, MethodScores, SplitResult
from zsar_lab.results.report import Report, make_report
from zsar_lab.results.statistics import N_RESAMPLES, class_bootstrap, paired_difference
from zsar_lab.text.prompts import ClassText
from zsar_lab.viz.tables_text import chosen_as_text, flags_as_text, p_as_text, text_table, texts_as_text

N_CLASSES, N_CLIPS = 12, 10
UNSEEN = tuple(f"new{n:02}" for n in range(N_CLASSES))
TARGETS = np.repeat(np.arange(N_CLASSES), N_CLIPS)
# share of clips right under transfer, and the validation accuracy in each of two splits
PROMPTS = {
    "description": (0.4, (0.5, 0.7)),
    "label": (0.4, (0.4, 0.4)),
    "label_and_description": (0.9, (0.6, 0.3)),
    "<b>$x$ %{y}": (0.1, (0.6, 0.1)),
}


def scores_of(right: np.ndarray) -> np.ndarray:
    """A right clip is taken for its class, a wrong one for the next."""
    return np.eye(N_CLASSES)[np.where(right, TARGETS, (TARGETS + 1) % N_CLASSES)]


def split_of(number: int, prompts: dict) -> SplitResult:
    random = np.random.default_rng(number)
    train, seen_test, validation = (
        tuple(f"{role}{n}" for n in range(2)) for role in ("train", "seen", "valid")
    )
    tests = tuple(f"{name}/{n}" for name in UNSEEN for n in range(N_CLIPS))
    protocol = Protocol(
        f"split {number}", ("s1", "s2"), ("v1", "v2"), UNSEEN, train, seen_test, validation, tests
    )
    luck = random.random(len(TARGETS))  # the same under all prompts, as clips are hard or easy
    texts = tuple(
        MethodScores(
            method, prompt, {"k": 1}, of_splits[number], scores_of(luck < share - 0.05 * (method == RIDGE))
        )
        for prompt, (share, of_splits) in prompts.items()
        for method in (RIDGE, TRANSFER)
    )
    scored = tuple(
        MethodScores(method, next(iter(prompts)), {}, 0.5, texts[1].scores_BC) for method in METHODS
    )
    prints = {"checkpoint": "c", "embeddings": "e", "class_text": "t", "encoder": "e"}
    return SplitResult(
        protocol,
        tests,
        TARGETS,
        scored,
        texts,
        np.eye(N_CLASSES)[TARGETS],
        1.0,
        {},
        np.zeros((N_CLASSES, 2)),
        prints,
        ClassText("label", (), ()),
    )


def made_report(prompts: dict | None = None, n_splits: int = 2) -> Report:
    splits = [split_of(number, prompts or PROMPTS) for number in range(n_splits)]
    return make_report(
        f"family-stratified, {n_splits} splits, generated demo videos", splits, "catalog", "frames"
    )


@pytest.fixture(scope="module")
def report() -> Report:
    return made_report()


def right_clips(report: Report, prompt: str, method: str = TRANSFER) -> np.ndarray:
    """Written out once more: which clips of all splits are right."""
    return np.array(
        [
            rank == 1
            for result in report.results
            for scored in result.texts
            if (scored.method, scored.class_text) == (method, prompt)
            for rank in reference.truth_rank(scored.scores_BC, result.targets)
        ]
    )


# the comparison


@pytest.mark.parametrize("method", [TRANSFER, RIDGE])
@pytest.mark.parametrize("baseline", ["label", "description"])
def test_each_row_is_a_paired_comparison_on_the_clips_of_all_splits(report, method, baseline):
    classes = list(np.array(UNSEEN)[TARGETS]) * 2
    zero = right_clips(report, baseline, method)
    by_class, drawn = {}, np.random.default_rng(0).integers(N_CLASSES, size=(N_RESAMPLES, N_CLASSES))
    rows = report.compare_texts(method, baseline)
    assert [row.class_text for row in rows] == list(PROMPTS)
    for row in rows:
        right = right_clips(report, row.class_text, method)
        assert row.top1 == pytest.approx(right.mean()) and row.ci95 == class_bootstrap(right, classes)
        assert (row.difference, row.difference_ci95) == paired_difference(right, zero, classes)
        assert row.validation_top1 == pytest.approx(np.mean(PROMPTS[row.class_text][1]))
        if row.class_text != baseline:
            by_class = {c: (right.astype(int) - zero)[np.tile(TARGETS, 2) == c] for c in range(N_CLASSES)}
            sums = np.array([by_class[c].sum() for c in range(N_CLASSES)])[drawn].sum(
                1
            )  # all classes have as many clips
            assert row.p == pytest.approx(
                min(1, 2 * (1 + min((sums <= 0).sum(), (sums >= 0).sum())) / (N_RESAMPLES + 1))
            )
    compared = [row for row in rows if row.class_text != baseline]
    assert [row.p_holm for row in compared] == pytest.approx(reference.holm([row.p for row in compared]))


def test_the_baseline_is_compared_with_nothing(report):
    row = next(row for row in report.compare_texts() if row.class_text == "label")
    assert (row.difference, row.difference_ci95, row.p, row.p_holm, row.claimed) == (
        0,
        (0, 0),
        None,
        None,
        False,
    )


def test_a_planted_difference_is_claimed_and_equal_prompts_are_not(report):
    rows = {row.class_text: row for row in report.compare_texts()}
    assert rows["label_and_description"].claimed and rows["label_and_description"].difference > 0.4
    assert rows["<b>$x$ %{y}"].claimed and rows["<b>$x$ %{y}"].difference < -0.2
    assert not rows["description"].claimed and rows["description"].p == 1


def test_validation_chooses_in_each_split_and_not_by_unseen_accuracy(report):
    # split 0: 0.6 twice, the first of them; split 1: description, though its unseen accuracy is not the best
    assert {row.class_text: row.chosen_in for row in report.compare_texts()} == {
        "description": (1,),
        "label": (),
        "label_and_description": (0,),
        "<b>$x$ %{y}": (),
    }


def test_differences_between_two_prompts_are_mirror_images(report):
    there = {row.class_text: row for row in report.compare_texts(baseline="label")}["description"]
    back = {row.class_text: row for row in report.compare_texts(baseline="description")}["label"]
    assert back.difference == -there.difference and back.p == there.p


def test_a_method_or_a_baseline_that_was_not_scored_is_refused(report):
    with pytest.raises(
        ValueError, match="a method scored by class text must be one of direct, ridge; transfer, got 'match'"
    ):
        report.compare_texts("match")
    with pytest.raises(
        ValueError,
        match="the baseline must be a prompt that was scored, one of description, label, .*, got 'names'",
    ):
        text_table(report, baseline="names")


def test_a_single_prompt_has_nothing_to_be_compared_with():
    (row,) = made_report({"label": (0.5, (0.5, 0.5))}).compare_texts()
    assert (row.class_text, row.p, row.chosen_in) == ("label", None, (0, 1))


# the table and the sentences


def test_the_table_is_the_comparison_in_percent(report):
    table = text_table(report)
    rows = {row.class_text: row for row in report.compare_texts()}
    assert list(table.index) == list(PROMPTS)
    best, row = table.loc["label_and_description"], rows["label_and_description"]
    assert best["top1_%"] == f"{100 * row.top1:.1f}" and best["validation_%"] == "45.0"
    assert (
        best["difference to label"] == f"{100 * row.difference:+.1f}"
        and best["p"] == best["p (Holm)"] == "<0.01"
    )
    assert (
        best["its interval"] == f"[{100 * row.difference_ci95[0]:+.1f}, {100 * row.difference_ci95[1]:+.1f}]"
    )
    assert table["validation chooses it in"].tolist() == [
        "1 of 2 splits",
        "0 of 2 splits",
        "1 of 2 splits",
        "0 of 2 splits",
    ]
    assert table.loc["label", ["difference to label", "its interval", "p", "p (Holm)"]].tolist() == [""] * 4
    assert table.loc["description", "p (Holm)"] == "1.00"


@pytest.mark.parametrize(
    ("p", "shown"),
    [(None, ""), (0.001, "<0.01"), (0.00999, "<0.01"), (0.01, "0.01"), (0.2349, "0.23"), (1.0, "1.00")],
)
def test_a_p_value_is_shown_with_two_decimals_and_never_as_0(p, shown):
    assert p_as_text(p) == shown


def test_the_sentences_claim_what_the_rows_allow(report):
    text = " ".join(texts_as_text(report).split())
    rows = {row.class_text: row for row in report.compare_texts()}
    label, both = rows["label"], rows["label_and_description"]
    assert (
        "all on the same 240 clips, 2 splits and trained models (trained with description, which that prompt may profit from)."
        in text
    )
    interval = f"[{100 * label.ci95[0]:.1f}, {100 * label.ci95[1]:.1f}]"
    assert f"- names (label) {100 * label.top1:.1f} % {interval}: what the others are compared with." in text
    assert (
        f"- both (label_and_description) {100 * both.top1:.1f} %" in text
        and "Holm's p <0.01: label_and_description is better." in text
    )
    assert "Holm's p <0.01: label is better." in text
    assert (
        "- descriptions (description)" in text
        and "+0.0 points [+0.0, +0.0], Holm's p = 1.00: no difference can be claimed." in text
    )
    assert "Intervals and p resample 12 different classes" in text


def test_the_score_of_the_choice_is_the_mean_of_the_prompts_chosen_in_each_split(report):
    first = right_clips(report, "label_and_description")[: len(TARGETS)].mean()
    second = right_clips(report, "description")[len(TARGETS) :].mean()
    text = " ".join(texts_as_text(report).split())
    assert (
        "never by unseen ones: description in 1 of 2 splits, label_and_description in 1 of 2 splits." in text
    )
    assert f"Chosen so, top-1 is {100 * (first + second) / 2:.1f} %." in text


def test_one_split_is_written_as_one():
    single = made_report(n_splits=1)
    assert chosen_as_text(single.compare_texts()[0], single) == "0 of 1 split"
    assert "120 clips, 1 split and trained models" in " ".join(texts_as_text(single).split())


def test_flags_are_sentences_under_their_share():
    flags = pd.DataFrame(
        {
            "name": ["a", "a", "b"],
            "flag": "outlier",
            "other": "",
            "sentence": ["a is far", "a is b", "b is a"],
        }
    )
    assert (
        flags_as_text(flags, 40)
        == "2 of 40 class texts flagged (5.0 %):\n- a: a is far.\n- a: a is b.\n- b: b is a."
    )
    assert flags_as_text(flags[:0], 40) == "0 of 40 class texts flagged (0.0 %)."
