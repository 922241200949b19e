#!/usr/bin/env bash
# scikit-video reads a phone's upright video into rows of the wrong length: shape and count are right, the picture is rubble.
#
# What     scikit-video 1.1.11 with Debian's ffmpeg 5.1, `skvideo.io.vread` of an H.264 MP4 with a display matrix of 90 degrees
# Expected pictures of 320 x 240 turned to (320, 240, 3), or left as they are stored, (240, 320, 3)
# Seen     ffmpeg turns them, and the reader folds the same bytes into (240, 320, 3): each row holds a row and a third
# Matters  every phone clip held upright has such a matrix. Loader, training and scores run; the clips are noise to the model, and
#          only those of phones, so that a class filmed by phones looks hard.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
command -v ffprobe > /dev/null || apt-get install -qq -y ffmpeg > /dev/null
python3.11 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -qq scikit-video==1.1.11 numpy==1.23.5 scipy==1.10.1 pillow==11.3.0
cd "$folder"
ffmpeg -v error -f lavfi -i testsrc2=size=320x240:rate=25 -frames:v 10 -c:v libx264 -pix_fmt yuv420p stored.mp4
ffmpeg -v error -i stored.mp4 -c copy -metadata:s:v rotate=90 turned.mp4
venv/bin/python -W ignore - <<'PY'
import subprocess

import numpy as np
import skvideo
import skvideo.io

stored, turned = skvideo.io.vread("stored.mp4"), skvideo.io.vread("turned.mp4")


def away(images, right):  # mean difference of pixels, 0 to 255; None for another shape
    return round(float(np.abs(images.astype(int) - right).mean()), 1) if images.shape == right.shape else None


upright = {"turned right": np.rot90(stored, -1, (1, 2)), "turned left": np.rot90(stored, 1, (1, 2)), "as stored": stored}
seen = {what: away(turned, right) for what, right in upright.items()}
folded = {what: away(turned.reshape(right.shape), right) for what, right in upright.items()}
print(f"scikit-video {skvideo.__version__}, {subprocess.check_output(['ffmpeg', '-version'], text=True).split(' Copyright')[0]}")
print("expected: a difference of 0 from one of these, None (another shape) from the others")
print(f"seen: shape {turned.shape}, differences {seen}; the same bytes folded into (320, 240, 3): {folded}")
assert stored.shape == turned.shape == (10, 240, 320, 3)
assert seen["as stored"] > 30 and min(folded["turned right"], folded["turned left"]) < 1, "the behaviour changed"
PY
