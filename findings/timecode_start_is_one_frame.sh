#!/usr/bin/env bash
# timecode's 00:00:00:00 is one frame long: a second plus a second is 00:00:02:01, and 1 s is read as 00:00:00:24.
#
# What     timecode 1.5.1, `Timecode("25", ...)`: `start_seconds`, `+`, `-`, `to_realtime`, `float`
# Expected 1 s at 25 frames a second is 00:00:01:00 both ways; one second and one second are two; two less one is one
# Seen     `start_seconds=1` is 00:00:00:24, 00:00:01:00 is 1.04 s, the sum 00:00:02:01, the difference 00:00:00:24: a time code
#          is kept as a number of frames counted from one, and all arithmetic is done with that number
# Matters  annotators write time codes, data sets seconds. Segments are one frame late, and a sum or difference moves by another
#          frame each time; small enough to be taken for rounding. `frame_number` counts from zero.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -qq timecode==1.5.1
cd "$folder"
venv/bin/python - <<'PY'
from importlib.metadata import version

from timecode import Timecode

one, two = Timecode("25", "00:00:01:00"), Timecode("25", "00:00:02:00")
expected = {"1 s": "00:00:01:00", "seconds of 00:00:01:00": 1.0, "sum": "00:00:02:00", "difference": "00:00:01:00", "number": 25}
seen = {
    "1 s": str(Timecode("25", start_seconds=1)),
    "seconds of 00:00:01:00": round(one.float, 3),
    "sum": str(one + one),
    "difference": str(two - one),
    "number": one.frame_number,
}
print(f"timecode {version('timecode')}")
print(f"expected: {expected}")
print(f"seen: {seen}")
assert list(seen.values()) == ["00:00:00:24", 1.04, "00:00:02:01", "00:00:00:24", 25], "the behaviour changed"
PY
