"""Clip embeddings on disk: made shard by shard, so that a killed call goes on, then joined into one file.

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
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from zsar_lab.files import writing
from zsar_lab.progress import progress
from zsar_lab.train.checkpoint import room_on_disk
from zsar_lab.train.ranks import ALONE, Ranks

CLIPS_A_BATCH, BATCHES_A_SHARD = 64, 16
TENSORS = ("embedding_ND", "tokens_NPD")  # in the order of the file
CLIPS_AT_ONCE = 4096  # normalised
WRITTEN = "the shards that were written are"

Batches = Iterator[tuple[np.ndarray, np.ndarray]]


class Shard(NamedTuple):
    """The clips from row `first` up to, not with, `last`."""

    first: int
    last: int

    @property
    def name(self) -> str:
        return f"clips_{self.first:09d}_{self.last:09d}.safetensors"


def make_in_shards(
    path: Path,
    ids: Sequence[str],
    about: Mapping[str, str],
    embed: Callable[[np.ndarray], Batches],
    shard_clips: int | None = None,
    ranks: Ranks = ALONE,
) -> None:
    """Make the file of embeddings, unless it is there.

    Each shard of clips is written whole into the folder `<path without suffix>.parts`, and is not made again
    by a later call. Several ranks take shards in turn. At the end the first rank joins them, and removes the
    folder. A rank holds one shard at a time.

    Args:
        path: of the file.
        ids: of the clips, one a row.
        about: what the file says of itself.
        embed: from rows, int64, to float16 embeddings [B, D] and tokens [B, P, D] of these rows in their
            order, 64 at a time.
        shard_clips: clips a shard, a multiple of 64, so that batches are the same with any number; None for
            1,024.
        ranks: those that this process is one of; all see the same disk.

    Raises:
        ValueError: shard_clips is no multiple of 64, or an embedding is not a finite number.
        RuntimeError: another rank failed.
        OSError: the disk is full; the joining needs room for as much as all shards.
    """
    shard_clips = BATCHES_A_SHARD * CLIPS_A_BATCH if shard_clips is None else shard_clips
    if shard_clips < 1 or shard_clips % CLIPS_A_BATCH:
        raise ValueError(
            f"shard_clips must be a multiple of {CLIPS_A_BATCH}, the clips embedded at once, got {shard_clips}"
        )
    shards = [Shard(first, min(first + shard_clips, len(ids))) for first in range(0, len(ids), shard_clips)]
    parts = path.with_suffix(".parts")
    if not ranks.of_first(path.is_file()):
        with ranks.at_own_pace():
            _make(parts, shards[ranks.number :: ranks.count], ids, embed, ranks)
    with ranks.first_alone():
        if ranks.is_first:
            if not path.is_file():  # else another process was faster
                _join(path, [parts / shard.name for shard in shards], about | {"ids": "\n".join(ids)})
            shutil.rmtree(parts, ignore_errors=True)


def open_embeddings(path: Path) -> tuple[dict[str, str], np.ndarray, np.ndarray]:
    """Open a file of embeddings.

    Returns:
        What it says of itself beside the ids; float32 [N, D], unit rows; float16 [N, P, D], a read-only
        memory map.

    Raises:
        ValueError: it is damaged.
    """
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
        raise ValueError(
            f"a file of embeddings must be whole, '{path}' is not ({error}); delete it to have it made again"
        ) from error
    return about, unit, _mapped(path, TENSORS[1])


def _mapped(path: Path, name: str) -> np.ndarray:
    """A float16 tensor of a safetensors file as a read-only memory map."""
    with open(path, "rb") as file:
        (n_bytes,) = struct.unpack("<Q", file.read(8))
        layout = json.loads(file.read(n_bytes))[name]
    if not math.prod(layout["shape"]):  # nothing can be mapped
        return np.zeros(layout["shape"], dtype=np.float16)
    return np.memmap(path, np.float16, "r", 8 + n_bytes + layout["data_offsets"][0], tuple(layout["shape"]))


def _make(
    parts: Path,
    shards: Sequence[Shard],
    ids: Sequence[str],
    embed: Callable[[np.ndarray], Batches],
    ranks: Ranks,
) -> None:
    """Make those of a rank's shards that are not there, in one stream, so that reading ahead does not stop at a shard's end."""
    left = [shard for shard in shards if not _is_whole(parts / shard.name, shard)]
    n_clips, n_left = (sum(shard.last - shard.first for shard in some) for some in (shards, left))
    if not left:
        return
    what = "embedding" if ranks.count == 1 else f"embedding, rank {ranks.number} of {ranks.count}"
    rows = np.concatenate([np.arange(*shard) for shard in left])
    with (
        closing(embed(rows)) as batches,
        progress(what=what, unit="clip", total=n_clips, done=n_clips - n_left, shown=ranks.is_first) as bar,
    ):
        for shard in left:
            read, n_read = [], 0
            while n_read < shard.last - shard.first:
                read.append(_checked(next(batches), ids, shard.first + n_read))
                n_read += len(read[-1][0])
                bar.update(len(read[-1][0]))
            content = {
                name: np.concatenate(arrays)
                for name, arrays in zip(TENSORS, zip(*read, strict=True), strict=True)
            }
            size_mb = sum(array.nbytes for array in content.values()) / 1e6
            with room_on_disk(parts / shard.name, size_mb, WRITTEN), writing(parts / shard.name) as temporary:
                save_file(content, temporary)


def _checked(
    batch: tuple[np.ndarray, np.ndarray], ids: Sequence[str], first: int
) -> tuple[np.ndarray, np.ndarray]:
    """The batch whose clips begin at row `first`; ValueError when an embedding has no direction or is not a number."""
    embedding_BD, tokens_BPD = batch
    good = np.isfinite(embedding_BD).all(1) & embedding_BD.any(1) & np.isfinite(tokens_BPD).all((1, 2))
    if not good.all():
        row = int(good.argmin())
        raise ValueError(
            f"embeddings must be finite numbers in 16 bits and not all zero, that of clip {ids[first + row]!r} (row {first + row}) is not; "
            "look into the training's log, or for damaged weights or frames"
        )
    return batch


def _is_whole(path: Path, shard: Shard) -> bool:
    """Whether a shard is there; one that is damaged is said."""
    if not path.is_file():
        return False
    try:
        with safe_open(path, "numpy") as opened:
            lengths = {opened.get_slice(name).get_shape()[0] for name in TENSORS}
        if lengths == {shard.last - shard.first}:
            return True
        error: object = f"it holds {lengths} clips"
    except (SafetensorError, OSError, ValueError) as caught:
        error = caught
    warnings.warn(f"the shard '{path}' is damaged and made again ({error})", stacklevel=2)
    return False


def _join(path: Path, shards: Sequence[Path], about: Mapping[str, str]) -> None:
    """Write the shards as one file, a shard in memory at a time; first in their folder, so that what a kill leaves is removed with it."""
    shapes = []
    for shard in shards:
        with safe_open(shard, "numpy") as opened:
            shapes.append([opened.get_slice(name).get_shape() for name in TENSORS])
    layout, end = {"__metadata__": dict(about)}, 0
    for name, of_shards in zip(TENSORS, zip(*shapes, strict=True), strict=True):
        shape = [sum(shape[0] for shape in of_shards), *of_shards[0][1:]]
        start, end = end, end + 2 * math.prod(shape)
        layout[name] = {"dtype": "F16", "shape": shape, "data_offsets": [start, end]}
    header = json.dumps(layout, separators=(",", ":")).encode()
    header += b" " * (-len(header) % 8)
    joined = shards[0].with_name(path.name)
    with (
        room_on_disk(joined, end / 1e6, WRITTEN),
        writing(joined) as temporary,
        open(temporary, "wb") as file,
    ):
        file.write(struct.pack("<Q", len(header)) + header)
        for name in TENSORS:
            for shard in shards:
                with safe_open(shard, "numpy") as opened:
                    file.write(opened.get_tensor(name).data)
    os.replace(joined, path)
