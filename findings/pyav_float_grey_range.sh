#!/usr/bin/env bash
# PyAV's float grey has black at .06 and white at .92, its 8- and 16-bit grey of the same picture at 0 and full.
#
# What     av 18.1.0, `frame.to_ndarray(format="grayf32le")` beside "gray" and "gray16le", an H.264 picture of black and white
# Expected 0.0 and 1.0: one picture, one scale, other number types
# Seen     .0625 to .918: the values 16 and 235 of limited range are divided by 255 and not stretched, as they are for the others
# Matters  float grey saves the division by 255 before optical flow, differences of frames and small models. Contrast is 14 % less
#          and black is not 0; clips read so and clips read by another reader differ all over, by an amount like that of a setting.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -qq av==18.1.0 numpy==2.4.6
cd "$folder"
venv/bin/python - <<'PY'
import av
import numpy as np

picture = np.zeros((64, 64, 3), dtype=np.uint8)
picture[:, 32:] = 255
with av.open("clip.mp4", "w") as container:
    stream = container.add_stream("libx264", rate=25)
    stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p"
    container.mux(stream.encode(av.VideoFrame.from_ndarray(picture)))
    container.mux(stream.encode(None))
with av.open("clip.mp4") as container:
    frame = next(container.decode(video=0))

full = {"gray": 255, "gray16le": 65535, "grayf32le": 1.0}
seen = {}
for kind, white in full.items():
    grey = frame.to_ndarray(format=kind) / white
    seen[kind] = (round(float(np.median(grey[:, :24])), 3), round(float(np.median(grey[:, 40:])), 3))
print(f"av {av.__version__}, numpy {np.__version__}; black and white, 1.0 is full")
print("expected: (0.0, 1.0) three times")
print(f"seen: {seen}")
assert seen["gray"] == seen["gray16le"] == (0.0, 1.0)
assert 0.05 < seen["grayf32le"][0] < 0.07 and 0.91 < seen["grayf32le"][1] < 0.93, "the behaviour changed"
PY
