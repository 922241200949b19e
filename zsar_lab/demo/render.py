"""From 3-D shapes to frames: weak perspective camera, anti-aliased capsules, all frames at once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

# share of the water's colour over what is under water: limbs stay visible
WATER_COVER = 0.42


@dataclass(frozen=True)
class Camera:
    """A weak perspective camera: rotate by yaw and elevation, scale, shift. No foreshortening with distance.

    yaw_deg: where the camera stands around the figure (0 in front, -90 on its right). centre_px: (T, 2)
    float, column and
    row of the world's origin. scale_px: pixels per body height.
    """

    yaw_deg: float
    elevation_deg: float
    mirror: bool
    scale_px: float
    centre_px: np.ndarray

    def axes(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Unit vectors (3,) of the image's right, the image's up, and towards the camera along the ground."""
        yaw, elevation = np.deg2rad(self.yaw_deg), np.deg2rad(self.elevation_deg)
        towards = np.array([np.cos(yaw), np.sin(yaw), 0.0])
        right = np.array([-np.sin(yaw), np.cos(yaw), 0.0]) * (-1.0 if self.mirror else 1.0)
        up = np.array([0.0, 0.0, np.cos(elevation)]) - np.sin(elevation) * towards
        return right, up, towards

    def project(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Points (T, ..., 3) to pixels (T, ..., 2) as (column, row), and depth (T, ...), larger is nearer."""
        right, up, towards = self.axes()
        middle = self.centre_px.reshape(len(points), *([1] * (points.ndim - 2)), 2)
        flat = np.stack([points @ right, -(points @ up)], axis=-1) * self.scale_px
        return flat + middle, points @ towards


def patch(low: np.ndarray, high: np.ndarray, height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows (T, h) and columns (T, w) of equal patches that cover the boxes low..high (T, 2: column, row)."""
    # np.minimum and np.maximum: np.clip costs several times as much on such small arrays
    axes = []
    for axis, size in ((1, height), (0, width)):
        start = np.floor(np.minimum(np.maximum(low[:, axis], 0.0), size - 1.0)).astype(np.intp)
        stop = np.ceil(np.minimum(np.maximum(high[:, axis], 0.0), size - 1.0)).astype(np.intp)
        span = int((stop - start).max()) + 1
        axes.append(np.minimum(start, size - span)[:, None] + np.arange(span))
    return axes[0], axes[1]


def blend(
    canvas: np.ndarray, rows: np.ndarray, columns: np.ndarray, cover: np.ndarray, colour: np.ndarray
) -> None:
    """Mix colour (T, 3) into the patches of canvas (T, H, W, 3), in place, by cover (T, h, w) from 0 to 1."""
    frames, height, width, _ = canvas.shape
    pixels = canvas.reshape(-1, 3)
    share = cover.ravel()
    touched = np.flatnonzero(share)
    row_starts = (np.arange(frames)[:, None] * height + rows) * width
    index = (row_starts[:, :, None] + columns[:, None, :]).ravel()[touched]
    under = pixels.take(index, axis=0)
    over = colour.take(touched // (cover.shape[1] * cover.shape[2]), axis=0)
    over -= under
    over *= share[touched, None]
    over += under
    pixels[index] = over


def paint_capsules(
    canvas: np.ndarray,
    start: np.ndarray,
    end: np.ndarray,
    radius: np.ndarray,
    colour: np.ndarray,
    depth: np.ndarray,
    shown: np.ndarray,
) -> None:
    """Paint K capsules a frame, the farthest first.

    A pixel's cover is clip(radius + 1/2 - distance to the segment, 0, 1): one pixel of soft edge, no
    supersampling. The k-th farthest capsule of every frame is painted in one go.

    Args:
        canvas: (T, H, W, 3) float32, changed in place.
        start: (T, K, 2) float, column and row in pixels.
        end: likewise.
        radius: (K,) float in pixels.
        colour: (T, K, 3) float, 0-255.
        depth: (T, K) float, larger is nearer.
        shown: (T, K) bool.
    """
    frames, height, width, _ = canvas.shape
    order = np.argsort(depth, axis=1)
    colour = colour.astype(np.float32)
    every = np.arange(frames)
    for rank in range(depth.shape[1]):
        chosen = order[:, rank]
        a, b = start[every, chosen].astype(np.float32), end[every, chosen].astype(np.float32)
        reach = radius[chosen].astype(np.float32)
        margin = reach[:, None] + 1.0
        rows, columns = patch(np.minimum(a, b) - margin, np.maximum(a, b) + margin, height, width)
        along = b - a
        length2 = np.maximum((along**2).sum(axis=1), 1e-4)[:, None, None]
        dx = (columns.astype(np.float32) - a[:, :1])[:, None, :]
        dy = (rows.astype(np.float32) - a[:, 1:])[:, :, None]
        share = dx * (along[:, None, :1] / length2) + dy * (along[:, None, 1:] / length2)
        np.minimum(np.maximum(share, 0.0, out=share), 1.0, out=share)
        distance = np.sqrt((dx - share * along[:, None, :1]) ** 2 + (dy - share * along[:, None, 1:]) ** 2)
        cover = np.minimum(np.maximum(reach[:, None, None] + np.float32(0.5) - distance, 0.0), 1.0)
        cover *= shown[every, chosen][:, None, None]
        blend(canvas, rows, columns, cover, colour[every, chosen])


def paint_quad(canvas: np.ndarray, corners: np.ndarray, colour: np.ndarray) -> None:
    """Paint one convex quad a frame; cover is clip(1/2 - largest signed edge distance, 0, 1).

    Args:
        canvas: (T, H, W, 3) float32, changed in place.
        corners: (T, 4, 2) float, column and row in pixels, in turn around the outline.
        colour: (3,) float, 0-255.
    """
    frames, height, width, _ = canvas.shape
    corners = corners.astype(np.float32)
    rows, columns = patch(corners.min(axis=1) - 1.0, corners.max(axis=1) + 1.0, height, width)
    edges = np.roll(corners, -1, axis=1) - corners
    # the sign of the area makes the outside positive whichever way round the corners run
    area = (
        corners[:, :, 0] * np.roll(corners[:, :, 1], -1, axis=1)
        - np.roll(corners[:, :, 0], -1, axis=1) * corners[:, :, 1]
    ).sum(axis=1)
    turn = np.where(area >= 0.0, 1.0, -1.0).astype(np.float32)
    outside = np.full((frames, rows.shape[1], columns.shape[1]), -1e6, dtype=np.float32)
    for edge in range(4):
        length = np.maximum(np.hypot(edges[:, edge, 0], edges[:, edge, 1]), 1e-3)
        normal = edges[:, edge] * (turn / length)[:, None]
        dx = (columns.astype(np.float32) - corners[:, edge, :1])[:, None, :]
        dy = (rows.astype(np.float32) - corners[:, edge, 1:])[:, :, None]
        np.maximum(outside, dx * normal[:, 1, None, None] - dy * normal[:, 0, None, None], out=outside)
    cover = np.clip(0.5 - outside, 0.0, 1.0)
    blend(canvas, rows, columns, cover, np.repeat(np.asarray(colour, dtype=np.float32)[None], frames, axis=0))


def paint_water(canvas: np.ndarray, line_px: np.ndarray, phase: np.ndarray, colour: ArrayLike) -> None:
    """Tint all below the water line (T,) of rows, with ripples and a rim; canvas (T, H, W, 3) in place."""
    _, height, width, _ = canvas.shape
    columns = np.arange(width, dtype=np.float32)[None, :]
    turn = phase.astype(np.float32)[:, None]
    wave = np.sin(columns * 0.45 + turn * 6.3) + np.sin(columns * 0.23 - turn * 4.1)
    first = int(np.clip(np.floor(line_px.min()) - 3, 0, height))
    rows = np.arange(first, height, dtype=np.float32)[None, :, None]
    below = rows - (line_px.astype(np.float32)[:, None] + 0.5 * wave)[:, None, :]
    cover = np.clip(below + 0.5, 0.0, 1.0)[..., None] * np.float32(WATER_COVER)
    rim = np.clip(1.0 - np.abs(below), 0.0, 1.0)[..., None] * np.float32(0.5)
    wet = canvas[:, first:]
    wet += cover * (np.asarray(colour, dtype=np.float32) - wet)
    wet += rim * (np.float32(235.0) - wet)
