#!/usr/bin/env bash
# faiss's exact flat index finds other neighbours when a query is asked among 250 than when it is asked alone.
#
# What     faiss-cpu 1.15.1, `IndexFlatL2.search`, float32 vectors that share a large mean (norm 50, apart by 0.03)
# Expected an index called exact gives one query the same neighbour however many are asked at once
# Seen     few queries are compared by their differences and every vector finds itself; from 250 queries of 512 dimensions on
#          (128,000 numbers) distances come from |x|^2 - 2xy + |y|^2, where float32 loses the small differences: of 100
#          vectors one or two find themselves, and distances are 0
# Matters  frame features before centring look like this (neighbouring frames of a calm clip hardly differ). A notebook
#          that tries five queries is right, the run over the dataset wrong. Centre the vectors, or compare unit ones.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -qq faiss-cpu==1.15.1 numpy==2.4.6
cd "$folder"
venv/bin/python - <<'PY'
import faiss
import numpy as np

rng = np.random.default_rng(0)
x = (rng.normal(size=(1000, 512)) * 1e-3 + 50 / np.sqrt(512)).astype(np.float32)
own = np.arange(1000)


def found(vectors, at_once):
    index = faiss.IndexFlatL2(vectors.shape[1])
    index.add(vectors)
    parts = [index.search(vectors[k : k + at_once], 1)[1][:, 0] for k in range(0, 1000, at_once)]
    return round(float((np.concatenate(parts) == own).mean()), 3)


seen = {at_once: found(x, at_once) for at_once in (1, 200, 250, 1000)}
centred = found(x - x.mean(0), 1000)

print(f"faiss {faiss.__version__}, numpy {np.__version__}")
print("expected: each of 1,000 stored vectors finds itself (share 1.0), for any number asked at once")
print(f"seen, by the number asked at once: {seen}; after centring, 1,000 at once: {centred}")
assert seen[1] == seen[200] == centred == 1.0
assert seen[250] < 0.2 and seen[1000] < 0.2, "the behaviour changed"
PY
