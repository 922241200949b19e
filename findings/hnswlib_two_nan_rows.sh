#!/usr/bin/env bash
# Two NaN rows among a thousand make hnswlib miss vectors that are in the index, without an error.
#
# What     hnswlib 0.8.0, cosine index of 1,000 vectors of which the first two are NaN, `knn_query` of the stored vectors
# Expected the NaN rows are refused, or only they are lost
# Seen     a large part of the other 998 is not found by its own vector (all are without the NaN rows); no warning
# Matters  a clip that could not be decoded, or a zero vector that was normalised, is a NaN row. Neighbours, hubness and
#          search of all other clips are wrong, and how wrong depends on where the row stands.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -qq hnswlib==0.8.0 numpy==2.4.6
cd "$folder"
venv/bin/python - <<'PY'
from importlib.metadata import version

import hnswlib
import numpy as np


def found(vectors):
    index = hnswlib.Index("cosine", vectors.shape[1])
    index.init_index(len(vectors), ef_construction=200, M=16, random_seed=1)
    index.add_items(vectors, num_threads=1)
    index.set_ef(200)
    nearest, _ = index.knn_query(vectors[2:], 1, num_threads=1)
    return float((nearest[:, 0] == np.arange(2, len(vectors))).mean())


vectors = np.random.default_rng(0).normal(size=(1000, 128)).astype(np.float32)
clean = found(vectors)
vectors[:2] = np.nan
seen = found(vectors)
print(f"hnswlib {version('hnswlib')}, numpy {np.__version__}")
print(f"expected: 998 clean vectors find themselves, as without NaN rows: {clean:.1%}")
print(f"seen: {seen:.1%}")
assert clean == 1.0
assert seen < 0.9, "the behaviour changed"
PY
