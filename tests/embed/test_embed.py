"""Embedding the clips of a frame store: against the plain formula, other views too, with readers, in bfloat16, in shards, by ranks, and after a kill."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file
from small_training import CONFIG, stripes_store
from test_ranks import free_port, variables
from test_spread_views import Clips, six_clips, windows_plain
from two_embedders import BATCH, as_list, untrained

from zsar_lab.data.frames import SpreadFrames
from zsar_lab.data.loader import centre_view
from zsar_lab.data.video import frame_times, read_frames
from zsar_lab.embed import checkpoint as embed
from zsar_lab.embed import shards
from zsar_lab.embed.checkpoint import (
    CENTRE,
    CENTRE_AND_MIRRORED,
    SPREAD_25,
    Views,
    clips_at_once,
    embed_clips,
    embedding_model,
)
from zsar_lab.files import fingerprint
from zsar_lab.train.checkpoint import Checkpoint
from zsar_lab.train.compiling import mixed_precision

HERE, CPU = Path(__file__).parents[1] / "fixtures", torch.device("cpu")


@pytest.fixture
def checkpoint(tmp_path) -> Checkpoint:
    return untrained(tmp_path)


def embed_anew(checkpoint, store, folder, **options):
    folder.mkdir()
    return embed_clips(checkpoint, store, folder, "cpu", **options)


def test_an_embedding_is_the_mean_of_two_views(checkpoint, tmp_path, monkeypatch):
    monkeypatch.setattr(shards, "CLIPS_A_BATCH", 7)  # of 64 clips
    store = stripes_store(tmp_path)
    found = embed_anew(checkpoint, store, tmp_path / "found")
    model, frames = checkpoint.model(), torch.from_numpy(np.asarray(store.frames))
    with torch.inference_mode():
        plain, mirrored = (model.encode_video(centre_view(frames, CONFIG.view, m)) for m in (False, True))
    mean = (plain.embedding_BD + mirrored.embedding_BD).numpy()
    np.testing.assert_allclose(
        found.embedding_ND, mean / np.linalg.norm(mean, axis=1, keepdims=True), atol=1e-3
    )
    np.testing.assert_allclose(found.tokens_NPD, plain.tokens_BPD.numpy(), atol=5e-3)
    assert found.tokens_NPD.dtype == np.float16 and found.ids == tuple(store.ids)


def test_the_usual_views_keep_the_key_they_had(checkpoint, tmp_path):
    store = stripes_store(tmp_path)
    found, said = (
        embed_anew(checkpoint, store, tmp_path / name, **views)
        for name, views in (("a", {}), ("b", {"views": CENTRE_AND_MIRRORED}))
    )
    assert (
        found.fingerprint
        == said.fingerprint
        == fingerprint("clip embeddings", checkpoint.fingerprint, store.fingerprint, "centre and mirrored")
    )
    assert found.about == said.about == {"checkpoint": checkpoint.fingerprint}


def test_the_centre_view_alone(small_batches, checkpoint, tmp_path):
    store = stripes_store(tmp_path)
    both, plain = (
        embed_anew(checkpoint, store, tmp_path / views.name, views=views)
        for views in (CENTRE_AND_MIRRORED, CENTRE)
    )
    with torch.inference_mode():
        by_hand = checkpoint.model().encode_video(
            centre_view(torch.from_numpy(np.asarray(store.frames)), CONFIG.view)
        )
    np.testing.assert_allclose(plain.embedding_ND, by_hand.embedding_BD.numpy(), atol=1e-3)
    assert (
        np.abs(plain.embedding_ND - both.embedding_ND).max() > 0.01
        and (plain.tokens_NPD == both.tokens_NPD).all()
    )
    assert plain.fingerprint != both.fingerprint and plain.about == {
        "checkpoint": checkpoint.fingerprint,
        "views": "centre",
    }


def test_readers_change_nothing(checkpoint, tmp_path, monkeypatch):
    monkeypatch.setattr(shards, "CLIPS_A_BATCH", 7)
    store = stripes_store(tmp_path)
    alone, ahead = (
        embed_anew(checkpoint, store, tmp_path / str(readers), readers=readers) for readers in (0, 2)
    )
    assert (alone.embedding_ND == ahead.embedding_ND).all() and (alone.tokens_NPD == ahead.tokens_NPD).all()


def test_in_bfloat16_embeddings_stay_near(checkpoint, tmp_path, monkeypatch):
    """As on a GPU, with the CPU's own bfloat16."""
    store = stripes_store(tmp_path)
    full = embed_anew(checkpoint, store, tmp_path / "full")
    monkeypatch.setattr(embed, "mixed_precision", lambda device: torch.autocast("cpu", torch.bfloat16))
    rounded = embed_anew(checkpoint, store, tmp_path / "rounded")
    assert (rounded.embedding_ND != full.embedding_ND).any() and rounded.tokens_NPD.dtype == np.float16
    assert (rounded.embedding_ND * full.embedding_ND).sum(1).min() > 0.999


def test_on_a_cpu_nothing_is_rounded_or_laid_out_anew(checkpoint, tmp_path):
    with mixed_precision(CPU):
        assert not torch.is_autocast_enabled("cpu")
    other = replace(checkpoint, config=replace(CONFIG, memory_format="channels_last"))
    weights = [weight for weight in embedding_model(other, CPU).backbone.parameters() if weight.ndim == 4]
    assert weights and all(weight.is_contiguous() for weight in weights)


@pytest.fixture
def small_batches(monkeypatch) -> None:
    monkeypatch.setattr(shards, "CLIPS_A_BATCH", BATCH)


@pytest.fixture
def rows_read(monkeypatch) -> list[int]:
    """The rows that are embedded from here on."""
    rows, real = [], embed.embedded

    def noted(model, frames, asked, *more):
        rows.extend(asked.tolist())
        yield from real(model, frames, asked, *more)

    monkeypatch.setattr(embed, "embedded", noted)
    return rows


def interrupted_after(n_batches: int, monkeypatch) -> Callable:
    """Let a Ctrl-C come in the middle of embedding; gives what to put back."""
    real = embed.embedded

    def stopped(*arguments):
        for number, batch in enumerate(real(*arguments)):
            if number == n_batches:
                raise KeyboardInterrupt
            yield batch

    monkeypatch.setattr(embed, "embedded", stopped)
    return real


def test_shards_are_joined_into_the_file_that_one_shard_gives(small_batches, checkpoint, tmp_path):
    store = stripes_store(tmp_path)
    whole = embed_anew(checkpoint, store, tmp_path / "whole")
    for shard_clips in (BATCH, 6 * BATCH):  # the second leaves 16 clips for the last shard
        found = embed_anew(checkpoint, store, tmp_path / str(shard_clips), shard_clips=shard_clips)
        assert as_list(found) == as_list(whole) and (found.labels, found.fingerprint) == (
            whole.labels,
            whole.fingerprint,
        )
        assert found.about == {"checkpoint": checkpoint.fingerprint} and not found.tokens_NPD.flags.writeable
    one, other = (
        (tmp_path / name / f"embeddings_{whole.fingerprint}.safetensors").read_bytes()
        for name in ("whole", str(BATCH))
    )
    assert one == other and not list(tmp_path.glob("*/*.parts"))


def test_the_file_is_a_plain_safetensors_file_and_one_written_by_safetensors_is_opened(
    checkpoint, tmp_path, rows_read
):
    store = stripes_store(tmp_path)
    made = embed_anew(checkpoint, store, tmp_path / "made")
    path = tmp_path / "made" / f"embeddings_{made.fingerprint}.safetensors"
    content = load_file(path)
    assert (content["tokens_NPD"] == made.tokens_NPD).all() and content["embedding_ND"].dtype == np.float16
    save_file(content, path, metadata={"ids": "", "checkpoint": checkpoint.fingerprint})
    path.with_suffix(".parts").mkdir()  # as a kill right behind the joining leaves it
    assert as_list(embed_clips(checkpoint, store, path.parent, "cpu")) == as_list(made)
    assert sorted(rows_read) == list(range(64)) and not path.with_suffix(".parts").exists()


def test_an_interrupted_call_goes_on_with_the_shards_that_are_left(
    small_batches, checkpoint, tmp_path, monkeypatch, rows_read
):
    store = stripes_store(tmp_path)
    whole = embed_anew(checkpoint, store, tmp_path / "whole")
    real = interrupted_after(7, monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        embed_anew(checkpoint, store, tmp_path / "stopped", shard_clips=2 * BATCH)
    monkeypatch.setattr(embed, "embedded", real)
    rows_read.clear()
    found = embed_clips(checkpoint, store, tmp_path / "stopped", "cpu", shard_clips=2 * BATCH)
    assert as_list(found) == as_list(whole) and rows_read == list(range(6 * BATCH, 64))


def test_a_damaged_shard_is_made_again_and_said(small_batches, checkpoint, tmp_path, monkeypatch, rows_read):
    store = stripes_store(tmp_path)
    whole = embed_anew(checkpoint, store, tmp_path / "whole")
    real = interrupted_after(12, monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        embed_anew(checkpoint, store, tmp_path / "cut", shard_clips=2 * BATCH)
    monkeypatch.setattr(embed, "embedded", real)
    parts = sorted(next((tmp_path / "cut").glob("*.parts")).glob("clips_*"))
    assert len(parts) == 6
    os.truncate(parts[1], 500)
    os.truncate(parts[4], 0)
    rows_read.clear()
    with pytest.warns(
        UserWarning,
        match=r"^the shard '.*clips_0000000(08|32)_0000000(16|40).safetensors' is damaged and made again \(",
    ) as said:
        found = embed_clips(checkpoint, store, tmp_path / "cut", "cpu", shard_clips=2 * BATCH)
    assert len(said) == 2 and as_list(found) == as_list(whole)
    assert rows_read == [*range(8, 16), *range(32, 40), *range(48, 64)]


@pytest.mark.parametrize(("value", "part"), [(np.nan, 0), (0, 0), (np.inf, 1)])
def test_an_embedding_that_is_not_a_number_is_refused(value, part, checkpoint, tmp_path, monkeypatch):
    store, real = stripes_store(tmp_path), embed.embedded

    def spoiled(*arguments):
        for batch in real(*arguments):
            batch[part][10] = value
            yield batch

    monkeypatch.setattr(embed, "embedded", spoiled)
    with pytest.raises(
        ValueError,
        match=r"embeddings must be finite numbers .* that of clip 'across fast/2' \(row 10\) is not; look into",
    ):
        embed_anew(checkpoint, store, tmp_path / "spoiled")


def test_a_shard_that_no_whole_batches_fill_is_refused(checkpoint, tmp_path):
    for wrong in (0, 100):
        with pytest.raises(
            ValueError, match=f"shard_clips must be a multiple of 64, the clips embedded at once, got {wrong}"
        ):
            embed_clips(checkpoint, stripes_store(tmp_path), tmp_path, "cpu", shard_clips=wrong)


def test_a_kept_file_that_is_cut_off_is_refused(checkpoint, tmp_path):
    store = stripes_store(tmp_path)
    found = embed_anew(checkpoint, store, tmp_path / "made")
    os.truncate(tmp_path / "made" / f"embeddings_{found.fingerprint}.safetensors", 3000)
    with pytest.raises(
        ValueError,
        match="a file of embeddings must be whole, '.*' is not .*; delete it to have it made again",
    ):
        embed_clips(checkpoint, store, tmp_path / "made", "cpu")


@pytest.mark.parametrize("broken", ["a shard", "the joining"])
def test_a_full_disk_is_said_and_what_was_written_is_kept(
    broken, small_batches, checkpoint, tmp_path, monkeypatch
):
    store, written = stripes_store(tmp_path), []

    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def fills_up(content, path):
        written.append(path)
        return full() if len(written) > 3 else save_file(content, path)

    monkeypatch.setattr(
        *{"a shard": (shards, "save_file", fills_up), "the joining": (shards.struct, "pack", full)}[broken]
    )
    sentence = r"the disk must have room for '.*safetensors' \(0.. MB\), but it is full; the shards that were written are kept, free some"
    with pytest.raises(OSError, match=sentence):
        embed_anew(checkpoint, store, tmp_path / "full", shard_clips=2 * BATCH)
    monkeypatch.undo()
    monkeypatch.setattr(shards, "CLIPS_A_BATCH", BATCH)
    assert len(list((tmp_path / "full").glob("*.parts/clips_*"))) == (3 if broken == "a shard" else 8)
    assert not list((tmp_path / "full").glob("*.safetensors")) and not list(
        (tmp_path / "full").glob("*.parts/.*")
    )
    assert len(embed_clips(checkpoint, store, tmp_path / "full", "cpu", shard_clips=2 * BATCH).ids) == 64


@pytest.fixture(scope="module")
def clips(tmp_path_factory) -> Clips:
    return six_clips(tmp_path_factory.mktemp("clips") / "videos")


@pytest.mark.parametrize("windows", [1, 4])
def test_spread_views_equal_one_window_at_a_time(windows, checkpoint, clips, tmp_path):
    found = embed_anew(
        checkpoint, clips.store, tmp_path / "found", views=Views(windows), catalog=clips.catalog, readers=1
    )
    model, settings = checkpoint.model(), clips.store.settings
    for row, clip in clips.catalog.usable.iterrows():
        path, codes = clips.catalog.root / clip["path"], []
        begin_s = frame_times(path)
        for instants in windows_plain(clip["start_s"], clip["end_s"], settings, windows):
            begun = [np.flatnonzero(begin_s <= t + 1e-5)[-1] for t in instants]
            frames = read_frames(path, begun, settings.size_px)
            top, left = (np.array(frames.shape[1:3]) - settings.size_px) // 2
            square = torch.from_numpy(
                frames[None, :, top : top + settings.size_px, left : left + settings.size_px].copy()
            )
            with torch.inference_mode():
                codes.append(model.encode_video(centre_view(square, CONFIG.view)))
        mean = sum(code.embedding_BD[0].numpy() for code in codes)
        np.testing.assert_allclose(found.embedding_ND[row], mean / np.linalg.norm(mean), atol=1e-3)
        np.testing.assert_allclose(
            found.tokens_NPD[row], codes[windows // 2].tokens_BPD[0].numpy(), atol=5e-3
        )


def test_spread_views_move_the_embedding_and_are_kept_apart(checkpoint, clips, tmp_path):
    centre, spread = (
        embed_anew(checkpoint, clips.store, tmp_path / v.name, views=v, catalog=clips.catalog)
        for v in (CENTRE, SPREAD_25)
    )
    moved = np.abs(spread.embedding_ND - centre.embedding_ND).max(1)
    assert (
        moved[clips.store.ids.index("hop/long")] > 0.01 and moved[clips.store.ids.index("hop/short")] < 1e-3
    )  # no longer than a window
    np.testing.assert_allclose(spread.tokens_NPD, centre.tokens_NPD, atol=5e-3)
    assert spread.about["views"] == "25 spread windows"
    # bounds of clips in another catalog, and other numbers of windows, are other embeddings
    keys = {spread.fingerprint, centre.fingerprint}
    later = clips.catalog.clips.assign(start_s=0.1)
    for views, catalog in ((Views(2), clips.catalog), (Views(2), replace(clips.catalog, clips=later))):
        keys.add(
            embed_clips(checkpoint, clips.store, tmp_path, "cpu", views=views, catalog=catalog).fingerprint
        )
    assert len(keys) == 4


def test_interrupted_spread_views_go_on_to_the_same_file(
    small_batches, checkpoint, clips, tmp_path, monkeypatch
):
    options = {"views": SPREAD_25, "catalog": clips.catalog, "shard_clips": BATCH}
    whole = embed_anew(checkpoint, clips.store, tmp_path / "whole", **options)
    rows, real = [], SpreadFrames.__getitem__

    def stopped(self, row):
        if row == 5:
            raise KeyboardInterrupt
        return real(self, row)

    monkeypatch.setattr(SpreadFrames, "__getitem__", stopped)
    with pytest.raises(KeyboardInterrupt):
        embed_anew(checkpoint, clips.store, tmp_path / "stopped", readers=1, **options)
    monkeypatch.setattr(
        SpreadFrames, "__getitem__", lambda self, row: rows.append(int(row)) or real(self, row)
    )
    found = embed_clips(checkpoint, clips.store, tmp_path / "stopped", "cpu", readers=2, **options)
    assert as_list(found) == as_list(whole) and sorted(rows) == [4, 5]
    one, other = (
        (tmp_path / name / f"embeddings_{whole.fingerprint}.safetensors").read_bytes()
        for name in ("whole", "stopped")
    )
    assert one == other


def test_a_video_that_is_gone_stops_spread_views_until_it_is_back(small_batches, checkpoint, clips, tmp_path):
    path = clips.catalog.root / "run" / "tall.mp4"
    options = {"views": Views(3), "catalog": clips.catalog, "shard_clips": BATCH}
    path.rename(tmp_path / "tall.mp4")
    try:
        with pytest.raises(
            ValueError,
            match=r"clip 'run/tall' .*\('.*tall.mp4' must be a video file, but there is no such file\); put",
        ):
            embed_anew(checkpoint, clips.store, tmp_path / "found", readers=2, **options)
    finally:
        (tmp_path / "tall.mp4").rename(path)
    assert not list((tmp_path / "found").glob("*.safetensors"))
    assert embed_clips(checkpoint, clips.store, tmp_path / "found", "cpu", **options).ids == tuple(
        clips.store.ids
    )


def test_spread_windows_without_a_catalog_are_refused(checkpoint, clips, tmp_path):
    with pytest.raises(
        ValueError,
        match="25 spread windows are read from the videos, so a catalog must be given, got None; give the one that",
    ):
        embed_clips(checkpoint, clips.store, tmp_path, "cpu", views=SPREAD_25)


def test_views_that_cannot_be_are_refused():
    for windows in (0, 65, 2.5):
        with pytest.raises(
            ValueError,
            match=rf"windows must be a whole number in 1\.\.64 \(what the model reads at once\), got {windows}",
        ):
            Views(windows)
    with pytest.raises(
        ValueError,
        match="mirrored must be False where windows are spread over the clip, got True with 25 windows; use 1 window",
    ):
        Views(25, mirrored=True)


def test_batches_of_windows_fill_a_shard_and_hold_64_at_most():
    n_clips = [clips_at_once(windows) for windows in range(1, 65)]
    assert all(64 % n == 0 and n * windows <= 64 < 4 * n * windows for windows, n in enumerate(n_clips, 1))
    assert (n_clips[0], n_clips[2], n_clips[24], n_clips[63]) == (64, 16, 2, 1)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Where two ranks have embedded, until one of them was killed."""
    folder, port = tmp_path_factory.mktemp("embedders"), free_port()
    for number in range(2):
        (folder / f"rank {number}").mkdir()
    paths = os.pathsep.join([str(HERE.parents[1]), str(HERE)])
    environment = os.environ | {"PYTHONPATH": paths, "OMP_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "1"}
    command = [sys.executable, "-W", "error", str(HERE / "two_embedders.py"), str(folder)]
    started = [
        subprocess.Popen(command, env=environment | variables(n, 2, port), stderr=subprocess.PIPE, text=True)
        for n in range(2)
    ]
    said = started[1].communicate(timeout=300)[1]
    started[0].terminate()  # as torchrun does where one is gone
    said += started[0].communicate(timeout=60)[1]
    assert [process.returncode for process in started] == [-signal.SIGTERM, -signal.SIGKILL], said
    return folder


@pytest.fixture(scope="module")
def seen(folder) -> list[dict]:
    return [json.loads((folder / f"rank {number}.json").read_text()) for number in range(2)]


@pytest.mark.long
def test_two_ranks_embed_as_one_and_each_embeds_half(small_batches, folder, seen, checkpoint, tmp_path):
    alone = as_list(embed_anew(checkpoint, stripes_store(tmp_path), tmp_path / "alone"))
    assert seen[0]["together"] == seen[1]["together"] == alone
    assert [rank["read"] for rank in seen] == [
        [[row for row in range(64) if row // 8 % 2 == number]] for number in range(2)
    ]
    assert not list((folder / "together").glob("*.parts"))


@pytest.mark.long
def test_a_killed_rank_leaves_shards_that_another_number_of_ranks_goes_on_from(
    small_batches, folder, checkpoint, tmp_path, rows_read
):
    store = stripes_store(tmp_path)
    whole = embed_anew(checkpoint, store, tmp_path / "whole")
    rows_read.clear()
    parts = next((folder / "killed").glob("*.parts"))
    there = [range(int(path.stem[6:15]), int(path.stem[16:])) for path in parts.glob("clips_*")]
    assert there and not list((folder / "killed").glob("*.safetensors"))
    found = embed_clips(checkpoint, store, folder / "killed", "cpu", shard_clips=2 * BATCH)
    assert as_list(found) == as_list(whole) and not parts.exists()
    assert 0 < len(rows_read) < 64 and sorted([*rows_read, *(row for rows in there for row in rows)]) == list(
        range(64)
    )


@pytest.mark.long
def test_what_one_rank_refuses_is_said_by_the_other(seen):
    assert seen[1]["spoiled"].startswith(
        "ValueError: embeddings must be finite numbers in 16 bits and not all zero, that of clip "
    )
    assert seen[0]["spoiled"] == "RuntimeError: rank 0 waited for rank 1, which failed; see what rank 1 said"
    assert all(
        rank["differ"].startswith("all 2 ranks must have the same checkpoint and frames, but they differ")
        for rank in seen
    )


@pytest.mark.long
@pytest.mark.skipif(sys.platform != "linux", reason="what a process holds is read from /proc")
def test_memory_grows_with_embeddings_and_not_with_tokens(seen):
    of_200, of_2000 = seen[0]["peak_mb"]
    embeddings_mb, tokens_mb = 1800 * 512 * 4 / 1e6, 1800 * 20 * 512 * 2 / 1e6
    assert of_2000 - of_200 < embeddings_mb + 6 < tokens_mb / 3, seen[0]["peak_mb"]
