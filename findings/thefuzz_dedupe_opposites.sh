#!/usr/bin/env bash
# thefuzz.process.dedupe calls opposite actions duplicates and drops one of them.
#
# What     thefuzz 0.22.1 (rapidfuzz 3.14.6), `process.dedupe(names)` with its defaults (token_set_ratio, threshold 70)
# Expected only spellings of one name are merged ("hand-stand", "Hand stand")
# Seen     names made of the same words score 100 whatever their order, and one shared word of two is over 70: of nine
#          different actions five remain; of a pair the longer one is left, then the later in the alphabet
# Matters  merging class lists of several datasets is where one reaches for it, and "sit to stand" / "stand to sit" or
#          "open door" / "close door" are different classes everywhere. Classes vanish, and their clips become another's.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -qq thefuzz==0.22.1 rapidfuzz==3.14.6
cd "$folder"
venv/bin/python - <<'PY'
from importlib.metadata import version

from thefuzz import fuzz, process

actions = ["sit to stand", "stand to sit", "open door", "close door", "swipe left to right", "swipe right to left",
           "playing flute", "playing cello", "push up"]
left = sorted(process.dedupe(actions))
scores = {(a, b): fuzz.token_set_ratio(a, b) for a, b in zip(actions[:-1:2], actions[1::2], strict=True)}

print(f"thefuzz {version('thefuzz')}, rapidfuzz {version('rapidfuzz')}")
print(f"expected: all {len(actions)} actions remain, since no two mean the same")
print(f"seen: {len(left)} remain: {left}; scores {scores}")
assert scores["sit to stand", "stand to sit"] == scores["swipe left to right", "swipe right to left"] == 100
assert len(left) == 5 and not {"sit to stand", "stand to sit"} <= set(left), "the behaviour changed"
PY
