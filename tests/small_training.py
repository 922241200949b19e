"""A training of seconds for the tests: clips of moving stripes, made-up class embeddings, and ways to stop it."""

from __future__ import annotations

import os
import signal
import threading
from itertools import count
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from safetensors.torch import load_file

from zsar_lab.data.frames import FrameStore
from zsar_lab.data.loader import ViewSettings
from zsar_lab.data.protocols.build import make_protocol
from zsar_lab.data.protocols.protocol import Protocol
from zsar_lab.data.sampling import FrameSettings
from zsar_lab.model.rest import ModelConfig
from zsar_lab.text.classtext import ClassText
from zsar_lab.text.embeddings import ClassEmbeddings
from zsar_lab.training import step
from zsar_lab.training.presets import TrainConfig

NAMES = ("across", "across fast", "along", "along fast", "sit", "stand", "wave", "clap")
N_FRAMES, SIZE_PX, CLIPS_A_CLASS = 12, 24, 8
MODEL = ModelConfig(
    n_frames=4, backbone_widths=(8, 16), width=16, depth=1, heads=2, feedforward=32, dropout=0.1, text_width=12, word_width=6,
    n_label_tokens=2, n_seen=4,
)  # fmt: skip
CONFIG = TrainConfig(
    epochs=3, batch_size=8, learning_rate=5e-3, n_match_labels=3, validate_every=1, view=ViewSettings(n_frames=4, size_px=20), model=MODEL
)
STEPS_AN_EPOCH = 3  # 4 seen classes of 6 training clips, 8 a batch


def moving_stripes(class_index: int, random: np.random.Generator) -> np.ndarray:
    """uint8 [T, H, W, 3]: stripes across or along the picture, at rest or moving, with noise."""
    along, speed = class_index // 2 % 2, class_index % 2
    place = np.arange(SIZE_PX)[None] - speed * 4 * np.arange(N_FRAMES)[:, None] + random.integers(0, 12)
    stripes = np.where(place % 12 < 6, 60, 190)[:, :, None] + np.zeros((1, 1, SIZE_PX), dtype=int)
    picture = stripes.swapaxes(1, 2) if along else stripes
    noise = random.integers(-20, 20, (N_FRAMES, SIZE_PX, SIZE_PX, 3))
    return (picture[..., None] + noise).astype(np.uint8)


def stripes_store(folder: Path) -> FrameStore:
    random = np.random.default_rng(0)
    frames = np.stack([moving_stripes(c, random) for c in range(len(NAMES)) for _ in range(CLIPS_A_CLASS)])
    ids = [f"{name}/{n}" for name in NAMES for n in range(CLIPS_A_CLASS)]
    labels = [name for name in NAMES for _ in range(CLIPS_A_CLASS)]
    settings = FrameSettings(n_frames=N_FRAMES, size_px=SIZE_PX)
    return FrameStore(folder, frames, ids, labels, settings, "frames of the test", pd.DataFrame({"id": [], "reason": []}))


def stripes_protocol(store: FrameStore) -> Protocol:
    clips = pd.DataFrame({"id": store.ids, "class": store.labels})
    return make_protocol("test", clips, unseen=NAMES[6:], validation=NAMES[4:6], seed=0, seen_test_share=0.25)


def stripes_classes() -> ClassEmbeddings:
    random = np.random.default_rng(1)
    pooled = random.normal(size=(len(NAMES), MODEL.text_width)).astype(np.float32)
    pooled /= np.linalg.norm(pooled, axis=1, keepdims=True)
    mask = np.arange(5)[None] < np.arange(2, 10)[:, None]
    words = random.normal(size=(len(NAMES), 5, MODEL.word_width)).astype(np.float32) * mask[:, :, None]
    return ClassEmbeddings(ClassText("label", NAMES, NAMES), "a made-up encoder", pooled, words, mask)


def interrupt() -> None:
    os.kill(os.getpid(), signal.SIGINT)


def interrupt_in_batch(monkeypatch, number: int) -> None:
    """A real Ctrl-C in the middle of this batch (with accumulate 1, of this step), sent from another thread."""
    original, steps = step.training_losses, count(1)

    def with_interrupt(*args):
        if next(steps) == number:
            thread = threading.Thread(target=interrupt)
            thread.start()
            thread.join()
        return original(*args)

    monkeypatch.setattr(step, "training_losses", with_interrupt)


def assert_same_state(first, second) -> None:
    one, other = load_file(first.path), load_file(second.path)
    assert one.keys() == other.keys() and first.step == second.step
    different = [name for name in one if not torch.equal(one[name], other[name])]
    assert not different
