#!/usr/bin/env bash
# fastparquet's append gives the clips already in the file the class names of the new ones.
#
# What     fastparquet 2026.9.0, `write(path, clips, append=True)` of a pandas categorical column whose names differ from the first
# Expected "run", "walk", "run", "clap", "wave", "clap" on reading, or an error because the categories differ
# Seen     "clap", "wave", "clap" twice: each part of the file has its own names and the reader looks all numbers up in the last.
#          The file is right (pyarrow reads it so), and one that pyarrow wrote in parts is read wrongly too; no warning
# Matters  clips of one dataset after another are appended to a table, and class names are categories there to save memory. All rows
#          but those of the last dataset have another class; counts and shape are right.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -qq fastparquet==2026.9.0 pyarrow==26.0.1 pandas==3.1.1 numpy==2.4.6
cd "$folder"
venv/bin/python - <<'PY'
import fastparquet
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

first, second = ["run", "walk", "run"], ["clap", "wave", "clap"]
parts = [pd.DataFrame({"label": pd.Categorical(names)}) for names in (first, second)]

fastparquet.write("appended.parquet", parts[0])
fastparquet.write("appended.parquet", parts[1], append=True)
with pq.ParquetWriter("arrow.parquet", pa.Table.from_pandas(parts[0]).schema) as writer:
    for part in parts:
        writer.write_table(pa.Table.from_pandas(part))


def by_fastparquet(path):
    return fastparquet.ParquetFile(path).to_pandas(categories=["label"])["label"].tolist()


seen = {path: by_fastparquet(path) for path in ("appended.parquet", "arrow.parquet")}
by_pyarrow = {path: pd.read_parquet(path, engine="pyarrow")["label"].tolist() for path in seen}
print(f"fastparquet {fastparquet.__version__}, pyarrow {pa.__version__}, pandas {pd.__version__}")
print(f"expected: {first + second} (pyarrow reads {by_pyarrow})")
print(f"seen: {seen}")
assert all(names == first + second for names in by_pyarrow.values())
assert all(names == second + second for names in seen.values()), "the behaviour changed"
assert fastparquet.ParquetFile("appended.parquet").to_pandas()["label"].tolist() == second + second, "the behaviour changed"
PY
