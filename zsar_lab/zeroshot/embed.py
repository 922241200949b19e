"""Embed once: every clip of a frame store through one checkpoint, kept on disk.

Shapes: N clips, P visual tokens, D width of the shared space.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.numpy import load_file, save_file

from zsar_lab.artefacts import fingerprint, writing
from zsar_lab.data.frames import FrameStore
from zsar_lab.data.loader import centre_view, scoring_batches
from zsar_lab.progress import progress
from zsar_lab.training.checkpoint import Checkpoint
from zsar_lab.training.loop import choose_device, cpu_threads


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


@torch.inference_mode()
def embed_clips(checkpoint: Checkpoint, store: FrameStore, folder: Path, device: str | None = None) -> ClipEmbeddings:
    """Embed every clip of the store: v = normalise(mean over the plain and the mirrored centre view of v_view).

    Kept as `<folder>/embeddings_<fingerprint>.safetensors`; read from there when it is already made.

    Args:
        checkpoint: a complete training.
        store: frames to embed.
        folder: where the artefact is kept.
        device: "cpu", "cuda", or None to choose.

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
        model = checkpoint.model(place)
        view = checkpoint.config.view
        embeddings, tokens = [], []
        with progress(what="embedding", unit="clip", total=len(ids)) as bar, cpu_threads(checkpoint.config.cpu_threads):
            for frames in scoring_batches(store.frames, np.arange(len(ids)), 64):
                frames = frames.to(place)
                plain = model.encode_video(centre_view(frames, view))
                mirrored = model.encode_video(centre_view(frames, view, mirrored=True))
                mean = torch.nn.functional.normalize(plain.embedding_BD + mirrored.embedding_BD, dim=-1)
                embeddings.append(mean.cpu().half().numpy())
                tokens.append(plain.tokens_BPD.cpu().half().numpy())
                bar.update(len(frames))
        with writing(path) as temporary:
            content = {"embedding_ND": np.concatenate(embeddings), "tokens_NPD": np.concatenate(tokens)}
            save_file(content, temporary, metadata={"checkpoint": checkpoint.fingerprint, "ids": "\n".join(ids)})
    kept = load_file(path)
    unit = kept["embedding_ND"].astype(np.float32)
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    return ClipEmbeddings(ids, labels, unit, kept["tokens_NPD"], key)
