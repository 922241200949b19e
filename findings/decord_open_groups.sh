#!/usr/bin/env bash
# decord's n-th picture depends on which others were asked: after a skip, open groups of pictures come out late by one or two.
#
# What     decord 0.6.0, `VideoReader(path)[k]` of an H.264 MP4 with open groups (B-frames before a key frame that need the group
#          before it), as broadcast and editing encoders write them
# Expected the same picture for index k in any order
# Seen     asked from first to last all 90 are right; asked from last to first about a fourth are another picture, no error
# Matters  samplers of 16 frames always skip. What a model is trained on then depends on the stride, and a frame looked at
#          in a notebook is not the frame that was scored.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -qq decord==0.6.0 av==18.1.0 numpy==2.4.6
cd "$folder"
venv/bin/python - <<'PY'
import av
import decord
import numpy as np

BITS = np.arange(8)


def picture(k):  # k in eight light or dark stripes
    return np.repeat(np.where((k >> BITS) & 1, 210, 50).astype(np.uint8), 40)[None, :, None].repeat(240, 0).repeat(3, 2)


def number(image):
    return int(((image[120, 20::40, 0] > 130) << BITS).sum())


options = {"preset": "veryfast", "g": "12", "bf": "3", "x264-params": "open-gop=1:scenecut=0"}
with av.open("open.mp4", "w") as container:
    stream = container.add_stream("libx264", rate=30, options=options)
    stream.width, stream.height, stream.pix_fmt = 320, 240, "yuv420p"
    for k in range(90):
        container.mux(stream.encode(av.VideoFrame.from_ndarray(picture(k), format="rgb24")))
    container.mux(stream.encode())

forward, backward = decord.VideoReader("open.mp4", num_threads=1), decord.VideoReader("open.mp4", num_threads=1)
in_order = [number(forward[k].asnumpy()) for k in range(90)]
skipping = [number(backward[k].asnumpy()) for k in range(89, -1, -1)][::-1]
wrong = {k: seen for k, seen in enumerate(skipping) if seen != k}
print(f"decord {decord.__version__}, av {av.__version__}")
print("expected: index k gives picture k in both orders")
print(f"seen: first to last {sum(k != seen for k, seen in enumerate(in_order))} wrong, last to first {len(wrong)} wrong: {wrong}")
assert in_order == list(range(90))
assert len(wrong) > 10, "the behaviour changed"
PY
