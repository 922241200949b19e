"""Embed once: every clip of a frame store through one checkpoint, kept on disk.

Shapes: N clips, B of them at a time, P visual tokens, D width of the shared space.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch

from zsar_lab.artefacts import fingerprint
from zsar_lab.data.frames import FrameStore
from zsar_lab.data.loader import ViewSettings, centre_view, scoring_batches
from zsar_lab.data.pixels import JpegFrames, StackedFrames
from zsar_lab.model.rest import ResT
from zsar_lab.training.checkpoint import Checkpoint
from zsar_lab.training.compiling import lay_out, mixed_precision
from zsar_lab.training.loop import choose_device, choose_readers, cpu_threads
from zsar_lab.training.ranks import ALONE, Ranks
from zsar_lab.zeroshot import shards
from zsar_lab.zeroshot.shards import make_in_shards, open_embeddings


@dataclass(frozen=True)
class ClipEmbeddings:
    """The visual side of the shared space.

    Attributes:
        ids: clip ids, one a row.
        labels: class name of each clip.
        embedding_ND: float32 (fp16 on disk), unit rows: the mean over the views of a clip, normalised.
        tokens_NPD: float16, the visual tokens of the unmirrored view, for the cross-modal encoder; a read-only memory map, which reads rows
            when they are asked for. P is 0 where a model gives none.
        fingerprint: of checkpoint, frame store and views.
        about: what the file says of the model: its checkpoint's fingerprint, or what is known of a public model.
    """

    ids: tuple[str, ...]
    labels: tuple[str, ...]
    embedding_ND: np.ndarray
    tokens_NPD: np.ndarray
    fingerprint: str
    about: Mapping[str, str] = field(default_factory=dict)

    def rows(self, ids: tuple[str, ...]) -> np.ndarray:
        """Row numbers of these clips, int64.

        Raises:
            ValueError: a clip was not embedded.
        """
        position = {name: row for row, name in enumerate(self.ids)}
        missing = [name for name in ids if name not in position]
        if missing:
            raise ValueError(f"every clip of a protocol must be embedded, {len(missing)} are not (first {missing[0]!r}); embed this catalog again")
        return np.array([position[name] for name in ids], dtype=np.int64)


def embed_clips(
    checkpoint: Checkpoint, store: FrameStore, folder: Path, device: str | None = None, readers: int | None = None, ranks: Ranks = ALONE,
    shard_clips: int | None = None,
) -> ClipEmbeddings:  # fmt: skip
    """Embed every clip of the store: v = normalise(mean over the plain and the mirrored centre view of v_view).

    Both views are of the same stored frames, a second or two from the middle of the clip: one clip a video in the words of protocols, and not
    comparable with 25 clips of 16 frames taken all over a video (Brattoli et al., 2020), of which the store holds too little.

    Kept as `<folder>/embeddings_<fingerprint>.safetensors`; read from there when it is already made. Made shard by shard: a call that was
    interrupted or killed goes on, see `make_in_shards`. Memory: a shard, and at the end 4 D bytes a clip.

    Args:
        checkpoint: a complete training.
        store: frames to embed.
        folder: where the artefact is kept.
        device: "cpu", "cuda", or None to choose.
        readers: threads that read batches ahead; None for as many as a training has. The embeddings are the same with any number.
        ranks: those that this process is one of (see `started_ranks`); each embeds a part, and all get the whole.
        shard_clips: clips a shard, a multiple of 64; None for 1,024. The embeddings are the same with any number.

    Raises:
        ValueError: the checkpoint's training is not finished, an embedding is not a finite number (the clip is named), a kept file is
            damaged, ranks were given different things, or another shard_clips.
        RuntimeError: another rank failed or is gone.
        OSError: the disk is full; the shards that were written are kept.
    """
    if not checkpoint.complete:
        raise ValueError(
            f"embedding needs a finished training, '{checkpoint.path}' is at step {checkpoint.step} of"
            f" {checkpoint.total_steps}; train on"
        )
    key = fingerprint("clip embeddings", checkpoint.fingerprint, store.fingerprint, "centre and mirrored")
    path = Path(folder) / f"embeddings_{key}.safetensors"
    place, config = choose_device(device, ranks), checkpoint.config
    n_readers = choose_readers(readers, place, ranks)

    def embed(rows: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        yield from embedded(embedding_model(checkpoint, place), store.frames, rows, config.view, n_readers)

    with ranks.together(f"the shards beside '{path}' are kept, start all of them again to go on from there"), cpu_threads(config.cpu_threads):
        ranks.check_same("checkpoint and frames", key, "give all the same study")
        make_in_shards(path, store.ids, {"checkpoint": checkpoint.fingerprint}, embed, shard_clips, ranks)
    about, embedding_ND, tokens_NPD = open_embeddings(path)
    return ClipEmbeddings(tuple(store.ids), tuple(store.labels), embedding_ND, tokens_NPD, key, about)


def embedding_model(checkpoint: Checkpoint, device: torch.device) -> ResT:
    """The trained model, on a GPU with its backbone laid out as in training; on a CPU as it always was, so that its numbers stay."""
    model = checkpoint.model(device)
    if device.type == "cuda":
        lay_out(model.backbone, checkpoint.config.memory_format)
    return model


@torch.inference_mode()
def embedded(
    model: ResT, frames: np.ndarray | JpegFrames | StackedFrames, rows: np.ndarray, view: ViewSettings, readers: int = 0
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """The clips of these rows in their order, 64 at a time: float16 embeddings [B, D] of both centre views, and tokens [B, P, D] of the plain one.

    On a GPU the model runs in bfloat16, as in training, and rows are read into memory that the GPU copies from.

    Args:
        model: in evaluation mode, on its device.
        frames: of the store, uint8 [N, frames, H, W, 3].
        rows: of the store, int64.
        view: of the model.
        readers: threads that read batches ahead.
    """
    device = model.clip_token.device
    for read in scoring_batches(frames, rows, shards.CLIPS_A_BATCH, readers, pinned=device.type == "cuda"):
        clips = read.to(device, non_blocking=True)
        views = [centre_view(clips, view, mirrored) for mirrored in (False, True)]
        with mixed_precision(device):
            plain, mirrored = (model.encode_video(seen) for seen in views)
        mean = torch.nn.functional.normalize(plain.embedding_BD + mirrored.embedding_BD, dim=-1)
        yield mean.half().cpu().numpy(), plain.tokens_BPD.half().cpu().numpy()
