"""Embed once: every clip of a frame store through one checkpoint, on disk.

Shapes: N clips, B of them at a time, V windows of a clip, T frames of a window, H W pixels, P visual tokens,
D width of the shared space.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from zsar_lab.data.catalog import Catalog
from zsar_lab.data.frames import FrameStore, SpreadFrames
from zsar_lab.data.loader import ViewSettings, centre_view, scoring_batches
from zsar_lab.embed import embeddings
from zsar_lab.embed.embeddings import Batches, ClipEmbeddings, make_embeddings
from zsar_lab.files import fingerprint
from zsar_lab.models.rest import ResT
from zsar_lab.train.checkpoint import Checkpoint
from zsar_lab.train.device import choose_device, choose_num_workers, cpu_threads, lay_out, mixed_precision

MOST_WINDOWS = 64


@dataclass(frozen=True)
class Views:
    """Test-time views: a clip's embedding is the mean over them. ValueError where there are no such.

    1 window is the centred stretch that the frame store holds, mirrored left and right as well where asked;
    more are spread over the clip and read from its video.
    """

    windows: int = 1
    mirrored: bool = False

    def __post_init__(self) -> None:
        if self.windows not in range(1, MOST_WINDOWS + 1):
            raise ValueError(f"windows must be a whole number in 1..{MOST_WINDOWS}, got {self.windows}")
        if self.mirrored and self.windows > 1:
            raise ValueError(f"mirrored needs 1 window, got {self.windows}")

    @property
    def name(self) -> str:
        """In the fingerprint of embeddings."""
        if self.windows > 1:
            return f"{self.windows} spread windows"
        return "centre and mirrored" if self.mirrored else "centre"


CENTRE_AND_MIRRORED, CENTRE, SPREAD_25 = Views(mirrored=True), Views(), Views(windows=25)
VIEWS_OF = {1: CENTRE_AND_MIRRORED, 25: SPREAD_25}  # by the number of views that a protocol names


def embed_clips(
    checkpoint: Checkpoint,
    store: FrameStore,
    folder: Path,
    device: str | None = None,
    num_workers: int | None = None,
    shard_clips: int | None = None,
    views: Views = CENTRE_AND_MIRRORED,
    catalog: Catalog | None = None,
) -> ClipEmbeddings:
    """Embed every clip of the store: v = normalise(mean over its views of v_view).

    CENTRE_AND_MIRRORED and CENTRE look at the stored frames, a second or two from the middle of the clip: one
    clip a video in the words of protocols, and not comparable with 25 of them. SPREAD_25 looks at 25 windows,
    each as long as the stored stretch and spread from the clip's start to its end; its memory has the frames
    of 2 clips for every worker. The embeddings are the same with any number of ranks, workers or shards.

    Args:
        checkpoint: a complete training.
        store: frames to embed.
        folder: where the file is, see `make_embeddings`.
        device: "cpu", "cuda", or None to choose.
        num_workers: threads that read batches ahead; None to choose.
        shard_clips: clips a shard, a multiple of 64; None for 1,024.
        views: of a clip; tokens are those of the plain view, and of the middle window.
        catalog: that the store was made from, with its videos; needed for spread windows only.

    Raises:
        ValueError: the training is not finished, a video can no longer be read, spread windows without a
            catalog, or as `make_embeddings`, as RuntimeError and OSError are.

    Source: 25 clips a video are those of Brattoli et al., "Rethinking Zero-Shot Video Classification", CVPR
    2020. Theirs are of 16 frames; ours are as the clips of the store, and unit embeddings are averaged.
    """
    if not checkpoint.complete:
        at = f"step {checkpoint.step} of {checkpoint.total_steps}"
        raise ValueError(f"embedding needs a finished training, '{checkpoint.path}' is at {at}")
    frames: Any = store.frames
    made_of = [checkpoint.fingerprint, store.fingerprint, views.name]
    if views.windows > 1:
        if catalog is None:
            raise ValueError(f"{views.name} are read from videos and need a catalog, got None")
        frames, made_of = SpreadFrames(catalog, store, views.windows), [*made_of, catalog.fingerprint]
    about = {"checkpoint": checkpoint.fingerprint}
    about |= {} if views == CENTRE_AND_MIRRORED else {"views": views.name}
    place, config = choose_device(device), checkpoint.config
    n_workers = choose_num_workers(num_workers, place)

    def embed(rows: np.ndarray) -> Batches:
        yield from embedded(
            embedding_model(checkpoint, place), frames, rows, config.view, n_workers, views.mirrored
        )

    with cpu_threads(config.cpu_threads):
        key = fingerprint("clip embeddings", *made_of)
        return make_embeddings(folder, key, store, about, embed, shard_clips)


def embedding_model(checkpoint: Checkpoint, device: torch.device) -> ResT:
    """The trained model, on a GPU with its backbone laid out as in training."""
    model = checkpoint.model(device)
    if device.type == "cuda":
        lay_out(model.backbone, checkpoint.config.memory_format)
    return model


@torch.inference_mode()
def embedded(
    model: ResT,
    frames: Any,
    rows: np.ndarray,
    view: ViewSettings,
    num_workers: int = 0,
    mirrored: bool = True,
) -> Batches:
    """The clips of these rows in their order: float16 embeddings [B, D], and tokens [B, P, D].

    Frames are those of a store [N, frames, H, W, 3], whose mirror image counts too where asked, or windows
    [N, V, T, H, W, 3]: v = normalise(mean over them), tokens of the plain view or of window V // 2. The model
    reads 64 stretches of frames at once, or as few less as let whole clips fill a shard; on a GPU in
    bfloat16, as in training.
    """
    device, windows = model.clip_token.device, frames.shape[1] if len(frames.shape) == 6 else 1
    for read in scoring_batches(frames, rows, clips_at_once(windows), num_workers, device.type == "cuda"):
        clips = read.to(device, non_blocking=True).reshape(-1, *read.shape[-4:])
        views = [centre_view(clips, view)] + ([centre_view(clips, view, mirrored=True)] if mirrored else [])
        with mixed_precision(device):
            codes = [model.encode_video(seen) for seen in views]
        if mirrored:
            mean_BD = codes[0].embedding_BD + codes[1].embedding_BD
        else:
            mean_BD = codes[0].embedding_BD.unflatten(0, (-1, windows)).mean(1)
        unit_BD = torch.nn.functional.normalize(mean_BD, dim=-1)
        yield unit_BD.half().cpu().numpy(), codes[0].tokens_BPD[windows // 2 :: windows].half().cpu().numpy()


def clips_at_once(windows: int) -> int:
    """The most clips of that many windows in a batch; it divides 64, for a shard must end with a batch."""
    most = max(1, embeddings.CLIPS_A_BATCH // windows)
    return next(n_clips for n_clips in range(most, 0, -1) if embeddings.CLIPS_A_BATCH % n_clips == 0)
