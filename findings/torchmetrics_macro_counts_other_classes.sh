#!/usr/bin/env bash
# torchmetrics' macro accuracy averages in classes that no clip has, once one of them is predicted: a wrong answer costs twice.
#
# What     torchmetrics 1.9.0, `MulticlassAccuracy(average="macro")`, more candidate names than classes in the test set
# Expected mean class accuracy, the mean over the classes of the test clips, as scikit-learn's `balanced_accuracy_score` gives
# Seen     .50 where .75 is the mean over the two classes there; a mistake for a third class of the test set costs once, one for
#          a class that is not in it adds a zero to the mean
# Matters  generalised zero-shot scoring has seen and unseen names as candidates and clips of the unseen only; own videos have
#          twenty names and clips of five. The figure drops with each other name ever predicted, and is no mean class accuracy.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -qq torch==2.13.0 torchmetrics==1.9.0 scikit-learn==1.9.1 numpy==2.4.6
cd "$folder"
venv/bin/python -W ignore - <<'PY'
import torch
import torchmetrics
from sklearn.metrics import balanced_accuracy_score
from torchmetrics.classification import MulticlassAccuracy

labels = torch.tensor([0] * 4 + [1] * 4)
answers = {
    "mistaken for each other": torch.tensor([0, 0, 0, 0, 1, 1, 0, 0]),
    "mistaken for a class without clips": torch.tensor([0, 0, 0, 0, 1, 1, 5, 5]),
    "mistaken for two such classes": torch.tensor([0, 0, 0, 0, 1, 1, 5, 6]),
}
macro = MulticlassAccuracy(num_classes=10, average="macro")
seen = {what: round(macro(predictions, labels).item(), 3) for what, predictions in answers.items()}
right = {what: float(balanced_accuracy_score(labels, predictions)) for what, predictions in answers.items()}
print(f"torchmetrics {torchmetrics.__version__}, torch {torch.__version__}")
print(f"expected, the mean over the classes of the clips: {right}")
print(f"seen: {seen}")
assert set(right.values()) == {0.75}
assert list(seen.values()) == [0.75, 0.5, 0.375], "the behaviour changed"
PY
