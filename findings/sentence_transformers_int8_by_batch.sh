#!/usr/bin/env bash
# sentence-transformers' int8 embeddings of two calls do not fit together: each call takes the ranges of its own rows.
#
# What     sentence-transformers 6.2.0, `quantize_embeddings(x, precision="int8")`, what `encode(precision="int8")` calls
# Expected one vector has one int8 code, so that clips coded folder by folder can be compared
# Seen     no row of 400 has the same code both ways. Clips of two classes, each class coded in a call of its own, are moved
#          onto each other: the nearest clip has the same class for 69 % (100 % in float32, and coded in one call). It warns
#          below 100 rows only
# Matters  data sets are embedded folder by folder, class names and clips always in two calls. The products still look like
#          scores. Pass `ranges=` from one calibration set to every call.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -qq torch==2.13.0 sentence-transformers==6.2.0 numpy==2.4.6
cd "$folder"
venv/bin/python - <<'PY'
import numpy as np
import sentence_transformers
from sentence_transformers.util import quantize_embeddings

rng = np.random.default_rng(0)
labels = np.repeat([0, 1], 200)
middle = 0.8 * rng.normal(size=64)
clips = rng.normal(size=(400, 64)) + np.where(labels[:, None] == 0, middle, -middle)
clips = (clips / np.linalg.norm(clips, axis=1, keepdims=True)).astype(np.float32)


def nearest_is_of_the_class(codes):
    scores = codes.astype(float) @ codes.astype(float).T
    np.fill_diagonal(scores, -np.inf)
    return float((labels[scores.argmax(1)] == labels).mean())


once = quantize_embeddings(clips, precision="int8")
twice = np.concatenate([quantize_embeddings(part, precision="int8") for part in (clips[:200], clips[200:])])
same = int((once == twice).all(1).sum())
seen = {name: nearest_is_of_the_class(codes) for name, codes in (("float32", clips), ("one call", once), ("two calls", twice))}
print(f"sentence-transformers {sentence_transformers.__version__}, numpy {np.__version__}")
print("expected: the same codes from one call and from two, nearest clip of the same class for all")
print(f"seen: {same} of 400 codes the same; share whose nearest clip has its class: {seen}")
assert seen["float32"] == seen["one call"] == 1.0
assert same == 0 and seen["two calls"] < 0.8, "the behaviour changed"
PY
