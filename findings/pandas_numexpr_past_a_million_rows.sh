#!/usr/bin/env bash
# With numexpr installed, pandas compares and multiplies otherwise once a table has more than a million rows.
#
# What     pandas 3.1.1 with numexpr 2.14.2 beside it, a float32 column compared with .1, an int32 column times 1,000,000,000
# Expected a row's result does not depend on how many rows there are
# Seen     `scores == 0.1` and `scores <= 0.1` are true for 1,000,000 rows and false for 1,000,001, where `scores > 0.1` becomes true;
#          float32 products become float64, and int32 ones int64, which no longer wrap round. Without numexpr nothing changes
# Matters  a threshold found on one dataset keeps the clips that stand on it, and drops them from the larger one, or when another
#          package brings numexpr along; tests on small tables see the other path. Convert to float64 first.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -qq pandas==3.1.1 numpy==2.4.6
cd "$folder"
cat > compare.py <<'PY'
import json

import numpy as np
import pandas as pd

seen = {}
for rows in (1_000_000, 1_000_001):
    scores, lengths = pd.Series(np.full(rows, 0.1, np.float32)), pd.Series(np.full(rows, 3, np.int32))
    equal, at_most, above = (bool(answer.iloc[0]) for answer in (scores == 0.1, scores <= 0.1, scores > 0.1))
    product, scaled = lengths * 1_000_000_000, scores * 0.1
    seen[f"{rows:,}"] = [equal, at_most, above, int(product.iloc[0]), str(product.dtype), str(scaled.dtype)]
print(json.dumps(seen))
PY
without=$(venv/bin/python -W ignore compare.py)
venv/bin/pip install -qq numexpr==2.14.2
with=$(venv/bin/python -W ignore compare.py)
venv/bin/python - "$without" "$with" <<'PY'
import json
import sys
from importlib.metadata import version

without, seen = map(json.loads, sys.argv[1:])
print(f"pandas {version('pandas')}, numexpr {version('numexpr')}, numpy {version('numpy')}; == <= > .1, product, types")
print(f"expected, as without numexpr: {without}")
print(f"seen: {seen}")
small, large = seen.values()
assert len({tuple(figures) for figures in without.values()}) == 1 and small == without["1,000,000"]
assert small == [True, True, False, 3_000_000_000 - 2**32, "int32", "float32"]
assert large == [False, False, True, 3_000_000_000, "int64", "float64"], "the behaviour changed"
PY
