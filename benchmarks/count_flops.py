"""GFLOP per clip and parameters of each backbone at the paper's size, beside the published figures.

python benchmarks/count_flops.py
"""

from __future__ import annotations

import torch

from zsar_lab.models.rest import ResT
from zsar_lab.train.config import PRESETS, config_of
from zsar_lab.train.meters import clip_gflop

PUBLISHED = {"resnet-18": (29, 85), "resnet-101": (125, 373), "r3d-18": (81, 241), "r(2+1)d-18": (81, 242)}


def main() -> None:
    print("backbone      clip       parameters   forward / training GFLOP   published   with the transformer")
    for preset in list(PRESETS)[1:]:
        config = config_of(preset, {}, n_seen=664)
        with torch.device("meta"):
            model = ResT(config.model)
        view, name = config.view, config.model.backbone
        millions = sum(p.numel() for p in model.backbone.parameters()) / 1e6
        alone, whole = (clip_gflop(m, view.n_frames, view.size_px) for m in (model.backbone, model))
        print(
            f"{name:12}  {view.n_frames:2} x {view.size_px}   {millions:8.2f} M   "
            f"{alone.forward:11.1f} / {alone.training:5.1f}   {PUBLISHED[name][0]:10} / {PUBLISHED[name][1]}"
            f"   {whole.forward:9.1f} / {whole.training:5.1f}"
        )


if __name__ == "__main__":
    main()
