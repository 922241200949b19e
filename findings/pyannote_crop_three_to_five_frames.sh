#!/usr/bin/env bash
# pyannote's crop by the centres of frames cuts three, four or five frames out of segments that are three frames long.
#
# What     pyannote.core 6.1.0, `SlidingWindow(duration=.04, step=.04).crop(Segment(k / 25, (k + 3) / 25), mode="center")`
# Expected frames k, k + 1 and k + 2, whose centres lie inside, for every k
# Seen     of 200 segments 79 have three frames, 79 five (the one before and the one after too) and 42 four: a border is rounded
#          to the nearest centre, both centres are equally near, and ties go to the even number. `fixed=` cuts a wrong start
# Matters  segments drawn on a grid of frames are what annotators make. Frame labels, pooled features and numbers of frames
#          alternate along the film, and the frames that are too many belong to the neighbours.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -qq pyannote.core==6.1.0 numpy==2.4.6
cd "$folder"
venv/bin/python - <<'PY'
from collections import Counter
from importlib.metadata import version

import numpy as np
from pyannote.core import Segment, SlidingWindow

frames = SlidingWindow(duration=0.04, step=0.04)
middles = [frames[k].middle for k in range(300)]


def inside(segment):
    return [k for k, middle in enumerate(middles) if segment.start <= middle <= segment.end]


segments = [Segment(k / 25, (k + 3) / 25) for k in range(200)]
right = Counter(len(inside(segment)) for segment in segments)
seen = Counter(len(frames.crop(segment, mode="center")) for segment in segments)
examples = {k: [int(frame) for frame in frames.crop(segments[k], mode="center")] for k in (6, 7)}
print(f"pyannote.core {version('pyannote.core')}, numpy {np.__version__}")
print(f"expected: {dict(right)} (number of frames: segments)")
print(f"seen: {dict(sorted(seen.items()))}; frames of the segments that begin at 6 and 7: {examples}")
assert right == {3: 200}
assert examples == {6: [6, 7, 8], 7: [6, 7, 8, 9, 10]} and set(seen) == {3, 4, 5}, "the behaviour changed"
PY
