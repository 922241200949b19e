#!/usr/bin/env bash
# pysubs2 adds a WebVTT comment to the label of the segment before it.
#
# What     pysubs2 1.8.1, `SSAFile.from_string(text)` of WebVTT with a NOTE block between two cues
# Expected two segments "clap" and "wave": a NOTE block ends at its empty line and is no caption
# Seen     the first label is "clap", an empty line and "NOTE checked by a second person"
# Matters  annotators leave notes between segments, and tools write their version into one. One class becomes as many as there
#          are notes, each with a single segment, and the true class loses these.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -qq pysubs2==1.8.1
cd "$folder"
venv/bin/python - <<'PY'
import pysubs2

vtt = """WEBVTT

00:01.900 --> 00:02.950
clap

NOTE checked by a second person

00:03.200 --> 00:03.900
wave
"""
seen = [segment.plaintext for segment in pysubs2.SSAFile.from_string(vtt, "vtt")]
print(f"pysubs2 {pysubs2.VERSION}")
print("expected: ['clap', 'wave']")
print(f"seen: {seen}")
assert len(seen) == 2 and "NOTE checked by a second person" in seen[0] and seen[1] == "wave", "the behaviour changed"
PY
