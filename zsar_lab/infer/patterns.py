"""Clips that show no action at all, made here: what "perhaps none of these" is calibrated on beside clips."""

from __future__ import annotations

import numpy as np

KINDS = ("colour bars", "noise", "still noise", "flat", "still picture")
BARS = np.array(
    [[235] * 3, [235, 235, 16], [16, 235, 235], [16, 235, 16], [235, 16, 235], [235, 16, 16], [16, 16, 235]]
)


def patterns_of(clips_NTHWC: np.ndarray, seed: int = 0) -> np.ndarray:
    """As many clips of each of KINDS as are given, uint8 [5 N, T, H, W, 3] in the order of KINDS.

    Colour bars as of a test screen, turned, shifted and of any width; noise, new in every frame or standing;
    one grey or colour; and the middle frame of each given clip, standing.
    """
    n, n_frames, height, width, _ = clips_NTHWC.shape
    rng = np.random.default_rng(seed)
    bars = np.empty((n, height, width, 3), dtype=np.uint8)
    for picture in bars:
        band = (np.arange(width) * rng.integers(4, 12) // width + rng.integers(7)) % len(BARS)
        picture[:] = BARS[band]
        if rng.random() < 0.5 and height == width:
            picture[:] = picture.transpose(1, 0, 2).copy()
    noise = rng.integers(0, 256, clips_NTHWC.shape, dtype=np.uint8)
    flat = np.broadcast_to(rng.integers(0, 256, (n, 1, 1, 3), dtype=np.uint8), bars.shape)
    pictures = (bars, noise[:, 0][::-1], flat, clips_NTHWC[:, n_frames // 2])
    still = [np.repeat(picture[:, None], n_frames, axis=1) for picture in pictures]
    return np.concatenate([still[0], noise, *still[1:]])
