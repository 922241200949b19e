#!/usr/bin/env bash
# One missing p value makes statsmodels answer with all corrected p values NaN beside rejections that say True.
#
# What     statsmodels 0.15.0, `multipletests(p, method="fdr_bh")` and "holm" with one NaN among the p values
# Expected the NaN is refused, or left out, as pingouin's `multicomp` does with the same p values
# Seen     fdr_bh: two rejections True while every corrected p is NaN. holm: NaN counts as one more test, so that
#          .03, .04, .04 become .04, .06, .08, and two of three differences that hold at .05 no longer do
# Matters  a class without clips, or two methods that are equal on every class, have no p value. A table that prints
#          `reject` claims differences that have no p; one that prints corrected p values changes with the classes left out.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -qq statsmodels==0.15.0 scipy==1.17.1 pandas==3.1.1 numpy==2.4.6
cd "$folder"
venv/bin/python - <<'PY'
import numpy as np
import statsmodels
from statsmodels.stats.multitest import multipletests

p = np.array([0.010, 0.020, np.nan, 0.040])
kept = p[~np.isnan(p)]
seen = {method: multipletests(p, method=method)[:2] for method in ("fdr_bh", "holm")}
without = {method: multipletests(kept, method=method)[:2] for method in ("fdr_bh", "holm")}

print(f"statsmodels {statsmodels.__version__}, numpy {np.__version__}, p = {p}")
print(f"expected: an error, or as without the NaN: {without}")
print(f"seen: {seen}")
reject, corrected = seen["fdr_bh"]
assert reject.tolist() == [True, True, False, False] and np.isnan(corrected).all(), "the behaviour changed"
assert np.allclose(seen["holm"][1], [0.04, 0.06, np.nan, 0.08], equal_nan=True), "the behaviour changed"
assert without["holm"][0].all() and seen["holm"][0].tolist() == [True, False, False, False], "the behaviour changed"
PY
