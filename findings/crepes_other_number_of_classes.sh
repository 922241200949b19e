#!/usr/bin/env bash
# crepes accepts a classifier calibrated on 10 classes for 50, and its 90 % sets then hold the right class 65 % of the time.
#
# What     crepes 0.9.1, `ConformalClassifier.fit(hinge(...))` on 10 candidate classes, `predict_set(..., confidence=0.9)` on 50
# Expected an error, or sets that hold their 90 %
# Seen     65 % on 50 classes, 90 % on 10; no warning. With more rivals each probability is smaller than calibration ever saw
# Matters  zero-shot models are calibrated on validation classes and used on other and mostly more names. The guarantee that is
#          printed beside the sets is void exactly there.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -qq crepes==0.9.1 scikit-learn==1.9.1 numpy==2.4.6
cd "$folder"
venv/bin/python - <<'PY'
from importlib.metadata import version

import numpy as np
from crepes import ConformalClassifier
from crepes.extras import hinge

rng = np.random.default_rng(0)


def clips(n_classes, n=4000):
    """Probabilities of a model whose scores are equally good for any number of candidates, and the true classes."""
    labels = rng.integers(0, n_classes, n)
    scores = rng.normal(size=(n, n_classes))
    scores[np.arange(n), labels] += 3
    weights = np.exp(2 * scores)
    return weights / weights.sum(1, keepdims=True), labels


def share_right(n_classes):
    probabilities, labels = clips(n_classes)
    sets = classifier.predict_set(hinge(probabilities), confidence=0.9, seed=0)
    return round(float(sets[np.arange(len(labels)), labels].mean()), 3)


probabilities, labels = clips(10)
classifier = ConformalClassifier()
classifier.fit(hinge(probabilities, np.arange(10), labels))
seen = {n_classes: share_right(n_classes) for n_classes in (10, 50)}
print(f"crepes {version('crepes')}, numpy {np.__version__}")
print("expected: 0.9 for both numbers of classes, or an error for 50")
print(f"seen, share of sets with the right class by number of candidates: {seen}")
assert abs(seen[10] - 0.9) < 0.02
assert seen[50] < 0.7, "the behaviour changed"
PY
