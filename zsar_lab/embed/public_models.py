"""Public models (CLIP, SigLIP, X-CLIP) beside one's own: their clip embeddings, and the direct method between these and their own class texts.

They were trained on images or videos from elsewhere, so a score of theirs is not one of the rigorous setting,
and their artefacts say so. Shapes: N clips, B clips to score, C candidate classes, D width of the joint
space, M lines of a class text.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch

from zsar_lab.data.frames import FrameStore
from zsar_lab.data.loader import scoring_batches
from zsar_lab.embed import shards
from zsar_lab.embed.checkpoint import ClipEmbeddings
from zsar_lab.embed.shards import make_in_shards, open_embeddings
from zsar_lab.files import fingerprint
from zsar_lab.models.public import PublicTower, load_public_tower
from zsar_lab.text.embeddings import ClassEmbeddings
from zsar_lab.text.encoder_files import EncoderFiles
from zsar_lab.train.compiling import mixed_precision
from zsar_lab.train.loop import choose_device, choose_readers
from zsar_lab.train.ranks import ALONE, Ranks

NOT_RIGOROUS, UNKNOWN = "not rigorous", "unknown data"


def embed_with_public_model(
    files: EncoderFiles,
    store: FrameStore,
    folder: Path,
    trained_on: str = UNKNOWN,
    n_frames: int = 8,
    device: str | None = None,
    readers: int | None = None,
    ranks: Ranks = ALONE,
    shard_clips: int | None = None,
) -> ClipEmbeddings:
    """Embed every clip of the store with a public model, one view a clip (see `PublicTower`), resized and cropped as the model's folder says.

    Kept as `<folder>/embeddings_<fingerprint>.safetensors`, made and resumed as `embed_clips` does. Frames
    smaller than the model reads are enlarged, with a warning.

    Args:
        files: of the model, from `find_encoder`; its text tower embeds the class texts (`embed_class_text`
            with the same files).
        store: frames to embed.
        folder: where the artefact is kept.
        trained_on: the data that the model saw, for example "400 million image-text pairs (WIT)"; kept in the
            artefact when it is made.
        n_frames: frames of a clip that an image tower reads; X-CLIP reads as many as it was made for.
        device, readers, ranks, shard_clips: as in `embed_clips`.

    Returns:
        Embeddings [N, D] with tokens [N, 0, D]; `about` has the model, its text tower, what it was trained
        on, and setting "not rigorous".

    Raises:
        ValueError: as `load_public_tower` and `make_in_shards`, or the store has fewer frames a clip than the
            model reads.
        RuntimeError: another rank failed or is gone.
    """
    tower = load_public_tower(files.folder, n_frames)
    _check_frames(tower, store, files)
    preprocessing = tower.preprocessing
    key = fingerprint(
        "public clip embeddings", files.revision, asdict(preprocessing), tower.n_frames, store.fingerprint
    )
    path, place = Path(folder) / f"embeddings_{key}.safetensors", choose_device(device, ranks)
    about = {
        "model": files.name,
        "text_encoder": files.revision,
        "trained_on": trained_on.strip() or UNKNOWN,
        "setting": NOT_RIGOROUS,
    }
    n_readers = choose_readers(readers, place, ranks)

    def embed(rows: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        yield from seen_by(tower.to(place), store, rows, n_readers)

    with ranks.together(f"the shards beside '{path}' are kept, start all of them again to go on from there"):
        ranks.check_same("public model and frames", key, "give all the same")
        make_in_shards(path, store.ids, about, embed, shard_clips, ranks)
    about, embedding_ND, tokens_NPD = open_embeddings(path)
    return ClipEmbeddings(tuple(store.ids), tuple(store.labels), embedding_ND, tokens_NPD, key, about)


@torch.inference_mode()
def seen_by(
    tower: PublicTower, store: FrameStore, rows: np.ndarray, readers: int = 0
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """The clips of these rows in their order, 64 at a time: float16 embeddings [B, D], and no tokens [B, 0, D]. In bfloat16 on a GPU."""
    device = next(tower.parameters()).device
    for read in scoring_batches(
        store.frames, rows, shards.CLIPS_A_BATCH, readers, pinned=device.type == "cuda"
    ):
        with mixed_precision(device):
            embedding_BD = tower(read.to(device, non_blocking=True)).half().cpu().numpy()
        yield embedding_BD, np.zeros((len(embedding_BD), 0, embedding_BD.shape[1]), np.float16)


def direct_scores(
    clips: ClipEmbeddings, ids: tuple[str, ...], texts: ClassEmbeddings, names: tuple[str, ...]
) -> np.ndarray:
    """The direct method of a public model: cosine of each clip to the class text, [B, C]; a text of several lines is the mean of its lines.

    X-CLIP's published scores let each video change the class texts; here they are read by themselves.

    Args:
        clips: from `embed_with_public_model`.
        ids: clips to score.
        texts: class texts embedded by the same model.
        names: the candidate classes.

    Raises:
        ValueError: the texts are another model's, a clip was not embedded, or a class has no text.
    """
    about = clips.about
    if about.get("text_encoder") != texts.encoder:
        whose = (
            f"{about['model']} (revision {about['text_encoder']})"
            if "model" in about
            else "a model trained here"
        )
        raise ValueError(
            f"clips and class texts must be embedded by one public model, got clips of {whose} and texts of revision {texts.encoder}; "
            "embed the texts with the files that the clips were embedded with"
        )
    lines_CMD = texts.pooled_CF[texts.rows(names)].reshape(len(names), -1, clips.embedding_ND.shape[1])
    class_CD = lines_CMD.sum(1)
    clips_BD = clips.embedding_ND[clips.rows(ids)]
    clips_BD, class_CD = (rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in (clips_BD, class_CD))
    return clips_BD @ class_CD.T


def _check_frames(tower: PublicTower, store: FrameStore, files: EncoderFiles) -> None:
    stored = store.frames.shape[1:4]
    reads = tower.preprocessing.size_of(*stored[1:])
    if stored[0] < tower.n_frames:
        raise ValueError(
            f"clips must have as many frames as the model reads, {tower.n_frames}, the store has {stored[0]}; prepare frames with n_frames "
            f"{tower.n_frames} or more, or give a smaller n_frames for an image tower"
        )
    if reads[0] > stored[1]:
        warnings.warn(
            f"frames of {stored[1]} x {stored[2]} pixels are enlarged to the {reads[0]} x {reads[1]} that {files.name} reads, which costs it "
            f"accuracy; prepare them with size_px {reads[0]}",
            stacklevel=3,
        )
