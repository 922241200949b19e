#!/usr/bin/env bash
# mpire's map returns the embeddings of three clips as one long vector, and hands a function blocks of an array for its rows.
#
# What     mpire 2.10.2, `WorkerPool.map(embed, clips)` where `embed` returns a vector of four, and `map(f, np.arange(100))`
# Expected a list of three vectors, and f called with 0, 1, 2, ..., as by multiprocessing's Pool, whose place it takes
# Seen     an array of shape (12,); `imap` gives three vectors. f is called with arrays of several numbers, and what these calls
#          return is a list shorter than the input, of blocks
# Matters  `zip(clips, embeddings)` pairs each clip with a single number, without an error, and a mean over "clips" is one over all
#          dimensions. A function that reads `videos[k]` reads several. `concatenate_numpy_output=False`, and lists.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -qq mpire==2.10.2 numpy==2.4.6
cd "$folder"
cat > embed.py <<'PY'
from importlib.metadata import version
from multiprocessing import Pool

import numpy as np
from mpire import WorkerPool


def embed(clip):
    return np.full(4, clip)


def size(clips):
    return np.size(clips)


if __name__ == "__main__":
    with Pool(2) as pool:
        right = [vector.shape for vector in pool.map(embed, [1, 2, 3])], pool.map(size, np.arange(100))
    with WorkerPool(2) as pool:
        vectors = pool.map(embed, [1, 2, 3])
        one_by_one = [vector.shape for vector in pool.imap(embed, [1, 2, 3])]
        sizes = pool.map(size, np.arange(100))
    print(f"mpire {version('mpire')}, numpy {np.__version__}")
    print(f"expected: {right[0]} (imap {one_by_one}), {len(right[1])} calls with {set(right[1])} number each")
    print(f"seen: {vectors.shape}, {len(sizes)} calls with {sorted(set(sizes))} numbers each")
    assert right == ([(4,)] * 3, [1] * 100) and one_by_one == [(4,)] * 3
    assert vectors.shape == (12,) and len(sizes) < 100 and sum(sizes) == 100, "the behaviour changed"
PY
venv/bin/python embed.py
