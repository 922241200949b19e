"""Clip embeddings of public models: trained elsewhere, so no score of theirs is of the rigorous setting.

Shapes: N clips, B clips of a batch, D width of the joint space.
"""

from __future__ import annotations

import os
import warnings
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch

from zsar_lab.data.frames import FrameStore
from zsar_lab.data.loader import scoring_batches
from zsar_lab.data.sampling import spread_indices
from zsar_lab.data.video import read_frames
from zsar_lab.embed import embeddings
from zsar_lab.embed.embeddings import Batches, ClipEmbeddings, make_embeddings
from zsar_lab.embed.outside import Embeddings
from zsar_lab.files import fingerprint, make_folder
from zsar_lab.models.public import PublicTower, load_public_tower
from zsar_lab.progress import progress
from zsar_lab.text.encoder_files import EncoderFiles
from zsar_lab.train.device import choose_device, choose_num_workers, mixed_precision

if TYPE_CHECKING:
    import pandas as pd

NOT_RIGOROUS, UNKNOWN = "not rigorous", "unknown data"


def embed_with_public_model(
    files: EncoderFiles,
    store: FrameStore,
    folder: Path,
    trained_on: str = UNKNOWN,
    n_frames: int = 8,
    device: str | None = None,
    shard_clips: int | None = None,
) -> ClipEmbeddings:
    """Embed every clip of the store with a public model, one view a clip; made in shards as by `embed_clips`.

    `trained_on` is in words; `n_frames` of a clip are read by an image tower. Smaller frames than the model
    reads are enlarged, with a warning.

    Returns:
        Embeddings [N, D] without tokens; `about` has the model, its text tower, what it was trained on, and
        setting "not rigorous".

    Raises:
        ValueError: as `load_public_tower` and `make_embeddings`, or the store has too few frames a clip.
        RuntimeError: another rank failed or is gone.
    """
    tower, place = load_public_tower(files.folder, n_frames), choose_device(device)
    n_stored, *stored = store.frames.shape[1:4]
    reads = tower.preprocessing.size_of(*stored)
    if n_stored < tower.n_frames:
        raise ValueError(f"clips must have the {tower.n_frames} frames that the model reads, got {n_stored}")
    if reads[0] > stored[0]:
        sizes = f"{stored[0]} x {stored[1]} pixels are enlarged to {reads[0]} x {reads[1]}"
        warnings.warn(f"frames of {sizes}, which costs {files.name} accuracy", stacklevel=2)
    made_of = files.revision, asdict(tower.preprocessing), tower.n_frames, store.fingerprint
    about = {"model": files.name, "text_encoder": files.revision, "setting": NOT_RIGOROUS}
    about["trained_on"] = trained_on.strip() or UNKNOWN

    @torch.inference_mode()
    def embed(rows: np.ndarray) -> Batches:
        reading = choose_num_workers(None, place), place.type == "cuda"
        sees = tower.to(place)
        for read in scoring_batches(cast(Any, store.frames), rows, embeddings.CLIPS_A_BATCH, *reading):
            with mixed_precision(place):
                embedding_BD = sees(read.to(place, non_blocking=True)).half().cpu().numpy()
            yield embedding_BD, np.zeros((len(embedding_BD), 0, embedding_BD.shape[1]), np.float16)

    key = fingerprint("public clip embeddings", *made_of)
    return make_embeddings(folder, key, store, about, embed, shard_clips)


@torch.inference_mode()
def embed_whole_videos(
    tower: PublicTower, clips: pd.DataFrame, root: Path, folder: Path, about: dict[str, str]
) -> Embeddings:
    """Embed videos as mteb's MVEB does: whole frames by `spread_indices`, in float32 without mixed precision.

    `clips` has id, path below `root`, and class; each class is saved in the folder when it is read, and not
    read again. UnreadableVideo where one cannot be read: none is left out.
    """
    device, parts = next(tower.parameters()).device, []
    key = fingerprint("whole videos", about, asdict(tower.preprocessing), tower.n_frames)

    def read(path: str) -> np.ndarray:
        return read_frames(root / path, lambda times_s: spread_indices(len(times_s), tower.n_frames))

    with (
        ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool,
        progress(what="embedding", unit="clip", total=len(clips)) as bar,
    ):
        for label, rows in clips.groupby("class"):
            path = make_folder(folder) / f"{label}-{key[:8]}.safetensors"
            if not path.is_file():
                frames = (torch.from_numpy(one).to(device) for one in pool.map(read, rows["path"]))
                vectors = torch.stack([tower.whole(one) for one in frames]).cpu().numpy()
                Embeddings(rows["id"].tolist(), vectors, provenance=about).save(path)
            parts.append(Embeddings.read(path))
            bar.update(len(rows))
    ids = [clip for part in parts for clip in part.clips]
    return Embeddings(ids, np.concatenate([part.vectors for part in parts]), provenance=about)
