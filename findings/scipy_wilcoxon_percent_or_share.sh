#!/usr/bin/env bash
# scipy's Wilcoxon test gives another p for the same accuracies written as shares than written in percent.
#
# What     scipy 1.17.1, `wilcoxon(a, b)` of eight classes' accuracies (pingouin's `wilcoxon` calls it)
# Expected a rank test does not know units: .62 against .61 and 62 against 61 are one p
# Seen     p = .016 for shares, .047 for percent. As shares, .62 - .61, .71 - .70 and .58 - .57 differ in the 17th digit: ties
#          become an order made of rounding error, and with it the method (exact or not) changes
# Matters  two methods compared over classes have many equal differences, since a class has few clips. Whether a gain holds
#          after Holm's correction then hangs on the unit. Round the differences first.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -qq scipy==1.17.1 numpy==2.4.6
cd "$folder"
venv/bin/python - <<'PY'
import numpy as np
import scipy
from scipy.stats import wilcoxon

a = np.array([62, 55, 71, 40, 66, 58, 49, 73])  # correct of 100 clips, eight classes
b = np.array([61, 53, 70, 41, 64, 57, 47, 72])
percent = float(wilcoxon(a, b).pvalue)
shares = float(wilcoxon(a / 100, b / 100).pvalue)
rounded = float(wilcoxon(np.round(a / 100 - b / 100, 6)).pvalue)

print(f"scipy {scipy.__version__}, numpy {np.__version__}")
print(f"expected: one p for both units; the differences are {(a - b).tolist()} points")
print(f"seen: percent {percent:.4f}, shares {shares:.4f}, shares with rounded differences {rounded:.4f}")
print(f"the shares' differences: {np.unique(np.abs(a / 100 - b / 100)).tolist()}")
assert percent == rounded and round(percent, 4) == 0.0469
assert round(shares, 4) == 0.0156, "the behaviour changed"
PY
