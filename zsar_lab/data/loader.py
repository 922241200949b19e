"""Batches for the model: uint8 clips out of the frame store, turned into views on the model's device.

Shapes: B clips, N stored frames, T frames of a view, H W pixels.
"""

from __future__ import annotations

import functools
import math
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample, interpolate

from zsar_lab.files import later

# of red, green and blue in 0..1, as peers' recipes have them
RGB_MEAN, RGB_STD = (0.43216, 0.394666, 0.37645), (0.22803, 0.22145, 0.216989)
SMALLEST_CROP = 0.7  # about the side of a training view's, of the frame's
Read = TypeVar("Read")


@dataclass(frozen=True)
class ViewSettings:
    """How a stored clip becomes the model's input: `n_frames` frames of `size_px` pixels.

    channels is "motion" (grey, and its change from frame to frame) or "rgb" (standardised colours).
    """

    n_frames: int = 8
    size_px: int = 48
    channels: str = later("motion")


class Share(NamedTuple):
    """A rank's part of a step: of its `total` clips those from `first` up to, not with, `last`."""

    first: int
    last: int
    total: int

    @property
    def rows(self) -> slice:
        """The clips that are read: an empty share reads the first one, and gives it no weight."""
        return slice(self.first, self.last) if self.last > self.first else slice(0, 1)


class Batch(NamedTuple):
    """A rank's clips of a step (of the whole training): uint8 frames on the CPU, int64 targets and rows."""

    frames_BNHWC: Tensor
    target_B: Tensor
    row_B: Tensor
    step: int
    share: Share


def share_of(total: int, rank: int = 0, ranks: int = 1) -> Share:
    """The part of a rank: near-equal stretches in the order of the ranks; the first one's is never empty."""
    first, last = (-(-total * number // ranks) for number in (rank, rank + 1))
    return Share(first, last, total)


def training_batches(
    frames: np.ndarray,
    rows: np.ndarray,
    targets: np.ndarray,
    batch_size: int,
    seed: int,
    epoch: int,
    first_step: int = 0,
    rank: int = 0,
    ranks: int = 1,
    num_workers: int = 0,
    pinned: bool = False,
) -> Iterator[Batch]:
    """One epoch in the order of a permutation seeded by (seed, epoch); the last batch may be smaller.

    The order is one for all ranks, and each reads its share of every batch: another number of ranks takes the
    same steps.

    Args:
        frames: the store's uint8 [clips, N, H, W, 3].
        rows: of the store, int64.
        targets: the class index of each row, int64.
        batch_size: clips a batch, of all ranks together, at least 1.
        seed: decides the order, together with the epoch.
        epoch: from 0.
        first_step: steps of the whole training already taken; those of this epoch are skipped unread.
        rank: of this process, from 0.
        ranks: how many processes there are.
        num_workers: threads that read as many batches ahead; 0 reads each when it is asked for.
        pinned: in memory that a GPU copies from by itself.
    """
    if batch_size < 1:
        raise ValueError(f"batch_size must be at least 1, got {batch_size}")
    order = np.random.default_rng([seed, epoch]).permutation(len(rows))
    first_of_epoch = epoch * steps_per_epoch(len(rows), batch_size)

    def read(number: int) -> Batch:
        chosen = order[number * batch_size : (number + 1) * batch_size]
        share = share_of(len(chosen), rank, ranks)
        own = chosen[share.rows]
        found, target_B = _read(frames, rows[own], pinned), torch.from_numpy(targets[own])
        target_B = target_B.pin_memory() if pinned else target_B
        return Batch(found, target_B, torch.from_numpy(rows[own]), first_of_epoch + number, share)

    left = range(max(0, first_step - first_of_epoch), steps_per_epoch(len(rows), batch_size))
    yield from _read_ahead((functools.partial(read, number) for number in left), num_workers)


def steps_per_epoch(n_clips: int, batch_size: int) -> int:
    """Batches of an epoch, the last one smaller."""
    return -(-n_clips // batch_size)


def scoring_batches(
    frames: np.ndarray, rows: np.ndarray, batch_size: int, num_workers: int = 0, pinned: bool = False
) -> Iterator[Tensor]:
    """Batches, uint8 [B, N, H, W, 3], of these rows in their order; arguments as `training_batches`."""
    chunks = (rows[start : start + batch_size] for start in range(0, len(rows), batch_size))
    yield from _read_ahead((functools.partial(_read, frames, chunk, pinned) for chunk in chunks), num_workers)


def _read_ahead(reads: Iterator[Callable[[], Read]], num_workers: int) -> Iterator[Read]:
    """What each call gives, in their order; numpy and the JPEG decoder let threads run together."""
    if num_workers < 0:
        raise ValueError(f"num_workers must be 0 or more, got {num_workers}")
    if not num_workers:
        yield from (read() for read in reads)
        return
    pool, waiting = ThreadPoolExecutor(num_workers, "reader"), deque[Future]()
    try:
        for read in reads:
            waiting.append(pool.submit(read))
            if len(waiting) > num_workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def _read(frames: np.ndarray, rows: np.ndarray, pinned: bool) -> Tensor:
    if isinstance(frames, np.memmap):  # half the time of a stack of memory maps
        found = torch.from_numpy(np.take(frames.view(np.ndarray), rows, axis=0))
    else:
        found = torch.from_numpy(np.stack([frames[row] for row in rows]))
    return found.pin_memory() if pinned else found


def training_view(
    frames_BNHWC: Tensor, settings: ViewSettings, generator: torch.Generator, share: Share | None = None
) -> Tensor:
    """A random view of each clip.

    Motion: time span and jitter, grey weights, affine crop, flip, contrast, brightness, inversion.
    RGB: time span and jitter, a crop of 0.5..1 of the area and 3/4..4/3 in aspect, flip, brightness.

    Args:
        frames_BNHWC: uint8, on the model's device.
        settings: size and channels of the view.
        generator: on the same device; the only source of randomness.
        share: which clips of a step they are: numbers are drawn for the whole step, however it is divided.

    Returns:
        float32 [B, T, 3, size_px, size_px]: as `motion_channels`, or (colours - RGB_MEAN) / RGB_STD.

    Source: the RGB crop is that of Szegedy et al., CVPR 2015 ("Going Deeper"), from less small an area.
    """
    device = frames_BNHWC.device
    share = share or share_of(len(frames_BNHWC))

    def uniform(low: float, high: float, *shape: int) -> Tensor:
        drawn = torch.rand(share.total, *shape, generator=generator, device=device)
        return drawn[share.rows] * (high - low) + low

    def either_sign(*shape: int) -> Tensor:
        return torch.where(uniform(0.0, 1.0, *shape) < 0.5, -1.0, 1.0)

    last = frames_BNHWC.shape[1] - 1
    span = uniform(0.7, 1.0) * last
    start = uniform(0.0, 1.0) * (last - span)
    steps = torch.arange(settings.n_frames, device=device) + uniform(0.2, 0.8, settings.n_frames)
    index_BT = (start[:, None] + steps / settings.n_frames * span[:, None]).round().long()
    if _is_rgb(settings):
        height, width = frames_BNHWC.shape[2:4]
        area, log_aspect = uniform(0.5, 1.0), uniform(-math.log(4 / 3), math.log(4 / 3))
        aspects = [log_aspect.exp() * height / width, (-log_aspect).exp() * width / height]
        sides_B2 = (area[:, None] * torch.stack(aspects, 1)).sqrt().clamp(max=1)
        shift = uniform(-1.0, 1.0, 2) * (1 - sides_B2)
        sides_B2[:, 0] *= either_sign()
        theta_B23 = torch.cat([torch.diag_embed(sides_B2), shift[:, :, None]], 2)
        return _rgb(frames_BNHWC, index_BT, theta_B23, settings, uniform(0.8, 1.2, 1, 1, 1))
    grey_weights = 0.15 + uniform(0.0, 1.0, 3)
    grey = _grey(frames_BNHWC, index_BT, grey_weights / grey_weights.sum(1, keepdim=True))
    angle, zoom = uniform(-0.15, 0.15), uniform(0.72, 1.0)
    stretch, flip = uniform(0.92, 1.08), either_sign()
    shift = uniform(-1.0, 1.0, 2) * (1 - zoom)[:, None]
    cos, sin = angle.cos() * zoom, angle.sin() * zoom
    rows_x = torch.stack([cos * flip * stretch, -sin, shift[:, 0]], 1)
    rows_y = torch.stack([sin * flip, cos / stretch, shift[:, 1]], 1)
    cropped = _crop(grey, torch.stack([rows_x, rows_y], 1), settings)
    contrast, brightness = uniform(0.7, 1.3, 1, 1, 1), uniform(-0.15, 0.15, 1, 1, 1)
    return motion_channels(((cropped - 0.5) * contrast + brightness) * either_sign(1, 1, 1) + 0.5)


def centre_view(frames_BNHWC: Tensor, settings: ViewSettings, mirrored: bool = False) -> Tensor:
    """The one fixed view for scoring, as `training_view` returns it: evenly spaced frames, a centred crop.

    Motion: equal grey weights, 0.86 of each side. RGB: a square of 0.875 of the shorter side (112 of 128).
    """
    n_clips, device = len(frames_BNHWC), frames_BNHWC.device
    last = frames_BNHWC.shape[1] - 1
    steps = (torch.arange(settings.n_frames, device=device) + 0.5) / settings.n_frames
    index_BT = (0.075 * last + steps * 0.85 * last).round().long().expand(n_clips, -1)
    height, width = frames_BNHWC.shape[2:4]
    side = 0.875 * min(height, width)
    across, down = (side / width, side / height) if _is_rgb(settings) else (0.86, 0.86)
    theta = torch.tensor([[-across if mirrored else across, 0.0, 0.0], [0.0, down, 0.0]], device=device)
    theta_B23 = theta.expand(n_clips, -1, -1)
    if _is_rgb(settings):
        return _rgb(frames_BNHWC, index_BT, theta_B23, settings)
    grey = _grey(frames_BNHWC, index_BT, torch.full((n_clips, 3), 1 / 3, device=device))
    return motion_channels(_crop(grey, theta_B23, settings))


def motion_channels(grey_BTHW: Tensor) -> Tensor:
    """From grey in 0..1, in dim 2: 2 |g_t - g_t-1|, 2 g_t - 1, 2 |g_t+1 - g_t|; 0 beyond the ends."""
    change = 2 * (grey_BTHW[:, 1:] - grey_BTHW[:, :-1]).abs()
    still = torch.zeros_like(grey_BTHW[:, :1])
    return torch.stack([torch.cat([still, change], 1), 2 * grey_BTHW - 1, torch.cat([change, still], 1)], 2)


def _is_rgb(settings: ViewSettings) -> bool:
    if settings.channels not in ("motion", "rgb"):
        raise ValueError(f"channels must be 'motion' or 'rgb', got {settings.channels!r}")
    return settings.channels == "rgb"


def _crop(images: Tensor, theta_B23: Tensor, settings: ViewSettings) -> Tensor:
    """Crops [B, K, size_px, size_px] of images; frames of twice the size are shrunk first, smoothed."""
    if (side := min(images.shape[2:])) >= 2 * settings.size_px:
        scale = settings.size_px / SMALLEST_CROP / side
        shrunk = [round(length * scale) for length in images.shape[2:]]
        images = interpolate(images, shrunk, mode="bilinear", align_corners=False, antialias=True)
    size = [len(images), 1, settings.size_px, settings.size_px]
    grid = affine_grid(theta_B23, size, align_corners=False)
    return grid_sample(images, grid, padding_mode="border", align_corners=False)


def _rgb(
    frames_BNHWC: Tensor,
    index_BT: Tensor,
    theta_B23: Tensor,
    settings: ViewSettings,
    brightness: Tensor | float = 1.0,
) -> Tensor:
    """Frames at these indices, cropped, in 0..1 times the brightness, standardised: [B, T, 3, H, W]."""
    clip_B1 = torch.arange(len(frames_BNHWC), device=index_BT.device)[:, None]
    chosen = frames_BNHWC[clip_B1, index_BT].permute(0, 1, 4, 2, 3).flatten(1, 2).float() / 255
    cropped = _crop(chosen, theta_B23, settings) * brightness
    mean, std = _standard(frames_BNHWC.device)
    return (cropped.clamp_(0, 1).unflatten(1, (-1, 3)) - mean) / std


@functools.cache
def _standard(device: torch.device) -> tuple[Tensor, Tensor]:
    """Mean and deviation of each colour, [3, 1, 1]; copied to the device once."""
    with torch.inference_mode(False):  # for training too
        mean, std = (torch.tensor(values, device=device)[:, None, None] for values in (RGB_MEAN, RGB_STD))
    return mean, std


def _grey(frames_BNHWC: Tensor, index_BT: Tensor, weights_B3: Tensor) -> Tensor:
    """Grey frames at these indices, [B, T, H, W] in 0..1; the weights of the three colours sum to 1."""
    clip_B1 = torch.arange(len(frames_BNHWC), device=index_BT.device)[:, None]
    red, green, blue = (plane.float() for plane in frames_BNHWC[clip_B1, index_BT].unbind(-1))
    weight_R, weight_G, weight_B = (weights_B3 / 255)[:, :, None, None, None].unbind(1)
    # 3x faster than an einsum over the colours
    return red.mul_(weight_R).addcmul_(green, weight_G).addcmul_(blue, weight_B)
