#!/usr/bin/env bash
# gensim divides a replaced word vector by the length of the old one: "run" is then 3.6 times as near to "jump" as it can be.
#
# What     gensim 4.4.0, `vectors.add_vectors(["run"], [new], replace=True)` after a call of `most_similar`
# Expected the cosine of the new vector, as `similarity("jump", "run")` gives, at most 1
# Seen     `most_similar` says 3.6 and puts "run" before "hop", which is nearer. The lengths are kept from the first call on;
#          `fill_norms(force=True)` makes them anew
# Matters  class names get better vectors (a mean over words, a sentence, a visual centre) in place of the word's own. Neighbours and
#          zero-shot answers by `most_similar` then go by how much the length has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -qq gensim==4.4.0 numpy==2.4.6
cd "$folder"
venv/bin/python - <<'PY'
from importlib.metadata import version

import numpy as np
from gensim.models import KeyedVectors

vectors = KeyedVectors(2)
vectors.add_vectors(["jump", "run", "hop"], np.array([[1, 0], [0, 1], [3, 1]], dtype=np.float32))
before = vectors.most_similar("jump")
vectors.add_vectors(["run"], np.array([[3.6, 4.8]], dtype=np.float32), replace=True)
after = vectors.most_similar("jump")
cosine = {name: round(float(vectors.similarity("jump", name)), 2) for name in ("hop", "run")}
vectors.fill_norms(force=True)
forced = vectors.most_similar("jump")


def rounded(found):
    return {name: round(value, 2) for name, value in found}


print(f"gensim {version('gensim')}, numpy {np.__version__}; before: {rounded(before)}")
print(f"expected: {cosine}")
print(f"seen: {rounded(after)}; after fill_norms(force=True) {rounded(forced)}")
assert rounded(forced) == cosine == {"hop": 0.95, "run": 0.6}
assert list(rounded(after).items()) == [("run", 3.6), ("hop", 0.95)], "the behaviour changed"
PY
