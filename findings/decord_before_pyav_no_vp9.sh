#!/usr/bin/env bash
# After `import decord`, PyAV cannot open its own VP9 encoder; imported first, it can.
#
# What     decord 0.6.0 and av 18.1.0 in one process, each with FFmpeg libraries of its own in its wheel
# Expected two wheels that bundle their libraries do not touch one another, whatever the order of the imports
# Seen     av imported first: a VP9 picture is encoded. decord imported first: "Invalid argument", avcodec_open2("libvpx-vp9")
#          returned 22, for any options. Nothing names decord
# Matters  sorted imports put av first by luck of the alphabet, lazy imports do not. A tool that reads by decord and then writes a
#          WebM for a browser fails, and the message sends one looking at the encoder's options.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -qq av==18.1.0 decord==0.6.0 numpy==2.4.6
cd "$folder"
cat > encode.py <<'PY'
import sys

for name in sys.argv[1:]:
    __import__(name)
import av
import numpy as np

with av.open("x.webm", "w") as container:
    stream = container.add_stream("libvpx-vp9", rate=30)
    stream.width, stream.height, stream.pix_fmt = 320, 240, "yuv420p"
    try:
        stream.encode(av.VideoFrame.from_ndarray(np.zeros((240, 320, 3), np.uint8), format="rgb24"))
        print("encoded")
    except av.FFmpegError as error:
        print("refused:", error.strerror)
PY
first=$(venv/bin/python encode.py av decord 2>/dev/null | tail -1)
second=$(venv/bin/python encode.py decord av 2>/dev/null | tail -1)
echo "av 18.1.0 with decord 0.6.0: av imported first: $first; decord imported first: $second"
[[ "$first" == encoded && "$second" == "refused: Invalid argument" ]] || { echo "FAIL: behaviour changed"; exit 1; }
echo PASS
