"""zsar_lab.text.prompts: a study's class texts stay as they were when it began."""

from __future__ import annotations

import pytest

from zsar_lab.text.prompts import ClassText, kept_text

TEXTS = ClassText("mine.csv", ("run", "swim"), ("A person runs.\nfast", "é"), averaged=True)


def test_texts_are_kept_and_read_back_whole(tmp_path):
    path = tmp_path / "class_text.json"
    assert kept_text(path, lambda: TEXTS) is TEXTS and path.is_file()
    assert kept_text(path, lambda: TEXTS) == ClassText.load(path) == TEXTS


def test_a_csv_that_is_gone_is_replaced_by_what_was_kept(tmp_path):
    def gone() -> ClassText:
        raise FileNotFoundError("a file of class texts must be there")

    with pytest.raises(FileNotFoundError, match="must be there"):
        kept_text(tmp_path / "class_text.json", gone)
    TEXTS.save(tmp_path / "class_text.json")
    assert kept_text(tmp_path / "class_text.json", gone) == TEXTS


def test_texts_that_changed_are_named(tmp_path):
    path = tmp_path / "class_text.json"
    TEXTS.save(path)
    with pytest.raises(
        ValueError,
        match=r"must stay as they were when it began, 1 differ from '.*class_text.json' \('swim'\); put them back",
    ):
        kept_text(path, lambda: TEXTS.edited("swim", "swimming"))
    with pytest.raises(ValueError, match=r"2 differ from .* \('swim', 'fly'\)"):
        kept_text(
            path, lambda: ClassText("mine.csv", ("run", "fly"), (TEXTS.texts[0], "flying"), averaged=True)
        )
    assert ClassText.load(path) == TEXTS
    assert (
        kept_text(path, lambda: ClassText("renamed.csv", TEXTS.names, TEXTS.texts, averaged=True)).prompt
        == "renamed.csv"
    )


@pytest.mark.parametrize("content", ["{}", "[]", '{"prompt": "x", "texts": [], "averaged": false}'])
def test_a_file_that_is_none_of_ours_is_refused(tmp_path, content):
    (tmp_path / "class_text.json").write_text(content)
    with pytest.raises(ValueError, match="must hold class texts as this library writes them, but"):
        kept_text(tmp_path / "class_text.json", lambda: TEXTS)
