#!/usr/bin/env bash
# One NaN score makes scipy's moving average NaN for all later frames, and one huge score makes them zero.
#
# What     scipy 1.17.1, `scipy.ndimage.uniform_filter1d(scores, 5)` of thirty frame scores, the one at 10 NaN, or 1e17
# Expected five frames, those whose window holds it, as `np.convolve` and `gaussian_filter1d` give
# Seen     22 frames from 8 to the end are NaN; after 1e17 the rest is 0 where all scores are .1: the window's sum is carried along
#          by adding the new score and taking off the old one
# Matters  frame scores are smoothed so before segments are cut. One frame that could not be decoded wipes out the action after it,
#          never the one before, and NaN compares as below any threshold: the film looks empty from there on.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -qq scipy==1.17.1 numpy==2.4.6
cd "$folder"
venv/bin/python - <<'PY'
import numpy as np
import scipy
from scipy.ndimage import gaussian_filter1d, uniform_filter1d

missing, huge = np.full(30, 0.1), np.full(30, 0.1)
missing[10], huge[10] = np.nan, 1e17
by_window = {
    "np.convolve": np.convolve(missing, np.full(5, 0.2), mode="same"),
    "gaussian_filter1d": gaussian_filter1d(missing, 1.0, radius=2),
}
counts = {name: int(np.isnan(smooth).sum()) for name, smooth in by_window.items()}
frames = np.flatnonzero(np.isnan(uniform_filter1d(missing, 5)))
after = uniform_filter1d(huge, 5)[-1]
right = np.convolve(huge, np.full(5, 0.2), mode="same")[-4]
print(f"scipy {scipy.__version__}, numpy {np.__version__}")
print(f"expected: {counts} frames are NaN; {right:.2f} at the end")
print(f"seen: {len(frames)} frames are NaN, {frames[0]} to {frames[-1]}; after 1e17 {after} at the end")
assert set(counts.values()) == {5} and abs(right - 0.1) < 1e-12
assert frames.tolist() == list(range(8, 30)) and after == 0.0, "the behaviour changed"
PY
