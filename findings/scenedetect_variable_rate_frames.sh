#!/usr/bin/env bash
# PySceneDetect says frame 115 where a phone video is cut at its picture 60, and a last scene that ends before it begins.
#
# What     scenedetect 0.7.2 (opencv 4.13), scene list of a variable-rate Matroska file: 200 pictures, cuts at 60 and 150
# Expected frame numbers 60, 150 and 200, or times alone: the times given are right
# Seen     115, 288, and with OpenCV 200 as the end, with PyAV 384: a frame number is the time times the nominal rate of 25, and the
#          end a count of pictures. `frame_number` after reading ten pictures is 18
# Matters  scenes are cut out of a list of decoded pictures or features by these numbers. On constant rate they are right, and
#          phones and screen recorders vary their rate: scenes point into the next one or past the end. Use `seconds`.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -qq scenedetect==0.7.2 opencv-python-headless==4.13.0.92 av==18.1.0 numpy==2.4.6
cd "$folder"
venv/bin/python -W ignore - <<'PY'
from fractions import Fraction

import av
import numpy as np
import scenedetect
from scenedetect import ContentDetector, SceneManager, open_video

times = np.cumsum([0] + [40 if k % 3 else 150 for k in range(199)])  # milliseconds
rng = np.random.default_rng(0)
shots = [rng.integers(0, 255, (16, 20, 3), dtype=np.uint8).repeat(16, 0).repeat(16, 1) for _ in range(3)]
with av.open("phone.mkv", "w") as container:
    stream = container.add_stream("libx264", rate=25)
    stream.width, stream.height, stream.pix_fmt = 320, 256, "yuv420p"
    for k, time in enumerate(times.tolist()):
        frame = av.VideoFrame.from_ndarray(shots[(k >= 60) + (k >= 150)])
        frame.pts, frame.time_base = time, Fraction(1, 1000)
        container.mux(stream.encode(frame))
    container.mux(stream.encode(None))


def scenes(backend):
    manager = SceneManager()
    manager.add_detector(ContentDetector(min_scene_len=5))
    manager.detect_scenes(open_video("phone.mkv", backend=backend))
    found = manager.get_scene_list()
    return [(start.frame_num, end.frame_num) for start, end in found], [round(start.seconds, 1) for start, _ in found]


video = open_video("phone.mkv", backend="pyav")
for _ in range(10):
    video.read()
seen = {backend: scenes(backend) for backend in ("opencv", "pyav")}
print(f"scenedetect {scenedetect.__version__}, av {av.__version__}")
print(f"expected: [(0, 60), (60, 150), (150, 200)] at {[0.0, *(times[[60, 150]] / 1000).tolist()]} s; after ten pictures 10")
print(f"seen: {seen}; after ten pictures {video.frame_number}")
assert all(starts == [0.0, 4.6, 11.5] for _, starts in seen.values())
assert seen["opencv"][0] == [(0, 115), (115, 288), (288, 200)], "the behaviour changed"
assert seen["pyav"][0] == [(0, 115), (115, 288), (288, 384)] and video.frame_number > 10, "the behaviour changed"
PY
