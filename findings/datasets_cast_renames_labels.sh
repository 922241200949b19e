#!/usr/bin/env bash
# datasets' cast to another list of class names keeps the numbers: every clip gets the name that now stands at its place.
#
# What     datasets 5.2.0, `cast_column("label", ClassLabel(names=[...]))` of a column that is a ClassLabel with names already
# Expected a label is a name: the clip "run" stays "run" and its number changes, or an error, since the lists differ
# Seen     the numbers stay and the names change place: "run" is now called "walk". A list in which a class is new or missing
#          shifts all that follow it
# Matters  two data sets are joined by casting one to the other's class list (joining without asks for just that), and class
#          lists are sorted here and in the order of publication there. `align_labels_with_mapping` goes by names.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -qq datasets==5.2.0 pyarrow==26.0.1 pandas==3.1.1 numpy==2.4.6
cd "$folder"
HF_HUB_OFFLINE=1 HF_HOME="$folder/home" venv/bin/python - <<'PY'
import datasets
from datasets import ClassLabel, Dataset, Features, Value

datasets.disable_progress_bars()


def names(rows):
    return dict(zip(rows["clip"], map(rows.features["label"].int2str, rows["label"]), strict=True))


columns = Features({"clip": Value("string"), "label": ClassLabel(names=["run", "sit", "walk"])})
clips = {"clip": ["a.mp4", "b.mp4", "c.mp4"], "label": ["run", "sit", "walk"]}
rows = Dataset.from_dict(clips, features=columns)
wanted = ["walk", "run", "sit"]
seen = names(rows.cast_column("label", ClassLabel(names=wanted)))
aligned = names(rows.align_labels_with_mapping({name: number for number, name in enumerate(wanted)}, "label"))
print(f"datasets {datasets.__version__}")
print(f"expected: {names(rows)}")
print(f"seen: {seen}; by align_labels_with_mapping: {aligned}")
assert aligned == names(rows)
assert seen == {"a.mp4": "walk", "b.mp4": "run", "c.mp4": "sit"}, "the behaviour changed"
PY
