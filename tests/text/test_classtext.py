"""zsar_lab.text.prompts: readable labels and the exact strings of each prompt."""

from __future__ import annotations

from dataclasses import replace

import pandas as pd
import pytest

from zsar_lab.text import prompts as classtext
from zsar_lab.text.prompts import ClassText, class_text, prompt_named, readable_label

CLASSES = pd.DataFrame(
    {
        "name": ["HandstandPushups", "climb_stairs"],
        "label": ["", "climbing stairs"],
        "description": ["Someone presses up from a handstand.", "  Someone walks up steps. "],
        "structure": [
            "handstand pushups: upside down; pressing; still; no; none",
            "climb stairs: upright; swinging; lifting; up; stairs",
        ],
    }
)


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("HandstandPushups", "handstand pushups"),
        ("climb_stairs", "climb stairs"),
        ("YoYo", "yo yo"),
        ("MMAFight", "mma fight"),
        ("TaiChi", "tai chi"),
        ("TV", "tv"),
        ("playTV", "play tv"),
        ("Run100mHurdles", "run 100m hurdles"),
        ("Run100", "run 100"),
        ("100m", "100m"),
        ("brush hair", "brush hair"),
        ("__Brush__Hair__", "brush hair"),
        ("ride-bike", "ride-bike"),
        ("ÜbenÄpfel", "üben äpfel"),
        ("跑步", "跑步"),
    ],
)
def test_readable_label(name, label):
    assert readable_label(name) == label


@pytest.mark.parametrize("name", ["", "   ", "___", "-!?"])
def test_a_name_without_letters_is_refused(name):
    with pytest.raises(ValueError, match="at least one letter or digit, got .*; rename the class"):
        readable_label(name)


def test_every_prompt_by_its_exact_text():
    expected = {
        "label": ("handstand pushups", "climbing stairs"),
        "template": ("a video of a person handstand pushups", "a video of a person climbing stairs"),
        "description": ("Someone presses up from a handstand.", "Someone walks up steps."),
        "label_and_description": (
            "handstand pushups: Someone presses up from a handstand.",
            "climbing stairs: Someone walks up steps.",
        ),
        "structure": tuple(CLASSES["structure"]),
        "description_and_parts": (
            "Someone presses up from a handstand.\nupside down\npressing\nstill\nno\nnone",
            "Someone walks up steps.\nupright\nswinging\nlifting\nup\nstairs",
        ),
    }
    assert {prompt.__name__ for prompt in classtext.PROMPTS} == {*expected, "templates"}
    for name, texts in expected.items():
        made = class_text(CLASSES, prompt_named(name))
        assert (made.prompt, made.names, made.texts) == (name, ("HandstandPushups", "climb_stairs"), texts)


def test_a_label_is_made_from_the_name_where_the_column_is_missing_or_blank():
    assert classtext.label(CLASSES[["name"]]) == ["handstand pushups", "climb stairs"]
    assert classtext.label(CLASSES.assign(label=[None, "  "])) == ["handstand pushups", "climb stairs"]


@pytest.mark.parametrize("prompt", [classtext.description, classtext.label_and_description])
def test_a_missing_description_is_named(prompt):
    with pytest.raises(
        ValueError,
        match=r"needs a description for every class, missing for 2 of 2 \(HandstandPushups, climb_stairs\)",
    ):
        class_text(CLASSES[["name", "label"]], prompt)
    with pytest.raises(ValueError, match=r"missing for 1 of 2 \(climb_stairs\); add it to classes.csv"):
        class_text(CLASSES.assign(description=["filled", "  "]), prompt)


def test_a_missing_structure_is_named_and_a_long_list_is_cut():
    many = pd.DataFrame({"name": list("abcde")})
    with pytest.raises(
        ValueError, match=r"needs a structure for every class, missing for 5 of 5 \(a, b, c, ...\)"
    ):
        class_text(many, classtext.structure)


@pytest.mark.parametrize(
    "structure",
    ["upright; swinging; lifting; up; stairs", "stairs: upright; swinging", "stairs: a; b; c; ; e"],
)
def test_a_structure_of_another_form_is_refused(structure):
    annotated = CLASSES.assign(structure=[CLASSES["structure"][0], structure])
    with pytest.raises(
        ValueError,
        match="a structure must read '<label>: .*', that of 'climb_stairs' is .*; mend classes.csv",
    ):
        class_text(annotated, classtext.description_and_parts)


def test_the_fingerprint_is_of_the_texts_not_of_the_prompt():
    made = class_text(CLASSES, classtext.label)
    assert replace(made, prompt="another").fingerprint == made.fingerprint
    others = [
        replace(made, texts=("handstand pushups", "climbing stair")),
        replace(made, names=("HandstandPushups", "ClimbStairs")),
        ClassText(made.prompt, made.names[::-1], made.texts[::-1]),
    ]
    assert len({made.fingerprint, *(other.fingerprint for other in others)}) == 4


def test_any_function_is_a_prompt():
    def shouted(classes: pd.DataFrame) -> list[str]:
        return [name.upper() for name in classes["name"]]

    assert class_text(CLASSES, shouted) == ClassText(
        "shouted", tuple(CLASSES["name"]), ("HANDSTANDPUSHUPS", "CLIMB_STAIRS")
    )


def test_an_unknown_prompt_is_refused():
    with pytest.raises(
        ValueError,
        match="must be one of label, template, .*, a template such as .*, or a csv file, got 'poem'",
    ):
        prompt_named("poem")


def test_the_templates_of_the_library_are_averaged_and_hold_the_label():
    made = class_text(CLASSES, prompt_named("templates"))
    lines = [text.split("\n") for text in made.texts]
    assert (
        made.averaged
        and made.prompt == "templates"
        and len(lines[0]) == len(set(lines[0])) == len(classtext.templates.patterns) >= 5
    )
    for own, label in zip(lines, ("handstand pushups", "climbing stairs")):
        assert all(label in line for line in own)
    assert lines[1] == [line.replace("handstand pushups", "climbing stairs") for line in lines[0]]


@pytest.mark.parametrize(
    ("setting", "texts"),
    [
        ("a film of {label}", ("a film of handstand pushups", "a film of climbing stairs")),
        (
            "{label}. {description}",
            (
                "handstand pushups. Someone presses up from a handstand.",
                "climbing stairs. Someone walks up steps.",
            ),
        ),
        (
            ("{name}!", "see: {label}"),
            ("HandstandPushups!\nsee: handstand pushups", "climb_stairs!\nsee: climbing stairs"),
        ),
        (["{label}"], ("handstand pushups", "climbing stairs")),
    ],
)
def test_own_templates(setting, texts):
    made = class_text(CLASSES, prompt_named(setting))
    assert (made.prompt, made.texts, made.averaged) == (
        setting if isinstance(setting, str) else " | ".join(setting),
        texts,
        True,
    )


def test_braces_and_line_breaks_in_a_label_stay_in_its_line():
    hostile = CLASSES.assign(label=["{description} {x}", "two\nlines"])
    assert class_text(hostile, prompt_named("a {label}")).texts == ("a {description} {x}", "a two lines")


@pytest.mark.parametrize(
    ("patterns", "sentence"),
    [
        ((), "templates must be at least one text such as 'a video of {label}', got none"),
        (("a video",), "one line with a field such as .*, got 'a video'; write for example"),
        (("a {label}\nb",), "one line with a field such as"),
        (("a {}",), "one line with a field such as"),
        (("a {label.__class__}",), "one line with a field such as"),
        (("a {label:d}",), "one line with a field such as"),
        (("a {label!r}",), "one line with a field such as"),
        (3, "must be the name of a prompt, a template, a tuple of templates, or a csv file, got 3"),
        (("a {label}", 3), "must be the name of a prompt, .*, got .*3"),
        (
            ("a {label",),
            "a template must be a text with fields such as {label}, got 'a {label' .*; mend its braces",
        ),
    ],
)
def test_a_wrong_template_is_refused(patterns, sentence):
    with pytest.raises(ValueError, match=sentence):
        prompt_named(patterns)


def test_a_template_over_a_column_that_is_not_there_is_refused():
    with pytest.raises(
        ValueError,
        match=r"field must be a column of classes.csv, got {place}; these are there: {name}, {label}, {description}, {structure}",
    ):
        class_text(CLASSES, prompt_named("{label} in {place}"))


def test_averaging_is_part_of_the_fingerprint():
    made = class_text(CLASSES, classtext.label)
    assert replace(made, averaged=True).fingerprint != made.fingerprint


def test_an_edited_text_replaces_one_class_and_says_so():
    made = class_text(CLASSES, classtext.label)
    edited = made.edited("climb_stairs", "walking up steps")
    assert edited.texts == ("handstand pushups", "walking up steps") and edited.prompt == "label, edited"
    assert edited.edited("HandstandPushups", "x").prompt == "label, edited"
    assert edited.edited("climb_stairs", "climbing stairs").fingerprint == made.fingerprint
    with pytest.raises(ValueError, match="class to edit must be one of the 2 that have a text, got 'fly'"):
        made.edited("fly", "flying")
