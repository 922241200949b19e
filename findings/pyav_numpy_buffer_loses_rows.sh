#!/usr/bin/env bash
# PyAV's from_numpy_buffer takes 4:2:0 pictures for lower than they are where their height is no multiple of 4.
#
# What     av 18.1.0, `VideoFrame.from_numpy_buffer(frame.to_ndarray(), format="yuv420p")` of a picture of 64 x 74
# Expected the same picture, as `VideoFrame.from_ndarray` of the same array gives it, or an error
# Seen     a picture of 64 x 72: two rows less, and colours read from two rows too early, of other places; no error, no warning.
#          270 rows become 268; heights of 72, 76 and 1080 come whole
# Matters  who wraps decoded pictures without a copy, to save time, gets wrong colours for 270 x 480 and right ones for 240 x 320
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -qq av==18.1.0 numpy==2.4.6
"$folder/venv/bin/python" - <<'PY'
import av
import numpy as np

heights, red = (72, 74, 76, 270, 1080), (200, 40, 40)
seen = {}
for height in heights:
    picture = np.full((height, 64, 3), red, np.uint8)
    planes = av.VideoFrame.from_ndarray(picture, format="rgb24").to_ndarray(format="yuv420p")
    wrapped = av.VideoFrame.from_numpy_buffer(planes, format="yuv420p")
    copied = av.VideoFrame.from_ndarray(planes, format="yuv420p")
    apart = np.abs(wrapped.to_ndarray(format="rgb24").astype(int) - red).max()
    assert copied.height == height and np.abs(copied.to_ndarray(format="rgb24").astype(int) - red).max() < 8
    seen[height] = wrapped.height, int(apart)
print(f"av {av.__version__}; height: height when wrapped, and how far the colour is off")
print(f"expected: {({height: (height, 2) for height in heights})}, about")
print(f"seen: {seen}")
assert all(seen[height][0] == height and seen[height][1] < 8 for height in (72, 76, 1080))
assert seen[74][0] == 72 and seen[270][0] == 268 and seen[74][1] > 50, "the behaviour changed"
PY
