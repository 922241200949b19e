#!/usr/bin/env bash
# numpy's mean over a million clips is larger than the largest of them: along the first axis float32 is added one by one.
#
# What     numpy 2.4.6, `x.mean(axis=0)` of 1,000,000 x 4 float32 numbers between 100 and 101, and `x[:, 0].mean()` of the same
# Expected 100.5, as the mean of one column alone gives: numpy adds in pairs, so that errors stay small
# Seen     101.40 where the maximum is 101.0, and a standard deviation of .95 for .29. It adds in pairs along the axis that lies
#          together in memory only: `x.T.copy().mean(axis=1)`, the same numbers turned, is right
# Matters  the mean of features or pixels over clips, by which they are centred, is taken along the first axis. Where the mean is large
#          against the spread, clips are moved by three times their spread; few clips, as in tests, are right. `dtype=np.float64`.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -qq numpy==2.4.6
cd "$folder"
venv/bin/python - <<'PY'
import numpy as np

clips = np.random.default_rng(0).random((1_000_000, 4), dtype=np.float32) + np.float32(100)
turned = clips.T.copy()
right = {
    "one column": float(clips[:, 0].mean()),
    "turned": float(turned.mean(axis=1)[0]),
    "in float64": float(clips.mean(axis=0, dtype=np.float64)[0]),
}
seen = {"mean": float(clips.mean(axis=0)[0]), "std": float(clips.std(axis=0)[0]), "maximum": float(clips.max())}
print(f"numpy {np.__version__}")
print(f"expected: { {how: round(value, 3) for how, value in right.items()} }, std {clips[:, 0].std():.3f}")
print(f"seen: { {what: round(value, 3) for what, value in seen.items()} }")
assert all(abs(value - 100.5) < 0.01 for value in right.values())
assert seen["mean"] > seen["maximum"] and seen["std"] > 0.9, "the behaviour changed"
PY
