#!/usr/bin/env bash
# pycocotools never counts the annotation with id 0 as found: a perfect detector of four boxes has an AP of .56.
#
# What     pycocotools 2.0.11, `COCOeval` of boxes, annotation ids 0, 1, 2, 3 against 1, 2, 3, 4
# Expected an id names a box; the score does not depend on it
# Seen     AP 1.0 with ids from 1 on, .564 with ids from 0 on: a match is stored as the id it was matched with, and 0 means none
# Matters  tracks and key-frame boxes of actions are turned into this format by a script, and `enumerate` begins at 0. With
#          thousands of boxes the loss is too small to be noticed and large enough for a third decimal.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -qq pycocotools==2.0.11 numpy==2.4.6
cd "$folder"
venv/bin/python - <<'PY'
import contextlib
import io
from importlib.metadata import version

from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval


def average_precision(first_id):
    box = {"category_id": 1, "bbox": [10, 10, 50, 50]}
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO()
        truth.dataset = {
            "images": [{"id": frame, "width": 100, "height": 100} for frame in range(4)],
            "categories": [{"id": 1, "name": "jump"}],
            "annotations": [box | {"id": first_id + frame, "image_id": frame, "area": 2500, "iscrowd": 0} for frame in range(4)],
        }
        truth.createIndex()
        found = truth.loadRes([box | {"image_id": frame, "score": 0.9} for frame in range(4)])
        evaluation = COCOeval(truth, found, "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return round(float(evaluation.stats[0]), 3)


seen = {first: average_precision(first) for first in (0, 1)}
print(f"pycocotools {version('pycocotools')}")
print("expected: AP 1.0 whatever the first id")
print(f"seen, by the first id: {seen}")
assert seen == {0: 0.564, 1: 1.0}, "the behaviour changed"
PY
