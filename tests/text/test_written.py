"""zsar_lab.text.written: the question, answers of many shapes, what is said of them, faults by hand."""

from __future__ import annotations

import re
import warnings
from pathlib import Path

import pandas as pd
import pytest

from zsar_lab.text.class_lists import normalised
from zsar_lab.text.prompts import FORMS, TEXT_PARTS, class_text, prompt_named
from zsar_lab.text.written import TextsError, ask_for_texts, read_texts, text_faults

NAMES = ["walking", "PlayingGuitar", "climb_stairs"]
TEXTS = ["Legs step in turn, arms swing.", "Fingers pluck strings; one hand slides.", "Feet go up steps."]
QUOTED = "name,text\n" + "".join(f'{name},"{text}"\n' for name, text in zip(NAMES, TEXTS))
SEMICOLONS = QUOTED.replace(',"', ';"').replace("name,", "name;")
TALK = "Sure! Here are your texts:\n\n{}\nLet me know whether I shall go on."
HAND = [
    "standing",
    "arms still",
    "hands at the hips",
    "feet wide",
    "staying in place",
    "no object",
    "a gym",
    "alone",
]


@pytest.mark.parametrize(
    "answer",
    [
        QUOTED,
        "\ufeff" + QUOTED.replace("\n", "\r\n"),
        TALK.format(f"```csv\n{QUOTED}```").replace("texts:", "texts, as asked:"),
        TALK.format(QUOTED),
        f"Sure\n```\n{QUOTED}",  # cut off before the block's end
        SEMICOLONS,
        SEMICOLONS.replace(";", "\t").replace("strings\t", "strings;"),
        QUOTED.replace(',"', ",\u201c").replace('"\n', "\u201d\n"),
        QUOTED.replace(',"', ', "').replace("name,text", '**Name**, "Text"'),
        [QUOTED[: QUOTED.index("climb")], "name,text\n" + QUOTED[QUOTED.index("climb") :]],
        [f"```\n{QUOTED[: QUOTED.index('climb')]}```", QUOTED[QUOTED.index("climb") :]],
    ],
)
def test_answers_of_many_shapes_are_read_without_a_word(answer):
    expected = pd.DataFrame({"name": NAMES, "text": TEXTS})
    pd.testing.assert_frame_equal(read_texts(answer, NAMES), expected)


def read(answer, classes=NAMES):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        table = read_texts(answer, classes)
    return table.set_index("name")[table.columns[1]].to_dict(), "".join(str(one.message) for one in caught)


def test_all_that_is_wrong_is_counted_and_named():
    answer = "name,text\nWALKING,a, b; c\nwalking,d\nPlayingGuitars,e\nflying,f\nclimb_stairs,Up the stair.\n"
    answer += 'x,"y\n'
    texts, said = read(answer)
    assert texts == {"walking": "a, b; c", "PlayingGuitar": "", "climb_stairs": "Up the stair."}
    for words in (
        "2 of 3 classes read; 1 missing: 'PlayingGuitar'",
        "2 not asked for: 'PlayingGuitars' (near 'PlayingGuitar'), 'flying'",
        "1 there again, the first is read: 'walking'",
        "1 with separators outside quotes, read as text: 'WALKING'",
        "1 lines that are no row: 'x,\"y'",
        "1 faults (text_faults has all): climb_stairs text holds 'stair' of the name",
        "matched but for spelling: 'WALKING' is 'walking'",
    ):
        assert words in said
    assert (
        read("name,text\nwalking,\nPlayingGuitar,x\nclimb_stairs,y")[1]
        == "2 of 3 classes read; 1 missing: 'walking'"
    )


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ("I cannot do that.", "name,text or name,description"),
        ("", "first line"),
        ("name,text,colour\nwalking,a,red", "first line"),
        ("name,text\nflying,a\n", "'flying'"),
        ("name,text\nwalking,\n", "rows of the classes"),
        ("name,text\nwalking,a\nname,description\nwalking,a\n", "one form"),
    ],
)
def test_an_answer_without_texts_is_refused(answer, words):
    with pytest.raises(TextsError, match=words):
        read_texts(answer, NAMES)


@pytest.mark.parametrize("form", FORMS)
def test_what_is_asked_for_is_what_is_read_and_a_prompt_takes_it(tmp_path, form):
    asked = ask_for_texts(NAMES, form, batch=2)
    header = re.search("^name,.*$", asked, re.M)[0]
    assert header == ",".join(("name", *FORMS[form])) and "at most 2 rows" in asked
    assert asked.endswith("\nwalking\nPlayingGuitar | playing guitar\nclimb_stairs | climb stairs\n")
    rows = [f"{name}," + ",".join(f'"{n}{part}"' for part in FORMS[form]) for n, name in enumerate(NAMES)]
    table = read_texts("\n".join([header, *rows]), NAMES)
    assert list(table.columns) == header.split(",") and len(table) == 3
    table.to_csv(tmp_path / "mine.csv", index=False)
    made = class_text(pd.DataFrame({"name": NAMES[::-1]}), prompt_named(str(tmp_path / "mine.csv")))
    assert made.texts[0] == "\n".join(f"2{part}" for part in FORMS[form])


def test_one_class_may_be_asked_for_again_and_labels_are_those_given():
    assert "the 1 actions" in ask_for_texts(["walking"])
    assert ask_for_texts(pd.DataFrame({"name": ["a1"], "label": ["a walk"]})).endswith("\na1 | a walk\n")
    for form, batch in (("poem", 1), ("text", 0)):
        with pytest.raises(ValueError, match="got '(poem|text)' and"):
            ask_for_texts(NAMES, form, batch)


def faults(texts: dict[str, list[str]], columns=("text",), labels=None):
    table = pd.DataFrame([[name, *cells] for name, cells in texts.items()], columns=["name", *columns])
    return text_faults(table, labels).values.tolist()


@pytest.mark.parametrize(
    ("name", "text", "leaks"),
    [
        ("PlayingGuitar", "a guitarist plays guitars", ["guitars", "plays"]),
        ("climb_stairs", "Climbing up a Stair", ["climbing", "stair"]),
        ("stand up", "up on both feet", []),  # small words do not count
        ("basketball", "a ball is thrown", []),
        ("yoga", "arms held up", []),
    ],
)
def test_words_of_the_name_in_any_form_are_found_as_a_plain_loop_over_stems_finds_them(name, text, leaks):
    found = faults({name: [text]})
    assert sorted(fault.split("'")[1] for _, _, fault in found) == leaks
    wanted = [
        word for word in text.lower().split() if set(normalised(word)) & (set(normalised(name)) - {"up"})
    ]
    assert sorted(wanted) == leaks


def test_lengths_signs_and_texts_alike():
    assert faults({"a": ["one " * 30], "b": ["x"]}) == []
    assert faults({"a": ["one " * 31], "b": [" "]}) == [
        ["a", "text", "has 31 words, not 1 to 30"],
        ["b", "text", "has 0 words, not 1 to 30"],
    ]
    assert faults({"a": ["Arms up."], "b": ["arms  up"]}) == [
        ["b", "", "differs from 'a' in 0 columns, must in 1"]
    ]
    assert faults({"a": ["goes on foot"]}, labels={"a": "foot"}) == [
        ["a", "text", "holds 'foot' of the name"]
    ]
    parts = {"a": HAND, "b": [*HAND[:-1], "in a team"], "c": [*HAND[:-2], "a hall", "in a team"]}
    assert faults(parts, TEXT_PARTS) == [
        ["b", "", "differs from 'a' in 1 columns, must in 2"],
        ["c", "", "differs from 'b' in 1 columns, must in 2"],
    ]
    odd = {"a": ["arms: up (high).", *HAND[1:-1], "one " * 13]}
    signs = [["a", "posture", f"has the sign {sign!r}"] for sign in ":()."]
    assert sorted(faults(odd, TEXT_PARTS)) == sorted(
        [*signs, ["a", "interaction", "has 13 words, not 1 to 12"]]
    )


def test_our_own_descriptions_are_read_back_and_are_distinct():
    classes = pd.read_csv(Path(__file__).parents[2] / "data/hmdb51/classes.csv")
    answer = classes[["name", "description"]].to_csv(index=False)
    texts, said = read(answer, list(classes["name"]))
    assert list(texts.values()) == classes["description"].tolist() and "missing" not in said
    assert (text_faults(classes)["column"] == "description").all()
