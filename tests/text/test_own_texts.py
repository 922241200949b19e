"""zsar_lab.text.prompts: a user's csv of class texts, and each way in which it can be wrong."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from zsar_lab.text.prompts import TextsFromFile, class_text, prompt_named

CLASSES = pd.DataFrame({"name": ["run", "swim"], "label": ["running", "swimming"]})


def write(folder: Path, content: str) -> str:
    path = folder / "mine.csv"
    path.write_text(content, encoding="utf-8")
    return str(path)


@pytest.mark.parametrize(
    "content",
    [
        'name,text\nswim,A person swims.\nrun,"Runs, fast."\n',
        '\ufeffname,text\nswim,A person swims.\nrun,"Runs, fast."\n',
        'dataset,name,label,text\nx,swim,swimming,A person swims.\nx,run,running, "Runs, fast." \n'.replace(
            ', "', ',"'
        ).replace('" \n', '"\n'),
    ],
)
def test_the_texts_come_in_the_order_of_the_classes(tmp_path, content):
    made = class_text(CLASSES, prompt_named(write(tmp_path, content)))
    assert (made.prompt, made.names, made.texts) == (
        "mine.csv",
        ("run", "swim"),
        ("Runs, fast.", "A person swims."),
    )


def test_a_text_may_have_several_lines_and_what_looks_like_no_value_is_text(tmp_path):
    made = class_text(
        CLASSES, TextsFromFile(write(tmp_path, 'name,text\nrun,"one\ntwo"\nswim,"nan\nnull"\n'))
    )
    assert made.texts == ("one\ntwo", "nan\nnull")


def test_texts_of_other_classes_are_said(tmp_path):
    path = write(tmp_path, "name,text\nrun,a\nswim,b\nfly,c\n")
    with pytest.warns(
        UserWarning, match=r"mine.csv' has texts of 1 class that the data have not \('fly'\); not read"
    ):
        assert class_text(CLASSES, TextsFromFile(path)).texts == ("a", "b")


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (
            "name,text\nrun,a\n",
            r"must have a row for every class, by the exact name, '.*' lacks 1 of 2 \('swim'\); add or rename them",
        ),
        (
            "name,text\nrun,a\nswim,b\nrun,c\n",
            r"must have one row a class, '.*' has 'run' more than once; delete rows",
        ),
        (
            "name,text\nrun,a\nswim,  \n",
            r"must have a text in every row and line, '.*' has none for 'swim'; write it",
        ),
        (
            'name,text\nrun,a\nswim,"one\n\ntwo"\n',
            r"must have a text in every row and line, '.*' has none for 'swim'",
        ),
        (
            "name,text,colour\nrun,a,red\nswim,b,blue\n",
            r"must have the columns name and text, and .*, '.*' has 'colour' too; mend its first row, or save it anew",
        ),
        (
            "name,description\nrun,a\nswim,b\n",
            r"must have the columns name and text, and .*, '.*' has no 'text' \(it has 'name', 'description'\); mend its first row",
        ),
        ("class,text\nrun,a\n", "has no 'name'"),
        ("", r"must be a csv table with commas between the columns, '.*' is not \(No columns"),
        (
            'name,text\nrun,"a\n',
            "must be a csv table with commas .* is not .*; put texts with a comma in double quotes",
        ),
        (
            "name;text\nrun;a\nswim;b\n",
            "separates its columns by semicolons or tabs, not by commas; mend its first row, or save it anew",
        ),
        ("name\ttext\nrun\ta\n", "separates its columns by semicolons or tabs"),
        (
            "name,text\nRun,a\nSwim,b\n",
            r"lacks 2 of 2 \('run', 'swim'\), and has 2 that the data have not \('Run', 'Swim'\); add or rename them",
        ),
        (
            "name,text\nrun,a,b,c\nswim,b\n",
            "must be a csv table with commas .*a row has more values than the first.*put texts with a comma in double quotes",
        ),
    ],
)
def test_a_wrong_file_is_one_sentence(tmp_path, content, sentence):
    with pytest.raises(ValueError, match=sentence):
        class_text(CLASSES, TextsFromFile(write(tmp_path, content)))


def test_a_file_of_another_encoding_is_one_sentence(tmp_path):
    (tmp_path / "mine.csv").write_bytes("name,text\nrun,läuft\n".encode("latin-1"))
    with pytest.raises(ValueError, match="must be a UTF-8 csv table"):
        class_text(CLASSES, TextsFromFile(str(tmp_path / "mine.csv")))


def test_a_file_that_is_not_there_is_one_sentence(tmp_path):
    with pytest.raises(
        FileNotFoundError,
        match=r"must be there, '.*none.csv' is not; write it with the columns name and text",
    ):
        class_text(CLASSES, prompt_named(str(tmp_path / "none.csv")))
