#!/usr/bin/env bash
# scipy's savemat fills all class names with spaces to the length of the longest, and loadmat gives them back so.
#
# What     scipy 1.17.1, `savemat(path, {"names": ["run", "walk", "jump rope"]})`, then `loadmat(path, squeeze_me=True)["names"]`
# Expected the three names
# Seen     "run      ", "walk     ", "jump rope": a list of str becomes a matrix of characters. Of the three only the longest is still
#          equal to itself. An object array goes to a cell array and comes back whole
# Matters  splits and class vectors of zero-shot learning are handed on as .mat files. `names.index("run")` fails at once, but a join
#          or a dictionary with a default finds only the longest names, and the others have no clips or vector of zeros.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -qq scipy==1.17.1 numpy==2.4.6
cd "$folder"
venv/bin/python - <<'PY'
import numpy as np
import scipy
from scipy.io import loadmat, savemat

names = ["run", "walk", "jump rope"]
kinds = {"list": names, "array of str": np.array(names), "array of objects": np.array(names, dtype=object)}
seen = {}
for kind, given in kinds.items():
    savemat("split.mat", {"names": given})
    seen[kind] = loadmat("split.mat", squeeze_me=True)["names"].tolist()
print(f"scipy {scipy.__version__}, numpy {np.__version__}")
print(f"expected: {names}")
print(f"seen: {seen}")
assert seen["array of objects"] == names
padded = ["run      ", "walk     ", "jump rope"]
assert seen["list"] == seen["array of str"] == padded, "the behaviour changed"
PY
