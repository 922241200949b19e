#!/usr/bin/env bash
# ffmpeg's "one picture a second" gives the pictures of .5, 1.5, 2.5 s by one option, of 0, 0, .9, 1.9 s by the other.
#
# What     ffmpeg 9.0.2 (imageio-ffmpeg 0.8.1), `-vf fps=1` and `-r 1` on ten seconds at 25 a second, every picture numbered
# Expected pictures 0, 25, 50, ..., 225, ten of them, both ways
# Seen     `-vf fps=1`: 12, 37, 62, ..., ten pictures, the last before each middle. `-r 1`: 0, 1, 22, 47, ..., 247, twelve
#          pictures, three of them from the first second. PyAV's filter "fps" is the former
# Matters  features at 1 or 2 a second are made so, and their row n is then taken for second n. Labels by time are half
#          a second off against one, and two rows off at the start against the other. `-vf fps=1:round=up` gives the
#          pictures that one expects.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -qq imageio-ffmpeg==0.8.1 av==18.1.0 pillow==13.0.0 numpy==2.4.6
cd "$folder"
venv/bin/python - <<'PY'
import subprocess
from pathlib import Path

import av
import imageio_ffmpeg
import numpy as np
from PIL import Image

ffmpeg = imageio_ffmpeg.get_ffmpeg_exe()
with av.open("clip.mp4", "w") as container:
    stream = container.add_stream("libx264", rate=25)
    stream.width, stream.height, stream.pix_fmt = 320, 64, "yuv420p"
    for k in range(250):
        bits = np.array([k >> bit & 1 for bit in range(8)], dtype=np.uint8) * 255
        picture = np.repeat(np.repeat(bits[None, :, None], 64, 0).repeat(40, 1), 3, 2)
        container.mux(stream.encode(av.VideoFrame.from_ndarray(picture)))
    container.mux(stream.encode(None))


def number(path):
    picture = np.asarray(Image.open(path).convert("L"))
    return sum(1 << bit for bit in range(8) if picture[:, bit * 40 + 20].mean() > 128)


def pictures(name, *options):
    Path(name).mkdir()
    subprocess.run([ffmpeg, "-v", "error", "-i", "clip.mp4", *options, f"{name}/%03d.png"], check=True)
    return [number(path) for path in sorted(Path(name).iterdir())]


right = pictures("up", "-vf", "fps=1:round=up")
seen = {"-vf fps=1": pictures("filter", "-vf", "fps=1"), "-r 1": pictures("rate", "-r", "1")}
version = subprocess.run([ffmpeg, "-version"], capture_output=True, text=True, check=True).stdout.split()[2]
print(f"ffmpeg {version}, imageio-ffmpeg {imageio_ffmpeg.__version__}, PyAV {av.__version__} as writer")
print(f"expected: {list(range(0, 250, 25))}, as -vf fps=1:round=up: {right}")
print(f"seen: {seen}")
assert right == list(range(0, 250, 25))
assert seen["-vf fps=1"] == list(range(12, 250, 25)), "the behaviour changed"
assert seen["-r 1"] == [0, 1, *range(22, 250, 25)], "the behaviour changed"
PY
