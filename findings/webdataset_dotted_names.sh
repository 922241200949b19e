#!/usr/bin/env bash
# webdataset ends a sample's name at the first dot: takes 1 and 2 of a clip become one sample, and the count shrinks.
#
# What     webdataset 1.0.2, iterating a tar whose members are "v_Run.take1.mp4", "v_Run.take2.mp4", "v_Walk.take1.mp4"
# Expected three samples with a field "mp4"
# Seen     two samples, with fields "take1.mp4" and "take2.mp4"; no sample has "mp4"
# Matters  names of clips hold dots: times ("abc_12.5_20.0.mp4" of ActivityNet segments: field "5_20.0.mp4"), versions, dates.
#          The segments of one video that start in the same second are merged into one sample, and half of the clips are not scored.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -qq webdataset==1.0.2 numpy==2.4.6
cd "$folder"
venv/bin/python - <<'PY'
import io
import tarfile

import webdataset as wds


def fields(names):
    with tarfile.open("shard.tar", "w") as shard:
        for name in names:
            member = tarfile.TarInfo(name)
            member.size = 1
            shard.addfile(member, io.BytesIO(b"x"))
    samples = wds.WebDataset("shard.tar", shardshuffle=False)
    return [(sample["__key__"], *sorted(key for key in sample if not key.startswith("__"))) for sample in samples]


takes = fields(["v_Run.take1.mp4", "v_Run.take2.mp4", "v_Walk.take1.mp4"])
segments = fields(["abc_12.0_20.0.mp4", "abc_12.5_30.0.mp4"])
print(f"webdataset {wds.__version__}")
print("expected: three samples and two samples, each with the field 'mp4'")
print(f"seen: {takes} and {segments}")
assert takes == [("v_Run", "take1.mp4", "take2.mp4"), ("v_Walk", "take1.mp4")], "the behaviour changed"
assert segments == [("abc_12", "0_20.0.mp4", "5_30.0.mp4")], "the behaviour changed"
PY
