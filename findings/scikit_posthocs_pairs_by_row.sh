#!/usr/bin/env bash
# scikit-posthocs' Wilcoxon test of paired samples pairs by the order of rows: a shuffled table turns p = .0005 into .85.
#
# What     scikit-posthocs 0.17.1, `posthoc_wilcoxon(table, val_col="accuracy", group_col="method")`, a row per class and method
# Expected pairs are found by class, as in the package's Friedman tests (`block_col`), or an error, since nothing names the pairs
# Seen     the n-th row of one method is paired with the n-th row of the other; `sort=True` sorts the methods, not the classes
# Matters  tables of results come out of a join, a group-by or parallel runs in any order. A gain in all twelve classes is then
#          "not significant", and two tables with the same rows disagree. Pivot to a column a method first.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -qq scikit-posthocs==0.17.1 pandas==3.1.1 numpy==2.4.6
cd "$folder"
venv/bin/python - <<'PY'
from importlib.metadata import version

import numpy as np
import pandas as pd
import scikit_posthocs

rng = np.random.default_rng(0)
accuracy = rng.normal(0.5, 0.2, size=12)
gain = rng.uniform(0.01, 0.05, size=12)
table = pd.concat(
    pd.DataFrame({"class": range(12), "method": method, "accuracy": values})
    for method, values in (("before", accuracy), ("after", accuracy + gain))
)
shuffled = table.sample(frac=1, random_state=3)


def wilcoxon(rows, **options):
    p = scikit_posthocs.posthoc_wilcoxon(rows, val_col="accuracy", group_col="method", **options)
    return round(float(p.loc["before", "after"]), 4)


def friedman(rows):
    columns = {"y_col": "accuracy", "group_col": "method", "block_col": "class", "block_id_col": "class"}
    p = scikit_posthocs.posthoc_nemenyi_friedman(rows, melted=True, **columns)
    return round(float(p.loc["before", "after"]), 4)


seen = {"in order": wilcoxon(table), "shuffled": wilcoxon(shuffled), "shuffled, sort=True": wilcoxon(shuffled, sort=True)}
print(f"scikit-posthocs {version('scikit-posthocs')}, pandas {pd.__version__}")
print(f"expected: one p for the same rows, as Nemenyi and Friedman give: {friedman(table)} and {friedman(shuffled)}")
print(f"seen: {seen}")
assert friedman(table) == friedman(shuffled)
assert seen["in order"] == 0.0005
assert seen["shuffled"] == seen["shuffled, sort=True"] > 0.2, "the behaviour changed"
PY
