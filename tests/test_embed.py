"""Embedding the clips of a frame store: against the plain formula, with readers, and in bfloat16."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from small_training import CONFIG, stripes_store

from zsar_lab.data.loader import centre_view
from zsar_lab.model.rest import ResT
from zsar_lab.training.checkpoint import BEST_NAME, Checkpoint, Inputs, load_checkpoint, save_best, weights_by_name
from zsar_lab.training.compiling import mixed_precision
from zsar_lab.zeroshot import embed
from zsar_lab.zeroshot.embed import embed_clips, embedding_model

CPU = torch.device("cpu")


@pytest.fixture()
def checkpoint(tmp_path) -> Checkpoint:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = ResT(CONFIG.model)
    save_best(Checkpoint(tmp_path / BEST_NAME, CONFIG, Inputs("a", "b", "c"), 0, 1, []), weights_by_name(model))
    return load_checkpoint(tmp_path / BEST_NAME)


def embed_anew(checkpoint, store, folder, **options):
    folder.mkdir()
    return embed_clips(checkpoint, store, folder, "cpu", **options)


def test_an_embedding_is_the_mean_of_two_views(checkpoint, tmp_path, monkeypatch):
    monkeypatch.setattr(embed, "CLIPS_A_BATCH", 7)  # of 64 clips
    store = stripes_store(tmp_path)
    found = embed_anew(checkpoint, store, tmp_path / "found")
    model, frames = checkpoint.model(), torch.from_numpy(np.asarray(store.frames))
    with torch.inference_mode():
        plain, mirrored = (model.encode_video(centre_view(frames, CONFIG.view, m)) for m in (False, True))
    mean = (plain.embedding_BD + mirrored.embedding_BD).numpy()
    np.testing.assert_allclose(found.embedding_ND, mean / np.linalg.norm(mean, axis=1, keepdims=True), atol=1e-3)
    np.testing.assert_allclose(found.tokens_NPD, plain.tokens_BPD.numpy(), atol=5e-3)
    assert found.tokens_NPD.dtype == np.float16 and found.ids == tuple(store.ids)


def test_readers_change_nothing(checkpoint, tmp_path, monkeypatch):
    monkeypatch.setattr(embed, "CLIPS_A_BATCH", 7)
    store = stripes_store(tmp_path)
    alone, ahead = (embed_anew(checkpoint, store, tmp_path / str(readers), readers=readers) for readers in (0, 2))
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
