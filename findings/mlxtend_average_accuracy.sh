#!/usr/bin/env bash
# mlxtend's "average per-class accuracy" of guessing among fifty classes is 96 %.
#
# What     mlxtend 0.25.0, `accuracy_score(truth, predicted, method="average")`
# Expected mean class accuracy, the mean over classes of the share of its clips that are right: 2 % for guesses
# Seen     96 %: each class is scored as "this class or not", where the clips of all other classes that are
#          not called so count as right, and the mean is taken over these
# Matters  mean class accuracy is the figure of this field, and the name promises it. With C classes and top-1 accuracy a the figure
#          is 1 - 2 (1 - a) / C, so that any model on 50 classes has at least 96 %, and one twice as good has 97 %.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -qq mlxtend==0.25.0 scikit-learn==1.9.1 scipy==1.17.1 pandas==3.1.1 numpy==2.4.6
cd "$folder"
venv/bin/python - <<'PY'
import mlxtend
import numpy as np
from mlxtend.evaluate import accuracy_score
from sklearn.metrics import balanced_accuracy_score

rng = np.random.default_rng(0)
classes = 50
truth = np.repeat(np.arange(classes), 10)
guesses = rng.integers(0, classes, size=truth.size)
half_right = np.where(np.arange(truth.size) % 2, truth, (truth + 1) % classes)

models = {"guesses": guesses, "half right": half_right}
right = {name: round(float(balanced_accuracy_score(truth, answers)), 3) for name, answers in models.items()}
seen = {name: round(float(accuracy_score(truth, answers, method="average")), 3) for name, answers in models.items()}
print(f"mlxtend {mlxtend.__version__}, scikit-learn's balanced accuracy for comparison")
print(f"expected: {right}")
print(f"seen: {seen}")
assert right["guesses"] < 0.05 and right["half right"] == 0.5
for name, share in right.items():
    assert abs(seen[name] - (1 - 2 * (1 - share) / classes)) < 1e-3, "the behaviour changed"
PY
