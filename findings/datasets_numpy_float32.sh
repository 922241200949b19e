#!/usr/bin/env bash
# datasets hands out a float64 column as float32 once the format is numpy: times in seconds lose their milliseconds.
#
# What     datasets 5.2.0, `dataset.with_format("numpy")["start"]` of a column whose feature is float64
# Expected the column as it is stored: float64, as `dataset["start"]` and `to_pandas()` give
# Seen     float32: 1700000000.123 and .163, a frame later, are both 1700000000, and so is 1700000037.5. int64 stays int64, and
#          the features still say float64
# Matters  the format is set to get arrays for a model, and with it come the times by which clips are cut. Epoch
#          times are off by up to 64 s, times within a film of three hours by half a millisecond. `dtype=` turns the integers
#          into floats as well.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -qq datasets==5.2.0 pyarrow==26.0.1 pandas==3.1.1 numpy==2.4.6
cd "$folder"
venv/bin/python - <<'PY'
import datasets
import numpy as np

start = [1700000000.123, 1700000000.163, 1700000037.5]
clips = datasets.Dataset.from_dict({"start": start, "bytes": [2**40 + 1] * 3})
rows = clips.with_format("numpy")
times, sizes = rows["start"][:], rows["bytes"][:]
as_told = clips.with_format("numpy", dtype=np.float64)[:]
print(f"datasets {datasets.__version__}, numpy {np.__version__}; features {clips.features}")
print(f"expected: float64 {start}, as to_pandas: {clips.to_pandas()['start'].tolist()}")
print(f"seen: {times.dtype} {times.astype(float).tolist()}; sizes {sizes.dtype}, with dtype= {as_told['bytes'].dtype}")
assert clips.features["start"].dtype == "float64" and clips["start"][:] == clips.to_pandas()["start"].tolist() == start
assert sizes.dtype == np.int64 and sizes[0] == 2**40 + 1
assert times.dtype == np.float32 and times[0] == times[1] and abs(times.astype(float) - start).max() > 30, "the behaviour changed"
PY
