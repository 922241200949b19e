#!/usr/bin/env bash
# polars sums 8- and 16-bit columns in 64 bits, but 32-bit ones in 32: a total past 2,147,483,647 turns negative.
#
# What     polars 2.1.0, `sum` of an Int32 column, alone, in `select` and in `group_by`
# Expected the true total in 64 bits, as polars itself gives for Int16, and numpy for int32
# Seen     the total wraps round without an error
# Matters  clip lengths in milliseconds or bytes are usually stored as int32: Kinetics-400's 240,000 clips of 10 s are 2.4e9 ms.
#          Hours of video a class, or a mean made as sum over count, come out negative or, worse, small and plausible.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -qq polars==2.1.0 numpy==2.4.6
cd "$folder"
venv/bin/python - <<'PY'
import numpy as np
import polars as pl

lengths = np.full(500_000, 10_000, dtype=np.int32)  # 500,000 clips of 10 s, in ms
true = int(lengths.sum())
clips = pl.DataFrame({"split": "train", "ms": lengths})
alone = clips["ms"].sum()
grouped = clips.group_by("split").agg(pl.col("ms").sum())["ms"].item()
lazy = clips.lazy().select(pl.col("ms").sum()).collect().item()
narrow = pl.Series(np.full(500_000, 10_000, dtype=np.int16)).sum()

print(f"polars {pl.__version__}, numpy {np.__version__}")
print(f"expected: {true:,} ms (numpy's sum of the same int32 array; polars gives {narrow:,} for Int16)")
print(f"seen: {alone:,} alone, {grouped:,} by group, {lazy:,} lazily: {alone / 3_600_000:.0f} h in place of {true / 3_600_000:.0f} h")
assert narrow == true == 5_000_000_000
assert alone == grouped == lazy == true - 2**32, "the behaviour changed"
PY
