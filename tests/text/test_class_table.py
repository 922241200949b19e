"""zsar_lab.text.class_lists: the classes a user asks for, from lists, mappings, tables, files and typed lines, and the texts made of them."""

from __future__ import annotations

import pandas as pd
import pytest

from zsar_lab.text.class_lists import classes_of_lines, prompt_of, read_classes, texts_of

WANTED = pd.DataFrame(
    {
        "name": ["walking", "PlayingGuitar"],
        "label": ["walking", "playing guitar"],
        "description": ["", "A hand plucks strings."],
        "text": ["", ""],
    }
)


def test_all_forms_give_one_table(tmp_path):
    (tmp_path / "c.csv").write_text(
        '\ufeffname,description\nwalking,\nPlayingGuitar,"A hand plucks strings."\n', encoding="utf-8"
    )
    (tmp_path / "c.txt").write_text("walking\n\nPlayingGuitar: A hand plucks strings.\n", encoding="utf-8")
    forms = (
        {"walking": "", "PlayingGuitar": "A hand plucks strings."},
        WANTED,
        WANTED[["name", "description"]],
        tmp_path / "c.csv",
        str(tmp_path / "c.txt"),
    )
    for form in forms:
        pd.testing.assert_frame_equal(read_classes(form), WANTED)
    pd.testing.assert_frame_equal(
        classes_of_lines(" walking \nPlayingGuitar:  A hand plucks strings."), WANTED
    )
    assert read_classes(["a", "b"])["description"].tolist() == ["", ""]


def test_a_short_row_and_a_shipped_table_are_read(tmp_path):
    (tmp_path / "c.csv").write_text(
        "name,label,family,structure\nA,,f\nB,bee,f,x: a; b; c; d; e\n", encoding="utf-8"
    )
    table = read_classes(tmp_path / "c.csv")
    assert (
        table["label"].tolist() == ["a", "bee"]
        and table["structure"].tolist() == ["", "x: a; b; c; d; e"]
        and "family" not in table
    )


@pytest.mark.parametrize(
    ("classes", "match"),
    [
        ([], "there must be 2 classes or more to choose from, the list of classes has 0; add names"),
        (["walking"], "has 1; add names"),
        (
            ["a", "b", "a"],
            "each class must be named once, the list of classes names 'a' more than once; delete one",
        ),
        (
            ["Long Jump", "long_jump"],
            "must differ in more than case, spaces, hyphens or underscores, got 'Long Jump' and 'long_jump'",
        ),
        (["a", " "], "every class must have a name, number 2 in the list of classes has none"),
        (["a", "!!"], "must hold at least one letter or digit, got '!!'"),
        (
            "walking",
            "a list of names, or a file that ends in .csv or .txt, got 'walking'; put names into a list",
        ),
        ([1, 2], r"classes must be a list of names, a mapping, a table or a file, got \[1, 2\]"),
        (
            pd.DataFrame({"class": ["a", "b"]}),
            "must have the column name, .* the table of classes has 'class'; rename or drop",
        ),
        (pd.DataFrame({"label": ["a", "b"]}), "the table of classes has no 'name'"),
        (pd.DataFrame([["a", "b"], ["c", "d"]], columns=["name", "name"]), "has a column twice"),
    ],
)
def test_what_is_no_list_of_classes_is_one_sentence(classes, match):
    with pytest.raises(ValueError, match=match):
        read_classes(classes)


@pytest.mark.parametrize(
    ("content", "match"),
    [
        (
            "name\nsauté\nb\n".encode("latin-1"),
            r"a file of classes must be UTF-8 text, '.*' is not \(byte 9\); save it as UTF-8",
        ),
        (b"  \n", "must not be empty"),
        (
            b"name;label\na;b\nc;d\n",
            "commas between columns, '.*' separates its columns by semicolons or tabs; mend its first row",
        ),
        (b"class,label\na,b\n", "a column 'name', .* has 'class', 'label'"),
        (
            b"name\na,b\nc\n",
            "as many cells as the first row, 1, row 2 of '.*' has 2; put texts with a comma in double quotes",
        ),
        (b'name\n"a\n', "must be a csv table"),
    ],
)
def test_a_bad_file_is_one_sentence(tmp_path, content, match):
    (tmp_path / "c.csv").write_bytes(content)
    with pytest.raises(ValueError, match=match):
        read_classes(tmp_path / "c.csv")


def test_a_file_that_is_not_there():
    with pytest.raises(
        FileNotFoundError, match="a file of classes must be there, 'no/c.csv' is not; check the path"
    ):
        read_classes("no/c.csv")


def test_texts_read_all_that_the_table_says():
    assert prompt_of(WANTED) == "label_and_description" and prompt_of(read_classes(["a", "b"])) == "label"
    both = texts_of(WANTED, "label_and_description")
    assert (
        both.texts == ("walking", "playing guitar: A hand plucks strings.")
        and both.prompt == "label_and_description"
    )
    assert texts_of(WANTED, "label").texts == ("walking", "playing guitar")
    assert texts_of(WANTED, "a video of {label}").texts == ("a video of walking", "a video of playing guitar")
    own = texts_of(WANTED.assign(text=["A person walks.", ""]), "label")
    assert own.texts == ("A person walks.", "playing guitar") and own.prompt == "label, edited"
    with pytest.raises(ValueError, match="needs a description for every class, missing for 1 of 2"):
        texts_of(WANTED, "description")


def test_equal_texts_are_refused():
    table = read_classes(pd.DataFrame({"name": ["a", "b"], "label": ["jump", "jump"]}))
    with pytest.raises(ValueError, match="must have different texts, 'a' and 'b' both have 'jump'"):
        texts_of(table, "label")
