"""Embed once: every clip of a frame store through one checkpoint, kept on disk.

Shapes: N clips, B of them at a time, V windows of a clip, T frames of a window, H W pixels, P visual tokens,
D width of the shared space.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch

from zsar_lab.data.catalog import Catalog
from zsar_lab.data.frames import FrameStore, SpreadFrames
from zsar_lab.data.loader import ViewSettings, centre_view, scoring_batches
from zsar_lab.data.pixels import JpegFrames, StackedFrames
from zsar_lab.embed import shards
from zsar_lab.embed.shards import make_in_shards, open_embeddings
from zsar_lab.files import fingerprint
from zsar_lab.models.rest import ResT
from zsar_lab.train.checkpoint import Checkpoint
from zsar_lab.train.compiling import lay_out, mixed_precision
from zsar_lab.train.loop import choose_device, choose_readers, cpu_threads
from zsar_lab.train.ranks import ALONE, Ranks

MOST_WINDOWS = 64


@dataclass(frozen=True)
class Views:
    """How a clip is looked at: its embedding is the mean over these views of it.

    Attributes:
        windows: 1 is the centred stretch that the frame store holds; more (64 at most) are spread over the
            clip and read from its video.
        mirrored: left and right exchanged as well, of the stored stretch only.

    Raises:
        ValueError: windows out of range, or spread windows that are mirrored.
    """

    windows: int = 1
    mirrored: bool = False

    def __post_init__(self) -> None:
        if self.windows not in range(1, MOST_WINDOWS + 1):
            raise ValueError(
                f"windows must be a whole number in 1..{MOST_WINDOWS} (what the model reads at once), got {self.windows}"
            )
        if self.mirrored and self.windows > 1:
            raise ValueError(
                f"mirrored must be False where windows are spread over the clip, got True with {self.windows} windows; use 1 window"
            )

    @property
    def name(self) -> str:
        """In the fingerprint of embeddings."""
        if self.windows > 1:
            return f"{self.windows} spread windows"
        return "centre and mirrored" if self.mirrored else "centre"


CENTRE_AND_MIRRORED, CENTRE, SPREAD_25 = Views(mirrored=True), Views(), Views(windows=25)
VIEWS_OF = {1: CENTRE_AND_MIRRORED, 25: SPREAD_25}  # by the number of views that a protocol names


@dataclass(frozen=True)
class ClipEmbeddings:
    """The visual side of the shared space.

    Attributes:
        ids: clip ids, one a row.
        labels: class name of each clip.
        embedding_ND: float32 (fp16 on disk), unit rows: the mean over the views of a clip, normalised.
        tokens_NPD: float16, the visual tokens of the unmirrored view (of the middle window, where windows are
            spread), for the cross-modal encoder; a read-only memory map, which reads rows when they are asked
            for. P is 0 where a model gives none.
        fingerprint: of checkpoint, frame store and views.
        about: what the file says of the model: its checkpoint's fingerprint (and the name of views other than
            the usual two), or what is known of a public model.
    """

    ids: tuple[str, ...]
    labels: tuple[str, ...]
    embedding_ND: np.ndarray
    tokens_NPD: np.ndarray
    fingerprint: str
    about: Mapping[str, str] = field(default_factory=dict)

    @property
    def n_views(self) -> int:
        """The number of views in the words of protocols: the centre and its mirror image are one."""
        return 25 if self.about.get("views") == SPREAD_25.name else 1

    def rows(self, ids: tuple[str, ...]) -> np.ndarray:
        """Row numbers of these clips, int64.

        Raises:
            ValueError: a clip was not embedded.
        """
        position = {name: row for row, name in enumerate(self.ids)}
        missing = [name for name in ids if name not in position]
        if missing:
            raise ValueError(
                f"every clip of a protocol must be embedded, {len(missing)} are not (first {missing[0]!r}); embed this catalog again"
            )
        return np.array([position[name] for name in ids], dtype=np.int64)


def embed_clips(
    checkpoint: Checkpoint,
    store: FrameStore,
    folder: Path,
    device: str | None = None,
    readers: int | None = None,
    ranks: Ranks = ALONE,
    shard_clips: int | None = None,
    views: Views = CENTRE_AND_MIRRORED,
    catalog: Catalog | None = None,
) -> ClipEmbeddings:
    """Embed every clip of the store: v = normalise(mean over its views of v_view).

    CENTRE_AND_MIRRORED and CENTRE look at the stored frames, a second or two from the middle of the clip: one
    clip a video in the words of protocols, and not comparable with 25 of them.

    SPREAD_25 looks at the plain view of 25 windows, each as long as the stored stretch and spread from the
    clip's start to its end (see `window_instants`). The store does not hold them: the videos are decoded
    again, raw also where the store keeps JPEG.

    Kept as `<folder>/embeddings_<fingerprint>.safetensors`; read from there when it is already made. Made
    shard by shard: a call that was interrupted or killed goes on, see `make_in_shards`. Memory: a shard, and
    at the end 4 D bytes a clip; of 25 windows also the frames of 2 clips for every reader.

    Args:
        checkpoint: a complete training.
        store: frames to embed.
        folder: where the artefact is kept.
        device: "cpu", "cuda", or None to choose.
        readers: threads that read batches ahead; None for as many as a training has. The embeddings are the
            same with any number.
        ranks: those that this process is one of (see `started_ranks`); each embeds a part, and all get the
            whole.
        shard_clips: clips a shard, a multiple of 64; None for 1,024. The embeddings are the same with any
            number.
        views: of a clip; tokens are those of the plain view, and of the middle window.
        catalog: that the store was made from, where the videos lie; needed for spread windows only.

    Raises:
        ValueError: the checkpoint's training is not finished, an embedding is not a finite number or a video
            can no longer be read (the clip is named), a kept file is damaged, ranks were given different
            things, another shard_clips, or spread windows without a catalog.
        RuntimeError: another rank failed or is gone.
        OSError: the disk is full; the shards that were written are kept.

    Source: 25 clips a video, averaged, are those of Brattoli et al., "Rethinking Zero-Shot Video
    Classification", CVPR 2020. Theirs are of 16 frames; ours have as many, at the rate, as a clip of the
    store, and it is unit embeddings that are averaged.
    """
    if not checkpoint.complete:
        raise ValueError(
            f"embedding needs a finished training, '{checkpoint.path}' is at step {checkpoint.step} of"
            f" {checkpoint.total_steps}; train on"
        )
    frames, clips_key = (store.frames, ()) if views.windows == 1 else _spread_frames(store, catalog, views)
    key = fingerprint("clip embeddings", checkpoint.fingerprint, store.fingerprint, views.name, *clips_key)
    about = {"checkpoint": checkpoint.fingerprint} | (
        {} if views == CENTRE_AND_MIRRORED else {"views": views.name}
    )
    path = Path(folder) / f"embeddings_{key}.safetensors"
    place, config = choose_device(device, ranks), checkpoint.config
    n_readers = choose_readers(readers, place, ranks)

    def embed(rows: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        through = embedded if views.mirrored else embedded_windows
        yield from through(embedding_model(checkpoint, place), frames, rows, config.view, n_readers)

    with (
        ranks.together(f"the shards beside '{path}' are kept, start all of them again to go on from there"),
        cpu_threads(config.cpu_threads),
    ):
        ranks.check_same("checkpoint and frames", key, "give all the same study")
        make_in_shards(path, store.ids, about, embed, shard_clips, ranks)
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
    model: ResT,
    frames: np.ndarray | JpegFrames | StackedFrames,
    rows: np.ndarray,
    view: ViewSettings,
    readers: int = 0,
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """The clips of these rows in their order, 64 at a time: float16 embeddings [B, D] of both centre views, and tokens [B, P, D] of the plain one.

    On a GPU the model runs in bfloat16, as in training, and rows are read into memory that the GPU copies
    from.

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


@torch.inference_mode()
def embedded_windows(
    model: ResT,
    frames: np.ndarray | JpegFrames | StackedFrames | SpreadFrames,
    rows: np.ndarray,
    view: ViewSettings,
    readers: int = 0,
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """As `embedded`, of the plain centre view of each window: float16 v = normalise(mean_j v_j) [B, D], and tokens [B, P, D] of window V // 2.

    The model reads 64 windows at once, or as few less as let whole clips fill a shard: of 25 windows, 2
    clips.

    Args:
        model, rows, view, readers: as in `embedded`.
        frames: uint8 [N, V, T, H, W, 3], or of the store [N, T, H, W, 3], where V is 1.
    """
    device, windows = model.clip_token.device, frames.shape[1] if len(frames.shape) == 6 else 1
    for read in scoring_batches(frames, rows, clips_at_once(windows), readers, pinned=device.type == "cuda"):
        seen = centre_view(read.to(device, non_blocking=True).reshape(-1, *read.shape[-4:]), view)
        with mixed_precision(device):
            code = model.encode_video(seen)
        mean = torch.nn.functional.normalize(code.embedding_BD.unflatten(0, (-1, windows)).mean(1), dim=-1)
        yield mean.half().cpu().numpy(), code.tokens_BPD[windows // 2 :: windows].half().cpu().numpy()


def clips_at_once(windows: int) -> int:
    """The most clips of that many windows in a batch; it divides the batch of `embedded`, for a shard must end with a batch."""
    whole = shards.CLIPS_A_BATCH
    return next(n_clips for n_clips in range(max(1, whole // windows), 0, -1) if whole % n_clips == 0)


def _spread_frames(
    store: FrameStore, catalog: Catalog | None, views: Views
) -> tuple[SpreadFrames, tuple[str]]:
    """The windows of the store's clips, and what they came from beside the store."""
    if catalog is None:
        raise ValueError(
            f"{views.name} are read from the videos, so a catalog must be given, got None; give the one that the store was made from"
        )
    return SpreadFrames(catalog, store, views.windows), (catalog.fingerprint,)
