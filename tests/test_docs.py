"""README and docs/: short enough, links that lead somewhere, commands and imports that exist."""

import ast
import importlib
import inspect
import json
import re
import sys
from dataclasses import fields, is_dataclass
from pathlib import Path

import pytest

import zsar_lab
from zsar_lab.cli import COMMANDS

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]


def options(command):
    """Names of a command's options; those of its dataclass are its own."""
    parameters = inspect.signature(command, eval_str=False).parameters.values()
    names = {parameter.name for parameter in parameters}
    names |= {f.name for p in parameters if is_dataclass(p.default) for f in fields(p.default)}
    return {name.replace("_", "-") for name in names}


OPTIONS = {command.__name__: options(command) for command in COMMANDS}


def blocks(page, language):
    """The fenced blocks of one language, with backslash-ended lines joined."""
    found = re.findall(rf"^```{language}\n(.*?)^```", page.read_text(), re.M | re.S)
    return [block.replace("\\\n", " ") for block in found]


def test_the_version_has_one_place():
    assert f"\nversion: {zsar_lab.__version__}\n" in (ROOT / "CITATION.cff").read_text()
    assert 'dynamic = ["version"]' in (ROOT / "pyproject.toml").read_text()


def test_the_readme_is_short():
    text = (ROOT / "README.md").read_text()
    assert len(text.encode()) <= 14_000
    assert len(text.splitlines()) <= 200


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_to_files(page):
    links = re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text())
    missing = [link for link in links if "://" not in link and not (page.parent / link).exists()]
    assert missing == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_and_their_options_exist(page):
    commands = r"(?:zsar-lab|-m zsar_lab) +([a-z-]+)([^\n|#`]*)"
    for command, rest in re.findall(commands, page.read_text().replace("\\\n", " ")):
        assert command in OPTIONS, f"no command {command}"
        unknown = set(re.findall(r"--([a-z][a-z-]+)", rest)) - OPTIONS[command] - {"help"}
        assert unknown == set(), f"{command} has no option {unknown}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_python_blocks_import_what_exists(page):
    for block in blocks(page, "python"):
        for node in ast.walk(ast.parse(block)):
            if isinstance(node, ast.ImportFrom):
                module = importlib.import_module(node.module)
                absent = [name.name for name in node.names if not hasattr(module, name.name)]
                assert absent == []
            elif isinstance(node, ast.Attribute) and ast.unparse(node.value) == "zl":
                assert hasattr(importlib.import_module("zsar_lab"), node.attr)


def test_the_tables_of_the_demo_are_those_of_the_report_that_is_kept():
    sys.path.insert(0, str(ROOT / "benchmarks"))
    import write_tables

    kept = json.loads(write_tables.KEPT.read_text())
    made = write_tables.tables(kept)
    pages = [ROOT / "README.md", ROOT / "docs" / "demo.md"]
    marked = [re.findall(r"<!-- table: (\w+) -->", page.read_text()) for page in pages]
    assert marked == [["short"], ["methods", "prompts", "generalised"]] and set(sum(marked, [])) == set(made)
    for page in pages:
        text = page.read_text()
        assert write_tables.written(text, made) == text
        other = kept | {"seen_top1": 0, "methods": kept["methods"] | {"direct": kept["methods"]["ridge"]}}
        assert write_tables.written(text, write_tables.tables(other)) != text
    assert "58.3 | 42..73" in made["short"] and made["methods"].count("\n") == 11
