"""zsar_lab.embed: against the plain formula, with other views, in shards, by ranks, and after a kill."""

from __future__ import annotations

import errno
import os
import signal
import sys
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file
from small_training import CONFIG, stripes_store
from spread_clips import Clips, six_clips, windows_read
from two_embedders import BATCH, as_list, untrained
from two_ranks import run_two

from zsar_lab.data.loader import centre_view
from zsar_lab.embed import checkpoint as embed
from zsar_lab.embed import embeddings
from zsar_lab.embed.checkpoint import CENTRE, SPREAD_25, Views, embed_clips
from zsar_lab.files import fingerprint
from zsar_lab.train.checkpoint import Checkpoint

SHARD = 2 * BATCH


@pytest.fixture
def checkpoint(tmp_path) -> Checkpoint:
    return untrained(tmp_path)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return stripes_store(tmp_path_factory.mktemp("store"))


@pytest.fixture
def small_batches(monkeypatch) -> None:
    monkeypatch.setattr(embeddings, "CLIPS_A_BATCH", BATCH)


@pytest.fixture
def rows_read(monkeypatch) -> list[int]:
    """The rows that are embedded from here on."""
    rows, real = [], embed.embedded

    def noted(model, frames, asked, *more):
        rows.extend(asked.tolist())
        yield from real(model, frames, asked, *more)

    monkeypatch.setattr(embed, "embedded", noted)
    return rows


def embed_anew(checkpoint, store, folder, **options):
    folder.mkdir()
    return embed_clips(checkpoint, store, folder, "cpu", **options)


def interrupted(checkpoint, store, folder, n_batches: int) -> None:
    """Embed in small shards until a Ctrl-C comes."""
    real = embed.embedded

    def stopped(*arguments):
        for number, batch in enumerate(real(*arguments)):
            if number == n_batches:
                raise KeyboardInterrupt
            yield batch

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(embed, "embedded", stopped)
        with pytest.raises(KeyboardInterrupt):
            embed_anew(checkpoint, store, folder, shard_clips=SHARD)


def same_bytes(one: Path, other: Path) -> bool:
    first, second = (next(path.glob("embeddings_*.safetensors")).read_bytes() for path in (one, other))
    return first == second


@pytest.mark.parametrize("views", [CENTRE, embed.CENTRE_AND_MIRRORED])
def test_an_embedding_is_the_normalised_mean_of_its_views(views, checkpoint, store, tmp_path, monkeypatch):
    monkeypatch.setattr(embeddings, "CLIPS_A_BATCH", 7)  # of 64 clips
    found = embed_anew(checkpoint, store, tmp_path / "found", views=views)
    model, frames = checkpoint.model(), torch.from_numpy(np.asarray(store.frames))
    with torch.inference_mode():
        seen = [False, True] if views.mirrored else [False]
        codes = [model.encode_video(centre_view(frames, CONFIG.view, mirrored)) for mirrored in seen]
    mean = sum(code.embedding_BD for code in codes).numpy()
    unit = mean / np.linalg.norm(mean, axis=1, keepdims=True)
    np.testing.assert_allclose(found.embedding_ND, unit, atol=1e-3)
    np.testing.assert_allclose(found.tokens_NPD, codes[0].tokens_BPD.numpy(), atol=5e-3)
    assert found.tokens_NPD.dtype == np.float16 and found.ids == tuple(store.ids)
    made_of = "clip embeddings", checkpoint.fingerprint, store.fingerprint, views.name
    assert found.fingerprint == fingerprint(*made_of)
    named = {} if views.mirrored else {"views": "centre"}
    assert found.about == {"checkpoint": checkpoint.fingerprint} | named and found.n_views == 1
    assert found.rows(("sit/1", "across/2")).tolist() == [store.ids.index("sit/1"), 2]
    with pytest.raises(ValueError, match="1 clips .*'none'"):
        found.rows(("none",))


def test_in_bfloat16_embeddings_stay_near(checkpoint, store, tmp_path, monkeypatch):
    """As on a GPU, with the CPU's own bfloat16."""
    full = embed_anew(checkpoint, store, tmp_path / "full")
    monkeypatch.setattr(embed, "mixed_precision", lambda device: torch.autocast("cpu", torch.bfloat16))
    rounded = embed_anew(checkpoint, store, tmp_path / "rounded")
    assert (rounded.embedding_ND != full.embedding_ND).any() and rounded.tokens_NPD.dtype == np.float16
    assert (rounded.embedding_ND * full.embedding_ND).sum(1).min() > 0.999
    other = replace(checkpoint, config=replace(CONFIG, memory_format="channels_last"))
    weights = embed.embedding_model(other, torch.device("cpu")).backbone.parameters()
    assert all(weight.is_contiguous() for weight in weights)  # on a CPU nothing is laid out anew


def test_shards_are_joined_into_the_file_that_one_shard_gives(small_batches, checkpoint, store, tmp_path):
    whole = embed_anew(checkpoint, store, tmp_path / "whole")
    for shard_clips in (BATCH, 6 * BATCH):  # the second leaves 16 clips for the last shard
        options = {"shard_clips": shard_clips, "num_workers": shard_clips // 10}
        found = embed_anew(checkpoint, store, tmp_path / str(shard_clips), **options)
        assert as_list(found) == as_list(whole) and found.labels == whole.labels
        assert found.about == whole.about and not found.tokens_NPD.flags.writeable
        assert same_bytes(tmp_path / "whole", tmp_path / str(shard_clips))
    assert not list(tmp_path.glob("*/*.parts"))


def test_how_batches_lie_in_memory_does_not_change_the_file(store, tmp_path):
    numbers = np.random.default_rng(0).normal(size=(len(store.ids), 8, 6)).astype(np.float16)
    found = {}
    for name, laid_out in (("plain", np.ascontiguousarray), ("transposed", lambda array: array.T.copy().T)):
        (tmp_path / name).mkdir()

        def embedded(rows, laid_out=laid_out):
            for start in range(0, len(rows), BATCH):
                batch = numbers[rows[start : start + BATCH]]
                yield laid_out(batch[:, 0]), laid_out(batch)

        made = embeddings.make_embeddings(tmp_path / name, fingerprint("numbers"), store, {}, embedded)
        found[name] = as_list(made)
    assert found["plain"] == found["transposed"]
    assert same_bytes(tmp_path / "plain", tmp_path / "transposed")


def test_the_file_is_plain_safetensors(checkpoint, store, tmp_path, rows_read):
    made = embed_anew(checkpoint, store, tmp_path / "made")
    path = tmp_path / "made" / f"embeddings_{made.fingerprint}.safetensors"
    content = load_file(path)
    assert (content["tokens_NPD"] == made.tokens_NPD).all() and content["embedding_ND"].dtype == np.float16
    save_file(content, path, metadata={"ids": "", "checkpoint": checkpoint.fingerprint})
    path.with_suffix(".parts").mkdir()  # as a kill right behind the joining leaves it
    assert as_list(embed_clips(checkpoint, store, path.parent, "cpu")) == as_list(made)
    assert sorted(rows_read) == list(range(64)) and not path.with_suffix(".parts").exists()
    os.truncate(path, 3000)
    with pytest.raises(ValueError, match="is damaged"):
        embed_clips(checkpoint, store, path.parent, "cpu")


@pytest.mark.parametrize("damaged", [False, True])
def test_an_interrupted_call_goes_on(damaged, small_batches, checkpoint, store, tmp_path, rows_read):
    whole = embed_anew(checkpoint, store, tmp_path / "whole")
    interrupted(checkpoint, store, tmp_path / "cut", 12)
    parts = sorted((tmp_path / "cut").glob("*.parts/clips_*"))
    assert len(parts) == 6
    rows_read.clear()
    if not damaged:
        found = embed_clips(checkpoint, store, tmp_path / "cut", "cpu", shard_clips=SHARD)
    else:
        os.truncate(parts[1], 500)
        os.truncate(parts[4], 0)
        with pytest.warns(UserWarning, match=r"clips_0000000(08|32)_0000000(16|40).* is damaged") as warned:
            found = embed_clips(checkpoint, store, tmp_path / "cut", "cpu", shard_clips=SHARD)
        assert len(warned) == 2
    again = [*range(8, 16), *range(32, 40)] if damaged else []
    assert as_list(found) == as_list(whole) and rows_read == [*again, *range(48, 64)]


@pytest.mark.parametrize(("value", "part"), [(np.nan, 0), (0, 0), (np.inf, 1)])
def test_an_embedding_that_is_not_a_number_is_refused(value, part, checkpoint, store, tmp_path, monkeypatch):
    real = embed.embedded

    def spoiled(*arguments):
        for batch in real(*arguments):
            batch[part][10] = value
            yield batch

    monkeypatch.setattr(embed, "embedded", spoiled)
    with pytest.raises(ValueError, match=r"'across fast/2' \(row 10\)"):
        embed_anew(checkpoint, store, tmp_path / "spoiled")


def test_wrong_options_are_refused(checkpoint, store, tmp_path):
    for wrong in (0, 100):
        with pytest.raises(ValueError, match=f"multiple of 64, got {wrong}"):
            embed_clips(checkpoint, store, tmp_path, "cpu", shard_clips=wrong)
    for windows in (0, 65, 2.5):
        with pytest.raises(ValueError, match=rf"1\.\.64, got {windows}"):
            Views(windows)
    # batches of windows fill a shard and hold 64 at most
    n_clips = [embed.clips_at_once(windows) for windows in range(1, 65)]
    assert all(64 % n == 0 and n * windows <= 64 < 4 * n * windows for windows, n in enumerate(n_clips, 1))
    with pytest.raises(ValueError, match="1 window, got 25"):
        Views(25, mirrored=True)
    with pytest.raises(ValueError, match="need a catalog, got None"):
        embed_clips(checkpoint, store, tmp_path, "cpu", views=SPREAD_25)
    with pytest.raises(ValueError, match="is at step 0 of 1"):
        embed_clips(replace(checkpoint, weights_only=False), store, tmp_path, "cpu")


@pytest.mark.parametrize("broken", ["a shard", "the joining"])
def test_a_full_disk_keeps_what_was_written(broken, small_batches, checkpoint, store, tmp_path, monkeypatch):
    written = []

    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def fills_up(content, path):
        written.append(path)
        return full() if len(written) > 3 else save_file(content, path)

    target = (embeddings, "save_file", fills_up) if broken == "a shard" else (embeddings.struct, "pack", full)
    with monkeypatch.context() as patched:
        patched.setattr(*target)
        with pytest.raises(OSError, match="full"):
            embed_anew(checkpoint, store, tmp_path / "full", shard_clips=SHARD)
    assert len(list((tmp_path / "full").glob("*.parts/clips_*"))) == (3 if broken == "a shard" else 8)
    assert not [*(tmp_path / "full").glob("*.safetensors"), *(tmp_path / "full").glob("*.parts/.*")]
    assert len(embed_clips(checkpoint, store, tmp_path / "full", "cpu", shard_clips=SHARD).ids) == 64


@pytest.fixture(scope="module")
def clips(tmp_path_factory) -> Clips:
    return six_clips(tmp_path_factory.mktemp("clips") / "videos")


@pytest.mark.parametrize("windows", [1, 4])
def test_spread_views_equal_one_window_at_a_time(windows, checkpoint, clips, tmp_path):
    options = {"views": Views(windows), "catalog": clips.catalog, "num_workers": 1}
    found, model = embed_anew(checkpoint, clips.store, tmp_path / "found", **options), checkpoint.model()
    for row in range(len(clips.store)):
        read = torch.from_numpy(windows_read(clips, row, windows))
        with torch.inference_mode():
            codes = [model.encode_video(centre_view(window[None], CONFIG.view)) for window in read]
        mean = sum(code.embedding_BD[0].numpy() for code in codes)
        np.testing.assert_allclose(found.embedding_ND[row], mean / np.linalg.norm(mean), atol=1e-3)
        middle = codes[windows // 2].tokens_BPD[0].numpy()
        np.testing.assert_allclose(found.tokens_NPD[row], middle, atol=5e-3)


def test_spread_views_move_the_embedding_and_have_keys_of_their_own(checkpoint, clips, tmp_path):
    (catalog, store), other = clips, clips.catalog.clips.assign(start_s=0.1)
    kinds = [(tmp_path / views.name, {"views": views, "catalog": catalog}) for views in (CENTRE, SPREAD_25)]
    centre, spread = (embed_anew(checkpoint, store, folder, **options) for folder, options in kinds)
    moved = np.abs(spread.embedding_ND - centre.embedding_ND).max(1)
    assert moved[store.ids.index("hop/long")] > 0.01
    assert moved[store.ids.index("hop/short")] < 1e-3  # no longer than a window
    assert spread.about["views"] == SPREAD_25.name and (centre.n_views, spread.n_views) == (1, 25)
    # bounds of clips in another catalog, and other numbers of windows, are other embeddings
    keys = {spread.fingerprint, centre.fingerprint}
    for given in (catalog, replace(catalog, clips=other)):
        keys.add(embed_clips(checkpoint, store, tmp_path, "cpu", views=Views(2), catalog=given).fingerprint)
    assert len(keys) == 4


def test_a_video_that_is_gone_stops_spread_views_until_it_is_back(small_batches, checkpoint, clips, tmp_path):
    path = clips.catalog.root / "run" / "tall.mp4"
    options = {"views": Views(3), "catalog": clips.catalog, "shard_clips": BATCH}
    path.rename(tmp_path / "tall.mp4")
    try:
        with pytest.raises(ValueError, match="'run/tall' .*tall.mp4.* no such file"):
            embed_anew(checkpoint, clips.store, tmp_path / "found", num_workers=2, **options)
    finally:
        (tmp_path / "tall.mp4").rename(path)
    assert not list((tmp_path / "found").glob("*.safetensors"))
    assert len(embed_clips(checkpoint, clips.store, tmp_path / "found", "cpu", **options).ids) == 6


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("embedders")
    for number in range(2):
        (folder / f"rank {number}").mkdir()
    return folder


@pytest.fixture(scope="module")
def seen(folder) -> list[dict]:
    """What two ranks embedded, until one of them was killed and the other ended as torchrun does it."""
    return run_two("two_embedders.py", folder, [-signal.SIGTERM, -signal.SIGKILL])


@pytest.mark.long
def test_two_ranks_embed_as_one(small_batches, folder, seen, checkpoint, store, tmp_path):
    alone = as_list(embed_anew(checkpoint, store, tmp_path / "alone"))
    assert seen[0]["together"] == seen[1]["together"] == alone
    halves = [[row for row in range(64) if row // 8 % 2 == number] for number in range(2)]
    assert [rank["read"] for rank in seen] == [[half] for half in halves]
    assert not list((folder / "together").glob("*.parts"))


@pytest.mark.long
def test_a_killed_rank_leaves_shards_that_another_number_of_ranks_goes_on_from(
    small_batches, folder, seen, checkpoint, store, tmp_path, rows_read
):
    whole = embed_anew(checkpoint, store, tmp_path / "whole")
    rows_read.clear()
    parts = next((folder / "killed").glob("*.parts"))
    there = [range(int(path.stem[6:15]), int(path.stem[16:])) for path in parts.glob("clips_*")]
    assert there and not list((folder / "killed").glob("*.safetensors"))
    with suppress(UserWarning):
        found = embed_clips(checkpoint, store, folder / "killed", "cpu", shard_clips=SHARD)
    assert as_list(found) == as_list(whole) and not parts.exists()
    rows = sorted([*rows_read, *(row for rows in there for row in rows)])
    assert 0 < len(rows_read) < 64 and rows == list(range(64))


@pytest.mark.long
def test_what_one_rank_refuses_ends_both(seen):
    assert seen[1]["spoiled"].startswith("ValueError: embeddings must be finite")
    assert seen[0]["spoiled"].startswith("RuntimeError: rank 0 waited for rank 1, which failed")
    said = "ValueError: all 2 ranks must have the same model and frames"
    assert all(said in rank["differ"] for rank in seen)


@pytest.mark.long
@pytest.mark.skipif(sys.platform != "linux", reason="what a process holds is read from /proc")
def test_memory_grows_with_embeddings_and_not_with_tokens(seen):
    of_200, of_2000 = seen[0]["peak_mb"]
    embeddings_mb, tokens_mb = 1800 * 512 * 4 / 1e6, 1800 * 20 * 512 * 2 / 1e6
    assert of_2000 - of_200 < embeddings_mb + 6 < tokens_mb / 3, seen[0]["peak_mb"]
