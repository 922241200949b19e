"""Any frames of any file, by either reader, are those that decoding all of it gives."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from painted_videos import (
    HEIGHT,
    TURNS,
    WIDTH,
    Kind,
    draw_kinds,
    has_ffmpeg,
    number_in,
    shown,
    shown_by_ffmpeg,
    write,
)

from zsar_lab.data.video import READERS, probe, read_frames

SLOW = bool(os.environ.get("ZSAR_LAB_SLOW"))
SEED = int(os.environ.get("ZSAR_LAB_SEED", "20261201"))
N_FILES, N_PARTS, N_LISTS = 300, 10, 20
# for make test: what a reader that skips has been wrong of, and some that are drawn
SKIPPED = [
    Kind("mpeg4", "avi", 60, b_frames=2),
    Kind("h264", "avi", 60, b_frames=3),
    Kind("h264", "mkv", 60, group="open", b_frames=3),
    Kind("h264", "mp4", 60, group="refresh"),
    Kind("hevc", "mp4", 60, group="open", b_frames=2),
    Kind("mpeg2", "mpg", 60, b_frames=2),
]
FEW = [8, 6]


def faults_of(kind: Kind, folder: Path, seed: int, against_ffmpeg: bool) -> list[str]:
    """What is wrong of a file of this kind."""
    path = folder / f"x.{kind.suffix}"
    given = write(kind, path)
    undo = TURNS[kind.turn][1]
    upright = [undo(image) for image in shown(path)]
    right = [number_in(image, kind.turn) for image in upright]
    if not kind.cut:
        assert right == given, f"{kind}: the generator is wrong: {right} of {given}"
    if against_ffmpeg:
        by_ffmpeg = [number_in(image, kind.turn) for image in shown_by_ffmpeg(path)]
        if kind.cut == "between":  # older ones show what lacks its references
            by_ffmpeg = [number for number in by_ffmpeg if number >= 0]
        assert by_ffmpeg == right, f"{kind}: ffmpeg itself shows {by_ffmpeg}, not {right}"
    return [f"seed {seed}: {kind}: {fault}" for fault in _compared(kind, path, right, upright, seed)]


def _compared(kind: Kind, path: Path, right: list[int], upright: list[np.ndarray], seed: int) -> list[str]:
    try:
        info = probe(path)
    except Exception as error:
        return [f"probe: {type(error).__name__}: {error}"]
    faults = []
    if info.n_frames != len(right):
        faults.append(f"probe counts {info.n_frames}, not {len(right)}")
    sides = WIDTH * kind.aspect, HEIGHT
    width, height = sides[::-1] if kind.turn in ("right", "left", "transposed") else sides
    if abs(info.width / info.height / float(width / height) - 1) > 0.02:
        faults.append(
            f"probe says {info.width} x {info.height}, not {float(width):.0f} x {float(height):.0f}"
        )
    random = np.random.default_rng(seed)
    lists = [random.integers(0, len(right), random.integers(1, 9)).tolist() for _ in range(N_LISTS)]
    for reader in READERS:
        for side, wanted in zip([None, 56] * N_LISTS, lists, strict=False):
            try:
                frames = read_frames(path, wanted, side, reader)
            except Exception as error:
                faults.append(f"{reader} {wanted}: {type(error).__name__}: {error}")
                break
            numbers = [number_in(frame, kind.turn) for frame in frames]
            if numbers != [right[index] for index in wanted]:
                faults.append(f"{reader} {wanted}: {numbers}, not {[right[index] for index in wanted]}")
                break
            if side:
                continue
            if frames.shape[1:3] != (info.height, info.width):
                faults.append(f"{reader}: frames of {frames.shape[1:3]}, not {info.height} x {info.width}")
                break
            if kind.aspect == 1:
                whole = np.stack([upright[index] for index in wanted]).astype(int)
                if (difference := np.abs(whole - frames).mean(axis=(1, 2, 3)).max()) > 3:
                    faults.append(f"{reader} {wanted}: {difference:.1f} of 255 from the whole decode")
                    break
    return faults


@pytest.mark.parametrize("seed", FEW)
def test_a_few_files(tmp_path, seed):
    kinds = [replace(kind, n_frames=60) for kind in draw_kinds(seed, 4)] + SKIPPED * (seed == FEW[0])
    assert not [fault for kind in kinds for fault in faults_of(kind, tmp_path, seed, against_ffmpeg=False)]


@pytest.mark.long
@pytest.mark.skipif(not SLOW, reason="minutes: make test-full")
@pytest.mark.parametrize("part", range(N_PARTS))
def test_many_files(tmp_path, part):
    if not has_ffmpeg():
        pytest.skip("ffmpeg, against which the truth is checked, is not installed")
    print(f"seed {SEED}, part {part} of {N_PARTS}")
    kinds = draw_kinds(SEED, N_FILES)[part::N_PARTS]
    faults = [
        fault
        for number, kind in enumerate(kinds)
        for fault in faults_of(kind, tmp_path, SEED + number, against_ffmpeg=True)
    ]
    assert not faults, "\n".join(faults)
