"""What the bench trains on, all of it generated: a preset's configuration, clips of moving patches, raw and as JPEG, and class texts of noise."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from zsar_lab.data.frames import FrameStore
from zsar_lab.data.pixels import PLACES_FILE, RAW_FILE, JpegFrames, append_jpeg
from zsar_lab.data.sampling import FrameSettings
from zsar_lab.protocols.protocol import Protocol
from zsar_lab.text.embeddings import ClassEmbeddings
from zsar_lab.text.prompts import ClassText
from zsar_lab.train.presets import TrainConfig, preset_named

# seen classes and width of the class texts: of the demo, and of Kinetics-664 with one line of text
DEMO_SIZES, KINETICS_SIZES = (32, 6 * 384), (664, 384)
MOST_BYTES, MOST_BATCHES = 600_000_000, 16  # of generated frames
N_PICTURES = (
    32  # different clips; after them they come again, in bytes of their own on disk where they are raw
)
PATCH_PX, NOISE, JPEG_QUALITY = 20, 10, 90  # together 3 bits a pixel as JPEG, an eighth of the raw size


class Study(NamedTuple):
    """What a training is given, generated."""

    store: FrameStore
    protocol: Protocol
    classes: ClassEmbeddings
    config: TrainConfig


def bench_config(name: str, tiny: bool) -> TrainConfig:
    """A preset's configuration; tiny: 2 clips a step of a quarter of the frames, a quarter as wide, a narrow transformer, few classes.

    Raises:
        ValueError: no such preset.
    """
    config = preset_named(name)(*(DEMO_SIZES if name == "demo" else KINETICS_SIZES))
    if not tiny:
        return config
    n_frames, size_px = config.view.n_frames // 4, max(16, config.view.size_px // 32 * 8)
    small = {
        "width": 32,
        "depth": 1,
        "heads": 2,
        "feedforward": 32,
        "text_width": 16,
        "word_width": 8,
        "n_seen": 8,
    }
    model = replace(config.model, n_frames=n_frames, size_px=size_px, **small)
    return replace(
        config, batch_size=2, view=replace(config.view, n_frames=n_frames, size_px=size_px), model=model
    )


def generated(config: TrainConfig, folder: Path, tiny: bool = False) -> Study:
    """A frame store on disk (memory-mapped; as it was just written, the system has it in memory), and class texts of noise.

    Its clips are half as many frames again as the view's and a seventh wider, 24 frames of 64 px for the
    small backbone as in the demo.

    Args:
        config: of the training.
        folder: for the frames; at most 600 MB but for two batches, a hundredth of it when tiny.
        tiny: see `bench_config`.
    """
    view, model, random = config.view, config.model, np.random.default_rng(0)
    settings = (
        FrameSettings()
        if view.n_frames == 8 and view.size_px == 48
        else FrameSettings(3 * view.n_frames // 2, size_px=8 * view.size_px // 7)
    )
    batch_bytes = settings.n_frames * settings.size_px**2 * 3 * config.batch_size
    n_clips = max(2, min(MOST_BATCHES, MOST_BYTES // (100 if tiny else 1) // batch_bytes)) * config.batch_size
    _write_clips(folder / RAW_FILE, n_clips + 2, settings, random)
    seen = tuple(f"seen {number}" for number in range(model.n_seen))
    labels = [seen[number % model.n_seen] for number in range(n_clips)] + ["unseen 0", "unseen 1"]
    ids = [f"clip {number}" for number in range(n_clips + 2)]
    nothing = pd.DataFrame({"id": [], "reason": []})
    store = FrameStore(
        folder, np.load(folder / RAW_FILE, mmap_mode="r"), ids, labels, settings, "generated frames", nothing
    )
    protocol = Protocol("bench", seen, (), ("unseen 0", "unseen 1"), tuple(ids[:-2]), (), (), tuple(ids[-2:]))
    pooled = random.normal(size=(model.n_seen, model.text_width)).astype(np.float32)
    pooled /= np.linalg.norm(pooled, axis=1, keepdims=True)
    words = random.normal(size=(model.n_seen, 12, model.word_width)).astype(np.float32)
    classes = ClassEmbeddings(
        ClassText("generated", seen, seen), "no encoder", pooled, words, np.ones(words.shape[:2], dtype=bool)
    )
    return Study(store, protocol, classes, config)


def as_jpeg(store: FrameStore) -> JpegFrames:
    """The frames of a generated store as JPEG images, beside the raw ones; clips that come again share their images.

    Raises:
        ModuleNotFoundError: simplejpeg is not installed.
    """
    pictures = store.frames[:N_PICTURES]
    places = np.array([append_jpeg(store.folder, clip, JPEG_QUALITY) for clip in pictures])
    np.save(store.folder / PLACES_FILE, places[np.arange(len(store)) % len(pictures)])
    return JpegFrames(store.folder, len(store), store.settings.size_px)


def _write_clips(path: Path, n_clips: int, settings: FrameSettings, random: np.random.Generator) -> None:
    """Patches of colour that move by a pixel a frame, with a little noise."""
    n_frames, size = settings.n_frames, settings.size_px
    pictures = []
    for _ in range(min(N_PICTURES, n_clips)):
        n_patches = -(-(size + n_frames) // PATCH_PX)
        wall = (
            random.integers(NOISE, 256 - NOISE, (n_patches, n_patches, 3))
            .repeat(PATCH_PX, 0)
            .repeat(PATCH_PX, 1)
        )
        clip = np.stack([wall[number : number + size, number : number + size] for number in range(n_frames)])
        pictures.append((clip + random.integers(-NOISE, NOISE + 1, clip.shape)).astype(np.uint8))
    frames = np.lib.format.open_memmap(
        path, mode="w+", dtype=np.uint8, shape=(n_clips, n_frames, size, size, 3)
    )
    for row in range(n_clips):
        frames[row] = pictures[row % len(pictures)]
    frames.flush()
