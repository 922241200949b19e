"""zsar_lab.infer.classifier: which class texts a model reads of what a table says."""

from __future__ import annotations

from types import SimpleNamespace

import pandas as pd
import pytest

from zsar_lab.infer.classifier import _fitting
from zsar_lab.text.class_lists import read_classes

PARTS = "x: a; b; c; d; e"
OF_METHOD = ["description_and_parts", "label", "label_and_description"]


def fitting(of_method: list[str] = OF_METHOD, **columns: list[str]) -> str:
    return _fitting(
        SimpleNamespace(prompt="description_and_parts"),
        read_classes(pd.DataFrame({"name": ["a", "b"]} | columns)),
        of_method,
    )


def test_the_prompt_reads_all_that_a_table_says():
    assert fitting() == fitting(structure=["", ""]) == "label"
    assert fitting(description=["it is", ""]) == "label_and_description"
    assert fitting(description=["it is", "so"], structure=[PARTS, PARTS]) == "description_and_parts"
    assert fitting([*OF_METHOD, "structure"], structure=[PARTS, PARTS]) == "structure"


def test_structures_are_not_left_out_without_a_word():
    with pytest.raises(
        ValueError,
        match="every class must have a structure, or none, got 1 of 2; write the others, or drop the column",
    ):
        fitting(description=["it is", "so"], structure=[PARTS, ""])
    with pytest.raises(
        ValueError,
        match="structures are read by this model beside a description of every class, and some have none; write them",
    ):
        fitting(description=["it is", ""], structure=[PARTS, PARTS])
