#!/usr/bin/env bash
# Pillow 13 resizes tall frames in another order: the same call gives a frozen model other pixels, by more than 10 of 255.
#
# What     Pillow 12.3.0 and 13.0.0, Image.resize((224, 224), BICUBIC) of pictures of 240 x 426 (a phone's video), and of 426 x 240
# Expected the same bytes: same filter, same sizes, one machine
# Seen     426 x 240 is equal to the byte. 240 x 426: a chequered picture differs in 41 % of its values, by up to 18 of 255; noise in 28 %, by
#          up to 12; a smooth picture by 1. The columns come first where the height shrinks much more than the width, and between the
#          two passes values are rounded and cut to 0..255, which bicubic overshoots
# Matters  SigLIP's processor squashes frames to a square: embeddings of upright videos, and figures with them, change with a library that
#          is no part of the model's settings; sideways videos do not, so a test with one sees nothing. Models that keep the shape and
#          crop (CLIP) are spared. Keep Pillow's version with stored embeddings. Our own resizing keeps the old order, with any Pillow.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
cat >resize.py <<'PY'
import sys

import numpy as np
from PIL import Image, __version__

y, x = np.mgrid[:426, :240]
pictures = {
    "smooth": 127 + 100 * np.sin(x / 9) * np.cos(y / 7),
    "chequered": (x // 4 + y // 4) % 2 * 255,
    "noise": np.random.default_rng(0).integers(0, 256, (426, 240)),
}
sizes = {"squashed": (224, 224), "shape kept": (224, 397)}
out = {"version": __version__}
for name, picture in pictures.items():
    picture = picture.astype(np.uint8)
    for how, size in sizes.items():
        out[f"upright {how} {name}"] = Image.fromarray(picture).resize(size, Image.Resampling.BICUBIC)
        out[f"sideways {how} {name}"] = Image.fromarray(picture.T.copy()).resize(size[::-1], Image.Resampling.BICUBIC)
np.savez(sys.argv[1], **out)
PY
for version in 12.3.0 13.0.0; do
  python3 -m venv "venv$version"
  "venv$version/bin/pip" install -qq "pillow==$version" numpy==2.4.6
  "venv$version/bin/python" resize.py "$version.npz"
done
venv13.0.0/bin/python - <<'PY'
import numpy as np

old, new = np.load("12.3.0.npz"), np.load("13.0.0.npz")
print(f"Pillow {old['version']} and {new['version']}, numpy {np.__version__}")
print("expected: 0 everywhere")
largest = {}
for name in old.files[1:]:
    off = np.abs(old[name].astype(int) - new[name])
    largest[name] = int(off.max())
    print(f"seen: {name}: differ by up to {off.max()} of 255, {(off > 0).mean():.0%} of the values")
squashed = {name: off for name, off in largest.items() if name.startswith("upright squashed")}
assert all(off == 0 for name, off in largest.items() if name not in squashed)
assert squashed["upright squashed smooth"] > 0, "the behaviour changed"
assert squashed["upright squashed chequered"] > 10 and squashed["upright squashed noise"] > 10, "the behaviour changed"
PY
