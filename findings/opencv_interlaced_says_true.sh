#!/usr/bin/env bash
# OpenCV 5 cannot convert an interlaced picture, says True, and hands out one and the same wrong picture for the whole file.
#
# What     opencv-python-headless 5.0.0.93, `VideoCapture.read()` of an interlaced H.264 MP4 (camcorder, television)
# Expected (True, picture), or (False, None) where a picture cannot be had
# Seen     every call is (True, array), the number of pictures is right, and no array has anything of the film; the scaler's
#          complaint goes to stderr, which no program reads
# Matters  camcorder and television material is interlaced. A loader that checks the flag, as all do, trains on one
#          picture; the class looks hard, and the file is never listed as unreadable.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -qq opencv-python-headless==5.0.0.93 av==18.1.0 numpy==2.4.6
cd "$folder"
venv/bin/python - 2> stderr.txt <<'PY'
import av
import cv2
import numpy as np

with av.open("camcorder.mp4", "w") as container:
    stream = container.add_stream("libx264", rate=25, options={"preset": "veryfast", "x264-params": "tff=1"})
    stream.width, stream.height, stream.pix_fmt = 320, 240, "yuv420p"
    for k in range(10):  # a light box moves over grey
        image = np.full((240, 320, 3), 120, np.uint8)
        image[60:180, 20 + 25 * k : 80 + 25 * k] = 230
        container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
    container.mux(stream.encode())

with av.open("camcorder.mp4") as container:
    right = [frame.to_ndarray(format="bgr24") for frame in container.decode(video=0)]
capture = cv2.VideoCapture("camcorder.mp4")
read = [capture.read() for _ in range(11)]
seen = [image for said, image in read if said]
away = [round(float(np.abs(image.astype(int) - other).mean())) for image, other in zip(seen, right, strict=True)]
moves = max(float(np.abs(image.astype(int) - seen[0]).mean()) for image in seen)
print(f"OpenCV {cv2.__version__}, av {av.__version__}")
print(f"expected: ten pictures as PyAV decodes them, the last {np.abs(right[9].astype(int) - right[0]).mean():.0f} of 255 from the first")
print(f"seen: {sum(said for said, _ in read)} of 11 reads say True, differences from PyAV {away}, from one another at most {moves:.1f}")
assert len(seen) == len(right) == 10
assert min(away) > 30 and moves < 1, "the behaviour changed"
PY
