#!/usr/bin/env bash
# torchmetrics counts in float32: past 16,777,216 a SumMetric or MeanMetric no longer notices what is added one by one.
#
# What     torchmetrics 1.9.0 with torch 2.13.0, `SumMetric.update(1)` and `MeanMetric.update(value)` after 2^24
# Expected integers are counted exactly (a Python int, or numpy's int64 sum), and a mean of ones and zeros stays one
# Seen     a thousand more change nothing: the sum stays at 16,777,216, and a mean of 2^24 ones and 1,000 zeros is 1.0
# Matters  frames, clip views and tokens are counted like this over an epoch: Kinetics-400 at 16 frames and 5 views has
#          19 million. A share of broken frames that sets in late reads 0. `set_dtype(torch.float64)` helps.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -qq torch==2.13.0 torchmetrics==1.9.0 numpy==2.4.6
cd "$folder"
venv/bin/python - <<'PY'
import torch
import torchmetrics

START, MORE = 2**24, 1000


def after(metric, first, then):
    metric.update(*first)
    for _ in range(MORE):
        metric.update(*then)
    return metric.compute().item()


total = after(torchmetrics.SumMetric(), (START,), (1,))
mean = after(torchmetrics.MeanMetric(), (1.0, START), (0.0, 1))
double = after(torchmetrics.SumMetric().set_dtype(torch.float64), (START,), (1,))
print(f"torchmetrics {torchmetrics.__version__}, torch {torch.__version__}")
print(f"expected: sum {START + MORE}, mean {START / (START + MORE):.6f}")
print(f"seen: sum {total:.0f}, mean {mean:.6f}; in float64 the sum is {double:.0f}")
assert double == START + MORE
assert total == START and mean == 1.0, "the behaviour changed"
PY
