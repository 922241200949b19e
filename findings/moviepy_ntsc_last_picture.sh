#!/usr/bin/env bash
# moviepy loses the last picture of a 29.97 clip: its length is rounded to hundredths of a second, and cut down to frames.
#
# What     moviepy 2.2.1, `VideoFileClip(path).n_frames` and `iter_frames()` of 90 pictures at 30000/1001 a second
# Expected 90 pictures
# Seen     89, at 29.97 and at 23.976; all of them at 25 and 30
# Matters  29.97 is what most cameras record. Annotations by frame number point one past the end, clips of equal length get
#          different numbers of frames by their rate, and a re-encoded data set is short by one picture a clip.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -qq moviepy==2.2.1 imageio-ffmpeg==0.8.1 av==18.1.0 numpy==2.4.6
cd "$folder"
venv/bin/python - <<'PY'
from fractions import Fraction
from importlib.metadata import version

import av
import numpy as np
from moviepy import VideoFileClip

seen = {}
for rate in (Fraction(25), Fraction(30), Fraction(30000, 1001), Fraction(24000, 1001)):
    with av.open("clip.mp4", "w") as container:
        stream = container.add_stream("libx264", rate=rate, options={"preset": "veryfast"})
        stream.width, stream.height, stream.pix_fmt = 320, 240, "yuv420p"
        for k in range(90):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.full((240, 320, 3), k, np.uint8), format="rgb24")))
        container.mux(stream.encode())
    with av.open("clip.mp4") as container:
        assert sum(1 for _ in container.decode(video=0)) == 90
    with VideoFileClip("clip.mp4", audio=False) as clip:
        seen[str(rate)] = clip.n_frames, sum(1 for _ in clip.iter_frames())

print(f"moviepy {version('moviepy')}, imageio-ffmpeg {version('imageio-ffmpeg')}")
print("expected: 90 pictures each")
print(f"seen, n_frames and pictures given, by rate: {seen}")
assert seen == {"25": (90, 90), "30": (90, 90), "30000/1001": (89, 89), "24000/1001": (89, 89)}, "the behaviour changed"
PY
