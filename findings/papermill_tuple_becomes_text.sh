#!/usr/bin/env bash
# papermill writes a tuple into the notebook as text: ("run", "jump") becomes a string, and its first class is "(".
#
# What     papermill 2.7.0, `execute_notebook(..., parameters={"classes": ("run", "jump"), "size": (112, 112)})`
# Expected the tuples, or lists, as for ["run", "jump"], or an error, as for a set
# Seen     `classes = "('run', 'jump')"`: 15 classes, the first "("; also for tuples within lists and dicts; no warning, and the
#          metadata of the output notebook say ["run", "jump"]
# Matters  sizes, ranges and settings of frozen dataclasses are tuples. `len`, `in` and a loop work on a string too: "jump" is found in
#          it, and so is "um". The output notebook, kept as proof of what was run, shows the right parameters.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -qq papermill==2.7.0 ipykernel==7.4.0
cd "$folder"
venv/bin/python -W ignore - <<'PY'
import nbformat
import papermill

kernel = {"name": "python3", "display_name": "python3", "language": "python"}
defaults = nbformat.v4.new_code_cell("classes = []", metadata={"tags": ["parameters"]})
used = nbformat.v4.new_code_cell('print(type(classes).__name__, len(classes), classes[0], "um" in classes)')
nbformat.write(nbformat.v4.new_notebook(cells=[defaults, used], metadata={"kernelspec": kernel}), "study.ipynb")


def run(classes):
    papermill.execute_notebook("study.ipynb", "run.ipynb", {"classes": classes}, progress_bar=False, log_output=False)
    notebook = nbformat.read("run.ipynb", as_version=4)
    return notebook.cells[-1].outputs[0]["text"].strip(), notebook.metadata.papermill.parameters.classes


as_list, _ = run(["run", "jump"])
as_tuple, recorded = run(("run", "jump"))
nested, _ = run([("run", "jump")])
print(f"papermill {papermill.__version__}")
print(f"expected: tuple 2 run False, or as from a list: {as_list}")
print(f"seen: {as_tuple}; within a list: {nested}; recorded as {recorded}")
assert as_list == "list 2 run False" and recorded == ["run", "jump"]
assert as_tuple == "str 15 ( True", "the behaviour changed"
assert nested == "list 1 ('run', 'jump') False", "the behaviour changed"
PY
