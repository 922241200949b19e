#!/usr/bin/env bash
# moviepy's iter_frames over a phone video gives the first quarter of its pictures, several times each, and stops there.
#
# What     moviepy 2.2.1 with imageio-ffmpeg 0.8.1, `VideoFileClip(path).iter_frames()` of a variable-rate MP4 (40 and 150 ms)
# Expected the 60 pictures of the file, or the whole length sampled at a steady rate
# Seen     60 pictures, the right number, but only the numbers 0 to 14: ffmpeg hands out pictures at the stream's finest rate,
#          moviepy counts them at the average one (16.13), and stops after 60
# Matters  phones and screen recorders vary their rate. Count, size and length look right, and three quarters of
#          the action are never seen.
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

BITS = np.arange(8)


def picture(k):  # k in eight light or dark stripes
    return np.repeat(np.where((k >> BITS) & 1, 210, 50).astype(np.uint8), 40)[None, :, None].repeat(240, 0).repeat(3, 2)


def number(image):
    return int(((image[120, 20::40, 0] > 130) << BITS).sum())


with av.open("phone.mp4", "w") as container:
    stream = container.add_stream("libx264", rate=25, options={"preset": "veryfast", "g": "12"})
    stream.width, stream.height, stream.pix_fmt = 320, 240, "yuv420p"
    stream.time_base = stream.codec_context.time_base = Fraction(1, 1000)
    time = 0
    for k in range(60):
        frame = av.VideoFrame.from_ndarray(picture(k), format="rgb24")
        frame.pts, frame.time_base = time, Fraction(1, 1000)
        time += 40 if k % 20 < 15 else 150
        container.mux(stream.encode(frame))
    container.mux(stream.encode())

with av.open("phone.mp4") as container:
    whole = [number(frame.to_ndarray(format="rgb24")) for frame in container.decode(video=0)]
clip = VideoFileClip("phone.mp4", audio=False)
seen = [number(image) for image in clip.iter_frames()]
print(f"moviepy {version('moviepy')}, imageio-ffmpeg {version('imageio-ffmpeg')}, av {av.__version__}")
print(f"expected: pictures up to {whole[-1]} of a clip of {clip.duration} s at {clip.fps} a second")
print(f"seen: {len(seen)} pictures, of these {len(set(seen))} different, the last one {seen[-1]}")
assert whole == list(range(60)) and len(seen) == 60
assert max(seen) < 20 and seen == sorted(seen), "the behaviour changed"
PY
