#!/usr/bin/env bash
# pympi's shift to the left leaves the end of a segment that crosses zero where it was: it grows, and overlaps the next one.
#
# What     pympi-ling 1.71, `Eaf.shift_annotations(-500)` of an ELAN tier
# Expected every time moves by 500 ms, starts below zero become zero: 200-1400 becomes 0-900
# Seen     200-1400 becomes 0-1400, and overlaps its neighbour 900-1500, which ELAN does not allow within a tier; the call
#          returns it as "squashed" with the start 200, not with what it is now
# Matters  shifting is how annotations are moved to a video whose lead-in was cut. The first segment of every file is wrong by
#          the shift, all others are right, so that a spot check passes.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -qq pympi-ling==1.71
cd "$folder"
venv/bin/python - <<'PY'
from importlib.metadata import version

from pympi.Elan import Eaf

eaf = Eaf()
eaf.add_tier("action")
for start, end, name in [(200, 1400, "walk"), (1400, 2000, "run"), (3000, 3500, "jump")]:
    eaf.add_annotation("action", start, end, name)
squashed, removed = eaf.shift_annotations(-500)
seen = sorted(segment[:3] for segment in eaf.get_annotation_data_for_tier("action"))

print(f"pympi-ling {version('pympi-ling')}")
print("expected: [(0, 900, 'walk'), (900, 1500, 'run'), (2500, 3000, 'jump')]")
print(f"seen: {seen}; returned squashed {squashed}, removed {removed}")
assert seen == [(0, 1400, "walk"), (900, 1500, "run"), (2500, 3000, "jump")], "the behaviour changed"
PY
