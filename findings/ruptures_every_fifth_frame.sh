#!/usr/bin/env bash
# ruptures looks for changes at every fifth frame only: two clean steps at 13 and 27 are found as four, at 10, 15, 25 and 30.
#
# What     ruptures 1.1.10, `Pelt(model="l2").fit(signal).predict(pen=1)`, and Dynp, Binseg, BottomUp and Window
# Expected changes at 13 and 27 in a signal without noise, as the method called optimal in the docs must give
# Seen     Pelt 10, 15, 25, 30; the others 15 and 25 or 30. `jump` is 5 unless given; KernelCPD, which has none, finds 13 and 27.
#          `metrics.precision_recall` calls 15 and 30 right: its margin is 10 frames
# Matters  segmenting a clip into actions by features or scores. At 5 samples a second borders are off by up to half a second, the
#          number of segments doubles, and changing the rate of frames changes both. `jump=1`.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -qq ruptures==1.1.10 scipy==1.17.1 numpy==2.4.6
cd "$folder"
venv/bin/python - <<'PY'
from importlib.metadata import version

import numpy as np
import ruptures
from ruptures.metrics import precision_recall

true = [13, 27, 48]
signal = np.concatenate([np.zeros(13), np.full(14, 5.0), np.zeros(21)])


def changes(method, **stop):
    return [int(k) for k in method.fit(signal).predict(**stop)]


right = {
    "Pelt, jump=1": changes(ruptures.Pelt(model="l2", jump=1), pen=1),
    "KernelCPD": changes(ruptures.KernelCPD(kernel="linear"), n_bkps=2),
}
seen = {
    "Pelt": changes(ruptures.Pelt(model="l2"), pen=1),
    "Dynp": changes(ruptures.Dynp(model="l2"), n_bkps=2),
    "Binseg": changes(ruptures.Binseg(model="l2"), n_bkps=2),
}
score = precision_recall(true, seen["Binseg"])
print(f"ruptures {version('ruptures')}, numpy {np.__version__}; the last number is the end of the signal")
print(f"expected: {true}, as {right}")
print(f"seen: {seen}; precision and recall of Binseg {score}")
assert all(found == true for found in right.values())
assert seen["Pelt"] == [10, 15, 25, 30, 48] and seen["Binseg"] == [15, 30, 48], "the behaviour changed"
assert all(k % 5 == 0 for found in seen.values() for k in found[:-1]) and score == (1.0, 1.0), "the behaviour changed"
PY
