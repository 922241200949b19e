"""A public model (CLIP, SigLIP or X-CLIP, as transformers keeps them) that names a user's videos.

Shapes: V windows, T frames, H W pixels, D width of the joint space, C candidate classes, M lines of a class
text.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import torch

from zsar_lab.data.sampling import FrameSettings
from zsar_lab.infer.classifier import Candidates, NamingModel
from zsar_lab.methods.transfer import unit
from zsar_lab.models.public import load_public_tower
from zsar_lab.results.evaluate import DIRECT
from zsar_lab.text.class_lists import prompt_of, texts_of
from zsar_lab.text.embeddings import check_differ, embed_class_text
from zsar_lab.text.encoder_files import find_encoder
from zsar_lab.train.compiling import mixed_precision
from zsar_lab.train.loop import choose_device


def public_naming_model(
    folder: str | Path,
    n_frames: int = 8,
    fps: float = 4.0,
    device: str | None = None,
    cache: Path | None = None,
) -> NamingModel:
    """Make a public model (CLIP, SigLIP or X-CLIP, as transformers keeps them) ready; it names by the direct method, and marks nothing unsure.

    No threshold is chosen for it, since no classes are known that it did not see. Its scores are not those of
    the rigorous setting.

    Args:
        folder: with its files, or its name in the hub, see `find_encoder`.
        n_frames, fps: of a window that an image tower reads: 8 frames in 2 s.
        device, cache: as in `naming_model`.

    Raises:
        FileNotFoundError, ValueError: as `find_encoder` and `load_public_tower`.
    """
    files, place = find_encoder(folder), choose_device(device)
    tower = load_public_tower(files.folder, n_frames).to(place)
    sides = tower.preprocessing.resized_px or tower.preprocessing.crop_px

    @torch.inference_mode()
    def embed(frames_VTHWC: np.ndarray) -> np.ndarray:
        with mixed_precision(place):
            return tower(torch.from_numpy(frames_VTHWC).to(place)).half().cpu().numpy()

    def candidates(
        table: pd.DataFrame, method: str = DIRECT, class_text: str | None = None, least_right: float = 0.8
    ) -> Candidates:
        if method != DIRECT:
            raise ValueError(
                f"a public model names by the direct method, got {method!r}; leave the method out"
            )
        texts = embed_class_text(texts_of(table, class_text or prompt_of(table)), files, cache)
        check_differ(texts)
        n_lines = 1 if texts.class_text.averaged else texts.class_text.texts[0].count("\n") + 1
        points_CD = unit(texts.pooled_CF.reshape(len(table), n_lines, -1).sum(1))
        return Candidates(table, texts.class_text, method, points_CD, tower.temperature, None)

    about = f"the public model {files}, trained on data from elsewhere: not rigorous"
    empty = pd.DataFrame({"name": [], "label": [], "description": []}, dtype=str)
    return NamingModel(
        files.name,
        files.revision,
        FrameSettings(tower.n_frames, fps, max(sides)),
        embed,
        candidates,
        about,
        empty,
    )
