#!/usr/bin/env bash
# xarray subtracts two tracks of ten frames and gives six: times made by multiplying and by adding differ in the last digit.
#
# What     xarray 2026.9.0, `truth - predicted` of arrays whose coordinate is seconds, 0.1 * k in one, a running sum in the other
# Expected ten differences, or an error because the coordinates differ
# Seen     six; the frames whose times differ by 1e-16 are left out, and the mean is taken over the rest. `merge` gives fourteen
# Matters  pose tracks and per-frame scores are kept in xarray by time. An error by frame, agreement or a correlation is then that
#          of a part of the frames, chosen by rounding. Index by frame number, or `xr.set_options(arithmetic_join="exact")`.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -qq xarray==2026.9.0 pandas==3.1.1 numpy==2.4.6
cd "$folder"
venv/bin/python - <<'PY'
import numpy as np
import xarray as xr

multiplied = 0.1 * np.arange(10)
added = np.cumsum([0.0] + [0.1] * 9)
truth = xr.DataArray(np.zeros(10), coords={"time": multiplied}, dims="time", name="truth")
predicted = xr.DataArray(np.arange(10.0), coords={"time": added}, dims="time", name="predicted")

error = abs(truth - predicted)
merged = xr.merge([truth, predicted], join="outer").sizes["time"]
try:
    with xr.set_options(arithmetic_join="exact"):
        exact = (truth - predicted).sizes
except ValueError as refused:
    exact = type(refused).__name__
print(f"xarray {xr.__version__}, numpy {np.__version__}; the times differ by at most {abs(multiplied - added).max():.0e}")
print("expected: 10 frames, mean error 4.5, or an error")
print(f"seen: {error.sizes['time']} frames, mean error {float(error.mean()):.2f}; merged {merged} frames; with 'exact' {exact}")
assert merged == 14 and exact != {"time": 10}
assert error.sizes["time"] == 6, "the behaviour changed"
PY
