"""Public models: their clip embeddings; X-CLIP's class texts are read by themselves, without the video.

They were trained on images or videos from elsewhere, so a score of theirs is not one of the rigorous setting,
and their artefacts say so. Shapes: N clips, B clips to score, C candidate classes, D width of the joint
space, M lines of a class text.
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
    num_workers: int | None = None,
    shard_clips: int | None = None,
) -> ClipEmbeddings:
    """Embed every clip of the store with a public model, one view a clip; made in shards as by `embed_clips`.

    Args:
        files: of the model, from `find_encoder`; its text tower embeds the class texts (`embed_class_text`).
        store: frames to embed; smaller ones than the model reads are enlarged, with a warning.
        folder: where the file is.
        trained_on: the data that the model saw, such as "400 million image-text pairs (WIT)".
        n_frames: frames of a clip that an image tower reads; a video tower reads as many as it was made for.
        device: "cpu", "cuda", or None to choose.
        num_workers: threads that read batches ahead; None to choose.
        shard_clips: clips a shard, a multiple of 64; None for 1,024.

    Returns:
        Embeddings [N, D] without tokens; `about` has the model, its text tower, what it was trained on, and
        setting "not rigorous".

    Raises:
        ValueError: as `load_public_tower` and `make_embeddings`, or the store has too few frames a clip.
        RuntimeError: another rank failed or is gone.
    """
    tower = load_public_tower(files.folder, n_frames)
    stored, n_stored = store.frames.shape[2:4], store.frames.shape[1]
    reads = tower.preprocessing.size_of(*stored)
    if n_stored < tower.n_frames:
        raise ValueError(f"clips must have the {tower.n_frames} frames that the model reads, got {n_stored}")
    if reads[0] > stored[0]:
        sizes = f"{stored[0]} x {stored[1]} pixels are enlarged to {reads[0]} x {reads[1]}"
        warnings.warn(f"frames of {sizes}, which costs {files.name} accuracy", stacklevel=2)
    made_of = files.revision, asdict(tower.preprocessing), tower.n_frames, store.fingerprint
    about = {
        "model": files.name,
        "text_encoder": files.revision,
        "trained_on": trained_on.strip() or UNKNOWN,
        "setting": NOT_RIGOROUS,
    }
    place = choose_device(device)
    n_workers = choose_num_workers(num_workers, place)

    def embed(rows: np.ndarray) -> Batches:
        yield from seen_by(tower.to(place), store, rows, n_workers)

    key = fingerprint("public clip embeddings", *made_of)
    return make_embeddings(folder, key, store, about, embed, shard_clips)


@torch.inference_mode()
def seen_by(tower: PublicTower, store: FrameStore, rows: np.ndarray, num_workers: int = 0) -> Batches:
    """The clips of these rows in their order: float16 embeddings [B, D], and no tokens [B, 0, D]."""
    device, frames = next(tower.parameters()).device, cast(Any, store.frames)
    for read in scoring_batches(frames, rows, embeddings.CLIPS_A_BATCH, num_workers, device.type == "cuda"):
        with mixed_precision(device):
            embedding_BD = tower(read.to(device, non_blocking=True)).half().cpu().numpy()
        yield embedding_BD, np.zeros((len(embedding_BD), 0, embedding_BD.shape[1]), np.float16)


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
