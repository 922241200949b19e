#!/usr/bin/env bash
# numpy's mean of a thousand bfloat16 ones is .256: sums stop growing at 256.
#
# What     ml_dtypes 0.6.0 with numpy 2.4.6, `mean`, `sum` and `mean(axis=0)` of arrays of `ml_dtypes.bfloat16`
# Expected about 1, as numpy gives for float16, whose sums it keeps in float32 when it takes a mean
# Seen     .256 for a thousand ones, .0625 in place of .5 for 4,096 numbers of 0..1; the product `x @ x` is right, 1,000. From 256
#          on a step of one is less than bfloat16 can show, and it adds one after another
# Matters  embeddings of models run in bfloat16 come to numpy in this type (safetensors and jax hand it out). A class mean over
#          thousands of clips, a frame mean or a norm is short by a factor that depends on how many there were.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -qq ml_dtypes==0.6.0 numpy==2.4.6
cd "$folder"
venv/bin/python - <<'PY'
import ml_dtypes
import numpy as np

ones = np.ones(1000, dtype=np.float32)
clips = np.random.default_rng(0).random((4096, 8), dtype=np.float32)


def figures(dtype):
    x, rows = ones.astype(dtype), clips.astype(dtype)
    return {
        "mean of 1,000 ones": round(float(x.mean()), 3),
        "their product": float(x @ x),
        "mean over 4,096 rows": rows.mean(axis=0).astype(float).round(2).tolist()[:3],
    }


right, seen = figures(np.float16), figures(ml_dtypes.bfloat16)
print(f"ml_dtypes {ml_dtypes.__version__}, numpy {np.__version__}")
print(f"expected, as in float16: {right}")
print(f"seen in bfloat16: {seen}")
assert right["mean of 1,000 ones"] == 1.0 and min(right["mean over 4,096 rows"]) > 0.48
assert seen["their product"] == 1000.0
assert seen["mean of 1,000 ones"] == 0.256 and max(seen["mean over 4,096 rows"]) < 0.2, "the behaviour changed"
PY
