#!/usr/bin/env bash
# webvtt-py's start_in_seconds leaves out the fraction: a clap from 1.90 to 2.95 s lasts from 1 to 2 s.
#
# What     webvtt-py 0.6.0, `caption.start_in_seconds` and `end_in_seconds`
# Expected 1.9 and 2.95 (WebVTT has milliseconds, and `caption.start` shows them)
# Seen     the ints 1 and 2, cut, not rounded; a segment within one second has no length
# Matters  at 25 frames a second the start is up to 24 frames too early, by half a second on average, and always to the same side:
#          temporal IoU of short actions is halved, and windows show the wind-up in place of the action.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -qq webvtt-py==0.6.0
cd "$folder"
venv/bin/python - <<'PY'
from importlib.metadata import version
from pathlib import Path

import webvtt

Path("actions.vtt").write_text(
    "WEBVTT\n\n00:01.900 --> 00:02.950\nclap\n\n00:03.200 --> 00:03.900\nwave\n", encoding="utf-8"
)
captions = list(webvtt.read("actions.vtt"))
seen = [(caption.start_in_seconds, caption.end_in_seconds, caption.text) for caption in captions]
print(f"webvtt-py {version('webvtt-py')}")
print("expected: [(1.9, 2.95, 'clap'), (3.2, 3.9, 'wave')]")
print(f"seen: {seen}; as text {[(caption.start, caption.end) for caption in captions]}")
assert [caption.start for caption in captions] == ["00:00:01.900", "00:00:03.200"]
assert seen == [(1, 2, "clap"), (3, 3, "wave")], "the behaviour changed"
PY
