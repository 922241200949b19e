#!/usr/bin/env bash
# zarr reads a chunk whose file is missing as zeros: a copy that broke off is an array of full length without an error.
#
# What     zarr 3.1.6, `open_array(folder)[:]` after one of ten chunk files of embeddings was lost
# Expected an error for the missing file, as HDF5, npy, parquet and safetensors give for a file cut short
# Seen     shape and dtype are right, and ten clips have the embedding 0; a missing chunk and one of zeros are one thing in the format
# Matters  embeddings are copied between machines as folders of thousands of files, by tools that skip on error, or written by jobs
#          of which one died. Zero vectors tie on all classes, so that the first class wins. Keep a count or a checksum beside it.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -qq zarr==3.1.6 numpy==2.4.6
cd "$folder"
venv/bin/python - <<'PY'
from pathlib import Path

import numpy as np
import zarr

clips = np.random.default_rng(0).normal(size=(100, 4)).astype(np.float32)
array = zarr.create_array("clips.zarr", shape=clips.shape, chunks=(10, 4), dtype=clips.dtype)
array[:] = clips
chunks = sorted(path for path in Path("clips.zarr").rglob("*") if path.is_file() and path.name != "zarr.json")
chunks[3].unlink()

read = zarr.open_array("clips.zarr", mode="r")[:]
zeros = int((read == 0).all(axis=1).sum())
kept = int((read == clips).all(axis=1).sum())
print(f"zarr {zarr.__version__}, numpy {np.__version__}; {len(chunks)} chunk files, one removed")
print("expected: an error")
print(f"seen: an array of {read.shape}, {kept} rows as written, {zeros} rows of zeros")
assert len(chunks) == 10
assert read.shape == clips.shape and kept == 90 and zeros == 10, "the behaviour changed"
PY
