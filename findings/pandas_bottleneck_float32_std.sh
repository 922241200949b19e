#!/usr/bin/env bash
# With bottleneck installed, pandas' std of a float32 column is ten times too large.
#
# What     pandas 3.1.1, `Series.std()` of 5,000,000 float32 numbers between 100 and 101, without and with bottleneck 1.6.0
# Expected .2886 both ways: bottleneck is on pandas' list of packages that make it faster
# Seen     .2886 without, 2.94 with it; of 20,000,000 ones 0 and .16. `describe`, `var` and DataFrames too; the mean and
#          grouped figures stay right. bottleneck adds up in float32, where the sum of squares loses its last digits
# Matters  xarray users and "performance" extras bring bottleneck along. Frame times, losses, bytes or scores of millions of rows are
#          kept as float32; intervals and normalised features then depend on what else is installed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -qq pandas==3.1.1 numpy==2.4.6
cd "$folder"
cat > spread.py <<'PY'
import json

import numpy as np
import pandas as pd

scores = (np.random.default_rng(0).random(5_000_000) + 100).astype(np.float32)
column = pd.Series(scores)
grouped = column.groupby(np.zeros(len(column), dtype=int)).std().item()
figures = {"std": column.std(), "described": column.describe()["std"], "grouped": grouped, "float64": scores.astype(float).std()}
print(json.dumps({name: round(float(value), 4) for name, value in figures.items()}))
PY
without=$(venv/bin/python spread.py)
venv/bin/pip install -qq bottleneck==1.6.0
with=$(venv/bin/python spread.py)
venv/bin/python - "$without" "$with" <<'PY'
import json
import sys
from importlib.metadata import version

without, seen = map(json.loads, sys.argv[1:])
print(f"pandas {version('pandas')}, bottleneck {version('bottleneck')}, numpy {version('numpy')}")
print(f"expected, as without bottleneck: {without}")
print(f"seen: {seen}")
assert set(without.values()) == {0.2886} and seen["grouped"] == seen["float64"] == 0.2886
assert seen["std"] == seen["described"] > 1.0, "the behaviour changed"
PY
