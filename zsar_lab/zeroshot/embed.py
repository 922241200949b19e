"""Embed once: every clip of a frame store through one checkpoint, kept on disk.

Shapes: N clips, B of them at a time, P visual tokens, D width of the shared space.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.numpy import load_file, save_file

from zsar_lab.artefacts import fingerprint, writing
from zsar_lab.data.frames import FrameStore
from zsar_lab.data.loader import ViewSettings, centre_view, scoring_batches
from zsar_lab.data.pixels import JpegFrames, StackedFrames
from zsar_lab.model.rest import ResT
from zsar_lab.progress import progress
from zsar_lab.training.checkpoint import Checkpoint
from zsar_lab.training.compiling import lay_out, mixed_precision
from zsar_lab.training.loop import choose_device, choose_readers, cpu_threads
from zsar_lab.training.ranks import ALONE

CLIPS_A_BATCH = 64


@dataclass(frozen=True)
class ClipEmbeddings:
    """The visual side of the shared space.

    Attributes:
        ids: clip ids, one a row.
        labels: class name of each clip.
        embedding_ND: float32 (fp16 on disk), unit rows: the mean over the views of a clip, normalised.
        tokens_NPD: float16, the visual tokens of the unmirrored view, for the cross-modal encoder.
        fingerprint: of checkpoint, frame store and views.
    """

    ids: tuple[str, ...]
    labels: tuple[str, ...]
    embedding_ND: np.ndarray
    tokens_NPD: np.ndarray
    fingerprint: str

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


def embed_clips(checkpoint: Checkpoint, store: FrameStore, folder: Path, device: str | None = None, readers: int | None = None) -> ClipEmbeddings:
    """Embed every clip of the store: v = normalise(mean over the plain and the mirrored centre view of v_view).

    Kept as `<folder>/embeddings_<fingerprint>.safetensors`; read from there when it is already made.

    Args:
        checkpoint: a complete training.
        store: frames to embed.
        folder: where the artefact is kept.
        device: "cpu", "cuda", or None to choose.
        readers: threads that read batches ahead; None for as many as a training has. The embeddings are the same with any number.

    Raises:
        ValueError: the checkpoint's training is not finished.
    """
    if not checkpoint.complete:
        raise ValueError(
            f"embedding needs a finished training, '{checkpoint.path}' is at step {checkpoint.step} of"
            f" {checkpoint.total_steps}; train on"
        )
    key = fingerprint("clip embeddings", checkpoint.fingerprint, store.fingerprint, "centre and mirrored")
    path = Path(folder) / f"embeddings_{key}.safetensors"
    ids, labels = tuple(store.ids), tuple(store.labels)
    if not path.is_file():
        place = choose_device(device)
        model = embedding_model(checkpoint, place)
        embeddings, tokens = [], []
        with progress(what="embedding", unit="clip", total=len(ids)) as bar, cpu_threads(checkpoint.config.cpu_threads):
            n_readers = choose_readers(readers, place, ALONE)
            for embedding_BD, tokens_BPD in embedded(model, store.frames, np.arange(len(ids)), checkpoint.config.view, n_readers):
                embeddings.append(embedding_BD)
                tokens.append(tokens_BPD)
                bar.update(len(embedding_BD))
        with writing(path) as temporary:
            content = {"embedding_ND": np.concatenate(embeddings), "tokens_NPD": np.concatenate(tokens)}
            save_file(content, temporary, metadata={"checkpoint": checkpoint.fingerprint, "ids": "\n".join(ids)})
    kept = load_file(path)
    unit = kept["embedding_ND"].astype(np.float32)
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    return ClipEmbeddings(ids, labels, unit, kept["tokens_NPD"], key)


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
    for read in scoring_batches(frames, rows, CLIPS_A_BATCH, readers, pinned=device.type == "cuda"):
        clips = read.to(device, non_blocking=True)
        views = [centre_view(clips, view, mirrored) for mirrored in (False, True)]
        with mixed_precision(device):
            plain, mirrored = (model.encode_video(seen) for seen in views)
        mean = torch.nn.functional.normalize(plain.embedding_BD + mirrored.embedding_BD, dim=-1)
        yield mean.half().cpu().numpy(), plain.tokens_BPD.half().cpu().numpy()
