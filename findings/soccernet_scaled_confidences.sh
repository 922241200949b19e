#!/usr/bin/env bash
# SoccerNet's average-mAP falls from .94 to .50 when all confidences are divided by a thousand: it looks at 200 fixed thresholds.
#
# What     soccernet 0.2.0, `SoccerNet.Evaluation.ActionSpotting.average_mAP`, the official score of action spotting
# Expected average precision depends on the order of the confidences alone
# Seen     .94 as given, .93 divided by 10, .79 by 100, .50 by 1,000, and .55 multiplied by 10, as logits are: precision is taken
#          at 0, 1/199, ..., 1, and what lies between two of them is one tie
# Matters  softmax over many classes or windows, products of scores, and logits are not spread over 0..1. One model has
#          many figures, and a change of temperature reads as progress. Spread the ranks over 0..1 before scoring.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -qq --no-deps soccernet==0.2.0 tqdm==4.70.1 numpy==2.4.6
cd "$folder"
TQDM_DISABLE=1 venv/bin/python - <<'PY'
from importlib.metadata import version

import numpy as np
from SoccerNet.Evaluation.ActionSpotting import average_mAP

rng = np.random.default_rng(0)
rate, frames, classes = 2, 2000, 3
truth = np.zeros((frames, classes))
confidence = np.full((frames, classes), -1.0)  # -1: nothing spotted there
for k in range(classes):
    actions = rng.choice(np.arange(50, 1950, 60), 20, replace=False)
    false_alarms = rng.choice(np.arange(80, 1950, 60), 20, replace=False)
    truth[actions, k] = 1
    confidence[actions, k] = rng.uniform(0.5, 1.0, 20)
    confidence[false_alarms, k] = rng.uniform(0.0, 0.7, 20)
visible = np.ones_like(truth)


def average_map(scale):
    scaled = np.where(confidence < 0, -1, confidence * scale)
    return round(float(average_mAP([truth], [scaled], [visible], rate, np.arange(1, 6))[0]), 3)


seen = {scale: average_map(scale) for scale in (1, 0.1, 0.01, 0.001, 10)}
print(f"soccernet {version('soccernet')}, numpy {np.__version__}")
print(f"expected: one figure for one order, {seen[1]}")
print(f"seen, by the number that all confidences are multiplied with: {seen}")
assert seen[1] > 0.9
assert seen[0.01] < seen[1] - 0.1 and seen[0.001] < 0.6 and seen[10] < 0.6, "the behaviour changed"
PY
