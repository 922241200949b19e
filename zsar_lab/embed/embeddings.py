"""Clip embeddings: the table of them, and its file, made shard by shard so that a killed call goes on.

The file is safetensors with two tensors, embedding_ND and tokens_NPD, both float16. Tokens are read when they
are asked for: those of 250,000 clips would fill a memory. Shapes: N clips, B of them at a time, P visual
tokens, D width of the shared space.
"""

from __future__ import annotations

import json
import math
import os
import shutil
import struct
import warnings
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from zsar_lab.data.frames import FrameStore
from zsar_lab.files import writing
from zsar_lab.progress import progress
from zsar_lab.shown import Shown

CLIPS_A_BATCH, BATCHES_A_SHARD = 64, 16
TENSORS = ("embedding_ND", "tokens_NPD")  # in the order of the file
CLIPS_AT_ONCE = 4096  # normalised

Batches = Generator[tuple[np.ndarray, np.ndarray], None, None]


@dataclass(frozen=True, repr=False)
class ClipEmbeddings(Shown):
    """The visual side of the shared space."""

    ids: tuple[str, ...]  # of the clips, one a row
    labels: tuple[str, ...]  # the class of each clip
    embedding_ND: np.ndarray  # float32 (float16 on disk), unit rows: the mean over a clip's views
    tokens_NPD: np.ndarray  # float16, a read-only memory map: visual tokens of the plain view; P may be 0
    fingerprint: str  # of checkpoint, frame store and views
    about: Mapping[str, str] = field(default_factory=dict)  # its checkpoint and views, or a public model

    def _facts(self) -> dict[str, Any]:
        return {
            "clips": len(self.ids),
            "width": self.embedding_ND.shape[1],
            **self.about,
            "fingerprint": self.fingerprint,
        }

    @property
    def n_views(self) -> int:
        """Test-time views in the words of protocols: the centre and its mirror image are one."""
        return 25 if self.about.get("views") == "25 spread windows" else 1

    @cached_property
    def _position(self) -> dict[str, int]:
        return {name: row for row, name in enumerate(self.ids)}

    def rows(self, ids: tuple[str, ...]) -> np.ndarray:
        """Row numbers of these clips, int64; ValueError when one was not embedded."""
        position = self._position
        if missing := [name for name in ids if name not in position]:
            raise ValueError(
                f"{len(missing)} clips are not embedded (first {missing[0]!r}); embed them again"
            )
        return np.array([position[name] for name in ids], dtype=np.int64)


def make_embeddings(
    folder: Path,
    key: str,
    store: FrameStore,
    about: Mapping[str, str],
    embed: Callable[[np.ndarray], Batches],
    shard_clips: int | None = None,
) -> ClipEmbeddings:
    """Open `<folder>/embeddings_<key>.safetensors`, made before where it is not there.

    Each shard of clips is written whole into the folder `embeddings_<key>.parts`, and is not made again by a
    later call. Ranks take shards in turn; at the end the first one joins them, and removes the folder.
    Memory: a shard, and at the end 4 D bytes a clip.

    Args:
        folder: where the file is.
        key: the fingerprint of what the embeddings are made of.
        store: its clips are embedded.
        about: see `ClipEmbeddings`.
        embed: from rows, int64, to float16 embeddings [B, D] and tokens [B, P, D] of these rows in their
            order, `CLIPS_A_BATCH` or fewer at a time.
        shard_clips: a multiple of 64, so that batches are the same with any number; None for 1,024.

    Raises:
        ValueError: wrong shard_clips, an embedding is not a finite number, the file is damaged, or ranks were
            given different things.
        RuntimeError: another rank failed or is gone.
        OSError: the disk is full; the joining needs room for as much as all shards.
    """
    from zsar_lab.train import distributed  # torch, which scoring does without

    path = Path(folder) / f"embeddings_{key}.safetensors"
    parts, ids = path.with_suffix(".parts"), store.ids
    size = BATCHES_A_SHARD * CLIPS_A_BATCH if shard_clips is None else shard_clips
    if size < 1 or size % CLIPS_A_BATCH:
        raise ValueError(f"shard_clips must be a multiple of {CLIPS_A_BATCH}, got {size}")
    shards = [range(first, min(first + size, len(ids))) for first in range(0, len(ids), size)]
    with distributed.to_the_end(f"the shards beside '{path}'"):
        distributed.check_same("model and frames", key)
        if not distributed.any_rank(distributed.is_first() and path.is_file()):
            with distributed.each_rank_at_own_pace():
                own = shards[distributed.rank() :: distributed.world_size()]
                _make(parts, own, ids, embed, shown=distributed.is_first())
        with distributed.rank_zero_first():
            if distributed.is_first():
                if not path.is_file():  # else another process was faster
                    _join(
                        path, [_path(parts, shard) for shard in shards], dict(about) | {"ids": "\n".join(ids)}
                    )
                shutil.rmtree(parts, ignore_errors=True)
    about, embedding_ND, tokens_NPD = open_embeddings(path)
    return ClipEmbeddings(tuple(ids), tuple(store.labels), embedding_ND, tokens_NPD, key, about)


def open_embeddings(path: Path) -> tuple[dict[str, str], np.ndarray, np.ndarray]:
    """What a file holds beside the ids; its embeddings as unit rows; its tokens; ValueError if damaged."""
    try:
        with safe_open(path, "numpy") as opened:
            stored = opened.get_slice(TENSORS[0])
            about = {name: value for name, value in opened.metadata().items() if name != "ids"}
            unit = np.empty(stored.get_shape(), dtype=np.float32)
            for start in range(0, len(unit), CLIPS_AT_ONCE):
                rows = unit[start : start + CLIPS_AT_ONCE]
                rows[:] = stored[start : start + len(rows)]
                rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    except SafetensorError as error:
        raise ValueError(f"'{path}' is damaged ({error}); delete it to have it made again") from error
    with open(path, "rb") as file:
        (n_bytes,) = struct.unpack("<Q", file.read(8))
        layout = json.loads(file.read(n_bytes))[TENSORS[1]]
    shape, start = tuple(layout["shape"]), 8 + n_bytes + layout["data_offsets"][0]
    if not math.prod(shape):  # nothing can be mapped
        return about, unit, np.zeros(shape, dtype=np.float16)
    return about, unit, np.memmap(path, np.float16, "r", start, shape)


def _path(parts: Path, shard: range) -> Path:
    return parts / f"clips_{shard.start:09d}_{shard.stop:09d}.safetensors"


def _make(
    parts: Path,
    shards: Sequence[range],
    ids: Sequence[str],
    embed: Callable[[np.ndarray], Batches],
    shown: bool,
) -> None:
    """Make the shards that are not there, in one stream, so that reading ahead does not stop between them."""
    left = [shard for shard in shards if not _is_whole(_path(parts, shard), len(shard))]
    if not left:
        return
    n_clips, n_left = sum(map(len, shards)), sum(map(len, left))
    with (
        closing(embed(np.concatenate([np.array(shard) for shard in left]))) as batches,
        progress(what="embedding", unit="clip", total=n_clips, done=n_clips - n_left, shown=shown) as bar,
    ):
        for shard in left:
            read: list[tuple[np.ndarray, np.ndarray]] = []
            while (n_read := sum(len(embedding_BD) for embedding_BD, _ in read)) < len(shard):
                read.append(_checked(next(batches), ids, shard.start + n_read))
                bar.update(len(read[-1][0]))
            # safetensors writes memory as it lies: a transposed array would come back as other numbers
            arrays = (np.ascontiguousarray(np.concatenate(parts)) for parts in zip(*read, strict=True))
            with writing(_path(parts, shard)) as temporary:
                save_file(dict(zip(TENSORS, arrays, strict=True)), temporary)


def _checked(
    batch: tuple[np.ndarray, np.ndarray], ids: Sequence[str], first: int
) -> tuple[np.ndarray, np.ndarray]:
    """The batch whose clips begin at row `first`; ValueError when one has no direction or is not a number."""
    embedding_BD, tokens_BPD = batch
    good = np.isfinite(embedding_BD).all(1) & embedding_BD.any(1) & np.isfinite(tokens_BPD).all((1, 2))
    if not good.all():
        row = first + int(good.argmin())
        raise ValueError(f"embeddings must be finite and not 0, that of clip {ids[row]!r} (row {row}) is not")
    return batch


def _is_whole(path: Path, n_clips: int) -> bool:
    """Whether a shard is there; a damaged one is warned of, and made again."""
    if not path.is_file():
        return False
    try:
        with safe_open(path, "numpy") as opened:
            if all(opened.get_slice(name).get_shape()[0] == n_clips for name in TENSORS):
                return True
        error: object = f"it must hold {n_clips} clips"
    except (SafetensorError, OSError, ValueError) as caught:
        error = caught
    warnings.warn(f"the shard '{path}' is damaged and made again ({error})", stacklevel=2)
    return False


def _join(path: Path, shards: Sequence[Path], about: Mapping[str, str]) -> None:
    """Write the shards as one file, a shard in memory at a time; what a kill leaves lies in their folder."""
    layout: dict[str, object] = {"__metadata__": dict(about)}
    end = 0
    for name in TENSORS:
        shapes = []
        for shard in shards:
            with safe_open(shard, "numpy") as opened:
                shapes.append(opened.get_slice(name).get_shape())
        shape = [sum(shape[0] for shape in shapes), *shapes[0][1:]]
        start, end = end, end + 2 * math.prod(shape)
        layout[name] = {"dtype": "F16", "shape": shape, "data_offsets": [start, end]}
    header = json.dumps(layout, separators=(",", ":")).encode()
    header += b" " * (-len(header) % 8)
    joined = shards[0].with_name(path.name)
    with writing(joined) as temporary, open(temporary, "wb") as file:
        file.write(struct.pack("<Q", len(header)) + header)
        for name in TENSORS:
            for shard in shards:
                with safe_open(shard, "numpy") as opened:
                    file.write(opened.get_tensor(name).data)
    os.replace(joined, path)
