#!/usr/bin/env bash
# pytrec_eval compares scores as float32 and gives a tie to the later name: a clip that was found first counts as second.
#
# What     pytrec_eval-terrier 0.5.11, `RelevanceEvaluator(...).evaluate(run)`, scores as Python floats
# Expected the larger score stands first
# Seen     .900000001 and .9 are a tie, and ties go to the name that is last in the alphabet, whatever the order given: the
#          reciprocal rank of the right clip is .5 under one name and 1.0 under another
# Matters  search by text over clips (mteb's retrieval scores come from here): near-duplicate clips of one video have cosines
#          that agree to eight digits, and their names end in c01, c02: the metric then measures the naming.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -qq pytrec_eval-terrier==0.5.11 numpy==2.4.6
cd "$folder"
venv/bin/python - <<'PY'
from importlib.metadata import version

import pytrec_eval


def reciprocal_rank(right, wrong, score, other):
    evaluator = pytrec_eval.RelevanceEvaluator({"juggling": {right: 1}}, {"recip_rank"})
    return evaluator.evaluate({"juggling": {right: score, wrong: other}})["juggling"]["recip_rank"]


seen = {
    "right clip is c01, nearer by 1e-9": reciprocal_rank("v_g01_c01", "v_g01_c02", 0.900000001, 0.9),
    "right clip is c02, nearer by 1e-9": reciprocal_rank("v_g01_c02", "v_g01_c01", 0.900000001, 0.9),
    "right clip is c02, farther by 1e-9": reciprocal_rank("v_g01_c02", "v_g01_c01", 0.9, 0.900000001),
    "right clip is c01, nearer by 1e-6": reciprocal_rank("v_g01_c01", "v_g01_c02", 0.900001, 0.9),
}
print(f"pytrec_eval-terrier {version('pytrec_eval-terrier')}")
print("expected: 1.0, 1.0, 0.5, 1.0")
print(f"seen: {seen}")
assert list(seen.values()) == [0.5, 1.0, 1.0, 1.0], "the behaviour changed"
PY
