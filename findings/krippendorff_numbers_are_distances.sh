#!/usr/bin/env bash
# krippendorff.alpha takes class numbers for measurements unless told: agreement depends on how the classes are numbered.
#
# What     krippendorff 0.9.0, `alpha(reliability_data)` of two annotators' class numbers
# Expected class numbers are names: one disagreement in seven costs the same whichever two classes are mixed up
# Seen     the default is "interval": .35 where class 4 was called 0, .96 where it was called 3; as nominal data .82 and .83
# Matters  agreement of annotators is published with data sets, and classes are numbered in alphabetical order. The figure then
#          measures the alphabet. `level_of_measurement="nominal"`.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -qq krippendorff==0.9.0 numpy==2.4.6
cd "$folder"
venv/bin/python - <<'PY'
from importlib.metadata import version

import krippendorff

first = [0, 1, 2, 3, 4, 0, 1]
others = {"4 called 0": [0, 1, 2, 3, 0, 0, 1], "4 called 3": [0, 1, 2, 3, 3, 0, 1]}
seen = {name: round(float(krippendorff.alpha([first, second])), 2) for name, second in others.items()}
nominal = {name: round(float(krippendorff.alpha([first, second], level_of_measurement="nominal")), 2) for name, second in others.items()}
print(f"krippendorff {version('krippendorff')}")
print(f"expected: as for nominal data: {nominal}")
print(f"seen: {seen}")
assert seen["4 called 0"] == 0.35 and seen["4 called 3"] > 0.9, "the behaviour changed"
assert nominal["4 called 0"] == 0.82
PY
