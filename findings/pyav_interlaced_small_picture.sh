#!/usr/bin/env bash
# PyAV's resize keeps the comb of an interlaced picture: both fields are scaled apart and woven again.
#
# What     av 18.1.0, `frame.to_ndarray(format="rgb24", width=160, height=120)` of an interlaced H.264 picture of 320 x 240
# Expected halving the height averages two neighbouring rows, so that no comb is left, as Pillow does with the full picture
# Seen     a moving edge still jumps by 122 of 255 from row to row, where Pillow's small picture has 0.2; the same pixels encoded
#          as progressive have 1.3. Nothing says so
# Matters  camcorders and television are interlaced, and a small picture for a model is where one expects it not to matter. Motion,
#          which is what an action is, becomes a comb. Convert at full size and resize the array.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -qq av==18.1.0 numpy==2.4.6 pillow==11.3.0
cd "$folder"
venv/bin/python - <<'PY'
import av
import numpy as np
from PIL import Image


def picture(k):  # a light box that moves by 4 pixels from the first field (even rows) to the second
    rows = np.full((240, 320, 3), 60, np.uint8)
    rows[0::2, 20 + 8 * k : 80 + 8 * k] = 200
    rows[1::2, 24 + 8 * k : 84 + 8 * k] = 200
    return rows


def comb(image):  # the largest mean jump from row to row of any column
    return round(float(np.abs(np.diff(image[..., 0].astype(float), axis=0)).mean(0).max()), 1)


def sixth(name, options):
    with av.open(name, "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"preset": "veryfast", "crf": "10", **options})
        stream.width, stream.height, stream.pix_fmt = 320, 240, "yuv420p"
        for k in range(10):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture(k), format="rgb24")))
        container.mux(stream.encode())
    with av.open(name) as container:
        frame = list(container.decode(video=0))[5]
        full = frame.to_ndarray(format="rgb24")
        by_pillow = np.asarray(Image.fromarray(full).resize((160, 120), Image.Resampling.BILINEAR))
        return frame.interlaced_frame, comb(full), comb(frame.to_ndarray(format="rgb24", width=160, height=120)), comb(by_pillow)


interlaced, progressive = sixth("interlaced.mp4", {"x264-params": "tff=1"}), sixth("progressive.mp4", {})
print(f"av {av.__version__}; interlaced?, comb at full size, resized by PyAV, resized by Pillow")
print(f"expected: no comb in a picture of half the height, as of the same pixels called progressive: {progressive}")
print(f"seen: {interlaced}")
assert interlaced[0] and not progressive[0] and max(progressive[2], progressive[3], interlaced[3]) < 5
assert interlaced[2] > 100, "the behaviour changed"
PY
