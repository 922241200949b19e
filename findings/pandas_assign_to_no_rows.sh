#!/usr/bin/env bash
# A column assigned to a selection without rows gives it rows.
#
# What     pandas 3.1.1, a table filtered by a condition that no row meets, then `assign` (or `table["column"] =`) of a
#          column of the whole table
# Expected as for any other selection, the values are aligned with its index: no rows in, no rows out
# Seen     a selection of one row keeps one row; one of none gets as many as the column has, all other columns NaN
# Matters  where nothing is left of a list of clips (no file is a video), nameless clips appear, one for each that was left out.
#          Assign before rows are chosen.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -qq pandas==3.1.1 numpy==2.4.6
"$folder/venv/bin/python" - <<'PY'
import pandas as pd

files = pd.DataFrame({"path": ["a.txt", "b.txt", "c.avi"], "status": ["no video", "no video", ""]})
is_large = pd.Series([True, False, True])
print(f"pandas {pd.__version__}")
for status, expected in (("", 1), ("unreadable", 0)):
    chosen = files[files["status"] == status]
    found = chosen.assign(large=is_large)
    print(f"status {status!r}: {len(chosen)} rows chosen, expected {expected} after assign, seen {len(found)}")
    print(found)
assert len(found) == 3 and found["path"].isna().all(), "the behaviour changed"
PY
