"""The layout of the source, read with ast: one-way imports, one owner a package, nothing at import."""

from __future__ import annotations

import ast
import fnmatch
import functools
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "zsar_lab"
SOURCES = sorted(PACKAGE.rglob("*.py"))

# a room imports only from itself and from rooms of a lower level: the model builds on data and text, which do
# not know each other
LEVELS = {
    "files": 0,
    "names": 0,
    "progress": 0,
    "shown": 0,
    "demo": 2,
    "data": 1,
    "text": 1,
    "protocols": 2,
    "models": 3,
    "train": 4,
    "embed": 5,
    "methods": 6,
    "results": 7,
    "study": 9,
    "workspace": 10,
    "study_ablation": 11,
    "infer": 11,  # opens models, also those of a workspace
    "viz": 12,
    "clips_to_score": 13,
    "evaluated": 13,
    "folders": 13,
    "evaluation": 14,
    "api": 15,
    "cli": 16,
    "__init__": 16,  # which imports the api when it is first asked for
    "__main__": 17,
}
VIDEO, WIDGETS = ("zsar_lab/data/video*.py",), ("zsar_lab/viz/widgets/*",)
OWNERS = {
    "decord": VIDEO,
    "av": VIDEO,
    "simplejpeg": ("zsar_lab/data/pixels.py",),
    "transformers": ("zsar_lab/text/*", "zsar_lab/models/backbones.py", "zsar_lab/models/public.py"),
    "huggingface_hub": ("zsar_lab/text/*", "zsar_lab/models/backbones.py", "zsar_lab/infer/hub.py"),
    "snowballstemmer": ("zsar_lab/text/class_lists.py",),
    "umap": ("zsar_lab/viz/projection.py",),
    "plotly": ("zsar_lab/viz/figures/*", "zsar_lab/viz/widgets/figures.py"),
    "jinja2": ("zsar_lab/viz/clips.py", "zsar_lab/results/report_files.py", "zsar_lab/infer/export.py"),
    "ipywidgets": WIDGETS,
    "anywidget": WIDGETS,
    "IPython": WIDGETS,
    "tqdm": ("zsar_lab/progress.py",),
}
HEAVY = "torch numpy pandas transformers plotly sklearn scipy umap av decord ipywidgets".split()
SCORING = [name for name in HEAVY if name not in ("numpy", "pandas")]
MOST_LINES = 400


def shown(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def room_of(path: Path) -> str:
    """The folder below zsar_lab, or the stem of a file that lies directly in it."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports_of(source: str, package: str) -> list[str]:
    """Full dotted names of all modules that a source imports, in functions too, as seen from `package`."""
    names = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            names += [f"{base}.{alias.name}" for alias in node.names]
        elif (
            isinstance(node, ast.Call)
            and ast.unparse(node.func) in ("importlib.import_module", "__import__")
            and node.args
        ):
            names += [node.args[0].value] if isinstance(node.args[0], ast.Constant) else []
    return names


@functools.cache
def imports_in(path: Path) -> list[str]:
    return imports_of(path.read_text(encoding="utf-8"), ".".join(path.relative_to(ROOT).parent.parts))


def wrong_way(path: Path, names: list[str]) -> list[str]:
    """Those of a file's imports that go against the levels."""
    room, wrong = room_of(path), []
    for name in names:
        first, *rest = name.split(".")
        other = rest[0] if first == "zsar_lab" and rest else room
        if other != room and LEVELS.get(other, -1) >= LEVELS[room]:
            wrong.append(f"{shown(path)} imports {name}")
    return wrong


def test_imports_are_read_in_all_their_forms():
    source = "import a.b as c, d\nfrom e.f import g\nfrom . import h\nfrom ..i import j\n"
    source += "def k():\n    import l\n    importlib.import_module('m')"
    assert imports_of(source, "zsar_lab.viz") == [
        "a.b",
        "d",
        "e.f.g",
        "zsar_lab.viz.h",
        "zsar_lab.i.j",
        *"lm",
    ]


def test_imports_go_one_way():
    assert len(SOURCES) > 30 and {room_of(path) for path in SOURCES} <= LEVELS.keys()
    assert not [line for path in SOURCES for line in wrong_way(path, imports_in(path))]
    # and the check sees rooms that must not know each other, and a lower one that looks up
    apart = ("data/x", "text.encoder"), ("text/x", "data.catalog"), ("text/x", "models.rest")
    for file, name in (*apart, ("models/x", "train.loop"), ("files", "data")):
        assert wrong_way(PACKAGE / f"{file}.py", [f"zsar_lab.{name}"])
    assert not wrong_way(PACKAGE / "viz/x.py", ["zsar_lab.results.report"])


@pytest.mark.parametrize("package", OWNERS)
def test_a_heavy_package_has_one_owner(package):
    imported = {shown(path): {name.split(".")[0] for name in imports_in(path)} for path in SOURCES}
    users = [user for user, names in imported.items() if package in names]
    strangers = [user for user in users if not any(fnmatch.fnmatch(user, owner) for owner in OWNERS[package])]
    assert users and not strangers, f"{package} belongs to {OWNERS[package]}"


def test_no_module_has_a_name_that_says_nothing():
    empty = {"utils", "util", "common", "helpers", "helper", "base", "misc", "core"}
    assert not [shown(path) for path in PACKAGE.rglob("*") if path.stem in empty]


def test_no_file_is_too_long():
    lengths = {shown(path): len(path.read_text(encoding="utf-8").splitlines()) for path in SOURCES}
    assert not {path: length for path, length in lengths.items() if length > MOST_LINES}


def test_angle_brackets_in_docstrings_stand_in_backticks():
    """The API pages take others for html and lose them."""
    named = (ast.Module, ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    lost = []
    for path in SOURCES:
        nodes = ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        for text in (ast.get_docstring(node) or "" for node in nodes if isinstance(node, named)):
            found = re.findall(r"<[A-Za-z/][^<>\n]*>", re.sub(r"`[^`]*`", "", text))
            lost += [f"{shown(path)}: {one}" for one in found]
    assert not lost


def outputs_in(notebook: dict) -> list[int]:
    """The numbers of the code cells that hold an output or an execution count."""
    code = [(n, cell) for n, cell in enumerate(notebook["cells"]) if cell["cell_type"] == "code"]
    return [n for n, cell in code if cell["outputs"] or cell["execution_count"] is not None]


def test_notebooks_hold_no_outputs():
    paths = sorted((ROOT / "notebooks").glob("*.ipynb"))
    assert paths
    notebooks = {path.name: json.loads(path.read_text(encoding="utf-8")) for path in paths}
    assert not {name: outputs_in(notebook) for name, notebook in notebooks.items() if outputs_in(notebook)}
    run = {"cell_type": "code", "outputs": [], "execution_count": 3}
    assert outputs_in({"cells": [{"cell_type": "markdown"}, run]}) == [1]


@pytest.mark.parametrize(
    ("statement", "free_of"),
    [
        ("import zsar_lab", HEAVY),
        ("import zsar_lab.cli", ("torch", "transformers", "plotly")),
        ("import zsar_lab.protocols.leakage, zsar_lab.protocols.splits", ("torch", "transformers", "av")),
        ("from zsar_lab.results import evaluate, summary, compare_reports, outside, report_files", SCORING),
        (
            "import zsar_lab.text.embeddings, zsar_lab.text.lint, zsar_lab.embed.embeddings",
            ("torch", "transformers", "scipy"),
        ),
    ],
)
def test_an_import_loads_nothing_heavy(statement, free_of):
    code = f"import sys; {statement}; print(*sorted({{name.split('.')[0] for name in sys.modules}}))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    loaded = done.stdout.split()
    assert "zsar_lab" in loaded and not set(free_of) & set(loaded)
