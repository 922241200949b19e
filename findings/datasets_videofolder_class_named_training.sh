#!/usr/bin/env bash
# datasets' "videofolder" takes a class folder "training dog" for the training split, and drops every other class.
#
# What     datasets 5.2.0, `load_dataset("videofolder", data_dir=folder)` of class folders, one of them "training dog"
# Expected nine clips of three classes in one split, with labels, as without that class
# Seen     one split "train" with the three clips of "training dog" and no label column; the other six are gone, no warning
# Matters  "training dog" is a class of Kinetics-400. The words train, training, valid, validation, val, dev, test, testing, eval
#          and evaluation are looked for in all folder and file names, beside a space, digit, dot, hyphen or underscore.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -qq datasets==5.2.0 pyarrow==26.0.1 pandas==3.1.1 numpy==2.4.6
cd "$folder"
HF_HUB_OFFLINE=1 HF_HOME="$folder/home" venv/bin/python - <<'PY'
from pathlib import Path

import datasets

datasets.disable_progress_bars()


def read(name, classes):
    for label in classes:
        (Path(name) / label).mkdir(parents=True)
        for k in range(3):
            (Path(name) / label / f"clip{k}.mp4").write_bytes(b"not opened here")
    splits = datasets.load_dataset("videofolder", data_dir=str(Path(name).resolve()))
    return {split: (len(rows), rows.features["label"].names if "label" in rows.features else None) for split, rows in splits.items()}


plain = read("plain", ["archery", "walking dog", "yoga"])
seen = read("kinetics", ["archery", "training dog", "yoga"])
print(f"datasets {datasets.__version__}")
print(f"expected: as with 'walking dog' for 'training dog': {plain}")
print(f"seen: {seen}")
assert plain == {"train": (9, ["archery", "walking dog", "yoga"])}
assert seen == {"train": (3, None)}, "the behaviour changed"
PY
