#!/usr/bin/env bash
# transformers' image processors divide pictures of 0..1 by 255 once more: every picture becomes the same dark one, unsaid.
#
# What     transformers 5.24.0, `CLIPImageProcessor` and `VideoMAEImageProcessor` without torchvision, the same picture as uint8
#          0..255 and as float32 0..1
# Expected the same input to the model, or the warning that earlier versions gave
# Seen     the spread of the values shrinks to an eighth (CLIP) and a 255th (VideoMAE), no warning
# Matters  frames come as 0..1 from most PyTorch loaders. Embeddings of all clips lie close
#          together and are still of length one, so that zero-shot scores are just low. `do_rescale=False`.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -qq transformers==5.24.0 pillow==13.0.0 numpy==2.4.6
cd "$folder"
venv/bin/python - 2> stderr.txt <<'PY'
import numpy as np
import transformers
from transformers import CLIPImageProcessor, VideoMAEImageProcessor

picture = np.random.default_rng(0).integers(0, 256, (224, 224, 3), dtype=np.uint8)
seen = {}
for processor in (CLIPImageProcessor(), VideoMAEImageProcessor()):
    as_bytes, as_floats = (
        float(np.asarray(processor(pixels, return_tensors="np")["pixel_values"]).std())
        for pixels in (picture, (picture / 255).astype(np.float32))
    )
    seen[type(processor).__name__] = round(as_bytes, 4), round(as_floats, 4)
print(f"transformers {transformers.__version__}, numpy {np.__version__}")
print("expected: the same standard deviation for 0..255 and 0..1")
print(f"seen, of 0..255 and of 0..1: {seen}")
assert all(as_floats < as_bytes / 5 for as_bytes, as_floats in seen.values()), "the behaviour changed"
PY
cat "$folder/stderr.txt"
if grep -qi rescal "$folder/stderr.txt"; then echo "the behaviour changed: it warns"; exit 1; fi
