#!/usr/bin/env bash
# tfrecord cuts the zeros off the end of binary values as soon as a feature holds two of them.
#
# What     tfrecord 1.14.6, `tfrecord_loader` of a bytes feature with two values, each an array's `tobytes()`
# Expected the bytes that were written, as a feature with a single value gives
# Seen     8 and 6 bytes come back as 3 and 1: the list becomes a numpy array of type "S", which ends a value at its last
#          byte that is not zero
# Matters  embeddings, masks and compressed pictures of a clip's frames are stored as such lists. Small integers are mostly zeros, a
#          float ends in zero where the mantissa is short, so that some clips fail to unpack, or, padded, are other numbers.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -qq tfrecord==1.14.6 numpy==2.4.6
cd "$folder"
venv/bin/python - <<'PY'
from importlib.metadata import version

import numpy as np
from tfrecord.reader import tfrecord_loader
from tfrecord.writer import TFRecordWriter

first, second = (np.array(values, dtype=np.int16).tobytes() for values in ([1, 2, 0, 0], [5, 0, 0]))
writer = TFRecordWriter("clips.tfrecord")
writer.write({"one": (first, "byte"), "two": ([first, second], "byte")})
writer.close()
raw = open("clips.tfrecord", "rb").read()
clip = next(iter(tfrecord_loader("clips.tfrecord", None, {"one": "byte", "two": "byte"})))

seen = {"one": [len(bytes(clip["one"]))], "two": [len(value) for value in clip["two"]]}
print(f"tfrecord {version('tfrecord')}, numpy {np.__version__}")
print(f"expected, in bytes: {{'one': [{len(first)}], 'two': [{len(first)}, {len(second)}]}}")
print(f"seen, in bytes: {seen}; type {clip['two'].dtype}")
assert first in raw and second in raw and bytes(clip["one"]) == first
assert seen["two"] == [3, 1], "the behaviour changed"
PY
