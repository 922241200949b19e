#!/usr/bin/env bash
# imageio's PyAV plugin counts an index from time zero, so a stream that starts late gives a picture 25 too early.
#
# What     imageio 2.38.1 with av 18.1.0, `imread(path, index=k, plugin="pyav")` of a Matroska file whose pictures begin at 1 s
# Expected the k-th picture, as iterating over the same file gives
# Seen     `index=30` gives picture 5, each index below 26 gives picture 0; asked one after another on an open file all are right
# Matters  recordings in which the sound starts first begin late. A sampler that asks for 16 indices
#          of such a file trains on the first picture several times and never sees the end, without an error.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -qq imageio==2.38.1 av==18.1.0 numpy==2.4.6
cd "$folder"
venv/bin/python - <<'PY'
import av
import imageio
import imageio.v3 as iio
import numpy as np

BITS = np.arange(8)


def picture(k):  # k in eight light or dark stripes
    return np.repeat(np.where((k >> BITS) & 1, 210, 50).astype(np.uint8), 40)[None, :, None].repeat(240, 0).repeat(3, 2)


def number(image):
    return int(((image[120, 20::40, 0] > 130) << BITS).sum())


with av.open("late.mkv", "w") as container:
    stream = container.add_stream("libx264", rate=25, options={"preset": "veryfast", "g": "12"})
    stream.width, stream.height, stream.pix_fmt = 320, 240, "yuv420p"
    for k in range(90):
        frame = av.VideoFrame.from_ndarray(picture(k), format="rgb24")
        frame.pts = 25 + k
        container.mux(stream.encode(frame))
    container.mux(stream.encode())

in_order = [number(image) for image in iio.imiter("late.mkv", plugin="pyav")]
asked = [0, 10, 30, 60, 89]
seen = [number(iio.imread("late.mkv", index=k, plugin="pyav")) for k in asked]
print(f"imageio {imageio.__version__}, av {av.__version__}")
print(f"expected: indices {asked} give pictures {asked}; iterating gives {in_order[0]} to {in_order[-1]}")
print(f"seen: {seen}")
assert in_order == list(range(90))
assert seen == [0, 0, 5, 35, 64], "the behaviour changed"
PY
