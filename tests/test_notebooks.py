"""The notebooks as files: few imports, the finding first, checks that stop a user's own study nowhere."""

from __future__ import annotations

import ast
import importlib.util
import json
import re
from pathlib import Path

import pytest
from nbformat.v4 import new_code_cell, new_notebook, new_output, writes

ROOT = Path(__file__).parents[1]
PATHS = sorted((ROOT / "notebooks").glob("*.ipynb"))
NAMES = [
    "01_prepare_data",
    "02_train",
    "03_zero_shot_scores",
    "04_conventions_and_ablation",
    "05_shared_space",
    "06_class_errors",
    "07_your_own_videos",
]


def cells(path: Path) -> list[dict]:
    return json.loads(path.read_text(encoding="utf-8"))["cells"]


def source(cell: dict) -> str:
    return "".join(cell["source"])


def test_there_are_seven_and_each_is_in_the_tables():
    assert [path.stem for path in PATHS] == NAMES
    for page in ("README.md", "docs/notebooks.md"):
        assert re.findall(r"^\| (\d\d_\w+) \|", (ROOT / page).read_text(), re.M) == NAMES


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_the_second_cell_imports_and_says_what_was_found(path):
    title, first, *rest = cells(path)
    assert all(f"**{word}:**" in source(title) for word in ("Question", "Needs", "Makes", "Time"))
    nodes = [
        node
        for cell in (first, *rest)
        if cell["cell_type"] == "code"
        for node in ast.parse(source(cell)).body
    ]
    imports = [node for node in nodes if isinstance(node, (ast.Import, ast.ImportFrom))]
    assert len(imports) <= 3 and nodes[: len(imports)] == imports
    assert re.search(r'print\(f?"Finding:.*', source(first))


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_a_check_is_a_sentence_and_an_assertion_in_the_demo_alone(path):
    (*body, last) = [ast.parse(source(cell)) for cell in cells(path) if cell["cell_type"] == "code"]
    assert not [node for tree in body for node in ast.walk(tree) if isinstance(node, ast.Assert)]
    guard = last.body[-1]
    assert isinstance(guard, ast.If) and re.match(
        r"workspace\.study\.data\.is_generated|label_of and", ast.unparse(guard.test)
    )
    assert isinstance(guard.body[0], ast.Assert) and any("print(" in ast.unparse(node) for node in last.body)
    assert not [node for node in last.body if isinstance(node, ast.Assert)]


def test_executed_notebooks_become_pages_that_load_nothing(tmp_path):
    spec = importlib.util.spec_from_file_location("add_notebooks", ROOT / "docs" / "add_notebooks.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    site = tmp_path / "site"
    site.mkdir()
    (site / "notebooks.html").write_text("<td>01_prepare_data</td><td>02_train</td>")
    shown = new_output("display_data", {"text/html": "<b>picture</b>", "text/plain": "no"})
    notebook = new_notebook(cells=[new_code_cell("1", outputs=[shown])])
    (tmp_path / "02_train.ipynb").write_text(writes(notebook))
    assert module.add(tmp_path, site) == ["02_train"]
    page = (site / "notebooks" / "02_train.html").read_text()
    assert "<b>picture</b>" in page and 'src="http' not in page
    table = (site / "notebooks.html").read_text()
    assert '<td>01_prepare_data</td><td><a href="notebooks/02_train.html">02_train</a></td>' == table
