#!/usr/bin/env bash
# pycaption's SRT writer makes one segment of two with the same times: "run" and "jump" become the label "run" and "jump" in one.
#
# What     pycaption 2.3.14, `SRTWriter().write(captions)` of captions read from WebVTT
# Expected three segments in, three segments out, as its WebVTT and DFXP writers give
# Seen     two: neighbours with equal times are one caption of two lines; the same two with a third between them stay two
# Matters  clips with several actions at once have segments of equal times, one for each action. On reading back there is a class
#          made of two names, and both true classes lose a segment, depending on how the list was sorted.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -qq pycaption==2.3.14
cd "$folder"
venv/bin/python -W ignore - <<'PY'
from importlib.metadata import version

from pycaption import DFXPReader, DFXPWriter, SRTReader, SRTWriter, WebVTTReader, WebVTTWriter


def labels(captions):
    (language,) = captions.get_languages()
    return [caption.get_text() for caption in captions.get_captions(language)]


def read(*cues):
    return WebVTTReader().read("WEBVTT\n\n" + "\n\n".join(f"{start} --> {end}\n{name}" for start, end, name in cues) + "\n")


run, jump, walk = ("00:01.000", "00:02.000", "run"), ("00:01.000", "00:02.000", "jump"), ("00:01.500", "00:04.000", "walk")
captions = read(run, jump, walk)
kept = {
    "WebVTT": labels(WebVTTReader().read(WebVTTWriter().write(captions))),
    "DFXP": labels(DFXPReader().read(DFXPWriter().write(captions))),
}
seen = {
    "run, jump, walk": labels(SRTReader().read(SRTWriter().write(captions))),
    "run, walk, jump": labels(SRTReader().read(SRTWriter().write(read(run, walk, jump)))),
}
print(f"pycaption {version('pycaption')}")
print(f"expected: {labels(captions)}, as {kept}")
print(f"seen, written as SRT: {seen}")
assert all(names == ["run", "jump", "walk"] for names in kept.values())
assert seen["run, walk, jump"] == ["run", "walk", "jump"]
assert seen["run, jump, walk"] == ["run\njump", "walk"], "the behaviour changed"
PY
