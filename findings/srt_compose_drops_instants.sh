#!/usr/bin/env bash
# srt.compose leaves out segments of no length and segments without text, and numbers the rest as if they had never been.
#
# What     srt 3.5.3, `srt.compose(cues)` with its defaults
# Expected four cues in, four cues out, or an error
# Seen     the instant ("clap" at 1 s) and the unnamed segment are gone, the third cue becomes number 2, and 3.9999 s becomes
#          3.999; neither error nor warning
# Matters  action annotations hold instants (ball hit, clap for synchronising) and segments not named yet. Exported as
#          subtitles for a player and read back, they are lost; matching by number pairs the wrong ones. `reindex=False` keeps them.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -qq srt==3.5.3
cd "$folder"
venv/bin/python - <<'PY'
from datetime import timedelta
from importlib.metadata import version

import srt

actions = [(0.0, 1.0, "walk"), (1.0, 1.0, "clap"), (2.0, 3.9999, "run"), (5.0, 6.0, "")]
cues = [
    srt.Subtitle(number, timedelta(seconds=start), timedelta(seconds=end), name)
    for number, (start, end, name) in enumerate(actions, 1)
]
back = [(cue.index, cue.start.total_seconds(), cue.end.total_seconds(), cue.content) for cue in srt.parse(srt.compose(cues))]
kept = list(srt.parse(srt.compose(cues, reindex=False)))

print(f"srt {version('srt')}")
print(f"expected: {[(number, *action) for number, action in enumerate(actions, 1)]}")
print(f"seen: {back}; with reindex=False {len(kept)} cues")
assert back == [(1, 0.0, 1.0, "walk"), (2, 2.0, 3.999, "run")], "the behaviour changed"
assert len(kept) == 4
PY
