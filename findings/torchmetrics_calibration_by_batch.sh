#!/usr/bin/env bash
# torchmetrics' calibration error depends on the batch size: whether scores are probabilities is guessed anew for each batch.
#
# What     torchmetrics 1.9.0, `MulticlassCalibrationError.update` with cosines, most between 0 and 1, a few below 0
# Expected one dataset has one calibration error, however it is cut into batches
# Seen     a batch with a value below 0 or above 1 goes through softmax, another is taken as it is: the same 1,000 clips give
#          .064 one by one and .032 at once. Average precision and AUROC over several classes move as well
# Matters  zero-shot scores are cosines, seldom negative. Two runs with other batch sizes, or a last batch that is short, give
#          other figures for one model. Hand over probabilities made by a stated temperature.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -qq torch==2.13.0 torchmetrics==1.9.0 numpy==2.4.6
cd "$folder"
venv/bin/python - <<'PY'
import torch
import torchmetrics
from torchmetrics.classification import MulticlassCalibrationError

generator = torch.Generator().manual_seed(0)
cosines = torch.rand(1000, 5, generator=generator) * 0.3
cosines[::50, 0] -= 0.31  # one clip in fifty has a negative one
labels = torch.randint(0, 5, (1000,), generator=generator)


def error(scores, batch):
    metric = MulticlassCalibrationError(num_classes=5)
    for start in range(0, 1000, batch):
        metric.update(scores[start : start + batch], labels[start : start + batch])
    return round(metric.compute().item(), 3)


batches = (1, 10, 100, 1000)
seen = {batch: error(cosines, batch) for batch in batches}
probabilities = {batch: error(cosines.softmax(1), batch) for batch in batches}
print(f"torchmetrics {torchmetrics.__version__}, torch {torch.__version__}")
print(f"expected: one value for all batch sizes, as for probabilities: {probabilities}")
print(f"seen: {seen}")
assert len(set(probabilities.values())) == 1
assert len({seen[1], seen[10], seen[1000]}) == 3, "the behaviour changed"
PY
