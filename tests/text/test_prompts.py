"""zsar_lab.text.prompts: the exact strings of each prompt, own templates and files."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from zsar_lab.text.class_lists import TEXT_PARTS, read_classes
from zsar_lab.text.prompts import (
    PROMPTS,
    ClassText,
    class_text,
    kept_text,
    line_names,
    prompt_named,
    prompt_of,
    texts_of,
)

GOOD = "handstand pushups: upside down; pressing; still; no; none"
CLASSES = pd.DataFrame(
    {
        "name": ["HandstandPushups", "climb_stairs"],
        "label": ["", "climbing stairs"],
        "description": ["Someone presses up from a handstand.", "  Someone walks up steps. "],
        "structure": [GOOD, "climb stairs: upright; swinging; lifting; up; stairs"],
    }
)
NAMES = tuple(CLASSES["name"])
LABELS, SENTENCES = ("handstand pushups", "climbing stairs"), tuple(CLASSES["description"].str.strip())
EIGHT = {part: [f"{part} of one", f"the {part}"] for part in TEXT_PARTS}
IN_EIGHT = CLASSES.drop(columns="structure").assign(**EIGHT)
PARTS = "upside down\npressing\nstill\nno\nnone", "upright\nswinging\nlifting\nup\nstairs"
TEXTS = ClassText("mine.csv", ("run", "swim"), ("A person runs.\nfast", "é"), averaged=True)


def made(prompt, classes: pd.DataFrame = CLASSES) -> ClassText:
    return class_text(classes, prompt_named(prompt))


def test_every_prompt_by_its_exact_text():
    expected = {
        "label": LABELS,
        "template": tuple(f"a video of a person {label}" for label in LABELS),
        "description": SENTENCES,
        "label_and_description": tuple(": ".join(pair) for pair in zip(LABELS, SENTENCES)),
        "structure": tuple(CLASSES["structure"]),
        "parts": PARTS,
        "description_and_parts": tuple("\n".join(pair) for pair in zip(SENTENCES, PARTS)),
    }
    assert PROMPTS.keys() == {*expected, "templates", "parts_or_description"}
    for name, texts in expected.items():
        assert made(name) == ClassText(name, NAMES, texts)
    templates = made("templates")
    lines = [text.split("\n") for text in templates.texts]
    assert templates.averaged and templates.prompt == "templates" and len(set(lines[0])) == len(lines[0]) == 8
    assert lines[1] == [line.replace(*LABELS) for line in lines[0]] != lines[0]

    def shouted(classes: pd.DataFrame) -> list[str]:  # any function is a prompt
        return [name.upper() for name in classes["name"]]

    assert class_text(CLASSES, shouted) == ClassText("shouted", NAMES, tuple(map(str.upper, NAMES)))


def test_eight_parts_are_a_line_each_and_a_class_without_has_its_description_where_asked():
    lines = tuple(zip(*EIGHT.values()))
    assert made("parts", IN_EIGHT).texts == tuple(map("\n".join, lines))
    both = made("description_and_parts", IN_EIGHT)
    assert both.texts == tuple("\n".join(pair) for pair in zip(SENTENCES, map("\n".join, lines)))
    assert line_names(both) == ["description", *TEXT_PARTS]
    assert line_names(made("description_and_parts")) == "description posture arms legs travel prop".split()
    assert line_names(replace(both, prompt="mine.csv"))[::8] == ["line 1", "line 9"]
    empty = IN_EIGHT.assign(**{part: [texts[0], ""] for part, texts in EIGHT.items()})
    own = made("parts_or_description", empty).texts
    assert own == ("\n".join(lines[0]), "\n".join([SENTENCES[1]] * 8))
    half = IN_EIGHT.assign(legs=["still", ""])
    for prompt, table in (("parts", empty), ("parts", half), ("parts_or_description", half)):
        with pytest.raises(ValueError, match=r"missing for 1 \('climb_stairs'\)"):
            made(prompt, table)
    long = IN_EIGHT.assign(legs=["still", "word " * 60])
    with pytest.raises(ValueError, match="30 words, legs of 'climb_stairs' has 60"):
        made("parts", long)
    with pytest.raises(ValueError, match="different texts, 'HandstandPushups' and 'climb_stairs'"):
        texts_of(read_classes(IN_EIGHT.assign(**dict.fromkeys(TEXT_PARTS, "still"))), "parts")


WRONG = "a video|a {label}\nb|a {}|a {label.a}|a {label:d}|a {label!r}|a {label".split("|")


@pytest.mark.parametrize(
    ("prompt", "change", "words"),
    [
        ("description", {"description": None}, r"description, missing for 2 \('HandstandPushups', 'climb_"),
        ("label_and_description", {"description": ["filled", "  "]}, r"missing for 1 \('climb_stairs'\)"),
        ("structure", {"structure": None}, "structure, missing for 2"),
        ("description_and_parts", {"structure": "upright; swinging; lifting; up; stairs"}, "'Handstand"),
        ("description_and_parts", {"structure": [GOOD, "stairs: upright; a"]}, "'climb_"),
        ("description_and_parts", {"structure": [GOOD, "s: a; b; c; ; e"]}, "'climb_"),
        ("{label} in {place}", {}, "{place}.*description, structure"),
        ("poem", {}, "label, template, .*'poem'"),
        (3, {}, "got 3"),
        (("a {label}", 3), {}, "got .*3"),
        ((), {}, "none"),
        *(((pattern,), {}, re.escape(repr(pattern))) for pattern in WRONG),
    ],
)
def test_what_a_prompt_misses_is_named(prompt, change, words):
    with pytest.raises(ValueError, match=words):
        made(prompt, CLASSES.assign(**change))


def test_a_fingerprint_is_of_the_texts_and_averaging_not_of_the_prompt():
    text = made("label")
    assert replace(text, prompt="another").fingerprint == text.fingerprint
    assert text.fingerprint == "9284b957feb3b25b"  # written down: artefacts name it
    others = [
        replace(text, texts=("handstand pushups", "climbing stair")),
        replace(text, names=("HandstandPushups", "ClimbStairs")),
        ClassText(text.prompt, text.names[::-1], text.texts[::-1]),
        replace(text, averaged=True),
    ]
    assert len({text.fingerprint, *(other.fingerprint for other in others)}) == 5


@pytest.mark.parametrize(
    ("setting", "texts"),
    [
        ("a film of {label}", ("a film of handstand pushups", "a film of climbing stairs")),
        ("{label}. {description}", tuple(". ".join(pair) for pair in zip(LABELS, SENTENCES))),
        (("{name}!", "see: {label}"), tuple(f"{n}!\nsee: {label}" for n, label in zip(NAMES, LABELS))),
        (["{label}"], LABELS),
    ],
)
def test_own_templates(setting, texts):
    name = setting if isinstance(setting, str) else " | ".join(setting)
    assert made(setting) == ClassText(name, NAMES, texts, averaged=True)
    # braces and line breaks in a label stay in its line
    hostile = CLASSES.assign(label=["{description} {x}", "two\nlines"])
    assert made("a {label}", hostile).texts == ("a {description} {x}", "a two lines")


def test_an_edited_text_replaces_one_class_and_is_named_so():
    text = made("label")
    edited = text.edited("climb_stairs", "walking up steps")
    assert edited.texts == ("handstand pushups", "walking up steps") and edited.prompt == "label, edited"
    assert edited.edited("HandstandPushups", "x").prompt == "label, edited"
    assert edited.edited("climb_stairs", "climbing stairs").fingerprint == text.fingerprint
    for name, words in (("fly", "got 'fly'"), ("climb_stairs", "got ' ' for 'climb_stairs'")):
        with pytest.raises(ValueError, match=words):
            text.edited(name, " ")


RUN = pd.DataFrame({"name": ["run", "swim"]})


def from_file(folder: Path, content: str, encoding: str = "utf-8") -> ClassText:
    (folder / "mine.csv").write_bytes(content.encode(encoding))
    return class_text(RUN, prompt_named(str(folder / "mine.csv")))


@pytest.mark.parametrize(
    ("content", "texts"),
    [
        ('name,text\nswim,A person swims.\nrun,"Runs, fast."\n', ("Runs, fast.", "A person swims.")),
        ('\ufeffdataset,name,label,text\nx,swim,s, b \nx,run,r,"a"\n', ("a", "b")),
        ('name,text\nrun,"one\ntwo"\nswim,"nan\nnull"\n', ("one\ntwo", "nan\nnull")),
        ("name;description\nrun;a\nswim;b\n", ("a", "b")),
        (
            f"name,{','.join(TEXT_PARTS)}\nrun{',a' * 8}\nswim{',b' * 8}\n",
            ("\n".join("a" * 8), "\n".join("b" * 8)),
        ),
    ],
)
def test_texts_of_a_file_come_in_the_order_of_the_classes(tmp_path, content, texts):
    assert from_file(tmp_path, content) == ClassText("mine.csv", ("run", "swim"), texts)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("name,text\nrun,a\n", r"lacks 1 \('swim'\)"),
        ("name,text\nruns,a\nfly,b\n", r"lacks 2 \('run', 'swim'\), .*'runs' \(near 'run'\), 'fly'"),
        ("name,text\nrun,a\nswim,b\nrun,c\n", "line 4 .*'run' is there twice"),
        ("name,text\nrun,a\nswim,  \n", "line 3 .*'swim'"),
        ('name,text\nrun,a\nswim,"one\n\ntwo"\n', "'swim'"),
        ("name,text,colour\nrun,a,red\n", "'colour'"),
        ("name,words\nrun,a\n", "'text'"),
        ("name,text,description\nrun,a,b\n", "'description'"),
        ("name,text,text\nrun,a,b\n", "'text'"),
        ("class,text\nrun,a\n", "'name'"),
        ("", "'name'"),
        ('name,text\nrun,"a\n', "line 2"),
        ("name,text\nrun,a,b,c\nswim,b\n", "line 2 .*got 4"),
        ("name,text\nrun,läuft\n", "UTF-8"),
    ],
)
def test_a_wrong_file_is_refused(tmp_path, content, words):
    with pytest.raises(ValueError, match=words) as refused:
        from_file(tmp_path, content, "latin-1" if "ä" in content else "utf-8")
    assert "mine.csv" in str(refused.value)


def test_a_file_of_other_classes_or_none(tmp_path):
    with pytest.warns(UserWarning, match="1 classes .*'fly'"):
        assert from_file(tmp_path, "name,text\nrun,a\nswim,b\nfly,c\n").texts == ("a", "b")
    with pytest.raises(FileNotFoundError, match="none.csv"):
        prompt_named(str(tmp_path / "none.csv")).check()


def test_texts_read_all_that_a_table_says():
    table = read_classes({"walking": "", "PlayingGuitar": "A hand plucks strings."})
    assert prompt_of(table) == "label_and_description" and prompt_of(read_classes(["a", "b"])) == "label"
    both = texts_of(table, "label_and_description")
    assert both.texts == ("walking", "playing guitar: A hand plucks strings.")
    assert texts_of(table, "a video of {label}").texts == ("a video of walking", "a video of playing guitar")
    own = texts_of(table.assign(text=["A person walks.", ""]), "label")
    assert own.texts == ("A person walks.", "playing guitar") and own.prompt == "label, edited"
    with pytest.raises(ValueError, match="missing for 1"):
        texts_of(table, "description")
    with pytest.raises(ValueError, match="'a' and 'b' both have 'jump'"):
        texts_of(read_classes(pd.DataFrame({"name": ["a", "b"], "label": ["jump", "jump"]})), "label")


def test_texts_of_a_study_stay_as_they_were(tmp_path):
    path = tmp_path / "class_text.json"

    def gone() -> ClassText:
        raise FileNotFoundError("a file of class texts must be there")

    with pytest.raises(FileNotFoundError):
        kept_text(path, gone)
    for make in (lambda: TEXTS, lambda: TEXTS, gone):
        assert kept_text(path, make) == ClassText.load(path) == TEXTS
    assert kept_text(path, lambda: replace(TEXTS, prompt="renamed.csv")).prompt == "renamed.csv"
    swimming, fly = TEXTS.edited("swim", "swimming"), replace(TEXTS, names=("run", "fly"))
    for changed, words in ((swimming, r"1 .*\('swim'\)"), (fly, r"2 .*\('swim', 'fly'\)")):
        with pytest.raises(ValueError, match=words):
            kept_text(path, lambda changed=changed: changed)
    for content in ("{}", "[]", '{"prompt": "x", "texts": [], "averaged": false}'):
        path.write_text(content)
        with pytest.raises(ValueError, match="class_text.json"):
            kept_text(path, lambda: TEXTS)
