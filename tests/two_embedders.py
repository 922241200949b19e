"""What two ranks embed together, run by tests/test_embed.py in two processes: `python two_embedders.py FOLDER`. Each writes what it saw as json."""

from __future__ import annotations

import json
import os
import signal
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from small_training import CONFIG, stripes_store

from zsar_lab.data.frames import FrameStore
from zsar_lab.data.sampling import FrameSettings
from zsar_lab.model.rest import ResT
from zsar_lab.training.checkpoint import BEST_NAME, Checkpoint, Inputs, load_checkpoint, save_best, weights_by_name
from zsar_lab.training.ranks import started_ranks
from zsar_lab.zeroshot import embed, shards
from zsar_lab.zeroshot.embed import ClipEmbeddings, embed_clips

BATCH = 4  # of 64 clips
WIDTH, N_TOKENS = 512, 20  # of the made-up embeddings whose memory is measured: 20 kB of tokens a clip


def untrained(folder: Path) -> Checkpoint:
    """A finished checkpoint with random weights, the same every time."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = ResT(CONFIG.model)
    save_best(Checkpoint(folder / BEST_NAME, CONFIG, Inputs("a", "b", "c"), 0, 1, []), weights_by_name(model))
    return load_checkpoint(folder / BEST_NAME)


def peak_mb(folder: Path, n_clips: int) -> float:
    """The most that this process has held by the end of embedding that many clips, in shards of 64."""

    def made_up(model, frames, rows, view, readers):
        for start in range(0, len(rows), 64):
            n = len(rows[start : start + 64])
            yield np.ones((n, WIDTH), np.float16), np.ones((n, N_TOKENS, WIDTH), np.float16)

    folder.mkdir()
    ids, excluded = [str(number) for number in range(n_clips)], pd.DataFrame({"id": [], "reason": []})
    store = FrameStore(folder, np.zeros((1, 1, 1, 1, 3), np.uint8), ids, ids, FrameSettings(), str(n_clips), excluded)
    real, embed.embedded = embed.embedded, made_up
    found = embed_clips(untrained(folder), store, folder, "cpu", shard_clips=64)
    embed.embedded = real
    assert found.tokens_NPD.shape == (n_clips, N_TOKENS, WIDTH) and found.embedding_ND.shape == (n_clips, WIDTH)
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(status["VmHWM"].split()[0]) / 1e3 * 1.024


def as_list(clips: ClipEmbeddings) -> list:
    return [clips.embedding_ND.tolist(), clips.tokens_NPD.tolist(), list(clips.ids)]


def main(folder: Path) -> None:
    seen: dict = {}
    if os.environ["RANK"] == "0" and sys.platform == "linux":
        seen["peak_mb"] = [peak_mb(folder / str(n_clips), n_clips) for n_clips in (200, 2000)]
    shards.CLIPS_A_BATCH = BATCH
    store, real, kept = stripes_store(folder), embed.embedded, shards.save_file
    read: list[list[int]] = []

    def noted(model, frames, rows, *more):
        read.append(rows.tolist())
        yield from real(model, frames, rows, *more)

    def spoiled(model, frames, rows, *more):
        for number, (embedding_BD, tokens_BPD) in enumerate(real(model, frames, rows, *more)):
            yield embedding_BD * np.float16(np.nan if number == 2 and rows[0] else 1), tokens_BPD

    def killed(content, path):
        kept(content, path)
        if len(list(path.parent.glob("clips_*"))) > 3:
            os.truncate(path, 100)
            os.kill(os.getpid(), signal.SIGKILL)

    with started_ranks("cpu", timeout_s=120) as ranks:
        checkpoint = untrained(folder / f"rank {ranks.number}")
        options = {"device": "cpu", "ranks": ranks, "shard_clips": 2 * BATCH}
        embed.embedded = noted
        seen["together"], seen["read"] = as_list(embed_clips(checkpoint, store, folder / "together", **options)), read
        embed.embedded = spoiled
        try:
            embed_clips(checkpoint, store, folder / "spoiled", **options)
        except (ValueError, RuntimeError) as error:
            seen["spoiled"] = f"{type(error).__name__}: {error}"
        embed.embedded = real
        try:
            embed_clips(checkpoint, replace(store, fingerprint=f"of rank {ranks.number}"), folder / "differ", **options)
        except ValueError as error:
            seen["differ"] = str(error)
        (folder / f"rank {ranks.number}.json").write_text(json.dumps(seen))
        shards.save_file = killed if ranks.number else kept
        embed_clips(checkpoint, store, folder / "killed", **options)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
