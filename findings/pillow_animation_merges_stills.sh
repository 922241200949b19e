#!/usr/bin/env bash
# Pillow writes twelve pictures to a GIF and reads four: neighbours that are equal become one, so that picture n is another.
#
# What     pillow 13.0.0, `save(path, save_all=True, append_images=..., duration=40)` as GIF, APNG, WebP and TIFF; imageio calls it
# Expected twelve pictures back, the n-th what was the n-th
# Seen     GIF, APNG and WebP four, in GIF of 120 ms each, TIFF twelve; the fifth picture of the film is the second of the file, or
#          missing if asked for by number. Films whose pictures all differ keep their number
# Matters  clips are kept as GIF (TGIF, previews, screen recordings), and calm ones hold equal pictures once colours are reduced to
#          256. Labels and embeddings by frame number no longer fit, only in clips that stand still. Read by the durations.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -qq pillow==13.0.0 numpy==2.4.6
cd "$folder"
venv/bin/python - <<'PY'
import numpy as np
import PIL
from PIL import Image, ImageSequence

pictures = [Image.fromarray(np.full((32, 32, 3), k // 3 * 60, dtype=np.uint8)) for k in range(12)]
seen = {}
for kind in ("gif", "png", "webp", "tiff"):
    pictures[0].save(f"clip.{kind}", save_all=True, append_images=pictures[1:], duration=40)
    with Image.open(f"clip.{kind}") as clip:
        seen[kind] = [int(frame.convert("RGB").getpixel((16, 16))[0]) for frame in ImageSequence.Iterator(clip)]
        if kind == "gif":
            lasting = [frame.info["duration"] for frame in ImageSequence.Iterator(clip)]
print(f"pillow {PIL.__version__}, numpy {np.__version__}; brightness of each picture")
print(f"expected: {seen['tiff']}")
print(f"seen: gif {seen['gif']} of {lasting} ms, png {seen['png']}, webp {seen['webp']}")
assert len(seen["tiff"]) == 12
assert len(seen["gif"]) == len(seen["png"]) == len(seen["webp"]) == 4 and lasting == [120] * 4, "the behaviour changed"
PY
